/* SPDX-License-Identifier: MIT */
/* vhost-user messages: what is offered, which shapes are taken, and what ends a session. */
#include <errno.h>
#include <linux/virtio_config.h>

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
	vc_leave(&c, r);
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
	vc_leave(&c, r);
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
	vc_leave(&c, r);
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
		cmocka_unit_test(only_what_is_served_is_offered),
		cmocka_unit_test(message_may_come_byte_by_byte),
		cmocka_unit_test(half_a_message_with_a_descriptor_leaks_nothing),
		cmocka_unit_test(wrong_length_ends_the_session),
		cmocka_unit_test(too_many_descriptors_end_the_session),
		cmocka_unit_test(descriptors_on_every_byte_end_the_session),
		cmocka_unit_test(header_that_no_message_has_ends_the_session),
		cmocka_unit_test(unknown_request_is_refused_and_the_session_lives),
		cmocka_unit_test(config_space_is_read_within_its_bounds),
		cmocka_unit_test(front_end_that_does_not_read_is_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
