/* SPDX-License-Identifier: MIT */
/*
 * A count of heap calls by thread. Every program that we link passes
 * -Wl,--wrap for malloc, calloc, realloc, free, posix_memalign and mmap, so the
 * wrappers in alloc_count.c see each call that our own objects make; the
 * allocator beneath (glibc, jemalloc, heaptrack's) stays free to choose.
 */
#ifndef SLUICE_BASE_ALLOC_COUNT_H
#define SLUICE_BASE_ALLOC_COUNT_H

#include <stdint.h>

/**
 * struct alloc_count - heap calls that one thread has made since it began
 * @allocs:	malloc, calloc, realloc and posix_memalign
 * @frees:	free with a non-NULL pointer
 * @maps:	mmap
 */
struct alloc_count {
	uint64_t allocs;
	uint64_t frees;
	uint64_t maps;
};

/**
 * alloc_count_here() - the calling thread's own counts, live
 *
 * The pointer stays good while the thread lives; only this thread reads it.
 */
const struct alloc_count *alloc_count_here(void);

#endif
