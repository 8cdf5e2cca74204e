/* SPDX-License-Identifier: MIT */
/*
 * The driver's half of a split virtqueue (virtio 1.2, section 2.7).
 *
 * Theory of operation: descriptor i names buffer slot i, so an entry is one
 * descriptor and posting it writes an address that never changes. An entry that is
 * cut in pieces takes idle descriptors besides, whose own slots rest meanwhile.
 * Entries are added one by one and made visible by front_vq_publish(), which kicks
 * the back-end only if it asked for that position.
 */
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "bench/front/front.h"
#include "src/base/base.h"

/* A page: what a piece of a frame is, without indirect descriptors. */
#define PIECE 4096U

static uint16_t *avail_event_for_us(const struct front_vq *q)
{
	return &q->avail->ring[q->size]; /* used_event: when to interrupt us */
}

static uint16_t *kick_event(const struct front_vq *q)
{
	return (uint16_t *)(void *)&q->used->ring[q->size]; /* avail_event */
}

/**
 * front_ring_bytes() - memory that the three parts of a queue take, 4 KiB aligned each
 */
size_t front_ring_bytes(uint16_t size)
{
	size_t desc = ALIGN_UP((size_t)size * sizeof(struct vring_desc), 4096UL);
	size_t avail = ALIGN_UP(6 + (size_t)size * 2, 4096UL);
	size_t used = ALIGN_UP(6 + (size_t)size * sizeof(struct vring_used_elem), 4096UL);

	return desc + avail + used;
}

/**
 * front_vq_init() - lay a queue out in shared memory
 * @ring:	front_ring_bytes() of it, 4 KiB aligned
 * @buf:	@size buffers of @buf_size bytes
 * @free_stack:	@size entries
 */
void front_vq_init(struct front_vq *q, uint16_t size, uint8_t *ring, uint8_t *buf,
		   uint32_t buf_size, uint16_t *free_stack)
{
	size_t desc = ALIGN_UP((size_t)size * sizeof(struct vring_desc), 4096UL);
	size_t avail = ALIGN_UP(6 + (size_t)size * 2, 4096UL);

	q->size = size;
	q->pieces = 1;
	q->desc = (struct vring_desc *)(void *)ring;
	q->avail = (struct vring_avail *)(void *)(ring + desc);
	q->used = (struct vring_used *)(void *)(ring + desc + avail);
	q->buf = buf;
	q->buf_size = buf_size;
	q->free = free_stack;
	front_vq_reset(q);
}

/**
 * front_vq_reset() - as it was at first: nothing in the ring, all buffers idle
 *
 * The back-end must have let go of it.
 */
void front_vq_reset(struct front_vq *q)
{
	memset(q->desc, 0, front_ring_bytes(q->size));
	q->avail_idx = q->kicked_idx = q->used_idx = 0;
	for (uint16_t i = 0; i < q->size; i++)
		q->free[i] = (uint16_t)(q->size - 1 - i);
	q->nfree = q->size;
}

/**
 * front_vq_alloc() - an idle descriptor, which is also its buffer's number, or -1
 */
int front_vq_alloc(struct front_vq *q)
{
	return q->nfree > 0 ? q->free[--q->nfree] : -1;
}

/**
 * front_vq_has_room() - would any entry fit now? Linux sends no more when not
 */
bool front_vq_has_room(const struct front_vq *q)
{
	return q->nfree >= q->pieces;
}

/**
 * front_vq_release() - buffer @id is idle again, and so is what it was chained to
 */
void front_vq_release(struct front_vq *q, uint16_t id)
{
	bool more = true;

	while (more) {
		struct vring_desc *d = &q->desc[id];
		uint16_t next = d->next;

		more = d->flags & VRING_DESC_F_NEXT;
		d->flags = 0;
		q->free[q->nfree++] = id;
		id = next;
	}
}

/* Cut the entry @id of @len bytes into pages, as far as there may be pieces. */
static void cut(struct front_vq *q, uint16_t id, uint32_t len)
{
	struct vring_desc *d = &q->desc[id];
	uint64_t at = d->addr;

	for (uint16_t n = 1; n < q->pieces && len > PIECE; n++) {
		int next = front_vq_alloc(q);

		if (next < 0)
			break;
		d->len = PIECE;
		d->flags |= VRING_DESC_F_NEXT;
		d->next = (uint16_t)next;
		len -= PIECE;
		at += PIECE;
		d = &q->desc[next];
		*d = (struct vring_desc){ .addr = at, .len = len };
	}
}

/**
 * front_vq_add() - queue buffer @id with @len bytes; seen after front_vq_publish()
 */
void front_vq_add(struct front_vq *q, uint16_t id, uint32_t len, bool writable)
{
	struct vring_desc *d = &q->desc[id];

	d->addr = (uint64_t)(uintptr_t)front_vq_buf(q, id);
	d->len = len;
	d->flags = writable ? VRING_DESC_F_WRITE : 0;
	d->next = 0;
	if (!writable)
		cut(q, id, len);
	q->avail->ring[q->avail_idx & (q->size - 1)] = id;
	q->avail_idx++;
}

/**
 * front_vq_publish() - show what was added, and kick if the back-end wants it
 *
 * Return: whether it was kicked
 */
bool front_vq_publish(struct front_vq *q)
{
	uint64_t one = 1;
	bool need;

	if (q->kicked_idx == q->avail_idx)
		return false;
	__atomic_store_n(&q->avail->idx, q->avail_idx, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (q->event_idx)
		need = vring_need_event(__atomic_load_n(kick_event(q), __ATOMIC_RELAXED),
					q->avail_idx, q->kicked_idx);
	else
		need = !(__atomic_load_n(&q->used->flags, __ATOMIC_RELAXED) &
			 VRING_USED_F_NO_NOTIFY);
	q->kicked_idx = q->avail_idx;
	if (need) {
		q->kicks++;
		BUG_ON(write(q->kick_fd, &one, sizeof(one)) != sizeof(one));
	}
	return need;
}

/**
 * front_vq_used() - the next buffer that the back-end gave back
 * @id, @len:	out
 *
 * Return: 1, 0 when there is none, -1 when the entry is nonsense
 */
int front_vq_used(struct front_vq *q, uint16_t *id, uint32_t *len)
{
	const struct vring_used_elem *e;

	if (__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) == q->used_idx)
		return 0;
	e = &q->used->ring[q->used_idx & (q->size - 1)];
	if (e->id >= q->size)
		return -1;
	*id = (uint16_t)e->id;
	*len = e->len;
	q->used_idx++;
	return 1;
}

/**
 * front_vq_has_used() - is anything waiting in the used ring?
 */
bool front_vq_has_used(const struct front_vq *q)
{
	return __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) != q->used_idx;
}

/**
 * front_vq_calls_off() - we are awake: no interrupts
 */
void front_vq_calls_off(struct front_vq *q)
{
	if (q->event_idx) /* an event half the ring away asks for none */
		__atomic_store_n(avail_event_for_us(q), (uint16_t)(q->used_idx - 1),
				 __ATOMIC_RELAXED);
	else
		__atomic_store_n(&q->avail->flags, VRING_AVAIL_F_NO_INTERRUPT, __ATOMIC_RELAXED);
}

/**
 * front_vq_calls_on() - interrupt us at the next used entry
 *
 * Return: true when one is there already, and no interrupt may come for it
 */
bool front_vq_calls_on(struct front_vq *q)
{
	if (q->event_idx)
		__atomic_store_n(avail_event_for_us(q), q->used_idx, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&q->avail->flags, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return front_vq_has_used(q);
}
