/* SPDX-License-Identifier: MIT */
/* The bytes that are sent and compared, also by programs that know nothing else of load. */
#ifndef BENCH_PATTERN_H
#define BENCH_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A prime near 1 MiB: no whole number of segments or pages shifts it onto itself. */
#define PATTERN_PERIOD 1048573U

/* pattern.c */
void pattern_init(void);
const uint8_t *pattern_at(uint64_t seed, uint64_t off);
bool pattern_check(uint64_t seed, uint64_t off, const void *p, size_t len, uint64_t *bad);

#endif
