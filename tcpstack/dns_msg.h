/* SPDX-License-Identifier: MIT */
/*
 * DNS messages (RFC 1035, RFC 6891): as much of a query as a forwarder must
 * understand, the records of an answer, and answers of our own.
 */
#ifndef SLUICE_TCPSTACK_DNS_MSG_H
#define SLUICE_TCPSTACK_DNS_MSG_H

#include <stdbool.h>
#include <stdint.h>

#include "tcpstack/addr.h"

#define DNS_PORT 53
#define DNS_HLEN 12

/* Longest name on the wire, RFC 1035 section 3.1; with type and class, a question. */
#define DNS_NAME_MAX	 255
#define DNS_QUESTION_MAX (DNS_NAME_MAX + 4)

/* What every asker takes over UDP without saying so, RFC 1035 section 4.2.1. */
#define DNS_UDP_MIN 512

/* Longest query that we forward: EDNS with padding and cookies stays far below. */
#define DNS_QUERY_MAX 1232

/* The flag word, RFC 1035 section 4.1.1; AD and CD: RFC 2535 section 6.1. */
#define DNS_FLAG_QR	0x8000
#define DNS_MASK_OPCODE 0x7800
#define DNS_FLAG_AA	0x0400
#define DNS_FLAG_TC	0x0200
#define DNS_FLAG_RD	0x0100
#define DNS_FLAG_RA	0x0080
#define DNS_FLAG_AD	0x0020
#define DNS_FLAG_CD	0x0010
#define DNS_MASK_RCODE	0x000f

/* Where the header's fields are. */
#define DNS_OFF_FLAGS	2
#define DNS_OFF_QDCOUNT 4
#define DNS_OFF_ANCOUNT 6
#define DNS_OFF_NSCOUNT 8
#define DNS_OFF_ARCOUNT 10

/* Response codes, RFC 1035 section 4.1.1. */
#define DNS_RCODE_NOERROR  0
#define DNS_RCODE_SERVFAIL 2
#define DNS_RCODE_NXDOMAIN 3
#define DNS_RCODE_NOTIMP   4
#define DNS_RCODE_REFUSED  5

/* Types and classes, RFC 1035 section 3.2, RFC 3596, RFC 6891, RFC 1995, RFC 5936. */
#define DNS_TYPE_A     1
#define DNS_TYPE_CNAME 5
#define DNS_TYPE_SOA   6
#define DNS_TYPE_PTR   12
#define DNS_TYPE_AAAA  28
#define DNS_TYPE_OPT   41
#define DNS_TYPE_IXFR  251
#define DNS_TYPE_AXFR  252
#define DNS_TYPE_ANY   255
#define DNS_CLASS_IN   1
#define DNS_CLASS_ANY  255

/**
 * struct dns_question - what a query asks
 * @id:		chosen by the asker, host order
 * @flags:	DNS_FLAG_* and operation, as they came
 * @type, @rclass:	of the records asked for
 * @end:	offset just behind the question: header and question lie before it
 * @udp_max:	longest answer that the asker takes over UDP, bytes
 * @edns:	it has an OPT record, so an answer has one, too (RFC 6891 6.1.1)
 * @dnssec_ok:	... with the bit DO (RFC 3225)
 * @plain:	nothing but the question and options that do not change the answer
 */
struct dns_question {
	uint16_t id;
	uint16_t flags;
	uint16_t type, rclass;
	uint16_t end;
	uint16_t udp_max;
	bool edns, dnssec_ok;
	bool plain;
};

/* A name as text has no more characters, less the final NUL; and records and aliases read. */
#define DNS_TEXT_MAX	253
#define DNS_RECORDS_MAX 256
#define DNS_CHAIN_MAX	8

/* Sections of a message behind its question. */
enum dns_section { DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL, DNS_SECTIONS };

/**
 * struct dns_record - one resource record
 * @name:	its owner, as dns_name_text() has it
 * @section:	enum dns_section
 * @at:		offset of its first byte in the message
 * @ttl_at:	offset of the TTL field
 * @ttl:	seconds
 * @rdata:	@rdlen bytes, inside the message
 */
struct dns_record {
	char name[DNS_TEXT_MAX + 1];
	uint8_t section;
	uint16_t type, rclass;
	uint32_t at, ttl_at;
	uint32_t ttl;
	const uint8_t *rdata;
	uint16_t rdlen;
};

/**
 * struct dns_records - a walk over the records of a message
 * @msg, @len:	the message
 * @at:		offset of the next record
 * @section:	the one that it is in, unless nothing is left there
 * @left:	records to come, by section
 */
struct dns_records {
	const uint8_t *msg;
	uint32_t len;
	uint32_t at;
	uint32_t section;
	uint32_t left[DNS_SECTIONS];
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

/* Longest answer of our own: one that was kept, or all addresses of a name. */
#define DNS_REPLY_MAX 1280

/* An OPT record without options. */
#define DNS_OPT_LEN 11

/**
 * struct dns_reply - an answer of our own, being written
 */
struct dns_reply {
	uint32_t len;
	uint8_t msg[DNS_REPLY_MAX];
};

/* dns_msg.c */
int dns_query_parse(const uint8_t *msg, uint32_t len, struct dns_question *q);
bool dns_answer_matches(const uint8_t *ans, uint32_t len, const uint8_t *query, uint16_t end);
void dns_answer_truncate(uint8_t *ans);
void dns_answer_error(uint8_t *ans, const uint8_t *query, uint16_t end, uint8_t rcode);

/* dns_records.c */
int dns_name_text(const uint8_t *msg, uint32_t len, uint32_t off, char text[DNS_TEXT_MAX + 1]);
int dns_question_text(const uint8_t *msg, uint32_t len, char text[DNS_TEXT_MAX + 1]);
int dns_records_begin(struct dns_records *it, const uint8_t *msg, uint32_t len);
void dns_answers_begin(struct dns_records *it, const uint8_t *msg, uint32_t len);
int dns_records_next(struct dns_records *it, struct dns_record *r);
int dns_chain_follow(const uint8_t *msg, uint32_t len, struct dns_chain *chain);

/* dns_reply.c */
void dns_reply_begin(struct dns_reply *r, const uint8_t *query, const struct dns_question *q,
		     uint16_t flags);
void dns_reply_add(struct dns_reply *r, uint16_t type, uint32_t ttl_s, const void *rdata,
		   uint16_t rdlen);
void dns_reply_end(struct dns_reply *r, const struct dns_question *q);
void dns_reply_truncate(struct dns_reply *r, const struct dns_question *q);
uint32_t dns_put_opt(uint8_t *msg, uint32_t len, const struct dns_question *q);
uint32_t dns_name_wire(const char *text, uint8_t wire[DNS_NAME_MAX]);
int dns_reverse_addr(const char *name, struct ipaddr *addr);

#endif
