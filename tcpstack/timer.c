/* SPDX-License-Identifier: MIT */
/*
 * A hierarchical timer wheel.
 *
 * Theory of operation (Varghese and Lauck, "Hashed and Hierarchical Timing
 * Wheels", 1987, scheme 7). Level 0 has a slot for each of the next 64 ticks,
 * level 1 for each of the next 64 x 64, and so on. A timer goes to the lowest
 * level that reaches its tick. When time comes to the first tick of a slot of a
 * higher level, the slot's timers are placed again, now nearer; a timer moves
 * down at most TIMER_LEVELS - 1 times in its life. One bit for each slot says
 * whether it holds anything, so that the next tick at which there is work is
 * found by five rotations and bit scans, however far time has jumped.
 *
 * What holds between calls: every armed timer's tick is past w->tick; a slot's
 * bit is set exactly while its list is not empty; a timer in level L, L > 0, is
 * in a slot whose first tick is not past the timer's own tick. A deadline
 * beyond the highest level waits in that level's farthest slot and is placed
 * anew from there.
 */
#include "tcpstack/timer.h"

#include "src/base/base.h"

/* Ticks that all levels together reach. */
#define WHEEL_SPAN (1ULL << (TIMER_LEVELS * TIMER_SLOT_BITS))

static_assert(TIMER_SLOTS == 64, "a level's slots are the bits of one uint64_t");

/* Rounded up: a timer never fires early. */
static uint64_t tick_at_or_after(uint64_t ns)
{
	return ns / TIMER_TICK_NS + (ns % TIMER_TICK_NS != 0);
}

static uint32_t slot_of(uint64_t tick, uint32_t level)
{
	return (uint32_t)(tick >> (level * TIMER_SLOT_BITS)) & (TIMER_SLOTS - 1);
}

/* @t->tick may equal w->tick only while that tick's slot is about to be fired. */
static void place(struct timer_wheel *w, struct timer *t)
{
	uint64_t delta = t->tick - w->tick;
	uint64_t at = t->tick;
	uint32_t level = 0, slot;

	if (delta >= WHEEL_SPAN) {
		delta = WHEEL_SPAN - 1;
		at = w->tick + delta;
	}
	while (delta >> ((level + 1) * TIMER_SLOT_BITS))
		level++;
	slot = slot_of(at, level);
	dlist_push_tail(&w->slots[level][slot], &t->node);
	w->occupied[level] |= 1ULL << slot;
}

/* Take @t out of its list and clear the slot's bit if it was the last there. */
static void unplace(struct timer_wheel *w, struct timer *t)
{
	struct dlist *head = t->node.next;
	struct dlist *first = &w->slots[0][0];
	struct dlist *end = first + sizeof(w->slots) / sizeof(*first);
	bool last = head == t->node.prev;

	dlist_del(&t->node);
	/* A timer that is due may stand in the run's own list rather than in a slot. */
	if (last && head >= first && head < end) {
		uint32_t i = (uint32_t)(head - first);

		w->occupied[i / TIMER_SLOTS] &= ~(1ULL << (i % TIMER_SLOTS));
	}
}

/* The next tick at which a slot comes due or moves down; UINT64_MAX if none. */
static uint64_t next_tick(const struct timer_wheel *w)
{
	uint64_t best = UINT64_MAX;

	for (uint32_t level = 0; level < TIMER_LEVELS; level++) {
		uint32_t shift = level * TIMER_SLOT_BITS;
		uint64_t cur = w->tick >> shift;
		uint32_t rot = (uint32_t)(cur + 1) & (TIMER_SLOTS - 1);
		uint64_t bits = w->occupied[level];

		if (bits == 0)
			continue;
		/* Bit 0 becomes the slot after the current one, bit 63 the current one. */
		bits = rot ? bits >> rot | bits << (TIMER_SLOTS - rot) : bits;
		best = MIN(best, (cur + 1 + (uint64_t)__builtin_ctzll(bits)) << shift);
	}
	return best;
}

static void take_slot(struct timer_wheel *w, uint32_t level, uint32_t slot, struct dlist *list)
{
	struct dlist *head = &w->slots[level][slot];

	dlist_init(list);
	if (dlist_empty(head))
		return;
	dlist_insert_between(list, head->prev, head->next);
	dlist_init(head);
	w->occupied[level] &= ~(1ULL << slot);
}

/* Slots of higher levels that begin at w->tick: their timers go where they now belong. */
static void cascade(struct timer_wheel *w)
{
	for (uint32_t level = TIMER_LEVELS - 1; level > 0; level--) {
		uint32_t shift = level * TIMER_SLOT_BITS;
		struct dlist list, *n;

		if (w->tick & ((1ULL << shift) - 1))
			continue;
		take_slot(w, level, slot_of(w->tick, level), &list);
		while ((n = dlist_pop_head(&list)))
			place(w, container_of(n, struct timer, node));
	}
}

static void fire(struct timer_wheel *w)
{
	struct dlist list, *n;

	take_slot(w, 0, slot_of(w->tick, 0), &list);
	while ((n = dlist_pop_head(&list))) {
		struct timer *t = container_of(n, struct timer, node);

		w->armed--;
		t->fn(t->ctx, t);
	}
}

/**
 * timer_wheel_init() - an empty wheel whose time is @now_ns
 */
void timer_wheel_init(struct timer_wheel *w, uint64_t now_ns)
{
	*w = (struct timer_wheel){ .tick = now_ns / TIMER_TICK_NS,
				   .target = now_ns / TIMER_TICK_NS };
	for (uint32_t level = 0; level < TIMER_LEVELS; level++)
		for (uint32_t slot = 0; slot < TIMER_SLOTS; slot++)
			dlist_init(&w->slots[level][slot]);
}

/**
 * timer_wheel_run() - fire every timer whose deadline has passed
 * @now_ns:	not before that of the last call; if it is, nothing happens
 *
 * Timers fire in the order of their ticks. A callback may arm and cancel any
 * timer, its own included; what it arms fires in a later run, so that a run
 * ends whatever the callbacks do. The wheel's thread.
 */
void timer_wheel_run(struct timer_wheel *w, uint64_t now_ns)
{
	uint64_t target = now_ns / TIMER_TICK_NS;
	uint64_t tick;

	if (target <= w->tick)
		return;
	w->target = target;
	while ((tick = next_tick(w)) <= target) {
		w->tick = tick;
		cascade(w);
		fire(w);
	}
	w->tick = target;
}

/**
 * timer_wheel_next_ns() - when timer_wheel_run() next has something to do
 *
 * Return: a time at or before the earliest deadline, rounded up to a tick. It
 * is before it only when timers have to move down a level first; a run at that
 * time moves them. UINT64_MAX when nothing is armed.
 */
uint64_t timer_wheel_next_ns(const struct timer_wheel *w)
{
	uint64_t tick = next_tick(w);

	return tick > UINT64_MAX / TIMER_TICK_NS ? UINT64_MAX : tick * TIMER_TICK_NS;
}

/**
 * timer_init() - a timer that is not armed; @fn is called with @ctx
 */
void timer_init(struct timer *t, timer_fn fn, void *ctx)
{
	*t = (struct timer){ .fn = fn, .ctx = ctx };
	dlist_init(&t->node);
}

/**
 * timer_arm() - fire @t at @deadline_ns, and not at a deadline it had before
 *
 * A deadline that has passed fires at the next run that is a tick or more after
 * the last. The wheel's thread.
 */
void timer_arm(struct timer_wheel *w, struct timer *t, uint64_t deadline_ns)
{
	uint64_t tick = tick_at_or_after(deadline_ns);

	timer_cancel(w, t);
	t->tick = MAX(tick, w->target + 1);
	place(w, t);
	w->armed++;
}

/**
 * timer_cancel() - @t does not fire; harmless if it was not armed
 */
void timer_cancel(struct timer_wheel *w, struct timer *t)
{
	if (!timer_armed(t))
		return;
	unplace(w, t);
	w->armed--;
}
