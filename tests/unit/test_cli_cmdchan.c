/* SPDX-License-Identifier: MIT */
/*
 * The command channel, with a made-up console port instead of a guest: whatever
 * the split points and however slow the readers, every byte arrives once.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "src/cli/cmdchan.h"
#include "src/cli/cmdcodec.h"

#define STREAM_LEN 600000U
#define TURNS_MAX  200000

static uint32_t seed;

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % below;
}

/* 1..@most, but no more than @limit. MIN() would draw twice. */
static uint32_t some(uint32_t limit, uint32_t most)
{
	uint32_t n = 1 + rnd(most);

	return MIN(limit, n);
}

static uint8_t pattern(uint32_t i, uint8_t salt)
{
	return (uint8_t)(i * 167 + (i >> 8) * 13 + salt);
}

/* --- the codec alone -------------------------------------------------------- */

struct collected {
	uint8_t out[2][65536];
	uint32_t out_len[2];
	uint32_t messages;
	uint8_t last_type;
	uint32_t last_value;
	uint32_t eofs;
};

static size_t collect_output(void *ctx, enum cmd_type type, const uint8_t *p, size_t len)
{
	struct collected *c = ctx;
	int i = type == CMD_STDERR;
	size_t n = rnd(4) ? len : rnd((uint32_t)len + 1);

	assert_true(len > 0);
	memcpy(c->out[i] + c->out_len[i], p, n);
	c->out_len[i] += (uint32_t)n;
	return n;
}

static int collect_message(void *ctx, enum cmd_type type, const uint8_t *p, uint32_t len)
{
	struct collected *c = ctx;

	if (type == CMD_STDOUT || type == CMD_STDERR) {
		assert_int_equal(len, 0);
		c->eofs++;
		return 0;
	}
	c->messages++;
	c->last_type = (uint8_t)type;
	c->last_value = len >= 4 ? get_le32(p) : 0;
	return 0;
}

static void any_split_of_the_stream_decodes_alike(void **state)
{
	static uint8_t stream[131072], buf[16384];
	struct bytering ring;

	(void)state;
	seed = 7;
	for (int round = 0; round < 300; round++) {
		static struct collected got;
		struct cmd_sink sink = { collect_output, collect_message, &got };
		struct cmd_decoder d = { 0 };
		uint32_t len, at = 0, want[2] = { 0 };

		memset(&got, 0, sizeof(got));
		bytering_init(&ring, stream, sizeof(stream));
		assert_int_equal(cmd_encode_u32(&ring, CMD_READY, CMD_VERSION), 0);
		for (int i = 0; i < 8; i++) {
			uint32_t n = rnd(round % 2 ? 6000 : 20);
			int which = (int)rnd(2);

			for (uint32_t k = 0; k < n; k++)
				buf[k] = pattern(want[which] + k, (uint8_t)which);
			want[which] += n;
			assert_int_equal(cmd_encode(&ring, which ? CMD_STDERR : CMD_STDOUT, buf, n),
					 0);
			assert_int_equal(cmd_encode_u32(&ring, CMD_CREDIT, 1), 0);
		}
		assert_int_equal(cmd_encode(&ring, CMD_STDOUT, NULL, 0), 0);
		assert_int_equal(cmd_encode_u32(&ring, CMD_EXIT, 42), 0);
		len = bytering_used(&ring);
		while (at < len) {
			uint32_t n = some(len - at, round % 3 ? 9 : 4000);
			int64_t took = cmd_decode(&d, stream + at, n, &sink);

			assert_true(took >= 0 && took <= n);
			at += (uint32_t)took;
		}
		assert_int_equal(got.messages, 10);
		assert_true(got.eofs >= 1);
		assert_int_equal(got.last_type, CMD_EXIT);
		assert_int_equal(got.last_value, 42);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(got.out_len[i], want[i]);
			for (uint32_t k = 0; k < want[i]; k++)
				assert_int_equal(got.out[i][k], pattern(k, (uint8_t)i));
		}
	}
}

static void malformed_headers_end_the_stream(void **state)
{
	static const uint8_t bad[][8] = {
		{ 0, 0, 0, 0, 0, 0, 0, 0 },		/* no such type */
		{ CMD_EXEC, 0, 0, 0, 8, 0, 0, 0 },	/* the host's to send */
		{ CMD_STDIN, 0, 0, 0, 1, 0, 0, 0 },	/* likewise */
		{ CMD_READY, 0, 0, 0, 5, 0, 0, 0 },	/* not a number */
		{ CMD_READY, 0, 0, 1, 4, 0, 0, 0 },	/* zero bytes that are not */
		{ CMD_STDOUT, 0, 0, 0, 1, 0x40, 0, 0 }, /* longer than a payload may be */
		{ CMD_STDOUT, 0, 0, 0, 0, 0, 0, 0x80 }, /* much longer */
		{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	};
	struct collected got = { 0 };
	struct cmd_sink sink = { collect_output, collect_message, &got };

	(void)state;
	seed = 9;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct cmd_decoder d = { 0 };

		assert_int_equal(cmd_decode(&d, bad[i], 8, &sink), -EPROTO);
	}
	assert_int_equal(got.messages, 0);
}

/* --- the channel, on a real loop -------------------------------------------- */

struct rig {
	struct io_loop *loop;
	struct cmdchan *chan;
	int tick;
	int child[3]; /* far ends of the streams */
	uint8_t to_guest[1 << 20];
	uint32_t to_guest_len;
	bool writable; /* the port takes what is written to it */
	bool stuck;    /* bytes were left over: offered again after a resume only */
	int done, killed;
	void (*turn)(struct rig *r);
	uint32_t sent, got[2], want[2];
	int turns;
	/* What the guest has written and nobody has taken: vcon_service() offers it. */
	const uint8_t *queue;
	uint32_t queue_len;
	pthread_t reader;
};

static struct rig *rig;

size_t vcon_port_write(struct vcon *c, uint32_t port, const void *data, size_t len)
{
	size_t n = rig->writable ? some((uint32_t)len, 5000) : 0;

	(void)c;
	(void)port;
	assert_true(rig->to_guest_len + n <= sizeof(rig->to_guest));
	memcpy(rig->to_guest + rig->to_guest_len, data, n);
	rig->to_guest_len += (uint32_t)n;
	return n;
}

void vcon_port_resume(struct vcon *c, uint32_t port)
{
	(void)c;
	(void)port;
	rig->stuck = false;
}

void vcon_service(struct vcon *c)
{
	struct iovec iov = { .iov_len = MIN(rig->queue_len, 30000U) };
	uint8_t piece[30000];

	(void)c;
	if (rig->stuck || rig->queue_len == 0)
		return;
	memcpy(piece, rig->queue, iov.iov_len);
	iov.iov_base = piece;
	iov.iov_len = cmdchan_port_ops.on_data(rig->chan, &iov, 1);
	rig->stuck = iov.iov_len < MIN(rig->queue_len, 30000U);
	rig->queue += iov.iov_len;
	rig->queue_len -= (uint32_t)iov.iov_len;
}

static void *read_all(void *ctx)
{
	struct rig *r = ctx;
	uint8_t buf[4096];

	(void)fcntl(r->child[1], F_SETFL, 0);
	while (r->got[0] < r->want[0]) {
		ssize_t n = read(r->child[1], buf, sizeof(buf));

		if (n <= 0)
			break;
		for (ssize_t k = 0; k < n; k++) {
			if (buf[k] != pattern(r->got[0]++, 0))
				return NULL; /* the count then falls short */
		}
	}
	return NULL;
}

static void on_tick(void *ctx, uint32_t events)
{
	struct rig *r = ctx;

	(void)events;
	assert_true(++r->turns < TURNS_MAX);
	/* The port shows its room again and again, as a guest that reads does. */
	r->writable = true;
	cmdchan_port_ops.on_room(r->chan);
	r->turn(r);
}

static void on_done(void *ctx)
{
	struct rig *r = ctx;

	r->done++;
	io_loop_stop(r->loop);
}

static void on_killed(void *ctx, int signo)
{
	struct rig *r = ctx;

	r->killed = signo;
	io_loop_stop(r->loop);
}

static char *const test_argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, (char[]){ "exit 7" }, NULL };
static const char *const test_env[] = { "COLOUR=blue", "EMPTY=" };

static void feed(struct rig *r, const void *p, size_t len)
{
	struct iovec iov = { .iov_len = len };

	iov.iov_base = malloc(len);
	assert_non_null(iov.iov_base);
	memcpy(iov.iov_base, p, len);
	assert_int_equal(cmdchan_port_ops.on_data(r->chan, &iov, 1), len);
	free(iov.iov_base);
}

static void feed_message(struct rig *r, enum cmd_type type, const void *payload, uint32_t len)
{
	uint8_t buf[65536];
	struct bytering ring;

	bytering_init(&ring, buf, sizeof(buf));
	assert_int_equal(cmd_encode(&ring, type, payload, len), 0);
	feed(r, buf, bytering_used(&ring));
}

static void feed_u32(struct rig *r, enum cmd_type type, uint32_t v)
{
	uint8_t b[4];

	put_le32(b, v);
	feed_message(r, type, b, 4);
}

/* @stdin_fd: -1 = a pipe whose far end is child[0]. */
static void rig_up(void **state, int stdin_fd, uint64_t kill_after_ns)
{
	struct cmdchan_config cfg = {
		.argv = test_argv,
		.env = test_env,
		.nenv = 2,
		.kill_after_ns = kill_after_ns,
		.done = on_done,
		.killed = on_killed,
	};
	int p[2];

	seed = 4711;
	rig = calloc(1, sizeof(*rig));
	assert_non_null(rig);
	*state = rig;
	cfg.ctx = rig;
	assert_int_equal(io_loop_new(&rig->loop), 0);
	rig->tick = eventfd(1, EFD_CLOEXEC);
	assert_int_equal(io_loop_add(rig->loop, rig->tick, EPOLLIN, on_tick, rig), 0);
	rig->child[0] = -1;
	cfg.fd[0] = stdin_fd;
	if (stdin_fd < 0) {
		assert_int_equal(pipe2(p, O_CLOEXEC), 0);
		cfg.fd[0] = p[0];
		rig->child[0] = p[1];
	}
	/* One pipe and one socket: the two ways in which a reader can be slow. */
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	rig->child[1] = p[0];
	cfg.fd[1] = p[1];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
	rig->child[2] = p[0];
	cfg.fd[2] = p[1];
	assert_int_equal(cmdchan_new(&rig->chan, &cfg, rig->loop), 0);
	for (int i = 0; i < 3; i++)
		close(cfg.fd[i]);
	assert_int_equal(fcntl(rig->child[1], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(fcntl(rig->child[2], F_SETFL, O_NONBLOCK), 0);
	cmdchan_attach(rig->chan, NULL, 0);
}

static void rig_down(void **state)
{
	cmdchan_detach(rig->chan);
	cmdchan_free(rig->chan);
	io_loop_free(rig->loop);
	close(rig->tick);
	for (int i = 0; i < 3; i++) {
		if (rig->child[i] >= 0)
			close(rig->child[i]);
	}
	free(rig);
	rig = NULL;
	*state = NULL;
}

static void stop_when_exec_is_out(struct rig *r)
{
	if (r->to_guest_len >= CMD_HEADER_LEN &&
	    r->to_guest_len >= CMD_HEADER_LEN + get_le32(r->to_guest + 4))
		io_loop_stop(r->loop);
}

static void exec_waits_for_ready_and_carries_all_words(void **state)
{
	static const char strings[] = "sh\0-c\0exit 7\0COLOUR=blue\0EMPTY=";

	rig_up(state, -1, 0);
	rig->turn = stop_when_exec_is_out;
	rig->writable = true;
	cmdchan_port_ops.on_room(rig->chan);
	assert_int_equal(rig->to_guest_len, 0);
	feed_u32(rig, CMD_READY, CMD_VERSION);
	assert_int_equal(cmdchan_state(rig->chan), CMDCHAN_RUNNING);
	assert_int_not_equal(cmdchan_ready_ns(rig->chan), 0);
	assert_int_equal(io_loop_run(rig->loop), 0);
	assert_int_equal(rig->to_guest[0], CMD_EXEC);
	assert_int_equal(rig->to_guest_len, CMD_HEADER_LEN + 8 + sizeof(strings));
	assert_int_equal(get_le32(rig->to_guest + 8), 3);
	assert_int_equal(get_le32(rig->to_guest + 12), 2);
	assert_memory_equal(rig->to_guest + 16, strings, sizeof(strings));
	rig_down(state);
}

static void too_long_a_command_is_refused_at_once(void **state)
{
	static char word[CMD_EXEC_MAX];
	char *const argv[] = { word, NULL };
	struct cmdchan_config cfg = { .argv = argv, .fd = { -1, -1, -1 } };
	struct cmdchan *c;
	struct io_loop *loop;

	(void)state;
	memset(word, 'x', sizeof(word) - 1);
	assert_int_equal(io_loop_new(&loop), 0);
	assert_int_equal(cmdchan_new(&c, &cfg, loop), -E2BIG);
	io_loop_free(loop);
}

static uint8_t *stream_buf;
static uint32_t stream_len;

/* Offer the next piece of the stream, unless told to wait; read a little; compare. */
static void output_turn(struct rig *r)
{
	if (r->sent < stream_len && !r->stuck) {
		struct iovec iov[2];
		uint32_t n = some(stream_len - r->sent, 60000), cut = rnd(n + 1), took;

		iov[0] = (struct iovec){ stream_buf + r->sent, cut };
		iov[1] = (struct iovec){ stream_buf + r->sent + cut, n - cut };
		took = (uint32_t)cmdchan_port_ops.on_data(r->chan, iov, 2);
		r->stuck = took < n;
		r->sent += took;
	}
	for (int i = 0; i < 2; i++) {
		uint8_t buf[3000];
		ssize_t n;

		if (rnd(2))
			continue;
		n = read(r->child[1 + i], buf, 1 + rnd(sizeof(buf)));
		for (ssize_t k = 0; k < n; k++)
			assert_int_equal(buf[k], pattern(r->got[i]++, (uint8_t)i));
	}
}

/* The rest comes by cmdchan_finish(), so read it from the far end afterwards. */
static void slow_readers_lose_nothing_and_block_nobody(void **state)
{
	uint32_t want[2] = { 0 };
	struct bytering ring;
	static uint8_t buf[2 << 20], payload[CMD_PAYLOAD_MAX];

	rig_up(state, -1, 0);
	rig->turn = output_turn;
	bytering_init(&ring, buf, sizeof(buf));
	assert_int_equal(cmd_encode_u32(&ring, CMD_READY, CMD_VERSION), 0);
	while (want[0] + want[1] < STREAM_LEN) {
		uint32_t n = 1 + rnd(CMD_PAYLOAD_MAX), which = rnd(2);

		for (uint32_t k = 0; k < n; k++)
			payload[k] = pattern(want[which] + k, (uint8_t)which);
		want[which] += n;
		assert_int_equal(cmd_encode(&ring, which ? CMD_STDERR : CMD_STDOUT, payload, n), 0);
	}
	assert_int_equal(cmd_encode_u32(&ring, CMD_EXIT, 300), 0);
	stream_buf = buf;
	stream_len = bytering_used(&ring);
	assert_int_equal(io_loop_run(rig->loop), 0);
	assert_int_equal(rig->done, 1);
	assert_int_equal(cmdchan_state(rig->chan), CMDCHAN_EXITED);
	assert_int_equal(cmdchan_status(rig->chan), 300);
	cmdchan_detach(rig->chan);
	while (rig->got[0] < want[0] || rig->got[1] < want[1]) {
		for (int i = 0; i < 2; i++) {
			ssize_t n;

			while ((n = read(rig->child[1 + i], payload, sizeof(payload))) > 0) {
				for (ssize_t k = 0; k < n; k++)
					assert_int_equal(payload[k],
							 pattern(rig->got[i]++, (uint8_t)i));
			}
		}
		/* Both are empty, so what the buffers hold fits and nobody waits. */
		cmdchan_finish(rig->chan);
	}
	rig_down(state);
}

/* Feed the pipe at random, give credit at random, and decode what the guest gets. */
static uint32_t credit_given, in_bytes, in_at;
static bool in_eof;

static void parse_input(struct rig *r)
{
	while (r->to_guest_len - in_at >= CMD_HEADER_LEN) {
		uint32_t len = get_le32(r->to_guest + in_at + 4);
		uint8_t type = r->to_guest[in_at];

		if (r->to_guest_len - in_at < CMD_HEADER_LEN + len)
			return;
		if (type == CMD_STDIN) {
			assert_false(in_eof);
			in_eof = len == 0;
			for (uint32_t k = 0; k < len; k++)
				assert_int_equal(r->to_guest[in_at + CMD_HEADER_LEN + k],
						 pattern(in_bytes++, 3));
			assert_true(in_bytes <= credit_given);
		} else {
			assert_int_equal(type, CMD_EXEC);
		}
		in_at += CMD_HEADER_LEN + len;
	}
}

static void input_turn(struct rig *r)
{
	uint8_t buf[4000];
	uint32_t n = some(STREAM_LEN - r->sent, sizeof(buf));

	if (r->child[0] >= 0 && n == 0) {
		close(r->child[0]);
		r->child[0] = -1;
	} else if (r->child[0] >= 0) {
		ssize_t took;

		for (uint32_t k = 0; k < n; k++)
			buf[k] = pattern(r->sent + k, 3);
		took = write(r->child[0], buf, n);
		r->sent += took > 0 ? (uint32_t)took : 0;
	}
	if (rnd(8) == 0) {
		n = 1 + rnd(9000);
		credit_given += n;
		feed_u32(r, CMD_CREDIT, n);
	}
	parse_input(r);
	if (in_eof)
		io_loop_stop(r->loop);
}

static void input_comes_by_credit_and_ends(void **state)
{
	credit_given = in_bytes = in_at = 0;
	in_eof = false;
	rig_up(state, -1, 0);
	assert_int_equal(fcntl(rig->child[0], F_SETFL, O_NONBLOCK), 0);
	rig->turn = input_turn;
	feed_u32(rig, CMD_READY, CMD_VERSION);
	assert_int_equal(io_loop_run(rig->loop), 0);
	assert_int_equal(in_bytes, STREAM_LEN);
	rig_down(state);
}

/* epoll refuses regular files; they are read all the same, and no faster than credit. */
static void input_from_a_file_comes_by_credit_and_ends(void **state)
{
	char path[] = "/tmp/sluice-stdin-XXXXXX";
	int fd = mkstemp(path);
	static uint8_t data[STREAM_LEN];

	assert_true(fd >= 0);
	unlink(path);
	for (uint32_t i = 0; i < STREAM_LEN; i++)
		data[i] = pattern(i, 3);
	assert_int_equal(write(fd, data, STREAM_LEN), STREAM_LEN);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	credit_given = in_bytes = in_at = 0;
	in_eof = false;
	rig_up(state, fd, 0);
	rig->turn = input_turn;
	feed_u32(rig, CMD_READY, CMD_VERSION);
	assert_int_equal(io_loop_run(rig->loop), 0);
	assert_int_equal(in_bytes, STREAM_LEN);
	rig_down(state);
}

static uint32_t last_signal(const struct rig *r)
{
	uint32_t at = 0, signo = 0;

	while (r->to_guest_len - at >= CMD_HEADER_LEN) {
		if (r->to_guest[at] == CMD_SIGNAL)
			signo = get_le32(r->to_guest + at + CMD_HEADER_LEN);
		at += CMD_HEADER_LEN + get_le32(r->to_guest + at + 4);
	}
	return signo;
}

static void stop_on_signal_message(struct rig *r)
{
	if (last_signal(r))
		io_loop_stop(r->loop);
}

static void closed_reader_is_told_to_the_command_as_sigpipe(void **state)
{
	void (*old)(int) = signal(SIGPIPE, SIG_IGN);

	rig_up(state, -1, 0);
	rig->turn = stop_on_signal_message;
	feed_u32(rig, CMD_READY, CMD_VERSION);
	close(rig->child[1]);
	rig->child[1] = -1;
	feed_message(rig, CMD_STDOUT, "lost", 4);
	assert_int_equal(io_loop_run(rig->loop), 0);
	assert_int_equal(last_signal(rig), SIGPIPE);
	feed_message(rig, CMD_STDOUT, "dropped", 7);
	assert_int_equal(cmdchan_state(rig->chan), CMDCHAN_RUNNING);
	rig_down(state);
	signal(SIGPIPE, old);
}

static void nothing(struct rig *r)
{
	(void)r;
}

static void first_signal_goes_to_the_command_and_time_is_limited(void **state)
{
	rig_up(state, -1, 1000000);
	rig->turn = nothing;
	assert_false(cmdchan_signal(rig->chan, SIGTERM)); /* nobody to ask yet */
	feed_u32(rig, CMD_READY, CMD_VERSION);
	assert_true(cmdchan_signal(rig->chan, SIGTERM));
	assert_false(cmdchan_signal(rig->chan, SIGINT));
	assert_int_equal(io_loop_run(rig->loop), 0);
	assert_int_equal(last_signal(rig), SIGTERM);
	assert_int_equal(rig->killed, SIGTERM);
	rig_down(state);
}

static void guests_words_cannot_speak_to_the_terminal(void **state)
{
	rig_up(state, -1, 0);
	feed_message(rig, CMD_FAIL, "no \033[31mnet\nwork", 16);
	assert_int_equal(rig->done, 1);
	assert_int_equal(cmdchan_state(rig->chan), CMDCHAN_FAILED);
	assert_string_equal(cmdchan_why(rig->chan), "the guest says: no ?[31mnet?work");
	rig_down(state);
}

static void broken_protocol_ends_the_command(void **state)
{
	rig_up(state, -1, 0);
	feed_u32(rig, CMD_READY, CMD_VERSION + 1);
	assert_int_equal(cmdchan_state(rig->chan), CMDCHAN_FAILED);
	assert_int_equal(rig->done, 1);
	feed_u32(rig, CMD_EXIT, 0); /* too late to count */
	assert_int_equal(cmdchan_state(rig->chan), CMDCHAN_FAILED);
	rig_down(state);
}

/*
 * The guest has switched itself off, our reader is slow, and what it wrote last
 * is still in its queue: all of it counts, the status too.
 */
static void last_words_are_heard_after_the_machine_has_ended(void **state)
{
	static uint8_t buf[1 << 20], payload[CMD_PAYLOAD_MAX];
	struct bytering ring;
	uint32_t want = 0;

	rig_up(state, -1, 0);
	bytering_init(&ring, buf, sizeof(buf));
	assert_int_equal(cmd_encode_u32(&ring, CMD_READY, CMD_VERSION), 0);
	while (want < 300000) {
		for (uint32_t k = 0; k < CMD_PAYLOAD_MAX; k++)
			payload[k] = pattern(want + k, 0);
		want += CMD_PAYLOAD_MAX;
		assert_int_equal(cmd_encode(&ring, CMD_STDOUT, payload, CMD_PAYLOAD_MAX), 0);
	}
	assert_int_equal(cmd_encode_u32(&ring, CMD_EXIT, 3), 0);
	rig->queue = buf;
	rig->queue_len = bytering_used(&ring);
	rig->want[0] = want;
	assert_int_equal(pthread_create(&rig->reader, NULL, read_all, rig), 0);
	cmdchan_last_words(rig->chan);
	assert_int_equal(cmdchan_state(rig->chan), CMDCHAN_EXITED);
	assert_int_equal(cmdchan_status(rig->chan), 3);
	cmdchan_detach(rig->chan);
	cmdchan_finish(rig->chan);
	assert_int_equal(pthread_join(rig->reader, NULL), 0);
	assert_int_equal(rig->got[0], want);
	rig_down(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_split_of_the_stream_decodes_alike),
		cmocka_unit_test(malformed_headers_end_the_stream),
		cmocka_unit_test(exec_waits_for_ready_and_carries_all_words),
		cmocka_unit_test(too_long_a_command_is_refused_at_once),
		cmocka_unit_test(slow_readers_lose_nothing_and_block_nobody),
		cmocka_unit_test(input_comes_by_credit_and_ends),
		cmocka_unit_test(input_from_a_file_comes_by_credit_and_ends),
		cmocka_unit_test(closed_reader_is_told_to_the_command_as_sigpipe),
		cmocka_unit_test(first_signal_goes_to_the_command_and_time_is_limited),
		cmocka_unit_test(guests_words_cannot_speak_to_the_terminal),
		cmocka_unit_test(broken_protocol_ends_the_command),
		cmocka_unit_test(last_words_are_heard_after_the_machine_has_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
