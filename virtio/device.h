/* SPDX-License-Identifier: MIT */
/*
 * A virtio device apart from its transport: features, status, queues, and what
 * the device does when they change (virtio 1.2, sections 2.1, 2.2 and 3.1).
 *
 * The transport (pci.c, mmio.c) decodes registers on vCPU threads and calls the
 * vdev_* functions under @lock; that lock is never taken on the data path.
 * Queue addresses are collected in @queue[].cfg, checked and latched when the
 * driver writes DRIVER_OK, and handed to the device by ops->start(). A thread
 * that serves queues (network worker, I/O loop) reads only the latched copy.
 */
#ifndef SLUICE_VIRTIO_DEVICE_H
#define SLUICE_VIRTIO_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "virtio/mem.h"
#include "virtio/queue.h"

#define VDEV_QUEUES_MAX 16

struct vdev;

struct vdev_ops {
	/*
	 * The driver is ready; @vdev->queue[i].latched holds the checked queues
	 * and @vdev->driver_features what was negotiated. Returns when the device
	 * serves them. -errno sets NEEDS_RESET. vCPU thread.
	 */
	int (*start)(struct vdev *vdev);
	/*
	 * Reset, or the VM ends: on return no thread uses the driver's memory or
	 * signals its interrupts. Called only after a start that succeeded.
	 */
	void (*stop)(struct vdev *vdev);
	/* Device-specific configuration; range already checked against config_len. */
	void (*config_read)(struct vdev *vdev, uint32_t off, void *buf, uint32_t len);
	void (*config_write)(struct vdev *vdev, uint32_t off, const void *buf, uint32_t len);
};

/**
 * struct vdev_queue - one queue's transport half
 * @size_max:	largest size that the driver may choose
 * @cfg:	as the driver writes it; reset value is @size_max, no addresses
 * @latched:	the checked copy that the device serves; constant while started
 * @kick_fd:	eventfd signalled when the driver notifies the queue
 * @call_fd:	eventfd that interrupts the driver
 */
struct vdev_queue {
	uint16_t size_max;
	struct vq_config cfg;
	struct vq_config latched;
	int kick_fd;
	int call_fd;
	struct vq_counters n;
};

/* What a transport offers its device. */
struct vdev_transport_ops {
	/* Configuration changed, or NEEDS_RESET was set: tell the driver. Any thread. */
	void (*config_changed)(struct vdev *vdev);
	/* Interrupt for queue @q where @calls_by_fn says that no eventfd does it. Any thread. */
	void (*queue_call)(struct vdev *vdev, uint16_t q);
};

/**
 * struct vdev - a device; embedded in the concrete device's struct
 * @device_id:	1 net, 3 console, 4 entropy
 * @features:	offered, VIRTIO_F_VERSION_1 included
 * @driver_features:	accepted by the driver; subset of @features
 * @status:	device status register; written under @lock, NEEDS_RESET by any
 *		thread through vdev_needs_reset()
 * @generation:	config generation, bumped at each change
 * @started:	ops->start() succeeded and ops->stop() has not run; under @lock
 * @calls_by_fn: set by the transport before ops->start() where the kernel does
 *		not watch the call eventfds; see vdev_call_fd()
 */
struct vdev {
	const char *name;
	const struct vdev_ops *ops;
	const struct vdev_transport_ops *transport;
	void *transport_ctx;
	const struct gmem *mem;
	uint16_t device_id;
	uint16_t nqueues;
	uint32_t config_len;
	uint64_t features;
	uint64_t driver_features;
	_Atomic uint8_t status;
	_Atomic uint32_t generation;
	bool started;
	bool calls_by_fn;
	pthread_mutex_t lock;
	struct vdev_queue queue[VDEV_QUEUES_MAX];
};

/*
 * device.c: called with @lock held, or before the guest runs, except the last
 * three, which any thread may call and which take no lock of the device.
 */
int vdev_init(struct vdev *d, const struct gmem *mem, const uint16_t *queue_sizes,
	      uint16_t nqueues);
void vdev_fini(struct vdev *d);
void vdev_write_status(struct vdev *d, uint8_t status);
void vdev_write_features(struct vdev *d, uint32_t select, uint32_t value);
int vdev_write_queue_size(struct vdev *d, uint16_t q, uint32_t size);
int vdev_write_queue_addr(struct vdev *d, uint16_t q, uint64_t desc, uint64_t avail, uint64_t used);
int vdev_write_queue_ready(struct vdev *d, uint16_t q, bool ready);
void vdev_config_read(struct vdev *d, uint64_t off, void *data, uint32_t len);
void vdev_config_write(struct vdev *d, uint64_t off, const void *data, uint32_t len);
void vdev_reset(struct vdev *d);
void vdev_needs_reset(struct vdev *d);
void vdev_config_changed(struct vdev *d);
void vdev_queue_call(void *vdev, uint16_t q);

/**
 * vdev_call_fd() - what a device puts into virtq.call_fd when it starts queue @q
 *
 * Return: the eventfd, or -1: interrupt by vdev_queue_call(), which is a
 * vq_call_fn with the struct vdev as its context.
 */
static inline int vdev_call_fd(const struct vdev *d, uint16_t q)
{
	return d->calls_by_fn ? -1 : d->queue[q].call_fd;
}

/**
 * vdev_addr_half() - a ring address with one half as the driver has just written it
 */
static inline uint64_t vdev_addr_half(uint64_t old, uint32_t value, bool high)
{
	unsigned int shift = high ? 32 : 0;

	return (old & ~(0xffffffffULL << shift)) | (uint64_t)value << shift;
}

#endif
