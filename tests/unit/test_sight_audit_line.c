/* SPDX-License-Identifier: MIT */
/* Audit lines: what they say, each of them one line of JSON. */
#include "tests/unit/jsonget.h"

#include <errno.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/clock.h"
#include "src/sight/audit_log.h"
#include "tcpstack/audit.h"
#include "tcpstack/policy.h"

/* The one line that @r becomes, parsed. */
static json_t *line_of(const struct audit_record *r, uint64_t to_utc)
{
	char line[AUDIT_LINE_MAX];
	size_t n = audit_line(r, to_utc, line);
	json_t *j;

	assert_true(n < sizeof(line));
	assert_ptr_equal(memchr(line, '\n', n), line + n - 1);
	j = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
	if (!j)
		fail_msg("no JSON: %.*s", (int)n, line);
	return j;
}

static struct audit_record *make(const struct audit_record *r, const char *name, const char *rule)
{
	static uint64_t store[256];
	struct audit_record *out = (struct audit_record *)(void *)store;

	*out = *r;
	out->name_len = (uint16_t)strlen(name);
	out->rule_len = (uint16_t)strlen(rule);
	memcpy(out->text, name, out->name_len);
	memcpy(out->text + out->name_len, rule, out->rule_len);
	return out;
}

static void a_decision_has_who_where_and_why(void **state)
{
	const struct audit_record r = { .time_ns = 5 * NS_PER_S + 1000,
					.event = AUDIT_DECISION,
					.proto = FLOW_TCP,
					.verdict = AUDIT_ALLOW,
					.reason = AUDIT_RULE,
					.why = DROP_NONE,
					.rule = 7,
					.has_flow = true,
					.flow = { 12, 34 },
					.translated = true,
					.guest = { ipaddr_from_v4(0x0a00020f), 40000 },
					.remote = { ipaddr_from_v4(0x0a000202), 80 },
					.host = { ipaddr_from_v4(0x7f000001), 80 } };
	json_t *j = line_of(make(&r, "a.example.org", "allow tcp:*.example.org:80"),
			    1000 * NS_PER_S);

	(void)state;
	assert_str(j, "time", "1970-01-01T00:16:45.000001Z");
	assert_str(j, "event", "decision");
	assert_str(j, "flow", "tcp-12.34");
	assert_str(j, "direction", "out");
	assert_str(j, "proto", "tcp");
	assert_str(j, "guest", "10.0.2.15:40000");
	assert_str(j, "remote", "10.0.2.2:80");
	assert_str(j, "host", "127.0.0.1:80");
	assert_str(j, "name", "a.example.org");
	assert_str(j, "verdict", "allow");
	assert_str(j, "reason", "rule");
	assert_str(j, "rule", "allow tcp:*.example.org:80");
	assert_int_equal(num(j, "rule_number"), 7);
	assert_int_equal(json_object_size(j), 13);
	json_decref(j);
}

static void what_is_not_known_is_not_said(void **state)
{
	const struct audit_record r = { .event = AUDIT_DECISION,
					.proto = FLOW_PING,
					.verdict = AUDIT_DENY,
					.reason = AUDIT_ADDRESS,
					.why = DROP_POLICY_DENIED,
					.guest = { ipaddr_from_v4(0x0a00020f), 77 },
					.remote = { ipaddr_from_v4(0x7f000001), 0 } };
	json_t *j = line_of(make(&r, "", ""), 0);

	(void)state;
	assert_str(j, "proto", "icmp");
	assert_str(j, "guest", "10.0.2.15:77");
	assert_str(j, "remote", "127.0.0.1");
	assert_str(j, "verdict", "deny");
	assert_str(j, "reason", "address");
	assert_int_equal(json_object_size(j), 8);
	json_decref(j);
}

static void limits_and_questions_have_words_of_their_own(void **state)
{
	struct audit_record r = { .event = AUDIT_DECISION,
				  .proto = FLOW_UDP,
				  .verdict = AUDIT_DENY,
				  .reason = AUDIT_PROFILE,
				  .why = DROP_FLOW_LIMIT };
	json_t *j = line_of(make(&r, "", ""), 0);

	(void)state;
	assert_str(j, "reason", "flow_limit");
	json_decref(j);
	r = (struct audit_record){ .event = AUDIT_DECISION,
				   .proto = AUDIT_DNS,
				   .verdict = AUDIT_WOULD_DENY,
				   .reason = AUDIT_RULE,
				   .why = DROP_NONE,
				   .rule = 1,
				   .guest = { ipaddr_from_v4(0x0a00020f), 5353 } };
	j = line_of(make(&r, "www.bad.test", "deny *.bad.test"), 0);
	assert_str(j, "proto", "dns");
	assert_str(j, "verdict", "would-deny");
	assert_str(j, "name", "www.bad.test");
	assert_null(json_object_get(j, "remote"));
	json_decref(j);
}

static void an_end_has_bytes_both_ways_its_life_and_why(void **state)
{
	const struct audit_record r = { .event = AUDIT_CLOSE,
					.proto = FLOW_TCP,
					.end = END_HOST_RESET,
					.error = ECONNRESET,
					.inbound = true,
					.has_flow = true,
					.flow = { 1, 2 },
					.life_ns = 1234567890,
					.tx_bytes = UINT32_MAX + 5ULL,
					.rx_bytes = 6 };
	json_t *j = line_of(make(&r, "", ""), 0);

	(void)state;
	assert_str(j, "event", "close");
	assert_str(j, "direction", "in");
	assert_str(j, "reason", "host-reset");
	assert_str(j, "error", "ECONNRESET");
	assert_true(num(j, "tx_bytes") == UINT32_MAX + 5LL);
	assert_int_equal(num(j, "rx_bytes"), 6);
	assert_int_equal(num(j, "duration_ms"), 1234);
	json_decref(j);
}

/* A name that somebody else has chosen, and as long as one can be. */
static void texts_of_any_bytes_make_a_line_that_fits(void **state)
{
	static const char *const fill[] = { "\x01", "\"", "\\", "\xff", "\xc3\xa9", "a" };
	const struct audit_record r = { .event = AUDIT_DECISION, .rule = UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fill); i++) {
		char name[POLICY_NAME_MAX + 1] = "", rule[POLICY_RULE_MAX + 1] = "";
		json_t *j;

		while (strlen(name) + strlen(fill[i]) <= POLICY_NAME_MAX)
			strcat(name, fill[i]);
		while (strlen(rule) + strlen(fill[i]) <= POLICY_RULE_MAX)
			strcat(rule, fill[i]);
		j = line_of(make(&r, name, rule), 0);
		if (fill[i][0] != '\xff')
			assert_str(j, "name", name);
		assert_true(strlen(str(j, "rule")) > 200);
		json_decref(j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_decision_has_who_where_and_why),
		cmocka_unit_test(what_is_not_known_is_not_said),
		cmocka_unit_test(limits_and_questions_have_words_of_their_own),
		cmocka_unit_test(an_end_has_bytes_both_ways_its_life_and_why),
		cmocka_unit_test(texts_of_any_bytes_make_a_line_that_fits),
	};

	return cmocka_run_group_tests_name("audit lines", tests, NULL, NULL);
}
