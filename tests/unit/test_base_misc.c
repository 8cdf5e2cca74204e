/* SPDX-License-Identifier: MIT */
/* SipHash vectors, byte rings, bounds, lists, log limits and heap counting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "src/base/alloc_count.h"
#include "src/base/bytering.h"
#include "src/base/bytes.h"
#include "src/base/dlist.h"
#include "src/base/log.h"
#include "src/base/rng.h"
#include "src/base/siphash.h"

/* The reference vectors of SipHash-2-4: key 00..0f, messages 00, 00 01, ... */
static void test_siphash_reference_vectors(void **state)
{
	static const uint64_t expect[] = {
		0x726fdb47dd0e0e31ULL, 0x74f839c593dc67fdULL, 0x0d6c8009d9a94f5aULL,
		0x85676696d7fb7e2dULL, 0xcf2794e0277187b7ULL, 0x18765564cd99a68dULL,
		0xcbc9466e58fee3ceULL, 0xab0200f58b01d137ULL, 0x93f5f5799a932462ULL,
	};
	struct siphash_key key = { 0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL };
	uint8_t msg[16];

	(void)state;
	for (size_t i = 0; i < sizeof(msg); i++)
		msg[i] = (uint8_t)i;
	for (size_t i = 0; i < ARRAY_SIZE(expect); i++)
		assert_true(siphash(&key, msg, i) == expect[i]);
	assert_true(siphash(&key, msg, 15) == 0xa129ca6149be45e5ULL);
}

static void test_range_ok_never_wraps(void **state)
{
	(void)state;
	assert_true(range_ok(0, 0, 0));
	assert_true(range_ok(10, 0, 10));
	assert_true(range_ok(9, 1, 10));
	assert_false(range_ok(10, 1, 10));
	assert_false(range_ok(11, 0, 10));
	assert_false(range_ok(UINT64_MAX, 2, UINT64_MAX)); /* the sum would be 1 */
	assert_false(range_ok(2, UINT64_MAX, UINT64_MAX));
	assert_false(range_ok(UINT64_MAX - 4, 8, 4096));
}

static void test_byte_order(void **state)
{
	uint8_t b[8];

	(void)state;
	put_be32(b, 0x01020304);
	assert_memory_equal(b, "\x01\x02\x03\x04", 4);
	put_le16(b, 0x0102);
	assert_memory_equal(b, "\x02\x01", 2);
	put_be64(b, 0x0102030405060708ULL);
	assert_true(get_le64(b) == 0x0807060504030201ULL);
	assert_int_equal(get_be16(b + 1), 0x0203);
}

static void test_bytering_keeps_order_across_the_edge(void **state)
{
	uint8_t store[64], in[256], out[256];
	struct bytering r;
	uint32_t wrote = 0, read = 0;

	(void)state;
	for (int i = 0; i < 256; i++)
		in[i] = (uint8_t)(i * 7);
	bytering_init(&r, store, sizeof(store));
	r.head = r.tail = UINT32_MAX - 20; /* positions wrap on the way */
	for (uint32_t step = 1; read < sizeof(in); step++) {
		wrote += bytering_put(&r, in + wrote, MIN(step % 17, (uint32_t)sizeof(in) - wrote));
		read += bytering_get(&r, out + read, step % 11);
		assert_true(bytering_used(&r) == wrote - read);
	}
	assert_memory_equal(in, out, sizeof(in));
}

static void test_bytering_refuses_what_does_not_fit(void **state)
{
	uint8_t store[16], data[32] = { 0 };
	struct iovec iov[2];
	struct bytering r;

	(void)state;
	bytering_init(&r, store, sizeof(store));
	assert_int_equal(bytering_put(&r, data, 32), 16);
	assert_int_equal(bytering_put(&r, data, 1), 0);
	assert_int_equal(bytering_writable(&r, iov), 0);
	bytering_advance_tail(&r, 5);
	assert_int_equal(bytering_put(&r, data, 3), 3);
	assert_int_equal(bytering_readable(&r, iov), 2);
	assert_int_equal(iov[0].iov_len, 11);
	assert_int_equal(iov[1].iov_len, 3);
	assert_int_equal(bytering_get(&r, data, 32), 14);
	assert_int_equal(bytering_get(&r, data, 1), 0);
}

static void test_dlist_order_and_self_removal(void **state)
{
	struct dlist head, n[4], *it, *tmp;
	int i;

	(void)state;
	dlist_init(&head);
	for (i = 0; i < 4; i++)
		dlist_push_tail(&head, &n[i]);
	i = 0;
	dlist_for_each_safe (it, tmp, &head) {
		assert_ptr_equal(it, &n[i]);
		if (i++ % 2)
			dlist_del(it);
	}
	assert_true(dlist_empty(&n[1]));
	dlist_del(&n[1]); /* in no list: harmless */
	assert_ptr_equal(dlist_pop_head(&head), &n[0]);
	assert_ptr_equal(dlist_pop_head(&head), &n[2]);
	assert_null(dlist_pop_head(&head));
}

static void chatter(int times)
{
	for (int i = 0; i < times; i++)
		log_limited(LOG_ERROR, "test", "fault %d", i);
}

/* Run @speak with the log in a pipe; returns what it wrote. */
static size_t capture(void (*speak)(void), char *text, size_t size)
{
	int fds[2];
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	log_set_fd(fds[1]);
	speak();
	log_set_fd(STDERR_FILENO);
	close(fds[1]);
	n = read(fds[0], text, size);
	close(fds[0]);
	assert_true(n > 0);
	return (size_t)n;
}

static void chatter_much(void)
{
	chatter(10000);
}

/* H46: what a guest can cause ten thousand times is not ten thousand lines. */
static void test_log_lines_a_guest_causes_are_limited(void **state)
{
	char text[65536];
	size_t n = capture(chatter_much, text, sizeof(text));
	int lines = 0;

	(void)state;
	for (size_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	/* One interval, or two when its edge fell into the loop. */
	assert_in_range(lines, LOG_LIMIT_BURST, 2 * LOG_LIMIT_BURST);
	assert_memory_equal(text, "sluice: error: test: fault 0", 28);
}

static int evaluated;

static int evaluate(void)
{
	return ++evaluated;
}

static void test_log_below_threshold_costs_nothing(void **state)
{
	(void)state;
	evaluated = 0;
	log_set_level(LOG_WARN);
	log_debug("test", "%d", evaluate());
	log_info("test", "%d", evaluate());
	assert_int_equal(evaluated, 0);
}

static void say_much(void)
{
	char big[2048];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	log_error("test", "%s", big);
}

static void test_long_log_line_is_cut_with_its_newline(void **state)
{
	char got[4096];
	size_t n = capture(say_much, got, sizeof(got));

	(void)state;
	assert_true(n <= LOG_LINE_MAX);
	assert_int_equal(got[n - 1], '\n');
}

/* What @fd, of a file, has from @from on. */
static void assert_text_is(int fd, off_t from, const char *want)
{
	char got[1024];
	ssize_t n = pread(fd, got, sizeof(got) - 1, from);

	assert_true(n >= 0);
	got[n] = 0;
	assert_string_equal(got, want);
}

/* H86 */
static void test_log_lines_that_are_lost_are_counted_and_told(void **state)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC), fd = memfd_create("log", MFD_CLOEXEC);
	uint64_t before = log_lost();

	(void)state;
	assert_true(full >= 0 && fd >= 0);
	log_set_fd(full);
	for (int i = 0; i < 3; i++)
		log_error("test", "unheard");
	assert_int_equal(log_lost() - before, 3);
	log_set_fd(fd);
	log_error("test", "heard");
	log_error("test", "again");
	assert_text_is(fd, 0,
		       "sluice: warn: log: 3 lines could not be written here\n"
		       "sluice: error: test: heard\n"
		       "sluice: error: test: again\n");
	/* Nobody has asked for these. */
	log_set_fd(-1);
	log_error("test", "silence");
	log_set_fd(STDERR_FILENO);
	assert_int_equal(log_lost() - before, 3);
	close(full);
	close(fd);
}

/* A disk that is full in the middle of a line: the next one has a line of its own. */
static void test_log_line_that_is_torn_ends_where_the_next_begins(void **state)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct rlimit was, few = { .rlim_cur = 12 };
	uint64_t before = log_lost();

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	few.rlim_max = was.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
	log_set_fd(fd);
	log_error("test", "torn");
	log_error("test", "unheard");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	signal(SIGXFSZ, SIG_DFL);
	log_error("test", "heard");
	log_set_fd(STDERR_FILENO);
	assert_int_equal(log_lost() - before, 2);
	assert_text_is(fd, 0,
		       "sluice: erro\n"
		       "sluice: warn: log: 2 lines could not be written here\n"
		       "sluice: error: test: heard\n");
	close(fd);
}

static void test_log_levels_by_name(void **state)
{
	enum log_level level = LOG_WARN;

	(void)state;
	assert_int_equal(log_level_parse("debug", &level), 0);
	assert_int_equal(level, LOG_DEBUG);
	assert_int_equal(log_level_parse("loud", &level), -EINVAL);
	assert_int_equal(level, LOG_DEBUG);
}

static void test_heap_calls_are_counted(void **state)
{
	struct alloc_count before = *alloc_count_here();
	void *volatile p = malloc(100);
	void *volatile q = calloc(3, 5);

	(void)state;
	/* cppcheck-suppress memleakOnRealloc ; 200 bytes or a dead test */
	p = realloc(p, 200);
	free(p);
	free(q);
	free(NULL);
	assert_int_equal(alloc_count_here()->allocs - before.allocs, 3);
	assert_int_equal(alloc_count_here()->frees - before.frees, 2);
}

static void test_random_bytes_differ(void **state)
{
	uint8_t a[32] = { 0 }, b[32] = { 0 };

	(void)state;
	rng_fill(a, sizeof(a));
	rng_fill(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siphash_reference_vectors),
		cmocka_unit_test(test_range_ok_never_wraps),
		cmocka_unit_test(test_byte_order),
		cmocka_unit_test(test_bytering_keeps_order_across_the_edge),
		cmocka_unit_test(test_bytering_refuses_what_does_not_fit),
		cmocka_unit_test(test_dlist_order_and_self_removal),
		cmocka_unit_test(test_log_lines_a_guest_causes_are_limited),
		cmocka_unit_test(test_log_below_threshold_costs_nothing),
		cmocka_unit_test(test_long_log_line_is_cut_with_its_newline),
		cmocka_unit_test(test_log_lines_that_are_lost_are_counted_and_told),
		cmocka_unit_test(test_log_line_that_is_torn_ends_where_the_next_begins),
		cmocka_unit_test(test_log_levels_by_name),
		cmocka_unit_test(test_heap_calls_are_counted),
		cmocka_unit_test(test_random_bytes_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
