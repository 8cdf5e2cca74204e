/* SPDX-License-Identifier: MIT */
/*
 * An epoll loop over a fixed table.
 *
 * Theory of operation: an event carries the index of its source and the
 * generation of that table entry. A handler may remove a source whose event is
 * already in the current batch; the generation then differs and the event is
 * passed over (H53). Stopping writes an eventfd, so it works from any thread and
 * at any time, also before the loop has begun. A source that is ready and cannot be
 * served for now, as a listener for whose client there is no descriptor, rests: epoll
 * would tell of it without end.
 */
#include "src/vmm/io_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/clock.h"

#define BATCH 16

/* How long a source rests. */
#define REST_MS 100

struct io_source {
	int fd; /* -1 = free */
	uint32_t gen, events;
	uint64_t rests_until; /* 0 = it does not */
	io_fn fn;
	void *ctx;
};

struct io_loop {
	int ep;
	int stop_fd;
	bool some_rest;
	struct io_source src[IO_LOOP_SOURCES];
};

/* Token of the stop eventfd; no source has this index. */
#define STOP_TOKEN UINT64_MAX

static uint64_t token(const struct io_loop *l, const struct io_source *s)
{
	return (uint64_t)s->gen << 32 | (uint64_t)(s - l->src);
}

static struct io_source *find(struct io_loop *l, int fd)
{
	for (unsigned i = 0; i < IO_LOOP_SOURCES; i++) {
		if (l->src[i].fd == fd)
			return &l->src[i];
	}
	return NULL;
}

/**
 * io_loop_new() - Return: 0 or -errno; io_loop_free() ends it
 */
int io_loop_new(struct io_loop **out)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = STOP_TOKEN };
	struct io_loop *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	for (unsigned i = 0; i < IO_LOOP_SOURCES; i++)
		l->src[i].fd = -1;
	l->ep = epoll_create1(EPOLL_CLOEXEC);
	l->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->ep < 0 || l->stop_fd < 0 || epoll_ctl(l->ep, EPOLL_CTL_ADD, l->stop_fd, &ev) < 0) {
		err = -errno;
		io_loop_free(l);
		return err;
	}
	*out = l;
	return 0;
}

/**
 * io_loop_free() - NULL is fine; descriptors that were added stay their owners'
 */
void io_loop_free(struct io_loop *l)
{
	if (!l)
		return;
	if (l->ep >= 0)
		close(l->ep);
	if (l->stop_fd >= 0)
		close(l->stop_fd);
	free(l);
}

/**
 * io_loop_add() - watch @fd
 * @events:	EPOLLIN, EPOLLOUT, EPOLLET, ... ; 0 only watches for hang-up
 *
 * Return: 0, -EEXIST (already watched), -ENOSPC, -EPERM (a regular file: it is
 * always ready and epoll does not take it)
 */
int io_loop_add(struct io_loop *l, int fd, uint32_t events, io_fn fn, void *ctx)
{
	struct epoll_event ev = { .events = events };
	struct io_source *s;

	if (fd < 0)
		return -EBADF;
	if (find(l, fd))
		return -EEXIST;
	s = find(l, -1);
	if (!s)
		return -ENOSPC;
	ev.data.u64 = token(l, s);
	if (epoll_ctl(l->ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	s->fd = fd;
	s->events = events;
	s->rests_until = 0;
	s->fn = fn;
	s->ctx = ctx;
	return 0;
}

/**
 * io_loop_mod() - change what @fd is watched for
 *
 * Return: 0, -ENOENT, or -errno
 */
int io_loop_mod(struct io_loop *l, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events };
	struct io_source *s = fd < 0 ? NULL : find(l, fd);

	if (!s)
		return -ENOENT;
	ev.data.u64 = token(l, s);
	if (epoll_ctl(l->ep, EPOLL_CTL_MOD, fd, &ev) < 0)
		return -errno;
	s->events = events;
	s->rests_until = 0;
	return 0;
}

/**
 * io_loop_rest() - hear nothing of @fd for a moment, then as before
 *
 * For what cannot be served now and stays ready, as when accept(2) finds no descriptor.
 * In a handler. Return: 0, -ENOENT, or -errno
 */
int io_loop_rest(struct io_loop *l, int fd)
{
	struct io_source *s = fd < 0 ? NULL : find(l, fd);
	uint32_t events;
	int err;

	if (!s)
		return -ENOENT;
	events = s->events;
	err = io_loop_mod(l, fd, 0);
	if (err)
		return err;
	s->events = events;
	s->rests_until = clock_now_ns() + REST_MS * NS_PER_MS;
	l->some_rest = true;
	return 0;
}

/* Who has rested is watched again. Return: how long to wait, as epoll_wait(2) has it */
static int end_rests(struct io_loop *l)
{
	int wait_ms = -1;

	for (unsigned i = 0; l->some_rest && i < IO_LOOP_SOURCES; i++) {
		struct io_source *s = &l->src[i];

		if (s->fd < 0 || !s->rests_until)
			continue;
		if (clock_now_ns() < s->rests_until || io_loop_mod(l, s->fd, s->events) < 0)
			wait_ms = REST_MS;
	}
	l->some_rest = wait_ms >= 0;
	return wait_ms;
}

/**
 * io_loop_del() - watch @fd no more, before it is closed; harmless if it was not
 */
void io_loop_del(struct io_loop *l, int fd)
{
	struct io_source *s = fd < 0 ? NULL : find(l, fd);

	if (!s)
		return;
	(void)epoll_ctl(l->ep, EPOLL_CTL_DEL, fd, NULL);
	s->fd = -1;
	s->gen++;
}

static void dispatch(struct io_loop *l, const struct epoll_event *ev)
{
	uint32_t i = (uint32_t)ev->data.u64;
	struct io_source *s;

	BUG_ON(i >= IO_LOOP_SOURCES);
	s = &l->src[i];
	if (s->fd >= 0 && s->gen == ev->data.u64 >> 32)
		s->fn(s->ctx, ev->events);
}

/**
 * io_loop_run() - serve until io_loop_stop()
 *
 * Return: 0 when stopped, or -errno when epoll itself fails
 */
int io_loop_run(struct io_loop *l)
{
	for (;;) {
		struct epoll_event ev[BATCH];
		bool stop = false;
		int n = epoll_wait(l->ep, ev, BATCH, end_rests(l));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (int i = 0; i < n; i++) {
			if (ev[i].data.u64 == STOP_TOKEN)
				stop = true;
			else
				dispatch(l, &ev[i]);
		}
		if (stop) {
			uint64_t v;
			ssize_t ignored = read(l->stop_fd, &v, sizeof(v));

			(void)ignored;
			return 0;
		}
	}
}

/**
 * io_loop_stop() - make io_loop_run() return, now or when it begins; any thread
 */
void io_loop_stop(struct io_loop *l)
{
	uint64_t one = 1;
	ssize_t ignored = write(l->stop_fd, &one, sizeof(one));

	/* Only a full counter can refuse, and then the loop is woken anyway. */
	(void)ignored;
}
