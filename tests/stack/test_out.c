/* SPDX-License-Identifier: MIT */
/*
 * Frames to the guest: waiting for buffers, fragments, offloads, drivers that
 * come and go; and the policy that every flow asks.
 */
#include "tests/stack/rig.h"

#include <stdlib.h>

#include "src/base/base.h"
#include "tcpstack/priv.h"

#define GUEST	0x0a00020fU
#define GATEWAY 0x0a000202U
#define DNS	0x0a000203U

static struct endpoint ep(uint32_t addr, uint16_t port)
{
	return (struct endpoint){ ipaddr_from_v4(addr), port };
}

/* A datagram of @len bytes whose bytes are the stream of @seed. */
static void send_udp(struct rig *r, uint64_t seed, uint32_t len)
{
	struct endpoint src = ep(0xc0000201, 4000), dst = ep(GUEST, 5000);
	uint8_t *data = malloc(len ? len : 1);

	rig_pattern(data, len, seed, 0);
	out_udp(rig_stack(r), &src, &dst, data, len);
	free(data);
}

static void check_udp(struct rig *r, uint64_t seed, uint32_t len, uint32_t fragments)
{
	struct rig_pkt pkt;

	assert_true(rig_pop(r, &pkt));
	assert_int_equal(pkt.proto, PROTO_UDP);
	assert_int_equal(pkt.src, 0xc0000201);
	assert_int_equal(pkt.sport, 4000);
	assert_int_equal(pkt.dst, GUEST);
	assert_int_equal(pkt.dport, 5000);
	assert_int_equal(pkt.payload_len, len);
	rig_pattern_check(pkt.payload, len, seed, 0);
	assert_int_equal(pkt.fragments, fragments);
}

static uint32_t fragments_of(uint32_t len, uint32_t mtu)
{
	uint32_t unit = (mtu - IP4_HLEN) / 8 * 8;

	return IP4_HLEN + UDP_HLEN + len <= mtu ? 1 : (UDP_HLEN + len + unit - 1) / unit;
}

/* H58: datagrams of every size reach guests of every MTU; the rig verifies each frame. */
static void datagrams_over_the_mtu_go_in_fragments(void **state)
{
	(void)state;
	static const uint16_t mtus[] = { 576, 1280, 1500, 9000, 65520 };

	for (size_t m = 0; m < ARRAY_SIZE(mtus); m++) {
		for (int csum = 0; csum < 2; csum++) {
			uint32_t mtu = mtus[m];
			uint32_t lens[] = { 0,	      1,       mtu - 29, mtu - 28,
					    mtu - 27, 2 * mtu, 65506,	 65507 };
			struct rig_config cfg;
			struct rig *r;

			rig_config_defaults(&cfg);
			cfg.stack.mtu = mtus[m];
			cfg.caps.rx_csum = csum;
			cfg.rx_buf_size = 1021; /* odd on purpose */
			r = rig_new(&cfg);
			for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
				uint32_t len = MIN(lens[i], 65507U);

				send_udp(r, len, len);
				rig_cycle(r);
				check_udp(r, len, len, fragments_of(len, mtu));
			}
			send_udp(r, 1, 65508);
			assert_int_equal(rig_drops(r, DROP_UDP_TOO_BIG), 1);
			assert_int_equal(rig_allocs(r), 0);
			rig_free(r);
		}
	}
}

/* The same over IPv6, RFC 8200 4.5, up to the longest that a packet holds. */
static void datagrams_over_the_mtu_go_in_fragments_of_ip6(void **state)
{
	(void)state;
	static const uint16_t mtus[] = { 1280, 1500, 9000, 65520 };
	struct endpoint src = { { { 0x20, 1, 0xd, 0xb8, [15] = 1 } }, 4000 },
			dst = { .port = 5000 };
	uint8_t *data = malloc(65528);

	assert_non_null(data);
	for (size_t m = 0; m < ARRAY_SIZE(mtus); m++) {
		uint32_t mtu = mtus[m], unit = (mtu - IP6_HLEN - FRAGMENT6_HLEN) / 8 * 8;
		uint32_t lens[] = {
			0, 1, mtu - 49, mtu - 48, mtu - 47, 2 * mtu, 65520, 65526, 65527
		};
		struct rig_config cfg;
		struct rig *r;

		rig_config_defaults(&cfg);
		cfg.stack.mtu = mtus[m];
		cfg.stack.ip6 = true;
		cfg.caps.rx_csum = m % 2;
		cfg.rx_buf_size = 1021;
		r = rig_new(&cfg);
		dst.addr = cfg.stack.guest6;
		for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
			uint32_t len = MIN(lens[i], 65527U), total = UDP_HLEN + len;
			struct rig_pkt pkt;

			rig_pattern(data, len, len, 0);
			out_udp(rig_stack(r), &src, &dst, data, len);
			rig_cycle(r);
			assert_true(rig_pop(r, &pkt));
			assert_int_equal(pkt.proto, PROTO_UDP);
			assert_true(ipaddr_equal(&pkt.src6, &src.addr));
			assert_true(ipaddr_equal(&pkt.dst6, &dst.addr));
			assert_int_equal(pkt.sport, 4000);
			assert_int_equal(pkt.dport, 5000);
			assert_int_equal(pkt.payload_len, len);
			rig_pattern_check(pkt.payload, len, len, 0);
			assert_int_equal(pkt.fragments,
					 IP6_HLEN + total <= mtu ? 1 : (total + unit - 1) / unit);
		}
		out_udp(rig_stack(r), &src, &dst, data, 65528);
		assert_int_equal(rig_drops(r, DROP_UDP_TOO_BIG), 1);
		assert_int_equal(rig_allocs(r), 0);
		rig_free(r);
	}
	free(data);
}

/* RFC 768: a sum of zero goes out as all ones, for zero says that there is none. */
static void a_udp_checksum_is_never_zero(void **state)
{
	(void)state;
	struct endpoint src = ep(0xc0000201, 4000), dst = ep(GUEST, 5000);
	uint8_t word[2] = { 0 };
	struct rig_config cfg;
	struct rig_pkt pkt;
	struct rig *r;

	rig_config_defaults(&cfg);
	cfg.caps.rx_csum = false;
	r = rig_new(&cfg);
	out_udp(rig_stack(r), &src, &dst, word, 2);
	rig_cycle(r);
	assert_true(rig_pop(r, &pkt));
	/* The payload that makes up for what was missing to zero. */
	memcpy(word, pkt.payload - 2, 2);
	out_udp(rig_stack(r), &src, &dst, word, 2);
	rig_cycle(r);
	assert_true(rig_pop(r, &pkt));
	assert_int_equal(get_be16(pkt.payload - 2), 0xffff);
	rig_free(r);
}

/* H14: the ring was full; whatever waited leaves as buffers return, in order. */
static void frames_wait_for_buffers_and_leave_in_order(void **state)
{
	(void)state;
	struct rig_config cfg;
	uint32_t sent = 0, got = 0;
	struct rig *r;

	rig_config_defaults(&cfg);
	cfg.rx_buffers = 8;
	cfg.rx_buf_size = 512;
	cfg.auto_refill = false;
	r = rig_new(&cfg);
	for (; sent < 8 + LIMIT_OUT_WAITING; sent++)
		send_udp(r, sent, sent % 300);
	assert_int_equal(rig_drops(r, DROP_RX_NO_BUFFER), 0);
	/* Beyond the bound the newest is dropped. */
	send_udp(r, 9999, 10);
	send_udp(r, 9999, 3000);
	assert_int_equal(rig_drops(r, DROP_RX_NO_BUFFER), 2);
	rig_cycle(r);
	while (got < sent) {
		uint32_t n = rig_pending(r);

		assert_true(n > 0);
		for (; n > 0; n--, got++)
			check_udp(r, got, got % 300, 1);
		rig_refill(r, 1 + (uint32_t)(rig_random(r) % 8));
		rig_cycle(r);
	}
	assert_int_equal(rig_pending(r), 0);
	/* The road is free again, and as wide as before. */
	rig_refill(r, 8);
	for (uint32_t i = 0; i < 8 + LIMIT_OUT_WAITING; i++)
		send_udp(r, i, 5);
	assert_int_equal(rig_drops(r, DROP_RX_NO_BUFFER), 2);
	rig_cycle(r);
	check_udp(r, 0, 5, 1);
	assert_int_equal(rig_allocs(r), 0);
	rig_free(r);
}

/* A long frame at the head of the queue waits for enough buffers, not just for one. */
static void a_long_frame_is_not_overtaken(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct rig *r;

	rig_config_defaults(&cfg);
	cfg.rx_buffers = 16;
	cfg.rx_buf_size = 100;
	cfg.auto_refill = false;
	r = rig_new(&cfg);
	for (uint32_t i = 0; i < 16; i++)
		send_udp(r, i, 20);
	send_udp(r, 100, 1000);
	send_udp(r, 101, 20);
	rig_cycle(r);
	for (uint32_t i = 0; i < 16; i++)
		check_udp(r, i, 20, 1);
	for (uint32_t i = 0; i < 10; i++) {
		rig_refill(r, 1);
		rig_cycle(r);
		assert_int_equal(rig_pending(r), 0);
	}
	send_udp(r, 102, 20); /* there would be room for this one */
	rig_refill(r, 3);
	rig_cycle(r);
	check_udp(r, 100, 1000, 1);
	check_udp(r, 101, 20, 1);
	check_udp(r, 102, 20, 1);
	rig_free(r);
}

static void a_frame_that_never_fits_does_not_block_for_ever(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct rig *r;

	rig_config_defaults(&cfg);
	cfg.rx_buffers = 16;
	cfg.rx_buf_size = 80;
	r = rig_new(&cfg);
	send_udp(r, 100, 1400); /* 1442 bytes, and the guest has 1280 */
	send_udp(r, 101, 20);
	rig_advance(r, 3 * NS_PER_S);
	send_udp(r, 102, 20);
	rig_cycle(r);
	assert_int_equal(rig_pending(r), 0);
	rig_advance(r, 3 * NS_PER_S);
	send_udp(r, 103, 20);
	rig_cycle(r);
	/* What came with it is as old; what came later goes. */
	assert_int_equal(rig_drops(r, DROP_RX_NO_BUFFER), 2);
	check_udp(r, 102, 20, 1);
	check_udp(r, 103, 20, 1);
	rig_free(r);
}

static void frames_longer_than_the_buffers_are_dropped(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct rig *r;

	rig_config_defaults(&cfg);
	cfg.rx_merge = false;
	cfg.rx_buf_size = 600;
	r = rig_new(&cfg);
	send_udp(r, 1, 600 - 42);
	send_udp(r, 2, 600 - 41);
	send_udp(r, 3, 1);
	rig_cycle(r);
	assert_int_equal(rig_drops(r, DROP_RX_TOO_BIG), 1);
	check_udp(r, 1, 600 - 42, 1);
	check_udp(r, 3, 1, 1);
	rig_free(r);
}

/* H17: the old driver's frames never reach the new one. */
static void a_reset_drops_what_waited(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct rig_pkt pkt;
	struct rig *r;

	rig_config_defaults(&cfg);
	cfg.rx_buffers = 2;
	cfg.auto_refill = false;
	r = rig_new(&cfg);
	for (uint32_t i = 0; i < 10; i++)
		send_udp(r, i, 10);
	rig_detach(r);
	assert_int_equal(rig_drops(r, DROP_RX_NO_DRIVER), 8);
	send_udp(r, 11, 10);
	assert_int_equal(rig_drops(r, DROP_RX_NO_DRIVER), 9);
	rig_cycle(r);
	while (rig_pop(r, &pkt))
		;
	rig_attach(r);
	rig_cycle(r);
	assert_int_equal(rig_pending(r), 0);
	send_udp(r, 12, 10);
	rig_cycle(r);
	check_udp(r, 12, 10, 1);
	rig_free(r);
}

/* The pools are bounded: what does not fit is counted, and all comes back. */
static void empty_pools_are_counted_and_refill(void **state)
{
	(void)state;
	struct out_slot *slots[LIMIT_OUT_LARGE_SLOTS];
	struct rig *r;

	r = rig_new(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		slots[i] = out_begin(rig_stack(r), PORT_FRAME_MAX);
		assert_non_null(slots[i]);
		assert_int_equal(slots[i]->len, PORT_FRAME_MAX);
	}
	assert_null(out_begin(rig_stack(r), 5000));
	assert_int_equal(rig_drops(r, DROP_OUT_OF_SLOTS), 1);
	assert_int_equal(arena_leaks(rig_stack(r)->arena), ARRAY_SIZE(slots));
	for (size_t i = 0; i < ARRAY_SIZE(slots); i++)
		out_cancel(rig_stack(r), slots[i]);
	assert_int_equal(arena_leaks(rig_stack(r)->arena), 0);
	rig_free(r);
}

static void headers_of_a_slot_are_zero(void **state)
{
	(void)state;
	struct out_slot *slot;
	struct rig *r;

	r = rig_new(NULL);
	slot = out_begin(rig_stack(r), 60);
	memset(slot->data, 0xff, 60);
	slot->off.needs_csum = true;
	out_cancel(rig_stack(r), slot);
	slot = out_begin(rig_stack(r), 60);
	for (uint32_t i = 0; i < OUT_HEADERS_MAX; i++)
		assert_int_equal(slot->data[i], 0);
	assert_false(slot->off.needs_csum);
	out_cancel(rig_stack(r), slot);
	rig_free(r);
}

static void ip6_headers_are_laid_out(void **state)
{
	(void)state;
	struct l3_spec l3 = { .proto = PROTO_TCP, .tos = 0xab };
	uint8_t buf[OUT_HEADERS_MAX];
	struct rig *r;

	r = rig_new(NULL);
	ipaddr_parse("2001:db8::1", &l3.src);
	ipaddr_parse("2001:db8::2", &l3.dst);
	assert_int_equal(out_l3(rig_stack(r), buf, &l3, 300), ETH_HLEN + IP6_HLEN);
	assert_int_equal(get_be16(buf + 12), ETHERTYPE_IP6);
	assert_int_equal(get_be32(buf + 14), 0x6ab00000);
	assert_int_equal(get_be16(buf + 18), 300);
	assert_int_equal(buf[20], PROTO_TCP);
	assert_int_equal(buf[21], 64);
	assert_memory_equal(buf + 22, l3.src.b, 16);
	assert_memory_equal(buf + 38, l3.dst.b, 16);
	rig_free(r);
}

/* --- policy --------------------------------------------------------------- */

static uint32_t translated(struct rig *r, uint8_t proto, uint32_t addr, uint16_t port)
{
	struct endpoint dst = ep(addr, port), host = ep(0xdeadbeef, 1);
	enum drop_reason why = policy_translate(rig_stack(r), proto, &dst, &host);

	if (why == DROP_NONE)
		return ipaddr_v4(&host.addr);
	assert_int_equal(why, DROP_POLICY_DENIED);
	assert_int_equal(ipaddr_v4(&host.addr), 0xdeadbeef);
	return 0;
}

/* H44 */
static void only_the_gateway_reaches_the_host_and_refused_nets_are_refused(void **state)
{
	(void)state;
	static const uint32_t refused[] = {
		GUEST,	    0x0a000201, 0x0a0002ff, 0x0a000200, 0x0a000210, /* its own network */
		0,	    1,		0x00ffffff,			    /* 0/8 */
		0x7f000001, 0x7f000035, 0x7fffffff,			    /* 127/8 */
		0xa9fea9fe, 0xa9fe0000, 0xa9feffff,			    /* 169.254/16 */
		0xe0000001, 0xefffffff, 0xf0000000, 0xffffffff,
	};
	static const uint32_t allowed[] = { 0x0a000302, 0x08080808, 0xc0a80001,
					    0x7effffff, 0x80000000, 0xa9fd0001,
					    0xa9ff0001, 0xdfffffff, 0x01000000 };
	static const uint8_t protos[] = { PROTO_TCP, PROTO_UDP, PROTO_ICMP };
	struct rig_config cfg;
	struct rig *r;

	rig_config_defaults(&cfg);
	r = rig_new(&cfg);
	for (size_t p = 0; p < ARRAY_SIZE(protos); p++) {
		for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
			assert_int_equal(translated(r, protos[p], refused[i], 80), 0);
		for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
			assert_int_equal(translated(r, protos[p], allowed[i], 80), allowed[i]);
		assert_int_equal(translated(r, protos[p], GATEWAY, 80), 0x7f000001);
		assert_int_equal(translated(r, protos[p], DNS, 80), 0);
	}
	rig_free(r);

	cfg.stack.gateway_is_host = false;
	r = rig_new(&cfg);
	for (size_t p = 0; p < ARRAY_SIZE(protos); p++)
		assert_int_equal(translated(r, protos[p], GATEWAY, 80), 0);
	rig_free(r);
}

static void dns_over_tcp_goes_to_a_port_of_our_own(void **state)
{
	(void)state;
	struct endpoint dst = ep(DNS, 53), host;
	struct rig *r;

	r = rig_new(NULL);
	assert_int_equal(policy_translate(rig_stack(r), PROTO_TCP, &dst, &host), DROP_NONE);
	assert_true(ipaddr_is_loopback(&host.addr));
	assert_int_not_equal(host.port, 0);
	assert_int_equal(translated(r, PROTO_UDP, DNS, 53), 0);
	assert_int_equal(translated(r, PROTO_TCP, DNS, 54), 0);
	rig_free(r);
}

static void a_bad_configuration_is_refused_with_a_reason(void **state)
{
	(void)state;
	struct stack_config good, bad[12];
	char why[128];
	size_t n = 0;

	stack_config_defaults(&good);
	assert_int_equal(stack_config_check(&good, why, sizeof(why)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		bad[i] = good;
	bad[n++].prefix4 = 0;
	bad[n++].prefix4 = 31;
	bad[n++].guest4 = 0x0a0002ff;
	bad[n++].gateway4 = 0x0a000302;
	bad[n++].dns4 = good.guest4;
	bad[n++].guest_mac[0] |= 1;
	memcpy(bad[n++].our_mac, good.guest_mac, 6);
	bad[n++].mtu = 575;
	bad[n++].mtu = 65521;
	bad[n++].nresolvers = STACK_RESOLVERS_MAX + 1;
	bad[n++].max_tcp = 0;
	memset(bad[n++].hostname, 'x', sizeof(good.hostname));
	assert_int_equal(n, ARRAY_SIZE(bad));
	for (size_t i = 0; i < n; i++) {
		why[0] = 0;
		assert_true(stack_config_check(&bad[i], why, sizeof(why)) < 0);
		assert_true(strlen(why) > 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(datagrams_over_the_mtu_go_in_fragments),
		cmocka_unit_test(datagrams_over_the_mtu_go_in_fragments_of_ip6),
		cmocka_unit_test(a_udp_checksum_is_never_zero),
		cmocka_unit_test(frames_wait_for_buffers_and_leave_in_order),
		cmocka_unit_test(a_long_frame_is_not_overtaken),
		cmocka_unit_test(a_frame_that_never_fits_does_not_block_for_ever),
		cmocka_unit_test(frames_longer_than_the_buffers_are_dropped),
		cmocka_unit_test(a_reset_drops_what_waited),
		cmocka_unit_test(empty_pools_are_counted_and_refill),
		cmocka_unit_test(headers_of_a_slot_are_zero),
		cmocka_unit_test(ip6_headers_are_laid_out),
		cmocka_unit_test(only_the_gateway_reaches_the_host_and_refused_nets_are_refused),
		cmocka_unit_test(dns_over_tcp_goes_to_a_port_of_our_own),
		cmocka_unit_test(a_bad_configuration_is_refused_with_a_reason),
	};

	return cmocka_run_group_tests_name("out", tests, NULL, NULL);
}
