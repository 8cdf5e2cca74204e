/* SPDX-License-Identifier: MIT */
/*
 * The worker's wait.
 *
 * Theory of operation: one epoll instance carries everything. What an event
 * belongs to is its 64-bit token, never a pointer. A flow's token holds the
 * index and generation of its record, and goes to the function registered for
 * its kind, which finds out whether the flow still lives. A watch's token holds
 * index and generation of a slot in a table here; loop_unwatch() moves the
 * generation, so that an event of the same batch that was meant for the old
 * watch reaches nobody, even if the slot has been taken again meanwhile (H53).
 *
 * The wait ends at the wheel's next deadline, to the nanosecond where the
 * kernel has epoll_pwait2(2) (5.11), else at the next millisecond. The clock is
 * read once after the wait, and all that runs in the cycle sees that time. It
 * is read a second time only before a sleep that a timer bounds, so that the
 * length of the cycle is not added to the deadline.
 *
 * Nothing that epoll_wait(2) can answer ends the worker: EINTR is a cycle
 * without events, and whatever else is a bug of ours (H55).
 */
#include "tcpstack/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/clock.h"

struct watch {
	int fd;
	uint32_t gen;
	loop_watch_fn fn; /* NULL = free */
	void *ctx;
};

struct handler {
	loop_token_fn fn;
	void *ctx;
};

struct loop {
	int epfd;
	bool coarse; /* no epoll_pwait2(2) */
	uint64_t now;
	uint64_t wake_by; /* of the next wait only */
	uint64_t syscalls;
	loop_clock_fn clock;
	void *clock_ctx;
	struct handler handlers[TOKEN_KINDS];
	struct watch watches[LOOP_WATCH_MAX];
	struct timer_wheel timers;
	struct epoll_event events[LOOP_EVENTS_MAX];
};

/**
 * loop_new() - a loop with nothing in it
 * @clock:	monotonic time in nanoseconds, called with @clock_ctx
 *
 * Return: 0 with *@out, which loop_free() ends, or -errno
 */
int loop_new(struct loop **out, loop_clock_fn clock, void *clock_ctx)
{
	struct loop *lp = calloc(1, sizeof(*lp));
	int err;

	if (!lp)
		return -ENOMEM;
	lp->clock = clock;
	lp->clock_ctx = clock_ctx;
	lp->wake_by = UINT64_MAX;
	lp->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (lp->epfd < 0) {
		err = -errno;
		free(lp);
		return err;
	}
	lp->now = clock(clock_ctx);
	timer_wheel_init(&lp->timers, lp->now);
	*out = lp;
	return 0;
}

/**
 * loop_free() - the descriptors that were in it stay open: they have owners
 */
void loop_free(struct loop *lp)
{
	if (!lp)
		return;
	close(lp->epfd);
	free(lp);
}

/**
 * loop_on_token() - events of tokens of @kind go to @fn
 */
void loop_on_token(struct loop *lp, enum token_kind kind, loop_token_fn fn, void *ctx)
{
	BUG_ON(kind == TOKEN_WATCH || kind >= TOKEN_KINDS);
	lp->handlers[kind] = (struct handler){ fn, ctx };
}

static int control(struct loop *lp, int op, int fd, uint32_t events, uint64_t token)
{
	struct epoll_event ev = { .events = events, .data.u64 = token };

	lp->syscalls++;
	return epoll_ctl(lp->epfd, op, fd, &ev) < 0 ? -errno : 0;
}

/**
 * loop_watch() - call @fn when @fd has one of @events
 * @fd:		stays the caller's; at most one watch each
 * @events:	EPOLLIN...; level-triggered unless EPOLLET is among them
 *
 * Return: 0, -ENOSPC when LOOP_WATCH_MAX are in use, or -errno of epoll_ctl(2)
 */
int loop_watch(struct loop *lp, int fd, uint32_t events, loop_watch_fn fn, void *ctx)
{
	for (uint32_t i = 0; i < LOOP_WATCH_MAX; i++) {
		struct watch *w = &lp->watches[i];
		int err;

		if (w->fn)
			continue;
		err = control(lp, EPOLL_CTL_ADD, fd, events, token_make(TOKEN_WATCH, w->gen, i));
		if (err)
			return err;
		*w = (struct watch){ .fd = fd, .gen = w->gen, .fn = fn, .ctx = ctx };
		return 0;
	}
	return -ENOSPC;
}

/**
 * loop_unwatch() - @fd's watch is never called again; call before close(2)
 *
 * Also from inside a watch. Harmless if @fd is not watched.
 */
void loop_unwatch(struct loop *lp, int fd)
{
	for (uint32_t i = 0; i < LOOP_WATCH_MAX; i++) {
		struct watch *w = &lp->watches[i];

		if (!w->fn || w->fd != fd)
			continue;
		control(lp, EPOLL_CTL_DEL, fd, 0, 0);
		w->fn = NULL;
		w->gen = (w->gen + 1) & TOKEN_GEN_MASK;
		return;
	}
}

/**
 * loop_add() - events of @fd come edge-triggered under @token
 *
 * Return: 0, or -errno of epoll_ctl(2)
 */
int loop_add(struct loop *lp, int fd, uint32_t events, uint64_t token)
{
	return control(lp, EPOLL_CTL_ADD, fd, events | EPOLLET, token);
}

/**
 * loop_mod() - as loop_add(), for an @fd that is in the loop
 *
 * Events that hold at this moment are reported once more, as after loop_add().
 */
int loop_mod(struct loop *lp, int fd, uint32_t events, uint64_t token)
{
	return control(lp, EPOLL_CTL_MOD, fd, events | EPOLLET, token);
}

/**
 * loop_del() - no events of @fd in later waits
 *
 * An event already taken in this cycle still arrives: its token's generation
 * tells that it is stale. close(2) of the last reference does as well.
 */
void loop_del(struct loop *lp, int fd)
{
	control(lp, EPOLL_CTL_DEL, fd, 0, 0);
}

/* How long to sleep: 0 not at all, UINT64_MAX without end. */
static uint64_t sleep_ns(const struct loop *lp, bool may_sleep)
{
	uint64_t next, now;

	if (!may_sleep)
		return 0;
	next = MIN(timer_wheel_next_ns(&lp->timers), lp->wake_by);
	if (next == UINT64_MAX)
		return UINT64_MAX;
	now = lp->clock(lp->clock_ctx);
	return next > now ? next - now : 0;
}

static int wait_events(struct loop *lp, uint64_t ns)
{
	int ms = -1;

	if (!lp->coarse) {
		struct timespec ts = { .tv_sec = (time_t)(ns / NS_PER_S),
				       .tv_nsec = (long)(ns % NS_PER_S) };
		int n;

		lp->syscalls++;
		n = epoll_pwait2(lp->epfd, lp->events, LOOP_EVENTS_MAX,
				 ns == UINT64_MAX ? NULL : &ts, NULL);
		if (n >= 0 || (errno != ENOSYS && errno != EPERM))
			return n;
		/* An older kernel, or a sandbox that does not know the call. */
		lp->coarse = true;
	}
	/* Rounded up: a wake-up before the deadline would find nothing to do. */
	if (ns != UINT64_MAX)
		ms = (int)MIN((ns + NS_PER_MS - 1) / NS_PER_MS, 3600000ULL);
	lp->syscalls++;
	return epoll_wait(lp->epfd, lp->events, LOOP_EVENTS_MAX, ms);
}

static void dispatch(struct loop *lp, uint64_t token, uint32_t events)
{
	enum token_kind kind = token_kind(token);
	uint32_t i = token_index(token);

	BUG_ON(kind >= TOKEN_KINDS);
	if (kind == TOKEN_WATCH) {
		const struct watch *w;

		BUG_ON(i >= LOOP_WATCH_MAX);
		w = &lp->watches[i];
		if (w->fn && w->gen == token_gen(token))
			w->fn(w->ctx, events);
		return;
	}
	if (lp->handlers[kind].fn)
		lp->handlers[kind].fn(lp->handlers[kind].ctx, token, events);
}

/**
 * loop_wait() - wait, read the clock, hand out events
 * @may_sleep:	false polls; true sleeps until an event or the next timer
 *
 * Does not fire timers: stack_run() does, at the time that this read.
 *
 * Return: events handed out; 0 also after a signal
 */
int loop_wait(struct loop *lp, bool may_sleep)
{
	int n = wait_events(lp, sleep_ns(lp, may_sleep));

	BUG_ON(n < 0 && errno != EINTR);
	lp->wake_by = UINT64_MAX;
	lp->now = lp->clock(lp->clock_ctx);
	for (int i = 0; i < n; i++)
		dispatch(lp, lp->events[i].data.u64, lp->events[i].events);
	return MAX(n, 0);
}

/**
 * loop_wake_by() - the next wait ends at @ns if nothing ends it before
 *
 * For what is looked at in each cycle and needs no timer: finer than the wheel,
 * and forgotten after that wait.
 */
void loop_wake_by(struct loop *lp, uint64_t ns)
{
	lp->wake_by = MIN(lp->wake_by, ns);
}

/**
 * loop_now() - the cycle's time in nanoseconds
 */
uint64_t loop_now(const struct loop *lp)
{
	return lp->now;
}

/**
 * loop_timers() - the wheel whose next deadline bounds the wait
 */
struct timer_wheel *loop_timers(struct loop *lp)
{
	return &lp->timers;
}

/**
 * loop_fd() - the epoll descriptor, readable when loop_wait() would find events
 */
int loop_fd(const struct loop *lp)
{
	return lp->epfd;
}

/**
 * loop_syscalls() - system calls that the loop has made
 */
uint64_t loop_syscalls(const struct loop *lp)
{
	return lp->syscalls;
}
