/* SPDX-License-Identifier: MIT */
/*
 * ICMP errors about packets of the guest, as its router (RFC 792, RFC 1812
 * 4.3.2, RFC 4443 2.4): one way for both families and for all who have
 * something to say. Rate-limited by one token bucket.
 */
#include "tcpstack/priv.h"

/* Bytes of the offending datagram's payload that an error quotes, RFC 792. */
#define QUOTE4 8

/* In IPv6, as much as fits without exceeding the least MTU, RFC 4443 2.4 (c). */
#define QUOTE6_MAX (STACK_MTU_MIN6 - IP6_HLEN - ICMP_HLEN)

/* Redirect: an informational type by its number, yet no error follows it. */
#define ICMP6_REDIRECT	  137
#define ICMP6_INFORMATION 128

/* May an error be sent now? Takes a token of the bucket. */
static bool error_allowed(struct stack *st)
{
	uint64_t now = stack_now(st);
	uint64_t due = (now - st->icmp_tokens_ns) / LIMIT_ICMP_ERROR_INTERVAL_NS;

	if (due > 0) {
		uint64_t tokens = MIN(due, (uint64_t)LIMIT_ICMP_ERROR_BURST) + st->icmp_tokens;

		st->icmp_tokens = (uint32_t)MIN(tokens, (uint64_t)LIMIT_ICMP_ERROR_BURST);
		st->icmp_tokens_ns += due * LIMIT_ICMP_ERROR_INTERVAL_NS;
	}
	if (st->icmp_tokens == 0)
		return false;
	st->icmp_tokens--;
	return true;
}

/*
 * Is @pkt one that an error may answer? Not an ICMP error, nor what was not
 * sent by the guest to one host (RFC 1122 3.2.2, RFC 4443 2.4 (e)).
 */
static bool may_answer(const struct stack *st, const struct packet *pkt)
{
	struct cursor c = packet_l4(pkt);

	if (ipaddr_is_v4(&pkt->src)) {
		uint32_t dst = ipaddr_v4(&pkt->dst);

		if (ipaddr_v4(&pkt->src) != st->cfg.guest4 || dst >= 0xe0000000U || dst == 0)
			return false;
		return pkt->proto != PROTO_ICMP || (c.left && c.p[0] == ICMP4_ECHO_REQUEST);
	}
	if (ipaddr_is_unspecified(&pkt->src) || ipaddr_is_multicast6(&pkt->dst))
		return false;
	return pkt->proto != PROTO_ICMP6 ||
	       (c.left && c.p[0] >= ICMP6_INFORMATION && c.p[0] != ICMP6_REDIRECT);
}

/**
 * icmp_send_error() - tell the guest what became of @pkt
 * @pkt:	from the guest; its IP header and some of what follows are quoted
 * @e:		what to say
 *
 * The stack's thread.
 */
void icmp_send_error(struct stack *st, const struct packet *pkt, const struct icmp_error *e)
{
	bool v4 = ipaddr_is_v4(&pkt->src);
	uint32_t quoted = pkt->l4 - pkt->l3 +
			  (v4 ? MIN(pkt->l4_len, (uint32_t)QUOTE4) : pkt->l4_len);
	struct l3_spec l3 = { .dst = pkt->src,
			      .proto = v4 ? PROTO_ICMP : PROTO_ICMP6,
			      .dont_fragment = true };
	struct out_slot *slot;
	uint32_t len, sum;
	uint8_t *icmp;

	if (!may_answer(st, pkt) || !error_allowed(st))
		return;
	if (e->from)
		l3.src = *e->from;
	else
		l3.src = v4 ? ipaddr_from_v4(st->cfg.gateway4) : st->cfg.gateway6;
	quoted = MIN(quoted, (uint32_t)QUOTE6_MAX);
	len = ICMP_HLEN + quoted;
	slot = out_begin(st, ETH_HLEN + (v4 ? IP4_HLEN : IP6_HLEN) + len);
	if (!slot)
		return;
	icmp = slot->data + out_l3(st, slot->data, &l3, len);
	memset(icmp, 0, ICMP_HLEN);
	icmp[0] = e->type;
	icmp[1] = e->code;
	put_be32(icmp + 4, e->info);
	/* Cannot fail: the parser has seen that the packet lies inside the frame. */
	BUG_ON(frame_copy(pkt->frame, pkt->l3, icmp + ICMP_HLEN, quoted) != 0);
	sum = v4 ? 0 : csum_pseudo(&l3.src, &l3.dst, PROTO_ICMP6, len);
	put_be16(icmp + 2, csum_fold(csum_add(sum, icmp, len)));
	out_send(st, slot);
}

static void unreachable6(struct stack *st, const struct packet *pkt, uint8_t code)
{
	struct icmp_error e = { .type = ICMP6_UNREACHABLE };

	switch (code) {
	case UNREACH_NET:
		e.code = UNREACH6_NO_ROUTE;
		break;
	case UNREACH_PROTOCOL:
		/* The pointer shows the field that named it; behind extensions we do not know. */
		if (pkt->l4 != pkt->l3 + IP6_HLEN)
			return;
		e = (struct icmp_error){ ICMP6_PARAMETER, PARAMETER6_NEXT, 6, &pkt->dst };
		break;
	case UNREACH_PORT:
		e.code = UNREACH6_PORT;
		e.from = &pkt->dst;
		break;
	case UNREACH_PROHIBITED:
		e.code = UNREACH6_PROHIBITED;
		break;
	default:
		e.code = UNREACH6_ADDRESS;
		break;
	}
	icmp_send_error(st, pkt, &e);
}

/**
 * icmp_send_unreachable() - tell the guest that @pkt could not be delivered
 * @code:	UNREACH_*, whatever the family: IPv6 has words of its own for each
 *
 * An error about protocol or port comes from the destination, any other from
 * the gateway.
 */
void icmp_send_unreachable(struct stack *st, const struct packet *pkt, uint8_t code)
{
	bool from_host = code == UNREACH_PROTOCOL || code == UNREACH_PORT;
	struct icmp_error e = { ICMP4_UNREACHABLE, code, 0, from_host ? &pkt->dst : NULL };

	if (ipaddr_is_v4(&pkt->src))
		icmp_send_error(st, pkt, &e);
	else
		unreachable6(st, pkt, code);
}

/**
 * icmp_send_time_exceeded() - @pkt ended its life at the gateway
 */
void icmp_send_time_exceeded(struct stack *st, const struct packet *pkt)
{
	bool v4 = ipaddr_is_v4(&pkt->src);

	icmp_send_error(
		st, pkt,
		&(struct icmp_error){ .type = v4 ? ICMP4_TIME_EXCEEDED : ICMP6_TIME_EXCEEDED });
}

/**
 * icmp_send_too_big() - @pkt is longer than the way on carries (RFC 1191, RFC 8201)
 * @mtu:	what it carries, bytes of IP packet
 */
void icmp_send_too_big(struct stack *st, const struct packet *pkt, uint32_t mtu)
{
	struct icmp_error e = { .type = ICMP6_TOO_BIG, .info = mtu };

	if (ipaddr_is_v4(&pkt->src))
		e = (struct icmp_error){ ICMP4_UNREACHABLE, UNREACH_TOO_BIG,
					 MIN(mtu, (uint32_t)UINT16_MAX), NULL };
	icmp_send_error(st, pkt, &e);
}
