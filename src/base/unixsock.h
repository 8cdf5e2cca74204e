/* SPDX-License-Identifier: MIT */
/* Listening on a Unix socket of our own. */
#ifndef SLUICE_BASE_UNIXSOCK_H
#define SLUICE_BASE_UNIXSOCK_H

#include <stdint.h>
#include <sys/types.h>

/* unixsock.c */
int unix_listen(const char *path, mode_t mode, int backlog);
int unix_connect(const char *path, int flags);

#endif
