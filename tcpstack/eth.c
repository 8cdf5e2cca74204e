/* SPDX-License-Identifier: MIT */
/*
 * Layers 2 and 3 of frames from the guest: what is not well-formed, not from
 * the guest, or not for us to deliver ends here under a reason of its own.
 * Behind this file a packet has one source, a destination of one host (but for
 * DHCP), a transport that we speak, and offloads that fit it.
 */
#include "tcpstack/priv.h"

#define DHCP_CLIENT_PORT 68
#define DHCP_SERVER_PORT 67

#define IP4_BROADCAST 0xffffffffU

#define TCP_CSUM_OFFSET 16
#define UDP_CSUM_OFFSET 6

/**
 * eth_learn_mac() - frames to the guest go to @mac from now on
 *
 * Only for the source of a frame that passed the checks of its layer. A guest
 * may change its address while it runs, so the last one counts.
 */
void eth_learn_mac(struct stack *st, const uint8_t *mac)
{
	if (st->guest_mac_known && memcmp(st->guest_mac, mac, 6) == 0)
		return;
	memcpy(st->guest_mac, mac, 6);
	st->guest_mac_known = true;
}

/* The one datagram that may come before the guest has an address, RFC 2131 4.1. */
static bool is_dhcp(const struct packet *pkt)
{
	struct cursor c = packet_l4(pkt);
	const uint8_t *udp = pkt->proto == PROTO_UDP ? cursor_pull(&c, UDP_HLEN) : NULL;

	return udp && get_be16(udp) == DHCP_CLIENT_PORT && get_be16(udp + 2) == DHCP_SERVER_PORT;
}

static enum drop_reason check_addresses(const struct stack *st, const struct packet *pkt)
{
	uint32_t src = ipaddr_v4(&pkt->src);
	uint32_t dst = ipaddr_v4(&pkt->dst);
	bool dhcp = is_dhcp(pkt);

	if (src != st->cfg.guest4 && !(src == 0 && dhcp))
		return DROP_IP_SPOOFED;
	if (dst == IP4_BROADCAST && dhcp)
		return DROP_NONE;
	/* 0/8, multicast, reserved, limited and directed broadcast; policy.c judges the rest. */
	if (dst >> 24 == 0 || dst >= 0xe0000000U || dst == (st->cfg.guest4 | stack_host_mask(st)))
		return DROP_IP_DESTINATION;
	return DROP_NONE;
}

/* Do the offloads fit the packet? virtio 1.2, 5.1.6.2. */
static bool offload_ok(const struct packet *pkt)
{
	const struct offload *off = &pkt->frame->off;
	uint16_t at = pkt->proto == PROTO_TCP ? TCP_CSUM_OFFSET : UDP_CSUM_OFFSET;

	if (pkt->fragment)
		return !off->needs_csum && off->gso == GSO_NONE;
	if (off->needs_csum &&
	    ((pkt->proto != PROTO_TCP && pkt->proto != PROTO_UDP) || off->csum_start != pkt->l4 ||
	     off->csum_offset != at || pkt->l4_len < at + 2U))
		return false;
	switch (off->gso) {
	case GSO_NONE:
		return true;
	case GSO_TCP4:
	case GSO_TCP6:
		return pkt->proto == PROTO_TCP && off->needs_csum && off->gso_size > 0 &&
		       ipaddr_is_v4(&pkt->src) == (off->gso == GSO_TCP4);
	case GSO_UDP_L4:
		return pkt->proto == PROTO_UDP && off->needs_csum && off->gso_size > 0 &&
		       pkt->l4_len <= UDP_HLEN + (uint32_t)off->gso_size * LIMIT_UDP_SEGMENTS;
	default:
		return false;
	}
}

/* A router between the guest and @pkt's destination would end its life here. */
static bool dies_here(const struct stack *st, const struct packet *pkt)
{
	bool group = ipaddr_is_v4(&pkt->dst) ? ipaddr_v4(&pkt->dst) == IP4_BROADCAST
					     : ipaddr_is_multicast6(&pkt->dst);

	return pkt->ttl <= 1 && !group && !stack_is_ours(st, &pkt->dst);
}

/* What stands between a frame and its transport; @pkt is filled in by the parser. */
static enum drop_reason check_ip(const struct stack *st, const struct tx_frame *frame, bool v4,
				 struct packet *pkt)
{
	enum drop_reason why;

	if (!v4 && !st->cfg.ip6)
		return DROP_IP_DISABLED;
	why = v4 ? frame_parse_ip4(frame, ETH_HLEN, pkt) : frame_parse_ip6(frame, ETH_HLEN, pkt);
	if (why == DROP_NONE)
		why = v4 ? check_addresses(st, pkt) : ip6_check_addresses(st, pkt);
	if (why == DROP_NONE && !offload_ok(pkt))
		why = DROP_OFFLOAD;
	return why;
}

static enum tx_verdict ip_input(struct stack *st, const struct tx_frame *frame, bool v4)
{
	struct packet pkt;
	enum drop_reason why = check_ip(st, frame, v4, &pkt);

	if (why != DROP_NONE) {
		stack_drop(st, why);
		return TX_DONE;
	}
	eth_learn_mac(st, frame->head + 6);
	if (unlikely(dies_here(st, &pkt))) {
		stack_drop(st, DROP_IP_TTL);
		icmp_send_time_exceeded(st, &pkt);
		return TX_DONE;
	}

	if (unlikely(pkt.fragment)) {
		fragment_input(st, &pkt);
		return TX_DONE;
	}
	if (pkt.proto == PROTO_TCP)
		return tcp_input(st, &pkt);
	if (pkt.proto == PROTO_UDP) {
		udp_input(st, &pkt);
	} else if (v4 && pkt.proto == PROTO_ICMP) {
		icmp_input(st, &pkt);
	} else if (!v4 && pkt.proto == PROTO_ICMP6) {
		icmp6_input(st, &pkt);
	} else {
		stack_drop(st, DROP_IP_PROTOCOL);
		icmp_send_unreachable(st, &pkt, UNREACH_PROTOCOL);
	}
	return TX_DONE;
}

/**
 * eth_input() - one frame from the guest
 *
 * Return: TX_HELD when TCP keeps it, else TX_DONE
 */
enum tx_verdict eth_input(struct stack *st, const struct tx_frame *frame)
{
	struct cursor c = { frame->head, frame->head_len };
	const uint8_t *eth = cursor_pull(&c, ETH_HLEN);

	if (!eth) {
		stack_drop(st, DROP_FRAME_SHORT);
		return TX_DONE;
	}
	/* To us or to a group, and from one station. */
	if ((!(eth[0] & 1) && memcmp(eth, st->cfg.our_mac, 6) != 0) || (eth[6] & 1)) {
		stack_drop(st, DROP_FRAME_MAC);
		return TX_DONE;
	}
	switch (get_be16(eth + 12)) {
	case ETHERTYPE_IP4:
		return ip_input(st, frame, true);
	case ETHERTYPE_ARP:
		arp_input(st, frame, ETH_HLEN);
		return TX_DONE;
	case ETHERTYPE_IP6:
		return ip_input(st, frame, false);
	default:
		stack_drop(st, DROP_ETHERTYPE);
		return TX_DONE;
	}
}
