/* SPDX-License-Identifier: MIT */
/* Dates as text. */
#ifndef SLUICE_BASE_UTC_H
#define SLUICE_BASE_UTC_H

#include <stdint.h>
#include <time.h>

#include "src/base/clock.h"

/* "2026-11-22T10:11:12.123456Z" and its end. */
#define UTC_STRLEN 28

/* Nanoseconds since 1970. */
static inline uint64_t utc_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* utc.c */
const char *utc_format(uint64_t ns, char buf[UTC_STRLEN]);

#endif
