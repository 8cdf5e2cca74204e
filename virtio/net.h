/* SPDX-License-Identifier: MIT */
/*
 * virtio-net (virtio 1.2, section 5.1): the rings on one side, a stack's port
 * on the other. struct vnet is the device's data path and knows no transport:
 * virtio-pci, virtio-mmio and vhost-user all start it with latched queues.
 *
 * All vnet_* calls but vnet_new() and vnet_free() are the network worker's.
 * net_worker.h is the thread; net_dev.c binds both to a struct vdev.
 */
#ifndef SLUICE_VIRTIO_NET_H
#define SLUICE_VIRTIO_NET_H

#include <linux/virtio_net.h>
#include <stdint.h>

#include "tcpstack/port.h"
#include "tcpstack/stack.h"
#include "virtio/queue.h"

/* Queues of a device with one pair: receiveq, transmitq, controlq. */
enum vnet_queue { VNET_RX, VNET_TX, VNET_CTRL, VNET_QUEUES };

#define VNET_QUEUE_SIZE	     256
#define VNET_CTRL_QUEUE_SIZE 64

/* Chains that one cycle takes from the transmit queue, at most (H13). */
#define VNET_TX_BUDGET 256

/* Of Linux 6.2; older headers have none of them (virtio 1.3, 5.1.3 and 5.1.6). */
#ifndef VIRTIO_NET_F_HOST_USO
#define VIRTIO_NET_F_GUEST_USO4	  54
#define VIRTIO_NET_F_GUEST_USO6	  55
#define VIRTIO_NET_F_HOST_USO	  56
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

struct vnet;

struct vnet_config {
	uint8_t mac[6];
	uint16_t mtu;
};

/**
 * struct vnet_start - how to serve a driver
 * @features:	negotiated
 * @mem:	guest memory, good until vnet_stop()
 * @queue:	by enum vnet_queue; CTRL may be absent (!ready)
 * @next_avail:	where to begin in each avail ring (0 but for vhost-user)
 * @call_fd, @call_fn, @call_ctx:	how to interrupt each queue
 * @counters:	one for each queue, owned by the caller
 */
struct vnet_start {
	uint64_t features;
	const struct gmem *mem;
	struct vq_config queue[VNET_QUEUES];
	uint16_t next_avail[VNET_QUEUES];
	int call_fd[VNET_QUEUES];
	vq_call_fn call_fn;
	void *call_ctx;
	struct vq_counters *counters[VNET_QUEUES];
	/* The rings are broken: ask the driver for a reset. Called on the worker. */
	void (*broken)(void *ctx);
	void *broken_ctx;
};

/* net.c */
uint64_t vnet_features(const struct vnet_config *cfg);
void vnet_config_space(const struct vnet_config *cfg, struct virtio_net_config *out);
int vnet_new(struct vnet **out, const struct vnet_config *cfg, struct stack *st);
void vnet_free(struct vnet *v);
int vnet_start(struct vnet *v, const struct vnet_start *start);
void vnet_stop(struct vnet *v, uint16_t next_avail[VNET_QUEUES]);
void vnet_set_call(struct vnet *v, enum vnet_queue queue, int call_fd);
bool vnet_running(const struct vnet *v);
bool vnet_tx_drain(struct vnet *v);
void vnet_rx_kicked(struct vnet *v);
void vnet_ctrl_drain(struct vnet *v);
void vnet_publish(struct vnet *v);
bool vnet_notify_on(struct vnet *v);
bool vnet_rx_starved(const struct vnet *v);

#endif
