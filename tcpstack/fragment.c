/* SPDX-License-Identifier: MIT */
/*
 * Fragments of the guest: UDP and ICMP echo are put together, nothing else is.
 *
 * A datagram that is complete becomes a frame again, of the guest's Ethernet header, an
 * IP header without options, and its bytes, all in our own memory. It then goes through
 * every check from the beginning, as if it had come whole: so no rule sees less of a
 * datagram because it was in pieces. TCP has its own segments and needs no fragments;
 * neighbour discovery must not have them (RFC 6980).
 */
#include "tcpstack/priv.h"

#include <errno.h>

static void on_lost(void *ctx, enum drop_reason why)
{
	stack_drop(ctx, why);
}

static void on_timeout(void *ctx, struct timer *t)
{
	struct stack *st = ctx;
	uint64_t oldest = reass_expire(&st->reass, stack_now(st) - LIMIT_REASSEMBLY_NS);

	if (oldest)
		timer_arm(loop_timers(st->loop), t, oldest + LIMIT_REASSEMBLY_NS);
}

/**
 * fragment_init() - find the pool in the stack's arena; 0 or -ENOENT
 */
int fragment_init(struct stack *st)
{
	struct pool *slots = arena_pool(st->arena, "reassembly");

	if (!slots)
		return -ENOENT;
	reass_init(&st->reass, slots, on_lost, st);
	timer_init(&st->reass_timer, on_timeout, st);
	return 0;
}

/**
 * fragment_drop_all() - the driver that has sent them goes (H17); harmless without an init
 */
void fragment_drop_all(struct stack *st)
{
	if (!st->reass.slots)
		return;
	reass_drop_all(&st->reass);
	timer_cancel(loop_timers(st->loop), &st->reass_timer);
}

/* May it be one of a datagram that we put together? The first one shows its type. */
static bool wanted(const struct packet *pkt)
{
	bool v4 = ipaddr_is_v4(&pkt->src);
	struct cursor c = packet_l4(pkt);
	const uint8_t *type;

	if (pkt->proto == PROTO_UDP)
		return true;
	if (pkt->proto != (v4 ? PROTO_ICMP : PROTO_ICMP6))
		return false;
	type = pkt->frag_at ? NULL : cursor_pull(&c, 1);
	return !type || *type == (v4 ? ICMP4_ECHO_REQUEST : ICMP6_ECHO_REQUEST);
}

/* The datagram in @slot as a frame; @eth is the Ethernet header of one of its fragments. */
static void deliver(struct stack *st, struct reass_slot *slot, const uint8_t *eth)
{
	uint32_t hlen = ETH_HLEN + (ipaddr_is_v4(&slot->key.src) ? IP4_HLEN : IP6_HLEN);
	uint8_t *head = reass_data(slot) - hlen;
	struct l3_spec l3 = { .src = slot->key.src,
			      .dst = slot->key.dst,
			      .proto = (uint8_t)slot->key.proto,
			      .ttl = slot->ttl,
			      .tos = slot->tos,
			      .dont_fragment = true };
	struct iovec iov = { head, hlen + slot->have };
	struct tx_frame frame = { .head = head,
				  .head_len = MIN(hlen + slot->have, (uint32_t)PORT_HEAD_MAX),
				  .len = hlen + slot->have,
				  .iov = &iov,
				  .iovcnt = 1 };

	out_l3(st, head, &l3, slot->have);
	memcpy(head, eth, ETH_HLEN - 2);
	counter_inc(&st->n.reassembled);
	/* Only TCP holds frames. */
	BUG_ON(eth_input(st, &frame) != TX_DONE);
}

/**
 * fragment_input() - one fragment, its addresses checked
 *
 * Network worker. The frame is not kept.
 */
void fragment_input(struct stack *st, const struct packet *pkt)
{
	struct reass_piece p = {
		.key = { .src = pkt->src,
			 .dst = pkt->dst,
			 .id = pkt->frag_id,
			 .proto = pkt->proto },
		.frame = pkt->frame,
		.off = pkt->l4,
		.len = pkt->l4_len,
		.at = pkt->frag_at,
		.more = pkt->more,
		.ttl = pkt->ttl,
		.tos = pkt->tos,
	};
	struct reass_slot *done = NULL;
	enum drop_reason why = DROP_IP_FRAGMENT;

	if (wanted(pkt))
		why = reass_add(&st->reass, &p, stack_now(st), &done);
	if (why != DROP_NONE)
		stack_drop(st, why);
	if (done) {
		deliver(st, done, pkt->frame->head);
		reass_put(&st->reass, done);
	}
	if (!dlist_empty(&st->reass.open) && !timer_armed(&st->reass_timer))
		timer_arm(loop_timers(st->loop), &st->reass_timer,
			  stack_now(st) + LIMIT_REASSEMBLY_NS);
}
