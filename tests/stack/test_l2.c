/* SPDX-License-Identifier: MIT */
/* Layers 2 and 3 from the guest's side: ARP, ICMP echo and errors, malformed and hostile frames. */
#include "tests/stack/rig.h"

#include <sys/socket.h>

#include "src/base/base.h"

#define GUEST	  0x0a00020fU
#define GATEWAY	  0x0a000202U
#define DNS	  0x0a000203U
#define NEIGHBOUR 0x0a000210U
#define METADATA  0xa9fea9feU /* 169.254.169.254 */
#define LOOPBACK  0x7f000001U
#define MCAST	  0xe00000fbU
#define OUTSIDE	  0xc0000201U /* 192.0.2.1, RFC 5737 */

static struct rig *start(void)
{
	struct rig_config cfg;

	rig_config_defaults(&cfg);
	return rig_new(&cfg);
}

static uint32_t answers(struct rig *r)
{
	struct rig_pkt pkt;
	uint32_t n = 0;

	rig_cycle(r);
	while (rig_pop(r, &pkt))
		n++;
	return n;
}

/* --- ARP ------------------------------------------------------------------ */

static void gateway_answers_arp(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_pkt pkt;
	uint8_t buf[64];

	rig_send(r, buf, rig_build_arp(r, buf, GUEST, GATEWAY), NULL);
	assert_false(rig_pop(r, &pkt));
	rig_cycle(r);
	assert_true(rig_pop(r, &pkt));
	assert_int_equal(pkt.ethertype, ETHERTYPE_ARP);
	assert_int_equal(get_be16(pkt.frame + 14 + 6), 2);
	assert_memory_equal(pkt.frame, rig_config(r)->stack.guest_mac, 6);
	assert_memory_equal(pkt.frame + 14 + 8, rig_config(r)->stack.our_mac, 6);
	assert_int_equal(get_be32(pkt.frame + 14 + 14), GATEWAY);
	assert_memory_equal(pkt.frame + 14 + 18, rig_config(r)->stack.guest_mac, 6);
	assert_int_equal(get_be32(pkt.frame + 14 + 24), GUEST);
	rig_free(r);
}

static void arp_is_answered_for_the_subnet_but_never_for_the_guest(void **state)
{
	(void)state;
	static const struct {
		uint32_t sender, target;
		bool answered;
	} asked[] = {
		{ GUEST, DNS, true },	      { GUEST, NEIGHBOUR, true },
		{ 0, NEIGHBOUR, true },	 /* a probe for an address that is ours */
		{ 0, GUEST, false },	 /* a probe for its own, RFC 5227 */
		{ GUEST, GUEST, false }, /* an announcement */
		{ GUEST, 0x0a000200, false }, { GUEST, 0x0a0002ff, false },
		{ GUEST, OUTSIDE, false },    { GUEST, 0x0a000302, false },
	};
	struct rig *r = start();

	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		uint8_t buf[64];

		rig_send(r, buf, rig_build_arp(r, buf, asked[i].sender, asked[i].target), NULL);
		assert_int_equal(answers(r), asked[i].answered);
	}
	assert_int_equal(rig_allocs(r), 0);
	rig_free(r);
}

static void arp_that_lies_is_dropped(void **state)
{
	(void)state;
	static const struct {
		uint32_t at;
		uint8_t value;
		enum drop_reason why;
	} lies[] = {
		{ 1, 6, DROP_ARP_MALFORMED },	 { 2, 0x86, DROP_ARP_MALFORMED },
		{ 4, 8, DROP_ARP_MALFORMED },	 { 5, 16, DROP_ARP_MALFORMED },
		{ 7, 3, DROP_ARP_MALFORMED },	 { 7, 0, DROP_ARP_MALFORMED },
		{ 8, 0x66, DROP_ARP_MALFORMED }, /* another station than the frame's */
		{ 17, 99, DROP_IP_SPOOFED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct rig *r = start();
		uint8_t buf[64];
		uint32_t len = rig_build_arp(r, buf, GUEST, GATEWAY);

		buf[ETH_HLEN + lies[i].at] = lies[i].value;
		rig_send(r, buf, len, NULL);
		assert_int_equal(rig_drops(r, lies[i].why), 1);
		assert_int_equal(answers(r), 0);
		rig_send(r, buf, len - 1, NULL);
		assert_int_equal(rig_drops(r, DROP_FRAME_SHORT), 1);
		rig_free(r);
	}
}

static void answers_follow_the_guest_to_a_new_mac_address(void **state)
{
	(void)state;
	static const uint8_t moved[6] = { 0x02, 1, 2, 3, 4, 5 };
	struct rig *r = start();
	struct rig_pkt pkt;
	uint8_t buf[256];
	uint8_t old[6];
	uint32_t len;

	memcpy(old, rig_config(r)->stack.guest_mac, 6);
	rig_set_guest_mac(r, moved);
	len = rig_build_echo(r, buf, GATEWAY, 1, 1, "x", 1);
	rig_send(r, buf, len, NULL);
	rig_cycle(r);
	assert_true(rig_pop(r, &pkt));
	assert_memory_equal(pkt.frame, moved, 6);

	/* A frame that is refused teaches nothing. */
	len = rig_build_ip4(r, buf, NEIGHBOUR, GATEWAY, PROTO_ICMP, 8) + 8;
	memcpy(buf + 6, old, 6);
	rig_send(r, buf, len, NULL);
	len = rig_build_arp(r, buf, GUEST, GATEWAY);
	rig_send(r, buf, len, NULL);
	rig_cycle(r);
	assert_true(rig_pop(r, &pkt));
	assert_memory_equal(pkt.frame, moved, 6);
	rig_free(r);
}

/* --- ICMP ----------------------------------------------------------------- */

static void our_addresses_answer_echo_byte_for_byte(void **state)
{
	(void)state;
	static const uint32_t lens[] = { 0, 1, 56, 149, 150, 151, 1471, 1472 };
	struct rig *r = start();
	uint8_t buf[2048], data[1472];

	rig_pattern(data, sizeof(data), 1, 0);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		uint32_t to = i % 2 ? GATEWAY : DNS;
		struct rig_pkt pkt;

		rig_send(r, buf, rig_build_echo(r, buf, to, 7, (uint16_t)i, data, lens[i]), NULL);
		rig_cycle(r);
		assert_true(rig_pop(r, &pkt));
		assert_int_equal(pkt.icmp_type, 0);
		assert_int_equal(pkt.icmp_id, 7);
		assert_int_equal(pkt.icmp_seq, i);
		assert_int_equal(pkt.src, to);
		assert_int_equal(pkt.payload_len, lens[i]);
		rig_pattern_check(pkt.payload, pkt.payload_len, 1, 0);
		assert_false(rig_pop(r, &pkt));
	}
	assert_int_equal(rig_allocs(r), 0);
	rig_free(r);
}

static void echo_that_is_broken_gets_no_answer(void **state)
{
	(void)state;
	struct rig *r = start();
	uint8_t buf[256];
	uint32_t len = rig_build_echo(r, buf, GATEWAY, 7, 1, "abcdefg", 7);

	buf[len - 1] ^= 1;
	rig_send(r, buf, len, NULL);
	assert_int_equal(rig_drops(r, DROP_L4_CHECKSUM), 1);
	rig_build_ip4(r, buf, GUEST, GATEWAY, PROTO_ICMP, 7);
	rig_send(r, buf, ETH_HLEN + IP4_HLEN + 7, NULL);
	assert_int_equal(rig_drops(r, DROP_L4_MALFORMED), 1);
	assert_int_equal(answers(r), 0);
	rig_free(r);
}

static void only_echo_requests_are_taken(void **state)
{
	(void)state;
	struct rig *r = start();
	uint8_t buf[256];

	for (uint32_t type = 0; type < 256; type++) {
		uint32_t len = rig_build_echo(r, buf, GATEWAY, 7, 1, "abcd", 4);
		uint8_t *icmp = buf + ETH_HLEN + IP4_HLEN;

		if (type == 8)
			continue;
		icmp[0] = (uint8_t)type;
		put_be16(icmp + 2, 0);
		put_be16(icmp + 2, csum_fold(csum_add(0, icmp, 12)));
		rig_send(r, buf, len, NULL);
	}
	assert_int_equal(rig_drops(r, DROP_ICMP_TYPE), 255);
	assert_int_equal(answers(r), 0);
	rig_free(r);
}

/* H44: echo asks the policy like everything else. */
static void echo_to_a_refused_address_is_prohibited(void **state)
{
	(void)state;
	static const uint32_t to[] = { LOOPBACK, METADATA, NEIGHBOUR };
	struct rig *r = start();

	for (size_t i = 0; i < ARRAY_SIZE(to); i++) {
		struct rig_pkt pkt;
		uint8_t buf[256];

		rig_send(r, buf, rig_build_echo(r, buf, to[i], 7, 1, "0123456789", 10), NULL);
		rig_cycle(r);
		assert_int_equal(rig_drops(r, DROP_POLICY_DENIED), i + 1);
		assert_true(rig_pop(r, &pkt));
		assert_int_equal(pkt.src, GATEWAY);
		assert_int_equal(pkt.icmp_type, 3);
		assert_int_equal(pkt.icmp_code, 13);
		/* It quotes the header and eight bytes more. */
		assert_int_equal(pkt.payload_len, IP4_HLEN + 8);
		assert_memory_equal(pkt.payload, buf + ETH_HLEN, IP4_HLEN + 8);
	}
	rig_free(r);
}

static uint32_t errors_for_burst(struct rig *r, uint32_t frames)
{
	uint8_t buf[256];

	for (uint32_t i = 0; i < frames; i++)
		rig_send(r, buf, rig_build_echo(r, buf, METADATA, 7, 1, "x", 1), NULL);
	return answers(r);
}

/* RFC 1812 4.3.2.8 */
static void icmp_errors_are_limited(void **state)
{
	(void)state;
	struct rig *r = start();

	assert_int_equal(errors_for_burst(r, 200), 50);
	assert_int_equal(errors_for_burst(r, 200), 0);
	rig_advance(r, 100 * NS_PER_MS);
	assert_int_equal(errors_for_burst(r, 200), 10);
	rig_advance(r, 15 * NS_PER_MS);
	assert_int_equal(errors_for_burst(r, 200), 1);
	rig_advance(r, 5 * NS_PER_MS);
	assert_int_equal(errors_for_burst(r, 200), 1);
	rig_advance(r, 3600 * NS_PER_S);
	assert_int_equal(errors_for_burst(r, 200), 50);
	rig_free(r);
}

static void an_unknown_protocol_is_unreachable(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_pkt pkt;
	uint8_t buf[256] = { 0 };

	rig_build_ip4(r, buf, GUEST, OUTSIDE, 132, 40);
	rig_send(r, buf, ETH_HLEN + IP4_HLEN + 40, NULL);
	rig_cycle(r);
	assert_int_equal(rig_drops(r, DROP_IP_PROTOCOL), 1);
	assert_true(rig_pop(r, &pkt));
	assert_int_equal(pkt.icmp_type, 3);
	assert_int_equal(pkt.icmp_code, 2);
	assert_int_equal(pkt.src, OUTSIDE);
	assert_int_equal(pkt.payload_len, IP4_HLEN + 8);
	rig_free(r);
}

/* --- frames that are not taken -------------------------------------------- */

static void frames_for_others_and_unknown_kinds_are_dropped(void **state)
{
	(void)state;
	struct rig *r = start();
	uint8_t buf[256];
	uint32_t len = rig_build_echo(r, buf, GATEWAY, 7, 1, "x", 1);

	buf[5] ^= 1;
	rig_send(r, buf, len, NULL);
	assert_int_equal(rig_drops(r, DROP_FRAME_MAC), 1);
	len = rig_build_echo(r, buf, GATEWAY, 7, 1, "x", 1);
	buf[6] |= 1; /* from a group */
	rig_send(r, buf, len, NULL);
	assert_int_equal(rig_drops(r, DROP_FRAME_MAC), 2);

	len = rig_build_echo(r, buf, GATEWAY, 7, 1, "x", 1);
	put_be16(buf + 12, ETHERTYPE_VLAN);
	rig_send(r, buf, len, NULL);
	put_be16(buf + 12, 0x88cc);
	rig_send(r, buf, len, NULL);
	assert_int_equal(rig_drops(r, DROP_ETHERTYPE), 2);
	put_be16(buf + 12, ETHERTYPE_IP6);
	rig_send(r, buf, len, NULL);
	assert_int_equal(rig_drops(r, DROP_IP_DISABLED), 1);
	assert_int_equal(answers(r), 0);
	rig_free(r);
}

/* H50: under ASan the head is an allocation of exactly its length. */
static void frames_cut_anywhere_are_dropped(void **state)
{
	(void)state;
	struct rig *r = start();
	uint8_t buf[512], data[200] = { 0 };
	uint32_t whole = rig_build_udp(r, buf, 68, UINT32_MAX, 67, data, sizeof(data));
	uint32_t kinds = 0;

	for (uint32_t len = 1; len < whole; len++) {
		rig_send(r, buf, len, NULL);
		kinds++;
	}
	assert_int_equal(rig_drops(r, DROP_FRAME_SHORT) + rig_drops(r, DROP_IP_MALFORMED), kinds);
	assert_int_equal(answers(r), 0);
	rig_free(r);
}

/* H44: the guest speaks for itself only. */
static void a_foreign_source_address_is_dropped(void **state)
{
	(void)state;
	static const uint32_t from[] = { NEIGHBOUR, GATEWAY, OUTSIDE, LOOPBACK, UINT32_MAX, 0 };
	struct rig *r = start();
	uint8_t buf[256] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		for (int proto = 0; proto < 3; proto++) {
			static const uint8_t protos[] = { PROTO_TCP, PROTO_UDP, PROTO_ICMP };
			uint32_t at = rig_build_ip4(r, buf, from[i], GATEWAY, protos[proto], 20);

			/* Near misses of DHCP are no exception. */
			put_be16(buf + at, proto ? 68 : 69);
			put_be16(buf + at + 2, proto ? 53 : 67);
			rig_send(r, buf, at + 20, NULL);
		}
	}
	assert_int_equal(rig_drops(r, DROP_IP_SPOOFED), 3 * ARRAY_SIZE(from));
	assert_int_equal(answers(r), 0);
	rig_free(r);
}

static void groups_and_reserved_destinations_are_dropped_in_silence(void **state)
{
	(void)state;
	static const uint32_t to[] = { 0, 1, MCAST, 0xf0000001, UINT32_MAX, 0x0a0002ff };
	struct rig *r = start();
	uint8_t buf[256];

	for (size_t i = 0; i < ARRAY_SIZE(to); i++)
		rig_send(r, buf, rig_build_udp(r, buf, 5353, to[i], 5353, "x", 1), NULL);
	assert_int_equal(rig_drops(r, DROP_IP_DESTINATION), ARRAY_SIZE(to));
	assert_int_equal(answers(r), 0);
	rig_free(r);
}

static void ip_options_are_stepped_over(void **state)
{
	(void)state;
	struct rig *r = start();
	uint8_t buf[256], wide[256];
	uint32_t len = rig_build_echo(r, buf, GATEWAY, 7, 1, "x", 1);
	uint8_t *ip = wide + ETH_HLEN;

	memset(wide, 1, sizeof(wide)); /* no-operation */
	memcpy(wide, buf, ETH_HLEN + IP4_HLEN);
	memcpy(ip + 60, buf + ETH_HLEN + IP4_HLEN, len - ETH_HLEN - IP4_HLEN);
	ip[0] = 0x4f;
	put_be16(ip + 2, (uint16_t)(len + 40 - ETH_HLEN));
	put_be16(ip + 10, 0);
	put_be16(ip + 10, csum_fold(csum_add(0, ip, 60)));
	rig_send(r, wide, len + 40, NULL);
	assert_int_equal(answers(r), 1);
	rig_free(r);
}

static void offloads_that_contradict_the_packet_are_dropped(void **state)
{
	(void)state;
	static const struct {
		uint8_t proto;
		struct offload off;
	} lies[] = {
		{ PROTO_TCP, { .needs_csum = true, .csum_start = 33, .csum_offset = 16 } },
		{ PROTO_TCP, { .needs_csum = true, .csum_start = 34, .csum_offset = 6 } },
		{ PROTO_TCP, { .needs_csum = true, .csum_start = 65535, .csum_offset = 65535 } },
		{ PROTO_UDP, { .needs_csum = true, .csum_start = 34, .csum_offset = 16 } },
		{ PROTO_ICMP, { .needs_csum = true, .csum_start = 34, .csum_offset = 2 } },
		{ PROTO_TCP, { .gso = GSO_TCP4, .gso_size = 1000 } }, /* no needs_csum */
		{ PROTO_TCP,
		  { .gso = GSO_TCP4, .needs_csum = true, .csum_start = 34, .csum_offset = 16 } },
		{ PROTO_TCP,
		  { .gso = GSO_TCP6,
		    .gso_size = 1000,
		    .needs_csum = true,
		    .csum_start = 34,
		    .csum_offset = 16 } },
		{ PROTO_UDP,
		  { .gso = GSO_TCP4,
		    .gso_size = 1000,
		    .needs_csum = true,
		    .csum_start = 34,
		    .csum_offset = 6 } },
		{ PROTO_TCP,
		  { .gso = GSO_UDP_L4,
		    .gso_size = 1000,
		    .needs_csum = true,
		    .csum_start = 34,
		    .csum_offset = 16 } },
	};
	struct rig *r = start();

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		uint8_t buf[256] = { 0 };

		rig_build_ip4(r, buf, GUEST, OUTSIDE, lies[i].proto, 40);
		rig_send(r, buf, ETH_HLEN + IP4_HLEN + 40, &lies[i].off);
		assert_int_equal(rig_drops(r, DROP_OFFLOAD), i + 1);
	}
	/* A checksum field that lies outside of the packet. */
	struct offload off = { .needs_csum = true, .csum_start = 34, .csum_offset = 16 };
	uint8_t buf[256] = { 0 };

	rig_build_ip4(r, buf, GUEST, OUTSIDE, PROTO_TCP, 17);
	rig_send(r, buf, ETH_HLEN + IP4_HLEN + 17, &off);
	assert_int_equal(rig_drops(r, DROP_OFFLOAD), ARRAY_SIZE(lies) + 1);
	rig_free(r);
}

/* Random damage to good frames: nothing but counters may come of it (H83: and they do). */
static void damaged_frames_do_no_harm(void **state)
{
	(void)state;
	struct rig *r = start();
	uint8_t buf[512];
	uint64_t drops = 0;

	for (int i = 0; i < 20000; i++) {
		uint64_t x = rig_random(r);
		uint32_t len;

		switch (x % 4) {
		case 0:
			len = rig_build_arp(r, buf, GUEST, GATEWAY);
			break;
		case 1:
			len = rig_build_echo(r, buf, GATEWAY, 7, 1, "hello", 5);
			break;
		case 2:
			len = rig_build_udp(r, buf, 68, UINT32_MAX, 67, "hello", 5);
			break;
		default:
			len = rig_build_echo(r, buf, METADATA, 7, 1, "hello", 5);
			break;
		}
		buf[12 + (x >> 8) % (len - 12)] = (uint8_t)(x >> 40);
		if (x >> 62 == 0)
			len = (uint32_t)(x >> 16) % len + 1;
		rig_send(r, buf, len, NULL);
		if (i % 64 == 0)
			answers(r);
	}
	answers(r);
	for (int i = 0; i < DROP_REASON_COUNT; i++)
		drops += rig_drops(r, (enum drop_reason)i);
	assert_true(drops > 10000);
	assert_int_equal(rig_held(r), 0);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gateway_answers_arp),
		cmocka_unit_test(arp_is_answered_for_the_subnet_but_never_for_the_guest),
		cmocka_unit_test(arp_that_lies_is_dropped),
		cmocka_unit_test(answers_follow_the_guest_to_a_new_mac_address),
		cmocka_unit_test(our_addresses_answer_echo_byte_for_byte),
		cmocka_unit_test(echo_that_is_broken_gets_no_answer),
		cmocka_unit_test(only_echo_requests_are_taken),
		cmocka_unit_test(echo_to_a_refused_address_is_prohibited),
		cmocka_unit_test(icmp_errors_are_limited),
		cmocka_unit_test(an_unknown_protocol_is_unreachable),
		cmocka_unit_test(frames_for_others_and_unknown_kinds_are_dropped),
		cmocka_unit_test(frames_cut_anywhere_are_dropped),
		cmocka_unit_test(a_foreign_source_address_is_dropped),
		cmocka_unit_test(groups_and_reserved_destinations_are_dropped_in_silence),
		cmocka_unit_test(ip_options_are_stepped_over),
		cmocka_unit_test(offloads_that_contradict_the_packet_are_dropped),
		cmocka_unit_test(damaged_frames_do_no_harm),
	};

	return cmocka_run_group_tests_name("l2", tests, NULL, NULL);
}
