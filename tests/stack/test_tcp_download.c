/* SPDX-License-Identifier: MIT */
/*
 * Host to guest: bytes, a guest that does not read, lost frames, and buffers that
 * run out. Every test runs with SO_PEEK_OFF and again as on a kernel without it.
 */
#include "tests/stack/pair_rig.h"

#include <sys/socket.h>
#include <unistd.h>

#include "src/base/base.h"
#include "tcpstack/limits.h"

/* What every test starts from; the group's setup switches it. */
static bool no_offset;

static void down_config(struct rig_config *cfg)
{
	rig_config_defaults(cfg);
	cfg->stack.no_peek_offset = no_offset;
}

static void down_start(struct pair *d, const struct rig_config *cfg)
{
	struct rig_config def;

	down_config(&def);
	pair_start(d, cfg ? cfg : &def);
}

static void down_open(struct pair *d, const struct rig_config *cfg)
{
	down_start(d, cfg);
	pair_connect(d);
}

/* ... and the guest has the first @total bytes. */
static void down_to(struct pair *d, const struct rig_config *cfg, uint64_t total)
{
	down_open(d, cfg);
	RIG_UNTIL(d->r, pair_download(d, total));
}

static void download(const struct rig_config *cfg, uint64_t total)
{
	struct pair d;

	down_to(&d, cfg, total);
	assert_int_equal(COUNT(d.r, tcp_retransmits), 0);
	assert_int_equal(COUNT(d.r, tcp_rx_payload), total);
	pair_end(&d);
}

/* H56 is about speed; that the one copy is right is checked byte by byte. */
static void every_byte_arrives_by_tso(void **state)
{
	(void)state;
	struct pair d;

	down_to(&d, NULL, 16 * MIB);
	assert_true(d.c.gso_frames > 0);
	assert_true(d.c.max_payload > 60000);
	assert_int_equal(COUNT(d.r, tcp_retransmits), 0);
	pair_end(&d);
}

static void every_byte_arrives_without_tso(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct pair d;

	down_config(&cfg);
	cfg.caps.rx_tso4 = false;
	down_to(&d, &cfg, 8 * MIB);
	assert_int_equal(d.c.max_payload, 1460);
	/* Several frames to a receive. */
	assert_true(COUNT(d.r, syscalls) < d.c.frames);
	pair_end(&d);
}

static void every_byte_arrives_with_full_checksums(void **state)
{
	(void)state;
	struct rig_config cfg;

	down_config(&cfg);
	cfg.caps = (struct port_caps){ .rx_csum = false };
	download(&cfg, 4 * MIB);
}

/* H58 */
static void every_byte_arrives_at_other_mtus(void **state)
{
	(void)state;
	static const uint16_t mtus[] = { 576, 1280, 9000, 65520 };

	for (size_t i = 0; i < ARRAY_SIZE(mtus); i++) {
		struct rig_config cfg;

		down_config(&cfg);
		cfg.stack.mtu = mtus[i];
		cfg.caps.rx_tso4 = i & 1;
		download(&cfg, 2 * MIB);
	}
}

/* The guest's MSS is kept to, also where TSO would let us do otherwise. */
static void small_mss_is_honoured(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct pair d;

	down_config(&cfg);
	cfg.caps.rx_tso4 = false;
	down_start(&d, &cfg);
	d.c.mss = 0; /* none: 536, RFC 9293 3.7.1 */
	pair_connect(&d);
	RIG_UNTIL(d.r, pair_download(&d, 300000));
	assert_int_equal(d.c.max_payload, 536);
	pair_end(&d);
}

/* Buffers of 256 bytes, merged: a frame is hundreds of pieces. */
static void tiny_buffers(void **state)
{
	(void)state;
	struct rig_config cfg;

	down_config(&cfg);
	cfg.rx_buf_size = 256;
	cfg.rx_buffers = 1024;
	download(&cfg, 4 * MIB);
}

/* One buffer, one frame, no merging: as a driver without MRG_RXBUF. */
static void unmerged_buffers(void **state)
{
	(void)state;
	struct rig_config cfg;

	down_config(&cfg);
	cfg.rx_merge = false;
	cfg.rx_buf_size = 1600;
	cfg.caps.rx_tso4 = false;
	download(&cfg, 2 * MIB);
}

/* Our sequence numbers pass 2^32 in the middle of the stream. */
static void our_sequence_wraps(void **state)
{
	(void)state;
	struct pair d;
	uint32_t left;

	down_start(&d, NULL);
	rig_conn_syn(&d.c);
	RIG_CONN_UNTIL(&d.c, d.c.synack);
	rig_conn_segment(&d.c, RIG_RST, d.c.snd_nxt, NULL, 0);
	close(rig_accept(d.r, d.lfd));
	/* The clock part of the number counts 4 us (RFC 6528): wait until it is near the end. */
	left = 0U - d.c.irs - 500000;
	rig_advance(d.r, (uint64_t)left * 4 * NS_PER_US);
	d.c.synack = false;
	pair_connect(&d);
	assert_true(d.c.irs > UINT32_MAX - 600000);
	RIG_UNTIL(d.r, pair_download(&d, 3 * MIB));
	assert_true(d.c.rcv_nxt < 4 * MIB);
	pair_end(&d);
}

/* A guest that stops reading: the window shuts, is probed, opens, and nothing is missing. */
static void guest_that_does_not_read_loses_nothing(void **state)
{
	(void)state;
	struct pair d;
	uint64_t before;

	down_to(&d, NULL, 1 * MIB);
	d.c.window = 0;
	rig_conn_ack(&d.c);
	pair_download_fill(&d, 8 * MIB);
	before = d.c.rx_bytes;
	d.c.acks = 0;
	rig_advance(d.r, 5 * NS_PER_S);
	rig_conn_poll(&d.c);
	assert_in_range(d.c.acks, 2, 10); /* probes, at doubling intervals */
	assert_int_equal(d.c.rx_bytes, before);
	d.c.window = 1U << 20;
	rig_conn_ack(&d.c);
	RIG_UNTIL(d.r, pair_download(&d, 8 * MIB));
	pair_end(&d);
}

/* The guest's update is lost: the next probe finds the window open. */
static void lost_window_update_is_found_by_a_probe(void **state)
{
	(void)state;
	struct pair d;

	down_to(&d, NULL, 100000);
	d.c.window = 0;
	rig_conn_ack(&d.c);
	pair_download_fill(&d, 2 * MIB);
	d.c.window = 1U << 20; /* and nothing is sent */
	rig_advance(d.r, 2 * NS_PER_S);
	rig_conn_poll(&d.c); /* answers the probe */
	RIG_UNTIL(d.r, pair_download(&d, 2 * MIB));
	pair_end(&d);
}

/* A window of a few bytes at a time. */
static void tiny_window(void **state)
{
	(void)state;
	struct pair d;

	down_start(&d, NULL);
	d.c.wscale = -1;
	d.c.window = 700;
	pair_connect(&d);
	RIG_UNTIL(d.r, pair_download(&d, 100000));
	assert_true(d.c.max_payload <= 700);
	pair_end(&d);
}

/* H14, H54: the ring runs dry in the middle and is filled up a little at a time. */
static void starved_ring_is_served_after_each_refill(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct pair d;

	down_config(&cfg);
	cfg.auto_refill = false;
	cfg.rx_buffers = 40;
	down_open(&d, &cfg);
	for (uint64_t since = clock_now_ns(); d.c.rx_bytes < MIB;) {
		pair_write(&d, MIB);
		rig_step(d.r, since, "a starved download", __FILE__, __LINE__);
		rig_conn_poll(&d.c);
		rig_cycle(d.r); /* the ACKs find an empty ring: only the refill can help */
		rig_refill(d.r, 3);
	}
	pair_end(&d);
}

/* H54: what is in flight never exceeds what the guest gave room for. */
static void ring_without_refill_bounds_what_is_sent(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct pair d;

	down_config(&cfg);
	cfg.auto_refill = false;
	down_open(&d, &cfg);
	pair_download_fill(&d, 8 * MIB);
	assert_true(d.c.rx_bytes <= 256 * 4096);
	assert_true(d.c.rx_bytes > 128 * 4096);
	rig_set_auto_refill(d.r, true);
	rig_refill(d.r, UINT32_MAX);
	RIG_UNTIL(d.r, pair_download(&d, 8 * MIB));
	pair_end(&d);
}

/* H33: three duplicate ACKs bring the lost frame again, without waiting for a timer. */
static void lost_frame_is_resent_on_duplicate_acks(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct pair d;
	uint64_t now;

	down_config(&cfg);
	cfg.caps.rx_tso4 = false; /* frames enough for duplicate ACKs */
	down_to(&d, &cfg, 200000);
	now = rig_now(d.r);
	d.c.lose = 1;
	RIG_UNTIL(d.r, pair_download(&d, 2 * MIB));
	assert_int_equal(d.c.lose, 0);
	assert_int_equal(rig_now(d.r), now); /* no time has passed */
	assert_in_range(COUNT(d.r, tcp_retransmits), 1, 3);
	pair_end(&d);
}

/* H33, RFC 6582: several holes in one window are filled one after the other. */
static void several_lost_frames_are_resent(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct pair d;

	down_config(&cfg);
	cfg.caps.rx_tso4 = false;
	down_open(&d, &cfg);
	for (int i = 0; i < 10; i++) {
		uint64_t total = d.c.rx_bytes + 300000;
		uint64_t since = clock_now_ns();

		d.c.lose = 1 + (uint32_t)i % 4;
		while (!pair_download(&d, total)) {
			rig_step(d.r, since, "lossy download", __FILE__, __LINE__);
			rig_conn_poll(&d.c);
			rig_advance(d.r, 20 * NS_PER_MS);
		}
	}
	assert_true(COUNT(d.r, tcp_retransmits) > 10);
	pair_end(&d);
}

/* H33: the last frame is lost, so there are no duplicate ACKs; the timer has it. */
static void lost_tail_is_resent_on_timeout(void **state)
{
	(void)state;
	struct pair d;

	down_to(&d, NULL, 100000);
	d.c.lose = 100;
	pair_download_fill(&d, 100500);
	assert_int_equal(d.c.rx_bytes, 100000);
	d.c.lose = 0;
	rig_advance(d.r, 150 * NS_PER_MS);
	rig_conn_poll(&d.c);
	assert_int_equal(d.c.rx_bytes, 100000); /* not before the guest may have ACKed late */
	rig_advance(d.r, 2 * NS_PER_S);
	rig_conn_poll(&d.c);
	assert_int_equal(d.c.rx_bytes, 100500);
	pair_end(&d);
}

/* Everything is lost for a while: back to the first byte, at doubling intervals. */
static void blackout_is_survived(void **state)
{
	(void)state;
	struct pair d;

	down_to(&d, NULL, 50000);
	d.c.lose = UINT32_MAX;
	pair_download_fill(&d, 2 * MIB);
	rig_advance(d.r, 10 * NS_PER_S);
	rig_conn_poll(&d.c);
	assert_in_range(COUNT(d.r, tcp_retransmits), 3, 40);
	d.c.lose = 0;
	rig_advance(d.r, 30 * NS_PER_S);
	RIG_UNTIL(d.r, pair_download(&d, 2 * MIB));
	pair_end(&d);
}

/* A VM is paused for ten minutes and for an hour, with bytes under way in both directions. */
static void paused_guest_loses_nothing(void **state)
{
	(void)state;
	struct pair d;
	uint64_t got = 0;

	down_to(&d, NULL, 100000);
	for (int i = 0; i < 2; i++) {
		rig_set_auto_refill(d.r, false);
		pair_write(&d, d.sent + 8 * MIB);
		rig_conn_send(&d.c, 1000);
		if (i)
			shutdown(d.fd, SHUT_WR);
		for (int k = 0; k < 20; k++)
			rig_cycle(d.r);
		rig_advance(d.r, (i ? 3600 : 600) * NS_PER_S);
		rig_set_auto_refill(d.r, true);
		rig_refill(d.r, UINT32_MAX);
		RIG_UNTIL(d.r, pair_download(&d, d.sent));
		assert_false(d.c.rst);
		RIG_CONN_UNTIL(&d.c, rig_conn_acked(&d.c));
	}
	RIG_CONN_UNTIL(&d.c, d.c.fin);
	rig_pump_read(d.fd, d.c.tx_seed, &got);
	assert_int_equal(got, 2000);
	pair_end(&d);
}

/* A guest that never answers again is given up, and the host's side reset. */
static void dead_guest_is_given_up(void **state)
{
	(void)state;
	struct pair d;

	down_open(&d, NULL);
	d.c.auto_ack = false;
	pair_download_fill(&d, 1000);
	rig_advance(d.r, LIMIT_TCP_SILENT_NS - 60 * NS_PER_S);
	rig_conn_poll(&d.c);
	assert_false(d.c.rst);
	rig_advance(d.r, 180 * NS_PER_S);
	rig_conn_poll(&d.c);
	assert_true(d.c.rst);
	assert_int_equal(COUNT(d.r, tcp_active), 0);
	pair_end(&d);
}

/* H34: data in flight and a half-closed peer: no events, no timers but the one. */
static void flow_in_flight_costs_nothing(void **state)
{
	(void)state;
	struct pair d;

	down_open(&d, NULL);
	d.c.auto_ack = false;
	/* No more than the kernel's receive buffer holds: nothing leaves it here. */
	pair_write(&d, 40000);
	pair_host_closes(&d);
	for (int i = 0; i < 10; i++)
		rig_cycle(d.r);
	rig_assert_asleep(d.r);
	pair_end(&d);
}

/* Several flows share the ring: none waits for another to end. */
static void flows_take_turns(void **state)
{
	(void)state;
	enum { FLOWS = 4 };
	struct rig_config cfg;
	static struct rig_conn c[FLOWS];
	uint64_t sent[FLOWS] = { 0 };
	uint64_t since = clock_now_ns();
	struct rig *r;
	uint16_t port;
	int lfd = rig_listen(&port), fd[FLOWS];

	down_config(&cfg);
	cfg.rx_buffers = 64;
	r = rig_new(&cfg);
	rig_conn_open_all(c, fd, FLOWS, r, 40000, port, lfd);
	while (c[0].rx_bytes < 4 * MIB) {
		for (uint16_t i = 0; i < FLOWS; i++)
			rig_pump_write(fd[i], c[i].rx_seed, &sent[i], 64 * MIB);
		rig_step(r, since, "flows", __FILE__, __LINE__);
		rig_conn_poll(c);
	}
	for (uint16_t i = 1; i < FLOWS; i++)
		assert_true(c[i].rx_bytes > MIB / 2);
	for (uint16_t i = 0; i < FLOWS; i++)
		close(fd[i]);
	close(lfd);
	rig_free(r);
}

/* The kernel's receive buffer is small: what is ACKed leaves it in time (H57). */
static void small_receive_buffer_does_not_stall(void **state)
{
	(void)state;
	struct rig_config cfg;

	down_config(&cfg);
	cfg.stack.rcvbuf = 4096;
	download(&cfg, 200000);
}

/* H48: a peer's urgent bytes are in the stream, and what follows them is not forgotten. */
static void urgent_bytes_are_in_band(void **state)
{
	(void)state;
	struct pair d;

	down_open(&d, NULL);
	for (int i = 0; i < 20; i++) {
		uint8_t byte;

		pair_write(&d, d.sent + 2000);
		rig_pattern(&byte, 1, d.c.rx_seed, d.sent++);
		assert_int_equal(send(d.fd, &byte, 1, MSG_OOB), 1);
		if (i & 1)
			pair_write(&d, d.sent + 3000);
		if (i & 2)
			RIG_CONN_UNTIL(&d.c, d.c.rx_bytes == d.sent);
	}
	pair_write(&d, d.sent + 5000);
	pair_host_closes(&d);
	assert_int_equal(d.c.rx_bytes, d.sent);
	assert_int_equal(COUNT(d.r, tcp_retransmits), 0);
	pair_end(&d);
}

/* A driver reset in the middle: frames are gone, the flow recovers by itself. */
static void driver_reset_in_the_middle(void **state)
{
	(void)state;
	struct pair d;

	down_open(&d, NULL);
	d.c.auto_ack = false;
	pair_download_fill(&d, 4 * MIB);
	rig_detach(d.r);
	rig_advance(d.r, 1 * NS_PER_S);
	rig_attach(d.r);
	d.c.auto_ack = true;
	rig_conn_ack(&d.c);
	RIG_UNTIL(d.r, pair_download(&d, 4 * MIB));
	pair_end(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_arrives_by_tso),
		cmocka_unit_test(every_byte_arrives_without_tso),
		cmocka_unit_test(every_byte_arrives_with_full_checksums),
		cmocka_unit_test(every_byte_arrives_at_other_mtus),
		cmocka_unit_test(small_mss_is_honoured),
		cmocka_unit_test(tiny_buffers),
		cmocka_unit_test(unmerged_buffers),
		cmocka_unit_test(our_sequence_wraps),
		cmocka_unit_test(guest_that_does_not_read_loses_nothing),
		cmocka_unit_test(lost_window_update_is_found_by_a_probe),
		cmocka_unit_test(tiny_window),
		cmocka_unit_test(starved_ring_is_served_after_each_refill),
		cmocka_unit_test(ring_without_refill_bounds_what_is_sent),
		cmocka_unit_test(lost_frame_is_resent_on_duplicate_acks),
		cmocka_unit_test(several_lost_frames_are_resent),
		cmocka_unit_test(lost_tail_is_resent_on_timeout),
		cmocka_unit_test(blackout_is_survived),
		cmocka_unit_test(paused_guest_loses_nothing),
		cmocka_unit_test(dead_guest_is_given_up),
		cmocka_unit_test(flow_in_flight_costs_nothing),
		cmocka_unit_test(flows_take_turns),
		cmocka_unit_test(small_receive_buffer_does_not_stall),
		cmocka_unit_test(urgent_bytes_are_in_band),
		cmocka_unit_test(driver_reset_in_the_middle),
	};
	int failed = cmocka_run_group_tests_name("tcp_download", tests, NULL, NULL);

	no_offset = true;
	return failed + cmocka_run_group_tests_name("tcp_download_no_offset", tests, NULL, NULL);
}
