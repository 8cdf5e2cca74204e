/* SPDX-License-Identifier: MIT */
/*
 * What a fuzz target and those that drive it know of each other.
 *
 * A target is tests/fuzz/fuzz_NAME.c: it defines fuzz_target and fuzz_one(). Its seeds
 * are the files in tests/fuzz/corpus/NAME, written by tests/fuzz/mkseeds or found by
 * fuzzing, and what it is linked with is one line of the Makefile, fuzz_NAME. What
 * several of them need is net.h (the whole stack) and ring.h (a virtio driver). `make check`
 * replays the seeds, and what some thousand mutations make of them, with any compiler (replay.c);
 * `make fuzz` is libFuzzer's.
 *
 * A target that does nothing passes for ever (H83). So each counts its work in
 * fuzz_work, and the replay wants some of every seed: something done by each, but of
 * those called bad-*, which must be refused; and of all together fuzz_target.floor.
 *
 * Whatever the target, common.c sees to it that an input leaves no descriptor open and
 * takes no more of the heap than its length can explain.
 */
#ifndef SLUICE_TESTS_FUZZ_FUZZ_H
#define SLUICE_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/base.h"

/**
 * struct fuzz_target - what fuzz_NAME.c is
 * @name:	the NAME
 * @done, @refused:	what fuzz_work counts, for people
 * @floor:	least of @done by all seeds together
 * @mutations:	that a replay makes, 0 = the usual number; for inputs that take long
 * @alloc_one:	bytes that one call of an allocator (malloc and friends, mmap) may ask for,
 *		and FUZZ_ALLOC_ONE more for each byte of the input
 * @alloc_all:	bytes that all calls for one input may ask for together
 * @alloc_per_byte:	... and so many more for each byte of the input
 * @setup:	what is made once, before the first input; NULL = nothing
 */
struct fuzz_target {
	const char *name, *done, *refused;
	uint64_t floor;
	uint32_t mutations;
	uint64_t alloc_one, alloc_all, alloc_per_byte;
	void (*setup)(void);
};

/* A text, its copy with escapes, and an array that has just been doubled. */
#define FUZZ_ALLOC_ONE 8

struct fuzz_work {
	uint64_t done, refused;
};

extern const struct fuzz_target fuzz_target;
extern struct fuzz_work fuzz_work;

/* fuzz_NAME.c */
void fuzz_one(const uint8_t *data, size_t len);

/* alloc.c */
void fuzz_alloc_begin(size_t len);
void fuzz_alloc_end(void);
void fuzz_alloc_tell(void);

/* common.c; the first two names are libFuzzer's */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
void fuzz_own_network(void);
NORETURN void fuzz_skip(const char *why);
NORETURN void fuzz_fail(const char *file, int line, const char *fmt, ...) PRINTF(3, 4);

/* What must hold whatever the input; ends the program, in every build. */
#define FUZZ_CHECK(cond, ...)                                                \
	do {                                                                 \
		if (!(cond))                                                 \
			fuzz_fail(__FILE__, __LINE__, #cond " "__VA_ARGS__); \
	} while (0)

#endif
