/* SPDX-License-Identifier: MIT */
/*
 * A hierarchical timer wheel: arm, re-arm and cancel in constant time, no
 * allocation, one wait for all. Timers are embedded in what they time.
 */
#ifndef SLUICE_TCPSTACK_TIMER_H
#define SLUICE_TCPSTACK_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/dlist.h"

/* Resolution of the wheel. A timer never fires early, and at most one tick late. */
#define TIMER_TICK_NS 1000000ULL

#define TIMER_LEVELS	5
#define TIMER_SLOT_BITS 6
#define TIMER_SLOTS	(1 << TIMER_SLOT_BITS)

struct timer;
typedef void (*timer_fn)(void *ctx, struct timer *t);

/**
 * struct timer - one pending deadline
 * @node:	in a slot of the wheel while armed
 * @tick:	when, in ticks
 * @fn:		called by timer_wheel_run() with the timer disarmed
 * @ctx:	for @fn
 */
struct timer {
	struct dlist node;
	uint64_t tick;
	timer_fn fn;
	void *ctx;
};

struct timer_wheel {
	uint64_t tick;	 /* all timers at or before it have fired */
	uint64_t target; /* where the run under way ends; = @tick outside of one */
	uint32_t armed;
	uint64_t occupied[TIMER_LEVELS]; /* a bit for each slot that is not empty */
	struct dlist slots[TIMER_LEVELS][TIMER_SLOTS];
};

/* timer.c */
void timer_wheel_init(struct timer_wheel *w, uint64_t now_ns);
void timer_wheel_run(struct timer_wheel *w, uint64_t now_ns);
uint64_t timer_wheel_next_ns(const struct timer_wheel *w);
void timer_init(struct timer *t, timer_fn fn, void *ctx);
void timer_arm(struct timer_wheel *w, struct timer *t, uint64_t deadline_ns);
void timer_cancel(struct timer_wheel *w, struct timer *t);

static inline bool timer_armed(const struct timer *t)
{
	return !dlist_empty(&t->node);
}

#endif
