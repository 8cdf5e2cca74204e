/* SPDX-License-Identifier: MIT */
/*
 * The one walker of descriptor chains (virtio 1.2, 2.7.5), for every queue of
 * every device, the control queues included (H9).
 *
 * Theory of operation: each descriptor is copied to private memory by one load
 * of each field, then judged, then used (H8). A chain has at most as many
 * descriptors as the queue (2.7.5.3.1; H1), so a cycle ends. It is whole or it
 * is nothing: any fault retires it with length 0, and no prefix of it is ever
 * handed to the device (H2). The walk then goes on with the next chain, so one
 * bad chain stops nothing (H7).
 */
#include <errno.h>

#include "virtio/queue.h"

/* A descriptor as it lies in guest memory; an indirect table may be unaligned. */
struct shared_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
} __attribute__((packed, may_alias));

static_assert(sizeof(struct shared_desc) == sizeof(struct vring_desc), "same layout");

static struct vring_desc desc_copy(const volatile struct shared_desc *d)
{
	return (struct vring_desc){
		.addr = d->addr, .len = d->len, .flags = d->flags, .next = d->next
	};
}

/**
 * struct walk - one chain on its way
 * @table, @entries:	the descriptor table, the queue's or an indirect one
 * @steps:		data descriptors seen so far
 * @in_table:		@table is an indirect one
 */
struct walk {
	struct virtq *q;
	enum vq_direction dir;
	struct vq_chain *chain;
	uint32_t iov_max;
	const volatile struct shared_desc *table;
	uint32_t entries;
	uint32_t steps;
	bool in_table;
};

/* All is well so far; any other value is an enum vq_fault. */
#define WALK_OK (-1)

/* Go over to the indirect table that @d names (2.7.5.3). */
static int enter_table(struct walk *w, const struct vring_desc *d)
{
	if (!w->q->indirect)
		return VQ_FAULT_INDIRECT_OFF;
	if (w->in_table || d->flags & VRING_DESC_F_NEXT)
		return VQ_FAULT_INDIRECT_NESTED;
	if (d->len == 0 || d->len % sizeof(*d) || d->len / sizeof(*d) > w->q->size)
		return VQ_FAULT_INDIRECT_SIZE;
	w->table = gmem_ptr(w->q->mem, d->addr, d->len);
	if (!w->table)
		return VQ_FAULT_DESC_MEMORY;
	w->entries = (uint32_t)(d->len / sizeof(*d));
	w->in_table = true;
	return WALK_OK;
}

/* Append the memory that @d names to the chain. */
static int take_buffer(struct walk *w, const struct vring_desc *d)
{
	struct vq_chain *c = w->chain;
	bool writable = d->flags & VRING_DESC_F_WRITE;
	uint32_t cnt = c->out_cnt + c->in_cnt;
	void *p;

	if ((writable && w->dir == VQ_READABLE) || (!writable && w->dir == VQ_WRITABLE))
		return VQ_FAULT_CHAIN_DIRECTION;
	if (!writable && c->in_cnt)
		return VQ_FAULT_DESC_ORDER;
	p = gmem_ptr(w->q->mem, d->addr, d->len);
	if (!p)
		return VQ_FAULT_DESC_MEMORY;
	if (d->len == 0)
		return WALK_OK;
	if (cnt == w->iov_max)
		return VQ_FAULT_CHAIN_LONG;
	c->iov[cnt] = (struct iovec){ p, d->len };
	if (writable) {
		c->in_cnt++;
		c->in_len += d->len;
	} else {
		c->out_cnt++;
		c->out_len += d->len;
	}
	return WALK_OK;
}

/* Walk the chain that begins at @w->chain->head. Return: WALK_OK or the fault */
static int walk_chain(struct walk *w)
{
	uint32_t i = w->chain->head;
	int fault;

	for (;;) {
		struct vring_desc d;

		if (i >= w->entries)
			return VQ_FAULT_DESC_INDEX;
		d = desc_copy(&w->table[i]);
		w->chain->descs += !w->in_table;
		if (d.flags & VRING_DESC_F_INDIRECT) {
			fault = enter_table(w, &d);
			if (fault != WALK_OK)
				return fault;
			i = 0;
			continue;
		}
		if (w->steps++ == w->q->size)
			return VQ_FAULT_CHAIN_LOOP;
		fault = take_buffer(w, &d);
		if (fault != WALK_OK)
			return fault;
		if (!(d.flags & VRING_DESC_F_NEXT))
			break;
		i = d.next;
	}
	return w->chain->out_len + w->chain->in_len ? WALK_OK : VQ_FAULT_CHAIN_EMPTY;
}

/* Take the next head off the avail ring. Return: 1, 0 when empty, -EPIPE */
static int next_head(struct virtq *q, uint16_t *head)
{
	if (q->last_avail == q->avail_shadow && vq_pending(q) == 0)
		return q->broken ? -EPIPE : 0;
	*head = __atomic_load_n(&q->avail->ring[q->last_avail & (q->size - 1)], __ATOMIC_RELAXED);
	if (unlikely(*head >= q->size)) {
		/* Nothing to retire it by: the ring itself is wrong. */
		vq_break(q, VQ_FAULT_DESC_INDEX);
		return -EPIPE;
	}
	q->last_avail++;
	counter_inc(&q->n->chains);
	return 1;
}

/**
 * vq_pop() - take the next good chain from the driver
 * @q:		a queue that this thread serves
 * @dir:	what the device expects; VQ_BOTH is readable, then writable
 * @chain:	out; points into @iov
 * @iov:	caller's array; VQ_SIZE_MAX entries hold every legal chain
 * @iov_max:	its entries
 *
 * Bad chains on the way are counted and retired with length 0; the caller
 * publishes them with the rest, also when this returns 0. One call retires at
 * most a queue's size of them, then says 0 with the rest still pending, so that
 * a driver that produces them without end stops nobody (H13).
 * Return: 1; 0 when there is none; -EPIPE when the queue is stopped or broken
 */
int vq_pop(struct virtq *q, enum vq_direction dir, struct vq_chain *chain, struct iovec *iov,
	   uint32_t iov_max)
{
	if (!q->started || q->broken)
		return -EPIPE;
	for (uint32_t tries = 0; tries < q->size; tries++) {
		uint16_t head;
		int fault, got = next_head(q, &head);

		if (got <= 0)
			return got;
		*chain = (struct vq_chain){ .head = head, .iov = iov };
		struct walk w = {
			.q = q,
			.dir = dir,
			.chain = chain,
			.iov_max = iov_max,
			.table = (const void *)q->desc,
			.entries = q->size,
		};
		fault = walk_chain(&w);
		if (likely(fault == WALK_OK))
			return 1;
		vq_fault(q, (enum vq_fault)fault);
		vq_use(q, head, 0);
	}
	return 0;
}

/**
 * vq_unpop() - put the @n chains popped last back, as if never taken
 *
 * Good for the last one always; for more only if vq_pop() retired no bad chain
 * between them, that is if @last_avail grew by one at each. Serving thread.
 */
void vq_unpop(struct virtq *q, uint16_t n)
{
	DEBUG_BUG_ON(n > q->size);
	q->last_avail = (uint16_t)(q->last_avail - n);
	counter_set(&q->n->chains, counter_get(&q->n->chains) - n);
}
