/* SPDX-License-Identifier: MIT */
/* Neighbour discovery from the guest's side: who answers for which address, and what is announced.
 */
#include "tests/stack/rig.h"

#include "src/base/base.h"

#define SOLICIT_LEN 24

static const struct ipaddr all_nodes = { { 0xff, 2, [15] = 1 } };
static const struct ipaddr all_routers = { { 0xff, 2, [15] = 2 } };
static const struct ipaddr nobody = { { 0 } };
static const struct ipaddr guest_ll = { { 0xfe, 0x80, [8] = 0x50, 0x54, 0, 0xff, 0xfe, 0x12, 0x34,
					  0x56 } };

static struct rig *start(void)
{
	struct rig_config cfg;

	rig_config_defaults(&cfg);
	cfg.stack.ip6 = true;
	return rig_new(&cfg);
}

static struct ipaddr on_link(const struct rig *r, uint16_t host)
{
	struct ipaddr a = rig_config(r)->stack.prefix6;

	put_be16(a.b + 14, host);
	return a;
}

static struct ipaddr our_link_local(const struct rig *r)
{
	const uint8_t *m = rig_config(r)->stack.our_mac;

	return (struct ipaddr){ { 0xfe, 0x80, [8] = m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4],
				  m[5] } };
}

static struct ipaddr solicited_node(const struct ipaddr *a)
{
	return (struct ipaddr){ { 0xff, 2, [11] = 1, 0xff, a->b[13], a->b[14], a->b[15] } };
}

static uint32_t build(const struct rig *r, uint8_t *buf, const struct ipaddr *src,
		      const struct ipaddr *dst, const uint8_t *icmp, uint32_t len)
{
	uint32_t at = rig_build_ip6(r, buf, src, dst, PROTO_ICMP6, len);

	memcpy(buf + at, icmp, len);
	buf[ETH_HLEN + 7] = 255;
	rig_finish(buf, len);
	return at + len;
}

/* A neighbour solicitation, with the guest's link-layer address unless it is a probe. */
static uint32_t build_solicit(const struct rig *r, uint8_t *buf, const struct ipaddr *src,
			      const struct ipaddr *target)
{
	uint8_t icmp[SOLICIT_LEN + 8] = { 135 };
	bool probe = ipaddr_is_unspecified(src);
	struct ipaddr dst = solicited_node(target);

	memcpy(icmp + 8, target->b, 16);
	icmp[SOLICIT_LEN] = 1;
	icmp[SOLICIT_LEN + 1] = 1;
	memcpy(icmp + SOLICIT_LEN + 2, rig_config(r)->stack.guest_mac, 6);
	return build(r, buf, src, &dst, icmp, probe ? SOLICIT_LEN : sizeof(icmp));
}

static void solicit(struct rig *r, const struct ipaddr *src, const struct ipaddr *target)
{
	uint8_t buf[256];

	rig_send(r, buf, build_solicit(r, buf, src, target), NULL);
	rig_cycle(r);
}

/* The next frame is a neighbour advertisement for @target. */
static struct rig_pkt pop_advert(struct rig *r, const struct ipaddr *target)
{
	struct rig_pkt pkt;

	assert_true(rig_pop(r, &pkt));
	assert_int_equal(pkt.proto, PROTO_ICMP6);
	assert_int_equal(pkt.icmp_type, 136);
	assert_true(ipaddr_equal(&pkt.src6, target));
	assert_memory_equal(pkt.payload, target->b, 16);
	/* The target's link-layer address is ours. */
	assert_int_equal(pkt.payload[16], 2);
	assert_memory_equal(pkt.payload + 18, rig_config(r)->stack.our_mac, 6);
	return pkt;
}

/* Flags of the advertisement: router, solicited, override. */
static uint8_t flags_of(const struct rig_pkt *pkt)
{
	return pkt->payload[-4] >> 5;
}

static void gateway_and_dns_answer_and_so_does_the_rest_of_the_link(void **state)
{
	(void)state;
	struct rig *r = start();
	const struct stack_config *cfg = &rig_config(r)->stack;
	struct ipaddr other = on_link(r, 0x99), ll = our_link_local(r);
	struct rig_pkt pkt;

	solicit(r, &cfg->guest6, &cfg->gateway6);
	pkt = pop_advert(r, &cfg->gateway6);
	assert_true(ipaddr_equal(&pkt.dst6, &cfg->guest6));
	assert_int_equal(flags_of(&pkt), 7);
	solicit(r, &cfg->guest6, &cfg->dns6);
	pkt = pop_advert(r, &cfg->dns6);
	assert_int_equal(flags_of(&pkt), 3); /* no router */
	solicit(r, &guest_ll, &ll);
	pkt = pop_advert(r, &ll);
	assert_true(ipaddr_equal(&pkt.dst6, &guest_ll));
	solicit(r, &cfg->guest6, &other);
	pop_advert(r, &other);
	assert_int_equal(rig_allocs(r), 0);
	rig_free(r);
}

static void nobody_answers_for_the_guest_or_for_strangers(void **state)
{
	(void)state;
	struct rig *r = start();
	const struct stack_config *cfg = &rig_config(r)->stack;
	struct ipaddr slaac = on_link(r, 0x7777), outside = { { 0x20, 0x01, 0x0d, 0xb8 } };
	struct ipaddr stranger = guest_ll;

	/* It probes an address, and later asks for it from another: it is its own. */
	solicit(r, &nobody, &slaac);
	solicit(r, &cfg->guest6, &slaac);
	solicit(r, &slaac, &cfg->guest6);
	solicit(r, &cfg->guest6, &outside);
	stranger.b[15]++;
	solicit(r, &guest_ll, &stranger);
	assert_int_equal(rig_pending(r), 0);
	rig_free(r);
}

/* RFC 4862 5.4: what is ours is defended, to all nodes. */
static void a_probe_for_our_address_is_defended(void **state)
{
	(void)state;
	struct rig *r = start();
	struct ipaddr mine[] = { rig_config(r)->stack.gateway6, rig_config(r)->stack.dns6,
				 our_link_local(r) };

	for (size_t i = 0; i < ARRAY_SIZE(mine); i++) {
		struct rig_pkt pkt;

		solicit(r, &nobody, &mine[i]);
		pkt = pop_advert(r, &mine[i]);
		assert_true(ipaddr_equal(&pkt.dst6, &all_nodes));
		assert_int_equal(flags_of(&pkt) & 2, 0);
		assert_int_equal(rig_pending(r), 0);
	}
	rig_free(r);
}

/* RFC 4861 4.2, RFC 8106 5.1: all that a guest needs, for ever. */
static void check_router_advert(struct rig *r, const struct rig_pkt *pkt, const struct ipaddr *dst)
{
	const struct stack_config *cfg = &rig_config(r)->stack;
	const uint8_t *icmp = pkt->payload - 8, *o = icmp + 16,
		      *end = pkt->payload + pkt->payload_len;
	struct ipaddr ll = our_link_local(r);
	uint32_t seen = 0;

	assert_int_equal(pkt->proto, PROTO_ICMP6);
	assert_int_equal(pkt->icmp_type, 134);
	assert_true(ipaddr_equal(&pkt->src6, &ll));
	assert_true(ipaddr_equal(&pkt->dst6, dst));
	assert_int_equal(icmp[4], 64);
	assert_int_equal(icmp[5], 0xc0);
	assert_int_equal(get_be16(icmp + 6), 65535);
	for (; o < end; o += o[1] * 8) {
		assert_true(o[1] > 0);
		seen |= 1U << o[0];
		if (o[0] == 1) {
			assert_memory_equal(o + 2, cfg->our_mac, 6);
		} else if (o[0] == 3) {
			assert_int_equal(o[1], 4);
			assert_int_equal(o[2], 64);
			assert_int_equal(o[3], 0xc0);
			assert_int_equal(get_be32(o + 4), UINT32_MAX);
			assert_memory_equal(o + 16, cfg->prefix6.b, 16);
		} else if (o[0] == 5) {
			assert_int_equal(get_be32(o + 4), cfg->mtu);
		} else if (o[0] == 25) {
			assert_int_equal(o[1], 3);
			assert_memory_equal(o + 8, cfg->dns6.b, 16);
		}
	}
	assert_ptr_equal(o, end);
	assert_int_equal(seen, 1U << 1 | 1U << 3 | 1U << 5 | 1U << 25);
}

static void a_solicitation_is_answered_by_prefix_mtu_and_resolver(void **state)
{
	(void)state;
	static const uint8_t bare[8] = { 133 };
	static const uint8_t with_lla[16] = { 133, [8] = 1, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
	struct rig *r = start();
	struct rig_pkt pkt;
	uint8_t buf[256];

	rig_send(r, buf, build(r, buf, &guest_ll, &all_routers, with_lla, sizeof(with_lla)), NULL);
	rig_cycle(r);
	assert_true(rig_pop(r, &pkt));
	check_router_advert(r, &pkt, &guest_ll);
	rig_send(r, buf, build(r, buf, &nobody, &all_routers, bare, sizeof(bare)), NULL);
	rig_cycle(r);
	assert_true(rig_pop(r, &pkt));
	check_router_advert(r, &pkt, &all_nodes);
	assert_int_equal(COUNT(r, router_adverts), 2);
	rig_free(r);
}

static void adverts_come_unasked_at_start_and_now_and_then(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_pkt pkt;

	assert_int_equal(rig_pending(r), 0);
	rig_advance(r, NS_PER_S);
	assert_true(rig_pop(r, &pkt));
	check_router_advert(r, &pkt, &all_nodes);
	assert_int_equal(rig_pending(r), 0);
	rig_advance(r, 1800 * NS_PER_S);
	assert_int_equal(rig_pending(r), 3);
	while (rig_pop(r, &pkt))
		check_router_advert(r, &pkt, &all_nodes);
	rig_detach(r);
	rig_advance(r, 1800 * NS_PER_S);
	rig_attach(r);
	assert_int_equal(rig_pending(r), 0);
	rig_advance(r, NS_PER_S);
	assert_int_equal(rig_pending(r), 1);
	rig_free(r);
}

static void an_interface_that_comes_up_is_told_at_once_but_not_in_a_flood(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_pkt pkt;

	solicit(r, &nobody, &guest_ll);
	assert_true(rig_pop(r, &pkt));
	check_router_advert(r, &pkt, &all_nodes);
	for (int i = 0; i < 100; i++)
		solicit(r, &nobody, &guest_ll);
	assert_int_equal(rig_pending(r), 0);
	rig_free(r);
}

/* H50, RFC 4861 7.1: hop limit, code, lengths, options, addresses. */
static void malformed_messages_are_counted_and_not_answered(void **state)
{
	(void)state;
	static const struct {
		uint32_t at; /* from the Ethernet header */
		uint8_t value;
	} lies[] = {
		{ ETH_HLEN + 7, 254 },
		{ ETH_HLEN + IP6_HLEN + 1, 1 },
		{ ETH_HLEN + IP6_HLEN + 25, 0 },
		{ ETH_HLEN + IP6_HLEN + 25, 2 },
		{ ETH_HLEN + IP6_HLEN + 8, 0xff },
	};
	struct rig *r = start();
	const struct stack_config *cfg = &rig_config(r)->stack;
	uint8_t buf[256], icmp[16] = { 133, [8] = 1, 1 };
	uint32_t len;

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		len = build_solicit(r, buf, &cfg->guest6, &cfg->gateway6);
		buf[lies[i].at] = lies[i].value;
		rig_finish(buf, len - ETH_HLEN - IP6_HLEN);
		rig_send(r, buf, len, NULL);
		assert_int_equal(rig_drops(r, DROP_NDP_MALFORMED), i + 1);
	}
	/* Cut short; a probe to one host, and one with an address; nobody's solicitation too. */
	len = build(r, buf, &cfg->guest6, &cfg->gateway6, (const uint8_t[20]){ 135 }, 20);
	rig_send(r, buf, len, NULL);
	len = build(r, buf, &nobody, &cfg->gateway6, (const uint8_t[24]){ 135 }, 24);
	rig_send(r, buf, len, NULL);
	rig_send(r, buf, build(r, buf, &nobody, &all_routers, icmp, sizeof(icmp)), NULL);
	assert_int_equal(rig_drops(r, DROP_NDP_MALFORMED), ARRAY_SIZE(lies) + 3);
	/* A wrong checksum, a redirect, a router that is none. */
	len = build_solicit(r, buf, &cfg->guest6, &cfg->gateway6);
	buf[ETH_HLEN + IP6_HLEN + 2] ^= 1;
	rig_send(r, buf, len, NULL);
	assert_int_equal(rig_drops(r, DROP_L4_CHECKSUM), 1);
	rig_send(r, buf, build(r, buf, &guest_ll, &all_nodes, (const uint8_t[40]){ 137 }, 40),
		 NULL);
	rig_send(r, buf, build(r, buf, &guest_ll, &all_nodes, (const uint8_t[16]){ 134 }, 16),
		 NULL);
	assert_int_equal(rig_drops(r, DROP_NDP_MALFORMED), ARRAY_SIZE(lies) + 3);
	assert_int_equal(rig_drops(r, DROP_ICMP_TYPE), 2);
	rig_cycle(r);
	assert_int_equal(rig_pending(r), 0);
	rig_free(r);
}

/* H44: an advertisement for the gateway's address comes from us only. */
static void the_guest_cannot_take_the_gateways_place(void **state)
{
	(void)state;
	struct rig *r = start();
	const struct stack_config *cfg = &rig_config(r)->stack;
	uint8_t buf[256], na[24] = { 136, [4] = 0x20 };

	memcpy(na + 8, cfg->gateway6.b, 16);
	rig_send(r, buf, build(r, buf, &guest_ll, &all_nodes, na, sizeof(na)), NULL);
	assert_int_equal(rig_drops(r, DROP_IP_SPOOFED), 1);
	solicit(r, &cfg->guest6, &cfg->gateway6);
	pop_advert(r, &cfg->gateway6);
	rig_free(r);
}

/* A guest that claims addresses without end: the table is a ring. */
static void claimed_addresses_are_bounded(void **state)
{
	(void)state;
	struct rig *r = start();
	const struct stack_config *cfg = &rig_config(r)->stack;
	struct ipaddr first = on_link(r, 0x1000), last = on_link(r, 0x13e7);

	for (uint16_t i = 0; i < 1000; i++) {
		struct ipaddr a = on_link(r, 0x1000 + i);

		solicit(r, &nobody, &a);
	}
	solicit(r, &cfg->guest6, &last);
	assert_int_equal(rig_pending(r), 0);
	solicit(r, &cfg->guest6, &first); /* forgotten */
	pop_advert(r, &first);
	assert_int_equal(rig_allocs(r), 0);
	rig_free(r);
}

static void without_ip6_nothing_is_said_or_answered(void **state)
{
	(void)state;
	static const uint16_t mtus[] = { 1500, 1279 };

	for (size_t i = 0; i < ARRAY_SIZE(mtus); i++) {
		struct rig_config cfg;
		struct rig *r;

		rig_config_defaults(&cfg);
		cfg.stack.ip6 = i == 1; /* wanted, but the link is too narrow for it */
		cfg.stack.mtu = mtus[i];
		r = rig_new(&cfg);
		rig_advance(r, 3600 * NS_PER_S);
		solicit(r, &cfg.stack.guest6, &cfg.stack.gateway6);
		assert_int_equal(rig_drops(r, DROP_IP_DISABLED), 1);
		assert_int_equal(rig_pending(r), 0);
		rig_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gateway_and_dns_answer_and_so_does_the_rest_of_the_link),
		cmocka_unit_test(nobody_answers_for_the_guest_or_for_strangers),
		cmocka_unit_test(a_probe_for_our_address_is_defended),
		cmocka_unit_test(a_solicitation_is_answered_by_prefix_mtu_and_resolver),
		cmocka_unit_test(adverts_come_unasked_at_start_and_now_and_then),
		cmocka_unit_test(an_interface_that_comes_up_is_told_at_once_but_not_in_a_flood),
		cmocka_unit_test(malformed_messages_are_counted_and_not_answered),
		cmocka_unit_test(the_guest_cannot_take_the_gateways_place),
		cmocka_unit_test(claimed_addresses_are_bounded),
		cmocka_unit_test(without_ip6_nothing_is_said_or_answered),
	};

	return cmocka_run_group_tests_name("ndp", tests, NULL, NULL);
}
