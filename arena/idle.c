/* SPDX-License-Identifier: MIT */
/*
 * Idle slots, and giving back the pages that hold nothing else.
 *
 * Theory of operation: idle slots are on a stack, so the slot given back last,
 * whose lines are warm, is taken first, and the bottom of the stack is cold: what
 * lies below the lowest height since the last trim was not needed all that time.
 * A trim counts for each page how many of its slots those are. Pages where it is
 * all of them are given back; slots that reach into such pages are moved to the
 * bottom, so that they are taken last, and the others are put in the order of their
 * indices, lowest on top, so that what comes next is close together. Slots that
 * were never taken count as idle.
 *
 * A trim looks at each slot ever taken, a few nanoseconds for each, but only if at
 * least a page's worth of slots has become idle since the last one.
 */
#include "arena/idle.h"

#include <string.h>
#include <sys/mman.h>

#define PAGE 4096U

/* In idle.pages: the number of idle slots, or one of these. */
#define PAGE_NEWS 0x8000U /* and one of them was not idle at the last trim */
#define PAGE_GONE UINT16_MAX

static_assert(PAGE / CACHE_LINE + 1 < PAGE_NEWS, "slots of a page are counted in 15 bits");

/* Bytes before the first whole page of the array. */
static size_t lead(const struct idle *s)
{
	return (size_t)(-(uintptr_t)s->mem & (PAGE - 1));
}

static uint32_t page_count(size_t bytes)
{
	return (uint32_t)(bytes / PAGE);
}

/**
 * idle_room() - bytes of bookkeeping for @slots slots
 */
size_t idle_room(uint32_t stride, uint32_t slots)
{
	return ALIGN_UP((size_t)slots * sizeof(uint32_t) +
				page_count((size_t)stride * slots) * sizeof(uint16_t) + slots / 8 +
				1,
			sizeof(uint64_t));
}

/**
 * idle_init() - no slot was ever taken
 * @mem:	the array, zeroed or not; NULL = nothing is to be trimmed
 * @stride:	from slot to slot, bytes, at least a cache line
 * @room:	idle_room() bytes, zeroed, aligned to 4; borrowed
 */
void idle_init(struct idle *s, uint8_t *mem, uint32_t stride, uint32_t slots, void *room)
{
	*s = (struct idle){ .mem = mem, .stride = stride, .slots = slots, .stack = room };
	s->pages = (uint16_t *)(void *)(s->stack + slots);
	s->marks = (uint8_t *)(s->pages + page_count((size_t)stride * slots));
}

/* Whole pages below the last slot that was ever taken. */
static uint32_t pages_touched(const struct idle *s)
{
	size_t end = MIN((size_t)s->touched * s->stride + PAGE - 1, (size_t)s->slots * s->stride);

	return end > lead(s) ? page_count(end - lead(s)) : 0;
}

/* The pages that slot @i touches, [@from, @to) of those that are whole. */
static void pages_of(const struct idle *s, uint32_t i, uint32_t count, uint32_t *from, uint32_t *to)
{
	size_t begin = (size_t)i * s->stride, end = begin + s->stride;

	*from = begin > lead(s) ? page_count(begin - lead(s)) : 0;
	*to = end > lead(s) ? MIN(page_count(end - lead(s) + PAGE - 1), count) : 0;
}

/* Slots on page @k that were ever taken. */
static uint32_t slots_on(const struct idle *s, uint32_t k)
{
	size_t begin = lead(s) + (size_t)k * PAGE;
	uint32_t first = (uint32_t)(begin / s->stride);
	uint32_t last = (uint32_t)((begin + PAGE - 1) / s->stride);

	return MIN(last + 1, s->touched) - first;
}

static void count_idle(struct idle *s, uint32_t count)
{
	memset(s->pages, 0, count * sizeof(*s->pages));
	for (uint32_t e = 0; e < s->low; e++) {
		uint32_t k, to;

		for (pages_of(s, s->stack[e], count, &k, &to); k < to; k++)
			s->pages[k] = (uint16_t)((s->pages[k] + 1) |
						 (e >= s->cold ? PAGE_NEWS : 0));
	}
}

/* Give back runs of pages without a slot that is needed. Return: system calls */
static uint32_t drop(struct idle *s, uint32_t count)
{
	uint32_t calls = 0;

	for (uint32_t k = 0, begin; k < count; k++) {
		bool news = false;

		for (begin = k; k < count; k++) {
			if ((s->pages[k] & ~PAGE_NEWS) != slots_on(s, k))
				break;
			news |= s->pages[k] & PAGE_NEWS;
			s->pages[k] = PAGE_GONE;
		}
		if (!news)
			continue;
		(void)madvise(s->mem + lead(s) + (size_t)begin * PAGE, (size_t)(k - begin) * PAGE,
			      MADV_DONTNEED);
		calls++;
	}
	return calls;
}

/* Was a page of slot @i given back? */
static bool is_cut(const struct idle *s, uint32_t i, uint32_t count)
{
	uint32_t k, to;

	for (pages_of(s, i, count, &k, &to); k < to; k++) {
		if (s->pages[k] == PAGE_GONE)
			return true;
	}
	return false;
}

/*
 * Slots that have lost memory to the bottom, both parts by index, the lowest on top. A
 * page that was not given back has a slot that was needed: when that one is idle, it is
 * above the bottom, and makes the page news.
 */
static void sort(struct idle *s, uint32_t count)
{
	uint32_t n = 0;

	memset(s->marks, 0, s->touched / 8 + 1);
	for (uint32_t e = 0; e < s->n; e++)
		s->marks[s->stack[e] / 8] |= (uint8_t)(1U << s->stack[e] % 8);
	for (int cut = 1; cut >= 0; cut--) {
		for (uint32_t i = s->touched; i-- > 0;) {
			if (s->marks[i / 8] >> i % 8 & 1 && is_cut(s, i, count) == cut)
				s->stack[n++] = i;
		}
		if (cut)
			s->cold = n;
	}
	DEBUG_BUG_ON(n != s->n);
}

/* All slots are idle: begin anew, with no page left. */
static uint32_t trim_all(struct idle *s, void (*dropped)(void *ctx, uint32_t slot), void *ctx)
{
	uint32_t count = pages_touched(s);

	if (count)
		(void)madvise(s->mem + lead(s), (size_t)count * PAGE, MADV_DONTNEED);
	for (uint32_t i = 0; dropped && i < s->touched; i++)
		dropped(ctx, i);
	s->touched = s->n = s->low = s->cold = 0;
	return count > 0;
}

/**
 * idle_trim() - give back the pages of what was idle since the previous call
 * @dropped:	called for each idle slot of which some memory is gone; may be NULL
 *
 * At quiet moments, say once a second. Return: system calls made
 */
uint32_t idle_trim(struct idle *s, void (*dropped)(void *ctx, uint32_t slot), void *ctx)
{
	uint32_t count = s->mem ? pages_touched(s) : 0;
	uint32_t calls = 0;

	if (s->mem && s->touched && s->low == s->touched)
		return trim_all(s, dropped, ctx);
	if (count && (size_t)(s->low - s->cold) * s->stride >= PAGE) {
		count_idle(s, count);
		calls = drop(s, count);
	}
	if (calls) {
		for (uint32_t e = 0; dropped && e < s->n; e++) {
			if (is_cut(s, s->stack[e], count))
				dropped(ctx, s->stack[e]);
		}
		sort(s, count);
	}
	s->low = s->n;
	return calls;
}
