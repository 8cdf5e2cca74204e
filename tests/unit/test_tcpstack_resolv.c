/* SPDX-License-Identifier: MIT */
/* The host's resolvers: which lines of resolv.conf count (H42). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

/* The command line's files are in no library. */
#include "src/cli/resolv.c"

static uint8_t parse(const char *text, struct endpoint *out, uint8_t max)
{
	char copy[2048];
	uint8_t n;
	FILE *in;

	assert_true(strlen(text) < sizeof(copy));
	strcpy(copy, text);
	in = fmemopen(copy, strlen(copy), "r");
	assert_non_null(in);
	n = resolv_parse(in, "test", out, max);
	fclose(in);
	return n;
}

static void assert_endpoint(const struct endpoint *ep, const char *text)
{
	char buf[ENDPOINT_STRLEN];

	assert_string_equal(endpoint_format(ep, buf), text);
}

static void nameservers_come_in_order_with_port_53(void **state)
{
	struct endpoint ep[4];

	(void)state;
	assert_int_equal(parse("# a comment\n"
			       "search example.org\n"
			       "nameserver 127.0.0.53\n"
			       "options edns0 trust-ad\n"
			       "nameserver\t \t192.0.2.7  # and more\r\n"
			       "nameserver 2001:db8::1",
			       ep, 4),
			 3);
	assert_endpoint(&ep[0], "127.0.0.53:53");
	assert_endpoint(&ep[1], "192.0.2.7:53");
	assert_endpoint(&ep[2], "[2001:db8::1]:53");
}

static void other_lines_do_not_count(void **state)
{
	struct endpoint ep[4];

	(void)state;
	assert_int_equal(parse(";nameserver 192.0.2.1\n"
			       " nameserver 192.0.2.1\n"
			       "nameservers 192.0.2.1\n"
			       "nameserver\n"
			       "nameserver \n"
			       "nameserver fe80::1%eth0\n"
			       "nameserver 192.0.2.300\n"
			       "nameserver 192.0.2.9\n",
			       ep, 4),
			 1);
	assert_endpoint(&ep[0], "192.0.2.9:53");
}

static void more_than_the_table_holds_are_ignored(void **state)
{
	struct endpoint ep[3] = { 0 };

	(void)state;
	assert_int_equal(
		parse("nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n", ep, 2),
		2);
	assert_int_equal(ep[2].port, 0);
}

static void overlong_line_is_passed_over_whole(void **state)
{
	char text[LINE_BYTES * 3];
	struct endpoint ep[4];

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, "nameserver", 10);
	/* What stands here must not be taken for a line of its own. */
	memcpy(text + LINE_BYTES - 1, "nameserver 192.0.2.1", 20);
	strcpy(text + sizeof(text) - 24, "\nnameserver 192.0.2.2\n");
	assert_int_equal(parse(text, ep, 4), 1);
	assert_endpoint(&ep[0], "192.0.2.2:53");
}

static void without_a_file_it_is_loopback(void **state)
{
	struct endpoint ep[1];

	(void)state;
	assert_int_equal(resolv_read("/nonexistent/resolv.conf", ep, 1), 1);
	assert_endpoint(&ep[0], "127.0.0.1:53");
	assert_int_equal(resolv_read("/dev/null", ep, 1), 1);
	assert_endpoint(&ep[0], "127.0.0.1:53");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nameservers_come_in_order_with_port_53),
		cmocka_unit_test(other_lines_do_not_count),
		cmocka_unit_test(more_than_the_table_holds_are_ignored),
		cmocka_unit_test(overlong_line_is_passed_over_whole),
		cmocka_unit_test(without_a_file_it_is_loopback),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests_name("tcpstack_resolv", tests, NULL, NULL);
}
