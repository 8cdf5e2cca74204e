/* SPDX-License-Identifier: MIT */
/*
 * Inside virtio-console. console.c is the device, console_port.c the byte
 * streams, console_control.c the messages about ports. Theory: console.c.
 */
#ifndef SLUICE_VIRTIO_CONSOLE_PRIV_H
#define SLUICE_VIRTIO_CONSOLE_PRIV_H

#include <sys/eventfd.h>

#include "virtio/console.h"

#define VCON_CONTROL_RX 2
#define VCON_CONTROL_TX 3
#define VCON_QUEUES_MAX (2 * VCON_PORTS_MAX + 2)

/* Chains that one call of vcon_service() takes from one queue, at most (H13). */
#define VCON_BUDGET VCON_QUEUE_SIZE

/* What a port is owed, in the order in which the guest must hear it (5.3.6.2). */
#define OWED_ADD     1U
#define OWED_CONSOLE 2U
#define OWED_NAME    4U
#define OWED_OPEN    8U

static_assert(VCON_QUEUES_MAX <= VDEV_QUEUES_MAX, "a device has room for all ports");

/**
 * struct vcon_port - one port
 * @host_open:	the owner's side, what PORT_OPEN tells the guest
 * @ready:	the guest has set the port up
 * @guest_open:	the guest's side, as it told us
 * @told_open:	the guest's side, as the owner knows it
 * @lost:	a reset closed the port and the owner does not know yet
 * @want_room:	the owner has bytes left
 * @stalled:	the owner took less than it was given
 * @have_held, @held, @held_first:	chain being read, and its first iovec with
 *		bytes left; @iov is its storage
 */
struct vcon_port {
	const struct vcon_port_ops *ops;
	void *ctx;
	char name[VCON_NAME_MAX];
	uint32_t index;
	uint8_t owed;
	bool console;
	bool host_open, ready, guest_open, told_open, lost;
	bool want_room;
	bool stalled;
	bool have_held;
	uint32_t held_first;
	struct vq_chain held;
	struct iovec iov[VCON_QUEUE_SIZE];
};

/**
 * struct vcon - the device
 * @lock:	guards all below
 * @scratch:	of a chain that is used up before anything else is done
 */
struct vcon {
	struct vdev dev;
	pthread_mutex_t lock;
	bool running, multiport;
	uint32_t nports;
	struct virtq q[VCON_QUEUES_MAX];
	struct iovec scratch[VCON_QUEUE_SIZE];
	struct vcon_port port[VCON_PORTS_MAX];
};

static inline struct virtq *vcon_port_rx(struct vcon *c, const struct vcon_port *p)
{
	return &c->q[p->index ? 2 * p->index + 2 : 0];
}

static inline struct virtq *vcon_port_tx(struct vcon *c, const struct vcon_port *p)
{
	return vcon_port_rx(c, p) + 1;
}

/* Have vcon_service() called soon. Any thread. */
static inline void vcon_kick_self(struct vcon *c)
{
	(void)eventfd_write(c->dev.queue[0].kick_fd, 1);
}

/* All below: owner's thread, @lock held. */

/* console_port.c */
bool vcon_chain_read(const struct vq_chain *chain, void *buf, size_t len);
size_t vcon_chain_write(const struct vq_chain *chain, const void *buf, size_t len);
void vcon_port_drain(struct vcon *c, struct vcon_port *p);
void vcon_port_tell_open(struct vcon_port *p);
void vcon_port_tell_lost(struct vcon_port *p);
void vcon_port_service(struct vcon *c, struct vcon_port *p);

/* console_control.c */
void vcon_control_drain(struct vcon *c);
bool vcon_control_flush(struct vcon *c);

#endif
