/* SPDX-License-Identifier: MIT */
/* Pools: ownership, exhaustion, handles, trimming, and that misuse aborts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena/arena.h"
#include "src/base/alloc_count.h"

static const struct pool_config two_pools[] = {
	{ .name = "small", .slot_size = 100, .slots = 64 },
	{ .name = "large", .slot_size = 65536, .slots = 8 },
};

static struct arena *arena_of(const struct pool_config *pools, uint32_t n)
{
	struct arena_config cfg = { .name = "test", .pools = pools, .npools = n };
	struct arena *a;

	assert_int_equal(arena_new(&a, &cfg), 0);
	return a;
}

/* Does @misuse end the process by SIGABRT? */
static bool aborts(void (*misuse)(struct arena *a), struct arena *a)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL); /* cmocka catches it */
		close(STDERR_FILENO);
		misuse(a);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

#define skip_because(why)                         \
	do {                                      \
		print_message("SKIP: %s\n", why); \
		skip();                           \
	} while (0)

static bool heap_backend(void)
{
	struct arena *a = arena_of(two_pools, 2);
	char text[512] = "";
	FILE *f = fmemopen(text, sizeof(text) - 1, "w");

	arena_dump(a, f);
	fclose(f);
	arena_free(a);
	return strstr(text, "malloc backend") != NULL;
}

static void test_slots_are_distinct_aligned_and_writable(void **state)
{
	struct arena *a = arena_of(two_pools, 2);
	struct pool *p = arena_pool(a, "small");
	uint8_t *slots[64];

	(void)state;
	for (int i = 0; i < 64; i++) {
		slots[i] = pool_get(p);
		assert_non_null(slots[i]);
		assert_int_equal((uintptr_t)slots[i] % POOL_SLOT_ALIGN, 0);
		memset(slots[i], i, 100);
	}
	for (int i = 0; i < 64; i++) {
		for (int b = 0; b < 100; b++)
			assert_int_equal(slots[i][b], i);
		pool_put(p, slots[i]);
	}
	arena_audit(a);
	arena_free(a);
}

static void test_exhaustion_is_counted_and_passes(void **state)
{
	struct arena *a = arena_of(two_pools, 2);
	struct pool *p = arena_pool(a, "large");
	struct pool_stats s;
	void *slots[8];

	(void)state;
	for (int i = 0; i < 8; i++) {
		slots[i] = pool_get(p);
		assert_non_null(slots[i]);
	}
	assert_null(pool_get(p));
	assert_null(pool_get(p));
	pool_stats(p, &s);
	assert_int_equal(s.in_use, 8);
	assert_int_equal(s.empty, 2);
	pool_put(p, slots[3]);
	slots[3] = pool_get(p);
	assert_non_null(slots[3]);
	for (int i = 0; i < 8; i++)
		pool_put(p, slots[i]);
	pool_stats(p, &s);
	assert_int_equal(s.in_use, 0);
	assert_int_equal(s.peak, 8);
	assert_int_equal(s.gets, 9);
	assert_int_equal(s.puts, 9);
	arena_free(a);
}

static void test_the_slot_put_last_goes_out_first(void **state)
{
	struct arena *a;
	struct pool *p;
	void *x, *y;

	(void)state;
	if (heap_backend())
		skip_because("each slot is a malloc: it chooses the order");
	a = arena_of(two_pools, 2);
	p = arena_pool(a, "small");
	x = pool_get(p);
	y = pool_get(p);
	pool_put(p, x);
	pool_put(p, y);
	assert_ptr_equal(pool_get(p), y);
	assert_ptr_equal(pool_get(p), x);
	arena_audit(a);
	arena_free(a);
}

static void test_bulk_takes_all_or_nothing(void **state)
{
	struct arena *a = arena_of(two_pools, 2);
	struct pool *p = arena_pool(a, "large");
	void *slots[9] = { 0 };

	(void)state;
	assert_false(pool_get_bulk(p, slots, 9));
	assert_null(slots[0]);
	assert_int_equal(pool_available(p), 8);
	assert_true(pool_get_bulk(p, slots, 8));
	assert_int_equal(pool_available(p), 0);
	pool_put_bulk(p, slots, 8);
	assert_int_equal(arena_leaks(a), 0);
	arena_audit(a);
	arena_free(a);
}

static void test_leak_is_reported(void **state)
{
	struct arena *a = arena_of(two_pools, 2);
	char text[512] = "";
	FILE *f = fmemopen(text, sizeof(text) - 1, "w");
	void *slot = pool_get(arena_pool(a, "small"));

	(void)state;
	assert_non_null(slot);
	assert_int_equal(arena_leaks(a), 1);
	arena_dump(a, f);
	fclose(f);
	assert_non_null(strstr(text, "small"));
	assert_non_null(strstr(text, "in use 1 "));
	pool_put(arena_pool(a, "small"), slot);
	assert_int_equal(arena_leaks(a), 0);
	arena_free(a);
}

static void test_handle_goes_stale_with_the_put(void **state)
{
	struct arena *a = arena_of(two_pools, 2);
	struct pool *p = arena_pool(a, "small");
	void *slot = pool_get(p);
	struct pool_handle h = pool_handle_of(p, slot);
	struct pool_handle wild = { .index = 1000000, .gen = 1 };

	(void)state;
	assert_ptr_equal(pool_resolve(p, h), slot);
	pool_put(p, slot);
	assert_null(pool_resolve(p, h));
	slot = pool_get(p); /* the same index, another life */
	assert_null(pool_resolve(p, h));
	assert_null(pool_resolve(p, wild));
	pool_put(p, slot);
	arena_free(a);
}

static void put_twice(struct arena *a)
{
	struct pool *p = arena_pool(a, "small");
	void *slot = pool_get(p);

	pool_put(p, slot);
	pool_put(p, slot);
}

static void put_inside_a_slot(struct arena *a)
{
	struct pool *p = arena_pool(a, "small");
	uint8_t *slot = pool_get(p);

	pool_put(p, slot + 8);
}

static void put_to_another_pool(struct arena *a)
{
	pool_put(arena_pool(a, "small"), pool_get(arena_pool(a, "large")));
}

static void ask_for_no_such_pool(struct arena *a)
{
	arena_pool(a, "medium");
}

static void test_misuse_aborts(void **state)
{
	struct arena *a = arena_of(two_pools, 2);

	(void)state;
	if (heap_backend()) { /* the sanitizer reports the others in its own words */
		assert_true(aborts(ask_for_no_such_pool, a));
		arena_free(a);
		return;
	}
	assert_true(aborts(put_twice, a));
	assert_true(aborts(put_inside_a_slot, a));
	assert_true(aborts(put_to_another_pool, a));
	assert_true(aborts(ask_for_no_such_pool, a));
	arena_free(a);
}

#ifdef SLUICE_DEBUG
static void write_behind_a_slot(struct arena *a)
{
	struct pool *p = arena_pool(a, "small");
	uint8_t *slot = pool_get(p);

	slot[100] = 1;
	pool_put(p, slot);
}

static void write_after_put(struct arena *a)
{
	struct pool *p = arena_pool(a, "small");
	uint8_t *slot = pool_get(p);

	pool_put(p, slot);
	slot[50] = 1;
	pool_put(p, pool_get(p));
}

static void test_debug_build_sees_overruns_and_late_writes(void **state)
{
	struct arena *a;

	(void)state;
	if (heap_backend())
		skip_because("each slot is a malloc: AddressSanitizer sees these");
	a = arena_of(two_pools, 2);
	assert_true(aborts(write_behind_a_slot, a));
	assert_true(aborts(write_after_put, a));
	arena_free(a);
}
#endif

static void test_bad_configurations_are_refused(void **state)
{
	const struct pool_config none = { .name = "x", .slot_size = 64, .slots = 0 };
	const struct pool_config huge = { .name = "x", .slot_size = 1U << 30, .slots = 64 };
	const struct pool_config twice[] = { { "x", 64, 1 }, { "x", 128, 1 } };
	struct arena_config cfg = { .name = "bad", .pools = &none, .npools = 1 };
	struct arena *a;

	(void)state;
	assert_int_equal(arena_new(&a, &cfg), -EINVAL);
	cfg.pools = &huge;
	assert_int_equal(arena_new(&a, &cfg), -EINVAL);
	cfg.pools = twice;
	cfg.npools = 2;
	assert_int_equal(arena_new(&a, &cfg), -EEXIST);
	cfg.npools = 0;
	assert_int_equal(arena_new(&a, &cfg), -EINVAL);
}

/* Of the 15 pages that surely lie inside a large slot, how many are in memory? */
static unsigned int resident(void *slot)
{
	unsigned char vec[15];
	uint8_t *page = (uint8_t *)ALIGN_UP((uintptr_t)slot, 4096UL);
	unsigned int n = 0;

	assert_int_equal(mincore(page, sizeof(vec) * 4096, vec), 0);
	for (size_t i = 0; i < sizeof(vec); i++)
		n += vec[i] & 1;
	return n;
}

static void test_trim_returns_what_a_burst_took(void **state)
{
	struct arena *a;
	struct pool *p;
	void *slots[8];
	uint8_t *held;

	(void)state;
	if (heap_backend())
		skip_because("each slot is a malloc: nothing to trim");
	a = arena_of(two_pools, 2);
	p = arena_pool(a, "large");
	for (int i = 0; i < 8; i++) {
		slots[i] = pool_get(p);
		memset(slots[i], 1, 65536);
	}
	for (int i = 0; i < 8; i++)
		pool_put(p, slots[i]);
	held = pool_get(p);
	memset(held, 2, 65536);
	pool_trim(p); /* an interval begins: nothing was idle for a whole one yet */
	assert_int_equal(resident(slots[0]), 15);
	pool_trim(p);
	assert_int_equal(resident(slots[0]), 0);
	assert_int_equal(resident(held), 15);
	for (int b = 0; b < 65536; b++)
		assert_int_equal(held[b], 2);
	pool_put(p, held);
	pool_trim(p);
	pool_trim(p);
	assert_int_equal(resident(held), 0);
	assert_true(pool_get_bulk(p, slots, 8)); /* all still usable */
	for (int i = 0; i < 8; i++)
		memset(slots[i], 3, 65536);
	pool_put_bulk(p, slots, 8);
	arena_audit(a);
	arena_free(a);
}

/* Pages that a pool's slots at @slot[0..n) lie on and that are in memory. */
static unsigned int pages_resident(void **slot, uint32_t n, uint32_t size)
{
	uintptr_t low = UINTPTR_MAX, high = 0;
	unsigned char vec[512];
	unsigned int sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		low = MIN(low, (uintptr_t)slot[i]);
		high = MAX(high, (uintptr_t)slot[i] + size);
	}
	low = ALIGN_UP(low, 4096UL);
	n = (uint32_t)((high - low) / 4096);
	assert_true(n <= sizeof(vec));
	/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
	assert_int_equal(mincore((void *)low, (size_t)n * 4096, vec), 0);
	for (uint32_t i = 0; i < n; i++)
		sum += vec[i] & 1;
	return sum;
}

/* Slots that share pages: one that stays out keeps its page, or its two, and no more. */
static void test_one_that_lives_on_keeps_a_page(void **state)
{
	enum { N = 1000, SIZE = 300 }; /* 320 bytes apart: some lie on two pages */
	static const struct pool_config pool = { .name = "p", .slot_size = SIZE, .slots = N };
	static const uint32_t lives[] = { 0, 1, 499, 998, 999 };
	static void *slots[N];
	uint8_t want[SIZE];

	(void)state;
	if (heap_backend())
		skip_because("each slot is a malloc: nothing to trim");
	for (size_t k = 0; k < ARRAY_SIZE(lives); k++) {
		struct arena *a = arena_of(&pool, 1);
		struct pool *p = arena_pool(a, "p");

		for (int round = 0; round < 3; round++) {
			for (uint32_t i = round > 0; i < N; i++) {
				slots[i] = pool_get(p);
				memset(slots[i], (int)i, SIZE);
			}
			if (round == 0) {
				void *t = slots[0];

				slots[0] = slots[lives[k]];
				slots[lives[k]] = t;
				memset(slots[0], 0xab, SIZE);
			}
			for (uint32_t i = 1; i < N; i++)
				pool_put(p, slots[i * 7919ULL % (N - 1) + 1]);
			pool_trim(p);
			assert_true(pool_trim(p) > 0);
			assert_int_equal(pool_trim(p), 0);
			assert_true(pages_resident(slots, N, SIZE) <= 3);
			memset(want, 0xab, SIZE);
			assert_memory_equal(slots[0], want, SIZE);
			arena_audit(a);
		}
		pool_put(p, slots[0]);
		pool_trim(p);
		pool_trim(p);
		assert_true(pages_resident(slots, N, SIZE) <= 1);
		arena_audit(a);
		arena_free(a);
	}
}

/* What was needed all the time is close together after a trim, and costs no further calls. */
static void test_steady_use_after_a_burst_is_compact(void **state)
{
	enum { N = 1000, SIZE = 200, STEADY = 20 };
	static const struct pool_config pool = { .name = "p", .slot_size = SIZE, .slots = N };
	static void *slots[N], *few[STEADY];
	uint32_t calls = 0;
	struct arena *a;
	struct pool *p;

	(void)state;
	if (heap_backend())
		skip_because("each slot is a malloc: nothing to trim");
	a = arena_of(&pool, 1);
	p = arena_pool(a, "p");
	for (uint32_t i = 0; i < N; i++)
		slots[i] = pool_get(p);
	for (uint32_t i = 0; i < N; i++)
		pool_put(p, slots[i * 7919ULL % N]); /* in no order */
	for (int s = 0; s < 20; s++) {
		for (int k = 0; k < 50; k++) {
			for (uint32_t i = 0; i < STEADY; i++) {
				few[i] = pool_get(p);
				memset(few[i], 1, SIZE);
			}
			for (uint32_t i = 0; i < STEADY; i++)
				pool_put(p, few[i]);
		}
		calls = pool_trim(p);
	}
	assert_int_equal(calls, 0);
	/* Twenty of 256 bytes lie on two pages, and the last that were dropped may be half gone. */
	assert_true(pages_resident(slots, N, SIZE) <= 4);
	arena_audit(a);
	arena_free(a);
}

static void test_random_use_agrees_with_a_model(void **state)
{
	struct arena *a = arena_of(two_pools, 2);
	struct pool *p = arena_pool(a, "small");
	uint8_t *model[64] = { 0 };
	uint64_t x = 88172645463325252ULL;
	uint32_t out = 0;

	(void)state;
	for (int step = 0; step < 100000; step++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		uint32_t i = (uint32_t)(x >> 32) % 64;

		if (model[i]) {
			for (int b = 0; b < 100; b += 33)
				assert_int_equal(model[i][b], i);
			pool_put(p, model[i]);
			model[i] = NULL;
			out--;
		} else {
			model[i] = pool_get(p);
			assert_non_null(model[i]);
			memset(model[i], (int)i, 100);
			out++;
		}
		assert_int_equal(arena_leaks(a), out);
		if (step % 1000 == 0) {
			pool_trim(p);
			arena_audit(a);
		}
	}
	arena_free(a);
}

static void test_get_and_put_call_no_allocator(void **state)
{
	struct alloc_count before, after;
	struct arena *a;
	struct pool *p;

	(void)state;
	if (heap_backend())
		skip_because("each slot is a malloc: it calls the allocator");
	a = arena_of(two_pools, 2);
	p = arena_pool(a, "small");
	before = *alloc_count_here();
	for (int i = 0; i < 10000; i++)
		pool_put(p, pool_get(p));
	after = *alloc_count_here();
	assert_memory_equal(&before, &after, sizeof(before));
	arena_free(a);
	after = *alloc_count_here();
	assert_true(after.frees > before.frees); /* the count does see calls */
}

static void test_malloc_backend_keeps_the_limits(void **state)
{
	struct pool_handle h;
	struct arena *a;
	struct pool *p;
	void *slots[8];

	(void)state;
	setenv("ARENA_BACKEND", "malloc", 1);
	a = arena_of(two_pools, 2);
	unsetenv("ARENA_BACKEND");
	p = arena_pool(a, "large");
	assert_true(pool_get_bulk(p, slots, 8));
	assert_null(pool_get(p));
	for (int i = 0; i < 8; i++)
		memset(slots[i], i, 65536);
	h = pool_handle_of(p, slots[2]);
	assert_ptr_equal(pool_resolve(p, h), slots[2]);
	pool_put_bulk(p, slots, 8);
	assert_null(pool_resolve(p, h));
	arena_audit(a);
	arena_free(a);
}

static void borrow_twice(struct arena *a)
{
	struct scratch s;

	(void)a;
	if (scratch_init(&s, "events", 16, 8) < 0)
		return;
	scratch_borrow(&s);
	scratch_borrow(&s);
}

static void test_scratch_is_lent_once_at_a_time(void **state)
{
	struct scratch s;
	void *first;

	(void)state;
	assert_int_equal(scratch_init(&s, "events", 16, 8), 0);
	first = scratch_borrow(&s);
	memset(first, 0xff, (size_t)16 * 8);
	scratch_return(&s);
	assert_ptr_equal(scratch_borrow(&s), first);
	scratch_return(&s);
	scratch_fini(&s);
	assert_true(aborts(borrow_twice, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots_are_distinct_aligned_and_writable),
		cmocka_unit_test(test_exhaustion_is_counted_and_passes),
		cmocka_unit_test(test_the_slot_put_last_goes_out_first),
		cmocka_unit_test(test_bulk_takes_all_or_nothing),
		cmocka_unit_test(test_leak_is_reported),
		cmocka_unit_test(test_handle_goes_stale_with_the_put),
		cmocka_unit_test(test_misuse_aborts),
#ifdef SLUICE_DEBUG
		cmocka_unit_test(test_debug_build_sees_overruns_and_late_writes),
#endif
		cmocka_unit_test(test_bad_configurations_are_refused),
		cmocka_unit_test(test_trim_returns_what_a_burst_took),
		cmocka_unit_test(test_one_that_lives_on_keeps_a_page),
		cmocka_unit_test(test_steady_use_after_a_burst_is_compact),
		cmocka_unit_test(test_random_use_agrees_with_a_model),
		cmocka_unit_test(test_get_and_put_call_no_allocator),
		cmocka_unit_test(test_malloc_backend_keeps_the_limits),
		cmocka_unit_test(test_scratch_is_lent_once_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
