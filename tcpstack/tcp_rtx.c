/* SPDX-License-Identifier: MIT */
/*
 * What we sent to the guest and it has not ACKed: ACK processing, round-trip
 * time, retransmission.
 *
 * Theory of operation: data towards the guest stays in the host socket until it
 * is ACKed, so a retransmission is another peek (H33). A frame is lost only
 * between our ring and the guest's stack, which is rare; recovery is kept plain:
 *
 * - three duplicate ACKs, or SACKs of as much (RFC 6675): every hole that the SACKs
 *   leave is filled once, at once. When data that was sent after that has come and a
 *   hole is still there, its filling was lost too, and the round begins anew;
 * - without SACK: the frame at snd_una again, then one for each partial ACK until
 *   what was in flight is ACKed (RFC 6582);
 * - timeout (RFC 6298, Karn's rule): go back to snd_una, with half of what was in
 *   flight as the burst, which then grows by what is ACKed. There is no other
 *   congestion control on this link: the guest's window and its ring bound us.
 * - window zero and nothing in flight: a probe one below snd_una, which the
 *   guest must answer with an ACK (RFC 9293 3.8.6.1), at doubling intervals.
 */
#include "tcpstack/tcp.h"

static uint32_t in_flight(const struct tcp_flow *fl)
{
	return fl->snd_max - fl->snd_una;
}

/**
 * tcp_rtt_sample() - one measured round trip, RFC 6298 section 2
 * @rtt_ns:	of a segment that was sent once
 */
void tcp_rtt_sample(struct tcp_flow *fl, uint64_t rtt_ns)
{
	fl->rtt_min = fl->rtt_min ? MIN(fl->rtt_min, rtt_ns) : rtt_ns;
	if (fl->srtt == 0) {
		fl->srtt = rtt_ns;
		fl->rttvar = rtt_ns / 2;
	} else {
		uint64_t diff = fl->srtt > rtt_ns ? fl->srtt - rtt_ns : rtt_ns - fl->srtt;

		fl->rttvar = (3 * fl->rttvar + diff) / 4;
		fl->srtt = (7 * fl->srtt + rtt_ns) / 8;
	}
	fl->rto = fl->srtt + MAX((uint64_t)TIMER_TICK_NS, 4 * fl->rttvar);
	fl->rto = MIN(MAX(fl->rto, (uint64_t)LIMIT_TCP_RTO_MIN_NS), (uint64_t)LIMIT_TCP_RTO_MAX_NS);
}

/**
 * tcp_sent() - sequence space [@from, @to) has left for the guest
 *
 * Moves snd_nxt and snd_max if it was the next to send, starts the timer, and
 * times the segment if none is being timed.
 */
void tcp_sent(struct tcp *t, struct tcp_flow *fl, uint32_t from, uint32_t to)
{
	if (seq_lt(from, fl->snd_max)) {
		counter_inc(&t->st->n.tcp_retransmits);
	} else if (!fl->rtt_running) {
		fl->rtt_running = true;
		fl->rtt_seq = to;
		fl->rtt_start = tcp_now(t);
	}
	if (from == fl->snd_nxt)
		fl->snd_nxt = to;
	if (seq_gt(fl->snd_nxt, fl->snd_max))
		fl->snd_max = fl->snd_nxt;
	if (!fl->rto_at)
		fl->rto_at = tcp_now(t) + fl->rto;
}

static void update_window(struct tcp_flow *fl, const struct tcp_seg *s)
{
	/* RFC 9293 3.10.7.4: not from segments older than the last that set it. */
	if (!seq_lt(fl->snd_wl1, s->seq) &&
	    !(fl->snd_wl1 == s->seq && seq_leq(fl->snd_wl2, s->ack)))
		return;
	fl->snd_wnd = (uint32_t)s->wnd << fl->snd_scale;
	fl->max_wnd = MAX(fl->max_wnd, fl->snd_wnd);
	fl->snd_wl1 = s->seq;
	fl->snd_wl2 = s->ack;
}

/**
 * tcp_lost() - what is to be sent again next, in fast recovery
 *
 * Without SACK: from snd_una on, as much as one frame takes. Return: false when it
 * has all been sent again.
 */
bool tcp_lost(const struct tcp_flow *fl, struct tcp_range *lost)
{
	uint32_t from = seq_gt(fl->rtx_nxt, fl->snd_una) ? fl->rtx_nxt : fl->snd_una;

	if (fl->sacked.count)
		return tcp_sack_hole(fl, from, lost);
	*lost = (struct tcp_range){ fl->snd_una, fl->snd_max };
	return from == fl->snd_una && in_flight(fl);
}

static void begin_recovery(struct tcp_flow *fl)
{
	fl->recovering = true;
	fl->recover = fl->snd_max;
	fl->rtx_nxt = fl->snd_una;
	fl->rtt_running = false;
}

/* A duplicate ACK, or one with news of a hole. */
static void duplicate_ack(struct tcp_flow *fl)
{
	const struct sack_board *b = &fl->sacked;
	uint32_t enough = LIMIT_TCP_DUPACKS * fl->mss;
	struct tcp_range hole;

	if (fl->dupacks < UINT8_MAX)
		fl->dupacks++;
	if (!fl->recovering) {
		if (fl->dupacks != LIMIT_TCP_DUPACKS && tcp_sack_bytes(fl) < enough)
			return;
		begin_recovery(fl);
		fl->retransmit = true;
		return;
	}
	if (b->count == 0)
		return;
	if (seq_geq(b->range[b->count - 1].to, fl->recover + enough))
		begin_recovery(fl);
	fl->retransmit |= tcp_lost(fl, &hole);
}

static void new_ack(struct tcp *t, struct tcp_flow *fl, uint32_t ack)
{
	uint32_t acked = ack - fl->snd_una;

	fl->snd_una = ack;
	if (seq_lt(fl->snd_nxt, ack))
		fl->snd_nxt = ack;
	if (fl->rtt_running && seq_geq(ack, fl->rtt_seq)) {
		fl->rtt_running = false;
		tcp_rtt_sample(fl, tcp_now(t) - fl->rtt_start);
	}
	fl->cwnd = fl->cwnd > UINT32_MAX / 2 ? fl->cwnd : fl->cwnd + acked;
	fl->dupacks = 0;
	tcp_sack_acked(fl);
	if (fl->recovering) {
		fl->recovering = seq_lt(ack, fl->recover);
		fl->retransmit = fl->recovering;
		if (!fl->sack)
			fl->rtx_nxt = ack;
	}
	if (fl->host_eof && seq_gt(ack, fl->fin_seq))
		fl->fin_acked = true;
	fl->rto_at = in_flight(fl) ? tcp_now(t) + fl->rto : 0;
}

/* RFC 5681 2: nothing but the ACK number, which has not moved. */
static bool is_duplicate(const struct tcp_flow *fl, const struct tcp_seg *s, uint32_t old_wnd)
{
	return in_flight(fl) && s->len == 0 && !(s->flags & TH_FIN) && fl->snd_wnd == old_wnd;
}

/**
 * tcp_ack_input() - the ACK and the window of a segment whose ACK was found valid
 *
 * @s->ack is no older than the oldest window and acknowledges nothing unsent.
 */
void tcp_ack_input(struct tcp *t, struct tcp_flow *fl, const struct tcp_seg *s)
{
	uint32_t wnd = fl->snd_wnd;
	bool news;

	fl->retries = 0;
	if (seq_lt(s->ack, fl->snd_una))
		return;
	update_window(fl, s);
	if (seq_gt(s->ack, fl->snd_una)) {
		new_ack(t, fl, s->ack);
		news = tcp_sack_input(fl, s);
	} else {
		news = tcp_sack_input(fl, s);
		news |= is_duplicate(fl, s, wnd);
	}
	if (news)
		duplicate_ack(fl);
	/* A probe has done its work once the window is open. */
	if (wnd == 0 && fl->snd_wnd && fl->snd_nxt == fl->snd_una)
		fl->rto_at = 0;
	tcp_mark(t, fl);
}

/**
 * tcp_on_rto() - nothing was ACKed for a whole timeout, or the window stayed shut
 *
 * Return: false when the guest has not answered for too long: the caller resets
 * the flow.
 */
bool tcp_on_rto(struct tcp *t, struct tcp_flow *fl)
{
	if (fl->retries == 0)
		fl->silent_since = tcp_now(t);
	else if (tcp_now(t) - fl->silent_since >= LIMIT_TCP_SILENT_NS)
		return false;
	fl->retries = (uint8_t)MIN(fl->retries + 1, UINT8_MAX);
	fl->rto = MIN(fl->rto * 2, (uint64_t)LIMIT_TCP_RTO_MAX_NS);
	fl->rto_at = 0;
	if (fl->snd_nxt == fl->snd_una && fl->snd_wnd == 0) {
		tcp_send_control(t, fl, fl->snd_una - 1, 0);
		fl->rto_at = tcp_now(t) + fl->rto;
		return true;
	}
	fl->cwnd = MAX(in_flight(fl) / 2, 2U * fl->mss);
	fl->snd_nxt = fl->snd_una;
	fl->recovering = fl->retransmit = fl->rtt_running = false;
	fl->sacked.count = 0;
	fl->dupacks = 0;
	return true;
}
