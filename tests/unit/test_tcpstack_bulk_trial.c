/* SPDX-License-Identifier: MIT */
/* `auto` finds the cheaper way by measuring, holds to it, and follows when that changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "src/base/clock.h"
#include "tcpstack/bulk.h"
#include "tcpstack/limits.h"
#include "tcpstack/priv.h"

#define MIB   (1ULL << 20)
#define BATCH (256U << 10)

/* The machine: what a MiB costs either way, in ns of CPU time, and how fast it goes. */
static uint64_t cost[BULK_WAYS];
static uint64_t bytes_per_us;
static uint64_t now_ns, cpu_ns;

static uint64_t fake_now(void *ctx)
{
	(void)ctx;
	return now_ns;
}

static uint64_t fake_cpu(void *ctx)
{
	(void)ctx;
	return cpu_ns;
}

struct fixture {
	struct stack st;
	struct bulk b;
	struct bulk_trial *t;
};

static struct fixture fx;

static int setup(void **state)
{
	(void)state;
	memset(&fx, 0, sizeof(fx));
	now_ns = NS_PER_S;
	cpu_ns = 12345;
	bytes_per_us = 1000;
	cost[BULK_WAY_COPY] = 150000;
	cost[BULK_WAY_REF] = 75000;
	if (loop_new(&fx.st.loop, fake_now, NULL))
		return -1;
	fx.st.env.cpu_ns = fake_cpu;
	bulk_init(&fx.b, &fx.st, NULL, NULL, NULL, NULL);
	fx.t = &fx.b.trial[BULK_SPLICE];
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_free(fx.st.loop);
	return 0;
}

static void spend(uint64_t bytes, uint64_t per_mib)
{
	counter_add(&fx.st.n.tcp_tx_payload, bytes);
	cpu_ns += bytes * per_mib / MIB;
	now_ns += bytes * NS_PER_US / bytes_per_us;
	loop_wait(fx.st.loop, false);
}

/* Batches that have the choice, @bytes in all. Return: how many of them went by reference */
static uint64_t run(uint64_t bytes)
{
	uint64_t by_ref = 0;

	for (uint64_t done = 0; done < bytes; done += BATCH) {
		enum bulk_way way = bulk_trial_way(&fx.b, fx.t);

		by_ref += way == BULK_WAY_REF ? BATCH : 0;
		bulk_trial_sent(fx.t, BATCH);
		spend(BATCH, cost[way]);
	}
	return by_ref;
}

static void the_cheaper_way_gets_nearly_all(void **state)
{
	(void)state;
	run(2048 * MIB);
	assert_true(run(4096 * MIB) > 4096 * MIB * 95 / 100);
	assert_in_range(counter_get(&fx.st.n.bulk_cost_ref), 74000, 76000);
	assert_in_range(counter_get(&fx.st.n.bulk_cost_copy), 149000, 151000);
	teardown(NULL);
	setup(NULL);
	cost[BULK_WAY_REF] = 300000;
	run(2048 * MIB);
	assert_true(run(4096 * MIB) < 4096 * MIB * 5 / 100);
}

/* What asking costs, in the steady state: the bound that limits.h promises. */
static void asking_costs_a_few_percent(void **state)
{
	uint64_t before;

	(void)state;
	cost[BULK_WAY_REF] = 2 * cost[BULK_WAY_COPY];
	run(4096 * MIB);
	before = cpu_ns;
	run(4096 * MIB);
	assert_true(cpu_ns - before < 4096 * cost[BULK_WAY_COPY] * 103 / 100);
}

static void a_change_of_weather_is_followed(void **state)
{
	(void)state;
	run(4096 * MIB);
	cost[BULK_WAY_REF] = 4 * cost[BULK_WAY_COPY];
	run(2048 * MIB); /* until it is asked again, and then three times in a row */
	assert_true(run(1024 * MIB) < 1024 * MIB * 15 / 100);
	cost[BULK_WAY_REF] = cost[BULK_WAY_COPY] / 2;
	run(2048 * MIB);
	assert_true(run(1024 * MIB) > 1024 * MIB * 85 / 100);
}

/* Two that cost the same do not take turns: by reference stays what it was. */
static void the_like_does_not_alternate(void **state)
{
	(void)state;
	cost[BULK_WAY_REF] = cost[BULK_WAY_COPY] + cost[BULK_WAY_COPY] / 100;
	run(2048 * MIB);
	assert_true(run(4096 * MIB) > 4096 * MIB * 95 / 100);
}

/* One turn that was dear by chance changes nothing. */
static void chance_decides_nothing(void **state)
{
	uint64_t by_ref = 0;

	(void)state;
	for (uint32_t i = 0, r = 1; i < 4096; i++, r = r * 1664525 + 1013904223) {
		cost[BULK_WAY_REF] = 100000 * (r >> 24 & 1 ? 2 : 1);
		cost[BULK_WAY_COPY] = 250000 * (r >> 25 & 1 ? 2 : 1) / 2;
		by_ref += run(4 * MIB);
	}
	assert_true(by_ref > 4096 * 4 * MIB * 7 / 10);
}

/* A turn says nothing when most payload had no choice, or when it was long about it. */
static void what_says_nothing_is_not_measured(void **state)
{
	(void)state;
	for (uint64_t done = 0; done < 256 * MIB; done += BATCH) {
		run(BATCH);
		spend(2 * BATCH, 1000000);
	}
	assert_int_equal(counter_get(&fx.st.n.bulk_turns), 0);
	bytes_per_us = LIMIT_BULK_TURN_BYTES / (LIMIT_BULK_TURN_NS / NS_PER_US) / 2;
	assert_int_equal(run(64 * MIB), 64 * MIB);
	assert_int_equal(counter_get(&fx.st.n.bulk_turns), 0);
}

static void without_a_clock_it_goes_by_size(void **state)
{
	(void)state;
	fx.st.env.cpu_ns = NULL;
	cost[BULK_WAY_REF] = 10 * cost[BULK_WAY_COPY];
	assert_int_equal(run(512 * MIB), 512 * MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_cheaper_way_gets_nearly_all, setup, teardown),
		cmocka_unit_test_setup_teardown(asking_costs_a_few_percent, setup, teardown),
		cmocka_unit_test_setup_teardown(a_change_of_weather_is_followed, setup, teardown),
		cmocka_unit_test_setup_teardown(the_like_does_not_alternate, setup, teardown),
		cmocka_unit_test_setup_teardown(chance_decides_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(what_says_nothing_is_not_measured, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_clock_it_goes_by_size, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
