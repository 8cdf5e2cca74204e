/* SPDX-License-Identifier: MIT */
/*
 * Fragments into datagrams, a few at a time and in order.
 *
 * Theory of operation. The link from a guest is a ring: it neither loses nor reorders,
 * and a sender's fragments leave one after the other, though those of several senders
 * may take turns. So a datagram under way is a slot and one number, how many bytes have
 * come: the next fragment begins there, or the datagram is given up. There is no list
 * of holes, nothing to merge, and an overlap cannot be expressed (RFC 5722, H49). Each
 * fragment costs a look at no more than the pool's slots, and one copy.
 *
 * All bounds are the pool's: when it is empty, the oldest datagram makes room. A first
 * fragment always begins anew, so an identification that comes round again is not
 * blocked by what was left behind under it.
 */
#include "tcpstack/reass.h"

#include "arena/arena.h"
#include "src/base/base.h"
#include "tcpstack/frame.h"

static_assert(sizeof(struct reass_key) == 2 * sizeof(struct ipaddr) + 8,
	      "compared as bytes: no padding");
static_assert(REASS_HEADROOM >= ETH_HLEN + IP6_HLEN, "the headers of a frame fit");

static struct reass_slot *slot_of(struct dlist *n)
{
	return container_of(n, struct reass_slot, node);
}

/**
 * reass_init() - nothing is under way
 * @slots:	borrowed; its size is the most that is
 */
void reass_init(struct reass *r, struct pool *slots, void (*lost)(void *ctx, enum drop_reason why),
		void *ctx)
{
	*r = (struct reass){ .slots = slots, .lost = lost, .ctx = ctx };
	dlist_init(&r->open);
}

/**
 * reass_put() - a datagram that reass_add() has given out is done with
 */
void reass_put(struct reass *r, struct reass_slot *slot)
{
	pool_put(r->slots, slot);
}

static void forget(struct reass *r, struct reass_slot *slot)
{
	dlist_del(&slot->node);
	reass_put(r, slot);
}

static void give_up(struct reass *r, struct reass_slot *slot, enum drop_reason why)
{
	forget(r, slot);
	r->lost(r->ctx, why);
}

static struct reass_slot *find(const struct reass *r, const struct reass_key *key)
{
	struct dlist *n;

	dlist_for_each (n, &r->open)
		if (memcmp(&slot_of(n)->key, key, sizeof(*key)) == 0)
			return slot_of(n);
	return NULL;
}

/* A slot for the datagram that @p begins; NULL only if the pool has none at all. */
static struct reass_slot *begin(struct reass *r, const struct reass_piece *p, uint64_t now_ns)
{
	struct reass_slot *slot = pool_get(r->slots);

	if (!slot && !dlist_empty(&r->open)) {
		give_up(r, slot_of(r->open.next), DROP_FRAGMENT_LIMIT);
		slot = pool_get(r->slots);
	}
	if (!slot)
		return NULL;
	slot->key = p->key;
	slot->since_ns = now_ns;
	slot->have = 0;
	slot->ttl = p->ttl;
	slot->tos = p->tos;
	dlist_push_tail(&r->open, &slot->node);
	return slot;
}

/**
 * reass_add() - one more fragment
 * @p:		its bytes are copied
 * @now_ns:	when it came; never runs back
 * @done:	out: the whole datagram if this was the last fragment of it, else NULL.
 *		Its @have bytes are at reass_data(); the caller's until reass_put()
 *
 * Return: DROP_NONE, or why the fragment was dropped (which is not counted here):
 * IP_FRAGMENT: empty, cut at no multiple of eight bytes, or beyond the longest packet;
 * FRAGMENT_ORDER: it does not begin where its datagram ends, which is given up;
 * OUT_OF_SLOTS: the pool's slots are all given out.
 */
enum drop_reason reass_add(struct reass *r, const struct reass_piece *p, uint64_t now_ns,
			   struct reass_slot **done)
{
	uint32_t most = ipaddr_is_v4(&p->key.src) ? REASS_DATA_MAX - IP4_HLEN : REASS_DATA_MAX;
	struct reass_slot *slot;

	*done = NULL;
	if (p->len == 0 || !range_ok(p->at, p->len, most) || p->at % FRAGMENT_UNIT ||
	    (p->more && p->len % FRAGMENT_UNIT))
		return DROP_IP_FRAGMENT;
	slot = find(r, &p->key);
	if (p->at == 0) {
		if (slot)
			give_up(r, slot, DROP_FRAGMENT_ORDER);
		slot = begin(r, p, now_ns);
		if (!slot)
			return DROP_OUT_OF_SLOTS;
	} else if (!slot || slot->have != p->at) {
		if (slot)
			forget(r, slot);
		return DROP_FRAGMENT_ORDER;
	}
	if (frame_copy(p->frame, p->off, reass_data(slot) + p->at, p->len)) {
		forget(r, slot);
		return DROP_IP_FRAGMENT;
	}
	slot->have += p->len;
	if (p->more)
		return DROP_NONE;
	dlist_del(&slot->node);
	*done = slot;
	return DROP_NONE;
}

/**
 * reass_expire() - give up the datagrams whose first fragment came at @until_ns or before
 *
 * Return: when the oldest of those that are left began, 0 = there is none
 */
uint64_t reass_expire(struct reass *r, uint64_t until_ns)
{
	while (!dlist_empty(&r->open) && slot_of(r->open.next)->since_ns <= until_ns)
		give_up(r, slot_of(r->open.next), DROP_FRAGMENT_TIMEOUT);
	return dlist_empty(&r->open) ? 0 : slot_of(r->open.next)->since_ns;
}

/**
 * reass_drop_all() - the sender is gone; nobody is told
 */
void reass_drop_all(struct reass *r)
{
	struct dlist *n;

	while ((n = dlist_pop_head(&r->open)))
		reass_put(r, slot_of(n));
}
