/* SPDX-License-Identifier: MIT */
/*
 * The engine that copies: one sendmsg over the pieces of all pending segments.
 * The kernel has its own copy when the call returns, so what it accepted is
 * released at once.
 */
#include "tcpstack/bulk.h"

#include <errno.h>
#include <sys/socket.h>

#include "tcpstack/frame.h"

/* Entries for what is left of @seg; fewer than it has when @max does not suffice. */
static uint32_t gather(const struct bulk_seg *seg, struct iovec *iov, uint32_t max, uint32_t *bytes)
{
	uint32_t skip = seg->done, n = 0;

	for (uint32_t i = 0; i < seg->iovcnt && n < max; i++) {
		size_t have = seg->iov[i].iov_len;

		if (skip >= have) {
			skip -= (uint32_t)have;
			continue;
		}
		iov[n].iov_base = (uint8_t *)seg->iov[i].iov_base + skip;
		iov[n].iov_len = have - skip;
		*bytes += (uint32_t)iov[n].iov_len;
		skip = 0;
		n++;
	}
	return n;
}

static ssize_t copy_send(struct bulk *b, int fd, struct bulk_queue *q, uint32_t *offered)
{
	struct iovec *iov = scratch_borrow(b->iov);
	struct msghdr msg = { .msg_iov = iov };
	struct dlist *n;
	ssize_t ret;

	*offered = 0;
	dlist_for_each (n, &q->pending) {
		if (msg.msg_iovlen == b->iov->count)
			break;
		msg.msg_iovlen += gather(container_of(n, struct bulk_seg, node),
					 iov + msg.msg_iovlen,
					 b->iov->count - (uint32_t)msg.msg_iovlen, offered);
	}
	ret = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (ret < 0)
		ret = -errno;
	scratch_return(b->iov);
	return ret;
}

const struct bulk_ops bulk_copy = {
	.name = "copy",
	.send = copy_send,
};
