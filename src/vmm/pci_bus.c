/* SPDX-License-Identifier: MIT */
/*
 * PCI bus 0; see the header for who may do what.
 *
 * BARs are placed here before the guest starts, because a kernel that finds
 * valid addresses keeps them and we need no resource allocator in ACPI. A guest
 * may still move them: within the window they go on working, outside of it the
 * function is unreachable, which hurts nobody else.
 */
#include "src/vmm/pci_bus.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "src/vmm/layout.h"

#define CONFIG_SPACE 256U

/* ECAM address bits (PCI Express base specification, section 7.2.2). */
#define ECAM_DEVICE(off) (((off) >> 15) & 31)
#define ECAM_FN(off)	 (((off) >> 12) & 7)
#define ECAM_REG(off)	 ((off)&0xfff)

/* CONFIG_ADDRESS bits (PCI local bus specification 3.0, section 3.2.2.3.2). */
#define CF8_ENABLE	  0x80000000U
#define CF8_BUS(addr)	  (((addr) >> 16) & 0xff)
#define CF8_DEVICE(addr)  (((addr) >> 11) & 31)
#define CF8_FN(addr)	  (((addr) >> 8) & 7)
#define CF8_REGISTER(adr) ((adr)&0xfc)

/* Reset control register at 0xcf9 (Intel ICH): the bit that starts the reset. */
#define CF9_RESET_CPU 0x04

/* A host bridge that generic drivers know and leave alone: Red Hat's PCIe host. */
#define BRIDGE_VENDOR 0x1b36
#define BRIDGE_DEVICE 0x0008

static uint32_t bridge_config_read(struct pci_func *f, uint32_t off, uint32_t len)
{
	uint8_t cfg[CONFIG_SPACE] = { 0 };
	uint32_t v = 0;

	(void)f;
	put_le16(cfg + PCI_VENDOR_ID, BRIDGE_VENDOR);
	put_le16(cfg + PCI_DEVICE_ID, BRIDGE_DEVICE);
	put_le16(cfg + PCI_CLASS_DEVICE, 0x0600); /* bridge, host */
	memcpy(&v, cfg + off, len);
	return v;
}

static void bridge_config_write(struct pci_func *f, uint32_t off, uint32_t value, uint32_t len)
{
	(void)f;
	(void)off;
	(void)value;
	(void)len;
}

static const struct pci_func_ops bridge_ops = {
	.config_read = bridge_config_read,
	.config_write = bridge_config_write,
};

/* The function behind a configuration access, or NULL where none answers. */
static struct pci_func *config_target(struct pci_bus *p, uint64_t device, uint64_t fn, uint64_t reg,
				      uint32_t len)
{
	bool aligned = is_power_of_two(len) && len <= 4 && (reg & (len - 1)) == 0;

	if (fn != 0 || !aligned || reg >= CONFIG_SPACE)
		return NULL;
	return p->func[device];
}

static void config_read(struct pci_func *f, uint64_t reg, void *data, uint32_t len)
{
	uint32_t v = f ? f->ops->config_read(f, (uint32_t)reg, len) : UINT32_MAX;

	memset(data, 0xff, len);
	memcpy(data, &v, MIN(len, (uint32_t)sizeof(v)));
}

static void config_write(struct pci_func *f, uint64_t reg, const void *data, uint32_t len)
{
	uint32_t v = 0;

	if (!f)
		return;
	memcpy(&v, data, len);
	f->ops->config_write(f, (uint32_t)reg, v, len);
}

static void ecam_read(void *ctx, uint64_t off, void *data, uint32_t len)
{
	struct pci_func *f = config_target(ctx, ECAM_DEVICE(off), ECAM_FN(off), ECAM_REG(off), len);

	config_read(f, ECAM_REG(off), data, len);
}

static void ecam_write(void *ctx, uint64_t off, const void *data, uint32_t len)
{
	struct pci_func *f = config_target(ctx, ECAM_DEVICE(off), ECAM_FN(off), ECAM_REG(off), len);

	config_write(f, ECAM_REG(off), data, len);
}

static const struct bus_ops ecam_ops = { .read = ecam_read, .write = ecam_write };

/* Port 0xcf8 is a register only to aligned 32-bit accesses. */
static void cf8_read(void *ctx, uint64_t off, void *data, uint32_t len)
{
	struct pci_bus *p = ctx;

	memset(data, 0xff, len);
	if (off == 0 && len == 4)
		put_le32(data, atomic_load_explicit(&p->config_addr, memory_order_relaxed));
}

static void cf8_write(void *ctx, uint64_t off, const void *data, uint32_t len)
{
	struct pci_bus *p = ctx;

	if (off == 0 && len == 4)
		atomic_store_explicit(&p->config_addr, get_le32(data), memory_order_relaxed);
	if (off == PORT_PCI_RESET - PORT_PCI_CONFIG_ADDR && len == 1 &&
	    (*(const uint8_t *)data & CF9_RESET_CPU) && p->reset)
		p->reset(p->reset_ctx);
}

static const struct bus_ops cf8_ops = { .read = cf8_read, .write = cf8_write };

static struct pci_func *cfc_target(struct pci_bus *p, uint64_t off, uint32_t len, uint64_t *reg)
{
	uint32_t addr = atomic_load_explicit(&p->config_addr, memory_order_relaxed);

	*reg = CF8_REGISTER(addr) + off;
	if (!(addr & CF8_ENABLE) || CF8_BUS(addr) != 0)
		return NULL;
	return config_target(p, CF8_DEVICE(addr), CF8_FN(addr), *reg, len);
}

static void cfc_read(void *ctx, uint64_t off, void *data, uint32_t len)
{
	uint64_t reg;
	struct pci_func *f = cfc_target(ctx, off, len, &reg);

	config_read(f, reg, data, len);
}

static void cfc_write(void *ctx, uint64_t off, const void *data, uint32_t len)
{
	uint64_t reg;
	struct pci_func *f = cfc_target(ctx, off, len, &reg);

	config_write(f, reg, data, len);
}

static const struct bus_ops cfc_ops = { .read = cfc_read, .write = cfc_write };

/* The function whose BAR holds all of [addr, addr + len), and the offset in it. */
static struct pci_func *window_target(struct pci_bus *p, uint64_t addr, uint32_t len, uint64_t *off)
{
	for (unsigned i = 0; i < PCI_DEVICES; i++) {
		struct pci_func *f = p->func[i];
		uint64_t base;

		if (!f || f->bar_size == 0)
			continue;
		base = atomic_load_explicit(&f->bar_base, memory_order_acquire);
		if (base == 0 || addr < base || !range_ok(addr - base, len, f->bar_size))
			continue;
		*off = addr - base;
		return f;
	}
	return NULL;
}

static void window_read(void *ctx, uint64_t off, void *data, uint32_t len)
{
	uint64_t bar_off;
	struct pci_func *f = window_target(ctx, PCI_WINDOW_BASE + off, len, &bar_off);

	if (f)
		f->ops->bar_read(f, bar_off, data, len);
	else
		memset(data, 0xff, len);
}

static void window_write(void *ctx, uint64_t off, const void *data, uint32_t len)
{
	uint64_t bar_off;
	struct pci_func *f = window_target(ctx, PCI_WINDOW_BASE + off, len, &bar_off);

	if (f)
		f->ops->bar_write(f, bar_off, data, len);
}

static const struct bus_ops window_ops = { .read = window_read, .write = window_write };

/**
 * pci_bus_init() - a bus with its host bridge and nothing else
 * @reset, @reset_ctx:	called on vCPU threads when the guest resets by port 0xcf9
 *
 * Main thread.
 */
void pci_bus_init(struct pci_bus *p, void (*reset)(void *ctx), void *reset_ctx)
{
	*p = (struct pci_bus){
		.bridge = { .ops = &bridge_ops },
		.next_bar = PCI_WINDOW_BASE,
		.reset = reset,
		.reset_ctx = reset_ctx,
	};
	p->func[0] = &p->bridge;
}

/**
 * pci_bus_attach() - claim the ports, the ECAM region and the memory window
 *
 * Main thread, before vCPUs run. Return: 0 or what bus_add() says
 */
int pci_bus_attach(struct pci_bus *p, struct bus *pio, struct bus *mmio)
{
	int err = bus_add(pio, PORT_PCI_CONFIG_ADDR, 4, &cf8_ops, p);

	if (!err)
		err = bus_add(pio, PORT_PCI_CONFIG_DATA, 4, &cfc_ops, p);
	if (!err)
		err = bus_add(mmio, ECAM_BASE, ECAM_SIZE, &ecam_ops, p);
	if (!err)
		err = bus_add(mmio, PCI_WINDOW_BASE, PCI_WINDOW_SIZE, &window_ops, p);
	return err;
}

/**
 * pci_bus_add() - put a function at the next free device number
 * @f:	stays its owner's, who takes it off the bus by ending the VM
 *
 * Writes an address of the window into BAR 0, a 32-bit memory BAR if @f has one
 * at all; decoding stays off until the driver turns it on. Main thread, before
 * vCPUs run.
 *
 * Return: the device number, or -ENOSPC
 */
int pci_bus_add(struct pci_bus *p, struct pci_func *f)
{
	/* A page at least, so that no two functions share one. */
	uint64_t size = MAX(f->bar_size, (uint64_t)4096);
	uint64_t bar = ALIGN_UP(p->next_bar, size);

	for (int i = 1; i < PCI_DEVICES; i++) {
		if (p->func[i])
			continue;
		if (f->bar_size) {
			if (!range_ok(bar - PCI_WINDOW_BASE, size, PCI_WINDOW_SIZE))
				return -ENOSPC;
			f->ops->config_write(f, PCI_BASE_ADDRESS_0, (uint32_t)bar, 4);
			p->next_bar = bar + size;
		}
		p->func[i] = f;
		return i;
	}
	return -ENOSPC;
}
