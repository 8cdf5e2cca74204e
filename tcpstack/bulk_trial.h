/* SPDX-License-Identifier: MIT */
/*
 * What a byte costs by reference and by copying, as measured here and now.
 *
 * Part of the stack's bulk engines; on the stack's thread, and without allocation.
 */
#ifndef SLUICE_TCPSTACK_BULK_TRIAL_H
#define SLUICE_TCPSTACK_BULK_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

struct bulk;

/* The two ways of a batch, as indices. */
enum bulk_way { BULK_WAY_COPY, BULK_WAY_REF, BULK_WAYS };

/**
 * struct bulk_trial - an engine by reference against the one that copies
 * @cost:	CPU time of the thread, nanoseconds for each MiB of payload; 0 = not known
 * @usual:	the way that most turns go
 * @way:	the one that this turn goes
 * @settling:	it has just changed: what is still under way went by the other
 * @wins:	tries in a row in which the other way has cost less
 * @turns:	since it was last tried
 * @patience:	turns between two tries
 * @bytes:	that went this way in this turn, of batches that had the choice
 * @began_ns:	when the turn began; 0 = none has
 * @cpu_ns, @payload:	the thread's CPU time and all TCP payload both ways, then
 */
struct bulk_trial {
	uint64_t cost[BULK_WAYS];
	enum bulk_way usual, way;
	bool settling;
	uint32_t wins, turns, patience;
	uint64_t bytes;
	uint64_t began_ns, cpu_ns, payload;
};

/* bulk_trial.c */
void bulk_trial_init(struct bulk_trial *t);
enum bulk_way bulk_trial_way(struct bulk *b, struct bulk_trial *t);
void bulk_trial_sent(struct bulk_trial *t, uint32_t bytes);

#endif
