/* SPDX-License-Identifier: MIT */
/*
 * load rr, load crr, load udp and load probe: latency and rate of small exchanges.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

/* The longest that UDP over IPv4 carries. */
#define MESSAGE_MAX 65507U

/* How long a datagram may take before it counts as lost; --timeout may be less. */
#define UDP_LOST_MS 20000

/* What a probe sends and gets back: a small request's length. */
#define PROBE_BYTES 64

#define NS_PER_S 1000000000LL

static struct hist times;

/* The line for `ok` of `n` exchanges, whose times are in the histogram. */
static int report(const char *what, const struct options *o, unsigned int ok, int64_t total,
		  const char *why)
{
	double seconds = (double)total / 1e9;

	printf("{\"ok\":%s,\"test\":\"%s\",\"count\":%u,\"succeeded\":%u,\"errors\":%u,"
	       "\"seconds\":%.6f,\"per_s\":%.1f,\"cpu_s\":%.4f,\"cc\":\"%s\",",
	       ok == o->count ? "true" : "false", what, o->count, ok, o->count - ok, seconds,
	       ok / seconds, cpu_seconds(), congestion());
	hist_print(&times, o->hist);
	printf("%s%s%s}\n", why[0] ? ",\"error\":\"" : "", why, why[0] ? "\"" : "");
	return ok == o->count ? 0 : 1;
}

static void message(uint8_t *p, size_t len, uint64_t seed, unsigned int i)
{
	memcpy(p, pattern_at(seed + i, i), len);
}

/* `n` connections that say nothing; each has echoed a byte. */
static int *open_idle(const struct options *o)
{
	int *fds = calloc(o->idle ? o->idle : 1, sizeof(*fds)), ms = (int)(o->timeout * 1e3);
	struct rlimit lim;
	char why[128] = "", hello[] = "ECHO\n", c[] = "i";

	if (!fds)
		die("out of memory");
	if (!getrlimit(RLIMIT_NOFILE, &lim)) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	for (unsigned int i = 0; i < o->idle; i++) {
		fds[i] = connect_to(&o->to, SOCK_STREAM);
		if (!wait_for(fds[i], POLLOUT, ms) || !connected(fds[i], why, sizeof(why)))
			die("idle connection %u: %s", i, why[0] ? why : "no answer");
		if (!move_all(fds[i], hello, strlen(hello), true, ms) ||
		    !move_all(fds[i], c, 1, true, ms) || !move_all(fds[i], c, 1, false, ms))
			die("idle connection %u does not answer", i);
	}
	return fds;
}

/* They have outlived it: each still answers. */
static void close_idle(const struct options *o, int *fds)
{
	int ms = (int)(o->timeout * 1e3);
	char c[] = "i";

	for (unsigned int i = 0; i < o->idle; i++) {
		if (!move_all(fds[i], c, 1, true, ms) || !move_all(fds[i], c, 1, false, ms))
			die("idle connection %u does not answer any more", i);
		close(fds[i]);
	}
	free(fds);
}

/*
 * load rr --to HOST:PORT --count N --size B --idle K: a true ping-pong on one
 * connection, while K others are idle.
 */
int cmd_rr(const struct options *o)
{
	static uint8_t out[MESSAGE_MAX], in[MESSAGE_MAX];
	size_t len = o->size ? o->size : 1;
	int *idle = open_idle(o);
	int fd = ask_server(&o->to, "ECHO", o->timeout), ms = (int)(o->timeout * 1e3);
	int64_t start = now_ns();
	char why[128] = "";
	unsigned int i = 0;

	if (len > MESSAGE_MAX)
		die("--size is at most %u here", MESSAGE_MAX);
	for (; i < o->count; i++) {
		int64_t t = now_ns();

		message(out, len, o->seed, i);
		if (!move_all(fd, out, len, true, ms) || !move_all(fd, in, len, false, ms)) {
			snprintf(why, sizeof(why), "no answer to message %u", i);
			break;
		}
		if (memcmp(in, out, len) != 0) {
			snprintf(why, sizeof(why), "wrong answer to message %u", i);
			break;
		}
		hist_add(&times, now_ns() - t);
	}
	start = now_ns() - start;
	close(fd);
	close_idle(o, idle);
	return report("rr", o, i, start, why);
}

static void sleep_until(int64_t at)
{
	struct timespec t = { .tv_sec = (time_t)(at / NS_PER_S), .tv_nsec = at % NS_PER_S };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* One interval of a probe is over: its line, at once, and a fresh histogram. */
static void report_interval(void)
{
	printf("{\"test\":\"probe\",\"count\":%" PRIu64 ",", times.count);
	hist_print(&times, false);
	printf("}\n");
	fflush(stdout);
	times = (struct hist){ .count = 0 };
}

/*
 * load probe --to HOST:PORT --rate N --seconds S --every E: N small exchanges a second,
 * one after the other, and a line for each E seconds in which there was one.
 *
 * Each counts from when it was due, so that one slow answer is not only itself but
 * also what waited behind it.
 */
int cmd_probe(const struct options *o)
{
	uint8_t out[PROBE_BYTES], in[PROBE_BYTES];
	int64_t period = (int64_t)((double)NS_PER_S / (o->rate > 0 ? o->rate : 1));
	int64_t every = (int64_t)((o->every > 0 ? o->every : 10) * (double)NS_PER_S);
	int fd = ask_server(&o->to, "ECHO", o->timeout), ms = (int)(o->timeout * 1e3);
	int64_t due = now_ns(), end = due + (int64_t)(o->seconds * (double)NS_PER_S);
	int64_t line = due + every;

	for (unsigned int i = 0; due < end; i++, due += period) {
		sleep_until(due);
		message(out, sizeof(out), o->seed, i);
		if (!move_all(fd, out, sizeof(out), true, ms) ||
		    !move_all(fd, in, sizeof(in), false, ms))
			die("no answer to message %u", i);
		if (memcmp(in, out, sizeof(out)) != 0)
			die("wrong answer to message %u", i);
		hist_add(&times, now_ns() - due);
		if (now_ns() >= line) {
			report_interval();
			while (line <= now_ns())
				line += every;
		}
	}
	if (times.count)
		report_interval();
	close(fd);
	return 0;
}

/* load idle --to HOST:PORT --count K --seconds S: K connections that say nothing meanwhile. */
int cmd_idle(const struct options *o)
{
	struct options held = *o;
	struct timespec t = { .tv_sec = (time_t)o->seconds,
			      .tv_nsec = (long)((o->seconds - (double)(time_t)o->seconds) * 1e9) };
	int *fds;

	held.idle = o->count;
	fds = open_idle(&held);
	printf("{\"event\":\"idle\"}\n");
	fflush(stdout);
	while (nanosleep(&t, &t) && errno == EINTR)
		;
	printf("{\"event\":\"over\"}\n");
	fflush(stdout);
	close_idle(&held, fds);
	printf("{\"ok\":true,\"test\":\"idle\",\"count\":%u,\"errors\":0,\"seconds\":%.3f,"
	       "\"cpu_s\":%.4f,\"cc\":\"%s\"}\n",
	       o->count, o->seconds, cpu_seconds(), congestion());
	return 0;
}

/* load udp --to HOST:PORT --count N --size B: the same with datagrams; 0 bytes too. */
int cmd_udp(const struct options *o)
{
	static uint8_t out[MESSAGE_MAX], in[MESSAGE_MAX + 1];
	size_t len = o->size;
	int fd = connect_to(&o->to, SOCK_DGRAM), ms = (int)(o->timeout * 1e3);
	int64_t start = now_ns();
	unsigned int ok = 0;
	char why[128] = "";

	if (len > MESSAGE_MAX)
		die("--size is at most %u here", MESSAGE_MAX);
	if (ms > UDP_LOST_MS)
		ms = UDP_LOST_MS;
	for (unsigned int i = 0; i < o->count && !why[0]; i++) {
		int64_t t = now_ns();

		message(out, len, o->seed, i);
		if (send(fd, out, len, 0) != (ssize_t)len) {
			snprintf(why, sizeof(why), "send: %s", strerror(errno));
			break;
		}
		/* An answer that comes after its time is up is not taken for the next one's. */
		while (wait_for(fd, POLLIN, ms)) {
			ssize_t n = recv(fd, in, sizeof(in), 0);

			if (n < 0) {
				snprintf(why, sizeof(why), "recv: %s", strerror(errno));
				break;
			}
			if (n == (ssize_t)len && !memcmp(in, out, len)) {
				hist_add(&times, now_ns() - t);
				ok++;
				break;
			}
		}
	}
	close(fd);
	return report("udp", o, ok, now_ns() - start, why);
}

/* crr: connect, one request, one response, close; `concurrency` of them at a time. */
struct exchange {
	struct watch w;
	int64_t start;
	bool asked, answered;
};

static struct {
	const struct options *o;
	unsigned int begun, ok, ended;
	char why[128];
} crr;

static void crr_ready(struct watch *w, uint32_t events);

static void crr_begin(struct exchange *x)
{
	crr.begun++;
	*x = (struct exchange){ .start = now_ns(), .w.ready = crr_ready };
	x->w.fd = connect_to(&crr.o->to, SOCK_STREAM);
	loop_add(&x->w, EPOLLOUT);
}

static void crr_end(struct exchange *x, const char *what, int err)
{
	if (what) {
		snprintf(crr.why, sizeof(crr.why), "%s%s%s", what, err ? ": " : "",
			 err ? strerror(err) : "");
	} else {
		hist_add(&times, now_ns() - x->start);
		crr.ok++;
	}
	loop_close(&x->w);
	if (++crr.ended == crr.o->count)
		loop_stop();
	else if (crr.begun < crr.o->count)
		crr_begin(x);
}

static void crr_ready(struct watch *w, uint32_t events)
{
	struct exchange *x = (struct exchange *)w;
	char c;
	ssize_t n;

	(void)events;
	if (!x->asked) {
		char why[64];

		if (!connected(w->fd, why, sizeof(why))) {
			crr_end(x, why, 0);
			return;
		}
		/* So few bytes into a fresh socket are taken whole. */
		if (send(w->fd, "CRR\n", 4, MSG_NOSIGNAL) != 4) {
			crr_end(x, "send", errno);
			return;
		}
		x->asked = true;
		loop_set(w, EPOLLIN);
		return;
	}
	n = recv(w->fd, &c, 1, 0);
	if (passing(n))
		return;
	if (n < 0)
		crr_end(x, "recv", errno);
	else if (n == 0)
		crr_end(x, x->answered ? NULL : "closed without an answer", 0);
	else if (x->answered || c != 'c')
		crr_end(x, "wrong answer", 0);
	else
		x->answered = true;
}

/* load crr --to HOST:PORT --count N [--concurrency M] */
int cmd_crr(const struct options *o)
{
	struct exchange *x = calloc(o->concurrency, sizeof(*x));
	int64_t start = now_ns();

	if (!x)
		die("out of memory");
	crr.o = o;
	for (unsigned int i = 0; i < o->concurrency && i < o->count; i++)
		crr_begin(&x[i]);
	if (o->count && !loop_run(o->timeout))
		snprintf(crr.why, sizeof(crr.why), "time is up with %u ended", crr.ended);
	free(x);
	return report("crr", o, crr.ok, now_ns() - start, crr.why);
}
