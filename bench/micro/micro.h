/* SPDX-License-Identifier: MIT */
/*
 * Single operations of the data path, measured alone.
 *
 *	main.c	the table of operations, the clock, callgrind, the output
 *	wire.c	descriptors, headers, checksums
 *	state.c	flows, slots, timers, rules, and the cycle in which nothing happens
 */
#ifndef SLUICE_BENCH_MICRO_H
#define SLUICE_BENCH_MICRO_H

#include <stdint.h>

/**
 * struct micro - one operation
 * @name:	for people and for the command line
 * @what:	what the sizes count
 * @sizes:	0 ends; the first is the one that growth is told against
 * @begin:	set up for that size; once in a process
 * @run:	do it so many times; returns something that depends on each, so that
 *		the compiler leaves nothing out
 */
struct micro {
	const char *name, *what;
	uint32_t sizes[5];
	void (*begin)(uint32_t size);
	uint64_t (*run)(uint64_t times);
};

/* wire.c */
extern const struct micro micro_walker, micro_parse, micro_checksum;

/* state.c */
extern const struct micro micro_flow, micro_pool, micro_timer, micro_policy, micro_idle;

#endif
