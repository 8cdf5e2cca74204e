/* SPDX-License-Identifier: MIT */
/*
 * ICMP echo to the world. As root the tests run in a network namespace of their
 * own, whose loopback has an address that is not a loopback address and where
 * ping sockets are allowed; else they are skipped.
 */
#include "tests/stack/rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/log.h"

/* TEST-NET-1 (RFC 5737): the "world" behind the namespace's loopback device. */
#define WORLD	  0xc0000201U
#define NOWHERE	  0xc6336401U
#define GROUP_ALL "0 2147483647\n"

static const char *skip_why;

/* NULL when the namespace is ready, else what is missing. */
static const char *make_world(void)
{
	const uint32_t world = WORLD;
	int fd;

	if (!rig_own_network(&world, 1))
		return "cannot make a network namespace";
	if (rig_write_file("/proc/sys/net/ipv4/ping_group_range", GROUP_ALL))
		return "cannot write net.ipv4.ping_group_range";
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
	if (fd < 0)
		return "ping sockets are refused";
	close(fd);
	return NULL;
}

static struct rig *start(uint32_t max_ping)
{
	struct rig_config cfg;

	if (skip_why)
		skip();
	rig_config_defaults(&cfg);
	cfg.stack.max_ping = max_ping;
	return rig_new(&cfg);
}

static void guest_pings(struct rig *r, uint32_t dst, uint16_t id, uint16_t seq, uint32_t len)
{
	static uint8_t frame[2048], data[1500];

	rig_pattern(data, len, id * 65536U + seq, 0);
	assert_int_equal(
		rig_send(r, frame, rig_build_echo(r, frame, dst, id, seq, data, len), NULL),
		TX_DONE);
}

static void guest_gets_pong(struct rig *r, uint16_t id, uint16_t seq, uint32_t len)
{
	struct rig_pkt pkt;

	RIG_UNTIL(r, rig_pop(r, &pkt));
	assert_int_equal(pkt.proto, PROTO_ICMP);
	assert_int_equal(pkt.src, WORLD);
	assert_int_equal(pkt.icmp_type, 0);
	assert_int_equal(pkt.icmp_code, 0);
	assert_int_equal(pkt.icmp_id, id);
	assert_int_equal(pkt.icmp_seq, seq);
	assert_int_equal(pkt.payload_len, len);
	rig_pattern_check(pkt.payload, len, id * 65536U + seq, 0);
}

static void echo_comes_back_with_id_sequence_and_data(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 56, 57, 1472 };
	struct rig *r = start(8);
	const struct stack_counters *n = stack_counters(rig_stack(r));

	(void)state;
	for (uint16_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		guest_pings(r, WORLD, 0x1234, i, sizes[i]);
		guest_gets_pong(r, 0x1234, i, sizes[i]);
	}
	assert_int_equal(counter_get(&n->ping_opened), 1);
	assert_int_equal(counter_get(&n->ping_tx), ARRAY_SIZE(sizes));
	assert_int_equal(counter_get(&n->ping_rx), ARRAY_SIZE(sizes));
	assert_int_equal(rig_allocs(r), 0);
	rig_free(r);
}

static void two_pingers_stay_apart(void **state)
{
	struct rig *r = start(8);

	(void)state;
	guest_pings(r, WORLD, 1, 10, 100);
	guest_gets_pong(r, 1, 10, 100);
	guest_pings(r, WORLD, 2, 20, 200);
	guest_gets_pong(r, 2, 20, 200);
	guest_pings(r, WORLD, 1, 11, 300);
	guest_gets_pong(r, 1, 11, 300);
	assert_int_equal(COUNT(r, ping_active), 2);
	rig_free(r);
}

/* H43 */
static void table_is_bounded_and_aged(void **state)
{
	struct rig *r = start(2);
	const struct stack_counters *n = stack_counters(rig_stack(r));

	(void)state;
	for (uint16_t id = 0; id < 3; id++)
		guest_pings(r, WORLD, id, 1, 10);
	assert_int_equal(rig_drops(r, DROP_FLOW_LIMIT), 1);
	assert_int_equal(counter_get(&n->ping_active), 2);
	RIG_UNTIL(r, rig_pending(r) == 2); /* a reply makes its flow young again */
	rig_advance(r, 6 * NS_PER_S);
	guest_pings(r, WORLD, 2, 1, 10);
	assert_int_equal(counter_get(&n->ping_opened), 3);
	RIG_UNTIL(r, rig_pending(r) == 3);
	rig_advance(r, 61 * NS_PER_S);
	assert_int_equal(counter_get(&n->ping_active), 0);
	rig_free(r);
}

/* H14: more replies than the queue of waiting frames holds stay in their sockets. */
static void replies_wait_for_receive_buffers(void **state)
{
	enum { EACH = 200, LEN = 64 };
	uint16_t seq[2] = { 0 };
	struct rig_config cfg;
	struct rig_pkt pkt;
	struct rig *r;

	(void)state;
	if (skip_why)
		skip();
	rig_config_defaults(&cfg);
	cfg.rx_buffers = 4;
	cfg.auto_refill = false;
	r = rig_new(&cfg);
	for (uint16_t i = 0; i < 2 * EACH; i++)
		guest_pings(r, WORLD, i % 2, i / 2, LEN);
	for (uint32_t i = 0; i < 2 * EACH; i++) {
		RIG_UNTIL(r, rig_pop(r, &pkt));
		assert_true(pkt.icmp_id < 2);
		assert_int_equal(pkt.icmp_seq, seq[pkt.icmp_id]);
		rig_pattern_check(pkt.payload, LEN, pkt.icmp_id * 65536U + seq[pkt.icmp_id]++, 0);
		rig_refill(r, 1);
	}
	assert_int_equal(rig_drops(r, DROP_RX_NO_BUFFER), 0);
	rig_free(r);
}

static void unreachable_destination_is_reported(void **state)
{
	struct rig *r = start(8);
	struct rig_pkt pkt;

	(void)state;
	guest_pings(r, NOWHERE, 1, 1, 10);
	RIG_UNTIL(r, rig_pop(r, &pkt));
	assert_int_equal(pkt.icmp_type, 3);
	assert_int_equal(pkt.icmp_code, 0);
	assert_int_equal(rig_drops(r, DROP_SOCKET_ERROR), 1);
	assert_int_equal(COUNT(r, ping_active), 0);
	rig_free(r);
}

static void without_ping_sockets_it_is_counted(void **state)
{
	struct rig *r = start(8);

	(void)state;
	assert_int_equal(rig_write_file("/proc/sys/net/ipv4/ping_group_range", "1 0\n"), 0);
	guest_pings(r, WORLD, 1, 1, 10);
	rig_cycle(r);
	assert_int_equal(rig_drops(r, DROP_ICMP_UNAVAILABLE), 1);
	assert_int_equal(rig_pending(r), 0);
	assert_int_equal(rig_write_file("/proc/sys/net/ipv4/ping_group_range", GROUP_ALL), 0);
	guest_pings(r, WORLD, 1, 2, 10);
	guest_gets_pong(r, 1, 2, 10);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echo_comes_back_with_id_sequence_and_data),
		cmocka_unit_test(two_pingers_stay_apart),
		cmocka_unit_test(table_is_bounded_and_aged),
		cmocka_unit_test(replies_wait_for_receive_buffers),
		cmocka_unit_test(unreachable_destination_is_reported),
		cmocka_unit_test(without_ping_sockets_it_is_counted),
	};

	skip_why = make_world();
	if (skip_why)
		print_message("SKIP: %s\n", skip_why);
	return cmocka_run_group_tests_name("ping", tests, NULL, NULL);
}
