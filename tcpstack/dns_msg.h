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

/* The type of a query for IPv6 addresses, RFC 3596. */
#define DNS_TYPE_AAAA 28

/* Response codes, RFC 1035 section 4.1.1. */
#define DNS_RCODE_NOERROR  0
#define DNS_RCODE_SERVFAIL 2
#define DNS_RCODE_REFUSED  5

/**
 * struct dns_question - what a query asks
 * @id:		chosen by the asker, host order
 * @type:	of the records asked for
 * @end:	offset just behind the question: header and question lie before it
 * @udp_max:	longest answer that the asker takes over UDP, bytes
 */
struct dns_question {
	uint16_t id;
	uint16_t type;
	uint16_t end;
	uint16_t udp_max;
};

/* Types and classes, RFC 1035 section 3.2, RFC 3596. */
#define DNS_TYPE_A     1
#define DNS_TYPE_CNAME 5
#define DNS_TYPE_SOA   6
#define DNS_TYPE_OPT   41
#define DNS_TYPE_AAAA  28
#define DNS_CLASS_IN   1

/* A name as text has no more characters, less the final NUL; and records and aliases read. */
#define DNS_TEXT_MAX	253
#define DNS_RECORDS_MAX 256
#define DNS_CHAIN_MAX	8

/**
 * struct dns_record - one resource record
 * @name:	its owner, as dns_name_text() has it
 * @ttl:	seconds
 * @rdata:	@rdlen bytes, inside the message
 */
struct dns_record {
	char name[DNS_TEXT_MAX + 1];
	uint16_t type, rclass;
	uint32_t ttl;
	const uint8_t *rdata;
	uint16_t rdlen;
};

/**
 * struct dns_records - a walk over the answer section of a message
 * @msg, @len:	the message
 * @at:		offset of the next record
 * @left:	records to come
 */
struct dns_records {
	const uint8_t *msg;
	uint32_t len;
	uint32_t at;
	uint32_t left;
};

/**
 * struct dns_chain - the name asked, and the aliases that lead on from it
 * @n:		links, 1..DNS_CHAIN_MAX
 * @link:	@ttl is that of the alias that leads to the next
 */
struct dns_chain {
	uint32_t n;
	struct {
		char name[DNS_TEXT_MAX + 1];
		uint32_t ttl;
	} link[DNS_CHAIN_MAX];
};

/* dns_msg.c */
int dns_query_parse(const uint8_t *msg, uint32_t len, struct dns_question *q);
bool dns_answer_matches(const uint8_t *ans, uint32_t len, const uint8_t *query, uint16_t end);
void dns_answer_truncate(uint8_t *ans);
void dns_answer_error(uint8_t *ans, const uint8_t *query, uint16_t end, uint8_t rcode);

/* dns_records.c */
int dns_name_text(const uint8_t *msg, uint32_t len, uint32_t off, char text[DNS_TEXT_MAX + 1]);
int dns_question_text(const uint8_t *msg, uint32_t len, char text[DNS_TEXT_MAX + 1]);
void dns_records_begin(struct dns_records *it, const uint8_t *msg, uint32_t len);
int dns_records_next(struct dns_records *it, struct dns_record *r);
int dns_chain_follow(const uint8_t *msg, uint32_t len, struct dns_chain *chain);

#endif
