/* SPDX-License-Identifier: MIT */
/*
 * virtio-rng (virtio 1.2, section 5.4): the host's random bytes, written
 * straight into the guest's buffers.
 *
 * The owner's loop watches vrng_kick_fd() for reading, level-triggered, and
 * calls vrng_service() when it is readable. That is all.
 */
#ifndef SLUICE_VIRTIO_RNG_H
#define SLUICE_VIRTIO_RNG_H

#include "virtio/device.h"

#define VRNG_QUEUE_SIZE 64

/* Bytes written in one call of vrng_service(), at most; what is left follows in the next. */
#define VRNG_BUDGET 65536U

struct vrng;

/* rng.c */
int vrng_new(struct vrng **out, const struct gmem *mem);
struct vdev *vrng_vdev(struct vrng *r);
int vrng_kick_fd(const struct vrng *r);
void vrng_service(struct vrng *r);
void vrng_free(struct vrng *r);

#endif
