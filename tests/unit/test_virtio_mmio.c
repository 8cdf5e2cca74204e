/* SPDX-License-Identifier: MIT */
/* virtio-mmio as a driver sees it, with and without the kernel's help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <linux/virtio_mmio.h>

#include "src/base/bytes.h"
#include "tests/unit/vdriver.h"
#include "tests/unit/vfakedev.h"
#include "tests/unit/vmachine.h"
#include "virtio/mmio.h"

#define GPA	  0xd0000000ULL
#define PIN	  5
#define DRIVER_OK 0x0fU

struct rig {
	struct vmachine vm;
	struct vdriver drv;
	struct fakedev f;
	struct vmmio *v;
};

static int setup_with(void **state, int kicks, int lines)
{
	struct rig *r = calloc(1, sizeof(*r));

	vm_init(&r->vm);
	r->vm.kicks_left = kicks;
	r->vm.lines_left = lines;
	vdriver_init(&r->drv, 1 << 20);
	fakedev_init(&r->f, &r->drv.mem);
	assert_int_equal(vmmio_new(&r->v, &r->f.dev, &r->vm.m, GPA, PIN), 0);
	*state = r;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, -1, -1);
}

/* The last attachment of either kind is refused: the ones before are undone (H18). */
static int setup_unaided(void **state)
{
	return setup_with(state, FAKE_QUEUES - 1, FAKE_QUEUES - 1);
}

static int teardown(void **state)
{
	struct rig *r = *state;

	vmmio_free(r->v);
	assert_int_equal(vm_kicks(&r->vm), 0);
	assert_int_equal(vm_lines(&r->vm), 0);
	vdev_fini(&r->f.dev);
	vdriver_fini(&r->drv);
	free(r);
	return 0;
}

static uint32_t reg(struct rig *r, uint32_t off)
{
	uint8_t buf[4];

	vmmio_read(r->v, off, buf, 4);
	return get_le32(buf);
}

static void set(struct rig *r, uint32_t off, uint32_t value)
{
	uint8_t buf[4];

	put_le32(buf, value);
	if (!vm_guest_write(&r->vm, GPA + off, value, 4))
		vmmio_write(r->v, off, buf, 4);
}

static void start(struct rig *r)
{
	set(r, VIRTIO_MMIO_STATUS, 1);
	set(r, VIRTIO_MMIO_STATUS, 3);
	for (uint32_t half = 0; half < 2; half++) {
		set(r, VIRTIO_MMIO_DEVICE_FEATURES_SEL, half);
		set(r, VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
		set(r, VIRTIO_MMIO_DRIVER_FEATURES, reg(r, VIRTIO_MMIO_DEVICE_FEATURES));
	}
	set(r, VIRTIO_MMIO_STATUS, 0xb);
	assert_int_equal(reg(r, VIRTIO_MMIO_STATUS), 0xb);
	for (uint16_t q = 0; q < FAKE_QUEUES; q++) {
		struct vdqueue vdq;

		vdq_init(&vdq, &r->drv, 16, 0);
		set(r, VIRTIO_MMIO_QUEUE_SEL, q);
		assert_int_equal(reg(r, VIRTIO_MMIO_QUEUE_NUM_MAX), r->f.dev.queue[q].size_max);
		assert_int_equal(reg(r, VIRTIO_MMIO_QUEUE_READY), 0);
		set(r, VIRTIO_MMIO_QUEUE_NUM, 16);
		set(r, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)vdq.cfg.desc);
		set(r, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(vdq.cfg.desc >> 32));
		set(r, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)vdq.cfg.avail);
		set(r, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)(vdq.cfg.avail >> 32));
		set(r, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)vdq.cfg.used);
		set(r, VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)(vdq.cfg.used >> 32));
		set(r, VIRTIO_MMIO_QUEUE_READY, 1);
		assert_int_equal(reg(r, VIRTIO_MMIO_QUEUE_READY), 1);
		assert_int_equal(r->f.dev.queue[q].cfg.used, vdq.cfg.used);
	}
	set(r, VIRTIO_MMIO_STATUS, DRIVER_OK);
	assert_int_equal(reg(r, VIRTIO_MMIO_STATUS), DRIVER_OK);
	assert_int_equal(r->f.starts - r->f.stops, 1);
}

static void the_registers_identify_the_device(void **state)
{
	struct rig *r = *state;

	assert_int_equal(reg(r, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(reg(r, VIRTIO_MMIO_VERSION), 2);
	assert_int_equal(reg(r, VIRTIO_MMIO_DEVICE_ID), 1);
	assert_int_equal(reg(r, VIRTIO_MMIO_SHM_LEN_LOW), 0xffffffff);
	assert_int_equal(reg(r, VIRTIO_MMIO_SHM_LEN_HIGH), 0xffffffff);
}

static void a_driver_brings_the_device_up_and_down(void **state)
{
	struct rig *r = *state;

	assert_int_equal(vm_kicks(&r->vm), FAKE_QUEUES);
	assert_int_equal(vm_lines(&r->vm), FAKE_QUEUES);
	for (int round = 0; round < 3; round++) {
		start(r);
		set(r, VIRTIO_MMIO_STATUS, 0);
		assert_int_equal(reg(r, VIRTIO_MMIO_STATUS), 0);
		assert_int_equal(reg(r, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
		assert_int_equal(reg(r, VIRTIO_MMIO_QUEUE_READY), 0);
	}
}

static void notifications_reach_their_queue(void **state)
{
	struct rig *r = *state;

	for (uint32_t q = 0; q < FAKE_QUEUES; q++) {
		eventfd_t n;

		set(r, VIRTIO_MMIO_QUEUE_NOTIFY, q);
		for (uint32_t i = 0; i < FAKE_QUEUES; i++)
			assert_int_equal(vm_readable(r->f.dev.queue[i].kick_fd), i == q);
		assert_int_equal(eventfd_read(r->f.dev.queue[q].kick_fd, &n), 0);
		assert_int_equal(n, 1);
	}
	set(r, VIRTIO_MMIO_QUEUE_NOTIFY, FAKE_QUEUES);
	set(r, VIRTIO_MMIO_QUEUE_NOTIFY, 0x10000);
	set(r, VIRTIO_MMIO_QUEUE_NOTIFY, 0xffffffff);
	for (uint32_t i = 0; i < FAKE_QUEUES; i++)
		assert_false(vm_readable(r->f.dev.queue[i].kick_fd));
}

/* H19: what the driver may see between an interrupt by the kernel and its ISR read. */
static void interrupt_status_shows_the_rings_while_running(void **state)
{
	struct rig *r = *state;

	assert_int_equal(reg(r, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	start(r);
	eventfd_write(vdev_call_fd(&r->f.dev, 2), 1);
	vm_pump(&r->vm);
	assert_int_equal(r->vm.pulses, 1);
	assert_int_equal(reg(r, VIRTIO_MMIO_INTERRUPT_STATUS), 1);
	set(r, VIRTIO_MMIO_INTERRUPT_ACK, 1);
	eventfd_write(vdev_call_fd(&r->f.dev, 0), 1);
	vm_pump(&r->vm);
	assert_int_equal(r->vm.pulses, 2);
	assert_int_equal(reg(r, VIRTIO_MMIO_INTERRUPT_STATUS), 1);
}

static void a_configuration_change_is_shown_until_acknowledged(void **state)
{
	struct rig *r = *state;
	uint32_t generation = reg(r, VIRTIO_MMIO_CONFIG_GENERATION);

	start(r);
	vdev_config_changed(&r->f.dev);
	assert_int_equal(r->vm.pulses, 1);
	assert_int_not_equal(reg(r, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	assert_int_equal(reg(r, VIRTIO_MMIO_INTERRUPT_STATUS) & 2, 2);
	set(r, VIRTIO_MMIO_INTERRUPT_ACK, 1);
	assert_int_equal(reg(r, VIRTIO_MMIO_INTERRUPT_STATUS) & 2, 2);
	set(r, VIRTIO_MMIO_INTERRUPT_ACK, 2);
	assert_int_equal(reg(r, VIRTIO_MMIO_INTERRUPT_STATUS) & 2, 0);
}

/* H18 */
static void without_the_kernel_both_directions_still_work(void **state)
{
	struct rig *r = *state;

	assert_int_equal(vm_kicks(&r->vm), 0);
	assert_int_equal(vm_lines(&r->vm), 0);
	notifications_reach_their_queue(state);
	start(r);
	assert_int_equal(vdev_call_fd(&r->f.dev, 0), -1);
	assert_int_equal(reg(r, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	vdev_queue_call(&r->f.dev, 1);
	assert_int_equal(r->vm.pulses, 1);
	assert_int_equal(reg(r, VIRTIO_MMIO_INTERRUPT_STATUS), 1);
	set(r, VIRTIO_MMIO_INTERRUPT_ACK, 1);
	assert_int_equal(reg(r, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

static void registers_answer_to_aligned_words_only(void **state)
{
	struct rig *r = *state;
	uint8_t buf[8];

	for (uint32_t len = 1; len <= 8; len++) {
		for (uint32_t off = 0; off < 4; off++) {
			memset(buf, 0x55, sizeof(buf));
			vmmio_read(r->v, off, buf, len);
			if (len == 4 && off == 0)
				continue;
			for (uint32_t i = 0; i < len; i++)
				assert_int_equal(buf[i], 0);
		}
	}
	start(r);
	memset(buf, 0, sizeof(buf));
	vmmio_write(r->v, VIRTIO_MMIO_STATUS, buf, 1);
	vmmio_write(r->v, VIRTIO_MMIO_STATUS, buf, 8);
	set(r, VIRTIO_MMIO_STATUS, 0x100); /* not a reset */
	assert_int_equal(reg(r, VIRTIO_MMIO_STATUS), DRIVER_OK);
	assert_int_equal(r->f.stops, 0);
}

static void configuration_may_be_read_in_any_width(void **state)
{
	struct rig *r = *state;
	uint8_t buf[8];

	vmmio_read(r->v, VMMIO_CONFIG + 3, buf, 2);
	assert_memory_equal(buf, r->f.config + 3, 2);
	vmmio_read(r->v, VMMIO_CONFIG, buf, 8);
	assert_memory_equal(buf, r->f.config, 8);
	vmmio_read(r->v, VMMIO_SIZE - 1, buf, 8);
	assert_int_equal(get_le64(buf), 0);
	buf[0] = 0x11;
	vmmio_write(r->v, VMMIO_CONFIG + 9, buf, 1);
	assert_int_equal(r->f.config[9], 0x11);
}

static void the_halves_of_an_address_are_written_apart(void **state)
{
	struct rig *r = *state;

	set(r, VIRTIO_MMIO_STATUS, 3);
	set(r, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set(r, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	set(r, VIRTIO_MMIO_STATUS, 0xb);
	for (uint32_t i = 0; i < 3; i++) {
		set(r, VIRTIO_MMIO_QUEUE_DESC_HIGH + 16 * i, 0x89abcde0 + i);
		set(r, VIRTIO_MMIO_QUEUE_DESC_LOW + 16 * i, 0x12345670 + i);
	}
	assert_int_equal(r->f.dev.queue[0].cfg.desc, 0x89abcde012345670);
	assert_int_equal(r->f.dev.queue[0].cfg.avail, 0x89abcde112345671);
	assert_int_equal(r->f.dev.queue[0].cfg.used, 0x89abcde212345672);
}

/* H4 */
static void a_running_queue_cannot_be_rewritten(void **state)
{
	struct rig *r = *state;
	struct vq_config before;

	start(r);
	set(r, VIRTIO_MMIO_QUEUE_SEL, 0);
	before = r->f.dev.queue[0].cfg;
	set(r, VIRTIO_MMIO_QUEUE_NUM, 256);
	set(r, VIRTIO_MMIO_QUEUE_DESC_LOW, 0x12340000);
	set(r, VIRTIO_MMIO_QUEUE_USED_HIGH, 0xffffffff);
	set(r, VIRTIO_MMIO_QUEUE_READY, 0);
	assert_int_equal(reg(r, VIRTIO_MMIO_QUEUE_READY), 1);
	assert_int_equal(r->f.dev.queue[0].cfg.size, before.size);
	assert_int_equal(r->f.dev.queue[0].cfg.desc, before.desc);
	assert_int_equal(r->f.dev.queue[0].cfg.used, before.used);
	set(r, VIRTIO_MMIO_QUEUE_SEL, 0x10000); /* not queue 0 */
	assert_int_equal(reg(r, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
}

#define TEST(fn)	 cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define TEST_UNAIDED(fn) cmocka_unit_test_setup_teardown(fn, setup_unaided, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_registers_identify_the_device),
		TEST(a_driver_brings_the_device_up_and_down),
		TEST(notifications_reach_their_queue),
		TEST(interrupt_status_shows_the_rings_while_running),
		TEST(a_configuration_change_is_shown_until_acknowledged),
		TEST_UNAIDED(without_the_kernel_both_directions_still_work),
		TEST(registers_answer_to_aligned_words_only),
		TEST(configuration_may_be_read_in_any_width),
		TEST(the_halves_of_an_address_are_written_apart),
		TEST(a_running_queue_cannot_be_rewritten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
