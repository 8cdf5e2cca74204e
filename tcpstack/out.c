/* SPDX-License-Identifier: MIT */
/*
 * Frames to the guest that we originate.
 *
 * Theory of operation: a frame is built in a slot of one of three arena pools,
 * by size, and copied into the guest's buffers at once when the ring has room:
 * such frames are short, and the slot is free again when out_send() returns. If
 * the ring has none, the slot joins a queue; from then on every frame of ours
 * goes through the queue, so that order is kept, and stack_rx_refilled() sends
 * what it can (H14). The queue is bounded: beyond LIMIT_OUT_WAITING the newest
 * frame is dropped and counted, as a switch does. So is one that has waited for
 * LIMIT_OUT_WAIT_NS, once there is anything to do: if the guest has room for
 * short frames only, a long one at the head must not block them for ever.
 *
 * rx_commit() completes the oldest allocated frame. So no function here may be
 * called between a module's own rx_alloc() and its rx_commit().
 */
#include "tcpstack/priv.h"

#include <errno.h>

#define IP4_FLAG_DF 0x4000
#define IP4_FLAG_MF 0x2000

#define IP4_LEN_MAX 65535

static_assert(sizeof(struct out_slot) + OUT_HEADERS_MAX <= LIMIT_OUT_SMALL_BYTES,
	      "any segment without payload fits a small slot");
static_assert(sizeof(struct out_slot) + PORT_FRAME_MAX <= LIMIT_OUT_LARGE_BYTES,
	      "any frame fits a large slot");

/**
 * out_init() - find the pools in the stack's arena
 *
 * Return: 0, or -ENOENT when the arena was built without them
 */
int out_init(struct stack *st)
{
	dlist_init(&st->out_waiting);
	st->out_small = arena_pool(st->arena, "out-small");
	st->out_medium = arena_pool(st->arena, "out-medium");
	st->out_large = arena_pool(st->arena, "out-large");
	return st->out_small && st->out_medium && st->out_large ? 0 : -ENOENT;
}

/**
 * out_fini() - give waiting slots back
 */
void out_fini(struct stack *st)
{
	if (st->out_small)
		out_drop_all(st);
}

static struct pool *pool_of_room(struct stack *st, uint32_t room)
{
	if (room == pool_slot_size(st->out_small) - sizeof(struct out_slot))
		return st->out_small;
	if (room == pool_slot_size(st->out_medium) - sizeof(struct out_slot))
		return st->out_medium;
	return st->out_large;
}

static struct out_slot *take(struct pool *pool, uint32_t len)
{
	uint32_t room = pool_slot_size(pool) - (uint32_t)sizeof(struct out_slot);
	struct out_slot *slot = len <= room ? pool_get(pool) : NULL;

	if (slot)
		*slot = (struct out_slot){ .len = len, .room = room };
	return slot;
}

/**
 * out_begin() - a slot for a frame of @len bytes, Ethernet header included
 * @len:	at most PORT_FRAME_MAX; the caller may lower slot->len later
 *
 * The first OUT_HEADERS_MAX bytes are zero, the rest is as it was; offloads are
 * off. The caller owns the slot until out_send() or out_cancel().
 *
 * Return: the slot, or NULL with OUT_OF_SLOTS counted
 */
struct out_slot *out_begin(struct stack *st, uint32_t len)
{
	struct out_slot *slot;

	BUG_ON(len > PORT_FRAME_MAX);
	slot = take(st->out_small, len);
	if (!slot)
		slot = take(st->out_medium, len);
	if (!slot)
		slot = take(st->out_large, len);
	if (!slot) {
		stack_drop(st, DROP_OUT_OF_SLOTS);
		return NULL;
	}
	dlist_init(&slot->wait);
	memset(slot->data, 0, MIN(slot->room, (uint32_t)OUT_HEADERS_MAX));
	return slot;
}

/**
 * out_cancel() - give @slot back unsent
 */
void out_cancel(struct stack *st, struct out_slot *slot)
{
	pool_put(pool_of_room(st, slot->room), slot);
}

/* False: the ring has too little room now, and @slot is still the caller's. */
static bool try_send(struct stack *st, struct out_slot *slot)
{
	struct rx_frame frame;
	int err;

	err = st->port->rx_alloc(st->port_ctx, slot->len, &frame);
	if (err == -ENOBUFS) {
		st->rx_starved = true;
		return false;
	}
	if (err) {
		stack_drop(st, DROP_RX_TOO_BIG);
	} else {
		iov_write(frame.iov, frame.iovcnt, 0, slot->data, slot->len);
		stack_rx_commit(st, &frame, slot->len, &slot->off);
		counter_inc(&st->n.rx_frames);
		counter_add(&st->n.rx_bytes, slot->len);
	}
	out_cancel(st, slot);
	return true;
}

static bool expired(const struct stack *st, const struct out_slot *slot)
{
	return stack_now(st) - slot->since_ns > LIMIT_OUT_WAIT_NS;
}

/* The slot that has waited longest, or NULL. */
static struct out_slot *oldest(const struct stack *st)
{
	if (dlist_empty(&st->out_waiting))
		return NULL;
	return container_of(st->out_waiting.next, struct out_slot, wait);
}

/**
 * out_flush() - send what waits, in order, as far as the ring has room
 *
 * What has waited too long is dropped and counted as RX_NO_BUFFER.
 */
void out_flush(struct stack *st)
{
	struct out_slot *slot;

	while (st->port && (slot = oldest(st))) {
		dlist_del(&slot->wait);
		if (expired(st, slot)) {
			stack_drop(st, DROP_RX_NO_BUFFER);
			out_cancel(st, slot);
		} else if (!try_send(st, slot)) {
			dlist_push_head(&st->out_waiting, &slot->wait);
			return;
		}
		st->out_waiting_count--;
	}
}

/**
 * out_send() - send @slot to the guest now, or as soon as it has buffers
 *
 * Takes the slot in any case. What cannot be sent is counted: RX_NO_DRIVER,
 * RX_TOO_BIG, or RX_NO_BUFFER when the queue is full too.
 */
void out_send(struct stack *st, struct out_slot *slot)
{
	BUG_ON(slot->len > slot->room || slot->len < ETH_HLEN);
	if (!st->port) {
		stack_drop(st, DROP_RX_NO_DRIVER);
		out_cancel(st, slot);
		return;
	}
	if (oldest(st) && expired(st, oldest(st)))
		out_flush(st);
	if (dlist_empty(&st->out_waiting) && try_send(st, slot))
		return;
	if (st->out_waiting_count >= LIMIT_OUT_WAITING) {
		stack_drop(st, DROP_RX_NO_BUFFER);
		out_cancel(st, slot);
		return;
	}
	slot->since_ns = stack_now(st);
	dlist_push_tail(&st->out_waiting, &slot->wait);
	st->out_waiting_count++;
}

/**
 * out_send_now() - send @slot if the guest has room for it and nothing waits before it
 *
 * Takes the slot in any case. For what its owner keeps until it is sent: nothing is
 * counted. Return: false when the guest does not get it; stack_rx_refilled() is the
 * time to try again.
 */
bool out_send_now(struct stack *st, struct out_slot *slot)
{
	if (st->port && dlist_empty(&st->out_waiting) && try_send(st, slot))
		return true;
	out_cancel(st, slot);
	return false;
}

/**
 * out_drop_all() - what waits was meant for a driver that is gone (H17)
 */
void out_drop_all(struct stack *st)
{
	struct dlist *n;

	while ((n = dlist_pop_head(&st->out_waiting))) {
		stack_drop(st, DROP_RX_NO_DRIVER);
		out_cancel(st, container_of(n, struct out_slot, wait));
	}
	st->out_waiting_count = 0;
}

static void write_eth(const struct stack *st, uint8_t *buf, const struct l3_spec *l3, bool v4)
{
	if (v4 && ipaddr_v4(&l3->dst) == UINT32_MAX)
		memset(buf, 0xff, 6);
	else if (ipaddr_is_multicast6(&l3->dst)) /* RFC 2464 section 7 */
		memcpy(buf,
		       (const uint8_t[6]){ 0x33, 0x33, l3->dst.b[12], l3->dst.b[13], l3->dst.b[14],
					   l3->dst.b[15] },
		       6);
	else
		memcpy(buf, st->guest_mac, 6);
	memcpy(buf + 6, st->cfg.our_mac, 6);
	put_be16(buf + 12, v4 ? ETHERTYPE_IP4 : ETHERTYPE_IP6);
}

static void write_ip4(struct stack *st, uint8_t *ip, const struct l3_spec *l3, uint32_t l4_len)
{
	uint16_t id = 0, frag = IP4_FLAG_DF;

	BUG_ON(l4_len > IP4_LEN_MAX - IP4_HLEN);
	if (l3->fragment) {
		frag = (uint16_t)(l3->at / FRAGMENT_UNIT | (l3->more ? IP4_FLAG_MF : 0));
		id = (uint16_t)l3->id;
	} else if (!l3->dont_fragment) {
		frag = 0;
		id = ++st->ip_id;
	}
	ip[0] = 0x45;
	ip[1] = l3->tos;
	put_be16(ip + 2, (uint16_t)(IP4_HLEN + l4_len));
	put_be16(ip + 4, id);
	put_be16(ip + 6, frag);
	ip[8] = l3->ttl ? l3->ttl : LIMIT_TTL;
	ip[9] = l3->proto;
	put_be16(ip + 10, 0);
	memcpy(ip + 12, l3->src.b + 12, 4);
	memcpy(ip + 16, l3->dst.b + 12, 4);
	put_be16(ip + 10, csum_fold(csum_add(0, ip, IP4_HLEN)));
}

/* Return: bytes of header */
static uint32_t write_ip6(uint8_t *ip, const struct l3_spec *l3, uint32_t l4_len)
{
	uint32_t ext = l3->fragment ? FRAGMENT6_HLEN : 0;
	uint8_t *frag = ip + IP6_HLEN;

	BUG_ON(l4_len > UINT16_MAX - ext);
	put_be32(ip, 6U << 28 | (uint32_t)l3->tos << 20);
	put_be16(ip + 4, (uint16_t)(ext + l4_len));
	ip[6] = l3->fragment ? NEXT_FRAGMENT : l3->proto;
	ip[7] = l3->ttl ? l3->ttl : LIMIT_TTL;
	memcpy(ip + 8, l3->src.b, 16);
	memcpy(ip + 24, l3->dst.b, 16);
	if (ext) {
		frag[0] = l3->proto;
		frag[1] = 0;
		put_be16(frag + 2, (uint16_t)(l3->at | l3->more));
		put_be32(frag + 4, l3->id);
	}
	return IP6_HLEN + ext;
}

/**
 * out_l3() - write the Ethernet and IP headers of a frame (RFC 791 3.1, RFC 8200 3)
 * @buf:	the frame's first byte; OUT_HEADERS_MAX bytes of room
 * @l4_len:	bytes of transport header and payload, or of the fragment's part of them
 *
 * A datagram with DF carries identification 0, others the next number
 * (RFC 6864 section 4), but for fragments, which have their datagram's.
 *
 * Return: offset of the transport header from @buf
 */
uint32_t out_l3(struct stack *st, uint8_t *buf, const struct l3_spec *l3, uint32_t l4_len)
{
	bool v4 = ipaddr_is_v4(&l3->src);

	write_eth(st, buf, l3, v4);
	if (!v4)
		return ETH_HLEN + write_ip6(buf + ETH_HLEN, l3, l4_len);
	write_ip4(st, buf + ETH_HLEN, l3, l4_len);
	return ETH_HLEN + IP4_HLEN;
}

static void write_udp(uint8_t *udp, const struct endpoint *src, const struct endpoint *dst,
		      uint32_t l4_len, uint16_t csum)
{
	put_be16(udp, src->port);
	put_be16(udp + 2, dst->port);
	put_be16(udp + 4, (uint16_t)l4_len);
	put_be16(udp + 6, csum);
}

/* The checksum over @udp, whose own field is zero, and @payload; never 0 (RFC 768). */
static uint16_t udp_csum(const struct l3_spec *l3, const uint8_t *udp, const void *payload,
			 uint32_t len)
{
	uint32_t sum = csum_pseudo(&l3->src, &l3->dst, PROTO_UDP, UDP_HLEN + len);
	uint16_t csum = csum_fold(csum_add(csum_add(sum, udp, UDP_HLEN), payload, len));

	return csum ? csum : 0xffff;
}

static void udp_whole(struct stack *st, const struct l3_spec *l3, const struct endpoint *src,
		      const struct endpoint *dst, const void *payload, uint32_t len)
{
	uint32_t hlen = ETH_HLEN + (ipaddr_is_v4(&l3->src) ? IP4_HLEN : IP6_HLEN);
	struct out_slot *slot = out_begin(st, hlen + UDP_HLEN + len);
	uint8_t *udp;

	if (!slot)
		return;
	udp = slot->data + out_l3(st, slot->data, l3, UDP_HLEN + len);
	memcpy(udp + UDP_HLEN, payload, len);
	write_udp(udp, src, dst, UDP_HLEN + len, 0);
	if (st->port && st->caps.rx_csum) {
		slot->off.needs_csum = true;
		slot->off.csum_start = (uint16_t)hlen;
		slot->off.csum_offset = 6;
		put_be16(udp + 6, csum_partial(&l3->src, &l3->dst, PROTO_UDP, UDP_HLEN + len));
	} else {
		put_be16(udp + 6, udp_csum(l3, udp, payload, len));
	}
	out_send(st, slot);
}

/**
 * out_udp() - send one datagram to the guest
 * @src, @dst:	as the guest is to see them; one family
 * @payload:	@len bytes, read during the call
 *
 * Over the guest's MTU it goes in fragments. The checksum is left to a driver that
 * takes partial ones. A datagram that no IP packet holds is counted as UDP_TOO_BIG.
 */
void out_udp(struct stack *st, const struct endpoint *src, const struct endpoint *dst,
	     const void *payload, uint32_t len)
{
	struct l3_spec l3 = {
		.src = src->addr, .dst = dst->addr, .proto = PROTO_UDP, .dont_fragment = true
	};
	struct iovec iov = { (void *)(uintptr_t)payload, len };
	uint8_t udp[UDP_HLEN];
	struct out_data data = {
		.head = udp, .head_len = UDP_HLEN, .iov = &iov, .iovcnt = 1, .len = len
	};
	bool v4 = ipaddr_is_v4(&src->addr);

	if (len > (v4 ? IP4_LEN_MAX - IP4_HLEN : UINT16_MAX) - UDP_HLEN) {
		stack_drop(st, DROP_UDP_TOO_BIG);
	} else if ((v4 ? IP4_HLEN : IP6_HLEN) + UDP_HLEN + len <= st->cfg.mtu) {
		udp_whole(st, &l3, src, dst, payload, len);
	} else {
		write_udp(udp, src, dst, UDP_HLEN + len, 0);
		put_be16(udp + 6, udp_csum(&l3, udp, payload, len));
		out_fragments(st, &l3, &data);
	}
}
