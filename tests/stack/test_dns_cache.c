/* SPDX-License-Identifier: MIT */
/* Answers that are kept, between a guest and resolvers (H42). */
#include "tests/stack/dns_rig.h"

#include <errno.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/log.h"
#include "tcpstack/limit.h"
#include "tcpstack/policy.h"

#define ADDR 0xc6336401U /* 198.51.100.1 */

static struct dnsmsg m;
static struct dns_asked asked;

/* The guest's question is answered here; no resolver hears of it. */
static void hit(struct dns_rig *d, const char *name, uint16_t type)
{
	static uint16_t id = 1000;

	dnsmsg_query(&m, ++id, name, type);
	dns_rig_ask(d, &m);
	dns_rig_get(d, &m);
	assert_false(dns_rig_asked(d, 0, &asked));
}

/* It goes to the resolver, and comes back with one address. */
static void miss(struct dns_rig *d, const char *name, uint32_t ttl, uint32_t addr)
{
	static uint16_t id = 2000;

	dnsmsg_query(&m, ++id, name, DNS_TYPE_A);
	dns_rig_resolve(d, &m, ttl, addr);
}

static void assert_answer(uint32_t ttl, uint32_t addr)
{
	struct dns_record r = dnsmsg_get(&m, DNS_ANSWER, 0);

	assert_int_equal(dnsmsg_records(&m, DNS_ANSWER), 1);
	assert_int_equal(r.ttl, ttl);
	assert_int_equal(get_be32(r.rdata), addr);
}

static void counters_are(struct dns_rig *d, uint64_t hits, uint64_t misses, uint64_t evictions)
{
	const struct stack_counters *n = dns_rig_counters(d);

	assert_int_equal(counter_get(&n->dns_cache_hits), hits);
	assert_int_equal(counter_get(&n->dns_cache_misses), misses);
	assert_int_equal(counter_get(&n->dns_cache_evictions), evictions);
}

static void an_answer_is_asked_for_once_in_its_life(void **state)
{
	struct dns_rig d;

	(void)state;
	dns_rig_init(&d, 1);
	dns_rig_start(&d);
	miss(&d, "www.a.test", 20, ADDR);
	assert_answer(20, ADDR);
	hit(&d, "www.a.test", DNS_TYPE_A);
	assert_answer(20, ADDR);
	rig_advance(d.r, 7 * NS_PER_S);
	hit(&d, "wWw.A.tEsT", DNS_TYPE_A); /* and the case comes back: see dns_rig_get() */
	assert_answer(13, ADDR);
	counters_are(&d, 2, 1, 0);
	rig_advance(d.r, 13 * NS_PER_S);
	miss(&d, "www.a.test", 20, ADDR + 1);
	assert_answer(20, ADDR + 1);
	counters_are(&d, 2, 2, 0);
	assert_int_equal(counter_get(&dns_rig_counters(&d)->dns_answers), 4);
	assert_int_equal(counter_get(&dns_rig_counters(&d)->dns_queries), 4);
	dns_rig_end(&d);
}

/* What the resolver says of @name, and that it is asked again for it. */
static void asked_each_time(struct dns_rig *d, const char *name, uint16_t flags, bool address)
{
	for (uint16_t i = 0; i < 2; i++) {
		dnsmsg_query(&m, (uint16_t)(3000 + i), name, DNS_TYPE_A);
		dns_rig_ask(d, &m);
		dns_rig_await(d, 0, &asked);
		dnsmsg_answer(&asked.m, flags);
		if (address)
			dnsmsg_a(&asked.m, 60, ADDR);
		dns_rig_reply(d, 0, &asked);
		dns_rig_get(d, &m);
		assert_int_equal(dnsmsg_flags(&m) & (DNS_MASK_RCODE | DNS_FLAG_TC), flags);
	}
}

static void failures_and_pieces_are_asked_for_again(void **state)
{
	struct dns_rig d;

	(void)state;
	dns_rig_init(&d, 1);
	dns_rig_start(&d);
	asked_each_time(&d, "fail.test", DNS_RCODE_SERVFAIL, false);
	asked_each_time(&d, "refused.test", DNS_RCODE_REFUSED, false);
	asked_each_time(&d, "nosoa.test", DNS_RCODE_NXDOMAIN, false);
	asked_each_time(&d, "cut.test", DNS_FLAG_TC, true);
	counters_are(&d, 0, 8, 0);
	dns_rig_end(&d);
}

static void no_such_name_is_kept(void **state)
{
	struct dns_rig d;

	(void)state;
	dns_rig_init(&d, 1);
	dns_rig_start(&d);
	dnsmsg_query(&m, 1, "none.test", DNS_TYPE_A);
	dns_rig_ask(&d, &m);
	dns_rig_await(&d, 0, &asked);
	dnsmsg_answer(&asked.m, DNS_RCODE_NXDOMAIN);
	dnsmsg_soa(&asked.m, 900, 30);
	dns_rig_reply(&d, 0, &asked);
	dns_rig_get(&d, &m);
	assert_int_equal(dnsmsg_get(&m, DNS_AUTHORITY, 0).ttl, 900); /* as it came */
	rig_advance(d.r, 29 * NS_PER_S);
	hit(&d, "none.test", DNS_TYPE_A);
	assert_int_equal(dnsmsg_rcode(&m), DNS_RCODE_NXDOMAIN);
	assert_int_equal(dnsmsg_get(&m, DNS_AUTHORITY, 0).ttl, 1);
	rig_advance(d.r, NS_PER_S);
	miss(&d, "none.test", 20, ADDR);
	dns_rig_end(&d);
}

/* What a guest takes over UDP is the guest's own matter, hit or not. */
static void a_long_answer_is_kept_whole_and_cut_for_each_asker(void **state)
{
	static const uint8_t text[700];
	struct dns_rig d;

	(void)state;
	dns_rig_init(&d, 1);
	dns_rig_start(&d);
	dnsmsg_query(&m, 1, "long.test", 16);
	dns_rig_ask(&d, &m);
	dns_rig_await(&d, 0, &asked);
	dnsmsg_answer(&asked.m, 0);
	dnsmsg_record(&asked.m, DNS_OFF_ANCOUNT, DNS_HLEN, 16, 60, text, sizeof(text));
	dns_rig_reply(&d, 0, &asked);
	dns_rig_get(&d, &m);
	assert_int_equal(dnsmsg_flags(&m) & DNS_FLAG_TC, DNS_FLAG_TC);
	hit(&d, "long.test", 16);
	assert_int_equal(dnsmsg_flags(&m) & DNS_FLAG_TC, DNS_FLAG_TC);
	assert_int_equal(m.len, m.question);
	dnsmsg_query(&m, 9, "long.test", 16);
	dnsmsg_opt(&m, 1400, 0, "", 0);
	dns_rig_ask(&d, &m);
	dns_rig_get(&d, &m);
	assert_int_equal(dnsmsg_flags(&m) & DNS_FLAG_TC, 0);
	assert_int_equal(dnsmsg_get(&m, DNS_ANSWER, 0).rdlen, sizeof(text));
	assert_int_equal(dnsmsg_get(&m, DNS_ADDITIONAL, 0).type, DNS_TYPE_OPT);
	counters_are(&d, 2, 1, 0);
	dns_rig_end(&d);
}

/* May a flow to @addr be opened? A new one each time: what is open stays open. */
static bool denied(struct dns_rig *d, uint32_t addr)
{
	static uint16_t sport = 4000;
	uint64_t before = rig_drops(d->r, DROP_POLICY_DENIED);
	struct rig_pkt pkt;

	rig_send_udp(d->r, ++sport, addr, 9, "x", 1);
	rig_cycle(d->r);
	while (rig_pop(d->r, &pkt))
		;
	return rig_drops(d->r, DROP_POLICY_DENIED) != before;
}

/* A name's entry lives as long as what was last told of it, from the cache or not. */
static void names_hold_as_long_as_what_was_told(void **state)
{
	struct policy_list list = { .profile = POLICY_ALLOWLIST };
	struct dns_rig d;
	char why[128];

	(void)state;
	assert_int_equal(policy_list_add(&list, true, "udp:*.test", why, sizeof(why)), 0);
	dns_rig_init(&d, 1);
	d.cfg.stack.policy = &list;
	dns_rig_start(&d);
	log_set_level(LOG_ERROR);
	miss(&d, "a.test", 300, ADDR);
	rig_advance(d.r, 100 * NS_PER_S);
	assert_false(denied(&d, ADDR));
	hit(&d, "a.test", DNS_TYPE_A); /* 200 seconds from here are no more than before */
	rig_advance(d.r, 199 * NS_PER_S);
	assert_false(denied(&d, ADDR));
	hit(&d, "a.test", DNS_TYPE_A); /* one second: the floor of a minute holds */
	assert_answer(1, ADDR);
	rig_advance(d.r, 59 * NS_PER_S);
	assert_false(denied(&d, ADDR));
	rig_advance(d.r, 2 * NS_PER_S);
	assert_true(denied(&d, ADDR));
	dns_rig_end(&d);
	policy_list_free(&list);
}

/* What is kept is no way around a rule that came later. */
static void a_name_that_is_denied_is_not_served_from_what_is_kept(void **state)
{
	struct policy_list list = { 0 };
	struct policy *p;
	struct dns_rig d;
	char why[128];

	(void)state;
	dns_rig_init(&d, 1);
	dns_rig_start(&d);
	log_set_level(LOG_ERROR);
	miss(&d, "a.test", 300, ADDR);
	assert_int_equal(policy_list_add(&list, false, "a.test", why, sizeof(why)), 0);
	assert_int_equal(policy_compile(&p, &list), 0);
	policy_free(stack_set_policy(rig_stack(d.r), p));
	hit(&d, "a.test", DNS_TYPE_A);
	assert_int_equal(dnsmsg_rcode(&m), DNS_RCODE_REFUSED);
	assert_int_equal(dnsmsg_records(&m, DNS_ANSWER), 0);
	counters_are(&d, 0, 1, 0);
	dns_rig_end(&d);
	policy_list_free(&list);
}

static void what_is_kept_can_be_forgotten(void **state)
{
	struct stack_limit l[STACK_LIMITS_MAX];
	struct dns_rig d;
	struct stack *st;
	uint32_t n, i = 0;

	(void)state;
	dns_rig_init(&d, 1);
	d.cfg.stack.dns_cache = 2;
	dns_rig_start(&d);
	st = rig_stack(d.r);
	miss(&d, "a.test", 300, 1);
	miss(&d, "b.test", 300, 2);
	miss(&d, "c.test", 300, 3);
	counters_are(&d, 0, 3, 1);
	assert_int_equal(stack_dns_flush(st), 2);
	miss(&d, "c.test", 300, 4);
	/* The next guest finds nothing of this one's. */
	rig_detach(d.r);
	stack_reset(st);
	rig_attach(d.r);
	miss(&d, "c.test", 300, 5);
	hit(&d, "c.test", DNS_TYPE_A);
	assert_int_equal(stack_limit_set(st, "dns-cache", 3), -ERANGE);
	assert_int_equal(stack_limit_set(st, "dns-cache", 0), 0);
	n = stack_limits(st, l, ARRAY_SIZE(l));
	while (i < n && strcmp(l[i].name, "dns-cache") != 0)
		i++;
	assert_int_equal(l[i].max, 2);
	assert_int_equal(l[i].value, 0);
	assert_int_equal(l[i].used, 0);
	miss(&d, "c.test", 300, 6);
	miss(&d, "c.test", 300, 6);
	dns_rig_end(&d);
}

static void without_a_cache_every_query_is_asked(void **state)
{
	struct dns_rig d;

	(void)state;
	dns_rig_init(&d, 1);
	d.cfg.stack.dns_cache = 0;
	dns_rig_start(&d);
	miss(&d, "a.test", 300, 1);
	miss(&d, "a.test", 300, 2);
	counters_are(&d, 0, 0, 0);
	assert_int_equal(stack_dns_flush(rig_stack(d.r)), 0);
	dns_rig_end(&d);
}

/* The worker sleeps while nothing expires, and what has expired gives its memory back. */
static void slots_are_given_back_when_answers_expire(void **state)
{
	struct stack_memory rows[STACK_MEMORY_ROWS];
	struct dns_rig d;
	uint32_t n, i = 0;

	(void)state;
	dns_rig_init(&d, 1);
	dns_rig_start(&d);
	miss(&d, "a.test", 30, 1);
	n = stack_memory_rows(rig_stack(d.r), rows, ARRAY_SIZE(rows));
	while (i < n && strcmp(rows[i].name, "dns-cache") != 0)
		i++;
	assert_true(i < n);
	assert_int_equal(rows[i].in_use, 1);
	rig_advance(d.r, 31 * NS_PER_S);
	stack_memory_rows(rig_stack(d.r), rows, ARRAY_SIZE(rows));
	assert_int_equal(rows[i].in_use, 0);
	dns_rig_end(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_asked_for_once_in_its_life),
		cmocka_unit_test(failures_and_pieces_are_asked_for_again),
		cmocka_unit_test(no_such_name_is_kept),
		cmocka_unit_test(a_long_answer_is_kept_whole_and_cut_for_each_asker),
		cmocka_unit_test(names_hold_as_long_as_what_was_told),
		cmocka_unit_test(a_name_that_is_denied_is_not_served_from_what_is_kept),
		cmocka_unit_test(what_is_kept_can_be_forgotten),
		cmocka_unit_test(without_a_cache_every_query_is_asked),
		cmocka_unit_test(slots_are_given_back_when_answers_expire),
	};
	const uint32_t world[] = { ADDR };

	/* What a rule lets through must not leave this machine. */
	if (!rig_own_network(world, ARRAY_SIZE(world))) {
		puts("SKIP dns cache: no network namespaces here");
		return 0;
	}
	return cmocka_run_group_tests_name("dns cache", tests, NULL, NULL);
}
