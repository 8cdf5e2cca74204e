/* SPDX-License-Identifier: MIT */
/*
 * ICMP (RFC 792): echo, and the errors that we send as the guest's router.
 *
 * Echo to an address of ours is answered here. Echo to the world goes through
 * policy to ping.c. Everything else that a guest sends is counted and dropped:
 * its errors concern flows whose other end is our own TCP or UDP.
 */
#include "tcpstack/priv.h"

#define ICMP_HLEN	  8
#define ICMP_ECHO_REPLY	  0
#define ICMP_UNREACHABLE  3
#define ICMP_ECHO_REQUEST 8

#define ICMP_CODE_PROTOCOL 2
#define ICMP_CODE_PORT	   3
#define ICMP_CODE_ADMIN	   13 /* RFC 1812 5.2.7.1 */

/* Bytes of the offending datagram's payload that an error quotes, RFC 792. */
#define ICMP_QUOTE 8

static void echo_reply(struct stack *st, const struct packet *pkt)
{
	struct l3_spec l3 = { .src = pkt->dst,
			      .dst = pkt->src,
			      .proto = PROTO_ICMP,
			      .tos = pkt->tos,
			      .dont_fragment = true };
	struct out_slot *slot;
	uint8_t *icmp;
	uint32_t off;

	if (IP4_HLEN + pkt->l4_len > st->cfg.mtu) {
		stack_drop(st, DROP_RX_TOO_BIG);
		return;
	}
	slot = out_begin(st, ETH_HLEN + IP4_HLEN + pkt->l4_len);
	if (!slot)
		return;
	off = out_l3(st, slot->data, &l3, pkt->l4_len);
	icmp = slot->data + off;
	/* Cannot fail: the parser has seen that l4_len lies inside the frame. */
	BUG_ON(frame_copy(pkt->frame, pkt->l4, icmp, pkt->l4_len) != 0);
	icmp[0] = ICMP_ECHO_REPLY;
	icmp[1] = 0;
	put_be16(icmp + 2, 0);
	put_be16(icmp + 2, csum_fold(csum_add(0, icmp, pkt->l4_len)));
	out_send(st, slot);
}

/**
 * icmp_input() - one ICMP message from the guest
 */
void icmp_input(struct stack *st, const struct packet *pkt)
{
	struct cursor c = packet_l4(pkt);
	const uint8_t *icmp = cursor_pull(&c, ICMP_HLEN);
	struct endpoint dst = { .addr = pkt->dst }, host;
	enum drop_reason why;
	uint32_t to;

	if (!icmp) {
		stack_drop(st, DROP_L4_MALFORMED);
		return;
	}
	if (icmp[0] != ICMP_ECHO_REQUEST || icmp[1] != 0) {
		stack_drop(st, DROP_ICMP_TYPE);
		return;
	}
	if (!frame_l4_checksum_ok(pkt)) {
		stack_drop(st, DROP_L4_CHECKSUM);
		return;
	}
	to = ipaddr_v4(&pkt->dst);
	if (to == st->cfg.gateway4 || to == st->cfg.dns4) {
		echo_reply(st, pkt);
		return;
	}
	why = policy_translate(st, PROTO_ICMP, &dst, &host);
	if (why != DROP_NONE) {
		stack_drop(st, why);
		icmp_send_unreachable(st, pkt, ICMP_CODE_ADMIN);
		return;
	}
	ping_input(st, pkt, get_be16(icmp + 4));
}

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

/**
 * icmp_send_unreachable() - tell the guest that @pkt could not be delivered
 * @pkt:	from the guest; its IP header and eight bytes more are quoted
 * @code:	RFC 792 and RFC 1812 5.2.7.1: 0 net, 1 host, 2 protocol, 3 port,
 *		13 administratively prohibited...
 *
 * An error about protocol or port comes from the destination, any other from
 * the gateway. Rate-limited. Never sent about an ICMP message other than an
 * echo request, nor about what was not sent by the guest to one host
 * (RFC 1122 3.2.2).
 */
void icmp_send_unreachable(struct stack *st, const struct packet *pkt, uint8_t code)
{
	bool from_host = code == ICMP_CODE_PROTOCOL || code == ICMP_CODE_PORT;
	uint32_t dst = ipaddr_v4(&pkt->dst);
	uint32_t quoted = MIN(pkt->l4 - pkt->l3 + MIN(pkt->l4_len, (uint32_t)ICMP_QUOTE),
			      pkt->frame->head_len - pkt->l3);
	struct l3_spec l3 = { .src = from_host ? pkt->dst : ipaddr_from_v4(st->cfg.gateway4),
			      .dst = pkt->src,
			      .proto = PROTO_ICMP,
			      .dont_fragment = true };
	struct cursor c = packet_l4(pkt);
	struct out_slot *slot;
	uint8_t *icmp;

	if (!ipaddr_is_v4(&pkt->src) || ipaddr_v4(&pkt->src) != st->cfg.guest4 ||
	    dst >= 0xe0000000U || dst == 0)
		return;
	if (pkt->proto == PROTO_ICMP && (c.left == 0 || c.p[0] != ICMP_ECHO_REQUEST))
		return;
	if (!error_allowed(st))
		return;
	slot = out_begin(st, ETH_HLEN + IP4_HLEN + ICMP_HLEN + quoted);
	if (!slot)
		return;
	icmp = slot->data + out_l3(st, slot->data, &l3, ICMP_HLEN + quoted);
	memset(icmp, 0, ICMP_HLEN);
	icmp[0] = ICMP_UNREACHABLE;
	icmp[1] = code;
	memcpy(icmp + ICMP_HLEN, pkt->frame->head + pkt->l3, quoted);
	put_be16(icmp + 2, csum_fold(csum_add(0, icmp, ICMP_HLEN + quoted)));
	out_send(st, slot);
}
