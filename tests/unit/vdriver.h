/* SPDX-License-Identifier: MIT */
/*
 * The driver's half of a split virtqueue, for tests: guest memory, rings laid
 * out in it, chains put into them, used entries taken out, with EVENT_IDX and
 * indirect tables. Everything that a well-behaved driver does goes through
 * vdq_*; a test that plays a broken one writes to the rings directly.
 *
 * One thread drives a queue; the device may serve it from another.
 */
#ifndef SLUICE_TESTS_VDRIVER_H
#define SLUICE_TESTS_VDRIVER_H

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "src/base/base.h"
#include "virtio/mem.h"
#include "virtio/queue.h"

/* GCC defines macros for its sanitizers, clang answers a question. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#else
#define UNDER_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#else
#define UNDER_TSAN 0
#endif

/* Where guest memory begins; not 0, so that address and offset cannot be confused. */
#define VDRIVER_GPA 0x100000ULL

#define VDRIVER_RING_FEATURES                                           \
	(1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_EVENT_IDX | \
	 1ULL << VIRTIO_RING_F_INDIRECT_DESC)

/**
 * struct vdriver - guest memory with a bump allocator
 * @mem:	what the device is given
 */
struct vdriver {
	struct gmem mem;
	uint8_t *hva;
	uint64_t size, used;
};

/* One buffer of a chain as the driver describes it. */
struct vdesc {
	uint64_t gpa;
	uint32_t len;
	bool write;
};

/**
 * struct vdqueue - one queue, driver's side
 * @free:	stack of unused descriptor indices, @nfree of them
 * @next:	private copy of each chain's links, 0xffff ends
 * @avail_idx, @kicked_idx:	entries shown; entries shown at the last kick
 * @used_idx:	used entries taken
 * @tables:	gpa of one indirect table for each head
 */
struct vdqueue {
	struct vdriver *drv;
	struct vq_config cfg;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	bool event_idx;
	uint16_t free[VQ_SIZE_MAX], nfree;
	uint16_t next[VQ_SIZE_MAX];
	uint16_t avail_idx, kicked_idx, used_idx;
	uint64_t tables;
};

static inline void vdriver_init(struct vdriver *d, uint64_t size)
{
	struct gmem_region r = { .gpa = VDRIVER_GPA, .size = size };

	*d = (struct vdriver){ .size = size };
	d->hva = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	BUG_ON(d->hva == MAP_FAILED);
	r.hva = d->hva;
	BUG_ON(gmem_add(&d->mem, &r));
}

static inline void vdriver_fini(struct vdriver *d)
{
	munmap(d->hva, d->size);
}

/* @len zeroed bytes of guest memory, page aligned. Return: their address */
static inline uint64_t vdriver_alloc(struct vdriver *d, uint64_t len)
{
	uint64_t at = ALIGN_UP(d->used, 4096ULL);

	BUG_ON(!range_ok(at, len, d->size));
	d->used = at + len;
	return VDRIVER_GPA + at;
}

static inline void *vdriver_ptr(struct vdriver *d, uint64_t gpa)
{
	BUG_ON(gpa < VDRIVER_GPA || gpa - VDRIVER_GPA >= d->size);
	return d->hva + (gpa - VDRIVER_GPA);
}

static inline void vdq_init(struct vdqueue *q, struct vdriver *d, uint16_t size, uint64_t features)
{
	*q = (struct vdqueue){ .drv = d };
	q->cfg = (struct vq_config){
		.desc = vdriver_alloc(d, 16ULL * size),
		.avail = vdriver_alloc(d, 6 + 2ULL * size),
		.used = vdriver_alloc(d, 6 + 8ULL * size),
		.size = size,
		.ready = true,
	};
	q->desc = vdriver_ptr(d, q->cfg.desc);
	q->avail = vdriver_ptr(d, q->cfg.avail);
	q->used = vdriver_ptr(d, q->cfg.used);
	q->event_idx = features & (1ULL << VIRTIO_RING_F_EVENT_IDX);
	q->tables = vdriver_alloc(d, 16ULL * size * size);
	for (uint16_t i = 0; i < size; i++)
		q->free[q->nfree++] = (uint16_t)(size - 1 - i);
}

/* Put @head into the avail ring; shown to the device by vdq_show(). */
static inline void vdq_offer(struct vdqueue *q, uint16_t head)
{
	__atomic_store_n(&q->avail->ring[q->avail_idx & (q->cfg.size - 1)], head, __ATOMIC_RELAXED);
	q->avail_idx++;
}

static inline void vdq_show(struct vdqueue *q)
{
	__atomic_store_n(&q->avail->idx, q->avail_idx, __ATOMIC_SEQ_CST);
}

static inline struct vring_desc vdq_desc(const struct vdesc *d, bool more, uint32_t next)
{
	return (struct vring_desc){
		.addr = d->gpa,
		.len = d->len,
		.flags = (uint16_t)((d->write ? VRING_DESC_F_WRITE : 0) |
				    (more ? VRING_DESC_F_NEXT : 0)),
		.next = (uint16_t)next,
	};
}

/*
 * Describe a chain of @n buffers without offering it, by linked descriptors or
 * by one indirect table. Return: its head, or -1 when descriptors are short
 */
static inline int vdq_chain(struct vdqueue *q, const struct vdesc *b, uint16_t n, bool indirect)
{
	uint16_t need = indirect ? 1 : n, idx[VQ_SIZE_MAX];

	BUG_ON(n == 0);
	if (need > q->nfree || n > q->cfg.size)
		return -1;
	for (uint16_t i = 0; i < need; i++) {
		idx[i] = q->free[--q->nfree];
		if (i)
			q->next[idx[i - 1]] = idx[i];
	}
	q->next[idx[need - 1]] = 0xffff;
	if (indirect) {
		uint64_t gpa = q->tables + 16ULL * q->cfg.size * idx[0];
		struct vring_desc *t = vdriver_ptr(q->drv, gpa);

		for (uint32_t i = 0; i < n; i++)
			t[i] = vdq_desc(&b[i], i + 1 < n, i + 1);
		q->desc[idx[0]] = (struct vring_desc){ .addr = gpa,
						       .len = 16U * n,
						       .flags = VRING_DESC_F_INDIRECT };
	} else {
		for (uint16_t i = 0; i < n; i++)
			q->desc[idx[i]] = vdq_desc(&b[i], i + 1 < n,
						   (uint32_t)(i + 1 < n ? idx[i + 1] : 0));
	}
	return idx[0];
}

/* Describe, offer and show a chain. Return: as vdq_chain() */
static inline int vdq_add(struct vdqueue *q, const struct vdesc *b, uint16_t n, bool indirect)
{
	int head = vdq_chain(q, b, n, indirect);

	if (head >= 0) {
		vdq_offer(q, (uint16_t)head);
		vdq_show(q);
	}
	return head;
}

/* Where the device says after which entry it wants a kick. */
static inline uint16_t *vdq_avail_event(struct vdqueue *q)
{
	return (uint16_t *)(void *)&q->used->ring[q->cfg.size];
}

/* Does the device want a kick for what was shown since the last one? */
static inline bool vdq_kick_due(struct vdqueue *q)
{
	uint16_t old = q->kicked_idx;

	q->kicked_idx = q->avail_idx;
	if (old == q->avail_idx)
		return false;
	if (q->event_idx) {
		return vring_need_event(__atomic_load_n(vdq_avail_event(q), __ATOMIC_SEQ_CST),
					q->avail_idx, old);
	}
	return !(__atomic_load_n(&q->used->flags, __ATOMIC_SEQ_CST) & VRING_USED_F_NO_NOTIFY);
}

/* Used entries that wait. */
static inline uint16_t vdq_used_pending(struct vdqueue *q)
{
	return (uint16_t)(__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) - q->used_idx);
}

/* Take one used entry and free its descriptors. Return: false when none waits */
static inline bool vdq_take(struct vdqueue *q, uint16_t *head, uint32_t *len)
{
	struct vring_used_elem *e = &q->used->ring[q->used_idx & (q->cfg.size - 1)];

	if (!vdq_used_pending(q))
		return false;
	BUG_ON(e->id >= q->cfg.size);
	*head = (uint16_t)e->id;
	*len = e->len;
	q->used_idx++;
	for (uint16_t i = *head; i != 0xffff; i = q->next[i])
		q->free[q->nfree++] = i;
	return true;
}

/*
 * Ask for an interrupt at the next used entry. Return: true when one waits
 * already, so that whoever would sleep does not
 */
static inline bool vdq_want_call(struct vdqueue *q)
{
	if (q->event_idx)
		__atomic_store_n(&q->avail->ring[q->cfg.size], q->used_idx, __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(&q->avail->flags, 0, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&q->used->idx, __ATOMIC_SEQ_CST) != q->used_idx;
}

/* Ask for no interrupt, as far as the device can be asked. */
static inline void vdq_no_call(struct vdqueue *q)
{
	if (q->event_idx)
		__atomic_store_n(&q->avail->ring[q->cfg.size], (uint16_t)(q->used_idx - 1),
				 __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(&q->avail->flags, VRING_AVAIL_F_NO_INTERRUPT, __ATOMIC_SEQ_CST);
}

#endif
