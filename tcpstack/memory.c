/* SPDX-License-Identifier: MIT */
/*
 * What a stack has taken at its start: who holds how much of it, and giving
 * back what a burst left behind.
 *
 * Theory of operation: modules register their arenas, flow tables and scratch
 * arrays when they are made. Nothing is ever added to those, but the kernel
 * fills them with pages as they are used, and after a burst most of the pages
 * are idle. A timer looks once an interval, and gives back what was idle for a
 * whole one. After an interval in which nothing was taken or put back it is not
 * armed again: a worker with nothing to do sleeps without end. The next cycle
 * that takes or puts back anything arms it anew.
 */
#include "tcpstack/priv.h"

/* A number that changes with each slot and flow that is taken or put back. */
static uint64_t activity(const struct memory *m)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < m->narenas; i++)
		n += arena_activity(m->arenas[i]);
	for (uint32_t i = 0; i < m->ntables; i++)
		n += 2 * m->tables[i].t->allocs - m->tables[i].t->used;
	return n;
}

static void on_trim(void *ctx, struct timer *t)
{
	struct stack *st = ctx;
	struct memory *m = &st->memory;
	uint64_t now_seen = activity(m);
	uint32_t calls = 0;

	for (uint32_t i = 0; i < m->narenas; i++) {
		for (uint32_t p = 0; p < arena_pool_count(m->arenas[i]); p++)
			calls += pool_trim(arena_pool_at(m->arenas[i], p));
	}
	for (uint32_t i = 0; i < m->ntables; i++)
		calls += flow_table_trim(m->tables[i].t);
	counter_add(&st->n.syscalls, calls);
	counter_add(&st->n.trims, calls > 0);
	if (now_seen != m->seen)
		timer_arm(loop_timers(st->loop), t, stack_now(st) + LIMIT_TRIM_NS);
	m->seen = now_seen;
}

/**
 * memory_init() - before any module registers what it has
 */
void memory_init(struct stack *st)
{
	timer_init(&st->memory.timer, on_trim, st);
}

/**
 * memory_run() - at the end of each cycle: have the timer armed
 */
void memory_run(struct stack *st)
{
	struct memory *m = &st->memory;

	if (!timer_armed(&m->timer) && activity(m) != m->seen)
		timer_arm(loop_timers(st->loop), &m->timer, stack_now(st) + LIMIT_TRIM_NS);
}

/**
 * memory_add_arena() - its pools are reported and trimmed from now on
 */
void memory_add_arena(struct stack *st, struct arena *a)
{
	BUG_ON(st->memory.narenas == MEMORY_ARENAS_MAX);
	st->memory.arenas[st->memory.narenas++] = a;
}

/**
 * memory_add_table() - @t is reported as @name, a literal, and trimmed from now on
 */
void memory_add_table(struct stack *st, const char *name, struct flow_table *t)
{
	struct memory *m = &st->memory;

	BUG_ON(m->ntables == MEMORY_TABLES_MAX);
	m->tables[m->ntables].name = name;
	m->tables[m->ntables++].t = t;
}

/**
 * memory_add_scratch() - @s is reported from now on
 */
void memory_add_scratch(struct stack *st, const struct scratch *s)
{
	BUG_ON(st->memory.nscratches == MEMORY_SCRATCHES_MAX);
	st->memory.scratches[st->memory.nscratches++] = s;
}

static struct stack_memory pool_row(struct arena *a, uint32_t i)
{
	struct pool_stats s;

	pool_stats(arena_pool_at(a, i), &s);
	return (struct stack_memory){
		.kind = "pool",
		.owner = arena_name(a),
		.name = s.name,
		.size = s.slot_size,
		.slots = s.slots,
		.in_use = s.in_use,
		.peak = s.peak,
		.gets = s.gets,
		.empty = s.empty,
	};
}

/**
 * stack_memory_rows() - figures of everything that the stack took at its start
 * @rows:	out: at most @max; STACK_MEMORY_ROWS are enough
 *
 * The stack's thread; allocates nothing. Return: rows written
 */
uint32_t stack_memory_rows(const struct stack *st, struct stack_memory *rows, uint32_t max)
{
	const struct memory *m = &st->memory;
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->narenas; i++) {
		for (uint32_t p = 0; p < arena_pool_count(m->arenas[i]) && n < max; p++)
			rows[n++] = pool_row(m->arenas[i], p);
	}
	for (uint32_t i = 0; i < m->ntables && n < max; i++) {
		const struct flow_table *t = m->tables[i].t;

		rows[n++] = (struct stack_memory){
			.kind = "flows",
			.owner = "",
			.name = m->tables[i].name,
			.size = t->record_size,
			.slots = t->cap,
			.in_use = t->used,
			.peak = t->peak,
			.gets = t->allocs,
			.empty = t->refused,
		};
	}
	for (uint32_t i = 0; i < m->nscratches && n < max; i++) {
		const struct scratch *s = m->scratches[i];

		rows[n++] = (struct stack_memory){
			.kind = "scratch",
			.owner = "",
			.name = s->name,
			.size = s->elem_size,
			.slots = s->count,
			.in_use = s->out,
			.peak = s->borrows > 0,
			.gets = s->borrows,
		};
	}
	return n;
}
