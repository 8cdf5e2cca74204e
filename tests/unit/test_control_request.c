/* SPDX-License-Identifier: MIT */
/* Requests of the control socket: one line in, one line out, whatever the line. */
#include "tests/unit/ctlcmd.h"

#include <stdio.h>

#include "src/base/log.h"

static void malformed_lines_are_answered_by_an_error_object(void **state)
{
	(void)state;
	refused("", "syntax", "");
	refused("status", "syntax", "column");
	refused("{", "syntax", "column");
	refused("{\"cmd\":\"status\"} x", "syntax", "column");
	refused("[]", "syntax", "a request is an object");
	refused("7", "syntax", "");
	refused("{}", "syntax", "\"cmd\" is missing");
	refused("{\"cmd\":7}", "syntax", "\"cmd\" is missing");
	refused("{\"cmd\":\"status\",\"cmd\":\"help\"}", "syntax", "duplicate");
	refused("{\"cmd\":\"status\",\"argv\":[]}", "syntax", "\"argv\" is not part");
	refused("{\"cmd\":\"dance\"}", "unknown-command", "\"dance\" is no command");
	refused("{\"cmd\":\"status\",\"args\":7}", "bad-argument", "neither an object nor a list");
	refused("{\"cmd\":\"status\",\"args\":[1]}", "bad-argument", "takes 0 arguments");
	refused("{\"cmd\":\"status\",\"args\":{\"x\":1}}", "bad-argument", "no argument \"x\"");
	refused("{\"cmd\":\"flows\",\"args\":[\"tcp\",\"::1\",\"idle\",1,2]}", "bad-argument",
		"takes 4 arguments");
	refused("{\"cmd\":\"flows\",\"args\":{\"limit\":0}}", "bad-argument", "not within 1..");
	refused("{\"cmd\":\"flows\",\"args\":{\"limit\":-1}}", "bad-argument", "not a number");
	refused("{\"cmd\":\"flows\",\"args\":{\"limit\":\"9x\"}}", "bad-argument", "not a number");
	refused("{\"cmd\":\"flows\",\"args\":{\"limit\":[]}}", "bad-argument", "not a number");
	refused("{\"cmd\":\"flows\",\"args\":{\"host\":\"nobody\"}}", "bad-argument", "no address");
	refused("{\"cmd\":\"flows\",\"args\":[\"tpc\"]}", "bad-argument",
		"\"tpc\" is none of tcp, udp, icmp");
	refused("{\"cmd\":\"flows\",\"args\":{\"stall\":\"sleepy\"}}", "bad-argument",
		"none of moving, no-driver");
	refused("{\"cmd\":\"metrics\",\"args\":[\"xml\"]}", "bad-argument", "neither json nor");
}

/* What a message quotes may be cut inside a UTF-8 sequence. */
static void messages_are_always_valid_json(void **state)
{
	char line[256] = "{\"cmd\":\"";

	(void)state;
	for (int i = 0; i < 30; i++)
		strcat(line, "\xc3\xa9x");
	strcat(line, "\"}");
	refused(line, "unknown-command", "is no command");
}

static void id_comes_back_whatever_it_is(void **state)
{
	static const char *const ids[] = { "7", "\"x\"", "null", "[1,{\"a\":2}]", "1.5" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		json_t *want = json_loads(ids[i], JSON_DECODE_ANY, NULL);
		const char *cmds[] = { "status", "flows", "dance" };

		for (size_t k = 0; k < ARRAY_SIZE(cmds); k++) {
			char line[128];
			json_t *answer;

			snprintf(line, sizeof(line), "{\"cmd\":\"%s\",\"id\":%s}", cmds[k], ids[i]);
			answer = ctlrig_ask(&rig, line);
			assert_true(json_equal(json_object_get(answer, "id"), want));
			json_decref(answer);
		}
		json_decref(want);
	}
}

static void status_tells_what_runs(void **state)
{
	json_t *s = result_of("{\"cmd\":\"status\"}");

	(void)state;
	assert_string_equal(json_string_value(json_object_get(s, "version")), "1.2.3");
	assert_true(json_is_false(json_object_get(json_object_get(s, "driver"), "attached")));
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(s, "network"), "guest")),
		"10.0.2.15");
	json_decref(s);
}

static bool lists(const json_t *list, const char *name)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (strcmp(json_string_value(json_array_get(list, i)), name) == 0)
			return true;
	return false;
}

/* Every engine has had its probe; what failed says by which errno, and is not listed. */
static void status_tells_of_engines_and_the_oracle(void **state)
{
	static const char *const names[] = { "copy", "splice", "zerocopy", "uring" };
	json_t *s = result_of("{\"cmd\":\"status\"}"), *net = json_object_get(s, "network");
	const json_t *probes = json_object_get(net, "probes");
	const char *oracle = json_string_value(json_object_get(net, "oracle"));

	(void)state;
	assert_int_equal(json_object_size(probes), ARRAY_SIZE(names));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const json_t *p = json_object_get(probes, names[i]);
		const char *error = json_string_value(json_object_get(p, "error"));
		bool available = json_is_true(json_object_get(p, "available"));

		assert_true(available == lists(json_object_get(net, "engines"), names[i]));
		assert_true(available == !error);
		if (!available)
			assert_true(error[0] == 'E' && json_object_get(p, "why"));
	}
	assert_true(lists(json_object_get(net, "engines"), "copy"));
	assert_string_equal(oracle, lists(json_object_get(net, "engines"), "splice") ? "sock_diag"
										     : "none");
	json_decref(s);
}

static void log_level_is_shown_and_changed(void **state)
{
	json_t *s = result_of("{\"cmd\":\"log level\",\"args\":[\"error\"]}");

	(void)state;
	json_decref(s);
	s = result_of("{\"cmd\":\"log level\"}");
	assert_string_equal(json_string_value(json_object_get(s, "level")), "error");
	json_decref(s);
	refused("{\"cmd\":\"log level\",\"args\":[\"loud\"]}", "bad-argument", "level:");
	json_decref(result_of("{\"cmd\":\"log level\",\"args\":[\"warn\"]}"));
}

static void log_format_is_shown_and_changed(void **state)
{
	json_t *s = result_of("{\"cmd\":\"log format\",\"args\":[\"json\"]}");

	(void)state;
	json_decref(s);
	assert_int_equal(log_format(), LOG_JSON);
	s = result_of("{\"cmd\":\"log format\"}");
	assert_string_equal(json_string_value(json_object_get(s, "format")), "json");
	json_decref(s);
	refused("{\"cmd\":\"log format\",\"args\":[\"xml\"]}", "bad-argument", "format:");
	json_decref(result_of("{\"cmd\":\"log format\",\"args\":[\"text\"]}"));
	assert_int_equal(log_format(), LOG_TEXT);
}

static void shutdown_asks_the_program(void **state)
{
	(void)state;
	json_decref(result_of("{\"cmd\":\"shutdown\"}"));
	assert_int_equal(rig.shutdowns, 1);
}

/* Each is described, findable, and refuses an argument that it does not have. */
static void every_command_is_in_help(void **state)
{
	json_t *help = result_of("{\"cmd\":\"help\"}");
	const json_t *list = json_object_get(help, "commands");
	const struct ctl_command *cmd = NULL;
	size_t i = 0;

	(void)state;
	while ((cmd = ctl_command_next(cmd))) {
		const json_t *row = json_array_get(list, i++);
		char line[128];

		assert_string_equal(json_string_value(json_object_get(row, "name")), cmd->name);
		assert_ptr_equal(ctl_command_find(cmd->name), cmd);
		assert_non_null(cmd->handler);
		assert_true(strlen(cmd->help) > 0);
		snprintf(line, sizeof(line), "{\"cmd\":\"%s\",\"args\":{\"no such\":1}}",
			 cmd->name);
		refused(line, "bad-argument", "no argument");
	}
	assert_int_equal(json_array_size(list), i);
	json_decref(help);
}

static void flows_of_an_idle_stack_are_none(void **state)
{
	json_t *f = result_of("{\"cmd\":\"flows\"}");

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(f, "total")), 0);
	assert_int_equal(json_array_size(json_object_get(f, "flows")), 0);
	json_decref(f);
}

/* However often one asks, the worker is bothered ten times a second at most. */
static void snapshots_are_shared(void **state)
{
	const struct net_worker_counters *n = net_worker_counters(rig.w);
	uint64_t before = counter_get(&n->cycles), start = clock_now_ns(), spent;

	(void)state;
	for (int i = 0; i < 2000; i++)
		json_decref(result_of("{\"cmd\":\"flows\"}"));
	spent = clock_now_ns() - start;
	assert_true(counter_get(&n->cycles) - before < 40 + 40 * (spent / CTL_CACHE_NS));
}

/* Answers that are kept fit their questions: with an id or without, and whichever format. */
static void kept_answers_fit_their_questions(void **state)
{
	static const char json[] = "{\"cmd\":\"metrics\"}";
	static const char text[] = "{\"cmd\":\"metrics\",\"args\":[\"prometheus\"]}";
	json_t *a, *b;
	uint64_t since = clock_now_ns();
	json_int_t requests;

	(void)state;
	for (int i = 0; i < 3; i++) {
		a = result_of(json);
		assert_true(json_is_object(json_object_get(a, "net")));
		json_decref(a);
		a = result_of(text);
		assert_true(json_is_string(json_object_get(a, "text")));
		json_decref(a);
		a = result_of("{\"cmd\":\"flows\"}");
		assert_true(json_is_array(json_object_get(a, "flows")));
		json_decref(a);
		a = ctlrig_ask(&rig, "{\"id\":[7],\"cmd\":\"metrics\"}");
		b = json_pack("[i]", 7);
		assert_true(json_equal(json_object_get(a, "id"), b));
		assert_true(json_is_object(json_object_get(json_object_get(a, "result"), "net")));
		json_decref(b);
		json_decref(a);
	}
	/* Bytes that begin alike are another question, and none are none. */
	refused("", "syntax", "");
	refused("{\"cmd\":\"metrics\"} ]", "syntax", "column");
	refused("{\"cmd\":\"metrics\",\"args\":[\"x\"]}", "bad-argument", "format");
	/* And no answer is kept for ever. */
	a = result_of(json);
	requests = json_integer_value(json_object_get(json_object_get(a, "control"), "requests"));
	do {
		json_decref(a);
		a = result_of(json);
		assert_true(clock_now_ns() - since < 60 * NS_PER_S);
	} while (json_integer_value(json_object_get(json_object_get(a, "control"), "requests")) ==
		 requests);
	json_decref(a);
}

static void limits_are_shown_and_changed(void **state)
{
	json_t *s = result_of("{\"cmd\":\"limit set\",\"args\":[\"max-conns\",\"9\"]}");
	const json_t *first = json_array_get(json_object_get(s, "limits"), 0);

	(void)state;
	assert_string_equal(json_string_value(json_object_get(first, "name")), "max-conns");
	assert_int_equal(json_integer_value(json_object_get(first, "value")), 9);
	json_decref(s);
	refused("{\"cmd\":\"limit set\",\"args\":[\"max-fun\",1]}", "not-found", "max-fun");
	refused("{\"cmd\":\"limit set\",\"args\":[\"max-conns\",0]}", "bad-argument", "limit get");
	refused("{\"cmd\":\"limit set\",\"args\":[\"max-conns\"]}", "bad-argument", "\"value\"");
	refused("{\"cmd\":\"limit set\",\"args\":[7,7]}", "bad-argument", "not a text");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed_lines_are_answered_by_an_error_object),
		cmocka_unit_test(messages_are_always_valid_json),
		cmocka_unit_test(id_comes_back_whatever_it_is),
		cmocka_unit_test(status_tells_what_runs),
		cmocka_unit_test(status_tells_of_engines_and_the_oracle),
		cmocka_unit_test(log_level_is_shown_and_changed),
		cmocka_unit_test(log_format_is_shown_and_changed),
		cmocka_unit_test(shutdown_asks_the_program),
		cmocka_unit_test(every_command_is_in_help),
		cmocka_unit_test(limits_are_shown_and_changed),
		cmocka_unit_test(flows_of_an_idle_stack_are_none),
		cmocka_unit_test(snapshots_are_shared),
		cmocka_unit_test(kept_answers_fit_their_questions),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
