/* SPDX-License-Identifier: MIT */
/*
 * Inside virtio-pci. pci.c has BAR 0 and the function's life, pci_config.c the
 * configuration space. Theory: pci.c.
 */
#ifndef SLUICE_VIRTIO_PCI_PRIV_H
#define SLUICE_VIRTIO_PCI_PRIV_H

#include "virtio/msix.h"
#include "virtio/pci.h"

#define VPCI_CONFIG_LEN 256U

/* As of VERSION_1 without NOTIF_CONFIG_DATA and RING_RESET, which we do not offer. */
#define VPCI_COMMON_LEN 56U

/**
 * struct vpci - one function; all but @func.bar_base and @isr under @dev->lock
 * @config:	configuration space as the driver reads it
 * @writable:	which of its bits the driver may change
 * @isr:	ISR status; bit 1 only, as no INTx tells of queues
 * @kicks_at:	where the kick eventfds are attached, 0 = they are not
 */
struct vpci {
	struct pci_func func;
	struct vdev *dev;
	const struct machine *machine;
	struct msix msix;
	uint8_t config[VPCI_CONFIG_LEN];
	uint8_t writable[VPCI_CONFIG_LEN];
	uint32_t device_feature_select;
	uint32_t driver_feature_select;
	uint16_t queue_select;
	_Atomic uint8_t isr;
	uint64_t kicks_at;
};

static inline struct vpci *vpci_of(struct pci_func *f)
{
	return container_of(f, struct vpci, func);
}

/* pci.c */
void vpci_bar_read(struct pci_func *f, uint64_t off, void *data, uint32_t len);
void vpci_bar_write(struct pci_func *f, uint64_t off, const void *data, uint32_t len);
void vpci_bar_move(struct vpci *p, uint64_t base);
void vpci_follow_msix(struct vpci *p);

/* pci_config.c */
void vpci_config_init(struct vpci *p);
uint32_t vpci_config_read(struct pci_func *f, uint32_t off, uint32_t len);
void vpci_config_write(struct pci_func *f, uint32_t off, uint32_t value, uint32_t len);

#endif
