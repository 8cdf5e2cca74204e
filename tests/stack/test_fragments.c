/* SPDX-License-Identifier: MIT */
/*
 * Datagrams that no frame holds, both ways and in both families: fragments of the guest
 * are put together, those of the host are cut; and what fragments must not get away with.
 */
#include "tests/stack/udp_rig.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "src/base/base.h"
#include "tcpstack/limits.h"

#define HEADERS4 (ETH_HLEN + IP4_HLEN)
#define HEADERS6 (ETH_HLEN + IP6_HLEN)

static const uint32_t outside4 = 0xa9fea9fe; /* the metadata service, refused by default */

static struct rig *start(uint16_t mtu)
{
	struct rig_config cfg;

	rig_config_defaults(&cfg);
	cfg.stack.ip6 = mtu >= STACK_MTU_MIN6;
	cfg.stack.mtu = mtu;
	cfg.tx_pieces = 3;
	return rig_new(&cfg);
}

static uint64_t reassembled(struct rig *r)
{
	return COUNT(r, reassembled);
}

/* Slots in use of the pool for datagrams under way. */
static uint64_t under_way(struct rig *r)
{
	struct stack_memory rows[STACK_MEMORY_ROWS];
	uint32_t n = stack_memory_rows(rig_stack(r), rows, STACK_MEMORY_ROWS);

	for (uint32_t i = 0; i < n; i++)
		if (strcmp(rows[i].name, "reassembly") == 0)
			return rows[i].in_use;
	fail_msg("there is no such pool");
	return 0;
}

static bool is_v4(const uint8_t *frame)
{
	return get_be16(frame + 12) == ETHERTYPE_IP4;
}

/*
 * Bytes [@at, @at + @len) of the transport packet in @frame as one fragment of it in
 * @out. Return: the fragment's length.
 */
static uint32_t cut(const uint8_t *frame, uint32_t at, uint32_t len, bool more, uint32_t id,
		    uint8_t *out)
{
	uint8_t *ip = out + ETH_HLEN;

	if (is_v4(frame)) {
		memcpy(out, frame, HEADERS4);
		put_be16(ip + 2, (uint16_t)(IP4_HLEN + len));
		put_be16(ip + 4, (uint16_t)id);
		put_be16(ip + 6, (uint16_t)(at / 8 | (more ? 0x2000 : 0)));
		put_be16(ip + 10, 0);
		put_be16(ip + 10, csum_fold(csum_add(0, ip, IP4_HLEN)));
		memcpy(out + HEADERS4, frame + HEADERS4 + at, len);
		return HEADERS4 + len;
	}
	memcpy(out, frame, HEADERS6);
	put_be16(ip + 4, (uint16_t)(FRAGMENT6_HLEN + len));
	ip[6] = NEXT_FRAGMENT;
	ip += IP6_HLEN;
	ip[0] = frame[ETH_HLEN + 6];
	ip[1] = 0;
	put_be16(ip + 2, (uint16_t)(at | more));
	put_be32(ip + 4, id);
	memcpy(ip + FRAGMENT6_HLEN, frame + HEADERS6 + at, len);
	return HEADERS6 + FRAGMENT6_HLEN + len;
}

/* The transport bytes of @frame, @len long as a whole, that a fragment of @mtu holds. */
static uint32_t unit_of(const uint8_t *frame, uint32_t mtu)
{
	return (mtu - (is_v4(frame) ? IP4_HLEN : IP6_HLEN + FRAGMENT6_HLEN)) / 8 * 8;
}

static void send_piece(struct rig *r, const uint8_t *frame, uint32_t at, uint32_t len, bool more,
		       uint32_t id)
{
	static uint8_t out[PORT_FRAME_MAX + 64];

	rig_send(r, out, cut(frame, at, len, more, id, out), NULL);
}

/* All of @frame, @len bytes long, as a guest of this MTU sends it. */
static void send_cut(struct rig *r, const uint8_t *frame, uint32_t len, uint32_t mtu, uint32_t id)
{
	uint32_t total = len - (is_v4(frame) ? HEADERS4 : HEADERS6), unit = unit_of(frame, mtu);

	for (uint32_t at = 0; at < total; at += unit)
		send_piece(r, frame, at, MIN(unit, total - at), at + unit < total, id);
}

/* A datagram to the gateway; the frame's length. */
static uint32_t build(struct rig *r, uint8_t *frame, bool v6, uint16_t port, uint32_t len,
		      uint64_t seed)
{
	uint8_t *data = malloc(len ? len : 1);
	uint32_t n;

	assert_non_null(data);
	rig_pattern(data, len, seed, 0);
	if (v6)
		n = rig_build_udp6(r, frame, GPORT, &rig_config(r)->stack.gateway6, port, data,
				   len);
	else
		n = rig_build_udp(r, frame, GPORT, GATEWAY, port, data, len);
	free(data);
	return n;
}

static int server(bool v6, uint16_t *port)
{
	int fd = v6 ? rig_udp_socket6(port) : rig_udp_socket(port);

	if (fd < 0) {
		print_message("[  SKIP  ] the host has no IPv6\n");
		skip();
	}
	return fd;
}

static bool received(int fd, union sockaddr_any *peer, socklen_t *plen, uint32_t len, uint64_t seed)
{
	static uint8_t in[65536];
	ssize_t n;

	*plen = sizeof(*peer);
	n = recvfrom(fd, in, sizeof(in), 0, &peer->sa, plen);
	assert_true(n >= 0 || errno == EAGAIN);
	if (n < 0)
		return false;
	assert_int_equal(n, len);
	rig_pattern_check(in, len, seed, 0);
	return true;
}

static void both_ways(bool v6, uint16_t mtu, const uint32_t *sizes, uint32_t n)
{
	static uint8_t frame[PORT_FRAME_MAX + 64], data[65536];
	struct rig *r = start(mtu);
	uint64_t before = 0;
	uint16_t port;
	int fd = server(v6, &port);

	for (uint32_t i = 0; i < n; i++) {
		union sockaddr_any peer;
		struct rig_pkt pkt;
		socklen_t plen;

		send_cut(r, frame, build(r, frame, v6, port, sizes[i], i), mtu, 100 + i);
		RIG_UNTIL(r, received(fd, &peer, &plen, sizes[i], i));
		before += sizes[i] + UDP_HLEN > unit_of(frame, mtu);
		assert_int_equal(reassembled(r), before);

		rig_pattern(data, sizes[i], 1000 + i, 0);
		assert_int_equal(sendto(fd, data, sizes[i], 0, &peer.sa, plen), sizes[i]);
		RIG_UNTIL(r, rig_pop(r, &pkt));
		assert_int_equal(pkt.proto, PROTO_UDP);
		assert_int_equal(pkt.sport, port);
		assert_int_equal(pkt.dport, GPORT);
		assert_int_equal(pkt.payload_len, sizes[i]);
		rig_pattern_check(pkt.payload, sizes[i], 1000 + i, 0);
	}
	assert_int_equal(under_way(r), 0);
	assert_int_equal(rig_drops(r, DROP_IP_FRAGMENT) + rig_drops(r, DROP_FRAGMENT_ORDER), 0);
	assert_int_equal(rig_allocs(r), 0);
	close(fd);
	rig_free(r);
}

static const uint32_t sizes[] = { 1472, 1473, 8192, 3000, 40000, 65500 };

static void datagrams_of_any_length_pass_both_ways(void **state)
{
	static const uint32_t longest = 65507;

	(void)state;
	both_ways(false, 1500, sizes, ARRAY_SIZE(sizes));
	both_ways(false, 1500, &longest, 1);
	both_ways(false, 576, sizes, ARRAY_SIZE(sizes));
}

static void datagrams_of_any_length_pass_both_ways_over_ip6(void **state)
{
	static const uint32_t longest = 65527;

	(void)state;
	both_ways(true, 1500, sizes, ARRAY_SIZE(sizes));
	both_ways(true, 1500, &longest, 1);
	both_ways(true, 1280, sizes, ARRAY_SIZE(sizes));
}

/* Senders on several CPUs: their fragments take turns. */
static void datagrams_under_way_at_once_stay_apart(void **state)
{
	enum { MANY = LIMIT_REASSEMBLY_SLOTS, LEN = 4000 };
	static uint8_t frame[MANY][5000];
	struct rig *r = start(1500);
	uint32_t total = UDP_HLEN + LEN, unit = 1480;
	union sockaddr_any peer;
	socklen_t plen;
	uint16_t port;
	int fd = rig_udp_socket(&port);

	(void)state;
	for (uint32_t i = 0; i < MANY; i++)
		build(r, frame[i], false, port, LEN, i);
	for (uint32_t at = 0; at < total; at += unit)
		for (uint32_t i = 0; i < MANY; i++)
			send_piece(r, frame[i], at, MIN(unit, total - at), at + unit < total, i);
	for (uint32_t i = 0; i < MANY; i++)
		RIG_UNTIL(r, received(fd, &peer, &plen, LEN, i));
	/* One more than there is room for: the oldest is given up, and no other. */
	for (uint32_t i = 0; i < MANY; i++)
		send_piece(r, frame[i], 0, unit, true, i);
	send_piece(r, frame[0], 0, unit, true, MANY);
	assert_int_equal(rig_drops(r, DROP_FRAGMENT_LIMIT), 1);
	assert_int_equal(under_way(r), MANY);
	for (uint32_t at = unit; at < total; at += unit)
		for (uint32_t i = 1; i < MANY; i++)
			send_piece(r, frame[i], at, MIN(unit, total - at), at + unit < total, i);
	for (uint32_t i = 1; i < MANY; i++)
		RIG_UNTIL(r, received(fd, &peer, &plen, LEN, i));
	close(fd);
	rig_free(r);
}

/* Both families' `ping -s 8000`. */
static void long_echo_requests_are_answered(void **state)
{
	static uint8_t frame[9000], data[8000];
	struct rig *r = start(1500);

	(void)state;
	rig_pattern(data, sizeof(data), 3, 0);
	for (int v6 = 0; v6 < 2; v6++) {
		const struct stack_config *cfg = &rig_config(r)->stack;
		struct rig_pkt pkt;
		uint32_t n = v6 ? rig_build_echo6(r, frame, &cfg->gateway6, 77, 5, data, 8000)
				: rig_build_echo(r, frame, GATEWAY, 77, 5, data, 8000);

		send_cut(r, frame, n, 1500, 9);
		rig_cycle(r);
		assert_true(rig_pop(r, &pkt));
		assert_int_equal(pkt.icmp_type, v6 ? 129 : 0);
		assert_int_equal(pkt.icmp_id, 77);
		assert_int_equal(pkt.icmp_seq, 5);
		assert_int_equal(pkt.fragments, 6);
		assert_int_equal(pkt.payload_len, 8000);
		rig_pattern_check(pkt.payload, 8000, 3, 0);
	}
	rig_free(r);
}

/* H49, RFC 6980: what is not put together, whichever of its fragments comes. */
static void nothing_else_is_put_together(void **state)
{
	static uint8_t frame[3000], data[2000];
	struct rig *r = start(1500);
	const struct stack_config *cfg = &rig_config(r)->stack;
	struct rig_tcp_seg seg = { .dst = GATEWAY, .sport = 1, .dport = 2, .flags = RIG_SYN };
	struct rig_pkt pkt;
	uint64_t before;

	(void)state;
	/* TCP, whose first fragment would hold all of its header. */
	rig_build_tcp(r, frame, &seg, data, 1000);
	before = rig_drops(r, DROP_IP_FRAGMENT);
	send_piece(r, frame, 0, 512, true, 1);
	send_piece(r, frame, 512, 508, false, 1);
	assert_int_equal(rig_drops(r, DROP_IP_FRAGMENT), before + 2);
	/* A neighbour solicitation. */
	rig_build_echo6(r, frame, &cfg->gateway6, 1, 1, data, 56);
	frame[HEADERS6] = 135;
	rig_finish(frame, 64);
	send_piece(r, frame, 0, 32, true, 2);
	assert_int_equal(rig_drops(r, DROP_IP_FRAGMENT), before + 3);
	send_piece(r, frame, 32, 32, false, 2);
	assert_int_equal(rig_drops(r, DROP_FRAGMENT_ORDER), 1);
	/* An echo reply, and the other family's echo request. */
	rig_build_echo(r, frame, GATEWAY, 1, 1, data, 56);
	frame[HEADERS4] = 0;
	send_piece(r, frame, 0, 32, true, 3);
	assert_int_equal(rig_drops(r, DROP_IP_FRAGMENT), before + 4);
	rig_build_echo(r, frame, GATEWAY, 1, 1, data, 56);
	frame[ETH_HLEN + 9] = PROTO_ICMP6;
	send_piece(r, frame, 0, 32, true, 4);
	assert_int_equal(rig_drops(r, DROP_IP_FRAGMENT), before + 5);
	assert_int_equal(under_way(r), 0);
	rig_cycle(r);
	assert_false(rig_pop(r, &pkt));
	rig_free(r);
}

/* RFC 6946: a fragment header on a packet that is whole changes nothing. */
static void an_atomic_fragment_is_a_packet(void **state)
{
	static uint8_t frame[500];
	struct rig *r = start(1500);
	struct rig_pkt pkt;

	(void)state;
	rig_build_echo6(r, frame, &rig_config(r)->stack.gateway6, 7, 8, "x", 1);
	send_piece(r, frame, 0, 9, false, 1);
	rig_cycle(r);
	assert_true(rig_pop(r, &pkt));
	assert_int_equal(pkt.icmp_type, 129);
	assert_int_equal(reassembled(r), 0);
	rig_free(r);
}

/* H44: the checks see the whole datagram, and a fragment that fails them takes no room. */
static void rules_hold_for_datagrams_in_fragments(void **state)
{
	static uint8_t frame[5000], data[4000];
	struct rig *r = start(1500);
	struct offload off = { .needs_csum = true, .csum_start = HEADERS4, .csum_offset = 6 };
	struct rig_pkt pkt;
	uint32_t n;
	uint8_t out[2000];

	(void)state;
	n = rig_build_udp(r, frame, GPORT, outside4, 80, data, sizeof(data));
	send_cut(r, frame, n, 1500, 1);
	assert_int_equal(rig_drops(r, DROP_POLICY_DENIED), 1);
	rig_cycle(r);
	assert_true(rig_pop(r, &pkt)); /* prohibited, and what it quotes is the datagram */
	assert_int_equal(pkt.icmp_type, 3);
	assert_int_equal(pkt.icmp_code, 13);
	assert_int_equal(get_be16(pkt.payload + 2), IP4_HLEN + UDP_HLEN + sizeof(data));

	/* Somebody else's. */
	put_be32(frame + ETH_HLEN + 12, GUEST + 1);
	send_piece(r, frame, 0, 1480, true, 2);
	assert_int_equal(rig_drops(r, DROP_IP_SPOOFED), 1);
	/* A byte changed under the checksum. */
	n = rig_build_udp(r, frame, GPORT, GATEWAY, 80, data, sizeof(data));
	frame[3000] ^= 1;
	send_cut(r, frame, n, 1500, 3);
	assert_int_equal(rig_drops(r, DROP_L4_CHECKSUM), 1);
	/* Checksums cannot be left to us of what is in pieces. */
	n = cut(frame, 0, 1480, true, 4, out);
	rig_send(r, out, n, &off);
	assert_int_equal(rig_drops(r, DROP_OFFLOAD), 1);
	assert_int_equal(under_way(r), 0);
	rig_free(r);
}

static void datagrams_that_stay_in_pieces_are_given_up(void **state)
{
	static uint8_t frame[5000];
	struct rig *r = start(1500);

	(void)state;
	build(r, frame, false, 9, 4000, 1);
	send_piece(r, frame, 0, 1480, true, 1);
	rig_advance(r, LIMIT_REASSEMBLY_NS / 2);
	send_piece(r, frame, 0, 1480, true, 2);
	rig_advance(r, LIMIT_REASSEMBLY_NS / 2 - NS_PER_MS);
	assert_int_equal(under_way(r), 2);
	rig_advance(r, 2 * NS_PER_MS);
	assert_int_equal(under_way(r), 1);
	assert_int_equal(rig_drops(r, DROP_FRAGMENT_TIMEOUT), 1);
	rig_advance(r, LIMIT_REASSEMBLY_NS / 2);
	assert_int_equal(under_way(r), 0);
	assert_int_equal(rig_drops(r, DROP_FRAGMENT_TIMEOUT), 2);
	/* Anything later is an orphan. */
	send_piece(r, frame, 1480, 1480, true, 2);
	assert_int_equal(rig_drops(r, DROP_FRAGMENT_ORDER), 1);
	rig_free(r);
}

/* H17: what one driver has begun no other ends. */
static void a_driver_that_leaves_takes_its_pieces_along(void **state)
{
	static uint8_t frame[3000];
	struct rig *r = start(1500);

	(void)state;
	build(r, frame, false, 9, 2000, 1);
	send_piece(r, frame, 0, 1480, true, 1);
	rig_detach(r);
	assert_int_equal(under_way(r), 0);
	rig_attach(r);
	send_piece(r, frame, 1480, 528, false, 1);
	assert_int_equal(rig_drops(r, DROP_FRAGMENT_ORDER), 1);
	assert_int_equal(reassembled(r), 0);
	/* And at the stack's end there may be some, too. */
	send_piece(r, frame, 0, 1480, true, 2);
	rig_free(r);
}

/* H50: any fields, any cut; and some of it is a datagram (H83). */
static void random_fragments_do_no_harm(void **state)
{
	static uint8_t frame[3000], out[3000];
	struct rig *r = start(1500);
	uint16_t port;
	int fd = rig_udp_socket(&port);

	(void)state;
	for (uint32_t i = 0; i < 30000; i++) {
		bool v6 = rig_random(r) % 2;
		uint32_t len = build(r, frame, v6, port, 2000, 1) - (v6 ? HEADERS6 : HEADERS4);
		uint32_t id = (uint32_t)rig_random(r) % 20, at = (uint32_t)rig_random(r) % 4 * 512;
		uint32_t n = cut(frame, at, MIN(512U, len - at), at + 512 < len, id, out);
		struct rig_pkt pkt;

		if (rig_random(r) % 4 == 0)
			out[ETH_HLEN + rig_random(r) % 60] = (uint8_t)rig_random(r);
		if (rig_random(r) % 8 == 0)
			n = ETH_HLEN + (uint32_t)rig_random(r) % (n - ETH_HLEN);
		rig_send(r, out, n, NULL);
		rig_cycle(r);
		while (rig_pop(r, &pkt))
			;
		assert_true(under_way(r) <= LIMIT_REASSEMBLY_SLOTS);
	}
	assert_true(reassembled(r) > 10);
	assert_true(rig_drops(r, DROP_FRAGMENT_ORDER) > 1000);
	assert_int_equal(rig_allocs(r), 0);
	close(fd);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(datagrams_of_any_length_pass_both_ways),
		cmocka_unit_test(datagrams_of_any_length_pass_both_ways_over_ip6),
		cmocka_unit_test(datagrams_under_way_at_once_stay_apart),
		cmocka_unit_test(long_echo_requests_are_answered),
		cmocka_unit_test(nothing_else_is_put_together),
		cmocka_unit_test(an_atomic_fragment_is_a_packet),
		cmocka_unit_test(rules_hold_for_datagrams_in_fragments),
		cmocka_unit_test(datagrams_that_stay_in_pieces_are_given_up),
		cmocka_unit_test(a_driver_that_leaves_takes_its_pieces_along),
		cmocka_unit_test(random_fragments_do_no_harm),
	};

	return cmocka_run_group_tests_name("fragments", tests, NULL, NULL);
}
