/* SPDX-License-Identifier: MIT */
/*
 * Whom to ask: the host's resolvers, in their order.
 *
 * Theory of operation. As the host's own programs do, each query begins with the
 * first resolver: the order may mean that the first one knows names that others
 * do not. A resolver that was silent LIMIT_DNS_FAILS times in a row, with no
 * answer to anything in between, is asked last for a while, so that one that has
 * died does not cost every query its patience; then one query tries it again.
 *
 * A query tries each resolver once, and a single one twice.
 */
#include <errno.h>

#include "tcpstack/dns_priv.h"

static bool failing(const struct stack *st, uint32_t i)
{
	return st->dns->resolvers.health[i].bad_until_ns > stack_now(st);
}

/**
 * dns_resolver_next() - the resolver to ask now
 * @t:		of the query; zeroed before the first call
 *
 * Return: 0 with @t->now, or -ENOENT when all have had their turn
 */
int dns_resolver_next(struct stack *st, struct dns_tries *t)
{
	uint32_t n = st->cfg.nresolvers, best = n;

	if (n == 0 || t->n >= MAX(n, (uint32_t)LIMIT_DNS_TRIES_MIN))
		return -ENOENT;
	/* All were asked, or those that were are resolvers no more. */
	if (t->gen != st->dns->resolvers.gen || t->asked == (1U << n) - 1)
		t->asked = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (t->asked & 1U << i)
			continue;
		if (!failing(st, i)) {
			best = i;
			break;
		}
		best = MIN(best, i);
	}
	t->gen = st->dns->resolvers.gen;
	t->asked |= 1U << best;
	t->now = best;
	t->n++;
	return 0;
}

/**
 * dns_resolver_others() - are there resolvers that this query has not asked yet?
 */
bool dns_resolver_others(const struct stack *st, const struct dns_tries *t)
{
	return t->gen != st->dns->resolvers.gen || t->asked != (1U << st->cfg.nresolvers) - 1;
}

/* The record of the resolver that @t has asked last; NULL when it is one no more. */
static struct dns_health *health_of(struct stack *st, const struct dns_tries *t)
{
	return t->gen == st->dns->resolvers.gen ? &st->dns->resolvers.health[t->now] : NULL;
}

/**
 * dns_resolver_answered() - the one asked last is there
 */
void dns_resolver_answered(struct stack *st, const struct dns_tries *t)
{
	struct dns_health *h = health_of(st, t);

	if (h)
		*h = (struct dns_health){ 0 };
}

/**
 * dns_resolver_failed() - the one asked last was silent, or not there
 */
void dns_resolver_failed(struct stack *st, const struct dns_tries *t)
{
	struct dns_health *h = health_of(st, t);
	char text[ENDPOINT_STRLEN];

	if (!h || ++h->fails < LIMIT_DNS_FAILS)
		return;
	h->fails = LIMIT_DNS_FAILS - 1; /* the next one counts at once */
	if (h->bad_until_ns == 0 && st->cfg.nresolvers > 1)
		log_limited(LOG_INFO, "dns", "%s does not answer: asked last",
			    endpoint_format(&st->cfg.resolvers[t->now], text));
	h->bad_until_ns = stack_now(st) + LIMIT_DNS_FAILED_NS;
}

/**
 * stack_set_resolvers() - ask these from now on; the stack's thread
 * @n:		0..STACK_RESOLVERS_MAX
 *
 * Queries under way go on with them once their patience with the old ones is
 * over. What was kept is forgotten: other resolvers may know other things.
 *
 * Return: were they others than before?
 */
bool stack_set_resolvers(struct stack *st, const struct endpoint *resolvers, uint8_t n)
{
	struct dns_resolvers *rs = &st->dns->resolvers;
	bool same = n == st->cfg.nresolvers;

	BUG_ON(n > STACK_RESOLVERS_MAX);
	for (uint8_t i = 0; i < n && same; i++)
		same = endpoint_equal(&resolvers[i], &st->cfg.resolvers[i]);
	if (same)
		return false;
	memset(st->cfg.resolvers, 0, sizeof(st->cfg.resolvers));
	memcpy(st->cfg.resolvers, resolvers, n * sizeof(*resolvers));
	st->cfg.nresolvers = n;
	*rs = (struct dns_resolvers){ .gen = rs->gen + 1 };
	dns_cache_flush(&st->dns->cache);
	return true;
}

/**
 * stack_resolvers() - whom we ask, and how they do; the stack's thread
 * @out:	room for STACK_RESOLVERS_MAX
 *
 * Return: how many there are
 */
uint8_t stack_resolvers(const struct stack *st, struct stack_resolver *out)
{
	for (uint8_t i = 0; i < st->cfg.nresolvers; i++)
		out[i] = (struct stack_resolver){ .endpoint = st->cfg.resolvers[i],
						  .failing = failing(st, i) };
	return st->cfg.nresolvers;
}
