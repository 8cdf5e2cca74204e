/* SPDX-License-Identifier: MIT */
/*
 * What fuzz targets of the whole stack share: the stack rig (tests/stack/rig.h) in a
 * network of its own, and inputs that are lists of records.
 *
 * The rig judges each frame to the guest and each token that comes back, and calls that
 * it fails end the program here. Nothing can leave the machine: all there is is "lo".
 *
 * A record:	byte 0 what it is, bits 0..3, and how, bits 4..7 (NET_HOW_*); bytes 1 and 2,
 * little endian, a number, which for records that carry bytes is how many follow.
 */
#ifndef SLUICE_TESTS_FUZZ_NET_H
#define SLUICE_TESTS_FUZZ_NET_H

#include "tests/fuzz/fuzz.h"
#include "tests/stack/rig.h"

#define NET_HOW_A 0x10
#define NET_HOW_B 0x20
#define NET_HOW_C 0x40
#define NET_HOW_D 0x80

/**
 * struct net_record - see above
 * @what, @how:	byte 0
 * @arg:	the number
 * @data, @len:	what follows; at most @arg bytes
 */
struct net_record {
	uint8_t what, how;
	uint16_t arg;
	const uint8_t *data;
	uint32_t len;
};

void net_setup(void);
void net_config(struct rig_config *cfg);
void net_config_services(struct rig_config *cfg);
struct rig *net_begin(const struct rig_config *cfg, size_t len);
bool net_next(const uint8_t **data, size_t *len, unsigned int carriers, struct net_record *rec);
extern const struct ipaddr net_guest_link;
uint32_t net_build_ip6(const struct rig *r, uint8_t *frame, const struct ipaddr *src,
		       const struct ipaddr *dst, uint8_t proto, uint32_t l4_len);
void net_finish(const struct rig *r, uint8_t *frame, uint32_t len);
uint32_t net_l4(const uint8_t *frame, uint32_t len, uint8_t *proto, uint32_t *l4_len);
uint64_t net_drops(struct rig *r);
void net_end(struct rig *r);

#endif
