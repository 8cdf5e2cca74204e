/* SPDX-License-Identifier: MIT */
/*
 * What the linker's --wrap leads here (FAULT_WRAP in the Makefile), and the functions
 * themselves under the names that it gives them.
 */
#ifndef SLUICE_TESTS_FAULT_WRAP_H
#define SLUICE_TESTS_FAULT_WRAP_H

#include <liburing.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "tcpstack/forward.h"
#include "tcpstack/loop.h"
#include "tcpstack/stack.h"

#define WRAPPED(ret, name, ...)         \
	ret __real_##name(__VA_ARGS__); \
	ret __wrap_##name(__VA_ARGS__)

WRAPPED(ssize_t, sendmsg, int fd, const struct msghdr *msg, int flags);
WRAPPED(ssize_t, send, int fd, const void *buf, size_t len, int flags);
WRAPPED(ssize_t, recvmsg, int fd, struct msghdr *msg, int flags);
WRAPPED(ssize_t, recv, int fd, void *buf, size_t len, int flags);
WRAPPED(int, recvmmsg, int fd, struct mmsghdr *msg, unsigned int n, int flags,
	struct timespec *timeout);
WRAPPED(ssize_t, splice, int in, loff_t *off_in, int out, loff_t *off_out, size_t len,
	unsigned int flags);
WRAPPED(ssize_t, vmsplice, int fd, const struct iovec *iov, size_t n, unsigned int flags);
WRAPPED(int, pipe2, int pipe[2], int flags);
WRAPPED(int, fcntl, int fd, int cmd, ...);
WRAPPED(int, open, const char *path, int flags, ...);
WRAPPED(int, eventfd, unsigned int value, int flags);
WRAPPED(int, socket, int family, int type, int protocol);
WRAPPED(int, bind, int fd, const struct sockaddr *sa, socklen_t len);
WRAPPED(int, listen, int fd, int backlog);
WRAPPED(int, connect, int fd, const struct sockaddr *sa, socklen_t len);
WRAPPED(int, accept4, int fd, struct sockaddr *sa, socklen_t *len, int flags);
WRAPPED(int, shutdown, int fd, int how);
WRAPPED(int, close, int fd);
WRAPPED(int, epoll_create1, int flags);
WRAPPED(int, epoll_ctl, int epfd, int op, int fd, struct epoll_event *ev);
WRAPPED(int, epoll_wait, int epfd, struct epoll_event *ev, int n, int timeout);
WRAPPED(int, epoll_pwait2, int epfd, struct epoll_event *ev, int n, const struct timespec *timeout,
	const sigset_t *mask);
WRAPPED(int, getsockopt, int fd, int level, int name, void *val, socklen_t *len);
WRAPPED(int, setsockopt, int fd, int level, int name, const void *val, socklen_t len);
WRAPPED(int, getsockname, int fd, struct sockaddr *sa, socklen_t *len);
WRAPPED(int, getpeername, int fd, struct sockaddr *sa, socklen_t *len);
WRAPPED(int, madvise, void *addr, size_t len, int advice);
WRAPPED(int, io_uring_queue_init_params, unsigned int entries, struct io_uring *ring,
	struct io_uring_params *p);
WRAPPED(int, io_uring_submit_and_wait, struct io_uring *ring, unsigned int n);

WRAPPED(int, loop_wait, struct loop *lp, bool may_sleep);
WRAPPED(void, loop_wake_by, struct loop *lp, uint64_t ns);
WRAPPED(int, stack_new, struct stack **out, const struct stack_config *cfg,
	const struct stack_env *env);
WRAPPED(void, stack_free, struct stack *st);
WRAPPED(void, stack_port_down, struct stack *st);
WRAPPED(int, stack_forward_add, struct stack *st, struct forward_info *f, int fd);
WRAPPED(enum tx_verdict, stack_input, struct stack *st, const struct tx_frame *frame);
WRAPPED(void, stack_run, struct stack *st);
WRAPPED(void, stack_rx_refilled, struct stack *st);

#endif
