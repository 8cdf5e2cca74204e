/* SPDX-License-Identifier: MIT */
/* vhost-user, message by message: what is served, what is refused, what ends a session. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/base.h"
#include "tests/vhost/rig.h"

/* Lengths and descriptors that each request takes; @any: the length is not looked at. */
static const struct {
	uint32_t request, size, fds;
	bool any;
} shapes[] = {
	{ VU_GET_FEATURES, 0, 0, false },
	{ VU_SET_FEATURES, 8, 0, false },
	{ VU_SET_OWNER, 0, 0, true },
	{ VU_RESET_OWNER, 0, 0, true },
	{ VU_SET_VRING_NUM, 8, 0, false },
	{ VU_SET_VRING_ADDR, 40, 0, false },
	{ VU_SET_VRING_BASE, 8, 0, false },
	{ VU_GET_VRING_BASE, 8, 0, false },
	{ VU_SET_VRING_KICK, 8, 1, false },
	{ VU_SET_VRING_CALL, 8, 1, false },
	{ VU_SET_VRING_ERR, 8, 1, false },
	{ VU_GET_PROTOCOL_FEATURES, 0, 0, false },
	{ VU_SET_PROTOCOL_FEATURES, 8, 0, false },
	{ VU_GET_QUEUE_NUM, 0, 0, false },
	{ VU_SET_VRING_ENABLE, 8, 0, false },
	{ VU_SEND_RARP, 8, 0, true },
	{ VU_NET_SET_MTU, 8, 0, false },
	{ VU_RESET_DEVICE, 0, 0, true },
	{ VU_GET_MAX_MEM_SLOTS, 0, 0, false },
	{ VU_ADD_MEM_REG, 40, 1, false },
	{ VU_REM_MEM_REG, 40, 1, false },
};

static void good_front_end_gets_answers(void **state)
{
	struct vrig *r = vrig_new();
	struct front f;

	(void)state;
	tr_open(&f, r, 256);
	for (uint32_t i = 0; i < 200; i++) {
		tr_arp(&f, r, i);
		tr_ping(&f, r, i * 7 % 1400, i);
	}
	front_close(&f);
	vrig_expect_end(r, -ECONNRESET);
	vrig_free(r);
}

/*
 * Without multi-queue a front-end takes one pair for granted. With it, it asks how
 * many queues there are, and some count pairs and some count rings: an answer of
 * one pair is too few for Cloud Hypervisor's one pair (H20).
 */
static void only_what_is_served_is_offered(void **state)
{
	const uint64_t needed = VU_PROTO_REPLY_ACK | VU_PROTO_CONFIGURE_MEM_SLOTS |
				VU_PROTO_RESET_DEVICE;
	struct vrig *r = vrig_new();
	uint64_t features, proto;
	struct vclient c;

	(void)state;
	vc_open(&c, r);
	assert_true(vc_get(&c, VU_GET_FEATURES, &features));
	assert_false(features & (1ULL << VIRTIO_NET_F_MQ | 1ULL << VIRTIO_NET_F_CTRL_VQ));
	assert_true(vc_get(&c, VU_GET_PROTOCOL_FEATURES, &proto));
	assert_int_equal(proto & needed, needed);
	assert_false(proto & VU_PROTO_MQ);
	vc_close(&c);
	vrig_expect_end(r, -ECONNRESET);
	vrig_free(r);
}

static void front_end_that_returns_finds_a_fresh_device(void **state)
{
	struct vrig *r = vrig_new();

	(void)state;
	for (uint32_t i = 0; i < 20; i++) {
		struct front f;

		tr_open(&f, r, i & 1 ? 1024 : 256);
		tr_arp(&f, r, i);
		front_close(&f);
		vrig_expect_end(r, -ECONNRESET);
	}
	vrig_free(r);
}

/* A stream may be cut anywhere; the descriptor rides on the first byte. */
static void message_may_come_byte_by_byte(void **state)
{
	struct vrig *r = vrig_new();
	struct vu_region region = { .gpa = VC_GPA, .size = VC_MEM, .uva = VC_UVA };
	struct vu_message m = { .request = VU_SET_MEM_TABLE,
				.flags = VU_VERSION | VU_NEED_REPLY,
				.size = 40 };
	struct vclient c;

	(void)state;
	vc_open(&c, r);
	vc_negotiate(&c);
	m.mem.nregions = 1;
	m.mem.region[0] = region;
	for (size_t i = 0; i < VU_HEADER_LEN + m.size; i++)
		assert_true(vc_send(c.sock, (uint8_t *)&m + i, 1, &c.mem_fd, i == 0));
	assert_true(vc_recv(c.sock, &m));
	assert_int_equal(m.u64, 0);
	vc_ring(&c, 0);
	vc_ring(&c, 1);
	assert_true(vrig_running(r));
	vc_close(&c);
	vrig_expect_end(r, -ECONNRESET);
	vrig_free(r);
}

static void half_a_message_with_a_descriptor_leaks_nothing(void **state)
{
	struct vrig *r = vrig_new();
	struct vu_message m = { .request = VU_SET_MEM_TABLE, .flags = VU_VERSION, .size = 40 };

	(void)state;
	for (size_t len = 1; len < VU_HEADER_LEN + 40; len += 7) {
		struct vclient c;

		vc_open(&c, r);
		assert_true(vc_send(c.sock, &m, len, &c.mem_fd, 1));
		vc_close(&c);
		vrig_expect_end(r, -ECONNRESET);
	}
	vrig_free(r);
}

/* One session for each fault: send @m and expect its end. */
static void expect_cut(struct vrig *r, struct vu_message *m, uint32_t nfds, int why)
{
	int fds[16];
	struct vclient c;

	vc_open(&c, r);
	vc_negotiate(&c);
	for (uint32_t i = 0; i < nfds; i++)
		fds[i] = c.mem_fd;
	assert_int_equal(vc_request(&c, m, fds, nfds), VC_CUT);
	vc_close(&c);
	vrig_expect_end(r, why);
}

static void wrong_length_ends_the_session(void **state)
{
	struct vrig *r = vrig_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		const uint32_t sizes[] = { 0, 1, 4, 7, 8, 9, 39, 40, 41, 128, VU_PAYLOAD_MAX };

		for (size_t k = 0; k < ARRAY_SIZE(sizes) && !shapes[i].any; k++) {
			struct vu_message m = { .request = shapes[i].request, .size = sizes[k] };

			if (sizes[k] != shapes[i].size)
				expect_cut(r, &m, 0, -EPROTO);
		}
	}
	vrig_free(r);
}

static void too_many_descriptors_end_the_session(void **state)
{
	struct vrig *r = vrig_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct vu_message m = { .request = shapes[i].request, .size = shapes[i].size };

		expect_cut(r, &m, shapes[i].fds + 1, -EPROTO);
		expect_cut(r, &m, VU_FDS_MAX + 1, -EMFILE);
		expect_cut(r, &m, 16, -EMFILE);
	}
	vrig_free(r);
}

/* Descriptors dripped one with each byte add up. */
static void descriptors_on_every_byte_end_the_session(void **state)
{
	struct vrig *r = vrig_new();
	struct vu_message m = { .request = VU_SET_MEM_TABLE, .flags = VU_VERSION, .size = 40 };
	struct vclient c;

	(void)state;
	vc_open(&c, r);
	for (size_t i = 0; i < VU_HEADER_LEN + 40; i++) {
		if (!vc_send(c.sock, (uint8_t *)&m + i, 1, &c.mem_fd, 1))
			break;
	}
	vc_close(&c);
	vrig_expect_end(r, -EMFILE);
	vrig_free(r);
}

static void header_that_no_message_has_ends_the_session(void **state)
{
	static const struct vu_message bad[] = {
		{ .request = VU_GET_FEATURES, .flags = 0 },
		{ .request = VU_GET_FEATURES, .flags = 2 },
		{ .request = VU_GET_FEATURES, .flags = 3 },
		{ .request = VU_GET_FEATURES, .flags = VU_VERSION | VU_REPLY },
		{ .request = VU_SET_FEATURES, .flags = VU_VERSION, .size = VU_PAYLOAD_MAX + 1 },
		{ .request = VU_SET_FEATURES, .flags = VU_VERSION, .size = UINT32_MAX },
		{ .request = VU_SET_FEATURES, .flags = VU_VERSION, .size = 0x80000000U },
	};
	struct vrig *r = vrig_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct vu_message reply;
		struct vclient c;

		vc_open(&c, r);
		vc_send(c.sock, &bad[i], VU_HEADER_LEN + 8, &c.mem_fd, 1);
		assert_false(vc_recv(c.sock, &reply));
		vc_close(&c);
		vrig_expect_end(r, -EPROTO);
	}
	vrig_free(r);
}

static void unknown_request_is_refused_and_the_session_lives(void **state)
{
	static const uint32_t unknown[] = { 0,	6,  7,	22, 23,	 26,	   31,
					    32, 33, 35, 40, 255, 1U << 31, UINT32_MAX };
	struct vrig *r = vrig_new();
	struct vclient c;

	(void)state;
	vc_open(&c, r);
	vc_start(&c);
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		struct vu_message m = { .request = unknown[i], .size = 8 };
		int fds[2] = { c.mem_fd, c.mem_fd };

		assert_int_equal(vc_request(&c, &m, fds, 2), VC_REFUSED);
		assert_true(vrig_running(r));
	}
	vc_close(&c);
	vrig_expect_end(r, -ECONNRESET);
	vrig_free(r);
}

/* Each of them on a running device, which goes on running all the same. */
static void nonsense_is_refused_and_the_device_runs_on(void **state)
{
	struct vrig *r = vrig_new();
	struct vu_region none = { .gpa = 1ULL << 40, .size = 4096, .uva = 1 };
	struct vclient c;

	(void)state;
	vc_open(&c, r);
	vc_start(&c);
	assert_true(vrig_running(r));
#define REFUSED(x)                                 \
	do {                                       \
		assert_int_equal((x), VC_REFUSED); \
		assert_true(vrig_running(r));      \
	} while (0)
	for (uint32_t index = 2; index < 300; index += 99) {
		REFUSED(vc_state(&c, VU_SET_VRING_NUM, index, 256));
		REFUSED(vc_state(&c, VU_SET_VRING_BASE, index, 0));
		REFUSED(vc_state(&c, VU_SET_VRING_ENABLE, index, 1));
		REFUSED(vc_addr(&c, index, VC_UVA, VC_UVA, VC_UVA));
	}
	REFUSED(vc_state(&c, VU_SET_VRING_NUM, UINT32_MAX, 256));
	REFUSED(vc_u64(&c, VU_SET_VRING_KICK, 2, c.kick[0]));
	REFUSED(vc_u64(&c, VU_SET_VRING_CALL, 255, c.call[0]));
	REFUSED(vc_u64(&c, VU_SET_VRING_ERR, 2, c.call[0]));
	REFUSED(vc_state(&c, VU_SET_VRING_NUM, 0, 0));
	REFUSED(vc_state(&c, VU_SET_VRING_NUM, 0, 3));
	REFUSED(vc_state(&c, VU_SET_VRING_NUM, 0, 255));
	REFUSED(vc_state(&c, VU_SET_VRING_NUM, 0, 65536));
	REFUSED(vc_state(&c, VU_SET_VRING_NUM, 0, 1U << 31));
	REFUSED(vc_state(&c, VU_SET_VRING_BASE, 0, 65536));
	REFUSED(vc_state(&c, VU_SET_VRING_ENABLE, 0, 2));
	REFUSED(vc_u64(&c, VU_SET_VRING_KICK, 0, -1));
	REFUSED(vc_u64(&c, VU_SET_VRING_KICK, VU_NOFD, -1));
	REFUSED(vc_u64(&c, VU_SET_VRING_CALL, 0, -1));
	REFUSED(vc_u64(&c, VU_SET_VRING_ERR, 1, -1));
	REFUSED(vc_u64(&c, VU_SET_PROTOCOL_FEATURES, UINT64_MAX, -1));
	REFUSED(vc_u64(&c, VU_SET_FEATURES, UINT64_MAX, -1));
	REFUSED(vc_u64(&c, VU_NET_SET_MTU, 10, -1));
	REFUSED(vc_u64(&c, VU_NET_SET_MTU, 1500, -1));
	REFUSED(vc_region(&c, VU_REM_MEM_REG, &none, -1));
	REFUSED(vc_region(&c, VU_ADD_MEM_REG, &none, -1));
#undef REFUSED
	vc_close(&c);
	vrig_expect_end(r, -ECONNRESET);
	vrig_free(r);
}

/* Notifications by anything but an eventfd might block the worker, or raise a signal. */
static void only_eventfds_notify(void **state)
{
	struct vrig *r = vrig_new();
	int pipes[2], sockets[2];
	struct vclient c;

	(void)state;
	vc_open(&c, r);
	vc_start(&c);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	for (uint32_t request = VU_SET_VRING_KICK; request <= VU_SET_VRING_ERR; request++) {
		assert_int_equal(vc_u64(&c, request, 0, pipes[1]), VC_REFUSED);
		assert_int_equal(vc_u64(&c, request, 0, sockets[0]), VC_REFUSED);
		assert_int_equal(vc_u64(&c, request, 0, c.mem_fd), VC_REFUSED);
		assert_true(vrig_running(r));
	}
	for (int i = 0; i < 2; i++) {
		close(pipes[i]);
		close(sockets[i]);
	}
	vc_close(&c);
	vrig_expect_end(r, -ECONNRESET);
	vrig_free(r);
}

/* A full eventfd that blocks would hold the worker for ever: it is made not to. */
static void full_call_eventfd_does_not_block(void **state)
{
	struct vrig *r = vrig_new();
	int full = eventfd(0, EFD_CLOEXEC);
	struct vclient c;

	(void)state;
	assert_int_equal(eventfd_write(full, UINT64_MAX - 1), 0);
	vc_open(&c, r);
	vc_start(&c);
	for (int i = 0; i < 4; i++)
		assert_int_equal(vc_u64(&c, VU_SET_VRING_CALL, (uint64_t)(i & 1), full), VC_OK);
	assert_true(vrig_running(r));
	close(full);
	vc_close(&c);
	vrig_expect_end(r, -ECONNRESET);
	vrig_free(r);
}

static void region_that_cannot_be_is_refused(void **state)
{
	static const struct vu_region bad[] = {
		{ .gpa = 0, .size = 0, .uva = 0 },
		{ .gpa = 0, .size = VC_MEM + 1, .uva = 0 },
		{ .gpa = 0, .size = VC_MEM, .uva = 0, .offset = 1 },
		{ .gpa = 0, .size = 4096, .uva = 0, .offset = VC_MEM },
		{ .gpa = 0, .size = 4096, .uva = 0, .offset = UINT64_MAX - 4095 },
		{ .gpa = 0, .size = 4096, .uva = 0, .offset = UINT64_MAX },
		{ .gpa = 0, .size = UINT64_MAX, .uva = 0 },
		{ .gpa = 0, .size = 1ULL << 63, .uva = 0 },
		{ .gpa = 0, .size = 1ULL << 62, .uva = 0, .offset = 1ULL << 62 },
		{ .gpa = UINT64_MAX - 4094, .size = 4096, .uva = 0 },
		{ .gpa = UINT64_MAX, .size = 4096, .uva = 0 },
		{ .gpa = 0, .size = 4096, .uva = UINT64_MAX - 100 },
	};
	static const uint32_t how[] = { VU_SET_MEM_TABLE, VU_ADD_MEM_REG };
	struct vrig *r = vrig_new();
	struct vclient c;

	(void)state;
	vc_open(&c, r);
	vc_negotiate(&c);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(how); k++)
			assert_int_equal(vc_region(&c, how[k], &bad[i], c.mem_fd), VC_REFUSED);
	}
	vc_close(&c);
	vrig_expect_end(r, -ECONNRESET);
	vrig_free(r);
}

static void descriptor_that_is_no_memory_is_refused(void **state)
{
	struct vu_region region = { .gpa = 0, .size = 4096, .uva = 0 };
	struct vrig *r = vrig_new();
	int readonly = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int pipes[2];
	struct vclient c;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	vc_open(&c, r);
	vc_negotiate(&c);
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &region, -1), VC_REFUSED);
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &region, readonly), VC_REFUSED);
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &region, pipes[0]), VC_REFUSED);
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &region, c.kick[0]), VC_REFUSED);
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &region, c.sock), VC_REFUSED);
	close(readonly);
	close(pipes[0]);
	close(pipes[1]);
	vc_close(&c);
	vrig_expect_end(r, -ECONNRESET);
	vrig_free(r);
}

static void memory_table_that_contradicts_itself_is_refused(void **state)
{
	struct vrig *r = vrig_new();
	struct vclient c;
	int fds[VU_FDS_MAX];

	(void)state;
	vc_open(&c, r);
	vc_negotiate(&c);
	for (int i = 0; i < VU_FDS_MAX; i++)
		fds[i] = c.mem_fd;
	for (uint32_t n = 0; n <= 9; n++) {
		for (uint32_t nfds = 0; nfds <= VU_FDS_MAX; nfds++) {
			struct vu_message m = { .request = VU_SET_MEM_TABLE,
						.size = 8 + 32 * MIN(n, 8U) };
			enum vc_verdict want = n == nfds ? VC_OK : VC_REFUSED;

			m.mem.nregions = n;
			for (uint32_t i = 0; i < MIN(n, 8U); i++)
				m.mem.region[i] = (struct vu_region){ .gpa = i * 65536ULL,
								      .size = 65536,
								      .uva = i * 65536ULL };
			assert_int_equal(vc_request(&c, &m, fds, nfds), want);
			if (n != nfds || n < 2)
				continue;
			m.mem.region[n - 1].gpa = (n - 2) * 65536ULL + 65535;
			assert_int_equal(vc_request(&c, &m, fds, nfds), VC_REFUSED);
			m.size--;
			assert_int_equal(vc_request(&c, &m, fds, nfds), VC_REFUSED);
		}
	}
	vc_close(&c);
	vrig_expect_end(r, -ECONNRESET);
	vrig_free(r);
}

static void regions_come_and_go_one_by_one(void **state)
{
	struct vrig *r = vrig_new();
	struct vu_region rings = { .gpa = VC_GPA, .size = VC_MEM / 2, .uva = VC_UVA };
	struct vu_region extra = {
		.gpa = 0, .size = VC_MEM / 2, .uva = VC_UVA + VC_MEM, .offset = VC_MEM / 2
	};
	struct vclient c;
	uint64_t slots;

	(void)state;
	vc_open(&c, r);
	vc_negotiate(&c);
	assert_true(vc_get(&c, VU_GET_MAX_MEM_SLOTS, &slots));
	assert_int_equal(slots, GMEM_REGIONS_MAX);
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &rings, c.mem_fd), VC_OK);
	vc_ring(&c, 0);
	vc_ring(&c, 1);
	assert_true(vrig_running(r));
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &rings, c.mem_fd), VC_REFUSED);
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &extra, c.mem_fd), VC_OK);
	assert_true(vrig_running(r));
	/* QEMU sends a descriptor along with a removal; it is closed. */
	assert_int_equal(vc_region(&c, VU_REM_MEM_REG, &extra, c.mem_fd), VC_OK);
	assert_true(vrig_running(r));
	assert_int_equal(vc_region(&c, VU_REM_MEM_REG, &extra, -1), VC_REFUSED);
	/* The rings' own memory goes: no device without it. */
	vc_region(&c, VU_REM_MEM_REG, &rings, -1);
	assert_false(vrig_running(r));
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &rings, c.mem_fd), VC_OK);
	assert_true(vrig_running(r));
	for (uint64_t i = 1; i < GMEM_REGIONS_MAX; i++) {
		struct vu_region one = { .gpa = i * 65536, .size = 4096, .uva = i * 65536 };

		assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &one, c.mem_fd), VC_OK);
	}
	extra.gpa = 1ULL << 45;
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &extra, c.mem_fd), VC_REFUSED);
	assert_true(vrig_running(r));
	vc_close(&c);
	vrig_expect_end(r, -ECONNRESET);
	vrig_free(r);
}

static void ring_outside_memory_or_crooked_never_runs(void **state)
{
	static const struct {
		uint64_t desc, avail, used;
	} bad[] = {
		{ VC_UVA - 16, VC_UVA + 8192, VC_UVA + 16384 },
		{ VC_UVA + VC_MEM - 16, VC_UVA + 8192, VC_UVA + 16384 },
		{ VC_UVA, VC_UVA + VC_MEM - 4, VC_UVA + 16384 },
		{ VC_UVA, VC_UVA + 8192, VC_UVA + VC_MEM - 8 },
		{ VC_UVA, VC_UVA + 8192, VC_UVA + VC_MEM },
		{ VC_UVA + 8, VC_UVA + 8192, VC_UVA + 16384 },
		{ VC_UVA, VC_UVA + 8193, VC_UVA + 16384 },
		{ VC_UVA, VC_UVA + 8192, VC_UVA + 16386 },
		{ UINT64_MAX - 15, UINT64_MAX - 1, UINT64_MAX - 3 },
		{ UINT64_MAX, 0, 0 },
		{ 0, 0, 0 },
	};
	struct vrig *r = vrig_new();
	struct vclient c;

	(void)state;
	vc_open(&c, r);
	vc_start(&c);
	for (uint32_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(vc_addr(&c, i & 1, bad[i].desc, bad[i].avail, bad[i].used),
				 VC_REFUSED);
		assert_false(vrig_running(r));
		assert_int_equal(vc_addr(&c, i & 1, vc_ring_uva(i & 1, 0), vc_ring_uva(i & 1, 1),
					 vc_ring_uva(i & 1, 2)),
				 VC_OK);
		assert_true(vrig_running(r));
	}
	vc_close(&c);
	vrig_expect_end(r, -ECONNRESET);
	vrig_free(r);
}

/* Virtio 1.x only: a legacy driver is told no, and its device does not run. */
static void legacy_driver_is_refused(void **state)
{
	struct vrig *r = vrig_new();
	uint64_t features;
	struct vclient c;

	(void)state;
	vc_open(&c, r);
	vc_start(&c);
	assert_true(vc_get(&c, VU_GET_FEATURES, &features));
	assert_int_equal(vc_u64(&c, VU_SET_FEATURES, features & ~(1ULL << VIRTIO_F_VERSION_1), -1),
			 VC_REFUSED);
	assert_false(vrig_running(r));
	assert_int_equal(vc_u64(&c, VU_SET_FEATURES, features, -1), VC_OK);
	assert_true(vrig_running(r));
	vc_close(&c);
	vrig_expect_end(r, -ECONNRESET);
	vrig_free(r);
}

/* QEMU enables rings before it gives memory, and repeats SET_VRING_CALL. */
static void order_of_messages_is_free(void **state)
{
	struct vrig *r = vrig_new();
	struct vclient c;

	(void)state;
	vc_open(&c, r);
	vc_negotiate(&c);
	for (uint32_t i = 0; i < 2; i++) {
		vc_ring(&c, i);
		for (int k = 0; k < 5; k++)
			assert_int_equal(vc_u64(&c, VU_SET_VRING_CALL, i, c.call[i]), VC_OK);
		assert_false(vrig_running(r));
	}
	vc_memory(&c);
	assert_true(vrig_running(r));
	for (int k = 0; k < 50; k++) {
		assert_int_equal(vc_u64(&c, VU_SET_VRING_CALL, k & 1, c.call[k & 1]), VC_OK);
		assert_int_equal(vc_u64(&c, VU_SET_VRING_ERR, k & 1, c.call[k & 1]), VC_OK);
		assert_true(vrig_running(r));
	}
	assert_int_equal(vc_u64(&c, VU_SET_VRING_CALL, VU_NOFD, -1), VC_OK);
	assert_true(vrig_running(r));
	vc_close(&c);
	vrig_expect_end(r, -ECONNRESET);
	vrig_free(r);
}

static void ring_runs_only_while_enabled(void **state)
{
	struct vrig *r = vrig_new();
	struct vclient c;

	(void)state;
	vc_open(&c, r);
	vc_start(&c);
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(vc_state(&c, VU_SET_VRING_ENABLE, i & 1, 0), VC_OK);
		assert_false(vrig_running(r));
		assert_int_equal(vc_state(&c, VU_SET_VRING_ENABLE, i & 1, 1), VC_OK);
		assert_true(vrig_running(r));
	}
	vc_close(&c);
	vrig_expect_end(r, -ECONNRESET);
	vrig_free(r);
}

static void reset_forgets_the_rings(void **state)
{
	static const uint32_t how[] = { VU_RESET_DEVICE, VU_RESET_OWNER };
	struct vrig *r = vrig_new();
	struct vclient c;

	(void)state;
	vc_open(&c, r);
	vc_start(&c);
	for (uint32_t i = 0; i < 6; i++) {
		struct vu_message m = { .request = how[i & 1] };

		assert_int_equal(vc_request(&c, &m, NULL, 0), VC_OK);
		assert_false(vrig_running(r));
		vc_ring(&c, 0);
		assert_false(vrig_running(r));
		vc_ring(&c, 1);
		assert_true(vrig_running(r));
	}
	vc_close(&c);
	vrig_expect_end(r, -ECONNRESET);
	vrig_free(r);
}

static void get_vring_base_stops_a_ring(void **state)
{
	struct vrig *r = vrig_new();
	struct vclient c;

	(void)state;
	vc_open(&c, r);
	vc_start(&c);
	for (uint32_t i = 0; i < 10; i++) {
		struct vu_message m = { .request = VU_GET_VRING_BASE,
					.flags = VU_VERSION,
					.size = 8,
					.state = { i & 1, 12345 } };

		assert_true(vc_send(c.sock, &m, VU_HEADER_LEN + 8, NULL, 0));
		assert_true(vc_recv(c.sock, &m));
		assert_int_equal(m.state.index, i & 1);
		assert_int_equal(m.state.num, 0);
		vc_state(&c, VU_SET_VRING_ENABLE, i & 1, 1);
		assert_false(vrig_running(r));
		assert_int_equal(vc_u64(&c, VU_SET_VRING_KICK, i & 1, c.kick[i & 1]), VC_OK);
		assert_true(vrig_running(r));
	}
	vc_close(&c);
	vrig_expect_end(r, -ECONNRESET);
	vrig_free(r);
}

static void config_space_is_read_within_its_bounds(void **state)
{
	static const struct {
		uint32_t offset, size, payload;
	} bad[] = {
		{ 0, 257, 268 }, { 250, 8, 20 },	{ UINT32_MAX, 8, 20 },
		{ 0, 8, 19 },	 { 0, UINT32_MAX, 20 }, { 0, 0, 11 },
	};
	struct vrig *r = vrig_new();
	struct vu_message m = { .request = VU_GET_CONFIG, .flags = VU_VERSION, .size = 12 + 12 };
	struct vclient c;

	(void)state;
	vc_open(&c, r);
	m.config.size = 12;
	assert_true(vc_send(c.sock, &m, VU_HEADER_LEN + m.size, NULL, 0));
	assert_true(vc_recv(c.sock, &m));
	assert_int_equal(m.size, 24);
	assert_memory_equal(m.config.data, vrig_stack_config(r)->guest_mac, 6);
	assert_int_equal(m.config.data[10] | m.config.data[11] << 8, vrig_stack_config(r)->mtu);
	vc_close(&c);
	vrig_expect_end(r, -ECONNRESET);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct vu_message b = { .request = VU_GET_CONFIG, .size = bad[i].payload };

		b.config.offset = bad[i].offset;
		b.config.size = bad[i].size;
		expect_cut(r, &b, 0, -EPROTO);
	}
	vrig_free(r);
}

/* It asks and never listens: its own session ends, nobody waits for it. */
static void front_end_that_does_not_read_is_cut_off(void **state)
{
	struct vrig *r = vrig_new();
	struct vu_message m = { .request = VU_GET_FEATURES, .flags = VU_VERSION };
	struct vclient c;

	(void)state;
	vc_open(&c, r);
	while (vc_send(c.sock, &m, VU_HEADER_LEN, NULL, 0))
		;
	vc_close(&c);
	vrig_expect_end(r, -EAGAIN);
	vrig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_front_end_gets_answers),
		cmocka_unit_test(only_what_is_served_is_offered),
		cmocka_unit_test(front_end_that_returns_finds_a_fresh_device),
		cmocka_unit_test(message_may_come_byte_by_byte),
		cmocka_unit_test(half_a_message_with_a_descriptor_leaks_nothing),
		cmocka_unit_test(wrong_length_ends_the_session),
		cmocka_unit_test(too_many_descriptors_end_the_session),
		cmocka_unit_test(descriptors_on_every_byte_end_the_session),
		cmocka_unit_test(header_that_no_message_has_ends_the_session),
		cmocka_unit_test(unknown_request_is_refused_and_the_session_lives),
		cmocka_unit_test(nonsense_is_refused_and_the_device_runs_on),
		cmocka_unit_test(only_eventfds_notify),
		cmocka_unit_test(full_call_eventfd_does_not_block),
		cmocka_unit_test(region_that_cannot_be_is_refused),
		cmocka_unit_test(descriptor_that_is_no_memory_is_refused),
		cmocka_unit_test(memory_table_that_contradicts_itself_is_refused),
		cmocka_unit_test(regions_come_and_go_one_by_one),
		cmocka_unit_test(ring_outside_memory_or_crooked_never_runs),
		cmocka_unit_test(legacy_driver_is_refused),
		cmocka_unit_test(order_of_messages_is_free),
		cmocka_unit_test(ring_runs_only_while_enabled),
		cmocka_unit_test(reset_forgets_the_rings),
		cmocka_unit_test(get_vring_base_stops_a_ring),
		cmocka_unit_test(config_space_is_read_within_its_bounds),
		cmocka_unit_test(front_end_that_does_not_read_is_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
