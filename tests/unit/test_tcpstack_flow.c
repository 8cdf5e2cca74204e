/* SPDX-License-Identifier: MIT */
/* Flow tables, against an array of what should be in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "src/base/alloc_count.h"
#include "src/base/base.h"
#include "tcpstack/flow.h"

static uint64_t rng;

static uint32_t rnd(uint32_t below)
{
	rng = rng * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(rng >> 33) % below;
}

static const struct siphash_key hash_key = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };

struct record {
	struct flow flow;
	uint8_t mark[100];
};

static struct flow_key key_of(uint32_t i)
{
	struct flow_key key = { .guest = { ipaddr_from_v4(0x0a00020f), (uint16_t)i },
				.remote = { ipaddr_from_v4(0xc0000200 + (i >> 16)), 80 } };
	return key;
}

static void start(struct flow_table *t, uint32_t cap)
{
	assert_int_equal(flow_table_init(t, cap, sizeof(struct record), &hash_key), 0);
}

static void a_full_table_refuses(void **state)
{
	(void)state;
	struct flow_table t;
	struct flow_key key;
	struct flow *f;

	start(&t, 3);
	for (uint32_t i = 0; i < 3; i++) {
		key = key_of(i);
		assert_non_null(flow_alloc(&t, &key, 5));
	}
	key = key_of(3);
	assert_null(flow_alloc(&t, &key, 5));
	assert_null(flow_find(&t, &key));
	f = flow_oldest(&t);
	flow_free(&t, f);
	f = flow_alloc(&t, &key, 6);
	assert_non_null(f);
	assert_int_equal(f->fd, -1);
	assert_int_equal(f->opened_ns, 6);
	flow_table_fini(&t);
	flow_table_fini(&t);
}

/* H53 */
static void a_stale_handle_finds_nothing(void **state)
{
	(void)state;
	struct flow_table t;
	struct flow_key key = key_of(1);
	struct flow_id old;
	uint64_t token;
	struct flow *f;

	start(&t, 4);
	f = flow_alloc(&t, &key, 0);
	old = f->id;
	token = flow_token(f, TOKEN_TCP);
	assert_int_equal(token_kind(token), TOKEN_TCP);
	assert_ptr_equal(flow_of_token(&t, token), f);
	flow_free(&t, f);
	assert_null(flow_get(&t, old));
	assert_null(flow_of_token(&t, token));
	/* Nor does one that guesses the next generation. */
	assert_null(flow_get(&t, (struct flow_id){ old.index, old.gen + 1 }));
	/* The same record again, for another flow. */
	assert_ptr_equal(flow_alloc(&t, &key, 0), f);
	assert_null(flow_get(&t, old));
	assert_null(flow_of_token(&t, token));
	assert_ptr_equal(flow_get(&t, f->id), f);
	assert_null(flow_get(&t, (struct flow_id){ 3, 1 }));
	assert_null(flow_get(&t, (struct flow_id){ UINT32_MAX, 1 }));
	flow_table_fini(&t);
}

/* Pages of the table's records that are in memory. */
static uint32_t resident(const struct flow_table *t)
{
	uint32_t pages = t->cap * t->record_size / 4096, n = 0;
	unsigned char vec[256];

	assert_true(pages <= sizeof(vec));
	assert_int_equal(mincore(t->records, (size_t)pages * 4096, vec), 0);
	for (uint32_t i = 0; i < pages; i++)
		n += vec[i] & 1;
	return n;
}

/*
 * H53: what a burst took goes back, also if one of its flows lives on, wherever its
 * record lies. The others' records begin anew, their handles do not.
 */
static void a_trim_leaves_the_live_and_no_handle_of_the_dead(void **state)
{
	enum { N = 500, NONE = N };
	static const uint32_t survivors[] = { NONE, 0, N / 2 + 1, N - 1 };
	struct flow_id old[N];
	struct flow_table t;
	struct flow_key key;
	struct flow *f;

	(void)state;
	start(&t, N);
	for (uint32_t round = 0; round < 2 * ARRAY_SIZE(survivors); round++) {
		uint32_t lives = survivors[round / 2];

		for (uint32_t i = 0; i < N; i++) {
			key = key_of(i);
			old[i] = flow_alloc(&t, &key, 0)->id;
		}
		for (uint32_t i = 0; i < N; i++) {
			if (old[i].index != lives)
				flow_free(&t, flow_get(&t, old[i]));
		}
		assert_int_equal(flow_table_trim(&t), 0); /* nothing was idle for an interval */
		assert_true(flow_table_trim(&t) > 0);
		assert_int_equal(flow_table_trim(&t), 0);
		/* The rest of its page, or of its two, and of those at the ends. */
		assert_true(resident(&t) <= (lives == NONE ? 1 : 3));
		for (uint32_t i = 0; i < N; i++) {
			f = flow_get(&t, old[i]);
			assert_int_equal(f != NULL, old[i].index == lives);
			key = key_of(i);
			assert_ptr_equal(flow_find(&t, &key), f);
		}
		for (uint32_t i = N; t.used < N; i++) {
			key = key_of(i);
			assert_non_null(flow_alloc(&t, &key, 0));
		}
		for (uint32_t i = 0; i < N; i++)
			assert_int_equal(flow_get(&t, old[i]) != NULL, old[i].index == lives);
		while (flow_oldest(&t))
			flow_free(&t, flow_oldest(&t));
		if (round % 2) {
			flow_table_trim(&t);
			flow_table_trim(&t);
		}
	}
	flow_table_fini(&t);
}

static void generations_wrap_past_zero_within_a_token(void **state)
{
	(void)state;
	struct flow_table t;
	struct flow_key key = key_of(1);
	struct flow *f;

	start(&t, 1);
	f = flow_alloc(&t, &key, 0);
	f->id.gen = TOKEN_GEN_MASK;
	assert_ptr_equal(flow_of_token(&t, flow_token(f, TOKEN_UDP)), f);
	flow_free(&t, f);
	f = flow_alloc(&t, &key, 0);
	assert_int_equal(f->id.gen, 1);
	flow_table_fini(&t);
}

static void records_are_zeroed_and_reused_last_in_first_out(void **state)
{
	(void)state;
	struct flow_table t;
	struct flow_key k1 = key_of(1), k2 = key_of(2);
	struct record *a, *b;

	start(&t, 100);
	a = (struct record *)flow_alloc(&t, &k1, 0);
	b = (struct record *)flow_alloc(&t, &k2, 0);
	memset(b->mark, 0xee, sizeof(b->mark));
	flow_free(&t, &a->flow);
	flow_free(&t, &b->flow);
	assert_ptr_equal(flow_alloc(&t, &k1, 0), b);
	for (size_t i = 0; i < sizeof(b->mark); i++)
		assert_int_equal(b->mark[i], 0);
	assert_ptr_equal(flow_alloc(&t, &k2, 0), a);
	assert_int_equal(flow_table_touched(&t), 2);
	flow_table_fini(&t);
}

static void bad_sizes_are_refused(void **state)
{
	(void)state;
	struct flow_table t;

	assert_int_equal(flow_table_init(&t, 0, sizeof(struct record), &hash_key), -EINVAL);
	flow_table_fini(&t);
	assert_int_equal(flow_table_init(&t, 8, sizeof(struct flow) - 1, &hash_key), -EINVAL);
	flow_table_fini(&t);
}

enum { CAP = 700, KEYS = 1500 };

/* The model: which flow each key has, and the keys in the order of use. */
static struct flow *model[KEYS];
static uint32_t order[CAP], live;

/* Handles of the dead, some of them. */
static struct flow_id dead[64];

static void model_drop(uint32_t key)
{
	uint32_t i = 0;

	while (order[i] != key)
		i++;
	memmove(order + i, order + i + 1, (live - i - 1) * sizeof(*order));
	live--;
}

static void check_order(struct flow_table *t)
{
	struct flow *f = NULL;

	for (uint32_t i = 0; i < live; i++) {
		f = flow_next(t, f);
		assert_ptr_equal(f, model[order[i]]);
	}
	assert_null(flow_next(t, f));
	assert_ptr_equal(flow_oldest(t), live ? model[order[0]] : NULL);
}

static void random_operations_agree_with_the_model(void **state)
{
	(void)state;
	const struct alloc_count *count = alloc_count_here();
	uint32_t trims = 0;
	uint64_t allocs;
	struct flow_table t;

	rng = 99;
	start(&t, CAP);
	allocs = count->allocs + count->maps;
	for (uint32_t op = 0; op < 60000; op++) {
		/* Bursts, and quiet times in which few keys are in use. */
		uint32_t k = rnd(op / 4000 % 2 ? KEYS / 50 : KEYS);
		struct flow_key key = key_of(k * 40);
		struct flow *f = flow_find(&t, &key);

		assert_ptr_equal(f, model[k]);
		if (!f) {
			f = flow_alloc(&t, &key, op);
			assert_int_equal(f != NULL, live < CAP);
			if (f) {
				model[k] = f;
				order[live++] = k;
			}
		} else if (rnd(3) == 0) {
			flow_touch(&t, f, op);
			assert_int_equal(f->used_ns, op);
			model_drop(k);
			order[live++] = k;
		} else if (rnd(2) == 0) {
			dead[rnd(ARRAY_SIZE(dead))] = f->id;
			flow_free(&t, f);
			model_drop(k);
			model[k] = NULL;
		} else if (op / 4000 % 2 && live > 5) {
			uint32_t oldest = order[0];

			flow_free(&t, model[oldest]);
			model_drop(oldest);
			model[oldest] = NULL;
		}
		assert_int_equal(t.used, live);
		if (op % 512 == 0)
			check_order(&t);
		if (rnd(200) == 0)
			trims += flow_table_trim(&t) > 0;
		if (op % 16 == 0)
			assert_null(flow_get(&t, dead[rnd(ARRAY_SIZE(dead))]));
	}
	check_order(&t);
	assert_true(trims > 10);
	assert_int_equal(count->allocs + count->maps, allocs);
	flow_table_fini(&t);
}

static void names_lead_back_to_flows_and_nothing_else_does(void **state)
{
	static const char *const none[] = {
		"",	     "tcp",	 "tcp-",	   "tcp-1",
		"tcp-1.",    "tcp-1.2x", "tcp-01.2",	   "tcp-1.02",
		"tcp--1.2",  "tcp- 1.2", "tcp-1.2 ",	   "dns-1.2",
		"TCP-1.2",   "tcp-+1.2", "tcp-1.16777216", "tcp-4294967296.1",
		"tcp-1.2.3",
	};
	char name[FLOW_NAME_STRLEN];
	enum flow_proto proto;
	struct flow_id id;

	(void)state;
	for (int p = 0; p < FLOW_PROTOS; p++) {
		flow_name((enum flow_proto)p, (struct flow_id){ UINT32_MAX, TOKEN_GEN_MASK }, name);
		assert_int_equal(flow_name_parse(name, &proto, &id), 0);
		assert_int_equal(proto, p);
		assert_true(id.index == UINT32_MAX && id.gen == TOKEN_GEN_MASK);
	}
	assert_string_equal(name, "icmp-4294967295.16777215");
	assert_int_equal(strlen(name), FLOW_NAME_STRLEN - 1);
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		if (flow_name_parse(none[i], &proto, &id) == 0)
			fail_msg("\"%s\" is taken for a flow", none[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_table_refuses),
		cmocka_unit_test(a_stale_handle_finds_nothing),
		cmocka_unit_test(a_trim_leaves_the_live_and_no_handle_of_the_dead),
		cmocka_unit_test(generations_wrap_past_zero_within_a_token),
		cmocka_unit_test(records_are_zeroed_and_reused_last_in_first_out),
		cmocka_unit_test(bad_sizes_are_refused),
		cmocka_unit_test(random_operations_agree_with_the_model),
		cmocka_unit_test(names_lead_back_to_flows_and_nothing_else_does),
	};

	return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}
