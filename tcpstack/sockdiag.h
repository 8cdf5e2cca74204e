/* SPDX-License-Identifier: MIT */
/*
 * What a TCP peer on this host has not read yet: sock_diag(7).
 */
#ifndef SLUICE_TCPSTACK_SOCKDIAG_H
#define SLUICE_TCPSTACK_SOCKDIAG_H

#include <stdbool.h>
#include <stdint.h>

#include "tcpstack/addr.h"

/**
 * struct sockdiag_peer - the other end of a connection of ours
 * @here, @there:	our end and the peer's
 * @cookie:	the peer's socket, as the kernel tells it from all others
 * @known:	@cookie is set
 */
struct sockdiag_peer {
	struct endpoint here, there;
	uint64_t cookie;
	bool known;
};

/* sockdiag.c */
int sockdiag_open(void);
int sockdiag_unread(int nl, struct sockdiag_peer *p, uint32_t *unread);

#endif
