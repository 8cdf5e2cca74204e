/* SPDX-License-Identifier: MIT */
/*
 * What a fuzz target and those that drive it know of each other.
 *
 * A target is tests/fuzz/fuzz_NAME.c: it defines fuzz_target and the two functions
 * that libFuzzer calls. Its seeds are the files in tests/fuzz/corpus/NAME, and what
 * it is linked with is one line of the Makefile, fuzz_NAME. `make check` replays the
 * seeds, and what some thousand mutations make of them, with any compiler (replay.c);
 * `make fuzz` is libFuzzer's.
 *
 * A target that does nothing passes for ever (H83). So each counts its work in
 * fuzz_work, and the replay wants some of every seed: something done by each, but of
 * those called bad-*, which must be refused; and of all together fuzz_target.floor.
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
 */
struct fuzz_target {
	const char *name, *done, *refused;
	uint64_t floor;
};

struct fuzz_work {
	uint64_t done, refused;
};

extern const struct fuzz_target fuzz_target;
extern struct fuzz_work fuzz_work;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* common.c */
void fuzz_begin(void);
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
