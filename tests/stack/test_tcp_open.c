/* SPDX-License-Identifier: MIT */
/* Opening TCP connections: handshake, refusal, limits, and hostile SYNs. */
#include "tests/stack/rig_tcp.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/log.h"

static struct rig *start(void)
{
	struct rig_config cfg;

	rig_config_defaults(&cfg);
	return rig_new(&cfg);
}

/* H40: no SYN-ACK before the host's connect has succeeded. */
static void synack_follows_the_hosts_connect(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_conn c;
	uint16_t port;
	int lfd = rig_listen(&port), fd;

	rig_conn_init(&c, r, 40000, port);
	rig_conn_syn(&c);
	assert_int_equal(rig_pending(r), 0);
	RIG_UNTIL(r, (rig_conn_poll(&c), c.synack));
	/* The SYN-ACK is out, so the kernel has the connection. */
	fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK);
	assert_true(fd >= 0);
	assert_int_equal(c.peer_mss, 1460);
	assert_true(c.peer_wscale >= 0 && c.peer_wscale <= 14);
	rig_conn_ack(&c);
	rig_cycle(r);
	assert_int_equal(counter_get(&stack_counters(rig_stack(r))->tcp_established), 1);
	close(fd);
	close(lfd);
	rig_free(r);
}

static void no_scale_is_offered_to_a_guest_without(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_conn c;
	uint16_t port;
	int lfd = rig_listen(&port), fd;

	rig_conn_init(&c, r, 40000, port);
	c.wscale = -1;
	c.mss = 0;
	fd = rig_conn_open(&c, lfd);
	assert_int_equal(c.peer_wscale, -1);
	close(fd);
	close(lfd);
	rig_free(r);
}

/* H40, H39: a refusal of the host is a refusal, at once. */
static void refused_by_the_host_is_rst(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_conn c;

	rig_conn_init(&c, r, 40000, rig_unused_port());
	rig_conn_syn(&c);
	RIG_UNTIL(r, (rig_conn_poll(&c), c.rst));
	assert_int_equal(c.last.flags, RIG_RST | RIG_ACK);
	assert_int_equal(c.last.ack, c.iss + 1);
	assert_int_equal(counter_get(&stack_counters(rig_stack(r))->tcp_active), 0);
	assert_int_equal(counter_get(&stack_counters(rig_stack(r))->tcp_refused), 1);
	rig_free(r);
}

static void denied_by_policy_is_rst(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_conn c;

	rig_conn_init(&c, r, 40000, 80);
	c.dst = 0xa9fea9feU; /* 169.254.169.254 */
	rig_conn_syn(&c);
	rig_cycle(r);
	rig_conn_poll(&c);
	assert_true(c.rst);
	assert_int_equal(rig_drops(r, DROP_POLICY_DENIED), 1);
	assert_int_equal(counter_get(&stack_counters(rig_stack(r))->tcp_opened), 0);
	rig_free(r);
}

/* H35: while connecting and after, the same SYN makes no second connection. */
static void repeated_syn_is_idempotent(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_conn c;
	uint16_t port;
	int lfd = rig_listen(&port), fd;

	rig_conn_init(&c, r, 40000, port);
	rig_conn_syn(&c);
	rig_conn_syn(&c);
	RIG_UNTIL(r, (rig_conn_poll(&c), c.synack));
	c.synack = false;
	rig_conn_syn(&c);
	rig_cycle(r);
	rig_conn_poll(&c);
	assert_true(c.synack);
	rig_conn_ack(&c);
	fd = rig_accept(r, lfd);
	rig_cycle(r);
	assert_int_equal(accept4(lfd, NULL, NULL, SOCK_NONBLOCK), -1);
	assert_int_equal(counter_get(&stack_counters(rig_stack(r))->tcp_opened), 1);
	close(fd);
	close(lfd);
	rig_free(r);
}

/* H35: an embryo does not live for ever; the SYN-ACK is repeated first. */
static void unanswered_synack_is_repeated_then_given_up(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_conn c;
	uint16_t port;
	int lfd = rig_listen(&port), fd;

	rig_conn_init(&c, r, 40000, port);
	rig_conn_syn(&c);
	RIG_UNTIL(r, (rig_conn_poll(&c), c.synack));
	c.synack = false;
	rig_advance(r, 1100 * NS_PER_MS);
	rig_conn_poll(&c);
	assert_true(c.synack);
	rig_advance(r, 200 * NS_PER_S);
	rig_conn_poll(&c);
	assert_true(c.rst);
	assert_int_equal(counter_get(&stack_counters(rig_stack(r))->tcp_active), 0);
	fd = rig_accept(r, lfd);
	close(fd);
	close(lfd);
	rig_free(r);
}

/* H36: an ACK of something else does not finish the handshake. */
static void wrong_ack_does_not_open(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_conn c;
	uint16_t port;
	int lfd = rig_listen(&port);

	rig_conn_init(&c, r, 40000, port);
	rig_conn_syn(&c);
	RIG_UNTIL(r, (rig_conn_poll(&c), c.synack));
	c.rcv_nxt += 1000;
	rig_conn_ack(&c);
	rig_cycle(r);
	rig_conn_poll(&c);
	assert_true(c.rst);
	assert_int_equal(c.last.seq, c.rcv_nxt);
	assert_int_equal(counter_get(&stack_counters(rig_stack(r))->tcp_established), 0);
	close(lfd);
	rig_free(r);
}

/* A port used again at once: the old attempt is replaced. */
static void new_syn_replaces_an_attempt(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_conn c;
	uint16_t port;
	int lfd = rig_listen(&port), fd, first;

	rig_conn_init(&c, r, 40000, port);
	rig_conn_syn(&c);
	c.iss += 5000;
	rig_conn_syn(&c);
	RIG_UNTIL(r, (rig_conn_poll(&c), c.synack));
	assert_int_equal(c.snd_una, c.iss + 1);
	rig_conn_ack(&c);
	first = rig_accept(r, lfd);
	fd = rig_accept(r, lfd);
	rig_conn_send(&c, 100);
	RIG_UNTIL(r, (rig_conn_poll(&c), rig_conn_acked(&c)));
	close(first);
	close(fd);
	close(lfd);
	rig_free(r);
}

/* H37: a shift count of 255 counts as 14. */
static void window_scale_is_capped(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_conn c;
	uint64_t sent = 0;
	uint16_t port;
	int lfd = rig_listen(&port), fd;

	rig_conn_init(&c, r, 40000, port);
	c.wscale = 255;
	c.window = 4U << 14;
	fd = rig_conn_open(&c, lfd);
	RIG_UNTIL(r, (rig_pump_write(fd, c.rx_seed, &sent, 300000), rig_conn_poll(&c),
		      c.rx_bytes == 300000));
	close(fd);
	close(lfd);
	rig_free(r);
}

/* H47, RFC 6528: the same pair gets another number later; another pair gets another one. */
static void initial_sequence_numbers_differ(void **state)
{
	(void)state;
	struct rig *r = start();
	uint32_t isn[3];
	uint16_t port;
	int lfd = rig_listen(&port);

	for (uint32_t i = 0; i < 3; i++) {
		struct rig_conn c;

		rig_conn_init(&c, r, i == 2 ? 40001 : 40000, port);
		rig_conn_syn(&c);
		RIG_UNTIL(r, (rig_conn_poll(&c), c.synack));
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
	struct rig *r = start();
	struct rig_conn c;

	rig_conn_init(&c, r, 40000, 80);
	c.rcv_nxt = 777;
	rig_conn_segment(&c, RIG_ACK, 5, "x", 1);
	rig_cycle(r);
	rig_conn_poll(&c);
	assert_true(c.rst);
	assert_int_equal(c.last.flags, RIG_RST);
	assert_int_equal(c.last.seq, 777);

	rig_conn_segment(&c, RIG_FIN, 5, "xy", 2);
	rig_cycle(r);
	rig_conn_poll(&c);
	assert_int_equal(c.last.flags, RIG_RST | RIG_ACK);
	assert_int_equal(c.last.seq, 0);
	assert_int_equal(c.last.ack, 8);

	/* But never a RST for a RST. */
	rig_conn_segment(&c, RIG_RST, 5, NULL, 0);
	rig_cycle(r);
	assert_int_equal(rig_pending(r), 0);
	assert_int_equal(rig_drops(r, DROP_TCP_NO_FLOW), 3);
	rig_free(r);
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
	for (uint16_t i = 0; i < 3; i++) {
		rig_conn_init(&c[i], r, (uint16_t)(40000 + i), port);
		c[i].group = c;
		c[i].group_size = i + 1U;
	}
	c[0].group_size = 3;
	for (uint16_t i = 0; i < 2; i++) {
		fd[i] = rig_conn_open(&c[i], lfd);
	}
	rig_conn_syn(&c[2]);
	rig_cycle(r);
	rig_conn_poll(c);
	assert_true(c[2].rst);
	c[2].rst = false;
	assert_int_equal(rig_drops(r, DROP_FLOW_LIMIT), 1);

	rig_conn_send(&c[0], 10);
	RIG_UNTIL(r, (rig_conn_poll(c), rig_conn_acked(&c[0])));
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
		RIG_UNTIL(r, (rig_conn_poll(&c[i]), c[i].synack || c[i].rst));
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
	r = start();
	rig_conn_init(&c, r, 40000, 80);
	c.dst = 0xc0000201U;
	rig_conn_syn(&c);
	RIG_UNTIL(r, rig_pop(r, &p));
	assert_int_equal(p.proto, PROTO_ICMP);
	assert_int_equal(p.icmp_type, 3);
	assert_int_equal(get_be16(p.payload + 20), 40000);
	assert_int_equal(get_be32(p.payload + 24), c.iss);
	RIG_UNTIL(r, (rig_conn_poll(&c), c.rst));
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
