/* SPDX-License-Identifier: MIT */
/* DNS messages, as far as a forwarder reads them; all functions are pure. */
#include <errno.h>
#include <string.h>

#include "src/base/bytes.h"
#include "tcpstack/dns_msg.h"
#include "tcpstack/frame.h"

/* Flag words, RFC 1035 section 4.1.1. */
#define FLAG_QR	    0x8000
#define MASK_OPCODE 0x7800
#define FLAG_TC	    0x0200
#define FLAG_RD	    0x0100
#define FLAG_RA	    0x0080
#define MASK_RCODE  0x000f

#define OFF_FLAGS   2
#define OFF_QDCOUNT 4
#define OFF_ANCOUNT 6
#define OFF_NSCOUNT 8
#define OFF_ARCOUNT 10

#define TYPE_OPT      41
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

/* The size in the EDNS option record (RFC 6891 section 6.1.2), found among @records. */
static int find_udp_max(struct cursor *c, uint32_t records, uint16_t *udp_max)
{
	*udp_max = DNS_UDP_MIN;
	/* A record has 11 bytes or more, so the message bounds this loop. */
	while (records--) {
		const uint8_t *fixed;
		uint16_t size;

		if (skip_name(c, true))
			return -EBADMSG;
		fixed = cursor_pull(c, 10);
		if (!fixed || !cursor_pull(c, get_be16(fixed + 8)))
			return -EBADMSG;
		if (get_be16(fixed) != TYPE_OPT)
			continue;
		size = get_be16(fixed + 2);
		if (size > DNS_UDP_MIN)
			*udp_max = size;
	}
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
	if (get_be16(msg + OFF_FLAGS) & FLAG_QR || get_be16(msg + OFF_QDCOUNT) != 1)
		return -EBADMSG;
	if (skip_name(&c, false) || !cursor_pull(&c, 4))
		return -EBADMSG;

	q->id = get_be16(msg);
	q->end = (uint16_t)(c.p - msg);
	q->type = get_be16(c.p - 4);
	records = (uint32_t)get_be16(msg + OFF_ANCOUNT) + get_be16(msg + OFF_NSCOUNT) +
		  get_be16(msg + OFF_ARCOUNT);
	return find_udp_max(&c, records, &q->udp_max);
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
	flags = get_be16(ans + OFF_FLAGS);
	if (!(flags & FLAG_QR) ||
	    (flags & MASK_OPCODE) != (get_be16(query + OFF_FLAGS) & MASK_OPCODE))
		return false;
	if (len == DNS_HLEN)
		return flags & MASK_RCODE && get_be64(ans + OFF_QDCOUNT) == 0;
	return len >= end && get_be16(ans + OFF_QDCOUNT) == 1 &&
	       memcmp(ans + DNS_HLEN, query + DNS_HLEN, end - DNS_HLEN) == 0;
}

static void put_counts(uint8_t *ans, uint16_t questions)
{
	put_be16(ans + OFF_QDCOUNT, questions);
	put_be16(ans + OFF_ANCOUNT, 0);
	put_be16(ans + OFF_NSCOUNT, 0);
	put_be16(ans + OFF_ARCOUNT, 0);
}

/**
 * dns_answer_truncate() - make a matched answer say "ask again over TCP"
 *
 * The caller sends the header, now with TC set, and the question alone.
 */
void dns_answer_truncate(uint8_t *ans)
{
	put_be16(ans + OFF_FLAGS, get_be16(ans + OFF_FLAGS) | FLAG_TC);
	put_counts(ans, 1);
}

/**
 * dns_answer_error() - write an answer of @end bytes that reports @rcode
 * @ans:	@end bytes
 * @query:	what was asked; its id is taken as it stands
 */
void dns_answer_error(uint8_t *ans, const uint8_t *query, uint16_t end, uint8_t rcode)
{
	uint16_t flags = get_be16(query + OFF_FLAGS) & (MASK_OPCODE | FLAG_RD);

	memcpy(ans, query, end);
	put_be16(ans + OFF_FLAGS, (uint16_t)(flags | FLAG_QR | FLAG_RA | rcode));
	put_counts(ans, 1);
}
