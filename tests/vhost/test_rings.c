/* SPDX-License-Identifier: MIT */
/* vhost-user: what starts the device, what stops it, and what it runs on through. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/vhost/rig.h"

/* The rig's own: it is reached by no name, so that a test which is killed leaves none. */
static void rig_leaves_no_file(void **state)
{
	static const char gone[] = " (deleted)";
	struct vrig *r = vrig_new();
	char name[256] = "";
	ssize_t len = readlink(vrig_path(r), name, sizeof(name) - 1);
	struct vclient c;

	(void)state;
	assert_true(len > (ssize_t)strlen(gone));
	assert_string_equal(name + len - strlen(gone), gone);
	*strrchr(name, '/') = 0;
	assert_int_equal(access(name, F_OK), -1);
	vc_open(&c, r);
	vc_leave(&c, r);
}

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
	vc_leave(&c, r);
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
	vc_leave(&c, r);
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
	vc_leave(&c, r);
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
	vc_leave(&c, r);
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
	vc_leave(&c, r);
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
	vc_leave(&c, r);
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
	vc_leave(&c, r);
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
	vc_leave(&c, r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rig_leaves_no_file),
		cmocka_unit_test(good_front_end_gets_answers),
		cmocka_unit_test(front_end_that_returns_finds_a_fresh_device),
		cmocka_unit_test(nonsense_is_refused_and_the_device_runs_on),
		cmocka_unit_test(only_eventfds_notify),
		cmocka_unit_test(full_call_eventfd_does_not_block),
		cmocka_unit_test(legacy_driver_is_refused),
		cmocka_unit_test(order_of_messages_is_free),
		cmocka_unit_test(ring_runs_only_while_enabled),
		cmocka_unit_test(reset_forgets_the_rings),
		cmocka_unit_test(get_vring_base_stops_a_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
