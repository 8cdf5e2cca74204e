/* SPDX-License-Identifier: MIT */
/*
 * micro: what single operations cost, and how that grows with what they work on.
 *
 * Theory of operation. Each operation and size is measured in a process of its own,
 * which is this program again with --one: first by the clock, the least of several
 * runs; then, where valgrind is installed, under callgrind, which counts instructions
 * exactly and only within measured(). The instructions do not depend on the machine's
 * mood, so they are what to compare revisions by; the nanoseconds say what caches and
 * system calls make of them. (Of what the kernel does callgrind sees nothing.)
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/micro/micro.h"
#include "src/base/base.h"
#include "src/base/clock.h"

static const char usage[] =
	"usage: micro [options] [NAME...]\n"
	"\n"
	"Nanoseconds and instructions of single operations of the data path, at several\n"
	"sizes; all of them unless named.\n"
	"\n"
	"  --no-instructions  by the clock only, no valgrind\n"
	"  --quick            shorter runs\n"
	"  --json             one JSON object a line\n"
	"  --list             names only\n";

/* The clock looks at runs of this length, and the least of so many counts. */
#define RUN_NS	     20000000ULL
#define QUICK_RUN_NS 500000ULL
#define RUNS	     9

/* Operations that callgrind watches, behind as many that it does not. */
#define WATCHED 2000U

static const struct micro *const all[] = {
	&micro_walker, &micro_parse, &micro_checksum, &micro_flow,
	&micro_pool,   &micro_timer, &micro_policy,   &micro_idle,
};

static const char *self;
static bool quick, json, instructions = true;

/* Has its name in callgrind's command line below. */
uint64_t measured(const struct micro *m, uint64_t times);

__attribute__((noinline)) uint64_t measured(const struct micro *m, uint64_t times)
{
	return m->run(times);
}

/* Keeps a result alive. */
static volatile uint64_t sink;

static double clocked(const struct micro *m)
{
	uint64_t want = quick ? QUICK_RUN_NS : RUN_NS, times = 1, best = UINT64_MAX;

	for (;;) {
		uint64_t start = clock_now_ns(), took;

		sink += measured(m, times);
		took = clock_now_ns() - start;
		if (took > want / 2)
			break;
		times *= took > want / 20 ? want / took + 1 : 10;
	}
	for (int i = 0; i < RUNS; i++) {
		uint64_t start = clock_now_ns(), took;

		sink += measured(m, times);
		took = clock_now_ns() - start;
		best = MIN(best, took);
	}
	return (double)best / (double)times;
}

/* The process of one measurement. */
static int one(const char *name, uint32_t size, bool watched)
{
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (strcmp(all[i]->name, name) != 0)
			continue;
		all[i]->begin(size);
		if (watched) {
			sink += all[i]->run(WATCHED);
			sink += measured(all[i], WATCHED);
		} else {
			printf("%.3f\n", clocked(all[i]));
		}
		return 0;
	}
	return 2;
}

/* The first number behind @mark in what a command says; negative when there is none. */
static double number_of(const char *command, const char *mark)
{
	FILE *f = popen(command, "re");
	double found = -1;
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		const char *at = strstr(line, mark);

		if (at)
			found = strtod(at + strlen(mark), NULL);
	}
	if (f && pclose(f) != 0)
		found = -1;
	return found;
}

static double nanoseconds(const struct micro *m, uint32_t size)
{
	char command[4352];

	snprintf(command, sizeof(command), "'%s' %s --one %s --size %u", self,
		 quick ? "--quick" : "", m->name, size);
	return number_of(command, "");
}

static double instruction_count(const struct micro *m, uint32_t size)
{
	char command[4608];
	double total;

	snprintf(command, sizeof(command),
		 "valgrind --tool=callgrind --callgrind-out-file=/dev/null "
		 "--toggle-collect=measured '%s' --watched --one %s --size %u 2>&1",
		 self, m->name, size);
	total = number_of(command, "Collected : ");
	return total < 0 ? -1 : total / WATCHED;
}

static void show(const struct micro *m, uint32_t size, double ns, double count, double first_ns,
		 double first_count)
{
	if (json) {
		printf("{\"op\":\"%s\",\"of\":\"%s\",\"size\":%u,\"ns\":%.2f", m->name, m->what,
		       size, ns);
		if (count >= 0)
			printf(",\"instructions\":%.1f", count);
		printf("}\n");
	} else {
		char text[2][32] = { "-", "-" };

		if (count >= 0)
			snprintf(text[0], sizeof(text[0]), "%.1f", count);
		if (count >= 0 && first_count > 0)
			snprintf(text[1], sizeof(text[1]), "%.2f", count / first_count);
		printf("%-11s %-26s %8u %12.1f %8.2f %13s %8s\n", m->name, m->what, size, ns,
		       ns / first_ns, text[0], text[1]);
	}
	fflush(stdout);
}

/* Returns false when a measurement failed. */
static bool measure(const struct micro *m)
{
	double first_ns = 0, first_count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(m->sizes) && m->sizes[i]; i++) {
		double ns = nanoseconds(m, m->sizes[i]);
		double count = instructions ? instruction_count(m, m->sizes[i]) : -1;

		if (ns < 0) {
			fprintf(stderr, "micro: %s %u: failed\n", m->name, m->sizes[i]);
			return false;
		}
		if (i == 0) {
			first_ns = ns;
			first_count = count;
		}
		show(m, m->sizes[i], ns, count, first_ns, first_count);
	}
	return true;
}

static bool chosen(const struct micro *m, int n, char **names)
{
	for (int i = 0; i < n; i++)
		if (strcmp(m->name, names[i]) == 0)
			return true;
	return n == 0;
}

static int run_all(int n, char **names)
{
	bool good = true, any = false;

	if (instructions && system("command -v valgrind >/dev/null 2>&1") != 0) {
		fprintf(stderr, "micro: no valgrind, so no instructions\n");
		instructions = false;
	}
	if (!json)
		printf("%-11s %-26s %8s %12s %8s %13s %8s\n", "operation", "size is", "size", "ns",
		       "growth", "instructions", "growth");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (chosen(all[i], n, names)) {
			any = true;
			good &= measure(all[i]);
		}
	if (!any)
		fputs(usage, stderr);
	return !any ? 2 : good ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "no-instructions", 0, NULL, 'n' },
		{ "quick", 0, NULL, 'q' },
		{ "json", 0, NULL, 'j' },
		{ "list", 0, NULL, 'l' },
		{ "one", 1, NULL, 'o' },
		{ "size", 1, NULL, 's' },
		{ "watched", 0, NULL, 'w' },
		{ 0 },
	};
	static char path[4096];
	const char *name = NULL;
	bool watched = false;
	uint32_t size = 0;
	ssize_t len;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		if (c == 'n') {
			instructions = false;
		} else if (c == 'q') {
			quick = true;
		} else if (c == 'j') {
			json = true;
		} else if (c == 'o') {
			name = optarg;
		} else if (c == 's') {
			size = (uint32_t)strtoul(optarg, NULL, 10);
		} else if (c == 'w') {
			watched = true;
		} else if (c == 'l') {
			for (size_t i = 0; i < ARRAY_SIZE(all); i++)
				puts(all[i]->name);
			return 0;
		} else {
			fputs(usage, stderr);
			return 2;
		}
	}
	if (name)
		return one(name, size, watched);
	len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (len < 0) {
		fprintf(stderr, "micro: /proc/self/exe: %s\n", strerror(errno));
		return 1;
	}
	self = path;
	return run_all(argc - optind, argv + optind);
}
