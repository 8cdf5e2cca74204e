/* SPDX-License-Identifier: MIT */
/*
 * DNS answers of our own, and names on the wire; all functions are pure.
 *
 * An answer is written front to back: dns_reply_begin(), the records, then
 * dns_reply_end() for the OPT record of an asker that has one. All its records
 * belong to the name in the question, so their owner is a pointer to that.
 */
#include <errno.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "tcpstack/dns_msg.h"

#define LABEL_MAX 63

/* A pointer to the question's name, RFC 1035 section 4.1.4. */
#define QUESTION_POINTER (0xc000 | DNS_HLEN)

#define RECORD_FIXED 12 /* owner as a pointer, type, class, TTL, length */

/* The bits DO of an OPT record's TTL field, RFC 6891 section 6.1.3. */
#define OPT_DO 0x8000U

static_assert(DNS_REPLY_MAX >= DNS_HLEN + DNS_QUESTION_MAX + DNS_OPT_LEN, "any error fits");

/**
 * dns_reply_begin() - header and question
 * @query:	what was asked; its id is taken as it stands
 * @flags:	a response code, DNS_FLAG_AA
 */
void dns_reply_begin(struct dns_reply *r, const uint8_t *query, const struct dns_question *q,
		     uint16_t flags)
{
	dns_answer_error(r->msg, query, q->end, flags & DNS_MASK_RCODE);
	flags &= DNS_FLAG_AA;
	flags |= q->flags & DNS_FLAG_CD; /* RFC 4035 section 3.2.2 */
	put_be16(r->msg + DNS_OFF_FLAGS, get_be16(r->msg + DNS_OFF_FLAGS) | flags);
	r->len = q->end;
}

/**
 * dns_reply_add() - one record of the name that was asked for
 *
 * What does not fit is left out, and the answer says so. Room for an OPT record
 * is kept.
 */
void dns_reply_add(struct dns_reply *r, uint16_t type, uint32_t ttl_s, const void *rdata,
		   uint16_t rdlen)
{
	uint8_t *p = r->msg + r->len;

	if (r->len + RECORD_FIXED + rdlen > sizeof(r->msg) - DNS_OPT_LEN) {
		put_be16(r->msg + DNS_OFF_FLAGS, get_be16(r->msg + DNS_OFF_FLAGS) | DNS_FLAG_TC);
		return;
	}
	put_be16(p, QUESTION_POINTER);
	put_be16(p + 2, type);
	put_be16(p + 4, DNS_CLASS_IN);
	put_be32(p + 6, ttl_s);
	put_be16(p + 10, rdlen);
	memcpy(p + RECORD_FIXED, rdata, rdlen);
	r->len += RECORD_FIXED + rdlen;
	put_be16(r->msg + DNS_OFF_ANCOUNT, (uint16_t)(get_be16(r->msg + DNS_OFF_ANCOUNT) + 1));
}

/**
 * dns_put_opt() - our OPT record behind a message of @len bytes, if @q has one
 * @msg:	room for DNS_OPT_LEN more
 *
 * Return: the message's length now
 */
uint32_t dns_put_opt(uint8_t *msg, uint32_t len, const struct dns_question *q)
{
	uint8_t *p = msg + len;

	if (!q->edns)
		return len;
	*p = 0; /* the root */
	put_be16(p + 1, DNS_TYPE_OPT);
	put_be16(p + 3, DNS_QUERY_MAX);
	put_be32(p + 5, q->dnssec_ok ? OPT_DO : 0);
	put_be16(p + 9, 0);
	put_be16(msg + DNS_OFF_ARCOUNT, (uint16_t)(get_be16(msg + DNS_OFF_ARCOUNT) + 1));
	return len + DNS_OPT_LEN;
}

/**
 * dns_reply_end() - the answer is whole
 */
void dns_reply_end(struct dns_reply *r, const struct dns_question *q)
{
	r->len = dns_put_opt(r->msg, r->len, q);
}

/**
 * dns_reply_truncate() - an answer that is over becomes "ask again over TCP"
 */
void dns_reply_truncate(struct dns_reply *r, const struct dns_question *q)
{
	dns_answer_truncate(r->msg);
	r->len = dns_put_opt(r->msg, q->end, q);
}

/**
 * dns_name_wire() - a name as text becomes labels
 * @text:	as dns_name_text() writes it: labels of 1..63 characters, no final dot
 *
 * Return: bytes written, the final zero included; 0 where that cannot be
 */
uint32_t dns_name_wire(const char *text, uint8_t wire[DNS_NAME_MAX])
{
	uint32_t n = 0;

	while (*text) {
		size_t len = strcspn(text, ".");

		if (len == 0 || len > LABEL_MAX || n + 1 + len + 1 > DNS_NAME_MAX)
			return 0;
		wire[n++] = (uint8_t)len;
		memcpy(wire + n, text, len);
		n += (uint32_t)len;
		text += len;
		if (*text == '.' && *++text == 0)
			return 0;
	}
	wire[n++] = 0;
	return n;
}

/* "d.c.b.a", nothing else; RFC 1035 section 3.5 */
static int reverse4(const char *p, const char *end, struct ipaddr *addr)
{
	uint32_t v4 = 0;

	for (int i = 0; i < 4; i++) {
		uint32_t v = 0;
		const char *from = p;

		while (p < end && *p >= '0' && *p <= '9' && p - from < 3)
			v = v * 10 + (uint32_t)(*p++ - '0');
		if (p == from || v > 255 || (*from == '0' && p - from > 1))
			return -EINVAL;
		v4 |= v << (8 * i);
		if (i < 3 && (p == end || *p++ != '.'))
			return -EINVAL;
	}
	*addr = ipaddr_from_v4(v4);
	return p == end ? 0 : -EINVAL;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Thirty-two digits from the last to the first, RFC 3596 section 2.5. */
static int reverse6(const char *p, const char *end, struct ipaddr *addr)
{
	if (end - p != 63)
		return -EINVAL;
	for (int i = 0; i < 32; i++, p += 2) {
		int v = nibble(*p);
		uint8_t *b = &addr->b[15 - i / 2];

		if (v < 0 || (i < 31 && p[1] != '.'))
			return -EINVAL;
		*b = (uint8_t)(i & 1 ? *b | v << 4 : v);
	}
	return 0;
}

/**
 * dns_reverse_addr() - the address that a reverse name stands for
 * @name:	in lower case: 2.2.0.10.in-addr.arpa, or 32 digits before ip6.arpa
 *
 * Return: 0, or -EINVAL of any other name, that of a network included
 */
int dns_reverse_addr(const char *name, struct ipaddr *addr)
{
	static const char v4[] = ".in-addr.arpa", v6[] = ".ip6.arpa";
	size_t len = strlen(name);
	const char *end;

	if (len >= sizeof(v4) && strcmp(name + len - (sizeof(v4) - 1), v4) == 0) {
		end = name + len - (sizeof(v4) - 1);
		return reverse4(name, end, addr);
	}
	if (len >= sizeof(v6) && strcmp(name + len - (sizeof(v6) - 1), v6) == 0) {
		end = name + len - (sizeof(v6) - 1);
		return reverse6(name, end, addr);
	}
	return -EINVAL;
}
