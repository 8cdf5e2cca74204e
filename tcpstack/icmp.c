/* SPDX-License-Identifier: MIT */
/*
 * ICMP echo of both families (RFC 792, RFC 4443 section 4).
 *
 * Echo to an address of ours is answered here. Echo to the world goes through
 * policy to ping.c. Neighbour discovery goes to ndp.c. Everything else that a
 * guest sends is counted and dropped: its errors concern flows whose other end
 * is our own TCP or UDP.
 */
#include "tcpstack/priv.h"

/* What a host says to routers about its groups (RFC 2710, RFC 3810): we route none. */
#define MLD_QUERY   130
#define MLD_REPORT  131
#define MLD_DONE    132
#define MLD2_REPORT 143

#define NDP_FIRST 133
#define NDP_LAST  137

/* The reply to a request that came in fragments itself. */
static void long_echo_reply(struct stack *st, const struct packet *pkt, const struct l3_spec *l3)
{
	const struct tx_frame *frame = pkt->frame;
	uint8_t head[ICMP_HLEN];
	struct out_data data = { .head = head,
				 .head_len = sizeof(head),
				 .iov = frame->iov,
				 .iovcnt = frame->iovcnt,
				 .off = pkt->l4 + ICMP_HLEN,
				 .len = pkt->l4_len - ICMP_HLEN };
	uint32_t sum = 0;

	BUG_ON(frame_copy(frame, pkt->l4, head, sizeof(head)) != 0);
	head[0] = ipaddr_is_v4(&pkt->src) ? ICMP4_ECHO_REPLY : ICMP6_ECHO_REPLY;
	head[1] = 0;
	put_be16(head + 2, 0);
	if (!ipaddr_is_v4(&pkt->src))
		sum = csum_pseudo(&l3->src, &l3->dst, PROTO_ICMP6, pkt->l4_len);
	sum = csum_add(sum, head, sizeof(head));
	sum = csum_add_iov(sum, data.iov, data.iovcnt, data.off, data.len);
	put_be16(head + 2, csum_fold(sum));
	out_fragments(st, l3, &data);
}

static void echo_reply(struct stack *st, const struct packet *pkt)
{
	bool v4 = ipaddr_is_v4(&pkt->src);
	uint32_t ip_len = (v4 ? IP4_HLEN : IP6_HLEN) + pkt->l4_len;
	struct l3_spec l3 = { .src = pkt->dst,
			      .dst = pkt->src,
			      .proto = pkt->proto,
			      .tos = pkt->tos,
			      .dont_fragment = true };
	struct out_slot *slot;
	uint32_t off, sum;
	uint8_t *icmp;

	if (ip_len > st->cfg.mtu) {
		long_echo_reply(st, pkt, &l3);
		return;
	}
	slot = out_begin(st, ETH_HLEN + ip_len);
	if (!slot)
		return;
	off = out_l3(st, slot->data, &l3, pkt->l4_len);
	icmp = slot->data + off;
	/* Cannot fail: the parser has seen that l4_len lies inside the frame. */
	BUG_ON(frame_copy(pkt->frame, pkt->l4, icmp, pkt->l4_len) != 0);
	icmp[0] = v4 ? ICMP4_ECHO_REPLY : ICMP6_ECHO_REPLY;
	icmp[1] = 0;
	put_be16(icmp + 2, 0);
	sum = v4 ? 0 : csum_pseudo(&l3.src, &l3.dst, PROTO_ICMP6, pkt->l4_len);
	put_be16(icmp + 2, csum_fold(csum_add(sum, icmp, pkt->l4_len)));
	out_send(st, slot);
}

/* An echo request whose checksum holds. */
static void echo_input(struct stack *st, const struct packet *pkt, uint16_t id)
{
	const struct flow_key key = { .guest = { pkt->src, id }, .remote = { .addr = pkt->dst } };
	enum drop_reason why;
	struct endpoint host;

	if (stack_is_ours(st, &pkt->dst)) {
		echo_reply(st, pkt);
		return;
	}
	why = policy_translate(st, pkt->proto, &key.remote, &host);
	if (why != DROP_NONE) {
		audit_decision(st, FLOW_PING, &key, NULL, why);
		stack_drop(st, why);
		icmp_send_unreachable(st, pkt, UNREACH_PROHIBITED);
		return;
	}
	ping_input(st, pkt, id);
}

/**
 * icmp_input() - one ICMP message from the guest
 */
void icmp_input(struct stack *st, const struct packet *pkt)
{
	struct cursor c = packet_l4(pkt);
	const uint8_t *icmp = cursor_pull(&c, ICMP_HLEN);

	if (!icmp)
		stack_drop(st, DROP_L4_MALFORMED);
	else if (icmp[0] != ICMP4_ECHO_REQUEST || icmp[1] != 0)
		stack_drop(st, DROP_ICMP_TYPE);
	else if (!frame_l4_checksum_ok(pkt))
		stack_drop(st, DROP_L4_CHECKSUM);
	else
		echo_input(st, pkt, get_be16(icmp + 4));
}

/**
 * icmp6_input() - one ICMPv6 message from the guest
 *
 * Its source may still be unspecified, its destination a group.
 */
void icmp6_input(struct stack *st, const struct packet *pkt)
{
	struct cursor c = packet_l4(pkt);
	const uint8_t *icmp = cursor_pull(&c, ICMP_HLEN);

	if (!icmp) {
		stack_drop(st, DROP_L4_MALFORMED);
		return;
	}
	if (!frame_l4_checksum_ok(pkt)) {
		stack_drop(st, DROP_L4_CHECKSUM);
		return;
	}
	switch (icmp[0]) {
	case NDP_FIRST ... NDP_LAST:
		ndp_input(st, pkt);
		return;
	case MLD_QUERY:
	case MLD_REPORT:
	case MLD_DONE:
	case MLD2_REPORT:
		return;
	case ICMP6_ECHO_REQUEST:
		if (icmp[1] == 0 && !ipaddr_is_unspecified(&pkt->src) &&
		    !ipaddr_is_multicast6(&pkt->dst)) {
			echo_input(st, pkt, get_be16(icmp + 4));
			return;
		}
		break;
	default:
		break;
	}
	stack_drop(st, DROP_ICMP_TYPE);
}
