/* SPDX-License-Identifier: MIT */
/*
 * Arenas: the one mapping behind a thread's pools.
 *
 * Theory of operation: arena_new() adds up what the pools and their bookkeeping
 * (which slots are idle, a generation for each) need and maps it in one
 * piece without touching it, so an arena that is sized for the worst case costs
 * only the pages that have been used. Nothing is ever added to it. The arena
 * and its bookkeeping are the property of one thread; see pool.c for the slots.
 */
#include "arena/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arena/priv.h"

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif

#ifdef SLUICE_DEBUG
#define COOKIE_ROOM ((uint32_t)POOL_SLOT_ALIGN)
#else
#define COOKIE_ROOM 0U
#endif

/* A pool's slots take no more than this, so that offsets fit 32 bits. */
#define POOL_BYTES_MAX (1ULL << 31)

#define HUGE_PAGE (2UL << 20)

/* Where each part of a pool lies in the mapping. */
struct layout {
	size_t slots, idle, gen, poisoned, heap, end;
};

static size_t place(size_t *end, size_t bytes)
{
	size_t at = ALIGN_UP(*end, (size_t)POOL_SLOT_ALIGN);

	*end = at + bytes;
	return at;
}

static uint32_t stride_of(const struct pool_config *cfg)
{
	/* Cookies: one line before the slot, eight bytes behind it. */
	uint32_t raw = cfg->slot_size + (COOKIE_ROOM ? (uint32_t)sizeof(uint64_t) : 0);
	uint32_t stride = COOKIE_ROOM + (uint32_t)ALIGN_UP(raw, (uint32_t)POOL_SLOT_ALIGN);

	return stride > POOL_PAGE ? (uint32_t)ALIGN_UP(stride, POOL_PAGE) : stride;
}

static struct layout layout_of(const struct pool_config *cfg, size_t start, bool heap)
{
	struct layout l = { .end = start };

	/* Slots of whole pages begin on a page, so that trimming one spares its neighbours. */
	if (stride_of(cfg) >= POOL_PAGE)
		l.end = ALIGN_UP(l.end, (size_t)POOL_PAGE);
	l.slots = place(&l.end, heap ? 0 : (size_t)stride_of(cfg) * cfg->slots);
	l.idle = place(&l.end, idle_room(stride_of(cfg), cfg->slots));
	l.gen = place(&l.end, (size_t)cfg->slots * sizeof(uint32_t));
	l.poisoned = place(&l.end, cfg->slots);
	l.heap = place(&l.end, heap ? (size_t)cfg->slots * sizeof(void *) : 0);
	return l;
}

static bool want_heap_backend(void)
{
	const char *backend = getenv("ARENA_BACKEND");

	return UNDER_ASAN || (backend && strcmp(backend, "malloc") == 0);
}

static int config_check(const struct arena_config *cfg)
{
	if (cfg->npools == 0 || cfg->npools > ARENA_POOLS_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < cfg->npools; i++) {
		const struct pool_config *p = &cfg->pools[i];

		if (p->slots == 0 || p->slot_size == 0 || p->slot_size > POOL_BYTES_MAX / 2)
			return -EINVAL;
		if ((uint64_t)stride_of(p) * p->slots > POOL_BYTES_MAX)
			return -EINVAL;
		for (uint32_t j = 0; j < i; j++) {
			if (strcmp(cfg->pools[j].name, p->name) == 0)
				return -EEXIST;
		}
	}
	return 0;
}

static int map_arena(struct arena *a, size_t len, bool huge)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	void *map = MAP_FAILED;

	if (huge) {
		a->map_len = ALIGN_UP(len, HUGE_PAGE);
		map = mmap(NULL, a->map_len, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB, -1, 0);
		a->huge = map != MAP_FAILED;
	}
	if (map == MAP_FAILED) {
		a->map_len = ALIGN_UP(len, (size_t)POOL_PAGE);
		map = mmap(NULL, a->map_len, PROT_READ | PROT_WRITE, flags, -1, 0);
	}
	if (map == MAP_FAILED)
		return -errno;
	/* A page touched must cost a page, not two megabytes. */
	if (!a->huge)
		(void)madvise(map, a->map_len, MADV_NOHUGEPAGE);
	a->map = map;
	return 0;
}

/**
 * arena_new() - map an arena and lay out its pools
 * @out:	the arena; free with arena_free()
 * @cfg:	read during the call only; names must be literals
 *
 * The thread that calls it, or the one it is handed to before use, owns it.
 *
 * Return: 0; -EINVAL for a pool without slots or too large; -EEXIST for a name
 * used twice; -ENOMEM
 */
int arena_new(struct arena **out, const struct arena_config *cfg)
{
	bool heap = want_heap_backend();
	struct arena *a;
	size_t end = 0;
	int ret;

	ret = config_check(cfg);
	if (ret < 0)
		return ret;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->name = cfg->name;
	a->heap_backend = heap;
	for (uint32_t i = 0; i < cfg->npools; i++)
		end = layout_of(&cfg->pools[i], end, heap).end;
	ret = map_arena(a, end, cfg->hugepages);
	if (ret < 0) {
		free(a);
		return ret;
	}
	end = 0;
	for (uint32_t i = 0; i < cfg->npools; i++) {
		const struct pool_config *pc = &cfg->pools[i];
		struct layout l = layout_of(pc, end, heap);
		struct pool *p = &a->pools[a->npools++];

		*p = (struct pool){
			.arena = a,
			.name = pc->name,
			.mem = heap ? NULL : a->map + l.slots,
			.slot_size = pc->slot_size,
			.stride = stride_of(pc),
			.slots = pc->slots,
			.gen = (uint32_t *)(void *)(a->map + l.gen),
			.poisoned = a->map + l.poisoned,
			.heap = heap ? (void **)(void *)(a->map + l.heap) : NULL,
		};
		idle_init(&p->idle, p->mem, p->stride, p->slots, a->map + l.idle);
		end = l.end;
	}
	*out = a;
	return 0;
}

/**
 * arena_free() - unmap an arena
 * @a:		may be NULL; slots that are still out die with it (arena_leaks())
 *
 * The owning thread, or any once it has ended.
 */
void arena_free(struct arena *a)
{
	if (!a)
		return;
	if (a->heap_backend) {
		for (uint32_t i = 0; i < a->npools; i++) {
			for (uint32_t s = 0; s < a->pools[i].slots; s++)
				free(a->pools[i].heap[s]);
		}
	}
	munmap(a->map, a->map_len);
	free(a);
}

/**
 * arena_pool() - a pool by its name
 *
 * Return: the pool; a name that does not exist is a bug of ours. Any thread.
 */
struct pool *arena_pool(struct arena *a, const char *name)
{
	for (uint32_t i = 0; i < a->npools; i++) {
		if (strcmp(a->pools[i].name, name) == 0)
			return &a->pools[i];
	}
	bug(__FILE__, __LINE__, name);
}

/**
 * arena_pool_count() - how many pools there are; any thread
 */
uint32_t arena_pool_count(const struct arena *a)
{
	return a->npools;
}

/**
 * arena_pool_at() - the @i-th pool, in the order of the configuration; any thread
 */
struct pool *arena_pool_at(struct arena *a, uint32_t i)
{
	BUG_ON(i >= a->npools);
	return &a->pools[i];
}

/**
 * arena_name() - as configured; any thread
 */
const char *arena_name(const struct arena *a)
{
	return a->name;
}

/**
 * arena_bytes() - address space that the arena occupies, touched or not
 */
size_t arena_bytes(const struct arena *a)
{
	return a->map_len;
}

/**
 * arena_dump() - one line of figures for each pool; any thread
 */
void arena_dump(const struct arena *a, FILE *out)
{
	fprintf(out, "arena %s: %zu KiB mapped%s%s\n", a->name, a->map_len >> 10,
		a->huge ? ", huge pages" : "", a->heap_backend ? ", malloc backend" : "");
	for (uint32_t i = 0; i < a->npools; i++) {
		struct pool_stats s;

		pool_stats(&a->pools[i], &s);
		fprintf(out,
			"  %-12s %7u B x %-6u in use %-6llu peak %-6llu gets %-10llu empty %llu\n",
			s.name, s.slot_size, s.slots, (unsigned long long)s.in_use,
			(unsigned long long)s.peak, (unsigned long long)s.gets,
			(unsigned long long)s.empty);
	}
}

/**
 * arena_audit() - check each pool's bookkeeping and cookies; abort when wrong
 *
 * Walks everything: for tests and for the end of a debug build. Owning thread.
 */
void arena_audit(const struct arena *a)
{
	for (uint32_t i = 0; i < a->npools; i++)
		pool_audit(&a->pools[i]);
}

/**
 * arena_leaks() - slots that are out, over all pools; any thread
 */
uint64_t arena_leaks(const struct arena *a)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < a->npools; i++)
		n += counter_get(&a->pools[i].in_use);
	return n;
}

/**
 * arena_activity() - a number that changes with every get and put; any thread
 */
uint64_t arena_activity(const struct arena *a)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < a->npools; i++)
		n += counter_get(&a->pools[i].gets) + counter_get(&a->pools[i].puts);
	return n;
}
