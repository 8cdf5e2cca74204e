/* SPDX-License-Identifier: MIT */
/* Rules and forwards at run time, through the control socket's commands. */
#include "tests/unit/ctlcmd.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/base.h"
#include "tcpstack/addr.h"

/* "allow a|deny b": the user's rules, as the worker has them. */
static void rules_are(const char *profile, const char *want)
{
	json_t *r = result_of("{\"cmd\":\"rule list\"}");
	const json_t *list = json_object_get(r, "rules");
	char have[512] = "";

	assert_string_equal(json_string_value(json_object_get(r, "profile")), profile);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *rule = json_array_get(list, i);

		if (json_is_true(json_object_get(rule, "built_in")))
			continue;
		assert_int_equal(json_integer_value(json_object_get(rule, "number")), i + 1);
		snprintf(have + strlen(have), sizeof(have) - strlen(have), "%s%s", i ? "|" : "",
			 json_string_value(json_object_get(rule, "rule")));
	}
	assert_string_equal(have, want);
	json_decref(r);
}

static void rules_change_while_the_worker_runs(void **state)
{
	(void)state;
	rules_are("open", "");
	ok("{\"cmd\":\"rule add\",\"args\":[\"deny\",\"10.0.0.0/8\"]}");
	ok("{\"cmd\":\"rule add\",\"args\":[\"allow\",\"tcp:*.Example.org:443\"]}");
	ok("{\"cmd\":\"rule add\",\"args\":[\"allow\",\"10.1.0.0/16\",1]}");
	rules_are("open", "allow 10.1.0.0/16|deny 10.0.0.0/8|allow tcp:*.example.org:443");
	ok("{\"cmd\":\"rule del\",\"args\":[2]}");
	rules_are("open", "allow 10.1.0.0/16|allow tcp:*.example.org:443");
	ok("{\"cmd\":\"rule profile\",\"args\":[\"allowlist\"]}");
	rules_are("allowlist", "allow 10.1.0.0/16|allow tcp:*.example.org:443");
}

/* A change that is refused changes nothing. */
static void bad_changes_leave_all_as_it_was(void **state)
{
	(void)state;
	ok("{\"cmd\":\"rule add\",\"args\":[\"deny\",\"10.0.0.0/8\"]}");
	refused("{\"cmd\":\"rule add\",\"args\":[\"maybe\",\"*\"]}", "bad-argument", "neither");
	refused("{\"cmd\":\"rule add\",\"args\":[\"deny\",\"10.0.0.0/33\"]}", "bad-argument",
		"10.0.0.0/33");
	refused("{\"cmd\":\"rule add\",\"args\":[\"deny\",\"*\",3]}", "bad-argument", "at:");
	refused("{\"cmd\":\"rule del\",\"args\":[2]}", "not-found", "no rule 2");
	refused("{\"cmd\":\"rule del\",\"args\":[0]}", "bad-argument", "0 is not within");
	refused("{\"cmd\":\"rule profile\",\"args\":[\"none\"]}", "bad-argument",
		"deny 10.0.0.0/8");
	refused("{\"cmd\":\"rule profile\",\"args\":[\"closed\"]}", "bad-argument", "none of");
	refused("{\"cmd\":\"rule gateway-ports\",\"args\":[\"x\"]}", "bad-argument", "\"x\"");
	/* H44: what rules see of the gateway is the host's loopback. */
	refused("{\"cmd\":\"rule add\",\"args\":[\"allow\",\"tcp:10.0.2.2:80\"]}", "bad-argument",
		"name that, or see --gateway-ports");
	rules_are("open", "deny 10.0.0.0/8");
}

static void gateway_ports_change(void **state)
{
	json_t *r;

	(void)state;
	r = result_of("{\"cmd\":\"rule gateway-ports\"}");
	assert_string_equal(json_string_value(json_object_get(r, "gateway_ports")), "all");
	json_decref(r);
	r = result_of("{\"cmd\":\"rule gateway-ports\",\"args\":[\"80,90-99\"]}");
	assert_int_equal(json_array_size(json_object_get(r, "gateway_ports")), 2);
	json_decref(r);
	r = result_of("{\"cmd\":\"rule gateway-ports\",\"args\":[8080]}");
	assert_int_equal(json_array_size(json_object_get(r, "gateway_ports")), 1);
	json_decref(r);
}

static bool reachable(uint16_t port)
{
	struct endpoint ep = { ipaddr_from_v4(INADDR_LOOPBACK), port };
	union sockaddr_any sa;
	socklen_t len = endpoint_to_sockaddr(&ep, &sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes = connect(fd, &sa.sa, len) == 0;

	close(fd);
	return yes;
}

static size_t forwards(void)
{
	json_t *r = result_of("{\"cmd\":\"forward list\"}");
	size_t n = json_array_size(json_object_get(r, "forwards"));

	json_decref(r);
	return n;
}

/* The port of the host that @spec got. */
static uint16_t forwarded(const char *spec)
{
	char line[128];
	uint16_t port;
	json_t *r;

	snprintf(line, sizeof(line), "{\"cmd\":\"forward add\",\"args\":[\"%s\"]}", spec);
	r = result_of(line);
	port = (uint16_t)json_integer_value(
		json_object_get(json_array_get(json_object_get(r, "forwards"), 0), "port"));
	json_decref(r);
	return port;
}

static void forwards_come_and_go(void **state)
{
	char line[128];
	uint16_t port;

	(void)state;
	port = forwarded("0:80");
	assert_true(reachable(port));
	assert_int_equal(forwards(), 1);
	snprintf(line, sizeof(line), "{\"cmd\":\"forward add\",\"args\":[\"%u:81\"]}", port);
	refused(line, "exists", "in use");
	snprintf(line, sizeof(line), "{\"cmd\":\"forward del\",\"args\":[%u]}", port);
	ok(line);
	assert_false(reachable(port));
	refused(line, "not-found", "not forwarded");
	assert_int_equal(forwards(), 0);
	refused("{\"cmd\":\"forward add\",\"args\":[\"80\"]}", "bad-argument", "\"80\"");
	refused("{\"cmd\":\"forward del\",\"args\":[\"x\"]}", "bad-argument", "listen:");
}

/* The same for UDP, whose ports have numbers of their own. */
static void forwards_of_udp_come_and_go(void **state)
{
	char line[128];
	const json_t *f;
	uint16_t port;
	json_t *r;

	(void)state;
	r = result_of("{\"cmd\":\"forward add\",\"args\":[\"0.0.0.0:0:53/udp\"]}");
	f = json_array_get(json_object_get(r, "forwards"), 0);
	port = (uint16_t)json_integer_value(json_object_get(f, "port"));
	assert_int_not_equal(port, 0);
	assert_string_equal(json_string_value(json_object_get(f, "proto")), "udp");
	assert_string_equal(json_string_value(json_object_get(f, "guest")), "10.0.2.15:53");
	json_decref(r);
	snprintf(line, sizeof(line), "{\"cmd\":\"forward add\",\"args\":[\"%u:54/udp\"]}", port);
	refused(line, "exists", "in use");
	assert_int_equal(forwards(), 1);
	snprintf(line, sizeof(line), "{\"cmd\":\"forward del\",\"args\":[\"0.0.0.0:%u\"]}", port);
	refused(line, "not-found", "not forwarded");
	snprintf(line, sizeof(line), "{\"cmd\":\"forward del\",\"args\":[\"0.0.0.0:%u/udp\"]}",
		 port);
	ok(line);
	assert_int_equal(forwards(), 0);
}

/* A range of which one port is taken: nothing of it stays. */
static void a_range_is_had_whole_or_not_at_all(void **state)
{
	char line[128];
	uint16_t port;

	(void)state;
	port = forwarded("0:80");
	snprintf(line, sizeof(line), "{\"cmd\":\"forward add\",\"args\":[\"%d-%u:1000\"]}",
		 port - 2, port);
	json_decref(ctlrig_ask(&rig, line));
	assert_int_equal(forwards(), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rules_change_while_the_worker_runs, begin, end),
		cmocka_unit_test_setup_teardown(bad_changes_leave_all_as_it_was, begin, end),
		cmocka_unit_test_setup_teardown(gateway_ports_change, begin, end),
		cmocka_unit_test_setup_teardown(forwards_come_and_go, begin, end),
		cmocka_unit_test_setup_teardown(forwards_of_udp_come_and_go, begin, end),
		cmocka_unit_test_setup_teardown(a_range_is_had_whole_or_not_at_all, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
