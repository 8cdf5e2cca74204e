/* SPDX-License-Identifier: MIT */
/*
 * virtio-console with several ports (virtio 1.2, section 5.3): byte streams
 * between the guest and the owner of the device.
 *
 * The owner's loop watches vcon_kick_fd() for reading, level-triggered, and
 * calls vcon_service() when it is readable. All calls below are that one
 * thread's; the callbacks run on it, inside vcon_service(), and may call
 * vcon_port_*(). Nothing is copied aside: bytes that the owner does not take
 * stay in the guest's descriptors, bytes that the guest has no buffer for stay
 * with the owner.
 */
#ifndef SLUICE_VIRTIO_CONSOLE_H
#define SLUICE_VIRTIO_CONSOLE_H

#include <stddef.h>
#include <sys/uio.h>

#include "virtio/device.h"

#define VCON_QUEUE_SIZE 64
#define VCON_PORTS_MAX	4
#define VCON_NAME_MAX	64

struct vcon_port_ops {
	/* The guest opened or closed the port; a reset closes it. */
	void (*on_open)(void *ctx, bool open);
	/*
	 * The guest wrote: returns the bytes taken from the front. If fewer than
	 * given, the rest is offered again after vcon_port_resume(), also if the
	 * guest has closed the port meanwhile. Without this
	 * callback everything is taken and dropped. Guest memory: may change
	 * under the reader, and is gone when the callback returns.
	 */
	size_t (*on_data)(void *ctx, const struct iovec *iov, uint32_t cnt);
	/* vcon_port_write() took less than given; now it will take some. */
	void (*on_room)(void *ctx);
};

/**
 * struct vcon_port_config - one port; port 0 is the one that a driver without
 *			     VIRTIO_CONSOLE_F_MULTIPORT knows
 * @name:	what the guest finds it by, NULL = none; copied
 * @console:	the guest makes it a terminal (hvc). Its driver spins until its
 *		bytes are taken, so the owner must always take all of them
 * @open:	the host's side is open from the start
 * @ops, @ctx:	callbacks; each may be NULL, and @ops too
 */
struct vcon_port_config {
	const char *name;
	bool console;
	bool open;
	const struct vcon_port_ops *ops;
	void *ctx;
};

struct vcon;

/* console.c: the device */
int vcon_new(struct vcon **out, const struct gmem *mem, const struct vcon_port_config *ports,
	     uint32_t nports);
struct vdev *vcon_vdev(struct vcon *c);
int vcon_kick_fd(const struct vcon *c);
void vcon_service(struct vcon *c);
void vcon_free(struct vcon *c);

/* console_port.c: the byte streams */
size_t vcon_port_write(struct vcon *c, uint32_t port, const void *data, size_t len);
void vcon_port_resume(struct vcon *c, uint32_t port);
void vcon_port_set_open(struct vcon *c, uint32_t port, bool open);

#endif
