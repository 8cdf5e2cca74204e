/* SPDX-License-Identifier: MIT */
/*
 * Queries that need no resolver: what policy refuses, names of our own, IPv6
 * addresses for a guest without IPv6, and what was answered before. The same over
 * UDP and TCP.
 */
#include "tcpstack/dns_priv.h"

/**
 * dns_answer_is_no_help() - does a resolver say that it cannot or will not tell?
 *
 * Another one may then know more.
 */
bool dns_answer_is_no_help(const uint8_t *msg)
{
	uint16_t rcode = get_be16(msg + DNS_OFF_FLAGS) & DNS_MASK_RCODE;

	return rcode == DNS_RCODE_SERVFAIL || rcode == DNS_RCODE_NOTIMP ||
	       rcode == DNS_RCODE_REFUSED;
}

/**
 * dns_answer_servfail() - tell the guest that nobody could be asked
 */
void dns_answer_servfail(const uint8_t *query, const struct dns_question *q, struct dns_reply *r)
{
	dns_reply_begin(r, query, q, DNS_RCODE_SERVFAIL);
	dns_reply_end(r, q);
}

/* From the cache, where what was asked is of a kind that it has. */
static bool from_cache(struct stack *st, const uint8_t *query, const struct dns_question *q,
		       struct dns_reply *r)
{
	struct dns_cache *c = &st->dns->cache;

	if (!dns_cache_serves(c, q))
		return false;
	if (!dns_cache_get(c, stack_now(st), query, q, r)) {
		counter_inc(&st->n.dns_cache_misses);
		return false;
	}
	counter_inc(&st->n.dns_cache_hits);
	return true;
}

/**
 * dns_answer_learn() - a resolver has answered
 * @q:		what was asked
 * @msg:	@len bytes, of which dns_answer_matches() has said that they answer it
 */
void dns_answer_learn(struct stack *st, const struct dns_question *q, const uint8_t *msg,
		      uint32_t len)
{
	struct dns_cache *c = &st->dns->cache;

	if (dns_cache_serves(c, q))
		counter_add(&st->n.dns_cache_evictions,
			    dns_cache_put(c, stack_now(st), q, msg, len));
}

/**
 * dns_answer_here() - answer a query from what is known here
 * @guest:	who asks
 * @query:	as dns_query_parse() has taken it apart into @q
 * @r:		out: the answer, under the query's own identifier, of any length
 *
 * The stack's thread. Return: false when a resolver must be asked
 */
bool dns_answer_here(struct stack *st, const struct endpoint *guest, const uint8_t *query,
		     const struct dns_question *q, struct dns_reply *r)
{
	char name[DNS_TEXT_MAX + 1];
	enum drop_reason why;
	bool ours;

	if (dns_question_text(query, q->end, name))
		name[0] = 0;
	ours = hosts_have(st, name, q);
	why = policy_question(st, name[0] ? name : NULL, ours);
	audit_question(st, guest, name[0] ? name : NULL, why);
	if (why != DROP_NONE) {
		stack_drop(st, why);
		dns_reply_begin(r, query, q, DNS_RCODE_REFUSED);
		dns_reply_end(r, q);
		return true;
	}
	if (ours) {
		hosts_answer(st, name, query, q, r);
		return true;
	}
	/*
	 * A guest without IPv6 is told that names have no such address (RFC 2308, 2.2:
	 * no error, no data), so that its programs do not try what cannot work.
	 */
	if (q->type == DNS_TYPE_AAAA && !st->cfg.ip6) {
		dns_reply_begin(r, query, q, DNS_RCODE_NOERROR);
		dns_reply_end(r, q);
		return true;
	}
	return from_cache(st, query, q, r);
}
