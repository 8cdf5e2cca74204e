/* SPDX-License-Identifier: MIT */
/* Which resolver is asked, when the next one is, and what comes too late (H41, H42). */
#include "tests/stack/dns_rig.h"

#include <errno.h>

#include "src/base/base.h"
#include "src/base/log.h"
#include "tcpstack/limits.h"

#define TRY LIMIT_DNS_TRY_NS

static struct dnsmsg m;
static struct dns_asked asked;

/* The guest asks for a name that nobody has asked for before. */
static void ask(struct dns_rig *d)
{
	static uint16_t id;
	char name[24];

	snprintf(name, sizeof(name), "n%u.test", (unsigned int)++id);
	dnsmsg_query(&m, id, name, DNS_TYPE_A);
	dns_rig_ask(d, &m);
}

/* Resolver @i has it, and answers with @rcode and an address of its own. */
static void answered_by(struct dns_rig *d, uint32_t i, uint16_t rcode)
{
	dns_rig_await(d, i, &asked);
	dnsmsg_answer(&asked.m, rcode);
	if (rcode == 0)
		dnsmsg_a(&asked.m, 60, i + 1);
	dns_rig_reply(d, i, &asked);
}

static void guest_gets_from(struct dns_rig *d, uint32_t i)
{
	dns_rig_get(d, &m);
	assert_int_equal(dnsmsg_rcode(&m), 0);
	assert_int_equal(get_be32(dnsmsg_get(&m, DNS_ANSWER, 0).rdata), i + 1);
}

/* Resolver @i answers, and the guest has that. */
static void served_by(struct dns_rig *d, uint32_t i)
{
	answered_by(d, i, 0);
	guest_gets_from(d, i);
}

/* It was silent for as long as we wait. */
static void silent(struct dns_rig *d, uint32_t i)
{
	dns_rig_await(d, i, &asked);
	rig_advance(d->r, TRY);
}

static uint64_t retries(struct dns_rig *d)
{
	return counter_get(&dns_rig_counters(d)->dns_retries);
}

static void each_query_begins_with_the_first(void **state)
{
	struct dns_rig d;

	(void)state;
	dns_rig_init(&d, 3);
	dns_rig_start(&d);
	for (int i = 0; i < 3; i++) {
		ask(&d);
		silent(&d, 0);
		silent(&d, 1);
		served_by(&d, 2);
		/* An answer to anything makes good for the silences before it. */
		ask(&d);
		served_by(&d, 0);
		ask(&d);
		silent(&d, 0);
		served_by(&d, 1);
		ask(&d);
		served_by(&d, 0);
	}
	assert_int_equal(retries(&d), 9);
	dns_rig_end(&d);
}

static bool is_failing(struct dns_rig *d, uint8_t i)
{
	struct stack_resolver list[STACK_RESOLVERS_MAX];

	assert_true(stack_resolvers(rig_stack(d->r), list) > i);
	return list[i].failing;
}

static void one_that_is_silent_often_is_asked_last_for_a_while(void **state)
{
	struct dns_rig d;

	(void)state;
	log_set_level(LOG_ERROR);
	dns_rig_init(&d, 2);
	dns_rig_start(&d);
	for (int i = 0; i < LIMIT_DNS_FAILS; i++) {
		assert_false(is_failing(&d, 0));
		ask(&d);
		silent(&d, 0);
		served_by(&d, 1);
	}
	assert_true(is_failing(&d, 0));
	ask(&d);
	served_by(&d, 1); /* at once */
	/* It is still the last resort. */
	ask(&d);
	silent(&d, 1);
	served_by(&d, 0);
	assert_false(is_failing(&d, 0));

	for (int i = 0; i < LIMIT_DNS_FAILS; i++) {
		ask(&d);
		silent(&d, 0);
		served_by(&d, 1);
	}
	rig_advance(d.r, LIMIT_DNS_FAILED_NS);
	/* One query tries it again; one silence more is enough. */
	assert_false(is_failing(&d, 0));
	ask(&d);
	silent(&d, 0);
	served_by(&d, 1);
	assert_true(is_failing(&d, 0));
	dns_rig_end(&d);
}

/* As the host's own programs go on to the next; the last one's word is final. */
static void one_that_cannot_tell_is_followed_by_the_next(void **state)
{
	static const uint16_t codes[] = { DNS_RCODE_SERVFAIL, DNS_RCODE_NOTIMP, DNS_RCODE_REFUSED };
	struct dns_rig d;

	(void)state;
	dns_rig_init(&d, 2);
	dns_rig_start(&d);
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		ask(&d);
		answered_by(&d, 0, codes[i]);
		served_by(&d, 1); /* no time has passed */
		ask(&d);
		answered_by(&d, 0, codes[i]);
		answered_by(&d, 1, codes[i]);
		dns_rig_get(&d, &m);
		assert_int_equal(dnsmsg_rcode(&m), codes[i]);
	}
	/* "No such name" is an answer. */
	ask(&d);
	answered_by(&d, 0, DNS_RCODE_NXDOMAIN);
	dns_rig_get(&d, &m);
	assert_int_equal(dnsmsg_rcode(&m), DNS_RCODE_NXDOMAIN);
	assert_false(dns_rig_asked(&d, 1, &asked));
	assert_false(is_failing(&d, 0));
	dns_rig_end(&d);
}

static void a_single_one_has_the_last_word(void **state)
{
	struct dns_rig d;

	(void)state;
	dns_rig_init(&d, 1);
	dns_rig_start(&d);
	ask(&d);
	answered_by(&d, 0, DNS_RCODE_SERVFAIL);
	dns_rig_get(&d, &m);
	assert_int_equal(dnsmsg_rcode(&m), DNS_RCODE_SERVFAIL);
	assert_int_equal(retries(&d), 0);
	/* Also when it was silent first. */
	ask(&d);
	silent(&d, 0);
	answered_by(&d, 0, DNS_RCODE_REFUSED);
	dns_rig_get(&d, &m);
	assert_int_equal(dnsmsg_rcode(&m), DNS_RCODE_REFUSED);
	assert_int_equal(retries(&d), 1);
	dns_rig_end(&d);
}

static void late_is(struct dns_rig *d, uint64_t n)
{
	RIG_UNTIL(d->r, rig_drops(d->r, DROP_DNS_LATE) >= n);
	assert_int_equal(rig_drops(d->r, DROP_DNS_LATE), n);
}

/* After a retry, after the end, after another question: each is counted, none delivered. */
static void late_answers_are_counted_and_dropped(void **state)
{
	struct dns_asked first, second;
	struct dns_rig d;
	struct rig_pkt pkt;

	(void)state;
	dns_rig_init(&d, 1);
	d.cfg.stack.ip6 = false; /* nothing else goes to the guest */
	dns_rig_start(&d);
	ask(&d);
	silent(&d, 0);
	first = asked;
	dns_rig_await(&d, 0, &second);
	assert_int_not_equal(get_be16(first.m.b), get_be16(second.m.b));
	assert_int_not_equal(first.peer.sin_port, second.peer.sin_port);
	dnsmsg_answer(&first.m, 0);
	dnsmsg_a(&first.m, 60, 11);
	dns_rig_reply(&d, 0, &first);
	late_is(&d, 1);
	assert_int_equal(rig_pending(d.r), 0);
	/* A stranger's is none of them. */
	put_be16(first.m.b, (uint16_t)(get_be16(first.m.b) + 1));
	dns_rig_reply(&d, 0, &first);
	RIG_UNTIL(d.r, rig_drops(d.r, DROP_DNS_MALFORMED) == 1);
	/* The one that counts. */
	asked = second;
	dnsmsg_answer(&asked.m, 0);
	dnsmsg_a(&asked.m, 60, 1);
	dns_rig_reply(&d, 0, &asked);
	guest_gets_from(&d, 0);

	ask(&d);
	silent(&d, 0);
	silent(&d, 0);
	dns_rig_get(&d, &m);
	assert_int_equal(dnsmsg_rcode(&m), DNS_RCODE_SERVFAIL);
	dnsmsg_answer(&asked.m, 0);
	dns_rig_reply(&d, 0, &asked);
	late_is(&d, 2);

	/* The guest asks something else under the same identifier. */
	ask(&d);
	dns_rig_await(&d, 0, &first);
	dnsmsg_query(&m, get_be16(m.b), "else.test", DNS_TYPE_A);
	dns_rig_ask(&d, &m);
	dnsmsg_answer(&first.m, 0);
	dnsmsg_a(&first.m, 60, 11);
	dns_rig_reply(&d, 0, &first);
	late_is(&d, 3);
	served_by(&d, 0);
	rig_cycle(d.r);
	assert_false(rig_pop(d.r, &pkt));
	dns_rig_end(&d);
}

/* H43: sockets that are kept for that are few, and not for ever. */
static void sockets_for_late_answers_are_bounded(void **state)
{
	static struct dns_asked all[LIMIT_DNS_LATE + 1];
	struct stack_memory rows[STACK_MEMORY_ROWS];
	struct dns_rig d;
	uint32_t n, late = 0;

	(void)state;
	dns_rig_init(&d, 2);
	d.cfg.stack.ip6 = false;
	d.cfg.stack.max_dns = LIMIT_DNS_LATE + 1;
	dns_rig_start(&d);
	for (uint32_t i = 0; i <= LIMIT_DNS_LATE; i++) {
		ask(&d);
		dns_rig_await(&d, 0, &all[i]);
	}
	rig_advance(d.r, TRY);
	n = stack_memory_rows(rig_stack(d.r), rows, ARRAY_SIZE(rows));
	while (late < n && strcmp(rows[late].name, "dns-late") != 0)
		late++;
	assert_true(late < n);
	assert_int_equal(rows[late].in_use, LIMIT_DNS_LATE);
	/* One of them was given up, and nobody is at home there. */
	for (uint32_t i = 0; i <= LIMIT_DNS_LATE; i++) {
		dnsmsg_answer(&all[i].m, 0);
		dns_rig_reply(&d, 0, &all[i]);
	}
	late_is(&d, LIMIT_DNS_LATE);
	rig_advance(d.r, LIMIT_DNS_LATE_NS + TRY);
	rig_advance(d.r, LIMIT_DNS_LATE_NS);
	stack_memory_rows(rig_stack(d.r), rows, ARRAY_SIZE(rows));
	assert_int_equal(rows[late].in_use, 0);
	dns_rig_end(&d);
}

/* Queries under way go on with the new ones; what was kept is forgotten. */
static void resolvers_can_be_exchanged(void **state)
{
	struct dns_rig d;
	struct endpoint old, new;

	(void)state;
	dns_rig_init(&d, 2);
	old = d.cfg.stack.resolvers[0];
	new = d.cfg.stack.resolvers[1];
	d.cfg.stack.nresolvers = 1;
	dns_rig_start(&d);
	dnsmsg_query(&m, 1, "kept.test", DNS_TYPE_A);
	dns_rig_resolve(&d, &m, 300, 1);
	ask(&d);
	dns_rig_await(&d, 0, &asked);
	assert_false(stack_set_resolvers(rig_stack(d.r), &old, 1));
	assert_true(stack_set_resolvers(rig_stack(d.r), &new, 1));
	rig_advance(d.r, TRY);
	served_by(&d, 1);
	dnsmsg_query(&m, 2, "kept.test", DNS_TYPE_A);
	dns_rig_ask(&d, &m);
	served_by(&d, 1);
	assert_false(dns_rig_asked(&d, 0, &asked));
	/* One under way that the old one answers in time is answered. */
	ask(&d);
	dns_rig_await(&d, 1, &asked);
	assert_true(stack_set_resolvers(rig_stack(d.r), &old, 1));
	dnsmsg_answer(&asked.m, 0);
	dnsmsg_a(&asked.m, 60, 2);
	dns_rig_reply(&d, 1, &asked);
	guest_gets_from(&d, 1);
	/* None at all: the guest is told. */
	assert_true(stack_set_resolvers(rig_stack(d.r), NULL, 0));
	ask(&d);
	dns_rig_get(&d, &m);
	assert_int_equal(dnsmsg_rcode(&m), DNS_RCODE_SERVFAIL);
	dns_rig_end(&d);
}

/* What an old resolver had to its name is not the new one's. */
static void a_new_resolver_begins_with_a_clean_record(void **state)
{
	struct endpoint list[2];
	struct dns_rig d;

	(void)state;
	log_set_level(LOG_ERROR);
	dns_rig_init(&d, 3);
	list[0] = d.cfg.stack.resolvers[2];
	list[1] = d.cfg.stack.resolvers[1];
	d.cfg.stack.nresolvers = 2;
	dns_rig_start(&d);
	for (int i = 0; i < LIMIT_DNS_FAILS; i++) {
		ask(&d);
		silent(&d, 0);
		served_by(&d, 1);
	}
	assert_true(is_failing(&d, 0));
	rig_advance(d.r, LIMIT_DNS_FAILED_NS);
	ask(&d);
	dns_rig_await(&d, 0, &asked);
	assert_true(stack_set_resolvers(rig_stack(d.r), list, 2));
	assert_false(is_failing(&d, 0));
	/* The silence of the one that was asked before is nobody's fault of these. */
	rig_advance(d.r, TRY);
	silent(&d, 2);
	dns_rig_get(&d, &m);
	assert_int_equal(dnsmsg_rcode(&m), DNS_RCODE_SERVFAIL);
	for (int i = 2; i < LIMIT_DNS_FAILS; i++) {
		ask(&d);
		silent(&d, 2);
		served_by(&d, 1);
	}
	assert_false(is_failing(&d, 0));
	dns_rig_end(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_query_begins_with_the_first),
		cmocka_unit_test(one_that_is_silent_often_is_asked_last_for_a_while),
		cmocka_unit_test(one_that_cannot_tell_is_followed_by_the_next),
		cmocka_unit_test(a_single_one_has_the_last_word),
		cmocka_unit_test(late_answers_are_counted_and_dropped),
		cmocka_unit_test(sockets_for_late_answers_are_bounded),
		cmocka_unit_test(resolvers_can_be_exchanged),
		cmocka_unit_test(a_new_resolver_begins_with_a_clean_record),
	};

	return cmocka_run_group_tests_name("dns resolvers", tests, NULL, NULL);
}
