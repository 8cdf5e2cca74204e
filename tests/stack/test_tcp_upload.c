/* SPDX-License-Identifier: MIT */
/* Guest to host: bytes, sequence numbers and windows. */
#include "tests/stack/pair_rig.h"

/* H30 */
static void every_byte_arrives(void **state)
{
	(void)state;
	struct pair u;

	pair_open(&u, NULL);
	RIG_UNTIL(u.r, pair_upload(&u, 8 * MIB, 1460));
	RIG_CONN_UNTIL(&u.c, rig_conn_acked(&u.c));
	assert_int_equal(rig_held(u.r), 0);
	assert_int_equal(u.c.resends, 0);
	assert_int_equal(rig_drops(u.r, DROP_TCP_PARK_LIMIT), 0);
	/* Gathered: many segments to a send. */
	assert_true(COUNT(u.r, tx_batch_segs) > 8 * COUNT(u.r, tx_batches));
	assert_int_equal(COUNT(u.r, tcp_tx_payload), 8 * MIB);
	pair_end(&u);
}

static void tso_frames_arrive(void **state)
{
	(void)state;
	struct pair u;

	pair_open(&u, NULL);
	RIG_UNTIL(u.r, pair_upload(&u, 16 * MIB, 59860));
	assert_int_equal(u.c.resends, 0);
	pair_end(&u);
}

/* A frame in more pieces than a record can name is copied, and nothing is lost. */
static void scattered_frames_arrive(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct pair u;

	rig_config_defaults(&cfg);
	cfg.tx_pieces = 200;
	pair_open(&u, &cfg);
	RIG_UNTIL(u.r, pair_upload(&u, 4 * MIB, 30000));
	assert_int_equal(u.c.resends, 0);
	pair_end(&u);
}

/* The guest's numbers wrap in the middle (RFC 9293 3.4). */
static void guest_sequence_wraps(void **state)
{
	(void)state;
	struct pair u;

	pair_start(&u, NULL);
	u.c.iss = UINT32_MAX - 100000;
	pair_connect(&u);
	RIG_UNTIL(u.r, pair_upload(&u, 1 * MIB, 1460));
	RIG_CONN_UNTIL(&u.c, rig_conn_acked(&u.c));
	pair_end(&u);
}

/* RFC 9293 3.10.7.4: what was received is not written again. */
static void old_duplicate_is_acked_and_dropped(void **state)
{
	(void)state;
	struct pair u;
	uint8_t data[100];
	uint32_t first;

	pair_open(&u, NULL);
	first = u.c.snd_nxt;
	rig_conn_send(&u.c, 100);
	RIG_CONN_UNTIL(&u.c, rig_conn_acked(&u.c));
	rig_pattern(data, 100, u.c.tx_seed, 0);
	u.c.acks = 0;
	rig_conn_segment(&u.c, RIG_ACK, first, data, 100);
	rig_conn_cycle(&u.c);
	assert_int_equal(u.c.acks, 1);
	rig_conn_send(&u.c, 50);
	RIG_UNTIL(u.r, (pair_read(&u), rig_cycle(u.r), u.got >= 150));
	assert_int_equal(u.got, 150);
	pair_end(&u);
}

static void overlap_is_trimmed(void **state)
{
	(void)state;
	struct pair u;
	uint8_t data[300];
	uint32_t first;

	pair_open(&u, NULL);
	first = u.c.snd_nxt;
	rig_pattern(data, 300, u.c.tx_seed, 0);
	rig_conn_send(&u.c, 200);
	/* Bytes 100..299, of which the first hundred are known. */
	rig_conn_segment(&u.c, RIG_ACK, first + 100, data + 100, 200);
	u.c.snd_nxt = u.c.snd_max = first + 300;
	u.c.tx_bytes = 300;
	RIG_CONN_UNTIL(&u.c, rig_conn_acked(&u.c));
	RIG_UNTIL(u.r, pair_read(&u) == 300);
	pair_end(&u);
}

/* H30: a hole is never written over; each segment behind it brings a duplicate ACK. */
static void out_of_order_waits_for_the_hole(void **state)
{
	(void)state;
	struct pair u;
	uint32_t first;

	pair_open(&u, NULL);
	first = u.c.snd_nxt;
	u.c.snd_nxt += 100;
	u.c.tx_bytes = 100;
	u.c.snd_max = u.c.snd_nxt;
	u.c.acks = 0;
	for (int i = 0; i < 3; i++)
		rig_conn_send(&u.c, 100);
	rig_conn_cycle(&u.c);
	assert_int_equal(u.c.acks, 3);
	assert_int_equal(u.c.snd_una, first);
	assert_int_equal(COUNT(u.r, tcp_early), 3);
	assert_int_equal(rig_drops(u.r, DROP_TCP_SEQUENCE), 0);
	rig_conn_resend(&u.c);
	u.c.tx_bytes = 0;
	rig_conn_send(&u.c, 400);
	RIG_UNTIL(u.r, pair_read(&u) == 400);
	pair_end(&u);
}

static void beyond_the_window_is_not_taken(void **state)
{
	(void)state;
	struct pair u;
	uint8_t byte = 1;

	pair_open(&u, NULL);
	u.c.acks = 0;
	rig_conn_segment(&u.c, RIG_ACK, u.c.edge + 1000000, &byte, 1);
	rig_conn_cycle(&u.c);
	assert_int_equal(u.c.acks, 1);
	assert_int_equal(rig_drops(u.r, DROP_TCP_SEQUENCE), 1);
	rig_cycle(u.r);
	assert_int_equal(pair_read(&u), 0);
	pair_end(&u);
}

/* H36: an ACK of what was never sent is answered, and its segment dropped. */
static void ack_of_the_future_is_refused(void **state)
{
	(void)state;
	struct pair u;
	uint8_t byte = 1;

	pair_open(&u, NULL);
	u.c.rcv_nxt += 5000;
	rig_conn_segment(&u.c, RIG_ACK, u.c.snd_nxt, &byte, 1);
	u.c.rcv_nxt -= 5000;
	rig_conn_cycle(&u.c);
	assert_int_equal(rig_drops(u.r, DROP_TCP_ACK), 1);
	assert_int_equal(u.c.snd_una, u.c.snd_nxt);
	pair_end(&u);
}

/* H48: the urgent pointer is ignored, its bytes are in the stream. */
static void urgent_bytes_are_in_band(void **state)
{
	(void)state;
	struct pair u;
	uint8_t data[64];

	pair_open(&u, NULL);
	rig_pattern(data, 64, u.c.tx_seed, 0);
	rig_conn_segment(&u.c, RIG_ACK | RIG_URG, u.c.snd_nxt, data, 64);
	RIG_UNTIL(u.r, pair_read(&u) == 64);
	pair_end(&u);
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
	};

	return cmocka_run_group_tests_name("tcp_upload", tests, NULL, NULL);
}
