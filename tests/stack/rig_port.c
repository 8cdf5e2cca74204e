/* SPDX-License-Identifier: MIT */
/*
 * The rig's port: a ring of receive buffers that really are that small, and
 * frames from the guest in pieces that live exactly as long as they may.
 */
#include "tests/stack/rig_priv.h"

#include <errno.h>
#include <stdlib.h>

/* Fills of memory that nobody should read. */
#define POISON_RX 0xa5
#define POISON_TX 0xdd

/* --- the port: host to guest ---------------------------------------------- */

static uint32_t take_free(struct rig *r)
{
	uint32_t b = r->free_buf[r->free_head];

	r->free_head = (r->free_head + 1) % r->cfg.rx_buffers;
	r->free_count--;
	return b;
}

void rig_return_buffer(struct rig *r, uint32_t b)
{
	assert_true(r->free_count < r->cfg.rx_buffers);
	r->free_buf[(r->free_head + r->free_count) % r->cfg.rx_buffers] = b;
	r->free_count++;
}

static int port_rx_alloc(void *ctx, uint32_t want, struct rx_frame *frame)
{
	struct rig *r = ctx;
	uint32_t size = r->cfg.rx_buf_size;
	uint32_t n = (want + size - 1) / size;
	struct rx_outstanding *o;

	assert_true(r->attached);
	assert_true(want >= ETH_HLEN && want <= PORT_FRAME_MAX);
	assert_true(r->out_count < PORT_RX_BATCH);
	if (want > r->caps.rx_frame_max || (!r->cfg.rx_merge && n > 1))
		return -EMSGSIZE;
	if (n > r->free_count) {
		r->starved = true;
		return -ENOBUFS;
	}
	o = &r->out[(r->out_head + r->out_count++) % PORT_RX_BATCH];
	o->n = n;
	o->want = want;
	for (uint32_t i = 0; i < n; i++) {
		o->buf[i] = take_free(r);
		memset(r->buffers[o->buf[i]], POISON_RX, size);
		o->iov[i] = (struct iovec){ r->buffers[o->buf[i]], size };
	}
	*frame = (struct rx_frame){ o->iov, n, n * size, (uint32_t)(o - r->out) };
	return 0;
}

static void record(struct rig *r, const uint8_t *data, uint32_t len, const struct offload *off,
		   uint32_t fragments)
{
	struct rx_record *rec;

	assert_true(r->rec_count < RX_RECORDS_MAX);
	rec = &r->rec[(r->rec_head + r->rec_count++) % RX_RECORDS_MAX];
	rec->data = malloc(len);
	assert_non_null(rec->data);
	memcpy(rec->data, data, len);
	rec->len = len;
	rec->off = *off;
	rec->fragments = fragments;
}

/* A fragment to the guest, and where its part of the datagram begins and belongs. */
struct piece {
	uint32_t hlen, at, id;
	bool more;
};

/* Return: false when the frame is a whole packet. */
static bool read_fragment(const uint8_t *frame, uint32_t len, struct piece *p)
{
	const uint8_t *ip = frame + ETH_HLEN;
	uint16_t field;

	if (get_be16(frame + 12) == ETHERTYPE_IP4) {
		field = get_be16(ip + 6);
		*p = (struct piece){ IP4_HLEN, (field & 0x1fffU) * 8, get_be16(ip + 4),
				     field & 0x2000 };
		return field & 0x3fff;
	}
	if (get_be16(frame + 12) != ETHERTYPE_IP6 || ip[6] != NEXT_FRAGMENT)
		return false;
	assert_true(len > ETH_HLEN + IP6_HLEN + FRAGMENT6_HLEN);
	field = get_be16(ip + IP6_HLEN + 2);
	assert_int_equal(field & 6, 0);
	*p = (struct piece){ IP6_HLEN + FRAGMENT6_HLEN, field & 0xfff8U,
			     get_be32(ip + IP6_HLEN + 4), field & 1 };
	return true;
}

/* Put fragments together; they must come in order and without a gap. */
static void reassemble(struct rig *r, const uint8_t *frame, uint32_t len, const struct piece *p)
{
	bool v4 = get_be16(frame + 12) == ETHERTYPE_IP4;
	uint32_t part = len - ETH_HLEN - p->hlen, hlen = v4 ? IP4_HLEN : IP6_HLEN;
	uint8_t *ip = r->frag + ETH_HLEN;
	struct offload none = { 0 };

	if (r->frag_count == 0) {
		assert_int_equal(p->at, 0);
		memcpy(r->frag, frame, ETH_HLEN + hlen);
		if (!v4)
			ip[6] = frame[ETH_HLEN + IP6_HLEN];
		r->frag_len = 0;
		r->frag_id = p->id;
	} else {
		/* The same addresses, family and datagram. */
		assert_int_equal(p->id, r->frag_id);
		assert_memory_equal(frame + 12, r->frag + 12, 2);
		assert_memory_equal(frame + ETH_HLEN + (v4 ? 12 : 8), ip + (v4 ? 12 : 8),
				    v4 ? 8 : 32);
	}
	assert_int_equal(p->at, r->frag_len);
	assert_true(!p->more || part % 8 == 0);
	memcpy(ip + hlen + p->at, frame + ETH_HLEN + p->hlen, part);
	r->frag_len += part;
	r->frag_count++;
	if (p->more)
		return;

	assert_true(r->frag_len + (v4 ? IP4_HLEN : 0) <= UINT16_MAX);
	put_be16(ip + (v4 ? 2 : 4), (uint16_t)((v4 ? IP4_HLEN : 0) + r->frag_len));
	if (v4)
		put_be16(ip + 6, 0);
	len = ETH_HLEN + hlen + r->frag_len;
	rig_verify_l4(r->frag, len, &none);
	record(r, r->frag, len, &none, r->frag_count);
	r->frag_count = 0;
}

static void port_rx_commit(void *ctx, struct rx_frame *frame, uint32_t len,
			   const struct offload *off)
{
	struct rig *r = ctx;
	uint64_t before = rig_allocs_here();
	uint32_t size = r->cfg.rx_buf_size;
	struct rx_outstanding *o;
	struct piece piece;
	uint32_t used;
	uint8_t *flat;

	assert_true(r->attached);
	assert_true(r->out_count > 0);
	/* Commits come in the order of allocation. */
	assert_int_equal(frame->slot, r->out_head);
	o = &r->out[r->out_head];
	assert_true(len >= ETH_HLEN && len <= o->n * size);

	flat = malloc(len);
	assert_non_null(flat);
	used = (len + size - 1) / size;
	for (uint32_t i = 0; i < o->n; i++) {
		uint32_t at = i * size;

		if (i < used) {
			memcpy(flat + at, r->buffers[o->buf[i]], MIN(size, len - at));
			r->used_buf[r->used_count++] = o->buf[i];
		} else {
			rig_return_buffer(r, o->buf[i]);
		}
	}
	r->out_head = (r->out_head + 1) % PORT_RX_BATCH;
	r->out_count--;

	rig_verify(&r->cfg, &r->caps, flat, len, off);
	if (read_fragment(flat, len, &piece))
		reassemble(r, flat, len, &piece);
	else
		record(r, flat, len, off, 1);
	free(flat);
	r->port_allocs += rig_allocs_here() - before;
}

static void port_rx_rewind(void *ctx)
{
	struct rig *r = ctx;

	assert_true(r->attached);
	for (; r->out_count > 0; r->out_count--) {
		struct rx_outstanding *o = &r->out[r->out_head];

		for (uint32_t i = 0; i < o->n; i++)
			rig_return_buffer(r, o->buf[i]);
		r->out_head = (r->out_head + 1) % PORT_RX_BATCH;
	}
}

/**
 * rig_refill() - the guest gives @buffers of its used buffers back to the ring
 *
 * Tells the stack if it had found the ring empty, as the real port does.
 */
void rig_refill(struct rig *r, uint32_t buffers)
{
	uint32_t n = MIN(buffers, r->used_count);
	uint64_t before;

	for (uint32_t i = 0; i < n; i++)
		rig_return_buffer(r, r->used_buf[i]);
	r->used_count -= n;
	memmove(r->used_buf, r->used_buf + n, r->used_count * sizeof(*r->used_buf));
	if (n == 0 || !r->starved)
		return;
	r->starved = false;
	before = rig_allocs_here() - r->port_allocs;
	stack_rx_refilled(r->st);
	r->stack_allocs += rig_allocs_here() - r->port_allocs - before;
}

void rig_set_auto_refill(struct rig *r, bool on)
{
	r->auto_refill = on;
}

uint32_t rig_rx_free(const struct rig *r)
{
	return r->free_count;
}

/* The guest sees nothing before this; then it may give buffers back. */
void rig_publish(struct rig *r)
{
	assert_int_equal(r->out_count, 0); /* all committed or rewound */
	r->rec_published = r->rec_count;
	if (r->auto_refill && r->attached)
		rig_refill(r, UINT32_MAX);
}

/* --- the port: guest to host ---------------------------------------------- */

static void free_tx(struct tx_record *t)
{
	for (uint32_t i = 0; i < t->iovcnt; i++) {
		memset(t->iov[i].iov_base, POISON_TX, t->iov[i].iov_len);
		free(t->iov[i].iov_base);
	}
	free(t->iov);
	t->state = TX_FREE;
	t->gen++;
}

static void port_tx_done(void *ctx, uint32_t token)
{
	struct rig *r = ctx;
	uint64_t before = rig_allocs_here();
	struct tx_record *t = &r->tx[token % TX_FRAMES_MAX];

	assert_true(r->attached);
	/* Exactly once, and only for a frame that was held. */
	assert_int_equal(t->state, TX_IS_HELD);
	assert_int_equal(t->gen, token / TX_FRAMES_MAX);
	r->held_descs -= t->descs;
	free_tx(t);
	r->held--;
	r->port_allocs += rig_allocs_here() - before;
}

/* Cut @frame into up to tx_pieces allocations, now and then an empty one. */
static void scatter(struct rig *r, struct tx_record *t, const uint8_t *frame, uint32_t len)
{
	uint32_t max = MAX(r->cfg.tx_pieces, 1U);
	uint32_t at = 0;

	t->iov = calloc(max, sizeof(*t->iov));
	assert_non_null(t->iov);
	t->iovcnt = 0;
	while (t->iovcnt < max && (at < len || t->iovcnt == 0)) {
		uint32_t left = len - at;
		uint32_t n = left;

		if (t->iovcnt + 1 < max)
			n = (uint32_t)(rig_random(r) % (left + 1));
		t->iov[t->iovcnt].iov_base = malloc(n);
		assert_non_null(t->iov[t->iovcnt].iov_base);
		memcpy(t->iov[t->iovcnt].iov_base, frame + at, n);
		t->iov[t->iovcnt++].iov_len = n;
		at += n;
	}
	assert_int_equal(at, len);
}

static struct tx_record *free_record(struct rig *r)
{
	for (uint32_t i = 0; i < TX_FRAMES_MAX; i++) {
		struct tx_record *t = &r->tx[r->tx_next++ % TX_FRAMES_MAX];

		if (t->state == TX_FREE)
			return t;
	}
	fail_msg("the stack holds %u frames", r->held);
	return NULL;
}

/**
 * rig_send() - the guest sends one frame; it enters the stack at once
 * @off:	NULL = none
 */
enum tx_verdict rig_send(struct rig *r, const void *frame, uint32_t len, const struct offload *off)
{
	struct tx_record *t = free_record(r);
	uint32_t head_len = MIN(len, (uint32_t)PORT_HEAD_MAX);
	uint32_t token = (uint32_t)(t - r->tx) + t->gen * (uint32_t)TX_FRAMES_MAX;
	struct iovec *iov;
	enum tx_verdict verdict;
	struct tx_frame f = { 0 };
	uint64_t before;
	uint8_t *head;

	scatter(r, t, frame, len);
	t->descs = r->cfg.tx_direct ? t->iovcnt : 1;
	t->state = TX_INPUT;
	/* Copies that die with the call: head and iovec array are good only during it. */
	head = malloc(head_len);
	iov = calloc(t->iovcnt, sizeof(*iov));
	assert_non_null(head);
	assert_non_null(iov);
	memcpy(head, frame, head_len);
	memcpy(iov, t->iov, t->iovcnt * sizeof(*iov));
	f = (struct tx_frame){ .head = head,
			       .head_len = head_len,
			       .len = len,
			       .iov = iov,
			       .iovcnt = t->iovcnt,
			       .descs = t->descs,
			       .token = token };
	if (off)
		f.off = *off;

	before = rig_allocs_here() - r->port_allocs;
	verdict = stack_input(r->st, &f);
	r->stack_allocs += rig_allocs_here() - r->port_allocs - before;
	rig_land(r);

	memset(head, POISON_TX, head_len);
	free(head);
	free(iov);
	if (verdict == TX_DONE) {
		free_tx(t);
	} else {
		t->state = TX_IS_HELD;
		r->held++;
		r->held_descs += t->descs;
	}
	return verdict;
}

const struct port_ops rig_port_ops = {
	.rx_alloc = port_rx_alloc,
	.rx_commit = port_rx_commit,
	.rx_rewind = port_rx_rewind,
	.tx_done = port_tx_done,
};
