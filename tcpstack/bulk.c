/* SPDX-License-Identifier: MIT */
/*
 * Queues of guest payload: put, send, park, release.
 *
 * Theory of operation: in the good case a frame is put, sent and released
 * within one cycle, and its bytes are copied once, by the kernel. When the
 * socket is full the rest stays where it is, so nothing is copied for a short
 * stall either. Only what exceeds the bounds of held frames (a stalled flow
 * must not pin the guest's ring) moves to arena buffers, packed, and gives its
 * tokens back. A put that finds neither room refuses the frame whole; the guest
 * was not told that we have it and will send it again.
 */
#include "tcpstack/bulk.h"

#include "tcpstack/frame.h"
#include "tcpstack/limits.h"
#include "tcpstack/priv.h"

static struct bulk_seg *seg_of(struct dlist *n)
{
	return container_of(n, struct bulk_seg, node);
}

static void seg_free(struct bulk *b, struct bulk_queue *q, struct bulk_seg *seg)
{
	dlist_del(&seg->node);
	if (seg->buf) {
		pool_put(b->bufs, seg->buf);
	} else {
		q->frames--;
		b->frames--;
		b->st->port->tx_done(b->st->port_ctx, seg->token);
	}
	pool_put(b->segs, seg);
}

static void bytes_add(struct bulk *b, struct bulk_queue *q, uint32_t n)
{
	q->bytes += n;
	b->bytes += n;
}

static void bytes_sub(struct bulk *b, struct bulk_queue *q, uint32_t n)
{
	q->bytes -= n;
	b->bytes -= n;
}

/* Bytes that an arena segment, the last of the pending, can still take. */
static uint32_t tail_room(const struct bulk *b, const struct bulk_queue *q)
{
	const struct bulk_seg *seg;

	if (dlist_empty(&q->pending))
		return 0;
	seg = container_of(q->pending.prev, struct bulk_seg, node);
	return seg->buf ? pool_slot_size(b->bufs) - seg->len : 0;
}

/* An empty arena segment at the end of @after's list position, or NULL. */
static struct bulk_seg *arena_seg(struct bulk *b, struct dlist *head)
{
	struct bulk_seg *seg = pool_get(b->segs);

	if (!seg)
		return NULL;
	seg->buf = pool_get(b->bufs);
	if (!seg->buf) {
		pool_put(b->segs, seg);
		return NULL;
	}
	seg->len = seg->done = 0;
	seg->iovcnt = 1;
	seg->iov[0] = (struct iovec){ seg->buf, 0 };
	dlist_push_tail(head, &seg->node);
	return seg;
}

static void seg_grow(struct bulk_seg *seg, uint32_t len)
{
	seg->len += len;
	seg->iov[0].iov_len = seg->len;
}

/* Copy a frame's payload to the end of the queue. All of it or nothing. */
static bool put_copy(struct bulk *b, struct bulk_queue *q, const struct tx_frame *frame,
		     uint32_t off, uint32_t len)
{
	uint32_t room = MIN(tail_room(b, q), len);
	struct bulk_seg *tail = room ? seg_of(q->pending.prev) : NULL;

	DEBUG_BUG_ON(len > pool_slot_size(b->bufs));
	if (room < len) {
		struct bulk_seg *seg = arena_seg(b, &q->pending);

		if (!seg)
			return false;
		frame_copy(frame, off + room, seg->buf, len - room);
		seg_grow(seg, len - room);
	}
	if (tail) {
		frame_copy(frame, off, tail->buf + tail->len, room);
		seg_grow(tail, room);
	}
	bytes_add(b, q, len);
	return true;
}

/**
 * bulk_init() - what all queues of a stack share
 * @ops:	the engine
 * @segs, @bufs:	pools of struct bulk_seg and of arena buffers; borrowed
 * @iov:	scratch of iovecs; borrowed
 */
void bulk_init(struct bulk *b, struct stack *st, const struct bulk_ops *ops, struct pool *segs,
	       struct pool *bufs, struct scratch *iov)
{
	*b = (struct bulk){ .st = st, .ops = ops, .segs = segs, .bufs = bufs, .iov = iov };
}

/**
 * bulk_queue_init() - an empty queue
 */
void bulk_queue_init(struct bulk_queue *q)
{
	*q = (struct bulk_queue){ .bytes = 0 };
	dlist_init(&q->pending);
	dlist_init(&q->lent);
}

/**
 * bulk_put() - take payload of a frame to the end of the queue
 * @off, @len:	which bytes of the frame; @len > 0, no more than an arena buffer
 * @may_hold:	the frame may stay where it is until it is sent; else, or when it
 *		lies in too many pieces, its bytes are copied
 *
 * Return: BULK_HELD: the token is ours. BULK_COPIED, BULK_FULL: it is not.
 */
enum bulk_verdict bulk_put(struct bulk *b, struct bulk_queue *q, const struct tx_frame *frame,
			   uint32_t off, uint32_t len, bool may_hold)
{
	struct bulk_seg *seg = NULL;

	if (may_hold && pool_available(b->segs) > LIMIT_TCP_SEGMENTS_COPY)
		seg = pool_get(b->segs);
	if (seg) {
		seg->iovcnt = frame_iov(frame, off, len, seg->iov, BULK_SEG_IOV);
		if (seg->iovcnt) {
			seg->buf = NULL;
			seg->token = frame->token;
			seg->len = len;
			seg->done = 0;
			dlist_push_tail(&q->pending, &seg->node);
			q->frames++;
			b->frames++;
			bytes_add(b, q, len);
			return BULK_HELD;
		}
		pool_put(b->segs, seg);
	}
	return put_copy(b, q, frame, off, len) ? BULK_COPIED : BULK_FULL;
}

/* The socket accepted @n bytes more. */
static void accept_bytes(struct bulk *b, struct bulk_queue *q, uint32_t n)
{
	bytes_sub(b, q, n);
	while (n) {
		struct bulk_seg *seg = seg_of(q->pending.next);
		uint32_t take = MIN(n, seg->len - seg->done);

		seg->done += take;
		n -= take;
		if (seg->done == seg->len) {
			dlist_del(&seg->node);
			dlist_push_tail(&q->lent, &seg->node);
		}
	}
}

static void release(struct bulk *b, struct bulk_queue *q)
{
	uint32_t n = b->ops->reap ? b->ops->reap(b, q) : UINT32_MAX;

	while (n-- && !dlist_empty(&q->lent))
		seg_free(b, q, seg_of(q->lent.next));
}

/**
 * bulk_send() - one call of the engine
 * @offered:	receives how many bytes the socket was shown
 *
 * Tokens of what the engine has released go back to the port. Return: bytes
 * that the socket accepted, or -errno with the queue as it was.
 */
ssize_t bulk_send(struct bulk *b, struct bulk_queue *q, int fd, uint32_t *offered)
{
	ssize_t n = b->ops->send(b, fd, q, offered);

	if (n > 0) {
		accept_bytes(b, q, (uint32_t)n);
		release(b, q);
	}
	return n;
}

/* What @seg still has to send moves to the arena; its token goes back. */
static bool seg_to_arena(struct bulk *b, struct bulk_queue *q, struct bulk_seg *seg)
{
	uint32_t left = seg->len - seg->done;
	bool first = seg->node.prev == &q->pending;
	struct bulk_seg *prev = seg_of(seg->node.prev);

	if (!first && prev->buf && pool_slot_size(b->bufs) - prev->len >= left) {
		iov_read(seg->iov, seg->iovcnt, seg->done, prev->buf + prev->len, left);
		seg_grow(prev, left);
		seg_free(b, q, seg);
		return true;
	}
	prev = arena_seg(b, &seg->node); /* pushed before it: the list is circular */
	if (!prev)
		return false;
	iov_read(seg->iov, seg->iovcnt, seg->done, prev->buf, left);
	seg_grow(prev, left);
	seg_free(b, q, seg);
	return true;
}

/**
 * bulk_park() - the socket is full: hold no more frames than the bounds allow
 *
 * The first LIMIT_TCP_HELD_FLOW frames stay where they are, as far as
 * LIMIT_TCP_HELD_ALL of the whole stack permits; the others' bytes move to the
 * arena while it has room. What finds none stays held: nothing taken is dropped.
 */
void bulk_park(struct bulk *b, struct bulk_queue *q)
{
	struct dlist *n, *tmp;
	uint32_t kept = 0;

	dlist_for_each_safe (n, tmp, &q->pending) {
		struct bulk_seg *seg = seg_of(n);

		if (seg->buf)
			continue;
		if (kept < LIMIT_TCP_HELD_FLOW && b->frames <= LIMIT_TCP_HELD_ALL) {
			kept++;
			continue;
		}
		if (!seg_to_arena(b, q, seg))
			break;
	}
}

/**
 * bulk_clear() - drop all; the tokens go back to the port
 *
 * For a flow that ends. The engine must no longer refer to the memory.
 */
void bulk_clear(struct bulk *b, struct bulk_queue *q)
{
	bytes_sub(b, q, q->bytes);
	while (!dlist_empty(&q->lent))
		seg_free(b, q, seg_of(q->lent.next));
	while (!dlist_empty(&q->pending))
		seg_free(b, q, seg_of(q->pending.next));
}

/**
 * bulk_drop_frames() - the port goes, and with it all that lies in its frames
 *
 * From the first byte that is lost on, everything is dropped, for what follows
 * a hole cannot be sent. The tokens go back to the port.
 *
 * Return: bytes at the end of the queue that are no longer there.
 */
uint32_t bulk_drop_frames(struct bulk *b, struct bulk_queue *q)
{
	uint32_t before = q->bytes;
	struct dlist *n, *tmp;
	bool lost = false;

	while (!dlist_empty(&q->lent))
		seg_free(b, q, seg_of(q->lent.next));
	dlist_for_each_safe (n, tmp, &q->pending) {
		struct bulk_seg *seg = seg_of(n);

		lost |= !seg->buf;
		if (!lost)
			continue;
		bytes_sub(b, q, seg->len - seg->done);
		seg_free(b, q, seg);
	}
	return before - q->bytes;
}
