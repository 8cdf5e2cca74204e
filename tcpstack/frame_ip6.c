/* SPDX-License-Identifier: MIT */
/*
 * IPv6 headers of frames from the guest (RFC 8200).
 *
 * Extension headers are stepped over and not obeyed, within the private copy
 * of the frame's head: whoever nests more of them than it holds is refused.
 * What asks for a way of its own (routing headers) is refused by name. A fragment
 * header ends the parsing, unless the datagram is all in this one (RFC 6946).
 */
#include "tcpstack/frame.h"

#include "src/base/base.h"

#define ROUTING_TYPE0 0

/* Every extension header is a multiple of this, and so long at least. */
#define EXT_UNIT 8

#define FRAGMENT_MORE 1

static_assert(FRAGMENT6_HLEN == EXT_UNIT, "a fragment header is one unit");

static void read_fragment(struct packet *pkt, const uint8_t *h)
{
	uint16_t field = get_be16(h + 2);

	pkt->frag_at = field & ~(FRAGMENT_UNIT - 1U);
	pkt->more = field & FRAGMENT_MORE;
	pkt->frag_id = get_be32(h + 4);
	pkt->fragment = pkt->frag_at || pkt->more;
}

/*
 * One extension header at @c, its kind in *@next, which becomes that of what
 * follows. DROP_NONE: stepped over.
 */
static enum drop_reason skip_extension(struct cursor *c, uint8_t *next, struct packet *pkt)
{
	const uint8_t *h = cursor_pull(c, EXT_UNIT);

	if (!h)
		return DROP_FRAME_SHORT;
	if (*next == NEXT_FRAGMENT) {
		read_fragment(pkt, h);
		*next = h[0];
		return DROP_NONE;
	}
	/* Type 0 at once (RFC 5095), others while they still have somewhere to go. */
	if (*next == NEXT_ROUTING && (h[2] == ROUTING_TYPE0 || h[3] != 0))
		return DROP_IP_ROUTING;
	if (!cursor_pull(c, h[1] * (uint32_t)EXT_UNIT))
		return DROP_FRAME_SHORT;
	*next = h[0];
	return DROP_NONE;
}

static bool is_extension(uint8_t next, bool first)
{
	return next == NEXT_DESTINATION || next == NEXT_ROUTING || next == NEXT_FRAGMENT ||
	       (next == NEXT_HOP_BY_HOP && first);
}

/**
 * frame_parse_ip6() - check an IPv6 header and what it says of the frame
 * @l3:		where the header begins
 * @pkt:	filled in when DROP_NONE is returned
 *
 * An IPv4-mapped address never comes from a wire: it would be taken for IPv4 by
 * all that follows (H44). Otherwise the addresses are not judged here.
 *
 * Return: DROP_NONE, or why the frame must be dropped
 */
enum drop_reason frame_parse_ip6(const struct tx_frame *frame, uint16_t l3, struct packet *pkt)
{
	struct cursor c = { frame->head, frame->head_len };
	uint32_t len, ext;
	const uint8_t *ip;
	uint8_t next;

	if (!cursor_pull(&c, l3))
		return DROP_FRAME_SHORT;
	ip = cursor_pull(&c, IP6_HLEN);
	if (!ip)
		return DROP_FRAME_SHORT;
	len = get_be16(ip + 4);
	if (ip[0] >> 4 != 6 || len > frame->len - l3 - IP6_HLEN)
		return DROP_IP_MALFORMED;

	*pkt = (struct packet){ .frame = frame, .ttl = ip[7], .l3 = l3 };
	pkt->tos = (uint8_t)(get_be16(ip) >> 4);
	memcpy(pkt->src.b, ip + 8, 16);
	memcpy(pkt->dst.b, ip + 24, 16);
	if (ipaddr_is_v4(&pkt->src))
		return DROP_IP_SPOOFED;
	if (ipaddr_is_v4(&pkt->dst))
		return DROP_IP_DESTINATION;

	c.left = MIN(c.left, len);
	next = ip[6];
	for (bool first = true; !pkt->fragment && is_extension(next, first); first = false) {
		enum drop_reason why = skip_extension(&c, &next, pkt);

		if (why != DROP_NONE)
			return why;
	}
	ext = (uint32_t)(c.p - ip) - IP6_HLEN;
	pkt->proto = next;
	pkt->l4 = (uint16_t)(l3 + IP6_HLEN + ext);
	pkt->l4_len = len - ext;
	return DROP_NONE;
}
