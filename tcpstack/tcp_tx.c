/* SPDX-License-Identifier: MIT */
/*
 * Guest to host: collected payload into the socket, the window, the half-close.
 *
 * Theory of operation. Once a cycle each flow that received payload offers all
 * of it to its socket in one call. What the kernel takes is ACKed in the same
 * cycle; the rest stays parked until EPOLLOUT.
 *
 * Nothing that is parked is dropped, but it is ACKed only when it is ours: while it
 * lies in the guest's frames the guest may have to send it again. After a stall of
 * LIMIT_TCP_STALL_NS, or when there is a hole to be reported behind it, all of it
 * moves to the arena, as far as that has room, and is ACKed there. So a guest sees
 * what a plain peer that does not read would show it: ACKs and a shut window, for
 * as long as it takes. Should the host then reset the connection, the guest is
 * reset too; as with any peer, an ACK promises no more than an honest try.
 *
 * The window is what the socket will still take plus what we are willing to
 * park, less what is parked. The socket's part is an estimate: SO_SNDBUF counts
 * the kernel's overhead, so only a fraction of it is payload. The fraction is
 * learnt whenever the socket is seen full (SIOCOUTQ is then what fits), and
 * unlearnt little by little: a socket found full is about to grow. Between
 * measurements the estimate only falls, so they are needed only when it is no
 * longer enough for the window (H51), and a short connection needs none.
 *
 * However much the socket takes, the window is no larger than the link to the
 * guest needs (near_window()). The guest cycles through as much memory as we let
 * it send, and what is cycled through should still be in the cache when the
 * kernel copies it: with up to 512 KiB a copied GB costs half the CPU time of 4 MiB.
 * Where pages are given away there is no such copy, and the window is wider.
 *
 * The parking part is what keeps the estimate honest. While nothing is parked the
 * window stays open by at least LIMIT_TCP_PARK_BYTES, so a guest with more to
 * send overshoots the socket. The full socket then owes us an EPOLLOUT, which
 * re-opens the window, and the kernel, which grows a send buffer only after
 * someone found it full, grows it.
 */
#include "tcpstack/tcp.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

/* Payload in SO_SNDBUF until the socket was seen full, in 1/256. */
#define FILL_FIRST 192
#define FILL_MIN   8
#define FILL_MAX   256

/* The socket's send buffer and what is in it, bytes; false when the socket is dead. */
static bool measure(struct tcp *t, const struct tcp_flow *fl, uint32_t *size, uint32_t *used)
{
	int sndbuf = 0, outq = 0;
	socklen_t len = sizeof(sndbuf);

	tcp_syscall(t);
	tcp_syscall(t);
	if (getsockopt(fl->f.fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, &len) ||
	    ioctl(fl->f.fd, SIOCOUTQ, &outq))
		return false;
	*size = (uint32_t)MAX(sndbuf, 1);
	*used = (uint32_t)MAX(outq, 0);
	return true;
}

/* The socket is full: park, and learn how much payload it holds. */
static void blocked(struct tcp *t, struct tcp_flow *fl)
{
	uint32_t size, used;

	if (!fl->tx_stalled && !fl->stall_at)
		fl->stall_at = tcp_now(t) + LIMIT_TCP_STALL_NS;
	fl->tx_blocked = true;
	fl->room = 0;
	bulk_park(&t->bulk, &fl->tx);
	if (measure(t, fl, &size, &used)) {
		uint64_t fill = (uint64_t)used * 256 / size;

		fl->fill = (uint16_t)MIN(MAX(fill, (uint64_t)FILL_MIN), (uint64_t)FILL_MAX);
	}
}

static void measure_room(struct tcp *t, struct tcp_flow *fl)
{
	uint32_t size, used, cap;

	if (!measure(t, fl, &size, &used))
		return;
	cap = (uint32_t)((uint64_t)size * fl->fill / 256);
	fl->room = cap > used ? cap - used : 0;
	if (fl->fill < FILL_FIRST)
		fl->fill = (uint16_t)(fl->fill + (FILL_FIRST - fl->fill + 7) / 8);
}

/* The window that keeps the link to the guest busy: its bandwidth-delay product, and no less. */
static uint32_t near_window(const struct tcp_flow *fl)
{
	uint64_t bdp = fl->rtt_min * LIMIT_TCP_LINK_BYTES_PER_US / NS_PER_US;
	uint64_t least = bulk_is_lent(&fl->tx) ? LIMIT_TCP_WINDOW_LENT : LIMIT_TCP_WINDOW_NEAR;

	return (uint32_t)MIN(MAX(bdp, least), 65535ULL << fl->rcv_scale);
}

/* Move the window's right edge as far as there is room behind it. */
static void offer_window(struct tcp *t, struct tcp_flow *fl)
{
	uint32_t left = fl->rcv_edge - fl->rcv_nxt;
	uint32_t parked = fl->tx.bytes;
	uint32_t max = (65535U << fl->rcv_scale) - (fl->rcv_nxt - fl->rcv_taken);
	uint32_t wnd, gain, told;

	if (fl->guest_fin)
		return;
	max = MIN(max, near_window(fl));
	if (!fl->tx_blocked && fl->room < max && left < fl->room_full - fl->room_full / 4) {
		measure_room(t, fl);
		fl->room_full = MIN(fl->room + LIMIT_TCP_PARK_BYTES, max);
	}
	wnd = fl->room + (LIMIT_TCP_PARK_BYTES > parked ? LIMIT_TCP_PARK_BYTES - parked : 0);
	wnd = MIN(wnd, max);
	gain = wnd > left ? wnd - left : 0;
	/* Silly window, RFC 9293 3.8.6.2.2: no crumbs. */
	if (left + gain < MIN((uint32_t)t->st->cfg.mtu, LIMIT_TCP_PARK_BYTES / 2))
		gain = 0;
	fl->rcv_edge += gain;
	/* The guest may stand at the old edge, waiting for this: it knows of less than half. */
	told = seq_gt(fl->rcv_told, fl->rcv_nxt) ? fl->rcv_told - fl->rcv_nxt : 0;
	if (gain && told < (left + gain) / 2)
		fl->acks_due = MAX(fl->acks_due, 1);
}

/*
 * The guest has its own Nagle. Asked for only when the kernel's would matter: a first
 * send that fits in any segment leaves at once, and often there is no second.
 */
static void no_delay(struct tcp *t, struct tcp_flow *fl)
{
	int one = 1;

	if (fl->tx_nodelay || (fl->f.tx_bytes == 0 && fl->tx.bytes <= LIMIT_TCP_MSS_DEFAULT))
		return;
	fl->tx_nodelay = true;
	tcp_syscall(t);
	setsockopt(fl->f.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* Offer what is pending until all is gone or the socket is full. 0 or -errno. */
static int send_pending(struct tcp *t, struct tcp_flow *fl)
{
	uint32_t before = fl->tx.bytes, offered, n;
	ssize_t ret = 0;

	no_delay(t, fl);
	while (fl->tx.bytes) {
		tcp_syscall(t);
		ret = bulk_send(&t->bulk, &fl->tx, fl->f.fd, &offered);
		if (ret == -EINTR)
			continue;
		if (ret < 0)
			break;
		counter_inc(&t->st->n.tx_batches);
		hist_add(&t->st->n.batch_bytes, (uint64_t)ret);
		probe_batch_sent(fl->f.id.index, fl->f.id.gen, ret, offered);
		if ((uint32_t)ret < offered) {
			ret = -EAGAIN;
			break;
		}
	}
	n = before - fl->tx.bytes;
	if (n) {
		fl->room -= MIN(fl->room, n);
		fl->f.tx_bytes += n;
		counter_add(&t->st->n.tcp_tx_payload, n);
	}
	if (ret == -EAGAIN && fl->tx.waiting)
		return 0;
	if (ret == -EAGAIN) {
		blocked(t, fl);
		return 0;
	}
	if (ret < 0 && tcp_passing((int)-ret)) {
		fl->retry_at = tcp_now(t) + LIMIT_TCP_RETRY_NS;
		return 0;
	}
	return ret < 0 ? (int)ret : 0;
}

/* The guest's frames go back when it has waited for them long enough. */
static void own_parked(struct tcp *t, struct tcp_flow *fl)
{
	bool long_enough = fl->stall_at && tcp_now(t) >= fl->stall_at;

	if (!fl->tx_blocked || !(long_enough || !dlist_empty(&fl->early.list)))
		return;
	bulk_own(&t->bulk, &fl->tx);
	fl->tx_stalled = true;
	/* What found no room tries again. */
	fl->stall_at = fl->tx.frames ? tcp_now(t) + LIMIT_TCP_STALL_NS : 0;
}

/* ACK what will not get lost any more; the FIN with the last byte before it. */
static void acknowledge(const struct tcp *t, struct tcp_flow *fl)
{
	uint32_t held = bulk_held_bytes(&fl->tx);
	uint32_t taken = fl->rcv_nxt - held - (held && fl->guest_fin);
	uint32_t more = taken - fl->rcv_taken;

	if (!seq_gt(taken, fl->rcv_taken))
		return;
	fl->rcv_taken = taken;
	if (!tcp_ack_may_wait(t, fl, more))
		fl->acks_due = MAX(fl->acks_due, 1);
}

/**
 * tcp_tx_writable() - the socket was full and takes bytes again
 */
void tcp_tx_writable(struct tcp_flow *fl)
{
	fl->tx_blocked = fl->tx_stalled = false;
	fl->stall_at = 0;
}

/**
 * tcp_tx_offer_first() - the window of the SYN-ACK
 *
 * Within what we would park, so nothing needs to be asked of the socket.
 */
void tcp_tx_offer_first(struct tcp_flow *fl)
{
	fl->rcv_edge = fl->rcv_nxt + MIN(65535U, LIMIT_TCP_PARK_BYTES);
	fl->room_full = 65535;
	fl->fill = FILL_FIRST;
}

/* Our FIN to the host. When the other way is done with, close() is about to send it. */
static int fin_to_host(struct tcp *t, struct tcp_flow *fl)
{
	if (fl->fin_acked && !bulk_is_lent(&fl->tx))
		return 0;
	tcp_syscall(t);
	return shutdown(fl->f.fd, SHUT_WR);
}

/**
 * tcp_tx_flow() - send what was collected, pass the guest's FIN on, offer window
 *
 * Return: STEP_GONE when the host's side turned out dead and the flow was reset.
 */
enum tcp_step tcp_tx_flow(struct tcp *t, struct tcp_flow *fl)
{
	int err = 0;

	tcp_early_take(t, fl);
	if (fl->tx.bytes && !fl->tx_blocked)
		err = send_pending(t, fl);
	if (err < 0) {
		tcp_host_failed(fl, -err);
		tcp_abort(t, fl, true);
		return STEP_GONE;
	}
	if (fl->guest_fin && !fl->guest_fin_done && !fl->tx.bytes && !bulk_fin_must_wait(&fl->tx)) {
		/* All before it is in the kernel's hands (H31, H32). */
		if (fin_to_host(t, fl)) {
			tcp_host_failed(fl, errno);
			tcp_abort(t, fl, true);
			return STEP_GONE;
		}
		bulk_fin_sent(&fl->tx);
		fl->guest_fin_done = true;
	}
	own_parked(t, fl);
	acknowledge(t, fl);
	offer_window(t, fl);
	return STEP_IDLE;
}

/**
 * tcp_tx_port_down() - the guest's frames are no longer there
 *
 * What was parked in them was never ACKed; the guest that comes back to this
 * flow sends it again.
 */
void tcp_tx_port_down(struct tcp *t, struct tcp_flow *fl)
{
	uint32_t lost = bulk_drop_frames(&t->bulk, &fl->tx);

	if (!lost)
		return;
	if (fl->guest_fin) {
		fl->guest_fin = false;
		fl->rcv_nxt--;
	}
	fl->rcv_nxt -= lost;
}
