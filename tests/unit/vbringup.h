/* SPDX-License-Identifier: MIT */
/*
 * A driver's initialisation sequence on a bare struct vdev, for tests of devices
 * that do not care for the transport (virtio 1.2, section 3.1.1).
 */
#ifndef SLUICE_TESTS_VBRINGUP_H
#define SLUICE_TESTS_VBRINGUP_H

#include "tests/unit/vdriver.h"
#include "virtio/device.h"

#define VB_DRIVER_OK                                                                          \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK | \
	 VIRTIO_CONFIG_S_DRIVER_OK)

/* Negotiate @features; queues may be placed then. */
static inline void vb_negotiate(struct vdev *d, uint64_t features)
{
	vdev_write_status(d, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	vdev_write_features(d, 0, (uint32_t)features);
	vdev_write_features(d, 1, (uint32_t)(features >> 32));
	vdev_write_status(d, VB_DRIVER_OK & ~VIRTIO_CONFIG_S_DRIVER_OK);
	BUG_ON(!(d->status & VIRTIO_CONFIG_S_FEATURES_OK));
}

/* Place queue @i of @size entries in guest memory. */
static inline void vb_queue(struct vdev *d, struct vdriver *drv, struct vdqueue *q, uint16_t i,
			    uint16_t size)
{
	vdq_init(q, drv, size, d->driver_features);
	BUG_ON(vdev_write_queue_size(d, i, size));
	BUG_ON(vdev_write_queue_addr(d, i, q->cfg.desc, q->cfg.avail, q->cfg.used));
	BUG_ON(vdev_write_queue_ready(d, i, true));
}

static inline void vb_driver_ok(struct vdev *d)
{
	vdev_write_status(d, VB_DRIVER_OK);
	BUG_ON(d->status != VB_DRIVER_OK);
}

/* Fresh memory for a device that starts over: what was there is gone. */
static inline void vb_forget(struct vdriver *drv)
{
	memset(drv->hva, 0, drv->used);
	drv->used = 0;
}

#endif
