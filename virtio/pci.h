/* SPDX-License-Identifier: MIT */
/*
 * virtio over PCI, modern only (virtio 1.2, section 4.1), with MSI-X and no
 * INTx: the interrupt pin reads 0, so a driver without MSI-X has to poll.
 *
 * The bus (src/vmm) takes vpci_func() and calls its ops; it needs no more.
 */
#ifndef SLUICE_VIRTIO_PCI_H
#define SLUICE_VIRTIO_PCI_H

#include "virtio/device.h"
#include "virtio/machine.h"
#include "virtio/pci_func.h"

/* The one BAR: BAR 0, 32-bit, not prefetchable. A page for each structure. */
#define VPCI_BAR_SIZE	 0x8000U
#define VPCI_BAR_COMMON	 0x0000U
#define VPCI_BAR_ISR	 0x1000U
#define VPCI_BAR_DEVICE	 0x2000U
#define VPCI_BAR_NOTIFY	 0x3000U
#define VPCI_BAR_MSIX	 0x4000U
#define VPCI_BAR_PBA	 0x5000U
#define VPCI_REGION_SIZE 0x1000U

/* Queue q is notified by any write to VPCI_BAR_NOTIFY + q * VPCI_NOTIFY_MUL. */
#define VPCI_NOTIFY_MUL 4UL

struct vpci;

/* pci.c: the registers of BAR 0, and life */
int vpci_new(struct vpci **out, struct vdev *dev, const struct machine *machine);
struct pci_func *vpci_func(struct vpci *p);
void vpci_free(struct vpci *p);

#endif
