/* SPDX-License-Identifier: MIT */
/* DHCPv4 service: the guest's requests in, replies out. The protocol is in dhcp_msg.c. */
#include <string.h>

#include "tcpstack/dhcp_msg.h"
#include "tcpstack/priv.h"

/**
 * dhcp_input() - serve a datagram for port 67 of the gateway or of everyone
 * @pkt:	UDP header already checked, @pkt->l4_len its length field
 *
 * The message is copied to private memory whole before anything is read of it
 * (H8). Network worker.
 */
void dhcp_input(struct stack *st, const struct packet *pkt)
{
	uint8_t msg[DHCP_REQUEST_MAX];
	uint32_t len = pkt->l4_len - UDP_HLEN;
	struct dhcp_request req;
	struct dhcp_reply reply;
	struct endpoint src, dst;

	if (len > sizeof(msg) || frame_copy(pkt->frame, pkt->l4 + UDP_HLEN, msg, len) ||
	    dhcp_parse(msg, len, &req) || memcmp(req.chaddr, st->guest_mac, 6) != 0 ||
	    dhcp_answer(&st->cfg, &req, &reply)) {
		stack_drop(st, DROP_DHCP_MALFORMED);
		return;
	}
	if (req.type == DHCP_DECLINE)
		log_limited(LOG_WARN, "dhcp", "guest says that its address is in use already");
	if (reply.type == 0)
		return;
	if (reply.type == DHCP_NAK)
		log_limited(LOG_INFO, "dhcp", "refused the guest an address that is not its own");
	if (reply.type == DHCP_ACK)
		counter_inc(&st->n.dhcp_acks);

	src = (struct endpoint){ ipaddr_from_v4(st->cfg.gateway4), DHCP_SERVER_PORT };
	dst = (struct endpoint){ ipaddr_from_v4(reply.dst), DHCP_CLIENT_PORT };
	out_udp(st, &src, &dst, reply.msg, reply.len);
}
