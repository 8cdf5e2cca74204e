/* SPDX-License-Identifier: MIT */
/*
 * The engine that copies: one sendmsg over the pieces of all pending segments.
 * The kernel has its own copy when the call returns, so what it accepted is
 * released at once.
 */
#include "tcpstack/bulk.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>

static ssize_t copy_send(struct bulk *b, int fd, struct bulk_queue *q, uint32_t *offered)
{
	struct iovec *iov = scratch_borrow(b->iov);
	struct msghdr msg = { .msg_iov = iov };
	ssize_t ret;

	msg.msg_iovlen = bulk_gather(q, iov, b->iov->count, UINT32_MAX, offered);
	ret = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (ret < 0)
		ret = -errno;
	scratch_return(b->iov);
	return ret;
}

const struct bulk_ops bulk_copy = {
	.name = "copy",
	.bytes = offsetof(struct stack_counters, bulk_copy_bytes),
	.send = copy_send,
};
