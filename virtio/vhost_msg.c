/* SPDX-License-Identifier: MIT */
/*
 * Messages of vhost-user: whole ones out of a nonblocking stream.
 *
 * Theory of operation: a message is a 12-byte header and a payload whose length
 * the header gives; descriptors ride on the header's first byte. Bytes are
 * gathered in struct vu_input across as many reads as it takes, so a front-end
 * that sends half a message holds up nobody. Every descriptor that arrives sits
 * in @fds until a handler takes it; what is left is closed by vu_input_reset().
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/log.h"
#include "virtio/vhost_priv.h"

/* Descriptors of a message: into @in, or closed when there are too many. */
static int gather_fds(struct vu_input *in, struct msghdr *msg)
{
	int ret = msg->msg_flags & MSG_CTRUNC ? -EMFILE : 0;
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (in->nfds < VU_FDS_MAX) {
				in->fds[in->nfds++] = fd;
			} else {
				close(fd);
				ret = -EMFILE;
			}
		}
	}
	return ret;
}

/* Read up to @want bytes in all. Return: 1 when they are there, 0 not yet, -errno. */
static int gather(int conn, struct vu_input *in, uint32_t want)
{
	while (in->have < want) {
		union {
			struct cmsghdr align;
			char buf[CMSG_SPACE(sizeof(int) * VU_FDS_MAX)];
		} control;
		struct iovec iov = { (uint8_t *)&in->msg + in->have, want - in->have };
		struct msghdr msg = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.buf,
			.msg_controllen = sizeof(control.buf),
		};
		ssize_t n = recvmsg(conn, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		int ret;

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		ret = gather_fds(in, &msg);
		if (ret < 0)
			return ret;
		if (n == 0)
			return -ECONNRESET;
		in->have += (uint32_t)n;
	}
	return 1;
}

/**
 * vu_receive() - take what has arrived of the next message
 * @conn:	connected socket
 * @in:		zeroed, or as the previous call left it
 *
 * Return: 1 when @in->msg is whole, 0 when more must come, -EPROTO for a
 * version or length that no message has, -EMFILE for too many descriptors,
 * -ECONNRESET at the end
 */
int vu_receive(int conn, struct vu_input *in)
{
	int ret = gather(conn, in, VU_HEADER_LEN);

	if (ret <= 0)
		return ret;
	if ((in->msg.flags & VU_VERSION_MASK) != VU_VERSION || (in->msg.flags & VU_REPLY) ||
	    in->msg.size > VU_PAYLOAD_MAX)
		return -EPROTO;
	return gather(conn, in, VU_HEADER_LEN + in->msg.size);
}

/**
 * vu_take_fd() - the message's first descriptor, now the caller's; -1 = none left
 */
int vu_take_fd(struct vu_input *in)
{
	for (uint32_t i = 0; i < in->nfds; i++) {
		int fd = in->fds[i];

		in->fds[i] = -1;
		if (fd >= 0)
			return fd;
	}
	return -1;
}

/**
 * vu_input_reset() - done with a message: close what nobody took
 */
void vu_input_reset(struct vu_input *in)
{
	for (uint32_t i = 0; i < in->nfds; i++) {
		if (in->fds[i] >= 0)
			close(in->fds[i]);
	}
	memset(in, 0, sizeof(*in));
}

/**
 * vu_send() - answer
 * @msg:	@request and the payload of @size bytes are set; the flags are not
 *
 * A front-end that does not read its answers while the socket's buffer is full
 * loses its session. Return: 0 or -errno
 */
int vu_send(int conn, struct vu_message *msg)
{
	size_t len = VU_HEADER_LEN + msg->size;
	ssize_t n;

	msg->flags = VU_VERSION | VU_REPLY;
	n = send(conn, msg, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EAGAIN;
}
