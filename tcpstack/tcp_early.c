/* SPDX-License-Identifier: MIT */
/*
 * Payload that came before its turn: kept until the hole in front of it closes,
 * and reported by SACK (RFC 2018, RFC 2883).
 *
 * Theory of operation. The link to a guest hardly ever loses or reorders, so this
 * is made for being right and bounded, not for speed: the bytes are copied to
 * small arena chunks in a list sorted by sequence number, without overlap. What
 * follows on a chunk's end is added to it, and what is there already is trimmed
 * away; so a chunk never holds a byte twice, and the first copy counts. When the
 * hole closes, the bytes go on to the bulk queue as if they came now.
 *
 * The guest's frames are never held here. A guest that may only have so many bytes
 * in its device (Linux, "TCP small queues") would wait for us to return them before
 * it sends the very segment that we wait for.
 *
 * The list is bounded by the window that was offered, by chunks for each flow and
 * for all. What finds no room is dropped, as if the wire had lost it; it was not
 * reported, so the guest sends it again.
 */
#include "tcpstack/tcp.h"

/**
 * struct early_chunk - consecutive bytes, in an arena slot
 */
struct early_chunk {
	struct dlist node;
	uint32_t seq, len;
	uint8_t data[];
};

#define CHUNK_ROOM (LIMIT_TCP_EARLY_CHUNK_BYTES - (uint32_t)sizeof(struct early_chunk))

static struct early_chunk *chunk_of(struct dlist *n)
{
	return container_of(n, struct early_chunk, node);
}

static uint32_t chunk_end(const struct early_chunk *c)
{
	return c->seq + c->len;
}

static void chunk_free(struct tcp *t, struct early_queue *q, struct early_chunk *c)
{
	dlist_del(&c->node);
	q->chunks--;
	pool_put(t->early, c);
}

/* Where the bytes come from: they stand at @off of @frame, the first is @seq. */
struct source {
	const struct tx_frame *frame;
	uint32_t off, seq;
};

/* [@from, @to) belongs between @prev and the chunk after it. Bytes that found room. */
static uint32_t fill(struct tcp *t, struct early_queue *q, struct dlist *prev,
		     const struct source *src, uint32_t from, uint32_t to)
{
	uint32_t begin = from;

	while (from != to) {
		struct early_chunk *c = chunk_of(prev);
		uint32_t n;

		if (prev == &q->list || chunk_end(c) != from || c->len == CHUNK_ROOM) {
			c = q->chunks < LIMIT_TCP_EARLY_FLOW ? pool_get(t->early) : NULL;
			if (!c)
				break;
			c->seq = from;
			c->len = 0;
			dlist_insert_between(&c->node, prev, prev->next);
			prev = &c->node;
			q->chunks++;
		}
		n = MIN(to - from, CHUNK_ROOM - c->len);
		frame_copy(src->frame, src->off + (from - src->seq), c->data + c->len, n);
		c->len += n;
		from += n;
	}
	return from - begin;
}

/**
 * tcp_early_put() - keep bytes that are not in turn yet
 * @seq:	of the first, behind rcv_nxt
 * @frame, @off, @len:	where they are; all within the window
 *
 * Return: bytes of them that are new and were kept
 */
uint32_t tcp_early_put(struct tcp *t, struct tcp_flow *fl, uint32_t seq,
		       const struct tx_frame *frame, uint32_t off, uint32_t len)
{
	struct early_queue *q = &fl->early;
	struct source src = { frame, off, seq };
	uint32_t at = seq, end = seq + len, kept = 0;
	struct dlist *prev = &q->list, *n;

	/* Most segments follow on all that is there. */
	if (!dlist_empty(&q->list) && seq_leq(chunk_end(chunk_of(q->list.prev)), seq))
		prev = q->list.prev;
	for (n = prev->next; n != &q->list && seq_lt(at, end); prev = n, n = n->next) {
		const struct early_chunk *c = chunk_of(n);

		if (seq_geq(c->seq, end))
			break;
		if (seq_lt(at, c->seq))
			kept += fill(t, q, prev, &src, at, c->seq);
		if (seq_lt(at, chunk_end(c)))
			at = chunk_end(c);
	}
	if (seq_lt(at, end))
		kept += fill(t, q, prev, &src, at, end);
	q->last = seq;
	return kept;
}

/**
 * tcp_early_take() - what is in turn now goes to the bulk queue
 *
 * rcv_nxt moves along, over a FIN that came early as well.
 */
void tcp_early_take(struct tcp *t, struct tcp_flow *fl)
{
	struct early_queue *q = &fl->early;

	while (!dlist_empty(&q->list)) {
		struct early_chunk *c = chunk_of(q->list.next);
		uint32_t known = fl->rcv_nxt - c->seq;
		struct iovec iov = { c->data, c->len };
		struct tx_frame frame = { .len = c->len, .iov = &iov, .iovcnt = 1 };

		if (seq_gt(c->seq, fl->rcv_nxt))
			break;
		if (known < c->len) {
			if (bulk_put(&t->bulk, &fl->tx, &frame, known, c->len - known, false) ==
			    BULK_FULL)
				return;
			fl->rcv_nxt += c->len - known;
		}
		chunk_free(t, q, c);
	}
	if (q->fin && q->fin_seq == fl->rcv_nxt) {
		fl->guest_fin = true;
		fl->rcv_nxt++;
		tcp_early_clear(t, fl);
	}
}

/**
 * tcp_early_clear() - forget all of it
 */
void tcp_early_clear(struct tcp *t, struct tcp_flow *fl)
{
	while (!dlist_empty(&fl->early.list))
		chunk_free(t, &fl->early, chunk_of(fl->early.list.next));
	fl->early.fin = false;
}

/* The run of chunks without a hole that begins at @n; *@n moves behind it. */
static struct tcp_range next_run(const struct early_queue *q, struct dlist **n)
{
	struct early_chunk *c = chunk_of(*n);
	struct tcp_range run = { c->seq, chunk_end(c) };

	for (*n = (*n)->next; *n != &q->list; *n = (*n)->next) {
		c = chunk_of(*n);
		if (c->seq != run.to)
			break;
		run.to = chunk_end(c);
	}
	return run;
}

/**
 * tcp_early_blocks() - what a SACK option says now
 * @blocks:	receives up to TCP_SACK_BLOCKS: a duplicate that was seen
 *		(RFC 2883 4), then the run that grew last (RFC 2018 4), then others
 *
 * Return: how many
 */
uint32_t tcp_early_blocks(const struct tcp_flow *fl, struct tcp_range *blocks)
{
	const struct early_queue *q = &fl->early;
	struct dlist *n = q->list.next;
	uint32_t count = 0, first;

	if (q->dup.from != q->dup.to)
		blocks[count++] = q->dup;
	first = count;
	while (n != &q->list) {
		struct tcp_range run = next_run(q, &n);

		if (seq_leq(run.from, q->last) && seq_lt(q->last, run.to)) {
			/* To the front; the last of the others gives way. */
			uint32_t move = MIN(count, TCP_SACK_BLOCKS - 1) - first;

			memmove(&blocks[first + 1], &blocks[first], move * sizeof(*blocks));
			blocks[first] = run;
			count = MIN(count + 1, TCP_SACK_BLOCKS);
		} else if (count < TCP_SACK_BLOCKS) {
			blocks[count++] = run;
		}
	}
	return count;
}
