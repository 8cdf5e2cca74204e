/* SPDX-License-Identifier: MIT */
/* Rates: pacing without loss, debts, refunds (H59), changes while it runs. */
#include "tests/stack/pair_rig.h"

#include <unistd.h>

#include "src/base/base.h"
#include "src/base/log.h"
#include "tcpstack/limit.h"
#include "tcpstack/priv.h"

#define RATE 1000000ULL /* bytes a second; the burst of 100 ms is 100000 */

static const struct rig_config *with_rates(uint64_t out, uint64_t in, uint64_t in_packets)
{
	static struct rig_config cfg;

	rig_config_defaults(&cfg);
	log_set_level(LOG_ERROR);
	cfg.stack.rate_out = out;
	cfg.stack.rate_in = in;
	cfg.stack.rate_in_packets = in_packets;
	return &cfg;
}

/* Frames from the guest as long as the port would take them. */
static void send_while_allowed(struct rig *r, uint16_t port)
{
	static uint8_t data[1000];

	for (int i = 0; i < 100000 && stack_tx_may(rig_stack(r)); i++)
		rig_send_udp(r, 5000, RIG_GATEWAY, port, data, sizeof(data));
}

static void the_guest_sends_at_the_rate_and_a_burst(void **state)
{
	struct rig *r = rig_new(with_rates(RATE, 0, 0));
	uint16_t port;
	int fd = rig_udp_socket(&port);
	uint64_t sent;

	(void)state;
	send_while_allowed(r, port);
	/* One frame may go over what was left. */
	assert_in_range(COUNT(r, tx_bytes), 100000, 100000 + 1042);
	for (int ms = 0; ms < 2000; ms += 10) {
		rig_advance(r, 10 * NS_PER_MS);
		send_while_allowed(r, port);
	}
	sent = COUNT(r, tx_bytes) - 100000;
	assert_in_range(sent, 2 * RATE - 1042, 2 * RATE + 1042);
	/* What was not used is kept, up to the burst. */
	rig_advance(r, 50 * NS_PER_S);
	send_while_allowed(r, port);
	assert_in_range(COUNT(r, tx_bytes) - sent, 200000, 200000 + 3 * 1042);
	assert_true(COUNT(r, rate_out_waits) > 10);
	assert_int_equal(rig_allocs(r), 0);
	close(fd);
	rig_free(r);
}

/* The timer wakes the loop when there are tokens, and not a cadence. */
static void the_loop_wakes_up_when_there_are_tokens(void **state)
{
	struct rig *r = rig_new(with_rates(RATE, 0, 0));
	uint16_t port;
	int fd = rig_udp_socket(&port);
	uint64_t next;

	(void)state;
	send_while_allowed(r, port);
	next = timer_wheel_next_ns(loop_timers(stack_loop(rig_stack(r))));
	assert_true(next <= rig_now(r) + 10 * NS_PER_MS);
	rig_advance(r, 10 * NS_PER_MS);
	assert_true(stack_tx_may(rig_stack(r)));
	close(fd);
	rig_free(r);
}

/* H59: what the stack did not take is not charged. */
static void a_frame_that_must_be_sent_again_is_refunded(void **state)
{
	struct bucket *b;
	static uint8_t data[50000];
	struct pair p;
	uint32_t seq;
	int64_t before = 0;

	(void)state;
	pair_open(&p, with_rates(RATE, 0, 0));
	b = &rig_stack(p.r)->rate_out.bytes;
	seq = p.c.snd_nxt;
	/* All in one batch, until the window holds no more. */
	for (int i = 0; rig_drops(p.r, DROP_TCP_PARK_LIMIT) == 0;
	     i++, seq += (uint32_t)sizeof(data)) {
		assert_true(i < 10);
		stack_tx_may(rig_stack(p.r));
		before = b->tokens;
		rig_conn_segment(&p.c, RIG_ACK, seq, data, sizeof(data));
	}
	stack_tx_may(rig_stack(p.r));
	assert_int_equal(b->tokens, before);
	rig_conn_ack(&p.c);
	stack_tx_may(rig_stack(p.r));
	assert_int_equal(before - b->tokens, 54);
	pair_end(&p);
}

static void the_guest_receives_at_the_rate_every_byte(void **state)
{
	struct pair p;
	uint64_t first;

	(void)state;
	pair_open(&p, with_rates(0, RATE, 0));
	for (int i = 0; i < 50; i++) {
		pair_write(&p, 4000000);
		rig_conn_cycle(&p.c);
	}
	/* The burst, and one frame of 64 KiB at most beyond it. */
	first = p.c.rx_bytes;
	assert_in_range(first, 90000, 170000);
	for (int ms = 0; ms < 2000; ms += 5) {
		pair_write(&p, 4000000);
		rig_advance(p.r, 5 * NS_PER_MS);
		rig_conn_poll(&p.c);
	}
	assert_in_range(p.c.rx_bytes, 2 * RATE - 70000, 2 * RATE + 170000);
	assert_int_equal(COUNT(p.r, tcp_retransmits), 0);
	/* Lifted while it runs: the rest comes without another tick of the old rate. */
	assert_int_equal(stack_limit_set(rig_stack(p.r), "rate-in", 0), 0);
	rig_advance(p.r, 2 * NS_PER_MS);
	RIG_UNTIL(p.r, pair_download(&p, 4000000));
	assert_int_equal(rig_allocs(p.r), 0);
	pair_end(&p);
}

/* ACKs and ARP do not queue behind payload. */
static void what_we_originate_never_waits(void **state)
{
	uint8_t frame[128];
	struct pair p;
	struct rig_pkt pkt;

	(void)state;
	pair_open(&p, with_rates(0, 1000, 0));
	for (int i = 0; i < 50; i++) {
		pair_write(&p, 1000000);
		rig_conn_cycle(&p.c);
	}
	assert_true(p.c.rx_bytes < 200000);
	rig_send(p.r, frame, rig_build_arp(p.r, frame, 0x0a00020fU, RIG_GATEWAY), NULL);
	rig_cycle(p.r);
	assert_true(rig_pop(p.r, &pkt));
	assert_int_equal(pkt.ethertype, ETHERTYPE_ARP);
	rig_conn_send(&p.c, 1000);
	RIG_CONN_UNTIL(&p.c, rig_conn_acked(&p.c));
	pair_end(&p);
}

static void packets_have_a_rate_of_their_own(void **state)
{
	struct rig *r = rig_new(with_rates(0, 0, 100));
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	struct rig_pkt pkt;
	uint32_t got = 0;
	uint8_t byte;
	uint16_t port;
	int fd = rig_udp_socket(&port);

	(void)state;
	rig_send_udp(r, 5000, RIG_GATEWAY, port, "x", 1);
	rig_cycle(r);
	assert_int_equal(recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&peer, &len), 1);
	for (int i = 0; i < 150; i++)
		assert_int_equal(sendto(fd, "y", 1, 0, (struct sockaddr *)&peer, len), 1);
	for (int i = 0; i < 50; i++) {
		rig_cycle(r);
		while (rig_pop(r, &pkt))
			got++;
	}
	/* 64 at least come at once, and what one batch holds beyond. */
	assert_in_range(got, 64, 64 + 16);
	for (int i = 0; i < 100; i++) {
		rig_advance(r, 20 * NS_PER_MS);
		while (rig_pop(r, &pkt))
			got++;
	}
	assert_int_equal(got, 150);
	close(fd);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_guest_sends_at_the_rate_and_a_burst),
		cmocka_unit_test(the_loop_wakes_up_when_there_are_tokens),
		cmocka_unit_test(a_frame_that_must_be_sent_again_is_refunded),
		cmocka_unit_test(the_guest_receives_at_the_rate_every_byte),
		cmocka_unit_test(what_we_originate_never_waits),
		cmocka_unit_test(packets_have_a_rate_of_their_own),
	};

	return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
