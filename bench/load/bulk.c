/* SPDX-License-Identifier: MIT */
/*
 * load bulk and load hold: bytes in one direction over one or more connections,
 * every byte compared at the receiving end. With --pause-read the receiver stops
 * reading in the middle for a while.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "load.h"

#define CHUNK 262144U

enum state { CONNECT, ASK, SEND, RECEIVE, ANSWER };

struct flow {
	struct watch w;
	enum state state;
	char line[64];
	size_t line_len, line_off;
	uint64_t seed, off;
	bool paused;
};

static uint8_t buf[CHUNK];
static const struct options *opt;
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
	f->state = opt->up ? SEND : RECEIVE;
	if (!opt->up)
		loop_set(&f->w, EPOLLIN);
}

static void send_some(struct flow *f)
{
	uint64_t left = opt->size - f->off;
	size_t len = left < CHUNK ? (size_t)left : CHUNK;
	ssize_t n = send(f->w.fd, pattern_at(f->seed, f->off), len, MSG_NOSIGNAL);

	if (passing(n))
		return;
	if (n < 0) {
		fail("send", errno);
		return;
	}
	f->off += (uint64_t)n;
	if (f->off == opt->size) {
		/* Half-closed: the answer must still come back. */
		shutdown(f->w.fd, SHUT_WR);
		f->state = ANSWER;
		f->line_len = 0;
		loop_set(&f->w, EPOLLIN);
	}
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
		if (f->off != opt->size)
			fail("end of file before the last byte", 0);
		else
			done(f);
	} else if (!pattern_check(f->seed, f->off, buf, (size_t)n, &bad)) {
		snprintf(why, sizeof(why), "wrong byte at %" PRIu64, bad);
		loop_stop();
	} else {
		f->off += (uint64_t)n;
		if (opt->pause > 0 && !f->paused && f->off >= opt->size / 2) {
			f->paused = true;
			loop_pause(&f->w, (int64_t)(opt->pause * 1e9));
		}
	}
}

static void receive_answer(struct flow *f)
{
	ssize_t n = recv(f->w.fd, f->line + f->line_len, sizeof(f->line) - 1 - f->line_len, 0);

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
	if (strcmp(f->line, "OK\n") != 0) {
		f->line[strcspn(f->line, "\n")] = '\0';
		snprintf(why, sizeof(why), "the server says '%s'", f->line);
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
	case SEND:
		send_some(f);
		break;
	case RECEIVE:
		receive_some(f);
		break;
	case ANSWER:
		receive_answer(f);
		break;
	}
}

/* load bulk|hold --to HOST:PORT --dir up|down --size N [--flows M] [--pause-read S] */
int cmd_bulk(const struct options *o)
{
	struct flow *flows = calloc(o->concurrency, sizeof(*flows));
	double seconds, moved;
	int64_t start;

	if (!flows)
		die("out of memory");
	opt = o;
	running = o->concurrency;
	start = now_ns();
	for (unsigned int i = 0; i < o->concurrency; i++) {
		struct flow *f = &flows[i];
		uint64_t pause_ms = (uint64_t)(o->pause * 1e3);

		f->seed = o->seed + i;
		f->line_len = (size_t)(o->up ? snprintf(f->line, sizeof(f->line),
							"UP %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
							o->size, f->seed, pause_ms)
					     : snprintf(f->line, sizeof(f->line),
							"DOWN %" PRIu64 " %" PRIu64 "\n", o->size,
							f->seed));
		f->w.fd = connect_to(&o->to, SOCK_STREAM);
		f->w.ready = on_ready;
		loop_add(&f->w, EPOLLOUT);
	}
	if (!loop_run(o->timeout) && !why[0])
		snprintf(why, sizeof(why), "not done after %.0f s: flow 0 at %" PRIu64, o->timeout,
			 flows[0].off);
	seconds = (double)(now_ns() - start) / 1e9;
	if (why[0])
		die("%s", why);
	moved = (double)o->size * o->concurrency;
	printf("{\"ok\":true,\"dir\":\"%s\",\"flows\":%u,\"bytes\":%.0f,\"seconds\":%.6f,"
	       "\"gbit_s\":%.4f,\"paused_s\":%.3f}\n",
	       o->up ? "up" : "down", o->concurrency, moved, seconds, moved * 8 / 1e9 / seconds,
	       o->pause);
	free(flows);
	return 0;
}
