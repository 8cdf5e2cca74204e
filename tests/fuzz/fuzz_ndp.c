/* SPDX-License-Identifier: MIT */
/*
 * ICMPv6 messages of any content to ourselves: neighbour discovery above all.
 *
 * The input is a list of records (net.h): MESSAGE, from its type on, its checksum made
 * right. Bits of how: A, the hop limit is not the 255 that neighbour discovery wants;
 * B and C, from whom (see source()). To whom follows from the type. Or TIME: so many
 * milliseconds pass.
 *
 * Beside the rig's judgement: advertisements answer a question, are for addresses that
 * are ours, and options fill them to the last byte.
 */
#include "src/base/base.h"
#include "tcpstack/ndp.h"
#include "tcpstack/priv.h"
#include "tests/fuzz/net.h"

#define MSG_MAX 1400

const struct fuzz_target fuzz_target = {
	.name = "ndp",
	.done = "answers",
	.refused = "messages without one",
	.floor = 15,
	.mutations = 300,
	.alloc_one = 256 << 10,
	.alloc_all = 1 << 20,
	.alloc_per_byte = 32768,
	.setup = net_setup,
};

enum what { MESSAGE, TIME };
enum icmp6 { ROUTER_SOLICIT = 133, ROUTER_ADVERT, NEIGHBOUR_SOLICIT, NEIGHBOUR_ADVERT };

static struct rig *r;

static struct ipaddr source(uint8_t how)
{
	struct ipaddr a = rig_config(r)->stack.guest6;

	switch (how & (NET_HOW_B | NET_HOW_C)) {
	case 0:
		return net_guest_link;
	case NET_HOW_B:
		return a;
	case NET_HOW_C:
		a.b[15] ^= 0x40; /* one that it made itself */
		return a;
	default:
		return (struct ipaddr){ { 0 } };
	}
}

static struct ipaddr destination(const uint8_t *msg, uint32_t len)
{
	struct ipaddr group = { { 0xff, 2, [15] = 1 } };

	if (len && msg[0] == ROUTER_SOLICIT)
		group.b[15] = 2;
	if (len >= 24 && msg[0] == NEIGHBOUR_SOLICIT) {
		memset(group.b + 11, 0, 5);
		group.b[11] = 1;
		group.b[12] = 0xff;
		memcpy(group.b + 13, msg + 21, 3);
	}
	if (len && msg[0] == 128)
		return rig_config(r)->stack.gateway6;
	return group;
}

/* Options of @len bytes: each of a length that brings us on, and no more than there is. */
static void check_options(const uint8_t *p, uint32_t len)
{
	while (len > 0) {
		FUZZ_CHECK(len >= 2 && p[1] > 0 && p[1] * 8U <= len, "option %u", p[0]);
		len -= p[1] * 8U;
		p += p[1] * 8U;
	}
}

static bool ours(const struct ipaddr *a)
{
	const struct stack_config *cfg = &rig_config(r)->stack;

	return !ipaddr_equal(a, &cfg->guest6) &&
	       (ipaddr_same_prefix64(a, &cfg->prefix6) || ipaddr_is_link_local6(a));
}

static void check_answer(const struct rig_pkt *pkt)
{
	/* The rig has taken the eight bytes of an echo's header off. */
	const uint8_t *p = pkt->payload;
	struct ipaddr target;

	if (pkt->icmp_type == ROUTER_ADVERT) {
		FUZZ_CHECK(pkt->payload_len >= 8 && ipaddr_is_link_local6(&pkt->src6));
		check_options(p + 8, pkt->payload_len - 8);
	} else if (pkt->icmp_type == NEIGHBOUR_ADVERT) {
		FUZZ_CHECK(pkt->payload_len >= 16);
		memcpy(target.b, p, 16);
		FUZZ_CHECK(ours(&target), "an address of the guest's is claimed");
		check_options(p + 16, pkt->payload_len - 16);
	} else if (pkt->icmp_type == NEIGHBOUR_SOLICIT) {
		FUZZ_CHECK(pkt->payload_len >= 16);
		check_options(p + 16, pkt->payload_len - 16);
	}
}

static uint32_t hear(void)
{
	struct rig_pkt pkt;
	uint32_t n = 0;

	rig_cycle(r);
	for (; rig_pop(r, &pkt); n++)
		if (pkt.ethertype == ETHERTYPE_IP6 && pkt.proto == PROTO_ICMP6)
			check_answer(&pkt);
	FUZZ_CHECK(rig_stack(r)->ndp.count <= LIMIT_IP6_GUEST_ADDRS);
	return n;
}

static void one(const struct net_record *rec)
{
	static uint8_t frame[2048];
	struct ipaddr src = source(rec->how), dst = destination(rec->data, rec->len);
	uint32_t len = MIN(rec->len, (uint32_t)MSG_MAX), at, n;

	if (rec->what == TIME) {
		rig_advance(r, rec->arg * NS_PER_MS);
		hear();
		return;
	}
	at = net_build_ip6(r, frame, &src, &dst, PROTO_ICMP6, len);
	frame[ETH_HLEN + 7] = rec->how & NET_HOW_A ? 64 : 255;
	memcpy(frame + at, rec->data, len);
	net_finish(r, frame, at + len);
	rig_send(r, frame, at + len, NULL);
	n = hear();
	fuzz_work.done += n;
	fuzz_work.refused += !n;
}

void fuzz_one(const uint8_t *data, size_t len)
{
	struct net_record rec;
	struct rig_config cfg;

	net_config_services(&cfg);
	r = net_begin(&cfg, len);
	hear(); /* what is announced unasked */
	while (net_next(&data, &len, 1U << MESSAGE, &rec))
		if (rec.what <= TIME)
			one(&rec);
	net_end(r);
}
