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
 * For an engine that copies, both fall together. What an engine sends by
 * reference is lent: the segment stays in its flow's loan until the engine's
 * reap() says that the stream up to its last such byte has been let go. Which
 * engine sends is chosen anew for each batch (bulk_auto.c).
 *
 * A loan outlives its flow: it then keeps the socket's descriptor, and goes with
 * its last segment (bulk_loan.c).
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
#include "tcpstack/bulk_trial.h"
#include "tcpstack/port.h"
#include "tcpstack/stack.h"

/* Pieces of guest memory that a segment can name; a frame with more is copied. */
#define BULK_SEG_IOV 20

/**
 * struct bulk_seg - consecutive payload bytes
 * @node:	in the queue's list or its loan's
 * @buf:	arena buffer that holds the bytes; NULL = they are in the guest's frame
 * @token:	of the frame, without @buf
 * @len:	bytes in all
 * @done:	of them, accepted by the socket
 * @descs:	of the frame in the guest's ring, 0 with @buf
 * @mark:	stream offset behind its last byte sent by reference, 0 = none was
 * @came_ns:	when its first byte was put into the queue
 * @lent_ns:	since when it is lent
 * @iov:	the bytes, @iovcnt entries
 */
struct bulk_seg {
	struct dlist node;
	uint8_t *buf;
	uint32_t token;
	uint32_t len;
	uint32_t done;
	uint32_t iovcnt;
	uint32_t descs;
	uint64_t mark;
	uint64_t came_ns;
	uint64_t lent_ns;
	struct iovec iov[BULK_SEG_IOV];
};

/* Engines by number, for masks and tables. */
enum bulk_engine { BULK_COPY, BULK_SPLICE, BULK_ZEROCOPY, BULK_URING, BULK_ENGINES };

struct bulk;
struct bulk_ops;
struct bulk_queue;

/**
 * struct bulk_loan - what one socket refers to of the guest's memory
 * @node:	in bulk.lending while there is any, else in bulk.idle
 * @lent:	segments accepted whole, not released, in order
 * @ops:	the engine
 * @q:		the flow's queue; NULL once the flow has ended
 * @fd:		the socket; without @q the loan's own, to be closed
 * @bytes, @segs:	in @lent
 * @sent:	stream offset: bytes that the socket has accepted by any engine
 * @released:	stream offset up to which nothing is referred to
 * @polled_ns:	when the engine was last asked
 * @due:	the engine knows that something was let go since it was last asked
 * @partial:	the queue's first segment, too, has bytes sent by reference
 * @fin:	the stream has ended with a FIN, one more than @sent
 * @disconnect:	without @q: the peer gets a RST when nothing is lent any more
 * @priv:	the engine's own
 *
 * Lies in a pool: an event that comes later names it by pool_handle_of() and
 * finds it, or finds that it is gone, by pool_resolve() (H76).
 */
struct bulk_loan {
	struct dlist node;
	struct dlist lent;
	const struct bulk_ops *ops;
	struct bulk_queue *q;
	int fd;
	uint32_t bytes;
	uint32_t segs;
	uint64_t sent;
	uint64_t released;
	uint64_t polled_ns;
	bool due;
	bool partial;
	bool fin;
	bool disconnect;
	uint64_t priv[16];
};

/**
 * struct bulk_queue - one flow's
 * @pending:	segments with bytes that the socket has not accepted, in order
 * @loan:	what was sent by reference; NULL = nothing
 * @sent:	bytes that the socket has accepted
 * @bytes:	not accepted
 * @segs:	in @pending
 * @frames, @descs:	guest frames in @pending, and their descriptors
 * @allowed:	engines by reference that this flow may use: bit 1 << enum bulk_engine
 * @by_ref:	of @sent, by reference
 * @fin:	the socket's sending side was shut down
 * @waiting:	for something lent to come back; the socket would take more
 * @fin_waits:	for all that is lent to come back
 * @engine_state:	the engine's own, beyond a loan's life; 0 at first
 */
struct bulk_queue {
	struct dlist pending;
	struct bulk_loan *loan;
	uint64_t sent;
	uint64_t by_ref;
	uint32_t bytes;
	uint32_t segs;
	uint32_t frames;
	uint32_t descs;
	uint8_t allowed;
	bool fin;
	bool waiting;
	bool fin_waits;
	uint32_t engine_state;
};

/**
 * struct bulk_ops - an engine; only @name and @send for the one that copies
 * @name:	as the user knows it
 * @bytes:	its counter in struct stack_counters, an offset
 * @send:	offer the queue's pending bytes to the socket @fd, from the first on,
 *		as many as one call takes. Returns how many the socket accepted and
 *		sets *@offered to how many were shown to it, or returns -errno. Does
 *		not change the queue. -EOPNOTSUPP: this engine cannot, for this flow,
 *		from now on; nothing was sent. -ENOBUFS: not this batch.
 * @notifies:	the kernel says by an event when it lets go, so that asking is a
 *		precaution
 * @wants:	should what is pending in @q go by this engine? NULL = always
 * @init:	make what all flows share. 0, or -errno with a line in @why: the
 *		engine is not to be had here.
 * @fini:	after an @init that succeeded; nothing is lent
 * @open:	the first batch of @ln->q by reference is near. 0, or -errno: never
 *		by this engine for this flow. May be NULL.
 * @reap:	the stream offset up to which the socket refers to nothing any more;
 *		never falls
 * @ended:	the flow has ended with bytes lent: hasten their return, where the
 *		engine can. May be NULL.
 * @close:	@ln goes, or serves another flow; nothing is lent. May be NULL.
 */
struct bulk_ops {
	const char *name;
	bool notifies;
	bool (*wants)(struct bulk *b, const struct bulk_queue *q);
	size_t bytes;
	ssize_t (*send)(struct bulk *b, int fd, struct bulk_queue *q, uint32_t *offered);
	int (*init)(struct bulk *b, char *why, size_t why_len);
	void (*fini)(struct bulk *b);
	int (*open)(struct bulk *b, struct bulk_loan *ln);
	uint64_t (*reap)(struct bulk *b, struct bulk_loan *ln);
	void (*ended)(struct bulk *b, struct bulk_loan *ln);
	void (*close)(struct bulk *b, struct bulk_loan *ln);
};

/* Longest line that says why an engine cannot be used. */
#define BULK_WHY_MAX 128

/**
 * struct bulk_probe - how the start of an engine went
 * @name:	as the user knows it, a literal
 * @err:	0 = it can be used, else -errno
 * @why:	one line, "" without an error
 */
struct bulk_probe {
	const char *name;
	int err;
	char why[BULK_WHY_MAX];
};

/**
 * struct bulk - what the queues of one stack share
 * @engines:	those that can be used, NULL = not
 * @probes:	how each of them came about
 * @engine_priv:	their own
 * @iov:	for the length of one send
 * @trial:	what each engine by reference has cost beside a copy, for `auto`
 * @judged:	the one of them that the batch in hand went by; NULL = it had no choice
 * @lending:	loans with something lent; @idle: without, least recently used first
 * @frames, @descs:	guest frames held by all queues, and their descriptors
 * @lent_frames, @lent_descs, @lent_bytes:	by all loans
 * @bytes:	not accepted, all queues
 * @on_room:	a queue that was waiting should be sent from again, or its FIN sent
 */
struct bulk {
	struct stack *st;
	const struct bulk_ops *engines[BULK_ENGINES];
	struct bulk_probe probes[BULK_ENGINES];
	void *engine_priv[BULK_ENGINES];
	struct bulk_trial trial[BULK_ENGINES];
	struct bulk_trial *judged;
	struct pool *segs, *bufs, *loans;
	struct scratch *iov;
	struct dlist lending, idle;
	uint32_t frames;
	uint32_t descs;
	uint32_t lent_frames;
	uint32_t lent_descs;
	uint64_t lent_bytes;
	uint64_t bytes;
	void (*on_room)(struct bulk *b, struct bulk_queue *q);
};

enum bulk_verdict {
	BULK_HELD,   /* the frame's token is ours until it is released */
	BULK_COPIED, /* the bytes are in the arena */
	BULK_FULL,   /* no room: nothing was taken */
};

static inline struct bulk_seg *bulk_seg_of(struct dlist *n)
{
	return container_of(n, struct bulk_seg, node);
}

/* bulk.c */
void bulk_init(struct bulk *b, struct stack *st, struct pool *segs, struct pool *bufs,
	       struct pool *loans, struct scratch *iov);
void bulk_queue_init(struct bulk_queue *q);
enum bulk_verdict bulk_put(struct bulk *b, struct bulk_queue *q, const struct tx_frame *frame,
			   uint32_t off, uint32_t len, bool may_hold);
ssize_t bulk_send(struct bulk *b, struct bulk_queue *q, int fd, uint32_t *offered);
bool bulk_may_keep(const struct bulk *b, uint32_t descs);
void bulk_park(struct bulk *b, struct bulk_queue *q);
void bulk_own(struct bulk *b, struct bulk_queue *q);
uint32_t bulk_held_bytes(const struct bulk_queue *q);
void bulk_fin_sent(struct bulk_queue *q);
bool bulk_end(struct bulk *b, struct bulk_queue *q, int fd);
uint32_t bulk_drop_frames(struct bulk *b, struct bulk_queue *q);
void bulk_seg_free(struct bulk *b, struct bulk_seg *seg);
uint32_t bulk_gather(const struct bulk_queue *q, struct iovec *iov, uint32_t max,
		     uint32_t max_bytes, uint32_t *bytes);

/* bulk_auto.c: which engines there are, and which one sends */
void bulk_engines_init(struct bulk *b);
void bulk_engines_fini(struct bulk *b);
void bulk_allow(struct bulk *b, struct bulk_queue *q, const struct ipaddr *peer);
const struct bulk_ops *bulk_pick(struct bulk *b, struct bulk_queue *q, int fd);

/* bulk_loan.c */
struct bulk_loan *bulk_loan_open(struct bulk *b, struct bulk_queue *q, enum bulk_engine e, int fd);
void bulk_lending(struct bulk *b, struct bulk_loan *ln, struct bulk_seg *seg);
void bulk_lend(struct bulk *b, struct bulk_loan *ln, struct bulk_seg *seg);
void bulk_reap(struct bulk *b, struct bulk_loan *ln);
void bulk_reap_all(struct bulk *b, const struct bulk_ops *ops);
void bulk_poll(struct bulk *b);
void bulk_wake(struct bulk *b);
bool bulk_loan_end(struct bulk *b, struct bulk_queue *q, int fd);
bool bulk_is_lent(const struct bulk_queue *q);
bool bulk_fin_must_wait(struct bulk_queue *q);
void bulk_disconnect(struct bulk *b, int fd);
void bulk_drain(struct bulk *b);
void bulk_abandon(struct bulk *b);

/* bulk_copy.c, bulk_splice.c, bulk_zc.c, bulk_uring.c */
extern const struct bulk_ops bulk_copy, bulk_splice, bulk_zc, bulk_uring;

#endif
