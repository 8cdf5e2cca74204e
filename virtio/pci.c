/* SPDX-License-Identifier: MIT */
/*
 * virtio-pci: configuration space, the registers in BAR 0, notifications.
 *
 * Theory of operation
 *
 * BAR 0 holds the common configuration, the ISR byte, the device's own
 * configuration, the notification area, and MSI-X table and pending bits, each
 * in a page of its own. Its place is the driver's to choose; @func.bar_base has
 * it, 0 while memory decoding is off or the driver is sizing the BAR.
 *
 * Whenever the BAR comes to a new place, each queue's kick eventfd is attached
 * to its notification address there, all of them or none (H18): after a failure
 * the writes arrive here as exits and notify_write() signals the eventfds. That
 * path takes no lock (H19): queue count and eventfds are constant.
 *
 * Everything else here is under the device's lock. MSI-X has its own, a leaf, as
 * the serving thread raises the configuration interrupt (msix.c).
 *
 * Reads of the common configuration may have any width; writes must have the
 * width of the field, or half for 64-bit ones (virtio 1.2, 4.1.3.1). Whatever
 * fits no register reads 0 and is ignored.
 */
#include "virtio/pci.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "src/base/bytes.h"
#include "src/base/log.h"
#include "virtio/msix.h"

#define CONFIG_LEN 256U

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

/* As of VERSION_1 without NOTIF_CONFIG_DATA and RING_RESET, which we do not offer. */
#define COMMON_LEN 56U

#define ISR_CONFIG 2

static_assert(sizeof(struct virtio_pci_common_cfg) == COMMON_LEN, "virtio 1.2, 4.1.4.3");
static_assert(sizeof(struct virtio_pci_cap) == 16, "virtio 1.2, 4.1.4");
static_assert(VDEV_QUEUES_MAX * VPCI_NOTIFY_MUL <= VPCI_REGION_SIZE, "room for each queue");
static_assert(MSIX_VECTORS_MAX * MSIX_ENTRY_LEN <= VPCI_REGION_SIZE, "room for the table");

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
	uint8_t config[CONFIG_LEN];
	uint8_t writable[CONFIG_LEN];
	uint32_t device_feature_select;
	uint32_t driver_feature_select;
	uint16_t queue_select;
	_Atomic uint8_t isr;
	uint64_t kicks_at;
};

static struct vpci *vpci_of(struct pci_func *f)
{
	return container_of(f, struct vpci, func);
}

/* The MSI-X source of configuration changes; queue q is source q. */
static uint16_t config_source(const struct vpci *p)
{
	return p->dev->nqueues;
}

/* --- the device's view of its transport --------------------------------- */

static void config_changed(struct vdev *d)
{
	struct vpci *p = d->transport_ctx;

	atomic_fetch_or_explicit(&p->isr, ISR_CONFIG, memory_order_release);
	msix_raise(&p->msix, config_source(p));
}

static void queue_call(struct vdev *d, uint16_t q)
{
	struct vpci *p = d->transport_ctx;

	msix_raise(&p->msix, q);
}

static const struct vdev_transport_ops transport_ops = {
	.config_changed = config_changed,
	.queue_call = queue_call,
};

/*
 * After any change to MSI-X: if the kernel took an attachment until now and
 * refuses it from here on, the device has to send by hand, from its next start.
 * A device that already runs would be mute, so it asks for that start.
 */
static void follow_msix(struct vpci *p)
{
	if (p->dev->calls_by_fn || !msix_direct(&p->msix))
		return;
	p->dev->calls_by_fn = true;
	if (p->dev->started)
		vdev_needs_reset(p->dev);
}

/* --- notifications ------------------------------------------------------- */

static struct kick_addr kick_addr(uint64_t base, uint16_t q)
{
	return (struct kick_addr){ .gpa = base + VPCI_BAR_NOTIFY + q * VPCI_NOTIFY_MUL };
}

static void kicks_detach(struct vpci *p, uint64_t base, uint16_t count)
{
	const struct machine *m = p->machine;

	for (uint16_t q = 0; q < count; q++) {
		struct kick_addr addr = kick_addr(base, q);

		m->ops->kick_detach(m->ctx, &addr, p->dev->queue[q].kick_fd);
	}
}

static void kicks_attach(struct vpci *p, uint64_t base)
{
	const struct machine *m = p->machine;

	for (uint16_t q = 0; q < p->dev->nqueues; q++) {
		struct kick_addr addr = kick_addr(base, q);
		int err = m->ops->kick_attach(m->ctx, &addr, p->dev->queue[q].kick_fd);

		if (err) {
			kicks_detach(p, base, q);
			log_once(LOG_WARN, "pci", "%s: each notification costs an exit here (%d)",
				 p->dev->name, err);
			return;
		}
	}
	p->kicks_at = base;
}

/* The BAR decodes at @base from now on, 0 = nowhere. */
static void bar_move(struct vpci *p, uint64_t base)
{
	if (base == atomic_load_explicit(&p->func.bar_base, memory_order_relaxed))
		return;
	if (p->kicks_at) {
		kicks_detach(p, p->kicks_at, p->dev->nqueues);
		p->kicks_at = 0;
	}
	atomic_store_explicit(&p->func.bar_base, base, memory_order_release);
	if (base)
		kicks_attach(p, base);
}

/* A write that the kernel did not take; no lock. The data says nothing new. */
static void notify_write(struct vpci *p, uint64_t off)
{
	uint64_t q = off / VPCI_NOTIFY_MUL;

	if (off % VPCI_NOTIFY_MUL == 0 && q < p->dev->nqueues)
		(void)eventfd_write(p->dev->queue[q].kick_fd, 1);
}

/* --- common configuration ------------------------------------------------- */

/* The registers of the selected queue; a queue that does not exist has size 0. */
static void queue_image(struct vpci *p, struct virtio_pci_common_cfg *c)
{
	const struct vq_config *cfg;

	c->queue_msix_vector = MSIX_NO_VECTOR;
	if (p->queue_select >= p->dev->nqueues)
		return;
	cfg = &p->dev->queue[p->queue_select].cfg;
	c->queue_size = cfg->size;
	c->queue_msix_vector = msix_vector(&p->msix, p->queue_select);
	c->queue_enable = cfg->ready;
	c->queue_notify_off = p->queue_select;
	c->queue_desc_lo = (uint32_t)cfg->desc;
	c->queue_desc_hi = (uint32_t)(cfg->desc >> 32);
	c->queue_avail_lo = (uint32_t)cfg->avail;
	c->queue_avail_hi = (uint32_t)(cfg->avail >> 32);
	c->queue_used_lo = (uint32_t)cfg->used;
	c->queue_used_hi = (uint32_t)(cfg->used >> 32);
}

static void common_read(struct vpci *p, uint64_t off, void *data, uint32_t len)
{
	struct vdev *d = p->dev;
	struct virtio_pci_common_cfg c = {
		.device_feature_select = p->device_feature_select,
		.guest_feature_select = p->driver_feature_select,
		.msix_config = msix_vector(&p->msix, config_source(p)),
		.num_queues = d->nqueues,
		.device_status = atomic_load_explicit(&d->status, memory_order_acquire),
		.config_generation = (uint8_t)atomic_load_explicit(&d->generation,
								   memory_order_acquire),
		.queue_select = p->queue_select,
	};

	if (p->device_feature_select <= 1)
		c.device_feature = (uint32_t)(d->features >> (p->device_feature_select * 32));
	if (p->driver_feature_select <= 1)
		c.guest_feature = (uint32_t)(d->driver_features >> (p->driver_feature_select * 32));
	queue_image(p, &c);
	if (off < COMMON_LEN)
		memcpy(data, (const uint8_t *)&c + off, MIN((uint64_t)len, COMMON_LEN - off));
}

static void status_write(struct vpci *p, uint8_t status)
{
	vdev_write_status(p->dev, status);
	if (status != 0)
		return;
	msix_unmap(&p->msix);
	atomic_store_explicit(&p->isr, 0, memory_order_relaxed);
	p->device_feature_select = 0;
	p->driver_feature_select = 0;
	p->queue_select = 0;
}

/* Half of a ring address: @shift is 0 or 32. */
static uint64_t half(uint64_t old, uint32_t value, unsigned int shift)
{
	return (old & ~(0xffffffffULL << shift)) | (uint64_t)value << shift;
}

static void queue_addr_write(struct vpci *p, uint32_t off, uint32_t value)
{
	unsigned int shift = (off & 4) * 8;
	struct vq_config cfg;

	if (p->queue_select >= p->dev->nqueues)
		return;
	cfg = p->dev->queue[p->queue_select].cfg;
	switch (off & ~4U) {
	case VIRTIO_PCI_COMMON_Q_DESCLO:
		cfg.desc = half(cfg.desc, value, shift);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
		cfg.avail = half(cfg.avail, value, shift);
		break;
	default:
		cfg.used = half(cfg.used, value, shift);
		break;
	}
	/* A refusal leaves the old value, and the driver reads that back. */
	(void)vdev_write_queue_addr(p->dev, p->queue_select, cfg.desc, cfg.avail, cfg.used);
}

/* A field's offset and the width of the access, in one number to switch on. */
#define FIELD(off, len) ((uint32_t)(off) << 4 | (len))

static void common_write(struct vpci *p, uint64_t off, uint64_t value, uint32_t len)
{
	uint16_t q = p->queue_select;

	if (off >= COMMON_LEN)
		return;
	switch (FIELD(off, len)) {
	case FIELD(VIRTIO_PCI_COMMON_DFSELECT, 4):
		p->device_feature_select = (uint32_t)value;
		break;
	case FIELD(VIRTIO_PCI_COMMON_GFSELECT, 4):
		p->driver_feature_select = (uint32_t)value;
		break;
	case FIELD(VIRTIO_PCI_COMMON_GF, 4):
		vdev_write_features(p->dev, p->driver_feature_select, (uint32_t)value);
		break;
	case FIELD(VIRTIO_PCI_COMMON_MSIX, 2):
		msix_set_vector(&p->msix, config_source(p), (uint16_t)value);
		break;
	case FIELD(VIRTIO_PCI_COMMON_STATUS, 1):
		status_write(p, (uint8_t)value);
		break;
	case FIELD(VIRTIO_PCI_COMMON_Q_SELECT, 2):
		p->queue_select = (uint16_t)value;
		break;
	case FIELD(VIRTIO_PCI_COMMON_Q_SIZE, 2):
		(void)vdev_write_queue_size(p->dev, q, (uint32_t)value);
		break;
	case FIELD(VIRTIO_PCI_COMMON_Q_MSIX, 2):
		if (q < p->dev->nqueues)
			msix_set_vector(&p->msix, q, (uint16_t)value);
		break;
	case FIELD(VIRTIO_PCI_COMMON_Q_ENABLE, 2):
		/* 0 must not be written (4.1.4.3.2): a queue is disabled by reset. */
		if (value == 1)
			(void)vdev_write_queue_ready(p->dev, q, true);
		break;
	case FIELD(VIRTIO_PCI_COMMON_Q_DESCLO, 8):
	case FIELD(VIRTIO_PCI_COMMON_Q_AVAILLO, 8):
	case FIELD(VIRTIO_PCI_COMMON_Q_USEDLO, 8):
		queue_addr_write(p, (uint32_t)off, (uint32_t)value);
		queue_addr_write(p, (uint32_t)off + 4, (uint32_t)(value >> 32));
		break;
	case FIELD(VIRTIO_PCI_COMMON_Q_DESCLO, 4):
	case FIELD(VIRTIO_PCI_COMMON_Q_DESCHI, 4):
	case FIELD(VIRTIO_PCI_COMMON_Q_AVAILLO, 4):
	case FIELD(VIRTIO_PCI_COMMON_Q_AVAILHI, 4):
	case FIELD(VIRTIO_PCI_COMMON_Q_USEDLO, 4):
	case FIELD(VIRTIO_PCI_COMMON_Q_USEDHI, 4):
		queue_addr_write(p, (uint32_t)off, (uint32_t)value);
		break;
	default:
		break;
	}
}

/* --- BAR 0 ------------------------------------------------------------------ */

static void bar_read(struct pci_func *f, uint64_t off, void *data, uint32_t len)
{
	struct vpci *p = vpci_of(f);
	uint64_t in_page = off % VPCI_REGION_SIZE;

	memset(data, 0, len);
	switch (off - in_page) {
	case VPCI_BAR_COMMON:
		pthread_mutex_lock(&p->dev->lock);
		common_read(p, in_page, data, len);
		pthread_mutex_unlock(&p->dev->lock);
		break;
	case VPCI_BAR_ISR:
		/* Reading clears (4.1.4.5). */
		if (in_page == 0)
			*(uint8_t *)data = atomic_exchange_explicit(&p->isr, 0,
								    memory_order_acq_rel);
		break;
	case VPCI_BAR_DEVICE:
		pthread_mutex_lock(&p->dev->lock);
		vdev_config_read(p->dev, in_page, data, len);
		pthread_mutex_unlock(&p->dev->lock);
		break;
	case VPCI_BAR_MSIX:
		msix_table_read(&p->msix, in_page, data, len);
		break;
	case VPCI_BAR_PBA:
		msix_pba_read(&p->msix, in_page, data, len);
		break;
	default:
		break;
	}
}

static void bar_write(struct pci_func *f, uint64_t off, const void *data, uint32_t len)
{
	struct vpci *p = vpci_of(f);
	uint64_t in_page = off % VPCI_REGION_SIZE;
	uint64_t value = 0;

	if (off - in_page == VPCI_BAR_NOTIFY) {
		notify_write(p, in_page);
		return;
	}
	memcpy(&value, data, MIN(len, (uint32_t)sizeof(value)));
	pthread_mutex_lock(&p->dev->lock);
	switch (off - in_page) {
	case VPCI_BAR_COMMON:
		common_write(p, in_page, value, len);
		break;
	case VPCI_BAR_DEVICE:
		vdev_config_write(p->dev, in_page, data, len);
		break;
	case VPCI_BAR_MSIX:
		msix_table_write(&p->msix, in_page, data, len);
		break;
	default:
		break;
	}
	follow_msix(p);
	pthread_mutex_unlock(&p->dev->lock);
}

/* --- configuration space ----------------------------------------------------- */

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

static uint32_t config_read(struct pci_func *f, uint32_t off, uint32_t len)
{
	struct vpci *p = vpci_of(f);
	uint32_t value = 0, target, width;
	uint8_t data[4] = { 0 };
	bool window;

	if (len > sizeof(value) || !range_ok(off, len, CONFIG_LEN))
		return 0xffffffffU;
	pthread_mutex_lock(&p->dev->lock);
	window = overlaps(off, len, WINDOW_DATA, 4) && window_target(p, &target, &width);
	pthread_mutex_unlock(&p->dev->lock);
	if (window)
		bar_read(f, target, data, width);
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

static void config_write(struct pci_func *f, uint32_t off, uint32_t value, uint32_t len)
{
	struct vpci *p = vpci_of(f);
	uint32_t target, width;
	uint8_t data[4];
	bool window;

	if (len > sizeof(value) || !range_ok(off, len, CONFIG_LEN))
		return;
	pthread_mutex_lock(&p->dev->lock);
	for (uint32_t i = 0; i < len; i++) {
		uint8_t mask = p->writable[off + i], byte = (uint8_t)(value >> (8 * i));

		p->config[off + i] = (uint8_t)((p->config[off + i] & ~mask) | (byte & mask));
	}
	bar_move(p, bar_wanted(p));
	if (overlaps(off, len, CAP_MSIX + PCI_MSIX_FLAGS, 2)) {
		uint16_t flags = get_le16(p->config + CAP_MSIX + PCI_MSIX_FLAGS);

		msix_set_control(&p->msix, flags & PCI_MSIX_FLAGS_ENABLE,
				 flags & PCI_MSIX_FLAGS_MASKALL);
		follow_msix(p);
	}
	window = overlaps(off, len, WINDOW_DATA, 4) && window_target(p, &target, &width);
	memcpy(data, p->config + WINDOW_DATA, sizeof(data));
	pthread_mutex_unlock(&p->dev->lock);
	if (window)
		bar_write(f, target, data, width);
}

static const struct pci_func_ops func_ops = {
	.config_read = config_read,
	.config_write = config_write,
	.bar_read = bar_read,
	.bar_write = bar_write,
};

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

	put_cap(p, CAP_COMMON, CAP_NOTIFY, 16, VIRTIO_PCI_CAP_COMMON_CFG, COMMON_LEN);
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

static void config_init(struct vpci *p)
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

/**
 * vpci_new() - put a device behind a PCI function
 * @out:	the function
 * @dev:	initialised; outlives the function, which becomes its transport
 * @machine:	outlives the function
 *
 * Creating thread, before the guest runs. Return: 0 or -ENOMEM
 */
int vpci_new(struct vpci **out, struct vdev *dev, const struct machine *machine)
{
	struct vpci *p = calloc(1, sizeof(*p));
	int fds[MSIX_SOURCES_MAX];

	if (!p)
		return -ENOMEM;
	p->func.ops = &func_ops;
	p->func.bar_size = VPCI_BAR_SIZE;
	p->dev = dev;
	p->machine = machine;
	for (uint16_t q = 0; q < dev->nqueues; q++)
		fds[q] = dev->queue[q].call_fd;
	fds[dev->nqueues] = -1;
	msix_init(&p->msix, machine, fds, (uint16_t)(dev->nqueues + 1));
	config_init(p);
	dev->transport = &transport_ops;
	dev->transport_ctx = p;
	*out = p;
	return 0;
}

/**
 * vpci_func() - the function, for the bus; belongs to @p
 */
struct pci_func *vpci_func(struct vpci *p)
{
	return &p->func;
}

/**
 * vpci_free() - reset the device, detach everything from the machine
 *
 * Owner's thread, once no vCPU runs, before the device is freed. NULL is fine.
 */
void vpci_free(struct vpci *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->dev->lock);
	vdev_reset(p->dev);
	bar_move(p, 0);
	pthread_mutex_unlock(&p->dev->lock);
	msix_fini(&p->msix);
	p->dev->transport = NULL;
	free(p);
}
