/* SPDX-License-Identifier: MIT */
/* UDP through the stack: every byte both ways, with room in the ring and without. */
#include "tests/stack/udp_rig.h"

#include <poll.h>

#include "src/base/base.h"

/* System calls of @cycles cycles in which nothing happens. */
static uint64_t quiet_syscalls(struct rig *r, uint32_t cycles)
{
	uint64_t before = COUNT(r, syscalls);

	for (uint32_t i = 0; i < cycles; i++)
		rig_cycle(r);
	return COUNT(r, syscalls) - before;
}

static void echo_sizes(const struct rig_config *cfg, const uint32_t *sizes, uint32_t n)
{
	struct udp_pair u;

	udp_start(&u, cfg);
	for (uint32_t i = 0; i < n; i++) {
		udp_guest_sends(u.r, GPORT, u.port, sizes[i], i + 1);
		u.peer = udp_server_gets(u.r, u.fd, sizes[i], i + 1);
		udp_server_sends(u.fd, &u.peer, sizes[i], i + 100);
		udp_guest_gets(u.r, u.port, GPORT, sizes[i], i + 100);
	}
	assert_int_equal(rig_pending(u.r), 0);
	assert_int_equal(COUNT(u.r, udp_opened), 1);
	assert_int_equal(COUNT(u.r, udp_tx), n);
	assert_int_equal(COUNT(u.r, udp_rx), n);
	assert_int_equal(rig_allocs(u.r), 0);
	udp_end(&u);
}

static const uint32_t small_sizes[] = { 0, 1, 512, 1471, 1472, 2, 0 };

static const uint32_t large_sizes[] = { 1472, 9000, 65492, 1, 65000 };

static void datagrams_of_every_size_come_back_unchanged(void **state)
{
	struct rig_config cfg;

	(void)state;
	rig_config_defaults(&cfg);
	echo_sizes(&cfg, small_sizes, ARRAY_SIZE(small_sizes));
	cfg.stack.mtu = STACK_MTU_MAX;
	echo_sizes(&cfg, large_sizes, ARRAY_SIZE(large_sizes));
}

static void checksums_are_whole_for_a_driver_without_offloads(void **state)
{
	struct rig_config cfg;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.caps.rx_csum = false;
	cfg.rx_buf_size = 61; /* the payload begins and ends anywhere */
	cfg.rx_buffers = 8192;
	cfg.tx_pieces = 40;
	echo_sizes(&cfg, small_sizes, ARRAY_SIZE(small_sizes));
	cfg.stack.mtu = STACK_MTU_MAX;
	echo_sizes(&cfg, large_sizes, ARRAY_SIZE(large_sizes));
}

static void datagram_over_the_mtu_arrives_in_fragments(void **state)
{
	static const uint32_t sizes[] = { 1473, 9000, 65507, 100 };
	struct rig_pkt pkt;
	struct udp_pair u;

	(void)state;
	udp_open(&u, NULL);
	for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		udp_server_sends(u.fd, &u.peer, sizes[i], i);
		pkt = udp_guest_gets(u.r, u.port, GPORT, sizes[i], i);
		assert_int_equal(pkt.fragments > 1, sizes[i] > 1472);
	}
	udp_end(&u);
}

static void burst_of_mixed_sizes_keeps_order_and_bytes(void **state)
{
	/* Longer than what came before in the middle of a batch, again and again. */
	static const uint32_t sizes[] = { 5, 1000, 3000, 7, 0, 8972, 64, 9500, 31, 2000 };
	struct rig_config cfg;
	struct udp_pair u;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.mtu = 9000;
	udp_open(&u, &cfg);
	for (uint32_t round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++)
			udp_server_sends(u.fd, &u.peer, sizes[i], round * 16 + i);
		for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++)
			udp_guest_gets(u.r, u.port, GPORT, sizes[i], round * 16 + i);
	}
	assert_int_equal(rig_allocs(u.r), 0);
	udp_end(&u);
}

static void flows_of_two_guest_ports_stay_apart(void **state)
{
	struct sockaddr_in a, b;
	struct udp_pair u;

	(void)state;
	udp_start(&u, NULL);
	udp_guest_sends(u.r, 5001, u.port, 100, 1);
	udp_guest_sends(u.r, 5002, u.port, 200, 2);
	a = udp_server_gets(u.r, u.fd, 100, 1);
	b = udp_server_gets(u.r, u.fd, 200, 2);
	assert_int_not_equal(a.sin_port, b.sin_port);
	udp_server_sends(u.fd, &b, 20, 4);
	udp_guest_gets(u.r, u.port, 5002, 20, 4);
	udp_server_sends(u.fd, &a, 10, 3);
	udp_guest_gets(u.r, u.port, 5001, 10, 3);
	udp_end(&u);
}

/* H14: a flood meets a full ring; after the refill all of it arrives. */
static void flood_with_a_starved_ring_arrives_after_the_refill(void **state)
{
	enum { DATAGRAMS = 150, LEN = 300 };
	struct rig_config cfg;
	uint32_t got = 0;
	struct udp_pair u;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.rx_buffers = 8;
	cfg.auto_refill = false;
	udp_open(&u, &cfg);
	for (uint32_t i = 0; i < DATAGRAMS; i++)
		udp_server_sends(u.fd, &u.peer, LEN, i);
	for (; got < 8; got++)
		udp_guest_gets(u.r, u.port, GPORT, LEN, got);

	/* Starved: nothing comes, nothing is tried, nothing is lost. */
	assert_int_equal(rig_rx_free(u.r), 0);
	rig_cycle(u.r);
	assert_int_equal(quiet_syscalls(u.r, 20), 20);
	assert_int_equal(rig_pending(u.r), 0);

	while (got < DATAGRAMS) {
		rig_refill(u.r, 3);
		for (uint32_t i = 0; i < 3 && got < DATAGRAMS; i++)
			udp_guest_gets(u.r, u.port, GPORT, LEN, got++);
	}
	assert_int_equal(rig_drops(u.r, DROP_RX_NO_BUFFER), 0);
	assert_int_equal(COUNT(u.r, udp_rx), DATAGRAMS);
	udp_end(&u);
}

/* More than one cycle takes: the rest makes the next wait return at once. */
static void flood_beyond_a_cycles_budget_goes_on_by_itself(void **state)
{
	enum { FLOWS = 3, EACH = 200, LEN = 8 };
	uint32_t seen[FLOWS] = { 0 }, first;
	struct rig_config cfg;
	struct rig_pkt pkt;
	struct pollfd p;
	struct udp_pair u;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.rx_buffers = 1024;
	cfg.auto_refill = false;
	udp_start(&u, &cfg);
	p = (struct pollfd){ .fd = loop_fd(stack_loop(rig_stack(u.r))), .events = POLLIN };
	for (uint16_t f = 0; f < FLOWS; f++) {
		struct sockaddr_in peer;

		udp_guest_sends(u.r, GPORT + f, u.port, 10, 1);
		peer = udp_server_gets(u.r, u.fd, 10, 1);
		for (uint32_t i = 0; i < EACH; i++)
			udp_server_sends(u.fd, &peer, LEN, f * 1000U + i);
	}
	rig_cycle(u.r);
	first = rig_pending(u.r);
	assert_in_range(first, 100, FLOWS * EACH - 1);
	assert_int_equal(poll(&p, 1, 0), 1);
	rig_cycle(u.r);
	assert_int_equal(rig_pending(u.r), FLOWS * EACH);
	for (uint32_t i = 0; i < FLOWS * EACH; i++) {
		uint32_t f;

		assert_true(rig_pop(u.r, &pkt));
		f = pkt.dport - GPORT;
		assert_true(f < FLOWS);
		assert_int_equal(pkt.payload_len, LEN);
		rig_pattern_check(pkt.payload, LEN, f * 1000 + seen[f]++, 0);
	}
	rig_cycle(u.r);
	assert_int_equal(quiet_syscalls(u.r, 10), 10);
	udp_end(&u);
}

/* H43: empty datagrams pass, and an idle flow makes no work. */
static void empty_datagrams_pass_and_do_not_loop(void **state)
{
	struct udp_pair u;

	(void)state;
	udp_start(&u, NULL);
	for (uint32_t i = 0; i < 3; i++) {
		udp_guest_sends(u.r, GPORT, u.port, 0, 0);
		u.peer = udp_server_gets(u.r, u.fd, 0, 0);
		udp_server_sends(u.fd, &u.peer, 0, 0);
		udp_server_sends(u.fd, &u.peer, 0, 0);
		udp_guest_gets(u.r, u.port, GPORT, 0, 0);
		udp_guest_gets(u.r, u.port, GPORT, 0, 0);
	}
	rig_cycle(u.r);
	assert_int_equal(quiet_syscalls(u.r, 50), 50);
	assert_int_equal(rig_pending(u.r), 0);
	udp_end(&u);
}

static void round_trip_costs_few_system_calls(void **state)
{
	uint64_t before, own;
	struct rig_pkt pkt;
	struct udp_pair u;

	(void)state;
	udp_start(&u, NULL);
	udp_guest_sends(u.r, GPORT, u.port, 100, 1);
	u.peer = udp_server_gets(u.r, u.fd, 100, 1);
	rig_cycle(u.r);

	before = COUNT(u.r, syscalls);
	udp_guest_sends(u.r, GPORT, u.port, 100, 2);
	u.peer = udp_server_gets(u.r, u.fd, 100, 2);
	udp_server_sends(u.fd, &u.peer, 100, 3);
	rig_cycle(u.r);
	own = COUNT(u.r, syscalls) - before;
	assert_true(rig_pop(u.r, &pkt));
	/* One send, one receive, and the cycle's own wait. */
	assert_true(own <= 6);
	udp_end(&u);
}

static void datagram_beyond_the_guests_buffers_is_counted(void **state)
{
	struct rig_config cfg;
	struct udp_pair u;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.mtu = 9000;
	cfg.rx_merge = false;
	cfg.rx_buf_size = 2048;
	udp_open(&u, &cfg);
	udp_server_sends(u.fd, &u.peer, 3000, 2);
	udp_server_sends(u.fd, &u.peer, 2048 - 42, 3);
	udp_guest_gets(u.r, u.port, GPORT, 2048 - 42, 3);
	assert_int_equal(rig_drops(u.r, DROP_RX_TOO_BIG), 1);
	udp_end(&u);
}

/* The caps promise more than the buffers hold: short datagrams must pass all the same. */
static void short_datagrams_fit_a_driver_with_small_buffers(void **state)
{
	struct rig_config cfg;
	struct udp_pair u;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.rx_merge = false;
	cfg.rx_buf_size = 512;
	cfg.caps.rx_frame_max = PORT_FRAME_MAX;
	udp_open(&u, &cfg);
	udp_server_sends(u.fd, &u.peer, 1000, 2);
	udp_server_sends(u.fd, &u.peer, 400, 3);
	udp_guest_gets(u.r, u.port, GPORT, 400, 3);
	assert_int_equal(rig_drops(u.r, DROP_RX_TOO_BIG), 1);
	udp_end(&u);
}

/* H17: what arrives while no driver is there waits in the socket. */
static void datagrams_wait_for_the_next_driver(void **state)
{
	struct udp_pair u;

	(void)state;
	udp_open(&u, NULL);
	rig_detach(u.r);
	udp_server_sends(u.fd, &u.peer, 100, 2);
	rig_cycle(u.r);
	rig_cycle(u.r);
	rig_attach(u.r);
	udp_guest_gets(u.r, u.port, GPORT, 100, 2);
	udp_end(&u);
}

/*
 * The rings stop and start again under a guest whose address is not the
 * configured one. It sends nothing in between, so what the host sends must find
 * it at the address that was learnt before.
 */
static void a_restarted_port_finds_the_guest_where_it_was(void **state)
{
	(void)state;
	static const uint8_t own[6] = { 0x42, 0x41, 0x7a, 0x25, 0xdf, 0xb3 };
	struct udp_pair u;
	struct rig_pkt pkt;

	udp_start(&u, NULL);
	rig_set_guest_mac(u.r, own);
	udp_guest_sends(u.r, GPORT, u.port, 1, 1);
	u.peer = udp_server_gets(u.r, u.fd, 1, 1);
	rig_detach(u.r);
	rig_attach(u.r);
	udp_server_sends(u.fd, &u.peer, 100, 1);
	pkt = udp_guest_gets(u.r, u.port, GPORT, 100, 1);
	assert_memory_equal(pkt.frame, own, 6);
	udp_end(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_restarted_port_finds_the_guest_where_it_was),
		cmocka_unit_test(datagrams_of_every_size_come_back_unchanged),
		cmocka_unit_test(checksums_are_whole_for_a_driver_without_offloads),
		cmocka_unit_test(datagram_over_the_mtu_arrives_in_fragments),
		cmocka_unit_test(burst_of_mixed_sizes_keeps_order_and_bytes),
		cmocka_unit_test(flows_of_two_guest_ports_stay_apart),
		cmocka_unit_test(flood_with_a_starved_ring_arrives_after_the_refill),
		cmocka_unit_test(flood_beyond_a_cycles_budget_goes_on_by_itself),
		cmocka_unit_test(empty_datagrams_pass_and_do_not_loop),
		cmocka_unit_test(round_trip_costs_few_system_calls),
		cmocka_unit_test(datagram_beyond_the_guests_buffers_is_counted),
		cmocka_unit_test(short_datagrams_fit_a_driver_with_small_buffers),
		cmocka_unit_test(datagrams_wait_for_the_next_driver),
	};

	return cmocka_run_group_tests_name("udp", tests, NULL, NULL);
}
