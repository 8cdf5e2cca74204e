/* SPDX-License-Identifier: MIT */
/*
 * The ring of messages between two threads.
 *
 * Theory of operation: a message is a header with its length and then its bytes,
 * in one piece. Where the rest of the buffer is too short for one, a header with
 * the length PAD fills it, and the message begins at the buffer's start. Only the
 * producer moves head and only the consumer tail; each publishes by a release
 * store what the other acquires.
 *
 * Sleeping: the consumer sets asleep, then looks at head; the producer moves head,
 * then looks at asleep. All four are sequentially consistent, so at least one of
 * them sees what the other did, and no message is slept over.
 */
#include "src/base/spsc.h"

#include <sys/eventfd.h>

/* The header of room that no message fits into. */
#define PAD UINT32_MAX

struct header {
	uint32_t len;
	uint32_t unused;
};

static_assert(sizeof(struct header) == SPSC_ALIGN, "messages are as aligned as their headers");

static struct header *header_at(const struct spsc *r, uint32_t pos)
{
	return (struct header *)(void *)(r->buf + (pos & (r->size - 1)));
}

static uint32_t space_of(uint32_t len)
{
	return (uint32_t)sizeof(struct header) + ALIGN_UP(len, (uint32_t)SPSC_ALIGN);
}

/**
 * spsc_init() - an empty ring
 * @buf:	aligned to SPSC_ALIGN; stays the caller's
 * @size:	a power of two
 * @wake_fd:	an eventfd; several rings may share one
 *
 * Before the other thread knows of it.
 */
void spsc_init(struct spsc *r, void *buf, uint32_t size, int wake_fd)
{
	BUG_ON(!is_power_of_two(size) || size < 2 * sizeof(struct header));
	*r = (struct spsc){ .buf = buf, .size = size, .wake_fd = wake_fd };
}

/**
 * spsc_reserve() - room for a message; the producer
 * @len:	bytes, at most a quarter of the ring
 *
 * What was reserved before and not committed is forgotten. Return: where to write,
 * or NULL when the ring is full, which is counted
 */
void *spsc_reserve(struct spsc *r, uint32_t len)
{
	uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
	uint32_t to_end = r->size - (head & (r->size - 1)), need = space_of(len);
	uint32_t pad = to_end < need ? to_end : 0;

	DEBUG_BUG_ON(len > r->size / 4);
	if (r->size - (head - tail) < need + pad) {
		counter_inc(&r->lost);
		return NULL;
	}
	if (pad)
		header_at(r, head)->len = PAD;
	header_at(r, head + pad)->len = len;
	r->next = head + pad + need;
	return header_at(r, head + pad) + 1;
}

/**
 * spsc_commit() - the message is complete; the producer
 */
void spsc_commit(struct spsc *r)
{
	atomic_store(&r->head, r->next);
	if (unlikely(atomic_load(&r->asleep)) && atomic_exchange(&r->asleep, false))
		(void)eventfd_write(r->wake_fd, 1); /* full: then it is awake anyway */
}

/**
 * spsc_peek() - the oldest message; the consumer
 * @len:	out: its bytes
 *
 * Good until spsc_release(). Return: NULL when there is none
 */
const void *spsc_peek(struct spsc *r, uint32_t *len)
{
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);
	const struct header *h;

	if (tail == head)
		return NULL;
	h = header_at(r, tail);
	if (h->len == PAD) {
		tail += r->size - (tail & (r->size - 1));
		atomic_store_explicit(&r->tail, tail, memory_order_release);
		h = header_at(r, tail);
	}
	*len = h->len;
	return h + 1;
}

/**
 * spsc_release() - done with what spsc_peek() has shown; the consumer
 */
void spsc_release(struct spsc *r)
{
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

	atomic_store_explicit(&r->tail, tail + space_of(header_at(r, tail)->len),
			      memory_order_release);
}

/**
 * spsc_may_sleep() - the consumer is about to wait for the eventfd
 *
 * Return: false when there is a message: then it must not. Either way it calls
 * spsc_awake() next, if true after its wait.
 */
bool spsc_may_sleep(struct spsc *r)
{
	atomic_store(&r->asleep, true);
	return atomic_load(&r->head) == atomic_load_explicit(&r->tail, memory_order_relaxed);
}

/**
 * spsc_awake() - the consumer looks at the ring by itself again
 */
void spsc_awake(struct spsc *r)
{
	atomic_store_explicit(&r->asleep, false, memory_order_relaxed);
}
