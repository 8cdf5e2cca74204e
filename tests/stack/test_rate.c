/* SPDX-License-Identifier: MIT */
/* Rates: pacing without loss, debts, refunds (H59), changes while it runs. */
#include "tests/stack/rig_tcp.h"

#include <unistd.h>

#include "src/base/base.h"
#include "src/base/log.h"
#include "tcpstack/limit.h"
#include "tcpstack/priv.h"

#define RATE 1000000ULL /* bytes a second; the burst of 100 ms is 100000 */

static struct rig *start(uint64_t out, uint64_t in, uint64_t in_packets)
{
	struct rig_config cfg;

	rig_config_defaults(&cfg);
	log_set_level(LOG_ERROR);
	cfg.stack.rate_out = out;
	cfg.stack.rate_in = in;
	cfg.stack.rate_in_packets = in_packets;
	return rig_new(&cfg);
}

static uint64_t tx_bytes(struct rig *r)
{
	return counter_get(&stack_counters(rig_stack(r))->tx_bytes);
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
	struct rig *r = start(RATE, 0, 0);
	uint16_t port;
	int fd = rig_udp_socket(&port);
	uint64_t sent;

	(void)state;
	send_while_allowed(r, port);
	/* One frame may go over what was left. */
	assert_in_range(tx_bytes(r), 100000, 100000 + 1042);
	for (int ms = 0; ms < 2000; ms += 10) {
		rig_advance(r, 10 * NS_PER_MS);
		send_while_allowed(r, port);
	}
	sent = tx_bytes(r) - 100000;
	assert_in_range(sent, 2 * RATE - 1042, 2 * RATE + 1042);
	/* What was not used is kept, up to the burst. */
	rig_advance(r, 50 * NS_PER_S);
	send_while_allowed(r, port);
	assert_in_range(tx_bytes(r) - sent, 200000, 200000 + 3 * 1042);
	assert_true(counter_get(&stack_counters(rig_stack(r))->rate_out_waits) > 10);
	assert_int_equal(rig_allocs(r), 0);
	close(fd);
	rig_free(r);
}

/* The timer wakes the loop when there are tokens, and not a cadence. */
static void the_loop_wakes_up_when_there_are_tokens(void **state)
{
	struct rig *r = start(RATE, 0, 0);
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
	struct rig *r = start(RATE, 0, 0);
	struct bucket *b = &rig_stack(r)->rate_out.bytes;
	static uint8_t data[50000];
	struct rig_conn c;
	uint32_t seq;
	int64_t before = 0;
	uint16_t port;
	int lfd = rig_listen(&port), fd;

	(void)state;
	rig_conn_init(&c, r, 40000, port);
	fd = rig_conn_open(&c, lfd);
	seq = c.snd_nxt;
	/* All in one batch, until the window holds no more. */
	for (int i = 0; rig_drops(r, DROP_TCP_PARK_LIMIT) == 0;
	     i++, seq += (uint32_t)sizeof(data)) {
		assert_true(i < 10);
		stack_tx_may(rig_stack(r));
		before = b->tokens;
		rig_conn_segment(&c, RIG_ACK, seq, data, sizeof(data));
	}
	stack_tx_may(rig_stack(r));
	assert_int_equal(b->tokens, before);
	rig_conn_ack(&c);
	stack_tx_may(rig_stack(r));
	assert_int_equal(before - b->tokens, 54);
	close(fd);
	close(lfd);
	rig_free(r);
}

static void the_guest_receives_at_the_rate_every_byte(void **state)
{
	struct rig *r = start(0, RATE, 0);
	struct rig_conn c;
	uint64_t sent = 0, first;
	uint16_t port;
	int lfd = rig_listen(&port), fd;

	(void)state;
	rig_conn_init(&c, r, 40000, port);
	fd = rig_conn_open(&c, lfd);
	for (int i = 0; i < 50; i++) {
		rig_pump_write(fd, c.rx_seed, &sent, 4000000);
		rig_cycle(r);
		rig_conn_poll(&c);
	}
	/* The burst, and one frame of 64 KiB at most beyond it. */
	first = c.rx_bytes;
	assert_in_range(first, 90000, 170000);
	for (int ms = 0; ms < 2000; ms += 5) {
		rig_pump_write(fd, c.rx_seed, &sent, 4000000);
		rig_advance(r, 5 * NS_PER_MS);
		rig_conn_poll(&c);
	}
	assert_in_range(c.rx_bytes, 2 * RATE - 70000, 2 * RATE + 170000);
	assert_int_equal(counter_get(&stack_counters(rig_stack(r))->tcp_retransmits), 0);
	/* Lifted while it runs: the rest comes without another tick of the old rate. */
	assert_int_equal(stack_limit_set(rig_stack(r), "rate-in", 0), 0);
	rig_advance(r, 2 * NS_PER_MS);
	RIG_UNTIL(r, (rig_pump_write(fd, c.rx_seed, &sent, 4000000), rig_conn_poll(&c),
		      c.rx_bytes == 4000000));
	assert_int_equal(rig_allocs(r), 0);
	close(fd);
	close(lfd);
	rig_free(r);
}

/* ACKs and ARP do not queue behind payload. */
static void what_we_originate_never_waits(void **state)
{
	struct rig *r = start(0, 1000, 0);
	uint8_t frame[128];
	struct rig_conn c;
	struct rig_pkt pkt;
	uint64_t sent = 0;
	uint16_t port;
	int lfd = rig_listen(&port), fd;

	(void)state;
	rig_conn_init(&c, r, 40000, port);
	fd = rig_conn_open(&c, lfd);
	for (int i = 0; i < 50; i++) {
		rig_pump_write(fd, c.rx_seed, &sent, 1000000);
		rig_cycle(r);
		rig_conn_poll(&c);
	}
	assert_true(c.rx_bytes < 200000);
	rig_send(r, frame, rig_build_arp(r, frame, 0x0a00020fU, RIG_GATEWAY), NULL);
	rig_cycle(r);
	assert_true(rig_pop(r, &pkt));
	assert_int_equal(pkt.ethertype, ETHERTYPE_ARP);
	rig_conn_send(&c, 1000);
	RIG_UNTIL(r, (rig_conn_poll(&c), rig_conn_acked(&c)));
	close(fd);
	close(lfd);
	rig_free(r);
}

static void packets_have_a_rate_of_their_own(void **state)
{
	struct rig *r = start(0, 0, 100);
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
