/* SPDX-License-Identifier: MIT */
/*
 * A PCI function as its bus sees it. The bus (src/vmm/pci_bus.c) decodes
 * configuration accesses and finds the function behind an MMIO address; the
 * function (virtio/pci.c) keeps its own registers.
 *
 * A function has at most one memory BAR. Its current place is one atomic, so
 * the bus finds the owner of an address without a device's lock (H19).
 */
#ifndef SLUICE_VIRTIO_PCI_FUNC_H
#define SLUICE_VIRTIO_PCI_FUNC_H

#include <stdatomic.h>
#include <stdint.h>

struct pci_func;

struct pci_func_ops {
	/* @len 1, 2 or 4, naturally aligned, within 256 bytes. vCPU threads. */
	uint32_t (*config_read)(struct pci_func *f, uint32_t off, uint32_t len);
	void (*config_write)(struct pci_func *f, uint32_t off, uint32_t value, uint32_t len);
	/* @off inside the BAR, @len 1, 2, 4 or 8; any alignment the guest likes. */
	void (*bar_read)(struct pci_func *f, uint64_t off, void *data, uint32_t len);
	void (*bar_write)(struct pci_func *f, uint64_t off, const void *data, uint32_t len);
};

/**
 * struct pci_func - embedded in the device's own struct
 * @bar_base:	where the BAR decodes now; 0 = memory decoding is off
 * @bar_size:	a power of two, 0 = no BAR; constant
 */
struct pci_func {
	const struct pci_func_ops *ops;
	_Atomic uint64_t bar_base;
	uint64_t bar_size;
};

#endif
