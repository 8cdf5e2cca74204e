/* SPDX-License-Identifier: MIT */
/*
 * UDP to the guest: sockets receive straight into the guest's buffers.
 *
 * Theory of operation
 * -------------------
 * For a batch, frames are allocated from the port, one for each datagram that
 * may come, and one recvmmsg() fills them behind the space for their headers.
 * The length of a datagram is known only once it is there, so each frame is
 * allocated for what the flow has shown to send, and each message has a second
 * place to go to: a private stage buffer behind the frame's room. A datagram
 * that overflows into it, and those after it in the batch, go the slow way
 * through out_udp(), which also fragments what exceeds the guest's MTU; the
 * flow's hint then grows, so that this happens once and not each time.
 *
 * When the ring has no room, nothing is received: datagrams wait in the socket,
 * whose buffer is the bound, and the flow waits on the ready list. A refill of
 * the ring runs the list again (H14). When the host has no memory for the call, it
 * waits there as well, and the worker looks again after LIMIT_UDP_RETRY_NS. A batch
 * that came back short has emptied the socket: the next arrival is a new edge.
 *
 * A peer that sends bursts costs less where the guest takes frames to be segmented
 * (GUEST_USO4/6): the kernel is asked to put datagrams together (UDP_GRO), and what it
 * gives as one goes to the guest as one. Only sockets that give many at a time are
 * asked, for it costs a call and larger frames. Where that does not fit (another driver
 * came, a segment exceeds the MTU), what came as one is taken apart.
 *
 * A forward's socket is read the same way. Its datagrams are of many flows, and
 * which one it is of is known for each once it has come; one that no flow will
 * have is left out, and what stands behind it goes the slow way.
 */
#include <errno.h>
#include <linux/udp.h>

#include "src/base/bytes.h"
#include "tcpstack/forward_priv.h"

/* Batches of short datagrams after which frames are allocated for less. */
#define RX_SMALL_MAX 32

enum rx_result { RX_DRAINED, RX_MORE, RX_STARVED, RX_LATER };

/**
 * struct source - a socket to read
 * @flow, @forward:	whose it is: one of them is NULL
 */
struct source {
	struct udp_flow *flow;
	struct forward *forward;
	struct udp_rx *rx;
	int fd;
	bool v4;
};

/**
 * udp_rx_init() - a new socket, which nothing is known of
 */
void udp_rx_init(struct udp_rx *rx)
{
	*rx = (struct udp_rx){ .hint = UDP_HINT_FIRST, .batch = UDP_BATCH_FIRST };
}

/* The longest payload of a datagram that needs no fragments. */
static uint32_t payload_max(const struct stack *st, uint32_t hlen)
{
	uint32_t frame_max = MIN((uint32_t)ETH_HLEN + st->cfg.mtu, st->caps.rx_frame_max);

	return frame_max > hlen ? frame_max - hlen : 0;
}

/* The longest payload of a frame to be segmented. */
static uint32_t super_max(const struct stack *st, bool v4)
{
	uint32_t hlen = (v4 ? IP4_HLEN : 0) + UDP_HLEN, frame_hlen = ETH_HLEN + IP6_HLEN + UDP_HLEN;

	return MIN((uint32_t)UINT16_MAX - hlen,
		   MIN((uint32_t)PORT_FRAME_MAX, st->caps.rx_frame_max) - frame_hlen);
}

/* Does the guest take frames to be segmented? */
static bool takes_super(const struct stack *st, bool v4)
{
	return v4 ? st->caps.rx_uso4 : st->caps.rx_uso6;
}

/*
 * Set up message @i: payload into frame @i (if it has one) and then into stage
 * @i. Return: entries of @iov that were used.
 */
static uint32_t prepare_message(struct udp *u, const struct source *src, uint32_t i,
				struct iovec *iov, uint32_t iov_max)
{
	struct udp_batch *b = &u->batch;
	uint32_t n = 0;

	if (b->room[i])
		n = iov_slice(b->frame[i].iov, b->frame[i].iovcnt, b->hlen, b->room[i], iov,
			      iov_max - 1);
	if (n == 0)
		b->room[i] = 0; /* scattered beyond what a message takes: stage it all */
	iov[n] = (struct iovec){ u->stage[i], UDP_STAGE_BYTES };
	b->msg[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = iov, .msg_iovlen = n + 1 } };
	if (src->forward) {
		b->msg[i].msg_hdr.msg_name = &b->sender[i].from;
		b->msg[i].msg_hdr.msg_namelen = sizeof(b->sender[i].from);
	}
	if (src->forward || src->rx->gro) {
		b->msg[i].msg_hdr.msg_control = b->sender[i].space;
		b->msg[i].msg_hdr.msg_controllen = sizeof(b->sender[i].space);
	}
	return n + 1;
}

/*
 * Allocate up to the socket's batch of frames. Return: messages prepared, 0 when
 * the ring has no room for even one.
 */
static uint32_t prepare_batch(struct stack *st, const struct source *src)
{
	struct udp_batch *b = &st->udp->batch;
	uint32_t payload, most, i, used = 0;

	b->hlen = ETH_HLEN + (src->v4 ? IP4_HLEN : IP6_HLEN) + UDP_HLEN;
	payload = MIN(src->rx->hint, src->rx->gro && takes_super(st, src->v4)
					     ? super_max(st, src->v4)
					     : payload_max(st, b->hlen));
	most = MIN(src->rx->batch, MAX(LIMIT_UDP_BATCH_BYTES / MAX(payload, 1U), 1U));
	b->frames = 0;
	for (i = 0; i < most && used + 1 < IOV_MAX; i++) {
		int rc = stack_rx_alloc(st, b->hlen + payload, &b->frame[i]);

		/* What can never fit is taken off the socket, for out_udp() to count. */
		if (rc && (rc != -EMSGSIZE || i > 0))
			break;
		b->frames += rc == 0;
		b->room[i] = rc == 0 ? payload : 0;
		used += prepare_message(st->udp, src, i, st->udp->iov + used, IOV_MAX - used);
		if (rc)
			return 1;
	}
	return i;
}

/* Headers into frame @i, which holds @len bytes of payload, and off it goes. */
static void commit(struct stack *st, const struct flow *f, uint32_t i, uint32_t len)
{
	struct udp_batch *b = &st->udp->batch;
	uint32_t segment = b->segment[i];
	struct rx_frame *frame = &b->frame[i];
	uint8_t headers[OUT_HEADERS_MAX];
	uint32_t l4_len = UDP_HLEN + len;
	struct l3_spec l3 = {
		.src = f->key.remote.addr,
		.dst = f->key.guest.addr,
		.proto = PROTO_UDP,
		.dont_fragment = true,
	};
	uint32_t l4 = out_l3(st, headers, &l3, l4_len);
	uint8_t *udp = headers + l4;
	struct offload off = { 0 };

	put_be16(udp, f->key.remote.port);
	put_be16(udp + 2, f->key.guest.port);
	put_be16(udp + 4, (uint16_t)l4_len);
	if (st->caps.rx_csum) {
		put_be16(udp + 6, csum_partial(&l3.src, &l3.dst, PROTO_UDP, l4_len));
		off.needs_csum = true;
		off.csum_start = (uint16_t)l4;
		off.csum_offset = 6;
		if (len > segment) {
			off.gso = GSO_UDP_L4;
			off.gso_size = (uint16_t)segment;
		}
	} else {
		uint32_t sum = csum_pseudo(&l3.src, &l3.dst, PROTO_UDP, l4_len);
		uint16_t csum;

		put_be16(udp + 6, 0);
		sum = csum_add(sum, udp, UDP_HLEN);
		csum = csum_fold(csum_add_iov(sum, frame->iov, frame->iovcnt, b->hlen, len));
		put_be16(udp + 6, csum ? csum : 0xffff);
	}
	iov_write(frame->iov, frame->iovcnt, 0, headers, b->hlen);
	counter_inc(&st->n.rx_frames);
	counter_add(&st->n.rx_bytes, b->hlen + len);
	stack_rx_commit(st, frame, b->hlen + len, &off);
}

/* Make message @i whole in its stage buffer. */
static void gather(struct udp *u, uint32_t i, uint32_t len)
{
	struct udp_batch *b = &u->batch;
	uint32_t room = b->room[i];

	if (len > room)
		memmove(u->stage[i] + room, u->stage[i], len - room);
	if (room)
		iov_read(b->frame[i].iov, b->frame[i].iovcnt, b->hlen, u->stage[i], MIN(room, len));
}

/* Up at once, so that an overflow happens once; down slowly, so that it is not soon repeated. */
static void adapt_hint(struct udp_rx *rx, uint32_t longest)
{
	if (longest > rx->hint / 2) {
		rx->hint = MAX(rx->hint, longest);
		rx->small = 0;
	} else if (++rx->small == RX_SMALL_MAX) {
		rx->hint = MAX(rx->hint / 2, (uint32_t)UDP_HINT_FIRST);
		rx->small = 0;
	}
}

/* Whose message @i is; NULL: nobody's, and counted. */
static struct udp_flow *flow_of(struct stack *st, const struct source *src, uint32_t i)
{
	struct udp_batch *b = &st->udp->batch;

	return src->flow ? src->flow : udp_forward_flow(st, src->forward, &b->msg[i].msg_hdr);
}

static void count(struct stack *st, struct udp_flow *uf, uint32_t i)
{
	const struct udp_batch *b = &st->udp->batch;

	uf->d.flow.rx_bytes += b->msg[i].msg_len;
	counter_add(&st->n.udp_rx, udp_datagrams(b->msg[i].msg_len, b->segment[i]));
}

/* How long the datagrams are that the kernel gave as one; as long as all, if it is one. */
static uint32_t segment_of(const struct mmsghdr *m)
{
	struct msghdr *msg = (struct msghdr *)(uintptr_t)&m->msg_hdr;
	int size;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&size, CMSG_DATA(c), sizeof(size));
		if (size > 0)
			return MIN((uint32_t)size, m->msg_len);
	}
	return m->msg_len;
}

/* Can message @i go to the guest as it came into its frame? */
static bool fits(const struct stack *st, const struct source *src, uint32_t i)
{
	const struct udp_batch *b = &st->udp->batch;

	return i < b->frames && b->msg[i].msg_len <= b->room[i] &&
	       b->segment[i] <= payload_max(st, b->hlen) &&
	       (b->msg[i].msg_len <= b->segment[i] || takes_super(st, src->v4));
}

/* What is in stage buffer @i, a datagram at a time. */
static void send_staged(struct stack *st, const struct udp_flow *uf, uint32_t i)
{
	const struct udp_batch *b = &st->udp->batch;
	const struct flow_key *key = &uf->d.flow.key;
	uint32_t len = b->msg[i].msg_len, segment = b->segment[i], at = 0;

	do {
		out_udp(st, &key->remote, &key->guest, st->udp->stage[i] + at,
			MIN(segment, len - at));
		at += segment;
	} while (at < len);
}

/*
 * What has come into the frames, in order, as far as that goes. Return: how many
 * of the @got messages are done with; @unwanted, unless it is @got, is one of the
 * others that no flow will have.
 */
static uint32_t deliver_frames(struct stack *st, const struct source *src, uint32_t got,
			       uint32_t *unwanted)
{
	struct udp_batch *b = &st->udp->batch;
	uint32_t i;

	*unwanted = got;
	for (i = 0; i < got && fits(st, src, i); i++) {
		struct udp_flow *uf = flow_of(st, src, i);

		if (!uf) {
			*unwanted = i;
			break;
		}
		commit(st, &uf->d.flow, i, b->msg[i].msg_len);
		count(st, uf, i);
	}
	return i;
}

/* Hand over the @got datagrams that have come. */
static void deliver(struct stack *st, const struct source *src, uint32_t got)
{
	struct udp *u = st->udp;
	struct udp_batch *b = &u->batch;
	uint32_t unwanted, staged, longest = 0;

	for (uint32_t i = 0; i < got; i++)
		b->segment[i] = segment_of(&b->msg[i]);
	staged = deliver_frames(st, src, got, &unwanted);
	/* Frames behind an overflow are lost with the rewind: save what is in them. */
	for (uint32_t i = staged; i < got; i++)
		gather(u, i, b->msg[i].msg_len);
	if (b->frames > staged)
		st->port->rx_rewind(st->port_ctx);
	for (uint32_t i = staged; i < got; i++) {
		struct udp_flow *uf = i == unwanted ? NULL : flow_of(st, src, i);

		if (!uf)
			continue;
		send_staged(st, uf, i);
		count(st, uf, i);
	}
	for (uint32_t i = 0; i < got; i++)
		longest = MAX(longest, (uint32_t)b->msg[i].msg_len);
	adapt_hint(src->rx, longest);
}

static enum rx_result receive_failed(struct stack *st, const struct source *src, int err)
{
	uint8_t code;

	if (err == EINTR)
		return RX_MORE;
	/* The datagrams are still there, and no event will say so. */
	if (err == ENOMEM || err == ENOBUFS) {
		loop_wake_by(st->loop, stack_now(st) + LIMIT_UDP_RETRY_NS);
		return RX_LATER;
	}
	/* A forward's socket is nobody's: no error is kept on it. */
	if (!src->flow)
		return RX_DRAINED;
	/* The error is taken off; datagrams may stand behind it. */
	if (err != EAGAIN && dgram_take_errors(&st->udp->d, &src->flow->d) > 0)
		return RX_MORE;
	if (dgram_unreachable_code(err, &code)) {
		dgram_report_unreachable(&st->udp->d, &src->flow->d, code);
		return RX_MORE;
	}
	return RX_DRAINED;
}

/* A socket that gives many at a time is asked to give them as one. */
static void want_super(struct stack *st, const struct source *src)
{
	int one = 1;

	if (src->rx->gro || src->rx->batch < LIMIT_UDP_GRO_BATCH || !takes_super(st, src->v4))
		return;
	counter_inc(&st->n.syscalls);
	/* A kernel without it goes on as before, and is not asked again. */
	setsockopt(src->fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one));
	src->rx->gro = true;
}

/* One batch. */
static enum rx_result receive(struct stack *st, const struct source *src)
{
	struct udp *u = st->udp;
	struct udp_rx *rx = src->rx;
	uint32_t want;
	int got;

	want = prepare_batch(st, src);
	if (want == 0) {
		st->rx_starved = true;
		return RX_STARVED;
	}
	counter_inc(&st->n.syscalls);
	got = recvmmsg(src->fd, u->batch.msg, want, MSG_DONTWAIT, NULL);
	if (got <= 0) {
		int err = errno;

		if (u->batch.frames)
			st->port->rx_rewind(st->port_ctx);
		return got < 0 ? receive_failed(st, src, err) : RX_DRAINED;
	}
	deliver(st, src, (uint32_t)got);
	if (src->flow) {
		src->flow->answered = true;
		flow_touch(&u->d.flows, &src->flow->d.flow, stack_now(st));
	}
	if ((uint32_t)got < want) {
		rx->batch = MAX((uint32_t)got + 1, (uint32_t)UDP_BATCH_FIRST);
		return RX_DRAINED;
	}
	rx->batch = MIN(2 * rx->batch, (uint32_t)LIMIT_UDP_BATCH);
	want_super(st, src);
	return RX_MORE;
}

static enum rx_result receive_flow(struct stack *st, struct udp_flow *uf)
{
	const struct source src = { .flow = uf,
				    .rx = &uf->rx,
				    .fd = uf->d.flow.fd,
				    .v4 = ipaddr_is_v4(&uf->d.flow.key.remote.addr) };

	if (uf->d.errors)
		dgram_take_errors(&st->udp->d, &uf->d);
	return receive(st, &src);
}

static enum rx_result receive_forward(struct stack *st, struct forward *f)
{
	const struct source src = {
		.forward = f, .rx = &f->rx, .fd = f->fd, .v4 = ipaddr_is_v4(&f->info.bind.addr)
	};

	return receive(st, &src);
}

static void run_flows(struct stack *st)
{
	struct dlist *ready = &st->udp->d.ready;

	for (uint32_t taken = 0; st->port && !st->rx_starved && !dlist_empty(ready);) {
		struct dgram_flow *df = container_of(ready->next, struct dgram_flow, ready);
		enum rx_result result;

		if (taken >= LIMIT_UDP_PER_CYCLE) {
			dgram_wake_again(&st->udp->d, df);
			return;
		}
		taken += udp_flow_of(df)->rx.batch;
		result = receive_flow(st, udp_flow_of(df));
		if (result == RX_STARVED || result == RX_LATER)
			return;
		dlist_del(&df->ready);
		if (result == RX_MORE)
			dlist_push_tail(ready, &df->ready);
	}
}

static void run_forwards(struct stack *st)
{
	struct dlist *ready = &st->udp->forwards;

	for (uint32_t taken = 0; st->port && !st->rx_starved && !dlist_empty(ready);) {
		struct forward *f = container_of(ready->next, struct forward, ready);
		enum rx_result result;

		if (taken >= LIMIT_UDP_PER_CYCLE) {
			forward_wake_again(st, f);
			return;
		}
		taken += f->rx.batch;
		result = receive_forward(st, f);
		if (result == RX_STARVED || result == RX_LATER)
			return;
		dlist_del(&f->ready);
		if (result == RX_MORE)
			dlist_push_tail(ready, &f->ready);
	}
}

/**
 * udp_run() - receive what flows and forwards have, as far as the ring goes
 *
 * A batch from each socket in turn. Network worker, once a cycle.
 */
void udp_run(struct stack *st)
{
	struct udp *u = st->udp;

	/* In turn, so that a ring with little room serves both kinds. */
	u->forwards_first = !u->forwards_first;
	if (u->forwards_first)
		run_forwards(st);
	run_flows(st);
	if (!u->forwards_first)
		run_forwards(st);
}

/**
 * udp_rx_refilled() - the guest has added buffers: flows that waited go on
 */
void udp_rx_refilled(struct stack *st)
{
	udp_run(st);
}
