/* SPDX-License-Identifier: MIT */
/*
 * Which call fails, and how: by seed.
 *
 * Theory of operation. Each wrapped call asks fault_pick() first. A call has a rate,
 * drawn once for the seed; when it strikes, one of the call's kinds is drawn too, and a
 * length: so many calls of that name then fail alike. Errors that end a flow come single
 * and only with seeds that are meant to have them, or nothing would ever be carried.
 *
 * The functions of the stack that the rig calls are wrapped as well. They are how the
 * injection knows that a call is the stack's (fault_armed()), that the worker has got
 * something to do (fault_kicked()), and until when it meant to sleep (fault_wake_at()).
 */
#include "tests/fault/inject_priv.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/base.h"
#include "tcpstack/loop.h"
#include "tcpstack/stack.h"
#include "tests/fault/wrap.h"

static const char *const call_names[] = {
	[FC_SENDMSG] = "sendmsg",
	[FC_SEND] = "send",
	[FC_PEEK] = "recvmsg",
	[FC_ERRQUEUE] = "recvmsg(errqueue)",
	[FC_RECV] = "recv",
	[FC_RECVMMSG] = "recvmmsg",
	[FC_SPLICE] = "splice",
	[FC_SPLICE_NULL] = "splice(null)",
	[FC_VMSPLICE] = "vmsplice",
	[FC_NETLINK_SEND] = "send(netlink)",
	[FC_NETLINK_RECV] = "recv(netlink)",
	[FC_SOCKET] = "socket",
	[FC_CONNECT] = "connect",
	[FC_ACCEPT] = "accept4",
	[FC_SHUTDOWN] = "shutdown",
	[FC_CLOSE] = "close",
	[FC_EPOLL_ADD] = "epoll_ctl(add)",
	[FC_EPOLL_MOD] = "epoll_ctl(mod)",
	[FC_EPOLL_WAIT] = "epoll_wait",
	[FC_GETSOCKOPT] = "getsockopt",
	[FC_SETSOCKOPT] = "setsockopt",
	[FC_GETSOCKNAME] = "getsockname",
	[FC_GETPEERNAME] = "getpeername",
	[FC_PIPE] = "pipe2",
	[FC_PIPE_SIZE] = "fcntl(pipe)",
	[FC_OPEN] = "open",
	[FC_EVENTFD] = "eventfd",
	[FC_EPOLL_CREATE] = "epoll_create1",
	[FC_BIND] = "bind",
	[FC_LISTEN] = "listen",
	[FC_MADVISE] = "madvise",
	[FC_URING_SETUP] = "io_uring_setup",
	[FC_URING_ENTER] = "io_uring_enter",
	[FC_URING_RESULT] = "io_uring result",
};

static_assert(ARRAY_SIZE(call_names) == FC_CALLS, "a name for each call");

/**
 * struct kind - a fault of a call
 * @err:	errno, or FAULT_*
 * @ends:	no passing error: whoever asked may give the flow up
 */
struct kind {
	enum fault_call call;
	int err;
	bool ends;
};

static const struct kind kinds[] = {
	{ FC_SENDMSG, EAGAIN, 0 },
	{ FC_SENDMSG, EINTR, 0 },
	{ FC_SENDMSG, ENOBUFS, 0 },
	{ FC_SENDMSG, ENOMEM, 0 },
	{ FC_SENDMSG, FAULT_SHORT, 0 },
	{ FC_SENDMSG, FAULT_RESET, 1 },
	{ FC_SEND, EAGAIN, 0 },
	{ FC_SEND, EINTR, 0 },
	{ FC_SEND, ENOBUFS, 0 },
	{ FC_SEND, ENOMEM, 0 },
	{ FC_SEND, FAULT_SHORT, 0 },
	{ FC_PEEK, EAGAIN, 0 },
	{ FC_PEEK, EINTR, 0 },
	{ FC_PEEK, ENOMEM, 0 },
	{ FC_PEEK, FAULT_SHORT, 0 },
	{ FC_PEEK, FAULT_RESET, 1 },
	{ FC_ERRQUEUE, EAGAIN, 0 },
	{ FC_ERRQUEUE, EINTR, 0 },
	{ FC_ERRQUEUE, ENOMEM, 0 },
	{ FC_RECV, EAGAIN, 0 },
	{ FC_RECV, EINTR, 0 },
	{ FC_RECV, FAULT_SHORT, 0 },
	{ FC_RECVMMSG, EAGAIN, 0 },
	{ FC_RECVMMSG, EINTR, 0 },
	{ FC_RECVMMSG, ENOMEM, 0 },
	{ FC_RECVMMSG, FAULT_SHORT, 0 },
	{ FC_SPLICE, EAGAIN, 0 },
	{ FC_SPLICE, ENOMEM, 0 },
	{ FC_SPLICE, FAULT_SHORT, 0 },
	{ FC_SPLICE, FAULT_RESET, 1 },
	{ FC_SPLICE_NULL, ENOMEM, 0 },
	{ FC_SPLICE_NULL, FAULT_SHORT, 0 },
	{ FC_VMSPLICE, EAGAIN, 0 },
	{ FC_VMSPLICE, ENOMEM, 0 },
	{ FC_VMSPLICE, FAULT_SHORT, 0 },
	{ FC_NETLINK_SEND, EAGAIN, 0 },
	{ FC_NETLINK_SEND, EINTR, 0 },
	{ FC_NETLINK_SEND, ENOBUFS, 0 },
	{ FC_NETLINK_RECV, EINTR, 0 },
	{ FC_NETLINK_RECV, ENOBUFS, 0 },
	{ FC_SOCKET, EMFILE, 1 },
	{ FC_SOCKET, ENFILE, 1 },
	{ FC_SOCKET, ENOBUFS, 1 },
	{ FC_SOCKET, ENOMEM, 1 },
	{ FC_CONNECT, EINTR, 0 },
	{ FC_CONNECT, EAGAIN, 1 },
	{ FC_CONNECT, EADDRNOTAVAIL, 1 },
	{ FC_CONNECT, ECONNREFUSED, 1 },
	{ FC_CONNECT, ENETUNREACH, 1 },
	{ FC_CONNECT, ETIMEDOUT, 1 },
	{ FC_ACCEPT, EAGAIN, 0 },
	{ FC_ACCEPT, EINTR, 0 },
	{ FC_ACCEPT, EMFILE, 0 },
	{ FC_ACCEPT, ENFILE, 0 },
	{ FC_ACCEPT, ENOBUFS, 0 },
	{ FC_ACCEPT, ENOMEM, 0 },
	{ FC_ACCEPT, ECONNABORTED, 1 },
	{ FC_SHUTDOWN, ENOBUFS, 1 },
	{ FC_CLOSE, EINTR, 0 },
	{ FC_EPOLL_ADD, ENOMEM, 1 },
	{ FC_EPOLL_ADD, ENOSPC, 1 },
	{ FC_EPOLL_MOD, ENOMEM, 0 },
	{ FC_EPOLL_WAIT, EINTR, 0 },
	{ FC_EPOLL_WAIT, FAULT_SHORT, 0 },
	{ FC_EPOLL_WAIT, FAULT_NOISE, 0 },
	{ FC_GETSOCKOPT, ENOBUFS, 0 },
	{ FC_SETSOCKOPT, ENOBUFS, 0 },
	{ FC_SETSOCKOPT, ENOMEM, 0 },
	{ FC_GETSOCKNAME, ENOBUFS, 0 },
	{ FC_GETPEERNAME, ENOBUFS, 0 },
	{ FC_PIPE, EMFILE, 0 },
	{ FC_PIPE, ENFILE, 0 },
	{ FC_PIPE_SIZE, EPERM, 0 },
	{ FC_OPEN, EMFILE, 0 },
	{ FC_OPEN, ENFILE, 0 },
	{ FC_EVENTFD, EMFILE, 0 },
	{ FC_EVENTFD, ENOMEM, 0 },
	{ FC_EPOLL_CREATE, EMFILE, 0 },
	{ FC_EPOLL_CREATE, ENOMEM, 0 },
	{ FC_BIND, EADDRINUSE, 0 },
	{ FC_LISTEN, EADDRINUSE, 0 },
	{ FC_MADVISE, EAGAIN, 0 },
	{ FC_MADVISE, ENOMEM, 0 },
	{ FC_URING_SETUP, EPERM, 0 },
	{ FC_URING_SETUP, ENOMEM, 0 },
	{ FC_URING_ENTER, EAGAIN, 0 },
	{ FC_URING_ENTER, EBUSY, 0 },
	{ FC_URING_ENTER, EINTR, 0 },
	{ FC_URING_RESULT, EAGAIN, 0 },
	{ FC_URING_RESULT, EINTR, 0 },
	{ FC_URING_RESULT, ENOBUFS, 0 },
	{ FC_URING_RESULT, ENOMEM, 0 },
	{ FC_URING_RESULT, FAULT_SHORT, 0 },
	{ FC_URING_RESULT, FAULT_RESET, 1 },
};

static_assert(ARRAY_SIZE(kinds) <= FAULT_KINDS_MAX, "room in the tally");

/* How often a call fails, in 1/65536: drawn for each call from these. */
static const uint32_t rates[] = { 0, 0, 0, 128, 512, 2048, 8192, 32768 };

/* Most faults of a seed, and most of one burst. */
#define BUDGET_MAX 1500
#define BURST_LOG  6

/* Rounds that an event is owed for. */
#define EDGE_ROUNDS 12

/* State of one call name. */
struct site {
	uint32_t rate;
	uint32_t burst;
	uint32_t kind; /* of the burst */
};

static struct {
	struct fault_env env;
	uint64_t rng;
	uint32_t depth;
	uint32_t budget, hits, fatals;
	bool active, endings, old_kernel, elsewhere, at_birth;
	bool kicked;
	uint64_t wake_at;
	struct site site[FC_CALLS];
	struct fd_info fds[FAULT_FDS];
} f;

uint64_t fault_random(void)
{
	uint64_t z = (f.rng += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/**
 * fault_begin() - calls of the stack fail from now on, as @seed has it
 */
void fault_begin(uint64_t seed, const struct fault_env *env)
{
	memset(&f, 0, sizeof(f));
	f.env = *env;
	f.rng = seed * 0xd1342543de82ef95ULL + 1;
	f.active = !env->quiet;
	f.budget = 1 + (uint32_t)(fault_random() % BUDGET_MAX);
	f.endings = fault_random() % 3 == 0;
	f.old_kernel = fault_random() % 16 == 0;
	f.elsewhere = fault_random() % 4 != 0;
	f.at_birth = fault_random() % 4 == 0;
	f.wake_at = UINT64_MAX;
	for (int c = 0; c < FC_CALLS; c++)
		f.site[c].rate = rates[fault_random() % ARRAY_SIZE(rates)];
}

/**
 * fault_stop() - nothing fails from here on; what is owed still comes
 */
void fault_stop(void)
{
	f.active = false;
}

/**
 * fault_end() - after the stack is gone
 */
void fault_end(void)
{
	fault_stop();
	BUG_ON(f.depth);
}

uint32_t fault_hits(void)
{
	return f.hits;
}

/**
 * fault_fatals() - faults that may have cost a TCP flow each
 */
uint32_t fault_fatals(void)
{
	return f.fatals;
}

bool fault_armed(void)
{
	return f.depth > 0;
}

/* epoll_pwait2(2) came with Linux 5.11. */
bool fault_old_kernel(void)
{
	return f.depth > 0 && f.old_kernel;
}

/* Where the peer is on another host, the kernel does not copy what is sent by reference. */
bool fault_elsewhere(void)
{
	return f.elsewhere;
}

bool fault_tight(void)
{
	return f.env.tight;
}

void fault_trace(const char *what, int fd, long ret)
{
	if (f.env.trace && f.depth > 0)
		fprintf(stderr, "  %-18s fd %-3d %ld%s%s\n", what, fd, ret, ret < 0 ? " " : "",
			ret < 0 ? strerror(errno) : "");
}

/* A kind of @call; one that ends something seldom, or never. */
static uint32_t draw_kind(enum fault_call call)
{
	uint32_t from = 0, n = 0, k;

	while (kinds[from].call != call)
		from++;
	while (from + n < ARRAY_SIZE(kinds) && kinds[from + n].call == call)
		n++;
	k = from + (uint32_t)(fault_random() % n);
	if (kinds[k].ends && (!f.endings || fault_random() % 8 != 0))
		return UINT32_MAX;
	return k;
}

/**
 * fault_pick() - does this call fail?
 *
 * Return: 0, or the errno or FAULT_*; the caller says by fault_done() that it did so
 */
int fault_pick(enum fault_call call, int fd)
{
	struct site *s = &f.site[call];

	(void)fd;
	if (f.depth == 0)
		return 0;
	f.env.tally->calls[call]++;
	if (!f.active || f.budget == 0)
		return 0;
	if (s->burst > 0) {
		s->burst--;
		return kinds[s->kind].err;
	}
	if (fault_random() % 65536 >= s->rate)
		return 0;
	s->kind = draw_kind(call);
	if (s->kind == UINT32_MAX)
		return 0;
	if (!kinds[s->kind].ends)
		s->burst = (uint32_t)(fault_random() % (1U << fault_random() % BURST_LOG));
	return kinds[s->kind].err;
}

/**
 * fault_done() - the fault of fault_pick() took effect
 * @fatal:	it may cost a TCP flow
 *
 * Return: -1, and errno is set if the fault is an error
 */
int fault_done(enum fault_call call, int fault, bool fatal)
{
	for (uint32_t k = 0; k < ARRAY_SIZE(kinds); k++)
		if (kinds[k].call == call && kinds[k].err == fault)
			f.env.tally->hits[k]++;
	f.hits++;
	f.budget -= f.budget > 0;
	f.fatals += fatal;
	if (f.env.trace)
		fprintf(stderr, "  %-18s %s\n", call_names[call],
			fault == FAULT_SHORT   ? "SHORT"
			: fault == FAULT_RESET ? "RESET"
			: fault == FAULT_NOISE ? "NOISE"
					       : strerrorname_np(fault));
	if (fault < FAULT_SHORT)
		errno = fault;
	return -1;
}

uint32_t fault_kinds(void)
{
	return ARRAY_SIZE(kinds);
}

enum fault_call fault_kind_call(uint32_t kind)
{
	return kinds[kind].call;
}

const char *fault_call_name(enum fault_call call)
{
	return call_names[call];
}

const char *fault_kind_name(uint32_t kind, char buf[48])
{
	int err = kinds[kind].err;

	snprintf(buf, 48, "%s %s", call_names[kinds[kind].call],
		 err == FAULT_SHORT   ? "short"
		 : err == FAULT_RESET ? "reset"
		 : err == FAULT_NOISE ? "noise"
				      : strerrorname_np(err));
	return buf;
}

/* --- descriptors and their events ------------------------------------------ */

struct fd_info *fault_fd(int fd)
{
	static struct fd_info none;

	return fd >= 0 && fd < FAULT_FDS ? &f.fds[fd] : &none;
}

void fault_fd_new(int fd, enum fd_type type)
{
	if (fd >= 0 && fd < FAULT_FDS)
		f.fds[fd] = (struct fd_info){ .type = type };
}

/* The socket was said to be full or empty: an event must say that it no longer is. */
void fault_owe_event(int fd)
{
	struct fd_info *i = fault_fd(fd);

	if (!i->edge_in)
		i->edge_in = 1 + (uint32_t)(fault_random() % EDGE_ROUNDS);
}

static void repeat_events(int fd)
{
	struct fd_info *i = &f.fds[fd];

	i->edge_in = 0;
	if (i->polled)
		BUG_ON(__real_epoll_ctl(i->epfd, EPOLL_CTL_MOD, fd, &i->ev));
}

/**
 * fault_tick() - a round has passed: events that are due are reported
 */
void fault_tick(void)
{
	for (int fd = 0; fd < FAULT_FDS; fd++)
		if (f.fds[fd].edge_in > 0 && --f.fds[fd].edge_in == 0)
			repeat_events(fd);
}

bool fault_owes_events(void)
{
	for (int fd = 0; fd < FAULT_FDS; fd++)
		if (f.fds[fd].edge_in > 0)
			return true;
	return false;
}

/* Whatever holds for some socket is reported once more. */
void fault_noise(void)
{
	uint32_t at = (uint32_t)(fault_random() % FAULT_FDS);

	for (int i = 0; i < FAULT_FDS; i++) {
		int fd = (int)((at + (uint32_t)i) % FAULT_FDS);

		if (f.fds[fd].polled && !f.fds[fd].edge_in) {
			repeat_events(fd);
			return;
		}
	}
}

/* What the test does here is not the stack's doing. */
bool fault_reset_peer(int fd)
{
	uint32_t depth = f.depth;
	bool done;

	f.depth = 0;
	done = f.env.reset_peer && f.env.reset_peer(f.env.ctx, fd);
	f.depth = depth;
	return done;
}

/* --- the stack's own functions ---------------------------------------------- */

static void enter(void)
{
	f.depth++;
	if (f.elsewhere)
		fault_notices_elsewhere();
}

static void leave(void)
{
	f.depth--;
}

bool fault_kicked(void)
{
	return f.kicked;
}

uint64_t fault_wake_at(void)
{
	return f.wake_at;
}

void __wrap_loop_wake_by(struct loop *lp, uint64_t ns)
{
	f.wake_at = MIN(f.wake_at, ns);
	__real_loop_wake_by(lp, ns);
}

int __wrap_loop_wait(struct loop *lp, bool may_sleep)
{
	int ret;

	f.kicked = false;
	f.wake_at = UINT64_MAX;
	enter();
	ret = __real_loop_wait(lp, may_sleep);
	leave();
	return ret;
}

enum tx_verdict __wrap_stack_input(struct stack *st, const struct tx_frame *frame)
{
	enum tx_verdict ret;

	f.kicked = true;
	enter();
	ret = __real_stack_input(st, frame);
	leave();
	return ret;
}

void __wrap_stack_run(struct stack *st)
{
	enter();
	__real_stack_run(st);
	leave();
}

void __wrap_stack_rx_refilled(struct stack *st)
{
	f.kicked = true;
	enter();
	__real_stack_rx_refilled(st);
	leave();
}

/**
 * fault_open_fds() - descriptors of this process
 */
uint32_t fault_open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	uint32_t n = 0;

	BUG_ON(!d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* A stack that cannot be made leaves nothing behind; then it is made in peace. */
int __wrap_stack_new(struct stack **out, const struct stack_config *cfg,
		     const struct stack_env *env)
{
	uint32_t before = fault_open_fds();
	int ret;

	if (!f.at_birth || !f.active)
		goto in_peace;
	enter();
	ret = __real_stack_new(out, cfg, env);
	leave();
	if (ret == 0)
		return 0;
	BUG_ON(ret > 0);
	BUG_ON(fault_open_fds() != before);
	memset(f.fds, 0, sizeof(f.fds));
in_peace:
	f.active = false;
	enter();
	ret = __real_stack_new(out, cfg, env);
	leave();
	f.active = !f.env.quiet;
	return ret;
}

void __wrap_stack_free(struct stack *st)
{
	enter();
	fault_ring_gone();
	__real_stack_free(st);
	leave();
}

void __wrap_stack_port_down(struct stack *st)
{
	enter();
	__real_stack_port_down(st);
	leave();
}

/* What the test hands over becomes the stack's; nothing fails here. */
int __wrap_stack_forward_add(struct stack *st, struct forward_info *info, int fd)
{
	bool active = f.active;
	int ret;

	f.active = false;
	fault_fd_new(fd, FD_STREAM);
	enter();
	ret = __real_stack_forward_add(st, info, fd);
	leave();
	f.active = active;
	return ret;
}
