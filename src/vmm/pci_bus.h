/* SPDX-License-Identifier: MIT */
/*
 * PCI bus 0: configuration space by ECAM and by ports 0xcf8/0xcfc, a host bridge
 * at 00:00.0, and the memory window in which the functions' BARs lie.
 *
 * Functions are added before the first vCPU runs. Configuration accesses go to
 * the function, which keeps its registers; the owner of a window address is
 * found by reading each function's bar_base atomic: no lock (H19).
 */
#ifndef SLUICE_VMM_PCI_BUS_H
#define SLUICE_VMM_PCI_BUS_H

#include <stdatomic.h>
#include <stdint.h>

#include "src/vmm/bus.h"
#include "virtio/pci_func.h"

#define PCI_DEVICES 32

/**
 * struct pci_bus - constant once vCPUs run, but for @config_addr
 * @func:	by device number; [0] is the host bridge
 * @next_bar:	first free address of the window
 * @config_addr:	port 0xcf8; the guest serialises its pair of accesses
 * @reset, @reset_ctx:	what port 0xcf9 does, which lies amid the others; vCPU threads
 */
struct pci_bus {
	struct pci_func bridge;
	struct pci_func *func[PCI_DEVICES];
	uint64_t next_bar;
	_Atomic uint32_t config_addr;
	void (*reset)(void *ctx);
	void *reset_ctx;
};

/* pci_bus.c */
void pci_bus_init(struct pci_bus *p, void (*reset)(void *ctx), void *reset_ctx);
int pci_bus_attach(struct pci_bus *p, struct bus *pio, struct bus *mmio);
int pci_bus_add(struct pci_bus *p, struct pci_func *f);

#endif
