/* SPDX-License-Identifier: MIT */
/*
 * Frames into the ring of a capture.
 *
 * Theory of operation: the filter sees a private copy of the frame's first bytes;
 * what it picks is copied once more, up to the snap length, from where it lies. A
 * frame of the guest is looked at before it is served, and one to the guest before
 * it is committed, so that the order is the one on the wire; the SYN of a flow
 * that it opens therefore carries no name of it yet.
 */
#include "tcpstack/capture.h"

#include "tcpstack/limits.h"
#include "tcpstack/priv.h"

static_assert(sizeof(struct capture_record) + CAPTURE_SNAPLEN_MAX < LIMIT_CAPTURE_RING_BYTES / 4,
	      "any frame fits");

/* The flow of a frame with these ends, if there is one. */
static void find_flow(struct stack *st, bool to_guest, const uint8_t *head, uint32_t len,
		      struct capture_key *k)
{
	struct flow_key key;
	struct flow *f;
	enum flow_proto proto;
	uint32_t id_at;

	memset(&key, 0, sizeof(key));
	key.guest = to_guest ? k->dst : k->src;
	key.remote = to_guest ? k->src : k->dst;
	switch (k->proto) {
	case PROTO_TCP:
		proto = FLOW_TCP;
		break;
	case PROTO_UDP:
		proto = FLOW_UDP;
		break;
	case PROTO_ICMP:
	case PROTO_ICMP6:
		/* Of an echo without IP options: its identifier is the guest's port. */
		id_at = ETH_HLEN + (k->proto == PROTO_ICMP ? IP4_HLEN : IP6_HLEN) + 4;
		if (len < id_at + 2)
			return;
		key.guest.port = get_be16(head + id_at);
		proto = FLOW_PING;
		break;
	default:
		return;
	}
	f = flow_find(stack_flow_table(st, proto), &key);
	if (!f)
		return;
	k->has_flow = true;
	k->flow_proto = (uint8_t)proto;
	k->flow = f->id;
}

/* The frame of @len bytes in @iov, whose first @head_len bytes are in @head too. */
static void capture(struct stack *st, bool to_guest, const uint8_t *head, uint32_t head_len,
		    const struct iovec *iov, uint32_t iovcnt, uint32_t len)
{
	struct capture *c = st->capture;
	uint32_t keep = MIN(len, c->snaplen), copied;
	struct capture_record *r;
	struct capture_key k;

	counter_inc(&c->seen);
	capture_key_of(head, head_len, &k);
	k.to_guest = to_guest;
	find_flow(st, to_guest, head, head_len, &k);
	if (!capture_filter_match(&c->filter, &k))
		return;
	counter_inc(&c->matched);
	r = spsc_reserve(&c->ring, (uint32_t)sizeof(*r) + keep);
	if (!r)
		return;
	*r = (struct capture_record){ .time_ns = stack_now(st),
				      .lost = counter_get(&c->ring.lost),
				      .orig_len = len,
				      .len = keep,
				      .to_guest = to_guest,
				      .has_flow = k.has_flow,
				      .flow_proto = k.flow_proto,
				      .flow = k.flow };
	copied = MIN(keep, head_len);
	memcpy(r->data, head, copied);
	if (keep > copied)
		iov_read(iov, iovcnt, copied, r->data + copied, keep - copied);
	spsc_commit(&c->ring);
}

/**
 * stack_set_capture() - begin, or with NULL end, to copy frames
 * @c:		stays the caller's, until it is exchanged again
 *
 * The worker, between two parts of a cycle. Return: the one before
 */
struct capture *stack_set_capture(struct stack *st, struct capture *c)
{
	struct capture *old = st->capture;

	st->capture = c;
	return old;
}

/**
 * capture_tx() - a frame from the guest, while there is a capture
 */
void capture_tx(struct stack *st, const struct tx_frame *frame)
{
	if (atomic_load_explicit(&st->capture->enough, memory_order_relaxed))
		return;
	capture(st, false, frame->head, frame->head_len, frame->iov, frame->iovcnt, frame->len);
}

/**
 * capture_rx() - a frame of @len bytes to the guest, about to be committed
 */
void capture_rx(struct stack *st, const struct rx_frame *frame, uint32_t len)
{
	uint8_t head[PORT_HEAD_MAX];
	uint32_t n = MIN(len, (uint32_t)sizeof(head));

	if (atomic_load_explicit(&st->capture->enough, memory_order_relaxed))
		return;
	iov_read(frame->iov, frame->iovcnt, 0, head, n);
	capture(st, true, head, n, frame->iov, frame->iovcnt, len);
}
