/* SPDX-License-Identifier: MIT */
/*
 * Seeds of faults, each a transfer of its own:
 *
 *	faults				the first 200, as `make check` does
 *	faults --seeds N [--from M] [--jobs J]
 *	faults --seed N [--trace]	one, alone; with every call of the stack
 *
 * Seeds run in processes of many each, in a network of their own. One that fails ends
 * its process: it is named, and the next ones go on without it. The last lines say what
 * was carried and how often each fault took effect; with as many seeds as that takes, a
 * fault that never did is a failure of the run.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/log.h"
#include "tests/fault/transfer.h"

#define SEEDS_CHECK 200
#define CHUNK	    100
#define JOBS_MAX    16
#define FAILED_MAX  20

/* No seed takes so long, however busy the machine is. Seconds. */
#define SEED_ALARM 120

/* With so many seeds, each kind of fault must have struck. */
#define SEEDS_ALL_KINDS 2000

/* Faults of an average seed, at least; and calls that could fail. */
#define HITS_FLOOR  10
#define CALLS_FLOOR 200

/**
 * struct worker - of one process, shared with it
 * @seed, @end:	where it is
 */
struct worker {
	pid_t pid;
	uint64_t seed, end;
	struct fault_tally tally;
	struct xfer_result res;
};

static struct worker *workers;

static struct {
	uint64_t seeds, from, next, done, failed;
	uint32_t jobs;
	bool trace, quiet;
} o = { .seeds = SEEDS_CHECK, .from = 1, .jobs = 1 };

/* All seeds of @w, in a child. */
_Noreturn static void work(struct worker *w)
{
	/* As the worker has it: splice(2) has no MSG_NOSIGNAL. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGALRM, xfer_alarm);
	log_set_level(o.trace ? LOG_DEBUG : LOG_ERROR);
	if (!rig_own_network(NULL, 0))
		_exit(77);
	for (; w->seed < w->end; w->seed++) {
		struct fault_env env = { .tally = &w->tally, .quiet = o.quiet, .trace = o.trace };

		alarm(SEED_ALARM);
		xfer_run(w->seed, &env, &w->res);
	}
	alarm(0);
	_exit(0);
}

static void start(struct worker *w)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	BUG_ON(pid < 0);
	if (pid == 0)
		work(w);
	w->pid = pid; /* the memory is shared: not by the child */
}

static bool next_chunk(struct worker *w)
{
	uint64_t end = o.from + o.seeds;

	if (o.next >= end)
		return false;
	w->seed = o.next;
	w->end = o.next = MIN(o.next + CHUNK, end);
	start(w);
	return true;
}

/* A child has ended: its chunk is done, or one seed was too much. */
static void ended(struct worker *w, int status)
{
	w->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		printf("SKIP faults no network namespace to be had here\n");
		exit(0);
	}
	o.failed++;
	printf("seed %llu: %s %d; run it alone: faults --seed %llu --trace\n",
	       (unsigned long long)w->seed, WIFSIGNALED(status) ? "signal" : "exit",
	       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
	       (unsigned long long)w->seed);
	if (++w->seed < w->end && o.failed < FAILED_MAX)
		start(w);
}

static void run(void)
{
	uint32_t running = 0;

	o.next = o.from;
	for (uint32_t i = 0; i < o.jobs; i++)
		running += next_chunk(&workers[i]);
	while (running > 0) {
		int status;
		pid_t pid = wait(&status);

		if (pid < 0 && errno == EINTR)
			continue;
		BUG_ON(pid < 0);
		for (uint32_t i = 0; i < o.jobs; i++) {
			struct worker *w = &workers[i];

			if (w->pid != pid)
				continue;
			ended(w, status);
			if (w->pid == 0 && (o.failed >= FAILED_MAX || !next_chunk(w)))
				running--;
		}
	}
}

static void add_up(struct fault_tally *all, struct xfer_result *res)
{
	for (uint32_t i = 0; i < o.jobs; i++) {
		const struct worker *w = &workers[i];

		for (int k = 0; k < FAULT_KINDS_MAX; k++)
			all->hits[k] += w->tally.hits[k];
		for (int c = 0; c < FC_CALLS; c++)
			all->calls[c] += w->tally.calls[c];
		res->bytes += w->res.bytes;
		res->hits += w->res.hits;
		res->flows += w->res.flows;
		res->resets += w->res.resets;
		res->datagrams += w->res.datagrams;
		res->names += w->res.names;
	}
}

/* What took effect, a line for each call. Kinds that never did. */
static uint32_t report(const struct fault_tally *all)
{
	uint32_t never = 0;
	char name[48];

	for (int c = 0; c < FC_CALLS; c++) {
		printf("  %-18s %10llu calls:", fault_call_name((enum fault_call)c),
		       (unsigned long long)all->calls[c]);
		for (uint32_t k = 0; k < fault_kinds(); k++) {
			if (fault_kind_call(k) != (enum fault_call)c)
				continue;
			printf(" %s %llu", strrchr(fault_kind_name(k, name), ' ') + 1,
			       (unsigned long long)all->hits[k]);
			never += all->hits[k] == 0;
		}
		printf("\n");
	}
	return never;
}

static int verdict(void)
{
	static struct fault_tally all;
	struct xfer_result res = { 0 };
	uint64_t passed, calls = 0;
	uint32_t never;

	add_up(&all, &res);
	never = report(&all);
	for (int c = 0; c < FC_CALLS; c++)
		calls += all.calls[c];
	passed = o.next - o.from - o.failed;
	printf("  %llu MiB in %u flows, %u of them reset; %u datagrams; %u names; %llu faults in "
	       "%llu calls\n",
	       (unsigned long long)(res.bytes >> 20), res.flows, res.resets, res.datagrams,
	       res.names, (unsigned long long)res.hits, (unsigned long long)calls);
	if (o.failed > 0 || passed < o.seeds) {
		printf("FAIL faults %llu of %llu seeds\n", (unsigned long long)passed,
		       (unsigned long long)o.seeds);
		return 1;
	}
	if (!o.quiet && o.seeds >= SEEDS_CHECK &&
	    (res.hits < HITS_FLOOR * o.seeds || calls < CALLS_FLOOR * o.seeds)) {
		printf("FAIL faults too little has failed: %llu in %llu calls\n",
		       (unsigned long long)res.hits, (unsigned long long)calls);
		return 1;
	}
	if (!o.quiet && o.seeds >= SEEDS_ALL_KINDS && never > 0) {
		printf("FAIL faults %u kinds never took effect\n", never);
		return 1;
	}
	printf("PASS faults %llu of %llu seeds\n", (unsigned long long)passed,
	       (unsigned long long)o.seeds);
	return 0;
}

static const struct option options[] = {
	{ "seeds", required_argument, NULL, 'n' },
	{ "from", required_argument, NULL, 'f' },
	{ "jobs", required_argument, NULL, 'j' },
	{ "seed", required_argument, NULL, 's' },
	{ "trace", no_argument, NULL, 't' },
	{ "quiet", no_argument, NULL, 'q' },
	{ NULL, 0, NULL, 0 },
};

int main(int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			o.seeds = strtoull(optarg, NULL, 0);
			break;
		case 'f':
			o.from = strtoull(optarg, NULL, 0);
			break;
		case 'j':
			o.jobs = (uint32_t)MIN(strtoul(optarg, NULL, 0), (unsigned long)JOBS_MAX);
			break;
		case 's':
			o.from = strtoull(optarg, NULL, 0);
			o.seeds = 1;
			break;
		case 't':
			o.trace = true;
			break;
		case 'q':
			o.quiet = true;
			break;
		default:
			return 2;
		}
	}
	o.jobs = MAX(o.jobs, 1U);
	workers = mmap(NULL, JOBS_MAX * sizeof(*workers), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	BUG_ON(workers == MAP_FAILED);
	run();
	return verdict();
}
