/* SPDX-License-Identifier: MIT */
/*
 * The client's end of a connection that moves bytes in one direction: it says in a line
 * what it wants, and is done when all of them have arrived. The first fault of any of them
 * is kept, ends the loop and then the program.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "load.h"

static unsigned int running;
static char why[128];

void flow_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	loop_stop();
}

/* Did @n bytes of @call go? Else it is tried again, or was the end. */
bool flow_moved(ssize_t n, const char *call)
{
	if (n < 0 && !passing(n))
		flow_fail("%s: %s", call, strerror(errno));
	return n >= 0;
}

/* Connects; @f->line is what it will say, of @len bytes. */
void flow_start(struct flow *f, const union address *to, int len,
		void (*ready)(struct watch *w, uint32_t events))
{
	running++;
	f->line_len = (size_t)len;
	f->w.fd = connect_to(to, SOCK_STREAM);
	f->w.ready = ready;
	loop_add(&f->w, EPOLLOUT);
}

/* Connected, and the line is out? As far as it goes now. */
bool flow_asked(struct flow *f)
{
	ssize_t n;

	if (!f->connected && !connected(f->w.fd, why, sizeof(why))) {
		loop_stop();
		return false;
	}
	f->connected = true;
	n = send(f->w.fd, f->line + f->line_off, f->line_len - f->line_off, MSG_NOSIGNAL);
	if (!flow_moved(n, "send"))
		return false;
	f->line_off += (size_t)n;
	return f->line_off == f->line_len;
}

/* All is sent: what comes from now on is the answer. */
void flow_expect(struct flow *f)
{
	f->line_len = 0;
	loop_set(&f->w, EPOLLIN);
}

/* Is the whole answer here? It must be @want, and is the end. */
void flow_answered(struct flow *f, const char *want)
{
	ssize_t n = recv(f->w.fd, f->line + f->line_len, sizeof(f->line) - 1 - f->line_len, 0);

	if (!flow_moved(n, "recv"))
		return;
	f->line_len += (size_t)n;
	f->line[f->line_len] = '\0';
	if (n > 0)
		return;
	if (strcmp(f->line, want) != 0) {
		f->line[strcspn(f->line, "\n")] = '\0';
		flow_fail("the server says '%s' of %" PRIu64 " bytes", f->line, f->off);
		return;
	}
	flow_done(f);
}

/* @n bytes have come: are they the next of the pattern? */
bool flow_compare(const struct flow *f, const void *p, size_t n)
{
	uint64_t bad;

	if (pattern_check(f->seed, f->off, p, n, &bad))
		return true;
	flow_fail("wrong byte at %" PRIu64, bad);
	return false;
}

void flow_done(struct flow *f)
{
	loop_close(&f->w);
	if (--running == 0)
		loop_stop();
}

/* Until all are done. Return: seconds since @start; a fault ends the program. */
double flow_run(const struct flow *first, double timeout, int64_t start)
{
	double seconds;

	if (!loop_run(timeout) && !why[0])
		flow_fail("not done after %.0f s: flow 0 at %" PRIu64, timeout, first->off);
	seconds = (double)(now_ns() - start) / 1e9;
	if (why[0])
		die("%s", why);
	return seconds;
}
