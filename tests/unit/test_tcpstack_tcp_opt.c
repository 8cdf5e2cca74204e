/* SPDX-License-Identifier: MIT */
/* TCP options of a SYN: what a guest may write there, and what it must not achieve. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tcpstack/tcp.h"

/* The bytes in memory of exactly their length, so that ASan sees a step beyond. */
static struct tcp_options parse(const uint8_t *bytes, uint32_t len)
{
	struct tcp_options opt;
	uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	/* cppcheck-suppress [nullPointer,ctunullpointer] ; an empty list comes with length 0 */
	memcpy(copy, bytes, len);
	tcp_parse_options(copy, len, &opt);
	free(copy);
	return opt;
}

#define PARSE(...) parse((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void linux_syn_is_read(void **state)
{
	(void)state;
	struct tcp_options o = PARSE(2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3,
				     7);

	assert_int_equal(o.mss, 1460);
	assert_true(o.sack_permitted);
	assert_true(o.has_wscale);
	assert_int_equal(o.wscale, 7);
}

static void no_options_is_nothing(void **state)
{
	(void)state;
	struct tcp_options o = parse(NULL, 0);

	assert_int_equal(o.mss, 0);
	assert_false(o.has_wscale);
	assert_false(o.sack_permitted);
}

static void end_of_list_ends(void **state)
{
	(void)state;
	struct tcp_options o = PARSE(1, 0, 2, 4, 0x05, 0xb4);

	assert_int_equal(o.mss, 0);
}

static void length_zero_and_one_end_the_list(void **state)
{
	(void)state;
	assert_int_equal(PARSE(9, 0, 2, 4, 5, 6).mss, 0);
	assert_int_equal(PARSE(9, 1, 2, 4, 5, 6).mss, 0);
}

static void length_beyond_the_header_ends_the_list(void **state)
{
	(void)state;
	assert_int_equal(PARSE(2, 5, 5, 6).mss, 0);
	assert_false(PARSE(3, 3).has_wscale);
	assert_false(PARSE(3).has_wscale);
	assert_int_equal(PARSE(2, 255).mss, 0);
}

static void wrong_length_is_skipped(void **state)
{
	(void)state;
	struct tcp_options o = PARSE(2, 3, 9, 3, 4, 9, 9, 2, 4, 1, 0);

	assert_int_equal(o.mss, 256);
	assert_false(o.has_wscale);
}

/* H37: 255 is handed over as it is; the flow caps it. */
static void every_shift_count_is_read(void **state)
{
	(void)state;
	assert_int_equal(PARSE(3, 3, 255).wscale, 255);
}

/* All strings of a pseudo-random kind, at every length: no read outside (under ASan). */
static void garbage_stays_inside(void **state)
{
	(void)state;
	uint32_t x = 12345;

	for (int i = 0; i < 20000; i++) {
		uint8_t b[40] = { 0 };
		uint32_t len = (uint32_t)i % 41;

		for (uint32_t j = 0; j < len; j++) {
			x = x * 1664525 + 1013904223;
			b[j] = (uint8_t)((x >> 24) % ((i & 1) ? 8 : 255));
		}
		parse(b, len);
	}
}

static uint32_t sack(const uint8_t *bytes, uint32_t len, struct tcp_range *blocks)
{
	uint8_t *copy = malloc(len ? len : 1);
	uint32_t n;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	n = tcp_parse_sack(copy, len, blocks);
	free(copy);
	return n;
}

/* RFC 2018 3 */
static void sack_blocks_are_read(void **state)
{
	(void)state;
	static const uint8_t two[] = {
		1, 1, 5, 18, 0, 0, 1, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 2, 0, 0
	};
	static const uint8_t odd[] = { 1, 1, 5, 11, 0, 0, 1, 0, 0, 0, 2, 0, 9 };
	static const uint8_t cut[] = { 5, 18, 0, 0, 1, 0, 0, 0, 2, 0 };
	struct tcp_range b[TCP_SACK_BLOCKS];

	assert_int_equal(sack(two, sizeof(two), b), 2);
	assert_int_equal(b[0].from, 0x100);
	assert_int_equal(b[0].to, 0x200);
	assert_int_equal(b[1].from, 0x10000);
	assert_int_equal(b[1].to, 0x20000);
	assert_int_equal(sack(odd, sizeof(odd), b), 0);
	assert_int_equal(sack(cut, sizeof(cut), b), 0);
	assert_int_equal(sack(two, 2, b), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linux_syn_is_read),
		cmocka_unit_test(no_options_is_nothing),
		cmocka_unit_test(end_of_list_ends),
		cmocka_unit_test(length_zero_and_one_end_the_list),
		cmocka_unit_test(length_beyond_the_header_ends_the_list),
		cmocka_unit_test(wrong_length_is_skipped),
		cmocka_unit_test(every_shift_count_is_read),
		cmocka_unit_test(garbage_stays_inside),
		cmocka_unit_test(sack_blocks_are_read),
	};

	return cmocka_run_group_tests_name("tcp_opt", tests, NULL, NULL);
}
