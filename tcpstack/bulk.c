/* SPDX-License-Identifier: MIT */
/*
 * Queues of guest payload: put, send, park, release.
 *
 * Theory of operation: in the good case a frame is put, sent and released
 * within one cycle, and its bytes are copied once, by the kernel. When the
 * socket is full the rest stays where it is, so nothing is copied for a short
 * stall either. What exceeds the bounds of held frames (a stalled flow must not
 * pin the guest's ring), and all of it when the stall lasts, moves to arena
 * buffers, packed, and gives its tokens back. A put that finds neither room refuses the frame
 * whole; the guest was not told that we have it and will send it again.
 */
#include "tcpstack/bulk.h"

#include <errno.h>

#include "tcpstack/frame.h"
#include "tcpstack/limits.h"
#include "tcpstack/priv.h"

/**
 * bulk_seg_free() - a segment's end; its token goes back to the port
 *
 * It is in no queue any more; perhaps in a loan's list.
 */
void bulk_seg_free(struct bulk *b, struct bulk_seg *seg)
{
	dlist_del(&seg->node);
	if (seg->buf)
		pool_put(b->bufs, seg->buf);
	else
		b->st->port->tx_done(b->st->port_ctx, seg->token);
	pool_put(b->segs, seg);
}

static void pending_del(struct bulk *b, struct bulk_queue *q, struct bulk_seg *seg)
{
	dlist_del(&seg->node);
	q->segs--;
	q->frames -= !seg->buf;
	q->descs -= seg->descs;
	b->frames -= !seg->buf;
	b->descs -= seg->descs;
}

static void pending_free(struct bulk *b, struct bulk_queue *q, struct bulk_seg *seg)
{
	pending_del(b, q, seg);
	bulk_seg_free(b, seg);
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

/* An empty arena segment of @q before @at (the list's head: at its end), or NULL. */
static struct bulk_seg *arena_seg(struct bulk *b, struct bulk_queue *q, struct dlist *at,
				  uint64_t came_ns)
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
	seg->descs = 0;
	seg->mark = 0;
	seg->came_ns = came_ns;
	seg->iovcnt = 1;
	seg->iov[0] = (struct iovec){ seg->buf, 0 };
	dlist_push_tail(at, &seg->node);
	q->segs++;
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
	struct bulk_seg *tail = room ? bulk_seg_of(q->pending.prev) : NULL;

	DEBUG_BUG_ON(len > pool_slot_size(b->bufs));
	if (room < len) {
		struct bulk_seg *seg = arena_seg(b, q, &q->pending, stack_now(b->st));

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
 * @segs, @bufs, @loans:	pools of struct bulk_seg, of arena buffers, and of
 *		struct bulk_loan; borrowed
 * @iov:	scratch of iovecs; borrowed
 *
 * There is one engine, that which copies; bulk_engines_init() adds the others.
 */
void bulk_init(struct bulk *b, struct stack *st, struct pool *segs, struct pool *bufs,
	       struct pool *loans, struct scratch *iov)
{
	*b = (struct bulk){ .st = st, .segs = segs, .bufs = bufs, .loans = loans, .iov = iov };
	b->engines[BULK_COPY] = &bulk_copy;
	for (int e = 0; e < BULK_ENGINES; e++)
		bulk_trial_init(&b->trial[e]);
	dlist_init(&b->lending);
	dlist_init(&b->idle);
}

/**
 * bulk_queue_init() - an empty queue
 */
void bulk_queue_init(struct bulk_queue *q)
{
	*q = (struct bulk_queue){ .bytes = 0 };
	dlist_init(&q->pending);
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
			seg->descs = frame->descs;
			seg->mark = 0;
			seg->came_ns = stack_now(b->st);
			dlist_push_tail(&q->pending, &seg->node);
			q->segs++;
			q->frames++;
			q->descs += seg->descs;
			b->frames++;
			b->descs += seg->descs;
			bytes_add(b, q, len);
			return BULK_HELD;
		}
		pool_put(b->segs, seg);
	}
	return put_copy(b, q, frame, off, len) ? BULK_COPIED : BULK_FULL;
}

/**
 * bulk_gather() - the pending bytes, from the first on
 * @iov, @max:	out
 * @max_bytes:	no more than so many
 * @bytes:	out: how many they are
 *
 * Return: entries of @iov
 */
uint32_t bulk_gather(const struct bulk_queue *q, struct iovec *iov, uint32_t max,
		     uint32_t max_bytes, uint32_t *bytes)
{
	struct dlist *it;
	uint32_t n = 0, left = max_bytes;

	dlist_for_each (it, &q->pending) {
		const struct bulk_seg *seg = bulk_seg_of(it);
		size_t skip = seg->done;

		for (uint32_t i = 0; i < seg->iovcnt && n < max && left; i++) {
			size_t have = seg->iov[i].iov_len;

			if (skip >= have) {
				skip -= have;
				continue;
			}
			iov[n].iov_base = (uint8_t *)seg->iov[i].iov_base + skip;
			iov[n].iov_len = MIN(have - skip, (size_t)left);
			left -= (uint32_t)iov[n].iov_len;
			skip = 0;
			n++;
		}
		if (n == max || !left)
			break;
	}
	*bytes = max_bytes - left;
	return n;
}

/* The socket accepted @n bytes more; with @ln it refers to them. */
static void accept_bytes(struct bulk *b, struct bulk_queue *q, uint32_t n, struct bulk_loan *ln)
{
	bytes_sub(b, q, n);
	while (n) {
		struct bulk_seg *seg = bulk_seg_of(q->pending.next);
		uint32_t take = MIN(n, seg->len - seg->done);

		seg->done += take;
		n -= take;
		q->sent += take;
		if (ln) {
			seg->mark = q->sent;
			bulk_lending(b, ln, seg);
		}
		if (seg->done < seg->len)
			break;
		if (seg->mark) {
			pending_del(b, q, seg);
			bulk_lend(b, q->loan, seg);
		} else {
			pending_free(b, q, seg);
		}
	}
	if (q->loan)
		q->loan->sent = q->sent;
}

/**
 * bulk_send() - one call of the engine that suits the batch
 * @offered:	receives how many bytes the socket was shown
 *
 * Tokens of what is released go back to the port. Return: bytes that the socket
 * accepted, or -errno with the queue as it was. -EAGAIN with q->waiting: nothing
 * was tried; on_room() will say when to.
 */
ssize_t bulk_send(struct bulk *b, struct bulk_queue *q, int fd, uint32_t *offered)
{
	const struct bulk_ops *ops = bulk_pick(b, q, fd);
	uint64_t came_ns;
	ssize_t n;

	q->waiting = !ops;
	if (!ops)
		return -EAGAIN;
	n = ops->send(b, fd, q, offered);
	if ((n == -EOPNOTSUPP || n == -ENOBUFS) && ops->reap) {
		if (n == -EOPNOTSUPP)
			q->allowed = 0;
		ops = b->engines[BULK_COPY];
		n = ops->send(b, fd, q, offered);
	}
	if (n <= 0)
		return n;
	came_ns = bulk_seg_of(q->pending.next)->came_ns;
	hist_add(&b->st->n.ring_to_socket_ns, stack_now(b->st) - came_ns);
	counter_add((struct counter *)((char *)&b->st->n + ops->bytes), (uint64_t)n);
	if (b->judged)
		bulk_trial_sent(b->judged, (uint32_t)n);
	if (ops->reap)
		q->by_ref += (uint64_t)n;
	accept_bytes(b, q, (uint32_t)n, ops->reap ? q->loan : NULL);
	return n;
}

/* The rest of @seg is elsewhere. Of what it has sent, something may be lent. */
static void seg_cut(struct bulk *b, struct bulk_queue *q, struct bulk_seg *seg)
{
	if (!seg->mark) {
		pending_free(b, q, seg);
		return;
	}
	seg->len = seg->done;
	pending_del(b, q, seg);
	bulk_lend(b, q->loan, seg);
}

/* What @seg still has to send moves to the arena; its token goes back. */
static bool seg_to_arena(struct bulk *b, struct bulk_queue *q, struct bulk_seg *seg)
{
	uint32_t left = seg->len - seg->done;
	bool first = seg->node.prev == &q->pending;
	struct bulk_seg *prev = bulk_seg_of(seg->node.prev);

	if (!first && prev->buf && pool_slot_size(b->bufs) - prev->len >= left) {
		iov_read(seg->iov, seg->iovcnt, seg->done, prev->buf + prev->len, left);
		seg_grow(prev, left);
		seg_cut(b, q, seg);
		return true;
	}
	/* Pushed before it: the list is circular. */
	prev = arena_seg(b, q, &seg->node, seg->came_ns);
	if (!prev)
		return false;
	iov_read(seg->iov, seg->iovcnt, seg->done, prev->buf, left);
	seg_grow(prev, left);
	seg_cut(b, q, seg);
	return true;
}

/**
 * bulk_may_keep() - may @descs more of the ring's descriptors be held across cycles?
 *
 * A stalled host must not take the ring away from the guest's other flows (H72).
 */
bool bulk_may_keep(const struct bulk *b, uint32_t descs)
{
	return b->descs + descs <= MIN(LIMIT_TCP_HELD_ALL, b->st->caps.tx_ring / 4);
}

/* Frames behind the first @keep move to the arena while it has room. */
static void keep_frames(struct bulk *b, struct bulk_queue *q, uint32_t keep)
{
	struct dlist *n, *tmp;
	uint32_t kept = 0;

	dlist_for_each_safe (n, tmp, &q->pending) {
		struct bulk_seg *seg = bulk_seg_of(n);

		if (seg->buf)
			continue;
		if (kept < keep && bulk_may_keep(b, 0)) {
			kept++;
			continue;
		}
		if (!seg_to_arena(b, q, seg))
			break;
	}
}

/**
 * bulk_park() - the socket is full: hold no more frames than the bounds allow
 *
 * The first LIMIT_TCP_HELD_FLOW frames stay where they are, as far as
 * bulk_may_keep() permits for the whole stack; the others' bytes move to the
 * arena while it has room. What finds none stays held: nothing taken is dropped.
 */
void bulk_park(struct bulk *b, struct bulk_queue *q)
{
	keep_frames(b, q, LIMIT_TCP_HELD_FLOW);
}

/**
 * bulk_own() - the socket stays full: hold no frame, as far as the arena has room
 */
void bulk_own(struct bulk *b, struct bulk_queue *q)
{
	keep_frames(b, q, 0);
}

/**
 * bulk_held_bytes() - pending bytes that the guest may still have to send again
 *
 * From the first that lies in a frame of the guest to the end of the queue. What
 * is before it lies in our memory and can be ACKed: it will not get lost.
 */
uint32_t bulk_held_bytes(const struct bulk_queue *q)
{
	uint32_t left = q->bytes;
	struct dlist *n;

	if (q->frames == 0)
		return 0;
	dlist_for_each (n, &q->pending) {
		const struct bulk_seg *seg = bulk_seg_of(n);

		if (!seg->buf)
			break;
		left -= seg->len - seg->done;
	}
	return left;
}

/**
 * bulk_fin_sent() - the socket's sending side has been shut down
 */
void bulk_fin_sent(struct bulk_queue *q)
{
	q->fin = true;
	if (q->loan)
		q->loan->fin = true;
}

/**
 * bulk_end() - the flow ends: what the socket has not accepted is dropped
 * @fd:		the socket, or -1
 *
 * Tokens go back to the port, but for those of what is lent. Return: true when
 * something is, and @fd was taken over: it is closed when nothing is lent any
 * more. Else it is still the caller's.
 */
bool bulk_end(struct bulk *b, struct bulk_queue *q, int fd)
{
	bytes_sub(b, q, q->bytes);
	while (!dlist_empty(&q->pending))
		seg_cut(b, q, bulk_seg_of(q->pending.next));
	return bulk_loan_end(b, q, fd);
}

/**
 * bulk_drop_frames() - the port goes, and with it all that lies in its frames
 *
 * From the first byte that is lost on, everything is dropped, for what follows
 * a hole cannot be sent. The tokens go back to the port. Nothing is lent: see
 * bulk_drain().
 *
 * Return: bytes at the end of the queue that are no longer there.
 */
uint32_t bulk_drop_frames(struct bulk *b, struct bulk_queue *q)
{
	uint32_t before = q->bytes;
	struct dlist *n, *tmp;
	bool lost = false;

	DEBUG_BUG_ON(bulk_is_lent(q));
	if (q->loan)
		q->loan->partial = false;
	dlist_for_each_safe (n, tmp, &q->pending) {
		struct bulk_seg *seg = bulk_seg_of(n);

		lost |= !seg->buf;
		if (!lost)
			continue;
		bytes_sub(b, q, seg->len - seg->done);
		counter_add(&b->st->n.returned_frames, !seg->buf);
		pending_free(b, q, seg);
	}
	return before - q->bytes;
}
