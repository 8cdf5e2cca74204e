/* SPDX-License-Identifier: MIT */
/*
 * The epoll loop: level-triggered, one callback for each descriptor, descriptors
 * that sleep for a while, and a deadline so that every run ends by itself.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

static int epfd = -1;
static bool stopping;
static struct watch *sleepers;

int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void control(int op, struct watch *w, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };

	if (epfd < 0)
		epfd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(epfd, op, w->fd, &e))
		die("epoll_ctl: %s", strerror(errno));
	w->events = events;
}

void loop_add(struct watch *w, uint32_t events)
{
	w->wake_at = 0;
	control(EPOLL_CTL_ADD, w, events);
}

void loop_set(struct watch *w, uint32_t events)
{
	if (w->wake_at)
		w->wake_events = events;
	else if (w->events != events)
		control(EPOLL_CTL_MOD, w, events);
}

/* A line for whoever measures what the other side does meanwhile. */
static void say(const char *event)
{
	printf("{\"event\":\"%s\"}\n", event);
	fflush(stdout);
}

/*
 * loop_pause() - look at this descriptor no more for so long, not even for errors;
 * the beginning and the end are announced on standard output.
 */
void loop_pause(struct watch *w, int64_t ns)
{
	w->wake_events = w->events;
	w->wake_at = now_ns() + ns;
	w->next_sleeper = sleepers;
	sleepers = w;
	control(EPOLL_CTL_DEL, w, 0);
	say("paused");
}

/* loop_remove() - look at this descriptor no more; it stays open. */
void loop_remove(struct watch *w)
{
	control(EPOLL_CTL_DEL, w, 0);
}

/* loop_close() - stop watching and close; the watch itself is the caller's. */
void loop_close(struct watch *w)
{
	for (struct watch **p = &sleepers; *p; p = &(*p)->next_sleeper)
		if (*p == w) {
			*p = w->next_sleeper;
			break;
		}
	/* Closing the only descriptor of a file also takes it out of the epoll set. */
	close(w->fd);
	w->fd = -1;
}

void loop_stop(void)
{
	stopping = true;
}

static void wake_sleepers(int64_t now)
{
	struct watch **p = &sleepers;

	while (*p) {
		struct watch *w = *p;

		if (w->wake_at > now) {
			p = &w->next_sleeper;
			continue;
		}
		*p = w->next_sleeper;
		loop_add(w, w->wake_events);
		say("resumed");
	}
}

static int wait_ms(int64_t now, int64_t deadline)
{
	int64_t until = deadline;

	for (struct watch *w = sleepers; w; w = w->next_sleeper)
		if (w->wake_at < until)
			until = w->wake_at;
	if (until <= now)
		return 0;
	until = (until - now + 999999) / 1000000;
	return until > 3600000 ? 3600000 : (int)until;
}

/*
 * loop_run() - until loop_stop().
 *
 * @seconds: give up after that long; 0 = never
 *
 * Returns false when the time was up first. One event is handled for each wait:
 * a callback may close and free other watches.
 */
bool loop_run(double seconds)
{
	int64_t now = now_ns();
	int64_t deadline = seconds > 0 ? now + (int64_t)(seconds * 1e9) : INT64_MAX;

	stopping = false;
	while (!stopping) {
		struct epoll_event e;
		int n = epoll_wait(epfd, &e, 1, wait_ms(now, deadline));

		if (n > 0) {
			struct watch *w = e.data.ptr;

			w->ready(w, e.events);
		}
		if (n <= 0 || sleepers || deadline != INT64_MAX)
			now = now_ns();
		if (now >= deadline && !stopping)
			return false;
		wake_sleepers(now);
	}
	return true;
}
