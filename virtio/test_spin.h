/* SPDX-License-Identifier: MIT */
/*
 * A worker that is slower than it need be, for benches that must be seen finding it.
 *
 * With -DSLUICE_TEST_SPIN_PERCENT=N the network worker burns N percent on top of the
 * CPU time that it uses. Off by default; a build that has it says so in --version.
 */
#ifndef SLUICE_VIRTIO_TEST_SPIN_H
#define SLUICE_VIRTIO_TEST_SPIN_H

#ifdef SLUICE_TEST_SPIN_PERCENT

#include <stdint.h>
#include <time.h>

static inline uint64_t spin_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

/* Once a cycle, on the worker's thread. @since: its CPU time after the call before */
static inline void test_spin(uint64_t *since)
{
	uint64_t used = spin_cpu_ns() - *since;
	uint64_t until = *since + used + used * SLUICE_TEST_SPIN_PERCENT / 100;

	while ((*since = spin_cpu_ns()) < until)
		;
}

#else

static inline void test_spin(const void *since)
{
	(void)since;
}

#endif

#endif
