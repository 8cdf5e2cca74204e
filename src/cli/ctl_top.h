/* SPDX-License-Identifier: MIT */
/* `sluice ctl top`: a live view of one sluice. */
#ifndef SLUICE_CLI_CTL_TOP_H
#define SLUICE_CLI_CTL_TOP_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "src/cli/ctl.h"

/**
 * struct top_sample - what was learnt in one round
 * @at_ns:	when, CLOCK_MONOTONIC
 */
struct top_sample {
	uint64_t at_ns;
	json_t *status, *metrics, *flows;
};

/* ctl_top.c */
int ctl_top(struct ctl_link *l, bool once, char *why, size_t why_len);

/* ctl_top_view.c */
void top_view(const struct top_sample *before, const struct top_sample *now, int rows, int columns,
	      FILE *out);

#endif
