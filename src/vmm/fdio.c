/* SPDX-License-Identifier: MIT */
/*
 * Nonblocking use of foreign descriptors.
 *
 * Terminals and pipes are opened anew through /proc/self/fd, which gives a file
 * description of our own with O_NONBLOCK in it. Sockets take MSG_DONTWAIT.
 * Regular files never block for long. Where opening anew is refused (a terminal
 * that belongs to the user before su), poll(2) is asked before each small piece.
 */
#include "src/vmm/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/base.h"

/* A terminal that poll(2) calls writable takes as much as this. */
#define CAREFUL_PIECE 256

static int open_anew(int fd, bool writing)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, (writing ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/**
 * fdio_open() - our own way to @fd, which stays the caller's
 *
 * Main thread. Return: 0 or -errno
 */
int fdio_open(struct fdio *f, int fd, bool writing)
{
	struct stat st;

	*f = (struct fdio){ .fd = -1 };
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))
		f->fd = open_anew(fd, writing);
	if (f->fd >= 0)
		return 0;
	f->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (f->fd < 0)
		return -errno;
	f->socket = S_ISSOCK(st.st_mode);
	f->careful = !f->socket && !S_ISREG(st.st_mode);
	return 0;
}

/**
 * fdio_close() - harmless if it is not open
 */
void fdio_close(struct fdio *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

static bool ready(const struct fdio *f, short events)
{
	struct pollfd p = { .fd = f->fd, .events = events };

	return poll(&p, 1, 0) > 0;
}

/**
 * fdio_read() - Return: bytes, 0 at the end of the file, -EAGAIN or -errno
 */
ssize_t fdio_read(const struct fdio *f, void *buf, size_t len)
{
	ssize_t r;

	if (f->careful && !ready(f, POLLIN))
		return -EAGAIN;
	do {
		r = f->socket ? recv(f->fd, buf, len, MSG_DONTWAIT) : read(f->fd, buf, len);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

/**
 * fdio_write() - write what fits now
 *
 * Return: bytes written, maybe fewer than given; -EAGAIN, -EPIPE (never the
 * signal, for sockets), or -errno
 */
ssize_t fdio_write(const struct fdio *f, const struct iovec *iov, int n)
{
	struct iovec first = iov[0];
	struct msghdr msg = { .msg_iov = &first, .msg_iovlen = 1 };
	ssize_t r;

	if (f->careful) {
		if (!ready(f, POLLOUT))
			return -EAGAIN;
		first.iov_len = MIN(first.iov_len, (size_t)CAREFUL_PIECE);
	}
	do {
		if (f->socket)
			r = sendmsg(f->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		else if (f->careful)
			r = write(f->fd, first.iov_base, first.iov_len);
		else
			r = writev(f->fd, iov, n);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}
