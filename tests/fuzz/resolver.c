/* SPDX-License-Identifier: MIT */
/* A resolver under a fuzzer; see the header. */
#include "tests/fuzz/resolver.h"

#include <string.h>

#include "src/base/bytes.h"
#include "tcpstack/dns_msg.h"

/**
 * resolver_make_answer() - what a record makes of a query
 * @rec:	with HOW_A the whole message, but for its identifier; else what stands behind
 *		header and question, which are the query's, with three counts before it
 * @msg:	out; RESOLVER_MSG_MAX bytes
 *
 * Return: bytes
 */
uint32_t resolver_make_answer(const uint8_t *query, uint32_t query_len,
			      const struct net_record *rec, uint8_t *msg)
{
	struct dns_question parsed;
	uint32_t n = MIN(rec->len, (uint32_t)RESOLVER_MSG_MAX / 2);

	if (rec->how & NET_HOW_A || n < 6 || dns_query_parse(query, query_len, &parsed) < 0) {
		memcpy(msg, rec->data, n);
		if (n >= 2)
			memcpy(msg, query, 2);
		return n;
	}
	memcpy(msg, query, parsed.end);
	put_be16(msg + DNS_OFF_FLAGS, DNS_FLAG_QR | DNS_FLAG_RD | DNS_FLAG_RA);
	memcpy(msg + DNS_OFF_ANCOUNT, rec->data, 6);
	memcpy(msg + parsed.end, rec->data + 6, n - 6);
	return parsed.end + n - 6;
}

/**
 * resolver_repeats() - does an answer repeat a query's identifier, and its question, if any?
 * @end:	where the query's question ends
 */
bool resolver_repeats(const uint8_t *msg, uint32_t len, const uint8_t *query, uint32_t end)
{
	return len >= DNS_HLEN && memcmp(msg, query, 2) == 0 &&
	       get_be16(msg + DNS_OFF_FLAGS) & DNS_FLAG_QR &&
	       (get_be16(msg + DNS_OFF_QDCOUNT) == 0 ||
		(len >= end && memcmp(msg + DNS_HLEN, query + DNS_HLEN, end - DNS_HLEN) == 0));
}

/**
 * resolver_longest_ttl() - the longest life of a record of @msg, as far as there are any
 */
uint32_t resolver_longest_ttl(const uint8_t *msg, uint32_t len)
{
	struct dns_records it;
	struct dns_record rec;
	uint32_t max = 0;

	if (dns_records_begin(&it, msg, len) < 0)
		return 0;
	while (dns_records_next(&it, &rec) == 1)
		if (rec.type != DNS_TYPE_OPT)
			max = MAX(max, rec.ttl);
	return max;
}
