/* SPDX-License-Identifier: MIT */
/*
 * DHCPv4 messages (RFC 2131, RFC 2132) apart from the frames that carry them:
 * bytes in, decision, bytes out. No state: the one lease is the configuration.
 */
#ifndef SLUICE_TCPSTACK_DHCP_MSG_H
#define SLUICE_TCPSTACK_DHCP_MSG_H

#include <stdint.h>

#include "tcpstack/stack.h"

#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68

/* Longest message that we read: what an Ethernet frame carries. */
#define DHCP_REQUEST_MAX 1472

/* Longest message that we write: what every client must take (RFC 2131, 2), less IP and UDP. */
#define DHCP_REPLY_MAX (576 - 28)

/* Shorter replies are padded: some clients take no BOOTP packet below it (RFC 1542, 2.1). */
#define DHCP_REPLY_MIN 300

/* Option 53. */
enum dhcp_type {
	DHCP_DISCOVER = 1,
	DHCP_OFFER,
	DHCP_REQUEST,
	DHCP_DECLINE,
	DHCP_ACK,
	DHCP_NAK,
	DHCP_RELEASE,
	DHCP_INFORM,
};

/**
 * struct dhcp_request - a client's message, checked
 * @type:	DISCOVER, REQUEST, DECLINE, RELEASE or INFORM
 * @broadcast:	the client cannot take unicast before it has its address
 * @xid, @secs_flags:	first copied to the reply
 * @ciaddr:	address that the client uses already, host order, 0 = none
 * @requested:	option 50, host order, 0 = absent
 * @server_id:	option 54, host order, 0 = absent
 * @chaddr:	the client's hardware address
 * @client_id:	option 61 within the message, NULL = absent
 */
struct dhcp_request {
	enum dhcp_type type;
	bool broadcast;
	uint32_t xid;
	uint32_t ciaddr, giaddr;
	uint32_t requested, server_id;
	uint8_t chaddr[6];
	const uint8_t *client_id;
	uint8_t client_id_len;
};

/**
 * struct dhcp_reply - what to send, and where
 * @type:	OFFER, ACK or NAK; 0 = say nothing
 * @dst:	IPv4 destination, host order
 * @len:	bytes of @msg
 */
struct dhcp_reply {
	enum dhcp_type type;
	uint32_t dst;
	uint32_t len;
	uint8_t msg[DHCP_REPLY_MAX];
};

/* dhcp_msg.c */
int dhcp_parse(const uint8_t *msg, uint32_t len, struct dhcp_request *req);
int dhcp_answer(const struct stack_config *cfg, const struct dhcp_request *req,
		struct dhcp_reply *reply);

#endif
