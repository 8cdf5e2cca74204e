/* SPDX-License-Identifier: MIT */
/*
 * The figures of a run, as a table for people and as JSON for programs. Both
 * walk one list of rows, so neither can forget what the other shows.
 */
#include <string.h>

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
	for (uint32_t i = 0; i < stack_counter_rows; i++)
		row(ctx, "net", stack_counter_table[i].name,
		    stack_counter(n, &stack_counter_table[i]));
	for (int d = 0; d < DROP_REASON_COUNT; d++) {
		if (counter_get(&n->drops[d]) > 0)
			row(ctx, "drops", drop_name((enum drop_reason)d),
			    counter_get(&n->drops[d]));
	}
}

/* What is out now; --alloc-report has the rest. */
static void memory_rows(struct net_worker *w, row_fn row, void *ctx)
{
	struct stack_memory m[STACK_MEMORY_ROWS];
	uint32_t n = net_worker_memory(w, m);

	for (uint32_t i = 0; i < n; i++) {
		if (strcmp(m[i].kind, "pool") == 0)
			row(ctx, "pools", m[i].name, m[i].in_use);
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
		row(ctx, "worker", "polls", counter_get(&w->polls));
		row(ctx, "worker", "cpu_ms", counter_get(&w->cpu_ns) / NS_PER_MS);
		stack_rows(net_worker_stack_counters(s->worker), row, ctx);
		memory_rows(s->worker, row, ctx);
	}
	if (s->vcpu_heap) {
		row(ctx, "vcpus", "allocations", s->vcpu_heap->allocs);
		row(ctx, "vcpus", "frees", s->vcpu_heap->frees);
		row(ctx, "vcpus", "maps", s->vcpu_heap->maps);
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
