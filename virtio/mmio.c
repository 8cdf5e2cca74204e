/* SPDX-License-Identifier: MIT */
/*
 * virtio-mmio, version 2: registers, notification, one edge interrupt.
 *
 * Theory of operation
 *
 * Everything is at a fixed place, so what the kernel can do for us is attached
 * once, when the device is made: each queue's kick eventfd to writes of its
 * number to QueueNotify, and each queue's call eventfd to the interrupt pin.
 * Either set is attached whole or not at all (H18). Without the first, writes
 * arrive here as exits and signal the eventfds; without the second, the device
 * calls queue_call(), which pulses the pin.
 *
 * InterruptStatus says why the interrupt came, and the driver looks at its
 * rings only if bit 0 is set. A call eventfd that the kernel turns into an
 * interrupt passes nobody who could set that bit, so it reads as set whenever
 * the driver is running (virtio 1.2, 4.2.2: it costs the driver a look at rings
 * that may have nothing new, which it must bear anyway). Bit 1, configuration
 * changed, is real. @isr is one atomic that the serving thread and the vCPUs
 * share without a lock (H19); all else is under the device's lock.
 */
#include "virtio/mmio.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "src/base/bytes.h"
#include "src/base/log.h"

#define MAGIC	0x74726976U /* "virt" */
#define VERSION 2
#define VENDOR	0x43554c53U /* "SLUC" */

#define ISR_ALL (VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG)

/**
 * struct vmmio - one device's registers
 * @isr:	InterruptStatus; bit 0 is set here only by queue_call()
 * @kicks, @lines:	attached to the kernel
 */
struct vmmio {
	struct vdev *dev;
	const struct machine *machine;
	uint64_t gpa;
	uint32_t pin;
	uint32_t device_features_select;
	uint32_t driver_features_select;
	uint32_t queue_select;
	_Atomic uint32_t isr;
	bool kicks, lines;
};

/* --- the device's view of its transport --------------------------------- */

static void interrupt(struct vmmio *v, uint32_t why)
{
	int err;

	/* Before the interrupt: the driver reads it first thing. */
	atomic_fetch_or_explicit(&v->isr, why, memory_order_release);
	err = v->machine->ops->line_pulse(v->machine->ctx, v->pin);
	if (err)
		log_limited(LOG_WARN, "mmio", "%s: interrupt not sent (%d)", v->dev->name, err);
}

static void config_changed(struct vdev *d)
{
	interrupt(d->transport_ctx, VIRTIO_MMIO_INT_CONFIG);
}

static void queue_call(struct vdev *d, uint16_t q)
{
	(void)q; /* one pin for all */
	interrupt(d->transport_ctx, VIRTIO_MMIO_INT_VRING);
}

static const struct vdev_transport_ops transport_ops = {
	.config_changed = config_changed,
	.queue_call = queue_call,
};

/* --- what the kernel does for us ------------------------------------------- */

static struct kick_addr kick_addr(const struct vmmio *v, uint16_t q)
{
	return (struct kick_addr){
		.gpa = v->gpa + VIRTIO_MMIO_QUEUE_NOTIFY, .len = 4, .match = true, .data = q
	};
}

static void kicks_detach(struct vmmio *v, uint16_t count)
{
	const struct machine *m = v->machine;

	for (uint16_t q = 0; q < count; q++) {
		struct kick_addr addr = kick_addr(v, q);

		m->ops->kick_detach(m->ctx, &addr, v->dev->queue[q].kick_fd);
	}
}

static bool kicks_attach(struct vmmio *v)
{
	const struct machine *m = v->machine;

	for (uint16_t q = 0; q < v->dev->nqueues; q++) {
		struct kick_addr addr = kick_addr(v, q);
		int err = m->ops->kick_attach(m->ctx, &addr, v->dev->queue[q].kick_fd);

		if (err) {
			kicks_detach(v, q);
			log_once(LOG_WARN, "mmio", "%s: each notification costs an exit here (%d)",
				 v->dev->name, err);
			return false;
		}
	}
	return true;
}

static void lines_detach(struct vmmio *v, uint16_t count)
{
	const struct machine *m = v->machine;

	for (uint16_t q = 0; q < count; q++)
		m->ops->line_detach(m->ctx, v->dev->queue[q].call_fd, v->pin);
}

static bool lines_attach(struct vmmio *v)
{
	const struct machine *m = v->machine;

	for (uint16_t q = 0; q < v->dev->nqueues; q++) {
		int err = m->ops->line_attach(m->ctx, v->dev->queue[q].call_fd, v->pin);

		if (err) {
			lines_detach(v, q);
			log_once(LOG_WARN, "mmio", "no interrupt without a system call here (%d)",
				 err);
			return false;
		}
	}
	return true;
}

/* --- registers ----------------------------------------------------------------- */

static uint32_t interrupt_status(struct vmmio *v)
{
	uint32_t isr = atomic_load_explicit(&v->isr, memory_order_acquire);

	if (v->lines &&
	    atomic_load_explicit(&v->dev->status, memory_order_acquire) & VIRTIO_CONFIG_S_DRIVER_OK)
		isr |= VIRTIO_MMIO_INT_VRING;
	return isr;
}

/* A queue that does not exist reads as one of size 0. */
static uint32_t queue_register_read(struct vmmio *v, uint64_t off)
{
	const struct vdev_queue *q;

	if (v->queue_select >= v->dev->nqueues)
		return 0;
	q = &v->dev->queue[v->queue_select];
	return off == VIRTIO_MMIO_QUEUE_NUM_MAX ? q->size_max : q->cfg.ready;
}

static uint32_t register_read(struct vmmio *v, uint64_t off)
{
	struct vdev *d = v->dev;

	switch (off) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return d->device_id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		if (v->device_features_select > 1)
			return 0;
		return (uint32_t)(d->features >> (v->device_features_select * 32));
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
	case VIRTIO_MMIO_QUEUE_READY:
		return queue_register_read(v, off);
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return interrupt_status(v);
	case VIRTIO_MMIO_STATUS:
		return atomic_load_explicit(&d->status, memory_order_acquire);
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return 0xffffffffU; /* no shared memory region (4.2.2) */
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return atomic_load_explicit(&d->generation, memory_order_acquire);
	default:
		return 0;
	}
}

static void status_write(struct vmmio *v, uint8_t status)
{
	vdev_write_status(v->dev, status);
	if (status != 0)
		return;
	atomic_store_explicit(&v->isr, 0, memory_order_relaxed);
	v->device_features_select = 0;
	v->driver_features_select = 0;
	v->queue_select = 0;
}

static void queue_register_write(struct vmmio *v, uint64_t off, uint32_t value)
{
	uint16_t q = (uint16_t)v->queue_select;
	struct vq_config cfg;

	if (v->queue_select >= v->dev->nqueues)
		return;
	cfg = v->dev->queue[q].cfg;
	switch (off) {
	case VIRTIO_MMIO_QUEUE_NUM:
		(void)vdev_write_queue_size(v->dev, q, value);
		return;
	case VIRTIO_MMIO_QUEUE_READY:
		if (value <= 1)
			(void)vdev_write_queue_ready(v->dev, q, value);
		return;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		cfg.desc = vdev_addr_half(cfg.desc, value, off & 4);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		cfg.avail = vdev_addr_half(cfg.avail, value, off & 4);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		cfg.used = vdev_addr_half(cfg.used, value, off & 4);
		break;
	default:
		return;
	}
	(void)vdev_write_queue_addr(v->dev, q, cfg.desc, cfg.avail, cfg.used);
}

static void register_write(struct vmmio *v, uint64_t off, uint32_t value)
{
	switch (off) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		v->device_features_select = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		v->driver_features_select = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		vdev_write_features(v->dev, v->driver_features_select, value);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		v->queue_select = value;
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		atomic_fetch_and_explicit(&v->isr, ~(value & ISR_ALL), memory_order_acq_rel);
		break;
	case VIRTIO_MMIO_STATUS:
		/* Eight bits are defined; a value of others only must not reset. */
		if (value <= 0xff)
			status_write(v, (uint8_t)value);
		break;
	default:
		queue_register_write(v, off, value);
		break;
	}
}

/**
 * vmmio_read() - the driver reads
 * @off:	below VMMIO_SIZE
 * @len:	bytes, any; registers answer to aligned 32-bit accesses only (4.2.2.2)
 *
 * vCPU thread. What fits no register reads 0.
 */
void vmmio_read(struct vmmio *v, uint64_t off, void *data, uint32_t len)
{
	memset(data, 0, len);
	pthread_mutex_lock(&v->dev->lock);
	if (off >= VMMIO_CONFIG)
		vdev_config_read(v->dev, off - VMMIO_CONFIG, data, len);
	else if (len == 4 && off % 4 == 0)
		put_le32(data, register_read(v, off));
	pthread_mutex_unlock(&v->dev->lock);
}

/**
 * vmmio_write() - the driver writes
 * @off, @len:	as vmmio_read(); what fits no register is ignored
 *
 * vCPU thread. A notification takes no lock.
 */
void vmmio_write(struct vmmio *v, uint64_t off, const void *data, uint32_t len)
{
	if (off == VIRTIO_MMIO_QUEUE_NOTIFY) {
		uint32_t q = len == 4 ? get_le32(data) : VDEV_QUEUES_MAX;

		if (q < v->dev->nqueues)
			(void)eventfd_write(v->dev->queue[q].kick_fd, 1);
		return;
	}
	pthread_mutex_lock(&v->dev->lock);
	if (off >= VMMIO_CONFIG)
		vdev_config_write(v->dev, off - VMMIO_CONFIG, data, len);
	else if (len == 4 && off % 4 == 0)
		register_write(v, off, get_le32(data));
	pthread_mutex_unlock(&v->dev->lock);
}

/**
 * vmmio_new() - put a device behind virtio-mmio registers
 * @out:	the registers
 * @dev:	initialised; outlives them; they become its transport
 * @machine:	outlives them
 * @gpa:	where the guest sees them, for the kernel's notifications
 * @pin:	interrupt, edge-triggered
 *
 * Creating thread, before the guest runs. Return: 0 or -ENOMEM
 */
int vmmio_new(struct vmmio **out, struct vdev *dev, const struct machine *machine, uint64_t gpa,
	      uint32_t pin)
{
	struct vmmio *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->dev = dev;
	v->machine = machine;
	v->gpa = gpa;
	v->pin = pin;
	v->kicks = kicks_attach(v);
	v->lines = lines_attach(v);
	dev->calls_by_fn = !v->lines;
	dev->transport = &transport_ops;
	dev->transport_ctx = v;
	*out = v;
	return 0;
}

/**
 * vmmio_free() - reset the device, detach everything from the machine
 *
 * Owner's thread, once no vCPU runs, before the device is freed. NULL is fine.
 */
void vmmio_free(struct vmmio *v)
{
	if (!v)
		return;
	pthread_mutex_lock(&v->dev->lock);
	vdev_reset(v->dev);
	pthread_mutex_unlock(&v->dev->lock);
	if (v->kicks)
		kicks_detach(v, v->dev->nqueues);
	if (v->lines)
		lines_detach(v, v->dev->nqueues);
	v->dev->transport = NULL;
	free(v);
}
