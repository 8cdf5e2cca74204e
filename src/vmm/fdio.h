/* SPDX-License-Identifier: MIT */
/*
 * Nonblocking reads and writes on a descriptor that somebody gave us, without
 * changing that somebody's file status flags: a shell whose terminal we made
 * nonblocking would not thank us.
 */
#ifndef SLUICE_VMM_FDIO_H
#define SLUICE_VMM_FDIO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/**
 * struct fdio - our own descriptor for the same file
 * @fd:		-1 = none
 * @socket:	use MSG_DONTWAIT
 * @careful:	could not be made nonblocking: poll(2) first, and small pieces
 */
struct fdio {
	int fd;
	bool socket;
	bool careful;
};

/* fdio.c */
int fdio_open(struct fdio *f, int fd, bool writing);
void fdio_close(struct fdio *f);
ssize_t fdio_read(const struct fdio *f, void *buf, size_t len);
ssize_t fdio_write(const struct fdio *f, const struct iovec *iov, int n);

#endif
