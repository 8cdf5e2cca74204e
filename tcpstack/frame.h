/* SPDX-License-Identifier: MIT */
/*
 * Reading frames from the guest and laying out frames to it.
 *
 * Wire bytes are read through struct cursor only: pull(n) yields n bytes or
 * NULL, and nothing is cast to a wire structure. All reads are of the private
 * copy of the frame's head.
 */
#ifndef SLUICE_TCPSTACK_FRAME_H
#define SLUICE_TCPSTACK_FRAME_H

#include <stdint.h>
#include <sys/uio.h>

#include "tcpstack/addr.h"
#include "tcpstack/drop.h"
#include "tcpstack/port.h"

#define ETH_HLEN       14
#define ETHERTYPE_IP4  0x0800
#define ETHERTYPE_ARP  0x0806
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_IP6  0x86dd

#define IP4_HLEN 20
#define IP6_HLEN 40
#define TCP_HLEN 20
#define UDP_HLEN 8

/* Fragments are cut at multiples of this (RFC 791 3.2); the header of IPv6, RFC 8200 4.5. */
#define FRAGMENT_UNIT  8
#define FRAGMENT6_HLEN 8

/* Next header values of IPv6, RFC 8200 section 4. */
#define NEXT_HOP_BY_HOP	 0
#define NEXT_ROUTING	 43
#define NEXT_FRAGMENT	 44
#define NEXT_DESTINATION 60

#define PROTO_ICMP  1
#define PROTO_TCP   6
#define PROTO_UDP   17
#define PROTO_ICMP6 58

/* A reading position in private memory. */
struct cursor {
	const uint8_t *p;
	uint32_t left;
};

/* The next @n bytes, or NULL (and the cursor stays) when fewer are left. */
static inline const uint8_t *cursor_pull(struct cursor *c, uint32_t n)
{
	const uint8_t *p = c->p;

	if (n > c->left)
		return NULL;
	c->p += n;
	c->left -= n;
	return p;
}

/**
 * struct packet - a frame from the guest after layers 2 and 3 have been checked
 * @frame:	the frame itself
 * @src, @dst:	IP addresses
 * @proto:	PROTO_*
 * @ttl:	TTL or hop limit
 * @tos:	traffic class
 * @l3, @l4:	offsets from the Ethernet header
 * @l4_len:	bytes from @l4 to the end of the IP packet (the frame may be
 *		longer: Ethernet padding)
 * @fragment:	it is one of several: what begins at @l4 are bytes of the datagram
 *		@frag_id from @frag_at on, and @more fragments follow
 */
struct packet {
	const struct tx_frame *frame;
	struct ipaddr src, dst;
	uint8_t proto, ttl, tos;
	bool fragment, more;
	uint16_t l3, l4;
	uint32_t l4_len;
	uint32_t frag_at, frag_id;
};

/* A cursor over the transport header and what follows, as far as it was copied. */
static inline struct cursor packet_l4(const struct packet *pkt)
{
	uint32_t copied = pkt->frame->head_len - pkt->l4;

	return (struct cursor){ pkt->frame->head + pkt->l4,
				copied < pkt->l4_len ? copied : pkt->l4_len };
}

/* frame.c, frame_ip6.c */
enum drop_reason frame_parse_ip4(const struct tx_frame *frame, uint16_t l3, struct packet *pkt);
enum drop_reason frame_parse_ip6(const struct tx_frame *frame, uint16_t l3, struct packet *pkt);
int frame_copy(const struct tx_frame *frame, uint32_t off, void *buf, uint32_t len);
uint32_t frame_iov(const struct tx_frame *frame, uint32_t off, uint32_t len, struct iovec *iov,
		   uint32_t iov_max);
bool frame_l4_checksum_ok(const struct packet *pkt);

/* iov.c: positions inside scattered memory */
uint32_t iov_slice(const struct iovec *iov, uint32_t cnt, uint32_t off, uint32_t len,
		   struct iovec *out, uint32_t out_max);
void iov_write(const struct iovec *iov, uint32_t cnt, uint32_t off, const void *data, uint32_t len);
void iov_read(const struct iovec *iov, uint32_t cnt, uint32_t off, void *data, uint32_t len);

/*
 * checksum.c: RFC 1071. A sum is kept in host order; csum_fold() is the
 * complemented checksum as put_be16() stores it. A needs_csum frame's field
 * holds the pseudo header's sum not complemented: csum_partial().
 */
uint32_t csum_add(uint32_t sum, const void *data, size_t len);
uint32_t csum_add_iov(uint32_t sum, const struct iovec *iov, uint32_t cnt, uint32_t off,
		      uint32_t len);
uint32_t csum_pseudo(const struct ipaddr *src, const struct ipaddr *dst, uint8_t proto,
		     uint32_t l4_len);
uint16_t csum_fold(uint32_t sum);

static inline uint16_t csum_partial(const struct ipaddr *src, const struct ipaddr *dst,
				    uint8_t proto, uint32_t l4_len)
{
	return (uint16_t)~csum_fold(csum_pseudo(src, dst, proto, l4_len));
}

#endif
