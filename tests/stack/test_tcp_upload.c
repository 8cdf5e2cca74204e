/* SPDX-License-Identifier: MIT */
/* Guest to host: bytes, sequence numbers, windows, and a host that does not read. */
#include "tests/stack/rig_tcp.h"

#include <unistd.h>

#include "src/base/base.h"
#include "tcpstack/limits.h"

#define MIB (1ULL << 20)

static uint64_t counted(struct rig *r, const struct counter *c)
{
	(void)r;
	return counter_get(c);
}

#define COUNT(r, name) counted((r), &stack_counters(rig_stack(r))->name)

struct up {
	struct rig *r;
	struct rig_conn c;
	int lfd, fd;
	uint64_t got;
};

static void up_start(struct up *u, const struct rig_config *cfg)
{
	struct rig_config def;
	uint16_t port;

	rig_config_defaults(&def);
	u->r = rig_new(cfg ? cfg : &def);
	u->lfd = rig_listen(&port);
	u->got = 0;
	rig_conn_init(&u->c, u->r, 40000, port);
}

static void up_open(struct up *u)
{
	u->fd = rig_conn_open(&u->c, u->lfd);
}

static void up_end(struct up *u)
{
	close(u->fd);
	close(u->lfd);
	rig_free(u->r);
}

/* One round: the guest sends what it may, the stack runs, the server reads. */
static bool upload_round(struct up *u, uint64_t total, uint32_t size)
{
	rig_conn_poll(&u->c);
	rig_conn_upload(&u->c, total, size);
	rig_pump_read(u->fd, u->c.tx_seed, &u->got);
	return u->got == total;
}

/* H30 */
static void every_byte_arrives(void **state)
{
	(void)state;
	struct up u;

	up_start(&u, NULL);
	up_open(&u);
	RIG_UNTIL(u.r, upload_round(&u, 8 * MIB, 1460));
	RIG_UNTIL(u.r, (rig_conn_poll(&u.c), rig_conn_acked(&u.c)));
	assert_int_equal(rig_held(u.r), 0);
	assert_int_equal(u.c.resends, 0);
	assert_int_equal(rig_drops(u.r, DROP_TCP_PARK_LIMIT), 0);
	/* Gathered: many segments to a send. */
	assert_true(COUNT(u.r, tx_batch_segs) > 8 * COUNT(u.r, tx_batches));
	assert_int_equal(COUNT(u.r, tcp_tx_payload), 8 * MIB);
	up_end(&u);
}

static void tso_frames_arrive(void **state)
{
	(void)state;
	struct up u;

	up_start(&u, NULL);
	up_open(&u);
	RIG_UNTIL(u.r, upload_round(&u, 16 * MIB, 59860));
	assert_int_equal(u.c.resends, 0);
	up_end(&u);
}

/* A frame in more pieces than a record can name is copied, and nothing is lost. */
static void scattered_frames_arrive(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct up u;

	rig_config_defaults(&cfg);
	cfg.tx_pieces = 200;
	up_start(&u, &cfg);
	up_open(&u);
	RIG_UNTIL(u.r, upload_round(&u, 4 * MIB, 30000));
	assert_int_equal(u.c.resends, 0);
	up_end(&u);
}

/* The guest's numbers wrap in the middle (RFC 9293 3.4). */
static void guest_sequence_wraps(void **state)
{
	(void)state;
	struct up u;

	up_start(&u, NULL);
	u.c.iss = UINT32_MAX - 100000;
	up_open(&u);
	RIG_UNTIL(u.r, upload_round(&u, 1 * MIB, 1460));
	RIG_UNTIL(u.r, (rig_conn_poll(&u.c), rig_conn_acked(&u.c)));
	up_end(&u);
}

/* RFC 9293 3.10.7.4: what was received is not written again. */
static void old_duplicate_is_acked_and_dropped(void **state)
{
	(void)state;
	struct up u;
	uint8_t data[100];
	uint32_t first;

	up_start(&u, NULL);
	up_open(&u);
	first = u.c.snd_nxt;
	rig_conn_send(&u.c, 100);
	RIG_UNTIL(u.r, (rig_conn_poll(&u.c), rig_conn_acked(&u.c)));
	rig_pattern(data, 100, u.c.tx_seed, 0);
	u.c.acks = 0;
	rig_conn_segment(&u.c, RIG_ACK, first, data, 100);
	rig_cycle(u.r);
	rig_conn_poll(&u.c);
	assert_int_equal(u.c.acks, 1);
	rig_conn_send(&u.c, 50);
	RIG_UNTIL(u.r, (rig_pump_read(u.fd, u.c.tx_seed, &u.got), rig_cycle(u.r), u.got >= 150));
	assert_int_equal(u.got, 150);
	up_end(&u);
}

static void overlap_is_trimmed(void **state)
{
	(void)state;
	struct up u;
	uint8_t data[300];
	uint32_t first;

	up_start(&u, NULL);
	up_open(&u);
	first = u.c.snd_nxt;
	rig_pattern(data, 300, u.c.tx_seed, 0);
	rig_conn_send(&u.c, 200);
	/* Bytes 100..299, of which the first hundred are known. */
	rig_conn_segment(&u.c, RIG_ACK, first + 100, data + 100, 200);
	u.c.snd_nxt = u.c.snd_max = first + 300;
	u.c.tx_bytes = 300;
	RIG_UNTIL(u.r, (rig_conn_poll(&u.c), rig_conn_acked(&u.c)));
	RIG_UNTIL(u.r, (rig_pump_read(u.fd, u.c.tx_seed, &u.got), u.got == 300));
	up_end(&u);
}

/* H30: a hole is never written over; each segment behind it brings a duplicate ACK. */
static void out_of_order_waits_for_the_hole(void **state)
{
	(void)state;
	struct up u;
	uint32_t first;

	up_start(&u, NULL);
	up_open(&u);
	first = u.c.snd_nxt;
	u.c.snd_nxt += 100;
	u.c.tx_bytes = 100;
	u.c.snd_max = u.c.snd_nxt;
	u.c.acks = 0;
	for (int i = 0; i < 3; i++)
		rig_conn_send(&u.c, 100);
	rig_cycle(u.r);
	rig_conn_poll(&u.c);
	assert_int_equal(u.c.acks, 3);
	assert_int_equal(u.c.snd_una, first);
	assert_int_equal(COUNT(u.r, tcp_early), 3);
	assert_int_equal(rig_drops(u.r, DROP_TCP_SEQUENCE), 0);
	rig_conn_resend(&u.c);
	u.c.tx_bytes = 0;
	rig_conn_send(&u.c, 400);
	RIG_UNTIL(u.r, (rig_pump_read(u.fd, u.c.tx_seed, &u.got), u.got == 400));
	up_end(&u);
}

static void beyond_the_window_is_not_taken(void **state)
{
	(void)state;
	struct up u;
	uint8_t byte = 1;

	up_start(&u, NULL);
	up_open(&u);
	u.c.acks = 0;
	rig_conn_segment(&u.c, RIG_ACK, u.c.edge + 1000000, &byte, 1);
	rig_cycle(u.r);
	rig_conn_poll(&u.c);
	assert_int_equal(u.c.acks, 1);
	assert_int_equal(rig_drops(u.r, DROP_TCP_SEQUENCE), 1);
	rig_cycle(u.r);
	rig_pump_read(u.fd, u.c.tx_seed, &u.got);
	assert_int_equal(u.got, 0);
	up_end(&u);
}

/* H36: an ACK of what was never sent is answered, and its segment dropped. */
static void ack_of_the_future_is_refused(void **state)
{
	(void)state;
	struct up u;
	uint8_t byte = 1;

	up_start(&u, NULL);
	up_open(&u);
	u.c.rcv_nxt += 5000;
	rig_conn_segment(&u.c, RIG_ACK, u.c.snd_nxt, &byte, 1);
	u.c.rcv_nxt -= 5000;
	rig_cycle(u.r);
	rig_conn_poll(&u.c);
	assert_int_equal(rig_drops(u.r, DROP_TCP_ACK), 1);
	assert_int_equal(u.c.snd_una, u.c.snd_nxt);
	up_end(&u);
}

/* H48: the urgent pointer is ignored, its bytes are in the stream. */
static void urgent_bytes_are_in_band(void **state)
{
	(void)state;
	struct up u;
	uint8_t data[64];

	up_start(&u, NULL);
	up_open(&u);
	rig_pattern(data, 64, u.c.tx_seed, 0);
	rig_conn_segment(&u.c, RIG_ACK | RIG_URG, u.c.snd_nxt, data, 64);
	RIG_UNTIL(u.r, (rig_pump_read(u.fd, u.c.tx_seed, &u.got), u.got == 64));
	up_end(&u);
}

/* The guest sends as far as it may until neither window nor queue moves any more. */
static void fill(struct up *u, uint64_t total, uint32_t size)
{
	uint32_t still = 0;

	while (still < 20) {
		uint64_t before = u->c.tx_bytes;

		rig_conn_upload(&u->c, total, size);
		rig_cycle(u->r);
		rig_conn_poll(&u->c);
		still = u->c.tx_bytes == before ? still + 1 : 0;
	}
}

/*
 * H16, H30, H38: the host does not read. The window closes, bytes stay parked,
 * the guest's ring is not pinned; when the host reads again nothing is missing.
 */
static void stalled_host(const struct rig_config *cfg, uint64_t total, uint32_t size)
{
	struct up u;

	up_start(&u, cfg);
	up_open(&u);
	fill(&u, total, size);
	assert_true(u.c.tx_bytes < total);
	assert_true(rig_conn_room(&u.c) < size);
	assert_false(rig_conn_acked(&u.c)); /* parked is not ACKed */
	assert_true(COUNT(u.r, parked_bytes) > 0);
	assert_true(rig_held(u.r) <= LIMIT_TCP_HELD_FLOW);
	assert_int_equal(rig_drops(u.r, DROP_TCP_PARK_LIMIT), 0);

	RIG_UNTIL(u.r, upload_round(&u, total, size));
	RIG_UNTIL(u.r, (rig_conn_poll(&u.c), rig_conn_acked(&u.c)));
	assert_int_equal(u.c.resends, 0);
	assert_int_equal(rig_held(u.r), 0);
	assert_int_equal(COUNT(u.r, parked_bytes), 0);
	up_end(&u);
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
	struct up u;

	up_start(&u, NULL);
	up_open(&u);
	fill(&u, 32 * MIB, 1460);
	for (int i = 0; i < 5; i++) {
		rig_conn_resend(&u.c);
		fill(&u, 32 * MIB, 1000);
	}
	RIG_UNTIL(u.r, upload_round(&u, 32 * MIB, 1460));
	RIG_UNTIL(u.r, (rig_conn_poll(&u.c), rig_conn_acked(&u.c)));
	up_end(&u);
}

/* H38: a probe of the shut window is answered, with an ACK. */
static void window_probe_is_answered(void **state)
{
	(void)state;
	struct up u;
	uint8_t byte;

	up_start(&u, NULL);
	up_open(&u);
	fill(&u, 32 * MIB, 1460);
	fill(&u, 32 * MIB, 100);
	fill(&u, 32 * MIB, 1);
	assert_int_equal(rig_conn_room(&u.c), 0);
	u.c.acks = 0;
	rig_pattern(&byte, 1, u.c.tx_seed, u.c.tx_bytes);
	rig_conn_segment(&u.c, RIG_ACK, u.c.snd_nxt, &byte, 1);
	rig_cycle(u.r);
	rig_conn_poll(&u.c);
	assert_int_equal(u.c.acks, 1);
	assert_int_equal(rig_conn_room(&u.c), 0);
	/* As Linux does it: one below. */
	rig_conn_segment(&u.c, RIG_ACK, u.c.snd_una - 1, NULL, 0);
	rig_cycle(u.r);
	rig_conn_poll(&u.c);
	assert_int_equal(u.c.acks, 2);
	/* Room comes by itself, without a further question. */
	RIG_UNTIL(u.r, (rig_pump_read(u.fd, u.c.tx_seed, &u.got), rig_conn_poll(&u.c),
			rig_conn_room(&u.c) > 30000));
	RIG_UNTIL(u.r, upload_round(&u, 32 * MIB, 1460));
	up_end(&u);
}

/* H34: with a full socket and parked bytes there is nothing to wake up for. */
static void stalled_flow_costs_nothing(void **state)
{
	(void)state;
	struct up u;
	uint64_t calls;

	up_start(&u, NULL);
	up_open(&u);
	fill(&u, 32 * MIB, 1460);
	calls = COUNT(u.r, syscalls);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(loop_wait(stack_loop(rig_stack(u.r)), false), 0);
		stack_run(rig_stack(u.r));
	}
	assert_true(COUNT(u.r, syscalls) <= calls + 100); /* the waits themselves */
	up_end(&u);
}

/* H17: a reset of the driver takes the frames; the flow lives, and the guest resends. */
static void driver_reset_returns_parked_frames(void **state)
{
	(void)state;
	struct up u;

	up_start(&u, NULL);
	up_open(&u);
	fill(&u, 32 * MIB, 1460);
	assert_true(rig_held(u.r) > 0);
	rig_detach(u.r); /* checks that every token is back */
	rig_attach(u.r);
	rig_conn_resend(&u.c);
	RIG_UNTIL(u.r, upload_round(&u, 16 * MIB + u.c.tx_bytes, 1460) || u.got >= 16 * MIB);
	up_end(&u);
}

/* The guest resets with bytes parked: tokens return, the host is reset. */
static void reset_with_parked_bytes(void **state)
{
	(void)state;
	struct up u;

	up_start(&u, NULL);
	up_open(&u);
	fill(&u, 32 * MIB, 1460);
	rig_conn_segment(&u.c, RIG_RST, u.c.snd_max, NULL, 0);
	assert_int_equal(rig_held(u.r), 0);
	assert_int_equal(COUNT(u.r, tcp_active), 0);
	up_end(&u);
}

/* Many flows stalled at once: what finds no room is refused, not lost (TCP_PARK_LIMIT). */
static void parking_space_runs_out_gracefully(void **state)
{
	(void)state;
	enum { FLOWS = 24 };
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
	for (uint16_t i = 0; i < FLOWS; i++) {
		rig_conn_init(&c[i], r, (uint16_t)(40000 + i), port);
		c[i].group = c;
		c[i].group_size = i + 1U;
		fd[i] = rig_conn_open(&c[i], lfd);
	}
	for (uint16_t i = 0; i < FLOWS; i++)
		c[i].group_size = FLOWS;
	while (still < 20) {
		uint64_t sent = 0;

		for (uint16_t i = 0; i < FLOWS; i++) {
			uint64_t before = c[i].tx_bytes;

			rig_conn_upload(&c[i], MIB, 1460);
			sent += c[i].tx_bytes - before;
		}
		rig_cycle(r);
		rig_conn_poll(c);
		still = sent ? 0 : still + 1;
	}
	assert_true(rig_held(r) <= LIMIT_TCP_HELD_ALL);
	assert_true(rig_drops(r, DROP_TCP_PARK_LIMIT) > 0);
	for (uint64_t since = clock_now_ns(); ready < FLOWS;) {
		ready = 0;
		rig_step(r, since, "all flows", __FILE__, __LINE__);
		rig_conn_poll(c);
		for (uint16_t i = 0; i < FLOWS; i++) {
			stuck[i] = una[i] == c[i].snd_una ? stuck[i] + 1 : 0;
			una[i] = c[i].snd_una;
			if (stuck[i] % 10 == 9 && !rig_conn_acked(&c[i]))
				rig_conn_resend(&c[i]);
			rig_conn_upload(&c[i], MIB, 1460);
			rig_pump_read(fd[i], c[i].tx_seed, &got[i]);
			ready += got[i] == MIB;
		}
	}
	for (uint16_t i = 0; i < FLOWS; i++)
		close(fd[i]);
	close(lfd);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_arrives),
		cmocka_unit_test(tso_frames_arrive),
		cmocka_unit_test(scattered_frames_arrive),
		cmocka_unit_test(guest_sequence_wraps),
		cmocka_unit_test(old_duplicate_is_acked_and_dropped),
		cmocka_unit_test(overlap_is_trimmed),
		cmocka_unit_test(out_of_order_waits_for_the_hole),
		cmocka_unit_test(beyond_the_window_is_not_taken),
		cmocka_unit_test(ack_of_the_future_is_refused),
		cmocka_unit_test(urgent_bytes_are_in_band),
		cmocka_unit_test(host_that_does_not_read_loses_nothing),
		cmocka_unit_test(host_that_does_not_read_loses_nothing_tso),
		cmocka_unit_test(host_with_a_tiny_send_buffer_loses_nothing),
		cmocka_unit_test(retransmission_of_parked_bytes_is_harmless),
		cmocka_unit_test(window_probe_is_answered),
		cmocka_unit_test(stalled_flow_costs_nothing),
		cmocka_unit_test(driver_reset_returns_parked_frames),
		cmocka_unit_test(reset_with_parked_bytes),
		cmocka_unit_test(parking_space_runs_out_gracefully),
	};

	return cmocka_run_group_tests_name("tcp_upload", tests, NULL, NULL);
}
