/* SPDX-License-Identifier: MIT */
/* DNS messages, as far as a forwarder reads them; all functions are pure. */
#include <errno.h>
#include <string.h>

#include "src/base/bytes.h"
#include "tcpstack/dns_msg.h"
#include "tcpstack/frame.h"

/* EDNS options that leave the answer as it is: RFC 7873, RFC 7828, RFC 7830. */
#define OPTION_COOKIE	 10
#define OPTION_KEEPALIVE 11
#define OPTION_PADDING	 12

/* In an OPT record's TTL field, RFC 6891 section 6.1.3. */
#define OPT_VERSION 0x00ff0000U
#define OPT_DO	    0x00008000U

#define LABEL_MAX     63
#define LABEL_POINTER 0xc0

/*
 * Move @c behind a name. @compressed: it may end in a pointer (section 4.1.4),
 * which is never followed, so no loop of pointers can hold us.
 */
static int skip_name(struct cursor *c, bool compressed)
{
	uint32_t total = 0;

	for (;;) {
		const uint8_t *p = cursor_pull(c, 1);

		if (!p)
			return -EBADMSG;
		if (*p == 0)
			return total + 1 <= DNS_NAME_MAX ? 0 : -EBADMSG;
		if ((*p & LABEL_POINTER) == LABEL_POINTER)
			return compressed && cursor_pull(c, 1) ? 0 : -EBADMSG;
		if (*p > LABEL_MAX || !cursor_pull(c, *p))
			return -EBADMSG;
		total += *p + 1U;
		if (total >= DNS_NAME_MAX)
			return -EBADMSG;
	}
}

/* Do these options leave the answer as it would be without them? */
static bool options_plain(struct cursor c)
{
	while (c.left > 0) {
		const uint8_t *head = cursor_pull(&c, 4);
		uint16_t code;

		if (!head || !cursor_pull(&c, get_be16(head + 2)))
			return false;
		code = get_be16(head);
		if (code != OPTION_COOKIE && code != OPTION_KEEPALIVE && code != OPTION_PADDING)
			return false;
	}
	return true;
}

/* An OPT record (RFC 6891 section 6.1.2) whose fixed part is at @fixed. */
static void read_opt(const uint8_t *fixed, struct dns_question *q)
{
	struct cursor options = { fixed + 10, get_be16(fixed + 8) };
	uint32_t flags = get_be32(fixed + 4);
	uint16_t size = get_be16(fixed + 2);

	if (q->edns || flags & OPT_VERSION || !options_plain(options))
		q->plain = false;
	q->edns = true;
	q->dnssec_ok = flags & OPT_DO;
	if (size > DNS_UDP_MIN)
		q->udp_max = size;
}

/* What follows the question: @records of any kind, of which OPT is read. */
static int read_records(struct cursor *c, uint32_t records, struct dns_question *q)
{
	/* A record has 11 bytes or more, so the message bounds this loop. */
	while (records--) {
		const uint8_t *fixed;

		if (skip_name(c, true))
			return -EBADMSG;
		fixed = cursor_pull(c, 10);
		if (!fixed || !cursor_pull(c, get_be16(fixed + 8)))
			return -EBADMSG;
		if (get_be16(fixed) == DNS_TYPE_OPT)
			read_opt(fixed, q);
		else
			q->plain = false;
	}
	if (c->left > 0)
		q->plain = false;
	return 0;
}

/**
 * dns_query_parse() - check a guest's query
 * @msg:	private copy of @len bytes
 * @q:		out
 *
 * Return: 0, or -EBADMSG when it is cut, is no query, has not exactly one
 * question, or is longer than DNS_QUERY_MAX
 */
int dns_query_parse(const uint8_t *msg, uint32_t len, struct dns_question *q)
{
	struct cursor c = { msg, len };
	uint32_t records;

	if (len > DNS_QUERY_MAX || !cursor_pull(&c, DNS_HLEN))
		return -EBADMSG;
	if (get_be16(msg + DNS_OFF_FLAGS) & DNS_FLAG_QR || get_be16(msg + DNS_OFF_QDCOUNT) != 1)
		return -EBADMSG;
	if (skip_name(&c, false) || !cursor_pull(&c, 4))
		return -EBADMSG;

	*q = (struct dns_question){
		.id = get_be16(msg),
		.flags = get_be16(msg + DNS_OFF_FLAGS),
		.type = get_be16(c.p - 4),
		.rclass = get_be16(c.p - 2),
		.end = (uint16_t)(c.p - msg),
		.udp_max = DNS_UDP_MIN,
		.plain = true,
	};
	records = (uint32_t)get_be16(msg + DNS_OFF_ANCOUNT) + get_be16(msg + DNS_OFF_NSCOUNT) +
		  get_be16(msg + DNS_OFF_ARCOUNT);
	return read_records(&c, records, q);
}

/**
 * dns_answer_matches() - does @ans answer @query, as we sent it?
 * @query:	header and question, @end bytes of them, with the id we sent
 *
 * Same id, a response, same operation, the same question to the last bit of
 * its case (RFC 5452 section 9.1). A bare header is taken too if it reports an
 * error: some servers answer so to what they do not understand, and it carries
 * no record to believe.
 */
bool dns_answer_matches(const uint8_t *ans, uint32_t len, const uint8_t *query, uint16_t end)
{
	uint16_t flags;

	if (len < DNS_HLEN || get_be16(ans) != get_be16(query))
		return false;
	flags = get_be16(ans + DNS_OFF_FLAGS);
	if (!(flags & DNS_FLAG_QR) ||
	    (flags & DNS_MASK_OPCODE) != (get_be16(query + DNS_OFF_FLAGS) & DNS_MASK_OPCODE))
		return false;
	if (len == DNS_HLEN)
		return flags & DNS_MASK_RCODE && get_be64(ans + DNS_OFF_QDCOUNT) == 0;
	return len >= end && get_be16(ans + DNS_OFF_QDCOUNT) == 1 &&
	       memcmp(ans + DNS_HLEN, query + DNS_HLEN, end - DNS_HLEN) == 0;
}

static void put_counts(uint8_t *ans, uint16_t questions)
{
	put_be16(ans + DNS_OFF_QDCOUNT, questions);
	put_be16(ans + DNS_OFF_ANCOUNT, 0);
	put_be16(ans + DNS_OFF_NSCOUNT, 0);
	put_be16(ans + DNS_OFF_ARCOUNT, 0);
}

/**
 * dns_answer_truncate() - make a matched answer say "ask again over TCP"
 *
 * The caller sends the header, now with TC set, and the question alone.
 */
void dns_answer_truncate(uint8_t *ans)
{
	put_be16(ans + DNS_OFF_FLAGS, get_be16(ans + DNS_OFF_FLAGS) | DNS_FLAG_TC);
	put_counts(ans, 1);
}

/**
 * dns_answer_error() - write an answer of @end bytes that reports @rcode
 * @ans:	@end bytes
 * @query:	what was asked; its id is taken as it stands
 */
void dns_answer_error(uint8_t *ans, const uint8_t *query, uint16_t end, uint8_t rcode)
{
	uint16_t flags = get_be16(query + DNS_OFF_FLAGS) & (DNS_MASK_OPCODE | DNS_FLAG_RD);

	memcpy(ans, query, end);
	put_be16(ans + DNS_OFF_FLAGS, (uint16_t)(flags | DNS_FLAG_QR | DNS_FLAG_RA | rcode));
	put_counts(ans, 1);
}
