/* SPDX-License-Identifier: MIT */
/*
 * virtio-pci: configuration space and its capabilities. Theory: pci.c.
 *
 * Two arrays hold it all: what the driver reads, and which bits it may write.
 * A write merges under the mask; what it means is derived from the result.
 */
#include <linux/pci_regs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>
#include <string.h>

#include "src/base/bytes.h"
#include "virtio/pci_priv.h"

/* Virtio 1.2, 4.1.2: vendor, and device ids of modern-only functions. */
#define VENDOR_ID	0x1af4
#define DEVICE_ID_BASE	0x1040
#define MODERN_REVISION 1

/* PCI Code and ID Assignment: base class, sub-class, interface. */
#define CLASS_NETWORK 0x020000
#define CLASS_CONSOLE 0x078000
#define CLASS_OTHER   0xff0000

/* Capability list: MSI-X, then the five of virtio 1.2, 4.1.4. */
#define CAP_MSIX       0x40
#define CAP_COMMON     0x4c
#define CAP_NOTIFY     0x5c
#define CAP_ISR	       0x70
#define CAP_DEVICE     0x80
#define CAP_WINDOW     0x90
#define CAP_WINDOW_BAR (CAP_WINDOW + 4)
#define CAP_WINDOW_OFF (CAP_WINDOW + 8)
#define CAP_WINDOW_LEN (CAP_WINDOW + 12)
#define WINDOW_DATA    (CAP_WINDOW + 16)

static_assert(sizeof(struct virtio_pci_cap) == 16, "virtio 1.2, 4.1.4");

static bool overlaps(uint32_t off, uint32_t len, uint32_t field, uint32_t field_len)
{
	return off < field + field_len && field < off + len;
}

/*
 * The window capability (4.1.4.9) reaches BAR 0 through configuration space,
 * for firmware that maps no memory. Where does it point? Under the lock.
 */
static bool window_target(const struct vpci *p, uint32_t *off, uint32_t *len)
{
	*off = get_le32(p->config + CAP_WINDOW_OFF);
	*len = get_le32(p->config + CAP_WINDOW_LEN);
	return p->config[CAP_WINDOW_BAR] == 0 && (*len == 1 || *len == 2 || *len == 4) &&
	       *off % *len == 0 && range_ok(*off, *len, VPCI_BAR_SIZE);
}

/**
 * vpci_config_read() - the driver reads configuration space; struct pci_func_ops
 */
uint32_t vpci_config_read(struct pci_func *f, uint32_t off, uint32_t len)
{
	struct vpci *p = vpci_of(f);
	uint32_t value = 0, target, width;
	uint8_t data[4] = { 0 };
	bool window;

	if (len > sizeof(value) || !range_ok(off, len, VPCI_CONFIG_LEN))
		return 0xffffffffU;
	pthread_mutex_lock(&p->dev->lock);
	window = overlaps(off, len, WINDOW_DATA, 4) && window_target(p, &target, &width);
	pthread_mutex_unlock(&p->dev->lock);
	if (window)
		vpci_bar_read(f, target, data, width);
	pthread_mutex_lock(&p->dev->lock);
	if (window)
		memcpy(p->config + WINDOW_DATA, data, sizeof(data));
	memcpy(&value, p->config + off, len);
	pthread_mutex_unlock(&p->dev->lock);
	return value;
}

/* Where the registers say that BAR 0 decodes. All ones is the driver sizing it. */
static uint64_t bar_wanted(const struct vpci *p)
{
	uint32_t base = get_le32(p->config + PCI_BASE_ADDRESS_0) & ~(VPCI_BAR_SIZE - 1);

	if (!(p->config[PCI_COMMAND] & PCI_COMMAND_MEMORY) || base == ~(VPCI_BAR_SIZE - 1))
		return 0;
	return base;
}

/**
 * vpci_config_write() - the driver writes configuration space; struct pci_func_ops
 */
void vpci_config_write(struct pci_func *f, uint32_t off, uint32_t value, uint32_t len)
{
	struct vpci *p = vpci_of(f);
	uint32_t target, width;
	uint8_t data[4];
	bool window;

	if (len > sizeof(value) || !range_ok(off, len, VPCI_CONFIG_LEN))
		return;
	pthread_mutex_lock(&p->dev->lock);
	for (uint32_t i = 0; i < len; i++) {
		uint8_t mask = p->writable[off + i], byte = (uint8_t)(value >> (8 * i));

		p->config[off + i] = (uint8_t)((p->config[off + i] & ~mask) | (byte & mask));
	}
	vpci_bar_move(p, bar_wanted(p));
	if (overlaps(off, len, CAP_MSIX + PCI_MSIX_FLAGS, 2)) {
		uint16_t flags = get_le16(p->config + CAP_MSIX + PCI_MSIX_FLAGS);

		msix_set_control(&p->msix, flags & PCI_MSIX_FLAGS_ENABLE,
				 flags & PCI_MSIX_FLAGS_MASKALL);
		vpci_follow_msix(p);
	}
	window = overlaps(off, len, WINDOW_DATA, 4) && window_target(p, &target, &width);
	memcpy(data, p->config + WINDOW_DATA, sizeof(data));
	pthread_mutex_unlock(&p->dev->lock);
	if (window)
		vpci_bar_write(f, target, data, width);
}

static void put_cap(struct vpci *p, uint8_t at, uint8_t next, uint8_t len, uint8_t type,
		    uint32_t region_len)
{
	static const uint32_t offset[] = {
		[VIRTIO_PCI_CAP_COMMON_CFG] = VPCI_BAR_COMMON,
		[VIRTIO_PCI_CAP_NOTIFY_CFG] = VPCI_BAR_NOTIFY,
		[VIRTIO_PCI_CAP_ISR_CFG] = VPCI_BAR_ISR,
		[VIRTIO_PCI_CAP_DEVICE_CFG] = VPCI_BAR_DEVICE,
		[VIRTIO_PCI_CAP_PCI_CFG] = 0,
	};
	uint8_t *c = p->config + at;

	c[offsetof(struct virtio_pci_cap, cap_vndr)] = PCI_CAP_ID_VNDR;
	c[offsetof(struct virtio_pci_cap, cap_next)] = next;
	c[offsetof(struct virtio_pci_cap, cap_len)] = len;
	c[offsetof(struct virtio_pci_cap, cfg_type)] = type;
	put_le32(c + offsetof(struct virtio_pci_cap, offset), offset[type]);
	put_le32(c + offsetof(struct virtio_pci_cap, length), region_len);
}

static void config_caps(struct vpci *p)
{
	uint8_t *c = p->config;

	c[CAP_MSIX] = PCI_CAP_ID_MSIX;
	c[CAP_MSIX + PCI_CAP_LIST_NEXT] = CAP_COMMON;
	put_le16(c + CAP_MSIX + PCI_MSIX_FLAGS, (uint16_t)(p->msix.nvectors - 1));
	put_le32(c + CAP_MSIX + PCI_MSIX_TABLE, VPCI_BAR_MSIX);
	put_le32(c + CAP_MSIX + PCI_MSIX_PBA, VPCI_BAR_PBA);
	put_le16(p->writable + CAP_MSIX + PCI_MSIX_FLAGS,
		 PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);

	put_cap(p, CAP_COMMON, CAP_NOTIFY, 16, VIRTIO_PCI_CAP_COMMON_CFG, VPCI_COMMON_LEN);
	put_cap(p, CAP_NOTIFY, CAP_ISR, 20, VIRTIO_PCI_CAP_NOTIFY_CFG,
		p->dev->nqueues * VPCI_NOTIFY_MUL);
	put_le32(c + CAP_NOTIFY + sizeof(struct virtio_pci_cap), VPCI_NOTIFY_MUL);
	put_cap(p, CAP_ISR, CAP_DEVICE, 16, VIRTIO_PCI_CAP_ISR_CFG, 1);
	put_cap(p, CAP_DEVICE, CAP_WINDOW, 16, VIRTIO_PCI_CAP_DEVICE_CFG, VPCI_REGION_SIZE);
	put_cap(p, CAP_WINDOW, 0, 20, VIRTIO_PCI_CAP_PCI_CFG, 0);
	p->writable[CAP_WINDOW_BAR] = 0xff;
	memset(p->writable + CAP_WINDOW_OFF, 0xff, 12);
}

static uint32_t class_of(uint16_t device_id)
{
	switch (device_id) {
	case VIRTIO_ID_NET:
		return CLASS_NETWORK;
	case VIRTIO_ID_CONSOLE:
		return CLASS_CONSOLE;
	default:
		return CLASS_OTHER;
	}
}

/**
 * vpci_config_init() - the registers as they are after power-on; creating thread
 */
void vpci_config_init(struct vpci *p)
{
	uint16_t id = (uint16_t)(DEVICE_ID_BASE + p->dev->device_id);
	uint8_t *c = p->config;

	put_le16(c + PCI_VENDOR_ID, VENDOR_ID);
	put_le16(c + PCI_DEVICE_ID, id);
	put_le16(c + PCI_STATUS, PCI_STATUS_CAP_LIST);
	put_le32(c + PCI_CLASS_REVISION, class_of(p->dev->device_id) << 8 | MODERN_REVISION);
	put_le16(c + PCI_SUBSYSTEM_VENDOR_ID, VENDOR_ID);
	put_le16(c + PCI_SUBSYSTEM_ID, id);
	c[PCI_CAPABILITY_LIST] = CAP_MSIX;

	put_le16(p->writable + PCI_COMMAND,
		 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
	p->writable[PCI_CACHE_LINE_SIZE] = 0xff;
	p->writable[PCI_INTERRUPT_LINE] = 0xff;
	put_le32(p->writable + PCI_BASE_ADDRESS_0, ~(VPCI_BAR_SIZE - 1));
	config_caps(p);
}
