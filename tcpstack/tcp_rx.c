/* SPDX-License-Identifier: MIT */
/*
 * Host to guest: from the socket's queue straight into the guest's buffers.
 *
 * Theory of operation. Bytes stay in the host socket until the guest ACKs them;
 * the socket is the retransmission queue. A read is MSG_PEEK at SO_PEEK_OFF,
 * into frames that the port granted, behind room for the headers, which are
 * written once the length is known: one copy (H56). ACKed bytes are thrown away
 * with MSG_TRUNC, many at a time.
 *
 *	sock_una        snd_una           snd_nxt          snd_max
 *	   |  ACKed, not   |  sent, not      |  sent once,    |  not yet
 *	   |  discarded    |  ACKed          |  to go again   |  read
 *	   +---------------+-----------------+----------------+---------->
 *	   0               offsets in the socket's queue
 *
 * In the ordinary case snd_nxt = snd_max. The kernel moves SO_PEEK_OFF along with
 * our reads and discards; we set it only to go back. On a kernel without it, a
 * read starts at offset 0 and its first bytes fall into a sink.
 *
 * How much can leave is bounded by the guest's window and by its buffers (H54).
 * A flow that finds none joins the list of the starved, which is served in turn
 * when the guest has added some (H14). A short read says that the socket is empty,
 * and with edge-triggered events nothing needs to be asked again until the next.
 * (Not where a peer has sent urgent data: a read ends there, whatever follows. Such
 * a flow reads until the socket says that it has no more.)
 */
#include "tcpstack/tcp.h"

#include <errno.h>

static_assert(LIMIT_TCP_RX_FRAMES < PORT_RX_BATCH, "the port grants fewer than that at once");

/**
 * struct rx_read - one recvmsg into several frames
 * @frames, @size:	what the port granted, and the payload meant for each
 * @seq:	sequence number of the first byte
 * @asked:	payload bytes that fit
 * @skip:	bytes before them that the kernel copies to the sink
 */
struct rx_read {
	struct rx_frame frames[LIMIT_TCP_RX_FRAMES];
	uint32_t size[LIMIT_TCP_RX_FRAMES];
	uint32_t count;
	uint32_t seq;
	uint32_t asked;
	uint32_t skip;
};

static uint32_t header_len(const struct tcp_flow *fl)
{
	return ETH_HLEN + (ipaddr_is_v4(&fl->f.key.guest.addr) ? IP4_HLEN : IP6_HLEN) + TCP_HLEN;
}

/* Payload that one frame to the guest can carry. */
static uint32_t frame_payload(const struct tcp *t, const struct tcp_flow *fl)
{
	const struct port_caps *caps = &t->st->caps;
	bool v4 = ipaddr_is_v4(&fl->f.key.guest.addr);
	uint32_t max = fl->mss, hlen = header_len(fl);

	if (caps->rx_csum && (v4 ? caps->rx_tso4 : caps->rx_tso6)) {
		max = 65535 - (hlen - ETH_HLEN);
		max -= max > fl->mss ? max % fl->mss : 0;
	}
	return caps->rx_frame_max > hlen ? MIN(max, caps->rx_frame_max - hlen) : 0;
}

/**
 * tcp_rx_wants() - is there anything to send, window and buffers aside?
 */
bool tcp_rx_wants(const struct tcp_flow *fl)
{
	if (seq_lt(fl->snd_nxt, fl->snd_max))
		return true;
	return fl->host_eof ? seq_leq(fl->snd_nxt, fl->fin_seq) : fl->rx_ready;
}

/* What the host's socket says, as an errno that is not the port's -ENOBUFS. */
static int socket_error(void)
{
	return errno == ENOBUFS ? -ENOMEM : -errno;
}

/* The kernel's peek offset to @off. 0 or -errno. */
static int set_peek_off(struct tcp *t, struct tcp_flow *fl, uint32_t off)
{
	int val = (int)off;

	/* Never set: the kernel peeks at 0, and we are spared a call. */
	if (fl->peek_off == val || (fl->peek_off < 0 && off == 0))
		return 0;
	tcp_syscall(t);
	if (setsockopt(fl->f.fd, SOL_SOCKET, SO_PEEK_OFF, &val, sizeof(val)))
		return socket_error();
	fl->peek_off = val;
	return 0;
}

/* Ask the port for one frame of up to @want bytes of payload; less if it has less. */
static int alloc_frame(struct tcp *t, struct tcp_flow *fl, uint32_t want, struct rx_frame *frame,
		       uint32_t *got)
{
	uint32_t hlen = header_len(fl), least = MIN(want, fl->mss);
	int ret = -ENOBUFS;

	if (!t->st->port)
		return -ENOBUFS;
	for (;; want = MAX(want / 4, least)) {
		ret = stack_rx_alloc(t->st, hlen + want, frame);
		if (ret == 0) {
			*got = want;
			return 0;
		}
		if (want == least) {
			t->st->rx_starved |= ret == -ENOBUFS;
			return ret;
		}
	}
}

/* The bytes that must be read past, into the sink. Entries used. */
static uint32_t sink_iov(struct tcp *t, uint32_t skip, struct iovec *iov)
{
	uint32_t n = 0;

	for (; skip > 0; n++) {
		iov[n] = (struct iovec){ t->sink, MIN(skip, TCP_SINK_BYTES) };
		skip -= (uint32_t)iov[n].iov_len;
	}
	return n;
}

/* Frames for up to @limit bytes of payload. Entries of @iov used, or -errno. */
static int grant_frames(struct tcp *t, struct tcp_flow *fl, struct rx_read *rd, uint32_t limit,
			struct iovec *iov)
{
	uint32_t per = frame_payload(t, fl), n = sink_iov(t, rd->skip, iov);
	int ret = 0;

	if (per == 0)
		return -EMSGSIZE;
	/* Whole frames: what is left over comes with the next read, not as a crumb. */
	if (limit > per)
		limit -= limit % per;
	while (rd->asked < limit && rd->count < LIMIT_TCP_RX_FRAMES) {
		struct rx_frame *fr = &rd->frames[rd->count];
		uint32_t want = MIN(per, limit - rd->asked), got = 0, pieces;

		ret = alloc_frame(t, fl, want, fr, &got);
		if (ret)
			break;
		pieces = iov_slice(fr->iov, fr->iovcnt, header_len(fl), got, iov + n,
				   TCP_IOV_MAX - n);
		if (pieces == 0 && rd->count == 0 && got > fl->mss) {
			/* Buffers so small that one call cannot name them all. */
			t->st->port->rx_rewind(t->st->port_ctx);
			per = MAX(per / 4, (uint32_t)fl->mss);
			continue;
		}
		if (pieces == 0) {
			ret = -EMSGSIZE;
			break;
		}
		n += pieces;
		rd->size[rd->count++] = got;
		rd->asked += got;
		/* Short of what was wanted: the ring has no more. */
		if (got < want)
			break;
	}
	return rd->count ? (int)n : ret;
}

/* Headers of a frame whose payload is in place, and off to the guest. */
static void commit_frame(struct tcp *t, struct tcp_flow *fl, struct rx_frame *fr, uint32_t seq,
			 uint32_t len, uint8_t flags)
{
	struct stack *st = t->st;
	struct l3_spec l3 = { .src = fl->f.key.remote.addr,
			      .dst = fl->f.key.guest.addr,
			      .proto = PROTO_TCP,
			      .dont_fragment = true };
	struct offload off = { .gso = GSO_NONE };
	uint8_t hdr[OUT_HEADERS_MAX];
	uint32_t l3_len = out_l3(st, hdr, &l3, TCP_HLEN + len);
	uint8_t *th = hdr + l3_len;

	tcp_header(fl, th, seq, flags);
	if (len > fl->mss) {
		off.gso = ipaddr_is_v4(&l3.dst) ? GSO_TCP4 : GSO_TCP6;
		off.gso_size = fl->mss;
	}
	if (st->caps.rx_csum) {
		off.needs_csum = true;
		off.csum_start = (uint16_t)l3_len;
		off.csum_offset = 16;
		put_be16(th + 16, csum_partial(&l3.src, &l3.dst, PROTO_TCP, TCP_HLEN + len));
	} else {
		uint32_t sum = csum_pseudo(&l3.src, &l3.dst, PROTO_TCP, TCP_HLEN + len);

		sum = csum_add(sum, th, TCP_HLEN);
		sum = csum_add_iov(sum, fr->iov, fr->iovcnt, l3_len + TCP_HLEN, len);
		put_be16(th + 16, csum_fold(sum));
	}
	iov_write(fr->iov, fr->iovcnt, 0, hdr, l3_len + TCP_HLEN);
	stack_rx_commit(st, fr, l3_len + TCP_HLEN + len, &off);
	counter_inc(&st->n.rx_frames);
	counter_add(&st->n.rx_bytes, l3_len + TCP_HLEN + len);
}

/* @n bytes have arrived in the frames: send them, give the other frames back. */
static void commit_read(struct tcp *t, struct tcp_flow *fl, struct rx_read *rd, uint32_t n)
{
	uint32_t seq = rd->seq, end = rd->seq + n, i;

	for (i = 0; i < rd->count && seq != end; i++) {
		uint32_t len = MIN(rd->size[i], end - seq);
		uint8_t flags = 0;

		if (seq + len == end)
			flags = TH_PUSH | (fl->host_eof && end == fl->fin_seq ? TH_FIN : 0);
		commit_frame(t, fl, &rd->frames[i], seq, len, flags);
		seq += len;
	}
	if (i < rd->count)
		t->st->port->rx_rewind(t->st->port_ctx);
	if (fl->host_eof && end == fl->fin_seq) {
		fl->closed_by_host |= !fl->guest_fin;
		end++;
	}
	tcp_sent(t, fl, rd->seq, end);
}

/* Bookkeeping of a read of @n bytes at what was the socket's frontier. */
static void after_read(struct tcp *t, struct tcp_flow *fl, const struct rx_read *rd, uint32_t n)
{
	/* A read stops at urgent data too; then only an empty one from the start tells. */
	bool drained = n < rd->asked && (!fl->rx_urgent || (n == 0 && rd->skip == 0));

	if (drained) {
		fl->rx_ready = false;
		/* FIN was in the queue before we read, so this was all. */
		if (fl->rx_rdhup) {
			fl->host_eof = true;
			fl->fin_seq = rd->seq + n;
		}
	}
	if (n < rd->asked) {
		fl->rx_want = MAX(n * 2, LIMIT_TCP_RX_FIRST);
	} else {
		fl->rx_want = MIN(fl->rx_want * 4, LIMIT_TCP_RX_QUANTUM);
	}
	if (n && fl->rx_since) {
		hist_add(&t->st->n.socket_to_ring_ns, tcp_now(t) - fl->rx_since);
		fl->rx_since = 0;
	}
	fl->f.rx_bytes += n;
	counter_add(&t->st->n.tcp_rx_payload, n);
}

/**
 * read_and_send() - up to @limit bytes from sequence number @seq on, to the guest
 * @again:	they were sent before: the socket surely has them
 *
 * Return: bytes sent; 0 when the socket has none or ended; -ENOBUFS when the guest
 * gives no buffers; another -errno of the socket.
 */
static int read_and_send(struct tcp *t, struct tcp_flow *fl, uint32_t seq, uint32_t limit,
			 bool again)
{
	uint32_t off = seq - fl->sock_una, n;
	struct iovec *iov = scratch_borrow(&t->iov);
	struct rx_read rd = { .seq = seq, .skip = t->peek_offset ? 0 : off };
	struct msghdr msg = { .msg_iov = iov };
	ssize_t got;
	int ret = grant_frames(t, fl, &rd, limit, iov);

	if (ret < 0)
		goto rewind;
	msg.msg_iovlen = (size_t)ret;
	ret = t->peek_offset ? set_peek_off(t, fl, off) : 0;
	if (ret < 0)
		goto rewind;
	tcp_syscall(t);
	got = recvmsg(fl->f.fd, &msg, MSG_PEEK | MSG_DONTWAIT);
	if (got < 0) {
		ret = socket_error();
		goto rewind;
	}
	if (fl->peek_off >= 0)
		fl->peek_off += (int32_t)got;
	n = (uint32_t)got > rd.skip ? (uint32_t)got - rd.skip : 0;
	/* A plain read of 0 is the end; behind the sink only the event can tell. */
	fl->rx_rdhup |= got == 0;
	if (!again)
		after_read(t, fl, &rd, n);
	if (!again && n)
		tcp_ack_answered(t, fl);
	fl->reads = (uint8_t)MIN(fl->reads + 1, UINT8_MAX);
	scratch_return(&t->iov);
	if (n)
		commit_read(t, fl, &rd, n);
	else
		t->st->port->rx_rewind(t->st->port_ctx);
	return (int)n;
rewind:
	scratch_return(&t->iov);
	if (rd.count)
		t->st->port->rx_rewind(t->st->port_ctx);
	return ret;
}

/**
 * tcp_rx_discard() - throw away what the guest has ACKed
 * @all:	do not wait for more; before the socket is closed, since bytes left
 *		in it would make the kernel reset the connection
 *
 * Few bytes may wait for company, but not the rest of what was discarded in part:
 * they may be the end of a segment of 64 KiB, which the kernel holds and counts
 * whole. Its window then stays shut, no event comes, and nothing moves again.
 *
 * Return: 0, or -errno when the socket is dead.
 */
int tcp_rx_discard(struct tcp *t, struct tcp_flow *fl, bool all)
{
	uint32_t end = fl->host_eof && seq_gt(fl->snd_una, fl->fin_seq) ? fl->fin_seq : fl->snd_una;
	uint32_t n = end - fl->sock_una;
	bool some = n >= LIMIT_TCP_DISCARD_SMALL || fl->reads >= LIMIT_TCP_DISCARD_READS;
	bool rest = fl->rx_behind && fl->snd_una == fl->snd_max;
	ssize_t ret;

	if (n == 0)
		return 0;
	if (!all && !rest && t->peek_offset && n < LIMIT_TCP_DISCARD_BYTES &&
	    !(some && n >= (fl->snd_max - fl->snd_una) / 4))
		return 0;
	do {
		tcp_syscall(t);
		ret = recv(fl->f.fd, NULL, n, MSG_TRUNC | MSG_DONTWAIT);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return tcp_passing(errno) ? 0 : -errno;
	fl->sock_una += (uint32_t)ret;
	fl->rx_behind = fl->rx_ready || fl->sock_una != fl->snd_max;
	fl->reads = 0;
	if (fl->peek_off >= 0)
		fl->peek_off = MAX(fl->peek_off - (int32_t)ret, 0);
	/* Urgent data stops a discard as well, and no event says that there is more. */
	return ret > 0 && (uint32_t)ret < n ? tcp_rx_discard(t, fl, true) : 0;
}

/* How far past snd_nxt the guest lets us send; 0 = not now. */
static uint32_t usable_window(const struct tcp *t, const struct tcp_flow *fl)
{
	uint32_t flight = fl->snd_nxt - fl->snd_una;
	uint32_t wnd = MIN(fl->snd_wnd, fl->cwnd);

	if (!t->peek_offset)
		wnd = MIN(wnd, LIMIT_TCP_INFLIGHT_NO_OFFSET);
	if (wnd <= flight)
		return 0;
	wnd -= flight;
	/* Silly window, RFC 9293 3.8.6.2.1: rather wait for an ACK than send a crumb. */
	if (flight && wnd < fl->mss && wnd < fl->max_wnd / 2)
		return 0;
	return wnd;
}

/* Our FIN where no payload carries it. */
static void send_fin(struct tcp *t, struct tcp_flow *fl)
{
	fl->closed_by_host |= !fl->guest_fin;
	tcp_send_control(t, fl, fl->fin_seq, TH_FIN);
	tcp_sent(t, fl, fl->fin_seq, fl->fin_seq + 1);
}

/* What is lost again, out of turn. 1 or -errno. */
static int resend_lost(struct tcp *t, struct tcp_flow *fl)
{
	uint32_t end = fl->host_eof && seq_gt(fl->snd_max, fl->fin_seq) ? fl->fin_seq : fl->snd_max;
	struct tcp_range lost;

	while (fl->retransmit && tcp_lost(fl, &lost)) {
		uint32_t limit = (seq_lt(lost.to, end) ? lost.to : end) - lost.from;
		int ret = 1;

		if (lost.from == end) {
			tcp_send_control(t, fl, fl->fin_seq, TH_FIN);
		} else {
			limit = MIN(limit,
				    fl->sacked.count ? LIMIT_TCP_RX_QUANTUM : frame_payload(t, fl));
			ret = read_and_send(t, fl, lost.from, limit, true);
		}
		if (ret <= 0)
			return ret < 0 ? ret : 1;
		fl->rtx_nxt = lost.from + (uint32_t)ret;
	}
	fl->retransmit = false;
	return 1;
}

/* One turn. Bytes sent, 0 when there is nothing to do now, or -errno. */
static int one_turn(struct tcp *t, struct tcp_flow *fl)
{
	uint32_t wnd, limit;
	int ret;

	if (fl->retransmit) {
		ret = resend_lost(t, fl);
		if (ret < 0)
			return ret;
	}
	if (!tcp_rx_wants(fl))
		return 0;
	wnd = usable_window(t, fl);
	if (wnd == 0) {
		/* Nothing in flight will bring an ACK: probe (RFC 9293 3.8.6.1). */
		if (fl->snd_nxt == fl->snd_una && !fl->rto_at)
			fl->rto_at = tcp_now(t) + fl->rto;
		return 0;
	}
	if (fl->host_eof && fl->snd_nxt == fl->fin_seq) {
		send_fin(t, fl);
		return 0;
	}
	limit = MIN(wnd, fl->rx_want);
	if (seq_lt(fl->snd_nxt, fl->snd_max)) {
		uint32_t end = fl->snd_max;

		if (fl->host_eof && seq_gt(end, fl->fin_seq))
			end = fl->fin_seq;
		return read_and_send(t, fl, fl->snd_nxt, MIN(limit, end - fl->snd_nxt), true);
	}
	ret = read_and_send(t, fl, fl->snd_nxt, limit, false);
	if (ret == 0 && fl->host_eof && fl->snd_nxt == fl->fin_seq)
		send_fin(t, fl);
	return ret;
}

/**
 * tcp_rx_flow() - one flow's turn at the guest's receive buffers
 *
 * Return: STEP_MORE when it would have more after the others, STEP_IDLE, or
 * STEP_GONE when the host's side turned out dead and the flow was reset.
 */
enum tcp_step tcp_rx_flow(struct tcp *t, struct tcp_flow *fl)
{
	int ret = tcp_rx_discard(t, fl, false);

	if (ret == 0)
		ret = one_turn(t, fl);
	if (ret > 0)
		return STEP_MORE;
	if (ret == 0)
		return STEP_IDLE;
	if (ret == -ENOBUFS || ret == -EMSGSIZE) {
		fl->rx_starved = true;
		if (dlist_empty(&fl->wait))
			dlist_push_tail(&t->starved, &fl->wait);
		return STEP_IDLE;
	}
	if (ret == -EAGAIN) {
		fl->rx_ready = false;
		return STEP_IDLE;
	}
	if (tcp_passing(-ret)) {
		fl->retry_at = tcp_now(t) + LIMIT_TCP_RETRY_NS;
		return STEP_IDLE;
	}
	tcp_host_failed(fl, -ret);
	tcp_abort(t, fl, true);
	return STEP_GONE;
}
