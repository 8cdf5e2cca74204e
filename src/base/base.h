/* SPDX-License-Identifier: MIT */
/*
 * Helpers that every folder may use: array sizes, alignment, and the one way
 * in which our own bugs end the program.
 */
#ifndef SLUICE_BASE_BASE_H
#define SLUICE_BASE_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Both operands have one type and no side effects. */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* @align is a power of two. */
#define ALIGN_UP(x, align)   (((x) + ((align)-1)) & ~((__typeof__(x))(align)-1))
#define ALIGN_DOWN(x, align) ((x) & ~((__typeof__(x))(align)-1))

#define CACHE_LINE 64

#define PRINTF(fmt_arg, first_arg) __attribute__((format(printf, fmt_arg, first_arg)))
#define NORETURN		   __attribute__((noreturn))
#define UNUSED			   __attribute__((unused))
#define WARN_UNUSED		   __attribute__((warn_unused_result))
#define CACHE_ALIGNED		   __attribute__((aligned(CACHE_LINE)))

/**
 * bug() - end the program because of a fault of our own
 * @file:	source file of the check
 * @line:	its line
 * @what:	the condition that held though it must not
 *
 * Never reachable from what a guest or a peer sends: those faults are counted
 * and dropped. Any thread.
 */
NORETURN void bug(const char *file, int line, const char *what);

/* True @cond is a bug of ours. Kept in release builds: it stands off the hot path. */
#define BUG_ON(cond)                                    \
	do {                                            \
		if (unlikely(cond))                     \
			bug(__FILE__, __LINE__, #cond); \
	} while (0)

/* Checks that only debug builds (make DEBUG=1, asan, tsan) pay for. */
#ifdef SLUICE_DEBUG
#define DEBUG_BUG_ON(cond) BUG_ON(cond)
#else
#define DEBUG_BUG_ON(cond) ((void)sizeof(cond))
#endif

static inline bool is_power_of_two(uint64_t x)
{
	return x != 0 && (x & (x - 1)) == 0;
}

/**
 * range_ok() - does [off, off + len) lie inside [0, size)?
 *
 * The one bounds check: it compares and subtracts, and never adds, so that no
 * operand near 2^64 wraps.
 */
static inline bool range_ok(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

#endif
