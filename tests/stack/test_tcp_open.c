/* SPDX-License-Identifier: MIT */
/* Opening TCP connections: handshake, refusal, limits, and hostile SYNs. */
#include "tests/stack/pair_rig.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/log.h"

/* H40: no SYN-ACK before the host's connect has succeeded. */
static void synack_follows_the_hosts_connect(void **state)
{
	(void)state;
	struct pair p;

	pair_start(&p, NULL);
	rig_conn_syn(&p.c);
	assert_int_equal(rig_pending(p.r), 0);
	RIG_CONN_UNTIL(&p.c, p.c.synack);
	/* The SYN-ACK is out, so the kernel has the connection. */
	p.fd = accept4(p.lfd, NULL, NULL, SOCK_NONBLOCK);
	assert_true(p.fd >= 0);
	assert_int_equal(p.c.peer_mss, 1460);
	assert_true(p.c.peer_wscale >= 0 && p.c.peer_wscale <= 14);
	rig_conn_ack(&p.c);
	rig_cycle(p.r);
	assert_int_equal(COUNT(p.r, tcp_established), 1);
	pair_end(&p);
}

static void no_scale_is_offered_to_a_guest_without(void **state)
{
	(void)state;
	struct pair p;

	pair_start(&p, NULL);
	p.c.wscale = -1;
	p.c.mss = 0;
	pair_connect(&p);
	assert_int_equal(p.c.peer_wscale, -1);
	pair_end(&p);
}

/* H40, H39: a refusal of the host is a refusal, at once. */
static void refused_by_the_host_is_rst(void **state)
{
	(void)state;
	struct pair p;

	pair_start(&p, NULL);
	p.c.dport = rig_unused_port();
	rig_conn_syn(&p.c);
	RIG_CONN_UNTIL(&p.c, p.c.rst);
	assert_int_equal(p.c.last.flags, RIG_RST | RIG_ACK);
	assert_int_equal(p.c.last.ack, p.c.iss + 1);
	assert_int_equal(COUNT(p.r, tcp_active), 0);
	assert_int_equal(COUNT(p.r, tcp_refused), 1);
	pair_end(&p);
}

static void denied_by_policy_is_rst(void **state)
{
	(void)state;
	struct pair p;

	pair_start(&p, NULL);
	p.c.dport = 80;
	p.c.dst = 0xa9fea9feU; /* 169.254.169.254 */
	rig_conn_syn(&p.c);
	rig_conn_cycle(&p.c);
	assert_true(p.c.rst);
	assert_int_equal(rig_drops(p.r, DROP_POLICY_DENIED), 1);
	assert_int_equal(COUNT(p.r, tcp_opened), 0);
	pair_end(&p);
}

/* H35: while connecting and after, the same SYN makes no second connection. */
static void repeated_syn_is_idempotent(void **state)
{
	(void)state;
	struct pair p;

	pair_start(&p, NULL);
	rig_conn_syn(&p.c);
	rig_conn_syn(&p.c);
	RIG_CONN_UNTIL(&p.c, p.c.synack);
	p.c.synack = false;
	rig_conn_syn(&p.c);
	rig_conn_cycle(&p.c);
	assert_true(p.c.synack);
	rig_conn_ack(&p.c);
	p.fd = rig_accept(p.r, p.lfd);
	rig_cycle(p.r);
	assert_int_equal(accept4(p.lfd, NULL, NULL, SOCK_NONBLOCK), -1);
	assert_int_equal(COUNT(p.r, tcp_opened), 1);
	pair_end(&p);
}

/* H35: an embryo does not live for ever; the SYN-ACK is repeated first. */
static void unanswered_synack_is_repeated_then_given_up(void **state)
{
	(void)state;
	struct pair p;

	pair_start(&p, NULL);
	rig_conn_syn(&p.c);
	RIG_CONN_UNTIL(&p.c, p.c.synack);
	p.c.synack = false;
	rig_advance(p.r, 1100 * NS_PER_MS);
	rig_conn_poll(&p.c);
	assert_true(p.c.synack);
	rig_advance(p.r, 200 * NS_PER_S);
	rig_conn_poll(&p.c);
	assert_true(p.c.rst);
	assert_int_equal(COUNT(p.r, tcp_active), 0);
	p.fd = rig_accept(p.r, p.lfd);
	pair_end(&p);
}

/* H36: an ACK of something else does not finish the handshake. */
static void wrong_ack_does_not_open(void **state)
{
	(void)state;
	struct pair p;

	pair_start(&p, NULL);
	rig_conn_syn(&p.c);
	RIG_CONN_UNTIL(&p.c, p.c.synack);
	p.c.rcv_nxt += 1000;
	rig_conn_ack(&p.c);
	rig_conn_cycle(&p.c);
	assert_true(p.c.rst);
	assert_int_equal(p.c.last.seq, p.c.rcv_nxt);
	assert_int_equal(COUNT(p.r, tcp_established), 0);
	pair_end(&p);
}

/* A port used again at once: the old attempt is replaced. */
static void new_syn_replaces_an_attempt(void **state)
{
	(void)state;
	struct pair p;
	int first;

	pair_start(&p, NULL);
	rig_conn_syn(&p.c);
	p.c.iss += 5000;
	rig_conn_syn(&p.c);
	RIG_CONN_UNTIL(&p.c, p.c.synack);
	assert_int_equal(p.c.snd_una, p.c.iss + 1);
	rig_conn_ack(&p.c);
	first = rig_accept(p.r, p.lfd);
	p.fd = rig_accept(p.r, p.lfd);
	rig_conn_send(&p.c, 100);
	RIG_CONN_UNTIL(&p.c, rig_conn_acked(&p.c));
	close(first);
	pair_end(&p);
}

/* H37: a shift count of 255 counts as 14. */
static void window_scale_is_capped(void **state)
{
	(void)state;
	struct pair p;

	pair_start(&p, NULL);
	p.c.wscale = 255;
	p.c.window = 4U << 14;
	pair_connect(&p);
	RIG_UNTIL(p.r, pair_download(&p, 300000));
	pair_end(&p);
}

/* H47, RFC 6528: the same pair gets another number later; another pair gets another one. */
static void initial_sequence_numbers_differ(void **state)
{
	(void)state;
	struct rig *r = rig_new(NULL);
	uint32_t isn[3];
	uint16_t port;
	int lfd = rig_listen(&port);

	for (uint32_t i = 0; i < 3; i++) {
		struct rig_conn c;

		rig_conn_init(&c, r, i == 2 ? 40001 : 40000, port);
		rig_conn_syn(&c);
		RIG_CONN_UNTIL(&c, c.synack);
		isn[i] = c.irs;
		rig_conn_segment(&c, RIG_RST, c.snd_nxt, NULL, 0);
		rig_cycle(r);
		rig_advance(r, 4 * NS_PER_MS);
		close(rig_accept(r, lfd));
	}
	assert_int_equal(isn[1] - isn[0], 1000); /* 4 ms in steps of 4 us */
	assert_true(isn[2] - isn[1] > 1000000);
	close(lfd);
	rig_free(r);
}

/* H39, RFC 9293 3.10.7.1 */
static void segment_of_no_flow_is_answered_by_rst(void **state)
{
	(void)state;
	struct pair p;

	pair_start(&p, NULL);
	p.c.dport = 80;
	p.c.rcv_nxt = 777;
	rig_conn_segment(&p.c, RIG_ACK, 5, "x", 1);
	rig_conn_cycle(&p.c);
	assert_true(p.c.rst);
	assert_int_equal(p.c.last.flags, RIG_RST);
	assert_int_equal(p.c.last.seq, 777);

	rig_conn_segment(&p.c, RIG_FIN, 5, "xy", 2);
	rig_conn_cycle(&p.c);
	assert_int_equal(p.c.last.flags, RIG_RST | RIG_ACK);
	assert_int_equal(p.c.last.seq, 0);
	assert_int_equal(p.c.last.ack, 8);

	/* But never a RST for a RST. */
	rig_conn_segment(&p.c, RIG_RST, 5, NULL, 0);
	rig_cycle(p.r);
	assert_int_equal(rig_pending(p.r), 0);
	assert_int_equal(rig_drops(p.r, DROP_TCP_NO_FLOW), 3);
	pair_end(&p);
}

/* H32: a full table refuses aloud, and goes on serving. */
static void full_table_refuses_with_rst(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct rig_conn c[3];
	struct rig *r;
	uint16_t port;
	int lfd = rig_listen(&port), fd[2];

	rig_config_defaults(&cfg);
	cfg.stack.max_tcp = 2;
	r = rig_new(&cfg);
	log_set_level(LOG_ERROR);
	rig_conn_open_all(c, fd, 2, r, 40000, port, lfd);
	rig_conn_init(&c[2], r, 40002, port);
	rig_conn_syn(&c[2]);
	rig_conn_cycle(&c[2]);
	assert_true(c[2].rst);
	c[2].rst = false;
	assert_int_equal(rig_drops(r, DROP_FLOW_LIMIT), 1);

	rig_conn_send(&c[0], 10);
	RIG_CONN_UNTIL(c, rig_conn_acked(&c[0]));
	/* One goes, another may come. */
	rig_conn_segment(&c[1], RIG_RST, c[1].snd_nxt, NULL, 0);
	close(fd[1]);
	fd[1] = rig_conn_open(&c[2], lfd);
	close(fd[0]);
	close(fd[1]);
	close(lfd);
	rig_free(r);
}

static void connection_rate_is_limited(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct rig_conn c[24];
	struct rig *r;
	uint32_t refused = 0;
	uint16_t port;
	int lfd = rig_listen(&port);

	rig_config_defaults(&cfg);
	cfg.stack.max_conn_rate = 5;
	r = rig_new(&cfg);
	log_set_level(LOG_ERROR);
	for (uint16_t i = 0; i < ARRAY_SIZE(c); i++) {
		/* Three and two, and those three and two leave in turn after a second. */
		if (i == 3)
			rig_advance(r, 500 * NS_PER_MS);
		if (i == 10) {
			assert_int_equal(refused, 5);
			rig_advance(r, 400 * NS_PER_MS); /* none */
		}
		if (i == 12) {
			assert_int_equal(refused, 7);
			rig_advance(r, 120 * NS_PER_MS); /* three */
		}
		if (i == 18) {
			assert_int_equal(refused, 10);
			rig_advance(r, 500 * NS_PER_MS); /* two */
		}
		rig_conn_init(&c[i], r, (uint16_t)(40000 + i), port);
		c[i].group = c;
		c[i].group_size = i + 1U;
		rig_conn_syn(&c[i]);
		RIG_CONN_UNTIL(&c[i], c[i].synack || c[i].rst);
		refused += c[i].rst;
	}
	assert_int_equal(refused, 14);
	assert_int_equal(rig_drops(r, DROP_CONN_RATE), 14);
	close(lfd);
	rig_free(r);
}

/* H40: unreachable is said by ICMP first, so that the guest knows why. Leaves no network. */
static void unreachable_host_is_icmp_and_rst(void **state)
{
	(void)state;
	struct rig *r;
	struct rig_conn c;
	struct rig_pkt p;

	/* A network of our own, without a route to anywhere. */
	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
		print_message("[  SKIP  ] no network namespaces here: %s\n", strerror(errno));
		skip();
	}
	r = rig_new(NULL);
	rig_conn_init(&c, r, 40000, 80);
	c.dst = 0xc0000201U;
	rig_conn_syn(&c);
	RIG_UNTIL(r, rig_pop(r, &p));
	assert_int_equal(p.proto, PROTO_ICMP);
	assert_int_equal(p.icmp_type, 3);
	assert_int_equal(get_be16(p.payload + 20), 40000);
	assert_int_equal(get_be32(p.payload + 24), c.iss);
	RIG_CONN_UNTIL(&c, c.rst);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(synack_follows_the_hosts_connect),
		cmocka_unit_test(no_scale_is_offered_to_a_guest_without),
		cmocka_unit_test(refused_by_the_host_is_rst),
		cmocka_unit_test(denied_by_policy_is_rst),
		cmocka_unit_test(repeated_syn_is_idempotent),
		cmocka_unit_test(unanswered_synack_is_repeated_then_given_up),
		cmocka_unit_test(wrong_ack_does_not_open),
		cmocka_unit_test(new_syn_replaces_an_attempt),
		cmocka_unit_test(window_scale_is_capped),
		cmocka_unit_test(initial_sequence_numbers_differ),
		cmocka_unit_test(segment_of_no_flow_is_answered_by_rst),
		cmocka_unit_test(full_table_refuses_with_rst),
		cmocka_unit_test(connection_rate_is_limited),
		cmocka_unit_test(unreachable_host_is_icmp_and_rst),
	};

	return cmocka_run_group_tests_name("tcp_open", tests, NULL, NULL);
}
