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
#include "virtio/pci_priv.h"

#include <errno.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "src/base/bytes.h"
#include "src/base/log.h"

#define ISR_CONFIG 2

static_assert(sizeof(struct virtio_pci_common_cfg) == VPCI_COMMON_LEN, "virtio 1.2, 4.1.4.3");
static_assert(VDEV_QUEUES_MAX * VPCI_NOTIFY_MUL <= VPCI_REGION_SIZE, "room for each queue");
static_assert(MSIX_VECTORS_MAX * MSIX_ENTRY_LEN <= VPCI_REGION_SIZE, "room for the table");

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

/**
 * vpci_follow_msix() - draw the conclusion if the machine refused an attachment
 *
 * After any change to MSI-X: from its next start on, the device has to send by
 * hand. A device that already runs would be mute, so it asks for that start.
 * vCPU thread, lock held.
 */
void vpci_follow_msix(struct vpci *p)
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

/**
 * vpci_bar_move() - the BAR decodes at @base from now on, 0 = nowhere
 *
 * vCPU thread, lock held.
 */
void vpci_bar_move(struct vpci *p, uint64_t base)
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
	if (off < VPCI_COMMON_LEN)
		memcpy(data, (const uint8_t *)&c + off, MIN((uint64_t)len, VPCI_COMMON_LEN - off));
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

static void queue_addr_write(struct vpci *p, uint32_t off, uint32_t value)
{
	bool high = off & 4;
	struct vq_config cfg;

	if (p->queue_select >= p->dev->nqueues)
		return;
	cfg = p->dev->queue[p->queue_select].cfg;
	switch (off & ~4U) {
	case VIRTIO_PCI_COMMON_Q_DESCLO:
		cfg.desc = vdev_addr_half(cfg.desc, value, high);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
		cfg.avail = vdev_addr_half(cfg.avail, value, high);
		break;
	default:
		cfg.used = vdev_addr_half(cfg.used, value, high);
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

	if (off >= VPCI_COMMON_LEN)
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

/**
 * vpci_bar_read() - the driver reads from BAR 0; struct pci_func_ops
 */
void vpci_bar_read(struct pci_func *f, uint64_t off, void *data, uint32_t len)
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

/**
 * vpci_bar_write() - the driver writes to BAR 0; struct pci_func_ops
 */
void vpci_bar_write(struct pci_func *f, uint64_t off, const void *data, uint32_t len)
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
	vpci_follow_msix(p);
	pthread_mutex_unlock(&p->dev->lock);
}

static const struct pci_func_ops func_ops = {
	.config_read = vpci_config_read,
	.config_write = vpci_config_write,
	.bar_read = vpci_bar_read,
	.bar_write = vpci_bar_write,
};

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
	vpci_config_init(p);
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
	vpci_bar_move(p, 0);
	pthread_mutex_unlock(&p->dev->lock);
	msix_fini(&p->msix);
	p->dev->transport = NULL;
	free(p);
}
