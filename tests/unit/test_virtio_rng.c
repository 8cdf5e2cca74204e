/* SPDX-License-Identifier: MIT */
/* The entropy device: what it writes, how much in one turn, and when not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/vbringup.h"
#include "tests/unit/vmachine.h"
#include "virtio/rng.h"

#define QSIZE 16

struct rig {
	struct vdriver drv;
	struct vrng *rng;
	struct vdev *d;
	struct vdqueue q;
};

static void start(struct rig *r)
{
	vb_negotiate(r->d, VDRIVER_RING_FEATURES);
	vb_queue(r->d, &r->drv, &r->q, 0, QSIZE);
	vb_driver_ok(r->d);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	vdriver_init(&r->drv, 4 << 20);
	assert_int_equal(vrng_new(&r->rng, &r->drv.mem), 0);
	r->d = vrng_vdev(r->rng);
	start(r);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	vrng_free(r->rng);
	vdriver_fini(&r->drv);
	free(r);
	return 0;
}

static bool all_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i])
			return false;
	}
	return true;
}

static void buffers_are_filled_and_nothing_beside_them(void **state)
{
	struct rig *r = *state;
	uint64_t gpa = vdriver_alloc(&r->drv, 4096);
	uint8_t *p = vdriver_ptr(&r->drv, gpa);
	struct vdesc b[2] = { { gpa + 64, 100, true }, { gpa + 1024, 200, true } };
	uint16_t head;
	uint32_t len;

	for (int indirect = 0; indirect < 2; indirect++) {
		memset(p, 0, 4096);
		vdq_add(&r->q, b, 2, indirect);
		vdq_want_call(&r->q);
		vrng_service(r->rng);
		assert_true(vdq_take(&r->q, &head, &len));
		assert_int_equal(len, 300);
		assert_true(vm_readable(r->d->queue[0].call_fd));
		assert_true(all_zero(p, 64));
		assert_false(all_zero(p + 64, 100));
		assert_true(all_zero(p + 164, 1024 - 164));
		assert_false(all_zero(p + 1024 + 100, 100));
		assert_true(all_zero(p + 1224, 4096 - 1224));
		assert_false(vdq_take(&r->q, &head, &len));
	}
}

/* H13: however much the guest asks for, a turn ends, and the rest is not forgotten. */
static void a_turn_is_bounded_and_the_next_one_follows(void **state)
{
	struct rig *r = *state;
	const uint32_t buf = 48 << 10;
	uint64_t gpa = vdriver_alloc(&r->drv, buf * 8ULL), total = 0;
	uint32_t turns = 0, len;
	uint16_t head;

	for (uint32_t i = 0; i < 8; i++) {
		struct vdesc b = { gpa + i * (uint64_t)buf, buf, true };

		vdq_add(&r->q, &b, 1, false);
	}
	while (vm_readable(vrng_kick_fd(r->rng))) {
		uint64_t turn = 0;

		vrng_service(r->rng);
		while (vdq_take(&r->q, &head, &len))
			turn += len;
		assert_true(turn <= VRNG_BUDGET);
		total += turn;
		assert_true(++turns < 20);
	}
	assert_int_equal(r->q.nfree, QSIZE);
	assert_true(total > buf * 4ULL);
}

static void a_buffer_beyond_the_budget_comes_back_with_what_was_written(void **state)
{
	struct rig *r = *state;
	uint64_t gpa = vdriver_alloc(&r->drv, 1 << 20);
	struct vdesc b = { gpa, 1 << 20, true };
	uint16_t head;
	uint32_t len;

	vdq_add(&r->q, &b, 1, false);
	vrng_service(r->rng);
	assert_true(vdq_take(&r->q, &head, &len));
	assert_int_equal(len, VRNG_BUDGET);
	assert_true(all_zero((uint8_t *)vdriver_ptr(&r->drv, gpa) + len, (1 << 20) - len));
}

/* H2, H7, H12 */
static void a_readable_buffer_is_retired_empty(void **state)
{
	struct rig *r = *state;
	uint64_t gpa = vdriver_alloc(&r->drv, 4096);
	struct vdesc bad = { gpa, 64, false }, good = { gpa + 64, 64, true };
	uint16_t head;
	uint32_t len;

	vdq_add(&r->q, &bad, 1, false);
	vdq_add(&r->q, &good, 1, false);
	vrng_service(r->rng);
	assert_true(vdq_take(&r->q, &head, &len));
	assert_int_equal(len, 0);
	assert_true(vdq_take(&r->q, &head, &len));
	assert_int_equal(len, 64);
	assert_true(all_zero(vdriver_ptr(&r->drv, gpa), 64));
	assert_int_equal(counter_get(&r->d->queue[0].n.faults[VQ_FAULT_CHAIN_DIRECTION]), 1);
}

/* H3 */
static void a_broken_ring_asks_for_a_reset_once(void **state)
{
	struct rig *r = *state;
	uint32_t generation;

	r->q.avail_idx = 1000;
	vdq_show(&r->q);
	vrng_service(r->rng);
	assert_int_equal(r->d->status, VB_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET);
	generation = r->d->generation;
	vrng_service(r->rng);
	assert_int_equal(r->d->generation, generation);
	assert_int_equal(vdq_used_pending(&r->q), 0);
}

/* H15, H17 */
static void a_reset_device_serves_nobody_until_it_is_started_again(void **state)
{
	struct rig *r = *state;
	struct vdesc b;
	uint16_t head;
	uint32_t len;

	vdev_write_status(r->d, 0);
	b = (struct vdesc){ vdriver_alloc(&r->drv, 64), 64, true };
	vdq_add(&r->q, &b, 1, false);
	vrng_service(r->rng);
	assert_int_equal(vdq_used_pending(&r->q), 0);
	assert_true(all_zero(vdriver_ptr(&r->drv, b.gpa), 64));

	vb_forget(&r->drv);
	vb_negotiate(r->d, VDRIVER_RING_FEATURES);
	vb_queue(r->d, &r->drv, &r->q, 0, QSIZE);
	b.gpa = vdriver_alloc(&r->drv, 64);
	vdq_add(&r->q, &b, 1, false); /* before DRIVER_OK, and without a kick */
	vb_driver_ok(r->d);
	assert_true(vm_readable(vrng_kick_fd(r->rng)));
	vrng_service(r->rng);
	assert_true(vdq_take(&r->q, &head, &len));
	assert_int_equal(len, 64);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(buffers_are_filled_and_nothing_beside_them),
		TEST(a_turn_is_bounded_and_the_next_one_follows),
		TEST(a_buffer_beyond_the_budget_comes_back_with_what_was_written),
		TEST(a_readable_buffer_is_retired_empty),
		TEST(a_broken_ring_asks_for_a_reset_once),
		TEST(a_reset_device_serves_nobody_until_it_is_started_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
