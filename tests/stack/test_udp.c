/* SPDX-License-Identifier: MIT */
/* UDP through the stack: every byte both ways, and what must not pass. */
#include "tests/stack/rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "src/base/base.h"

#define GUEST	 0x0a00020fU
#define GATEWAY	 0x0a000202U
#define LOOPBACK 0x7f000001U
#define GPORT	 40000

static uint8_t out_data[65536], in_data[65536];

/* A datagram at the server, and who sent it. */
static bool try_receive(int fd, struct sockaddr_in *peer, ssize_t *n)
{
	socklen_t len = sizeof(*peer);

	*n = recvfrom(fd, in_data, sizeof(in_data), 0, (struct sockaddr *)peer, &len);
	assert_true(*n >= 0 || errno == EAGAIN);
	return *n >= 0;
}

/* Cycle until the server has a datagram, which must be @len bytes of @seed's pattern. */
static struct sockaddr_in server_gets(struct rig *r, int fd, uint32_t len, uint64_t seed)
{
	struct sockaddr_in peer;
	ssize_t n;

	RIG_UNTIL(r, try_receive(fd, &peer, &n));
	assert_int_equal(n, len);
	rig_pattern_check(in_data, len, seed, 0);
	assert_int_equal(ntohl(peer.sin_addr.s_addr), LOOPBACK);
	return peer;
}

static void server_sends(int fd, const struct sockaddr_in *to, uint32_t len, uint64_t seed)
{
	rig_pattern(out_data, len, seed, 0);
	assert_int_equal(sendto(fd, out_data, len, 0, (const struct sockaddr *)to, sizeof(*to)),
			 len);
}

static void guest_sends(struct rig *r, uint16_t sport, uint16_t dport, uint32_t len, uint64_t seed)
{
	rig_pattern(out_data, len, seed, 0);
	assert_int_equal(rig_send_udp(r, sport, GATEWAY, dport, out_data, len), TX_DONE);
}

/* Cycle until the guest has a datagram from @sport, @len bytes of @seed's pattern. */
static struct rig_pkt guest_gets(struct rig *r, uint16_t sport, uint16_t dport, uint32_t len,
				 uint64_t seed)
{
	struct rig_pkt pkt;

	RIG_UNTIL(r, rig_pop(r, &pkt));
	assert_int_equal(pkt.proto, PROTO_UDP);
	assert_int_equal(pkt.src, GATEWAY);
	assert_int_equal(pkt.dst, GUEST);
	assert_int_equal(pkt.sport, sport);
	assert_int_equal(pkt.dport, dport);
	assert_int_equal(pkt.payload_len, len);
	rig_pattern_check(pkt.payload, len, seed, 0);
	return pkt;
}

static const struct stack_counters *counters(struct rig *r)
{
	return stack_counters(rig_stack(r));
}

/* System calls of @cycles cycles in which nothing happens. */
static uint64_t quiet_syscalls(struct rig *r, uint32_t cycles)
{
	uint64_t before = counter_get(&counters(r)->syscalls);

	for (uint32_t i = 0; i < cycles; i++)
		rig_cycle(r);
	return counter_get(&counters(r)->syscalls) - before;
}

static void echo_sizes(const struct rig_config *cfg, const uint32_t *sizes, uint32_t n)
{
	struct rig *r = rig_new(cfg);
	uint16_t port;
	int fd = rig_udp_socket(&port);

	for (uint32_t i = 0; i < n; i++) {
		struct sockaddr_in peer;

		guest_sends(r, GPORT, port, sizes[i], i + 1);
		peer = server_gets(r, fd, sizes[i], i + 1);
		server_sends(fd, &peer, sizes[i], i + 100);
		guest_gets(r, port, GPORT, sizes[i], i + 100);
	}
	assert_int_equal(rig_pending(r), 0);
	assert_int_equal(counter_get(&counters(r)->udp_opened), 1);
	assert_int_equal(counter_get(&counters(r)->udp_tx), n);
	assert_int_equal(counter_get(&counters(r)->udp_rx), n);
	assert_int_equal(rig_allocs(r), 0);
	close(fd);
	rig_free(r);
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
	struct sockaddr_in peer;
	struct rig_config cfg;
	struct rig_pkt pkt;
	struct rig *r;
	uint16_t port;
	int fd;

	(void)state;
	rig_config_defaults(&cfg);
	r = rig_new(&cfg);
	fd = rig_udp_socket(&port);
	guest_sends(r, GPORT, port, 10, 1);
	peer = server_gets(r, fd, 10, 1);
	for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		server_sends(fd, &peer, sizes[i], i);
		pkt = guest_gets(r, port, GPORT, sizes[i], i);
		assert_int_equal(pkt.fragments > 1, sizes[i] > 1472);
	}
	close(fd);
	rig_free(r);
}

static void burst_of_mixed_sizes_keeps_order_and_bytes(void **state)
{
	/* Longer than what came before in the middle of a batch, again and again. */
	static const uint32_t sizes[] = { 5, 1000, 3000, 7, 0, 8972, 64, 9500, 31, 2000 };
	struct sockaddr_in peer;
	struct rig_config cfg;
	struct rig *r;
	uint16_t port;
	int fd;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.mtu = 9000;
	r = rig_new(&cfg);
	fd = rig_udp_socket(&port);
	guest_sends(r, GPORT, port, 10, 1);
	peer = server_gets(r, fd, 10, 1);
	for (uint32_t round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++)
			server_sends(fd, &peer, sizes[i], round * 16 + i);
		for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++)
			guest_gets(r, port, GPORT, sizes[i], round * 16 + i);
	}
	assert_int_equal(rig_allocs(r), 0);
	close(fd);
	rig_free(r);
}

static void flows_of_two_guest_ports_stay_apart(void **state)
{
	struct sockaddr_in a, b;
	struct rig_config cfg;
	struct rig *r;
	uint16_t port;
	int fd;

	(void)state;
	rig_config_defaults(&cfg);
	r = rig_new(&cfg);
	fd = rig_udp_socket(&port);
	guest_sends(r, 5001, port, 100, 1);
	guest_sends(r, 5002, port, 200, 2);
	a = server_gets(r, fd, 100, 1);
	b = server_gets(r, fd, 200, 2);
	assert_int_not_equal(a.sin_port, b.sin_port);
	server_sends(fd, &b, 20, 4);
	guest_gets(r, port, 5002, 20, 4);
	server_sends(fd, &a, 10, 3);
	guest_gets(r, port, 5001, 10, 3);
	close(fd);
	rig_free(r);
}

/* H14: a flood meets a full ring; after the refill all of it arrives. */
static void flood_with_a_starved_ring_arrives_after_the_refill(void **state)
{
	enum { DATAGRAMS = 150, LEN = 300 };
	struct sockaddr_in peer;
	struct rig_config cfg;
	uint32_t got = 0;
	struct rig *r;
	uint16_t port;
	int fd;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.rx_buffers = 8;
	cfg.auto_refill = false;
	r = rig_new(&cfg);
	fd = rig_udp_socket(&port);
	guest_sends(r, GPORT, port, 10, 1);
	peer = server_gets(r, fd, 10, 1);
	for (uint32_t i = 0; i < DATAGRAMS; i++)
		server_sends(fd, &peer, LEN, i);
	for (; got < 8; got++)
		guest_gets(r, port, GPORT, LEN, got);

	/* Starved: nothing comes, nothing is tried, nothing is lost. */
	assert_int_equal(rig_rx_free(r), 0);
	rig_cycle(r);
	assert_int_equal(quiet_syscalls(r, 20), 20);
	assert_int_equal(rig_pending(r), 0);

	while (got < DATAGRAMS) {
		rig_refill(r, 3);
		for (uint32_t i = 0; i < 3 && got < DATAGRAMS; i++)
			guest_gets(r, port, GPORT, LEN, got++);
	}
	assert_int_equal(rig_drops(r, DROP_RX_NO_BUFFER), 0);
	assert_int_equal(counter_get(&counters(r)->udp_rx), DATAGRAMS);
	close(fd);
	rig_free(r);
}

/* More than one cycle takes: the rest makes the next wait return at once. */
static void flood_beyond_a_cycles_budget_goes_on_by_itself(void **state)
{
	enum { FLOWS = 3, EACH = 200, LEN = 8 };
	uint32_t seen[FLOWS] = { 0 }, first;
	struct rig_config cfg;
	struct rig_pkt pkt;
	struct pollfd p;
	struct rig *r;
	uint16_t port;
	int fd;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.rx_buffers = 1024;
	cfg.auto_refill = false;
	r = rig_new(&cfg);
	fd = rig_udp_socket(&port);
	p = (struct pollfd){ .fd = loop_fd(stack_loop(rig_stack(r))), .events = POLLIN };
	for (uint16_t f = 0; f < FLOWS; f++) {
		struct sockaddr_in peer;

		guest_sends(r, GPORT + f, port, 10, 1);
		peer = server_gets(r, fd, 10, 1);
		for (uint32_t i = 0; i < EACH; i++)
			server_sends(fd, &peer, LEN, f * 1000U + i);
	}
	rig_cycle(r);
	first = rig_pending(r);
	assert_in_range(first, 100, FLOWS * EACH - 1);
	assert_int_equal(poll(&p, 1, 0), 1);
	rig_cycle(r);
	assert_int_equal(rig_pending(r), FLOWS * EACH);
	for (uint32_t i = 0; i < FLOWS * EACH; i++) {
		uint32_t f;

		assert_true(rig_pop(r, &pkt));
		f = pkt.dport - GPORT;
		assert_true(f < FLOWS);
		assert_int_equal(pkt.payload_len, LEN);
		rig_pattern_check(pkt.payload, LEN, f * 1000 + seen[f]++, 0);
	}
	rig_cycle(r);
	assert_int_equal(quiet_syscalls(r, 10), 10);
	close(fd);
	rig_free(r);
}

/* H43: empty datagrams pass, and an idle flow makes no work. */
static void empty_datagrams_pass_and_do_not_loop(void **state)
{
	struct sockaddr_in peer;
	struct rig_config cfg;
	struct rig *r;
	uint16_t port;
	int fd;

	(void)state;
	rig_config_defaults(&cfg);
	r = rig_new(&cfg);
	fd = rig_udp_socket(&port);
	for (uint32_t i = 0; i < 3; i++) {
		guest_sends(r, GPORT, port, 0, 0);
		peer = server_gets(r, fd, 0, 0);
		server_sends(fd, &peer, 0, 0);
		server_sends(fd, &peer, 0, 0);
		guest_gets(r, port, GPORT, 0, 0);
		guest_gets(r, port, GPORT, 0, 0);
	}
	rig_cycle(r);
	assert_int_equal(quiet_syscalls(r, 50), 50);
	assert_int_equal(rig_pending(r), 0);
	close(fd);
	rig_free(r);
}

static void round_trip_costs_few_system_calls(void **state)
{
	struct sockaddr_in peer;
	struct rig_config cfg;
	uint64_t before, own;
	struct rig_pkt pkt;
	struct rig *r;
	uint16_t port;
	int fd;

	(void)state;
	rig_config_defaults(&cfg);
	r = rig_new(&cfg);
	fd = rig_udp_socket(&port);
	guest_sends(r, GPORT, port, 100, 1);
	peer = server_gets(r, fd, 100, 1);
	rig_cycle(r);

	before = counter_get(&counters(r)->syscalls);
	guest_sends(r, GPORT, port, 100, 2);
	peer = server_gets(r, fd, 100, 2);
	server_sends(fd, &peer, 100, 3);
	rig_cycle(r);
	own = counter_get(&counters(r)->syscalls) - before;
	assert_true(rig_pop(r, &pkt));
	/* One send, one receive, and the cycle's own wait. */
	assert_true(own <= 6);
	close(fd);
	rig_free(r);
}

static void closed_port_becomes_icmp_port_unreachable(void **state)
{
	struct rig_config cfg;
	struct rig_pkt pkt;
	struct rig *r;
	uint16_t port;
	int fd;

	(void)state;
	rig_config_defaults(&cfg);
	r = rig_new(&cfg);
	close(rig_udp_socket(&port));
	guest_sends(r, GPORT, port, 100, 1);
	RIG_UNTIL(r, rig_pop(r, &pkt));
	assert_int_equal(pkt.proto, PROTO_ICMP);
	assert_int_equal(pkt.icmp_type, 3);
	assert_int_equal(pkt.icmp_code, 3);
	assert_int_equal(pkt.src, GATEWAY);
	/* What it quotes leads the guest to its socket. */
	assert_true(pkt.payload_len >= IP4_HLEN + UDP_HLEN);
	assert_int_equal(pkt.payload[9], PROTO_UDP);
	assert_int_equal(get_be32(pkt.payload + 12), GUEST);
	assert_int_equal(get_be32(pkt.payload + 16), GATEWAY);
	assert_int_equal(get_be16(pkt.payload + 20), GPORT);
	assert_int_equal(get_be16(pkt.payload + 22), port);
	rig_cycle(r);
	assert_int_equal(rig_pending(r), 0);

	/* Refused once more, and this time the guest's next datagram meets the error. */
	guest_sends(r, GPORT, port, 100, 1);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(
		bind(fd,
		     (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET,
							       .sin_port = htons(port),
							       .sin_addr.s_addr = htonl(LOOPBACK) },
		     sizeof(struct sockaddr_in)),
		0);
	guest_sends(r, GPORT, port, 50, 2);
	server_gets(r, fd, 50, 2);
	RIG_UNTIL(r, rig_pop(r, &pkt));
	assert_int_equal(pkt.icmp_code, 3);
	assert_int_equal(rig_drops(r, DROP_UDP_SEND), 0);
	close(fd);
	rig_free(r);
}

/* Filtering is by address and port: a stranger who finds the port is not heard. */
static void strangers_are_not_heard(void **state)
{
	struct sockaddr_in peer;
	struct rig_config cfg;
	uint16_t port, other_port;
	struct rig_pkt pkt;
	struct rig *r;
	int fd, other;

	(void)state;
	rig_config_defaults(&cfg);
	r = rig_new(&cfg);
	fd = rig_udp_socket(&port);
	other = rig_udp_socket(&other_port);
	guest_sends(r, GPORT, port, 10, 1);
	peer = server_gets(r, fd, 10, 1);
	server_sends(other, &peer, 20, 2);
	server_sends(fd, &peer, 30, 3);
	guest_gets(r, port, GPORT, 30, 3);
	rig_cycle(r);
	assert_false(rig_pop(r, &pkt));
	close(fd);
	close(other);
	rig_free(r);
}

/* H43: the table is bounded; the quietest flow makes room, a busy table refuses. */
static void full_table_refuses_then_evicts_the_quietest(void **state)
{
	struct sockaddr_in first, peer;
	struct rig_config cfg;
	struct rig_pkt pkt;
	struct rig *r;
	uint16_t port;
	int fd;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.max_udp = 4;
	r = rig_new(&cfg);
	fd = rig_udp_socket(&port);
	for (uint16_t i = 0; i < 4; i++) {
		guest_sends(r, GPORT + i, port, 10, i);
		peer = server_gets(r, fd, 10, i);
		if (i == 0)
			first = peer;
	}
	guest_sends(r, GPORT + 4, port, 10, 4);
	assert_int_equal(rig_drops(r, DROP_FLOW_LIMIT), 1);
	assert_int_equal(counter_get(&counters(r)->udp_active), 4);

	rig_advance(r, 6 * NS_PER_S);
	guest_sends(r, GPORT + 4, port, 10, 5);
	peer = server_gets(r, fd, 10, 5);
	server_sends(fd, &peer, 10, 6);
	guest_gets(r, port, GPORT + 4, 10, 6);
	assert_int_equal(counter_get(&counters(r)->udp_active), 4);
	assert_int_equal(rig_drops(r, DROP_FLOW_LIMIT), 1);
	server_sends(fd, &first, 10, 7); /* the evicted one's socket is closed */
	rig_cycle(r);
	assert_false(rig_pop(r, &pkt));
	assert_int_equal(rig_allocs(r), 0);
	close(fd);
	rig_free(r);
}

/* RFC 4787 REQ-5: two minutes of silence at least; not for ever. */
static void mapping_lives_two_minutes_and_then_ends(void **state)
{
	struct sockaddr_in peer;
	struct rig_config cfg;
	struct rig *r;
	uint16_t port;
	int fd;

	(void)state;
	rig_config_defaults(&cfg);
	r = rig_new(&cfg);
	fd = rig_udp_socket(&port);
	guest_sends(r, GPORT, port, 10, 1);
	peer = server_gets(r, fd, 10, 1);
	rig_advance(r, 120 * NS_PER_S);
	server_sends(fd, &peer, 10, 2);
	guest_gets(r, port, GPORT, 10, 2);
	rig_advance(r, 170 * NS_PER_S);
	assert_int_equal(counter_get(&counters(r)->udp_active), 1);
	rig_advance(r, 20 * NS_PER_S);
	assert_int_equal(counter_get(&counters(r)->udp_active), 0);
	close(fd);
	rig_free(r);
}

/* H44: the translated destination is judged, for UDP as for all. */
static void host_loopback_is_reached_through_the_gateway_only(void **state)
{
	struct rig_config cfg;
	struct rig_pkt pkt;
	struct rig *r;
	uint16_t port;
	ssize_t n;
	int fd;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.gateway_is_host = false;
	r = rig_new(&cfg);
	fd = rig_udp_socket(&port);
	rig_send_udp(r, GPORT, LOOPBACK, port, "x", 1);
	guest_sends(r, GPORT, port, 10, 1);
	rig_cycle(r);
	assert_false(try_receive(fd, &(struct sockaddr_in){ 0 }, &n));
	assert_int_equal(rig_drops(r, DROP_POLICY_DENIED), 2);
	assert_int_equal(counter_get(&counters(r)->udp_opened), 0);
	assert_true(rig_pop(r, &pkt));
	assert_int_equal(pkt.icmp_type, 3);
	assert_int_equal(pkt.icmp_code, 13);
	close(fd);
	rig_free(r);
}

static void malformed_datagrams_are_dropped_and_counted(void **state)
{
	const uint32_t udp = ETH_HLEN + IP4_HLEN;
	uint8_t frame[256], data[64];
	struct rig_config cfg;
	struct rig *r;
	uint16_t port;
	uint32_t len;
	ssize_t n;
	int fd;

	(void)state;
	rig_config_defaults(&cfg);
	r = rig_new(&cfg);
	fd = rig_udp_socket(&port);
	rig_pattern(data, sizeof(data), 1, 0);

	len = rig_build_udp(r, frame, GPORT, GATEWAY, port, data, sizeof(data));
	put_be16(frame + udp + 4, 7);
	rig_send(r, frame, len, NULL);
	put_be16(frame + udp + 4, UDP_HLEN + sizeof(data) + 1);
	rig_send(r, frame, len, NULL);
	rig_build_udp(r, frame, GPORT, GATEWAY, 0, data, sizeof(data));
	rig_send(r, frame, len, NULL);
	/* An IP packet that ends inside the UDP header. */
	len = rig_build_ip4(r, frame, GUEST, GATEWAY, PROTO_UDP, 7) + 7;
	rig_send(r, frame, len, NULL);
	assert_int_equal(rig_drops(r, DROP_L4_MALFORMED), 4);

	len = rig_build_udp(r, frame, GPORT, GATEWAY, port, data, sizeof(data));
	frame[len - 1] ^= 1;
	rig_send(r, frame, len, NULL);
	assert_int_equal(rig_drops(r, DROP_L4_CHECKSUM), 1);

	rig_cycle(r);
	assert_false(try_receive(fd, &(struct sockaddr_in){ 0 }, &n));
	assert_int_equal(counter_get(&counters(r)->udp_opened), 0);
	close(fd);
	rig_free(r);
}

static void checksum_of_zero_and_bytes_beyond_the_length_are_legal(void **state)
{
	const uint32_t udp = ETH_HLEN + IP4_HLEN;
	uint8_t frame[256], data[64];
	struct rig_config cfg;
	struct rig *r;
	uint16_t port;
	uint32_t len;
	int fd;

	(void)state;
	rig_config_defaults(&cfg);
	r = rig_new(&cfg);
	fd = rig_udp_socket(&port);
	rig_pattern(data, sizeof(data), 1, 0);
	len = rig_build_udp(r, frame, GPORT, GATEWAY, port, data, sizeof(data));
	put_be16(frame + udp + 6, 0);
	rig_send(r, frame, len, NULL);
	server_gets(r, fd, sizeof(data), 1);
	put_be16(frame + udp + 4, UDP_HLEN + 20);
	rig_send(r, frame, len, NULL);
	server_gets(r, fd, 20, 1);
	close(fd);
	rig_free(r);
}

/* A frame to be segmented leaves as datagrams of the size the guest asked for. */
static void segmentation_is_handed_on_to_the_kernel(void **state)
{
	struct offload off = { .gso = GSO_UDP_L4,
			       .gso_size = 500,
			       .needs_csum = true,
			       .csum_start = ETH_HLEN + IP4_HLEN,
			       .csum_offset = 6 };
	static uint8_t frame[4096];
	struct sockaddr_in peer;
	uint8_t data[1800];
	struct rig_config cfg;
	struct rig *r;
	uint16_t port;
	uint32_t len;
	ssize_t n;
	int fd;

	(void)state;
	rig_config_defaults(&cfg);
	r = rig_new(&cfg);
	fd = rig_udp_socket(&port);
	rig_pattern(data, sizeof(data), 1, 0);
	len = rig_build_udp(r, frame, GPORT, GATEWAY, port, data, sizeof(data));
	rig_send(r, frame, len, &off);
	for (uint32_t at = 0; at < sizeof(data); at += 500) {
		RIG_UNTIL(r, try_receive(fd, &peer, &n));
		assert_int_equal(n, MIN(500U, (uint32_t)sizeof(data) - at));
		rig_pattern_check(in_data, (size_t)n, 1, at);
	}
	close(fd);
	rig_free(r);
}

static void datagram_beyond_the_guests_buffers_is_counted(void **state)
{
	struct sockaddr_in peer;
	struct rig_config cfg;
	struct rig *r;
	uint16_t port;
	int fd;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.mtu = 9000;
	cfg.rx_merge = false;
	cfg.rx_buf_size = 2048;
	r = rig_new(&cfg);
	fd = rig_udp_socket(&port);
	guest_sends(r, GPORT, port, 10, 1);
	peer = server_gets(r, fd, 10, 1);
	server_sends(fd, &peer, 3000, 2);
	server_sends(fd, &peer, 2048 - 42, 3);
	guest_gets(r, port, GPORT, 2048 - 42, 3);
	assert_int_equal(rig_drops(r, DROP_RX_TOO_BIG), 1);
	close(fd);
	rig_free(r);
}

/* H17: what arrives while no driver is there waits in the socket. */
static void datagrams_wait_for_the_next_driver(void **state)
{
	struct sockaddr_in peer;
	struct rig_config cfg;
	struct rig *r;
	uint16_t port;
	int fd;

	(void)state;
	rig_config_defaults(&cfg);
	r = rig_new(&cfg);
	fd = rig_udp_socket(&port);
	guest_sends(r, GPORT, port, 10, 1);
	peer = server_gets(r, fd, 10, 1);
	rig_detach(r);
	server_sends(fd, &peer, 100, 2);
	rig_cycle(r);
	rig_cycle(r);
	rig_attach(r);
	guest_gets(r, port, GPORT, 100, 2);
	close(fd);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(datagrams_of_every_size_come_back_unchanged),
		cmocka_unit_test(checksums_are_whole_for_a_driver_without_offloads),
		cmocka_unit_test(datagram_over_the_mtu_arrives_in_fragments),
		cmocka_unit_test(burst_of_mixed_sizes_keeps_order_and_bytes),
		cmocka_unit_test(flows_of_two_guest_ports_stay_apart),
		cmocka_unit_test(flood_with_a_starved_ring_arrives_after_the_refill),
		cmocka_unit_test(flood_beyond_a_cycles_budget_goes_on_by_itself),
		cmocka_unit_test(empty_datagrams_pass_and_do_not_loop),
		cmocka_unit_test(round_trip_costs_few_system_calls),
		cmocka_unit_test(closed_port_becomes_icmp_port_unreachable),
		cmocka_unit_test(strangers_are_not_heard),
		cmocka_unit_test(full_table_refuses_then_evicts_the_quietest),
		cmocka_unit_test(mapping_lives_two_minutes_and_then_ends),
		cmocka_unit_test(host_loopback_is_reached_through_the_gateway_only),
		cmocka_unit_test(malformed_datagrams_are_dropped_and_counted),
		cmocka_unit_test(checksum_of_zero_and_bytes_beyond_the_length_are_legal),
		cmocka_unit_test(segmentation_is_handed_on_to_the_kernel),
		cmocka_unit_test(datagram_beyond_the_guests_buffers_is_counted),
		cmocka_unit_test(datagrams_wait_for_the_next_driver),
	};

	return cmocka_run_group_tests_name("udp", tests, NULL, NULL);
}
