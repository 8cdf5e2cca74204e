/* SPDX-License-Identifier: MIT */
/*
 * Log-linear histogram of durations.
 *
 * Each power of two is cut into 128, so a quantile is known to within 0.8 % of
 * itself, whatever the number of values, and adding one is a few instructions.
 * (src/base/hist.h cuts into four: enough to see, not to compare by.)
 */
#include <stdio.h>
#include <string.h>

#include "load.h"

/* Values below HIST_STEPS have a bucket each. */
static unsigned int bucket_of(uint64_t v)
{
	unsigned int e;

	if (v < HIST_STEPS)
		return (unsigned int)v;
	e = 63 - (unsigned int)__builtin_clzll(v);
	if (e > HIST_TOP)
		return HIST_BUCKETS - 1;
	return (e - HIST_BITS + 1) * HIST_STEPS +
	       (unsigned int)(v >> (e - HIST_BITS) & (HIST_STEPS - 1));
}

/* The largest value of a bucket. */
static uint64_t upper_of(unsigned int i)
{
	unsigned int shift = i / HIST_STEPS ? i / HIST_STEPS - 1 : 0;
	uint64_t step = i / HIST_STEPS ? HIST_STEPS + i % HIST_STEPS : i;

	return ((step + 1) << shift) - 1;
}

/* hist_add() - @ns: the value, nanoseconds */
void hist_add(struct hist *h, int64_t ns)
{
	uint64_t v = ns > 0 ? (uint64_t)ns : 0;

	h->n[bucket_of(v)]++;
	h->count++;
	h->sum += v;
	if (v > h->max)
		h->max = v;
}

/*
 * hist_quantile() - the value, in nanoseconds, that a part @q of all does not exceed.
 *
 * Never less than that, at most 0.8 % more, and never more than the largest; 0
 * where there is no value.
 */
uint64_t hist_quantile(const struct hist *h, double q)
{
	double exact = (double)h->count * q;
	uint64_t want = (uint64_t)exact, n = 0;

	if ((double)want < exact || want == 0)
		want++;
	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		n += h->n[i];
		if (h->n[i] && n >= want) {
			uint64_t upper = upper_of(i);

			return upper < h->max ? upper : h->max;
		}
	}
	return h->max;
}

/* hist_print() - the members of a JSON object that tell of it; microseconds. */
void hist_print(const struct hist *h, bool whole)
{
	const char *comma = "";

#define US(q) ((double)hist_quantile(h, q) / 1e3)
	printf("\"mean_us\":%.2f,\"p50_us\":%.2f,\"p90_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f,"
	       "\"max_us\":%.2f",
	       h->count ? (double)h->sum / (double)h->count / 1e3 : 0.0, US(0.5), US(0.9), US(0.99),
	       US(0.999), (double)h->max / 1e3);
#undef US
	if (!whole)
		return;
	/* Pairs of a bucket's upper end, in nanoseconds, and how many values are in it. */
	printf(",\"hist\":[");
	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		if (!h->n[i])
			continue;
		printf("%s[%llu,%llu]", comma, (unsigned long long)upper_of(i),
		       (unsigned long long)h->n[i]);
		comma = ",";
	}
	printf("]");
}

/* hist_selftest() - buckets join without a gap, and quantiles keep what they promise. */
bool hist_selftest(void)
{
	static struct hist h;
	static const double q[] = { 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1 };

	for (unsigned int i = 0; i + 1 < HIST_BUCKETS; i++)
		if (bucket_of(upper_of(i)) != i || bucket_of(upper_of(i) + 1) != i + 1)
			return false;
	if (bucket_of(UINT64_MAX) != HIST_BUCKETS - 1 || hist_quantile(&h, 0.5) != 0)
		return false;
	/* 1000, 2000, ... 10 million: the quantile q is q times the largest. */
	for (int64_t v = 10000; v >= 1; v--)
		hist_add(&h, v * 1000);
	for (size_t i = 0; i < sizeof(q) / sizeof(q[0]); i++) {
		double want = q[i] * 1e7, got = (double)hist_quantile(&h, q[i]);

		if (got < want || got > want * 1.008)
			return false;
	}
	memset(&h, 0, sizeof(h));
	hist_add(&h, 123456);
	return hist_quantile(&h, 0.5) == 123456 && hist_quantile(&h, 0.999) == 123456;
}
