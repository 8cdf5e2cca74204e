/* SPDX-License-Identifier: MIT */
/*
 * Datagrams to the guest that its MTU does not hold (RFC 791 3.2, RFC 8200 4.5).
 *
 * All fragments or none: a datagram with a hole is of no use, and the guest would keep
 * its pieces for half a minute. They are made in order, each in a slot of its own, and
 * leave through out_send(), where they may wait like any frame.
 */
#include "tcpstack/priv.h"

/* The longest datagram in the smallest fragments of either family. */
#define UNIT4(mtu)     ALIGN_DOWN((mtu)-IP4_HLEN, FRAGMENT_UNIT)
#define UNIT6(mtu)     ALIGN_DOWN((mtu)-IP6_HLEN - FRAGMENT6_HLEN, FRAGMENT_UNIT)
#define FRAGMENTS4_MAX (UINT16_MAX / UNIT4(STACK_MTU_MIN) + 1)
#define FRAGMENTS6_MAX (UINT16_MAX / UNIT6(STACK_MTU_MIN6) + 1)
#define FRAGMENTS_MAX  FRAGMENTS4_MAX

static_assert(FRAGMENTS4_MAX >= FRAGMENTS6_MAX, "the most are those of IPv4");
static_assert(FRAGMENTS_MAX <= LIMIT_OUT_WAITING, "a datagram in fragments can wait");

/* Bytes [@at, @at + @len) of the datagram. */
static void copy_part(const struct out_data *d, uint32_t at, uint8_t *to, uint32_t len)
{
	uint32_t n = 0;

	if (at < d->head_len) {
		n = MIN(len, d->head_len - at);
		memcpy(to, (const uint8_t *)d->head + at, n);
	}
	if (n < len)
		iov_read(d->iov, d->iovcnt, d->off + at + n - d->head_len, to + n, len - n);
}

/* Slots for @n fragments of up to @unit bytes that make @total, or none. */
static bool take_slots(struct stack *st, struct out_slot **slots, uint32_t n, uint32_t hlen,
		       uint32_t unit, uint32_t total)
{
	for (uint32_t i = 0; i < n; i++) {
		slots[i] = out_begin(st, hlen + MIN(unit, total - i * unit));
		if (slots[i])
			continue;
		while (i > 0)
			out_cancel(st, slots[--i]);
		return false;
	}
	return true;
}

/**
 * out_fragments() - send a datagram in as many fragments as the guest's MTU asks for
 * @l3:		of all of them
 * @data:	no more than an IP packet of the family holds; read during the call
 *
 * What finds no room is counted: OUT_OF_SLOTS, or RX_NO_BUFFER when too much waits.
 */
void out_fragments(struct stack *st, const struct l3_spec *l3, const struct out_data *data)
{
	bool v4 = ipaddr_is_v4(&l3->src);
	uint32_t hlen = ETH_HLEN + (v4 ? IP4_HLEN : IP6_HLEN + FRAGMENT6_HLEN);
	uint32_t unit = v4 ? UNIT4((uint32_t)st->cfg.mtu) : UNIT6((uint32_t)st->cfg.mtu);
	uint32_t total = data->head_len + data->len, n = (total + unit - 1) / unit;
	struct out_slot *slots[FRAGMENTS_MAX];
	struct l3_spec one = *l3;

	BUG_ON(n > FRAGMENTS_MAX);
	if (st->out_waiting_count + n > LIMIT_OUT_WAITING) {
		stack_drop(st, DROP_RX_NO_BUFFER);
		return;
	}
	if (!take_slots(st, slots, n, hlen, unit, total))
		return;
	one.fragment = true;
	one.id = v4 ? ++st->ip_id : ++st->ip6_id;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = i * unit, part = MIN(unit, total - at);

		one.at = (uint16_t)at;
		one.more = i + 1 < n;
		copy_part(data, at, slots[i]->data + out_l3(st, slots[i]->data, &one, part), part);
		out_send(st, slots[i]);
	}
}
