/* SPDX-License-Identifier: MIT */
/*
 * Guest memory that host sockets refer to: lent, asked after, released.
 *
 * Theory of operation. A flow that sends by reference has a loan. The segments
 * that its socket has accepted wait there in stream order, and the engine is
 * asked now and then how far the stream has been let go; whatever lies before
 * that is released, and its tokens go back to the port (H70). The engine is
 * asked when the flow reaches its bound, and at intervals that grow with the age
 * of what is lent: the first comes within LIMIT_BULK_POLL_MIN_NS, since a guest
 * that waits for its descriptors sends nothing, while a peer that has not read
 * for seconds is not worth a thousand questions.
 *
 * When a flow ends with something lent, its loan takes the socket over and
 * keeps it open: for a peer on this host the unread bytes *are* the guest's
 * pages, and once the connection is gone nobody can tell any more whether they
 * were read. So a reset of the guest's reaches such a peer behind the bytes that
 * came before it, and no sooner.
 *
 * A driver that goes takes its memory back at once. bulk_drain() then waits for
 * the readers, for a bounded time; bulk_abandon() resets what is left. See there
 * for what that costs.
 *
 * A loan without anything lent stays with its flow, for it knows the peer; it
 * is given to another flow when there is no free one left.
 */
#include "tcpstack/bulk.h"

#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "tcpstack/limits.h"
#include "tcpstack/priv.h"

static struct bulk_loan *loan_of(struct dlist *n)
{
	return container_of(n, struct bulk_loan, node);
}

static bool is_busy(const struct bulk_loan *ln)
{
	return ln->partial || !dlist_empty(&ln->lent);
}

/* The segment that has been lent for the longest; the loan is busy. */
static struct bulk_seg *oldest(struct bulk_loan *ln)
{
	return bulk_seg_of(dlist_empty(&ln->lent) ? ln->q->pending.next : ln->lent.next);
}

static void show(struct bulk *b)
{
	counter_set(&b->st->n.bulk_lent_bytes, b->lent_bytes);
	counter_set(&b->st->n.bulk_lent_frames, b->lent_frames);
}

static void loan_free(struct bulk *b, struct bulk_loan *ln)
{
	DEBUG_BUG_ON(is_busy(ln));
	if (ln->ops->close)
		ln->ops->close(b, ln);
	if (ln->q)
		ln->q->loan = NULL;
	dlist_del(&ln->node);
	pool_put(b->loans, ln);
}

/**
 * bulk_disconnect() - send a RST and throw away what the socket still has to send
 * @fd:		of a connection; it can only be closed afterwards
 *
 * Unlike an option it needs no memory and passes no filter of the host's.
 */
void bulk_disconnect(struct bulk *b, int fd)
{
	const struct sockaddr none = { .sa_family = AF_UNSPEC };

	counter_inc(&b->st->n.syscalls);
	(void)connect(fd, &none, sizeof(none));
}

/* The socket of a flow that has ended, if it is ours to close. */
static void close_orphan(struct bulk *b, struct bulk_loan *ln)
{
	if (ln->q || ln->fd < 0)
		return;
	if (ln->disconnect)
		bulk_disconnect(b, ln->fd);
	counter_inc(&b->st->n.syscalls);
	close(ln->fd);
	ln->fd = -1;
}

/* Nothing is lent any more. */
static void came_home(struct bulk *b, struct bulk_loan *ln)
{
	dlist_del(&ln->node);
	if (ln->q) {
		dlist_push_tail(&b->idle, &ln->node);
		return;
	}
	close_orphan(b, ln);
	loan_free(b, ln);
}

/**
 * bulk_loan_open() - the loan of @q with engine @e, which there is
 *
 * Return: NULL when the engine will not serve this flow (it is not asked again),
 * or when another one's loan is still out, or when there is no record left.
 */
struct bulk_loan *bulk_loan_open(struct bulk *b, struct bulk_queue *q, enum bulk_engine e, int fd)
{
	const struct bulk_ops *ops = b->engines[e];
	struct bulk_loan *ln = q->loan;

	if (ln && ln->ops == ops)
		return ln;
	if (ln) {
		if (is_busy(ln))
			return NULL;
		loan_free(b, ln);
	}
	ln = pool_get(b->loans);
	if (!ln) {
		if (dlist_empty(&b->idle))
			return NULL;
		loan_free(b, loan_of(b->idle.next));
		ln = pool_get(b->loans);
		BUG_ON(!ln);
	}
	memset(ln, 0, sizeof(*ln));
	dlist_init(&ln->lent);
	ln->ops = ops;
	ln->q = q;
	ln->fd = fd;
	ln->sent = ln->released = q->sent;
	ln->fin = q->fin;
	if (ops->open && ops->open(b, ln) < 0) {
		q->allowed &= (uint8_t) ~(1U << e);
		pool_put(b->loans, ln);
		return NULL;
	}
	dlist_init(&ln->node);
	dlist_push_tail(&b->idle, &ln->node);
	q->loan = ln;
	return ln;
}

/**
 * bulk_lending() - the socket refers to a part of @seg, which is not accepted whole yet
 */
void bulk_lending(struct bulk *b, struct bulk_loan *ln, struct bulk_seg *seg)
{
	uint64_t now = stack_now(b->st);

	if (!is_busy(ln)) {
		dlist_del(&ln->node);
		dlist_push_tail(&b->lending, &ln->node);
		ln->polled_ns = now;
	}
	if (!ln->partial)
		seg->lent_ns = now;
	ln->partial = true;
}

/**
 * bulk_lend() - @seg was accepted whole, and some of it by reference
 * @seg:	in no list any more; the loan's from now on
 */
void bulk_lend(struct bulk *b, struct bulk_loan *ln, struct bulk_seg *seg)
{
	bulk_lending(b, ln, seg);
	ln->partial = false;
	dlist_push_tail(&ln->lent, &seg->node);
	ln->bytes += seg->len;
	ln->segs++;
	b->lent_bytes += seg->len;
	b->lent_frames += !seg->buf;
	b->lent_descs += seg->descs;
}

static void release_to(struct bulk *b, struct bulk_loan *ln, uint64_t offset)
{
	ln->released = MAX(ln->released, offset);
	while (!dlist_empty(&ln->lent)) {
		struct bulk_seg *seg = bulk_seg_of(ln->lent.next);

		if (seg->mark > ln->released)
			break;
		ln->bytes -= seg->len;
		ln->segs--;
		b->lent_bytes -= seg->len;
		b->lent_frames -= !seg->buf;
		b->lent_descs -= seg->descs;
		counter_inc(&b->st->n.bulk_released);
		bulk_seg_free(b, seg);
	}
	if (ln->partial) {
		struct bulk_seg *seg = bulk_seg_of(ln->q->pending.next);

		if (seg->mark <= ln->released) {
			seg->mark = 0;
			ln->partial = false;
		}
	}
}

/**
 * bulk_reap() - ask the engine, and release what it has let go
 *
 * A loan whose flow has ended may be gone afterwards.
 */
void bulk_reap(struct bulk *b, struct bulk_loan *ln)
{
	if (!is_busy(ln))
		return;
	ln->polled_ns = stack_now(b->st);
	release_to(b, ln, ln->ops->reap(b, ln));
	ln->due = false;
	show(b);
	/* Even if nothing came: it may have waited enough. */
	if (ln->q && (ln->q->waiting || (ln->q->fin_waits && !is_busy(ln))))
		b->on_room(b, ln->q);
	if (!is_busy(ln))
		came_home(b, ln);
}

/**
 * bulk_reap_all() - ask the engine @ops after all that it has lent
 */
void bulk_reap_all(struct bulk *b, const struct bulk_ops *ops)
{
	struct dlist *n, *tmp;

	dlist_for_each_safe (n, tmp, &b->lending) {
		if (loan_of(n)->ops == ops)
			bulk_reap(b, loan_of(n));
	}
}

/* When to ask again: sooner of what is young. An orphan's events reach nobody. */
static uint64_t next_poll(struct bulk_loan *ln, uint64_t now)
{
	uint64_t age = now - oldest(ln)->lent_ns;
	uint64_t least = LIMIT_BULK_POLL_MIN_NS;

	if (ln->due)
		return now;
	if (ln->ops->notifies && ln->q)
		return ln->polled_ns +
		       (ln->q->waiting ? LIMIT_BULK_WAIT_NS : LIMIT_BULK_POLL_MAX_NS);
	if (ln->bytes >= LIMIT_BULK_LENT_HURRY)
		least /= 4;
	return ln->polled_ns + MIN(MAX(age / 4, least), (uint64_t)LIMIT_BULK_POLL_MAX_NS);
}

/**
 * bulk_poll() - at the beginning of a cycle: ask after what is due
 */
void bulk_poll(struct bulk *b)
{
	uint64_t now = stack_now(b->st);
	struct dlist *n, *tmp;

	dlist_for_each_safe (n, tmp, &b->lending) {
		if (next_poll(loan_of(n), now) <= now)
			bulk_reap(b, loan_of(n));
	}
}

/**
 * bulk_wake() - at the end of a cycle: be woken for what is due next
 *
 * Also for what was lent in this very cycle: a flow that is silent afterwards has
 * nothing else to wake for.
 */
void bulk_wake(struct bulk *b)
{
	uint64_t now = stack_now(b->st), wake = UINT64_MAX;
	struct dlist *n;

	dlist_for_each (n, &b->lending)
		wake = MIN(wake, next_poll(loan_of(n), now));
	if (wake != UINT64_MAX)
		loop_wake_by(b->st->loop, wake);
	show(b);
}

/**
 * bulk_is_lent() - does the flow's socket refer to the guest's memory?
 */
bool bulk_is_lent(const struct bulk_queue *q)
{
	return q->loan && is_busy(q->loan);
}

/**
 * bulk_fin_must_wait() - would a FIN now hide who still reads what is lent?
 *
 * Once both ends have sent theirs, the kernel takes the peer's socket out of its
 * tables, be it TIME-WAIT or CLOSE, while its program may go on reading; who asks
 * after it finds nobody. on_room() tells when the wait is over.
 */
bool bulk_fin_must_wait(struct bulk_queue *q)
{
	q->fin_waits = bulk_is_lent(q) && !q->loan->ops->notifies;
	return q->fin_waits;
}

/**
 * bulk_loan_end() - the flow of @q ends; none of its segments is left in the queue
 *
 * Return: true when something is lent, and the loan has taken @fd over
 */
bool bulk_loan_end(struct bulk *b, struct bulk_queue *q, int fd)
{
	struct bulk_loan *ln = q->loan;

	if (!ln)
		return false;
	bulk_reap(b, ln);
	if (!is_busy(ln)) {
		loan_free(b, ln);
		return false;
	}
	loop_del(b->st->loop, fd);
	q->loan = NULL;
	ln->q = NULL;
	ln->fd = fd;
	if (ln->ops->ended)
		ln->ops->ended(b, ln);
	return true;
}

/**
 * bulk_drain() - the driver goes: give readers a moment to take what is lent
 *
 * The one place where the worker waits, LIMIT_BULK_DRAIN_NS at the most, and
 * only if something is lent; a reader that reads at all is done in a fraction.
 */
void bulk_drain(struct bulk *b)
{
	const struct timespec step = { .tv_nsec = LIMIT_BULK_POLL_MIN_NS };

	for (uint64_t ns = 0; ns <= LIMIT_BULK_DRAIN_NS; ns += LIMIT_BULK_POLL_MIN_NS) {
		struct dlist *n, *tmp;

		dlist_for_each_safe (n, tmp, &b->lending)
			bulk_reap(b, loan_of(n));
		if (dlist_empty(&b->lending))
			return;
		nanosleep(&step, NULL);
	}
}

/**
 * bulk_abandon() - the driver's memory goes: nothing stays lent
 *
 * After bulk_drain(), and after the flows that still lent were ended. Their
 * connections are reset, which purges what the sockets had not delivered. What a
 * peer on this host had received and not read stays in its queue, by reference,
 * and Linux lets it be read before the reset is reported: if the guest's next
 * driver writes to those pages first, that peer reads the new bytes. It can only
 * be one that had not read for LIMIT_BULK_DRAIN_NS, from a connection that then
 * fails. Counted in bulk_abandoned.
 */
void bulk_abandon(struct bulk *b)
{
	struct dlist *n, *tmp;

	dlist_for_each_safe (n, tmp, &b->lending) {
		struct bulk_loan *ln = loan_of(n);

		BUG_ON(ln->q);
		ln->disconnect = true;
		close_orphan(b, ln);
		counter_add(&b->st->n.bulk_abandoned, ln->segs);
		release_to(b, ln, UINT64_MAX);
		came_home(b, ln);
	}
	show(b);
}
