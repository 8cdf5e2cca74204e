/* SPDX-License-Identifier: MIT */
/* ACKs of requests: carried by answers that are quick, and never late enough to matter. */
#include "tests/stack/pair_rig.h"

#include "src/base/base.h"
#include "src/base/clock.h"
#include "tcpstack/limits.h"

static void start(struct pair *k)
{
	pair_open(k, NULL);
	k->c.auto_ack = false; /* the next request carries it */
	rig_conn_cycle(&k->c);
}

/* A request of @len bytes; @after that the host's program has it. Return: bare ACKs until then */
static uint32_t ask(struct pair *k, uint32_t len, uint64_t after)
{
	uint32_t acks = k->c.acks;
	uint64_t want = k->got + len;

	rig_conn_send(&k->c, len);
	rig_cycle(k->r);
	pair_read(k);
	assert_int_equal(k->got, want);
	if (after) {
		rig_advance(k->r, after);
		rig_cycle(k->r);
	}
	rig_conn_poll(&k->c);
	return k->c.acks - acks;
}

/* Its answer. Return: bare ACKs until then */
static uint32_t answer(struct pair *k)
{
	uint32_t acks = k->c.acks;
	uint64_t want = k->c.rx_bytes + 100;

	pair_write(k, k->sent + 100);
	rig_conn_cycle(&k->c);
	assert_int_equal(k->c.rx_bytes, want);
	assert_true(rig_conn_acked(&k->c));
	return k->c.acks - acks;
}

/* As many quick answers as it takes. */
static void be_quick(struct pair *k)
{
	for (int i = 0; i < LIMIT_TCP_ACK_QUICK; i++) {
		assert_int_equal(ask(k, 10, 0), 1);
		assert_int_equal(answer(k), 0);
	}
}

static void quick_answers_carry_the_ack(void **state)
{
	struct pair k;

	(void)state;
	start(&k);
	be_quick(&k);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(ask(&k, 10, NS_PER_MS), 0);
		assert_int_equal(answer(&k), 0);
	}
	assert_int_equal(k.c.frames, 100 + LIMIT_TCP_ACK_QUICK);
	pair_end(&k);
}

/* H52: who waits for the ACK (Nagle) gets it, soon, and from then on at once. */
static void an_ack_waits_a_moment_and_no_more(void **state)
{
	struct pair k;

	(void)state;
	start(&k);
	be_quick(&k);
	assert_int_equal(ask(&k, 10, LIMIT_TCP_ACK_WAIT_NS - NS_PER_MS), 0);
	rig_advance(k.r, 2 * NS_PER_MS); /* the wheel's tick may be late by one */
	rig_conn_cycle(&k.c);
	assert_true(rig_conn_acked(&k.c));
	assert_int_equal(answer(&k), 0);
	be_quick(&k);
	pair_end(&k);
}

static void slow_answers_are_not_waited_for(void **state)
{
	struct pair k;

	(void)state;
	start(&k);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(ask(&k, 10, LIMIT_TCP_ACK_WAIT_NS + NS_PER_MS), 1);
		assert_int_equal(answer(&k), 0);
	}
	pair_end(&k);
}

/* Every second segment is ACKed at once (RFC 9293 3.8.6.3), and so is what is not short. */
static void a_second_segment_is_acked_at_once(void **state)
{
	struct pair k;

	(void)state;
	start(&k);
	be_quick(&k);
	assert_int_equal(ask(&k, 10, 0), 0);
	assert_int_equal(ask(&k, 10, 0), 1);
	assert_int_equal(ask(&k, 10, 0), 1);
	assert_int_equal(answer(&k), 0); /* the first quick answer of two */
	assert_int_equal(ask(&k, 10, 0), 1);
	assert_int_equal(answer(&k), 0);
	assert_int_equal(ask(&k, LIMIT_TCP_ACK_WAIT_BYTES + 1, 0), 1);
	pair_end(&k);
}

static void a_fin_is_acked_at_once(void **state)
{
	struct pair k;
	uint32_t acks;

	(void)state;
	start(&k);
	be_quick(&k);
	assert_int_equal(ask(&k, 10, 0), 0);
	acks = k.c.acks;
	rig_conn_fin(&k.c);
	rig_conn_cycle(&k.c);
	assert_int_equal(k.c.acks, acks + 1);
	assert_true(rig_conn_acked(&k.c));
	pair_end(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quick_answers_carry_the_ack),
		cmocka_unit_test(an_ack_waits_a_moment_and_no_more),
		cmocka_unit_test(slow_answers_are_not_waited_for),
		cmocka_unit_test(a_second_segment_is_acked_at_once),
		cmocka_unit_test(a_fin_is_acked_at_once),
	};

	return cmocka_run_group_tests_name("tcp_ack", tests, NULL, NULL);
}
