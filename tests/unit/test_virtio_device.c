/* SPDX-License-Identifier: MIT */
/* The status machine, feature negotiation, and when queues may be configured. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/vdriver.h"
#include "tests/unit/vfakedev.h"
#include "tests/unit/vmachine.h"

#define ACK	    VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRIVER	    (ACK | VIRTIO_CONFIG_S_DRIVER)
#define FEATURES_OK (DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)
#define DRIVER_OK   (FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)
#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET

struct rig {
	struct vdriver drv;
	struct fakedev f;
	uint32_t config_changes;
};

static struct rig *rig_of_dev;

static void config_changed(struct vdev *d)
{
	(void)d;
	rig_of_dev->config_changes++;
}

static void queue_call(struct vdev *d, uint16_t q)
{
	(void)d;
	(void)q;
}

static const struct vdev_transport_ops transport = { config_changed, queue_call };

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	vdriver_init(&r->drv, 1 << 20);
	fakedev_init(&r->f, &r->drv.mem);
	r->f.dev.transport = &transport;
	rig_of_dev = r;
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	vdev_fini(&r->f.dev);
	assert_int_equal(r->f.starts - (r->f.start_error != 0), r->f.stops);
	vdriver_fini(&r->drv);
	free(r);
	return 0;
}

static void negotiate(struct vdev *d, uint64_t features)
{
	vdev_write_status(d, ACK);
	vdev_write_status(d, DRIVER);
	vdev_write_features(d, 0, (uint32_t)features);
	vdev_write_features(d, 1, (uint32_t)(features >> 32));
	vdev_write_status(d, FEATURES_OK);
}

static struct vq_config place_queue(struct rig *r, uint16_t q, uint16_t size)
{
	struct vdqueue vdq;

	vdq_init(&vdq, &r->drv, size, 0);
	assert_int_equal(vdev_write_queue_size(&r->f.dev, q, size), 0);
	assert_int_equal(
		vdev_write_queue_addr(&r->f.dev, q, vdq.cfg.desc, vdq.cfg.avail, vdq.cfg.used), 0);
	assert_int_equal(vdev_write_queue_ready(&r->f.dev, q, true), 0);
	return vdq.cfg;
}

static void features_beyond_the_offer_are_refused(void **state)
{
	struct rig *r = *state;

	negotiate(&r->f.dev, FAKE_FEATURES | 1ULL << 7);
	assert_int_equal(r->f.dev.status, DRIVER);
	/* The driver may think again. */
	vdev_write_features(&r->f.dev, 0, 1U << 5);
	vdev_write_status(&r->f.dev, FEATURES_OK);
	assert_int_equal(r->f.dev.status, FEATURES_OK);
}

static void a_driver_without_version_1_is_refused(void **state)
{
	struct rig *r = *state;

	negotiate(&r->f.dev, 1ULL << 5);
	assert_int_equal(r->f.dev.status, DRIVER);
}

static void features_are_final_once_accepted(void **state)
{
	struct rig *r = *state;

	negotiate(&r->f.dev, 1ULL << VIRTIO_F_VERSION_1 | 1ULL << 5);
	vdev_write_features(&r->f.dev, 0, 0xffffffff);
	vdev_write_features(&r->f.dev, 2, 0xffffffff);
	assert_int_equal(r->f.dev.driver_features, 1ULL << VIRTIO_F_VERSION_1 | 1ULL << 5);
}

static void features_ok_needs_a_driver(void **state)
{
	struct rig *r = *state;

	vdev_write_features(&r->f.dev, 1, 1);
	vdev_write_status(&r->f.dev, VIRTIO_CONFIG_S_FEATURES_OK);
	assert_int_equal(r->f.dev.status, 0);
}

static void driver_ok_needs_features_ok(void **state)
{
	struct rig *r = *state;

	vdev_write_status(&r->f.dev, DRIVER);
	vdev_write_status(&r->f.dev, DRIVER | VIRTIO_CONFIG_S_DRIVER_OK);
	assert_int_equal(r->f.dev.status, DRIVER);
	assert_int_equal(r->f.starts, 0);
}

static void status_bits_cannot_be_cleared_one_by_one(void **state)
{
	struct rig *r = *state;

	negotiate(&r->f.dev, FAKE_FEATURES);
	vdev_write_status(&r->f.dev, DRIVER);
	assert_int_equal(r->f.dev.status, FEATURES_OK);
}

static void the_driver_cannot_set_needs_reset(void **state)
{
	struct rig *r = *state;

	vdev_write_status(&r->f.dev, ACK | NEEDS_RESET);
	assert_int_equal(r->f.dev.status, ACK);
}

/* H4 */
static void queue_size_is_a_power_of_two_up_to_the_largest(void **state)
{
	struct rig *r = *state;
	struct vdev *d = &r->f.dev;

	negotiate(d, FAKE_FEATURES);
	for (uint32_t size = 0; size <= 70000; size++) {
		int want = is_power_of_two(size) && size <= 64 ? 0 : -EINVAL;

		assert_int_equal(vdev_write_queue_size(d, 1, size), want);
	}
	assert_int_equal(vdev_write_queue_size(d, 1, 0x80000000U), -EINVAL);
	assert_int_equal(d->queue[1].cfg.size, 64);
	assert_int_equal(vdev_write_queue_size(d, FAKE_QUEUES, 16), -EPERM);
	assert_int_equal(vdev_write_queue_size(d, 0xffff, 16), -EPERM);
}

/* H4: CVE-2026-5747 rewrote the size of a running queue. */
static void queues_can_be_configured_only_between_features_ok_and_driver_ok(void **state)
{
	struct rig *r = *state;
	struct vdev *d = &r->f.dev;
	struct vq_config cfg;

	vdev_write_status(d, DRIVER);
	assert_int_equal(vdev_write_queue_size(d, 0, 16), -EPERM);
	assert_int_equal(vdev_write_queue_addr(d, 0, 0x1000, 0x2000, 0x3000), -EPERM);
	assert_int_equal(vdev_write_queue_ready(d, 0, true), -EPERM);

	negotiate(d, FAKE_FEATURES);
	cfg = place_queue(r, 0, 16);
	assert_int_equal(vdev_write_queue_size(d, 0, 32), -EPERM);
	vdev_write_status(d, DRIVER_OK);
	assert_int_equal(d->status, DRIVER_OK);
	assert_int_equal(r->f.starts, 1);

	assert_int_equal(vdev_write_queue_size(d, 0, 32), -EPERM);
	assert_int_equal(vdev_write_queue_addr(d, 0, 0x1000, 0x2000, 0x3000), -EPERM);
	assert_int_equal(vdev_write_queue_ready(d, 0, false), -EPERM);
	assert_int_equal(vdev_write_queue_ready(d, 1, true), -EPERM);
	assert_memory_equal(&d->queue[0].latched.desc, &cfg.desc, 3 * sizeof(uint64_t));
	assert_int_equal(d->queue[0].latched.size, 16);
	assert_true(d->queue[0].latched.ready);
	assert_false(d->queue[1].latched.ready);
}

/* H5 */
static void a_ring_outside_memory_asks_for_a_reset_and_does_not_start(void **state)
{
	static const uint64_t bad[] = { 0, 0x10, 0xfffffffffffff000ULL,
					VDRIVER_GPA + (1 << 20) - 16, VDRIVER_GPA + 8 };
	struct rig *r = *state;
	struct vdev *d = &r->f.dev;

	for (uint32_t i = 0; i < ARRAY_SIZE(bad); i++) {
		for (uint32_t part = 0; part < 3; part++) {
			uint64_t at[3] = { VDRIVER_GPA, VDRIVER_GPA + 0x1000,
					   VDRIVER_GPA + 0x2000 };

			if (part && bad[i] == VDRIVER_GPA + 8)
				continue; /* aligned enough for avail and used */
			at[part] = bad[i];
			r->config_changes = 0;
			negotiate(d, FAKE_FEATURES);
			assert_int_equal(vdev_write_queue_addr(d, 0, at[0], at[1], at[2]), 0);
			assert_int_equal(vdev_write_queue_ready(d, 0, true), 0);
			vdev_write_status(d, DRIVER_OK);
			assert_int_equal(d->status, DRIVER_OK | NEEDS_RESET);
			assert_int_equal(r->config_changes, 1);
			assert_int_equal(r->f.starts, 0);
			vdev_write_status(d, 0);
			assert_int_equal(d->status, 0);
		}
	}
}

static void a_device_that_cannot_start_asks_for_a_reset(void **state)
{
	struct rig *r = *state;
	uint32_t generation = r->f.dev.generation;

	r->f.start_error = -ENOMEM;
	negotiate(&r->f.dev, FAKE_FEATURES);
	vdev_write_status(&r->f.dev, DRIVER_OK);
	assert_int_equal(r->f.dev.status, DRIVER_OK | NEEDS_RESET);
	assert_int_equal(r->config_changes, 1);
	assert_true(r->f.dev.generation != generation);
	vdev_write_status(&r->f.dev, 0);
	assert_int_equal(r->f.stops, 0);
}

/* H17 */
static void reset_stops_once_and_forgets_everything(void **state)
{
	struct rig *r = *state;
	struct vdev *d = &r->f.dev;

	for (uint32_t round = 1; round <= 3; round++) {
		negotiate(d, FAKE_FEATURES);
		place_queue(r, 0, 16);
		vdev_write_status(d, DRIVER_OK);
		vdev_write_status(d, DRIVER_OK); /* no second start */
		assert_int_equal(r->f.starts, round);
		eventfd_write(d->queue[0].call_fd, 1);

		vdev_write_status(d, 0);
		vdev_write_status(d, 0);
		assert_int_equal(r->f.stops, round);
		assert_int_equal(d->status, 0);
		assert_int_equal(d->driver_features, 0);
		assert_int_equal(d->queue[0].cfg.size, 256);
		assert_false(d->queue[0].cfg.ready);
		assert_int_equal(d->queue[0].cfg.desc, 0);
		assert_false(d->queue[0].latched.ready);
		assert_false(vm_readable(d->queue[0].call_fd));
	}
}

/* NEEDS_RESET before DRIVER_OK is no event (virtio 1.2, 2.1.2). */
static void needs_reset_interrupts_only_a_running_driver(void **state)
{
	struct rig *r = *state;

	vdev_write_status(&r->f.dev, DRIVER);
	vdev_needs_reset(&r->f.dev);
	assert_int_equal(r->f.dev.status, DRIVER | NEEDS_RESET);
	assert_int_equal(r->config_changes, 0);
}

static void configuration_is_clipped_to_its_length(void **state)
{
	struct rig *r = *state;
	uint8_t buf[8], all[FAKE_CONFIG_LEN];

	for (uint64_t off = 0; off < 32; off++) {
		for (uint32_t len = 1; len <= 8; len++) {
			memset(buf, 0x55, sizeof(buf));
			vdev_config_read(&r->f.dev, off, buf, len);
			for (uint32_t i = 0; i < 8; i++) {
				uint64_t at = off + i;
				int want = i >= len ? 0x55 : at < 10 ? (int)(0xa0 + at) : 0;

				assert_int_equal(buf[i], want);
			}
		}
	}
	vdev_config_read(&r->f.dev, UINT64_MAX, buf, 8);
	vdev_config_write(&r->f.dev, UINT64_MAX, buf, 8);
	memcpy(all, r->f.config, sizeof(all));
	memset(buf, 0x77, sizeof(buf));
	vdev_config_write(&r->f.dev, 8, buf, 8);
	memset(all + 8, 0x77, 2);
	assert_memory_equal(r->f.config, all, sizeof(all));
}

static void the_call_descriptor_follows_the_transport(void **state)
{
	struct rig *r = *state;

	assert_int_equal(vdev_call_fd(&r->f.dev, 1), r->f.dev.queue[1].call_fd);
	r->f.dev.calls_by_fn = true;
	assert_int_equal(vdev_call_fd(&r->f.dev, 1), -1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(features_beyond_the_offer_are_refused),
		TEST(a_driver_without_version_1_is_refused),
		TEST(features_are_final_once_accepted),
		TEST(features_ok_needs_a_driver),
		TEST(driver_ok_needs_features_ok),
		TEST(status_bits_cannot_be_cleared_one_by_one),
		TEST(the_driver_cannot_set_needs_reset),
		TEST(queue_size_is_a_power_of_two_up_to_the_largest),
		TEST(queues_can_be_configured_only_between_features_ok_and_driver_ok),
		TEST(a_ring_outside_memory_asks_for_a_reset_and_does_not_start),
		TEST(a_device_that_cannot_start_asks_for_a_reset),
		TEST(reset_stops_once_and_forgets_everything),
		TEST(needs_reset_interrupts_only_a_running_driver),
		TEST(configuration_is_clipped_to_its_length),
		TEST(the_call_descriptor_follows_the_transport),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
