/* SPDX-License-Identifier: MIT */
/* Forwards as text. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/base.h"
#include "tcpstack/forward.h"
#include "tcpstack/frame.h"

static char why[256];

static void specifications_are_understood(void **state)
{
	static const struct {
		const char *text, *bind;
		uint16_t count, guest;
		uint8_t proto;
	} table[] = {
		{ "8080:80", "127.0.0.1:8080", 1, 80, PROTO_TCP },
		{ "0:80", "127.0.0.1:0", 1, 80, PROTO_TCP },
		{ "0.0.0.0:8080:80/tcp", "0.0.0.0:8080", 1, 80, PROTO_TCP },
		{ "8000-8100:9000", "127.0.0.1:8000", 101, 9000, PROTO_TCP },
		{ "192.0.2.1:0:22", "192.0.2.1:0", 1, 22, PROTO_TCP },
		{ "53:53/udp", "127.0.0.1:53", 1, 53, PROTO_UDP },
		{ "[::1]:8080:80", "[::1]:8080", 1, 80, PROTO_TCP },
		{ "[::]:1-3:1/udp", "[::]:1", 3, 1, PROTO_UDP },
		{ "1-65535:1", "127.0.0.1:1", 65535, 1, PROTO_TCP },
	};
	struct forward_spec spec;
	char buf[ENDPOINT_STRLEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (forward_parse(&spec, table[i].text, why, sizeof(why)))
			fail_msg("%s", why);
		assert_string_equal(endpoint_format(&spec.bind, buf), table[i].bind);
		assert_int_equal(spec.count, table[i].count);
		assert_int_equal(spec.guest_port, table[i].guest);
		assert_int_equal(spec.proto, table[i].proto);
	}
}

static void errors_show_the_text(void **state)
{
	static const char *const bad[] = {
		"",	      "80",	    ":80",	   "80:",	"80:0",
		"80:65536",   "65536:80",   "x:80",	   "90-80:1",	"1-2:65535",
		"80:80-81",   "80:80/sctp", "host:80:80",  "::1:80:80", "[127.0.0.1]:80:80",
		"[::1:80:80", ":80:80",	    "1.2.3:80:80", "0-5:80"
	};
	struct forward_spec spec;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (forward_parse(&spec, bad[i], why, sizeof(why)) != -EINVAL)
			fail_msg("\"%s\" was taken", bad[i]);
		if (!strstr(why, bad[i]))
			fail_msg("\"%s\" does not say \"%s\"", why, bad[i]);
	}
}

static void a_port_in_use_is_an_error(void **state)
{
	struct forward_spec spec;
	struct forward_info first, second;
	char buf[FORWARD_STRLEN];
	int fd;

	(void)state;
	assert_int_equal(forward_parse(&spec, "0:80", why, sizeof(why)), 0);
	fd = forward_socket(&spec, 0, &first);
	assert_true(fd >= 0);
	spec.bind = first.bind;
	assert_int_equal(forward_socket(&spec, 0, &second), -EADDRINUSE);
	assert_int_equal(second.bind.port, first.bind.port);
	assert_non_null(strstr(forward_format(&second, buf), ":80/tcp"));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(specifications_are_understood),
		cmocka_unit_test(errors_show_the_text),
		cmocka_unit_test(a_port_in_use_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
