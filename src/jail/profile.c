/* SPDX-License-Identifier: MIT */
/*
 * What each kind of thread may call, and with which arguments.
 *
 * Theory of operation: a profile is a few sets of rules: what every thread needs
 * to live, to log and to die; what its work needs; and what an option adds. A set
 * that no option asks for is not there. All that is done before the guest runs
 * (opening KVM, loading a kernel, starting threads) is in no set.
 *
 * Arguments are checked where a call can do more than we want of it: which
 * sockets, which options of them, which ioctls, no memory that can be executed,
 * signals to ourselves only. What a pointer points to, a filter cannot see: which
 * files openat() opens is Landlock's business, and which addresses connect() goes
 * to is the policy's (tcpstack/policy.c), whose thread it is.
 *
 * int arguments are compared in their low halves: that is what the kernel looks at.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/sockios.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "src/base/base.h"
#include "src/jail/priv.h"

#define CALL(name)                   \
	{                            \
		.nr = SCMP_SYS(name) \
	}
#define CALL_IF(name, ...)                                           \
	{                                                            \
		.nr = SCMP_SYS(name), .n = 1, .arg = { __VA_ARGS__ } \
	}
#define CALL_IF2(name, ...)                                          \
	{                                                            \
		.nr = SCMP_SYS(name), .n = 2, .arg = { __VA_ARGS__ } \
	}
#define CALL_IF3(name, ...)                                          \
	{                                                            \
		.nr = SCMP_SYS(name), .n = 3, .arg = { __VA_ARGS__ } \
	}
#define CALL_TO_OURSELVES(name)                    \
	{                                          \
		.nr = SCMP_SYS(name), .self = true \
	}

/* Argument @i, from 0: is @value; has none of @bits; is @value but for @bits. */
#define IS(i, value)                                         \
	{                                                    \
		(i), SCMP_CMP_MASKED_EQ, UINT32_MAX, (value) \
	}
#define WITHOUT(i, bits)                           \
	{                                          \
		(i), SCMP_CMP_MASKED_EQ, (bits), 0 \
	}
#define BUT_FOR(i, bits, value)                                                  \
	{                                                                        \
		(i), SCMP_CMP_MASKED_EQ, UINT32_MAX & ~(uint32_t)(bits), (value) \
	}

#define SOCKET(family, type, protocol)                                                  \
	CALL_IF3(socket, IS(0, family), BUT_FOR(1, SOCK_NONBLOCK | SOCK_CLOEXEC, type), \
		 IS(2, protocol))
#define SET_OPTION(level, name) CALL_IF2(setsockopt, IS(1, level), IS(2, name))
#define GET_OPTION(level, name) CALL_IF2(getsockopt, IS(1, level), IS(2, name))
#define IOCTL(request)		CALL_IF(ioctl, IS(1, request))

/* Of Linux 4.14 and 3.14; older headers have neither. */
#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif

/* To live, to wait, to log, and to die. */
static const struct jail_rule every_thread[] = {
	CALL(read),
	CALL(write),
	CALL(close),
	CALL(futex),
	CALL(clock_gettime),
	CALL(sched_yield),
	CALL(restart_syscall),
	CALL(getrandom),
	CALL(epoll_ctl),
	/* Memory, but none that can be executed. */
	CALL(brk),
	CALL(munmap),
	CALL(madvise),
	CALL_IF(mmap, WITHOUT(2, PROT_EXEC)),
	CALL_IF(mprotect, WITHOUT(2, PROT_EXEC)),
	/* A handler's return; abort(), raise() and pthread_kill(). */
	CALL(rt_sigreturn),
	CALL(rt_sigprocmask),
	CALL(getpid),
	CALL(gettid),
	CALL_TO_OURSELVES(tgkill),
	/* Not SIGSYS: its handler stays. */
	CALL_IF(rt_sigaction, IS(0, SIGABRT)),
	CALL_IF(rt_sigaction, IS(0, SIGBUS)),
	/* A terminal in raw mode is given back by whichever thread dies. */
	IOCTL(TCSETS),
	CALL(exit),
	CALL(exit_group),
};

/* A vCPU: the guest, interrupts and kicks, events for the other threads. */
static const struct jail_rule vcpu[] = {
	IOCTL(KVM_RUN),	  IOCTL(KVM_GET_REGS),	IOCTL(KVM_IRQ_LINE),	    IOCTL(KVM_SIGNAL_MSI),
	IOCTL(KVM_IRQFD), IOCTL(KVM_IOEVENTFD), IOCTL(KVM_SET_GSI_ROUTING), CALL(poll),
};

/* The network worker, whatever engine: sockets of the Internet, and its rings. */
static const struct jail_rule net[] = {
	CALL(epoll_pwait2),
	CALL(epoll_wait),
	CALL(poll),
	CALL(recvmsg),
	CALL(recvmmsg),
	CALL(recvfrom),
	CALL(sendmsg),
	CALL(sendto),
	CALL(connect),
	CALL(accept4),
	CALL(shutdown),
	CALL(getsockname),
	CALL(getpeername),
	CALL(clock_nanosleep),
	SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP),
	SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
	SOCKET(AF_INET, SOCK_DGRAM, 0),
	SOCKET(AF_INET6, SOCK_DGRAM, 0),
	SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_ICMP),
	SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6),
	SET_OPTION(SOL_SOCKET, SO_PEEK_OFF),
	SET_OPTION(SOL_SOCKET, SO_OOBINLINE),
	SET_OPTION(SOL_SOCKET, SO_LINGER),
	SET_OPTION(SOL_SOCKET, SO_SNDBUF),
	SET_OPTION(SOL_SOCKET, SO_RCVBUF),
	SET_OPTION(IPPROTO_TCP, TCP_NODELAY),
	SET_OPTION(IPPROTO_TCP, TCP_CONGESTION),
	SET_OPTION(IPPROTO_UDP, UDP_GRO),
	SET_OPTION(IPPROTO_IP, IP_TTL),
	SET_OPTION(IPPROTO_IP, IP_RECVERR),
	SET_OPTION(IPPROTO_IPV6, IPV6_UNICAST_HOPS),
	SET_OPTION(IPPROTO_IPV6, IPV6_RECVERR),
	GET_OPTION(SOL_SOCKET, SO_ERROR),
	GET_OPTION(SOL_SOCKET, SO_SNDBUF),
	GET_OPTION(SOL_SOCKET, SO_LINGER),
	GET_OPTION(IPPROTO_IP, IP_MTU),
	GET_OPTION(IPPROTO_IPV6, IPV6_MTU),
	IOCTL(SIOCOUTQ),
	IOCTL(SIOCOUTQNSD),
};

/* Pages into a pipe and on into a socket; the pipe is replaced when it must be (H77). */
static const struct jail_rule net_splice[] = {
	CALL(vmsplice),
	CALL(splice),
	CALL_IF(pipe2, IS(1, O_CLOEXEC | O_NONBLOCK)),
	CALL_IF(fcntl, IS(1, F_SETPIPE_SZ)),
};

static const struct jail_rule net_zerocopy[] = {
	SET_OPTION(SOL_SOCKET, SO_ZEROCOPY),
};

/* What its ring may do is restricted at its birth to the sends (bulk_uring.c). */
static const struct jail_rule net_uring[] = {
	CALL(io_uring_enter),
};

/* The writer: files that main has opened or was given, and a reader's socket. */
static const struct jail_rule writer[] = {
	CALL(poll),
	CALL(sendto),
	CALL(ftruncate),
};

static const struct jail_rule writer_connects[] = {
	SOCKET(AF_UNIX, SOCK_STREAM, 0),
	CALL(connect),
};

/* main: signals, the control socket, forwards, figures, and the end of all. */
static const struct jail_rule main_any[] = {
	CALL(epoll_wait),
	CALL(poll),
	CALL(accept4),
	CALL(recvfrom),
	CALL(recvmsg), /* clients send descriptors, and so does a front-end */
	CALL(sendto),
	CALL(timerfd_settime),
	CALL(mremap),
	CALL(newfstatat), /* fstat() of the C library */
	CALL(lseek),
	CALL_IF(fcntl, IS(1, F_GETFL)), /* can it be written to? */
	CALL(sysinfo),			/* qsort() */
	SOCKET(AF_INET, SOCK_STREAM, 0),
	SOCKET(AF_INET6, SOCK_STREAM, 0),
	SOCKET(AF_INET, SOCK_DGRAM, 0),
	SOCKET(AF_INET6, SOCK_DGRAM, 0),
	SET_OPTION(SOL_SOCKET, SO_REUSEADDR),
	SET_OPTION(IPPROTO_IPV6, IPV6_V6ONLY),
	SET_OPTION(IPPROTO_IP, IP_PKTINFO),
	SET_OPTION(IPPROTO_IPV6, IPV6_RECVPKTINFO),
	CALL(bind),
	CALL(listen),
	CALL(getsockname),
};

/* main of a VM: the console, the slow devices, and what vCPUs leave behind. */
static const struct jail_rule main_vm[] = {
	CALL(sendmsg),	       CALL(writev),	 IOCTL(TCGETS),	       IOCTL(KVM_IRQ_LINE),
	IOCTL(KVM_SIGNAL_MSI), IOCTL(KVM_IRQFD), IOCTL(KVM_IOEVENTFD), IOCTL(KVM_SET_GSI_ROUTING),
};

/* main of a vhost-user back-end: messages with descriptors, and their memory. */
static const struct jail_rule main_front_end[] = {
	CALL(shutdown),
	CALL(fstatfs),
	CALL_IF(fcntl, IS(1, F_SETFL)),
};

/* Files that jail_allow() was told of. */
static const struct jail_rule main_reads[] = {
	CALL_IF(openat, WITHOUT(2, O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | __O_TMPFILE)),
};

static const struct jail_rule main_creates[] = {
	CALL(openat),
};

static const struct jail_rule main_removes[] = {
	CALL(unlink),
};

#define ADD(p, rules) add((p), (rules), ARRAY_SIZE(rules))

static void add(struct jail_profile *p, const struct jail_rule *rule, size_t n)
{
	BUG_ON(p->nsets == JAIL_SETS_MAX);
	p->set[p->nsets++] = (struct jail_rules){ rule, n };
}

static void add_net(struct jail_profile *p, unsigned int engines)
{
	static const char *const names[] = {
		"net-copy",  "net-splice",	 "net-zerocopy",       "net-splice-zerocopy",
		"net-uring", "net-splice-uring", "net-uring-zerocopy", "net-splice-uring-zerocopy",
	};

	static_assert(JAIL_SPLICE == 1 && JAIL_ZEROCOPY == 2 && JAIL_URING == 4, "as in names");
	p->name = names[engines & (ARRAY_SIZE(names) - 1)];
	ADD(p, net);
	if (engines & JAIL_SPLICE)
		ADD(p, net_splice);
	if (engines & JAIL_ZEROCOPY)
		ADD(p, net_zerocopy);
	if (engines & JAIL_URING)
		ADD(p, net_uring);
}

static void add_main(struct jail_profile *p, bool vm, unsigned int access)
{
	p->name = vm ? "main-vm" : "main-vhost-user";
	ADD(p, main_any);
	if (vm)
		ADD(p, main_vm);
	else
		ADD(p, main_front_end);
	if (access & JAIL_CREATE)
		ADD(p, main_creates);
	else if (access & JAIL_READ)
		ADD(p, main_reads);
	if (access & JAIL_REMOVE)
		ADD(p, main_removes);
}

/**
 * jail_profile() - the rules for one kind of thread
 * @p:		out
 * @access:	all of JAIL_READ... that paths were allowed for
 */
void jail_profile(struct jail_profile *p, enum jail_thread kind, const struct jail_config *cfg,
		  unsigned int access)
{
	*p = (struct jail_profile){ .name = "vcpu" };
	ADD(p, every_thread);
	switch (kind) {
	case JAIL_VCPU:
		ADD(p, vcpu);
		break;
	case JAIL_NET:
		add_net(p, cfg->engines);
		break;
	case JAIL_WRITER:
		p->name = cfg->connects ? "writer-unix" : "writer";
		ADD(p, writer);
		if (cfg->connects)
			ADD(p, writer_connects);
		break;
	case JAIL_MAIN:
	case JAIL_THREADS:
		add_main(p, cfg->vcpus, access);
		break;
	}
}
