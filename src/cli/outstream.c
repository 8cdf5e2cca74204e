/* SPDX-License-Identifier: MIT */
/*
 * Writing to descriptors that other processes share: O_NONBLOCK is a property
 * of the open file, so setting it on a terminal or pipe would change it for the
 * shell that started us, and for good if we die.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/cli/outstream.h"

/**
 * outstream_init() - @fd stays the caller's; -1 drops everything
 */
void outstream_init(struct outstream *s, int fd)
{
	struct stat st;

	s->fd = fd;
	s->broken = fd < 0;
	s->kind = OUTSTREAM_OTHER;
	bytering_init(&s->ring, s->buf, OUTSTREAM_SIZE);
	if (fstat(fd, &st) < 0)
		return;
	if (S_ISREG(st.st_mode))
		s->kind = OUTSTREAM_FILE;
	else if (S_ISSOCK(st.st_mode))
		s->kind = OUTSTREAM_SOCKET;
}

/* One write that does not wait. Returns bytes, or -EAGAIN, or the error. */
static ssize_t write_now(const struct outstream *s, const struct iovec *iov)
{
	size_t len = iov->iov_len;
	ssize_t n;

	if (s->kind == OUTSTREAM_SOCKET) {
		n = send(s->fd, iov->iov_base, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		return n < 0 ? -errno : n;
	}
	if (s->kind == OUTSTREAM_OTHER) {
		struct pollfd p = { .fd = s->fd, .events = POLLOUT };

		if (poll(&p, 1, 0) == 0)
			return -EAGAIN;
		/* A pipe that polls writable takes PIPE_BUF bytes, pipe(7). */
		len = MIN(len, (size_t)PIPE_BUF);
	}
	n = write(s->fd, iov->iov_base, len);
	return n < 0 ? -errno : n;
}

/**
 * outstream_flush() - write as much as goes without waiting
 *
 * Return: true when nothing is left to write
 */
bool outstream_flush(struct outstream *s)
{
	struct iovec iov[2];

	while (!s->broken && bytering_readable(&s->ring, iov) > 0) {
		ssize_t n = write_now(s, iov);

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN)
			return false;
		if (n < 0)
			s->broken = true;
		else
			bytering_advance_tail(&s->ring, (uint32_t)n);
	}
	if (s->broken)
		bytering_advance_tail(&s->ring, bytering_used(&s->ring));
	return true;
}

/**
 * outstream_put() - take bytes for writing
 *
 * Return: bytes taken from the front; fewer than @len when the reader is slow
 */
size_t outstream_put(struct outstream *s, const void *p, size_t len)
{
	size_t done = 0;

	while (done < len) {
		uint32_t want = (uint32_t)MIN(len - done, (size_t)OUTSTREAM_SIZE);
		uint32_t n = s->broken ? want
				       : bytering_put(&s->ring, (const uint8_t *)p + done, want);

		done += n;
		if (n < want) {
			outstream_flush(s);
			if (!s->broken && bytering_room(&s->ring) == 0)
				break;
		}
	}
	return done;
}

/**
 * outstream_finish() - write what is left, waiting for the reader
 *
 * For the end of the program: a signal must be able to end it.
 */
void outstream_finish(struct outstream *s)
{
	while (!outstream_flush(s)) {
		struct pollfd p = { .fd = s->fd, .events = POLLOUT };

		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return;
	}
}
