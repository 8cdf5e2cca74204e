/* SPDX-License-Identifier: MIT */
/*
 * The wrapped system calls. Each asks whether it shall fail, and if so leaves the socket
 * as the failure would: see inject.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/base/base.h"
#include "tests/fault/inject_priv.h"
#include "tests/fault/wrap.h"

/* Entries of one sendmsg or recvmsg: UIO_MAXIOV. */
#define IOV_ROOM 1024

/* ACKed bytes that the stack does not leave lying: LIMIT_TCP_DISCARD_SMALL, with a margin. */
#define CRUMB 1024

static struct iovec cut[IOV_ROOM];

/* Some bytes of @total, but not all. 0 = there are too few. */
static size_t some_of(size_t total)
{
	return total < 2 ? 0 : 1 + (size_t)(fault_random() % (total - 1));
}

static size_t iov_total(const struct iovec *iov, size_t n)
{
	size_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += iov[i].iov_len;
	return total;
}

/* A copy of @iov that ends after @len bytes. Entries. */
static size_t cut_iov(const struct iovec *iov, size_t n, size_t len)
{
	size_t i;

	BUG_ON(n > IOV_ROOM);
	for (i = 0; i < n && len > 0; i++) {
		cut[i] = (struct iovec){ iov[i].iov_base, MIN(iov[i].iov_len, len) };
		len -= cut[i].iov_len;
	}
	return i;
}

/* An errno that says nothing but "not now". */
static int fail(enum fault_call call, int fd, int err)
{
	if (err == EAGAIN)
		fault_owe_event(fd);
	return fault_done(call, err, false);
}

static bool is_error(int fault)
{
	return fault > 0 && fault < FAULT_SHORT;
}

/* --- payload out -------------------------------------------------------------- */

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	int fault = fault_pick(FC_SENDMSG, fd);
	bool stream = fault_fd(fd)->type == FD_STREAM;
	struct msghdr less = *msg;
	size_t len;
	ssize_t ret;

	if (is_error(fault))
		return fail(FC_SENDMSG, fd, fault);
	len = some_of(iov_total(msg->msg_iov, msg->msg_iovlen));
	if (fault == FAULT_SHORT && stream && len) {
		less.msg_iov = cut;
		less.msg_iovlen = cut_iov(msg->msg_iov, msg->msg_iovlen, len);
		fault_done(FC_SENDMSG, fault, false);
		fault_owe_event(fd);
	} else if (fault == FAULT_RESET && stream && fault_reset_peer(fd)) {
		fault_done(FC_SENDMSG, fault, true);
	}
	ret = __real_sendmsg(fd, &less, flags);
	fault_trace("sendmsg", fd, ret);
	return ret;
}

ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags)
{
	bool nl = fault_fd(fd)->type == FD_NETLINK;
	enum fault_call call = nl ? FC_NETLINK_SEND : FC_SEND;
	int fault = fault_pick(call, fd);
	ssize_t ret;

	if (is_error(fault))
		return fail(call, fd, fault);
	if (fault == FAULT_SHORT && fault_fd(fd)->type == FD_STREAM && len > 1) {
		len = some_of(len);
		fault_done(call, fault, false);
		fault_owe_event(fd);
	}
	ret = __real_send(fd, buf, len, flags);
	fault_trace("send", fd, ret);
	return ret;
}

ssize_t __wrap_splice(int in, loff_t *off_in, int out, loff_t *off_out, size_t len,
		      unsigned int flags)
{
	enum fault_call call = fault_fd(out)->type == FD_STREAM ? FC_SPLICE : FC_SPLICE_NULL;
	int fault = fault_pick(call, out);
	ssize_t ret;

	if (is_error(fault))
		return fail(call, out, fault);
	if (fault == FAULT_SHORT && len > 1) {
		len = some_of(len);
		fault_done(call, fault, false);
		if (call == FC_SPLICE)
			fault_owe_event(out);
	} else if (fault == FAULT_RESET && fault_reset_peer(out)) {
		fault_done(call, fault, true);
	}
	ret = __real_splice(in, off_in, out, off_out, len, flags);
	fault_trace("splice", out, ret);
	return ret;
}

ssize_t __wrap_vmsplice(int fd, const struct iovec *iov, size_t n, unsigned int flags)
{
	int fault = fault_pick(FC_VMSPLICE, fd);
	size_t len;
	ssize_t ret;

	if (is_error(fault))
		return fault_done(FC_VMSPLICE, fault, false);
	len = some_of(iov_total(iov, n));
	if (fault == FAULT_SHORT && len) {
		n = cut_iov(iov, n, len);
		iov = cut;
		fault_done(FC_VMSPLICE, fault, false);
	}
	ret = __real_vmsplice(fd, iov, n, flags);
	fault_trace("vmsplice", fd, ret);
	return ret;
}

int __wrap_shutdown(int fd, int how)
{
	int fault = fault_pick(FC_SHUTDOWN, fd);

	if (fault)
		return fault_done(FC_SHUTDOWN, fault, true);
	fault_trace("shutdown", fd, 0);
	return __real_shutdown(fd, how);
}

/* --- payload in --------------------------------------------------------------- */

/* To the stack, the peer of this zero-copy send is on another host. */
static void say_not_copied(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		struct sock_extended_err e;

		memcpy(&e, CMSG_DATA(c), sizeof(e));
		e.ee_code &= (uint8_t)~SO_EE_CODE_ZEROCOPY_COPIED;
		if (e.ee_origin == SO_EE_ORIGIN_ZEROCOPY)
			memcpy(CMSG_DATA(c), &e, sizeof(e));
	}
}

static ssize_t read_errors(int fd, struct msghdr *msg, int flags)
{
	int fault = fault_pick(FC_ERRQUEUE, fd);
	ssize_t ret;

	if (fault)
		return fail(FC_ERRQUEUE, fd, fault);
	ret = __real_recvmsg(fd, msg, flags);
	if (ret >= 0 && fault_elsewhere())
		say_not_copied(msg);
	fault_trace("recvmsg(errqueue)", fd, ret);
	return ret;
}

/*
 * Would so few bytes be left in the queue that they can wait there, ACKed? In truth a read
 * that finds no more has emptied the queue; here they belong to a segment that the kernel
 * holds and counts whole, and its window might stay shut for them.
 */
static bool leaves_crumb(int fd, size_t taken)
{
	int queued = 0, off = -1;
	socklen_t len = sizeof(off);
	long left;

	if (ioctl(fd, SIOCINQ, &queued) < 0 ||
	    __real_getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &off, &len) < 0)
		return true;
	left = (long)queued - MAX(off, 0) - (long)taken;
	return left > 0 && left < CRUMB;
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct msghdr less = *msg;
	size_t len;
	int fault;
	ssize_t ret;

	if (flags & MSG_ERRQUEUE)
		return read_errors(fd, msg, flags);
	fault = fault_pick(FC_PEEK, fd);
	len = some_of(iov_total(msg->msg_iov, msg->msg_iovlen));
	if ((fault == EAGAIN || fault == FAULT_SHORT) &&
	    (fault_tight() || leaves_crumb(fd, fault == EAGAIN ? 0 : len)))
		fault = 0;
	if (is_error(fault))
		return fail(FC_PEEK, fd, fault);
	/* Where the end was reported all bytes are there: then none are held back. */
	if (fault == FAULT_SHORT && len && !fault_fd(fd)->ended) {
		less.msg_iov = cut;
		less.msg_iovlen = cut_iov(msg->msg_iov, msg->msg_iovlen, len);
		fault_done(FC_PEEK, fault, false);
		fault_owe_event(fd);
	} else if (fault == FAULT_RESET && fault_reset_peer(fd)) {
		fault_done(FC_PEEK, fault, true);
	}
	ret = __real_recvmsg(fd, &less, flags);
	fault_trace("recvmsg", fd, ret);
	msg->msg_namelen = less.msg_namelen;
	msg->msg_controllen = less.msg_controllen;
	msg->msg_flags = less.msg_flags;
	return ret;
}

ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags)
{
	const struct fd_info *i = fault_fd(fd);
	enum fault_call call = i->type == FD_NETLINK ? FC_NETLINK_RECV : FC_RECV;
	int fault = fault_pick(call, fd);
	ssize_t ret;
	/* What is thrown away was seen before: it cannot be absent, nor does an event follow. */
	bool known = flags & MSG_TRUNC;

	if (is_error(fault) && !(known && fault == EAGAIN))
		return fail(call, fd, fault);
	if (fault == FAULT_SHORT && i->type == FD_STREAM && (known || !i->ended) && len > 1) {
		len = some_of(len);
		fault_done(call, fault, false);
		if (!known)
			fault_owe_event(fd);
	}
	ret = __real_recv(fd, buf, len, flags);
	fault_trace("recv", fd, ret);
	return ret;
}

int __wrap_recvmmsg(int fd, struct mmsghdr *msg, unsigned int n, int flags,
		    struct timespec *timeout)
{
	int fault = fault_pick(FC_RECVMMSG, fd), ret;

	if (is_error(fault))
		return fail(FC_RECVMMSG, fd, fault);
	if (fault == FAULT_SHORT && n > 1) {
		n = (unsigned int)some_of(n);
		fault_done(FC_RECVMMSG, fault, false);
		fault_owe_event(fd);
	}
	ret = __real_recvmmsg(fd, msg, n, flags, timeout);
	fault_trace("recvmmsg", fd, ret);
	return ret;
}

/* --- sockets and descriptors ------------------------------------------------------ */

static enum fd_type type_of(int family, int type)
{
	if (family == AF_NETLINK)
		return FD_NETLINK;
	if (family != AF_INET && family != AF_INET6)
		return FD_OTHER;
	return (type & 0xf) == SOCK_STREAM ? FD_STREAM : FD_DGRAM;
}

int __wrap_socket(int family, int type, int protocol)
{
	enum fd_type kind = type_of(family, type);
	int fault = fault_pick(FC_SOCKET, -1), fd;

	if (fault)
		return fault_done(FC_SOCKET, fault, kind == FD_STREAM);
	fd = __real_socket(family, type, protocol);
	if (fault_armed())
		fault_fd_new(fd, kind);
	fault_trace("socket", fd, fd);
	return fd;
}

int __wrap_bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	int fault = fault_pick(FC_BIND, fd);

	return fault ? fault_done(FC_BIND, fault, false) : __real_bind(fd, sa, len);
}

int __wrap_listen(int fd, int backlog)
{
	int fault = fault_pick(FC_LISTEN, fd);

	return fault ? fault_done(FC_LISTEN, fault, false) : __real_listen(fd, backlog);
}

int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	/* AF_UNSPEC takes a connection apart, and finds nothing in its way. */
	int fault = sa->sa_family == AF_UNSPEC ? 0 : fault_pick(FC_CONNECT, fd), ret;

	if (fault && fault != EINTR)
		return fault_done(FC_CONNECT, fault, fault_fd(fd)->type == FD_STREAM);
	ret = __real_connect(fd, sa, len);
	fault_trace("connect", fd, ret);
	/* What was interrupted goes on. */
	if (fault && (ret == 0 || errno == EINPROGRESS))
		return fault_done(FC_CONNECT, fault, false);
	return ret;
}

int __wrap_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	int fault = fault_pick(FC_ACCEPT, fd), new;

	if (is_error(fault) && fault != ECONNABORTED)
		return fail(FC_ACCEPT, fd, fault);
	new = __real_accept4(fd, sa, len, flags);
	fault_trace("accept4", new, new);
	if (new < 0 || !fault_armed())
		return new;
	if (fault) {
		__real_setsockopt(new, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		__real_close(new);
		return fault_done(FC_ACCEPT, fault, true);
	}
	fault_fd_new(new, FD_STREAM);
	return new;
}

int __wrap_close(int fd)
{
	int fault = fault_pick(FC_CLOSE, fd), ret;

	if (fault_armed())
		fault_fd_new(fd, FD_OTHER);
	ret = __real_close(fd);
	fault_trace("close", fd, ret);
	BUG_ON(fault_armed() && ret < 0); /* closed twice */
	return fault ? fault_done(FC_CLOSE, fault, false) : ret;
}

int __wrap_pipe2(int pipe[2], int flags)
{
	int fault = fault_pick(FC_PIPE, -1);

	return fault ? fault_done(FC_PIPE, fault, false) : __real_pipe2(pipe, flags);
}

int __wrap_fcntl(int fd, int cmd, ...)
{
	int fault = cmd == F_SETPIPE_SZ ? fault_pick(FC_PIPE_SIZE, fd) : 0;
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return fault ? fault_done(FC_PIPE_SIZE, fault, false) : __real_fcntl(fd, cmd, arg);
}

int __wrap_open(const char *path, int flags, ...)
{
	int fault = fault_pick(FC_OPEN, -1);
	va_list ap;
	mode_t mode = 0;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	return fault ? fault_done(FC_OPEN, fault, false) : __real_open(path, flags, mode);
}

int __wrap_eventfd(unsigned int value, int flags)
{
	int fault = fault_pick(FC_EVENTFD, -1);

	return fault ? fault_done(FC_EVENTFD, fault, false) : __real_eventfd(value, flags);
}

int __wrap_getsockopt(int fd, int level, int name, void *val, socklen_t *len)
{
	int fault = fault_pick(FC_GETSOCKOPT, fd);
	/* Whoever asks after a failure and is not told may give the flow up. */
	bool fatal = level == SOL_SOCKET && name == SO_ERROR;

	return fault ? fault_done(FC_GETSOCKOPT, fault, fatal)
		     : __real_getsockopt(fd, level, name, val, len);
}

int __wrap_setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	int fault = fault_pick(FC_SETSOCKOPT, fd), ret;

	/* A connection without this one would not be byte-exact: it may be refused. */
	if (fault)
		return fault_done(FC_SETSOCKOPT, fault,
				  level == SOL_SOCKET && name == SO_OOBINLINE);
	ret = __real_setsockopt(fd, level, name, val, len);
	fault_trace("setsockopt", fd, ret);
	return ret;
}

int __wrap_getsockname(int fd, struct sockaddr *sa, socklen_t *len)
{
	int fault = fault_pick(FC_GETSOCKNAME, fd);

	return fault ? fault_done(FC_GETSOCKNAME, fault, false) : __real_getsockname(fd, sa, len);
}

int __wrap_getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
	int fault = fault_pick(FC_GETPEERNAME, fd);

	return fault ? fault_done(FC_GETPEERNAME, fault, false) : __real_getpeername(fd, sa, len);
}

int __wrap_madvise(void *addr, size_t len, int advice)
{
	int fault = advice == MADV_DONTNEED ? fault_pick(FC_MADVISE, -1) : 0;

	return fault ? fault_done(FC_MADVISE, fault, false) : __real_madvise(addr, len, advice);
}

/* --- waiting ---------------------------------------------------------------------- */

int __wrap_epoll_create1(int flags)
{
	int fault = fault_pick(FC_EPOLL_CREATE, -1);

	return fault ? fault_done(FC_EPOLL_CREATE, fault, false) : __real_epoll_create1(flags);
}

int __wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	enum fault_call call = op == EPOLL_CTL_ADD ? FC_EPOLL_ADD : FC_EPOLL_MOD;
	int fault = op == EPOLL_CTL_DEL ? 0 : fault_pick(call, fd), ret;
	struct fd_info *i = fault_fd(fd);

	if (fault)
		return fault_done(call, fault, op == EPOLL_CTL_ADD && i->type == FD_STREAM);
	ret = __real_epoll_ctl(epfd, op, fd, ev);
	fault_trace("epoll_ctl", fd, ret);
	if (ret < 0 || !fault_armed() || i->type == FD_OTHER)
		return ret;
	i->polled = op != EPOLL_CTL_DEL;
	i->epfd = epfd;
	if (i->polled)
		i->ev = *ev;
	return ret;
}

/* Several descriptors may share a token. */
static void note_end(uint64_t token)
{
	for (int fd = 0; fd < FAULT_FDS; fd++) {
		struct fd_info *i = fault_fd(fd);

		if (i->polled && i->ev.data.u64 == token)
			i->ended = true;
	}
}

static int take_events(int fault, const struct epoll_event *ev, int n)
{
	fault_trace("epoll_wait", -1, n);
	for (int k = 0; k < n; k++)
		if (ev[k].events & (EPOLLRDHUP | EPOLLHUP))
			note_end(ev[k].data.u64);
	if (fault == FAULT_SHORT)
		fault_done(FC_EPOLL_WAIT, fault, false);
	return n;
}

/* How many events shall be taken; less than 0: the wait was interrupted. */
static int events_wanted(int *fault, int n)
{
	*fault = fault_pick(FC_EPOLL_WAIT, -1);
	if (is_error(*fault))
		return fault_done(FC_EPOLL_WAIT, *fault, false);
	if (*fault == FAULT_NOISE) {
		fault_done(FC_EPOLL_WAIT, *fault, false);
		fault_noise();
	}
	return *fault == FAULT_SHORT ? 1 : n;
}

int __wrap_epoll_wait(int epfd, struct epoll_event *ev, int n, int timeout)
{
	int fault, want = events_wanted(&fault, n);

	return want < 0 ? want : take_events(fault, ev, __real_epoll_wait(epfd, ev, want, timeout));
}

int __wrap_epoll_pwait2(int epfd, struct epoll_event *ev, int n, const struct timespec *timeout,
			const sigset_t *mask)
{
	int fault, want;

	if (fault_old_kernel()) {
		errno = ENOSYS;
		return -1;
	}
	want = events_wanted(&fault, n);
	if (want < 0)
		return want;
	return take_events(fault, ev, __real_epoll_pwait2(epfd, ev, want, timeout, mask));
}

/* --- io_uring ------------------------------------------------------------------------ */

/* Of the stack under test, once it has sent. */
static struct io_uring *the_ring;

/**
 * fault_ring_gone() - the stack goes, and its ring
 */
void fault_ring_gone(void)
{
	the_ring = NULL;
}

int __wrap_io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
				      struct io_uring_params *p)
{
	int fault = fault_pick(FC_URING_SETUP, -1);

	if (fault) {
		fault_done(FC_URING_SETUP, fault, false);
		return -fault;
	}
	return __real_io_uring_queue_init_params(entries, ring, p);
}

/* The next completion after *@head, NULL = there is none. */
static struct io_uring_cqe *next_cqe(unsigned int *head)
{
	struct io_uring *r = the_ring;

	if (*head == io_uring_smp_load_acquire(r->cq.ktail))
		return NULL;
	return &r->cq.cqes[(*head)++ & r->cq.ring_mask];
}

/**
 * fault_notices_elsewhere() - to the stack, what was sent by reference was not copied
 */
void fault_notices_elsewhere(void)
{
	unsigned int head;
	struct io_uring_cqe *cqe;

	if (!the_ring)
		return;
	head = *the_ring->cq.khead;
	while ((cqe = next_cqe(&head)))
		if (cqe->flags & IORING_CQE_F_NOTIF)
			cqe->res = 0;
}

/* The send whose turn it is ends with @res. Its descriptor was none, so it has not begun. */
static void set_result(uint64_t name, int res)
{
	unsigned int head = *the_ring->cq.khead;
	struct io_uring_cqe *cqe;

	while ((cqe = next_cqe(&head)))
		if (cqe->user_data == name && !(cqe->flags & IORING_CQE_F_NOTIF)) {
			BUG_ON(cqe->res != -EBADF);
			cqe->res = res;
		}
}

static void send_less(struct io_uring_sqe *sqe, int fd)
{
	struct msghdr *msg = (struct msghdr *)(uintptr_t)sqe->addr;
	size_t len;

	if (sqe->opcode == IORING_OP_SEND_ZC) {
		len = some_of(sqe->len);
		sqe->len = len ? (unsigned int)len : sqe->len;
	} else {
		len = some_of(iov_total(msg->msg_iov, msg->msg_iovlen));
		if (len) {
			msg->msg_iovlen = cut_iov(msg->msg_iov, msg->msg_iovlen, len);
			memcpy(msg->msg_iov, cut, msg->msg_iovlen * sizeof(*cut));
		}
	}
	if (!len)
		return;
	fault_done(FC_URING_RESULT, FAULT_SHORT, false);
	fault_owe_event(fd);
}

int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned int n)
{
	int fault = fault_pick(FC_URING_ENTER, -1), ret;
	struct io_uring_sqe *sqe;
	uint64_t name;
	int fd;

	the_ring = ring;
	if (fault) {
		fault_done(FC_URING_ENTER, fault, false);
		return -fault;
	}
	/* Everything was submitted before, and what is asked for again has not come yet. */
	if (ring->sq.sqe_tail == ring->sq.sqe_head)
		return __real_io_uring_submit_and_wait(ring, n);
	sqe = &ring->sq.sqes[(ring->sq.sqe_tail - 1) & ring->sq.ring_mask];
	fd = sqe->fd;
	name = sqe->user_data;
	fault = fault_pick(FC_URING_RESULT, fd);
	if (is_error(fault))
		sqe->fd = -1;
	else if (fault == FAULT_SHORT)
		send_less(sqe, fd);
	else if (fault == FAULT_RESET && fault_reset_peer(fd))
		fault_done(FC_URING_RESULT, fault, true);
	ret = __real_io_uring_submit_and_wait(ring, n);
	fault_trace("io_uring_enter", fd, ret);
	if (is_error(fault) && ret >= 0) {
		set_result(name, -fault);
		fail(FC_URING_RESULT, fd, fault);
	}
	return ret;
}
