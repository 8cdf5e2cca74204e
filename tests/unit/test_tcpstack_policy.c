/* SPDX-License-Identifier: MIT */
/* Rules of egress policy: their text, their order, and the table against a plain list (H44). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/base.h"
#include "src/base/clock.h"
#include "tcpstack/frame.h"
#include "tcpstack/policy.h"
#include "tcpstack/stack.h"

static char why[256];

static struct endpoint at(const char *addr, uint16_t port)
{
	struct endpoint ep = { .port = port };

	assert_int_equal(ipaddr_parse(addr, &ep.addr), 0);
	return ep;
}

static struct policy *compile(const struct policy_list *l)
{
	struct policy *p;

	assert_int_equal(policy_compile(&p, l), 0);
	return p;
}

static void add(struct policy_list *l, bool allow, const char *text)
{
	if (policy_list_add(l, allow, text, why, sizeof(why)))
		fail_msg("%s: %s", text, why);
}

static uint32_t match(const struct policy *p, uint8_t proto, const char *addr, uint16_t port,
		      const char *name)
{
	struct endpoint dst = at(addr, port);

	return policy_match(p, proto, &dst, &name, name != NULL);
}

static void rules_are_shown_as_they_are_understood(void **state)
{
	static const char *const table[][2] = {
		{ "10.0.0.0/8", "allow 10.0.0.0/8" },
		{ "tcp:10.1.2.3:80", "allow tcp:10.1.2.3:80" },
		{ "10.1.2.3/32:80-90", "allow 10.1.2.3:80-90" },
		{ "udp:*:53", "allow udp:*:53" },
		{ "*", "allow *" },
		{ "icmp:0.0.0.0/0", "allow icmp:0.0.0.0/0" },
		{ "2001:db8::/32", "allow 2001:db8::/32" },
		{ "[2001:db8::1]:443", "allow [2001:db8::1]:443" },
		{ "tcp:[2001:db8::/32]:1-65535", "allow tcp:[2001:db8::/32]:1-65535" },
		{ "::/0", "allow ::/0" },
		{ "*.PyPI.org.", "allow *.pypi.org" },
		{ "tcp:files-*.example.org:443", "allow tcp:files-*.example.org:443" },
		{ "localhost", "allow localhost" },
	};
	struct policy_rule r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (policy_rule_parse(&r, true, table[i][0], why, sizeof(why)))
			fail_msg("%s", why);
		assert_string_equal(r.text, table[i][1]);
		policy_rule_free(&r);
	}
}

/* H44: a rule that cannot be read is fatal, and the line shows it. */
static void errors_name_the_text(void **state)
{
	static const char *const bad[] = {
		"",
		"10.0.0.0/33",
		"10.0.0.1/8",
		"10.0.0",
		"10.0.0.256",
		"10.0.0.0/",
		"10.0.0.0/x",
		"1.2.3.4:0",
		"1.2.3.4:",
		"1.2.3.4:65536",
		"1.2.3.4:90-80",
		"1.2.3.4:80-",
		"icmp:*:5",
		"[1.2.3.4]:5",
		"[::1",
		"[::1]5",
		"::1/129",
		"2001:db8::1/32",
		"a..b",
		".a",
		"a b",
		"tcp:",
		"http:x:1",
		"*.example.org/8",
		"example.123",
		"\xc3\xa9.org",
	};
	struct policy_rule r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (policy_rule_parse(&r, false, bad[i], why, sizeof(why)) != -EINVAL)
			fail_msg("\"%s\" was taken as \"%s\"", bad[i], r.text);
		if (!strstr(why, bad[i]))
			fail_msg("\"%s\" does not say \"%s\"", why, bad[i]);
		assert_null(strchr(why, '\n'));
	}
}

static void a_star_never_crosses_a_dot(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool fits;
	} table[] = {
		{ "*.pypi.org", "files.pypi.org", true },
		{ "*.pypi.org", "pypi.org", false },
		{ "*.pypi.org", "a.b.pypi.org", false },
		{ "*.pypi.org", "files.pypi.org.evil.com", false },
		{ "*.pypi.org", "xpypi.org", false },
		{ "*pypi.org", "xpypi.org", true },
		{ "a*b.c", "ab.c", true },
		{ "a*b.c", "a123b.c", true },
		{ "a*b.c", "a1.b.c", false },
		{ "a*b*c", "aXbYbZc", true },
		{ "a*b*c", "aXcYc", false },
		{ "*.*.org", "a.b.org", true },
		{ "*.*.org", "b.org", false },
		{ "*", "localhost", true },
		{ "*", "a.b", false },
		{ "a.b", "a.b", true },
		{ "a.b", "a.b.c", false },
		{ "a.b.c", "a.b", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (policy_name_fits(table[i].pattern, table[i].name) != table[i].fits)
			fail_msg("%s against %s", table[i].pattern, table[i].name);
}

static void the_first_rule_that_fits_decides(void **state)
{
	struct policy_list l = { .profile = POLICY_ALLOWLIST };
	struct policy *p;

	(void)state;
	add(&l, true, "tcp:10.0.0.0/8:443");  /* 0 */
	add(&l, false, "10.1.0.0/16");	      /* 1 */
	add(&l, true, "10.0.0.0/8");	      /* 2 */
	add(&l, false, "icmp:*");	      /* 3 */
	add(&l, true, "*.example.org:80-90"); /* 4 */
	add(&l, true, "2001:db8::/32");	      /* 5 */
	add(&l, false, "udp:*");	      /* 6 */
	p = compile(&l);
	assert_int_equal(match(p, PROTO_TCP, "10.1.2.3", 443, NULL), 0);
	assert_int_equal(match(p, PROTO_UDP, "10.1.2.3", 443, NULL), 1);
	assert_int_equal(match(p, PROTO_TCP, "10.1.2.3", 80, NULL), 1);
	assert_int_equal(match(p, PROTO_TCP, "10.2.2.3", 80, NULL), 2);
	assert_int_equal(match(p, PROTO_ICMP, "10.2.2.3", 0, NULL), 2);
	assert_int_equal(match(p, PROTO_ICMP, "8.8.8.8", 0, NULL), 3);
	assert_int_equal(match(p, PROTO_ICMP6, "2001:db9::1", 0, NULL), 3);
	assert_int_equal(match(p, PROTO_TCP, "8.8.8.8", 85, "www.example.org"), 4);
	assert_int_equal(match(p, PROTO_TCP, "8.8.8.8", 91, "www.example.org"), POLICY_NO_RULE);
	assert_int_equal(match(p, PROTO_TCP, "8.8.8.8", 85, "example.org"), POLICY_NO_RULE);
	assert_int_equal(match(p, PROTO_TCP, "2001:db8::1", 1, NULL), 5);
	assert_int_equal(match(p, PROTO_UDP, "2001:db9::1", 1, NULL), 6);
	assert_int_equal(match(p, PROTO_TCP, "2001:db9::1", 1, NULL), POLICY_NO_RULE);
	/* A question is judged whatever the ports. */
	assert_int_equal(policy_match_name(p, "www.example.org"), 4);
	assert_int_equal(policy_match_name(p, "example.org"), POLICY_NO_RULE);
	assert_true(policy_has_names(p));
	policy_free(p);
	policy_list_free(&l);
}

/* What IPv6 says of all its addresses is not said of IPv4, though one type holds both. */
static void families_are_kept_apart(void **state)
{
	struct policy_list l = { .profile = POLICY_ALLOWLIST };
	struct policy *p;

	(void)state;
	add(&l, true, "::/0");
	add(&l, true, "udp:0.0.0.0/0");
	p = compile(&l);
	assert_int_equal(match(p, PROTO_TCP, "1.2.3.4", 80, NULL), POLICY_NO_RULE);
	assert_int_equal(match(p, PROTO_TCP, "2001:db8::1", 80, NULL), 0);
	assert_int_equal(match(p, PROTO_UDP, "1.2.3.4", 80, NULL), 1);
	policy_free(p);
	policy_list_free(&l);
}

static void the_open_profile_denies_link_local_behind_the_users_rules(void **state)
{
	struct policy_list l = { 0 };
	struct policy *p;
	uint32_t rule;

	(void)state;
	add(&l, true, "tcp:169.254.169.254:80");
	p = compile(&l);
	assert_int_equal(match(p, PROTO_TCP, "169.254.169.254", 80, NULL), 0);
	rule = match(p, PROTO_TCP, "169.254.169.254", 81, NULL);
	assert_true(rule != POLICY_NO_RULE && rule > 0);
	assert_false(policy_rule_allows(p, rule));
	assert_string_equal(policy_rule_text(p, rule), "deny 169.254.0.0/16");
	rule = match(p, PROTO_TCP, "fe80::1", 81, NULL);
	assert_true(rule != POLICY_NO_RULE && !policy_rule_allows(p, rule));
	assert_int_equal(match(p, PROTO_TCP, "8.8.8.8", 81, NULL), POLICY_NO_RULE);
	policy_free(p);
	policy_list_free(&l);
}

static void gateway_ports_are_a_list_of_ranges(void **state)
{
	static const char *const bad[] = { "", "80,", ",80", "0", "65536", "90-80", "a", "80;90" };
	struct policy_list l = { 0 };
	struct policy *p;
	bool listed;

	(void)state;
	assert_int_equal(policy_list_gateway(&l, "80,8000-8100", why, sizeof(why)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(policy_list_gateway(&l, bad[i], why, sizeof(why)), -EINVAL);
		assert_non_null(strstr(why, bad[i]));
	}
	p = compile(&l);
	assert_true(policy_gateway_port(p, 80, &listed) && listed);
	assert_true(policy_gateway_port(p, 8100, &listed));
	assert_false(policy_gateway_port(p, 8101, &listed));
	assert_false(policy_gateway_port(p, 81, &listed));
	policy_free(p);
	assert_int_equal(policy_list_gateway(&l, "all", why, sizeof(why)), 0);
	p = compile(&l);
	assert_true(policy_gateway_port(p, 81, &listed) && !listed);
	policy_free(p);
	assert_int_equal(policy_list_gateway(&l, "none", why, sizeof(why)), 0);
	p = compile(&l);
	assert_false(policy_gateway_port(p, 80, &listed));
	policy_free(p);
}

static void rules_are_inserted_removed_and_copied(void **state)
{
	struct policy_list l = { 0 }, copy;
	struct stack_config cfg;

	(void)state;
	stack_config_defaults(&cfg);
	add(&l, true, "a.example");
	add(&l, false, "c.example");
	assert_int_equal(policy_list_insert(&l, 1, true, "b.example", why, sizeof(why)), 0);
	assert_int_equal(policy_list_insert(&l, 4, true, "d.example", why, sizeof(why)), -EINVAL);
	assert_int_equal(policy_list_copy(&copy, &l), 0);
	assert_int_equal(policy_list_remove(&l, 0), 0);
	assert_int_equal(policy_list_remove(&l, 2), -ENOENT);
	assert_string_equal(l.rules[0].text, "allow b.example");
	assert_string_equal(l.rules[1].text, "deny c.example");
	policy_list_free(&l);
	assert_int_equal(copy.nrules, 3);
	assert_string_equal(copy.rules[2].text, "deny c.example");
	assert_string_equal(copy.rules[0].name, "a.example");
	copy.profile = POLICY_NONE;
	assert_int_equal(policy_list_check(&copy, &cfg, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "allow a.example"));
	policy_list_free(&copy);
}

static uint64_t seed = 1;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(seed >> 33) % below;
}

/* Addresses that collide often: few bits vary. */
static void random_addr(char *buf, size_t len, bool v6)
{
	if (v6)
		snprintf(buf, len, "2001:db8:%x::%x", rnd(4), rnd(4));
	else
		snprintf(buf, len, "10.%u.%u.%u", rnd(3), rnd(3), rnd(4) * 64);
}

static void random_name(char *buf, size_t len, bool pattern)
{
	static const char *const labels[] = { "a", "b", "ab", "*", "a*", "*b" };
	int n = 0;

	for (uint32_t i = 1 + rnd(3); i > 0; i--)
		n += snprintf(buf + n, len - (size_t)n, "%s.", labels[rnd(pattern ? 6 : 3)]);
	snprintf(buf + n, len - (size_t)n, "org");
}

static void random_rule(struct policy_list *l)
{
	static const char *const protos[] = { "", "tcp:", "udp:", "icmp:" };
	static const char *const ports[] = { "", ":1", ":1-2", ":2-9" };
	uint32_t proto = rnd(4), kind = rnd(4);
	char where[64], text[96];
	bool allow = rnd(2);

	if (kind == 3)
		snprintf(where, sizeof(where), "*");
	else if (kind == 2)
		random_name(where, sizeof(where), true);
	else
		random_addr(where, sizeof(where), kind);
	if (kind == 0 && rnd(2))
		snprintf(where, sizeof(where), "10.%u.0.0/16", rnd(3));
	if (kind == 1)
		snprintf(text, sizeof(text), "%s[%s%s]%s", protos[proto],
			 rnd(2) ? where : "2001:db8::", "", proto == 3 ? "" : ports[rnd(4)]);
	else
		snprintf(text, sizeof(text), "%s%s%s", protos[proto], where,
			 proto == 3 ? "" : ports[rnd(4)]);
	add(l, allow, text);
}

/* One rule after the other, as the manual says. */
static uint32_t match_plainly(const struct policy_list *l, uint8_t proto, const struct endpoint *d,
			      const char *name)
{
	for (uint32_t i = 0; i < l->nrules; i++) {
		const struct policy_rule *r = &l->rules[i];
		char pattern[256];
		bool fits = true;

		if ((r->proto && r->proto != proto) || d->port < r->ports.lo ||
		    d->port > r->ports.hi)
			continue;
		if (r->any)
			return i;
		if (r->name) {
			memcpy(pattern, r->name, r->name_len);
			pattern[r->name_len] = 0;
			if (policy_name_fits(pattern, name))
				return i;
			continue;
		}
		if (ipaddr_is_v4(&r->net) != ipaddr_is_v4(&d->addr))
			continue;
		for (uint32_t b = 0; b < r->len; b++)
			if ((r->net.b[b / 8] ^ d->addr.b[b / 8]) & 0x80 >> b % 8)
				fits = false;
		if (fits)
			return i;
	}
	return POLICY_NO_RULE;
}

static void the_table_answers_as_the_list_does(void **state)
{
	static const uint8_t protos[] = { PROTO_TCP, PROTO_UDP, PROTO_ICMP };

	(void)state;
	for (int round = 0; round < 200; round++) {
		struct policy_list l = { .profile = POLICY_ALLOWLIST };
		struct policy *p;

		for (uint32_t i = rnd(40); i > 0; i--)
			random_rule(&l);
		p = compile(&l);
		for (int i = 0; i < 200; i++) {
			uint8_t proto = protos[rnd(3)];
			char addr[64], name[64];
			const char *names = name;
			struct endpoint dst;

			random_addr(addr, sizeof(addr), rnd(2));
			random_name(name, sizeof(name), false);
			dst = at(addr, proto == PROTO_ICMP ? 0 : (uint16_t)rnd(4));
			assert_int_equal(policy_match(p, proto, &dst, &names, 1),
					 match_plainly(&l, proto, &dst, name));
		}
		policy_free(p);
		policy_list_free(&l);
	}
}

/* No time is asserted: the figure is for the reader. The rules are of four lengths. */
static void cost_does_not_follow_the_number_of_rules(void **state)
{
	static const uint32_t sizes[] = { 10, 1000, 100000 };
	static const uint32_t lens[] = { 32, 24, 20, 16 };

	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		struct policy_list l = { .profile = POLICY_ALLOWLIST };
		const uint32_t rounds = 100000;
		struct policy *p;
		uint64_t start, ns;
		uint32_t hits = 0;

		for (uint32_t i = 0; i < sizes[s]; i++) {
			uint32_t len = lens[i % 4],
				 a = (rnd(1U << 30) << 2) >> (32 - len) << (32 - len);
			char text[64];

			snprintf(text, sizeof(text), "%u.%u.%u.%u/%u", a >> 24, a >> 16 & 255,
				 a >> 8 & 255, a & 255, len);
			add(&l, true, text);
		}
		p = compile(&l);
		start = clock_now_ns();
		for (uint32_t i = 0; i < rounds; i++) {
			struct endpoint dst = { ipaddr_from_v4(rnd(1U << 30) << 2), 443 };

			hits += policy_match(p, PROTO_TCP, &dst, NULL, 0) != POLICY_NO_RULE;
		}
		ns = clock_now_ns() - start;
		print_message("%6u rules: %llu ns a look-up (%u of %u fit)\n", sizes[s],
			      (unsigned long long)(ns / rounds), hits, rounds);
		policy_free(p);
		policy_list_free(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_are_shown_as_they_are_understood),
		cmocka_unit_test(errors_name_the_text),
		cmocka_unit_test(a_star_never_crosses_a_dot),
		cmocka_unit_test(the_first_rule_that_fits_decides),
		cmocka_unit_test(families_are_kept_apart),
		cmocka_unit_test(the_open_profile_denies_link_local_behind_the_users_rules),
		cmocka_unit_test(gateway_ports_are_a_list_of_ranges),
		cmocka_unit_test(rules_are_inserted_removed_and_copied),
		cmocka_unit_test(the_table_answers_as_the_list_does),
		cmocka_unit_test(cost_does_not_follow_the_number_of_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
