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

#include "src/base/alloc_wrap.h"
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

static inline void alloc_seen(uint64_t size)
{
	here.allocs++;
	judge(size);
}

static inline void free_seen(void)
{
	here.frees++;
}

static inline void map_seen(size_t len, int fd)
{
	here.maps++;
	if (fd < 0) /* a file's pages are the file's */
		judge(len);
}
