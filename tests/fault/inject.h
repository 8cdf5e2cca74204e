/* SPDX-License-Identifier: MIT */
/*
 * System calls that fail, by seed. The linker leads the stack's calls through here
 * (--wrap, see the Makefile), so its code is the one that ships.
 *
 * A call fails only within the stack: the test's own sockets are left alone. It fails
 * only as its manual page says that it may (send(2), recv(2), splice(2), connect(2),
 * epoll_ctl(2), and so on; POSIX for the options), and leaves behind what that failure
 * leaves behind in truth:
 *
 * - EAGAIN, and a stream that gave or took less than was asked, say that the socket is
 *   drained or full at this moment (epoll(7)); so later an event says that it no longer
 *   is. Until then the seed decides how long it stays so.
 * - EINTR, ENOBUFS, ENOMEM say nothing about the socket. No event follows.
 * - A connection that was reset is reset: the peer sends its RST at this very call.
 * - connect() that was interrupted goes on, accept() that was aborted has lost its
 *   connection, and close() that was interrupted has closed.
 *
 * Each seed gives each call a rate of its own, from never to every second time, and
 * lets errors come in bursts. It has a budget; when that is spent nothing fails any
 * more, and whatever does not go on then hangs for good.
 */
#ifndef SLUICE_TESTS_FAULT_INJECT_H
#define SLUICE_TESTS_FAULT_INJECT_H

#include <stdbool.h>
#include <stdint.h>

enum fault_call {
	FC_SENDMSG,
	FC_SEND,
	FC_PEEK, /* recvmsg of a stream */
	FC_ERRQUEUE,
	FC_RECV,
	FC_RECVMMSG,
	FC_SPLICE,
	FC_SPLICE_NULL, /* what is left in the pipe */
	FC_VMSPLICE,
	FC_NETLINK_SEND,
	FC_NETLINK_RECV,
	FC_SOCKET,
	FC_CONNECT,
	FC_ACCEPT,
	FC_SHUTDOWN,
	FC_CLOSE,
	FC_EPOLL_ADD,
	FC_EPOLL_MOD,
	FC_EPOLL_WAIT,
	FC_GETSOCKOPT,
	FC_SETSOCKOPT,
	FC_GETSOCKNAME,
	FC_GETPEERNAME,
	FC_PIPE,
	FC_PIPE_SIZE,
	FC_OPEN,
	FC_EVENTFD,
	FC_EPOLL_CREATE,
	FC_BIND,
	FC_LISTEN,
	FC_MADVISE,
	FC_URING_SETUP,
	FC_URING_ENTER,
	FC_URING_RESULT,
	FC_CALLS
};

/* Kinds of faults: rows of the table in inject.c. */
#define FAULT_KINDS_MAX 128

/**
 * struct fault_tally - over all seeds and processes, in shared memory
 * @hits:	faults that took effect, by kind
 * @calls:	calls that could have failed
 */
struct fault_tally {
	uint64_t hits[FAULT_KINDS_MAX];
	uint64_t calls[FC_CALLS];
};

/**
 * struct fault_env - what a seed's faults need of the test
 * @tally:	added to
 * @reset_peer:	the peer of the stack's socket @fd sends a RST; false if it cannot
 * @tight:	receive buffers are so small that what is withheld in one, while the rest
 *		of its segment was taken, keeps the peer's window shut for good: there no
 *		read finds less than there is
 * @quiet:	nothing fails: the measure of the others
 * @trace:	a line to stderr for each call
 */
struct fault_env {
	struct fault_tally *tally;
	bool (*reset_peer)(void *ctx, int fd);
	void *ctx;
	bool tight, quiet, trace;
};

void fault_begin(uint64_t seed, const struct fault_env *env);
void fault_end(void);
void fault_stop(void);
void fault_tick(void);
bool fault_owes_events(void);
bool fault_kicked(void);
uint64_t fault_wake_at(void);
uint32_t fault_hits(void);
uint32_t fault_fatals(void);
uint32_t fault_open_fds(void);

/* For the summary. */
uint32_t fault_kinds(void);
const char *fault_kind_name(uint32_t kind, char buf[48]);
const char *fault_call_name(enum fault_call call);
enum fault_call fault_kind_call(uint32_t kind);

#endif
