/* SPDX-License-Identifier: MIT */
/*
 * A guest that writes anything to the registers of two virtio-pci functions.
 *
 * The input is a list of accesses of RECORD bytes each:
 *
 *	byte 0	bits 0..2: what (enum access); bit 3: a read; bits 4, 5: width 1 << n;
 *		bit 6: the second function
 *	1	0 or not: what ACCESS_EVENT does, see event()
 *	2, 3	offset
 *	4..7	value; for ACCESS_ADDR the address
 *
 * In place of KVM is a machine that keeps what is attached and ends the program when
 * something is attached twice or detached in vain (tests/unit/vmachine.h). After each
 * access the attachments follow from the registers: kicks are where the BAR decodes now,
 * messages are those of live vectors with what the table says, and a running device has
 * the queues that the driver was allowed to describe.
 */
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>

#include "src/base/bytes.h"
#include "src/vmm/layout.h"
#include "src/vmm/pci_bus.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/vfakedev.h"
#include "tests/unit/vmachine.h"
#include "virtio/pci_priv.h"

#define RECORD	  8
#define FUNCTIONS 2
#define RAM	  (1ULL << 20)

static void setup(void);

const struct fuzz_target fuzz_target = {
	.name = "pci",
	.done = "starts and attachments",
	.refused = "refusals",
	.floor = 20,
	.alloc_one = 65536,
	.alloc_all = 65536,
	.setup = setup,
};

enum access {
	ACCESS_ECAM,   /* configuration space by memory */
	ACCESS_PORTS,  /* by 0xcf8 and 0xcfc */
	ACCESS_BAR,    /* the function's registers, wherever they decode */
	ACCESS_ADDR,   /* any address */
	ACCESS_NOTIFY, /* what the kernel would take as a kick */
	ACCESS_EVENT,  /* something happens on our side */
	ACCESS_PORT,   /* any port */
};

/**
 * struct world - all of it, for one input
 * @v:	one machine for each function, so that they can be told apart
 */
struct world {
	struct pci_bus pci;
	struct bus pio, mmio;
	struct gmem mem;
	struct fakedev dev[FUNCTIONS];
	struct vmachine v[FUNCTIONS];
	struct vpci *p[FUNCTIONS];
	uint32_t resets;
};

static uint8_t *ram;

static void on_reset(void *ctx)
{
	((struct world *)ctx)->resets++;
}

static void begin(struct world *w)
{
	struct gmem_region r = { .gpa = 0, .size = RAM, .hva = ram };

	*w = (struct world){ .resets = 0 };
	FUZZ_CHECK(gmem_add(&w->mem, &r) == 0);
	pci_bus_init(&w->pci, on_reset, w);
	FUZZ_CHECK(pci_bus_attach(&w->pci, &w->pio, &w->mmio) == 0);
	for (int i = 0; i < FUNCTIONS; i++) {
		vm_init(&w->v[i]);
		fakedev_init(&w->dev[i], &w->mem);
		FUZZ_CHECK(vpci_new(&w->p[i], &w->dev[i].dev, &w->v[i].m) == 0);
		FUZZ_CHECK(pci_bus_add(&w->pci, vpci_func(w->p[i])) == i + 1);
	}
}

/* Whatever the driver has left, nothing stays attached. */
static void end(struct world *w)
{
	for (int i = 0; i < FUNCTIONS; i++) {
		vpci_free(w->p[i]);
		FUZZ_CHECK(vm_kicks(&w->v[i]) == 0 && vm_msis(&w->v[i]) == 0);
		FUZZ_CHECK(!w->dev[i].dev.started);
		vdev_fini(&w->dev[i].dev);
	}
}

/* --- what must hold after each access ------------------------------------------- */

/* Kicks: all queues' at the BAR's present place, or none. */
static void check_kicks(const struct vpci *p, const struct vmachine *v)
{
	uint64_t base = p->func.bar_base;
	uint32_t n = vm_kicks(v);

	FUZZ_CHECK(n == 0 || (n == p->dev->nqueues && base), "%u kicks at %#llx", n,
		   (unsigned long long)base);
	for (uint32_t i = 0; i < VM_SLOTS; i++) {
		const struct vm_kick *k = &v->kick[i];
		uint64_t q = (k->addr.gpa - base - VPCI_BAR_NOTIFY) / VPCI_NOTIFY_MUL;

		if (!k->used)
			continue;
		FUZZ_CHECK(k->addr.gpa == base + VPCI_BAR_NOTIFY + q * VPCI_NOTIFY_MUL, "%#llx",
			   (unsigned long long)k->addr.gpa);
		FUZZ_CHECK(q < p->dev->nqueues && k->fd == p->dev->queue[q].kick_fd);
	}
}

/* Where the BAR decodes is what the registers say. */
static void check_bar(struct vpci *p)
{
	uint64_t base = p->func.bar_base;
	uint32_t command = vpci_config_read(&p->func, PCI_COMMAND, 2);
	uint32_t bar = vpci_config_read(&p->func, PCI_BASE_ADDRESS_0, 4);

	FUZZ_CHECK((bar & (VPCI_BAR_SIZE - 1)) == 0, "%#x", bar);
	FUZZ_CHECK(base == 0 || (base == bar && (command & PCI_COMMAND_MEMORY)), "%#llx, %#x",
		   (unsigned long long)base, bar);
}

/* The message that @s stands for, if it is to be sent at all. */
static bool is_live(const struct msix *x, const struct msix_source *s)
{
	return x->enabled && !x->masked && s->vector < x->nvectors &&
	       !(get_le32(x->table + s->vector * MSIX_ENTRY_LEN + 12) & 1);
}

/* Messages: for each eventfd of a live source one, and it says what the table says. */
static void check_vectors(struct vpci *p, const struct vmachine *v)
{
	const struct msix *x = &p->msix;
	uint32_t attached = 0;

	for (uint16_t i = 0; i < x->nsources; i++) {
		const struct msix_source *s = &x->source[i];
		const struct vm_msi *m = &v->msi[s->route % VM_SLOTS];
		const uint8_t *e;

		FUZZ_CHECK(s->vector == MSIX_NO_VECTOR || s->vector < x->nvectors, "%u", s->vector);
		FUZZ_CHECK(!s->attached || (is_live(x, s) && s->fd >= 0), "a stale route");
		FUZZ_CHECK(s->attached || !is_live(x, s) || s->fd < 0 || x->direct,
			   "a live source without a route");
		if (!s->attached)
			continue;
		attached++;
		e = x->table + s->vector * MSIX_ENTRY_LEN;
		FUZZ_CHECK(m->used && m->fd == s->fd && m->addr == get_le64(e) &&
				   m->data == get_le32(e + 8),
			   "another message than the table's");
	}
	FUZZ_CHECK(attached == vm_msis(v), "%u of %u routes are known", attached, vm_msis(v));
}

/* A started device has queues that lie in memory, and was negotiated with (H4). */
static void check_device(struct fakedev *f)
{
	const struct vdev *d = &f->dev;

	if (d->status & VIRTIO_CONFIG_S_FEATURES_OK)
		FUZZ_CHECK((d->driver_features & ~d->features) == 0);
	if (!d->started)
		return;
	FUZZ_CHECK((d->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
		   (d->status & VIRTIO_CONFIG_S_FEATURES_OK));
	for (uint16_t q = 0; q < d->nqueues; q++)
		if (d->queue[q].latched.ready)
			FUZZ_CHECK(vq_config_check(&d->queue[q].latched, d->mem) == 0 &&
				   d->queue[q].latched.size <= d->queue[q].size_max);
}

static void check(struct world *w)
{
	for (int i = 0; i < FUNCTIONS; i++) {
		check_bar(w->p[i]);
		check_kicks(w->p[i], &w->v[i]);
		check_vectors(w->p[i], &w->v[i]);
		check_device(&w->dev[i]);
	}
}

/* --- accesses --------------------------------------------------------------------- */

/* Where RAM may be nothing else answers, wherever the guest has put its BARs. */
static void check_ram(const struct bus *b, uint64_t addr)
{
	uint64_t v = 0;

	bus_read(b, addr, &v, sizeof(v));
	FUZZ_CHECK(addr >= RAM_LOW_MAX || v == UINT64_MAX, "at %#llx", (unsigned long long)addr);
}

static void by_bus(const struct bus *b, bool read, uint64_t addr, const void *value, uint32_t len)
{
	uint8_t data[16];

	if (!read) {
		bus_write(b, addr, value, len);
		return;
	}
	memset(data, 0x55, sizeof(data));
	bus_read(b, addr, data, len);
	for (uint32_t i = len; i < sizeof(data); i++)
		FUZZ_CHECK(data[i] == 0x55, "more than %u bytes were read", len);
}

static void event(struct world *w, int f, uint8_t what, uint16_t q)
{
	struct vdev *d = &w->dev[f].dev;

	q %= d->nqueues;
	switch (what % 8) {
	case 0:
		eventfd_write(d->queue[q].call_fd, 1);
		break;
	case 1:
		vdev_config_changed(d);
		break;
	case 2:
		vm_pump(&w->v[f]);
		break;
	case 3:
		vdev_needs_reset(d);
		break;
	case 4:
		w->v[f].kicks_left = q;
		break;
	case 5:
		w->v[f].msis_left = q;
		break;
	case 6:
		w->dev[f].start_error = q ? -EIO : 0;
		break;
	default:
		if (d->calls_by_fn)
			vdev_queue_call(d, q);
	}
}

static void one(struct world *w, const uint8_t *rec)
{
	int f = rec[0] >> 6 & 1;
	bool read = rec[0] & 8;
	uint32_t len = 1U << (rec[0] >> 4 & 3);
	uint16_t off = get_le16(rec + 2);
	uint64_t value = get_le32(rec + 4) | (uint64_t)get_le32(rec + 4) << 32;
	uint64_t bar = w->p[f]->func.bar_base;
	uint32_t addr = 0x80000000U | (uint32_t)(f + 1) << 11 | (off & 0xfcU);

	switch ((enum access)(rec[0] & 7)) {
	case ACCESS_ECAM:
		by_bus(&w->mmio, read, ECAM_BASE + ((uint64_t)(f + 1) << 15) + (off & 0xfffU),
		       &value, len);
		break;
	case ACCESS_PORTS:
		bus_write(&w->pio, PORT_PCI_CONFIG_ADDR, &addr, 4);
		by_bus(&w->pio, read, PORT_PCI_CONFIG_DATA + (off & 3U), &value, MIN(len, 4U));
		break;
	case ACCESS_BAR:
		fuzz_work.refused += !bar;
		by_bus(&w->mmio, read, (bar ? bar : PCI_WINDOW_BASE) + off, &value, len);
		break;
	case ACCESS_ADDR:
		check_ram(&w->mmio, get_le32(rec + 4));
		by_bus(&w->mmio, read, get_le32(rec + 4) + (uint64_t)off, &value, len);
		break;
	case ACCESS_NOTIFY:
		vm_guest_write(&w->v[f], bar + VPCI_BAR_NOTIFY + off, value, len);
		break;
	case ACCESS_EVENT:
		event(w, f, rec[1], off);
		break;
	case ACCESS_PORT:
		by_bus(&w->pio, read, off, &value, MIN(len, 4U));
		break;
	}
}

static void setup(void)
{
	ram = calloc(1, RAM);
	FUZZ_CHECK(ram, "out of memory");
}

void fuzz_one(const uint8_t *data, size_t len)
{
	struct world *w = malloc(sizeof(*w));
	uint32_t kicks = 0, vectors = 0;

	FUZZ_CHECK(w, "out of memory");
	begin(w);
	check(w);
	for (; len >= RECORD; data += RECORD, len -= RECORD) {
		one(w, data);
		check(w);
		kicks = MAX(kicks, vm_kicks(&w->v[0]) + vm_kicks(&w->v[1]));
		vectors = MAX(vectors, vm_msis(&w->v[0]) + vm_msis(&w->v[1]));
	}
	for (int i = 0; i < FUNCTIONS; i++) {
		fuzz_work.done += w->dev[i].starts;
		fuzz_work.refused += w->dev[i].dev.status & VIRTIO_CONFIG_S_NEEDS_RESET ? 1 : 0;
	}
	fuzz_work.done += kicks + vectors;
	end(w);
	free(w);
}

/* What was made in setup(). */
__attribute__((destructor)) static void leave(void)
{
	free(ram);
}
