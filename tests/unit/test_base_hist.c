/* SPDX-License-Identifier: MIT */
/* Histograms: where a value falls, and what can be told of many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/hist.h"

static void buckets_follow_each_other_without_a_gap(void **state)
{
	(void)state;
	assert_int_equal(hist_bucket(0), 0);
	for (unsigned int i = 0; i + 1 < HIST_BUCKETS; i++) {
		assert_int_equal(hist_bucket(hist_upper(i)), i);
		assert_int_equal(hist_bucket(hist_upper(i) + 1), i + 1);
		assert_true(hist_upper(i + 1) > hist_upper(i));
	}
	assert_true(hist_upper(HIST_BUCKETS - 1) == 1ULL << HIST_TOP);
	assert_int_equal(hist_bucket(UINT64_MAX), HIST_BUCKETS - 1);
}

static void a_bucket_is_no_wider_than_a_quarter(void **state)
{
	(void)state;
	for (uint64_t v = 5; v < 1ULL << HIST_TOP; v += v / 7 + 1) {
		uint64_t upper = hist_upper(hist_bucket(v));

		assert_true(upper >= v && upper - v <= v / 4);
	}
}

static void counts_up_to_powers_of_two_are_exact(void **state)
{
	static struct hist h;

	(void)state;
	memset(&h, 0, sizeof(h));
	for (uint64_t v = 0; v <= 5000; v++)
		hist_add(&h, v);
	assert_int_equal(hist_count(&h), 5001);
	for (unsigned int e = 2; e <= 12; e++)
		assert_int_equal(hist_count_upto(&h, e), (1ULL << e) + 1);
	assert_int_equal(hist_count_upto(&h, HIST_TOP), 5001);
	assert_int_equal(counter_get(&h.sum), 5000ULL * 5001 / 2);
}

static void quantiles_are_near(void **state)
{
	static struct hist h;

	(void)state;
	memset(&h, 0, sizeof(h));
	assert_int_equal(hist_quantile(&h, 500), 0);
	for (uint64_t v = 1; v <= 1000; v++)
		hist_add(&h, v * 1000);
	assert_in_range(hist_quantile(&h, 500), 500000, 640000);
	assert_in_range(hist_quantile(&h, 990), 990000, 1250000);
	assert_in_range(hist_quantile(&h, 1000), 1000000, 1250000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_follow_each_other_without_a_gap),
		cmocka_unit_test(a_bucket_is_no_wider_than_a_quarter),
		cmocka_unit_test(counts_up_to_powers_of_two_are_exact),
		cmocka_unit_test(quantiles_are_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
