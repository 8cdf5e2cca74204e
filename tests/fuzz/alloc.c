/* SPDX-License-Identifier: MIT */
/*
 * How much an input makes us allocate.
 *
 * Every program of ours is linked with --wrap for malloc and its relatives; these
 * definitions take the place of src/base/alloc_count.c in fuzz targets. While an input
 * is run, no call and no sum of calls may ask for more than struct fuzz_target allows
 * for its length: a length field that is believed shows here, long before the machine
 * has no memory left. What is freed meanwhile is not taken off, so that work without
 * end shows too.
 */
#include "src/base/alloc_count.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "tests/fuzz/fuzz.h"

/* Of this thread's input: what it may ask for and has; and the most of all inputs. */
static _Thread_local struct {
	bool on;
	uint64_t one, all, sum, largest;
} now;

static uint64_t largest_one, largest_all;

static _Thread_local struct alloc_count here;

const struct alloc_count *alloc_count_here(void)
{
	return &here;
}

/**
 * fuzz_alloc_begin() - an input of @len bytes begins on this thread
 *
 * Again, once what any input needs has been made.
 */
void fuzz_alloc_begin(size_t len)
{
	now.one = fuzz_target.alloc_one + len * FUZZ_ALLOC_ONE;
	now.all = fuzz_target.alloc_all + len * fuzz_target.alloc_per_byte;
	now.sum = now.largest = 0;
	now.on = true;
}

/**
 * fuzz_alloc_end() - it is through
 */
void fuzz_alloc_end(void)
{
	now.on = false;
	largest_one = MAX(largest_one, now.largest);
	largest_all = MAX(largest_all, now.sum);
}

/**
 * fuzz_alloc_tell() - the most that any input has asked for, if somebody wants to know
 */
void fuzz_alloc_tell(void)
{
	if (getenv("FUZZ_ALLOC"))
		fprintf(stderr, "%s: %llu bytes at once, %llu for an input, at most\n",
			fuzz_target.name, (unsigned long long)largest_one,
			(unsigned long long)largest_all);
}

static void judge(uint64_t size)
{
	if (!now.on)
		return;
	now.sum += size;
	now.largest = MAX(now.largest, size);
	if (size <= now.one && now.sum <= now.all)
		return;
	now.on = false; /* what is said may allocate */
	fuzz_fail(__FILE__, __LINE__, "%llu bytes asked for, %llu in all", (unsigned long long)size,
		  (unsigned long long)now.sum);
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
	judge(size);
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	uint64_t bytes;

	here.allocs++;
	judge(__builtin_mul_overflow(n, size, &bytes) ? UINT64_MAX / 2 : bytes);
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	here.allocs++;
	judge(size);
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
	judge(size);
	return __real_posix_memalign(p, align, size);
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	here.maps++;
	if (fd < 0) /* a file's pages are the file's */
		judge(len);
	return __real_mmap(addr, len, prot, flags, fd, off);
}
