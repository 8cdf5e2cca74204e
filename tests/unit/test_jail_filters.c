/* SPDX-License-Identifier: MIT */
/*
 * The filters of each kind of thread: a child puts one on, on a thread of that
 * name, and makes one call. What is forbidden ends it, and says what it was (H80).
 */
#include "tests/unit/jailrig.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/sockios.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>

#include "src/base/log.h"

struct call {
	const char *name;
	long nr;
	long arg[6];
};

#define WORD(p) ((long)(uintptr_t)(p))

static const char path[] = "/etc/passwd";
static const struct sockaddr_in nobody = { .sin_family = AF_INET };

/* No thread may ever do these. */
static const struct call never[] = {
	{ "execve", SYS_execve, { WORD("/bin/true") } },
	{ "execveat", SYS_execveat, { AT_FDCWD, WORD("/bin/true") } },
	{ "fork", SYS_fork, { 0 } },
	{ "clone", SYS_clone, { SIGCHLD } },
	{ "clone3", SYS_clone3, { 0 } },
	{ "ptrace", SYS_ptrace, { 0 } },
	{ "process_vm_readv", SYS_process_vm_readv, { 1 } },
	{ "process_vm_writev", SYS_process_vm_writev, { 1 } },
	{ "kill", SYS_kill, { 1 } },
	{ "tkill", SYS_tkill, { 1 } },
	{ "tgkill", SYS_tgkill, { 1, 1 } },
	{ "pidfd_open", SYS_pidfd_open, { 1 } },
	{ "mount", SYS_mount, { 0 } },
	{ "pivot_root", SYS_pivot_root, { 0 } },
	{ "chroot", SYS_chroot, { WORD("/") } },
	{ "unshare", SYS_unshare, { 0 } },
	{ "setns", SYS_setns, { 0 } },
	{ "prctl", SYS_prctl, { PR_GET_DUMPABLE } },
	{ "personality", SYS_personality, { 0xffffffff } },
	{ "seccomp", SYS_seccomp, { 0 } },
	{ "setuid", SYS_setuid, { 0 } },
	{ "capset", SYS_capset, { 0 } },
	{ "bpf", SYS_bpf, { 0 } },
	{ "perf_event_open", SYS_perf_event_open, { 0 } },
	{ "userfaultfd", SYS_userfaultfd, { 0 } },
	{ "io_uring_setup", SYS_io_uring_setup, { 8 } },
	{ "io_uring_register", SYS_io_uring_register, { 0 } },
	{ "keyctl", SYS_keyctl, { 0 } },
	{ "init_module", SYS_init_module, { 0 } },
	{ "memfd_create", SYS_memfd_create, { WORD("x") } },
	{ "socketpair", SYS_socketpair, { AF_UNIX, SOCK_STREAM } },
	{ "socket", SYS_socket, { AF_UNIX, SOCK_STREAM } },
	{ "socket", SYS_socket, { AF_NETLINK, SOCK_DGRAM } },
	{ "socket", SYS_socket, { AF_PACKET, SOCK_DGRAM } },
	{ "socket", SYS_socket, { AF_VSOCK, SOCK_STREAM } },
	{ "socket", SYS_socket, { AF_INET, SOCK_RAW, IPPROTO_TCP } },
	{ "socket", SYS_socket, { AF_INET6, SOCK_STREAM, IPPROTO_SCTP } },
	{ "setsockopt", SYS_setsockopt, { 0, SOL_SOCKET, SO_ATTACH_FILTER } },
	{ "setsockopt", SYS_setsockopt, { 0, SOL_SOCKET, SO_BINDTODEVICE } },
	{ "setsockopt", SYS_setsockopt, { 0, IPPROTO_TCP, TCP_REPAIR } },
	{ "mmap", SYS_mmap, { 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1 } },
	{ "mprotect", SYS_mprotect, { 0, 4096, PROT_EXEC } },
	{ "pkey_mprotect", SYS_pkey_mprotect, { 0, 4096, PROT_EXEC } },
	{ "open", SYS_open, { WORD(path) } },
	{ "openat", SYS_openat, { AT_FDCWD, WORD(path) } },
	{ "openat2", SYS_openat2, { AT_FDCWD, WORD(path) } },
	{ "name_to_handle_at", SYS_name_to_handle_at, { AT_FDCWD, WORD(path) } },
	{ "chmod", SYS_chmod, { WORD(path) } },
	{ "chown", SYS_chown, { WORD(path), -1, -1 } },
	{ "rename", SYS_rename, { WORD(path), WORD(path) } },
	{ "unlink", SYS_unlink, { WORD("/nowhere/at/all") } },
	{ "symlink", SYS_symlink, { WORD(path), WORD("/nowhere/at/all") } },
	{ "mkdir", SYS_mkdir, { WORD("/nowhere/at/all") } },
	{ "truncate", SYS_truncate, { WORD("/nowhere/at/all") } },
	{ "readlink", SYS_readlink, { WORD(path) } },
	{ "rt_sigaction", SYS_rt_sigaction, { SIGSYS } },
	{ "ioctl", SYS_ioctl, { 0, TIOCSTI } },
	{ "ioctl", SYS_ioctl, { 0, SIOCSIFFLAGS } },
	{ "ioctl", SYS_ioctl, { 0, KVM_CREATE_VM } },
	{ "fcntl", SYS_fcntl, { 0, F_SETOWN, 1 } },
	{ "fcntl", SYS_fcntl, { 0, F_DUPFD, 0 } },
	{ "prlimit64", SYS_prlimit64, { 0 } },
	{ "setpriority", SYS_setpriority, { 0 } },
	{ "shmget", SYS_shmget, { 0 } },
	{ "getppid", SYS_getppid, { 0 } },
};

/* What any thread does: to wait, to log, to take memory, to die in order. */
static const struct call always[] = {
	{ "read", SYS_read, { -1 } },
	{ "write", SYS_write, { -1 } },
	{ "close", SYS_close, { -1 } },
	{ "futex", SYS_futex, { 0 } },
	{ "clock_gettime", SYS_clock_gettime, { 0 } },
	{ "getrandom", SYS_getrandom, { 0 } },
	{ "mmap", SYS_mmap, { 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1 } },
	{ "munmap", SYS_munmap, { 0 } },
	{ "madvise", SYS_madvise, { 0 } },
	{ "brk", SYS_brk, { 0 } },
	{ "rt_sigprocmask", SYS_rt_sigprocmask, { 0 } },
	{ "rt_sigaction", SYS_rt_sigaction, { SIGABRT, 0, 0, 8 } },
	{ "ioctl", SYS_ioctl, { -1, TCSETS } },
	{ "epoll_ctl", SYS_epoll_ctl, { -1 } },
};

#define NONBLOCKING (SOCK_NONBLOCK | SOCK_CLOEXEC)

static const struct call net_may[] = {
	{ "socket", SYS_socket, { AF_INET, SOCK_STREAM | NONBLOCKING, IPPROTO_TCP } },
	{ "socket", SYS_socket, { AF_INET6, SOCK_STREAM | NONBLOCKING, IPPROTO_TCP } },
	{ "socket", SYS_socket, { AF_INET, SOCK_DGRAM | NONBLOCKING, 0 } },
	{ "socket", SYS_socket, { AF_INET6, SOCK_DGRAM | NONBLOCKING, 0 } },
	{ "socket", SYS_socket, { AF_INET, SOCK_DGRAM | NONBLOCKING, IPPROTO_ICMP } },
	{ "socket", SYS_socket, { AF_INET6, SOCK_DGRAM | NONBLOCKING, IPPROTO_ICMPV6 } },
	{ "connect", SYS_connect, { -1, WORD(&nobody), sizeof(nobody) } },
	{ "sendmsg", SYS_sendmsg, { -1 } },
	{ "recvmsg", SYS_recvmsg, { -1, 0, MSG_ERRQUEUE } },
	{ "sendto", SYS_sendto, { -1 } },
	{ "recvfrom", SYS_recvfrom, { -1 } },
	{ "accept4", SYS_accept4, { -1 } },
	{ "epoll_pwait2", SYS_epoll_pwait2, { -1 } },
	{ "epoll_wait", SYS_epoll_wait, { -1 } },
	{ "ioctl", SYS_ioctl, { -1, SIOCOUTQ } },
	{ "setsockopt", SYS_setsockopt, { -1, IPPROTO_TCP, TCP_NODELAY } },
	{ "setsockopt", SYS_setsockopt, { -1, SOL_SOCKET, SO_PEEK_OFF } },
	{ "setsockopt", SYS_setsockopt, { -1, IPPROTO_UDP, UDP_GRO } },
	{ "getsockopt", SYS_getsockopt, { -1, SOL_SOCKET, SO_ERROR } },
};

static const struct call net_may_not[] = {
	{ "listen", SYS_listen, { -1 } },
	{ "ioctl", SYS_ioctl, { -1, KVM_RUN } },
	{ "ioctl", SYS_ioctl, { -1, KVM_SET_GSI_ROUTING } },
	{ "accept", SYS_accept, { -1 } },
};

static const struct call splice_may[] = {
	{ "vmsplice", SYS_vmsplice, { -1 } },
	{ "splice", SYS_splice, { -1 } },
	{ "pipe2", SYS_pipe2, { 0, O_CLOEXEC | O_NONBLOCK } },
	{ "fcntl", SYS_fcntl, { -1, F_SETPIPE_SZ, 4096 } },
};

static const struct call zerocopy_may[] = {
	{ "setsockopt", SYS_setsockopt, { -1, SOL_SOCKET, SO_ZEROCOPY } },
};

static const struct call uring_may[] = {
	{ "io_uring_enter", SYS_io_uring_enter, { -1 } },
};

static const struct call vcpu_may[] = {
	{ "ioctl", SYS_ioctl, { -1, KVM_RUN } },
	{ "ioctl", SYS_ioctl, { -1, KVM_IRQ_LINE } },
	{ "ioctl", SYS_ioctl, { -1, KVM_SIGNAL_MSI } },
	{ "ioctl", SYS_ioctl, { -1, KVM_IRQFD } },
	{ "ioctl", SYS_ioctl, { -1, KVM_IOEVENTFD } },
	{ "ioctl", SYS_ioctl, { -1, KVM_SET_GSI_ROUTING } },
	{ "poll", SYS_poll, { 0, 0, 0 } },
};

static const struct call vcpu_may_not[] = {
	{ "socket", SYS_socket, { AF_INET, SOCK_STREAM, IPPROTO_TCP } },
	{ "connect", SYS_connect, { -1 } },
	{ "sendto", SYS_sendto, { -1 } },
	{ "recvfrom", SYS_recvfrom, { -1 } },
	{ "sendmsg", SYS_sendmsg, { -1 } },
	{ "recvmsg", SYS_recvmsg, { -1 } },
	{ "accept4", SYS_accept4, { -1 } },
	{ "bind", SYS_bind, { -1 } },
	{ "splice", SYS_splice, { -1 } },
	{ "io_uring_enter", SYS_io_uring_enter, { -1 } },
	{ "ioctl", SYS_ioctl, { -1, KVM_SET_USER_MEMORY_REGION } },
	{ "ioctl", SYS_ioctl, { -1, KVM_SET_MSRS } },
};

static const struct call writer_may[] = {
	{ "poll", SYS_poll, { 0, 0, 0 } },
	{ "sendto", SYS_sendto, { -1 } },
	{ "ftruncate", SYS_ftruncate, { -1 } },
};

static const struct call writer_may_not[] = {
	{ "socket", SYS_socket, { AF_INET, SOCK_STREAM, 0 } },
	{ "recvfrom", SYS_recvfrom, { -1 } },
	{ "recvmsg", SYS_recvmsg, { -1 } },
	{ "sendmsg", SYS_sendmsg, { -1 } },
	{ "accept4", SYS_accept4, { -1 } },
	{ "bind", SYS_bind, { -1 } },
	{ "ioctl", SYS_ioctl, { -1, KVM_RUN } },
	{ "splice", SYS_splice, { -1 } },
};

static const struct call main_may[] = {
	{ "socket", SYS_socket, { AF_INET, SOCK_STREAM | NONBLOCKING, 0 } },
	{ "socket", SYS_socket, { AF_INET, SOCK_DGRAM | NONBLOCKING, 0 } },
	{ "socket", SYS_socket, { AF_INET6, SOCK_DGRAM | NONBLOCKING, 0 } },
	{ "setsockopt", SYS_setsockopt, { -1, IPPROTO_IP, IP_PKTINFO } },
	{ "setsockopt", SYS_setsockopt, { -1, IPPROTO_IPV6, IPV6_RECVPKTINFO } },
	{ "bind", SYS_bind, { -1 } },
	{ "listen", SYS_listen, { -1 } },
	{ "accept4", SYS_accept4, { -1 } },
	{ "epoll_wait", SYS_epoll_wait, { -1 } },
	{ "timerfd_settime", SYS_timerfd_settime, { -1 } },
	{ "newfstatat", SYS_newfstatat, { -1, WORD(""), 0, AT_EMPTY_PATH } },
	{ "recvmsg", SYS_recvmsg, { -1 } },
	{ "fcntl", SYS_fcntl, { -1, F_GETFL } },
};

static const struct call main_may_not[] = {
	{ "ftruncate", SYS_ftruncate, { -1 } },
	{ "connect", SYS_connect, { -1 } },
	{ "ioctl", SYS_ioctl, { -1, KVM_RUN } },
	{ "splice", SYS_splice, { -1 } },
	{ "vmsplice", SYS_vmsplice, { -1 } },
	{ "io_uring_enter", SYS_io_uring_enter, { -1 } },
	{ "setsockopt", SYS_setsockopt, { -1, SOL_SOCKET, SO_ZEROCOPY } },
};

/* --- one call in a child --------------------------------------------------- */

struct attempt {
	const char *thread;
	struct jail_profile profile;
	struct sock_fprog filter;
	const struct call *call;
};

static void *the_thread(void *arg)
{
	const struct attempt *a = arg;
	const long *x = a->call->arg;

	CHECK(prctl(PR_SET_NAME, a->thread) == 0);
	sigsys_thread(a->profile.name);
	CHECK(filter_install(&a->filter) == 0);
	syscall(a->call->nr, x[0], x[1], x[2], x[3], x[4], x[5]);
	_exit(0);
}

static void make_call(void *arg)
{
	pthread_t t;

	CHECK(sigsys_catch(NULL) == 0);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(pthread_create(&t, NULL, the_thread, arg) == 0);
	pthread_join(t, NULL);
	_exit(CHILD_FAILED);
}

static void begin(struct attempt *a, enum jail_thread kind, bool vcpus, unsigned int engines,
		  unsigned int access)
{
	static const char *const threads[] = { "sluice", "sluice-vcpu7", "sluice-net",
					       "sluice-writer" };
	const struct jail_config cfg = { .vcpus = vcpus, .engines = engines };

	skip_if_instrumented();
	if (!filter_offered()) {
		print_message("SKIP: this kernel or container has no seccomp filters\n");
		skip();
	}
	memset(a, 0, sizeof(*a));
	a->thread = threads[kind];
	jail_profile(&a->profile, kind, &cfg, access);
	assert_int_equal(filter_build(&a->filter, &a->profile), 0);
}

static void refuses(struct attempt *a, const struct call *call, size_t n)
{
	char words[128];

	for (size_t i = 0; i < n; i++) {
		struct outcome o;

		a->call = &call[i];
		in_child(make_call, a, &o);
		snprintf(words, sizeof(words), "thread %s, profile %s, may not call %s(0x",
			 a->thread, a->profile.name, call[i].name);
		if (o.status != JAIL_EXIT_STATUS || !strstr(o.text, words))
			fail_msg("%s: row %zu, %s: signal %d, status %d: %s", a->profile.name, i,
				 call[i].name, o.signal, o.status, o.text);
	}
}

static void allows(struct attempt *a, const struct call *call, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct outcome o;

		a->call = &call[i];
		in_child(make_call, a, &o);
		if (o.status != 0)
			fail_msg("%s: row %zu, %s: signal %d, status %d: %s", a->profile.name, i,
				 call[i].name, o.signal, o.status, o.text);
	}
}

#define REFUSES(a, list) refuses((a), (list), ARRAY_SIZE(list))
#define ALLOWS(a, list)	 allows((a), (list), ARRAY_SIZE(list))

static void end(struct attempt *a)
{
	filter_free(&a->filter);
}

static void a_vcpu_thread_is_confined(void **state)
{
	struct attempt a;

	(void)state;
	begin(&a, JAIL_VCPU, true, 0, 0);
	ALLOWS(&a, always);
	ALLOWS(&a, vcpu_may);
	REFUSES(&a, never);
	REFUSES(&a, vcpu_may_not);
	end(&a);
}

static void the_network_worker_is_confined(void **state)
{
	struct attempt a;

	(void)state;
	begin(&a, JAIL_NET, false, 0, 0);
	assert_string_equal(a.profile.name, "net-copy");
	ALLOWS(&a, always);
	ALLOWS(&a, net_may);
	REFUSES(&a, never);
	REFUSES(&a, net_may_not);
	REFUSES(&a, splice_may);
	REFUSES(&a, zerocopy_may);
	REFUSES(&a, uring_may);
	end(&a);
}

/* An engine gets what it needs, and not what another one does (H77). */
static void each_engine_has_its_own_profile(void **state)
{
	static const struct {
		unsigned int engines;
		const char *name;
		bool splice, zerocopy, uring;
	} rows[] = {
		{ JAIL_SPLICE, "net-splice", true, false, false },
		{ JAIL_ZEROCOPY, "net-zerocopy", false, true, false },
		{ JAIL_URING, "net-uring", false, false, true },
		{ JAIL_SPLICE | JAIL_ZEROCOPY, "net-splice-zerocopy", true, true, false },
		{ JAIL_SPLICE | JAIL_URING, "net-splice-uring", true, false, true },
	};
	struct attempt a;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		begin(&a, JAIL_NET, false, rows[i].engines, 0);
		assert_string_equal(a.profile.name, rows[i].name);
		ALLOWS(&a, net_may);
		if (rows[i].splice)
			ALLOWS(&a, splice_may);
		else
			REFUSES(&a, splice_may);
		if (rows[i].zerocopy)
			ALLOWS(&a, zerocopy_may);
		else
			REFUSES(&a, zerocopy_may);
		if (rows[i].uring)
			ALLOWS(&a, uring_may);
		else
			REFUSES(&a, uring_may);
		end(&a);
	}
}

/* It connects only where the audit goes to a socket, and only to such. */
static void the_writer_is_confined(void **state)
{
	static const struct call connects[] = { { "connect", SYS_connect, { -1 } } };
	static const struct call makes[] = {
		{ "socket", SYS_socket, { AF_UNIX, SOCK_STREAM | NONBLOCKING, 0 } }
	};
	struct jail_config cfg = { .connects = true };
	struct attempt a;

	(void)state;
	begin(&a, JAIL_WRITER, false, 0, JAIL_CREATE);
	assert_string_equal(a.profile.name, "writer");
	ALLOWS(&a, always);
	ALLOWS(&a, writer_may);
	REFUSES(&a, never);
	REFUSES(&a, writer_may_not);
	REFUSES(&a, connects);
	filter_free(&a.filter);
	jail_profile(&a.profile, JAIL_WRITER, &cfg, 0);
	assert_string_equal(a.profile.name, "writer-unix");
	assert_int_equal(filter_build(&a.filter, &a.profile), 0);
	ALLOWS(&a, connects);
	ALLOWS(&a, makes);
	REFUSES(&a, writer_may_not);
	end(&a);
}

static void main_is_confined_in_both_commands(void **state)
{
	struct attempt a;

	(void)state;
	for (int vcpus = 0; vcpus <= 1; vcpus++) {
		begin(&a, JAIL_MAIN, vcpus, 0, 0);
		assert_string_equal(a.profile.name, vcpus ? "main-vm" : "main-vhost-user");
		ALLOWS(&a, always);
		ALLOWS(&a, main_may);
		REFUSES(&a, never);
		REFUSES(&a, main_may_not);
		end(&a);
	}
}

/* Files are opened and removed only where an option asks for it. */
static void main_touches_files_only_where_it_must(void **state)
{
	static const struct call reads[] = {
		{ "openat", SYS_openat, { AT_FDCWD, WORD(path), O_RDONLY | O_CLOEXEC } },
	};
	static const struct call writes[] = {
		{ "openat", SYS_openat, { AT_FDCWD, WORD("/nowhere/at/all"), O_WRONLY | O_CREAT } },
		{ "openat", SYS_openat, { AT_FDCWD, WORD("/nowhere/at/all"), O_RDWR } },
		{ "openat", SYS_openat, { AT_FDCWD, WORD("/nowhere/at/all"), O_RDONLY | O_TRUNC } },
	};
	static const struct call removes[] = {
		{ "unlink", SYS_unlink, { WORD("/nowhere/at/all") } },
	};
	struct attempt a;

	(void)state;
	begin(&a, JAIL_MAIN, false, 0, JAIL_READ);
	ALLOWS(&a, reads);
	REFUSES(&a, writes);
	REFUSES(&a, removes);
	end(&a);
	begin(&a, JAIL_MAIN, false, 0, JAIL_CREATE);
	ALLOWS(&a, reads);
	ALLOWS(&a, writes);
	REFUSES(&a, removes);
	end(&a);
	begin(&a, JAIL_MAIN, false, 0, JAIL_REMOVE);
	REFUSES(&a, reads);
	REFUSES(&a, writes);
	ALLOWS(&a, removes);
	end(&a);
}

static void call_by_the_old_gate(void *arg)
{
	const struct attempt *a = arg;
	long ret = 20; /* getpid() of 32-bit programs */

	CHECK(sigsys_catch(NULL) == 0);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(filter_install(&a->filter) == 0);
	__asm__ volatile("int $0x80" : "+a"(ret) : : "memory");
}

static void call_of_x32(void *arg)
{
	const struct attempt *a = arg;

	CHECK(sigsys_catch(NULL) == 0);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(filter_install(&a->filter) == 0);
	syscall(0x40000000 + SYS_getpid);
}

/* Numbers of another architecture mean other calls: no way around the list. */
static void calls_of_other_architectures_kill(void **state)
{
	struct attempt a;
	struct outcome o;

	(void)state;
	begin(&a, JAIL_NET, false, 0, 0);
	in_child(call_by_the_old_gate, &a, &o);
	assert_int_not_equal(o.signal, 0); /* SIGSYS, or no such gate in this kernel: SIGSEGV */
	in_child(call_of_x32, &a, &o);
	assert_int_equal(o.signal, SIGSYS);
	end(&a);
}

static void say_last_words(void)
{
	(void)!write(STDERR_FILENO, "last words", 10);
}

static void violate_with_last_words(void *arg)
{
	const struct attempt *a = arg;

	CHECK(sigsys_catch(say_last_words) == 0);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	sigsys_thread(a->profile.name);
	CHECK(filter_install(&a->filter) == 0);
	(void)getppid();
}

/* A terminal gets its settings back before the end. */
static void last_words_are_said(void **state)
{
	struct attempt a;
	struct outcome o;

	(void)state;
	begin(&a, JAIL_MAIN, true, 0, 0);
	in_child(violate_with_last_words, &a, &o);
	assert_int_equal(o.status, JAIL_EXIT_STATUS);
	assert_non_null(strstr(o.text, "getppid("));
	assert_non_null(strstr(o.text, "this is the end\nlast words"));
	end(&a);
}

static void violate_as_json(void *arg)
{
	log_set_format(LOG_JSON);
	violate_with_last_words(arg);
}

/* In the form that the rest of the log has. */
static void a_violation_is_an_object_where_the_log_is_json(void **state)
{
	static const char head[] = "{\"time\":\"20";
	struct attempt a;
	struct outcome o;

	(void)state;
	begin(&a, JAIL_MAIN, true, 0, 0);
	in_child(violate_as_json, &a, &o);
	assert_int_equal(o.status, JAIL_EXIT_STATUS);
	assert_memory_equal(o.text, head, sizeof(head) - 1);
	assert_non_null(strstr(o.text, "Z\",\"level\":\"error\",\"subsystem\":\"jail\","
				       "\"msg\":\"thread "));
	assert_non_null(strstr(o.text, "this is the end\"}\nlast words"));
	end(&a);
}

static void abort_in_a_thread(void *arg)
{
	struct attempt *a = arg;

	/* Its own: the process may send signals to itself, by its id. */
	filter_free(&a->filter);
	CHECK(filter_build(&a->filter, &a->profile) == 0);
	CHECK(sigsys_catch(NULL) == 0);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	sigsys_thread(a->profile.name);
	CHECK(filter_install(&a->filter) == 0);
	bug(__FILE__, __LINE__, "a fault of ours");
}

/* A fault of our own still ends with its own message and signal. */
static void a_bug_ends_as_it_does_outside(void **state)
{
	static const enum jail_thread kinds[] = { JAIL_MAIN, JAIL_VCPU, JAIL_NET };
	struct attempt a;
	struct outcome o;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		begin(&a, kinds[i], true, 0, 0);
		in_child(abort_in_a_thread, &a, &o);
		if (o.signal != SIGABRT || !strstr(o.text, "a fault of ours"))
			fail_msg("%s: signal %d, status %d: %s", a.profile.name, o.signal, o.status,
				 o.text);
		end(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vcpu_thread_is_confined),
		cmocka_unit_test(the_network_worker_is_confined),
		cmocka_unit_test(each_engine_has_its_own_profile),
		cmocka_unit_test(the_writer_is_confined),
		cmocka_unit_test(main_is_confined_in_both_commands),
		cmocka_unit_test(main_touches_files_only_where_it_must),
		cmocka_unit_test(calls_of_other_architectures_kill),
		cmocka_unit_test(last_words_are_said),
		cmocka_unit_test(a_violation_is_an_object_where_the_log_is_json),
		cmocka_unit_test(a_bug_ends_as_it_does_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
