/* SPDX-License-Identifier: MIT */
/*
 * virtio-net as a struct vdev: binds the transport's half (status, features,
 * queue addresses, on vCPU threads) to the worker that serves the rings.
 */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/device.h"
#include "virtio/net_worker.h"

/* Up to @mtu; what follows belongs to features that we do not offer (5.1.4). */
#define NET_CONFIG_LEN offsetof(struct virtio_net_config, speed)

struct net_dev {
	struct vdev dev;
	struct net_worker *w;
	struct vnet_config cfg;
};

static struct net_dev *net_dev_of(struct vdev *d)
{
	return container_of(d, struct net_dev, dev);
}

static void on_broken(void *ctx)
{
	struct net_dev *n = ctx;

	vdev_needs_reset(&n->dev);
}

/* The vCPU waits while the worker takes the queues over. */
static int start(struct vdev *d)
{
	struct net_dev *n = net_dev_of(d);
	struct vnet_start s = {
		.features = d->driver_features,
		.mem = d->mem,
		.call_fn = vdev_queue_call,
		.call_ctx = d,
		.broken = on_broken,
		.broken_ctx = n,
	};
	int kick_fd[VNET_QUEUES];

	for (unsigned int i = 0; i < VNET_QUEUES; i++) {
		s.queue[i] = d->queue[i].latched;
		s.call_fd[i] = vdev_call_fd(d, (uint16_t)i);
		s.counters[i] = &d->queue[i].n;
		kick_fd[i] = d->queue[i].kick_fd;
	}
	return net_worker_attach(n->w, &s, kick_fd);
}

static void stop(struct vdev *d)
{
	net_worker_detach(net_dev_of(d)->w, NULL);
}

static void config_read(struct vdev *d, uint32_t off, void *buf, uint32_t len)
{
	struct virtio_net_config c;

	vnet_config_space(&net_dev_of(d)->cfg, &c);
	memcpy(buf, (const uint8_t *)&c + off, len);
}

/* Nothing in it is for the driver to write (5.1.4.2: the address, by command). */
static const struct vdev_ops net_vdev_ops = {
	.start = start,
	.stop = stop,
	.config_read = config_read,
};

/**
 * net_dev_new() - the network device of a VM
 * @mem:	guest memory; outlives the device
 * @w:		outlives the device; serves it alone
 * @cfg:	copied
 *
 * Creating thread. Return: 0 with *@out, which net_dev_free() ends; or -errno
 */
int net_dev_new(struct net_dev **out, const struct gmem *mem, struct net_worker *w,
		const struct vnet_config *cfg)
{
	static const uint16_t sizes[VNET_QUEUES] = {
		[VNET_RX] = VNET_QUEUE_SIZE,
		[VNET_TX] = VNET_QUEUE_SIZE,
		[VNET_CTRL] = VNET_CTRL_QUEUE_SIZE,
	};
	struct net_dev *n = calloc(1, sizeof(*n));
	int err;

	if (!n)
		return -ENOMEM;
	n->w = w;
	n->cfg = *cfg;
	n->dev.name = "net";
	n->dev.ops = &net_vdev_ops;
	n->dev.device_id = VIRTIO_ID_NET;
	n->dev.features = vnet_features(cfg);
	n->dev.config_len = NET_CONFIG_LEN;
	err = vdev_init(&n->dev, mem, sizes, VNET_QUEUES);
	if (err) {
		free(n);
		return err;
	}
	*out = n;
	return 0;
}

/**
 * net_dev_vdev() - for the transport; belongs to @n
 */
struct vdev *net_dev_vdev(struct net_dev *n)
{
	return &n->dev;
}

/**
 * net_dev_free() - after its transport, before its worker; NULL is harmless
 */
void net_dev_free(struct net_dev *n)
{
	if (!n)
		return;
	vdev_fini(&n->dev);
	free(n);
}
