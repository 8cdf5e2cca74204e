/* SPDX-License-Identifier: MIT */
/*
 * Split virtqueues (virtio 1.2, section 2.7) seen from the device, and the one
 * walker of descriptor chains that every queue of every device uses.
 *
 * Life: the transport collects a struct vq_config from the driver, checks it,
 * and latches it at DRIVER_OK. vq_start() resolves the rings once; from then on
 * the queue belongs to the one thread that serves it.
 *
 * Ownership of descriptors: vq_pop() takes a chain from the driver. It stays
 * the device's until vq_use() gives it back with the bytes written; in any
 * order. The driver sees used entries only after vq_publish(), called once for
 * a batch. vq_unpop() returns the chains popped last as if never taken.
 *
 * Faults of the driver: a malformed chain is counted, retired with length 0,
 * and the walk goes on (H2, H7). A broken ring (index gap beyond the queue
 * size, head out of range, ring memory gone) sets @broken: nothing is served
 * any more and the device asks for a reset (H3).
 */
#ifndef SLUICE_VIRTIO_QUEUE_H
#define SLUICE_VIRTIO_QUEUE_H

#include <linux/virtio_ring.h>
#include <stdint.h>
#include <sys/uio.h>

#include "src/base/counter.h"
#include "virtio/mem.h"

/* Largest queue that we offer (virtio-net offers less by default). */
#define VQ_SIZE_MAX 1024

/**
 * struct vq_config - what the driver asked for, checked by vq_config_check()
 * @desc, @avail, @used:	guest physical addresses of the three parts
 * @size:		entries, a power of two, 1..VQ_SIZE_MAX
 * @ready:		the driver has enabled the queue
 */
struct vq_config {
	uint64_t desc, avail, used;
	uint16_t size;
	bool ready;
};

/* Why the walker refused a chain or a ring; metric labels, so stable. */
#define VQ_FAULTS(X)                                                                               \
	X(CHAIN_LOOP, "chain_loop")	      /* more descriptors than the queue has */            \
	X(DESC_INDEX, "desc_index")	      /* next or head beyond the table */                  \
	X(DESC_MEMORY, "desc_memory")	      /* address not in guest memory */                    \
	X(DESC_ORDER, "desc_order")	      /* readable descriptor behind a writable one */      \
	X(INDIRECT_SIZE, "indirect_size")     /* table length 0, odd or too long */                \
	X(INDIRECT_NESTED, "indirect_nested") /* indirect inside indirect, or with NEXT */         \
	X(INDIRECT_OFF, "indirect_off")	      /* not negotiated */                                 \
	X(CHAIN_EMPTY, "chain_empty")	      /* no bytes described */                             \
	X(CHAIN_DIRECTION, "chain_direction") /* readable where writable is due, or the reverse */ \
	X(CHAIN_SHORT, "chain_short")	      /* fewer bytes than the device's header */           \
	X(CHAIN_LONG, "chain_long")	      /* more bytes than the device takes */               \
	X(CHAIN_CONTENT, "chain_content")     /* header fields contradict each other */            \
	X(CHAIN_BUSY, "chain_busy")	      /* offered again while the device still has it */    \
	X(AVAIL_GAP, "avail_gap")	      /* avail.idx ran ahead by more than the size */      \
	X(RING_MEMORY, "ring_memory")	      /* a ring part is outside guest memory */

enum vq_fault {
#define X(id, name) VQ_FAULT_##id,
	VQ_FAULTS(X)
#undef X
		VQ_FAULT_COUNT
};

/**
 * struct vq_counters - single writer: the thread that serves the queue
 */
struct vq_counters {
	struct counter kicks;		 /* notifications received */
	struct counter chains;		 /* popped */
	struct counter used;		 /* retired */
	struct counter publishes;	 /* stores of used.idx */
	struct counter calls;		 /* interrupts sent */
	struct counter calls_suppressed; /* publishes that needed none */
	struct counter faults[VQ_FAULT_COUNT];
};

/**
 * struct vq_chain - one chain as popped
 * @head:	what vq_use() wants back
 * @iov:	@out_cnt readable entries, then @in_cnt writable ones, in the
 *		caller's array; host pointers, checked
 * @out_len, @in_len:	bytes of each part
 * @descs:	descriptors of the queue itself that it takes up, 1 for an indirect one
 */
struct vq_chain {
	uint16_t head;
	uint32_t out_cnt, in_cnt;
	uint64_t out_len, in_len;
	uint32_t descs;
	struct iovec *iov;
};

/* Called instead of the call eventfd where there is none. */
typedef void (*vq_call_fn)(void *ctx, uint16_t index);

/**
 * struct virtq - a running queue; fields are the serving thread's
 * @desc, @avail, @used:	the rings, resolved once
 * @last_avail:	next entry of the avail ring to take, free-running
 * @used_next:	next entry of the used ring to fill, free-running
 * @used_shown:	used.idx as the driver sees it
 * @last_call:	@used_shown when the driver was last interrupted or excused
 * @event_idx, @indirect:	negotiated
 * @notify_off:	we have asked the driver not to kick
 * @broken:	see above
 * @call_fd:	eventfd to signal the driver, -1 = @call_fn
 */
struct virtq {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	const struct gmem *mem;
	uint16_t size;
	uint16_t last_avail;
	uint16_t avail_shadow; /* avail.idx as last read */
	uint16_t used_next;
	uint16_t used_shown;
	uint16_t last_call;
	bool event_idx, indirect;
	bool notify_off;
	bool started;
	bool broken;
	uint16_t index;
	int call_fd;
	vq_call_fn call_fn;
	void *call_ctx;
	struct vq_counters *n;
};

/* queue.c: life and rings */
const char *vq_fault_name(enum vq_fault fault);
int vq_config_check(const struct vq_config *cfg, const struct gmem *mem);
int vq_start(struct virtq *q, const struct vq_config *cfg, const struct gmem *mem,
	     uint64_t features, uint16_t next_avail);
void vq_stop(struct virtq *q);
uint16_t vq_pending(struct virtq *q);
void vq_use(struct virtq *q, uint16_t head, uint32_t len);
bool vq_publish(struct virtq *q);
void vq_call(struct virtq *q);
void vq_notify_off(struct virtq *q);
bool vq_notify_on(struct virtq *q);
void vq_fault(struct virtq *q, enum vq_fault fault);
void vq_break(struct virtq *q, enum vq_fault fault);

/* walker.c: descriptors */

/* What a device expects of a chain; anything else is retired by vq_pop(). */
enum vq_direction { VQ_READABLE, VQ_WRITABLE, VQ_BOTH };

int vq_pop(struct virtq *q, enum vq_direction dir, struct vq_chain *chain, struct iovec *iov,
	   uint32_t iov_max);
void vq_unpop(struct virtq *q, uint16_t n);

#endif
