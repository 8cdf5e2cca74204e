/* SPDX-License-Identifier: MIT */
/* Limits that can be changed while a stack runs; they carry their option's name. */
#ifndef SLUICE_TCPSTACK_LIMIT_H
#define SLUICE_TCPSTACK_LIMIT_H

#include <stdint.h>

struct stack;

/**
 * struct stack_limit - one limit
 * @name:	of the command line's option
 * @text:	what it bounds
 * @value:	in force; @max: the most that it can be set to; @min: the least
 * @used:	how much of it is taken now; UINT64_MAX = does not apply
 */
struct stack_limit {
	const char *name, *text;
	uint64_t value, min, max, used;
};

/* Room for all of them. */
#define STACK_LIMITS_MAX 16

/* limit.c */
uint32_t stack_limits(struct stack *st, struct stack_limit *out, uint32_t max);
int stack_limit_set(struct stack *st, const char *name, uint64_t value);

#endif
