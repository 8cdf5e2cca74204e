/* SPDX-License-Identifier: MIT */
/*
 * Audit lines on their way to a file or a socket.
 *
 * Theory of operation: the writer thread makes lines of records in a buffer, and
 * writes it whenever there is nothing more to take. Whatever is written is whole
 * lines: of a line that was written in part (a disk that is full, a pipe) the rest
 * follows when it can, and when the file or the connection is exchanged meanwhile,
 * the line begins anew there. While nothing can be written the buffer fills, then
 * the ring, and then the stack loses records and counts them; a line with the
 * number follows as soon as there is room. A failure is said once in the log, and
 * so is its end.
 *
 * A file is opened by main, at the start and for logrotate; the thread gets the
 * descriptor through an atomic. A socket's connection is the thread's own.
 */
#include "src/sight/audit_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/base/unixsock.h"
#include "src/base/utc.h"
#include "src/sight/writer.h"
#include "tcpstack/audit.h"
#include "tcpstack/limits.h"

/* Between two tries to write or to connect, milliseconds. */
#define RETRY_MS 500

/**
 * struct audit_log - one destination
 * @where:	as it was given; @path inside it
 * @ring:	memory of audit.ring
 * @next_fd:	opened by main in place of @fd, -1 = none
 * @fd:		the thread's; -1 = a socket without its connection
 * @failing:	said so
 * @part:	bytes of the buffer's first line that were written to @fd
 * @lost, @withheld:	as far as lines have told of them
 */
struct audit_log {
	struct audit audit;
	char *where;
	const char *path;
	void *ring;
	struct writer *w;
	int sink;
	bool is_socket;

	_Atomic int next_fd;
	_Atomic bool reconnect;
	struct counter lines, bytes, failures, waiting, error;

	int fd;
	bool failing;
	uint32_t len, part;
	uint64_t lost, withheld;
	char buf[AUDIT_BUFFER];
};

static void failed(struct audit_log *a, int err)
{
	counter_inc(&a->failures);
	counter_set(&a->error, (uint64_t)err);
	if (!a->failing)
		log_warn("audit", "%s: %s; lines are kept as far as there is room, and tried again",
			 a->where, strerror(err));
	a->failing = true;
}

static void went_well(struct audit_log *a)
{
	counter_set(&a->error, 0);
	if (a->failing)
		log_warn("audit", "%s: lines are written again", a->where);
	a->failing = false;
}

static bool take(void *ctx, const void *msg, uint32_t len)
{
	struct audit_log *a = ctx;

	(void)len;
	if (AUDIT_BUFFER - a->len < AUDIT_LINE_MAX)
		return false;
	a->len += (uint32_t)audit_line(msg, utc_now_ns() - clock_now_ns(), a->buf + a->len);
	return true;
}

/* A line that says how many there are not. */
static void tell_lost(struct audit_log *a)
{
	uint64_t lost = counter_get(&a->audit.ring.lost);
	uint64_t withheld = counter_get(&a->audit.withheld);

	if ((lost == a->lost && withheld == a->withheld) || AUDIT_BUFFER - a->len < AUDIT_LINE_MAX)
		return;
	a->len += (uint32_t)audit_lost_line(utc_now_ns(), lost - a->lost, withheld - a->withheld,
					    a->buf + a->len);
	a->lost = lost;
	a->withheld = withheld;
}

/* @n bytes more were written: whole lines leave the buffer. */
static void written(struct audit_log *a, uint32_t n)
{
	uint32_t done = a->part + n, whole = 0;

	for (uint32_t i = 0; i < done; i++) {
		if (a->buf[i] != '\n')
			continue;
		whole = i + 1;
		counter_inc(&a->lines);
	}
	counter_add(&a->bytes, n);
	a->part = done - whole;
	a->len -= whole;
	memmove(a->buf, a->buf + whole, a->len);
}

/* As much as goes. 0 or the errno that ended it. */
static int write_out(struct audit_log *a)
{
	while (a->part < a->len) {
		const char *p = a->buf + a->part;
		size_t len = a->len - a->part;
		int n = writer_put(a->fd, a->is_socket, p, len);

		if (n < 0)
			return -n;
		written(a, (uint32_t)n);
	}
	return 0;
}

/* What follows goes elsewhere, and there a line begins at its beginning. */
static void exchange(struct audit_log *a, int fd)
{
	const char *end = memchr(a->buf, '\n', a->len);

	if (a->part && a->fd >= 0 && !a->is_socket) {
		uint32_t rest = (uint32_t)(end - a->buf) + 1 - a->part;

		if (write(a->fd, a->buf + a->part, rest) == (ssize_t)rest)
			written(a, rest);
	}
	a->part = 0;
	if (a->fd >= 0)
		close(a->fd);
	a->fd = fd;
}

/* 0 with a->fd connected, or an errno. */
static int connect_again(struct audit_log *a)
{
	int fd = unix_connect(a->path, SOCK_NONBLOCK);

	if (fd < 0)
		return -fd;
	exchange(a, fd);
	return 0;
}

static int flush(void *ctx, struct pollfd *wait)
{
	struct audit_log *a = ctx;
	int next = atomic_exchange(&a->next_fd, -1), err = 0;

	if (next >= 0)
		exchange(a, next);
	if (atomic_exchange(&a->reconnect, false))
		exchange(a, -1);
	tell_lost(a);
	if (a->len == 0)
		return -1;
	if (a->fd < 0)
		err = connect_again(a);
	if (a->fd >= 0)
		err = write_out(a);
	counter_set(&a->waiting, a->len - a->part);
	if (err == EAGAIN && a->fd >= 0) {
		*wait = (struct pollfd){ .fd = a->fd, .events = POLLOUT };
		return RETRY_MS;
	}
	if (err) {
		failed(a, err);
		if (a->is_socket)
			exchange(a, -1);
		return RETRY_MS;
	}
	went_well(a);
	return -1;
}

static void finish(void *ctx)
{
	struct audit_log *a = ctx;

	if (a->len)
		log_error("audit", "%s: the last %u bytes were not written", a->where, a->len);
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
}

static const struct sink_ops ops = { .take = take, .flush = flush, .finish = finish };

/* A pipe without a reader is refused, and one that is full does not make us wait. */
static int open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
		      0600);

	return fd < 0 ? -errno : fd;
}

/**
 * audit_log_new() - open the destination and begin
 * @where:	a file, made with mode 0600 if it is not there; or AUDIT_UNIX and the
 *		path of a stream socket that somebody listens on. Copied
 * @w:		outlives it
 * @why:	on failure, one line
 *
 * Return: 0 with *@out, which audit_log_free() ends; or -errno
 */
int audit_log_new(struct audit_log **out, const char *where, struct writer *w, char *why,
		  size_t why_len)
{
	struct audit_log *a = calloc(1, sizeof(*a));
	int err = -ENOMEM;

	if (!a)
		return err;
	a->w = w;
	a->fd = -1;
	atomic_store(&a->next_fd, -1);
	a->where = strdup(where);
	a->ring = malloc(LIMIT_AUDIT_RING_BYTES);
	if (!a->where || !a->ring)
		goto fail;
	a->is_socket = strncmp(where, AUDIT_UNIX, strlen(AUDIT_UNIX)) == 0;
	a->path = a->where + (a->is_socket ? strlen(AUDIT_UNIX) : 0);
	audit_init(&a->audit, a->ring, LIMIT_AUDIT_RING_BYTES, writer_wake_fd(w));
	a->fd = a->is_socket ? unix_connect(a->path, SOCK_NONBLOCK) : open_file(a->path);
	err = a->fd < 0 ? a->fd : writer_add(w, &a->audit.ring, &ops, a);
	if (err < 0)
		goto fail;
	a->sink = err;
	*out = a;
	return 0;

fail:
	snprintf(why, why_len, "--audit: %s: %s", where, strerror(-err));
	if (a->fd >= 0)
		close(a->fd);
	free(a->ring);
	free(a->where);
	free(a);
	return err;
}

/**
 * audit_log_stack() - for stack_config.audit
 */
struct audit *audit_log_stack(struct audit_log *a)
{
	return &a->audit;
}

/**
 * audit_log_reopen() - go on in the file that is now at the path, or on a new connection
 *
 * For logrotate, which has moved the old one away. Return: 0; or -errno, and all
 * goes on as before
 */
int audit_log_reopen(struct audit_log *a)
{
	int fd;

	if (a->is_socket) {
		atomic_store(&a->reconnect, true);
		writer_kick(a->w);
		return 0;
	}
	fd = open_file(a->path);
	if (fd < 0)
		return fd;
	fd = atomic_exchange(&a->next_fd, fd);
	if (fd >= 0)
		close(fd); /* it was never used */
	writer_kick(a->w);
	return 0;
}

/**
 * audit_log_status() - how it goes
 */
void audit_log_status(struct audit_log *a, struct audit_log_status *s)
{
	*s = (struct audit_log_status){
		.where = a->where,
		.lines = counter_get(&a->lines),
		.bytes = counter_get(&a->bytes),
		.lost = counter_get(&a->audit.ring.lost),
		.withheld = counter_get(&a->audit.withheld),
		.failures = counter_get(&a->failures),
		.waiting = counter_get(&a->waiting),
		.error = (int)counter_get(&a->error),
	};
}

/**
 * audit_log_free() - write what is left, and end; NULL is harmless
 *
 * The stack is gone. Where the disk does not answer, memory is left to the
 * process's end, which is near.
 */
void audit_log_free(struct audit_log *a)
{
	int fd;

	if (!a)
		return;
	writer_remove(a->w, a->sink);
	if (!writer_gone(a->w, a->sink, 2 * WRITER_PATIENCE_MS)) {
		log_error("audit", "%s: does not answer", a->where);
		return;
	}
	fd = atomic_exchange(&a->next_fd, -1);
	if (fd >= 0)
		close(fd);
	free(a->ring);
	free(a->where);
	free(a);
}
