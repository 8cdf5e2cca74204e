/* SPDX-License-Identifier: MIT */
/* What a TCP flow looks like from outside, and why it stands still. */
#include "tcpstack/snapshot.h"
#include "tcpstack/tcp.h"

/* Towards the host: does something of the guest's wait? */
static enum flow_stall stall_tx(const struct tcp_flow *fl)
{
	if (fl->retry_at)
		return STALL_HOST_ERROR;
	if (fl->tx_blocked && fl->tx.bytes)
		return STALL_HOST_FULL;
	if (fl->tx.waiting || fl->tx.fin_waits)
		return STALL_LENT;
	return STALL_IDLE;
}

/* Towards the guest: do bytes wait in the socket, or for an ACK? */
static enum flow_stall stall_rx(const struct stack *st, const struct tcp_flow *fl)
{
	uint32_t in_flight = fl->snd_max - fl->snd_una;

	if (fl->rx_starved)
		return rate_in_waits(st) ? STALL_RATE : STALL_NO_BUFFERS;
	if (fl->snd_wnd == 0 && fl->rx_ready)
		return STALL_WINDOW_ZERO;
	if (fl->recovering || fl->retries)
		return STALL_LOSS;
	if (fl->host_eof && !fl->fin_acked && in_flight == 1)
		return STALL_CLOSING;
	return in_flight ? STALL_WAIT_ACK : STALL_IDLE;
}

static enum flow_stall stall(const struct stack *st, const struct tcp_flow *fl)
{
	enum flow_stall why;

	switch ((enum tcp_state)fl->state) {
	case TS_CONNECTING:
		return STALL_CONNECTING;
	case TS_TIME_WAIT:
		return STALL_TIME_WAIT;
	case TS_SYN_SENT:
	case TS_SYN_RCVD:
		return st->port ? STALL_HANDSHAKE : STALL_NO_DRIVER;
	case TS_RESET:
		return st->port ? STALL_NO_BUFFERS : STALL_NO_DRIVER;
	case TS_OPEN:
		break;
	}
	if (!st->port)
		return STALL_NO_DRIVER;
	if (!dlist_empty(&fl->dirty))
		return STALL_NONE;
	why = stall_tx(fl);
	return why == STALL_IDLE ? stall_rx(st, fl) : why;
}

/**
 * tcp_snap() - what is TCP's own in a copy of @f; the stack's thread
 */
void tcp_snap(const struct stack *st, const struct flow *f, struct flow_snap *s)
{
	const struct tcp_flow *fl = (const struct tcp_flow *)f;

	s->state = tcp_state_name(fl);
	s->engine = fl->tx.loan ? fl->tx.loan->ops->name : bulk_copy.name;
	s->lent = fl->tx.loan ? fl->tx.loan->bytes : 0;
	s->stall = (uint8_t)stall(st, fl);
	s->parked = fl->tx.bytes;
	s->held_frames = fl->tx.frames;
	s->in_flight = fl->snd_max - fl->snd_una;
	s->window = fl->rcv_edge - fl->rcv_nxt;
	s->guest_window = fl->snd_wnd;
	s->srtt_ns = fl->srtt;
	s->retries = fl->retries;
}
