/* SPDX-License-Identifier: MIT */
/*
 * virtio over MMIO, version 2 (virtio 1.2, section 4.2), with one edge
 * interrupt. The machine's bus calls vmmio_read() and vmmio_write() for what
 * falls into [gpa, gpa + VMMIO_SIZE), both fixed for life.
 */
#ifndef SLUICE_VIRTIO_MMIO_H
#define SLUICE_VIRTIO_MMIO_H

#include "virtio/device.h"
#include "virtio/machine.h"

/* Registers in the first half, device configuration in the second. */
#define VMMIO_SIZE   0x200U
#define VMMIO_CONFIG 0x100U

struct vmmio;

/* mmio.c */
int vmmio_new(struct vmmio **out, struct vdev *dev, const struct machine *machine, uint64_t gpa,
	      uint32_t pin);
void vmmio_free(struct vmmio *v);
void vmmio_read(struct vmmio *v, uint64_t off, void *data, uint32_t len);
void vmmio_write(struct vmmio *v, uint64_t off, const void *data, uint32_t len);

#endif
