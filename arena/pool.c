/* SPDX-License-Identifier: MIT */
/*
 * Pools: fixed slots handed out and taken back in constant time.
 *
 * Theory of operation: idle.c keeps the slots that are not out, and gives memory
 * that was not needed for a while back to the kernel.
 *
 * Each slot has a generation, odd while it is out. It makes a second put of the
 * same slot a detected bug in every build, and a handle to a slot that has been
 * put a NULL.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arena/arena.h"
#include "arena/priv.h"
#include "src/base/bytes.h"

/* With the malloc backend a line before each slot carries its index. */
#define HEAP_LEAD ((size_t)POOL_SLOT_ALIGN)

static uint8_t *slot_at(const struct pool *p, uint32_t i)
{
#ifdef SLUICE_DEBUG
	return p->mem + (size_t)i * p->stride + POOL_SLOT_ALIGN;
#else
	return p->mem + (size_t)i * p->stride;
#endif
}

/* The index of a slot of ours; anything else is a foreign pointer, our bug. */
static uint32_t slot_index(const struct pool *p, const void *slot)
{
	uint32_t i;

	if (p->heap) {
		i = get_le32((const uint8_t *)slot - HEAP_LEAD);
		BUG_ON(i >= p->slots || p->heap[i] != (const uint8_t *)slot - HEAP_LEAD);
		return i;
	}
	/* The offset of a pointer below the pool wraps to something far beyond it. */
	size_t off = (size_t)((const uint8_t *)slot - slot_at(p, 0));

	BUG_ON(off >= (size_t)p->stride * p->slots);
	i = (uint32_t)off / p->stride;
	BUG_ON((size_t)i * p->stride != off);
	return i;
}

#ifdef SLUICE_DEBUG
static void debug_arm(const struct pool *p, uint32_t i)
{
	uint8_t *slot = slot_at(p, i);

	put_le64(slot - sizeof(uint64_t), POOL_COOKIE);
	put_le64(slot + p->slot_size, POOL_COOKIE);
}

static void debug_check_cookies(const struct pool *p, uint32_t i)
{
	const uint8_t *slot = slot_at(p, i);

	BUG_ON(get_le64(slot - sizeof(uint64_t)) != POOL_COOKIE);
	BUG_ON(get_le64(slot + p->slot_size) != POOL_COOKIE);
}

static void debug_poison(const struct pool *p, uint32_t i)
{
	memset(slot_at(p, i), POOL_POISON, p->slot_size);
	p->poisoned[i] = 1;
}

static void debug_check_poison(const struct pool *p, uint32_t i)
{
	const uint8_t *slot = slot_at(p, i);

	if (!p->poisoned[i])
		return;
	for (uint32_t b = 0; b < p->slot_size; b++)
		BUG_ON(slot[b] != POOL_POISON); /* written after its put */
}

static void debug_on_get(const struct pool *p, uint32_t i)
{
	if (p->heap)
		return; /* the heap checker watches these */
	debug_check_poison(p, i);
	debug_arm(p, i);
}

static void debug_on_put(const struct pool *p, uint32_t i)
{
	if (p->heap)
		return;
	debug_check_cookies(p, i);
	debug_poison(p, i);
}
#else
static inline void debug_on_get(const struct pool *p, uint32_t i)
{
	(void)p;
	(void)i;
}

static inline void debug_on_put(const struct pool *p, uint32_t i)
{
	(void)p;
	(void)i;
}
#endif

static void *heap_slot_new(struct pool *p, uint32_t i)
{
	void *block;

	if (posix_memalign(&block, POOL_SLOT_ALIGN, HEAP_LEAD + p->slot_size) != 0)
		return NULL;
	put_le32(block, i);
	p->heap[i] = block;
	return (uint8_t *)block + HEAP_LEAD;
}

static void count_get(struct pool *p, uint64_t n)
{
	uint64_t out = counter_get(&p->in_use) + n;

	counter_set(&p->in_use, out);
	counter_add(&p->gets, n);
	if (out > counter_get(&p->peak))
		counter_set(&p->peak, out);
}

/* Take one idle slot; the caller has seen that there is one. */
static void *take(struct pool *p)
{
	uint32_t i = idle_take(&p->idle);
	void *slot;

	if (p->heap) {
		slot = heap_slot_new(p, i);
		if (!slot) {
			idle_give(&p->idle, i);
			return NULL;
		}
	} else {
		slot = slot_at(p, i);
	}
	debug_on_get(p, i);
	p->gen[i]++;
	DEBUG_BUG_ON((p->gen[i] & 1) == 0);
	return slot;
}

static void give_back(struct pool *p, void *slot)
{
	uint32_t i = slot_index(p, slot);

	BUG_ON((p->gen[i] & 1) == 0); /* put twice */
	debug_on_put(p, i);
	p->gen[i]++;
	idle_give(&p->idle, i);
	if (p->heap) {
		free(p->heap[i]);
		p->heap[i] = NULL;
	}
}

/**
 * pool_get() - take a slot
 *
 * Owning thread. The content is undefined. Return: the slot, the taker's until
 * pool_put(); NULL when the pool is empty, which is counted
 */
void *pool_get(struct pool *p)
{
	void *slot = NULL;

	if (likely(pool_available(p) > 0))
		slot = take(p);
	if (unlikely(!slot)) {
		counter_inc(&p->empty);
		return NULL;
	}
	count_get(p, 1);
	return slot;
}

/**
 * pool_put() - give a slot back
 * @slot:	from pool_get() of the same pool; NULL is allowed and ignored
 *
 * Owning thread. A pointer from elsewhere and a second put abort.
 */
void pool_put(struct pool *p, void *slot)
{
	if (!slot)
		return;
	give_back(p, slot);
	counter_set(&p->in_use, counter_get(&p->in_use) - 1);
	counter_inc(&p->puts);
}

/**
 * pool_get_bulk() - take @n slots or none
 * @slots:	out: @n pointers, written only when the answer is true
 *
 * Owning thread. Return: true with all, false (counted) with none taken
 */
bool pool_get_bulk(struct pool *p, void **slots, uint32_t n)
{
	if (pool_available(p) < n) {
		counter_inc(&p->empty);
		return false;
	}
	for (uint32_t i = 0; i < n; i++) {
		slots[i] = take(p);
		if (unlikely(!slots[i])) { /* the malloc backend is out of memory */
			while (i > 0)
				give_back(p, slots[--i]);
			counter_inc(&p->empty);
			return false;
		}
	}
	count_get(p, n);
	return true;
}

/**
 * pool_put_bulk() - give @n slots back; owning thread
 */
void pool_put_bulk(struct pool *p, void **slots, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		give_back(p, slots[i]);
	counter_set(&p->in_use, counter_get(&p->in_use) - n);
	counter_add(&p->puts, n);
}

/**
 * pool_slot_size() - usable bytes of a slot; any thread
 */
uint32_t pool_slot_size(const struct pool *p)
{
	return p->slot_size;
}

/**
 * pool_available() - slots that could be got now; owning thread
 */
uint32_t pool_available(const struct pool *p)
{
	return idle_available(&p->idle);
}

/**
 * pool_handle_of() - name a slot that is out; owning thread
 */
struct pool_handle pool_handle_of(const struct pool *p, const void *slot)
{
	uint32_t i = slot_index(p, slot);

	return (struct pool_handle){ .index = i, .gen = p->gen[i] };
}

/**
 * pool_resolve() - the slot of a handle
 *
 * Owning thread. Return: the slot, or NULL when it has been put since
 */
void *pool_resolve(const struct pool *p, struct pool_handle h)
{
	if (h.index >= p->idle.touched || p->gen[h.index] != h.gen || (h.gen & 1) == 0)
		return NULL;
	return p->heap ? (uint8_t *)p->heap[h.index] + HEAP_LEAD : slot_at(p, h.index);
}

/**
 * pool_stats() - figures of a pool; any thread
 */
void pool_stats(const struct pool *p, struct pool_stats *out)
{
	*out = (struct pool_stats){
		.name = p->name,
		.slot_size = p->slot_size,
		.slots = p->slots,
		.in_use = counter_get(&p->in_use),
		.peak = counter_get(&p->peak),
		.gets = counter_get(&p->gets),
		.puts = counter_get(&p->puts),
		.empty = counter_get(&p->empty),
	};
}

#ifdef SLUICE_DEBUG
static void debug_on_trim(void *ctx, uint32_t i)
{
	const struct pool *p = ctx;

	p->poisoned[i] = 0;
}
#else
#define debug_on_trim NULL
#endif

/**
 * pool_trim() - return memory that was idle since the previous call
 *
 * Called by the owning thread at quiet moments, say once a second. Pages of which
 * no slot was needed for the whole interval go; they come back zeroed.
 *
 * Return: system calls made
 */
uint32_t pool_trim(struct pool *p)
{
	return idle_trim(&p->idle, debug_on_trim, p);
}

/**
 * pool_audit() - check that stack, generations and counters tell the same
 */
void pool_audit(const struct pool *p)
{
	const struct idle *s = &p->idle;
	uint32_t out = 0;

	for (uint32_t i = 0; i < s->touched; i++)
		out += p->gen[i] & 1;
	BUG_ON(out != counter_get(&p->in_use));
	BUG_ON(out + s->n != s->touched);
	BUG_ON(s->low > s->n || s->cold > s->low);
	for (uint32_t i = 0; i < s->n; i++)
		BUG_ON(s->stack[i] >= s->touched || (p->gen[s->stack[i]] & 1) != 0);
#ifdef SLUICE_DEBUG
	for (uint32_t i = 0; i < s->touched && !p->heap; i++) {
		if (p->gen[i] & 1)
			debug_check_cookies(p, i);
		else
			debug_check_poison(p, i);
	}
#endif
}
