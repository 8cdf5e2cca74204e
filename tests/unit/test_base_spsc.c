/* SPDX-License-Identifier: MIT */
/* The ring of messages between two threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "src/base/alloc_count.h"
#include "src/base/clock.h"
#include "src/base/spsc.h"

#define SIZE 1024U

static uint64_t store[SIZE / 8];
static struct spsc ring;
static int wake_fd;

static int begin(void **state)
{
	(void)state;
	wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	spsc_init(&ring, store, SIZE, wake_fd);
	return wake_fd < 0;
}

static int end(void **state)
{
	(void)state;
	return close(wake_fd);
}

static bool woken(void)
{
	eventfd_t n;

	return eventfd_read(wake_fd, &n) == 0;
}

/* A message of @len bytes that all say @tag; false when the ring is full. */
static bool put(uint8_t tag, uint32_t len)
{
	uint8_t *p = spsc_reserve(&ring, len);

	if (!p)
		return false;
	assert_int_equal((uintptr_t)p % SPSC_ALIGN, 0);
	assert_true(p >= (uint8_t *)store && p + len <= (uint8_t *)store + SIZE);
	memset(p, tag, len);
	spsc_commit(&ring);
	return true;
}

static void take(uint8_t tag, uint32_t want)
{
	uint32_t len = UINT32_MAX;
	const uint8_t *p = spsc_peek(&ring, &len);

	assert_non_null(p);
	assert_int_equal(len, want);
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(p[i], tag);
	spsc_release(&ring);
}

static void messages_come_whole_and_in_order_across_the_edge(void **state)
{
	uint32_t in = 0, out = 0, rng = 7, len[4096], len2;

	(void)state;
	ring.head = ring.tail = UINT32_MAX - 503; /* positions wrap on the way */
	while (out < ARRAY_SIZE(len)) {
		rng = rng * 1103515245 + 12345;
		len2 = (rng >> 16) % (SIZE / 4);
		if (in < ARRAY_SIZE(len) && put((uint8_t)in, len2)) {
			len[in++] = len2;
			continue;
		}
		while (out < in && (rng >> 3) % 3) {
			take((uint8_t)out, len[out]);
			out++;
			rng = rng * 1103515245 + 12345;
		}
	}
	assert_null(spsc_peek(&ring, &len2));
}

static void a_full_ring_refuses_and_counts(void **state)
{
	uint32_t n = 0, len;

	(void)state;
	while (put((uint8_t)n, 24))
		n++;
	assert_int_equal(n, SIZE / 32);
	assert_int_equal(counter_get(&ring.lost), 1);
	assert_false(put(0, 0));
	assert_int_equal(counter_get(&ring.lost), 2);
	take(0, 24);
	assert_true(put(77, 24));
	for (uint32_t i = 1; i < n; i++)
		take((uint8_t)i, 24);
	take(77, 24);
	assert_null(spsc_peek(&ring, &len));
	assert_int_equal(counter_get(&ring.lost), 2);
}

static void what_is_not_committed_is_not_there(void **state)
{
	uint32_t len;

	(void)state;
	assert_non_null(spsc_reserve(&ring, 100));
	assert_null(spsc_peek(&ring, &len));
	assert_true(put(5, 10)); /* in its place */
	take(5, 10);
}

static void a_sleeper_is_woken_once_and_one_who_is_awake_never(void **state)
{
	(void)state;
	assert_true(put(1, 1));
	assert_false(woken());
	assert_false(spsc_may_sleep(&ring)); /* there is something */
	spsc_awake(&ring);
	take(1, 1);
	assert_true(spsc_may_sleep(&ring));
	assert_true(put(2, 1));
	assert_true(put(3, 1));
	assert_true(woken());
	assert_false(woken());
	spsc_awake(&ring);
	assert_true(put(4, 1));
	assert_false(woken());
}

#define MANY 300000U
#define FEW  50000U

/* Nobody is kept from running for so long, milliseconds. */
#define SLEPT_OVER_MS 60000ULL

struct reader {
	pthread_t thread;
	uint64_t got, sum, sleeps;
};

static void pause_for(uint64_t loops)
{
	for (volatile uint64_t i = 0; i < loops; i = i + 1)
		;
}

/* Takes messages until one is empty, and sleeps whenever there is none. */
static void *read_all(void *arg)
{
	struct reader *rd = arg;

	for (;;) {
		struct pollfd p = { .fd = wake_fd, .events = POLLIN };
		const uint32_t *m;
		uint32_t len;

		while ((m = spsc_peek(&ring, &len))) {
			bool last = len == 0;

			for (uint32_t i = 0; i < len / 4; i++) {
				if (m[i] != (uint32_t)rd->got)
					return NULL; /* got tells */
			}
			rd->sum += len;
			spsc_release(&ring);
			if (last)
				return NULL;
			rd->got++;
		}
		/* So that a message may come at any moment of what follows. */
		pause_for(rd->sleeps % 301);
		if (spsc_may_sleep(&ring)) {
			rd->sleeps++;
			if (poll(&p, 1, SLEPT_OVER_MS) == 0)
				return NULL; /* got tells */
			woken();
		}
		spsc_awake(&ring);
	}
}

static void send_number(uint64_t n, uint32_t len)
{
	uint32_t *m;

	while (!(m = spsc_reserve(&ring, len)))
		sched_yield();
	for (uint32_t i = 0; i < len / 4; i++)
		m[i] = (uint32_t)n;
	spsc_commit(&ring);
}

/* A producer that is faster: what finds room arrives, in order. */
static void a_busy_pair_loses_nothing_but_what_it_counts(void **state)
{
	const struct alloc_count *heap = alloc_count_here();
	struct reader rd = { .got = 0 };
	uint64_t bytes = 0, allocs;

	(void)state;
	assert_int_equal(pthread_create(&rd.thread, NULL, read_all, &rd), 0);
	allocs = heap->allocs;
	for (uint64_t n = 0; n < MANY; n++) {
		uint32_t len = (uint32_t)(n * 52) % 200 + 4;

		send_number(n, len);
		bytes += len;
	}
	assert_int_equal(heap->allocs, allocs);
	send_number(0, 0);
	pthread_join(rd.thread, NULL);
	assert_int_equal(rd.got, MANY);
	assert_int_equal(rd.sum, bytes);
}

/* One message each time that the reader is about to fall asleep: none is slept over. */
static void a_message_that_meets_a_sleeper_wakes_it(void **state)
{
	struct reader rd = { .got = 0 };
	uint64_t since;

	(void)state;
	assert_int_equal(pthread_create(&rd.thread, NULL, read_all, &rd), 0);
	for (uint64_t n = 0; n < FEW; n++) {
		send_number(n, 4);
		since = clock_now_ns();
		while (atomic_load(&ring.tail) != atomic_load(&ring.head)) {
			assert_true(clock_now_ns() - since < SLEPT_OVER_MS * NS_PER_MS);
			/* The reader may have no processor but this one: valgrind's has not. */
			sched_yield();
		}
		pause_for(n % 257);
	}
	send_number(0, 0);
	pthread_join(rd.thread, NULL);
	assert_int_equal(rd.got, FEW);
	assert_true(rd.sleeps > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(messages_come_whole_and_in_order_across_the_edge),
		TEST(a_full_ring_refuses_and_counts),
		TEST(what_is_not_committed_is_not_there),
		TEST(a_sleeper_is_woken_once_and_one_who_is_awake_never),
		TEST(a_busy_pair_loses_nothing_but_what_it_counts),
		TEST(a_message_that_meets_a_sleeper_wakes_it),
	};

	return cmocka_run_group_tests_name("spsc", tests, NULL, NULL);
}
