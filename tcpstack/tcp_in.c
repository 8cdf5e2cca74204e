/* SPDX-License-Identifier: MIT */
/*
 * Segments from the guest: RFC 9293 section 3.10.7, with RFC 5961's answers to
 * RST and SYN inside the window.
 *
 * Nothing is sent from here: a segment changes the flow's state, its payload is
 * collected, and the flow is marked for tcp_run(). So a batch of segments costs
 * one send to the host and one ACK to the guest. (The exception is the RST for a
 * segment without a flow.)
 *
 * What arrives out of order waits in tcp_early.c and is reported at once. With
 * SACK one ACK says it all; without, each such segment brings a duplicate ACK, so
 * that the guest sees the loss early.
 */
#include "tcpstack/tcp.h"

static enum drop_reason parse(const struct packet *pkt, struct tcp_seg *s)
{
	struct cursor c = packet_l4(pkt);
	const uint8_t *h = cursor_pull(&c, TCP_HLEN);
	uint32_t hlen;

	if (!h)
		return DROP_L4_MALFORMED;
	hlen = (h[12] >> 4) * 4U;
	if (hlen < TCP_HLEN || hlen > pkt->l4_len)
		return DROP_L4_MALFORMED;
	*s = (struct tcp_seg){
		.sport = get_be16(h),
		.dport = get_be16(h + 2),
		.seq = get_be32(h + 4),
		.ack = get_be32(h + 8),
		.flags = h[13],
		.wnd = get_be16(h + 14),
		.opt_len = (uint8_t)(hlen - TCP_HLEN),
		.opt = cursor_pull(&c, hlen - TCP_HLEN),
		.off = pkt->l4 + hlen,
		.len = pkt->l4_len - hlen,
	};
	if (!s->opt || s->sport == 0 || s->dport == 0)
		return DROP_L4_MALFORMED;
	if (!pkt->frame->off.needs_csum && !pkt->frame->off.data_valid &&
	    !frame_l4_checksum_ok(pkt))
		return DROP_L4_CHECKSUM;
	return DROP_NONE;
}

static void owe_ack(struct tcp *t, struct tcp_flow *fl)
{
	fl->acks_due = MAX(fl->acks_due, 1);
	tcp_mark(t, fl);
}

/* What came again wants an ACK, which says so (RFC 2883) if it was ACKed before. */
static void duplicate(struct tcp *t, struct tcp_flow *fl, uint32_t seq, uint32_t len)
{
	owe_ack(t, fl);
	if (!fl->sack || len == 0 || seq_gt(seq + len, fl->rcv_taken))
		return;
	fl->early.dup = (struct tcp_range){ seq, seq + len };
	fl->sack_due = true;
}

/*
 * Does the segment touch the window? RFC 9293 3.4, but for one thing: without
 * payload it may also stand at the right edge, where a guest that has filled the
 * window is.
 */
static bool acceptable(const struct tcp_flow *fl, const struct tcp_seg *s)
{
	uint32_t space = tcp_seg_space(s);

	if (space == 0)
		return seq_geq(s->seq, fl->rcv_nxt) && seq_leq(s->seq, fl->rcv_edge);
	return seq_lt(s->seq, fl->rcv_edge) && seq_gt(s->seq + space, fl->rcv_nxt);
}

/* RST: exact, and the flow is gone; elsewhere in the window, a challenge (RFC 5961 3.2). */
static void reset_input(struct tcp *t, struct tcp_flow *fl, const struct tcp_seg *s)
{
	/* rcv_taken is what our last ACK said: the answer to a challenge stands there. */
	if (s->seq == fl->rcv_nxt || s->seq == fl->rcv_taken) {
		counter_inc(&t->st->n.tcp_reset);
		flow_ends(&fl->f, END_GUEST_RESET, 0);
		tcp_abort(t, fl, false);
		return;
	}
	stack_drop(t->st, DROP_TCP_SEQUENCE);
	if (seq_geq(s->seq, fl->rcv_nxt) && seq_lt(s->seq, fl->rcv_edge))
		tcp_challenge(t, fl);
}

/* The ACK field of an acceptable segment. False: the segment goes no further. */
static bool ack_ok(struct tcp *t, struct tcp_flow *fl, const struct tcp_seg *s)
{
	if (!(s->flags & TH_ACK)) {
		stack_drop(t->st, DROP_TCP_STATE);
		return false;
	}
	/* RFC 5961 5.2: from one window ago up to what was sent (H36). */
	if (seq_gt(s->ack, fl->snd_max) || seq_lt(s->ack, fl->snd_una - fl->max_wnd)) {
		stack_drop(t->st, DROP_TCP_ACK);
		tcp_challenge(t, fl);
		return false;
	}
	return true;
}

/* An acceptable segment behind a hole. */
static void early_input(struct tcp *t, struct tcp_flow *fl, const struct packet *pkt,
			const struct tcp_seg *s)
{
	uint32_t len = MIN(s->len, fl->rcv_edge - s->seq), kept;

	if (fl->guest_fin)
		return;
	kept = tcp_early_put(t, fl, s->seq, pkt->frame, s->off, len);
	if ((s->flags & TH_FIN) && len == s->len) {
		fl->early.fin = true;
		fl->early.fin_seq = s->seq + s->len;
	}
	if (kept)
		counter_inc(&t->st->n.tcp_early);
	else
		stack_drop(t->st, DROP_TCP_SEQUENCE);
	if (fl->sack) {
		fl->sack_due = true;
		tcp_mark(t, fl);
	} else {
		fl->acks_due = (uint8_t)MIN(fl->acks_due + 1, LIMIT_TCP_DUPACKS + 1);
	}
}

/* The payload of an acceptable segment, and its FIN. */
static enum tx_verdict payload_input(struct tcp *t, struct tcp_flow *fl, const struct packet *pkt,
				     const struct tcp_seg *s)
{
	uint32_t seq = s->seq, off = s->off, len = s->len;
	bool fin = s->flags & TH_FIN, held = false;
	uint32_t room = fl->rcv_edge - fl->rcv_nxt;
	enum bulk_verdict verdict;

	if (seq_gt(seq, fl->rcv_nxt)) {
		early_input(t, fl, pkt, s);
		return TX_DONE;
	}
	if (seq_lt(seq, fl->rcv_nxt)) {
		uint32_t known = MIN(fl->rcv_nxt - seq, len);

		off += known;
		len -= known;
		duplicate(t, fl, seq, known);
	}
	if (fl->guest_fin)
		return TX_DONE; /* nothing follows a FIN */
	if (len > room) {
		stack_drop(t->st, DROP_TCP_PARK_LIMIT);
		owe_ack(t, fl);
		len = room;
		fin = false;
	}
	if (len) {
		bool may_hold = !fl->tx_blocked ||
				(!fl->tx_stalled && fl->tx.frames < LIMIT_TCP_HELD_FLOW &&
				 bulk_may_keep(&t->bulk, pkt->frame->descs));

		verdict = bulk_put(&t->bulk, &fl->tx, pkt->frame, off, len, may_hold);
		if (verdict == BULK_FULL) {
			stack_drop(t->st, DROP_TCP_PARK_FULL);
			return TX_DONE;
		}
		held = verdict == BULK_HELD;
		fl->rcv_nxt += len;
		counter_inc(&t->st->n.tx_batch_segs);
	}
	if (fin) {
		fl->guest_fin = true;
		fl->rcv_nxt++;
	}
	tcp_early_take(t, fl);
	return held ? TX_HELD : TX_DONE;
}

static enum tx_verdict open_input(struct tcp *t, struct tcp_flow *fl, const struct packet *pkt,
				  const struct tcp_seg *s)
{
	if (s->flags & TH_RST) {
		reset_input(t, fl, s);
		return TX_DONE;
	}
	if (!acceptable(fl, s)) {
		bool probe = fl->rcv_edge == fl->rcv_nxt && s->seq == fl->rcv_nxt;

		if (seq_lt(s->seq, fl->rcv_nxt))
			duplicate(t, fl, s->seq, s->len);
		else
			owe_ack(t, fl);
		if (!probe) {
			stack_drop(t->st, DROP_TCP_SEQUENCE);
			return TX_DONE;
		}
		/* Our window is shut; what the segment says of the other way still counts. */
		if (!(s->flags & TH_SYN) && ack_ok(t, fl, s))
			tcp_ack_input(t, fl, s);
		return TX_DONE;
	}
	if (s->flags & TH_SYN) {
		stack_drop(t->st, DROP_TCP_STATE);
		tcp_challenge(t, fl);
		return TX_DONE;
	}
	if (!ack_ok(t, fl, s))
		return TX_DONE;
	tcp_mark(t, fl);
	tcp_ack_input(t, fl, s);
	/* URG is ignored: its bytes are in the stream like any other (H48). */
	return s->len || (s->flags & TH_FIN) ? payload_input(t, fl, pkt, s) : TX_DONE;
}

static enum tx_verdict syn_rcvd_input(struct tcp *t, struct tcp_flow *fl, const struct packet *pkt,
				      const struct tcp_seg *s)
{
	if (!(s->flags & TH_RST) && (s->flags & TH_SYN) && s->seq == fl->irs) {
		/* The SYN again: the SYN-ACK was lost (H35). */
		tcp_send_synack(t, fl);
		return TX_DONE;
	}
	if ((s->flags & (TH_RST | TH_SYN | TH_ACK)) == TH_ACK && acceptable(fl, s)) {
		if (s->ack != fl->iss + 1) {
			stack_drop(t->st, DROP_TCP_ACK);
			tcp_answer_reset(t->st, pkt, s);
			return TX_DONE;
		}
		fl->state = TS_OPEN;
		fl->snd_wl1 = s->seq;
		fl->snd_wl2 = s->ack;
		fl->snd_wnd = (uint32_t)s->wnd << fl->snd_scale;
		fl->max_wnd = MAX(fl->max_wnd, fl->snd_wnd);
		counter_inc(&t->st->n.tcp_established);
	}
	return open_input(t, fl, pkt, s);
}

/* A new SYN in place of an old one: the guest has given that attempt up. */
static void syn_replaces(struct tcp *t, struct tcp_flow *fl, const struct packet *pkt,
			 const struct tcp_seg *s)
{
	flow_ends(&fl->f, END_ABANDONED, 0);
	tcp_abort(t, fl, false);
	tcp_connect_new(t, pkt, s);
}

static void connecting_input(struct tcp *t, struct tcp_flow *fl, const struct packet *pkt,
			     const struct tcp_seg *s)
{
	if (s->flags & TH_RST) {
		if (s->seq == fl->rcv_nxt) {
			flow_ends(&fl->f, END_ABANDONED, 0);
			tcp_abort(t, fl, false);
		} else {
			stack_drop(t->st, DROP_TCP_SEQUENCE);
		}
	} else if ((s->flags & (TH_SYN | TH_ACK)) == TH_SYN) {
		/* The same SYN again changes nothing: connect() still runs (H35). */
		if (s->seq != fl->irs)
			syn_replaces(t, fl, pkt, s);
	} else {
		stack_drop(t->st, DROP_TCP_STATE);
	}
}

static void time_wait_input(struct tcp *t, struct tcp_flow *fl, const struct packet *pkt,
			    const struct tcp_seg *s)
{
	if (s->flags & TH_RST) {
		if (s->seq == fl->rcv_nxt)
			tcp_flow_free(t, fl);
		return;
	}
	/* RFC 9293 3.10.7.4, RFC 6191: a later SYN opens the pair anew. */
	if ((s->flags & (TH_SYN | TH_ACK)) == TH_SYN && seq_gt(s->seq, fl->rcv_nxt)) {
		tcp_flow_free(t, fl);
		tcp_connect_new(t, pkt, s);
		return;
	}
	/* A repeated FIN wants its ACK again (H31), and restarts the wait. */
	if (s->flags & TH_FIN)
		fl->rto_at = tcp_now(t) + LIMIT_TCP_TIME_WAIT_NS;
	if (tcp_seg_space(s))
		owe_ack(t, fl);
}

/* The guest speaks on a connection whose end it has not heard of: the record has done its work. */
static void reset_flow_input(struct tcp *t, struct tcp_flow *fl, const struct packet *pkt,
			     const struct tcp_seg *s)
{
	tcp_flow_free(t, fl);
	if ((s->flags & (TH_SYN | TH_ACK | TH_RST)) == TH_SYN)
		tcp_connect_new(t, pkt, s);
	else
		tcp_answer_reset(t->st, pkt, s);
}

/**
 * tcp_input() - a TCP packet from the guest; the stack's thread
 *
 * Return: TX_HELD when the frame's token is kept until its payload has been sent.
 */
enum tx_verdict tcp_input(struct stack *st, const struct packet *pkt)
{
	struct tcp *t = st->tcp;
	struct tcp_seg s;
	struct flow_key key;
	struct tcp_flow *fl;
	enum drop_reason why = parse(pkt, &s);

	if (why != DROP_NONE) {
		stack_drop(st, why);
		return TX_DONE;
	}
	memset(&key, 0, sizeof(key));
	key.guest = (struct endpoint){ pkt->src, s.sport };
	key.remote = (struct endpoint){ pkt->dst, s.dport };
	fl = (struct tcp_flow *)flow_find(&t->flows, &key);
	if (!fl) {
		if ((s.flags & (TH_SYN | TH_ACK | TH_RST)) == TH_SYN) {
			tcp_connect_new(t, pkt, &s);
			return TX_DONE;
		}
		stack_drop(st, DROP_TCP_NO_FLOW);
		tcp_answer_reset(st, pkt, &s);
		return TX_DONE;
	}
	flow_touch(&t->flows, &fl->f, tcp_now(t));
	switch ((enum tcp_state)fl->state) {
	case TS_CONNECTING:
		connecting_input(t, fl, pkt, &s);
		return TX_DONE;
	case TS_SYN_SENT:
		tcp_syn_sent_input(t, fl, pkt, &s);
		return TX_DONE;
	case TS_SYN_RCVD:
		return syn_rcvd_input(t, fl, pkt, &s);
	case TS_OPEN:
		return open_input(t, fl, pkt, &s);
	case TS_TIME_WAIT:
		time_wait_input(t, fl, pkt, &s);
		return TX_DONE;
	case TS_RESET:
		reset_flow_input(t, fl, pkt, &s);
		return TX_DONE;
	}
	return TX_DONE;
}
