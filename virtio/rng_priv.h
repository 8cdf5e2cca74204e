/* SPDX-License-Identifier: MIT */
/* Inside virtio-rng. Theory: rng.c. */
#ifndef SLUICE_VIRTIO_RNG_PRIV_H
#define SLUICE_VIRTIO_RNG_PRIV_H

#include "virtio/rng.h"

/**
 * struct vrng - the device
 * @lock:	guards @q and @iov
 */
struct vrng {
	struct vdev dev;
	pthread_mutex_t lock;
	struct virtq q;
	struct iovec iov[VRNG_QUEUE_SIZE];
};

#endif
