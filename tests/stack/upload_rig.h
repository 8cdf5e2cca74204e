/* SPDX-License-Identifier: MIT */
/* A guest that uploads to a server on the host: what the tests of that direction share. */
#ifndef SLUICE_TESTS_STACK_UPLOAD_RIG_H
#define SLUICE_TESTS_STACK_UPLOAD_RIG_H

#include "tests/stack/rig_tcp.h"

#define MIB (1ULL << 20)

#define COUNT(r, name) counter_get(&stack_counters(rig_stack(r))->name)

/**
 * struct up - one upload
 * @c:		the guest's end, as rig_conn_init() left it until up_open()
 * @lfd, @fd:	the server's sockets
 * @got:	bytes that it has read and compared
 */
struct up {
	struct rig *r;
	struct rig_conn c;
	int lfd, fd;
	uint64_t got;
};

/* upload_rig.c */
void up_start(struct up *u, const struct rig_config *cfg);
void up_open(struct up *u);
void up_end(struct up *u);
bool up_round(struct up *u, uint64_t total, uint32_t size);
void up_fill(struct up *u, uint64_t total, uint32_t size);

#endif
