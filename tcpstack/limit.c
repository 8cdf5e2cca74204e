/* SPDX-License-Identifier: MIT */
/*
 * Limits while a stack runs.
 *
 * A table of flows was sized at the start, so a limit of flows moves between
 * one and that; what is beyond a limit that was lowered stays until it ends.
 */
#include "tcpstack/limit.h"

#include <errno.h>

#include "tcpstack/dns_priv.h"
#include "tcpstack/tcp.h"
#include "tcpstack/udp_priv.h"

/* Connections a second; what the command line takes. */
#define RATE_MAX 1000000

enum limit {
	MAX_CONNS,
	MAX_CONN_RATE,
	MAX_UDP,
	DNS_CACHE,
	RATE_OUT,
	RATE_IN,
	RATE_OUT_PACKETS,
	RATE_IN_PACKETS,
	LIMITS
};

static const struct {
	const char *name, *text;
} names[LIMITS] = {
	[MAX_CONNS] = { "max-conns", "TCP connections at one time" },
	[MAX_CONN_RATE] = { "max-conn-rate", "new TCP connections a second, 0 = no limit" },
	[MAX_UDP] = { "max-udp", "UDP flows at one time" },
	[DNS_CACHE] = { "dns-cache", "DNS answers that are kept" },
	[RATE_OUT] = { "rate-out", "bytes a second from the guest, 0 = no limit" },
	[RATE_IN] = { "rate-in", "bytes a second to the guest, 0 = no limit" },
	[RATE_OUT_PACKETS] = { "rate-out-packets", "packets a second from the guest" },
	[RATE_IN_PACKETS] = { "rate-in-packets", "packets a second to the guest" },
};

static struct flow_table *table(const struct stack *st, enum limit which)
{
	return which == MAX_CONNS ? &st->tcp->flows : &st->udp->d.flows;
}

static uint64_t *rate(struct stack_config *cfg, enum limit which)
{
	switch (which) {
	case RATE_OUT:
		return &cfg->rate_out;
	case RATE_IN:
		return &cfg->rate_in;
	case RATE_OUT_PACKETS:
		return &cfg->rate_out_packets;
	case RATE_IN_PACKETS:
		return &cfg->rate_in_packets;
	default:
		return NULL;
	}
}

static void get(const struct stack *st, enum limit which, struct stack_limit *out)
{
	*out = (struct stack_limit){ .name = names[which].name, .text = names[which].text };
	if (which == MAX_CONN_RATE) {
		out->value = st->cfg.max_conn_rate;
		out->max = RATE_MAX;
		out->used = UINT64_MAX;
		return;
	}
	if (which == DNS_CACHE) {
		out->value = st->dns->cache.limit;
		out->used = st->dns->cache.used;
		out->max = st->dns->cache.slots;
		return;
	}
	if (which >= RATE_OUT) {
		struct stack_config cfg = st->cfg;

		out->value = *rate(&cfg, which);
		out->max = LIMIT_RATE_MAX;
		out->used = UINT64_MAX;
		return;
	}
	out->value = table(st, which)->limit;
	out->used = table(st, which)->used;
	out->min = 1;
	out->max = table(st, which)->cap;
}

/**
 * stack_limits() - all limits as they stand; the stack's thread
 * @out:	room for @max; STACK_LIMITS_MAX are enough
 *
 * Return: how many there are
 */
uint32_t stack_limits(const struct stack *st, struct stack_limit *out, uint32_t max)
{
	uint32_t n = MIN((uint32_t)LIMITS, max);

	for (uint32_t i = 0; i < n; i++)
		get(st, (enum limit)i, &out[i]);
	return n;
}

/**
 * stack_limit_set() - put a limit in force from now on; the stack's thread
 *
 * Return: 0; -ENOENT: there is no limit of this name; -ERANGE: not within what
 * stack_limits() tells
 */
int stack_limit_set(struct stack *st, const char *name, uint64_t value)
{
	for (uint32_t i = 0; i < LIMITS; i++) {
		struct stack_limit l;

		if (strcmp(names[i].name, name) != 0)
			continue;
		get(st, (enum limit)i, &l);
		if (value < l.min || value > l.max)
			return -ERANGE;
		if (i == MAX_CONN_RATE)
			st->cfg.max_conn_rate = (uint32_t)value;
		else if (i == DNS_CACHE)
			counter_add(&st->n.dns_cache_evictions,
				    dns_cache_set_limit(&st->dns->cache, (uint32_t)value));
		else if (i >= RATE_OUT)
			*rate(&st->cfg, (enum limit)i) = value;
		else
			table(st, (enum limit)i)->limit = (uint32_t)value;
		if (i >= RATE_OUT)
			rate_apply(st);
		return 0;
	}
	return -ENOENT;
}
