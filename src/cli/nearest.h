/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CLI_NEAREST_H
#define SLUICE_CLI_NEAREST_H

#include <stddef.h>

/**
 * struct nearest - of many words, the one that a mistyped one was meant to be
 * @typed:	what was given, NUL-terminated
 * @best:	the nearest so far, NULL = none is near
 */
struct nearest {
	const char *typed, *best;
	size_t distance;
};

/* nearest.c */
void nearest_offer(struct nearest *n, const char *word);

#endif
