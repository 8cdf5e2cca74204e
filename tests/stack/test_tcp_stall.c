/* SPDX-License-Identifier: MIT */
/* Guest to host, where the host does not read: windows, parking, and patience. */
#include <unistd.h>

#include "src/base/base.h"
#include "tcpstack/limits.h"
#include "tests/stack/pair_rig.h"

/*
 * H16, H30, H38: the host does not read. The window closes, bytes stay parked,
 * the guest's ring is not pinned; when the host reads again nothing is missing.
 */
static void stalled_host(const struct rig_config *cfg, uint64_t total, uint32_t size)
{
	struct pair u;

	pair_open(&u, cfg);
	pair_upload_fill(&u, total, size);
	assert_true(u.c.tx_bytes < total);
	assert_true(rig_conn_room(&u.c) < size);
	assert_false(rig_conn_acked(&u.c)); /* parked is not ACKed */
	assert_true(COUNT(u.r, parked_bytes) > 0);
	assert_true(rig_held(u.r) <= LIMIT_TCP_HELD_FLOW);
	assert_int_equal(rig_drops(u.r, DROP_TCP_PARK_LIMIT), 0);

	RIG_UNTIL(u.r, pair_upload(&u, total, size));
	RIG_CONN_UNTIL(&u.c, rig_conn_acked(&u.c));
	assert_int_equal(u.c.resends, 0);
	assert_int_equal(rig_held(u.r), 0);
	assert_int_equal(COUNT(u.r, parked_bytes), 0);
	pair_end(&u);
}

static void host_that_does_not_read_loses_nothing(void **state)
{
	(void)state;
	stalled_host(NULL, 32 * MIB, 1460);
}

static void host_that_does_not_read_loses_nothing_tso(void **state)
{
	(void)state;
	stalled_host(NULL, 32 * MIB, 58400);
}

static void host_with_a_tiny_send_buffer_loses_nothing(void **state)
{
	(void)state;
	struct rig_config cfg;

	rig_config_defaults(&cfg);
	cfg.stack.sndbuf = 4096;
	stalled_host(&cfg, 2 * MIB, 1460);
}

/* The guest's timer goes off while its bytes are parked: they are not written twice. */
static void retransmission_of_parked_bytes_is_harmless(void **state)
{
	(void)state;
	struct pair u;

	pair_open(&u, NULL);
	pair_upload_fill(&u, 32 * MIB, 1460);
	for (int i = 0; i < 5; i++) {
		rig_conn_resend(&u.c);
		pair_upload_fill(&u, 32 * MIB, 1000);
	}
	RIG_UNTIL(u.r, pair_upload(&u, 32 * MIB, 1460));
	RIG_CONN_UNTIL(&u.c, rig_conn_acked(&u.c));
	pair_end(&u);
}

/* H38: a probe of the shut window is answered, with an ACK. */
static void window_probe_is_answered(void **state)
{
	(void)state;
	struct pair u;
	uint8_t byte;

	pair_open(&u, NULL);
	pair_upload_fill(&u, 32 * MIB, 1460);
	pair_upload_fill(&u, 32 * MIB, 100);
	pair_upload_fill(&u, 32 * MIB, 1);
	assert_int_equal(rig_conn_room(&u.c), 0);
	u.c.acks = 0;
	rig_pattern(&byte, 1, u.c.tx_seed, u.c.tx_bytes);
	rig_conn_segment(&u.c, RIG_ACK, u.c.snd_nxt, &byte, 1);
	rig_conn_cycle(&u.c);
	assert_int_equal(u.c.acks, 1);
	assert_int_equal(rig_conn_room(&u.c), 0);
	/* As Linux does it: one below. */
	rig_conn_segment(&u.c, RIG_ACK, u.c.snd_una - 1, NULL, 0);
	rig_conn_cycle(&u.c);
	assert_int_equal(u.c.acks, 2);
	/* Room comes by itself, without a further question. */
	RIG_UNTIL(u.r, (pair_read(&u), rig_conn_poll(&u.c), rig_conn_room(&u.c) > 30000));
	RIG_UNTIL(u.r, pair_upload(&u, 32 * MIB, 1460));
	pair_end(&u);
}

/*
 * A host that does not read for an hour. Within LIMIT_TCP_STALL_NS all that is parked
 * is ours and ACKed, so that the guest's ring is free and its retransmission timer,
 * which gives a connection up in the end, has nothing to do. Probes are answered.
 */
static void stalled_for_an_hour(const struct rig_config *cfg, uint64_t total, uint32_t size,
				bool fin)
{
	struct pair u;

	pair_open(&u, cfg);
	pair_upload_fill(&u, total, size);
	assert_true(rig_held(u.r) > 0);
	assert_false(rig_conn_acked(&u.c));
	rig_advance(u.r, LIMIT_TCP_STALL_NS + 2 * TIMER_TICK_NS);
	rig_conn_poll(&u.c);
	assert_int_equal(rig_held(u.r), 0);
	assert_true(rig_conn_acked(&u.c));
	assert_true(COUNT(u.r, parked_bytes) > 0);
	if (fin) {
		/* It is on its own from here, as after close(2). */
		total = u.c.tx_bytes;
		rig_conn_fin(&u.c);
		rig_conn_cycle(&u.c);
		assert_true(rig_conn_acked(&u.c));
	}
	for (int minute = 0; minute < 60; minute++) {
		rig_advance(u.r, 60 * NS_PER_S);
		rig_conn_poll(&u.c);
		if (fin)
			continue;
		u.c.acks = 0;
		rig_conn_segment(&u.c, RIG_ACK, u.c.snd_una - 1, NULL, 0);
		rig_conn_cycle(&u.c);
		assert_int_equal(u.c.acks, 1);
		/* The host's kernel, not its reader, may have found room: fill that too. */
		if (rig_conn_room(&u.c) >= size)
			pair_upload_fill(&u, total, size);
		assert_true(rig_conn_room(&u.c) < size);
	}
	assert_false(u.c.rst);
	RIG_UNTIL(u.r, pair_upload(&u, total, size));
	RIG_CONN_UNTIL(&u.c, rig_conn_acked(&u.c));
	if (fin)
		rig_read_eof(u.r, u.fd);
	assert_int_equal(u.c.resends, 0);
	assert_int_equal(COUNT(u.r, parked_bytes), 0);
	pair_end(&u);
}

static void host_may_read_an_hour_later(void **state)
{
	(void)state;
	stalled_for_an_hour(NULL, 32 * MIB, 1460, false);
}

static void host_may_read_an_hour_later_tso(void **state)
{
	(void)state;
	stalled_for_an_hour(NULL, 32 * MIB, 58400, false);
}

/* The guest has closed and may have forgotten the connection: all of it still arrives. */
static void host_may_read_an_hour_after_the_fin(void **state)
{
	(void)state;
	stalled_for_an_hour(NULL, 32 * MIB, 1460, true);
}

/* While the socket stays full, what comes is ACKed at once: there is no second wait. */
static void stalled_flow_holds_no_frame(void **state)
{
	(void)state;
	struct pair u;

	pair_open(&u, NULL);
	pair_upload_fill(&u, 32 * MIB, 1460);
	rig_advance(u.r, LIMIT_TCP_STALL_NS + 2 * TIMER_TICK_NS);
	rig_conn_poll(&u.c);
	while (rig_conn_room(&u.c)) {
		rig_conn_send(&u.c, MIN(rig_conn_room(&u.c), 1000U));
		assert_int_equal(rig_held(u.r), 0);
		rig_conn_cycle(&u.c);
		assert_true(rig_conn_acked(&u.c));
	}
	pair_end(&u);
}

/* A hole behind parked bytes: they are ACKed, else a SACK would make them look lost. */
static void parked_bytes_are_no_hole(void **state)
{
	(void)state;
	struct pair u;
	uint32_t una, first;

	pair_start(&u, NULL);
	u.c.sack = true;
	pair_connect(&u);
	while (rig_held(u.r) == 0) {
		rig_conn_upload(&u.c, 32 * MIB, 1460);
		rig_conn_cycle(&u.c);
	}
	una = u.c.snd_una;
	first = u.c.snd_nxt;
	assert_true(rig_conn_room(&u.c) >= 2000);
	u.c.snd_nxt += 1000;
	u.c.tx_bytes += 1000;
	rig_conn_send(&u.c, 1000);
	rig_conn_cycle(&u.c);
	assert_true(u.c.snd_una != una);
	assert_int_equal(u.c.snd_una, first);
	assert_int_equal(u.c.last.sack_count, 1);
	assert_int_equal(u.c.last.sack[0][0], first + 1000);
	assert_int_equal(rig_held(u.r), 0);
	rig_conn_resend(&u.c);
	RIG_UNTIL(u.r, pair_upload(&u, 16 * MIB, 1000));
	pair_end(&u);
}

/* H39: the host resets what it never read; the guest hears of it. */
static void reset_of_a_stalled_host_is_passed_on(void **state)
{
	(void)state;
	struct pair u;

	pair_open(&u, NULL);
	pair_upload_fill(&u, 32 * MIB, 1460);
	rig_advance(u.r, LIMIT_TCP_STALL_NS + 2 * TIMER_TICK_NS);
	rig_reset_close(u.fd);
	u.fd = -1;
	RIG_CONN_UNTIL(&u.c, u.c.rst);
	assert_int_equal(COUNT(u.r, tcp_active), 0);
	pair_end(&u);
}

/* H34: with a full socket and parked bytes there is nothing to wake up for. */
static void stalled_flow_costs_nothing(void **state)
{
	(void)state;
	struct pair u;

	pair_open(&u, NULL);
	pair_upload_fill(&u, 32 * MIB, 1460);
	rig_assert_asleep(u.r);
	pair_end(&u);
}

/* H17: a reset of the driver takes the frames; the flow lives, and the guest resends. */
static void driver_reset_returns_parked_frames(void **state)
{
	(void)state;
	struct pair u;

	pair_open(&u, NULL);
	pair_upload_fill(&u, 32 * MIB, 1460);
	assert_true(rig_held(u.r) > 0);
	rig_detach(u.r); /* checks that every token is back */
	rig_attach(u.r);
	rig_conn_resend(&u.c);
	RIG_UNTIL(u.r, pair_upload(&u, 16 * MIB + u.c.tx_bytes, 1460) || u.got >= 16 * MIB);
	pair_end(&u);
}

/* The guest resets with bytes parked: tokens return, the host is reset. */
static void reset_with_parked_bytes(void **state)
{
	(void)state;
	struct pair u;

	pair_open(&u, NULL);
	pair_upload_fill(&u, 32 * MIB, 1460);
	rig_conn_segment(&u.c, RIG_RST, u.c.snd_max, NULL, 0);
	assert_int_equal(rig_held(u.r), 0);
	assert_int_equal(COUNT(u.r, tcp_active), 0);
	pair_end(&u);
}

/* Many flows stalled at once: what finds no room is refused, not lost (TCP_PARK_FULL). */
static void parking_space_runs_out_gracefully(void **state)
{
	(void)state;
	enum { FLOWS = 200, BYTES = MIB / 4 };
	struct rig_config cfg;
	static struct rig_conn c[FLOWS];
	uint64_t got[FLOWS] = { 0 };
	uint32_t una[FLOWS] = { 0 }, stuck[FLOWS] = { 0 };
	struct rig *r;
	uint16_t port;
	int lfd = rig_listen(&port), fd[FLOWS];
	uint32_t still = 0, ready = 0;

	rig_config_defaults(&cfg);
	cfg.stack.max_tcp = FLOWS;
	cfg.stack.sndbuf = 4096;
	r = rig_new(&cfg);
	rig_conn_open_all(c, fd, FLOWS, r, 40000, port, lfd);
	while (still < 20) {
		uint64_t sent = 0;

		for (uint16_t i = 0; i < FLOWS; i++) {
			uint64_t before = c[i].tx_bytes;

			rig_conn_upload(&c[i], BYTES, 1460);
			sent += c[i].tx_bytes - before;
		}
		rig_conn_cycle(c);
		still = sent ? 0 : still + 1;
	}
	assert_true(rig_held(r) <= LIMIT_TCP_HELD_ALL);
	assert_true(rig_drops(r, DROP_TCP_PARK_FULL) > 0);
	for (uint64_t since = clock_now_ns(); ready < FLOWS;) {
		ready = 0;
		rig_step(r, since, "all flows", __FILE__, __LINE__);
		rig_conn_poll(c);
		for (uint16_t i = 0; i < FLOWS; i++) {
			stuck[i] = una[i] == c[i].snd_una ? stuck[i] + 1 : 0;
			una[i] = c[i].snd_una;
			if (stuck[i] % 10 == 9 && !rig_conn_acked(&c[i]))
				rig_conn_resend(&c[i]);
			rig_conn_upload(&c[i], BYTES, 1460);
			rig_pump_read(fd[i], c[i].tx_seed, &got[i]);
			ready += got[i] == BYTES;
		}
	}
	for (uint16_t i = 0; i < FLOWS; i++)
		close(fd[i]);
	close(lfd);
	rig_free(r);
}

/* As few as the limit of connections lets in: each has room for what it may send. */
static void a_few_parked_flows_find_room(void **state)
{
	(void)state;
	enum { FLOWS = 8 };
	struct rig_config cfg;
	static struct rig_conn c[FLOWS];
	struct rig *r;
	uint16_t port;
	int lfd = rig_listen(&port), fd[FLOWS];
	uint32_t still = 0;

	rig_config_defaults(&cfg);
	cfg.stack.max_tcp = FLOWS;
	r = rig_new(&cfg);
	rig_conn_open_all(c, fd, FLOWS, r, 40000, port, lfd);
	for (int ms = 0; still < 20; ms++) {
		uint64_t sent = 0;

		for (uint16_t i = 0; i < FLOWS; i++) {
			uint64_t before = c[i].tx_bytes;

			/* Two fit an arena buffer, with much to spare. */
			rig_conn_upload(&c[i], 32 * MIB, 25000);
			sent += c[i].tx_bytes - before;
		}
		rig_advance(r, 10 * NS_PER_MS);
		rig_conn_poll(c);
		still = sent ? 0 : still + 1;
	}
	assert_int_equal(rig_held(r), 0);
	assert_true(COUNT(r, parked_bytes) > 0);
	assert_int_equal(rig_drops(r, DROP_TCP_PARK_FULL), 0);
	assert_int_equal(rig_drops(r, DROP_TCP_PARK_LIMIT), 0);
	for (uint16_t i = 0; i < FLOWS; i++)
		close(fd[i]);
	close(lfd);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_that_does_not_read_loses_nothing),
		cmocka_unit_test(host_that_does_not_read_loses_nothing_tso),
		cmocka_unit_test(host_with_a_tiny_send_buffer_loses_nothing),
		cmocka_unit_test(retransmission_of_parked_bytes_is_harmless),
		cmocka_unit_test(window_probe_is_answered),
		cmocka_unit_test(host_may_read_an_hour_later),
		cmocka_unit_test(host_may_read_an_hour_later_tso),
		cmocka_unit_test(host_may_read_an_hour_after_the_fin),
		cmocka_unit_test(stalled_flow_holds_no_frame),
		cmocka_unit_test(parked_bytes_are_no_hole),
		cmocka_unit_test(reset_of_a_stalled_host_is_passed_on),
		cmocka_unit_test(stalled_flow_costs_nothing),
		cmocka_unit_test(driver_reset_returns_parked_frames),
		cmocka_unit_test(reset_with_parked_bytes),
		cmocka_unit_test(parking_space_runs_out_gracefully),
		cmocka_unit_test(a_few_parked_flows_find_room),
	};

	return cmocka_run_group_tests_name("tcp_stall", tests, NULL, NULL);
}
