/* SPDX-License-Identifier: MIT */
/* Heap calls counted by thread; see the header. */
#include "src/base/alloc_count.h"

#include <stddef.h>
#include <sys/mman.h>
#include <sys/types.h>

static _Thread_local struct alloc_count here;

const struct alloc_count *alloc_count_here(void)
{
	return &here;
}

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
	here.allocs++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	here.allocs++;
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	here.allocs++;
	return __real_realloc(p, size);
}

void __wrap_free(void *p)
{
	if (p)
		here.frees++;
	__real_free(p);
}

int __wrap_posix_memalign(void **p, size_t align, size_t size)
{
	here.allocs++;
	return __real_posix_memalign(p, align, size);
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	here.maps++;
	return __real_mmap(addr, len, prot, flags, fd, off);
}
