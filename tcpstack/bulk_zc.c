/* SPDX-License-Identifier: MIT */
/*
 * The engine that sends by MSG_ZEROCOPY, and what it shares with io_uring's.
 *
 * Theory of operation. A send with MSG_ZEROCOPY leaves the pages where they are;
 * the kernel says on the socket's error queue when the last reference is gone,
 * and whether it copied after all. It copies whenever an skb would loop back
 * into this host's own receive path: loopback, veth, a bridge, a TAP. That makes
 * the kernel the judge of what no address can tell, which peers are really
 * elsewhere (H71): a flow begins by copying, sends one large batch by reference,
 * and copies on until that one is answered for. "Copied" settles it for the
 * flow's life, for such a send costs more than a copy. Otherwise large batches
 * go by reference from then on, and small ones, which cost more to account for
 * than to copy, do not.
 *
 * A notification makes the socket's EPOLLERR, and is no error. One that finds
 * no descriptor to be read from would be lost, so the loan keeps the socket when
 * its flow ends (H76); a flow that was reset is disconnected there and then,
 * which throws the write queue away and sets the pages free.
 *
 * The kernel charges each notification to the socket (net.core.optmem_max) and
 * pinned pages to the user (RLIMIT_MEMLOCK); out of either it answers ENOBUFS,
 * and the batch is copied.
 */
#include "tcpstack/zc_track.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "tcpstack/limits.h"
#include "tcpstack/priv.h"

/**
 * zc_track_init() - nothing is under way
 * @next:	number that the first send will have
 * @offset:	of the stream, where it will begin
 */
void zc_track_init(struct zc_track *t, uint32_t next, uint64_t offset)
{
	*t = (struct zc_track){ .next = next, .base = next, .upto = (uint32_t)offset };
}

/**
 * zc_track_open() - a send begins; not when zc_full()
 * @offset:	of the stream, where it begins
 *
 * Return: its number
 */
uint32_t zc_track_open(struct zc_track *t, uint64_t offset)
{
	DEBUG_BUG_ON(zc_full(t));
	t->end[t->next % ZC_SENDS_MAX] = (uint32_t)offset;
	t->taken &= ~(1U << t->next % ZC_SENDS_MAX);
	return t->next++;
}

/**
 * zc_track_taken() - the socket took send @send, up to stream offset @end
 */
void zc_track_taken(struct zc_track *t, uint32_t send, uint64_t end)
{
	t->end[send % ZC_SENDS_MAX] = (uint32_t)end;
	t->taken |= 1U << send % ZC_SENDS_MAX;
}

/**
 * zc_track_was_taken() - did the socket take anything of @send?
 */
bool zc_track_was_taken(const struct zc_track *t, uint32_t send)
{
	return t->taken >> send % ZC_SENDS_MAX & 1;
}

/**
 * zc_track_done() - sends @first and the @count - 1 after it are let go of
 *
 * Numbers that are not under way are ignored.
 */
void zc_track_done(struct zc_track *t, uint32_t first, uint32_t count)
{
	uint32_t out = t->next - t->base;

	for (uint32_t i = 0; i < out; i++) {
		if (t->base + i - first < count)
			t->done |= 1U << i;
	}
	while (t->done & 1) {
		t->done >>= 1;
		t->upto = t->end[t->base % ZC_SENDS_MAX];
		t->base++;
	}
}

/**
 * zc_track_released() - the stream offset that bulk_ops.reap() answers
 */
uint64_t zc_track_released(const struct zc_track *t, const struct bulk_loan *ln)
{
	int32_t more = (int32_t)(t->upto - (uint32_t)ln->released);

	if (zc_idle(t))
		return ln->sent;
	return more > 0 ? ln->released + (uint32_t)more : ln->released;
}

/**
 * zc_wants() - should what is pending go by reference?
 */
bool zc_wants(struct bulk *b, const struct bulk_queue *q)
{
	(void)b;
	switch (zc_phase(q)) {
	case ZC_NEW:
		return q->bytes >= LIMIT_BULK_ZC_PROBE_BYTES;
	case ZC_ON:
		return q->bytes >= LIMIT_BULK_SEG_MIN && q->engine_state < ZC_STATE_END &&
		       !(q->loan && zc_full(zc_track_of(q->loan)));
	case ZC_PROBING:
	case ZC_OFF:
		break;
	}
	return false;
}

/**
 * zc_began() - a batch of @q went by reference; its first is the probe
 */
void zc_began(struct bulk *b, struct bulk_queue *q)
{
	counter_inc(&b->st->n.bulk_zc_sends);
	if (zc_phase(q) == ZC_NEW)
		zc_set_phase(q, ZC_PROBING);
}

/**
 * zc_heard() - the kernel has answered for a send of @ln
 * @copied:	it has copied after all
 *
 * Of the probe, that settles it. Later it need not be true: io_uring (Linux 6.18)
 * says it of a send, too, whose bytes all went behind those of the one before
 * into one skb. So then it takes several in a row, as when the route has changed.
 */
void zc_heard(struct bulk *b, struct bulk_loan *ln, bool copied)
{
	struct zc_track *t = zc_track_of(ln);

	t->copied = copied ? t->copied + 1 : 0;
	if (copied)
		counter_inc(&b->st->n.bulk_zc_copied);
	if (!ln->q || zc_phase(ln->q) == ZC_OFF)
		return;
	if (!copied)
		zc_set_phase(ln->q, ZC_ON);
	else if (zc_phase(ln->q) == ZC_PROBING || t->copied >= LIMIT_BULK_ZC_COPIED)
		zc_set_phase(ln->q, ZC_OFF);
}

/**
 * zc_ended() - bulk_ops.ended() of both engines
 *
 * The write queue of a flow that was reset goes here, and with it what refers to
 * the guest's pages. One that ended in order still delivers.
 */
void zc_ended(struct bulk *b, struct bulk_loan *ln)
{
	struct linger l = { 0 };
	socklen_t len = sizeof(l);

	counter_inc(&b->st->n.syscalls);
	if (getsockopt(ln->fd, SOL_SOCKET, SO_LINGER, &l, &len) || !l.l_onoff || l.l_linger)
		return;
	bulk_disconnect(b, ln->fd);
}

static int zc_open(struct bulk *b, struct bulk_loan *ln)
{
	int one = 1;

	zc_track_init(zc_track_of(ln), ln->q->engine_state >> ZC_PHASE_BITS, ln->sent);
	if (zc_phase(ln->q) != ZC_NEW)
		return 0; /* an earlier loan has */
	counter_inc(&b->st->n.syscalls);
	if (setsockopt(ln->fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)) < 0) {
		int err = -errno;

		zc_set_phase(ln->q, ZC_OFF);
		return err;
	}
	return 0;
}

static ssize_t zc_send(struct bulk *b, int fd, struct bulk_queue *q, uint32_t *offered)
{
	struct iovec *iov = scratch_borrow(b->iov);
	struct msghdr msg = { .msg_iov = iov };
	ssize_t ret;

	msg.msg_iovlen = bulk_gather(q, iov, b->iov->count, UINT32_MAX, offered);
	ret = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_ZEROCOPY);
	if (ret < 0)
		ret = -errno;
	scratch_return(b->iov);
	if (ret > 0) {
		struct zc_track *t = zc_track_of(q->loan);

		zc_track_taken(t, zc_track_open(t, q->sent), q->sent + (uint64_t)ret);
		q->engine_state = t->next << ZC_PHASE_BITS | zc_phase(q);
		zc_began(b, q);
	}
	return ret;
}

/* The ranges that a message of the error queue answers for. */
static void take_notice(struct bulk *b, struct bulk_loan *ln, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		struct sock_extended_err e;

		if ((c->cmsg_level != SOL_IP || c->cmsg_type != IP_RECVERR) &&
		    (c->cmsg_level != SOL_IPV6 || c->cmsg_type != IPV6_RECVERR))
			continue;
		memcpy(&e, CMSG_DATA(c), sizeof(e));
		if (e.ee_origin != SO_EE_ORIGIN_ZEROCOPY || e.ee_errno != 0)
			continue;
		zc_track_done(zc_track_of(ln), e.ee_info, e.ee_data - e.ee_info + 1);
		zc_heard(b, ln, e.ee_code & SO_EE_CODE_ZEROCOPY_COPIED);
	}
}

static uint64_t zc_reap(struct bulk *b, struct bulk_loan *ln)
{
	struct zc_track *t = zc_track_of(ln);

	while (!zc_idle(t)) {
		union {
			struct cmsghdr align;
			char room[256];
		} ctl;
		struct msghdr msg = { .msg_control = ctl.room, .msg_controllen = sizeof(ctl) };

		counter_inc(&b->st->n.syscalls);
		if (recvmsg(ln->fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			break;
		take_notice(b, ln, &msg);
	}
	return zc_track_released(t, ln);
}

const struct bulk_ops bulk_zc = {
	.name = "zerocopy",
	.bytes = offsetof(struct stack_counters, bulk_zerocopy_bytes),
	.notifies = true,
	.wants = zc_wants,
	.send = zc_send,
	.open = zc_open,
	.reap = zc_reap,
	.ended = zc_ended,
};
