/* SPDX-License-Identifier: MIT */
/* The inside of arenas and pools, for the files of this folder only. */
#ifndef SLUICE_ARENA_PRIV_H
#define SLUICE_ARENA_PRIV_H

#include "arena/arena.h"
#include "arena/idle.h"

/* Debug builds surround each slot with these. */
#define POOL_COOKIE 0x736c756963653a29ULL
#define POOL_POISON 0x5a

#define POOL_PAGE 4096U

/**
 * struct pool - one size of slot
 * @mem:	first slot, @stride bytes apart; NULL with the malloc backend
 * @stride:	slot, alignment and (debug builds) cookies
 * @idle:	which slots are not out
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
	struct idle idle;
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
