/* SPDX-License-Identifier: MIT */
/*
 * Preallocated memory for the data path: pools of fixed slots, and scratch.
 *
 * The contract
 * ------------
 * - An arena is one anonymous mapping, sized once by arena_new() from the list
 *   of pools; nothing in it grows. Pages are taken by the kernel when first
 *   touched, and pool_trim() returns those above the low watermark of a quiet
 *   interval, so memory falls back to its base after a burst.
 * - A pool has a name, a slot size and a number of slots. pool_get() hands over
 *   a slot: the taker owns it until it calls pool_put(). pool_get() answers
 *   NULL when the pool is empty; that is an outcome to count, never a crash.
 * - pool_get_bulk() takes all that was asked for or nothing.
 * - An arena belongs to one thread, which is the only one to get and put. A
 *   slot that must be freed elsewhere goes home in a message. Statistics may
 *   be read by any thread.
 * - A slot's content survives pool_put() only by accident. Debug builds
 *   (SLUICE_DEBUG) poison freed slots and keep a cookie around each, check both
 *   at get and put, and abort at a double put, a foreign pointer or an overrun.
 * - With the debug backend (ARENA_BACKEND=malloc in the environment, and always
 *   under AddressSanitizer) each slot is a malloc of its own, so that ASan and
 *   heaptrack see each one's life. Limits and statistics stay the same.
 * - A handle names a slot by index and generation; a stale handle resolves to
 *   NULL.
 */
#ifndef SLUICE_ARENA_ARENA_H
#define SLUICE_ARENA_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "src/base/base.h"
#include "src/base/counter.h"

struct arena;
struct pool;

/* Most pools of one arena. */
#define ARENA_POOLS_MAX 16

/* Slots begin at multiples of this. */
#define POOL_SLOT_ALIGN CACHE_LINE

/**
 * struct pool_config - one pool of an arena
 * @name:	for dumps and metrics; a literal
 * @slot_size:	usable bytes of each slot
 * @slots:	how many
 */
struct pool_config {
	const char *name;
	uint32_t slot_size;
	uint32_t slots;
};

/**
 * struct arena_config - what arena_new() builds
 * @name:	for dumps; a literal
 * @pools:	@npools entries; read during arena_new() only
 * @hugepages:	ask for huge pages (falls back; arena_dump() tells)
 */
struct arena_config {
	const char *name;
	const struct pool_config *pools;
	uint32_t npools;
	bool hugepages;
};

struct pool_handle {
	uint32_t index;
	uint32_t gen;
};

/**
 * struct pool_stats - any thread may read a snapshot
 * @in_use:	slots out
 * @peak:	most that were ever out
 * @gets, @puts, @empty:	calls that succeeded; gets refused
 */
struct pool_stats {
	const char *name;
	uint32_t slot_size, slots;
	uint64_t in_use, peak, gets, puts, empty;
};

/* arena.c */
int arena_new(struct arena **out, const struct arena_config *cfg);
void arena_free(struct arena *a);
struct pool *arena_pool(struct arena *a, const char *name);
uint32_t arena_pool_count(const struct arena *a);
struct pool *arena_pool_at(struct arena *a, uint32_t i);
const char *arena_name(const struct arena *a);
size_t arena_bytes(const struct arena *a);
void arena_dump(const struct arena *a, FILE *out);
void arena_audit(const struct arena *a);
uint64_t arena_leaks(const struct arena *a);
uint64_t arena_activity(const struct arena *a);

/* pool.c */
void *pool_get(struct pool *p) WARN_UNUSED;
void pool_put(struct pool *p, void *slot);
bool pool_get_bulk(struct pool *p, void **slots, uint32_t n) WARN_UNUSED;
void pool_put_bulk(struct pool *p, void **slots, uint32_t n);
uint32_t pool_slot_size(const struct pool *p);
uint32_t pool_available(const struct pool *p);
struct pool_handle pool_handle_of(const struct pool *p, const void *slot);
void *pool_resolve(const struct pool *p, struct pool_handle h);
void pool_stats(const struct pool *p, struct pool_stats *out);
uint32_t pool_trim(struct pool *p);

/*
 * scratch.c: arrays that a function needs for the length of one call (events,
 * iovecs, flow keys). Sized at start, reused for ever. Borrowing the same
 * scratch twice before giving it back is a bug and aborts.
 */
struct scratch {
	const char *name;
	void *mem;
	uint32_t count;
	uint32_t elem_size;
	bool out;
	uint64_t borrows;
};

int scratch_init(struct scratch *s, const char *name, uint32_t count, uint32_t elem_size);
void scratch_fini(struct scratch *s);
void *scratch_borrow(struct scratch *s);
void scratch_return(struct scratch *s);

#endif
