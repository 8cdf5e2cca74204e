/* SPDX-License-Identifier: MIT */
/* What --alloc-report tells at the end: who holds memory, and who called the allocator. */
#ifndef SLUICE_CLI_ALLOC_REPORT_H
#define SLUICE_CLI_ALLOC_REPORT_H

struct alloc_count;
struct net_worker;

/* alloc_report.c */
void alloc_report(const char *path, struct net_worker *w, const struct alloc_count *vcpus);

#endif
