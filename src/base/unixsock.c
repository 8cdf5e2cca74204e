/* SPDX-License-Identifier: MIT */
/* Unix sockets by path: made with their mode, and without a predecessor's remains. */
#include "src/base/unixsock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int address(const char *path, struct sockaddr_un *sa)
{
	size_t len = strlen(path);

	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (len == 0)
		return -EINVAL;
	if (len >= sizeof(sa->sun_path))
		return -ENAMETOOLONG;
	memcpy(sa->sun_path, path, len + 1);
	return 0;
}

/* A socket file that nobody listens on is left over from a run that was killed. */
static void remove_stale(const struct sockaddr_un *sa)
{
	struct stat st;
	int fd;

	if (lstat(sa->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 && errno == ECONNREFUSED)
		unlink(sa->sun_path);
	close(fd);
}

/**
 * unix_listen() - a nonblocking stream socket that listens at @path
 * @mode:	permissions of the file; it never exists with wider ones
 *
 * The caller closes the socket and unlinks @path. Any thread.
 * Return: the descriptor; -EADDRINUSE when somebody listens there, -EEXIST when what is
 * there is no socket, or -errno
 */
int unix_listen(const char *path, mode_t mode, int backlog)
{
	struct sockaddr_un sa;
	int err = address(path, &sa), fd;
	struct stat st;

	if (err < 0)
		return err;
	remove_stale(&sa);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* On Linux the socket's mode, less the umask, becomes the file's at bind(). */
	if (fchmod(fd, mode) < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(fd, backlog) < 0) {
		err = -errno;
		close(fd);
		if (err == -EADDRINUSE && lstat(sa.sun_path, &st) == 0 && !S_ISSOCK(st.st_mode))
			err = -EEXIST;
		return err;
	}
	return fd;
}

/**
 * unix_connect() - a stream socket connected to @path
 * @flags:	SOCK_NONBLOCK, or 0 = it waits, in the connect as well
 *
 * Return: the descriptor; -EAGAIN when it would have to wait for the listener; or
 * -errno
 */
int unix_connect(const char *path, int flags)
{
	struct sockaddr_un sa;
	int err = address(path, &sa), fd;

	if (err < 0)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}
