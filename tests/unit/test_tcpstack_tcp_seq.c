/* SPDX-License-Identifier: MIT */
/* Sequence arithmetic, and the retransmission timeout's estimate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tcpstack/tcp.h"

/* H37, RFC 9293 3.4 */
static void order_holds_across_the_wrap(void **state)
{
	(void)state;
	static const uint32_t at[] = { 0, 1, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff };

	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		uint32_t a = at[i], b = a + 100, far = a + 0x7fffffff;

		assert_true(seq_lt(a, b) && seq_gt(b, a) && seq_leq(a, b) && seq_geq(b, a));
		assert_false(seq_lt(b, a) || seq_gt(a, b) || seq_leq(b, a) || seq_geq(a, b));
		assert_true(seq_lt(a, far) && seq_gt(far, a));
		assert_true(seq_leq(a, a) && seq_geq(a, a));
		assert_false(seq_lt(a, a) || seq_gt(a, a));
	}
}

static void syn_and_fin_take_space(void **state)
{
	(void)state;
	struct tcp_seg s = { .len = 10 };

	assert_int_equal(tcp_seg_space(&s), 10);
	s.flags = TH_SYN;
	assert_int_equal(tcp_seg_space(&s), 11);
	s.flags = TH_SYN | TH_FIN | TH_ACK;
	assert_int_equal(tcp_seg_space(&s), 12);
}

/* RFC 6298 2.2, 2.3, and the floor of limits.h */
static void timeout_follows_the_round_trips(void **state)
{
	(void)state;
	struct tcp_flow fl = { .rto = LIMIT_TCP_RTO_INIT_NS };

	tcp_rtt_sample(&fl, 50000);
	assert_int_equal(fl.rto, LIMIT_TCP_RTO_MIN_NS);
	tcp_rtt_sample(&fl, 2 * NS_PER_S);
	assert_true(fl.rto > NS_PER_S);
	for (int i = 0; i < 200; i++)
		tcp_rtt_sample(&fl, 50000);
	assert_int_equal(fl.rto, LIMIT_TCP_RTO_MIN_NS);
	for (int i = 0; i < 50; i++)
		tcp_rtt_sample(&fl, 3600 * NS_PER_S);
	assert_int_equal(fl.rto, LIMIT_TCP_RTO_MAX_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_holds_across_the_wrap),
		cmocka_unit_test(syn_and_fin_take_space),
		cmocka_unit_test(timeout_follows_the_round_trips),
	};

	return cmocka_run_group_tests_name("tcp_seq", tests, NULL, NULL);
}
