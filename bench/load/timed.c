/* SPDX-License-Identifier: MIT */
/*
 * load timed: bytes in one direction for a given time over one or more connections.
 *
 * The clock runs from the first connect() to the last byte's arrival: upwards until
 * the server has said how many bytes it has read, downwards until its end of file.
 * Nothing that waits in a buffer counts as moved. Enough is when the time is over and
 * the bytes are there, both.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "load.h"

#define CHUNK 262144U

enum state { CONNECT, ASK, MOVE, END };

struct flow {
	struct watch w;
	enum state state;
	char line[64]; /* the request; upwards then the answer */
	size_t line_len, line_off;
	uint64_t seed, off;
	uint64_t framed; /* upwards: bytes with those before each unit */
};

static uint8_t buf[CHUNK];
static const struct options *opt;
static uint64_t moved;
static int64_t enough_at;
static unsigned int running;
static char why[128];

static void fail(const char *what, int err)
{
	snprintf(why, sizeof(why), "%s%s%s", what, err ? ": " : "", err ? strerror(err) : "");
	loop_stop();
}

static bool passing(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void done(struct flow *f)
{
	loop_close(&f->w);
	if (--running == 0)
		loop_stop();
}

static bool enough(void)
{
	return moved >= opt->size && now_ns() >= enough_at;
}

/* The one byte that says so; it may have to wait for room. */
static void say_enough(struct flow *f)
{
	ssize_t n = send(f->w.fd, "e", 1, MSG_NOSIGNAL);

	if (passing(n))
		return;
	if (n < 0) {
		fail("send", errno);
		return;
	}
	f->state = END;
	f->line_len = 0;
	loop_set(&f->w, EPOLLIN);
}

static void ask(struct flow *f)
{
	ssize_t n = send(f->w.fd, f->line + f->line_off, f->line_len - f->line_off, MSG_NOSIGNAL);

	if (passing(n))
		return;
	if (n < 0) {
		fail("send", errno);
		return;
	}
	f->line_off += (size_t)n;
	if (f->line_off < f->line_len)
		return;
	f->state = MOVE;
	if (!opt->up)
		loop_set(&f->w, EPOLLIN);
}

/* At most a chunk, and never beyond the end of the unit. */
static void send_some(struct flow *f)
{
	size_t at = (size_t)(f->framed % PUSH_FRAMED), left = PUSH_FRAMED - at;
	char more = 'm';
	struct iovec v[2] = { { &more, at == 0 }, { NULL, 0 } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };
	ssize_t n;

	if (at == 0 && enough()) {
		say_enough(f);
		return;
	}
	left -= v[0].iov_len;
	v[1].iov_base = (void *)(uintptr_t)pattern_at(f->seed, f->off);
	v[1].iov_len = left < CHUNK ? left : CHUNK;
	n = sendmsg(f->w.fd, &m, MSG_NOSIGNAL);
	if (passing(n))
		return;
	if (n < 0) {
		fail("send", errno);
		return;
	}
	f->framed += (uint64_t)n;
	n -= (ssize_t)v[0].iov_len;
	f->off += (uint64_t)n;
	moved += (uint64_t)n;
}

static void receive_some(struct flow *f)
{
	ssize_t n = recv(f->w.fd, buf, sizeof(buf), 0);
	uint64_t bad;

	if (passing(n))
		return;
	if (n < 0) {
		fail("recv", errno);
	} else if (n == 0) {
		if (f->state == END)
			done(f);
		else
			fail("end of file before we had enough", 0);
	} else if (!opt->blind && !pattern_check(f->seed, f->off, buf, (size_t)n, &bad)) {
		snprintf(why, sizeof(why), "wrong byte at %" PRIu64, bad);
		loop_stop();
	} else {
		f->off += (uint64_t)n;
		moved += (uint64_t)n;
		if (f->state == MOVE && enough())
			say_enough(f);
	}
}

static void receive_answer(struct flow *f)
{
	ssize_t n = recv(f->w.fd, f->line + f->line_len, sizeof(f->line) - 1 - f->line_len, 0);
	char expected[32];

	if (passing(n))
		return;
	if (n < 0) {
		fail("recv", errno);
		return;
	}
	f->line_len += (size_t)n;
	f->line[f->line_len] = '\0';
	if (n > 0)
		return;
	snprintf(expected, sizeof(expected), "OK %" PRIu64 "\n", f->off);
	if (strcmp(f->line, expected) != 0) {
		f->line[strcspn(f->line, "\n")] = '\0';
		snprintf(why, sizeof(why), "the server says '%.60s' of %" PRIu64 " bytes", f->line,
			 f->off);
		loop_stop();
		return;
	}
	done(f);
}

static void on_ready(struct watch *w, uint32_t events)
{
	struct flow *f = (struct flow *)w;

	(void)events;
	switch (f->state) {
	case CONNECT:
		if (!connected(w->fd, why, sizeof(why))) {
			loop_stop();
			break;
		}
		f->state = ASK;
		ask(f);
		break;
	case ASK:
		ask(f);
		break;
	case MOVE:
		if (opt->up)
			send_some(f);
		else
			receive_some(f);
		break;
	case END:
		if (opt->up)
			receive_answer(f);
		else
			receive_some(f);
		break;
	}
}

static void begin(struct flow *f, unsigned int i)
{
	f->seed = opt->seed + i;
	f->line_len = (size_t)(opt->up ? snprintf(f->line, sizeof(f->line), "PUSH %" PRIu64 " %d\n",
						  f->seed, !opt->blind)
				       : snprintf(f->line, sizeof(f->line), "PULL %" PRIu64 "\n",
						  f->seed));
	f->w.fd = connect_to(&opt->to, SOCK_STREAM);
	f->w.ready = on_ready;
	loop_add(&f->w, EPOLLOUT);
}

/* load timed --to HOST:PORT --dir up|down --seconds S [--size N] [--flows M] [--blind] */
int cmd_timed(const struct options *o)
{
	struct flow *flows = calloc(o->concurrency, sizeof(*flows));
	int64_t start = now_ns();
	double seconds;

	if (!flows)
		die("out of memory");
	opt = o;
	running = o->concurrency;
	enough_at = start + (int64_t)(o->seconds * 1e9);
	for (unsigned int i = 0; i < o->concurrency; i++)
		begin(&flows[i], i);
	if (!loop_run(o->timeout) && !why[0])
		snprintf(why, sizeof(why), "not done after %.0f s: flow 0 at %" PRIu64, o->timeout,
			 flows[0].off);
	seconds = (double)(now_ns() - start) / 1e9;
	if (why[0])
		die("%s", why);
	printf("{\"ok\":true,\"test\":\"timed\",\"dir\":\"%s\",\"flows\":%u,\"compared\":%s,"
	       "\"errors\":0,\"bytes\":%" PRIu64 ",\"seconds\":%.6f,\"gbit_s\":%.4f,\"cpu_s\":%.4f,"
	       "\"cc\":\"%s\"}\n",
	       o->up ? "up" : "down", o->concurrency, o->blind ? "false" : "true", moved, seconds,
	       (double)moved * 8 / 1e9 / seconds, cpu_seconds(), congestion());
	free(flows);
	return 0;
}
