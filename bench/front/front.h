/* SPDX-License-Identifier: MIT */
/*
 * The other side of the device: a vhost-user front-end and a virtio-net driver
 * in one process, for benches and tests. It speaks to any vhost-user net
 * back-end.
 *
 * A struct front owns a piece of shared memory, a receive and a transmit queue
 * in it, and the socket. Buffers are fixed slots of that memory. The driver
 * side follows virtio 1.2 section 2.7 the way Linux's does: notification
 * suppression both ways, EVENT_IDX where offered, one kick a batch.
 *
 * One thread at a time uses a queue; the two queues may be used by two threads.
 * Errors are -errno. Nothing here trusts the back-end less than a guest kernel
 * would: a used entry out of range ends the session with -EPROTO.
 */
#ifndef SLUICE_BENCH_FRONT_H
#define SLUICE_BENCH_FRONT_H

#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRONT_NET_HDR_LEN 12
#define FRONT_FRAME_MAX	  (FRONT_NET_HDR_LEN + 65535 + 18)

enum front_queue { FRONT_RX, FRONT_TX, FRONT_QUEUES };

/**
 * struct front_config - what to ask of the back-end
 * @socket:	path of its listening socket
 * @features:	virtio-net features to accept where offered
 * @queue_size:	entries of both queues, a power of two
 * @rx_buf:	bytes of one receive buffer
 * @tx_buf:	bytes of one transmit buffer; frame and 12-byte header
 * @wait_ms:	how long to wait for the socket to appear
 */
struct front_config {
	const char *socket;
	uint64_t features;
	uint16_t queue_size;
	uint32_t rx_buf, tx_buf;
	int wait_ms;
};

/**
 * struct front_vq - the driver's half of one split queue
 * @buf, @buf_size:	first buffer slot, bytes of each; slot i belongs to head i
 * @free, @nfree:	stack of idle descriptors
 * @avail_idx:		our avail.idx, published by front_publish()
 * @kicked_idx:		avail.idx when the back-end was last told
 * @used_idx:		next used entry to look at
 * @pieces:		most descriptors of one entry; more than 1: a page in each, as a
 *			driver without indirect descriptors has it
 */
struct front_vq {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint8_t *buf;
	uint32_t buf_size;
	uint16_t size;
	uint16_t avail_idx, kicked_idx, used_idx;
	uint16_t nfree;
	uint16_t pieces;
	uint16_t *free;
	bool event_idx;
	int kick_fd, call_fd;
	uint64_t kicks;
};

struct front {
	int sock;
	int mem_fd;
	uint8_t *mem;
	size_t mem_len;
	uint64_t offered, features;
	uint64_t proto_offered, proto;
	struct front_vq vq[FRONT_QUEUES];
};

/* front.c: the vhost-user protocol */
int front_open(struct front *f, const struct front_config *cfg);
void front_close(struct front *f);
int front_stop(struct front *f, uint16_t base[FRONT_QUEUES]);
int front_reset(struct front *f);
int front_restart(struct front *f, const uint16_t base[FRONT_QUEUES]);

/* driver.c: queues */
void front_vq_init(struct front_vq *q, uint16_t size, uint8_t *ring, uint8_t *buf,
		   uint32_t buf_size, uint16_t *free_stack);
void front_vq_reset(struct front_vq *q);
size_t front_ring_bytes(uint16_t size);
int front_vq_alloc(struct front_vq *q);
void front_vq_add(struct front_vq *q, uint16_t id, uint32_t len, bool writable);
bool front_vq_publish(struct front_vq *q);
int front_vq_used(struct front_vq *q, uint16_t *id, uint32_t *len);
void front_vq_release(struct front_vq *q, uint16_t id);
bool front_vq_has_used(const struct front_vq *q);
bool front_vq_has_room(const struct front_vq *q);
void front_vq_calls_off(struct front_vq *q);
bool front_vq_calls_on(struct front_vq *q);

static inline uint8_t *front_vq_buf(const struct front_vq *q, uint16_t id)
{
	return q->buf + (size_t)id * q->buf_size;
}

#endif
