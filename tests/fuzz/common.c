/* SPDX-License-Identifier: MIT */
/* What all fuzz targets share. */
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/stack/own_network.h"

/* Descriptors that are looked at. */
#define FDS_MAX 512

struct fuzz_work fuzz_work;

/* UBSan asks: what it finds ends the program, as with AddressSanitizer. */
const char *__ubsan_default_options(void);

const char *__ubsan_default_options(void)
{
	return "halt_on_error=1:print_stacktrace=1";
}

struct open_fds {
	bool open[FDS_MAX];
};

static struct open_fds fds_now(void)
{
	struct pollfd p[FDS_MAX];
	struct open_fds now;

	for (int i = 0; i < FDS_MAX; i++)
		p[i] = (struct pollfd){ .fd = i };
	/* More than the limit of open files is refused; all are looked at one by one then. */
	if (poll(p, FDS_MAX, 0) < 0)
		for (int i = 0; i < FDS_MAX; i++)
			p[i].revents = fcntl(i, F_GETFD) < 0 ? POLLNVAL : 0;
	for (int i = 0; i < FDS_MAX; i++)
		now.open[i] = !(p[i].revents & POLLNVAL);
	return now;
}

/**
 * LLVMFuzzerTestOneInput() - one input, and what holds for any target's
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct open_fds before = fds_now(), after;

	fuzz_alloc_begin(len);
	fuzz_one(data, len);
	fuzz_alloc_end();
	after = fds_now();
	for (int i = 0; i < FDS_MAX; i++)
		FUZZ_CHECK(before.open[i] == after.open[i], "descriptor %d", i);
	return 0;
}

static void tell(void)
{
	fuzz_alloc_tell();
	fprintf(stderr, "%s: %llu %s, %llu %s\n", fuzz_target.name,
		(unsigned long long)fuzz_work.done, fuzz_target.done,
		(unsigned long long)fuzz_work.refused, fuzz_target.refused);
}

/**
 * LLVMFuzzerInitialize() - once: no log lines but with FUZZ_LOG=1 in the environment, and
 * the work told at the end; with FUZZ_ALLOC=1 also what was allocated
 */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (!getenv("FUZZ_LOG"))
		log_set_fd(-1);
	json_set_alloc_funcs(malloc, free); /* ours, which count */
	atexit(tell);
	if (fuzz_target.setup)
		fuzz_target.setup();
	return 0;
}

/**
 * fuzz_own_network() - leave the machine's network, or skip the target
 */
void fuzz_own_network(void)
{
	if (!rig_own_network(NULL, 0))
		fuzz_skip("no network namespaces");
}

/**
 * fuzz_skip() - this target cannot run here: said so, and no failure
 */
void fuzz_skip(const char *why)
{
	printf("SKIP fuzz-%s %s\n", fuzz_target.name, why);
	exit(0);
}

/**
 * fuzz_fail() - what FUZZ_CHECK() says at the end
 */
void fuzz_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s:%d: does not hold: ", file, line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}
