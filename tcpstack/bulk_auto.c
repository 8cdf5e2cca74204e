/* SPDX-License-Identifier: MIT */
/*
 * Which engines there are, and which of them sends a batch.
 */
#include "tcpstack/bulk.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "src/base/log.h"
#include "tcpstack/limits.h"
#include "tcpstack/priv.h"

static const struct bulk_ops *const known[BULK_ENGINES] = {
	[BULK_COPY] = &bulk_copy,
	[BULK_ZEROCOPY] = &bulk_zc,
	[BULK_URING] = &bulk_uring,
	[BULK_SPLICE] = &bulk_splice,
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
	static const uint8_t asked_of[] = {
		[STACK_BULK_AUTO] = BULK_COPY,	       [STACK_BULK_COPY] = BULK_COPY,
		[STACK_BULK_SPLICE] = BULK_SPLICE,     [STACK_BULK_URING] = BULK_URING,
		[STACK_BULK_ZEROCOPY] = BULK_ZEROCOPY,
	};
	int asked = asked_of[b->st->cfg.bulk];

	b->probes[BULK_COPY].name = names[BULK_COPY];
	for (int e = BULK_COPY + 1; e < BULK_ENGINES; e++) {
		struct bulk_probe *p = &b->probes[e];

		*p = (struct bulk_probe){ .name = names[e] };
		p->err = known[e]->init ? known[e]->init(b, p->why, sizeof(p->why)) : 0;
		if (p->err < 0)
			LOG(asked == e ? LOG_WARN : LOG_INFO, "bulk", "%s: not to be had: %s",
			    names[e], p->why);
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

static bool in_net(const struct ipaddr *a, const struct stack_net *net)
{
	uint32_t bytes = net->bits / 8, bits = net->bits % 8;

	if (memcmp(a->b, net->addr.b, bytes) != 0)
		return false;
	return bits == 0 || (a->b[bytes] ^ net->addr.b[bytes]) >> (8 - bits) == 0;
}

static bool may_splice_to(const struct stack_config *cfg, const struct ipaddr *peer)
{
	for (uint32_t i = 0; i < cfg->nsplice_to; i++)
		if (in_net(peer, &cfg->splice_to[i]))
			return true;
	return false;
}

/**
 * bulk_allow() - which engines may send what @q will carry to @peer
 *
 * To a peer that is not this host by its address alone, zero copies that the
 * kernel tracks: io_uring's, or MSG_ZEROCOPY where io_uring is forbidden (H81).
 * Whether the path leaves this host, the flow finds out by itself (zc_track.h).
 */
void bulk_allow(struct bulk *b, struct bulk_queue *q, const struct ipaddr *peer)
{
	const struct stack_config *cfg = &b->st->cfg;
	const uint8_t tracked = b->engines[BULK_URING] ? 1U << BULK_URING : 1U << BULK_ZEROCOPY;

	q->allowed = 0;
	switch ((enum stack_bulk)cfg->bulk) {
	case STACK_BULK_COPY:
		break;
	case STACK_BULK_AUTO:
		if (may_splice_to(cfg, peer))
			q->allowed = 1U << BULK_SPLICE;
		else if (!ipaddr_is_loopback(peer))
			q->allowed = tracked;
		break;
	case STACK_BULK_SPLICE:
		q->allowed = 1U << BULK_SPLICE;
		break;
	case STACK_BULK_ZEROCOPY:
		q->allowed = 1U << BULK_ZEROCOPY;
		break;
	case STACK_BULK_URING:
		q->allowed = tracked;
		break;
	}
	for (int e = BULK_COPY + 1; e < BULK_ENGINES; e++)
		if (!b->engines[e])
			q->allowed &= (uint8_t) ~(1U << e);
}

/*
 * Descriptors of the transmit ring that all loans may have: half of it, and no more
 * than leaves room for frames on their way. Of a short ring, none.
 */
static uint32_t lent_descs_max(const struct bulk *b)
{
	uint32_t ring = b->st->caps.tx_ring;

	return ring > LIMIT_TX_RING_FREE ? MIN(ring / 2, ring - LIMIT_TX_RING_FREE) : 0;
}

/* May this much more be lent by this flow, and by all? NULL, or what counts that not. (H72) */
static struct counter *beyond_bounds(struct bulk *b, struct bulk_loan *ln)
{
	struct stack_counters *n = &b->st->n;
	const struct bulk_queue *q = ln->q;

	if (ln->bytes + q->bytes > LIMIT_BULK_LENT_BYTES ||
	    ln->segs + q->segs > LIMIT_BULK_LENT_SEGS)
		return &n->bulk_bound;
	if (b->lent_frames + q->segs > LIMIT_BULK_LENT_FRAMES_ALL ||
	    b->lent_descs + q->descs > lent_descs_max(b))
		return &n->bulk_crowd;
	if (!dlist_empty(&ln->lent) &&
	    stack_now(b->st) - bulk_seg_of(ln->lent.next)->lent_ns > LIMIT_BULK_LENT_AGE_NS)
		return &n->bulk_late;
	return NULL;
}

/*
 * At the bound: is it better to wait for what is lent than to copy? The kernel
 * lets go when the peer has it, so if that takes no longer than the bound is
 * good for, or if the socket has not even sent all it was given, a copy now would
 * only make the queue longer, at the price of a copy. But what waits takes up the
 * guest's ring, too: it must still have room for a frame of another flow.
 */
static bool worth_waiting(struct bulk *b, struct bulk_loan *ln)
{
	int unsent = 0;

	if (!ln->ops->notifies || dlist_empty(&ln->lent) ||
	    b->descs + b->lent_descs + LIMIT_TX_RING_FREE > b->st->caps.tx_ring)
		return false;
	if (stack_now(b->st) - bulk_seg_of(ln->lent.next)->lent_ns <= LIMIT_BULK_WAIT_NS)
		return true;
	counter_inc(&b->st->n.syscalls);
	return !ioctl(ln->fd, SIOCOUTQNSD, &unsent) && unsent > 0 &&
	       stack_now(b->st) - bulk_seg_of(ln->lent.next)->lent_ns <= LIMIT_BULK_LENT_AGE_NS;
}

/* Is a batch by engine @e worth it and within bounds? Its loan is then in q->loan. */
static bool suits(struct bulk *b, struct bulk_queue *q, enum bulk_engine e, int fd)
{
	struct stack_counters *n = &b->st->n;
	struct bulk_loan *ln;
	struct counter *why;

	if (b->st->cfg.bulk == STACK_BULK_AUTO && q->bytes / q->segs < LIMIT_BULK_SEG_MIN) {
		counter_inc(&n->bulk_small);
		return false;
	}
	if (b->engines[e]->wants && !b->engines[e]->wants(b, q))
		return false;
	if (b->st->cfg.bulk == STACK_BULK_AUTO) {
		b->judged = &b->trial[e];
		if (bulk_trial_way(b, b->judged) == BULK_WAY_COPY) {
			counter_inc(&n->bulk_dear);
			return false;
		}
	}
	ln = bulk_loan_open(b, q, e, fd);
	if (!ln) {
		counter_inc(q->allowed & 1U << e ? &n->bulk_crowd : &n->bulk_elsewhere);
		return false;
	}
	why = beyond_bounds(b, ln);
	/* Perhaps it has long been let go. Once a cycle. */
	if (why && ln->polled_ns != stack_now(b->st)) {
		bulk_reap(b, ln);
		why = beyond_bounds(b, ln);
	}
	q->waiting = why && worth_waiting(b, ln);
	if (why && !q->waiting)
		counter_inc(why);
	return !why;
}

/**
 * bulk_pick() - the engine for what is pending in @q now
 *
 * By reference where the flow may, the batch is worth it, the bounds allow, and it has
 * not turned out dearer of late (bulk_trial.c); else the copy. A flow's first choice is asked
 * first, and the next one only if that has turned out unable. Return: NULL when nothing should be
 * sent before something that is lent has come back.
 */
const struct bulk_ops *bulk_pick(struct bulk *b, struct bulk_queue *q, int fd)
{
	/* It may be that nothing is lent any more, and that less is pending than when it was. */
	q->waiting = false;
	b->judged = NULL;
	for (enum bulk_engine e = BULK_SPLICE; q->allowed && e < BULK_ENGINES; e++) {
		if (!(q->allowed & 1U << e))
			continue;
		if (suits(b, q, e, fd))
			return b->engines[e];
		if (q->waiting)
			return NULL;
		if (q->allowed & 1U << e)
			break;
	}
	return b->engines[BULK_COPY];
}
