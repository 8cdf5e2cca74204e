/* SPDX-License-Identifier: MIT */
/*
 * load timed: bytes in one direction for a given time over one or more connections.
 *
 * The clock runs from the first connect() to the last byte's arrival: upwards until
 * the server has said how many bytes it has read, downwards until its end of file.
 * Nothing that waits in a buffer counts as moved. Enough is when the time is over and
 * the bytes are there, both.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "load.h"

#define CHUNK 262144U

enum state { ASK, MOVE, END };

struct timed {
	struct flow f;
	enum state state;
	uint64_t framed; /* upwards: bytes with those before each unit */
};

static uint8_t buf[CHUNK];
static const struct options *opt;
static uint64_t moved;
static int64_t enough_at;

static bool enough(void)
{
	return moved >= opt->size && now_ns() >= enough_at;
}

/* The one byte that says so; it may have to wait for room. */
static void say_enough(struct timed *t)
{
	if (!flow_moved(send(t->f.w.fd, "e", 1, MSG_NOSIGNAL), "send"))
		return;
	t->state = END;
	flow_expect(&t->f);
}

static void ask(struct timed *t)
{
	if (!flow_asked(&t->f))
		return;
	t->state = MOVE;
	if (!opt->up)
		loop_set(&t->f.w, EPOLLIN);
}

/* At most a chunk, and never beyond the end of the unit. */
static void send_some(struct timed *t)
{
	struct flow *f = &t->f;
	size_t at = (size_t)(t->framed % PUSH_FRAMED), left = PUSH_FRAMED - at;
	char more = 'm';
	struct iovec v[2] = { { &more, at == 0 }, { NULL, 0 } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };
	ssize_t n;

	if (at == 0 && enough()) {
		say_enough(t);
		return;
	}
	left -= v[0].iov_len;
	v[1].iov_base = (void *)(uintptr_t)pattern_at(f->seed, f->off);
	v[1].iov_len = left < CHUNK ? left : CHUNK;
	n = sendmsg(f->w.fd, &m, MSG_NOSIGNAL);
	if (!flow_moved(n, "send"))
		return;
	t->framed += (uint64_t)n;
	n -= (ssize_t)v[0].iov_len;
	f->off += (uint64_t)n;
	moved += (uint64_t)n;
}

static void receive_some(struct timed *t)
{
	struct flow *f = &t->f;
	ssize_t n = recv(f->w.fd, buf, sizeof(buf), 0);

	if (!flow_moved(n, "recv"))
		return;
	if (n == 0) {
		if (t->state == END)
			flow_done(f);
		else
			flow_fail("end of file before we had enough");
	} else if (opt->blind || flow_compare(f, buf, (size_t)n)) {
		f->off += (uint64_t)n;
		moved += (uint64_t)n;
		if (t->state == MOVE && enough())
			say_enough(t);
	}
}

static void receive_answer(struct timed *t)
{
	char expected[32];

	snprintf(expected, sizeof(expected), "OK %" PRIu64 "\n", t->f.off);
	flow_answered(&t->f, expected);
}

static void on_ready(struct watch *w, uint32_t events)
{
	struct timed *t = (struct timed *)w;

	(void)events;
	switch (t->state) {
	case ASK:
		ask(t);
		break;
	case MOVE:
		if (opt->up)
			send_some(t);
		else
			receive_some(t);
		break;
	case END:
		if (opt->up)
			receive_answer(t);
		else
			receive_some(t);
		break;
	}
}

static void begin(struct timed *t, unsigned int i)
{
	struct flow *f = &t->f;
	int len;

	f->seed = opt->seed + i;
	len = opt->up ? snprintf(f->line, sizeof(f->line), "PUSH %" PRIu64 " %d\n", f->seed,
				 !opt->blind)
		      : snprintf(f->line, sizeof(f->line), "PULL %" PRIu64 "\n", f->seed);
	flow_start(f, &opt->to, len, on_ready);
}

/* load timed --to HOST:PORT --dir up|down --seconds S [--size N] [--flows M] [--blind] */
int cmd_timed(const struct options *o)
{
	struct timed *flows = calloc(o->concurrency, sizeof(*flows));
	int64_t start = now_ns();
	double seconds;

	if (!flows)
		die("out of memory");
	opt = o;
	enough_at = start + (int64_t)(o->seconds * 1e9);
	for (unsigned int i = 0; i < o->concurrency; i++)
		begin(&flows[i], i);
	seconds = flow_run(&flows[0].f, o->timeout, start);
	printf("{\"ok\":true,\"test\":\"timed\",\"dir\":\"%s\",\"flows\":%u,\"compared\":%s,"
	       "\"errors\":0,\"bytes\":%" PRIu64 ",\"seconds\":%.6f,\"gbit_s\":%.4f,\"cpu_s\":%.4f,"
	       "\"cc\":\"%s\"}\n",
	       o->up ? "up" : "down", o->concurrency, o->blind ? "false" : "true", moved, seconds,
	       (double)moved * 8 / 1e9 / seconds, cpu_seconds(), congestion());
	free(flows);
	return 0;
}
