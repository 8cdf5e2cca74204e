/* SPDX-License-Identifier: MIT */
/* The timer wheel, against a plain list of deadlines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "src/base/base.h"
#include "tcpstack/timer.h"

#define TICK TIMER_TICK_NS
#define SPAN (1ULL << (TIMER_LEVELS * TIMER_SLOT_BITS))

static uint64_t rng;

static uint64_t rnd(void)
{
	rng = rng * 6364136223846793005ULL + 1442695040888963407ULL;
	return rng >> 20;
}

struct fixture {
	struct timer_wheel w;
	uint64_t now;
	uint64_t last_deadline; /* of what fired in this run: order is checked */
	uint32_t fired;
};

struct item {
	struct timer t;
	struct fixture *f;
	uint64_t deadline; /* the model: 0 = not armed */
	void (*then)(struct item *it);
};

static uint64_t tick_up(uint64_t ns)
{
	return (ns + TICK - 1) / TICK;
}

static void fire(void *ctx, struct timer *t)
{
	struct item *it = ctx;

	assert_ptr_equal(&it->t, t);
	assert_false(timer_armed(t));
	assert_int_not_equal(it->deadline, 0);
	/* Never early. */
	assert_true(it->f->now >= it->deadline);
	assert_true(tick_up(it->deadline) >= tick_up(it->f->last_deadline));
	it->f->last_deadline = it->deadline;
	it->deadline = 0;
	it->f->fired++;
	if (it->then)
		it->then(it);
}

static void item_init(struct item *it, struct fixture *f)
{
	*it = (struct item){ .f = f };
	timer_init(&it->t, fire, it);
}

static void arm(struct item *it, uint64_t deadline)
{
	timer_arm(&it->f->w, &it->t, deadline);
	it->deadline = deadline;
}

static void run(struct fixture *f, uint64_t now)
{
	f->now = now;
	f->last_deadline = 0;
	f->fired = 0;
	timer_wheel_run(&f->w, now);
}

static void fires_at_its_tick_and_not_before(void **state)
{
	(void)state;
	static const uint64_t after[] = { 1,
					  TICK - 1,
					  TICK,
					  TICK + 1,
					  63 * TICK,
					  64 * TICK,
					  65 * TICK,
					  4095 * TICK,
					  4096 * TICK,
					  300000 * TICK,
					  SPAN * TICK - 1,
					  SPAN * TICK,
					  3 * SPAN * TICK + 5 };
	static const uint64_t starts[] = { 0,
					   7 * TICK + 1,
					   63 * TICK,
					   4095 * TICK + 999999,
					   SPAN * TICK - TICK,
					   123456789012345ULL };

	for (size_t s = 0; s < ARRAY_SIZE(starts); s++) {
		for (size_t i = 0; i < ARRAY_SIZE(after); i++) {
			struct fixture f = { 0 };
			struct item it;
			uint64_t due = tick_up(starts[s] + after[i]) * TICK;
			int steps = 0;

			timer_wheel_init(&f.w, starts[s]);
			item_init(&it, &f);
			arm(&it, starts[s] + after[i]);
			/* Go only where the wheel says, as the worker does. */
			while (it.deadline) {
				uint64_t next = timer_wheel_next_ns(&f.w);

				assert_true(next <= due);
				run(&f, next);
				/* A wake-up for each level, and one for each turn of the highest.
				 */
				assert_true(++steps <= TIMER_LEVELS + 3);
			}
			assert_int_equal(f.now, due);
			assert_int_equal(timer_wheel_next_ns(&f.w), UINT64_MAX);
			assert_int_equal(f.w.armed, 0);
		}
	}
}

static void a_jump_of_the_clock_fires_all_that_was_due_in_order(void **state)
{
	(void)state;
	struct fixture f = { 0 };
	struct item it[200];

	rng = 7;
	timer_wheel_init(&f.w, 0);
	for (size_t i = 0; i < ARRAY_SIZE(it); i++) {
		item_init(&it[i], &f);
		arm(&it[i], 1 + rnd() % (100 * SPAN * TICK));
	}
	run(&f, 100 * SPAN * TICK + TICK);
	assert_int_equal(f.fired, ARRAY_SIZE(it));
}

static void a_passed_deadline_fires_at_the_next_tick(void **state)
{
	(void)state;
	struct fixture f = { 0 };
	struct item it;

	timer_wheel_init(&f.w, 1000 * TICK);
	item_init(&it, &f);
	arm(&it, 5);
	assert_int_equal(timer_wheel_next_ns(&f.w), 1001 * TICK);
	run(&f, 1000 * TICK);
	assert_int_equal(f.fired, 0);
	run(&f, 1001 * TICK);
	assert_int_equal(f.fired, 1);
}

static void a_clock_that_stands_or_steps_back_fires_nothing(void **state)
{
	(void)state;
	struct fixture f = { 0 };
	struct item it;

	timer_wheel_init(&f.w, 1000 * TICK);
	item_init(&it, &f);
	arm(&it, 1003 * TICK);
	run(&f, 10 * TICK);
	run(&f, 1002 * TICK);
	assert_int_equal(f.fired, 0);
	run(&f, 1003 * TICK);
	assert_int_equal(f.fired, 1);
}

static void again_at_once(struct item *it)
{
	arm(it, 1);
}

static void a_timer_that_rearms_itself_fires_once_a_run(void **state)
{
	(void)state;
	struct fixture f = { 0 };
	struct item it;

	timer_wheel_init(&f.w, 0);
	item_init(&it, &f);
	it.then = again_at_once;
	arm(&it, 1);
	run(&f, 1000000 * TICK);
	assert_int_equal(f.fired, 1);
	run(&f, 1000001 * TICK);
	assert_int_equal(f.fired, 1);
	timer_cancel(&f.w, &it.t);
}

static struct item *other;

static void cancel_other(struct item *it)
{
	timer_cancel(&it->f->w, &other->t);
	other->deadline = 0;
}

static void move_other(struct item *it)
{
	arm(other, it->f->now + 500 * TICK);
}

static void callbacks_may_cancel_and_move_what_is_due(void **state)
{
	(void)state;
	void (*const what[])(struct item *) = { cancel_other, move_other };

	for (int later = 0; later < 2; later++) {
		for (size_t i = 0; i < ARRAY_SIZE(what); i++) {
			struct fixture f = { 0 };
			struct item a, b;

			timer_wheel_init(&f.w, 0);
			item_init(&a, &f);
			item_init(&b, &f);
			a.then = what[i];
			other = &b;
			arm(&a, 10 * TICK);
			arm(&b, (10 + later) * TICK);
			run(&f, 20 * TICK);
			assert_int_equal(f.fired, 1);
			assert_int_equal(f.w.armed, i);
			run(&f, 520 * TICK);
			assert_int_equal(f.fired, i);
			assert_int_equal(timer_wheel_next_ns(&f.w), UINT64_MAX);
		}
	}
}

/* When the worker would have to wake: bounds for timer_wheel_next_ns(). */
static uint64_t model_next(const struct item *it, size_t n)
{
	uint64_t best = UINT64_MAX;

	for (size_t i = 0; i < n; i++)
		if (it[i].deadline)
			best = MIN(best, it[i].deadline);
	return best;
}

static void random_operations_agree_with_the_model(void **state)
{
	(void)state;
	static const uint64_t reach[] = { 3 * TICK, 100 * TICK, 5000 * TICK, 400000 * TICK,
					  2 * SPAN * TICK };
	static struct item it[300];

	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct fixture f = { 0 };
		uint64_t now = seed * 977 * TICK;

		rng = seed;
		timer_wheel_init(&f.w, now);
		for (size_t i = 0; i < ARRAY_SIZE(it); i++)
			item_init(&it[i], &f);
		for (int op = 0; op < 5000; op++) {
			struct item *x = &it[rnd() % ARRAY_SIZE(it)];
			uint64_t far = reach[rnd() % ARRAY_SIZE(reach)];
			uint32_t armed = 0;

			switch (rnd() % 4) {
			case 0:
			case 1:
				arm(x, now + 1 + rnd() % far);
				break;
			case 2:
				timer_cancel(&f.w, &x->t);
				x->deadline = 0;
				break;
			default:
				now += rnd() % far;
				run(&f, now);
				/* At most one tick late: nothing that is due is left. */
				for (size_t i = 0; i < ARRAY_SIZE(it); i++)
					assert_true(!it[i].deadline ||
						    tick_up(it[i].deadline) > now / TICK);
				break;
			}
			for (size_t i = 0; i < ARRAY_SIZE(it); i++)
				armed += it[i].deadline != 0;
			assert_int_equal(f.w.armed, armed);
			if (armed)
				assert_true(timer_wheel_next_ns(&f.w) <=
					    tick_up(model_next(it, ARRAY_SIZE(it))) * TICK);
			else
				assert_int_equal(timer_wheel_next_ns(&f.w), UINT64_MAX);
			assert_true(timer_wheel_next_ns(&f.w) > now / TICK * TICK);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fires_at_its_tick_and_not_before),
		cmocka_unit_test(a_jump_of_the_clock_fires_all_that_was_due_in_order),
		cmocka_unit_test(a_passed_deadline_fires_at_the_next_tick),
		cmocka_unit_test(a_clock_that_stands_or_steps_back_fires_nothing),
		cmocka_unit_test(a_timer_that_rearms_itself_fires_once_a_run),
		cmocka_unit_test(callbacks_may_cancel_and_move_what_is_due),
		cmocka_unit_test(random_operations_agree_with_the_model),
	};

	return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
