/* SPDX-License-Identifier: MIT */
/*
 * Sends whose pages the kernel still refers to, one flow's.
 *
 * The kernel numbers or names each zero-copy send and says later, in ranges and
 * in almost any order, which ones it has let go of. What is released is the
 * stream up to the first send that it has not. The two engines that live by
 * such notifications, bulk_zc.c and bulk_uring.c, keep this record in their
 * loan; bulk_zc.c holds what they have in common.
 */
#ifndef SLUICE_TCPSTACK_ZC_TRACK_H
#define SLUICE_TCPSTACK_ZC_TRACK_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/base.h"
#include "tcpstack/bulk.h"

/* Sends under way at once, a power of two; the next batch is copied. */
#define ZC_SENDS_MAX 16

/**
 * struct zc_track - in bulk_loan.priv
 * @next:	number of the next send
 * @base:	all before it are done; @next - @base are not known to be
 * @done:	bit i: send @base + i is done
 * @taken:	bit n % ZC_SENDS_MAX: the socket took something of send n
 * @copied:	answers in a row that said "copied"
 * @upto:	low half of the stream offset behind send @base - 1
 * @end:	of send n at n % ZC_SENDS_MAX: the same behind that
 */
struct zc_track {
	uint32_t next, base;
	uint32_t done;
	uint32_t taken;
	uint32_t copied;
	uint32_t upto;
	uint32_t end[ZC_SENDS_MAX];
};

static_assert(sizeof(struct zc_track) <= sizeof(((struct bulk_loan *)0)->priv), "fits a loan");
static_assert(ZC_SENDS_MAX <= 32 && (ZC_SENDS_MAX & (ZC_SENDS_MAX - 1)) == 0, "bits; numbers wrap");

/*
 * How far a flow has come, in bulk_queue.engine_state (design: a flow begins by
 * copying). The number of the next send stands above it, since the kernel counts
 * over the socket's life, which is longer than a loan's.
 */
enum zc_phase {
	ZC_NEW,	    /* copies until a batch is large enough to learn from */
	ZC_PROBING, /* one send by reference is out, all else is copied */
	ZC_ON,	    /* the kernel did not copy it: large batches go by reference */
	ZC_OFF,	    /* it did: the path stays on this host, and the flow copies for ever */
};

#define ZC_PHASE_BITS 2
#define ZC_PHASE_MASK ((1U << ZC_PHASE_BITS) - 1)

/* Here the number would no longer fit; a flow gets there after tens of terabytes. */
#define ZC_STATE_END (UINT32_MAX - ZC_PHASE_MASK)

static inline enum zc_phase zc_phase(const struct bulk_queue *q)
{
	return (enum zc_phase)(q->engine_state & ZC_PHASE_MASK);
}

static inline void zc_set_phase(struct bulk_queue *q, enum zc_phase phase)
{
	q->engine_state = (q->engine_state & ~ZC_PHASE_MASK) | phase;
}

static inline struct zc_track *zc_track_of(struct bulk_loan *ln)
{
	return (struct zc_track *)ln->priv;
}

static inline bool zc_idle(const struct zc_track *t)
{
	return t->next == t->base;
}

static inline bool zc_full(const struct zc_track *t)
{
	return t->next - t->base == ZC_SENDS_MAX;
}

/* bulk_zc.c */
void zc_track_init(struct zc_track *t, uint32_t next, uint64_t offset);
uint32_t zc_track_open(struct zc_track *t, uint64_t offset);
void zc_track_taken(struct zc_track *t, uint32_t send, uint64_t end);
bool zc_track_was_taken(const struct zc_track *t, uint32_t send);
void zc_track_done(struct zc_track *t, uint32_t first, uint32_t count);
uint64_t zc_track_released(const struct zc_track *t, const struct bulk_loan *ln);
bool zc_wants(struct bulk *b, const struct bulk_queue *q);
void zc_began(struct bulk *b, struct bulk_queue *q);
void zc_heard(struct bulk *b, struct bulk_loan *ln, bool copied);
void zc_ended(struct bulk *b, struct bulk_loan *ln);

#endif
