/* SPDX-License-Identifier: MIT */
/*
 * The host's resolvers as they change: a laptop that moves, a VPN that comes up.
 *
 * Theory of operation. The file is looked at every two seconds by stat(2), and
 * read when what that tells has changed. inotify(7) would tell sooner, but not of
 * a file that is mounted over, nor of one that a chain of links leads to now and
 * did not before; the C library looks in the same way. All of it is the main
 * thread's: the worker is handed the new list in one short call.
 *
 * A file that has changed only just now may be written to once more within the
 * same tick of the file system's clock, so it is read again for a while after we
 * have seen the change. How long ago that was our own clock says, which nobody sets:
 * by the file's time it might be for ever, or not at all. A file that is gone, or
 * names no resolver, changes nothing: whoever replaces it is half way.
 */
#include "src/cli/resolv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/vmm/io_loop.h"
#include "virtio/net_worker.h"

/* A file that has not changed for so long will not be written to unseen. */
#define SETTLED_NS (3 * NS_PER_S)

/**
 * struct resolv_watch - one file that is followed
 * @seen:	of the file as it was looked at last
 * @since_ns:	when it was first seen so
 * @settled:	it was read at the end of that time, and need not be again
 */
struct resolv_watch {
	const char *path;
	struct io_loop *loop;
	struct net_worker *worker;
	int timer_fd;
	struct stat seen;
	uint64_t since_ns;
	bool settled;
};

struct change {
	struct endpoint resolver[STACK_RESOLVERS_MAX];
	uint8_t n;
	bool changed;
};

static int exchange(void *ctx, struct stack *st)
{
	struct change *c = ctx;

	c->changed = stack_set_resolvers(st, c->resolver, c->n);
	return 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void tell(const struct resolv_watch *rw, const struct change *c)
{
	char all[STACK_RESOLVERS_MAX * (ENDPOINT_STRLEN + 2)] = "", text[ENDPOINT_STRLEN];
	size_t len = 0;

	for (uint8_t i = 0; i < c->n; i++)
		len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s", i ? ", " : "",
					endpoint_format(&c->resolver[i], text));
	log_info("dns", "%s has changed: asking %s", rw->path, all);
}

/**
 * resolv_watch_look() - has the file changed? Then the worker is told
 * @now_ns:	CLOCK_MONOTONIC
 *
 * Main thread; what the timer does.
 */
void resolv_watch_look(struct resolv_watch *rw, uint64_t now_ns)
{
	struct change c = { .n = 0 };
	struct stat st;
	int fd;

	if (stat(rw->path, &st) < 0 || (rw->settled && same_file(&st, &rw->seen)))
		return;
	if (!same_file(&st, &rw->seen)) {
		rw->seen = st;
		rw->since_ns = now_ns;
	}
	rw->settled = false;
	fd = open(rw->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		if (errno == EACCES)
			log_once(LOG_WARN, "dns",
				 "%s is now a file that the jail does not let us read: the "
				 "resolvers stay as they were; see --jail",
				 rw->path);
		return;
	}
	c.n = resolv_parse(fd, rw->path, c.resolver, STACK_RESOLVERS_MAX);
	close(fd);
	rw->settled = now_ns - rw->since_ns >= SETTLED_NS;
	if (c.n && net_worker_call(rw->worker, exchange, &c) == 0 && c.changed)
		tell(rw, &c);
}

static void on_timer(void *ctx, uint32_t events)
{
	struct resolv_watch *rw = ctx;
	uint64_t ticks;

	(void)events;
	if (read(rw->timer_fd, &ticks, sizeof(ticks)) == (ssize_t)sizeof(ticks))
		resolv_watch_look(rw, clock_now_ns());
}

/**
 * resolv_watch_new() - follow the resolv.conf at @path from now on
 * @path:	outlives the watch
 * @loop:	of the main thread; outlives the watch
 * @worker:	whose stack asks the resolvers; outlives the watch
 * @every_ns:	how often to look
 *
 * Main thread. Return: 0 or -errno
 */
int resolv_watch_new(struct resolv_watch **out, const char *path, struct io_loop *loop,
		     struct net_worker *worker, uint64_t every_ns)
{
	const struct timespec every = { .tv_sec = (time_t)(every_ns / NS_PER_S),
					.tv_nsec = (long)(every_ns % NS_PER_S) };
	const struct itimerspec t = { .it_interval = every, .it_value = every };
	struct resolv_watch *rw = calloc(1, sizeof(*rw));
	int err;

	if (!rw)
		return -ENOMEM;
	rw->path = path;
	rw->loop = loop;
	rw->worker = worker;
	rw->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	err = rw->timer_fd < 0 || timerfd_settime(rw->timer_fd, 0, &t, NULL) < 0 ? -errno : 0;
	if (err == 0)
		err = io_loop_add(loop, rw->timer_fd, EPOLLIN, on_timer, rw);
	if (err < 0) {
		if (rw->timer_fd >= 0)
			close(rw->timer_fd);
		free(rw);
		return err;
	}
	*out = rw;
	return 0;
}

/**
 * resolv_watch_free() - follow it no more; NULL is fine
 */
void resolv_watch_free(struct resolv_watch *rw)
{
	if (!rw)
		return;
	io_loop_del(rw->loop, rw->timer_fd);
	close(rw->timer_fd);
	free(rw);
}
