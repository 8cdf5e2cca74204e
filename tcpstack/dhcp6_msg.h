/* SPDX-License-Identifier: MIT */
/*
 * DHCPv6 messages (RFC 8415) apart from the frames that carry them: bytes in,
 * decision, bytes out. No state: the one lease is the configuration.
 */
#ifndef SLUICE_TCPSTACK_DHCP6_MSG_H
#define SLUICE_TCPSTACK_DHCP6_MSG_H

#include <stdint.h>

#include "tcpstack/stack.h"

#define DHCP6_SERVER_PORT 547
#define DHCP6_CLIENT_PORT 546

/* Longest message that we read, and that we write: the least IPv6 MTU less the headers. */
#define DHCP6_MSG_MAX (1280 - 40 - 8)

/* Longest DUID, RFC 8415 11.1: type and 128 bytes. */
#define DHCP6_DUID_MAX 130

/* Associations of one message that are looked at, and addresses of each. */
#define DHCP6_IAS_MAX	4
#define DHCP6_ADDRS_MAX 4

/* RFC 8415 7.3 */
enum dhcp6_type {
	DHCP6_SOLICIT = 1,
	DHCP6_ADVERTISE,
	DHCP6_REQUEST,
	DHCP6_CONFIRM,
	DHCP6_RENEW,
	DHCP6_REBIND,
	DHCP6_REPLY,
	DHCP6_RELEASE,
	DHCP6_DECLINE,
	DHCP6_RECONFIGURE,
	DHCP6_INFORMATION,
};

/**
 * struct dhcp6_ia - an association that the client asks for
 * @kind:	its option: IA_NA, IA_TA or IA_PD
 * @id:		the client's number for it
 * @addr:	addresses that the client named
 */
struct dhcp6_ia {
	uint16_t kind;
	uint32_t id;
	uint32_t naddrs;
	struct ipaddr addr[DHCP6_ADDRS_MAX];
};

/**
 * struct dhcp6_request - a client's message, checked
 * @type:	enum dhcp6_type, one that clients send
 * @client_id, @server_id:	DUIDs within the message, NULL = absent
 * @rapid:	the client takes a REPLY to its SOLICIT
 */
struct dhcp6_request {
	uint8_t type;
	uint8_t xid[3];
	const uint8_t *client_id, *server_id;
	uint16_t client_id_len, server_id_len;
	bool rapid;
	uint32_t nias;
	struct dhcp6_ia ia[DHCP6_IAS_MAX];
};

/**
 * struct dhcp6_reply - what to send
 * @type:	ADVERTISE or REPLY; 0 = say nothing
 * @len:	bytes of @msg
 */
struct dhcp6_reply {
	uint8_t type;
	uint32_t len;
	uint8_t msg[DHCP6_MSG_MAX];
};

/* dhcp6_msg.c */
int dhcp6_parse(const uint8_t *msg, uint32_t len, struct dhcp6_request *req);
void dhcp6_answer(const struct stack_config *cfg, const struct dhcp6_request *req,
		  struct dhcp6_reply *reply);

#endif
