/* SPDX-License-Identifier: MIT */
/*
 * Sends by reference that the kernel answers for, by either engine.
 *
 *	alone			on loopback, where the kernel copies and says so
 *	under bench/offhost	towards a peer whose link reads frames as a NIC does;
 *				over a plain veth, which is this host in disguise
 *
 * The program runs the first part, then itself under offhost for the others;
 * where that is not allowed, those are a SKIP. The rig overwrites a
 * frame's memory when its token returns, so a page given back too early shows as
 * a wrong byte at the far end (H70).
 */
#include "tests/stack/rig_tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/base.h"
#include "tcpstack/limits.h"
#include "tcpstack/priv.h"
#include "tcpstack/snapshot.h"
#include "tcpstack/tcp.h"

#define FLOWS 8
#define FRAME 59860

/**
 * struct up - uploads of several flows to one listener
 * @n:		flows that are open
 */
struct up {
	struct rig *r;
	struct rig_conn c[FLOWS];
	int lfd, fd[FLOWS];
	uint64_t got[FLOWS];
	uint32_t n;
};

static void up_open(struct up *u, uint32_t engine, uint32_t flows)
{
	bool far = rig_is_near();
	struct rig_config cfg;
	uint16_t port;

	memset(u, 0, sizeof(*u));
	rig_config_defaults(&cfg);
	cfg.stack.bulk = engine;
	cfg.stack.mtu = STACK_MTU_MAX;
	u->r = rig_new(&cfg);
	u->lfd = far ? rig_listen_far(&port) : rig_listen(&port);
	for (; u->n < flows; u->n++) {
		struct rig_conn *c = &u->c[u->n];

		rig_conn_init(c, u->r, (uint16_t)(40000 + u->n), port);
		c->group = u->c;
		c->group_size = u->n + 1;
		c->tx_seed += u->n * 7;
		if (far)
			c->dst = RIG_FAR_ADDR;
		u->fd[u->n] = rig_conn_open(c, u->lfd);
		for (uint32_t i = 0; i <= u->n; i++)
			u->c[i].group_size = u->n + 1;
	}
}

static void up_close(struct up *u)
{
	for (uint32_t i = 0; i < u->n; i++)
		if (u->fd[i] >= 0)
			close(u->fd[i]);
	close(u->lfd);
	rig_free(u->r);
}

/* The guest sends what it may, up to byte @total of each stream; true when all arrived. */
static bool upload(struct up *u, uint64_t total, bool read)
{
	bool done = true;

	rig_conn_poll(&u->c[0]);
	for (uint32_t i = 0; i < u->n; i++) {
		rig_conn_upload(&u->c[i], total, FRAME);
		if (read)
			rig_pump_read(u->fd[i], u->c[i].tx_seed, &u->got[i]);
		done &= u->got[i] == total;
	}
	return done;
}

/* Real time passes in RIG_UNTIL only; the stack's, for what it looks at by the clock. */
static bool all_back(struct up *u)
{
	rig_advance(u->r, NS_PER_MS);
	return rig_held(u->r) == 0;
}

static uint32_t engine_of(void **state)
{
	return *(const uint32_t *)*state;
}

static bool have(struct up *u, uint32_t engine)
{
	if (engine != STACK_BULK_URING || COUNT(u->r, bulk_zc_sends) > 0)
		return true;
	print_message("SKIP: no io_uring here\n");
	return false;
}

/* H71: the kernel says that it copied, and the flow copies from then on. */
static void peer_on_this_host_ends_it(void **state)
{
	struct up u;

	up_open(&u, engine_of(state), 1);
	RIG_UNTIL(u.r, upload(&u, 16 * MIB, true));
	RIG_UNTIL(u.r, all_back(&u));
	if (have(&u, engine_of(state))) {
		assert_int_equal(COUNT(u.r, bulk_zc_sends), 1);
		assert_int_equal(COUNT(u.r, bulk_zc_copied), 1);
	}
	up_close(&u);
}

static bool kernel_is_before(int major, int minor)
{
	struct utsname name;
	int x, y;

	assert_int_equal(uname(&name), 0);
	assert_int_equal(sscanf(name.release, "%d.%d", &x, &y), 2);
	return x < major || (x == major && y < minor);
}

/*
 * Without leave to pin memory, sendmsg() answers ENOBUFS: the batch is copied. io_uring
 * does so where the kernel counts its pages: 6.1 does not, 6.18 does.
 */
static void without_memory_to_pin_it_copies(void **state)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct old[2], now[2];
	struct rlimit before, none;
	bool uncounted;
	struct up u;

	assert_int_equal(syscall(SYS_capget, &hdr, old), 0);
	memcpy(now, old, sizeof(now));
	now[0].effective &= ~(1U << CAP_IPC_LOCK);
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &before), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = before.rlim_max };
	/* io_uring looks at the capability when the ring is made. */
	assert_int_equal(syscall(SYS_capset, &hdr, now), 0);
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &none), 0);
	up_open(&u, engine_of(state), 1);
	RIG_UNTIL(u.r, upload(&u, 4 * MIB, true));
	assert_int_equal(syscall(SYS_capset, &hdr, old), 0);
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &before), 0);
	RIG_UNTIL(u.r, all_back(&u));
	uncounted = engine_of(state) == STACK_BULK_URING && COUNT(u.r, bulk_zc_sends) > 0 &&
		    kernel_is_before(6, 18);
	if (!uncounted)
		assert_int_equal(COUNT(u.r, bulk_zc_sends), 0);
	up_close(&u);
	if (uncounted) {
		print_message("SKIP: this kernel does not count what io_uring pins\n");
		skip();
	}
}

/* H81, in a process of its own that may not use io_uring. */
static void forbidden_io_uring_is_done_without(void **state)
{
	struct stack_info info;
	struct up u;

	(void)state;
	up_open(&u, STACK_BULK_URING, 2);
	stack_get_info(rig_stack(u.r), &info);
	assert_int_equal(info.probe[BULK_URING].err, -EPERM);
	assert_string_equal(info.probe[BULK_URING].name, "uring");
	assert_string_equal(info.probe[BULK_URING].why, "io_uring_setup: Operation not permitted");
	assert_int_equal(info.probe[BULK_COPY].err, 0);
	RIG_UNTIL(u.r, upload(&u, 4 * MIB, true));
	assert_int_equal(rig_allocs(u.r), 0);
	up_close(&u);
}

/* H70: every byte, by reference, and in steady state nothing is allocated. */
static void far_uploads_arrive(struct up *u, uint32_t engine, uint32_t flows)
{
	up_open(u, engine, flows);
	RIG_UNTIL(u->r, upload(u, MIB, true));
	RIG_UNTIL(u->r, all_back(u)); /* the probes are answered */
	RIG_UNTIL(u->r, upload(u, MIB + 24 * MIB / flows, true));
	RIG_UNTIL(u->r, all_back(u));
	assert_int_equal(rig_allocs(u->r), 0);
	if (have(u, engine)) {
		assert_true(COUNT(u->r, bulk_zerocopy_bytes) + COUNT(u->r, bulk_uring_bytes) >
			    4 * MIB);
		assert_true(COUNT(u->r, bulk_zc_copied) * 4 < COUNT(u->r, bulk_zc_sends));
	}
	up_close(u);
}

static void far_upload_arrives(void **state)
{
	struct up u;

	far_uploads_arrive(&u, engine_of(state), 1);
}

static void far_uploads_of_many_flows_arrive(void **state)
{
	struct up u;

	far_uploads_arrive(&u, engine_of(state), FLOWS);
}

/*
 * The guest sends what it may and nobody reads, until nothing has moved for a while: then
 * the peer's kernel takes no more, and what is lent stays lent. It may be that all of that
 * was taken and copies wait behind it; then the peer reads, and all begins anew.
 */
static bool is_piled_up(struct up *u, uint64_t total)
{
	uint64_t sent = 0;

	for (uint32_t still = 0; still < 50; still++) {
		uint64_t now;

		upload(u, total, false);
		rig_cycle(u->r);
		usleep(1000);
		now = COUNT(u->r, tcp_tx_payload) + COUNT(u->r, bulk_released);
		if (now != sent)
			still = 0;
		sent = now;
	}
	if (COUNT(u->r, bulk_lent_frames) > 0)
		return true;
	rig_pump_read(u->fd[0], u->c[0].tx_seed, &u->got[0]);
	return false;
}

/* Bytes under way that the peer does not take; the flow is past its probe. False: cannot. */
static bool pile_up(struct up *u, uint32_t engine)
{
	up_open(u, engine, 1);
	RIG_UNTIL(u->r, upload(u, 2 * MIB, true));
	RIG_UNTIL(u->r, all_back(u));
	if (!have(u, engine))
		return false;
	RIG_UNTIL(u->r, is_piled_up(u, 1024 * MIB));
	return true;
}

/* The guest resets: the write queue is thrown away, and every token returns. */
static void guest_reset_brings_all_back(void **state)
{
	struct up u;

	if (pile_up(&u, engine_of(state))) {
		rig_conn_segment(&u.c[0], RIG_RST, u.c[0].snd_nxt, NULL, 0);
		RIG_UNTIL(u.r, all_back(&u));
		assert_int_equal(COUNT(u.r, tcp_active), 0);
	}
	up_close(&u);
}

static void peer_reset_brings_all_back(void **state)
{
	struct up u;

	if (pile_up(&u, engine_of(state))) {
		rig_reset_close(u.fd[0]);
		u.fd[0] = -1;
		RIG_CONN_UNTIL(&u.c[0], u.c[0].rst);
		RIG_UNTIL(u.r, all_back(&u));
	}
	up_close(&u);
}

/* H17: a driver that goes finds all of its frames given back; the rig checks. */
static void detach_brings_all_back(void **state)
{
	struct up u;

	if (pile_up(&u, engine_of(state))) {
		rig_detach(u.r);
		assert_int_equal(rig_held(u.r), 0);
		rig_attach(u.r);
	}
	up_close(&u);
}

/* What @op comes to in the engine's own ring. */
static int told(struct io_uring *ring, uint8_t op)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	int res;

	assert_non_null(sqe);
	io_uring_prep_rw(op, sqe, -1, NULL, 0, 0);
	assert_int_equal(io_uring_submit_and_wait(ring, 1), 1);
	assert_int_equal(io_uring_peek_cqe(ring, &cqe), 0);
	res = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return res;
}

/* A ring is no way around the jail's filters (docs/security.md). */
static void the_ring_does_nothing_but_send(void **state)
{
	static const uint8_t others[] = { IORING_OP_NOP,    IORING_OP_OPENAT,	IORING_OP_CONNECT,
					  IORING_OP_SOCKET, IORING_OP_UNLINKAT, IORING_OP_SPLICE,
					  IORING_OP_READ,   IORING_OP_WRITE,	IORING_OP_SENDMSG };
	struct io_uring *ring;
	struct up u;

	(void)state;
	up_open(&u, STACK_BULK_URING, 1);
	/* The first member of the engine's own structure. */
	ring = rig_stack(u.r)->tcp->bulk.engine_priv[BULK_URING];
	if (!ring) {
		up_close(&u);
		print_message("SKIP: no io_uring here\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_int_equal(told(ring, others[i]), -EACCES);
	assert_int_equal(told(ring, IORING_OP_SEND_ZC), -EBADF);
	assert_int_equal(
		syscall(SYS_io_uring_register, ring->ring_fd, IORING_UNREGISTER_EVENTFD, NULL, 0),
		-1);
	assert_int_equal(errno, EACCES);
	up_close(&u);
}

static const uint32_t zerocopy = STACK_BULK_ZEROCOPY, uring = STACK_BULK_URING;

#define EACH(test)                                                              \
	{ #test ": zerocopy", test, NULL, NULL, (void *)(uintptr_t)&zerocopy }, \
	{                                                                       \
#test ": uring", test, NULL, NULL, (void *)(uintptr_t)&uring    \
	}

static int near_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ring_does_nothing_but_send),
		EACH(peer_on_this_host_ends_it),
		EACH(without_memory_to_pin_it_copies),
	};

	return cmocka_run_group_tests_name("zerocopy", tests, NULL, NULL);
}

/* A remote-looking address in a container of this host: the kernel finds out (H71). */
static int veth_tests(void)
{
	const struct CMUnitTest tests[] = { EACH(peer_on_this_host_ends_it) };

	return cmocka_run_group_tests_name("zerocopy over veth", tests, NULL, NULL);
}

static int far_tests(void)
{
	const struct CMUnitTest tests[] = {
		EACH(far_upload_arrives),	   EACH(far_uploads_of_many_flows_arrive),
		EACH(guest_reset_brings_all_back), EACH(peer_reset_brings_all_back),
		EACH(detach_brings_all_back),
	};

	return cmocka_run_group_tests_name("zerocopy off-host", tests, NULL, NULL);
}

static int forbidden_tests(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog prog = { ARRAY_SIZE(code), code };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forbidden_io_uring_is_done_without),
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog)) {
		printf("SKIP: no seccomp filter here\n");
		return 0;
	}
	return cmocka_run_group_tests_name("zerocopy without io_uring", tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	const char *part = argc > 1 ? argv[1] : "";
	int ret;

	if (strcmp(part, "forbidden") == 0)
		return forbidden_tests();
	if (strcmp(part, "veth") == 0)
		return veth_tests();
	if (rig_is_near())
		return far_tests();
	ret = near_tests();
	ret |= rig_part("without io_uring", NULL, "forbidden");
	ret |= rig_part("off-host peer", "--", NULL);
	ret |= rig_part("peer behind a veth", "--veth", "veth");
	return ret;
}
