/* SPDX-License-Identifier: MIT */
/* DHCP as a booting guest meets it: broadcast frames from no address, an ACK in the end. */
#include "tests/stack/rig.h"

#include "src/base/base.h"

#define GUEST	  0x0a00020fU
#define GATEWAY	  0x0a000202U
#define DNS	  0x0a000203U
#define OTHER	  0x0a000263U
#define BROADCAST 0xffffffffU
#define XID	  0x01020304U

/* The guest sends a DHCP message with the given type and (if not 0) options 50 and 54. */
static void guest_sends(struct rig *r, uint32_t src, uint32_t dst, uint8_t type, uint32_t requested,
			uint32_t server, uint16_t flags)
{
	uint8_t frame[600] = { 0 };
	uint32_t at = rig_build_ip4(r, frame, src, dst, PROTO_UDP, UDP_HLEN + 300);
	uint8_t *udp = frame + at, *m = udp + UDP_HLEN, *o = m + 240;

	if (dst == BROADCAST)
		memset(frame, 0xff, 6);
	put_be16(udp, 68);
	put_be16(udp + 2, 67);
	put_be16(udp + 4, UDP_HLEN + 300);
	memset(m, 0, 300);
	m[0] = 1;
	m[1] = 1;
	m[2] = 6;
	put_be32(m + 4, XID);
	put_be16(m + 10, flags);
	put_be32(m + 12, src);
	memcpy(m + 28, rig_config(r)->stack.guest_mac, 6);
	put_be32(m + 236, 0x63825363);
	*o++ = 53;
	*o++ = 1;
	*o++ = type;
	if (requested) {
		*o++ = 50;
		*o++ = 4;
		put_be32(o, requested);
		o += 4;
	}
	if (server) {
		*o++ = 54;
		*o++ = 4;
		put_be32(o, server);
		o += 4;
	}
	*o = 255;
	rig_send(r, frame, at + UDP_HLEN + 300, NULL);
	rig_cycle(r);
}

/* The reply's BOOTP message; fails the test unless it is of @type and goes to @dst. */
static const uint8_t *guest_gets(struct rig *r, uint32_t dst, uint8_t type)
{
	static struct rig_pkt pkt;

	assert_true(rig_pop(r, &pkt));
	assert_int_equal(pkt.src, GATEWAY);
	assert_int_equal(pkt.dst, dst);
	assert_int_equal(pkt.sport, 67);
	assert_int_equal(pkt.dport, 68);
	assert_true(pkt.payload_len >= 300);
	assert_int_equal(get_be32(pkt.payload + 4), XID);
	assert_memory_equal(pkt.payload + 240, ((const uint8_t[]){ 53, 1, type }), 3);
	return pkt.payload;
}

/* Value of option @code, 1..4 bytes. */
static uint32_t option(const uint8_t *m, uint8_t code)
{
	for (const uint8_t *o = m + 240; *o != 255; o += 2 + o[1]) {
		uint32_t v = 0;

		if (*o != code)
			continue;
		for (uint32_t i = 0; i < o[1]; i++)
			v = v << 8 | o[2 + i];
		return v;
	}
	fail_msg("option %u is missing", code);
	return 0;
}

static struct rig *start(void)
{
	struct rig_config cfg;

	rig_config_defaults(&cfg);
	cfg.stack.mtu = 9000;
	return rig_new(&cfg);
}

static void guest_without_an_address_gets_its_lease(void **state)
{
	struct rig *r = start();
	const uint8_t *m;

	(void)state;
	guest_sends(r, 0, BROADCAST, 1, 0, 0, 0);
	m = guest_gets(r, GUEST, 2);
	assert_int_equal(get_be32(m + 16), GUEST);
	assert_int_equal(option(m, 54), GATEWAY);

	guest_sends(r, 0, BROADCAST, 3, GUEST, GATEWAY, 0);
	m = guest_gets(r, GUEST, 5);
	assert_int_equal(get_be32(m + 16), GUEST);
	assert_int_equal(option(m, 1), 0xffffff00);
	assert_int_equal(option(m, 3), GATEWAY);
	assert_int_equal(option(m, 6), DNS);
	assert_int_equal(option(m, 26), 9000);
	assert_int_equal(COUNT(r, dhcp_acks), 1);
	assert_int_equal(rig_allocs(r), 0);
	rig_free(r);
}

static void renewal_is_unicast_both_ways(void **state)
{
	struct rig *r = start();

	(void)state;
	guest_sends(r, GUEST, GATEWAY, 3, 0, 0, 0);
	guest_gets(r, GUEST, 5);
	rig_free(r);
}

static void client_that_asks_for_broadcast_gets_broadcast(void **state)
{
	struct rig *r = start();

	(void)state;
	guest_sends(r, 0, BROADCAST, 1, 0, 0, 0x8000);
	guest_gets(r, BROADCAST, 2);
	rig_free(r);
}

static void old_address_of_another_network_is_refused(void **state)
{
	struct rig *r = start();

	(void)state;
	guest_sends(r, 0, BROADCAST, 3, OTHER, 0, 0);
	guest_gets(r, BROADCAST, 6);
	assert_int_equal(COUNT(r, dhcp_acks), 0);
	rig_free(r);
}

static void garbage_is_counted_and_not_answered(void **state)
{
	struct rig *r = start();
	uint8_t junk[1473];

	(void)state;
	rig_pattern(junk, sizeof(junk), 1, 0);
	rig_send_udp(r, 68, GATEWAY, 67, junk, 0);
	rig_send_udp(r, 68, GATEWAY, 67, junk, 300);
	rig_send_udp(r, 68, GATEWAY, 67, junk, sizeof(junk));
	guest_sends(r, 0, BROADCAST, 2, 0, 0, 0); /* an OFFER, from a client */
	assert_int_equal(rig_drops(r, DROP_DHCP_MALFORMED), 4);
	assert_int_equal(rig_pending(r), 0);
	rig_free(r);
}

/* The lease is the guest's own; a client behind it (a bridge, a nested guest) has none. */
static void another_hardware_address_gets_no_lease(void **state)
{
	uint8_t frame[600], zero[300] = { 0 };
	struct rig *r = start();
	uint8_t *m;

	(void)state;
	rig_build_udp(r, frame, 68, GATEWAY, 67, zero, sizeof(zero));
	m = frame + ETH_HLEN + IP4_HLEN + UDP_HLEN;
	put_be16(m - 2, 0);
	memcpy(m, ((const uint8_t[]){ 1, 1, 6 }), 3);
	memcpy(m + 28, "\x02other", 6);
	put_be32(m + 236, 0x63825363);
	memcpy(m + 240, ((const uint8_t[]){ 53, 1, 1, 255 }), 4);
	rig_send(r, frame, (uint32_t)(m - frame) + 300, NULL);
	rig_cycle(r);
	assert_int_equal(rig_drops(r, DROP_DHCP_MALFORMED), 1);
	memcpy(m + 28, rig_config(r)->stack.guest_mac, 6);
	rig_send(r, frame, (uint32_t)(m - frame) + 300, NULL);
	rig_cycle(r);
	assert_int_equal(rig_drops(r, DROP_DHCP_MALFORMED), 1);
	assert_int_equal(rig_pending(r), 1);
	rig_free(r);
}

/* H44: no address is good for DHCP, and for nothing else. */
static void datagram_without_a_source_opens_no_flow(void **state)
{
	struct rig *r = start();

	(void)state;
	guest_sends(r, 0, 0xc0000201, 1, 0, 0, 0);
	assert_int_equal(rig_drops(r, DROP_IP_SPOOFED), 1);
	assert_int_equal(COUNT(r, udp_opened), 0);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guest_without_an_address_gets_its_lease),
		cmocka_unit_test(renewal_is_unicast_both_ways),
		cmocka_unit_test(client_that_asks_for_broadcast_gets_broadcast),
		cmocka_unit_test(old_address_of_another_network_is_refused),
		cmocka_unit_test(garbage_is_counted_and_not_answered),
		cmocka_unit_test(another_hardware_address_gets_no_lease),
		cmocka_unit_test(datagram_without_a_source_opens_no_flow),
	};

	return cmocka_run_group_tests_name("dhcp", tests, NULL, NULL);
}
