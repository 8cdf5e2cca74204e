/* SPDX-License-Identifier: MIT */
/*
 * A guest that writes anything to the registers of two virtio-mmio devices.
 *
 * The input is two bytes, of what the kernel refuses to do for each device (refusals()),
 * and then a list of accesses of RECORD bytes each:
 *
 *	byte 0	bits 0..2: what (enum access); bit 3: a read; bits 4, 5: width 1 << n;
 *		bit 6: the second device; bit 7: one byte more than that
 *	1	what ACCESS_EVENT does, see event()
 *	2, 3	offset
 *	4..7	value; for ACCESS_ADDR the address
 *
 * The machine is that of fuzz_pci.c. A register is what the driver may rely on by the
 * text of virtio 1.2, 4.2.2, so there is a model of it: what is written to one of them in
 * a width that it does not have, or to none, changes nothing; the status moves forwards
 * or to 0; a started device keeps the queues with which it was started, and they lie in
 * memory; the interrupt says why it came, and comes once for each cause. What is attached
 * to the kernel is attached for life, whole or not at all (H18).
 */
#include <linux/virtio_mmio.h>
#include <stdlib.h>

#include "src/base/bytes.h"
#include "src/vmm/bus.h"
#include "src/vmm/layout.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/vfakedev.h"
#include "tests/unit/vmachine.h"
#include "virtio/mmio.h"

#define RECORD	8
#define DEVICES 2
#define RAM	(1ULL << 20)

static void setup(void);

const struct fuzz_target fuzz_target = {
	.name = "mmio",
	.done = "starts and signals",
	.refused = "accesses that came to nothing",
	.floor = 40,
	.alloc_one = 4096,
	.alloc_all = 4096,
	.setup = setup,
};

enum access {
	ACCESS_REGISTER, /* an offset of the device's page */
	ACCESS_ADDR,	 /* any address */
	ACCESS_NOTIFY,	 /* what the kernel would take as a kick */
	ACCESS_EVENT,	 /* something happens on our side */
};

/**
 * struct slot - one device
 * @isr:	what InterruptStatus should have
 * @pulses:	interrupts that should have come without an eventfd
 * @started:	with @latched, by start number @starts
 * @config:	what the device's configuration should be
 */
struct slot {
	struct fakedev dev;
	struct vmachine v;
	struct vmmio *m;
	uint64_t gpa;
	uint32_t isr, pulses, starts;
	struct vq_config latched[FAKE_QUEUES];
	uint8_t config[FAKE_CONFIG_LEN];
};

struct world {
	struct bus mmio;
	struct gmem mem;
	struct slot slot[DEVICES];
};

static uint8_t *ram;

static void setup(void)
{
	ram = calloc(1, RAM);
	FUZZ_CHECK(ram, "out of memory");
}

/* What was made in setup(). */
__attribute__((destructor)) static void leave(void)
{
	free(ram);
}

static void on_read(void *ctx, uint64_t off, void *data, uint32_t len)
{
	vmmio_read(ctx, off, data, len);
}

static void on_write(void *ctx, uint64_t off, const void *data, uint32_t len)
{
	vmmio_write(ctx, off, data, len);
}

/* Bits 0..2: kicks until one is refused, 7 = none is; bits 3..5: interrupt lines. */
static void refusals(struct vmachine *v, uint8_t how)
{
	v->kicks_left = (how & 7) == 7 ? -1 : how & 7;
	v->lines_left = (how >> 3 & 7) == 7 ? -1 : how >> 3 & 7;
}

static void begin(struct world *w, const uint8_t *how)
{
	static const struct bus_ops ops = { on_read, on_write };
	struct gmem_region r = { .gpa = 0, .size = RAM, .hva = ram };

	memset(w, 0, sizeof(*w));
	FUZZ_CHECK(gmem_add(&w->mem, &r) == 0);
	for (uint32_t i = 0; i < DEVICES; i++) {
		struct slot *s = &w->slot[i];

		vm_init(&s->v);
		refusals(&s->v, how[i]);
		fakedev_init(&s->dev, &w->mem);
		s->gpa = VIRTIO_MMIO_BASE + i * VIRTIO_MMIO_SIZE;
		FUZZ_CHECK(vmmio_new(&s->m, &s->dev.dev, &s->v.m, s->gpa, IRQ_VIRTIO_MMIO + i) ==
			   0);
		FUZZ_CHECK(bus_add(&w->mmio, s->gpa, VMMIO_SIZE, &ops, s->m) == 0);
		memcpy(s->config, s->dev.config, sizeof(s->config));
	}
}

/* Whatever the driver has left, nothing stays attached. */
static void end(struct world *w)
{
	for (int i = 0; i < DEVICES; i++) {
		struct slot *s = &w->slot[i];

		vmmio_free(s->m);
		FUZZ_CHECK(vm_kicks(&s->v) == 0 && vm_lines(&s->v) == 0);
		FUZZ_CHECK(!s->dev.dev.started && s->dev.starts >= s->dev.stops);
		vdev_fini(&s->dev.dev);
	}
}

/* --- what must hold after each access ------------------------------------------- */

static void check_attached(const struct slot *s)
{
	const struct vdev *d = &s->dev.dev;
	uint32_t kicks = vm_kicks(&s->v), lines = vm_lines(&s->v);

	FUZZ_CHECK(kicks == 0 || kicks == d->nqueues, "%u kicks", kicks);
	FUZZ_CHECK(lines == (d->calls_by_fn ? 0U : d->nqueues), "%u lines", lines);
	for (uint32_t i = 0; i < VM_SLOTS; i++) {
		const struct vm_kick *k = &s->v.kick[i];
		const struct vm_line *l = &s->v.line[i];

		if (k->used)
			FUZZ_CHECK(k->addr.gpa == s->gpa + VIRTIO_MMIO_QUEUE_NOTIFY &&
				   k->addr.match && k->addr.len == 4 && k->addr.data < d->nqueues &&
				   k->fd == d->queue[k->addr.data].kick_fd);
		if (l->used)
			FUZZ_CHECK(l->pin == IRQ_VIRTIO_MMIO + (s->gpa - VIRTIO_MMIO_BASE) /
								       VIRTIO_MMIO_SIZE);
	}
}

/* A started device has the queues it was started with; they lie in memory (H4). */
static void check_started(struct slot *s)
{
	const struct vdev *d = &s->dev.dev;

	if (d->status & VIRTIO_CONFIG_S_FEATURES_OK)
		FUZZ_CHECK((d->driver_features & ~d->features) == 0 &&
			   d->driver_features & 1ULL << VIRTIO_F_VERSION_1);
	if (!d->started)
		return;
	FUZZ_CHECK((d->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
		   (d->status & VIRTIO_CONFIG_S_FEATURES_OK));
	for (uint16_t q = 0; q < d->nqueues; q++) {
		const struct vq_config *c = &d->queue[q].latched;

		if (s->starts != s->dev.starts)
			memcpy(&s->latched[q], c, sizeof(*c));
		FUZZ_CHECK(memcmp(&s->latched[q], c, sizeof(*c)) == 0, "queue %u has moved", q);
		FUZZ_CHECK(!c->ready ||
			   (vq_config_check(c, d->mem) == 0 && c->size <= d->queue[q].size_max));
	}
	s->starts = s->dev.starts;
}

static void check(struct world *w)
{
	for (int i = 0; i < DEVICES; i++) {
		struct slot *s = &w->slot[i];

		check_attached(s);
		check_started(s);
		FUZZ_CHECK(s->v.pulses == s->pulses, "%u interrupts, not %u", s->v.pulses,
			   s->pulses);
		FUZZ_CHECK(memcmp(s->config, s->dev.config, sizeof(s->config)) == 0);
	}
}

/* --- accesses --------------------------------------------------------------------- */

/* All that a driver's writes can change. */
struct state {
	uint64_t features;
	uint8_t status;
	struct vq_config cfg[FAKE_QUEUES];
};

static struct state state_of(const struct vdev *d)
{
	struct state s;

	memset(&s, 0, sizeof(s));
	s.features = d->driver_features;
	s.status = d->status;
	for (uint16_t q = 0; q < d->nqueues; q++)
		memcpy(&s.cfg[q], &d->queue[q].cfg, sizeof(s.cfg[q]));
	return s;
}

static bool is_register(uint32_t off, uint32_t len)
{
	return off < VMMIO_CONFIG && off % 4 == 0 && len == 4;
}

/* An interrupt that the device asked for, by the transport's pulse. */
static void expect_interrupt(struct slot *s, uint32_t why)
{
	s->isr |= why;
	s->pulses++;
	fuzz_work.done++;
}

/* The registers whose contents the model knows. */
static void check_read(struct slot *s, uint32_t off, const uint8_t *data, uint32_t len)
{
	const struct vdev *d = &s->dev.dev;
	uint32_t value;

	if (off >= VMMIO_CONFIG) {
		for (uint32_t i = 0; i < len; i++) {
			uint32_t at = off - VMMIO_CONFIG + i;

			FUZZ_CHECK(data[i] == (at < FAKE_CONFIG_LEN ? s->config[at] : 0));
		}
		return;
	}
	if (!is_register(off, len)) {
		for (uint32_t i = 0; i < len; i++)
			FUZZ_CHECK(data[i] == 0, "%u bytes at %#x", len, off);
		fuzz_work.refused++;
		return;
	}
	value = get_le32(data);
	if (off == VIRTIO_MMIO_MAGIC_VALUE)
		FUZZ_CHECK(value == 0x74726976, "%#x", value);
	if (off == VIRTIO_MMIO_STATUS)
		FUZZ_CHECK(value == d->status, "%#x", value);
	if (off == VIRTIO_MMIO_INTERRUPT_STATUS) {
		bool by_kernel = !d->calls_by_fn && d->status & VIRTIO_CONFIG_S_DRIVER_OK;

		FUZZ_CHECK(value == (s->isr | (by_kernel ? VIRTIO_MMIO_INT_VRING : 0U)),
			   "%#x, not %#x", value, s->isr);
	}
	if (off == VIRTIO_MMIO_QUEUE_NUM_MAX)
		FUZZ_CHECK(value == 0 || value == 256 || value == 64 || value == 16, "%u", value);
}

static bool take_kick(const struct vdev *d, uint32_t q)
{
	eventfd_t n;

	return q < d->nqueues && eventfd_read(d->queue[q].kick_fd, &n) == 0;
}

static void notified(struct slot *s, const uint8_t *data, uint32_t len)
{
	const struct vdev *d = &s->dev.dev;
	uint32_t which = len == 4 ? get_le32(data) : UINT32_MAX;

	for (uint16_t q = 0; q < d->nqueues; q++)
		FUZZ_CHECK(take_kick(d, q) == (q == which), "a kick of queue %u", q);
	fuzz_work.done += which < d->nqueues;
}

/* The status moves forwards, or to 0; it starts a device, or breaks it. */
static void check_status(struct slot *s, const struct state *old, uint32_t value, uint32_t starts)
{
	const struct vdev *d = &s->dev.dev;
	uint32_t rising = d->status & ~old->status & 0xffU;

	if (value == 0) {
		FUZZ_CHECK(d->status == 0 && d->driver_features == 0 && !d->started);
		s->isr = 0;
		return;
	}
	FUZZ_CHECK((old->status & ~d->status) == 0, "%#x has become %#x", old->status, d->status);
	FUZZ_CHECK((rising & ~(value | VIRTIO_CONFIG_S_NEEDS_RESET)) == 0);
	FUZZ_CHECK(s->dev.starts - starts <= (rising & VIRTIO_CONFIG_S_DRIVER_OK ? 1U : 0U));
	fuzz_work.done += d->started && s->dev.starts > starts;
	if (rising & VIRTIO_CONFIG_S_NEEDS_RESET)
		FUZZ_CHECK(rising & VIRTIO_CONFIG_S_DRIVER_OK && !d->started);
	/* A start that fails is told to the driver, whether or not it was told before. */
	if (rising & VIRTIO_CONFIG_S_DRIVER_OK && !d->started) {
		FUZZ_CHECK(d->status & VIRTIO_CONFIG_S_NEEDS_RESET);
		expect_interrupt(s, VIRTIO_MMIO_INT_CONFIG);
		fuzz_work.refused++;
	}
}

static void written(struct slot *s, const struct state *old, uint32_t off, const uint8_t *data,
		    uint32_t len, uint32_t starts)
{
	struct state now = state_of(&s->dev.dev);
	bool reg = is_register(off, len);
	uint32_t value = len >= 4 ? get_le32(data) : 0;
	bool same = memcmp(&now, old, sizeof(now)) == 0;

	if (off == VIRTIO_MMIO_QUEUE_NOTIFY) {
		notified(s, data, len);
		FUZZ_CHECK(same, "by a notification");
	} else if (off >= VMMIO_CONFIG) {
		for (uint32_t i = 0; i < len && off - VMMIO_CONFIG + i < FAKE_CONFIG_LEN; i++)
			s->config[off - VMMIO_CONFIG + i] = data[i];
		FUZZ_CHECK(same, "by a write to the configuration");
	} else if (!reg) {
		FUZZ_CHECK(same, "by %u bytes at %#x", len, off);
		fuzz_work.refused++;
	} else if (off == VIRTIO_MMIO_STATUS && value <= 0xff) {
		check_status(s, old, value, starts);
	} else {
		FUZZ_CHECK(now.status == old->status, "by a write at %#x", off);
		if (off == VIRTIO_MMIO_INTERRUPT_ACK)
			s->isr &= ~value;
		/* Once the driver is there, nothing of it moves but by a reset. */
		if (old->status & VIRTIO_CONFIG_S_DRIVER_OK)
			FUZZ_CHECK(same, "by a write at %#x", off);
	}
}

/* @off: where the access falls in the device of @s, or beyond it. */
static void access_at(const struct bus *b, struct slot *s, uint64_t addr, bool read,
		      const uint8_t *value, uint32_t len)
{
	struct state old = state_of(&s->dev.dev);
	uint32_t starts = s->dev.starts;
	bool inside = range_ok(addr - s->gpa, len, VMMIO_SIZE);
	uint8_t data[16];

	if (!read) {
		bus_write(b, addr, value, len);
		if (inside)
			written(s, &old, (uint32_t)(addr - s->gpa), value, len, starts);
		return;
	}
	memset(data, 0x55, sizeof(data));
	bus_read(b, addr, data, len);
	for (uint32_t i = len; i < sizeof(data); i++)
		FUZZ_CHECK(data[i] == 0x55, "more than %u bytes were read", len);
	if (inside)
		check_read(s, (uint32_t)(addr - s->gpa), data, len);
}

static void event(struct slot *s, uint8_t what, uint16_t q)
{
	struct vdev *d = &s->dev.dev;

	q %= d->nqueues;
	switch (what % 6) {
	case 0: /* the device interrupts by the eventfd */
		eventfd_write(d->queue[q].call_fd, 1);
		s->pulses += vm_lines(&s->v) ? 1U : 0U;
		vm_pump(&s->v);
		break;
	case 1:
		vdev_config_changed(d);
		expect_interrupt(s, VIRTIO_MMIO_INT_CONFIG);
		break;
	case 2:
		vdev_needs_reset(d);
		if (d->status & VIRTIO_CONFIG_S_DRIVER_OK)
			expect_interrupt(s, VIRTIO_MMIO_INT_CONFIG);
		break;
	case 3:
		s->dev.start_error = q ? -EIO : 0;
		break;
	default:
		if (!d->calls_by_fn)
			break;
		vdev_queue_call(d, q);
		expect_interrupt(s, VIRTIO_MMIO_INT_VRING);
	}
}

static void one(struct world *w, const uint8_t *rec)
{
	struct slot *s = &w->slot[rec[0] >> 6 & 1];
	bool read = rec[0] & 8;
	uint32_t len = (1U << (rec[0] >> 4 & 3)) + (rec[0] >> 7);
	uint16_t off = get_le16(rec + 2);
	uint32_t number = get_le32(rec + 4);
	uint8_t value[16];

	put_le64(value, number | (uint64_t)number << 32);
	put_le64(value + 8, 0);
	switch ((enum access)(rec[0] & 3)) {
	case ACCESS_REGISTER:
		access_at(&w->mmio, s, s->gpa + off % VIRTIO_MMIO_SIZE, read, value, len);
		break;
	case ACCESS_ADDR:
		/* Only what is beside the devices: their registers have the access above. */
		if (number < VIRTIO_MMIO_BASE ||
		    number >= VIRTIO_MMIO_BASE + DEVICES * VIRTIO_MMIO_SIZE)
			access_at(&w->mmio, s, number, read, value, len);
		break;
	case ACCESS_NOTIFY:
		if (vm_guest_write(&s->v, s->gpa + off % VIRTIO_MMIO_SIZE, number, len))
			notified(s, value, len);
		break;
	case ACCESS_EVENT:
		event(s, rec[1], off);
		break;
	}
}

void fuzz_one(const uint8_t *data, size_t len)
{
	static struct world w;

	if (len < DEVICES)
		return;
	begin(&w, data);
	check(&w);
	for (data += DEVICES, len -= DEVICES; len >= RECORD; data += RECORD, len -= RECORD) {
		one(&w, data);
		check(&w);
	}
	end(&w);
}
