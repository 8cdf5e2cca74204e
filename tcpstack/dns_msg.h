/* SPDX-License-Identifier: MIT */
/*
 * As much of a DNS message (RFC 1035, RFC 6891) as a forwarder must understand:
 * the header, the one question, and how large an answer the asker can take.
 */
#ifndef SLUICE_TCPSTACK_DNS_MSG_H
#define SLUICE_TCPSTACK_DNS_MSG_H

#include <stdbool.h>
#include <stdint.h>

#define DNS_PORT 53
#define DNS_HLEN 12

/* Longest name on the wire, RFC 1035 section 3.1; with type and class, a question. */
#define DNS_NAME_MAX	 255
#define DNS_QUESTION_MAX (DNS_NAME_MAX + 4)

/* What every asker takes over UDP without saying so, RFC 1035 section 4.2.1. */
#define DNS_UDP_MIN 512

/* Longest query that we forward: EDNS with padding and cookies stays far below. */
#define DNS_QUERY_MAX 1232

/* Response codes, RFC 1035 section 4.1.1. */
#define DNS_RCODE_SERVFAIL 2

/**
 * struct dns_question - what a query asks
 * @id:		chosen by the asker, host order
 * @end:	offset just behind the question: header and question lie before it
 * @udp_max:	longest answer that the asker takes over UDP, bytes
 */
struct dns_question {
	uint16_t id;
	uint16_t end;
	uint16_t udp_max;
};

/* dns_msg.c */
int dns_query_parse(const uint8_t *msg, uint32_t len, struct dns_question *q);
bool dns_answer_matches(const uint8_t *ans, uint32_t len, const uint8_t *query, uint16_t end);
void dns_answer_truncate(uint8_t *ans);
void dns_answer_error(uint8_t *ans, const uint8_t *query, uint16_t end, uint8_t rcode);

#endif
