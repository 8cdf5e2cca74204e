/* SPDX-License-Identifier: MIT */
/*
 * The engine that gives pages away: vmsplice to a pipe, splice to the socket.
 *
 * Theory of operation. The pages of the guest's payload are put into a pipe and
 * from there into the socket, by reference. What the socket does not take is
 * still in its segments, so the pipe's remainder is thrown away, to /dev/null,
 * by reference as well. The pipe is therefore clean between calls, one pipe
 * serves all flows, and none can find another's bytes in it (H73). Headers never
 * enter.
 *
 * To a peer on this host the pages travel as they are, through our write queue
 * into its receive queue. An ACK moves them from one to the other, and means
 * nothing (H71). What the peer's program has read is told by sock_diag: of all
 * that our socket took, less what is in our queue, less what is in the peer's.
 * In this order: a byte that moves between the two questions is then counted
 * twice, never not at all.
 *
 * This is an oracle for peers that read. One that splices or tees what it
 * receives, or maps it, takes pages out of its queue and not out of use. So the
 * engine serves only peers for which the operator has vouched.
 *
 * When the peer's socket is no longer found, its program has closed it, and
 * close(2) empties the receive queue. A socket that has sent and received a FIN is
 * not found either, and can be read from: so ours is sent when nothing is lent
 * (bulk_fin_must_wait()). A socket that was aborted under its owner
 * (`ss -K`, a user timeout) is gone likewise, while its owner may read on: the
 * one case in which a page is released that could still be read. The same holds
 * after a RST of ours, which is why none is sent while something is lent.
 *
 * The stack's thread must have SIGPIPE blocked or ignored: splice(2) has no
 * MSG_NOSIGNAL.
 */
#include "tcpstack/bulk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tcpstack/limits.h"
#include "tcpstack/priv.h"
#include "tcpstack/sockdiag.h"

/**
 * struct splice - what all flows share
 * @pipe:	empty between calls
 * @size:	bytes that it holds if they lie in whole pages (H75)
 * @null:	/dev/null
 * @diag:	of sockdiag_open()
 */
struct splice {
	int pipe[2];
	uint32_t size;
	int null;
	int diag;
};

static struct splice *splice_of(const struct bulk *b)
{
	return b->engine_priv[BULK_SPLICE];
}

static struct sockdiag_peer *peer_of(struct bulk_loan *ln)
{
	static_assert(sizeof(struct sockdiag_peer) <= sizeof(ln->priv), "fits in a loan");
	return (struct sockdiag_peer *)ln->priv;
}

static void syscalls(struct bulk *b, uint32_t n)
{
	counter_add(&b->st->n.syscalls, n);
}

/* An empty pipe of the size that a user may have. */
static int make_pipe(struct splice *s)
{
	int size;

	if (pipe2(s->pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
		s->pipe[0] = s->pipe[1] = -1;
		return -errno;
	}
	for (size = LIMIT_SPLICE_PIPE_BYTES; size >= LIMIT_SPLICE_PIPE_MIN; size /= 2) {
		int have = fcntl(s->pipe[1], F_SETPIPE_SZ, size);

		if (have >= size) {
			s->size = (uint32_t)have;
			return 0;
		}
	}
	return -EPERM;
}

static void close_pipe(struct splice *s)
{
	for (int i = 0; i < 2; i++) {
		if (s->pipe[i] >= 0)
			close(s->pipe[i]);
		s->pipe[i] = -1;
	}
}

static void splice_fini(struct bulk *b)
{
	struct splice *s = splice_of(b);

	close_pipe(s);
	if (s->null >= 0)
		close(s->null);
	if (s->diag >= 0)
		close(s->diag);
	free(s);
	b->engine_priv[BULK_SPLICE] = NULL;
}

static int splice_init(struct bulk *b, char *why, size_t why_len)
{
	struct splice *s = calloc(1, sizeof(*s));
	const char *what = "memory";
	int err = -ENOMEM;

	if (!s)
		goto fail;
	*s = (struct splice){ .pipe = { -1, -1 }, .null = -1, .diag = -1 };
	b->engine_priv[BULK_SPLICE] = s;
	what = "pipe";
	err = make_pipe(s);
	if (err < 0)
		goto fail;
	what = "/dev/null";
	s->null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	err = -errno;
	if (s->null < 0)
		goto fail;
	what = "sock_diag, the oracle";
	s->diag = sockdiag_open();
	err = s->diag;
	if (s->diag < 0)
		goto fail;
	return 0;

fail:
	snprintf(why, why_len, "%s: %s", what, strerror(-err));
	if (s)
		splice_fini(b);
	return err;
}

/* Is there a peer on this host whose queue can be watched? */
static int splice_open(struct bulk *b, struct bulk_loan *ln)
{
	struct sockdiag_peer *p = peer_of(ln);
	union sockaddr_any here, there;
	socklen_t here_len = sizeof(here), there_len = sizeof(there);
	uint32_t unread;

	syscalls(b, 4);
	if (getsockname(ln->fd, &here.sa, &here_len) < 0 ||
	    getpeername(ln->fd, &there.sa, &there_len) < 0)
		return -errno;
	*p = (struct sockdiag_peer){ .known = false };
	if (endpoint_from_sockaddr(&here, &p->here) < 0 ||
	    endpoint_from_sockaddr(&there, &p->there) < 0)
		return -EAFNOSUPPORT;
	return sockdiag_unread(splice_of(b)->diag, p, &unread);
}

static uint64_t splice_reap(struct bulk *b, struct bulk_loan *ln)
{
	uint64_t total = ln->sent + ln->fin;
	uint32_t unread;
	int outq, err;

	syscalls(b, 3);
	if (ioctl(ln->fd, SIOCOUTQ, &outq) < 0)
		return ln->released;
	err = sockdiag_unread(splice_of(b)->diag, peer_of(ln), &unread);
	if (err == -ENOENT)
		return UINT64_MAX;
	if (err < 0 || (uint64_t)outq + unread > total)
		return ln->released;
	return total - (uint64_t)outq - unread;
}

/* What the socket did not take goes; if ever that fails, so does the pipe. */
static void clean_pipe(struct bulk *b, uint32_t left)
{
	struct splice *s = splice_of(b);

	while (left) {
		ssize_t n = splice(s->pipe[0], NULL, s->null, NULL, left, SPLICE_F_NONBLOCK);

		syscalls(b, 1);
		if (n <= 0) {
			close_pipe(s);
			if (make_pipe(s) < 0)
				log_limited(LOG_WARN, "bulk", "splice: no pipe for now: %s",
					    strerror(errno));
			return;
		}
		left -= (uint32_t)n;
	}
}

static ssize_t splice_send(struct bulk *b, int fd, struct bulk_queue *q, uint32_t *offered)
{
	struct splice *s = splice_of(b);
	struct iovec *iov;
	uint32_t bytes, cnt, left, out = 0;
	ssize_t in, n = 0;

	if (s->pipe[0] < 0 && make_pipe(s) < 0)
		return -ENOBUFS;
	iov = scratch_borrow(b->iov);
	cnt = bulk_gather(q, iov, b->iov->count, s->size, &bytes);
	in = vmsplice(s->pipe[1], iov, cnt, SPLICE_F_NONBLOCK);
	scratch_return(b->iov);
	syscalls(b, 1);
	/* A want of memory passes: it is no reason never to ask again. */
	if (in <= 0)
		return in < 0 && (errno == EAGAIN || errno == ENOMEM) ? -ENOBUFS : -EOPNOTSUPP;
	*offered = (uint32_t)in;
	while (out < *offered) {
		n = splice(s->pipe[0], NULL, fd, NULL, *offered - out,
			   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
		syscalls(b, 1);
		if (n <= 0)
			break;
		out += (uint32_t)n;
	}
	left = *offered - out;
	/* Stopped, but not by a full socket: no event will follow, so the rest is shown again. */
	if (out && n < 0 && errno != EAGAIN)
		*offered = out;
	if (out)
		n = out;
	else
		n = n < 0 ? -errno : -EAGAIN;
	if (left)
		clean_pipe(b, left);
	return n;
}

const struct bulk_ops bulk_splice = {
	.name = "splice",
	.bytes = offsetof(struct stack_counters, bulk_splice_bytes),
	.send = splice_send,
	.init = splice_init,
	.fini = splice_fini,
	.open = splice_open,
	.reap = splice_reap,
};
