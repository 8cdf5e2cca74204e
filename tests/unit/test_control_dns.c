/* SPDX-License-Identifier: MIT */
/* The guest's DNS at run time, through the control socket's commands. */
#include "tests/unit/ctlcmd.h"

#include "src/base/base.h"

/* "name=addr,addr|name=..." without what is built in; @r is given up. */
static void names_are(json_t *r, const char *want)
{
	const json_t *list = json_object_get(r, "names");
	char have[512] = "";

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *n = json_array_get(list, i), *a = json_object_get(n, "addresses");

		if (json_is_true(json_object_get(n, "built_in"))) {
			assert_string_equal(json_string_value(json_object_get(n, "name")),
					    "gateway");
			continue;
		}
		strcat(have, have[0] ? "|" : "");
		strcat(have, json_string_value(json_object_get(n, "name")));
		for (size_t k = 0; k < json_array_size(a); k++) {
			strcat(have, k ? "," : "=");
			strcat(have, json_string_value(json_array_get(a, k)));
		}
	}
	assert_string_equal(have, want);
	json_decref(r);
}

static void names_are_added_and_taken_away(void **state)
{
	(void)state;
	names_are(result_of("{\"cmd\":\"dns list\"}"), "");
	names_are(result_of("{\"cmd\":\"dns add\",\"args\":[\"Db.Test.=192.0.2.1,2001:db8::1\"]}"),
		  "db.test=192.0.2.1,2001:db8::1");
	names_are(result_of("{\"cmd\":\"dns add\",\"args\":[\"b.test=gateway\"]}"),
		  "db.test=192.0.2.1,2001:db8::1|b.test=10.0.2.2,fd73:6c75:6963::2");
	names_are(result_of("{\"cmd\":\"dns add\",\"args\":[\"db.test=192.0.2.2\"]}"),
		  "db.test=192.0.2.1,2001:db8::1,192.0.2.2|b.test=10.0.2.2,fd73:6c75:6963::2");
	names_are(result_of("{\"cmd\":\"dns del\",\"args\":[\"DB.test.\"]}"),
		  "b.test=10.0.2.2,fd73:6c75:6963::2");
	names_are(result_of("{\"cmd\":\"dns list\"}"), "b.test=10.0.2.2,fd73:6c75:6963::2");
}

static void what_cannot_be_is_refused_with_a_reason(void **state)
{
	(void)state;
	refused("{\"cmd\":\"dns add\",\"args\":[\"a.test\"]}", "bad-argument", "NAME=ADDR");
	refused("{\"cmd\":\"dns add\",\"args\":[\"a.test=x\"]}", "bad-argument",
		"\"x\" is not an address");
	refused("{\"cmd\":\"dns add\",\"args\":[7]}", "bad-argument", "not a text");
	refused("{\"cmd\":\"dns add\"}", "bad-argument", "spec");
	refused("{\"cmd\":\"dns add\",\"args\":[\"a.test=192.0.2.1,192.0.2.1\"]}", "exists",
		"twice");
	refused("{\"cmd\":\"dns del\",\"args\":[\"a.test\"]}", "not-found", "a.test");
	refused("{\"cmd\":\"dns del\",\"args\":[\"gateway\"]}", "not-found", "gateway");
	refused("{\"cmd\":\"dns del\",\"args\":[\"..\"]}", "bad-argument", "name:");
	names_are(result_of("{\"cmd\":\"dns list\"}"), "");
}

static void what_is_kept_is_flushed(void **state)
{
	json_t *r;

	(void)state;
	r = result_of("{\"cmd\":\"dns flush\"}");
	assert_int_equal(json_integer_value(json_object_get(r, "flushed")), 0);
	json_decref(r);
	refused("{\"cmd\":\"dns flush\",\"args\":[\"a.test\"]}", "bad-argument", "takes 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(names_are_added_and_taken_away, begin, end),
		cmocka_unit_test_setup_teardown(what_is_kept_is_flushed, begin, end),
		cmocka_unit_test_setup_teardown(what_cannot_be_is_refused_with_a_reason, begin,
						end),
	};

	return cmocka_run_group_tests_name("control_dns", tests, NULL, NULL);
}
