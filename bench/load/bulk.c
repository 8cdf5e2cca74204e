/* SPDX-License-Identifier: MIT */
/*
 * load bulk and load hold: bytes in one direction over one or more connections,
 * every byte compared at the receiving end. With --pause-read the receiver stops
 * reading in the middle for a while.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "load.h"

#define CHUNK 262144U

enum state { ASK, SEND, RECEIVE, ANSWER };

struct bulk {
	struct flow f;
	enum state state;
	bool paused;
};

static uint8_t buf[CHUNK];
static const struct options *opt;

static void ask(struct bulk *b)
{
	if (!flow_asked(&b->f))
		return;
	b->state = opt->up ? SEND : RECEIVE;
	if (!opt->up)
		loop_set(&b->f.w, EPOLLIN);
}

static void send_some(struct bulk *b)
{
	struct flow *f = &b->f;
	uint64_t left = opt->size - f->off;
	size_t len = left < CHUNK ? (size_t)left : CHUNK;
	ssize_t n = send(f->w.fd, pattern_at(f->seed, f->off), len, MSG_NOSIGNAL);

	if (!flow_moved(n, "send"))
		return;
	f->off += (uint64_t)n;
	if (f->off == opt->size) {
		/* Half-closed: the answer must still come back. */
		shutdown(f->w.fd, SHUT_WR);
		b->state = ANSWER;
		flow_expect(f);
	}
}

static void receive_some(struct bulk *b)
{
	struct flow *f = &b->f;
	ssize_t n = recv(f->w.fd, buf, sizeof(buf), 0);

	if (!flow_moved(n, "recv"))
		return;
	if (n == 0) {
		if (f->off != opt->size)
			flow_fail("end of file before the last byte");
		else
			flow_done(f);
	} else if (flow_compare(f, buf, (size_t)n)) {
		f->off += (uint64_t)n;
		if (opt->pause > 0 && !b->paused && f->off >= opt->size / 2) {
			b->paused = true;
			loop_pause(&f->w, (int64_t)(opt->pause * 1e9));
		}
	}
}

static void on_ready(struct watch *w, uint32_t events)
{
	struct bulk *b = (struct bulk *)w;

	(void)events;
	switch (b->state) {
	case ASK:
		ask(b);
		break;
	case SEND:
		send_some(b);
		break;
	case RECEIVE:
		receive_some(b);
		break;
	case ANSWER:
		flow_answered(&b->f, "OK\n");
		break;
	}
}

static void begin(struct bulk *b, unsigned int i)
{
	struct flow *f = &b->f;
	int len;

	f->seed = opt->seed + i;
	len = opt->up ? snprintf(f->line, sizeof(f->line),
				 "UP %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", opt->size, f->seed,
				 (uint64_t)(opt->pause * 1e3))
		      : snprintf(f->line, sizeof(f->line), "DOWN %" PRIu64 " %" PRIu64 "\n",
				 opt->size, f->seed);
	flow_start(f, &opt->to, len, on_ready);
}

/* load bulk|hold --to HOST:PORT --dir up|down --size N [--flows M] [--pause-read S] */
int cmd_bulk(const struct options *o)
{
	struct bulk *flows = calloc(o->concurrency, sizeof(*flows));
	int64_t start = now_ns();
	double seconds, moved;

	if (!flows)
		die("out of memory");
	opt = o;
	for (unsigned int i = 0; i < o->concurrency; i++)
		begin(&flows[i], i);
	seconds = flow_run(&flows[0].f, o->timeout, start);
	moved = (double)o->size * o->concurrency;
	printf("{\"ok\":true,\"dir\":\"%s\",\"flows\":%u,\"bytes\":%.0f,\"seconds\":%.6f,"
	       "\"gbit_s\":%.4f,\"paused_s\":%.3f}\n",
	       o->up ? "up" : "down", o->concurrency, moved, seconds, moved * 8 / 1e9 / seconds,
	       o->pause);
	free(flows);
	return 0;
}
