/* SPDX-License-Identifier: MIT */
/*
 * Between the UART's rings and two file descriptors.
 *
 * Theory of operation: output waits in the UART's transmit ring, the only buffer
 * there is; a flush writes from it in place until the descriptor refuses, then
 * waits for EPOLLOUT. Input is read a piece at a time; what the UART does not
 * take stays in @pending and the descriptor rests until the guest has read. So
 * both ways are bounded and neither thread ever blocks (H86). A descriptor that
 * fails is let go: the guest's console then prints into the void.
 */
#include "src/vmm/serial_io.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/clock.h"
#include "src/base/log.h"

#define CTRL_A 0x01

static void on_in(void *ctx, uint32_t events);
static void on_out(void *ctx, uint32_t events);

static void close_in(struct serial_io *t)
{
	io_loop_del(t->loop, t->in.fd);
	t->in_watched = false;
	fdio_close(&t->in);
}

static void close_out(struct serial_io *t)
{
	io_loop_del(t->loop, t->out.fd);
	t->out_watched = false;
	fdio_close(&t->out);
}

/* Write until the ring is empty or the descriptor refuses; true = empty. */
static bool flush(struct serial_io *t)
{
	struct iovec iov[2];
	size_t len;

	while ((len = serial_output_peek(t->serial, iov)) > 0) {
		ssize_t r = (ssize_t)len;

		if (t->out.fd >= 0)
			r = fdio_write(&t->out, iov, iov[1].iov_len ? 2 : 1);
		if (r == -EAGAIN)
			return false;
		if (r < 0) {
			log_warn("serial", "console output is lost from here on: %s",
				 strerror((int)-r));
			close_out(t);
			continue;
		}
		serial_output_done(t->serial, (size_t)r);
	}
	return true;
}

static void flush_and_watch(struct serial_io *t)
{
	bool want = !flush(t);

	if (want == t->out_watched || t->out.fd < 0)
		return;
	if (want && io_loop_add(t->loop, t->out.fd, EPOLLOUT, on_out, t) < 0)
		return; /* cannot be watched: the next byte tries again */
	if (!want)
		io_loop_del(t->loop, t->out.fd);
	t->out_watched = want;
}

/* Take the escape sequence out of @buf in place. Return: bytes that remain. */
static size_t filter_escape(struct serial_io *t, uint8_t *buf, size_t len)
{
	size_t kept = 0;

	for (size_t i = 0; i < len; i++) {
		bool after = t->escape_seen;

		t->escape_seen = !after && buf[i] == CTRL_A;
		if (t->escape_seen)
			continue;
		if (after && (buf[i] == 'x' || buf[i] == 'X')) {
			t->cfg.on_escape(t->cfg.ctx);
			continue;
		}
		/* Ctrl-A before any other key means nothing and goes; twice is one. */
		buf[kept++] = buf[i];
	}
	return kept;
}

/* Offer what was read before. True = all of it was taken. */
static bool offer_pending(struct serial_io *t)
{
	size_t n = serial_input(t->serial, t->pending + t->pending_off, t->pending_len);

	t->pending_off += n;
	t->pending_len -= n;
	return t->pending_len == 0;
}

/* Read while the UART takes it; on return either the descriptor or the UART waits. */
static void pump_in(struct serial_io *t)
{
	while (t->in.fd >= 0 && offer_pending(t)) {
		ssize_t r = fdio_read(&t->in, t->pending, sizeof(t->pending));

		if (r == -EAGAIN)
			break;
		if (r <= 0) {
			close_in(t);
			return;
		}
		t->pending_off = 0;
		t->pending_len = (size_t)r;
		if (t->cfg.escape)
			t->pending_len = filter_escape(t, t->pending, t->pending_len);
	}
}

static void pump_in_and_watch(struct serial_io *t)
{
	bool want;

	pump_in(t);
	want = t->pending_len == 0;
	if (t->in.fd < 0 || want == t->in_watched)
		return;
	if (want && io_loop_add(t->loop, t->in.fd, EPOLLIN, on_in, t) < 0)
		return; /* a regular file: read to its end as the guest takes it */
	if (!want)
		io_loop_del(t->loop, t->in.fd);
	t->in_watched = want;
}

static void on_in(void *ctx, uint32_t events)
{
	(void)events;
	pump_in_and_watch(ctx);
}

static void on_out(void *ctx, uint32_t events)
{
	(void)events;
	flush_and_watch(ctx);
}

static void on_wake(void *ctx, uint32_t events)
{
	struct serial_io *t = ctx;
	uint64_t v;
	ssize_t ignored = read(t->wake_fd, &v, sizeof(v));

	(void)ignored;
	(void)events;
	flush_and_watch(t);
	pump_in_and_watch(t);
}

/**
 * serial_io_new() - put the terminal on the loop
 * @serial:	its backend's wake is to call serial_io_wake()
 *
 * Main thread. Return: 0, or -errno with nothing left behind
 */
int serial_io_new(struct serial_io *t, struct serial *serial, struct io_loop *loop,
		  const struct serial_io_config *cfg)
{
	int err = 0;

	*t = (struct serial_io){
		.serial = serial,
		.loop = loop,
		.cfg = *cfg,
		.in = { .fd = -1 },
		.out = { .fd = -1 },
	};
	t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->wake_fd < 0)
		return -errno;
	if (cfg->in >= 0)
		err = fdio_open(&t->in, cfg->in, false);
	if (!err && cfg->out >= 0)
		err = fdio_open(&t->out, cfg->out, true);
	if (!err)
		err = io_loop_add(loop, t->wake_fd, EPOLLIN, on_wake, t);
	if (err) {
		serial_io_free(t);
		return err;
	}
	/* The first round, on the loop: whatever is there to read is read then. */
	serial_io_wake(t);
	return 0;
}

/**
 * serial_io_free() - main thread, after the loop; harmless on a refused one
 */
void serial_io_free(struct serial_io *t)
{
	close_in(t);
	close_out(t);
	if (t->wake_fd >= 0) {
		io_loop_del(t->loop, t->wake_fd);
		close(t->wake_fd);
	}
	t->wake_fd = -1;
}

/**
 * serial_io_wake() - the UART has output, or room for input; any thread
 */
void serial_io_wake(struct serial_io *t)
{
	uint64_t one = 1;
	ssize_t ignored = write(t->wake_fd, &one, sizeof(one));

	(void)ignored;
}

/**
 * serial_io_drain() - see the guest's last words out, for @timeout_ms at most
 *
 * Main thread, after vCPUs and loop have stopped.
 */
void serial_io_drain(struct serial_io *t, int timeout_ms)
{
	uint64_t end = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;

	while (!flush(t)) {
		uint64_t now = clock_now_ns();
		struct pollfd p = { .fd = t->out.fd, .events = POLLOUT };

		if (now >= end)
			return;
		(void)poll(&p, 1, (int)((end - now) / NS_PER_MS) + 1);
	}
}
