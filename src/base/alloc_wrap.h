/* SPDX-License-Identifier: MIT */
/*
 * The wrappers that -Wl,--wrap leads heap calls to, for the one object of a program that
 * looks at them: alloc_count.c, or what takes its place in a fuzz target. It defines the
 * three functions below, which are called before the allocator is.
 */
#ifndef SLUICE_BASE_ALLOC_WRAP_H
#define SLUICE_BASE_ALLOC_WRAP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

/* @size: what is asked for, in bytes; UINT64_MAX of a calloc() that asks for more */
static inline void alloc_seen(uint64_t size);
/* A pointer that is not NULL. */
static inline void free_seen(void);
/* @fd: as mmap(2) has it */
static inline void map_seen(size_t len, int fd);

/* Names fixed by the linker's --wrap: __real_X is X, and X becomes __wrap_X. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
int __real_posix_memalign(void **p, size_t align, size_t size);
void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);
int __wrap_posix_memalign(void **p, size_t align, size_t size);
void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off);

void *__wrap_malloc(size_t size)
{
	alloc_seen(size);
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	uint64_t bytes;

	alloc_seen(__builtin_mul_overflow(n, size, &bytes) ? UINT64_MAX : bytes);
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	alloc_seen(size);
	return __real_realloc(p, size);
}

void __wrap_free(void *p)
{
	if (p)
		free_seen();
	__real_free(p);
}

int __wrap_posix_memalign(void **p, size_t align, size_t size)
{
	alloc_seen(size);
	return __real_posix_memalign(p, align, size);
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	map_seen(len, fd);
	return __real_mmap(addr, len, prot, flags, fd, off);
}

#endif
