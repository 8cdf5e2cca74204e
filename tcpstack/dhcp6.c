/* SPDX-License-Identifier: MIT */
/* DHCPv6 service: the guest's requests in, replies out. The protocol is in dhcp6_msg.c. */
#include "tcpstack/dhcp6_msg.h"
#include "tcpstack/priv.h"

/**
 * dhcp6_input() - serve a datagram for port 547 of all DHCPv6 servers
 * @pkt:	UDP header already checked, @pkt->l4_len its length field
 * @guest_port:	its source port, where the reply goes
 *
 * The message is copied to private memory whole before anything is read of it
 * (H8). A client speaks from its link-local address (RFC 8415 13.1). Network
 * worker.
 */
void dhcp6_input(struct stack *st, const struct packet *pkt, uint16_t guest_port)
{
	uint8_t msg[DHCP6_MSG_MAX];
	uint32_t len = pkt->l4_len - UDP_HLEN;
	struct dhcp6_request req;
	struct dhcp6_reply reply;
	struct endpoint src = { st->ndp.link_local, DHCP6_SERVER_PORT };
	struct endpoint dst = { pkt->src, guest_port };

	if (!ipaddr_is_link_local6(&pkt->src) || len > sizeof(msg) ||
	    frame_copy(pkt->frame, pkt->l4 + UDP_HLEN, msg, len) || dhcp6_parse(msg, len, &req)) {
		stack_drop(st, DROP_DHCP_MALFORMED);
		return;
	}
	if (req.type == DHCP6_DECLINE)
		log_limited(LOG_WARN, "dhcp", "guest says that its IPv6 address is in use already");
	dhcp6_answer(&st->cfg, &req, &reply);
	if (reply.type == 0)
		return;
	counter_inc(&st->n.dhcp6_replies);
	out_udp(st, &src, &dst, reply.msg, reply.len);
}
