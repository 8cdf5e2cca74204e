/* SPDX-License-Identifier: MIT */
/* Names that we serve: the gateway's, the user's, and back from addresses. */
#include "tests/stack/dns_rig.h"

#include <errno.h>

#include "src/base/base.h"
#include "src/base/log.h"
#include "tcpstack/hosts.h"
#include "tcpstack/limits.h"
#include "tcpstack/policy.h"

#define GATEWAY 0x0a000202U

static struct dnsmsg m;
static struct dns_asked asked;

static void add(struct dns_rig *d, const char *text)
{
	struct host_spec spec;
	char why[128];

	if (host_parse(&spec, text, why, sizeof(why)))
		fail_msg("%s", why);
	assert_int_equal(stack_host_add(rig_stack(d->r), &spec), 0);
}

/* The answer that is here at once; no resolver was asked. */
static void ask(struct dns_rig *d, const char *name, uint16_t type)
{
	static uint16_t id;

	dnsmsg_query(&m, ++id, name, type);
	dns_rig_ask(d, &m);
	dns_rig_get(d, &m);
	assert_false(dns_rig_asked(d, 0, &asked));
}

static void assert_a(uint32_t n, uint32_t addr)
{
	struct dns_record r = dnsmsg_get(&m, DNS_ANSWER, n);

	assert_int_equal(r.type, DNS_TYPE_A);
	assert_int_equal(r.rclass, DNS_CLASS_IN);
	assert_int_equal(r.ttl, LIMIT_DNS_NAME_TTL_S);
	assert_int_equal(r.rdlen, 4);
	assert_int_equal(get_be32(r.rdata), addr);
}

static void assert_aaaa(uint32_t n, const struct ipaddr *addr)
{
	struct dns_record r = dnsmsg_get(&m, DNS_ANSWER, n);

	assert_int_equal(r.type, DNS_TYPE_AAAA);
	assert_int_equal(r.rdlen, 16);
	assert_memory_equal(r.rdata, addr->b, 16);
}

static void assert_no_data(void)
{
	assert_int_equal(dnsmsg_rcode(&m), DNS_RCODE_NOERROR);
	assert_int_equal(get_be64(m.b + DNS_OFF_QDCOUNT), 0x0001000000000000);
	assert_int_equal(m.len, m.question);
}

static void assert_ptr(const char *name)
{
	struct dns_record r = dnsmsg_get(&m, DNS_ANSWER, 0);
	char text[DNS_TEXT_MAX + 1];

	assert_int_equal(dnsmsg_records(&m, DNS_ANSWER), 1);
	assert_int_equal(r.type, DNS_TYPE_PTR);
	assert_int_equal(dns_name_text(m.b, m.len, (uint32_t)(r.rdata - m.b), text), m.len);
	assert_string_equal(text, name);
}

/* It has both addresses, whatever the case; and what it has not is no data, not no name. */
static void gateway_has_a_name(void **state)
{
	struct dns_rig d;

	(void)state;
	dns_rig_init(&d, 1);
	dns_rig_start(&d);
	ask(&d, "gateway", DNS_TYPE_A);
	assert_int_equal(dnsmsg_flags(&m), 0x8580); /* QR AA RD RA */
	assert_int_equal(dnsmsg_records(&m, DNS_ANSWER), 1);
	assert_a(0, GATEWAY);
	ask(&d, "GateWay", DNS_TYPE_AAAA);
	assert_int_equal(dnsmsg_records(&m, DNS_ANSWER), 1);
	assert_aaaa(0, &d.cfg.stack.gateway6);
	ask(&d, "gateway", DNS_TYPE_ANY);
	assert_int_equal(dnsmsg_records(&m, DNS_ANSWER), 2);
	assert_a(0, GATEWAY);
	assert_aaaa(1, &d.cfg.stack.gateway6);
	ask(&d, "gateway", 65); /* HTTPS */
	assert_no_data();
	assert_int_equal(counter_get(&dns_rig_counters(&d)->dns_hosts), 4);
	assert_int_equal(counter_get(&dns_rig_counters(&d)->dns_answers), 4);
	dns_rig_end(&d);
}

/* A search domain of the guest's own makes another name of it, which is not ours. */
static void only_the_whole_name_is_ours(void **state)
{
	static const char *const others[] = { "gateway.example.org", "xgateway", "gatewa" };
	struct dns_rig d;

	(void)state;
	dns_rig_init(&d, 1);
	dns_rig_start(&d);
	for (uint32_t i = 0; i < ARRAY_SIZE(others); i++) {
		dnsmsg_query(&m, 7, others[i], DNS_TYPE_A);
		dns_rig_resolve(&d, &m, 60, 0xc0000200U + i);
		assert_int_equal(get_be32(dnsmsg_get(&m, DNS_ANSWER, 0).rdata), 0xc0000200U + i);
	}
	/* Nor another class, or another operation. */
	dnsmsg_query(&m, 7, "gateway", DNS_TYPE_A);
	put_be16(m.b + m.len - 2, 3);
	dns_rig_resolve(&d, &m, 60, 1);
	dnsmsg_query(&m, 7, "gateway", DNS_TYPE_A);
	m.b[2] |= 0x10; /* STATUS */
	dns_rig_ask(&d, &m);
	dns_rig_await(&d, 0, &asked);
	assert_int_equal(rig_pending(d.r), 0);
	assert_int_equal(counter_get(&dns_rig_counters(&d)->dns_hosts), 0);
	dns_rig_end(&d);
}

static void names_of_the_user_are_answered_in_their_order(void **state)
{
	struct ipaddr v6;
	struct dns_rig d;

	(void)state;
	assert_int_equal(ipaddr_parse("2001:db8::5", &v6), 0);
	dns_rig_init(&d, 1);
	dns_rig_start(&d);
	add(&d, "DB.Internal.=198.51.100.2,2001:db8::5,198.51.100.1");
	ask(&d, "db.internal", DNS_TYPE_A);
	assert_int_equal(dnsmsg_records(&m, DNS_ANSWER), 2);
	assert_a(0, 0xc6336402U);
	assert_a(1, 0xc6336401U);
	ask(&d, "dB.InterNal", DNS_TYPE_AAAA);
	assert_int_equal(dnsmsg_records(&m, DNS_ANSWER), 1);
	assert_aaaa(0, &v6);
	ask(&d, "db.internal", DNS_TYPE_CNAME);
	assert_no_data();
	/* More of the same name. */
	add(&d, "db.internal=198.51.100.3");
	ask(&d, "db.internal", DNS_TYPE_A);
	assert_int_equal(dnsmsg_records(&m, DNS_ANSWER), 3);
	assert_a(2, 0xc6336403U);
	dns_rig_end(&d);
}

static void reverse(struct dns_rig *d, const char *name)
{
	ask(d, name, DNS_TYPE_PTR);
}

static void addresses_lead_back_to_their_first_name(void **state)
{
	static const char v6[] = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.6.9.6.5.7.c.6.3.7.d.f."
				 "ip6.arpa";
	struct dns_rig d;

	(void)state;
	dns_rig_init(&d, 1);
	dns_rig_start(&d);
	reverse(&d, "2.2.0.10.in-addr.arpa");
	assert_ptr("gateway");
	reverse(&d, v6);
	assert_ptr("gateway");
	ask(&d, "2.2.0.10.in-addr.arpa", DNS_TYPE_A);
	assert_no_data();
	add(&d, "db.internal=198.51.100.1,10.0.2.2");
	add(&d, "db2.internal=198.51.100.1");
	reverse(&d, "1.100.51.198.IN-addr.arpa");
	assert_ptr("db.internal");
	reverse(&d, "2.2.0.10.in-addr.arpa");
	assert_ptr("db.internal");
	/* The rest of the guest's network: nobody else can know. */
	reverse(&d, "99.2.0.10.in-addr.arpa");
	assert_int_equal(dnsmsg_rcode(&m), DNS_RCODE_NXDOMAIN);
	/* Another network is for the resolver. */
	dnsmsg_query(&m, 7, "2.3.0.10.in-addr.arpa", DNS_TYPE_PTR);
	dns_rig_resolve(&d, &m, 60, 1);
	dnsmsg_query(&m, 7, "0.10.in-addr.arpa", DNS_TYPE_PTR);
	dns_rig_resolve(&d, &m, 60, 1);
	dns_rig_end(&d);
}

static void a_guest_without_ip6_gets_no_ip6_addresses(void **state)
{
	struct dns_rig d;

	(void)state;
	dns_rig_init(&d, 1);
	d.cfg.stack.ip6 = false;
	dns_rig_start(&d);
	add(&d, "db.internal=2001:db8::5,gateway");
	ask(&d, "gateway", DNS_TYPE_AAAA);
	assert_no_data();
	ask(&d, "db.internal", DNS_TYPE_AAAA);
	assert_no_data();
	ask(&d, "db.internal", DNS_TYPE_ANY);
	assert_int_equal(dnsmsg_records(&m, DNS_ANSWER), 1);
	assert_a(0, GATEWAY);
	ask(&d, "other.test", DNS_TYPE_AAAA);
	assert_no_data();
	dns_rig_end(&d);
}

static int try_add(struct dns_rig *d, const char *text)
{
	struct host_spec spec;
	char why[128];

	assert_int_equal(host_parse(&spec, text, why, sizeof(why)), 0);
	return stack_host_add(rig_stack(d->r), &spec);
}

static void names_come_and_go_while_the_guest_runs(void **state)
{
	struct dns_rig d;
	struct stack *st;

	(void)state;
	dns_rig_init(&d, 1);
	dns_rig_start(&d);
	st = rig_stack(d.r);
	add(&d, "a.test=198.51.100.1,198.51.100.2");
	add(&d, "b.test=198.51.100.1");
	assert_int_equal(stack_host_list(st, NULL, 0), 5);
	assert_int_equal(stack_host_del(st, "a.test"), 0);
	assert_int_equal(stack_host_del(st, "a.test"), -ENOENT);
	assert_int_equal(stack_host_list(st, NULL, 0), 3);
	ask(&d, "b.test", DNS_TYPE_A);
	assert_a(0, 0xc6336401U);
	reverse(&d, "1.100.51.198.in-addr.arpa");
	assert_ptr("b.test");
	dnsmsg_query(&m, 7, "a.test", DNS_TYPE_A);
	dns_rig_resolve(&d, &m, 60, 1);
	/* Our own name stands aside, and comes back. */
	add(&d, "gateway=198.51.100.9");
	ask(&d, "gateway", DNS_TYPE_A);
	assert_int_equal(dnsmsg_records(&m, DNS_ANSWER), 1);
	assert_a(0, 0xc6336409U);
	assert_int_equal(stack_host_del(st, "gateway"), 0);
	ask(&d, "gateway", DNS_TYPE_A);
	assert_a(0, GATEWAY);
	assert_int_equal(stack_host_del(st, "gateway"), -ENOENT);
	/* They outlive the driver and a reset of all flows. */
	rig_detach(d.r);
	stack_reset(st);
	rig_attach(d.r);
	ask(&d, "b.test", DNS_TYPE_A);
	assert_a(0, 0xc6336401U);
	dns_rig_end(&d);
}

static void the_table_is_bounded_and_empties_again(void **state)
{
	static struct host_entry list[LIMIT_DNS_NAMES + 2];
	struct dns_rig d;
	char text[64];

	(void)state;
	dns_rig_init(&d, 1);
	dns_rig_start(&d);
	assert_int_equal(try_add(&d, "a.test=198.51.100.1,198.51.100.1"), -EEXIST);
	add(&d, "a.test=198.51.100.1");
	assert_int_equal(try_add(&d, "a.test=198.51.100.2,198.51.100.1"), -EEXIST);
	for (uint32_t i = 2; i <= HOST_ADDRS_MAX; i++) {
		snprintf(text, sizeof(text), "a.test=198.51.100.%u", i);
		add(&d, text);
	}
	assert_int_equal(try_add(&d, "a.test=198.51.100.200"), -E2BIG);
	ask(&d, "a.test", DNS_TYPE_A);
	assert_int_equal(dnsmsg_records(&m, DNS_ANSWER), HOST_ADDRS_MAX);
	assert_int_equal(stack_host_del(rig_stack(d.r), "a.test"), 0);
	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < LIMIT_DNS_NAMES; i++) {
			snprintf(text, sizeof(text), "h%u.test=198.51.%u.%u", i, i / 256, i % 256);
			add(&d, text);
		}
		assert_int_equal(try_add(&d, "one.test=198.51.100.1"), -ENOSPC);
		assert_int_equal(stack_host_list(rig_stack(d.r), list, ARRAY_SIZE(list)),
				 LIMIT_DNS_NAMES + 2);
		assert_true(list[0].built_in && list[1].built_in);
		for (uint32_t i = 0; i < LIMIT_DNS_NAMES; i++) {
			snprintf(text, sizeof(text), "h%u.test", i);
			assert_string_equal(list[i + 2].name, text);
			ask(&d, text, DNS_TYPE_A);
			assert_a(0, 0xc6330000U + i);
		}
		/* From the last on, so that the records are used in the same order again. */
		for (uint32_t i = LIMIT_DNS_NAMES; i-- > 0;) {
			snprintf(text, sizeof(text), "h%u.test", i);
			assert_int_equal(stack_host_del(rig_stack(d.r), text), 0);
		}
	}
	dns_rig_end(&d);
}

/* An asker with EDNS is answered with it; one whose room is small is sent to TCP. */
static void answers_of_ours_are_as_the_asker_can_take_them(void **state)
{
	static const uint8_t cookie[] = { 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8 };
	struct dns_record opt;
	struct dns_rig d;
	char text[64];

	(void)state;
	dns_rig_init(&d, 1);
	dns_rig_start(&d);
	for (uint32_t i = 0; i < HOST_ADDRS_MAX; i++) {
		snprintf(text, sizeof(text), "a.test=2001:db8::%x", i);
		add(&d, text);
	}
	add(&d, "b.test=198.51.100.1");
	dnsmsg_query(&m, 1, "a.test", DNS_TYPE_AAAA);
	dnsmsg_opt(&m, 1232, 0x8000, cookie, sizeof(cookie));
	dns_rig_ask(&d, &m);
	dns_rig_get(&d, &m);
	assert_int_equal(dnsmsg_records(&m, DNS_ANSWER), HOST_ADDRS_MAX);
	opt = dnsmsg_get(&m, DNS_ADDITIONAL, 0);
	assert_int_equal(opt.type, DNS_TYPE_OPT);
	assert_int_equal(opt.ttl, 0x8000);
	assert_int_equal(opt.rdlen, 0);
	/* 16 * 28 + 24 bytes are fewer than 512, so the name's length decides. */
	dnsmsg_query(&m, 1, "a.test", DNS_TYPE_AAAA);
	dns_rig_ask(&d, &m);
	dns_rig_get(&d, &m);
	assert_int_equal(dnsmsg_flags(&m) & DNS_FLAG_TC, 0);
	assert_int_equal(dnsmsg_records(&m, DNS_ADDITIONAL), 0);
	for (uint32_t i = 0; i < HOST_ADDRS_MAX; i++) {
		snprintf(text, sizeof(text),
			 "a-name-of-a-host-that-is-long-enough.example.test=2001:db8::%x", i);
		add(&d, text);
	}
	ask(&d, "a-name-of-a-host-that-is-long-enough.example.test", DNS_TYPE_AAAA);
	assert_int_equal(dnsmsg_flags(&m) & DNS_FLAG_TC, DNS_FLAG_TC);
	assert_int_equal(m.len, m.question);
	dns_rig_end(&d);
}

static uint8_t rcode_of(struct dns_rig *d, const char *name)
{
	ask(d, name, DNS_TYPE_A);
	return (uint8_t)dnsmsg_rcode(&m);
}

/* What is answered here is no way out, so an allow list need not name it; a denial counts. */
static void policy_judges_names_of_ours(void **state)
{
	struct policy_list list = { .profile = POLICY_ALLOWLIST };
	struct dns_rig d;
	char why[128];

	(void)state;
	assert_int_equal(policy_list_add(&list, true, "tcp:*.allowed.test", why, sizeof(why)), 0);
	assert_int_equal(policy_list_add(&list, false, "no.test", why, sizeof(why)), 0);
	dns_rig_init(&d, 1);
	d.cfg.stack.policy = &list;
	dns_rig_start(&d);
	log_set_level(LOG_ERROR);
	add(&d, "db.internal=198.51.100.1");
	add(&d, "no.test=198.51.100.1");
	assert_int_equal(rcode_of(&d, "gateway"), DNS_RCODE_NOERROR);
	assert_int_equal(rcode_of(&d, "db.internal"), DNS_RCODE_NOERROR);
	assert_int_equal(rcode_of(&d, "no.test"), DNS_RCODE_REFUSED);
	assert_int_equal(rcode_of(&d, "other.test"), DNS_RCODE_REFUSED);
	dns_rig_end(&d);
	policy_list_free(&list);

	list = (struct policy_list){ .profile = POLICY_NONE };
	dns_rig_init(&d, 1);
	d.cfg.stack.policy = &list;
	dns_rig_start(&d);
	assert_int_equal(rcode_of(&d, "gateway"), DNS_RCODE_REFUSED);
	dns_rig_end(&d);
}

/* A rule of a name holds for names of ours as for any other. */
static void rules_of_names_know_addresses_of_names_of_ours(void **state)
{
	struct policy_list list = { .profile = POLICY_ALLOWLIST };
	struct dns_rig d;
	struct rig_pkt pkt;
	char why[128];

	(void)state;
	assert_int_equal(policy_list_add(&list, true, "udp:db.internal:9", why, sizeof(why)), 0);
	dns_rig_init(&d, 1);
	d.cfg.stack.policy = &list;
	dns_rig_start(&d);
	log_set_level(LOG_ERROR);
	add(&d, "db.internal=127.1.2.3,198.51.100.1");
	rig_send_udp(d.r, 4000, 0xc6336401U, 9, "x", 1);
	assert_int_equal(rig_drops(d.r, DROP_POLICY_DENIED), 1);
	RIG_UNTIL(d.r, rig_pop(d.r, &pkt));
	assert_int_equal(pkt.proto, PROTO_ICMP);
	ask(&d, "db.internal", DNS_TYPE_A);
	rig_send_udp(d.r, 4000, 0xc6336401U, 9, "x", 1);
	assert_int_equal(rig_drops(d.r, DROP_POLICY_DENIED), 1);
	/* ... and opens nothing that nobody may reach. */
	rig_send_udp(d.r, 4000, 0x7f010203U, 9, "x", 1);
	rig_cycle(d.r);
	assert_int_equal(rig_drops(d.r, DROP_POLICY_DENIED) + rig_drops(d.r, DROP_IP_DESTINATION),
			 2);
	dns_rig_end(&d);
	policy_list_free(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gateway_has_a_name),
		cmocka_unit_test(only_the_whole_name_is_ours),
		cmocka_unit_test(names_of_the_user_are_answered_in_their_order),
		cmocka_unit_test(addresses_lead_back_to_their_first_name),
		cmocka_unit_test(a_guest_without_ip6_gets_no_ip6_addresses),
		cmocka_unit_test(names_come_and_go_while_the_guest_runs),
		cmocka_unit_test(the_table_is_bounded_and_empties_again),
		cmocka_unit_test(answers_of_ours_are_as_the_asker_can_take_them),
		cmocka_unit_test(policy_judges_names_of_ours),
		cmocka_unit_test(rules_of_names_know_addresses_of_names_of_ours),
	};
	const uint32_t world[] = { 0xc6336401U };

	/* What a rule lets through must not leave this machine. */
	if (!rig_own_network(world, ARRAY_SIZE(world))) {
		puts("SKIP dns names: no network namespaces here");
		return 0;
	}
	return cmocka_run_group_tests_name("dns names", tests, NULL, NULL);
}
