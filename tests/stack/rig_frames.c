/* SPDX-License-Identifier: MIT */
/*
 * Frames of the rig: building what a guest sends, verifying and taking apart
 * what it gets. Checksums here are computed word by word, on purpose not with
 * the stack's own functions.
 */
#include "tests/stack/rig.h"

#include <stdlib.h>

#include "src/base/base.h"

static uint32_t sum16(uint32_t sum, const uint8_t *p, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		sum += (i & 1) ? p[i] : (uint32_t)p[i] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)sum;
}

/* Folded and not complemented: what a needs_csum frame holds. */
static uint16_t pseudo(const uint8_t *ip, uint32_t l4_len)
{
	return fold(sum16(0, ip + 12, 8) + ip[9] + l4_len);
}

static uint16_t l4_checksum(const uint8_t *ip, const uint8_t *l4, uint32_t len)
{
	uint32_t sum = ip[9] == PROTO_ICMP ? 0 : pseudo(ip, len);

	return (uint16_t)~fold(fold(sum16(0, l4, len)) + sum);
}

/* Where the checksum stands in the transport header; UINT32_MAX if there is none. */
static uint32_t csum_at(uint8_t proto)
{
	switch (proto) {
	case PROTO_TCP:
		return 16;
	case PROTO_UDP:
		return 6;
	case PROTO_ICMP:
		return 2;
	default:
		return UINT32_MAX;
	}
}

/* --- building ------------------------------------------------------------- */

/**
 * rig_build_eth() - header of a frame from the guest to us; returns its length
 */
uint32_t rig_build_eth(const struct rig *r, uint8_t *buf, uint16_t ethertype)
{
	const struct stack_config *cfg = &rig_config(r)->stack;

	memcpy(buf, cfg->our_mac, 6);
	memcpy(buf + 6, cfg->guest_mac, 6);
	put_be16(buf + 12, ethertype);
	return ETH_HLEN;
}

/**
 * rig_build_ip4() - Ethernet and IPv4 headers; returns the transport's offset
 */
uint32_t rig_build_ip4(const struct rig *r, uint8_t *buf, uint32_t src, uint32_t dst, uint8_t proto,
		       uint32_t l4_len)
{
	uint8_t *ip = buf + rig_build_eth(r, buf, ETHERTYPE_IP4);

	memset(ip, 0, IP4_HLEN);
	ip[0] = 0x45;
	put_be16(ip + 2, (uint16_t)(IP4_HLEN + l4_len));
	put_be16(ip + 6, 0x4000);
	ip[8] = 64;
	ip[9] = proto;
	put_be32(ip + 12, src);
	put_be32(ip + 16, dst);
	put_be16(ip + 10, (uint16_t)~fold(sum16(0, ip, IP4_HLEN)));
	return ETH_HLEN + IP4_HLEN;
}

/* Fill in the transport checksum of a frame built by rig_build_ip4(). */
static void finish(uint8_t *frame, uint32_t l4_len)
{
	uint8_t *ip = frame + ETH_HLEN, *l4 = ip + IP4_HLEN;
	uint32_t at = csum_at(ip[9]);
	uint16_t csum;

	put_be16(l4 + at, 0);
	csum = l4_checksum(ip, l4, l4_len);
	put_be16(l4 + at, csum == 0 && ip[9] == PROTO_UDP ? 0xffff : csum);
}

/**
 * rig_build_udp() - a datagram from the guest; returns the frame's length
 */
uint32_t rig_build_udp(const struct rig *r, uint8_t *buf, uint16_t sport, uint32_t dst,
		       uint16_t dport, const void *payload, uint32_t len)
{
	uint32_t at = rig_build_ip4(r, buf, rig_config(r)->stack.guest4, dst, PROTO_UDP,
				    UDP_HLEN + len);

	put_be16(buf + at, sport);
	put_be16(buf + at + 2, dport);
	put_be16(buf + at + 4, (uint16_t)(UDP_HLEN + len));
	if (len)
		memcpy(buf + at + UDP_HLEN, payload, len);
	finish(buf, UDP_HLEN + len);
	return at + UDP_HLEN + len;
}

/**
 * rig_build_tcp() - a segment from the guest; returns the frame's length
 */
uint32_t rig_build_tcp(const struct rig *r, uint8_t *buf, const struct rig_tcp_seg *seg,
		       const void *payload, uint32_t len)
{
	uint32_t hlen = TCP_HLEN + seg->opts_len;
	uint32_t at = rig_build_ip4(r, buf, rig_config(r)->stack.guest4, seg->dst, PROTO_TCP,
				    hlen + len);
	uint8_t *tcp = buf + at;

	assert_true(seg->opts_len % 4 == 0 && hlen <= 60);
	memset(tcp, 0, TCP_HLEN);
	put_be16(tcp, seg->sport);
	put_be16(tcp + 2, seg->dport);
	put_be32(tcp + 4, seg->seq);
	put_be32(tcp + 8, seg->ack);
	tcp[12] = (uint8_t)(hlen / 4 << 4);
	tcp[13] = seg->flags;
	put_be16(tcp + 14, seg->window);
	if (seg->opts_len)
		memcpy(tcp + TCP_HLEN, seg->opts, seg->opts_len);
	if (len)
		memcpy(tcp + hlen, payload, len);
	if (seg->off && seg->off->needs_csum)
		put_be16(tcp + 16, pseudo(buf + ETH_HLEN, hlen + len));
	else
		finish(buf, hlen + len);
	return at + hlen + len;
}

/**
 * rig_build_echo() - an ICMP echo request from the guest; returns the frame's length
 */
uint32_t rig_build_echo(const struct rig *r, uint8_t *buf, uint32_t dst, uint16_t id, uint16_t seq,
			const void *payload, uint32_t len)
{
	uint32_t at = rig_build_ip4(r, buf, rig_config(r)->stack.guest4, dst, PROTO_ICMP, 8 + len);

	memset(buf + at, 0, 8);
	buf[at] = 8;
	put_be16(buf + at + 4, id);
	put_be16(buf + at + 6, seq);
	if (len)
		memcpy(buf + at + 8, payload, len);
	finish(buf, 8 + len);
	return at + 8 + len;
}

/**
 * rig_build_arp() - a request from the guest, to everyone; returns the frame's length
 * @sender, @target:	host order
 */
uint32_t rig_build_arp(const struct rig *r, uint8_t *buf, uint32_t sender, uint32_t target)
{
	uint8_t *arp = buf + rig_build_eth(r, buf, ETHERTYPE_ARP);

	memset(buf, 0xff, 6);
	memset(arp, 0, 28);
	put_be16(arp, 1);
	put_be16(arp + 2, ETHERTYPE_IP4);
	arp[4] = 6;
	arp[5] = 4;
	put_be16(arp + 6, 1);
	memcpy(arp + 8, rig_config(r)->stack.guest_mac, 6);
	put_be32(arp + 14, sender);
	put_be32(arp + 24, target);
	return ETH_HLEN + 28;
}

/**
 * rig_send_udp() - the guest sends a datagram of up to 65,507 bytes
 */
enum tx_verdict rig_send_udp(struct rig *r, uint16_t sport, uint32_t dst, uint16_t dport,
			     const void *payload, uint32_t len)
{
	uint8_t *buf = malloc(PORT_FRAME_MAX);
	enum tx_verdict v;

	assert_non_null(buf);
	v = rig_send(r, buf, rig_build_udp(r, buf, sport, dst, dport, payload, len), NULL);
	free(buf);
	return v;
}

/**
 * rig_send_tcp() - the guest sends a segment
 */
enum tx_verdict rig_send_tcp(struct rig *r, const struct rig_tcp_seg *seg, const void *payload,
			     uint32_t len)
{
	uint8_t *buf = malloc(PORT_FRAME_MAX);
	struct offload off = { 0 };
	enum tx_verdict v;

	assert_non_null(buf);
	if (seg->off)
		off = *seg->off;
	if (off.needs_csum) {
		off.csum_start = ETH_HLEN + IP4_HLEN;
		off.csum_offset = 16;
	}
	v = rig_send(r, buf, rig_build_tcp(r, buf, seg, payload, len), &off);
	free(buf);
	return v;
}

/* --- verifying ------------------------------------------------------------ */

/**
 * rig_verify_l4() - the transport checksum of a whole IPv4 packet; completes a partial one
 */
void rig_verify_l4(uint8_t *frame, uint32_t len, const struct offload *off)
{
	uint8_t *ip = frame + ETH_HLEN, *l4 = ip + IP4_HLEN;
	uint32_t l4_len = len - ETH_HLEN - IP4_HLEN;
	uint32_t at = csum_at(ip[9]);

	assert_true(at != UINT32_MAX);
	assert_true(l4_len >= (ip[9] == PROTO_TCP ? TCP_HLEN : 8));
	if (ip[9] == PROTO_UDP)
		assert_int_equal(get_be16(l4 + 4), l4_len);
	if (off->needs_csum) {
		assert_int_not_equal(ip[9], PROTO_ICMP);
		assert_int_equal(off->csum_start, ETH_HLEN + IP4_HLEN);
		assert_int_equal(off->csum_offset, at);
		assert_int_equal(get_be16(l4 + at), pseudo(ip, l4_len));
		finish(frame, l4_len);
	} else if (!off->data_valid) {
		if (ip[9] == PROTO_UDP)
			assert_int_not_equal(get_be16(l4 + at), 0);
		assert_int_equal(l4_checksum(ip, l4, l4_len), 0);
	}
}

static void verify_offload(const struct rig_config *cfg, const struct port_caps *caps,
			   const uint8_t *frame, uint32_t len, const struct offload *off)
{
	uint32_t hlen = ETH_HLEN + IP4_HLEN;

	if (off->needs_csum || off->data_valid)
		assert_true(caps->rx_csum);
	assert_true(len <= caps->rx_frame_max);
	switch (off->gso) {
	case GSO_NONE:
		assert_int_equal(off->gso_size, 0);
		assert_true(len <= cfg->stack.mtu + (uint32_t)ETH_HLEN);
		break;
	case GSO_TCP4:
		assert_true(caps->rx_tso4);
		assert_true(off->needs_csum);
		assert_int_equal(frame[ETH_HLEN + 9], PROTO_TCP);
		hlen += frame[hlen + 12] >> 4 << 2;
		assert_true(off->gso_size > 0);
		/* What the guest would make of it must fit its own MTU. */
		assert_true(off->gso_size + hlen <= cfg->stack.mtu + (uint32_t)ETH_HLEN);
		break;
	default:
		fail_msg("segmentation of kind %d was not agreed upon", (int)off->gso);
	}
}

/**
 * rig_verify() - is this a frame that the guest's driver should get? Fails the test if not
 *
 * Of a fragment only layers 2 and 3 are judged.
 */
void rig_verify(const struct rig_config *cfg, const struct port_caps *caps, uint8_t *frame,
		uint32_t len, const struct offload *off)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const uint8_t *ip = frame + ETH_HLEN;

	assert_true(len >= ETH_HLEN);
	assert_true(!(frame[0] & 1) || memcmp(frame, broadcast, 6) == 0);
	assert_memory_equal(frame + 6, cfg->stack.our_mac, 6);
	if (get_be16(frame + 12) == ETHERTYPE_ARP) {
		assert_true(len >= ETH_HLEN + 28);
		assert_false(off->needs_csum);
		return;
	}
	assert_int_equal(get_be16(frame + 12), ETHERTYPE_IP4);
	assert_true(len >= ETH_HLEN + IP4_HLEN);
	assert_int_equal(ip[0], 0x45);
	assert_int_equal(get_be16(ip + 2), len - ETH_HLEN);
	assert_int_equal(fold(sum16(0, ip, IP4_HLEN)), 0xffff);
	assert_true(ip[8] > 0);
	assert_int_not_equal(get_be32(ip + 12), cfg->stack.guest4);
	assert_true(get_be32(ip + 16) == cfg->stack.guest4 || get_be32(ip + 16) == UINT32_MAX);
	verify_offload(cfg, caps, frame, len, off);
	if ((get_be16(ip + 6) & 0x3fff) == 0)
		rig_verify_l4(frame, len, off);
	else
		assert_false(off->needs_csum);
}

/* --- taking apart --------------------------------------------------------- */

static void parse_tcp_options(struct rig_pkt *pkt, const uint8_t *o, uint32_t len)
{
	while (len > 0 && o[0] != 0) {
		uint32_t n = 1;

		if (o[0] != 1) {
			assert_true(len >= 2 && o[1] >= 2 && o[1] <= len);
			n = o[1];
		}
		if (o[0] == 2) {
			assert_int_equal(n, 4);
			pkt->mss = get_be16(o + 2);
		} else if (o[0] == 3) {
			assert_int_equal(n, 3);
			pkt->wscale = o[2];
		} else if (o[0] == 4) {
			pkt->sack_ok = true;
		} else if (o[0] == 5) {
			assert_true(n >= 10 && n <= 34 && n % 8 == 2);
			for (uint32_t i = 2; i < n; i += 8) {
				pkt->sack[pkt->sack_count][0] = get_be32(o + i);
				pkt->sack[pkt->sack_count++][1] = get_be32(o + i + 4);
			}
		}
		o += n;
		len -= n;
	}
}

static void parse_tcp(struct rig_pkt *pkt, const uint8_t *tcp, uint32_t len)
{
	uint32_t hlen = tcp[12] >> 4 << 2;

	assert_true(hlen >= TCP_HLEN && hlen <= len);
	pkt->sport = get_be16(tcp);
	pkt->dport = get_be16(tcp + 2);
	pkt->seq = get_be32(tcp + 4);
	pkt->ack = get_be32(tcp + 8);
	pkt->flags = tcp[13];
	pkt->window = get_be16(tcp + 14);
	pkt->payload = tcp + hlen;
	pkt->payload_len = len - hlen;
	parse_tcp_options(pkt, tcp + TCP_HLEN, hlen - TCP_HLEN);
}

/**
 * rig_parse() - fill @pkt in from its frame, which rig_verify() has passed
 */
void rig_parse(struct rig_pkt *pkt)
{
	const uint8_t *ip = pkt->frame + ETH_HLEN, *l4 = ip + IP4_HLEN;
	uint32_t len = pkt->len - ETH_HLEN - IP4_HLEN;

	pkt->wscale = -1;
	pkt->ethertype = get_be16(pkt->frame + 12);
	if (pkt->ethertype != ETHERTYPE_IP4)
		return;
	pkt->src = get_be32(ip + 12);
	pkt->dst = get_be32(ip + 16);
	pkt->proto = ip[9];
	pkt->ttl = ip[8];
	switch (pkt->proto) {
	case PROTO_TCP:
		parse_tcp(pkt, l4, len);
		break;
	case PROTO_UDP:
		pkt->sport = get_be16(l4);
		pkt->dport = get_be16(l4 + 2);
		pkt->payload = l4 + UDP_HLEN;
		pkt->payload_len = len - UDP_HLEN;
		break;
	default:
		pkt->icmp_type = l4[0];
		pkt->icmp_code = l4[1];
		pkt->icmp_id = get_be16(l4 + 4);
		pkt->icmp_seq = get_be16(l4 + 6);
		pkt->payload = l4 + 8;
		pkt->payload_len = len - 8;
		break;
	}
}
