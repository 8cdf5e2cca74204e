/* SPDX-License-Identifier: MIT */
/*
 * Records of DNS messages, as far as policy and the cache read them; all
 * functions are pure.
 *
 * Names become text in lower case, so that they can be compared. A name with a
 * character that host names do not have becomes "", which fits nothing: no two
 * names are taken for one because a dot stands inside a label.
 */
#include <errno.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "tcpstack/dns_msg.h"

#define LABEL_MAX     63
#define LABEL_POINTER 0xc0

/* Each leads to a label, and a name has no more labels; what has more only costs time. */
#define POINTERS_MAX 127

/* TTLs with the top bit set count as zero, RFC 2181 section 8. */
#define TTL_MAX 0x7fffffffU

/* What a host name may hold; 0 for anything else. */
static char plain(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c + ('a' - 'A'));
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')
		return (char)c;
	return 0;
}

/**
 * dns_name_text() - the name at @off of a message, as text in lower case
 * @text:	out: without the final dot; "" for the root and for names that are
 *		not host names
 *
 * Pointers must lead backwards, each before the one that led there, so the walk
 * ends. Return: the offset behind the name, or -EBADMSG
 */
int dns_name_text(const uint8_t *msg, uint32_t len, uint32_t off, char text[DNS_TEXT_MAX + 1])
{
	uint32_t n = 0, before = off, pointers = 0;
	bool strange = false;
	int behind = 0;

	for (;;) {
		uint32_t label;

		if (off >= len)
			return -EBADMSG;
		label = msg[off];
		if (label == 0)
			break;
		if ((label & LABEL_POINTER) == LABEL_POINTER) {
			if (off + 1 >= len)
				return -EBADMSG;
			if (!behind)
				behind = (int)off + 2;
			off = (label & ~(uint32_t)LABEL_POINTER) << 8 | msg[off + 1];
			if (off >= before || ++pointers > POINTERS_MAX)
				return -EBADMSG;
			before = off;
			continue;
		}
		if (label > LABEL_MAX || !range_ok(off + 1, label, len) ||
		    n + (n > 0) + label > DNS_TEXT_MAX)
			return -EBADMSG;
		if (n > 0)
			text[n++] = '.';
		for (uint32_t i = 0; i < label; i++) {
			text[n] = plain(msg[off + 1 + i]);
			strange |= text[n++] == 0;
		}
		off += 1 + label;
	}
	text[strange ? 0 : n] = 0;
	return behind ? behind : (int)off + 1;
}

/**
 * dns_question_text() - the name that a message asks for; 0 or -EBADMSG
 */
int dns_question_text(const uint8_t *msg, uint32_t len, char text[DNS_TEXT_MAX + 1])
{
	int behind = dns_name_text(msg, len, DNS_HLEN, text);

	return behind < 0 ? behind : 0;
}

/**
 * dns_records_begin() - walk all records of a message with one question
 *
 * Return: 0, or -EBADMSG where it is cut inside the question
 */
int dns_records_begin(struct dns_records *it, const uint8_t *msg, uint32_t len)
{
	char text[DNS_TEXT_MAX + 1];
	int at;

	*it = (struct dns_records){ .msg = msg, .len = len };
	if (len < DNS_HLEN)
		return -EBADMSG;
	at = dns_name_text(msg, len, DNS_HLEN, text);
	if (at < 0 || !range_ok((uint32_t)at, 4, len))
		return -EBADMSG;
	it->at = (uint32_t)at + 4;
	it->left[DNS_ANSWER] = get_be16(msg + DNS_OFF_ANCOUNT);
	it->left[DNS_AUTHORITY] = get_be16(msg + DNS_OFF_NSCOUNT);
	it->left[DNS_ADDITIONAL] = get_be16(msg + DNS_OFF_ARCOUNT);
	return 0;
}

/**
 * dns_answers_begin() - walk the answers of a message with one question
 *
 * An answer that reports an error, or is cut inside the question, has none.
 */
void dns_answers_begin(struct dns_records *it, const uint8_t *msg, uint32_t len)
{
	uint32_t answers = 0;

	if (dns_records_begin(it, msg, len) == 0 &&
	    !(get_be16(msg + DNS_OFF_FLAGS) & DNS_MASK_RCODE))
		answers = MIN(it->left[DNS_ANSWER], (uint32_t)DNS_RECORDS_MAX);
	memset(it->left, 0, sizeof(it->left));
	it->left[DNS_ANSWER] = answers;
}

/**
 * dns_records_next() - the next record
 *
 * Return: 0; -ENOENT at the end; -EBADMSG where the message is malformed
 */
int dns_records_next(struct dns_records *it, struct dns_record *r)
{
	const uint8_t *fixed;
	int at;

	while (it->section < DNS_SECTIONS && it->left[it->section] == 0)
		it->section++;
	if (it->section == DNS_SECTIONS)
		return -ENOENT;
	it->left[it->section]--;
	at = dns_name_text(it->msg, it->len, it->at, r->name);
	if (at < 0 || !range_ok((uint32_t)at, 10, it->len))
		goto malformed;
	fixed = it->msg + at;
	r->section = (uint8_t)it->section;
	r->at = it->at;
	r->ttl_at = (uint32_t)at + 4;
	r->type = get_be16(fixed);
	r->rclass = get_be16(fixed + 2);
	r->ttl = get_be32(fixed + 4);
	if (r->ttl > TTL_MAX)
		r->ttl = 0;
	r->rdlen = get_be16(fixed + 8);
	r->rdata = fixed + 10;
	if (!range_ok((uint32_t)at + 10, r->rdlen, it->len))
		goto malformed;
	it->at = (uint32_t)at + 10 + r->rdlen;
	return 0;

malformed:
	memset(it->left, 0, sizeof(it->left));
	return -EBADMSG;
}

/* Does @r say that the chain's last name is an alias? Then it grows. */
static bool extend(struct dns_chain *c, const struct dns_records *it, const struct dns_record *r)
{
	uint32_t last = c->n - 1;

	if (r->type != DNS_TYPE_CNAME || r->rclass != DNS_CLASS_IN ||
	    strcmp(r->name, c->link[last].name) != 0)
		return false;
	if (dns_name_text(it->msg, it->len, (uint32_t)(r->rdata - it->msg), c->link[c->n].name) <
		    0 ||
	    c->link[c->n].name[0] == 0)
		return false;
	c->link[last].ttl = r->ttl;
	c->link[c->n++].ttl = 0;
	return true;
}

/**
 * dns_chain_follow() - the name that was asked, and its aliases in the answer
 * @chain:	out
 *
 * Aliases may stand in any order; each round follows one. Return: 0, or -EBADMSG
 * when the question is no host name or the chain is longer than DNS_CHAIN_MAX
 */
int dns_chain_follow(const uint8_t *msg, uint32_t len, struct dns_chain *chain)
{
	bool more = true;

	chain->n = 1;
	chain->link[0].ttl = 0;
	if (len < DNS_HLEN || dns_question_text(msg, len, chain->link[0].name) ||
	    chain->link[0].name[0] == 0)
		return -EBADMSG;
	while (more) {
		struct dns_records it;
		struct dns_record r;

		more = false;
		dns_answers_begin(&it, msg, len);
		while (!more && dns_records_next(&it, &r) == 0) {
			if (chain->n == DNS_CHAIN_MAX)
				return -EBADMSG;
			more = extend(chain, &it, &r);
		}
	}
	return 0;
}
