/* SPDX-License-Identifier: MIT */
/*
 * Log-linear histograms: each power of two is cut into four, so a value is known
 * to within a fifth of it. One writing thread, any number of readers, a fixed
 * array, no allocation.
 */
#ifndef SLUICE_BASE_HIST_H
#define SLUICE_BASE_HIST_H

#include "src/base/base.h"
#include "src/base/counter.h"

/* Four buckets below 4, then four for each power of two up to 2^HIST_TOP. */
#define HIST_TOP     44
#define HIST_BUCKETS (4 * (HIST_TOP - 1))

/**
 * struct hist - @n counts by bucket; what is beyond 2^HIST_TOP is in the last
 */
struct hist {
	struct counter sum;
	struct counter n[HIST_BUCKETS];
};

/* Bucket of @v. Its upper end belongs to it, so that 2^k ends a bucket. */
static inline unsigned int hist_bucket(uint64_t v)
{
	unsigned int e, i;

	v = v ? v - 1 : 0;
	if (v < 4)
		return (unsigned int)v;
	e = 63 - (unsigned int)__builtin_clzll(v);
	i = 4 * (e - 1) + (unsigned int)(v >> (e - 2) & 3);
	return MIN(i, (unsigned int)HIST_BUCKETS - 1);
}

/* The largest value of bucket @i. */
static inline uint64_t hist_upper(unsigned int i)
{
	return i < 4 ? i + 1 : (uint64_t)(4 + i % 4 + 1) << (i / 4 - 1);
}

/* Writing thread only. */
static inline void hist_add(struct hist *h, uint64_t v)
{
	counter_inc(&h->n[hist_bucket(v)]);
	counter_add(&h->sum, v);
}

/* hist.c */
uint64_t hist_count(const struct hist *h);
uint64_t hist_count_upto(const struct hist *h, unsigned int power);
uint64_t hist_quantile(const struct hist *h, unsigned int permille);

#endif
