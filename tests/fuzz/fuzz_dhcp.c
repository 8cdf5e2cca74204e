/* SPDX-License-Identifier: MIT */
/*
 * DHCP messages of any content, over both families.
 *
 * The input is a list of records (net.h):
 *
 *	V4	a message for port 67, from no address to everyone; HOW_A: from the guest's
 *		address to the gateway's
 *	V6	a message for port 547 of all servers
 *
 * The rig judges the frames that come back; here it is what they carry: an answer to the
 * question, whose options fill it from their first byte to their end.
 */
#include "src/base/base.h"
#include "src/base/bytes.h"
#include "tests/fuzz/net.h"

#define V4_FIXED 240 /* BOOTP and the cookie, RFC 2131 */
#define V4_MIN	 300
#define MSG_MAX	 4000

const struct fuzz_target fuzz_target = {
	.name = "dhcp",
	.done = "answers",
	.refused = "messages without one",
	.floor = 20,
	.mutations = 300,
	.alloc_one = 256 << 10,
	.alloc_all = 1 << 20,
	.alloc_per_byte = 2048,
	.setup = net_setup,
};

enum what { V4, V6 };

static const struct ipaddr all_servers = { { 0xff, 2, [13] = 1, [15] = 2 } };

/* An answer to @q of at least V4_FIXED bytes (RFC 2131, 2132). */
static void check_v4(const struct rig *r, const uint8_t *a, uint32_t len, const uint8_t *q)
{
	const struct stack_config *cfg = &rig_config(r)->stack;
	uint32_t at = V4_FIXED;
	uint8_t type = 0;

	FUZZ_CHECK(len >= V4_MIN && len <= 576 - 28U, "%u bytes", len);
	FUZZ_CHECK(a[0] == 2 && memcmp(a + 4, q + 4, 4) == 0 && memcmp(a + 28, q + 28, 6) == 0);
	FUZZ_CHECK(get_be32(a + 236) == 0x63825363);
	while (at < len && a[at] != 255) {
		if (a[at] == 0) {
			at++;
			continue;
		}
		FUZZ_CHECK(at + 2 <= len && at + 2U + a[at + 1] <= len, "option %u", a[at]);
		if (a[at] == 53)
			type = a[at + 2];
		at += 2U + a[at + 1];
	}
	FUZZ_CHECK(at < len, "no end of options");
	FUZZ_CHECK(type == 2 || type == 5 || type == 6, "type %u", type);
	FUZZ_CHECK(get_be32(a + 16) == cfg->guest4 || get_be32(a + 16) == 0);
	FUZZ_CHECK(type != 6 || get_be32(a + 16) == 0, "a NAK with an address");
	for (at++; at < len; at++)
		FUZZ_CHECK(a[at] == 0, "byte %u behind the end", at);
}

/* An answer to @q of at least 4 bytes (RFC 8415). */
static void check_v6(const uint8_t *a, uint32_t len, const uint8_t *q)
{
	bool server = false;
	uint32_t at = 4;

	FUZZ_CHECK(len >= 4 && (a[0] == 2 || a[0] == 7), "type %u", len ? a[0] : 0);
	FUZZ_CHECK(memcmp(a + 1, q + 1, 3) == 0, "another transaction");
	while (at < len) {
		FUZZ_CHECK(at + 4 <= len && at + 4U + get_be16(a + at + 2) <= len, "option at %u",
			   at);
		server |= get_be16(a + at) == 2;
		at += 4U + get_be16(a + at + 2);
	}
	FUZZ_CHECK(server, "no server identifier");
}

static uint32_t build(struct rig *r, const struct net_record *rec, uint8_t *frame)
{
	const struct stack_config *cfg = &rig_config(r)->stack;
	uint32_t len = MIN(rec->len, (uint32_t)MSG_MAX), at;
	bool unicast = rec->how & NET_HOW_A;

	if (rec->what == V4) {
		at = rig_build_ip4(r, frame, unicast ? cfg->guest4 : 0,
				   unicast ? cfg->gateway4 : UINT32_MAX, PROTO_UDP, UDP_HLEN + len);
		memset(frame, unicast ? cfg->our_mac[0] : 0xff, unicast ? 1 : 6);
	} else {
		at = net_build_ip6(r, frame, &net_guest_link, &all_servers, PROTO_UDP,
				   UDP_HLEN + len);
	}
	put_be16(frame + at, rec->what == V4 ? 68 : 546);
	put_be16(frame + at + 2, rec->what == V4 ? 67 : 547);
	put_be16(frame + at + 4, (uint16_t)(UDP_HLEN + len));
	memcpy(frame + at + UDP_HLEN, rec->data, len);
	rig_finish(frame, UDP_HLEN + len);
	return at + UDP_HLEN + len;
}

static void one(struct rig *r, const struct net_record *rec)
{
	static uint8_t frame[PORT_FRAME_MAX];
	struct rig_pkt pkt;
	uint32_t answers = 0;

	rig_send(r, frame, build(r, rec, frame), NULL);
	rig_cycle(r);
	while (rig_pop(r, &pkt)) {
		bool v4 = pkt.ethertype == ETHERTYPE_IP4;

		if (pkt.proto != PROTO_UDP)
			continue; /* router advertisements; errors */
		FUZZ_CHECK(v4 == (rec->what == V4) && ++answers == 1);
		FUZZ_CHECK(rec->len >= (v4 ? V4_FIXED : 4U), "an answer to %u bytes", rec->len);
		if (v4)
			check_v4(r, pkt.payload, pkt.payload_len, rec->data);
		else
			check_v6(pkt.payload, pkt.payload_len, rec->data);
	}
	fuzz_work.done += answers;
	fuzz_work.refused += !answers;
}

void fuzz_one(const uint8_t *data, size_t len)
{
	struct net_record rec;
	struct rig_config cfg;
	struct rig *r;

	net_config_services(&cfg);
	snprintf(cfg.stack.hostname, sizeof(cfg.stack.hostname), "guest");
	r = net_begin(&cfg, len);
	while (net_next(&data, &len, 1U << V4 | 1U << V6, &rec))
		if (rec.what <= V6)
			one(r, &rec);
	net_end(r);
}
