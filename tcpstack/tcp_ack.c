/* SPDX-License-Identifier: MIT */
/*
 * ACKs of requests, which the answer may carry.
 *
 * Theory of operation. What the guest sends is ACKed in the cycle in which a socket or our
 * memory has taken it. For a short request that means a frame and an interrupt of its
 * own, half a round trip before the answer that could carry both. RFC 9293 3.8.6.3 lets an
 * ACK wait, and every TCP does; the price is paid by a sender that waits for the ACK of
 * its last small segment before it sends the next (Nagle's algorithm), and is therefore
 * kept small: the ACK waits only where answers have come quickly, twice in a row and
 * within LIMIT_TCP_ACK_WAIT_NS, and no longer than that. The first request that has
 * to wait so long, and any second segment before the answer, ends it for the flow until
 * two answers were quick again. A bulk upload never waits.
 */
#include "tcpstack/tcp.h"

/**
 * tcp_ack_may_wait() - @bytes of the guest were taken: may their ACK wait for an answer?
 *
 * If so, it is owed by tcp_ack_deadline(), and any segment to the guest pays it.
 */
bool tcp_ack_may_wait(const struct tcp *t, struct tcp_flow *fl, uint32_t bytes)
{
	bool unanswered = fl->asked_at != 0;

	fl->asked_at = tcp_now(t);
	if (unanswered || bytes > LIMIT_TCP_ACK_WAIT_BYTES || fl->guest_fin)
		fl->quick_answers = 0;
	fl->ack_waits = fl->quick_answers >= LIMIT_TCP_ACK_QUICK;
	return fl->ack_waits;
}

/**
 * tcp_ack_answered() - payload for the guest is about to leave
 */
void tcp_ack_answered(const struct tcp *t, struct tcp_flow *fl)
{
	if (!fl->asked_at)
		return;
	if (tcp_now(t) - fl->asked_at > LIMIT_TCP_ACK_WAIT_NS)
		fl->quick_answers = 0;
	else if (fl->quick_answers < LIMIT_TCP_ACK_QUICK)
		fl->quick_answers++;
	fl->asked_at = 0;
}

/**
 * tcp_ack_deadline() - until when an ACK may wait; UINT64_MAX when none does
 */
uint64_t tcp_ack_deadline(const struct tcp_flow *fl)
{
	return fl->ack_waits ? fl->asked_at + LIMIT_TCP_ACK_WAIT_NS : UINT64_MAX;
}

/**
 * tcp_ack_overdue() - an ACK that has waited in vain is due now
 */
void tcp_ack_overdue(const struct tcp *t, struct tcp_flow *fl)
{
	if (tcp_now(t) < tcp_ack_deadline(fl))
		return;
	fl->ack_waits = false;
	fl->quick_answers = 0;
	fl->acks_due = MAX(fl->acks_due, 1);
}
