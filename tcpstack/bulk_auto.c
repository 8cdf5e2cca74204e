/* SPDX-License-Identifier: MIT */
/*
 * Which engines there are, and which of them sends a batch.
 */
#include "tcpstack/bulk.h"

#include "src/base/log.h"
#include "tcpstack/limits.h"
#include "tcpstack/priv.h"

static const struct bulk_ops *const known[BULK_ENGINES] = {
	[BULK_COPY] = &bulk_copy,
};

static const char *const names[BULK_ENGINES] = {
	[BULK_COPY] = "copy",
	[BULK_SPLICE] = "splice",
	[BULK_ZEROCOPY] = "zerocopy",
	[BULK_URING] = "uring",
};

/**
 * bulk_engines_init() - start the engines that are to be had here
 *
 * One that is not is said once, and the others serve in its place.
 */
void bulk_engines_init(struct bulk *b)
{
	char why[128];

	for (int e = BULK_COPY + 1; e < BULK_ENGINES; e++) {
		if (!known[e])
			continue;
		why[0] = 0;
		if (known[e]->init && known[e]->init(b, why, sizeof(why)) < 0)
			log_info("bulk", "%s: not to be had: %s", names[e], why);
		else
			b->engines[e] = known[e];
	}
}

/**
 * bulk_engines_fini() - end them; harmless before bulk_engines_init()
 */
void bulk_engines_fini(struct bulk *b)
{
	for (int e = BULK_COPY + 1; e < BULK_ENGINES; e++) {
		if (b->engines[e] && b->engines[e]->fini)
			b->engines[e]->fini(b);
		b->engines[e] = NULL;
	}
}

/* May this much more be lent by this flow, and by all? (H72) */
static bool within_bounds(struct bulk *b, struct bulk_loan *ln)
{
	uint64_t now = stack_now(b->st);
	struct bulk_queue *q = ln->q;
	const struct bulk_seg *first;

	if (ln->bytes + q->bytes > LIMIT_BULK_LENT_BYTES ||
	    ln->segs + q->segs > LIMIT_BULK_LENT_SEGS ||
	    b->lent_frames + q->segs > LIMIT_BULK_LENT_FRAMES_ALL)
		return false;
	if (dlist_empty(&ln->lent))
		return true;
	first = bulk_seg_of(ln->lent.next);
	return now - first->lent_ns <= LIMIT_BULK_LENT_AGE_NS;
}

/**
 * bulk_pick() - the engine for what is pending in @q now
 *
 * By reference where the flow may, the batch is worth it and the bounds allow;
 * else the copy. What bulk_pick() returns has its loan in q->loan.
 */
const struct bulk_ops *bulk_pick(struct bulk *b, struct bulk_queue *q, int fd)
{
	for (int e = BULK_COPY + 1; e < BULK_ENGINES; e++) {
		struct bulk_loan *ln;

		if (!(q->allowed & 1U << e) || !b->engines[e])
			continue;
		if (q->bytes < LIMIT_BULK_BY_REF_MIN)
			break;
		ln = bulk_loan_open(b, q, b->engines[e], fd);
		if (!ln)
			continue;
		if (within_bounds(b, ln))
			return ln->ops;
		/* Perhaps it has long been let go. Once a cycle. */
		if (ln->polled_ns != stack_now(b->st)) {
			bulk_reap(b, ln);
			if (within_bounds(b, ln))
				return ln->ops;
		}
		break;
	}
	return b->engines[BULK_COPY];
}
