/* SPDX-License-Identifier: MIT */
/*
 * One connection between the guest and a server on the host: what the tests of TCP share.
 *
 *	struct pair p;
 *
 *	pair_start(&p, NULL);			then change what p.c offers
 *	pair_connect(&p);			or pair_open() for both
 *	RIG_UNTIL(p.r, pair_download(&p, MIB));
 *	pair_end(&p);
 */
#ifndef SLUICE_TESTS_STACK_PAIR_RIG_H
#define SLUICE_TESTS_STACK_PAIR_RIG_H

#include "tests/stack/rig_tcp.h"

/**
 * struct pair - both ends
 * @c:		the guest's end, as rig_conn_init() left it until pair_connect()
 * @lfd, @fd:	the server's sockets; @fd is -1 until pair_connect(), and where the test
 *		has closed it
 * @sent:	bytes of c.rx_seed that the server has written
 * @got:	bytes of c.tx_seed that it has read and compared
 */
struct pair {
	struct rig *r;
	struct rig_conn c;
	int lfd, fd;
	uint64_t sent, got;
};

/* pair_rig.c */
void pair_start(struct pair *p, const struct rig_config *cfg);
void pair_connect(struct pair *p);
void pair_open(struct pair *p, const struct rig_config *cfg);
void pair_end(struct pair *p);
void pair_write(struct pair *p, uint64_t total);
uint64_t pair_read(struct pair *p);
bool pair_upload(struct pair *p, uint64_t total, uint32_t size);
bool pair_download(struct pair *p, uint64_t total);
void pair_guest_closes(struct pair *p);
void pair_host_closes(struct pair *p);
void pair_upload_fill(struct pair *p, uint64_t total, uint32_t size);
void pair_download_fill(struct pair *p, uint64_t total);

#endif
