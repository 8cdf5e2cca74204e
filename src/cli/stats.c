/* SPDX-License-Identifier: MIT */
/*
 * The figures of a run, as a table for people and as JSON for programs. Both
 * walk one list of rows, so neither can forget what the other shows.
 */
#include "src/base/base.h"
#include "src/base/clock.h"
#include "src/cli/stats.h"

/* One figure: @group and @name are the JSON path, and the table's words. */
typedef void (*row_fn)(void *ctx, const char *group, const char *name, uint64_t value);

static const char *const queue_names[VNET_QUEUES] = {
	[VNET_RX] = "rx_queue",
	[VNET_TX] = "tx_queue",
	[VNET_CTRL] = "ctrl_queue",
};

static uint64_t ms_between(uint64_t from, uint64_t to)
{
	return to > from ? (to - from) / NS_PER_MS : 0;
}

static void queue_rows(const struct vdev *d, row_fn row, void *ctx)
{
	for (int q = 0; q < VNET_QUEUES; q++) {
		const struct vq_counters *n = &d->queue[q].n;
		const char *g = queue_names[q];

		row(ctx, g, "kicks", counter_get(&n->kicks));
		row(ctx, g, "chains", counter_get(&n->chains));
		row(ctx, g, "used", counter_get(&n->used));
		row(ctx, g, "publishes", counter_get(&n->publishes));
		row(ctx, g, "interrupts", counter_get(&n->calls));
		row(ctx, g, "interrupts_suppressed", counter_get(&n->calls_suppressed));
		for (int f = 0; f < VQ_FAULT_COUNT; f++) {
			if (counter_get(&n->faults[f]) > 0)
				row(ctx, g, vq_fault_name((enum vq_fault)f),
				    counter_get(&n->faults[f]));
		}
	}
}

static void stack_rows(const struct stack_counters *n, row_fn row, void *ctx)
{
	const struct {
		const char *name;
		const struct counter *c;
	} rows[] = {
		{ "tx_frames", &n->tx_frames },
		{ "tx_bytes", &n->tx_bytes },
		{ "rx_frames", &n->rx_frames },
		{ "rx_bytes", &n->rx_bytes },
		{ "tx_batches", &n->tx_batches },
		{ "tx_batch_segments", &n->tx_batch_segs },
		{ "tcp_tx_payload", &n->tcp_tx_payload },
		{ "tcp_rx_payload", &n->tcp_rx_payload },
		{ "tcp_opened", &n->tcp_opened },
		{ "tcp_established", &n->tcp_established },
		{ "tcp_refused", &n->tcp_refused },
		{ "tcp_closed", &n->tcp_closed },
		{ "tcp_reset", &n->tcp_reset },
		{ "tcp_active", &n->tcp_active },
		{ "tcp_retransmits", &n->tcp_retransmits },
		{ "udp_opened", &n->udp_opened },
		{ "udp_tx", &n->udp_tx },
		{ "udp_rx", &n->udp_rx },
		{ "ping_opened", &n->ping_opened },
		{ "ping_tx", &n->ping_tx },
		{ "ping_rx", &n->ping_rx },
		{ "dns_queries", &n->dns_queries },
		{ "dns_answers", &n->dns_answers },
		{ "dhcp_acks", &n->dhcp_acks },
		{ "syscalls", &n->syscalls },
		{ "cycles", &n->cycles },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		row(ctx, "net", rows[i].name, counter_get(rows[i].c));
	for (int d = 0; d < DROP_REASON_COUNT; d++) {
		if (counter_get(&n->drops[d]) > 0)
			row(ctx, "drops", drop_name((enum drop_reason)d),
			    counter_get(&n->drops[d]));
	}
}

static void walk(const struct run_stats *s, row_fn row, void *ctx)
{
	row(ctx, "time", "load_ms", ms_between(s->start_ns, s->loaded_ns));
	if (s->ready_ns)
		row(ctx, "time", "boot_ms", ms_between(s->start_ns, s->ready_ns));
	row(ctx, "time", "run_ms", ms_between(s->start_ns, s->end_ns));
	if (s->worker) {
		const struct net_worker_counters *w = net_worker_counters(s->worker);

		row(ctx, "worker", "allocations", counter_get(&w->allocs));
		row(ctx, "worker", "frees", counter_get(&w->frees));
		row(ctx, "worker", "maps", counter_get(&w->maps));
		row(ctx, "worker", "cycles", counter_get(&w->cycles));
		row(ctx, "worker", "sleeps", counter_get(&w->sleeps));
		row(ctx, "worker", "cpu_ms", counter_get(&w->cpu_ns) / NS_PER_MS);
		stack_rows(net_worker_stack_counters(s->worker), row, ctx);
	}
	if (s->net)
		queue_rows(s->net, row, ctx);
}

struct printer {
	FILE *out;
	const char *group;
};

/* Groups and names are literals of ours: the pointer tells a new group. */
static void table_row(void *ctx, const char *group, const char *name, uint64_t value)
{
	struct printer *p = ctx;

	fprintf(p->out, "%-12s%-24s%16llu\n", group == p->group ? "" : group, name,
		(unsigned long long)value);
	p->group = group;
}

static void json_row(void *ctx, const char *group, const char *name, uint64_t value)
{
	struct printer *p = ctx;

	if (group != p->group)
		fprintf(p->out, "%s\"%s\":{", p->group ? "}," : "", group);
	else
		fputc(',', p->out);
	fprintf(p->out, "\"%s\":%llu", name, (unsigned long long)value);
	p->group = group;
}

/**
 * run_stats_table() - one figure a line
 */
void run_stats_table(const struct run_stats *s, FILE *out)
{
	struct printer p = { .out = out };

	walk(s, table_row, &p);
}

/**
 * run_stats_json() - one object of objects, on one line
 */
void run_stats_json(const struct run_stats *s, FILE *out)
{
	struct printer p = { .out = out };

	fputc('{', out);
	walk(s, json_row, &p);
	fputs("}}\n", out);
}
