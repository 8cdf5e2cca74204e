/* SPDX-License-Identifier: MIT */
/* What --alloc-report tells at the end: who holds memory, and who called the allocator. */
#ifndef SLUICE_CLI_ALLOC_REPORT_H
#define SLUICE_CLI_ALLOC_REPORT_H

#include <stddef.h>
#include <stdio.h>

struct alloc_count;
struct net_worker;

/**
 * struct alloc_report - what it takes, opened while files can be; zeroed = nothing is told
 * @path:	as the option has it
 * @out:	NULL = nothing was asked for
 * @process:	/proc/self/status, NULL where there is none
 */
struct alloc_report {
	const char *path;
	FILE *out, *process;
};

/* alloc_report.c */
int alloc_report_open(struct alloc_report *r, const char *path, char *why, size_t why_len);
void alloc_report(const struct alloc_report *r, struct net_worker *w,
		  const struct alloc_count *vcpus);
void alloc_report_close(struct alloc_report *r);

#endif
