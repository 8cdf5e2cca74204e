/* SPDX-License-Identifier: MIT */
/*
 * Split virtqueue: its life, the two rings, and who notifies whom.
 *
 * Theory of operation: the driver's indices are free-running 16-bit numbers in
 * memory that it may change at any time, so each is loaded once by an atomic
 * load and judged as a value. The orders that the protocol rests on:
 *
 *   driver fills ring, then avail.idx	  we load avail.idx (acquire), then the ring
 *   we fill the used ring		  then store used.idx (release), the driver reads
 *   we show used.idx, then look at	  the driver arms its event, then looks at
 *   its event or flags			  used.idx: one of the two sees the other
 *   we arm notifications, then look	  the driver shows avail.idx, then looks at
 *   at avail.idx once more		  our event or flags: likewise
 *
 * The last two need a full barrier between a store and a load. Both are
 * sequentially consistent accesses here; the store compiles to a locked
 * exchange, which is that barrier.
 *
 * Notifications are wanted from vq_start() on. With VIRTIO_F_EVENT_IDX (2.7.7,
 * 2.7.10) "off" is simply not moving avail_event: the driver has passed it.
 */
#include "virtio/queue.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <unistd.h>

#include "src/base/log.h"

/* Alignment of the parts (virtio 1.2, 2.7, table of alignments). */
#define DESC_ALIGN  16
#define AVAIL_ALIGN 2
#define USED_ALIGN  4

static const char *const fault_names[] = {
#define X(id, name) [VQ_FAULT_##id] = name,
	VQ_FAULTS(X)
#undef X
};

static_assert(ARRAY_SIZE(fault_names) == VQ_FAULT_COUNT, "a name for each fault");
static_assert(sizeof(struct vring_desc) == 16, "virtio 1.2, 2.7.5");
static_assert(sizeof(struct vring_used_elem) == 8, "virtio 1.2, 2.7.8");

/* Bytes of each part; the event fields count whether negotiated or not. */
static uint64_t desc_bytes(uint16_t size)
{
	return sizeof(struct vring_desc) * (uint64_t)size;
}

static uint64_t avail_bytes(uint16_t size)
{
	return sizeof(struct vring_avail) + sizeof(uint16_t) * ((uint64_t)size + 1);
}

static uint64_t used_bytes(uint16_t size)
{
	return sizeof(struct vring_used) + sizeof(struct vring_used_elem) * (uint64_t)size +
	       sizeof(uint16_t);
}

/* Where the driver says after which used entry it wants an interrupt. */
static uint16_t *used_event(const struct virtq *q)
{
	return &q->avail->ring[q->size];
}

/* Where we say after which available entry we want a kick. */
static uint16_t *avail_event(const struct virtq *q)
{
	return (uint16_t *)(void *)&q->used->ring[q->size];
}

/**
 * vq_fault_name() - metric label of @fault; any thread
 */
const char *vq_fault_name(enum vq_fault fault)
{
	BUG_ON((unsigned int)fault >= VQ_FAULT_COUNT);
	return fault_names[fault];
}

/**
 * vq_config_check() - may this queue be served?
 * @cfg:	the driver's, untrusted, but private to us; @cfg->ready is not looked at
 * @mem:	guest memory
 *
 * Size a power of two in 1..VQ_SIZE_MAX (H4), parts aligned, each wholly inside
 * one region of guest memory (H5). Virtio 1.2, 2.7. Any thread.
 * Return: 0; -EINVAL size or alignment; -EFAULT memory
 */
int vq_config_check(const struct vq_config *cfg, const struct gmem *mem)
{
	if (cfg->size > VQ_SIZE_MAX || !is_power_of_two(cfg->size))
		return -EINVAL;
	if (cfg->desc % DESC_ALIGN || cfg->avail % AVAIL_ALIGN || cfg->used % USED_ALIGN)
		return -EINVAL;
	if (!gmem_ptr(mem, cfg->desc, desc_bytes(cfg->size)) ||
	    !gmem_ptr(mem, cfg->avail, avail_bytes(cfg->size)) ||
	    !gmem_ptr(mem, cfg->used, used_bytes(cfg->size)))
		return -EFAULT;
	return 0;
}

/**
 * vq_start() - resolve the rings and begin to serve
 * @q:		@index, @n, @call_fd, @call_fn and @call_ctx are the caller's and
 *		set before; all else is set here
 * @cfg:	latched
 * @mem:	stays unchanged until vq_stop()
 * @features:	negotiated; the two ring features count
 * @next_avail:	where to go on in the avail ring, 0 for a fresh device
 *
 * The used index goes on from what ring memory says, as a vhost-user front-end
 * expects. Notifications are on. What the driver may have queued before is not
 * announced again: the caller processes the queue once and calls vq_call()
 * (H15). Serving thread. Return: 0 or vq_config_check()'s error
 */
int vq_start(struct virtq *q, const struct vq_config *cfg, const struct gmem *mem,
	     uint64_t features, uint16_t next_avail)
{
	int err = vq_config_check(cfg, mem);

	BUG_ON(!q->n);
	if (err == -EFAULT)
		vq_fault(q, VQ_FAULT_RING_MEMORY);
	if (err)
		return err;
	q->mem = mem;
	q->size = cfg->size;
	q->desc = gmem_ptr(mem, cfg->desc, desc_bytes(cfg->size));
	q->avail = gmem_ptr(mem, cfg->avail, avail_bytes(cfg->size));
	q->used = gmem_ptr(mem, cfg->used, used_bytes(cfg->size));
	q->event_idx = features & (1ULL << VIRTIO_RING_F_EVENT_IDX);
	q->indirect = features & (1ULL << VIRTIO_RING_F_INDIRECT_DESC);
	q->last_avail = q->avail_shadow = next_avail;
	q->used_next = __atomic_load_n(&q->used->idx, __ATOMIC_RELAXED);
	q->used_shown = q->last_call = q->used_next;
	q->broken = false;
	q->started = true;
	q->notify_off = true; /* unknown what the memory says: have it written */
	vq_notify_on(q);
	return 0;
}

/**
 * vq_stop() - forget the rings; chains still held are the caller's to use first
 *
 * @last_avail stays readable: it is where another device would go on.
 * Serving thread; harmless when not started.
 */
void vq_stop(struct virtq *q)
{
	q->started = false;
	q->desc = NULL;
	q->avail = NULL;
	q->used = NULL;
	q->mem = NULL;
}

/**
 * vq_pending() - chains that wait in the avail ring
 *
 * Reads avail.idx. An index that ran ahead by more than the queue's size breaks
 * the queue (H3). Serving thread. Return: 0..size; 0 when broken or stopped
 */
uint16_t vq_pending(struct virtq *q)
{
	uint16_t gap;

	if (!q->started || q->broken)
		return 0;
	q->avail_shadow = __atomic_load_n(&q->avail->idx, __ATOMIC_SEQ_CST);
	gap = (uint16_t)(q->avail_shadow - q->last_avail);
	if (unlikely(gap > q->size)) {
		vq_break(q, VQ_FAULT_AVAIL_GAP);
		return 0;
	}
	return gap;
}

/**
 * vq_use() - give a chain back
 * @head:	of the chain
 * @len:	bytes written to its writable part, no more (H12)
 *
 * Unseen by the driver before vq_publish(). Serving thread.
 */
void vq_use(struct virtq *q, uint16_t head, uint32_t len)
{
	struct vring_used_elem *e = &q->used->ring[q->used_next & (q->size - 1)];

	__atomic_store_n(&e->id, head, __ATOMIC_RELAXED);
	__atomic_store_n(&e->len, len, __ATOMIC_RELAXED);
	q->used_next++;
	counter_inc(&q->n->used);
}

/**
 * vq_call() - interrupt the driver now, wanted or not; serving thread
 */
void vq_call(struct virtq *q)
{
	const uint64_t one = 1;

	q->last_call = q->used_shown;
	counter_inc(&q->n->calls);
	if (q->call_fd >= 0) {
		/* It can only fail by a full counter, and then it is signalled already. */
		ssize_t ignored = write(q->call_fd, &one, sizeof(one));
		(void)ignored;
	} else if (q->call_fn) {
		q->call_fn(q->call_ctx, q->index);
	}
}

/* Does the driver want to hear of entries old..new? Virtio 1.2, 2.7.7.2. */
static bool call_wanted(const struct virtq *q, uint16_t old, uint16_t new)
{
	if (q->event_idx)
		return vring_need_event(__atomic_load_n(used_event(q), __ATOMIC_SEQ_CST), new, old);
	return !(__atomic_load_n(&q->avail->flags, __ATOMIC_SEQ_CST) & VRING_AVAIL_F_NO_INTERRUPT);
}

/**
 * vq_publish() - show all used entries, and interrupt if the driver wants it
 *
 * One store of used.idx and at most one interrupt for the whole batch. Nothing
 * new, or a broken queue: does nothing. Serving thread.
 * Return: true when the driver was interrupted
 */
bool vq_publish(struct virtq *q)
{
	uint16_t old = q->last_call;

	if (q->used_next == q->used_shown || !q->started || q->broken)
		return false;
	__atomic_store_n(&q->used->idx, q->used_next, __ATOMIC_SEQ_CST);
	q->used_shown = q->used_next;
	counter_inc(&q->n->publishes);
	if (!call_wanted(q, old, q->used_shown)) {
		q->last_call = q->used_shown;
		counter_inc(&q->n->calls_suppressed);
		return false;
	}
	vq_call(q);
	return true;
}

/**
 * vq_notify_off() - ask the driver not to kick; a hint, it may kick all the same
 */
void vq_notify_off(struct virtq *q)
{
	if (q->notify_off || !q->started)
		return;
	q->notify_off = true;
	if (!q->event_idx)
		__atomic_store_n(&q->used->flags, VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
}

/**
 * vq_notify_on() - ask for a kick at the next chain, and look once more
 *
 * Whoever sleeps calls this first, and stays awake if it says true: the chain
 * may have come before the driver could see that we want a kick.
 * Serving thread. Return: true when chains are waiting
 */
bool vq_notify_on(struct virtq *q)
{
	if (!q->started || q->broken)
		return false;
	if (q->event_idx) {
		if (q->notify_off)
			__atomic_store_n(&q->used->flags, 0, __ATOMIC_RELAXED);
		__atomic_store_n(avail_event(q), q->last_avail, __ATOMIC_SEQ_CST);
	} else if (q->notify_off) {
		__atomic_store_n(&q->used->flags, 0, __ATOMIC_SEQ_CST);
	}
	q->notify_off = false;
	return vq_pending(q) != 0;
}

/**
 * vq_fault() - count a fault of the driver; serving thread
 */
void vq_fault(struct virtq *q, enum vq_fault fault)
{
	counter_inc(&q->n->faults[fault]);
	log_limited(LOG_INFO, "virtio", "queue %u: driver's fault: %s", q->index,
		    vq_fault_name(fault));
}

/**
 * vq_break() - a fault after which the ring makes no sense: serve it no more
 *
 * The owner sees @broken and asks the driver for a reset. Serving thread.
 */
void vq_break(struct virtq *q, enum vq_fault fault)
{
	vq_fault(q, fault);
	if (q->broken)
		return;
	q->broken = true;
	log_limited(LOG_WARN, "virtio", "queue %u is broken (%s): it needs a reset", q->index,
		    vq_fault_name(fault));
}
