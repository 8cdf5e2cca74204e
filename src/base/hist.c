/* SPDX-License-Identifier: MIT */
/* Reading a histogram while its writer goes on: each figure is of a near moment. */
#include "src/base/hist.h"

static_assert(HIST_BUCKETS % 4 == 0, "whole powers of two");

/**
 * hist_count() - how many values there are; any thread
 */
uint64_t hist_count(const struct hist *h)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < HIST_BUCKETS; i++)
		n += counter_get(&h->n[i]);
	return n;
}

/**
 * hist_count_upto() - how many values are 2^@power or less; any thread
 * @power:	2..HIST_TOP
 */
uint64_t hist_count_upto(const struct hist *h, unsigned int power)
{
	unsigned int last = MIN(4 * (power - 1), (unsigned int)HIST_BUCKETS);
	uint64_t n = 0;

	for (unsigned int i = 0; i < last; i++)
		n += counter_get(&h->n[i]);
	return n;
}

/**
 * hist_quantile() - the upper end of the bucket in which that part of all values ends
 * @permille:	500 = the median
 *
 * Any thread. Return: 0 when there is no value
 */
uint64_t hist_quantile(const struct hist *h, unsigned int permille)
{
	uint64_t total = hist_count(h), want = (total * permille + 999) / 1000, n = 0;

	for (unsigned int i = 0; total && i < HIST_BUCKETS; i++) {
		n += counter_get(&h->n[i]);
		if (n >= want && n > 0)
			return hist_upper(i);
	}
	return 0;
}
