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

static bool is_v6(const uint8_t *frame)
{
	return get_be16(frame + 12) == ETHERTYPE_IP6;
}

static uint32_t ip_hlen(const uint8_t *frame)
{
	return is_v6(frame) ? IP6_HLEN : IP4_HLEN;
}

static uint8_t proto_of(const uint8_t *frame)
{
	return frame[ETH_HLEN + (is_v6(frame) ? 6 : 9)];
}

/* Folded and not complemented: what a needs_csum frame holds. */
static uint16_t pseudo(const uint8_t *frame, uint32_t l4_len)
{
	const uint8_t *ip = frame + ETH_HLEN;
	uint32_t sum = is_v6(frame) ? sum16(0, ip + 8, 32) : sum16(0, ip + 12, 8);

	return fold(sum + proto_of(frame) + l4_len);
}

static uint16_t l4_checksum(const uint8_t *frame, uint32_t len)
{
	uint32_t sum = proto_of(frame) == PROTO_ICMP ? 0 : pseudo(frame, len);

	return (uint16_t)~fold(fold(sum16(0, frame + ETH_HLEN + ip_hlen(frame), len)) + sum);
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
	case PROTO_ICMP6:
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

/**
 * rig_build_ip6() - Ethernet and IPv6 headers; returns the transport's offset
 * @src:	NULL = the guest's
 *
 * Hop limit 64; neighbour discovery wants 255.
 */
uint32_t rig_build_ip6(const struct rig *r, uint8_t *buf, const struct ipaddr *src,
		       const struct ipaddr *dst, uint8_t proto, uint32_t l4_len)
{
	uint8_t *ip = buf + rig_build_eth(r, buf, ETHERTYPE_IP6);

	put_be32(ip, 6U << 28);
	put_be16(ip + 4, (uint16_t)l4_len);
	ip[6] = proto;
	ip[7] = 64;
	memcpy(ip + 8, src ? src->b : rig_config(r)->stack.guest6.b, 16);
	memcpy(ip + 24, dst->b, 16);
	return ETH_HLEN + IP6_HLEN;
}

/**
 * rig_finish() - the transport checksum of a frame with @l4_len bytes of transport
 */
void rig_finish(uint8_t *frame, uint32_t l4_len)
{
	uint8_t *l4 = frame + ETH_HLEN + ip_hlen(frame);
	uint32_t at = csum_at(proto_of(frame));
	uint16_t csum;

	put_be16(l4 + at, 0);
	csum = l4_checksum(frame, l4_len);
	put_be16(l4 + at, csum == 0 && proto_of(frame) == PROTO_UDP ? 0xffff : csum);
}

static uint32_t fill_udp(uint8_t *buf, uint32_t at, uint16_t sport, uint16_t dport,
			 const void *payload, uint32_t len)
{
	put_be16(buf + at, sport);
	put_be16(buf + at + 2, dport);
	put_be16(buf + at + 4, (uint16_t)(UDP_HLEN + len));
	if (len)
		memcpy(buf + at + UDP_HLEN, payload, len);
	rig_finish(buf, UDP_HLEN + len);
	return at + UDP_HLEN + len;
}

/**
 * rig_build_udp6() - a datagram from the guest over IPv6; returns the frame's length
 */
uint32_t rig_build_udp6(const struct rig *r, uint8_t *buf, uint16_t sport, const struct ipaddr *dst,
			uint16_t dport, const void *payload, uint32_t len)
{
	uint32_t at = rig_build_ip6(r, buf, NULL, dst, PROTO_UDP, UDP_HLEN + len);

	return fill_udp(buf, at, sport, dport, payload, len);
}

/**
 * rig_build_udp() - a datagram from the guest; returns the frame's length
 */
uint32_t rig_build_udp(const struct rig *r, uint8_t *buf, uint16_t sport, uint32_t dst,
		       uint16_t dport, const void *payload, uint32_t len)
{
	uint32_t at = rig_build_ip4(r, buf, rig_config(r)->stack.guest4, dst, PROTO_UDP,
				    UDP_HLEN + len);

	return fill_udp(buf, at, sport, dport, payload, len);
}

/**
 * rig_build_tcp() - a segment from the guest; returns the frame's length
 */
uint32_t rig_build_tcp(const struct rig *r, uint8_t *buf, const struct rig_tcp_seg *seg,
		       const void *payload, uint32_t len)
{
	uint32_t hlen = TCP_HLEN + seg->opts_len;
	uint32_t at = seg->dst6 ? rig_build_ip6(r, buf, NULL, seg->dst6, PROTO_TCP, hlen + len)
				: rig_build_ip4(r, buf, rig_config(r)->stack.guest4, seg->dst,
						PROTO_TCP, hlen + len);
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
		put_be16(tcp + 16, pseudo(buf, hlen + len));
	else
		rig_finish(buf, hlen + len);
	return at + hlen + len;
}

static uint32_t fill_echo(uint8_t *buf, uint32_t at, uint8_t type, uint16_t id, uint16_t seq,
			  const void *payload, uint32_t len)
{
	memset(buf + at, 0, 8);
	buf[at] = type;
	put_be16(buf + at + 4, id);
	put_be16(buf + at + 6, seq);
	if (len)
		memcpy(buf + at + 8, payload, len);
	rig_finish(buf, 8 + len);
	return at + 8 + len;
}

/**
 * rig_build_echo() - an ICMP echo request from the guest; returns the frame's length
 */
uint32_t rig_build_echo(const struct rig *r, uint8_t *buf, uint32_t dst, uint16_t id, uint16_t seq,
			const void *payload, uint32_t len)
{
	uint32_t at = rig_build_ip4(r, buf, rig_config(r)->stack.guest4, dst, PROTO_ICMP, 8 + len);

	return fill_echo(buf, at, 8, id, seq, payload, len);
}

/**
 * rig_build_echo6() - an ICMPv6 echo request from the guest; returns the frame's length
 */
uint32_t rig_build_echo6(const struct rig *r, uint8_t *buf, const struct ipaddr *dst, uint16_t id,
			 uint16_t seq, const void *payload, uint32_t len)
{
	uint32_t at = rig_build_ip6(r, buf, NULL, dst, PROTO_ICMP6, 8 + len);

	return fill_echo(buf, at, 128, id, seq, payload, len);
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
		off.csum_start = ETH_HLEN + (seg->dst6 ? IP6_HLEN : IP4_HLEN);
		off.csum_offset = 16;
	}
	v = rig_send(r, buf, rig_build_tcp(r, buf, seg, payload, len), &off);
	free(buf);
	return v;
}

/* --- verifying ------------------------------------------------------------ */

/**
 * rig_verify_l4() - the transport checksum of a whole IP packet; completes a partial one
 */
void rig_verify_l4(uint8_t *frame, uint32_t len, const struct offload *off)
{
	uint32_t l4_at = ETH_HLEN + ip_hlen(frame), l4_len = len - l4_at;
	uint8_t proto = proto_of(frame), *l4 = frame + l4_at;
	uint32_t at = csum_at(proto);

	assert_true(at != UINT32_MAX);
	assert_true(l4_len >= (proto == PROTO_TCP ? TCP_HLEN : 8));
	assert_int_not_equal(proto, is_v6(frame) ? PROTO_ICMP : PROTO_ICMP6);
	if (proto == PROTO_UDP)
		assert_int_equal(get_be16(l4 + 4), l4_len);
	if (off->needs_csum) {
		assert_true(proto == PROTO_TCP || proto == PROTO_UDP);
		assert_int_equal(off->csum_start, l4_at);
		assert_int_equal(off->csum_offset, at);
		assert_int_equal(get_be16(l4 + at), pseudo(frame, l4_len));
		rig_finish(frame, l4_len);
	} else if (!off->data_valid) {
		if (proto == PROTO_UDP)
			assert_int_not_equal(get_be16(l4 + at), 0);
		assert_int_equal(l4_checksum(frame, l4_len), 0);
	}
}

static void verify_offload(const struct rig_config *cfg, const struct port_caps *caps,
			   const uint8_t *frame, uint32_t len, const struct offload *off)
{
	uint32_t hlen = ETH_HLEN + ip_hlen(frame);

	if (off->needs_csum || off->data_valid)
		assert_true(caps->rx_csum);
	assert_true(len <= caps->rx_frame_max);
	switch (off->gso) {
	case GSO_NONE:
		assert_int_equal(off->gso_size, 0);
		assert_true(len <= cfg->stack.mtu + (uint32_t)ETH_HLEN);
		break;
	case GSO_TCP4:
	case GSO_TCP6:
		assert_int_equal(off->gso, is_v6(frame) ? GSO_TCP6 : GSO_TCP4);
		assert_true(is_v6(frame) ? caps->rx_tso6 : caps->rx_tso4);
		assert_true(off->needs_csum);
		assert_int_equal(proto_of(frame), PROTO_TCP);
		hlen += frame[hlen + 12] >> 4 << 2;
		assert_true(off->gso_size > 0);
		/* What the guest would make of it must fit its own MTU. */
		assert_true(off->gso_size + hlen <= cfg->stack.mtu + (uint32_t)ETH_HLEN);
		break;
	case GSO_UDP_L4:
		assert_true(is_v6(frame) ? caps->rx_uso6 : caps->rx_uso4);
		assert_true(off->needs_csum);
		assert_int_equal(proto_of(frame), PROTO_UDP);
		hlen += UDP_HLEN;
		/* More than one, and as many as a receiver has to expect. */
		assert_true(off->gso_size > 0 && len - hlen > off->gso_size);
		assert_true(len - hlen <= off->gso_size * 128U);
		assert_true(off->gso_size + hlen <= cfg->stack.mtu + (uint32_t)ETH_HLEN);
		break;
	default:
		fail_msg("segmentation of kind %d was not agreed upon", (int)off->gso);
	}
}

/* Layers 2 and 3 of an IPv6 packet (RFC 8200, RFC 2464). */
static void verify_ip6(const struct rig_config *cfg, const uint8_t *frame, uint32_t len)
{
	const uint8_t *ip = frame + ETH_HLEN;
	struct ipaddr src, dst;

	assert_true(cfg->stack.ip6);
	assert_true(len >= ETH_HLEN + IP6_HLEN);
	assert_int_equal(ip[0] >> 4, 6);
	assert_int_equal(get_be16(ip + 4), len - ETH_HLEN - IP6_HLEN);
	assert_true(ip[7] > 0);
	memcpy(src.b, ip + 8, 16);
	memcpy(dst.b, ip + 24, 16);
	assert_false(ipaddr_equal(&src, &cfg->stack.guest6));
	assert_false(ipaddr_is_multicast6(&src) || ipaddr_is_unspecified(&src));
	assert_false(ipaddr_is_v4(&src) || ipaddr_is_v4(&dst));
	if (ipaddr_is_multicast6(&dst)) {
		assert_int_equal(get_be16(frame), 0x3333);
		assert_memory_equal(frame + 2, dst.b + 12, 4);
		assert_int_equal(dst.b[1], 2); /* this link, and no wider */
	} else {
		assert_false(frame[0] & 1);
		assert_true(ipaddr_same_prefix64(&dst, &cfg->stack.prefix6) ||
			    ipaddr_is_link_local6(&dst));
	}
	/* Neighbour discovery never comes through a router. */
	if (ip[6] == PROTO_ICMP6 && ip[IP6_HLEN] >= 133 && ip[IP6_HLEN] <= 137)
		assert_int_equal(ip[7], 255);
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
	assert_memory_equal(frame + 6, cfg->stack.our_mac, 6);
	if (!(frame[0] & 1))
		assert_memory_equal(frame, cfg->stack.guest_mac, 6);
	if (is_v6(frame)) {
		verify_ip6(cfg, frame, len);
		verify_offload(cfg, caps, frame, len, off);
		if (ip[6] == NEXT_FRAGMENT)
			assert_false(off->needs_csum);
		else
			rig_verify_l4(frame, len, off);
		return;
	}
	assert_true(!(frame[0] & 1) || memcmp(frame, broadcast, 6) == 0);
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
	const uint8_t *ip = pkt->frame + ETH_HLEN, *l4 = ip + ip_hlen(pkt->frame);
	uint32_t len = pkt->len - ETH_HLEN - ip_hlen(pkt->frame);

	pkt->wscale = -1;
	pkt->ethertype = get_be16(pkt->frame + 12);
	if (pkt->ethertype == ETHERTYPE_IP4) {
		pkt->src = get_be32(ip + 12);
		pkt->dst = get_be32(ip + 16);
		pkt->src6 = ipaddr_from_v4(pkt->src);
		pkt->dst6 = ipaddr_from_v4(pkt->dst);
		pkt->ttl = ip[8];
	} else if (pkt->ethertype == ETHERTYPE_IP6) {
		memcpy(pkt->src6.b, ip + 8, 16);
		memcpy(pkt->dst6.b, ip + 24, 16);
		pkt->ttl = ip[7];
	} else {
		return;
	}
	pkt->proto = proto_of(pkt->frame);
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
