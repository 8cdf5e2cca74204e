/* SPDX-License-Identifier: MIT */
/*
 * TCP headers and segments without payload, towards the guest. Every segment
 * but a SYN carries an ACK (H38), and the window is reckoned here, in one place.
 */
#include "tcpstack/tcp.h"

#define OPT_BYTES_MSS	 4
#define OPT_BYTES_WSCALE 4 /* with a NOP in front */
#define OPT_BYTES_SACKOK 4 /* with two */
#define OPT_BYTES_SACK	 4 /* likewise, without its blocks */

static_assert(TCP_HLEN + OPT_BYTES_SACK + 8 * TCP_SACK_BLOCKS <= 60, "RFC 9293 3.1: data offset");

/* The largest segment that we take: the guest's MTU less the plainest headers. */
static uint16_t our_mss(const struct stack *st, bool v4)
{
	return (uint16_t)(st->cfg.mtu - TCP_HLEN - (v4 ? IP4_HLEN : IP6_HLEN));
}

/*
 * The window field, RFC 7323 2.2. Rounded down, unless that would take back
 * what was offered before: then up, so that the right edge never moves left.
 */
static uint16_t window_field(struct tcp_flow *fl)
{
	uint32_t wnd = fl->rcv_edge - fl->rcv_taken;
	uint32_t field = MIN((wnd + (1U << fl->rcv_scale) - 1) >> fl->rcv_scale, 65535U);
	uint32_t edge = fl->rcv_taken + (field << fl->rcv_scale);

	if (seq_gt(edge, fl->rcv_edge))
		fl->rcv_edge = edge;
	fl->rcv_told = edge;
	return (uint16_t)field;
}

/**
 * tcp_header() - write a header without options at @h
 * @h:		TCP_HLEN bytes
 * @seq:	of the segment
 * @flags:	TH_*; ACK is added
 *
 * The checksum field is left zero. The ACK that the flow may owe is paid.
 */
void tcp_header(struct tcp_flow *fl, uint8_t *h, uint32_t seq, uint8_t flags)
{
	put_be16(h, fl->f.key.remote.port);
	put_be16(h + 2, fl->f.key.guest.port);
	put_be32(h + 4, seq);
	put_be32(h + 8, fl->rcv_taken);
	h[12] = (TCP_HLEN / 4) << 4;
	h[13] = flags | TH_ACK;
	put_be16(h + 14, window_field(fl));
	put_be32(h + 16, 0);
	fl->acks_due = 0;
	fl->ack_waits = false;
}

/* Checksum and offload: @th points at the TCP header in @slot, which can then be sent. */
static struct out_slot *finish(struct stack *st, struct out_slot *slot, const struct flow_key *key,
			       uint8_t *th, uint32_t l4_len)
{
	uint32_t sum = csum_pseudo(&key->remote.addr, &key->guest.addr, PROTO_TCP, l4_len);

	put_be16(th + 16, csum_fold(csum_add(sum, th, l4_len)));
	slot->len = (uint32_t)(th - slot->data) + l4_len;
	slot->off = (struct offload){ .data_valid = st->caps.rx_csum };
	return slot;
}

/* A slot with its lower headers in place; *@th is where the TCP header goes. */
static struct out_slot *begin(struct stack *st, const struct flow_key *key, uint32_t l4_len,
			      uint8_t **th)
{
	struct l3_spec l3 = { .src = key->remote.addr,
			      .dst = key->guest.addr,
			      .proto = PROTO_TCP,
			      .dont_fragment = true };
	struct out_slot *slot = out_begin(st, OUT_HEADERS_MAX);

	if (slot)
		*th = slot->data + out_l3(st, slot->data, &l3, l4_len);
	return slot;
}

/* The SACK option of a pure ACK, at @opt; 0 bytes when there is nothing to report. */
static uint32_t sack_option(struct tcp_flow *fl, uint8_t *opt)
{
	struct tcp_range blocks[TCP_SACK_BLOCKS];
	uint32_t count = fl->sack ? tcp_early_blocks(fl, blocks) : 0;

	fl->early.dup.to = fl->early.dup.from;
	if (count == 0)
		return 0;
	put_be32(opt, 0x01010500U | (2 + 8 * count));
	opt += OPT_BYTES_SACK;
	for (uint32_t i = 0; i < count; i++, opt += 8) {
		put_be32(opt, blocks[i].from);
		put_be32(opt + 4, blocks[i].to);
	}
	return OPT_BYTES_SACK + 8 * count;
}

/**
 * tcp_send_control() - a segment without payload
 * @seq:	its sequence number
 * @flags:	TH_FIN, TH_RST or 0; ACK is added, and to 0 what SACK has to say
 *
 * An empty arena loses the segment (counted by out_begin()), as a wire would;
 * whoever needs it sends it again.
 */
void tcp_send_control(struct tcp *t, struct tcp_flow *fl, uint32_t seq, uint8_t flags)
{
	uint8_t *th, opt[OPT_BYTES_SACK + 8 * TCP_SACK_BLOCKS];
	uint32_t opts = flags ? 0 : sack_option(fl, opt);
	struct out_slot *slot = begin(t->st, &fl->f.key, TCP_HLEN + opts, &th);

	if (!slot)
		return;
	tcp_header(fl, th, seq, flags);
	th[12] = (uint8_t)((TCP_HLEN + opts) / 4 << 4);
	memcpy(th + TCP_HLEN, opt, opts);
	out_send(t->st, finish(t->st, slot, &fl->f.key, th, TCP_HLEN + opts));
}

/**
 * tcp_send_synack() - SYN-ACK with our MSS; window scale and SACK if the guest has them
 *
 * In TS_SYN_SENT it is the SYN, and offers both.
 */
void tcp_send_synack(struct tcp *t, struct tcp_flow *fl)
{
	uint32_t opts = OPT_BYTES_MSS + (fl->rcv_scale ? OPT_BYTES_WSCALE : 0) +
			(fl->sack ? OPT_BYTES_SACKOK : 0);
	struct out_slot *slot;
	uint8_t *th;

	slot = begin(t->st, &fl->f.key, TCP_HLEN + opts, &th);
	if (!slot)
		return;
	tcp_header(fl, th, fl->iss, TH_SYN);
	if (fl->state == TS_SYN_SENT) {
		put_be32(th + 8, 0);
		th[13] = TH_SYN;
	}
	th[12] = (uint8_t)((TCP_HLEN + opts) / 4 << 4);
	/* The window of a SYN is never scaled, RFC 7323 2.2. */
	put_be16(th + 14, (uint16_t)MIN(fl->rcv_edge - fl->rcv_taken, 65535U));
	put_be32(th + TCP_HLEN, 0x02040000U | our_mss(t->st, ipaddr_is_v4(&fl->f.key.guest.addr)));
	if (fl->rcv_scale)
		put_be32(th + TCP_HLEN + OPT_BYTES_MSS, 0x01030300U | fl->rcv_scale);
	if (fl->sack)
		put_be32(th + TCP_HLEN + opts - OPT_BYTES_SACKOK, 0x01010402U);
	out_send(t->st, finish(t->st, slot, &fl->f.key, th, TCP_HLEN + opts));
}

/**
 * tcp_send_acks() - pay the ACKs that no data segment has carried
 *
 * One, or as many as the duplicates that let the guest see a loss early.
 */
void tcp_send_acks(struct tcp *t, struct tcp_flow *fl)
{
	for (uint32_t n = MAX(fl->acks_due, (uint8_t)fl->sack_due); n > 0; n--)
		tcp_send_control(t, fl, fl->snd_max, 0);
	fl->acks_due = 0;
	fl->sack_due = false;
}

/**
 * tcp_send_reset() - RST to the guest for a flow of ours, RFC 9293 3.5.2
 *
 * Before the SYN-ACK it answers the SYN (SEQ 0), which will be repeated if the RST
 * gets lost. Later it stands where the guest expects our next byte, and nobody sends
 * it twice: so it does not wait in a queue that ends with the driver.
 *
 * Return: false when the guest does not get it now
 */
bool tcp_send_reset(struct tcp *t, struct tcp_flow *fl)
{
	struct out_slot *slot;
	uint8_t *th;

	if (fl->state == TS_CONNECTING) {
		tcp_send_control(t, fl, 0, TH_RST);
		return true;
	}
	slot = begin(t->st, &fl->f.key, TCP_HLEN, &th);
	if (!slot)
		return false;
	tcp_header(fl, th, fl->snd_max, TH_RST);
	return out_send_now(t->st, finish(t->st, slot, &fl->f.key, th, TCP_HLEN));
}

/**
 * tcp_answer_reset() - RST for a segment that belongs to no flow, RFC 9293 3.10.7.1
 */
void tcp_answer_reset(struct stack *st, const struct packet *pkt, const struct tcp_seg *s)
{
	struct flow_key key = { .guest = { pkt->src, s->sport }, .remote = { pkt->dst, s->dport } };
	bool acked = s->flags & TH_ACK;
	struct out_slot *slot;
	uint8_t *th;

	if (s->flags & TH_RST)
		return;
	slot = begin(st, &key, TCP_HLEN, &th);
	if (!slot)
		return;
	memset(th, 0, TCP_HLEN);
	put_be16(th, s->dport);
	put_be16(th + 2, s->sport);
	put_be32(th + 4, acked ? s->ack : 0);
	put_be32(th + 8, acked ? 0 : s->seq + tcp_seg_space(s));
	th[12] = (TCP_HLEN / 4) << 4;
	th[13] = (uint8_t)(acked ? TH_RST : TH_RST | TH_ACK);
	out_send(st, finish(st, slot, &key, th, TCP_HLEN));
}

/**
 * tcp_challenge() - owe the guest a challenge ACK, if the rate allows (RFC 5961 7)
 */
void tcp_challenge(struct tcp *t, struct tcp_flow *fl)
{
	uint64_t now = tcp_now(t);

	if (now - t->challenge_ns >= NS_PER_S) {
		t->challenge_ns = now;
		t->challenges = 0;
	}
	if (t->challenges >= LIMIT_TCP_CHALLENGES)
		return;
	t->challenges++;
	fl->acks_due = MAX(fl->acks_due, 1);
	tcp_mark(t, fl);
}
