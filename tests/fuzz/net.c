/* SPDX-License-Identifier: MIT */
/* The stack rig under a fuzzer; see the header. */
#include "tests/fuzz/net.h"

#include <stdio.h>
#include <stdlib.h>

#include "src/base/bytes.h"

/* In a namespace of our own: connections that are over take no port for a minute. */
static void no_time_wait(void)
{
	FILE *f = fopen("/proc/sys/net/ipv4/tcp_max_tw_buckets", "w");

	if (!f)
		return;
	fputs("0", f);
	fclose(f);
}

/**
 * net_setup() - a target's setup: everything but the rig itself
 */
void net_setup(void)
{
	fuzz_own_network();
	no_time_wait();
	/* What the rig finds wrong ends the program, as there is no cmocka test around it. */
	FUZZ_CHECK(setenv("CMOCKA_TEST_ABORT", "1", 1) == 0);
}

/**
 * net_config() - a rig that is made anew for each input: small, with both families
 */
void net_config(struct rig_config *cfg)
{
	rig_config_defaults(cfg);
	cfg->caps.rx_uso4 = cfg->caps.rx_uso6 = true;
	cfg->rx_buffers = 64;
	cfg->rx_buf_size = 2048;
	cfg->stack.ip6 = true;
	cfg->stack.bulk = STACK_BULK_COPY;
	cfg->stack.max_tcp = cfg->stack.max_udp = cfg->stack.max_ping = cfg->stack.max_dns = 8;
	cfg->stack.nresolvers = 0;
}

/**
 * net_config_services() - the same where flows are not what it is about: no trial
 * connection for each input
 */
void net_config_services(struct rig_config *cfg)
{
	net_config(cfg);
	cfg->stack.no_peek_offset = true;
}

/**
 * net_begin() - the rig for an input of @len bytes; what it takes now any input does
 */
struct rig *net_begin(const struct rig_config *cfg, size_t len)
{
	struct rig *r;

	fuzz_alloc_end();
	r = rig_new(cfg);
	fuzz_alloc_begin(len);
	return r;
}

/**
 * net_next() - the next record of @len bytes at @data, and step over it
 * @carriers:	bit 1 << what for records that carry bytes
 */
bool net_next(const uint8_t **data, size_t *len, unsigned int carriers, struct net_record *rec)
{
	const uint8_t *p = *data;

	if (*len < 3)
		return false;
	*rec = (struct net_record){ .what = p[0] & 15, .how = p[0] & 0xf0, .arg = get_le16(p + 1) };
	rec->data = p + 3;
	*len -= 3;
	if (carriers >> rec->what & 1)
		rec->len = (uint32_t)MIN((size_t)rec->arg, *len);
	*data = rec->data + rec->len;
	*len -= rec->len;
	return true;
}

/**
 * net_l4() - where a frame's transport header begins, 0 where nobody could tell
 * @proto, @l4_len:	out
 *
 * Of whole packets without IPv6 extension headers, as far as lengths can be believed.
 */
uint32_t net_l4(const uint8_t *frame, uint32_t len, uint8_t *proto, uint32_t *l4_len)
{
	const uint8_t *ip = frame + ETH_HLEN;
	uint32_t hlen, total;

	if (len < ETH_HLEN + IP4_HLEN)
		return 0;
	if (get_be16(frame + 12) == ETHERTYPE_IP4) {
		hlen = (ip[0] & 15U) * 4;
		total = get_be16(ip + 2);
		*proto = ip[9];
		if (get_be16(ip + 6) & 0x3fff)
			return 0;
	} else if (get_be16(frame + 12) == ETHERTYPE_IP6 && len >= ETH_HLEN + IP6_HLEN) {
		hlen = IP6_HLEN;
		total = IP6_HLEN + get_be16(ip + 4);
		*proto = ip[6];
	} else {
		return 0;
	}
	if (hlen < IP4_HLEN || total > len - ETH_HLEN || total < hlen)
		return 0;
	*l4_len = total - hlen;
	return ETH_HLEN + hlen;
}

static uint32_t csum_place(uint8_t proto)
{
	return proto == PROTO_TCP ? 16 : proto == PROTO_UDP ? 6 : 2;
}

static uint32_t pseudo_sum(const uint8_t *frame, uint8_t proto, uint32_t l4_len)
{
	const uint8_t *ip = frame + ETH_HLEN;
	struct ipaddr src, dst;

	if (get_be16(frame + 12) == ETHERTYPE_IP4) {
		src = ipaddr_from_v4(get_be32(ip + 12));
		dst = ipaddr_from_v4(get_be32(ip + 16));
	} else {
		memcpy(src.b, ip + 8, 16);
		memcpy(dst.b, ip + 24, 16);
	}
	return csum_pseudo(&src, &dst, proto, l4_len);
}

/* The address that Linux makes of the guest's station. */
const struct ipaddr net_guest_link = { { 0xfe, 0x80, [8] = 0x50, 0x54, 0, 0xff, 0xfe, 0x12, 0x34,
					 0x56 } };

/**
 * net_build_ip6() - rig_build_ip6(), and a group's station for a group's address (RFC 2464 7)
 */
uint32_t net_build_ip6(const struct rig *r, uint8_t *frame, const struct ipaddr *src,
		       const struct ipaddr *dst, uint8_t proto, uint32_t l4_len)
{
	uint32_t at = rig_build_ip6(r, frame, src, dst, proto, l4_len);

	if (ipaddr_is_multicast6(dst)) {
		put_be16(frame, 0x3333);
		memcpy(frame + 2, dst->b + 12, 4);
	}
	return at;
}

/**
 * net_finish() - make a frame one that only its contents can be refused for
 *
 * It comes from the guest's station; header and transport checksums are right.
 */
void net_finish(const struct rig *r, uint8_t *frame, uint32_t len)
{
	uint32_t at, l4_len, hlen, sum = 0;
	uint8_t *ip = frame + ETH_HLEN, proto;

	if (len < ETH_HLEN + IP4_HLEN)
		return;
	memcpy(frame + 6, rig_config(r)->stack.guest_mac, 6);
	hlen = (ip[0] & 15U) * 4;
	if (get_be16(frame + 12) == ETHERTYPE_IP4 && hlen >= IP4_HLEN && hlen <= len - ETH_HLEN) {
		put_be16(ip + 10, 0);
		put_be16(ip + 10, csum_fold(csum_add(0, ip, hlen)));
	}
	at = net_l4(frame, len, &proto, &l4_len);
	if (!at || (proto != PROTO_TCP && proto != PROTO_UDP && proto != PROTO_ICMP &&
		    proto != PROTO_ICMP6))
		return;
	if (l4_len < csum_place(proto) + 2)
		return;
	put_be16(frame + at + csum_place(proto), 0);
	if (proto != PROTO_ICMP)
		sum = pseudo_sum(frame, proto, l4_len);
	put_be16(frame + at + csum_place(proto), csum_fold(csum_add(sum, frame + at, l4_len)));
}

/**
 * net_drops() - frames that the stack has refused, for whatever reason
 */
uint64_t net_drops(struct rig *r)
{
	uint64_t n = 0;

	for (int i = 0; i < DROP_REASON_COUNT; i++)
		n += rig_drops(r, (enum drop_reason)i);
	return n;
}

/**
 * net_end() - the stack has allocated nothing, holds nothing and leaks nothing
 */
void net_end(struct rig *r)
{
	FUZZ_CHECK(rig_allocs(r) == 0, "%llu allocations by the stack",
		   (unsigned long long)rig_allocs(r));
	rig_free(r);
}
