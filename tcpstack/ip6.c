/* SPDX-License-Identifier: MIT */
/*
 * Whose IPv6 addresses are whose on the guest's link.
 *
 * The /64 of the link is the guest's, but for the gateway and the DNS address:
 * it may make itself as many addresses there as it likes (RFC 4862, RFC 8981),
 * and so any of them is a source that is its own. So is a link-local address
 * that is not ours. Nothing else is (H44).
 */
#include "tcpstack/dhcp6_msg.h"
#include "tcpstack/priv.h"

/* All_DHCP_Relay_Agents_and_Servers, RFC 8415 7.1. */
static const struct ipaddr dhcp6_servers = { { 0xff, 0x02, [13] = 1, [15] = 2 } };

static bool is_dhcp6(const struct packet *pkt)
{
	struct cursor c = packet_l4(pkt);
	const uint8_t *udp = pkt->proto == PROTO_UDP ? cursor_pull(&c, UDP_HLEN) : NULL;

	return udp && get_be16(udp + 2) == DHCP6_SERVER_PORT &&
	       ipaddr_equal(&pkt->dst, &dhcp6_servers);
}

static bool source_is_guests(const struct stack *st, const struct packet *pkt)
{
	const struct ipaddr *src = &pkt->src;

	/* No address yet: good for neighbour discovery and group reports only. */
	if (ipaddr_is_unspecified(src))
		return pkt->proto == PROTO_ICMP6;
	if (stack_is_ours(st, src) || ipaddr_equal(src, &st->cfg.prefix6))
		return false;
	return ipaddr_is_link_local6(src) || ipaddr_same_prefix64(src, &st->cfg.prefix6);
}

/**
 * ip6_check_addresses() - may a packet have come from the guest, for one host or for us?
 *
 * Where it may go is for policy.c. A link-local source does not leave the link
 * (RFC 4291 2.5.6). Of groups we listen to those of neighbour discovery and of
 * DHCPv6.
 *
 * Return: DROP_NONE, or why the packet must be dropped
 */
enum drop_reason ip6_check_addresses(const struct stack *st, const struct packet *pkt)
{
	if (!source_is_guests(st, pkt))
		return DROP_IP_SPOOFED;
	if (ipaddr_is_multicast6(&pkt->dst))
		return pkt->proto == PROTO_ICMP6 || is_dhcp6(pkt) ? DROP_NONE : DROP_IP_DESTINATION;
	if (ipaddr_is_unspecified(&pkt->dst))
		return DROP_IP_DESTINATION;
	if (stack_is_ours(st, &pkt->dst))
		return DROP_NONE;
	if (ipaddr_is_link_local6(&pkt->src) || ipaddr_is_unspecified(&pkt->src))
		return DROP_IP_DESTINATION;
	return DROP_NONE;
}
