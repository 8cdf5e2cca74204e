/* SPDX-License-Identifier: MIT */
/*
 * Copies of flows for whoever looks on from outside.
 *
 * Theory of operation: a walk goes over the records of each table by index and
 * stops after FLOW_SNAP_CHUNK of them, so that the data path waits for no more
 * than that; the caller goes on with the cursor in a later call. A flow that
 * opens or closes between two calls is in the walk or not; one that lives
 * through it is there exactly once, since records do not move.
 */
#include "tcpstack/snapshot.h"

#include "tcpstack/dgram.h"
#include "tcpstack/tcp.h"
#include "tcpstack/udp_priv.h"

static const struct {
	const char *name, *text;
} stalls[] = {
#define X(id, name, text) { name, text },
	FLOW_STALLS(X)
#undef X
};

static_assert(ARRAY_SIZE(stalls) == STALL_COUNT, "a name for each reason");

/**
 * flow_stall_name() - the stable name of @stall; any thread
 */
const char *flow_stall_name(enum flow_stall stall)
{
	return stall < STALL_COUNT ? stalls[stall].name : "unknown";
}

/**
 * flow_stall_text() - @stall in a few words, for people; any thread
 */
const char *flow_stall_text(enum flow_stall stall)
{
	return stall < STALL_COUNT ? stalls[stall].text : "unknown";
}

static void snap_common(const struct stack *st, const struct flow *f, struct flow_snap *s)
{
	uint64_t now = stack_now(st);

	*s = (struct flow_snap){
		.id = f->id,
		.inbound = f->inbound,
		.state = "open",
		.engine = "",
		.guest = f->key.guest,
		.remote = f->key.remote,
		.host = f->host,
		.age_ns = now - f->opened_ns,
		.idle_ns = now - f->used_ns,
		.tx_bytes = f->tx_bytes,
		.rx_bytes = f->rx_bytes,
	};
}

static void snap_dgram(const struct stack *st, const struct flow *f, struct flow_snap *s)
{
	const struct dgram_flow *df = container_of((struct flow *)(uintptr_t)f, struct dgram_flow,
						   flow);

	s->stall = STALL_IDLE;
	if (!st->port)
		s->stall = STALL_NO_DRIVER;
	else if (!dlist_empty(&df->ready))
		s->stall = !st->rx_starved     ? STALL_NONE
			   : rate_in_waits(st) ? STALL_RATE
					       : STALL_NO_BUFFERS;
}

/**
 * stack_flow_table() - the flows of @proto; the stack's thread
 */
struct flow_table *stack_flow_table(const struct stack *st, enum flow_proto proto)
{
	switch (proto) {
	case FLOW_TCP:
		return &st->tcp->flows;
	case FLOW_UDP:
		return &st->udp->d.flows;
	case FLOW_PING:
		return ping_flows(st);
	case FLOW_PROTOS:
		break;
	}
	return NULL;
}

/**
 * stack_snap_flows() - copy the next flows of a walk
 * @at:		where the walk stands; moved on. At the end, @at->proto is FLOW_PROTOS
 * @out:	room for @max
 *
 * Looks at no more than FLOW_SNAP_CHUNK records; may so fill none though the
 * walk is not over. The stack's thread. Return: how many were copied
 */
uint32_t stack_snap_flows(const struct stack *st, struct flow_cursor *at, struct flow_snap *out,
			  uint32_t max)
{
	uint32_t n = 0;

	for (uint32_t looked = 0; looked < FLOW_SNAP_CHUNK && n < max; looked++) {
		const struct flow_table *t;
		const struct flow *f;

		while (at->proto < FLOW_PROTOS &&
		       at->index >= flow_table_touched(stack_flow_table(st, at->proto)))
			*at = (struct flow_cursor){ .proto = at->proto + 1 };
		if (at->proto >= FLOW_PROTOS)
			break;
		t = stack_flow_table(st, at->proto);
		f = flow_at(t, at->index++);
		if (!f->live)
			continue;
		snap_common(st, f, &out[n]);
		out[n].proto = (uint8_t)at->proto;
		if (at->proto == FLOW_TCP)
			tcp_snap(st, f, &out[n]);
		else
			snap_dgram(st, f, &out[n]);
		if (out[n].stall == STALL_IDLE && out[n].idle_ns < LIMIT_SHOWN_IDLE_NS)
			out[n].stall = STALL_NONE;
		n++;
	}
	return n;
}

/**
 * stack_get_info() - configuration in effect and the driver's state; stack's thread
 */
void stack_get_info(const struct stack *st, struct stack_info *out)
{
	*out = (struct stack_info){
		.driver = st->port != NULL,
		.caps = st->caps,
		.cfg = st->cfg,
		.peek_offset = st->tcp->peek_offset,
	};
	memcpy(out->probe, st->tcp->bulk.probes, sizeof(out->probe));
	if (st->tcp->bulk.engines[BULK_SPLICE])
		out->oracle = "sock_diag";
}
