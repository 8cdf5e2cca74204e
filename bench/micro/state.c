/* SPDX-License-Identifier: MIT */
/*
 * Flows, slots, timers, rules, and the cycle in which nothing happens.
 */
#include <stdio.h>
#include <stdlib.h>

#include "arena/arena.h"
#include "bench/micro/micro.h"
#include "src/base/base.h"
#include "src/base/clock.h"
#include "src/base/rng.h"
#include "tcpstack/flow.h"
#include "tcpstack/frame.h"
#include "tcpstack/loop.h"
#include "tcpstack/policy.h"
#include "tcpstack/stack.h"
#include "tcpstack/timer.h"

/* Which one of @n is next: no order that a prefetcher could learn (xorshift32). */
static uint32_t pick(uint32_t n)
{
	static uint32_t x = 2463534242U;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return (uint32_t)((uint64_t)x * n >> 32);
}

/* --- finding a flow by its addresses and ports --- */

static struct flow_table table;
static uint32_t flows;

static struct flow_key key_of(uint32_t i)
{
	return (struct flow_key){
		.guest = { ipaddr_from_v4(0x0a00020f), (uint16_t)(1024 + i % 60000) },
		.remote = { ipaddr_from_v4(0xc6336400U + i / 60000), (uint16_t)(80 + i % 7) },
	};
}

static void flow_begin(uint32_t n)
{
	const struct siphash_key key = { 0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL };

	flows = n;
	/* The room is the same for all: what grows is how much of it is in use. */
	BUG_ON(flow_table_init(&table, 65536, 512, &key));
	for (uint32_t i = 0; i < n; i++) {
		const struct flow_key k = key_of(i);

		BUG_ON(!flow_alloc(&table, &k, 0));
	}
}

static uint64_t flow_run(uint64_t times)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < times; i++) {
		const struct flow_key k = key_of(pick(flows));
		const struct flow *f = flow_find(&table, &k);

		BUG_ON(!f);
		sum += f->id.index;
	}
	return sum;
}

const struct micro micro_flow = {
	.name = "flow",
	.what = "flows in the table",
	.sizes = { 1, 1000, 65536 },
	.begin = flow_begin,
	.run = flow_run,
};

/* --- a slot from the arena and back --- */

static struct pool *pool;

static void pool_begin(uint32_t out)
{
	const struct pool_config p = { "micro", 2048, 4096 };
	const struct arena_config cfg = { .name = "micro", .pools = &p, .npools = 1 };
	struct arena *a;

	BUG_ON(arena_new(&a, &cfg));
	pool = arena_pool(a, "micro");
	for (uint32_t i = 1; i < out; i++)
		BUG_ON(!pool_get(pool));
}

static uint64_t pool_run(uint64_t times)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < times; i++) {
		void *slot = pool_get(pool);

		BUG_ON(!slot);
		sum += (uintptr_t)slot;
		pool_put(pool, slot);
	}
	return sum;
}

const struct micro micro_pool = {
	.name = "slot",
	.what = "slots out meanwhile",
	.sizes = { 1, 4000 },
	.begin = pool_begin,
	.run = pool_run,
};

/* --- arming a timer anew, as each segment does, and the wheel's turn --- */

static struct timer_wheel wheel;
static struct timer *timers;
static uint32_t ntimers;
static uint64_t now, fired;

static void on_timer(void *ctx, struct timer *t)
{
	(void)ctx;
	(void)t;
	fired++;
}

static void timer_begin(uint32_t n)
{
	ntimers = n;
	now = NS_PER_S;
	timer_wheel_init(&wheel, now);
	timers = calloc(n, sizeof(*timers));
	BUG_ON(!timers);
	for (uint32_t i = 0; i < n; i++) {
		timer_init(&timers[i], on_timer, NULL);
		timer_arm(&wheel, &timers[i], now + pick(60000) * NS_PER_MS);
	}
}

static uint64_t timer_run(uint64_t times)
{
	for (uint64_t i = 0; i < times; i++) {
		/* A millisecond each sixteen: the wheel turns at the pace of a busy worker. */
		now += NS_PER_MS / 16;
		timer_arm(&wheel, &timers[pick(ntimers)], now + (1 + pick(60000)) * NS_PER_MS);
		timer_wheel_run(&wheel, now);
	}
	return fired;
}

const struct micro micro_timer = {
	.name = "timer",
	.what = "timers armed",
	.sizes = { 1, 1000, 65536 },
	.begin = timer_begin,
	.run = timer_run,
};

/* --- the rule for a destination --- */

static struct policy *policy;
static uint32_t rules;

static uint32_t network_of(uint32_t i)
{
	return 0x0b000000U + (i << 8);
}

static void policy_begin(uint32_t n)
{
	struct policy_list list = { .profile = POLICY_ALLOWLIST };
	char text[64], why[128];

	rules = n;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t a = network_of(i);

		snprintf(text, sizeof(text), "tcp:%u.%u.%u.0/24:443", a >> 24, a >> 16 & 255,
			 a >> 8 & 255);
		BUG_ON(policy_list_add(&list, i % 3 != 0, text, why, sizeof(why)));
	}
	BUG_ON(policy_compile(&policy, &list));
	policy_list_free(&list);
}

static uint64_t policy_run(uint64_t times)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < times; i++) {
		const struct endpoint to = { ipaddr_from_v4(network_of(pick(rules)) + 7), 443 };
		uint32_t rule = policy_match(policy, PROTO_TCP, &to, NULL, 0);

		BUG_ON(rule == POLICY_NO_RULE);
		sum += rule;
	}
	return sum;
}

const struct micro micro_policy = {
	.name = "policy",
	.what = "rules",
	.sizes = { 10, 1000, 100000 },
	.begin = policy_begin,
	.run = policy_run,
};

/* --- the worker's cycle when nothing has come --- */

static struct stack *stack;

static uint64_t env_now(void *ctx)
{
	(void)ctx;
	return clock_now_ns();
}

static void env_random(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	rng_fill(buf, len);
}

static void idle_begin(uint32_t max_tcp)
{
	const struct stack_env env = { .now_ns = env_now, .random = env_random };
	struct stack_config cfg;

	stack_config_defaults(&cfg);
	cfg.max_tcp = max_tcp;
	cfg.bulk = STACK_BULK_COPY;
	BUG_ON(stack_new(&stack, &cfg, &env));
}

static uint64_t idle_run(uint64_t times)
{
	for (uint64_t i = 0; i < times; i++) {
		loop_wait(stack_loop(stack), false);
		stack_run(stack);
	}
	return counter_get(&stack_counters(stack)->cycles);
}

const struct micro micro_idle = {
	.name = "idle-cycle",
	.what = "TCP flows it has room for",
	.sizes = { 64, 4096, 65536 },
	.begin = idle_begin,
	.run = idle_run,
};
