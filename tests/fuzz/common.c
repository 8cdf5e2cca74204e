/* SPDX-License-Identifier: MIT */
/* What all fuzz targets share. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "src/base/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/stack/own_network.h"

struct fuzz_work fuzz_work;

static void tell(void)
{
	fprintf(stderr, "%s: %llu %s, %llu %s\n", fuzz_target.name,
		(unsigned long long)fuzz_work.done, fuzz_target.done,
		(unsigned long long)fuzz_work.refused, fuzz_target.refused);
}

/**
 * fuzz_begin() - for LLVMFuzzerInitialize(): no log lines but with FUZZ_LOG=1 in the
 * environment, and the work told at the end
 */
void fuzz_begin(void)
{
	if (!getenv("FUZZ_LOG"))
		log_set_fd(-1);
	atexit(tell);
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
