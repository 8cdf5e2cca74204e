/* SPDX-License-Identifier: MIT */
/*
 * Guest payload on its way to a host socket, and the engines that carry it.
 *
 * A frame's payload becomes a segment in its flow's queue. Two events in a
 * segment's life are kept apart:
 *
 *   accepted	the socket took the bytes: they may be ACKed to the guest;
 *   released	nothing refers to the guest's memory any more: the frame's token
 *		goes back to the port.
 *
 * For an engine that copies, both fall together. One that sends by reference
 * keeps accepted segments in the list `lent` until its reap() says otherwise.
 *
 * A segment lies either in the guest's frame, whose token it holds, or in an
 * arena buffer that it owns; several frames' bytes may share one buffer. All on
 * the stack's thread; nothing here allocates after bulk_init().
 */
#ifndef SLUICE_TCPSTACK_BULK_H
#define SLUICE_TCPSTACK_BULK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "arena/arena.h"
#include "src/base/dlist.h"
#include "tcpstack/port.h"

struct stack;

/* Pieces of guest memory that a segment can name; a frame with more is copied. */
#define BULK_SEG_IOV 20

/**
 * struct bulk_seg - consecutive payload bytes
 * @node:	in one of the queue's lists
 * @buf:	arena buffer that holds the bytes; NULL = they are in the guest's frame
 * @token:	of the frame, without @buf
 * @len:	bytes in all
 * @done:	of them, accepted by the socket
 * @iov:	the bytes, @iovcnt entries
 */
struct bulk_seg {
	struct dlist node;
	uint8_t *buf;
	uint32_t token;
	uint32_t len;
	uint32_t done;
	uint32_t iovcnt;
	struct iovec iov[BULK_SEG_IOV];
};

/**
 * struct bulk_queue - one flow's
 * @pending:	segments with bytes that the socket has not accepted, in order
 * @lent:	accepted whole, not yet released, in order
 * @bytes:	not accepted
 * @frames:	guest frames held, in both lists
 */
struct bulk_queue {
	struct dlist pending;
	struct dlist lent;
	uint32_t bytes;
	uint32_t frames;
};

struct bulk;

/**
 * struct bulk_ops - an engine
 * @name:	as the user knows it
 * @send:	offer the queue's pending bytes to the socket @fd, from the first on,
 *		as many as one call takes. Returns how many the socket accepted and
 *		sets *@offered to how many were shown to it, or returns -errno. Does
 *		not change the queue.
 * @reap:	how many segments at the head of @lent are released now; NULL for an
 *		engine that copies: all of them
 */
struct bulk_ops {
	const char *name;
	ssize_t (*send)(struct bulk *b, int fd, struct bulk_queue *q, uint32_t *offered);
	uint32_t (*reap)(struct bulk *b, struct bulk_queue *q);
};

/**
 * struct bulk - what the queues of one stack share
 * @iov:	for the length of one send
 * @frames:	guest frames held by all queues
 * @bytes:	not accepted, all queues
 */
struct bulk {
	struct stack *st;
	const struct bulk_ops *ops;
	struct pool *segs, *bufs;
	struct scratch *iov;
	uint32_t frames;
	uint64_t bytes;
};

enum bulk_verdict {
	BULK_HELD,   /* the frame's token is ours until it is released */
	BULK_COPIED, /* the bytes are in the arena */
	BULK_FULL,   /* no room: nothing was taken */
};

/* bulk.c */
void bulk_init(struct bulk *b, struct stack *st, const struct bulk_ops *ops, struct pool *segs,
	       struct pool *bufs, struct scratch *iov);
void bulk_queue_init(struct bulk_queue *q);
enum bulk_verdict bulk_put(struct bulk *b, struct bulk_queue *q, const struct tx_frame *frame,
			   uint32_t off, uint32_t len, bool may_hold);
ssize_t bulk_send(struct bulk *b, struct bulk_queue *q, int fd, uint32_t *offered);
void bulk_park(struct bulk *b, struct bulk_queue *q);
void bulk_clear(struct bulk *b, struct bulk_queue *q);
uint32_t bulk_drop_frames(struct bulk *b, struct bulk_queue *q);

/* bulk_copy.c */
extern const struct bulk_ops bulk_copy;

#endif
