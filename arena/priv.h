/* SPDX-License-Identifier: MIT */
/* The inside of arenas and pools, for the files of this folder only. */
#ifndef SLUICE_ARENA_PRIV_H
#define SLUICE_ARENA_PRIV_H

#include "arena/arena.h"

/* Debug builds surround each slot with these. */
#define POOL_COOKIE 0x736c756963653a29ULL
#define POOL_POISON 0x5a

/* Slots idle for a whole interval are trimmed one by one only if they own whole pages. */
#define POOL_PAGE 4096U

/**
 * struct pool - one size of slot
 * @mem:	first slot, @stride bytes apart; NULL with the malloc backend
 * @stride:	slot, alignment and (debug builds) cookies
 * @touched:	slots that were ever handed out since the last full trim; the
 *		ones above have never been written and are taken in order
 * @free:	indices of the idle slots below @touched, a stack
 * @nfree:	its height
 * @low:	smallest @nfree since the last trim: that many slots at the bottom
 *		were idle all the time
 * @cold:	of those at the bottom, how many have been given back already
 * @gen:	by slot, odd while it is out; a handle carries it
 * @poisoned:	by slot, debug builds: content is POOL_POISON since its put
 * @heap:	by slot, malloc backend: its memory while it is out
 */
struct pool {
	struct arena *arena;
	const char *name;
	uint8_t *mem;
	uint32_t slot_size;
	uint32_t stride;
	uint32_t slots;
	uint32_t touched;
	uint32_t nfree;
	uint32_t low;
	uint32_t cold;
	uint32_t *free;
	uint32_t *gen;
	uint8_t *poisoned;
	void **heap;
	struct counter in_use, peak, gets, puts, empty;
};

struct arena {
	const char *name;
	uint8_t *map;
	size_t map_len;
	bool huge;
	bool heap_backend;
	uint32_t npools;
	struct pool pools[ARENA_POOLS_MAX];
};

/* pool.c */
void pool_audit(const struct pool *p);

#endif
