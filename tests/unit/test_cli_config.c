/* SPDX-License-Identifier: MIT */
/* Options from a file: every key of the table, and nothing else. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/base.h"
#include "src/cli/options.h"

static char why[256];
static char path[] = "/tmp/sluice-config-XXXXXX";

static int begin(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	return 0;
}

static int end(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

/* A command line of up to two words behind --config; the file has @text. */
static int parse(struct run_options *o, enum command command, const char *text, const char *one,
		 const char *two)
{
	static char copy[2][128];
	char config[] = "--config";
	char *argv[5];
	int argc = 0;
	FILE *f = fopen(path, "w");

	fputs(text, f);
	fclose(f);
	snprintf(copy[0], sizeof(copy[0]), "%s", one ? one : "");
	snprintf(copy[1], sizeof(copy[1]), "%s", two ? two : "");
	if (one)
		argv[argc++] = copy[0];
	argv[argc++] = config;
	argv[argc++] = path;
	if (two)
		argv[argc++] = copy[1];
	run_options_defaults(o);
	why[0] = 0;
	return run_options_parse(o, command, argc, argv, why, sizeof(why));
}

static void values_of_all_kinds_are_read(void **state)
{
	struct run_options o;

	(void)state;
	assert_int_equal(parse(&o, COMMAND_RUN,
			       "{\"machine\":{\"memory\":\"1G\",\"cpus\":3,\"hugepages\":true,"
			       "\"transport\":\"mmio\",\"kernel\":\"/k\"},"
			       "\"net\":{\"enabled\":false,\"mtu\":1500,\"sndbuf\":65536,"
			       "\"gateway_is_host\":\"off\",\"hostname\":\"h\","
			       "\"dns\":[\"1.2.3.4\",\"[::1]:5353\"],"
			       "\"dns_cache\":false,"
			       "\"dns_name\":[\"a=1.2.3.4\",\"b=::1,gateway\"]},"
			       "\"command\":{\"env\":[\"A=1\",\"B=2\"]},\"stats\":true}",
			       NULL, NULL),
			 0);
	assert_int_equal(o.memory, 1ULL << 30);
	assert_int_equal(o.cpus, 3);
	assert_true(o.hugepages);
	assert_int_equal(o.transport, VM_MMIO);
	assert_string_equal(o.kernel, "/k");
	assert_false(o.net);
	assert_int_equal(o.stack.mtu, 1500);
	assert_int_equal(o.stack.sndbuf, 65536);
	assert_false(o.stack.gateway_is_host);
	assert_string_equal(o.stack.hostname, "h");
	assert_int_equal(o.stack.nresolvers, 2);
	assert_int_equal(o.stack.resolvers[1].port, 5353);
	assert_int_equal(o.stack.dns_cache, 0);
	assert_int_equal(o.ndns_name, 2);
	assert_string_equal(o.dns_name[1], "b=::1,gateway");
	assert_int_equal(o.nenv, 2);
	assert_string_equal(o.env[1], "B=2");
	assert_string_equal(o.stats, "");
	run_options_free(&o);
}

static void command_line_counts_over_the_file_wherever_it_stands(void **state)
{
	const char *text = "{\"net\":{\"mtu\":1500,\"max_udp\":7}}";
	struct run_options o;

	(void)state;
	assert_int_equal(parse(&o, COMMAND_RUN, text, "--mtu=9000", NULL), 0);
	assert_int_equal(o.stack.mtu, 9000);
	assert_int_equal(o.stack.max_udp, 7);
	run_options_free(&o);
	assert_int_equal(parse(&o, COMMAND_VHOST_USER, text, NULL, "--mtu=9000"), 0);
	assert_int_equal(o.stack.mtu, 9000);
	run_options_free(&o);
}

/* Two lists cannot take turns; one of both verdicts can. The command line comes behind. */
static void rules_keep_their_order(void **state)
{
	static const char *const want[] = { "allow 10.0.0.1",	 "deny 10.0.0.0/8",
					    "allow *.b.test",	 "deny tcp:*:25",
					    "allow *",		 "deny c.test",
					    "allow udp:1.2.3.4", "deny d.test" };
	struct run_options o;

	(void)state;
	assert_int_equal(parse(&o, COMMAND_RUN,
			       "{\"policy\":{\"allow\":[\"10.0.0.1\"],"
			       "\"rules\":[\"deny 10.0.0.0/8\",\"allow *.b.test\","
			       "\"deny   tcp:*:25\",\"allow *\"],"
			       "\"deny\":[\"c.test\"]}}",
			       "--rule=allow udp:1.2.3.4", "--deny=d.test"),
			 0);
	assert_int_equal(o.policy.nrules, ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_string_equal(o.policy.rules[i].text, want[i]);
	run_options_free(&o);
}

static void refused(enum command command, const char *text, const char *message)
{
	struct run_options o;

	assert_int_equal(parse(&o, command, text, NULL, NULL), -EINVAL);
	assert_null(strchr(why, '\n'));
	assert_ptr_equal(strstr(why, path), why);
	if (!strstr(why, message))
		fail_msg("\"%s\" does not say \"%s\"", why, message);
	run_options_free(&o);
}

static void refusals_name_file_and_key(void **state)
{
	(void)state;
	refused(COMMAND_RUN, "{", "line 1");
	refused(COMMAND_RUN, "[]", "not an object");
	refused(COMMAND_RUN, "{\"net\":{\"mtu\":1},\"net\":{}}", "duplicate");
	refused(COMMAND_RUN, "{\"colour\":1}", ": colour: no such key");
	refused(COMMAND_RUN, "{\"net\":{\"colour\":1}}", ": net.colour: no such key");
	refused(COMMAND_RUN, "{\"net\":{\"mtu\":{\"x\":1}}}", ": net.mtu: cannot");
	refused(COMMAND_RUN, "{\"net.mtu\":1500}", ": net.mtu: no such key");
	refused(COMMAND_RUN, "{\"net\":1500}", ": net: is a group");
	refused(COMMAND_RUN, "{\"help\":true}", ": help: no such key");
	refused(COMMAND_RUN, "{\"config\":\"x\"}", ": config: no such key");
	refused(COMMAND_RUN, "{\"net\":{\"mtu\":575}}", ": net.mtu: 575 is not within 576..65520");
	refused(COMMAND_RUN, "{\"net\":{\"mtu\":-1}}", ": net.mtu: \"-1\" is not a number");
	refused(COMMAND_RUN, "{\"net\":{\"mtu\":1500.5}}", ": net.mtu: cannot");
	refused(COMMAND_RUN, "{\"net\":{\"mtu\":null}}", ": net.mtu: cannot");
	refused(COMMAND_RUN, "{\"net\":{\"hostname\":\"a b\"}}",
		": net.hostname: \"a b\" is no name");
	refused(COMMAND_RUN, "{\"net\":{\"mtu\":true}}", ": net.mtu: cannot");
	refused(COMMAND_RUN, "{\"net\":{\"mtu\":[1500]}}", ": net.mtu: has one value");
	refused(COMMAND_RUN, "{\"net\":{\"enabled\":\"maybe\"}}", ": net.enabled: \"maybe\"");
	refused(COMMAND_RUN, "{\"machine\":{\"hugepages\":1}}", ": machine.hugepages: neither");
	refused(COMMAND_RUN, "{\"machine\":{\"kernel\":true}}", ": machine.kernel: cannot");
	refused(COMMAND_RUN, "{\"net\":{\"dns\":[\"1.2.3.4\",\"x\"]}}", ": net.dns: \"x\" is not");
	refused(COMMAND_RUN, "{\"net\":{\"dns_name\":\"a=b\"}}", ": net.dns_name: \"a=b\": ");
	refused(COMMAND_RUN, "{\"net\":{\"dns_cache\":true}}", ": net.dns_cache: cannot");
	refused(COMMAND_RUN, "{\"net\":{\"dns_cache\":0}}", ": net.dns_cache: 0 is not within");
	refused(COMMAND_RUN, "{\"policy\":{\"rules\":[\"allow *\",\"10.0.0.1\"]}}",
		": policy.rules: \"10.0.0.1\" is neither");
	refused(COMMAND_RUN, "{\"policy\":{\"rules\":\"deny\"}}",
		": policy.rules: \"\" is neither");
	refused(COMMAND_RUN, "{\"policy\":{\"rules\":\"denying *\"}}", ": policy.rules: \"den");
	refused(COMMAND_RUN, "{\"policy\":{\"rules\":[\"deny 10.0.0.1/8\"]}}", ": policy.rules: ");
	refused(COMMAND_VHOST_USER, "{\"machine\":{\"cpus\":1}}", ": machine.cpus: no such key");
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
	char a[] = "--config=/nowhere/at.all";
	char *argv[] = { a };
	struct run_options o;

	(void)state;
	run_options_defaults(&o);
	assert_int_equal(run_options_parse(&o, COMMAND_RUN, 1, argv, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "/nowhere/at.all"));
	run_options_free(&o);
}

/* Keys are unique, dotted words, and each option has one but for those that make no sense. */
static void every_option_has_a_key(void **state)
{
	(void)state;
	for (size_t i = 0; i < option_rows; i++) {
		const struct option_def *d = &option_table[i];

		if (!d->name || strcmp(d->name, "help") == 0 || d->type == OPT_CONFIG)
			continue;
		assert_non_null(d->key);
		assert_int_equal(strspn(d->key, "abcdefghijklmnopqrstuvwxyz_.0123456789"),
				 strlen(d->key));
		for (size_t k = i + 1; k < option_rows; k++)
			if (option_table[k].key)
				assert_string_not_equal(d->key, option_table[k].key);
	}
}

/* The manual lists every key beside its option; run from the top of the tree. */
static void manual_lists_every_key(void **state)
{
	static char page[65536];
	FILE *f = fopen("docs/man/sluice.json.5", "r");

	(void)state;
	if (!f) {
		print_message("SKIP: docs/man/sluice.json.5 is not here\n");
		skip();
	}
	page[fread(page, 1, sizeof(page) - 1, f)] = 0;
	fclose(f);
	for (size_t i = 0; i < option_rows; i++) {
		char row[128];

		if (!option_table[i].key)
			continue;
		snprintf(row, sizeof(row), ".It Va %s Ta Fl -%s", option_table[i].key,
			 option_table[i].name);
		if (!strstr(page, row))
			fail_msg("docs/man/sluice.json.5 has no line \"%s\"", row);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_all_kinds_are_read),
		cmocka_unit_test(command_line_counts_over_the_file_wherever_it_stands),
		cmocka_unit_test(rules_keep_their_order),
		cmocka_unit_test(refusals_name_file_and_key),
		cmocka_unit_test(a_file_that_cannot_be_read_is_named),
		cmocka_unit_test(every_option_has_a_key),
		cmocka_unit_test(manual_lists_every_key),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
