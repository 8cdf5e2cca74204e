/* SPDX-License-Identifier: MIT */
/* Which sends the kernel has let go of, in whatever order it says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tcpstack/zc_track.h"

static struct bulk_loan loan;
static struct zc_track *t;

static int setup(void **state)
{
	(void)state;
	loan = (struct bulk_loan){ .sent = 0 };
	t = zc_track_of(&loan);
	zc_track_init(t, 0, 0);
	return 0;
}

/* The next @len bytes of the stream, sent by reference. */
static uint32_t took(uint32_t len)
{
	uint32_t n = zc_track_open(t, loan.sent);

	loan.sent += len;
	zc_track_taken(t, n, loan.sent);
	return n;
}

static uint64_t released(void)
{
	uint64_t to = zc_track_released(t, &loan);

	assert_true(to >= loan.released); /* never falls */
	loan.released = to;
	return to;
}

static void the_oldest_holds_back_the_rest(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++)
		took(1000);
	assert_int_equal(released(), 0);
	zc_track_done(t, 1, 3);
	assert_int_equal(released(), 0);
	zc_track_done(t, 0, 1);
	assert_int_equal(released(), 4000);
	zc_track_done(t, 4, 1);
	assert_int_equal(released(), 5000);
	assert_true(zc_idle(t));
}

/* A second notice, or one for a send that never was, changes nothing (H76). */
static void stale_notices_are_ignored(void **state)
{
	(void)state;
	took(10);
	took(10);
	zc_track_done(t, 0, 1);
	zc_track_done(t, 0, 1);
	zc_track_done(t, 2, 30);
	zc_track_done(t, UINT32_MAX, 1);
	assert_int_equal(released(), 10);
	assert_int_equal(took(10), 2);
	assert_int_equal(released(), 10);
}

/* What was copied in between is not waited for, once nothing is under way. */
static void bytes_copied_in_between_count(void **state)
{
	(void)state;
	took(100);
	loan.sent += 50;
	took(100);
	zc_track_done(t, 0, 1);
	assert_int_equal(released(), 100);
	loan.sent += 50;
	zc_track_done(t, 1, 1);
	assert_int_equal(released(), 300);
	took(100);
	assert_int_equal(released(), 300);
}

static void a_send_that_was_not_taken_releases_nothing(void **state)
{
	uint32_t n;

	(void)state;
	took(100);
	n = zc_track_open(t, loan.sent);
	assert_false(zc_track_was_taken(t, n));
	zc_track_done(t, n, 1);
	assert_int_equal(released(), 0);
	assert_true(zc_track_was_taken(t, 0));
	zc_track_done(t, 0, 1);
	assert_int_equal(released(), 100);
}

/* Numbers and the low halves of offsets pass 2^32. */
static void all_of_it_wraps(void **state)
{
	uint32_t next = UINT32_MAX - 2;

	(void)state;
	loan.sent = loan.released = (1ULL << 32) - 2500;
	zc_track_init(t, next, loan.sent);
	for (int i = 0; i < ZC_SENDS_MAX; i++) {
		assert_false(zc_full(t));
		took(1000);
	}
	assert_true(zc_full(t));
	for (uint32_t i = 0; i < ZC_SENDS_MAX; i++) {
		assert_int_equal(released(), (1ULL << 32) - 2500 + i * 1000);
		zc_track_done(t, next + i, 1);
	}
	assert_int_equal(released(), loan.sent);
	assert_false(zc_full(t));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_oldest_holds_back_the_rest, setup),
		cmocka_unit_test_setup(stale_notices_are_ignored, setup),
		cmocka_unit_test_setup(bytes_copied_in_between_count, setup),
		cmocka_unit_test_setup(a_send_that_was_not_taken_releases_nothing, setup),
		cmocka_unit_test_setup(all_of_it_wraps, setup),
	};

	return cmocka_run_group_tests_name("zc_track", tests, NULL, NULL);
}
