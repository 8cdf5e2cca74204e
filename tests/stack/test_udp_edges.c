/* SPDX-License-Identifier: MIT */
/* UDP through the stack: what ends a flow, and what must not pass. */
#include "tests/stack/udp_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#include "src/base/base.h"

static void closed_port_becomes_icmp_port_unreachable(void **state)
{
	struct rig_pkt pkt;
	struct rig *r;
	uint16_t port;
	int fd;

	(void)state;
	r = rig_new(NULL);
	close(rig_udp_socket(&port));
	udp_guest_sends(r, GPORT, port, 100, 1);
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
	udp_guest_sends(r, GPORT, port, 100, 1);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(
		bind(fd,
		     (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET,
							       .sin_port = htons(port),
							       .sin_addr.s_addr = htonl(LOOPBACK) },
		     sizeof(struct sockaddr_in)),
		0);
	udp_guest_sends(r, GPORT, port, 50, 2);
	udp_server_gets(r, fd, 50, 2);
	RIG_UNTIL(r, rig_pop(r, &pkt));
	assert_int_equal(pkt.icmp_code, 3);
	assert_int_equal(rig_drops(r, DROP_UDP_SEND), 0);
	close(fd);
	rig_free(r);
}

/* Filtering is by address and port: a stranger who finds the port is not heard. */
static void strangers_are_not_heard(void **state)
{
	uint16_t other_port;
	struct udp_pair u;
	struct rig_pkt pkt;
	int other;

	(void)state;
	udp_open(&u, NULL);
	other = rig_udp_socket(&other_port);
	udp_server_sends(other, &u.peer, 20, 2);
	udp_server_sends(u.fd, &u.peer, 30, 3);
	udp_guest_gets(u.r, u.port, GPORT, 30, 3);
	rig_cycle(u.r);
	assert_false(rig_pop(u.r, &pkt));
	close(other);
	udp_end(&u);
}

/* H43: the table is bounded; the quietest flow makes room, a busy table refuses. */
static void full_table_refuses_then_evicts_the_quietest(void **state)
{
	struct sockaddr_in first;
	struct rig_config cfg;
	struct rig_pkt pkt;
	struct udp_pair u;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.max_udp = 4;
	udp_start(&u, &cfg);
	for (uint16_t i = 0; i < 4; i++) {
		udp_guest_sends(u.r, GPORT + i, u.port, 10, i);
		u.peer = udp_server_gets(u.r, u.fd, 10, i);
		if (i == 0)
			first = u.peer;
	}
	udp_guest_sends(u.r, GPORT + 4, u.port, 10, 4);
	assert_int_equal(rig_drops(u.r, DROP_FLOW_LIMIT), 1);
	assert_int_equal(COUNT(u.r, udp_active), 4);

	rig_advance(u.r, 6 * NS_PER_S);
	udp_guest_sends(u.r, GPORT + 4, u.port, 10, 5);
	u.peer = udp_server_gets(u.r, u.fd, 10, 5);
	udp_server_sends(u.fd, &u.peer, 10, 6);
	udp_guest_gets(u.r, u.port, GPORT + 4, 10, 6);
	assert_int_equal(COUNT(u.r, udp_active), 4);
	assert_int_equal(rig_drops(u.r, DROP_FLOW_LIMIT), 1);
	udp_server_sends(u.fd, &first, 10, 7); /* the evicted one's socket is closed */
	rig_cycle(u.r);
	assert_false(rig_pop(u.r, &pkt));
	assert_int_equal(rig_allocs(u.r), 0);
	udp_end(&u);
}

/* RFC 4787 REQ-5: two minutes of silence at least; not for ever. */
static void mapping_lives_two_minutes_and_then_ends(void **state)
{
	struct udp_pair u;

	(void)state;
	udp_open(&u, NULL);
	rig_advance(u.r, 120 * NS_PER_S);
	udp_server_sends(u.fd, &u.peer, 10, 2);
	udp_guest_gets(u.r, u.port, GPORT, 10, 2);
	rig_advance(u.r, 170 * NS_PER_S);
	assert_int_equal(COUNT(u.r, udp_active), 1);
	rig_advance(u.r, 20 * NS_PER_S);
	assert_int_equal(COUNT(u.r, udp_active), 0);
	udp_end(&u);
}

/* A guest that asks servers of its own choice has a flow for each question. */
static void dns_exchange_elsewhere_is_soon_forgotten(void **state)
{
	struct sockaddr_in peer = { .sin_family = AF_INET,
				    .sin_port = htons(53),
				    .sin_addr.s_addr = htonl(LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct rig *r;

	(void)state;
	if (bind(fd, (struct sockaddr *)&peer, sizeof(peer))) {
		close(fd);
		print_message("SKIP: cannot bind 127.0.0.1:53: %s\n", strerror(errno));
		skip();
	}
	r = rig_new(NULL);
	udp_guest_sends(r, GPORT, 53, 10, 1);
	peer = udp_server_gets(r, fd, 10, 1);
	udp_guest_sends(r, GPORT + 1, 53, 10, 2);
	udp_server_gets(r, fd, 10, 2);
	udp_server_sends(fd, &peer, 10, 3);
	udp_guest_gets(r, 53, GPORT, 10, 3);
	rig_advance(r, 11 * NS_PER_S);
	assert_int_equal(COUNT(r, udp_active), 1); /* the unanswered one */
	close(fd);
	rig_free(r);
}

/* H44: the translated destination is judged, for UDP as for all. */
static void host_loopback_is_reached_through_the_gateway_only(void **state)
{
	struct rig_config cfg;
	struct rig_pkt pkt;
	struct udp_pair u;
	ssize_t n;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.gateway_is_host = false;
	udp_start(&u, &cfg);
	rig_send_udp(u.r, GPORT, LOOPBACK, u.port, "x", 1);
	udp_guest_sends(u.r, GPORT, u.port, 10, 1);
	rig_cycle(u.r);
	assert_false(udp_try_receive(u.fd, &(struct sockaddr_in){ 0 }, &n));
	assert_int_equal(rig_drops(u.r, DROP_POLICY_DENIED), 2);
	assert_int_equal(COUNT(u.r, udp_opened), 0);
	assert_true(rig_pop(u.r, &pkt));
	assert_int_equal(pkt.icmp_type, 3);
	assert_int_equal(pkt.icmp_code, 13);
	udp_end(&u);
}

static void malformed_datagrams_are_dropped_and_counted(void **state)
{
	const uint32_t udp = ETH_HLEN + IP4_HLEN;
	uint8_t frame[256], data[64];
	struct udp_pair u;
	uint32_t len;
	ssize_t n;

	(void)state;
	udp_start(&u, NULL);
	rig_pattern(data, sizeof(data), 1, 0);

	len = rig_build_udp(u.r, frame, GPORT, GATEWAY, u.port, data, sizeof(data));
	put_be16(frame + udp + 4, 7);
	rig_send(u.r, frame, len, NULL);
	put_be16(frame + udp + 4, UDP_HLEN + sizeof(data) + 1);
	rig_send(u.r, frame, len, NULL);
	rig_build_udp(u.r, frame, GPORT, GATEWAY, 0, data, sizeof(data));
	rig_send(u.r, frame, len, NULL);
	/* An IP packet that ends inside the UDP header. */
	len = rig_build_ip4(u.r, frame, GUEST, GATEWAY, PROTO_UDP, 7) + 7;
	rig_send(u.r, frame, len, NULL);
	assert_int_equal(rig_drops(u.r, DROP_L4_MALFORMED), 4);

	len = rig_build_udp(u.r, frame, GPORT, GATEWAY, u.port, data, sizeof(data));
	frame[len - 1] ^= 1;
	rig_send(u.r, frame, len, NULL);
	assert_int_equal(rig_drops(u.r, DROP_L4_CHECKSUM), 1);

	rig_cycle(u.r);
	assert_false(udp_try_receive(u.fd, &(struct sockaddr_in){ 0 }, &n));
	assert_int_equal(COUNT(u.r, udp_opened), 0);
	udp_end(&u);
}

static void checksum_of_zero_and_bytes_beyond_the_length_are_legal(void **state)
{
	const uint32_t udp = ETH_HLEN + IP4_HLEN;
	uint8_t frame[256], data[64];
	struct udp_pair u;
	uint32_t len;

	(void)state;
	udp_start(&u, NULL);
	rig_pattern(data, sizeof(data), 1, 0);
	len = rig_build_udp(u.r, frame, GPORT, GATEWAY, u.port, data, sizeof(data));
	put_be16(frame + udp + 6, 0);
	rig_send(u.r, frame, len, NULL);
	udp_server_gets(u.r, u.fd, sizeof(data), 1);
	put_be16(frame + udp + 4, UDP_HLEN + 20);
	rig_send(u.r, frame, len, NULL);
	udp_server_gets(u.r, u.fd, 20, 1);
	udp_end(&u);
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
	uint8_t data[1800];
	struct udp_pair u;
	uint32_t len;
	ssize_t n;

	(void)state;
	udp_start(&u, NULL);
	rig_pattern(data, sizeof(data), 1, 0);
	len = rig_build_udp(u.r, frame, GPORT, GATEWAY, u.port, data, sizeof(data));
	rig_send(u.r, frame, len, &off);
	for (uint32_t at = 0; at < sizeof(data); at += 500) {
		RIG_UNTIL(u.r, udp_try_receive(u.fd, &u.peer, &n));
		assert_int_equal(n, MIN(500U, (uint32_t)sizeof(data) - at));
		rig_pattern_check(udp_in, (size_t)n, 1, at);
	}
	udp_end(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(closed_port_becomes_icmp_port_unreachable),
		cmocka_unit_test(strangers_are_not_heard),
		cmocka_unit_test(full_table_refuses_then_evicts_the_quietest),
		cmocka_unit_test(mapping_lives_two_minutes_and_then_ends),
		cmocka_unit_test(dns_exchange_elsewhere_is_soon_forgotten),
		cmocka_unit_test(host_loopback_is_reached_through_the_gateway_only),
		cmocka_unit_test(malformed_datagrams_are_dropped_and_counted),
		cmocka_unit_test(checksum_of_zero_and_bytes_beyond_the_length_are_legal),
		cmocka_unit_test(segmentation_is_handed_on_to_the_kernel),
	};

	return cmocka_run_group_tests_name("udp_edges", tests, NULL, NULL);
}
