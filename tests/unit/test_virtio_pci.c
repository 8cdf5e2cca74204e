/* SPDX-License-Identifier: MIT */
/* virtio-pci as a driver walks it: capabilities, BAR, registers, notifications, MSI-X. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include "src/base/bytes.h"
#include "tests/unit/vdriver.h"
#include "tests/unit/vfakedev.h"
#include "tests/unit/vmachine.h"
#include "virtio/pci.h"

#define BAR	  0xc0000000U
#define OTHER_BAR 0xd0008000U
#define DRIVER_OK 0x0fU

struct rig {
	struct vmachine vm;
	struct vdriver drv;
	struct fakedev f;
	struct vpci *p;
	struct pci_func *fn;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	vm_init(&r->vm);
	vdriver_init(&r->drv, 1 << 20);
	fakedev_init(&r->f, &r->drv.mem);
	assert_int_equal(vpci_new(&r->p, &r->f.dev, &r->vm.m), 0);
	r->fn = vpci_func(r->p);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	vpci_free(r->p);
	assert_int_equal(vm_kicks(&r->vm), 0);
	assert_int_equal(vm_msis(&r->vm), 0);
	vdev_fini(&r->f.dev);
	vdriver_fini(&r->drv);
	free(r);
	return 0;
}

static uint32_t cfg_read(struct rig *r, uint32_t off, uint32_t len)
{
	return r->fn->ops->config_read(r->fn, off, len);
}

static void cfg_write(struct rig *r, uint32_t off, uint32_t value, uint32_t len)
{
	r->fn->ops->config_write(r->fn, off, value, len);
}

static uint64_t bar_read(struct rig *r, uint64_t off, uint32_t len)
{
	uint8_t buf[8] = { 0 };

	r->fn->ops->bar_read(r->fn, off, buf, len);
	return get_le64(buf);
}

/* As a guest's write: the kernel's kicks come first, the function sees the rest. */
static void bar_write(struct rig *r, uint64_t off, uint64_t value, uint32_t len)
{
	uint8_t buf[8];

	put_le64(buf, value);
	if (!vm_guest_write(&r->vm, r->fn->bar_base + off, value, len))
		r->fn->ops->bar_write(r->fn, off, buf, len);
}

static void map_bar(struct rig *r, uint32_t base)
{
	cfg_write(r, PCI_BASE_ADDRESS_0, base, 4);
	cfg_write(r, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}

static void enable_msix(struct rig *r)
{
	cfg_write(r, 0x42, PCI_MSIX_FLAGS_ENABLE, 2);
}

static void set_vector(struct rig *r, uint32_t vector, uint32_t addr, uint32_t data)
{
	bar_write(r, VPCI_BAR_MSIX + vector * 16, addr, 4);
	bar_write(r, VPCI_BAR_MSIX + vector * 16 + 4, 0, 4);
	bar_write(r, VPCI_BAR_MSIX + vector * 16 + 8, data, 4);
	bar_write(r, VPCI_BAR_MSIX + vector * 16 + 12, 0, 4);
}

static void negotiate(struct rig *r)
{
	bar_write(r, VIRTIO_PCI_COMMON_STATUS, 1, 1);
	bar_write(r, VIRTIO_PCI_COMMON_STATUS, 3, 1);
	for (uint32_t half = 0; half < 2; half++) {
		uint64_t offered;

		bar_write(r, VIRTIO_PCI_COMMON_DFSELECT, half, 4);
		offered = bar_read(r, VIRTIO_PCI_COMMON_DF, 4);
		assert_int_equal(offered, (uint32_t)(FAKE_FEATURES >> (32 * half)));
		bar_write(r, VIRTIO_PCI_COMMON_GFSELECT, half, 4);
		bar_write(r, VIRTIO_PCI_COMMON_GF, offered, 4);
	}
	bar_write(r, VIRTIO_PCI_COMMON_STATUS, 0xb, 1);
	assert_int_equal(bar_read(r, VIRTIO_PCI_COMMON_STATUS, 1), 0xb);
}

static void place_queue(struct rig *r, uint16_t q, uint16_t size)
{
	struct vdqueue vdq;

	vdq_init(&vdq, &r->drv, size, 0);
	bar_write(r, VIRTIO_PCI_COMMON_Q_SELECT, q, 2);
	bar_write(r, VIRTIO_PCI_COMMON_Q_SIZE, size, 2);
	bar_write(r, VIRTIO_PCI_COMMON_Q_DESCLO, (uint32_t)vdq.cfg.desc, 4);
	bar_write(r, VIRTIO_PCI_COMMON_Q_DESCHI, vdq.cfg.desc >> 32, 4);
	bar_write(r, VIRTIO_PCI_COMMON_Q_AVAILLO, (uint32_t)vdq.cfg.avail, 4);
	bar_write(r, VIRTIO_PCI_COMMON_Q_AVAILHI, vdq.cfg.avail >> 32, 4);
	bar_write(r, VIRTIO_PCI_COMMON_Q_USEDLO, vdq.cfg.used, 8);
	bar_write(r, VIRTIO_PCI_COMMON_Q_MSIX, q, 2);
	assert_int_equal(bar_read(r, VIRTIO_PCI_COMMON_Q_MSIX, 2), q);
	bar_write(r, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	assert_int_equal(bar_read(r, VIRTIO_PCI_COMMON_Q_DESCLO, 8), vdq.cfg.desc);
}

static void start(struct rig *r)
{
	negotiate(r);
	for (uint16_t q = 0; q < FAKE_QUEUES; q++)
		place_queue(r, q, 16);
	bar_write(r, VIRTIO_PCI_COMMON_STATUS, DRIVER_OK, 1);
	assert_int_equal(bar_read(r, VIRTIO_PCI_COMMON_STATUS, 1), DRIVER_OK);
	assert_int_equal(r->f.starts - r->f.stops, 1);
}

static void the_header_says_what_it_is(void **state)
{
	struct rig *r = *state;

	assert_int_equal(cfg_read(r, PCI_VENDOR_ID, 4), 0x10411af4);
	assert_int_equal(cfg_read(r, PCI_CLASS_REVISION, 4), 0x02000001);
	assert_int_equal(cfg_read(r, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(cfg_read(r, PCI_INTERRUPT_PIN, 1), 0);
	assert_int_equal(cfg_read(r, PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
	cfg_write(r, PCI_VENDOR_ID, 0, 4);
	cfg_write(r, PCI_CLASS_REVISION, 0, 4);
	assert_int_equal(cfg_read(r, PCI_VENDOR_ID, 4), 0x10411af4);
}

/* Regions named by capabilities lie inside the BAR and do not overlap. */
static void the_capability_list_names_five_structures_and_msix(void **state)
{
	struct rig *r = *state;
	uint32_t at = cfg_read(r, PCI_CAPABILITY_LIST, 1), types = 0, n = 0;
	bool msix = false, page[VPCI_BAR_SIZE / VPCI_REGION_SIZE] = { false };

	for (; at && n < 10; at = cfg_read(r, at + 1, 1), n++) {
		if (cfg_read(r, at, 1) == PCI_CAP_ID_MSIX) {
			msix = true;
			assert_int_equal(cfg_read(r, at + 2, 2), FAKE_QUEUES);
			page[cfg_read(r, at + 4, 4) / VPCI_REGION_SIZE] = true;
			page[cfg_read(r, at + 8, 4) / VPCI_REGION_SIZE] = true;
			continue;
		}
		assert_int_equal(cfg_read(r, at, 1), PCI_CAP_ID_VNDR);
		uint32_t type = cfg_read(r, at + 3, 1), off = cfg_read(r, at + 8, 4);

		assert_false(types & 1U << type);
		types |= 1U << type;
		assert_int_equal(cfg_read(r, at + 4, 1), 0);
		if (type == VIRTIO_PCI_CAP_PCI_CFG)
			continue;
		assert_true(cfg_read(r, at + 12, 4) <= VPCI_REGION_SIZE);
		assert_int_equal(off % VPCI_REGION_SIZE, 0);
		assert_false(page[off / VPCI_REGION_SIZE]);
		page[off / VPCI_REGION_SIZE] = true;
		if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
			assert_int_equal(cfg_read(r, at + 16, 4), VPCI_NOTIFY_MUL);
	}
	assert_int_equal(n, 6);
	assert_true(msix);
	assert_int_equal(types, 0x3e);
}

static void the_bar_can_be_sized_mapped_moved_and_unmapped(void **state)
{
	struct rig *r = *state;

	cfg_write(r, PCI_BASE_ADDRESS_0, 0xffffffff, 4);
	assert_int_equal(cfg_read(r, PCI_BASE_ADDRESS_0, 4), ~(VPCI_BAR_SIZE - 1));
	for (uint32_t bar = PCI_BASE_ADDRESS_1; bar <= PCI_BASE_ADDRESS_5; bar += 4) {
		cfg_write(r, bar, 0xffffffff, 4);
		assert_int_equal(cfg_read(r, bar, 4), 0);
	}
	cfg_write(r, PCI_BASE_ADDRESS_0, BAR, 4);
	assert_int_equal(r->fn->bar_base, 0);
	assert_int_equal(vm_kicks(&r->vm), 0);
	cfg_write(r, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	assert_int_equal(r->fn->bar_base, BAR);
	assert_int_equal(vm_kicks(&r->vm), FAKE_QUEUES);

	/* Sizing it while it decodes: nowhere meanwhile. */
	cfg_write(r, PCI_BASE_ADDRESS_0, 0xffffffff, 4);
	assert_int_equal(r->fn->bar_base, 0);
	assert_int_equal(vm_kicks(&r->vm), 0);
	cfg_write(r, PCI_BASE_ADDRESS_0, OTHER_BAR, 4);
	assert_int_equal(r->fn->bar_base, OTHER_BAR);
	assert_int_equal(vm_kicks(&r->vm), FAKE_QUEUES);
	assert_false(vm_guest_write(&r->vm, BAR + VPCI_BAR_NOTIFY, 0, 2));
	assert_true(vm_guest_write(&r->vm, OTHER_BAR + VPCI_BAR_NOTIFY, 0, 2));
	cfg_write(r, PCI_COMMAND, 0, 2);
	assert_int_equal(r->fn->bar_base, 0);
	assert_int_equal(vm_kicks(&r->vm), 0);
}

static void a_driver_brings_the_device_up(void **state)
{
	struct rig *r = *state;

	map_bar(r, BAR);
	enable_msix(r);
	assert_int_equal(bar_read(r, VIRTIO_PCI_COMMON_NUMQ, 2), FAKE_QUEUES);
	start(r);
	for (uint16_t q = 0; q < FAKE_QUEUES; q++) {
		assert_int_equal(r->f.dev.queue[q].latched.size, 16);
		assert_true(r->f.dev.queue[q].latched.ready);
		bar_write(r, VIRTIO_PCI_COMMON_Q_SELECT, q, 2);
		assert_int_equal(bar_read(r, VIRTIO_PCI_COMMON_Q_NOFF, 2), q);
		bar_write(r, VPCI_BAR_NOTIFY + q * VPCI_NOTIFY_MUL, q, 2);
		for (uint16_t i = 0; i < FAKE_QUEUES; i++)
			assert_int_equal(vm_readable(r->f.dev.queue[i].kick_fd), i <= q);
	}
	bar_write(r, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	assert_int_equal(bar_read(r, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	assert_int_equal(r->f.stops, 1);
	assert_int_equal(bar_read(r, VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
	start(r);
}

static void a_queue_that_does_not_exist_reads_as_absent(void **state)
{
	static const uint16_t absent[] = { FAKE_QUEUES, 0x7fff, 0x8000, 0xffff };
	struct rig *r = *state;

	negotiate(r);
	for (uint32_t i = 0; i < ARRAY_SIZE(absent); i++) {
		bar_write(r, VIRTIO_PCI_COMMON_Q_SELECT, absent[i], 2);
		bar_write(r, VIRTIO_PCI_COMMON_Q_SIZE, 16, 2);
		bar_write(r, VIRTIO_PCI_COMMON_Q_MSIX, 0, 2);
		bar_write(r, VIRTIO_PCI_COMMON_Q_DESCLO, 0x1000, 8);
		bar_write(r, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
		assert_int_equal(bar_read(r, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
		assert_int_equal(bar_read(r, VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
		assert_int_equal(bar_read(r, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
		assert_int_equal(bar_read(r, VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0);
	}
}

static void the_halves_of_an_address_are_written_apart(void **state)
{
	static const uint32_t parts[] = { VIRTIO_PCI_COMMON_Q_DESCLO, VIRTIO_PCI_COMMON_Q_AVAILLO,
					  VIRTIO_PCI_COMMON_Q_USEDLO };
	struct rig *r = *state;

	negotiate(r);
	for (uint64_t i = 0; i < ARRAY_SIZE(parts); i++) {
		bar_write(r, parts[i] + 4, 0x89abcde0 + i, 4);
		bar_write(r, parts[i], 0x12345670 + i, 4);
	}
	for (uint64_t i = 0; i < ARRAY_SIZE(parts); i++)
		assert_int_equal(bar_read(r, parts[i], 8),
				 (0x89abcde0 + i) << 32 | (0x12345670 + i));
	assert_int_equal(r->f.dev.queue[0].cfg.avail, 0x89abcde112345671);
}

/* Virtio 1.2, 4.1.4.3.2: 0 is never written to queue_enable. */
static void a_queue_cannot_be_disabled(void **state)
{
	struct rig *r = *state;

	negotiate(r);
	place_queue(r, 0, 16);
	bar_write(r, VIRTIO_PCI_COMMON_Q_ENABLE, 0, 2);
	assert_int_equal(bar_read(r, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
}

static void any_width_of_read_sees_the_same_bytes(void **state)
{
	struct rig *r = *state;
	uint8_t image[64];

	negotiate(r);
	place_queue(r, 1, 16);
	for (uint32_t i = 0; i < sizeof(image); i++)
		image[i] = (uint8_t)bar_read(r, i, 1);
	for (uint32_t len = 2; len <= 8; len *= 2) {
		for (uint32_t off = 0; off + len <= sizeof(image); off++) {
			uint64_t got = bar_read(r, off, len);

			assert_memory_equal(&got, image + off, len);
		}
	}
	assert_int_equal(bar_read(r, 56, 8), 0); /* behind the last register */
}

/* H18 */
static void refused_kicks_are_rolled_back_and_arrive_as_exits(void **state)
{
	for (int refuse_at = 0; refuse_at < FAKE_QUEUES; refuse_at++) {
		struct rig *r = *state;

		r->vm.kicks_left = refuse_at;
		map_bar(r, BAR);
		assert_int_equal(vm_kicks(&r->vm), 0);
		assert_int_equal(r->fn->bar_base, BAR);
		for (uint32_t q = 0; q < FAKE_QUEUES; q++) {
			eventfd_t n;

			bar_write(r, VPCI_BAR_NOTIFY + q * VPCI_NOTIFY_MUL, q, 2);
			assert_int_equal(eventfd_read(r->f.dev.queue[q].kick_fd, &n), 0);
			assert_int_equal(n, 1);
		}
		bar_write(r, VPCI_BAR_NOTIFY + FAKE_QUEUES * VPCI_NOTIFY_MUL, 0, 2);
		bar_write(r, VPCI_BAR_NOTIFY + 1, 0, 2);
		bar_write(r, VPCI_BAR_NOTIFY + VPCI_REGION_SIZE - 4, 0, 4);
		for (uint32_t q = 0; q < FAKE_QUEUES; q++)
			assert_false(vm_readable(r->f.dev.queue[q].kick_fd));
		cfg_write(r, PCI_COMMAND, 0, 2);
	}
}

static void queue_interrupts_are_messages(void **state)
{
	struct rig *r = *state;

	map_bar(r, BAR);
	enable_msix(r);
	set_vector(r, 1, 0xfee00000, 0x77);
	start(r);
	assert_int_equal(vdev_call_fd(&r->f.dev, 1), r->f.dev.queue[1].call_fd);
	assert_int_equal(vm_msis(&r->vm), 1);
	eventfd_write(r->f.dev.queue[1].call_fd, 1);
	vm_pump(&r->vm);
	assert_int_equal(r->vm.nsent, 1);
	assert_int_equal(r->vm.sent[0].data, 0x77);
	bar_write(r, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	assert_int_equal(vm_msis(&r->vm), 0);
}

static void without_irqfd_the_device_sends_by_hand(void **state)
{
	struct rig *r = *state;

	r->vm.msis_left = 0;
	map_bar(r, BAR);
	enable_msix(r);
	set_vector(r, 0, 0xfee00000, 0x70);
	start(r); /* maps the vectors first, so the device starts knowing */
	assert_int_equal(r->f.dev.status, DRIVER_OK);
	assert_int_equal(vdev_call_fd(&r->f.dev, 0), -1);
	vdev_queue_call(&r->f.dev, 0);
	assert_int_equal(r->vm.nsent, 1);
	assert_int_equal(r->vm.sent[0].data, 0x70);
}

static void irqfd_lost_under_a_running_device_asks_for_a_reset(void **state)
{
	struct rig *r = *state;

	map_bar(r, BAR);
	enable_msix(r);
	start(r);
	r->vm.msis_left = 0;
	set_vector(r, 0, 0xfee00000, 0x70);
	assert_int_equal(r->f.dev.status, DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET);
	bar_write(r, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	start(r);
	vdev_queue_call(&r->f.dev, 0);
	assert_int_equal(r->vm.sent[r->vm.nsent - 1].data, 0x70);
}

static void a_configuration_change_interrupts_and_sets_the_isr_bit(void **state)
{
	struct rig *r = *state;
	uint64_t generation;

	map_bar(r, BAR);
	enable_msix(r);
	set_vector(r, FAKE_QUEUES, 0xfee00000, 0x55);
	bar_write(r, VIRTIO_PCI_COMMON_MSIX, FAKE_QUEUES, 2);
	assert_int_equal(bar_read(r, VIRTIO_PCI_COMMON_MSIX, 2), FAKE_QUEUES);
	start(r);
	generation = bar_read(r, VIRTIO_PCI_COMMON_CFGGENERATION, 1);
	vdev_config_changed(&r->f.dev);
	assert_int_equal(r->vm.nsent, 1);
	assert_int_equal(r->vm.sent[0].data, 0x55);
	assert_int_not_equal(bar_read(r, VIRTIO_PCI_COMMON_CFGGENERATION, 1), generation);
	assert_int_equal(bar_read(r, VPCI_BAR_ISR, 1), 2);
	assert_int_equal(bar_read(r, VPCI_BAR_ISR, 1), 0);
}

static void the_window_capability_reaches_every_register(void **state)
{
	struct rig *r = *state;
	uint32_t at = cfg_read(r, PCI_CAPABILITY_LIST, 1);

	while (cfg_read(r, at, 1) != PCI_CAP_ID_VNDR ||
	       cfg_read(r, at + 3, 1) != VIRTIO_PCI_CAP_PCI_CFG)
		at = cfg_read(r, at + 1, 1);
	cfg_write(r, at + 8, VIRTIO_PCI_COMMON_STATUS, 4);
	cfg_write(r, at + 12, 1, 4);
	cfg_write(r, at + 16, 3, 1);
	assert_int_equal(r->f.dev.status, 3);
	assert_int_equal(cfg_read(r, at + 16, 1), 3);
	cfg_write(r, at + 8, VPCI_BAR_DEVICE + 4, 4);
	cfg_write(r, at + 12, 4, 4);
	assert_int_equal(cfg_read(r, at + 16, 4), get_le32(r->f.config + 4));
	cfg_write(r, at + 8, VPCI_BAR_NOTIFY + VPCI_NOTIFY_MUL, 4);
	cfg_write(r, at + 12, 2, 4);
	cfg_write(r, at + 16, 1, 2);
	assert_true(vm_readable(r->f.dev.queue[1].kick_fd));

	/* Places that do not exist are not reached. */
	static const uint32_t bad[][2] = {
		{ VPCI_BAR_SIZE, 1 }, { 0xfffffffc, 4 }, { 0, 3 }, { 0, 8 }, { 1, 2 }, { 0, 0 }
	};
	for (uint32_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cfg_write(r, at + 8, bad[i][0], 4);
		cfg_write(r, at + 12, bad[i][1], 4);
		cfg_write(r, at + 16, 0x12345678, 4);
		assert_int_equal(cfg_read(r, at + 16, 4), 0x12345678);
	}
	cfg_write(r, at + 4, 1, 1);
	cfg_write(r, at + 8, VIRTIO_PCI_COMMON_STATUS, 4);
	cfg_write(r, at + 12, 1, 4);
	cfg_write(r, at + 16, 0, 1);
	assert_int_equal(r->f.dev.status, 3);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_header_says_what_it_is),
		TEST(the_capability_list_names_five_structures_and_msix),
		TEST(the_bar_can_be_sized_mapped_moved_and_unmapped),
		TEST(a_driver_brings_the_device_up),
		TEST(a_queue_that_does_not_exist_reads_as_absent),
		TEST(the_halves_of_an_address_are_written_apart),
		TEST(a_queue_cannot_be_disabled),
		TEST(any_width_of_read_sees_the_same_bytes),
		TEST(refused_kicks_are_rolled_back_and_arrive_as_exits),
		TEST(queue_interrupts_are_messages),
		TEST(without_irqfd_the_device_sends_by_hand),
		TEST(irqfd_lost_under_a_running_device_asks_for_a_reset),
		TEST(a_configuration_change_interrupts_and_sets_the_isr_bit),
		TEST(the_window_capability_reaches_every_register),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
