/* SPDX-License-Identifier: MIT */
/*
 * The writing thread.
 *
 * Theory of operation: a table of sinks, each in one of four states. Main fills a
 * free entry and makes it live; later it makes it leave. The thread serves live
 * and leaving ones, and makes a leaving one gone when its ring is empty and all is
 * written, or when it has had WRITER_PATIENCE_MS. So the state is all that the two
 * share, and whoever may move it on is always one of them.
 *
 * In a round each sink's messages are taken until there are none or it refuses;
 * then it writes. A sink that refuses is blocked: its ring is left alone until its
 * time is up or its descriptor is ready, and what finds no room there is counted by
 * the ring's producer. When no sink has anything to do the thread says to each ring
 * that it sleeps, and waits for one eventfd, which they share.
 */
#include "src/sight/writer.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/sem.h"
#include "src/base/spsc.h"
#include "src/base/thread.h"

enum sink_state {
	SINK_FREE,    /* main's, to fill */
	SINK_LIVE,    /* the thread's, until main makes it leave */
	SINK_LEAVING, /* the thread's: it ends by itself */
	SINK_GONE,    /* main's, to free */
};

/**
 * struct sink - one entry
 * @gone:	posted when it is
 * @blocked:	it has refused a message that is still in the ring
 * @wait_ms:	of its last flush
 * @leaving_ns:	since when
 */
struct sink {
	_Atomic int state;
	struct spsc *ring;
	const struct sink_ops *ops;
	void *ctx;
	sem_t gone;
	bool blocked;
	int wait_ms;
	uint64_t leaving_ns;
};

struct writer {
	int wake_fd;
	struct thread thread;
	_Atomic bool stop;
	struct sink sinks[WRITER_SINKS];
};

static int state_of(struct sink *s)
{
	return atomic_load_explicit(&s->state, memory_order_acquire);
}

static void set_state(struct sink *s, enum sink_state state)
{
	atomic_store_explicit(&s->state, (int)state, memory_order_release);
}

/* Take what there is, and write. */
static void serve(struct sink *s, struct pollfd *wait)
{
	const void *msg;
	uint32_t len;

	for (;;) {
		s->blocked = false;
		while ((msg = spsc_peek(s->ring, &len))) {
			s->blocked = !s->ops->take(s->ctx, msg, len);
			if (s->blocked)
				break;
			spsc_release(s->ring);
		}
		wait->fd = -1;
		s->wait_ms = s->ops->flush(s->ctx, wait);
		/* All was written, so what was refused finds room now. */
		if (!s->blocked || s->wait_ms >= 0)
			return;
	}
}

static bool is_done(const struct sink *s, uint64_t now)
{
	return (!s->blocked && s->wait_ms < 0) ||
	       now - s->leaving_ns >= WRITER_PATIENCE_MS * NS_PER_MS;
}

/* One round over all sinks. Return: how long to sleep, as poll(2) has it; 0 = not at all */
static int round_of(struct writer *w, struct pollfd *fds)
{
	int sleep_ms = -1;

	for (int i = 0; i < WRITER_SINKS; i++) {
		struct sink *s = &w->sinks[i];
		int state = state_of(s);

		fds[i] = (struct pollfd){ .fd = -1 };
		if (state != SINK_LIVE && state != SINK_LEAVING)
			continue;
		if (state == SINK_LEAVING && !s->leaving_ns)
			s->leaving_ns = clock_now_ns();
		serve(s, &fds[i]);
		if (state == SINK_LEAVING && is_done(s, clock_now_ns())) {
			fds[i].fd = -1;
			s->ops->finish(s->ctx);
			set_state(s, SINK_GONE);
			sem_post(&s->gone);
			continue;
		}
		if (s->wait_ms >= 0 && (sleep_ms < 0 || s->wait_ms < sleep_ms))
			sleep_ms = s->wait_ms;
		if (!s->blocked && !spsc_may_sleep(s->ring))
			sleep_ms = 0;
	}
	return sleep_ms;
}

static void awake(struct writer *w)
{
	eventfd_t n;

	for (int i = 0; i < WRITER_SINKS; i++)
		if (state_of(&w->sinks[i]) == SINK_LIVE || state_of(&w->sinks[i]) == SINK_LEAVING)
			spsc_awake(w->sinks[i].ring);
	(void)eventfd_read(w->wake_fd, &n);
}

static void work(void *arg)
{
	struct pollfd fds[WRITER_SINKS + 1];
	struct writer *w = arg;

	while (!atomic_load(&w->stop)) {
		int ms = round_of(w, fds);

		fds[WRITER_SINKS] = (struct pollfd){ .fd = w->wake_fd, .events = POLLIN };
		if (ms != 0)
			(void)poll(fds, WRITER_SINKS + 1, ms);
		awake(w);
	}
}

/**
 * writer_new() - a writer without a thread yet
 * @thread_init:	runs on the thread first; may be NULL
 *
 * Return: 0 with *@out, which writer_free() ends; or -errno
 */
int writer_new(struct writer **out, int (*thread_init)(void *ctx), void *thread_ctx)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->thread.name = "sluice-writer";
	w->thread.init = thread_init;
	w->thread.init_ctx = thread_ctx;
	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->wake_fd < 0) {
		int err = -errno;

		free(w);
		return err;
	}
	for (int i = 0; i < WRITER_SINKS; i++)
		BUG_ON(sem_init(&w->sinks[i].gone, 0, 0));
	*out = w;
	return 0;
}

/**
 * writer_start() - the thread begins, with signals blocked but for faults
 *
 * Return: 0, -errno, or what thread_init() said
 */
int writer_start(struct writer *w)
{
	return thread_begin(&w->thread, work, w);
}

/**
 * writer_free() - the end; NULL is harmless
 *
 * All sinks were removed. If one of them is not gone the thread hangs in a write
 * that does not return: it is left to the end of the process.
 */
void writer_free(struct writer *w)
{
	if (!w)
		return;
	for (int i = 0; i < WRITER_SINKS; i++)
		if (state_of(&w->sinks[i]) != SINK_FREE)
			return;
	atomic_store(&w->stop, true);
	writer_kick(w);
	thread_end(&w->thread);
	for (int i = 0; i < WRITER_SINKS; i++)
		sem_destroy(&w->sinks[i].gone);
	close(w->wake_fd);
	free(w);
}

/**
 * writer_wake_fd() - the eventfd for spsc_init()
 */
int writer_wake_fd(const struct writer *w)
{
	return w->wake_fd;
}

/**
 * writer_kick() - look at everything again; any thread
 */
void writer_kick(struct writer *w)
{
	(void)eventfd_write(w->wake_fd, 1);
}

/**
 * writer_add() - one more sink
 * @ring:	with writer_wake_fd(); lives until the sink is gone, and so does @ctx
 *
 * Return: its number, or -ENOSPC
 */
int writer_add(struct writer *w, struct spsc *ring, const struct sink_ops *ops, void *ctx)
{
	for (int i = 0; i < WRITER_SINKS; i++) {
		struct sink *s = &w->sinks[i];

		if (state_of(s) != SINK_FREE)
			continue;
		s->ring = ring;
		s->ops = ops;
		s->ctx = ctx;
		s->blocked = false;
		s->wait_ms = -1;
		s->leaving_ns = 0;
		set_state(s, SINK_LIVE);
		writer_kick(w);
		return i;
	}
	return -ENOSPC;
}

/**
 * writer_remove() - nothing is put into the ring any more: write the rest, and go
 *
 * Returns at once; writer_gone() tells when it has.
 */
void writer_remove(struct writer *w, int sink)
{
	struct sink *s = &w->sinks[sink];

	BUG_ON(state_of(s) != SINK_LIVE);
	set_state(s, w->thread.started ? SINK_LEAVING : SINK_GONE);
	if (!w->thread.started) {
		s->ops->finish(s->ctx);
		sem_post(&s->gone);
	}
	writer_kick(w);
}

/**
 * writer_put() - as much of @len bytes as goes now; for a sink's functions
 * @is_socket:	of @fd; then it does not wait
 * @len:	INT_MAX at the most
 *
 * Return: bytes that went, or -errno
 */
int writer_put(int fd, bool is_socket, const void *p, size_t len)
{
	ssize_t n;

	do {
		n = is_socket ? send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL) : write(fd, p, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

/**
 * writer_gone() - has a sink that was removed come to its end?
 * @wait_ms:	how long to wait for it
 *
 * If so its number is free, and neither ring nor context are used any more.
 */
bool writer_gone(struct writer *w, int sink, int wait_ms)
{
	struct sink *s = &w->sinks[sink];
	struct timespec until;
	uint64_t ns;
	int err;

	/* Not that of the wall, which may be set while we wait. */
	clock_gettime(CLOCK_MONOTONIC, &until);
	ns = (uint64_t)until.tv_nsec + (uint64_t)wait_ms * NS_PER_MS;
	until.tv_sec += (time_t)(ns / NS_PER_S);
	until.tv_nsec = (long)(ns % NS_PER_S);
	do {
		err = sem_clockwait(&s->gone, CLOCK_MONOTONIC, &until) ? errno : 0;
	} while (err == EINTR);
	if (err)
		return false;
	BUG_ON(state_of(s) != SINK_GONE);
	set_state(s, SINK_FREE);
	return true;
}
