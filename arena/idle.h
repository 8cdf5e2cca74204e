/* SPDX-License-Identifier: MIT */
/*
 * Which slots of an array are idle, and which of its pages hold nothing else.
 *
 * The array is a mapping whose pages the kernel fills as slots are first used;
 * pools and flow tables have theirs. Slots are taken and given back in constant
 * time, the one given back last is taken first. idle_trim() gives those pages back
 * to the kernel whose slots were all idle for a whole interval, whatever else is in
 * use: after a burst an array costs what its live slots cost, and a page for each
 * of them at the worst. A slot whose page was given back reads as zeros.
 *
 * One thread; nothing here allocates.
 */
#ifndef SLUICE_ARENA_IDLE_H
#define SLUICE_ARENA_IDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/base.h"

/**
 * struct idle - idle slots of one array
 * @mem:	slot i begins at @mem + i * @stride; NULL = it has no pages to trim
 * @touched:	slots that were ever taken since the last time that all were trimmed;
 *		the ones above have never been written and are taken in order
 * @stack:	indices of the idle slots below @touched, @n of them
 * @low:	smallest @n since the last trim: that many at the bottom were idle
 *		all the time
 * @cold:	of those at the bottom, how many reach into pages that were given back
 * @pages:	for the length of idle_trim(): by page
 * @marks:	likewise: a bit for each slot
 */
struct idle {
	uint8_t *mem;
	uint32_t stride;
	uint32_t slots;
	uint32_t touched;
	uint32_t n;
	uint32_t low;
	uint32_t cold;
	uint32_t *stack;
	uint16_t *pages;
	uint8_t *marks;
};

/* idle.c */
size_t idle_room(uint32_t stride, uint32_t slots);
void idle_init(struct idle *s, uint8_t *mem, uint32_t stride, uint32_t slots, void *room);
uint32_t idle_trim(struct idle *s, void (*dropped)(void *ctx, uint32_t slot), void *ctx);

/**
 * idle_available() - slots that could be taken
 */
static inline uint32_t idle_available(const struct idle *s)
{
	return s->n + (s->slots - s->touched);
}

/**
 * idle_take() - a slot; not when none is available
 */
static inline uint32_t idle_take(struct idle *s)
{
	if (s->n == 0)
		return s->touched++;
	s->n--;
	s->low = MIN(s->low, s->n);
	s->cold = MIN(s->cold, s->n);
	return s->stack[s->n];
}

/**
 * idle_give() - slot @i, which was taken, is idle again
 */
static inline void idle_give(struct idle *s, uint32_t i)
{
	s->stack[s->n++] = i;
}

#endif
