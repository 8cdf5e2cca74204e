/* SPDX-License-Identifier: MIT */
/*
 * A guest that writes anything anywhere: random accesses of all widths to
 * configuration space, BAR, MMIO registers and its own memory, mixed with steps
 * of a proper initialisation so that running devices are hit as well, on a
 * machine that refuses attachments at random. Seeded, so a failure repeats.
 *
 * After each step the promises that the rest of the program builds on are
 * checked. A floor of work done keeps the test honest (H83).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <linux/pci_regs.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>

#include "src/base/bytes.h"
#include "src/base/log.h"
#include "tests/unit/vdriver.h"
#include "tests/unit/vfakedev.h"
#include "tests/unit/vmachine.h"
#include "virtio/console.h"
#include "virtio/mmio.h"
#include "virtio/pci.h"
#include "virtio/rng.h"

#define MEM_SIZE (256 << 10)
#define MMIO_GPA 0xd0000000ULL
#define SEEDS	 24
#define STEPS	 4000

enum device { FAKE, RNG, CONSOLE, DEVICES };

/**
 * struct rig - one device behind one transport; the other transport is NULL
 * @was_started, @frozen:	@d->started and the latched queues after the last step
 */
struct rig {
	struct vmachine vm;
	struct vdriver drv;
	struct fakedev fake;
	struct vrng *rng;
	struct vcon *con;
	struct vdev *d;
	struct vpci *pci;
	struct vmmio *mmio;
	uint64_t rnd;
	bool was_started;
	struct vq_config frozen[VDEV_QUEUES_MAX];
	uint32_t starts, served;
};

/* xorshift64* (Vigna 2014) */
static uint64_t rnd(struct rig *r)
{
	r->rnd ^= r->rnd >> 12;
	r->rnd ^= r->rnd << 25;
	r->rnd ^= r->rnd >> 27;
	return r->rnd * 0x2545f4914f6cdd1dULL;
}

static uint64_t below(struct rig *r, uint64_t n)
{
	return (rnd(r) >> 16) % n;
}

/* Values that registers care about, more often than noise. */
static uint64_t rnd_value(struct rig *r)
{
	switch (below(r, 6)) {
	case 0:
		return below(r, 20);
	case 1:
		return 1ULL << below(r, 64);
	case 2:
		return ~0ULL << below(r, 64);
	case 3:
		return VDRIVER_GPA + below(r, MEM_SIZE) / 64 * 64;
	case 4:
		return r->d->features;
	default:
		return rnd(r);
	}
}

static void bar_access(struct rig *r, uint64_t off, uint64_t value, uint32_t len, bool write)
{
	struct pci_func *f = vpci_func(r->pci);
	uint8_t buf[8];

	put_le64(buf, value);
	if (!write)
		f->ops->bar_read(f, off, buf, len);
	else if (!vm_guest_write(&r->vm, f->bar_base + off, value, len))
		f->ops->bar_write(f, off, buf, len);
}

static void mmio_access(struct rig *r, uint64_t off, uint64_t value, uint32_t len, bool write)
{
	uint8_t buf[8];

	put_le64(buf, value);
	if (!write)
		vmmio_read(r->mmio, off, buf, len);
	else if (!vm_guest_write(&r->vm, MMIO_GPA + off, value, len))
		vmmio_write(r->mmio, off, buf, len);
}

/* One register of the initialisation sequence, in either transport's terms. */
enum reg { STATUS, FEATURES_SEL, FEATURES, Q_SEL, Q_SIZE, Q_DESC, Q_AVAIL, Q_USED, Q_ON, REGS };

static void reg_write(struct rig *r, enum reg reg, uint64_t value)
{
	static const struct {
		uint16_t pci, pci_len, mmio;
	} at[REGS] = {
		[STATUS] = { VIRTIO_PCI_COMMON_STATUS, 1, VIRTIO_MMIO_STATUS },
		[FEATURES_SEL] = { VIRTIO_PCI_COMMON_GFSELECT, 4, VIRTIO_MMIO_DRIVER_FEATURES_SEL },
		[FEATURES] = { VIRTIO_PCI_COMMON_GF, 4, VIRTIO_MMIO_DRIVER_FEATURES },
		[Q_SEL] = { VIRTIO_PCI_COMMON_Q_SELECT, 2, VIRTIO_MMIO_QUEUE_SEL },
		[Q_SIZE] = { VIRTIO_PCI_COMMON_Q_SIZE, 2, VIRTIO_MMIO_QUEUE_NUM },
		[Q_DESC] = { VIRTIO_PCI_COMMON_Q_DESCLO, 4, VIRTIO_MMIO_QUEUE_DESC_LOW },
		[Q_AVAIL] = { VIRTIO_PCI_COMMON_Q_AVAILLO, 4, VIRTIO_MMIO_QUEUE_AVAIL_LOW },
		[Q_USED] = { VIRTIO_PCI_COMMON_Q_USEDLO, 4, VIRTIO_MMIO_QUEUE_USED_LOW },
		[Q_ON] = { VIRTIO_PCI_COMMON_Q_ENABLE, 2, VIRTIO_MMIO_QUEUE_READY },
	};

	if (r->pci)
		bar_access(r, at[reg].pci, value, at[reg].pci_len, true);
	else
		mmio_access(r, at[reg].mmio, value, 4, true);
}

/* A proper start, on memory in which anything may stand. */
static void bring_up(struct rig *r)
{
	reg_write(r, STATUS, 0);
	r->was_started = false;
	reg_write(r, STATUS, 1);
	reg_write(r, STATUS, 3);
	for (uint32_t half = 0; half < 2; half++) {
		reg_write(r, FEATURES_SEL, half);
		reg_write(r, FEATURES, (uint32_t)(r->d->features >> (32 * half)));
	}
	reg_write(r, STATUS, 0xb);
	for (uint32_t q = 0; q < r->d->nqueues; q++) {
		uint64_t at = VDRIVER_GPA + q * 4096ULL;

		reg_write(r, Q_SEL, q);
		reg_write(r, Q_SIZE, 1ULL << below(r, 5));
		reg_write(r, Q_DESC, at);
		reg_write(r, Q_AVAIL, at + 1024);
		reg_write(r, Q_USED, at + 2048);
		reg_write(r, Q_ON, 1);
	}
	if (below(r, 2))
		memset(r->drv.hva, 0, r->d->nqueues * 4096U);
	reg_write(r, STATUS, 0xf);
}

/* A chain or two that make some sense, so that there is something to serve. */
static void offer_chains(struct rig *r)
{
	uint32_t q = (uint32_t)below(r, r->d->nqueues);
	uint8_t *base = r->drv.hva + q * 4096U;
	struct vring_desc desc = {
		.addr = VDRIVER_GPA + below(r, MEM_SIZE),
		.len = (uint32_t)below(r, 300),
		.flags = (uint16_t)below(r, 8),
		.next = (uint16_t)below(r, 20),
	};

	memcpy(base + 16 * below(r, 16), &desc, sizeof(desc));
	put_le16(base + 1024 + 4 + 2 * below(r, 16), (uint16_t)below(r, 17));
	put_le16(base + 1024 + 2, (uint16_t)(get_le16(base + 1024 + 2) + below(r, 3)));
	if (r->pci)
		bar_access(r, VPCI_BAR_NOTIFY + q * VPCI_NOTIFY_MUL, q, 2, true);
	else
		mmio_access(r, VIRTIO_MMIO_QUEUE_NOTIFY, q, 4, true);
}

static void config_access(struct rig *r)
{
	static const uint8_t likely_at[] = {
		PCI_COMMAND, PCI_BASE_ADDRESS_0, 0x42, 0x94, 0x98, 0x9c, 0xa0
	};
	struct pci_func *f = vpci_func(r->pci);
	uint32_t len = 1U << below(r, 3);
	uint32_t off = below(r, 2) ? likely_at[below(r, sizeof(likely_at))]
				   : (uint32_t)below(r, 256);

	off &= ~(len - 1);
	if (below(r, 3))
		f->ops->config_write(f, off, (uint32_t)rnd_value(r), len);
	else
		f->ops->config_read(f, off, len);
}

static void register_access(struct rig *r)
{
	bool write = below(r, 3);
	uint32_t len = 1U << below(r, 4);

	if (r->mmio) {
		mmio_access(r, below(r, VMMIO_SIZE) & ~(below(r, 4) ? 3ULL : 0), rnd_value(r),
			    below(r, 2) ? 4 : len, write);
		return;
	}
	switch (below(r, 4)) {
	case 0:
		config_access(r);
		break;
	case 1:
		bar_access(r, below(r, VPCI_BAR_SIZE), rnd_value(r), len, write);
		break;
	default:
		/* The beginning of each page is where things are. */
		bar_access(r, below(r, 8) * VPCI_REGION_SIZE + below(r, 80), rnd_value(r), len,
			   write);
		break;
	}
}

static uint64_t used_total(struct rig *r)
{
	uint64_t n = 0;

	for (uint32_t q = 0; q < r->d->nqueues; q++)
		n += counter_get(&r->d->queue[q].n.used);
	return n;
}

static void serve(struct rig *r)
{
	uint64_t before = used_total(r);
	uint8_t bytes[100] = { 1 };

	if (r->rng)
		vrng_service(r->rng);
	if (r->con) {
		vcon_service(r->con);
		vcon_port_write(r->con, (uint32_t)below(r, 2), bytes, below(r, sizeof(bytes)));
		vcon_port_resume(r->con, (uint32_t)below(r, 2));
	}
	vm_pump(&r->vm);
	r->served += used_total(r) != before;
}

static void step(struct rig *r)
{
	switch (below(r, 16)) {
	case 0:
		bring_up(r);
		break;
	case 1:
	case 2:
	case 3:
		offer_chains(r);
		serve(r);
		break;
	case 4:
		put_le64(r->drv.hva + below(r, MEM_SIZE - 8), rnd_value(r));
		break;
	case 5:
		eventfd_write(r->d->queue[below(r, r->d->nqueues)].call_fd, 1);
		vdev_config_changed(r->d);
		break;
	case 6:
		r->vm.kicks_left = below(r, 2) ? -1 : (int)below(r, 8);
		r->vm.msis_left = below(r, 8) ? -1 : (int)below(r, 8);
		r->vm.refuse_update = below(r, 16) == 0;
		break;
	default:
		register_access(r);
		break;
	}
}

static void check_device(struct rig *r)
{
	const struct vdev *d = r->d;
	uint8_t s = d->status;

	if (s & VIRTIO_CONFIG_S_FEATURES_OK) {
		assert_int_equal(d->driver_features & ~d->features, 0);
		assert_true(d->driver_features & 1ULL << VIRTIO_F_VERSION_1);
		assert_true(s & VIRTIO_CONFIG_S_DRIVER);
	}
	assert_true(!(s & VIRTIO_CONFIG_S_DRIVER_OK) || (s & VIRTIO_CONFIG_S_FEATURES_OK));
	assert_true(!d->started || (s & VIRTIO_CONFIG_S_DRIVER_OK));
	for (uint32_t q = 0; q < d->nqueues; q++) {
		const struct vdev_queue *vq = &d->queue[q];

		assert_true(is_power_of_two(vq->cfg.size) && vq->cfg.size <= vq->size_max);
		if (!d->started)
			continue;
		/* H4: what runs does not change. */
		if (r->was_started)
			assert_memory_equal(&vq->latched, &r->frozen[q], sizeof(vq->latched));
		assert_true(!vq->latched.ready || vq_config_check(&vq->latched, d->mem) == 0);
	}
}

/* H18: all kicks or none, and where the function is. */
static void check_transport(struct rig *r)
{
	uint32_t kicks = vm_kicks(&r->vm);
	uint64_t base;

	assert_true(kicks == 0 || kicks == r->d->nqueues);
	if (r->mmio)
		return;
	base = vpci_func(r->pci)->bar_base;
	assert_int_equal(base % VPCI_BAR_SIZE, 0);
	assert_true(base < 1ULL << 32);
	assert_true(vm_msis(&r->vm) <= r->d->nqueues);
	for (uint32_t i = 0; i < VM_SLOTS; i++) {
		if (r->vm.kick[i].used)
			assert_int_equal(r->vm.kick[i].addr.gpa / VPCI_REGION_SIZE,
					 (base + VPCI_BAR_NOTIFY) / VPCI_REGION_SIZE);
	}
	assert_int_equal(vpci_func(r->pci)->ops->config_read(vpci_func(r->pci), 0, 2), 0x1af4);
}

static void run_steps(struct rig *r)
{
	for (uint32_t i = 0; i < STEPS; i++) {
		step(r);
		check_device(r);
		check_transport(r);
		if (r->d->started && !r->was_started)
			r->starts++;
		r->was_started = r->d->started;
		for (uint32_t q = 0; q < r->d->nqueues; q++)
			r->frozen[q] = r->d->queue[q].latched;
	}
}

static void device_new(struct rig *r, enum device device)
{
	static const struct vcon_port_config ports[2] = { { .console = true },
							  { .name = "port", .open = true } };

	switch (device) {
	case RNG:
		assert_int_equal(vrng_new(&r->rng, &r->drv.mem), 0);
		r->d = vrng_vdev(r->rng);
		break;
	case CONSOLE:
		assert_int_equal(vcon_new(&r->con, &r->drv.mem, ports, 2), 0);
		r->d = vcon_vdev(r->con);
		break;
	default:
		fakedev_init(&r->fake, &r->drv.mem);
		r->d = &r->fake.dev;
		break;
	}
}

static void device_free(struct rig *r)
{
	vrng_free(r->rng);
	vcon_free(r->con);
	if (r->d == &r->fake.dev)
		vdev_fini(r->d);
}

static void hammer(enum device device, bool pci)
{
	uint32_t starts = 0, served = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct rig *r = calloc(1, sizeof(*r));

		r->rnd = seed * 0x9e3779b97f4a7c15ULL;
		vm_init(&r->vm);
		vdriver_init(&r->drv, MEM_SIZE);
		device_new(r, device);
		if (pci)
			assert_int_equal(vpci_new(&r->pci, r->d, &r->vm.m), 0);
		else
			assert_int_equal(vmmio_new(&r->mmio, r->d, &r->vm.m, MMIO_GPA, 5), 0);
		run_steps(r);
		starts += r->starts;
		served += r->served;
		vpci_free(r->pci);
		vmmio_free(r->mmio);
		assert_int_equal(vm_kicks(&r->vm) + vm_msis(&r->vm) + vm_lines(&r->vm), 0);
		assert_int_equal(r->fake.starts, r->fake.stops);
		device_free(r);
		vdriver_fini(&r->drv);
		free(r);
	}
	print_message("%u starts, %u turns that served something\n", starts, served);
	assert_true(starts >= SEEDS * 20);
	assert_true(device == FAKE || served >= SEEDS * 20);
}

static void pci_registers_survive_anything(void **state)
{
	(void)state;
	hammer(FAKE, true);
}

static void mmio_registers_survive_anything(void **state)
{
	(void)state;
	hammer(FAKE, false);
}

static void the_entropy_device_survives_anything_behind_pci(void **state)
{
	(void)state;
	hammer(RNG, true);
}

static void the_entropy_device_survives_anything_behind_mmio(void **state)
{
	(void)state;
	hammer(RNG, false);
}

static void the_console_survives_anything_behind_pci(void **state)
{
	(void)state;
	hammer(CONSOLE, true);
}

static void the_console_survives_anything_behind_mmio(void **state)
{
	(void)state;
	hammer(CONSOLE, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pci_registers_survive_anything),
		cmocka_unit_test(mmio_registers_survive_anything),
		cmocka_unit_test(the_entropy_device_survives_anything_behind_pci),
		cmocka_unit_test(the_entropy_device_survives_anything_behind_mmio),
		cmocka_unit_test(the_console_survives_anything_behind_pci),
		cmocka_unit_test(the_console_survives_anything_behind_mmio),
	};

	/* What the guest does here is logged, and that is thousands of lines. */
	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
