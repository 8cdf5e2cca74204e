/* SPDX-License-Identifier: MIT */
/* How long the worker looks on before it sleeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "virtio/poll_wait.h"

#define MAX_NS 80ULL

/* Work, then nothing until the worker would sleep. Return: for how long it looked on */
static uint64_t pause_of(struct poll_wait *p, uint64_t *now, uint64_t ns)
{
	uint64_t looked = 0, end = *now + ns;
	bool awake = poll_wait_again(p, ++*now, true);

	for (; awake && *now < end; looked++)
		awake = poll_wait_again(p, ++*now, false);
	*now = end;
	return looked;
}

static void off_it_never_looks_on(void **state)
{
	struct poll_wait p = { .max_ns = 0 };
	uint64_t now = 1000;

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(pause_of(&p, &now, 3), 0);
}

static void short_pauses_are_looked_through_after_a_while(void **state)
{
	struct poll_wait p = { .max_ns = MAX_NS };
	uint64_t now = 1000;

	(void)state;
	assert_int_equal(pause_of(&p, &now, 40), 0); /* nothing is known */
	for (int i = 0; i < 8; i++)
		pause_of(&p, &now, 40);
	assert_in_range(p.window_ns, 40, MAX_NS);
	/* It is awake when the work comes. */
	assert_true(poll_wait_again(&p, ++now, true));
	for (int i = 0; i < 40; i++)
		assert_true(poll_wait_again(&p, ++now, false));
	/* And what keeps within the window widens it no more. */
	for (int i = 0; i < 100; i++)
		pause_of(&p, &now, 30);
	assert_true(p.window_ns < MAX_NS);
}

static void the_window_has_its_bound(void **state)
{
	struct poll_wait p = { .max_ns = MAX_NS };
	uint64_t now = 1000;

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_true(pause_of(&p, &now, MAX_NS - 1) <= MAX_NS);
	assert_int_equal(p.window_ns, MAX_NS);
	assert_in_range(pause_of(&p, &now, 100000), MAX_NS - 1, MAX_NS + 1);
}

static void who_is_idle_for_long_is_not_looked_after(void **state)
{
	struct poll_wait p = { .max_ns = MAX_NS };
	uint64_t now = 1000, looked = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		pause_of(&p, &now, MAX_NS / 2);
	assert_true(p.window_ns > 0);
	for (int i = 0; i < 100; i++)
		looked += pause_of(&p, &now, 100 * MAX_NS);
	assert_int_equal(p.window_ns, 0);
	assert_true(looked < 3 * MAX_NS); /* in all the 100 */
	/* A wake-up that brings no work changes nothing. */
	for (int i = 0; i < 100; i++)
		assert_false(poll_wait_again(&p, now += 7, false));
	assert_int_equal(p.window_ns, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(off_it_never_looks_on),
		cmocka_unit_test(short_pauses_are_looked_through_after_a_while),
		cmocka_unit_test(the_window_has_its_bound),
		cmocka_unit_test(who_is_idle_for_long_is_not_looked_after),
	};

	return cmocka_run_group_tests_name("poll_wait", tests, NULL, NULL);
}
