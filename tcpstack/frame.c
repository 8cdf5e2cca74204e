/* SPDX-License-Identifier: MIT */
/*
 * Reading frames from the guest.
 *
 * What decides anything is read from frame->head, the private copy (H8). Bytes
 * beyond it are payload: they are copied or summed, never interpreted.
 */
#include "tcpstack/frame.h"

#include "src/base/base.h"

#include <errno.h>

#define IP4_FLAG_MF	0x2000
#define IP4_OFFSET_MASK 0x1fff

static_assert(PORT_HEAD_MAX >= ETH_HLEN + 4 + 60 + 60, "the longest headers lie in the copy");

/**
 * frame_parse_ip4() - check an IPv4 header and what it says of the frame (RFC 791 3.1)
 * @l3:		where the header begins
 * @pkt:	filled in when DROP_NONE is returned
 *
 * Options are stepped over and not obeyed. The addresses are not judged here:
 * that is for eth.c and policy.c.
 *
 * Return: DROP_NONE, or why the frame must be dropped
 */
enum drop_reason frame_parse_ip4(const struct tx_frame *frame, uint16_t l3, struct packet *pkt)
{
	struct cursor c = { frame->head, frame->head_len };
	uint32_t hlen, total, frag;
	const uint8_t *ip;

	if (!cursor_pull(&c, l3))
		return DROP_FRAME_SHORT;
	ip = cursor_pull(&c, IP4_HLEN);
	if (!ip)
		return DROP_FRAME_SHORT;
	hlen = (ip[0] & 0xfU) * 4;
	if (ip[0] >> 4 != 4 || hlen < IP4_HLEN)
		return DROP_IP_MALFORMED;
	if (!cursor_pull(&c, hlen - IP4_HLEN))
		return DROP_FRAME_SHORT;
	total = get_be16(ip + 2);
	if (total < hlen || total > frame->len - l3)
		return DROP_IP_MALFORMED;
	if (csum_fold(csum_add(0, ip, hlen)) != 0)
		return DROP_IP_CHECKSUM;
	frag = get_be16(ip + 6);

	*pkt = (struct packet){
		.frame = frame,
		.src = ipaddr_from_v4(get_be32(ip + 12)),
		.dst = ipaddr_from_v4(get_be32(ip + 16)),
		.proto = ip[9],
		.ttl = ip[8],
		.tos = ip[1],
		.l3 = l3,
		.l4 = (uint16_t)(l3 + hlen),
		.l4_len = total - hlen,
		.fragment = frag & (IP4_FLAG_MF | IP4_OFFSET_MASK),
		.more = frag & IP4_FLAG_MF,
		.frag_at = (frag & IP4_OFFSET_MASK) * FRAGMENT_UNIT,
		.frag_id = get_be16(ip + 4),
	};
	return DROP_NONE;
}

/**
 * frame_copy() - copy bytes [@off, @off + @len) of the frame to @buf
 *
 * What lies in the private copy is taken from there, the rest from guest memory.
 *
 * Return: 0, or -EINVAL when the frame is shorter, with nothing copied
 */
int frame_copy(const struct tx_frame *frame, uint32_t off, void *buf, uint32_t len)
{
	uint32_t near = 0;

	if (!range_ok(off, len, frame->len))
		return -EINVAL;
	if (off < frame->head_len) {
		near = MIN(len, frame->head_len - off);
		memcpy(buf, frame->head + off, near);
	}
	if (len > near)
		iov_read(frame->iov, frame->iovcnt, off + near, (uint8_t *)buf + near, len - near);
	return 0;
}

/**
 * frame_iov() - bytes [@off, @off + @len) of the frame as entries into guest memory
 * @iov:	receives at most @iov_max entries; the memory is the guest's until
 *		the frame's token is given back
 *
 * Return: entries; 0 when @len is 0, the frame is shorter, or @iov_max too small
 */
uint32_t frame_iov(const struct tx_frame *frame, uint32_t off, uint32_t len, struct iovec *iov,
		   uint32_t iov_max)
{
	if (!range_ok(off, len, frame->len))
		return 0;
	return iov_slice(frame->iov, frame->iovcnt, off, len, iov, iov_max);
}

/**
 * frame_l4_checksum_ok() - does the transport checksum hold? (RFC 9293 3.1, RFC 768, RFC 792)
 *
 * Not for frames with needs_csum, whose checksum is not there yet. A UDP
 * checksum of zero over IPv4 means that there is none.
 */
bool frame_l4_checksum_ok(const struct packet *pkt)
{
	const struct tx_frame *frame = pkt->frame;
	struct cursor c = packet_l4(pkt);
	const uint8_t *l4 = c.p;
	uint32_t near = c.left;
	uint32_t sum = 0;

	if (pkt->proto == PROTO_UDP && near >= UDP_HLEN && get_be16(l4 + 6) == 0)
		return ipaddr_is_v4(&pkt->src);
	if (pkt->proto != PROTO_ICMP)
		sum = csum_pseudo(&pkt->src, &pkt->dst, pkt->proto, pkt->l4_len);
	if (near == pkt->l4_len)
		return csum_fold(csum_add(sum, l4, near)) == 0;

	/* The rest begins at an even distance, so that the two sums add up. */
	near &= ~1U;
	sum = csum_add(sum, l4, near);
	sum = csum_add_iov(sum, frame->iov, frame->iovcnt, pkt->l4 + near, pkt->l4_len - near);
	return csum_fold(sum) == 0;
}
