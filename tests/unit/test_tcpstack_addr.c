/* SPDX-License-Identifier: MIT */
/* Addresses: text and socket forms of both families, and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>

#include "tcpstack/addr.h"
#include "tcpstack/drop.h"

static void v4_is_a_mapped_address(void **state)
{
	(void)state;
	struct ipaddr a = ipaddr_from_v4(0x0a00020f), b;

	assert_true(ipaddr_is_v4(&a));
	assert_int_equal(ipaddr_v4(&a), 0x0a00020f);
	assert_int_equal(ipaddr_parse("::ffff:10.0.2.15", &b), 0);
	assert_true(ipaddr_equal(&a, &b));
	assert_int_equal(ipaddr_parse("::1", &b), 0);
	assert_false(ipaddr_is_v4(&b));
	assert_false(ipaddr_equal(&a, &b));
}

static void text_of_both_families_is_parsed_and_formatted(void **state)
{
	(void)state;
	struct endpoint ep = { .port = 443 };
	char buf[ENDPOINT_STRLEN];

	assert_int_equal(ipaddr_parse("192.0.2.1", &ep.addr), 0);
	assert_string_equal(endpoint_format(&ep, buf), "192.0.2.1:443");
	assert_int_equal(ipaddr_parse("2001:db8::7", &ep.addr), 0);
	assert_string_equal(endpoint_format(&ep, buf), "[2001:db8::7]:443");
	assert_int_equal(ipaddr_parse("2001:1111:2222:3333:4444:5555:6666:7777", &ep.addr), 0);
	ep.port = 65535;
	assert_string_equal(endpoint_format(&ep, buf),
			    "[2001:1111:2222:3333:4444:5555:6666:7777]:65535");
}

static void bad_text_is_refused_and_changes_nothing(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "1.2.3", "1.2.3.256", "1.2.3.4 ", "::g", "host" };
	struct ipaddr a = ipaddr_from_v4(1), before = a;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(ipaddr_parse(bad[i], &a), -EINVAL);
		assert_true(ipaddr_equal(&a, &before));
	}
}

static void endpoints_survive_the_socket_form(void **state)
{
	(void)state;
	static const char *const text[] = { "127.0.0.1", "255.255.255.255", "::", "fe80::1" };
	union sockaddr_any sa;

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
		struct endpoint ep = { .port = 0x1234 }, back = { .port = 0 };
		bool v4;

		assert_int_equal(ipaddr_parse(text[i], &ep.addr), 0);
		v4 = ipaddr_is_v4(&ep.addr);
		assert_int_equal(endpoint_to_sockaddr(&ep, &sa),
				 v4 ? sizeof(sa.in4) : sizeof(sa.in6));
		assert_int_equal(sa.sa.sa_family, v4 ? AF_INET : AF_INET6);
		assert_int_equal(v4 ? sa.in4.sin_port : sa.in6.sin6_port, htons(0x1234));
		assert_int_equal(endpoint_from_sockaddr(&sa, &back), 0);
		assert_true(ipaddr_equal(&ep.addr, &back.addr));
		assert_int_equal(back.port, 0x1234);
	}
	sa.sa.sa_family = AF_UNIX;
	struct endpoint ep;
	assert_int_equal(endpoint_from_sockaddr(&sa, &ep), -EAFNOSUPPORT);
}

static void every_drop_reason_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (int i = 0; i < DROP_REASON_COUNT; i++) {
		assert_true(strlen(drop_name((enum drop_reason)i)) > 0);
		assert_true(strlen(drop_text((enum drop_reason)i)) > 0);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(drop_name((enum drop_reason)i),
						drop_name((enum drop_reason)j));
	}
	assert_string_equal(drop_name(DROP_NONE), "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v4_is_a_mapped_address),
		cmocka_unit_test(text_of_both_families_is_parsed_and_formatted),
		cmocka_unit_test(bad_text_is_refused_and_changes_nothing),
		cmocka_unit_test(endpoints_survive_the_socket_form),
		cmocka_unit_test(every_drop_reason_has_a_name_of_its_own),
	};

	return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
