/* SPDX-License-Identifier: MIT */
/* The option table: every row parses, is refused, and is shown. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/base.h"
#include "src/cli/options.h"

#define ARGS_MAX 12

static char why[256];

/* Parse a NULL-terminated list of words over the defaults. */
static int parse(struct run_options *o, const char *const *words)
{
	static char copy[ARGS_MAX][2048];
	static char *argv[ARGS_MAX + 1];
	int argc = 0;

	for (; words[argc]; argc++) {
		snprintf(copy[argc], sizeof(copy[argc]), "%s", words[argc]);
		argv[argc] = copy[argc];
	}
	argv[argc] = NULL;
	run_options_defaults(o);
	why[0] = 0;
	return run_options_parse(o, COMMAND_RUN, argc, argv, why, sizeof(why));
}

#define PARSE(o, ...) parse((o), (const char *const[]){ __VA_ARGS__, NULL })

static void arguments_come_behind_a_space_or_an_equals_sign(void **state)
{
	struct run_options o;

	(void)state;
	assert_int_equal(PARSE(&o, "--memory", "1G", "--cpus=4", "--transport", "mmio"), 0);
	assert_int_equal(o.memory, 1ULL << 30);
	assert_int_equal(o.cpus, 4);
	assert_int_equal(o.transport, VM_MMIO);
	assert_null(o.command);
}

static void command_is_all_that_follows_two_dashes(void **state)
{
	struct run_options o;

	(void)state;
	assert_int_equal(PARSE(&o, "--cpus", "2", "--", "ls", "--memory", "--"), 0);
	assert_string_equal(o.command[0], "ls");
	assert_string_equal(o.command[1], "--memory");
	assert_string_equal(o.command[2], "--");
	assert_null(o.command[3]);
	assert_int_equal(PARSE(&o, "--"), 0);
	assert_null(o.command);
}

static void sizes_have_units_and_limits(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes; /* 0 = refused */
	} cases[] = {
		{ "64M", 64ULL << 20 },
		{ "2g", 2ULL << 30 },
		{ "3GiB", 3ULL << 30 },
		{ "134217728", 128ULL << 20 },
		{ "63M", 0 },
		{ "1M", 0 },
		{ "1T", 0 },
		{ "", 0 },
		{ "M", 0 },
		{ "64MB", 0 },
		{ "64 M", 0 },
		{ "64 ", 0 },
		{ "-64M", 0 },
		{ "0x4000000", 0 },
		{ "99999999999999999999", 0 },
		{ "18446744073709551615G", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct run_options o;
		int err = PARSE(&o, "--memory", cases[i].text);

		assert_int_equal(err, cases[i].bytes ? 0 : -EINVAL);
		if (err == 0)
			assert_int_equal(o.memory, cases[i].bytes);
	}
}

static void subnet_sets_the_whole_address_plan(void **state)
{
	static const char *const bad[] = { "10.0.2.0",	 "10.0.2.0/28",	 "10.0.2.1/24", "10.0.2/24",
					   "10.0.2.0/",	 "10.0.2.0/24x", "::/64",	"/24",
					   "10.0.2.0/7", "1.2.3.4.5/24" };
	struct run_options o;

	(void)state;
	assert_int_equal(PARSE(&o, "--subnet", "192.168.64.0/20"), 0);
	assert_int_equal(o.stack.gateway4, 0xc0a84002);
	assert_int_equal(o.stack.dns4, 0xc0a84003);
	assert_int_equal(o.stack.guest4, 0xc0a8400f);
	assert_int_equal(o.stack.prefix4, 20);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(PARSE(&o, "--subnet", bad[i]), -EINVAL);
}

static void prefix6_sets_the_whole_address_plan(void **state)
{
	static const char *const bad[] = { "fd00::",	  "fd00::/48", "fd00::1/64", "fd00::/064",
					   "10.0.2.0/64", "/64",       "fd00:::/64", "fd00::/64x" };
	struct run_options o;
	struct ipaddr want;

	(void)state;
	assert_int_equal(PARSE(&o, "--prefix6", "fd12:3456:789a:1::/64", "--ipv6", "off"), 0);
	assert_false(o.stack.ip6);
	assert_int_equal(ipaddr_parse("fd12:3456:789a:1::", &want), 0);
	assert_true(ipaddr_equal(&o.stack.prefix6, &want));
	assert_int_equal(ipaddr_parse("fd12:3456:789a:1::2", &want), 0);
	assert_true(ipaddr_equal(&o.stack.gateway6, &want));
	assert_int_equal(ipaddr_parse("fd12:3456:789a:1::3", &want), 0);
	assert_true(ipaddr_equal(&o.stack.dns6, &want));
	assert_int_equal(ipaddr_parse("fd12:3456:789a:1::15", &want), 0);
	assert_true(ipaddr_equal(&o.stack.guest6, &want));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(PARSE(&o, "--prefix6", bad[i]), -EINVAL);
}

/* H44: what cannot be read whole is an error, never a wider net. */
static void networks_to_splice_to_add_up(void **state)
{
	static const char *const bad[] = { "127.0.0.1", "127.0.0.0/33", "127.0.0.1/8",	"::1/129",
					   "/8",	"127.0.0.0/",	"127.0.0.0/8x", "all" };
	struct run_options o;

	(void)state;
	assert_int_equal(PARSE(&o, "--mtu", "1500"), 0);
	assert_int_equal(o.stack.bulk, STACK_BULK_AUTO);
	assert_int_equal(o.stack.nsplice_to, 0);
	assert_int_equal(PARSE(&o, "--bulk=splice", "--splice-to", "127.0.0.0/8",
			       "--splice-to=fd00::/9", "--splice-to", "any"),
			 0);
	assert_int_equal(o.stack.bulk, STACK_BULK_SPLICE);
	assert_int_equal(o.stack.nsplice_to, 3);
	assert_int_equal(o.stack.splice_to[0].bits, 104);
	assert_int_equal(o.stack.splice_to[1].bits, 9);
	assert_int_equal(o.stack.splice_to[2].bits, 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(PARSE(&o, "--splice-to", bad[i]), -EINVAL);
}

static void resolvers_of_both_families_add_up(void **state)
{
	static const char *const bad[] = { "1.2.3",  "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:x",
					   "[::1",   "[::1]5",	  "::1]",	   "host",
					   "[::1]:", "" };
	struct run_options o;

	(void)state;
	assert_int_equal(PARSE(&o, "--dns", "1.2.3.4", "--dns", "5.6.7.8:5353", "--dns=fd00::1",
			       "--dns", "[::1]:15353"),
			 0);
	assert_int_equal(o.stack.nresolvers, 4);
	assert_int_equal(ipaddr_v4(&o.stack.resolvers[0].addr), 0x01020304);
	assert_int_equal(o.stack.resolvers[0].port, 53);
	assert_int_equal(o.stack.resolvers[1].port, 5353);
	assert_false(ipaddr_is_v4(&o.stack.resolvers[2].addr));
	assert_int_equal(o.stack.resolvers[2].port, 53);
	assert_int_equal(o.stack.resolvers[3].port, 15353);
	assert_int_equal(o.stack.resolvers[3].addr.b[15], 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(PARSE(&o, "--dns", bad[i]), -EINVAL);
	assert_int_equal(PARSE(&o, "--dns=1.1.1.1", "--dns=1.1.1.1", "--dns=1.1.1.1",
			       "--dns=1.1.1.1", "--dns=1.1.1.1"),
			 -EINVAL);
}

static void names_to_serve_are_checked_and_add_up(void **state)
{
	static const char *const bad[] = {
		"a.test",	   "=1.2.3.4",	      "a.test=",
		"a.test=1.2.3",	   "a..b=1.2.3.4",    "*.test=1.2.3.4",
		"1.2.3.4=1.2.3.4", "a.test=1.2.3.4,", "a.test=,1.2.3.4"
	};
	struct run_options o;

	(void)state;
	assert_int_equal(PARSE(&o, "--dns-name", "a.test=1.2.3.4,fd00::1", "--dns-name=A.test.=::1",
			       "--dns-name=b=gateway"),
			 0);
	assert_int_equal(o.ndns_name, 3);
	assert_string_equal(o.dns_name[0], "a.test=1.2.3.4,fd00::1");
	assert_string_equal(o.dns_name[2], "b=gateway");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(PARSE(&o, "--dns-name", bad[i]), -EINVAL);
}

static void environment_adds_up_in_order(void **state)
{
	struct run_options o;

	(void)state;
	assert_int_equal(PARSE(&o, "--env", "A=1", "--env=B=x=y", "--env", "C="), 0);
	assert_int_equal(o.nenv, 3);
	assert_string_equal(o.env[0], "A=1");
	assert_string_equal(o.env[1], "B=x=y");
	assert_string_equal(o.env[2], "C=");
	assert_int_equal(PARSE(&o, "--env", "A"), -EINVAL);
	assert_int_equal(PARSE(&o, "--env", "=1"), -EINVAL);
}

static void statistics_take_a_file_only_behind_an_equals_sign(void **state)
{
	struct run_options o;

	(void)state;
	assert_int_equal(PARSE(&o, "--cpus", "1"), 0);
	assert_null(o.stats);
	assert_int_equal(PARSE(&o, "--stats", "--", "file"), 0);
	assert_string_equal(o.stats, "");
	assert_string_equal(o.command[0], "file");
	assert_int_equal(PARSE(&o, "--stats=/tmp/x"), 0);
	assert_string_equal(o.stats, "/tmp/x");
}

static void rules_keep_their_order(void **state)
{
	struct run_options o;

	(void)state;
	assert_int_equal(PARSE(&o, "--policy", "allowlist", "--allow", "*.example.org:443",
			       "--deny=10.0.0.0/8", "--allow", "*", "--gateway-ports", "80,90-99"),
			 0);
	assert_int_equal(o.policy.profile, POLICY_ALLOWLIST);
	assert_int_equal(o.policy.nrules, 3);
	assert_string_equal(o.policy.rules[0].text, "allow *.example.org:443");
	assert_string_equal(o.policy.rules[1].text, "deny 10.0.0.0/8");
	assert_string_equal(o.policy.rules[2].text, "allow *");
	assert_int_equal(o.policy.ngateway, 2);
	run_options_free(&o);
}

static void refused(const char *const *words, const char *text)
{
	struct run_options o;

	assert_int_equal(parse(&o, words), -EINVAL);
	assert_null(strchr(why, '\n'));
	if (!strstr(why, text))
		fail_msg("\"%s\" does not say \"%s\"", why, text);
	run_options_free(&o);
}

#define REFUSED(text, ...) refused((const char *const[]){ __VA_ARGS__, NULL }, text)

static void refusals_name_the_option_in_one_line(void **state)
{
	(void)state;
	REFUSED("--colour: no such option", "--colour", "blue");
	REFUSED("no such option", "--mem", "1G");
	REFUSED("--memroy: no such option; is it --memory?", "--memroy", "1G");
	REFUSED("--memroy: no such option; is it --memory?", "--memroy=1G");
	REFUSED("--publsh: no such option; is it --publish?", "--publsh", "0:80");
	REFUSED("--no-such-thing: no such option; see sluice run --help", "--no-such-thing");
	REFUSED("--no-mtu: no such option", "--no-mtu");
	REFUSED("--no-ipv6: no such option", "--no-ipv6=on");
	REFUSED("no such option", "--=");
	REFUSED("ls: not an option; a command goes after --", "ls");
	REFUSED("--cpus: 17 is not within 1..16", "--cpus", "17");
	REFUSED("--cpus: \"two\" is not a number", "--cpus", "two");
	REFUSED("--cpus: needs an argument: N", "--cpus");
	REFUSED("--hugepages: takes no argument", "--hugepages=yes");
	REFUSED("--net: \"maybe\" is neither on nor off", "--net", "maybe");
	REFUSED("--transport: \"isa\" is none of pci, mmio", "--transport", "isa");
	REFUSED("--mtu: 575 is not within 576..65520", "--mtu", "575");
	REFUSED("--policy: \"closed\" is none of open, monitored, allowlist, none", "--policy",
		"closed");
	REFUSED("--deny: \"10.0.0.1/8\" has bits beyond its prefix", "--deny", "10.0.0.1/8");
	REFUSED("--gateway-ports: \"80;90\" is not a list", "--gateway-ports", "80;90");
	REFUSED("--dns-name: \"db=10.1\": \"10.1\" is not an address", "--dns-name", "db=10.1");
	REFUSED("--congestion: longer than 15", "--congestion", "0123456789abcdef");
	REFUSED("--memory: 1M is not within 64M..512G", "--memory", "1M");
	REFUSED("--hostname: \"a b\" is no name of a host", "--hostname", "a b");
	REFUSED("the profile none has no rules", "--deny", "1.2.3.4", "--policy", "none");
}

/* RFC 1123, 2.1 */
static void hostnames_are_of_labels(void **state)
{
	static const char label[] = "0123456789012345678901234567890123456789012345678901234567890";
	static const char *const good[] = { "a", "A-1", "1", "web-01.example.org", label };
	static const char *const bad[] = { "a b",  "-a",  "a-",	      "a-.b", "a.-b", ".a", "a.",
					   "a..b", "a_b", "\xc3\xa4", "a\n",  " ",    "." };
	char name[80];
	struct run_options o;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(PARSE(&o, "--hostname", good[i]), 0);
		assert_string_equal(o.stack.hostname, good[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		REFUSED("--hostname: ", "--hostname", bad[i]);
	snprintf(name, sizeof(name), "%s12", label); /* 63 */
	assert_int_equal(PARSE(&o, "--hostname", name), 0);
	strcat(name, "3");
	REFUSED("up to 63 between dots", "--hostname", name);
}

/* H44: rules see where the host connects to, so these would fit nothing. */
static void rules_for_the_guests_own_network_are_refused(void **state)
{
	struct run_options o;

	(void)state;
	REFUSED("\"allow tcp:10.0.2.2:80\" fits nothing: that is the gateway, behind which rules "
		"see the host's 127.0.0.1",
		"--allow", "tcp:10.0.2.2:80");
	REFUSED("\"deny [fd73:6c75:6963::2]:22\" fits nothing: that is the gateway, behind which "
		"rules see the host's ::1",
		"--rule", "deny [fd73:6c75:6963::2]:22");
	/* Whatever comes first. */
	REFUSED("\"deny 10.9.0.2\" fits nothing", "--deny", "10.9.0.2", "--subnet", "10.9.0.0/24");
	REFUSED("of the guest's own network", "--gateway-is-host=off", "--deny", "10.0.2.2");
	REFUSED("of the guest's own network", "--allow", "10.0.2.3");
	assert_int_equal(PARSE(&o, "--deny", "10.0.0.0/8", "--allow", "127.0.0.1", "--deny",
			       "10.0.2.0/24", "--allow", "10.0.3.2", "--deny", "*"),
			 0);
	run_options_free(&o);
}

static void what_is_on_or_off_has_a_short_form(void **state)
{
	struct run_options o;

	(void)state;
	for (size_t i = 0; i < option_rows; i++) {
		const struct option_def *d = &option_table[i];
		char word[64], off[16];

		if (d->type != OPT_ONOFF || !(d->commands & 1U << COMMAND_RUN))
			continue;
		snprintf(word, sizeof(word), "--no-%s", d->name);
		assert_int_equal(PARSE(&o, word), 0);
		option_show(d, &o, off, sizeof(off));
		assert_string_equal(off, "off");
	}
	assert_int_equal(PARSE(&o, "--no-ipv6", "--mtu", "1500"), 0);
	assert_false(o.stack.ip6);
	assert_int_equal(o.stack.mtu, 1500);
}

static void some_numbers_can_be_off(void **state)
{
	static const char *const names[] = { "dns-cache", "poll-us" };
	struct run_options o;
	uint32_t seen = 0;
	char text[16];

	(void)state;
	for (size_t i = 0; i < option_rows; i++) {
		const struct option_def *d = &option_table[i];

		if (d->type != OPT_U32_OFF)
			continue;
		assert_in_range(seen, 0, ARRAY_SIZE(names) - 1);
		assert_string_equal(d->name, names[seen++]);
		run_options_defaults(&o);
		assert_int_equal(option_set(d, &o, "17", why, sizeof(why)), 0);
		option_show(d, &o, text, sizeof(text));
		assert_string_equal(text, "17");
		assert_int_equal(option_set(d, &o, "off", why, sizeof(why)), 0);
		option_show(d, &o, text, sizeof(text));
		assert_string_equal(text, "off");
	}
	assert_int_equal(seen, ARRAY_SIZE(names));
	assert_int_equal(PARSE(&o, "--dns-cache=17", "--poll-us", "50"), 0);
	assert_int_equal(o.stack.dns_cache, 17);
	assert_int_equal(o.poll_us, 50);
	assert_int_equal(PARSE(&o, "--dns-cache", "off"), 0);
	assert_int_equal(o.stack.dns_cache, 0);
	assert_int_equal(o.poll_us, 0); /* unless it is asked for */
	REFUSED("--dns-cache: 0 is not within 1..65536", "--dns-cache", "0");
	REFUSED("--dns-cache: \"on\" is not a number", "--dns-cache", "on");
	REFUSED("--poll-us: 1001 is not within 1..1000", "--poll-us", "1001");
}

/* Whatever a row shows as its default, it also takes. */
static void shown_defaults_parse_back(void **state)
{
	(void)state;
	for (const struct option_def *d = option_table; d->help != NULL; d++) {
		struct run_options o;
		char text[64], again[64];

		run_options_defaults(&o);
		if (d->name) {
			option_show(d, &o, text, sizeof(text));
			if (text[0]) {
				assert_int_equal(option_set(d, &o, text, why, sizeof(why)), 0);
				option_show(d, &o, again, sizeof(again));
				assert_string_equal(text, again);
			}
		}
		if (d->name && strcmp(d->name, "help") == 0)
			break; /* the last row */
	}
}

static void check_help(enum command command)
{
	char *text = NULL, *line, *save;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	run_options_help(command, f);
	fclose(f);
	for (const struct option_def *d = option_table;; d++) {
		char flag[40];

		if (!d->name)
			continue;
		snprintf(flag, sizeof(flag), "  --%s", d->name);
		if (d->commands & 1U << command)
			assert_non_null(strstr(text, flag));
		if (strcmp(d->name, "help") == 0)
			break;
	}
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		assert_true(strlen(line) <= 80);
		assert_null(strchr(line, '\t'));
	}
	free(text);
}

static void help_mentions_every_option_within_80_columns(void **state)
{
	(void)state;
	check_help(COMMAND_RUN);
	check_help(COMMAND_VHOST_USER);
}

static void a_command_knows_only_its_own_options(void **state)
{
	char socket[] = "--socket=/tmp/s", kernel[] = "--kernel=/vmlinuz", mtu[] = "--mtu=1500";
	char *args[] = { socket, mtu, kernel };
	struct run_options o;

	(void)state;
	run_options_defaults(&o);
	assert_int_equal(run_options_parse(&o, COMMAND_VHOST_USER, 2, args, why, sizeof(why)), 0);
	assert_string_equal(o.socket, "/tmp/s");
	assert_int_equal(o.stack.mtu, 1500);
	assert_true(run_options_parse(&o, COMMAND_VHOST_USER, 3, args, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "see sluice vhost-user --help"));
	assert_true(run_options_parse(&o, COMMAND_RUN, 1, args, why, sizeof(why)) < 0);
}

/* A manual page describes each option of its command; run from the top of the tree. */
static void check_manual(enum command command, const char *path)
{
	static char page[65536];
	FILE *f = fopen(path, "r");
	size_t len;

	if (!f) {
		print_message("SKIP: %s is not here\n", path);
		skip();
	}
	len = fread(page, 1, sizeof(page) - 1, f);
	fclose(f);
	page[len] = 0;
	for (const struct option_def *d = option_table;; d++) {
		char flag[40];

		if (!d->name)
			continue;
		snprintf(flag, sizeof(flag), "Fl -%s", d->name);
		if (d->commands & 1U << command && !strstr(page, flag))
			fail_msg("%s does not mention --%s", path, d->name);
		if (strcmp(d->name, "help") == 0)
			break;
	}
}

static void manual_describes_every_option(void **state)
{
	(void)state;
	check_manual(COMMAND_RUN, "docs/man/sluice-run.1");
	check_manual(COMMAND_VHOST_USER, "docs/man/sluice-vhost-user.1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments_come_behind_a_space_or_an_equals_sign),
		cmocka_unit_test(command_is_all_that_follows_two_dashes),
		cmocka_unit_test(sizes_have_units_and_limits),
		cmocka_unit_test(subnet_sets_the_whole_address_plan),
		cmocka_unit_test(prefix6_sets_the_whole_address_plan),
		cmocka_unit_test(networks_to_splice_to_add_up),
		cmocka_unit_test(resolvers_of_both_families_add_up),
		cmocka_unit_test(names_to_serve_are_checked_and_add_up),
		cmocka_unit_test(hostnames_are_of_labels),
		cmocka_unit_test(rules_for_the_guests_own_network_are_refused),
		cmocka_unit_test(what_is_on_or_off_has_a_short_form),
		cmocka_unit_test(some_numbers_can_be_off),
		cmocka_unit_test(environment_adds_up_in_order),
		cmocka_unit_test(rules_keep_their_order),
		cmocka_unit_test(statistics_take_a_file_only_behind_an_equals_sign),
		cmocka_unit_test(refusals_name_the_option_in_one_line),
		cmocka_unit_test(shown_defaults_parse_back),
		cmocka_unit_test(help_mentions_every_option_within_80_columns),
		cmocka_unit_test(a_command_knows_only_its_own_options),
		cmocka_unit_test(manual_describes_every_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
