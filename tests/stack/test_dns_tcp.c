/* SPDX-License-Identifier: MIT */
/* DNS over TCP: what the guest is answered, and by whom (H41, H42). */
#include "tests/stack/dns_tcp_rig.h"

#include <errno.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/log.h"
#include "tcpstack/hosts.h"
#include "tcpstack/limits.h"
#include "tcpstack/policy.h"

#define ADDR 0xc6336401U /* 198.51.100.1 */

static void what_is_known_here_is_answered_here(void **state)
{
	static struct dnsmsg q;

	(void)state;
	dtcp_begin(1);
	dtcp_conn_open(&dt.one, 40000);
	dnsmsg_query(&q, 1, "gateWay", DNS_TYPE_A);
	dtcp_send_message(&dt.one, &q);
	dtcp_get_message(&dt.one, &q);
	dtcp_assert_address(RIG_GATEWAY);
	dnsmsg_query(&q, 2, "gateway", DNS_TYPE_AAAA);
	dtcp_send_message(&dt.one, &q);
	dtcp_get_message(&dt.one, &q);
	assert_int_equal(dnsmsg_rcode(&dt.got), 0);
	assert_int_equal(dt.got.len, dt.got.question);
	/* Without IPv6 no name has such an address, as over UDP. */
	dnsmsg_query(&q, 3, "www.a.test", DNS_TYPE_AAAA);
	dnsmsg_opt(&q, 1232, 0, "", 0);
	dtcp_send_message(&dt.one, &q);
	dtcp_get_message(&dt.one, &q);
	assert_int_equal(dnsmsg_rcode(&dt.got), 0);
	assert_int_equal(dnsmsg_records(&dt.got, DNS_ANSWER), 0);
	assert_int_equal(dnsmsg_records(&dt.got, DNS_ADDITIONAL), 1);
	assert_int_equal(counter_get(&dns_rig_counters(&dt.d)->dns_tcp_queries), 3);
	assert_int_equal(counter_get(&dns_rig_counters(&dt.d)->dns_queries), 3);
	assert_int_equal(counter_get(&dns_rig_counters(&dt.d)->dns_answers), 3);
	assert_int_equal(accept4(dt.lfd[0], NULL, NULL, SOCK_NONBLOCK), -1);
	dtcp_conn_close(dt.one.c);
	dtcp_end();
}

/* Raw, whatever the type; under an identifier of ours; and kept for the next, over UDP too. */
static void a_resolver_is_asked_over_tcp(void **state)
{
	static struct dnsmsg q;
	uint32_t guests_id = 0;

	(void)state;
	dtcp_begin(1);
	dtcp_conn_open(&dt.one, 40000);
	for (uint16_t i = 0; i < 4; i++) {
		int fd;

		dnsmsg_query(&q, i, "www.A.test", (uint16_t)(65 + i));
		dnsmsg_opt(&q, 4096, 0, "\0\12\0\10abcdefgh", 12);
		dtcp_send_message(&dt.one, &q);
		fd = dtcp_resolver_gets(0, &q);
		guests_id += get_be16(dt.m.b) == i;
		dnsmsg_answer(&dt.m, 0);
		dnsmsg_record(&dt.m, DNS_OFF_ANCOUNT, DNS_HLEN, (uint16_t)(65 + i), 60, "raw", 3);
		dtcp_resolver_sends(fd);
		dtcp_get_message(&dt.one, &q);
		assert_int_equal(dt.got.len, dt.m.len);
		assert_memory_equal(dt.got.b + 2, dt.m.b + 2, dt.m.len - 2);
		/* One connection for one query: it is over. */
		rig_read_eof(dt.d.r, fd);
		close(fd);
	}
	assert_true(guests_id < 2);
	dtcp_conn_close(dt.one.c);
	dnsmsg_query(&q, 9, "www.a.test", 65);
	dns_rig_ask(&dt.d, &q);
	dns_rig_get(&dt.d, &q);
	assert_int_equal(dnsmsg_get(&q, DNS_ANSWER, 0).rdlen, 3);
	assert_int_equal(counter_get(&dns_rig_counters(&dt.d)->dns_cache_hits), 1);
	dtcp_end();
}

static void the_longest_answer_arrives_whole(void **state)
{
	static struct dnsmsg q;
	uint32_t room;
	int fd;

	(void)state;
	dtcp_begin(1);
	dtcp_conn_open(&dt.one, 40000);
	dnsmsg_query(&q, 1, "long.test", 16);
	dtcp_send_message(&dt.one, &q);
	fd = dtcp_resolver_gets(0, &q);
	dnsmsg_answer(&dt.m, 0);
	room = 65535 - dt.m.len - 12;
	rig_pattern(dt.got.b, room, 5, 0);
	dnsmsg_record(&dt.m, DNS_OFF_ANCOUNT, DNS_HLEN, 16, 60, dt.got.b, (uint16_t)room);
	assert_int_equal(dt.m.len, 65535);
	dtcp_resolver_sends(fd);
	dtcp_get_message(&dt.one, &q);
	assert_int_equal(dt.got.len, 65535);
	rig_pattern_check(dt.got.b + dt.got.len - room, room, 5, 0);
	close(fd);
	/* Too long to be kept. */
	dnsmsg_query(&q, 2, "long.test", 16);
	dtcp_send_message(&dt.one, &q);
	fd = dtcp_resolver_gets(0, &q);
	dtcp_resolver_answers(fd, DNS_RCODE_SERVFAIL, 0);
	dtcp_get_message(&dt.one, &q);
	close(fd);
	dtcp_conn_close(dt.one.c);
	dtcp_end();
}

/* Queries that are sent ahead, in one piece or byte by byte, are answered in order. */
static void queries_sent_ahead_are_answered_in_order(void **state)
{
	static struct dnsmsg q[3];
	uint8_t all[512];
	uint32_t len = 0;
	int fd;

	(void)state;
	dtcp_begin(1);
	for (uint16_t i = 0; i < 3; i++) {
		dnsmsg_query(&q[i], i, i == 1 ? "a.test" : "gateway", DNS_TYPE_A);
		put_be16(all + len, (uint16_t)q[i].len);
		memcpy(all + len + 2, q[i].b, q[i].len);
		len += 2 + q[i].len;
	}
	dtcp_conn_open(&dt.one, 40000);
	rig_conn_send_bytes(dt.one.c, all, len);
	dtcp_get_message(&dt.one, &q[0]);
	fd = dtcp_resolver_gets(0, &q[1]);
	rig_cycle(dt.d.r);
	assert_false(dtcp_message_is_here(&dt.one)); /* the third waits for its turn */
	dtcp_resolver_answers(fd, 0, ADDR);
	dtcp_get_message(&dt.one, &q[1]);
	dtcp_assert_address(ADDR);
	dtcp_get_message(&dt.one, &q[2]);
	dtcp_assert_address(RIG_GATEWAY);
	close(fd);
	for (uint32_t i = 0; i < len; i++) {
		rig_conn_send_bytes(dt.one.c, all + i, 1);
		RIG_CONN_UNTIL(dt.one.c, rig_conn_acked(dt.one.c));
	}
	for (uint32_t i = 0; i < 3; i++)
		dtcp_get_message(&dt.one, &q[i]);
	dtcp_conn_close(dt.one.c);
	dtcp_end();
}

/* A guest that has sent its last byte still gets its answer. */
static void a_half_closed_guest_is_answered(void **state)
{
	static struct dnsmsg q;

	(void)state;
	dtcp_begin(1);
	dtcp_conn_open(&dt.one, 40000);
	dnsmsg_query(&q, 1, "a.test", DNS_TYPE_A);
	dtcp_send_message(&dt.one, &q);
	rig_conn_fin(dt.one.c);
	dtcp_served_by(0, &dt.one, &q, ADDR);
	RIG_CONN_UNTIL(dt.one.c, dt.one.c->fin);
	dtcp_end();
}

static uint64_t retries(void)
{
	return counter_get(&dns_rig_counters(&dt.d)->dns_retries);
}

/* Silent, broken, wrong, of no help: each is followed by the next resolver. */
static void a_resolver_that_fails_is_followed_by_the_next(void **state)
{
	static struct dnsmsg q;

	(void)state;
	dtcp_begin(2);
	dtcp_conn_open(&dt.one, 40000);
	for (uint32_t i = 0; i < 7; i++) {
		int bad;

		dtcp_ask(&dt.one, &q);
		bad = dtcp_resolver_gets(0, &q);
		dnsmsg_answer(&dt.m, 0);
		switch (i) {
		case 0: /* closes without a word */
			close(bad);
			break;
		case 1: /* ... or within one */
			rig_write_all(dt.d.r, bad, "\0\100half", 6);
			close(bad);
			break;
		case 2: /* resets */
			rig_reset_close(bad);
			break;
		case 3: /* another identifier */
			dt.m.b[0] ^= 1;
			dtcp_resolver_sends(bad);
			break;
		case 4: /* another question */
			dt.m.b[DNS_HLEN + 1] ^= 0x20;
			dtcp_resolver_sends(bad);
			break;
		case 5: /* nothing in it */
			rig_write_all(dt.d.r, bad, "\0\0", 2);
			break;
		case 6:
			dnsmsg_answer(&dt.m, DNS_RCODE_SERVFAIL);
			dtcp_resolver_sends(bad);
			break;
		}
		dtcp_served_by(1, &dt.one, &q, ADDR + i);
		assert_int_equal(retries(), i + 1);
		if (i >= 3)
			close(bad);
		/* Its record is cleared, so that it is asked first again. */
		dtcp_ask(&dt.one, &q);
		dtcp_served_by(0, &dt.one, &q, 1);
	}
	assert_int_equal(rig_drops(dt.d.r, DROP_DNS_MALFORMED), 2);
	dtcp_conn_close(dt.one.c);
	dtcp_end();
}

/* H41: who is silent costs its patience, and nobody else's. */
static void silence_is_waited_for_by_nobody_else(void **state)
{
	static struct dnsmsg q, other;
	int fd, slow;

	(void)state;
	dtcp_begin(2);
	dtcp_conn_open(&dt.one, 40000);
	dtcp_ask(&dt.one, &q);
	slow = dtcp_resolver_gets(0, &q);
	dtcp_conn_open(&dt.two, 40001);
	dtcp_ask(&dt.two, &other);
	dtcp_served_by(0, &dt.two, &other, 7);
	rig_advance(dt.d.r, LIMIT_DNS_TRY_NS);
	/* What comes now comes too late: that connection is gone. */
	fd = dtcp_resolver_gets(1, &q);
	rig_read_eof(dt.d.r, slow);
	close(slow);
	rig_advance(dt.d.r, LIMIT_DNS_TRY_NS);
	dtcp_get_message(&dt.one, &q);
	assert_int_equal(dnsmsg_rcode(&dt.got), DNS_RCODE_SERVFAIL);
	assert_int_equal(rig_drops(dt.d.r, DROP_DNS_TIMEOUT), 1);
	close(fd);
	/* The session lives on. */
	dtcp_ask(&dt.one, &q);
	dtcp_served_by(0, &dt.one, &q, 8);
	dtcp_conn_close(dt.one.c);
	dtcp_conn_close(dt.two.c);
	dtcp_end();
}

/* ... and in the end it is asked last. */
static void one_that_is_silent_often_is_asked_last(void **state)
{
	static struct dnsmsg q;
	int slow;

	(void)state;
	log_set_level(LOG_ERROR);
	dtcp_begin(2);
	dtcp_conn_open(&dt.one, 40000);
	for (int i = 0; i < LIMIT_DNS_FAILS; i++) {
		dtcp_ask(&dt.one, &q);
		slow = dtcp_resolver_gets(0, &q);
		rig_advance(dt.d.r, LIMIT_DNS_TRY_NS);
		dtcp_served_by(1, &dt.one, &q, 7);
		close(slow);
	}
	dtcp_ask(&dt.one, &q);
	dtcp_served_by(1, &dt.one, &q, 7);
	dtcp_conn_close(dt.one.c);
	dtcp_end();
}

static void without_a_resolver_the_guest_is_told_at_once(void **state)
{
	static struct dnsmsg q;

	(void)state;
	dtcp_begin(0);
	dtcp_conn_open(&dt.one, 40000);
	dtcp_ask(&dt.one, &q);
	dtcp_get_message(&dt.one, &q);
	assert_int_equal(dnsmsg_rcode(&dt.got), DNS_RCODE_SERVFAIL);
	dtcp_conn_close(dt.one.c);
	dtcp_end();
	/* One that speaks no TCP refuses. */
	dtcp_init(1);
	close(dt.lfd[0]);
	dt.lfd[0] = -1;
	dns_rig_start(&dt.d);
	dtcp_conn_open(&dt.one, 40000);
	dtcp_ask(&dt.one, &q);
	dtcp_get_message(&dt.one, &q);
	assert_int_equal(dnsmsg_rcode(&dt.got), DNS_RCODE_SERVFAIL);
	dtcp_conn_close(dt.one.c);
	dtcp_end();
}

static bool denied(uint32_t addr)
{
	static uint16_t sport = 5000;
	uint64_t before = rig_drops(dt.d.r, DROP_POLICY_DENIED);
	struct rig_pkt pkt;

	rig_send_udp(dt.d.r, ++sport, addr, 9, "x", 1);
	rig_cycle(dt.d.r);
	while (rig_pop(dt.d.r, &pkt))
		;
	return rig_drops(dt.d.r, DROP_POLICY_DENIED) != before;
}

/* Each question is judged, and what is answered teaches names, as over UDP. */
static void policy_judges_each_question(void **state)
{
	struct policy_list list = { .profile = POLICY_ALLOWLIST };
	static struct dnsmsg q;
	struct host_spec spec;
	char why[128];

	(void)state;
	log_set_level(LOG_ERROR);
	assert_int_equal(policy_list_add(&list, true, "udp:*.allowed.test", why, sizeof(why)), 0);
	dtcp_init(1);
	dt.d.cfg.stack.policy = &list;
	dns_rig_start(&dt.d);
	dtcp_conn_open(&dt.one, 40000);
	dnsmsg_query(&q, 1, "other.test", DNS_TYPE_A);
	dtcp_send_message(&dt.one, &q);
	dtcp_get_message(&dt.one, &q);
	assert_int_equal(dnsmsg_rcode(&dt.got), DNS_RCODE_REFUSED);
	dnsmsg_query(&q, 1, "other.test", DNS_TYPE_AXFR);
	dtcp_send_message(&dt.one, &q);
	dtcp_get_message(&dt.one, &q);
	assert_int_equal(dnsmsg_rcode(&dt.got), DNS_RCODE_REFUSED);
	assert_int_equal(rig_drops(dt.d.r, DROP_POLICY_DENIED), 2);
	assert_int_equal(accept4(dt.lfd[0], NULL, NULL, SOCK_NONBLOCK), -1);
	dtcp_resolve(&dt.one, "www.allowed.test", ADDR);
	/* A name of ours, too. */
	assert_int_equal(host_parse(&spec, "db.allowed.test=198.51.100.2", why, sizeof(why)), 0);
	assert_int_equal(stack_host_add(rig_stack(dt.d.r), &spec), 0);
	dnsmsg_query(&q, 1, "db.allowed.test", DNS_TYPE_A);
	dtcp_send_message(&dt.one, &q);
	dtcp_get_message(&dt.one, &q);
	dtcp_assert_address(ADDR + 1);
	dtcp_conn_close(dt.one.c);
	assert_false(denied(ADDR));
	assert_false(denied(ADDR + 1));
	assert_true(denied(ADDR + 2));
	dtcp_end();
	policy_list_free(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_known_here_is_answered_here),
		cmocka_unit_test(a_resolver_is_asked_over_tcp),
		cmocka_unit_test(the_longest_answer_arrives_whole),
		cmocka_unit_test(queries_sent_ahead_are_answered_in_order),
		cmocka_unit_test(a_half_closed_guest_is_answered),
		cmocka_unit_test(a_resolver_that_fails_is_followed_by_the_next),
		cmocka_unit_test(silence_is_waited_for_by_nobody_else),
		cmocka_unit_test(one_that_is_silent_often_is_asked_last),
		cmocka_unit_test(without_a_resolver_the_guest_is_told_at_once),
		cmocka_unit_test(policy_judges_each_question),
	};
	const uint32_t world[] = { ADDR, ADDR + 1, ADDR + 2 };

	/* What a rule lets through must not leave this machine. */
	if (!rig_own_network(world, ARRAY_SIZE(world))) {
		puts("SKIP dns tcp: no network namespaces here");
		return 0;
	}
	return cmocka_run_group_tests_name("dns tcp", tests, NULL, NULL);
}
