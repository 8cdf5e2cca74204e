/* SPDX-License-Identifier: MIT */
/*
 * A virtio-net device between a driver (vdriver.h) and a stack that only
 * records. The four functions of stack.h that the device calls are defined
 * here, so a test program includes this once and links no real stack.
 */
#ifndef SLUICE_TESTS_VNETRIG_H
#define SLUICE_TESTS_VNETRIG_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/vdriver.h"
#include "virtio/net.h"

#define HDR    12
#define QSIZE  64
#define F(bit) (1ULL << (bit))
#define ALL    (vnet_features(&net_cfg))

static const struct vnet_config net_cfg = { { 0x52, 0x54, 0, 1, 2, 3 }, 1500 };

/* --- the stack ----------------------------------------------------------- */

#define SEEN_MAX 1024

struct seen {
	uint32_t len, token, descs;
	struct offload off;
	uint8_t *bytes;
};

struct stack {
	const struct port_ops *ops;
	void *ctx;
	struct port_caps caps;
	enum tx_verdict verdict;
	struct seen seen[SEEN_MAX];
	unsigned int nseen, refilled, downs;
	unsigned int paced_after; /* frames that are taken; 0 = any number */
	void (*on_input)(struct stack *st, const struct tx_frame *f);
	struct rig *rig;
};

void stack_port_up(struct stack *st, const struct port_ops *ops, void *ctx,
		   const struct port_caps *caps)
{
	st->ops = ops;
	st->ctx = ctx;
	st->caps = *caps;
}

void stack_port_down(struct stack *st)
{
	st->downs++;
	st->ops = NULL;
}

void stack_rx_refilled(struct stack *st)
{
	st->refilled++;
}

bool stack_tx_may(struct stack *st)
{
	return st->paced_after == 0 || st->nseen < st->paced_after;
}

enum tx_verdict stack_input(struct stack *st, const struct tx_frame *f)
{
	struct seen *s = &st->seen[st->nseen++ % SEEN_MAX];
	uint32_t at = 0;

	assert_int_equal(f->head_len, MIN(f->len, (uint32_t)PORT_HEAD_MAX));
	free(s->bytes);
	*s = (struct seen){ f->len, f->token, f->descs, f->off, malloc(f->len) };
	for (uint32_t i = 0; i < f->iovcnt; i++) {
		assert_true(range_ok(at, f->iov[i].iov_len, f->len));
		memcpy(s->bytes + at, f->iov[i].iov_base, f->iov[i].iov_len);
		at += (uint32_t)f->iov[i].iov_len;
	}
	assert_int_equal(at, f->len);
	assert_memory_equal(s->bytes, f->head, f->head_len);
	if (st->on_input)
		st->on_input(st, f);
	return st->verdict;
}

/* --- the rig ------------------------------------------------------------- */

struct rig {
	struct vdriver drv;
	struct vdqueue rx, tx, ctrl;
	struct vq_counters n[VNET_QUEUES];
	struct stack st;
	struct vnet *v;
	struct vnet_start start;
	unsigned int calls[VNET_QUEUES], broken;
	uint64_t tx_buf, rx_buf, misc;
	uint32_t rx_added; /* by add_rx_buffers(), which uses 64 places in turn */
};

static inline void on_call(void *ctx, uint16_t index)
{
	((struct rig *)ctx)->calls[index]++;
}

static inline void on_broken(void *ctx)
{
	((struct rig *)ctx)->broken++;
}

static inline struct rig *prepare(uint64_t features)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->st.rig = r;
	vdriver_init(&r->drv, 64 << 20);
	vdq_init(&r->rx, &r->drv, QSIZE, features);
	vdq_init(&r->tx, &r->drv, QSIZE, features);
	vdq_init(&r->ctrl, &r->drv, QSIZE, features);
	r->tx_buf = vdriver_alloc(&r->drv, 16 << 20);
	r->rx_buf = vdriver_alloc(&r->drv, 16 << 20);
	r->misc = vdriver_alloc(&r->drv, 65536);
	assert_int_equal(vnet_new(&r->v, &net_cfg, &r->st), 0);
	r->start = (struct vnet_start){
		.features = features,
		.mem = &r->drv.mem,
		.queue = { r->rx.cfg, r->tx.cfg, r->ctrl.cfg },
		.call_fd = { -1, -1, -1 },
		.call_fn = on_call,
		.call_ctx = r,
		.counters = { &r->n[0], &r->n[1], &r->n[2] },
		.broken = on_broken,
		.broken_ctx = r,
	};
	return r;
}

static inline struct rig *begin(uint64_t features)
{
	struct rig *r = prepare(features);

	assert_int_equal(vnet_start(r->v, &r->start), 0);
	return r;
}

static inline void end(struct rig *r)
{
	vnet_stop(r->v, NULL);
	vnet_free(r->v);
	for (int i = 0; i < SEEN_MAX; i++)
		free(r->st.seen[i].bytes);
	vdriver_fini(&r->drv);
	free(r);
}

static inline uint8_t pattern(uint32_t i)
{
	return (uint8_t)(i * 167 + (i >> 8) * 13 + 5);
}

/* A frame of @len bytes behind @hdr at r->tx_buf + @at, in memory only. */
static inline void write_frame(struct rig *r, uint64_t at, const struct virtio_net_hdr_v1 *hdr,
			       uint32_t len)
{
	uint8_t *p = vdriver_ptr(&r->drv, r->tx_buf + at);

	memcpy(p, hdr, HDR);
	for (uint32_t i = 0; i < len; i++)
		p[HDR + i] = pattern(i);
}

/* The same, offered as one descriptor. Return: its head */
static inline int send_frame(struct rig *r, uint64_t at, const struct virtio_net_hdr_v1 *hdr,
			     uint32_t len)
{
	const struct vdesc b = { r->tx_buf + at, HDR + len, false };

	write_frame(r, at, hdr, len);
	return vdq_add(&r->tx, &b, 1, false);
}

static inline void expect_frame(const struct seen *s, uint32_t len)
{
	assert_int_equal(s->len, len);
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(s->bytes[i], pattern(i));
}

static inline void expect_used(struct vdqueue *q, int want_head, uint32_t want_len)
{
	uint16_t head;
	uint32_t len;

	assert_true(vdq_take(q, &head, &len));
	assert_int_equal(head, want_head);
	assert_int_equal(len, want_len);
}

/* A header that asks for nothing. */
static const struct virtio_net_hdr_v1 plain UNUSED;

/* Offer a receive chain of the given descriptor lengths, filled with 0xee. */
static inline int add_rx(struct rig *r, uint64_t at, const uint32_t *lens, uint16_t n)
{
	struct vdesc b[32];

	for (uint16_t i = 0; i < n; i++) {
		b[i] = (struct vdesc){ r->rx_buf + at, lens[i], true };
		memset(vdriver_ptr(&r->drv, r->rx_buf + at), 0xee, lens[i]);
		at += lens[i];
	}
	return vdq_add(&r->rx, b, n, n > 1);
}

static inline void add_rx_buffers(struct rig *r, unsigned int n, uint32_t len)
{
	for (unsigned int i = 0; i < n; i++)
		assert_true(add_rx(r, r->rx_added++ % 64 * 131072ULL, &len, 1) >= 0);
}

static inline int rx_alloc(struct rig *r, uint32_t want, struct rx_frame *f)
{
	int err = r->st.ops->rx_alloc(r->st.ctx, want, f);

	if (!err) {
		uint32_t room = 0;

		for (uint32_t i = 0; i < f->iovcnt; i++)
			room += (uint32_t)f->iov[i].iov_len;
		assert_int_equal(room, f->room);
		assert_true(room >= want);
	}
	return err;
}

/* Fill the frame with the pattern, shifted by @seed, and commit it. */
static inline void rx_commit(struct rig *r, struct rx_frame *f, uint32_t len, uint32_t seed,
			     const struct offload *off)
{
	static const struct offload none;
	uint32_t at = 0;

	for (uint32_t i = 0; i < f->iovcnt && at < len; i++)
		for (size_t k = 0; k < f->iov[i].iov_len && at < len; k++)
			((uint8_t *)f->iov[i].iov_base)[k] = pattern(seed + at++);
	r->st.ops->rx_commit(r->st.ctx, f, len, off ? off : &none);
}

/* Gather one frame as the driver does. Return: its length; the header in @h */
static inline uint32_t driver_receive(struct rig *r, bool mergeable, struct virtio_net_hdr_v1 *h,
				      uint8_t *bytes)
{
	uint32_t total = 0;

	for (uint32_t i = 0, buffers = 1; i < buffers; i++) {
		const struct vring_desc *d;
		uint16_t head = 0;
		uint32_t len = 0;
		bool more = true;

		if (!vdq_take(&r->rx, &head, &len) || len == 0)
			fail_msg("buffer %u of %u is missing or empty", i, buffers);
		d = &r->rx.desc[head];
		if (d->flags & VRING_DESC_F_INDIRECT)
			d = vdriver_ptr(&r->drv, d->addr);
		for (; more && len; d++) {
			uint32_t n = MIN(len, d->len);

			memcpy(bytes + total, vdriver_ptr(&r->drv, d->addr), n);
			total += n;
			len -= n;
			more = d->flags & VRING_DESC_F_NEXT;
		}
		assert_int_equal(len, 0);
		if (i == 0) {
			memcpy(h, bytes, HDR);
			buffers = mergeable ? h->num_buffers : 1;
			assert_true(buffers >= 1);
		}
	}
	memmove(bytes, bytes + HDR, total - HDR);
	return total - HDR;
}

static inline void expect_received(struct rig *r, bool mergeable, uint32_t len, uint32_t seed)
{
	static uint8_t bytes[HDR + PORT_FRAME_MAX + 4096];
	struct virtio_net_hdr_v1 h;

	assert_int_equal(driver_receive(r, mergeable, &h, bytes), len);
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(bytes[i], pattern(seed + i));
	/* H12: every byte of the header is ours. */
	assert_int_equal(h.flags, 0);
	assert_int_equal(h.gso_type, 0);
	assert_int_equal(h.hdr_len, 0);
	assert_int_equal(h.gso_size, 0);
	assert_int_equal(h.csum_start, 0);
	assert_int_equal(h.csum_offset, 0);
}

#endif
