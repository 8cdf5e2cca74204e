/* SPDX-License-Identifier: MIT */
/*
 * The host's end of the command channel.
 *
 * Theory of operation. Four flows meet here, and none may block the others:
 *
 * - What the guest sends is decoded straight out of its descriptors. Output goes
 *   into two bounded buffers; when one is full, the rest stays in the guest's
 *   descriptors (the console is told that fewer bytes were taken), so a slow
 *   reader of ours slows the command and costs no memory. Once the reader has
 *   taken something, the console offers the rest again.
 * - What goes to the guest waits in @tx until the port takes it. EXEC is
 *   written there first and held back until READY.
 * - Standard input is read only when there is credit for it and room in @tx; at
 *   all other times the descriptor is not watched, since epoll would report a
 *   hang-up for ever.
 * - Signals: the first goes to the command and starts a timer; the second, or
 *   the timer, ends the machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "src/base/clock.h"
#include "src/cli/cmdchan.h"
#include "src/cli/cmdcodec.h"
#include "src/cli/outstream.h"

/* EXEC at its largest and some input behind it. */
#define TX_SIZE 131072U

static_assert(TX_SIZE >= CMD_HEADER_LEN + CMD_EXEC_MAX, "EXEC fits");

/* Kept free in @tx for a signal, whatever the input. */
#define TX_RESERVE 64U

struct out {
	struct cmdchan *chan;
	struct outstream stream;
	bool watched;
	bool told_broken; /* the command has been sent SIGPIPE */
};

struct cmdchan {
	struct cmdchan_config cfg;
	struct io_loop *loop;
	struct vcon *con;
	uint32_t port;
	enum cmdchan_state state;
	uint32_t status;
	char why[160];
	uint64_t ready_ns;
	struct cmd_decoder decoder;
	struct cmd_sink sink;
	struct out *blocked; /* the console keeps bytes that this one had no room for */
	uint64_t taken;	     /* bytes from the guest */
	struct bytering tx;
	struct out out[2];
	bool in_watched;
	bool in_file; /* epoll does not take it: it is always ready */
	bool in_eof;
	uint64_t in_credit;
	int timer_fd;
	int signalled; /* first signal passed on, 0 = none */
	uint8_t tx_buf[TX_SIZE];
};

static void pump_input(struct cmdchan *c);

static_assert(CMDCHAN_BOOTING < CMDCHAN_RUNNING && CMDCHAN_RUNNING < CMDCHAN_EXITED &&
		      CMDCHAN_EXITED < CMDCHAN_FAILED,
	      "up to RUNNING the channel lives");

static void end(struct cmdchan *c, enum cmdchan_state state)
{
	if (c->state > CMDCHAN_RUNNING)
		return;
	c->state = state;
	c->cfg.done(c->cfg.ctx);
}

static void fail(struct cmdchan *c, const char *what)
{
	if (c->state > CMDCHAN_RUNNING)
		return;
	snprintf(c->why, sizeof(c->why), "%s", what);
	end(c, CMDCHAN_FAILED);
}

static void flush_tx(struct cmdchan *c)
{
	struct iovec iov[2];

	while (c->state == CMDCHAN_RUNNING && bytering_readable(&c->tx, iov) > 0) {
		size_t n = vcon_port_write(c->con, c->port, iov[0].iov_base, iov[0].iov_len);

		bytering_advance_tail(&c->tx, (uint32_t)n);
		if (n < iov[0].iov_len)
			break; /* on_room() goes on */
	}
}

/* --- output ------------------------------------------------------------- */

static void on_writable(void *ctx, uint32_t events);

/* Write what goes; watch for more room if something is left. */
static void flush_out(struct out *o)
{
	struct cmdchan *c = o->chan;
	bool done = outstream_flush(&o->stream);

	if (!done && !o->watched) {
		o->watched = io_loop_add(c->loop, o->stream.fd, EPOLLOUT, on_writable, o) == 0;
		o->stream.broken = !o->watched; /* never to be told of room: give it up */
	}
	if (done && o->watched) {
		io_loop_del(c->loop, o->stream.fd);
		o->watched = false;
	}
	/* Nobody reads: let the command learn it as it would on this host. */
	if (o->stream.broken && !o->told_broken && c->state == CMDCHAN_RUNNING) {
		o->told_broken = true;
		if (o->stream.fd >= 0 && cmd_encode_u32(&c->tx, CMD_SIGNAL, SIGPIPE) == 0)
			flush_tx(c);
	}
}

static void on_writable(void *ctx, uint32_t events)
{
	struct out *o = ctx;
	struct cmdchan *c = o->chan;

	(void)events;
	flush_out(o);
	if (c->blocked == o && (o->stream.broken || bytering_room(&o->stream.ring) > 0)) {
		c->blocked = NULL;
		vcon_port_resume(c->con, c->port);
	}
}

static size_t take_output(void *ctx, enum cmd_type type, const uint8_t *p, size_t len)
{
	struct cmdchan *c = ctx;
	struct out *o = &c->out[type == CMD_STDERR];
	size_t n = outstream_put(&o->stream, p, len);

	if (n < len)
		c->blocked = o;
	return n;
}

/* --- messages ------------------------------------------------------------ */

/* The guest's words on our terminal: printable ASCII only. */
static void fail_with_guests_words(struct cmdchan *c, const uint8_t *p, uint32_t len)
{
	char text[100];
	uint32_t n = MIN(len, (uint32_t)sizeof(text) - 1);

	for (uint32_t i = 0; i < n; i++)
		text[i] = p[i] >= ' ' && p[i] <= '~' ? (char)p[i] : '?';
	text[n] = 0;
	if (c->state > CMDCHAN_RUNNING)
		return;
	snprintf(c->why, sizeof(c->why), "the guest says: %s", text);
	end(c, CMDCHAN_FAILED);
}

static int take_message(void *ctx, enum cmd_type type, const uint8_t *p, uint32_t len)
{
	struct cmdchan *c = ctx;

	switch (type) {
	case CMD_READY:
		if (c->state != CMDCHAN_BOOTING || get_le32(p) != CMD_VERSION)
			return -EPROTO;
		c->state = CMDCHAN_RUNNING;
		c->ready_ns = clock_now_ns();
		flush_tx(c);
		return 0;
	case CMD_CREDIT:
		/* Sum of 32-bit numbers, each of which costs the guest a message. */
		c->in_credit += get_le32(p);
		pump_input(c);
		return 0;
	case CMD_EXIT:
		if (c->state != CMDCHAN_RUNNING)
			return -EPROTO;
		c->status = get_le32(p);
		end(c, CMDCHAN_EXITED);
		return 0;
	case CMD_FAIL:
		fail_with_guests_words(c, p, len);
		return 0;
	case CMD_STDOUT: /* ends of file; the streams are ours to keep */
	case CMD_STDERR:
	default:
		return 0;
	}
}

/* Decode all of @iov, or as much as there is room for. Returns bytes, or -errno. */
static int64_t decode_run(struct cmdchan *c, const struct iovec *iov)
{
	const uint8_t *p = iov->iov_base;
	size_t done = 0;

	while (done < iov->iov_len && c->state <= CMDCHAN_RUNNING) {
		int64_t n;

		c->blocked = NULL;
		n = cmd_decode(&c->decoder, p + done, iov->iov_len - done, &c->sink);
		if (n < 0)
			return n;
		done += (size_t)n;
		if (!c->blocked)
			continue;
		/* Full a moment ago; unless it drained since, its watch will wake us. */
		flush_out(c->blocked);
		if (c->blocked->watched)
			break;
	}
	return (int64_t)done;
}

static size_t on_data(void *ctx, const struct iovec *iov, uint32_t cnt)
{
	struct cmdchan *c = ctx;
	size_t done = 0, all = 0;

	for (uint32_t i = 0; i < cnt; i++)
		all += iov[i].iov_len;
	for (uint32_t i = 0; i < cnt && c->state <= CMDCHAN_RUNNING; i++) {
		int64_t n = decode_run(c, &iov[i]);

		if (n < 0) {
			fail(c, "the guest broke the protocol of the command channel");
			break;
		}
		done += (size_t)n;
		if ((size_t)n < iov[i].iov_len)
			break;
	}
	flush_out(&c->out[0]);
	flush_out(&c->out[1]);
	if (c->blocked && !c->blocked->watched)
		c->blocked = NULL;
	c->taken += done;
	/* Nothing follows EXIT; what comes all the same is dropped. */
	return c->state <= CMDCHAN_RUNNING ? done : all;
}

static void on_room(void *ctx)
{
	struct cmdchan *c = ctx;

	flush_tx(c);
	pump_input(c);
}

/*
 * Opening and closing mean nothing to us: a guest that closes its end may have
 * EXIT in a queue that is looked at later, and one that is gone ends the machine.
 */
const struct vcon_port_ops cmdchan_port_ops = {
	.on_data = on_data,
	.on_room = on_room,
};

/* --- input ---------------------------------------------------------------- */

static uint32_t input_room(const struct cmdchan *c)
{
	uint64_t room = bytering_room(&c->tx);

	if (c->state != CMDCHAN_RUNNING || c->in_eof || room <= CMD_HEADER_LEN + TX_RESERVE)
		return 0;
	room = MIN(room - CMD_HEADER_LEN - TX_RESERVE, c->in_credit);
	return (uint32_t)MIN(room, (uint64_t)CMD_PAYLOAD_MAX);
}

/* One read, of a descriptor that is ready. Returns false when it has no more now. */
static bool read_input(struct cmdchan *c, uint32_t room)
{
	uint8_t buf[CMD_PAYLOAD_MAX];
	ssize_t n = read(c->cfg.fd[0], buf, room);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		n = 0;
		c->in_eof = true;
	}
	BUG_ON(cmd_encode(&c->tx, CMD_STDIN, buf, (uint32_t)n) < 0);
	c->in_credit -= (uint64_t)n;
	flush_tx(c);
	return n > 0;
}

static void watch_input(struct cmdchan *c, bool on);

static void on_readable(void *ctx, uint32_t events)
{
	struct cmdchan *c = ctx;
	uint32_t room = input_room(c);

	(void)events;
	if (room > 0)
		read_input(c, room);
	pump_input(c);
}

static void watch_input(struct cmdchan *c, bool on)
{
	int err;

	if (on == c->in_watched)
		return;
	c->in_watched = on;
	if (!on) {
		io_loop_del(c->loop, c->cfg.fd[0]);
		return;
	}
	err = io_loop_add(c->loop, c->cfg.fd[0], EPOLLIN, on_readable, c);
	if (err < 0) {
		c->in_watched = false;
		c->in_file = true; /* or closed: then read(2) says so, as end of file */
	}
}

static void pump_input(struct cmdchan *c)
{
	uint32_t room = input_room(c);

	if (!c->in_file)
		watch_input(c, room > 0);
	while (c->in_file && room > 0 && read_input(c, room))
		room = input_room(c);
}

/* --- signals --------------------------------------------------------------- */

static void on_timer(void *ctx, uint32_t events)
{
	struct cmdchan *c = ctx;

	(void)events;
	io_loop_del(c->loop, c->timer_fd);
	c->cfg.killed(c->cfg.ctx, c->signalled);
}

/**
 * cmdchan_signal() - pass a signal on to the command
 * @cmdchan:	struct cmdchan; fits vm_config.on_signal
 *
 * Return: true when the command has been sent it and may take its time; false
 * when there is no command to ask, or it has been asked before
 */
bool cmdchan_signal(void *cmdchan, int signo)
{
	struct cmdchan *c = cmdchan;
	struct itimerspec t = {
		.it_value = { .tv_sec = (time_t)(c->cfg.kill_after_ns / NS_PER_S),
			      .tv_nsec = (long)(c->cfg.kill_after_ns % NS_PER_S) },
	};

	if (c->state != CMDCHAN_RUNNING || c->signalled)
		return false;
	if (cmd_encode_u32(&c->tx, CMD_SIGNAL, (uint32_t)signo) < 0 ||
	    timerfd_settime(c->timer_fd, 0, &t, NULL) < 0 ||
	    io_loop_add(c->loop, c->timer_fd, EPOLLIN, on_timer, c) < 0)
		return false;
	c->signalled = signo;
	flush_tx(c);
	return true;
}

/* --- life ------------------------------------------------------------------- */

/**
 * cmdchan_new() - prepare a command
 * @cfg:	copied; what it points to stays the caller's
 * @loop:	outlives the channel
 *
 * Return: 0, -E2BIG (arguments and environment too long), -ENOMEM, -errno
 */
int cmdchan_new(struct cmdchan **out, const struct cmdchan_config *cfg, struct io_loop *loop)
{
	struct cmdchan *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->cfg = *cfg;
	c->loop = loop;
	c->sink = (struct cmd_sink){ .output = take_output, .message = take_message, .ctx = c };
	bytering_init(&c->tx, c->tx_buf, TX_SIZE);
	/* Numbers of our own: the serial console may watch the same descriptors. */
	for (int i = 0; i < 3; i++)
		c->cfg.fd[i] = fcntl(cfg->fd[i], F_DUPFD_CLOEXEC, 3);
	for (int i = 0; i < 2; i++) {
		c->out[i].chan = c;
		outstream_init(&c->out[i].stream, c->cfg.fd[1 + i]);
	}
	c->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	err = c->timer_fd < 0 ? -errno : cmd_encode_exec(&c->tx, cfg->argv, cfg->env, cfg->nenv);
	if (err < 0) {
		cmdchan_free(c);
		return err;
	}
	*out = c;
	return 0;
}

/**
 * cmdchan_attach() - name the port, before the guest runs
 */
void cmdchan_attach(struct cmdchan *c, struct vcon *con, uint32_t port)
{
	c->con = con;
	c->port = port;
}

enum cmdchan_state cmdchan_state(const struct cmdchan *c)
{
	return c->state;
}

/**
 * cmdchan_status() - the command's exit status or 128 + its signal; only once EXITED
 */
uint32_t cmdchan_status(const struct cmdchan *c)
{
	return c->status;
}

/**
 * cmdchan_why() - one line; only once FAILED
 */
const char *cmdchan_why(const struct cmdchan *c)
{
	return c->why;
}

/**
 * cmdchan_ready_ns() - CLOCK_MONOTONIC of the guest's READY, 0 if it never came
 */
uint64_t cmdchan_ready_ns(const struct cmdchan *c)
{
	return c->ready_ns;
}

/**
 * cmdchan_last_words() - take what a guest that ended itself had still written
 *
 * A write to the port returns when it is queued, so EXIT can be in the queue when
 * the machine is already off. (Linux from 6.15, and older stable series, reset the
 * port on the way there: our own init waits to be ended instead.) Waits for the
 * readers of the output. After the vCPUs have stopped, with signals at their
 * defaults so that one can end the wait.
 */
void cmdchan_last_words(struct cmdchan *c)
{
	bool more;

	do {
		uint64_t before = c->taken;

		vcon_service(c->con);
		more = c->taken != before || c->blocked;
		if (c->blocked) {
			outstream_finish(&c->blocked->stream);
			c->blocked = NULL;
			vcon_port_resume(c->con, c->port);
		}
	} while (c->state <= CMDCHAN_RUNNING && more);
}

/**
 * cmdchan_detach() - let go of the loop and of the port, before they go
 *
 * What the console still says afterwards is ignored; done() is not called again.
 */
void cmdchan_detach(struct cmdchan *c)
{
	if (c->state <= CMDCHAN_RUNNING) {
		c->state = CMDCHAN_FAILED;
		snprintf(c->why, sizeof(c->why), "the machine ended before the command did");
	}
	watch_input(c, false);
	io_loop_del(c->loop, c->timer_fd);
	for (int i = 0; i < 2; i++) {
		if (c->out[i].watched)
			io_loop_del(c->loop, c->out[i].stream.fd);
		c->out[i].watched = false;
	}
}

/**
 * cmdchan_finish() - write what is left of the output; waits for its reader
 *
 * After cmdchan_detach(), with signals at their defaults so that one can end it.
 */
void cmdchan_finish(struct cmdchan *c)
{
	outstream_finish(&c->out[0].stream);
	outstream_finish(&c->out[1].stream);
}

/**
 * cmdchan_free() - NULL is fine; after cmdchan_detach(), or if nothing ever ran
 */
void cmdchan_free(struct cmdchan *c)
{
	if (!c)
		return;
	if (c->timer_fd >= 0)
		close(c->timer_fd);
	for (int i = 0; i < 3; i++) {
		if (c->cfg.fd[i] >= 0)
			close(c->cfg.fd[i]);
	}
	free(c);
}
