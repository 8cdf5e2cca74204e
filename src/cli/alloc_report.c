/* SPDX-License-Identifier: MIT */
/*
 * Where the program's memory is, in four parts: what the network worker took at
 * its start, the heap calls since, the process's pages, and the heap.
 */
#include "src/cli/alloc_report.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/log.h"
#include "virtio/net_worker.h"

static void print_rows(const struct stack_memory *rows, uint32_t n, FILE *out)
{
	fprintf(out, "%-9s %-22s %10s %9s %9s %9s %12s %10s\n", "network", "name", "bytes each",
		"slots", "in use", "peak", "taken", "none left");
	for (uint32_t i = 0; i < n; i++) {
		const struct stack_memory *r = &rows[i];
		char name[48];

		(void)snprintf(name, sizeof(name), "%s%s%s", r->owner, r->owner[0] ? "/" : "",
			       r->name);
		fprintf(out,
			"%-9s %-22s %10" PRIu32 " %9" PRIu32 " %9" PRIu64 " %9" PRIu64 " %12" PRIu64
			" %10" PRIu64 "\n",
			r->kind, name, r->size, r->slots, r->in_use, r->peak, r->gets, r->empty);
	}
}

static void print_calls(const char *who, const struct alloc_count *n, FILE *out)
{
	fprintf(out, "%-32s %10" PRIu64 " %9" PRIu64 " %9" PRIu64 "\n", who, n->allocs, n->frees,
		n->maps);
}

/* One line of /proc/self/status a figure. */
static void print_process(FILE *f, FILE *out)
{
	static const char *const names[] = { "VmHWM", "VmRSS", "RssAnon", "RssFile", "RssShmem" };
	static const char *const words[] = { "peak", "resident", "private", "files", "shared" };
	char line[256];

	fprintf(out, "%-32s", "process, KiB");
	while (f && fgets(line, sizeof(line), f)) {
		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			size_t len = strlen(names[i]);
			unsigned long long kib;

			if (strncmp(line, names[i], len) == 0 &&
			    sscanf(line + len, ": %llu", &kib) == 1)
				fprintf(out, " %s %llu", words[i], kib);
		}
	}
	fputc('\n', out);
}

typedef int (*mallctl_fn)(const char *name, void *old, size_t *old_len, void *new, size_t new_len);

/* jemalloc's own figures; it is never linked, only found when it was preloaded. */
static bool print_jemalloc(FILE *out)
{
	static const char *const names[] = { "allocated", "active", "resident", "mapped" };
	void *symbol = dlsym(RTLD_DEFAULT, "mallctl");
	uint64_t epoch = 1;
	mallctl_fn ctl;

	if (!symbol)
		return false;
	memcpy(&ctl, &symbol, sizeof(ctl));
	/* What it tells is as of the last advance of its epoch. */
	if (ctl("epoch", NULL, NULL, &epoch, sizeof(epoch)) != 0)
		return false;
	fprintf(out, "%-32s", "heap (jemalloc), KiB");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t value = 0, len = sizeof(value);
		char name[32];

		(void)snprintf(name, sizeof(name), "stats.%s", names[i]);
		if (ctl(name, &value, &len, NULL, 0) == 0)
			fprintf(out, " %s %zu", names[i], value >> 10);
	}
	fputc('\n', out);
	return true;
}

static void print_heap(FILE *out)
{
	struct mallinfo2 m;

	if (print_jemalloc(out))
		return;
	m = mallinfo2();
	fprintf(out, "%-32s in use %zu, free %zu, mapped %zu\n", "heap (C library), KiB",
		m.uordblks >> 10, m.fordblks >> 10, m.hblkhd >> 10);
}

/**
 * alloc_report_open() - what it will take
 * @path:	a file to write, "" = standard error, NULL = nothing will be told
 *
 * Main thread. Return: 0, or -errno with @why set
 */
int alloc_report_open(struct alloc_report *r, const char *path, char *why, size_t why_len)
{
	*r = (struct alloc_report){ .path = path };
	if (!path)
		return 0;
	r->out = path[0] ? fopen(path, "we") : stderr;
	if (!r->out) {
		snprintf(why, why_len, "--alloc-report: %s: %s", path, strerror(errno));
		return -errno;
	}
	r->process = fopen("/proc/self/status", "re");
	return 0;
}

/**
 * alloc_report_close() - harmless on one that was not opened
 */
void alloc_report_close(struct alloc_report *r)
{
	if (r->process)
		fclose(r->process);
	if (r->out && r->out != stderr && fclose(r->out) != 0)
		log_error("alloc-report", "%s: %s", r->path, strerror(errno));
	*r = (struct alloc_report){ .path = NULL };
}

/**
 * alloc_report() - tell it, if it was asked for
 * @r:		of alloc_report_open()
 * @w:		the worker, which runs; NULL = there is no network
 * @vcpus:	heap calls of the vCPUs' threads, NULL = there are none
 *
 * Main thread, at the end: it allocates itself.
 */
void alloc_report(const struct alloc_report *r, struct net_worker *w,
		  const struct alloc_count *vcpus)
{
	FILE *out = r->out;

	if (!out)
		return;
	if (w) {
		struct stack_memory rows[STACK_MEMORY_ROWS];

		print_rows(rows, net_worker_memory(w, rows), out);
	}
	fprintf(out, "%-32s %10s %9s %9s\n", "heap calls after the start", "allocs", "frees",
		"maps");
	if (w) {
		const struct net_worker_counters *n = net_worker_counters(w);
		const struct alloc_count calls = { counter_get(&n->allocs), counter_get(&n->frees),
						   counter_get(&n->maps) };

		print_calls("  network worker", &calls, out);
	}
	if (vcpus)
		print_calls("  vCPUs", vcpus, out);
	print_process(r->process, out);
	print_heap(out);
	fflush(out);
}
