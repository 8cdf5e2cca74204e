/* SPDX-License-Identifier: MIT */
/*
 * Limits while a stack runs.
 *
 * A table of flows was sized at the start (stack_flow_cap()), so a limit of flows
 * moves between one and that; what is beyond a limit that was lowered stays until it
 * ends.
 */
#include "tcpstack/limit.h"

#include <errno.h>

#include "tcpstack/dns_priv.h"
#include "tcpstack/tcp.h"
#include "tcpstack/udp_priv.h"

#define FIELD(f) offsetof(struct stack_config, f), sizeof(((struct stack_config *)0)->f)

/**
 * struct row - one limit
 * @offset, @size:	of its field in struct stack_config
 * @least, @most:	what it can be set to; of what was sized at the start, @most is
 *		that size
 */
struct row {
	const char *name, *text;
	size_t offset, size;
	uint64_t least, most;
};

static const struct row rows[] = {
	{ "max-conns", "TCP connections at one time", FIELD(max_tcp), 1, 0 },
	{ "max-conn-rate", "new TCP connections a second, 0 = no limit", FIELD(max_conn_rate), 0,
	  LIMIT_CONN_RATE_MAX },
	{ "max-udp", "UDP flows at one time", FIELD(max_udp), 1, 0 },
	{ "max-ping", "ICMP echo flows at one time", FIELD(max_ping), 1, 0 },
	{ "dns-cache", "DNS answers that are kept", FIELD(dns_cache), 0, 0 },
	{ "rate-out", "bytes a second from the guest, 0 = no limit", FIELD(rate_out), 0,
	  LIMIT_RATE_MAX },
	{ "rate-in", "bytes a second to the guest, 0 = no limit", FIELD(rate_in), 0,
	  LIMIT_RATE_MAX },
	{ "rate-out-packets", "packets a second from the guest", FIELD(rate_out_packets), 0,
	  LIMIT_RATE_MAX },
	{ "rate-in-packets", "packets a second to the guest", FIELD(rate_in_packets), 0,
	  LIMIT_RATE_MAX },
	{ "rate-burst", "milliseconds of a rate that may come at once", FIELD(rate_burst_ms), 1,
	  LIMIT_RATE_BURST_MS_MAX },
};

static_assert(ARRAY_SIZE(rows) <= STACK_LIMITS_MAX, "all of them are shown");

/* The table whose size a row bounds, NULL = it is no limit of flows. */
static struct flow_table *table(struct stack *st, const struct row *row)
{
	switch (row->offset) {
	case offsetof(struct stack_config, max_tcp):
		return &st->tcp->flows;
	case offsetof(struct stack_config, max_udp):
		return &st->udp->d.flows;
	case offsetof(struct stack_config, max_ping):
		return ping_flows(st);
	default:
		return NULL;
	}
}

static bool is_dns_cache(const struct row *row)
{
	return row->offset == offsetof(struct stack_config, dns_cache);
}

static uint64_t read_field(const struct stack_config *cfg, const struct row *row)
{
	const char *at = (const char *)cfg + row->offset;

	return row->size == sizeof(uint64_t) ? *(const uint64_t *)(const void *)at
					     : *(const uint32_t *)(const void *)at;
}

static void write_field(struct stack_config *cfg, const struct row *row, uint64_t value)
{
	char *at = (char *)cfg + row->offset;

	if (row->size == sizeof(uint64_t))
		*(uint64_t *)(void *)at = value;
	else
		*(uint32_t *)(void *)at = (uint32_t)value;
}

static void get(struct stack *st, const struct row *row, struct stack_limit *out)
{
	const struct flow_table *t = table(st, row);

	*out = (struct stack_limit){
		.name = row->name,
		.text = row->text,
		.value = read_field(&st->cfg, row),
		.min = row->least,
		.max = t ? t->cap : row->most,
		.used = t ? t->used : UINT64_MAX,
	};
	if (is_dns_cache(row)) {
		out->max = st->dns->cache.slots;
		out->used = st->dns->cache.used;
	}
}

/**
 * stack_limits() - all limits as they stand; the stack's thread
 * @out:	room for @max; STACK_LIMITS_MAX are enough
 *
 * Return: how many there are
 */
uint32_t stack_limits(struct stack *st, struct stack_limit *out, uint32_t max)
{
	uint32_t n = MIN((uint32_t)ARRAY_SIZE(rows), max);

	for (uint32_t i = 0; i < n; i++)
		get(st, &rows[i], &out[i]);
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
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct flow_table *t = table(st, &rows[i]);
		struct stack_limit l;

		if (strcmp(rows[i].name, name) != 0)
			continue;
		get(st, &rows[i], &l);
		if (value < l.min || value > l.max)
			return -ERANGE;
		write_field(&st->cfg, &rows[i], value);
		if (t)
			t->limit = (uint32_t)value;
		else if (is_dns_cache(&rows[i]))
			counter_add(&st->n.dns_cache_evictions,
				    dns_cache_set_limit(&st->dns->cache, (uint32_t)value));
		rate_apply(st);
		return 0;
	}
	return -ENOENT;
}
