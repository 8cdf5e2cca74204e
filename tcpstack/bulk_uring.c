/* SPDX-License-Identifier: MIT */
/*
 * The engine that sends by io_uring: zero copies, tracked by the kernel.
 *
 * Theory of operation. The rules are those of bulk_zc.c: a flow begins by
 * copying, probes, and sends large batches by reference if the kernel did not
 * copy the probe. Only the way is another. A send is an entry of the submission
 * queue; it does not wait (MSG_DONTWAIT), so its result is there when the system
 * call returns. Its notification is a second completion that comes when the last
 * reference to the pages is gone. It costs no system call to read, and none to
 * wait for: an eventfd in the worker's epoll set says that there are some.
 *
 * A completion names the loan by index and generation and the send by number,
 * so one that comes after its flow has gone finds the loan that outlived it, or
 * nobody (H76). The kernel keeps pages and socket alive until then by itself.
 *
 * Many sandboxes forbid io_uring (H81). init() then says which call was refused,
 * and bulk_zc.c serves in its place; so it does where the kernel is too old to
 * say whether it copied (6.2).
 *
 * A ring is a way past seccomp: what it is told to do is no system call. So ours
 * is restricted, while it is still disabled, to the two sends; the kernel refuses
 * every other operation in it for good.
 *
 * Guest memory is not registered as fixed buffers: that pins all of it for good
 * (docs/experiments.md has what it would save).
 */
#include "tcpstack/zc_track.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tcpstack/limits.h"
#include "tcpstack/priv.h"

/* Of <linux/io_uring.h> of Linux 6.2, which older headers do not have. */
#define SEND_ZC_REPORT_USAGE (1U << 3)
#define NOTIF_USAGE_COPIED   (1U << 31)

/* A completion and a notification for each send that can be under way: none is ever lost. */
#define CQ_ENTRIES (2U * LIMIT_BULK_LOANS * ZC_SENDS_MAX)
#define SQ_ENTRIES 8U

/**
 * struct uring - in bulk.engine_priv
 * @ring:	the first member: a test looks at it
 * @event:	eventfd that the kernel adds to with each completion
 * @answered:	the send under way has its @result
 */
struct uring {
	struct io_uring ring;
	int event;
	bool answered;
	int result;
};

static struct uring *uring_of(const struct bulk *b)
{
	return b->engine_priv[BULK_URING];
}

/* Generation and index of the loan, and the low bits of the send's number. */
static uint64_t name_of(const struct bulk *b, const struct bulk_loan *ln, uint32_t send)
{
	struct pool_handle h = pool_handle_of(b->loans, ln);

	return (uint64_t)h.gen << 32 | (uint64_t)h.index << 16 | (send & 0xffff);
}

static_assert(LIMIT_BULK_LOANS <= 1 << 16, "an index has 16 bits in a name");

/* The loan of a name, and the number of the send; NULL when either is no more. */
static struct bulk_loan *find(const struct bulk *b, uint64_t name, uint32_t *send)
{
	struct pool_handle h = { .index = (uint32_t)(name >> 16 & 0xffff),
				 .gen = (uint32_t)(name >> 32) };
	struct bulk_loan *ln = pool_resolve(b->loans, h);
	const struct zc_track *t;
	uint16_t ahead;

	if (!ln)
		return NULL;
	t = zc_track_of(ln);
	ahead = (uint16_t)(name - t->base);
	*send = t->base + ahead;
	return ahead < t->next - t->base ? ln : NULL;
}

/* A send has its result. If it was taken, its end is known now. */
static void on_result(struct bulk *b, struct uring *u, const struct io_uring_cqe *cqe)
{
	uint32_t send;
	struct bulk_loan *ln = find(b, cqe->user_data, &send);

	u->answered = true;
	u->result = cqe->res;
	if (!ln)
		return;
	if (cqe->res > 0) {
		zc_track_taken(zc_track_of(ln), send, ln->q->sent + (uint64_t)cqe->res);
		zc_began(b, ln->q);
	}
	if (!(cqe->flags & IORING_CQE_F_MORE))
		zc_track_done(zc_track_of(ln), send, 1); /* nothing will follow */
}

static void on_notice(struct bulk *b, const struct io_uring_cqe *cqe)
{
	uint32_t send;
	struct bulk_loan *ln = find(b, cqe->user_data, &send);

	if (!ln)
		return;
	/* Of a send that was not taken the kernel says "copied", too. */
	if (zc_track_was_taken(zc_track_of(ln), send))
		zc_heard(b, ln, (uint32_t)cqe->res & NOTIF_USAGE_COPIED);
	zc_track_done(zc_track_of(ln), send, 1);
	ln->due = true; /* whoever took it may have been after something else */
}

/* Take what has completed. Releases nothing: that is for bulk_reap(). */
static void complete(struct bulk *b)
{
	struct uring *u = uring_of(b);
	struct io_uring_cqe *cqe;
	unsigned int head, n = 0;

	io_uring_for_each_cqe(&u->ring, head, cqe)
	{
		n++;
		if (cqe->flags & IORING_CQE_F_NOTIF)
			on_notice(b, cqe);
		else
			on_result(b, u, cqe);
	}
	io_uring_cq_advance(&u->ring, n);
}

static void on_event(void *ctx, uint32_t events)
{
	struct bulk *b = ctx;

	(void)events; /* edge-triggered, and so it need not be read */
	bulk_reap_all(b, &bulk_uring);
}

static ssize_t uring_send(struct bulk *b, int fd, struct bulk_queue *q, uint32_t *offered)
{
	struct uring *u = uring_of(b);
	struct iovec *iov = scratch_borrow(b->iov);
	struct msghdr msg = { .msg_iov = iov };
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
	int ret = 0;

	BUG_ON(!sqe); /* each send empties the queue */
	msg.msg_iovlen = bulk_gather(q, iov, b->iov->count, UINT32_MAX, offered);
	if (msg.msg_iovlen == 1)
		io_uring_prep_send_zc(sqe, fd, iov->iov_base, iov->iov_len,
				      MSG_DONTWAIT | MSG_NOSIGNAL, SEND_ZC_REPORT_USAGE);
	else
		io_uring_prep_sendmsg_zc(sqe, fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	sqe->ioprio |= SEND_ZC_REPORT_USAGE;
	sqe->user_data = name_of(b, q->loan, zc_track_open(zc_track_of(q->loan), q->sent));
	u->answered = false;
	io_uring_cq_eventfd_toggle(&u->ring, false);
	while (!u->answered && ret >= 0) {
		/* It does not wait in truth: MSG_DONTWAIT has its answer at once. */
		ret = io_uring_submit_and_wait(&u->ring, 1);
		if (ret == -EINTR || ret == -EAGAIN || ret == -EBUSY)
			ret = 0;
		complete(b);
	}
	io_uring_cq_eventfd_toggle(&u->ring, true);
	complete(b); /* what came before that */
	scratch_return(b->iov);
	BUG_ON(ret < 0);
	return u->result == -ENOMEM ? -ENOBUFS : u->result;
}

static int uring_open(struct bulk *b, struct bulk_loan *ln)
{
	(void)b;
	zc_track_init(zc_track_of(ln), 0, ln->sent);
	return 0;
}

static uint64_t uring_reap(struct bulk *b, struct bulk_loan *ln)
{
	complete(b);
	return zc_track_released(zc_track_of(ln), ln);
}

/* Is there what we need? Asked of the kernel, not of its version. */
static int probe(struct io_uring *ring)
{
	struct io_uring_probe *p = io_uring_get_probe_ring(ring);
	bool ok = p && io_uring_opcode_supported(p, IORING_OP_SEND_ZC) &&
		  io_uring_opcode_supported(p, IORING_OP_SENDMSG_ZC);

	io_uring_free_probe(p);
	return ok ? 0 : -EOPNOTSUPP;
}

/*
 * Nothing but the two sends from here on. By system calls: liburing 2.3 declares
 * their wrappers and does not export them.
 */
static int restrict_ring(const struct io_uring *ring)
{
	const struct io_uring_restriction only[] = {
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_SEND_ZC },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_SENDMSG_ZC },
	};

	if (syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_RESTRICTIONS, only,
		    ARRAY_SIZE(only)) < 0 ||
	    syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) <
		    0)
		return -errno;
	return 0;
}

static void uring_fini(struct bulk *b)
{
	struct uring *u = uring_of(b);

	loop_unwatch(b->st->loop, u->event);
	io_uring_queue_exit(&u->ring);
	close(u->event);
	free(u);
	b->engine_priv[BULK_URING] = NULL;
}

static int uring_init(struct bulk *b, char *why, size_t why_len)
{
	struct io_uring_params p = { .flags = IORING_SETUP_CQSIZE | IORING_SETUP_COOP_TASKRUN |
					      IORING_SETUP_R_DISABLED,
				     .cq_entries = CQ_ENTRIES };
	struct uring *u = calloc(1, sizeof(*u));
	const char *what = "memory";
	int ret = -ENOMEM;

	if (!u)
		goto out;
	what = "io_uring_setup";
	ret = io_uring_queue_init_params(SQ_ENTRIES, &u->ring, &p);
	if (ret < 0)
		goto out_free;
	what = "send_zc";
	ret = probe(&u->ring);
	if (ret < 0)
		goto out_ring;
	what = "eventfd";
	u->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = u->event < 0 ? -errno : io_uring_register_eventfd(&u->ring, u->event);
	if (ret == 0) {
		what = "restrictions";
		ret = restrict_ring(&u->ring);
	}
	if (ret == 0)
		ret = loop_watch(b->st->loop, u->event, EPOLLIN | EPOLLET, on_event, b);
	if (ret < 0)
		goto out_event;
	b->engine_priv[BULK_URING] = u;
	return 0;

out_event:
	if (u->event >= 0)
		close(u->event);
out_ring:
	io_uring_queue_exit(&u->ring);
out_free:
	free(u);
out:
	snprintf(why, why_len, "%s: %s", what, strerror(-ret));
	return ret;
}

const struct bulk_ops bulk_uring = {
	.name = "uring",
	.bytes = offsetof(struct stack_counters, bulk_uring_bytes),
	.notifies = true,
	.init = uring_init,
	.fini = uring_fini,
	.wants = zc_wants,
	.send = uring_send,
	.open = uring_open,
	.reap = uring_reap,
	.ended = zc_ended,
};
