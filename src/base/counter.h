/* SPDX-License-Identifier: MIT */
/*
 * Counters with one writing thread and any number of readers: plain adds for
 * the writer, untorn loads for the readers, no locked instruction.
 */
#ifndef SLUICE_BASE_COUNTER_H
#define SLUICE_BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

struct counter {
	_Atomic uint64_t v;
};

/* Writing thread only. */
static inline void counter_add(struct counter *c, uint64_t n)
{
	uint64_t v = atomic_load_explicit(&c->v, memory_order_relaxed);

	atomic_store_explicit(&c->v, v + n, memory_order_relaxed);
}

static inline void counter_inc(struct counter *c)
{
	counter_add(c, 1);
}

/* Writing thread only; for gauges. */
static inline void counter_set(struct counter *c, uint64_t v)
{
	atomic_store_explicit(&c->v, v, memory_order_relaxed);
}

/* Any thread. */
static inline uint64_t counter_get(const struct counter *c)
{
	return atomic_load_explicit(&c->v, memory_order_relaxed);
}

#endif
