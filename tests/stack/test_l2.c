/* SPDX-License-Identifier: MIT */
/* Layers 2 and 3 from the guest's side: ARP, ICMP echo and errors, malformed and hostile frames. */
#include "tests/stack/rig.h"

#include "src/base/base.h"

#define GUEST	0x0a00020fU
#define GATEWAY 0x0a000202U
#define DNS	0x0a000203U

static struct rig *start(void)
{
	struct rig_config cfg;

	rig_config_defaults(&cfg);
	return rig_new(&cfg);
}

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

static void gateway_answers_echo(void **state)
{
	(void)state;
	struct rig *r = start();
	uint8_t buf[2048], data[1400];
	struct rig_pkt pkt;

	rig_pattern(data, sizeof(data), 1, 0);
	rig_send(r, buf, rig_build_echo(r, buf, GATEWAY, 7, 9, data, sizeof(data)), NULL);
	rig_cycle(r);
	assert_true(rig_pop(r, &pkt));
	assert_int_equal(pkt.icmp_type, 0);
	assert_int_equal(pkt.icmp_id, 7);
	assert_int_equal(pkt.icmp_seq, 9);
	assert_int_equal(pkt.src, GATEWAY);
	assert_int_equal(pkt.payload_len, sizeof(data));
	rig_pattern_check(pkt.payload, pkt.payload_len, 1, 0);
	assert_int_equal(rig_allocs(r), 0);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gateway_answers_arp),
		cmocka_unit_test(gateway_answers_echo),
	};

	return cmocka_run_group_tests_name("l2", tests, NULL, NULL);
}
