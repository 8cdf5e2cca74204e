/* SPDX-License-Identifier: MIT */
/*
 * virtio-net: what is offered, and the device's life.
 *
 * Theory of operation: a started device is a port of the stack (port.h) on one
 * side and three served queues on the other. Everything happens on the network
 * worker. Kicks are asked for only before the worker sleeps (transmit and
 * control queues) or while the stack waits for receive buffers.
 *
 * A ring that makes no sense ends service: the owner is told once, by broken(),
 * and the device rests until it is stopped. The worker lives on.
 *
 * When it stops, every chain that we hold goes back to the driver: transmit
 * chains as used; receive chains as never taken where the avail ring still
 * allows it, else as used with length 0. So the place to go on from is one
 * number, as vhost-user wants it, and the next driver inherits nothing (H17).
 */
#include "virtio/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/log.h"
#include "virtio/net_priv.h"

#define BIT(feature) (1ULL << (feature))

/* What each feature rests on (5.1.3.1); a driver that forgets it loses the feature. */
static const struct {
	uint64_t feature, needs;
} requirements[] = {
	{ BIT(VIRTIO_NET_F_GUEST_TSO4), BIT(VIRTIO_NET_F_GUEST_CSUM) },
	{ BIT(VIRTIO_NET_F_GUEST_TSO6), BIT(VIRTIO_NET_F_GUEST_CSUM) },
	{ BIT(VIRTIO_NET_F_GUEST_USO4), BIT(VIRTIO_NET_F_GUEST_CSUM) },
	{ BIT(VIRTIO_NET_F_GUEST_USO6), BIT(VIRTIO_NET_F_GUEST_CSUM) },
	{ BIT(VIRTIO_NET_F_HOST_TSO4), BIT(VIRTIO_NET_F_CSUM) },
	{ BIT(VIRTIO_NET_F_HOST_TSO6), BIT(VIRTIO_NET_F_CSUM) },
	{ BIT(VIRTIO_NET_F_HOST_USO), BIT(VIRTIO_NET_F_CSUM) },
	{ BIT(VIRTIO_NET_F_CTRL_RX), BIT(VIRTIO_NET_F_CTRL_VQ) },
	{ BIT(VIRTIO_NET_F_CTRL_MAC_ADDR), BIT(VIRTIO_NET_F_CTRL_VQ) },
};

static const struct port_ops port_ops = {
	.rx_alloc = vnet_rx_alloc,
	.rx_commit = vnet_rx_commit,
	.rx_rewind = vnet_rx_rewind,
	.tx_done = vnet_tx_done,
};

/**
 * vnet_features() - what the device offers
 *
 * No GUEST_ECN/HOST_ECN: nothing here makes or needs them. No multi-queue.
 * Any thread.
 */
uint64_t vnet_features(const struct vnet_config *cfg)
{
	(void)cfg;
	return BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) |
	       BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_NET_F_MRG_RXBUF) |
	       BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) |
	       BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_GUEST_TSO4) |
	       BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_HOST_USO) |
	       BIT(VIRTIO_NET_F_GUEST_USO4) | BIT(VIRTIO_NET_F_GUEST_USO6) |
	       BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) |
	       BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT(VIRTIO_NET_F_MTU) | BIT(VIRTIO_NET_F_STATUS) |
	       BIT(VIRTIO_NET_F_MAC);
}

/**
 * vnet_config_space() - the device's configuration space (5.1.4); any thread
 */
void vnet_config_space(const struct vnet_config *cfg, struct virtio_net_config *out)
{
	*out = (struct virtio_net_config){
		.status = VIRTIO_NET_S_LINK_UP,
		.max_virtqueue_pairs = 1,
		.mtu = cfg->mtu,
	};
	memcpy(out->mac, cfg->mac, sizeof(out->mac));
}

/**
 * vnet_new() - a device that is not started
 * @cfg:	copied
 * @st:		the stack whose port it will be; outlives the device
 *
 * Takes all memory that the device will ever use. Return: 0 or -ENOMEM
 */
int vnet_new(struct vnet **out, const struct vnet_config *cfg, struct stack *st)
{
	struct vnet *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->cfg = *cfg;
	v->st = st;
	*out = v;
	return 0;
}

/**
 * vnet_free() - the end of a stopped device; NULL is harmless
 */
void vnet_free(struct vnet *v)
{
	BUG_ON(v && v->running);
	free(v);
}

/* Longest frame that the driver has to have room for (5.1.6.3.1, 5.1.4.2). */
static uint32_t rx_frame_max(const struct vnet *v)
{
	if (vnet_has(v, VIRTIO_NET_F_MRG_RXBUF))
		return PORT_FRAME_MAX;
	if (vnet_has(v, VIRTIO_NET_F_GUEST_TSO4) || vnet_has(v, VIRTIO_NET_F_GUEST_TSO6) ||
	    vnet_has(v, VIRTIO_NET_F_GUEST_USO4) || vnet_has(v, VIRTIO_NET_F_GUEST_USO6))
		return 65562 - VNET_HDR_LEN;
	if (vnet_has(v, VIRTIO_NET_F_MTU))
		return MAX(1514U, v->cfg.mtu + 14U);
	return 1514;
}

/* Negotiated, less what lacks what it needs. */
static uint64_t effective_features(const struct vnet *v, uint64_t features)
{
	features &= vnet_features(&v->cfg);
	for (size_t i = 0; i < ARRAY_SIZE(requirements); i++) {
		if (features & requirements[i].feature && !(features & requirements[i].needs)) {
			log_limited(LOG_WARN, "net", "features 0x%llx contradict: 0x%llx is off",
				    (unsigned long long)features,
				    (unsigned long long)requirements[i].feature);
			features &= ~requirements[i].feature;
		}
	}
	return features;
}

static int start_queues(struct vnet *v, const struct vnet_start *s)
{
	for (int i = 0; i < VNET_QUEUES; i++) {
		struct virtq *q = &v->vq[i];
		int err;

		if (!s->queue[i].ready || (i == VNET_CTRL && !vnet_has(v, VIRTIO_NET_F_CTRL_VQ)))
			continue;
		*q = (struct virtq){
			.index = (uint16_t)i,
			.call_fd = s->call_fd[i],
			.call_fn = s->call_fn,
			.call_ctx = s->call_ctx,
			.n = s->counters[i],
		};
		err = vq_start(q, &s->queue[i], s->mem, v->features, s->next_avail[i]);
		if (err)
			return err;
	}
	return 0;
}

/**
 * vnet_start() - serve a driver
 * @start:	copied, but for what it points to
 *
 * What the driver had queued before is served and every queue is signalled
 * once, whatever its event fields say (H15).
 * Return: 0; -EINVAL no VIRTIO_F_VERSION_1, or receiveq or transmitq not ready;
 * or vq_start()'s error
 */
int vnet_start(struct vnet *v, const struct vnet_start *start)
{
	struct port_caps caps;
	int err;

	BUG_ON(v->running);
	if (!(start->features & BIT(VIRTIO_F_VERSION_1)) || !start->queue[VNET_RX].ready ||
	    !start->queue[VNET_TX].ready)
		return -EINVAL;
	v->features = effective_features(v, start->features);
	err = start_queues(v, start);
	if (err)
		goto out_queues;

	v->on_broken = start->broken;
	v->on_broken_ctx = start->broken_ctx;
	v->broken = false;
	v->running = true;
	v->epoch++;
	vnet_rx_start(v);
	caps = (struct port_caps){
		.rx_csum = vnet_has(v, VIRTIO_NET_F_GUEST_CSUM),
		.rx_tso4 = vnet_has(v, VIRTIO_NET_F_GUEST_TSO4),
		.rx_tso6 = vnet_has(v, VIRTIO_NET_F_GUEST_TSO6),
		.rx_uso4 = vnet_has(v, VIRTIO_NET_F_GUEST_USO4),
		.rx_uso6 = vnet_has(v, VIRTIO_NET_F_GUEST_USO6),
		.rx_frame_max = rx_frame_max(v),
		.tx_ring = v->vq[VNET_TX].size,
	};
	stack_port_up(v->st, &port_ops, v, &caps);

	vnet_ctrl_drain(v);
	vnet_tx_drain(v);
	vnet_publish(v);
	for (int i = 0; i < VNET_QUEUES; i++)
		if (v->vq[i].started)
			vq_call(&v->vq[i]);
	return 0;

out_queues:
	for (int i = 0; i < VNET_QUEUES; i++)
		vq_stop(&v->vq[i]);
	return err;
}

/**
 * vnet_stop() - take the driver off; harmless when not running
 * @next_avail:	out: where to go on in each avail ring; may be NULL
 *
 * On return nothing of the driver's is held, and its memory is not touched.
 */
void vnet_stop(struct vnet *v, uint16_t next_avail[VNET_QUEUES])
{
	if (v->running) {
		stack_port_down(v->st);
		vnet_rx_release(v);
		vnet_tx_release(v);
		vnet_publish(v);
		v->running = false;
	}
	for (int i = 0; i < VNET_QUEUES; i++) {
		vq_stop(&v->vq[i]);
		if (next_avail)
			next_avail[i] = v->vq[i].last_avail;
	}
}

/**
 * vnet_set_call() - interrupt a served queue by another eventfd from now on
 * @call_fd:	-1 = not at all; the caller's, as in vnet_start()
 *
 * The new one is signalled once: what the driver missed on the old one is lost
 * to it. Harmless when not running.
 */
void vnet_set_call(struct vnet *v, enum vnet_queue queue, int call_fd)
{
	struct virtq *q = &v->vq[queue];

	if (!v->running || !q->started)
		return;
	q->call_fd = call_fd;
	vq_call(q);
}

/**
 * vnet_running() - is a driver attached?
 */
bool vnet_running(const struct vnet *v)
{
	return v->running;
}

/* After anything that may have broken a ring: tell the owner, once. */
void vnet_check_rings(struct vnet *v)
{
	if (v->broken)
		return;
	for (int i = 0; i < VNET_QUEUES; i++)
		v->broken |= v->vq[i].started && v->vq[i].broken;
	if (v->broken && v->on_broken)
		v->on_broken(v->on_broken_ctx);
}

/**
 * vnet_publish() - end of a cycle: show the driver all that was retired
 */
void vnet_publish(struct vnet *v)
{
	if (!v->running)
		return;
	for (int i = 0; i < VNET_QUEUES; i++)
		vq_publish(&v->vq[i]);
}

/**
 * vnet_notify_on() - before the worker sleeps: ask for kicks, look once more
 *
 * Return: true when work has come meanwhile; then do not sleep
 */
bool vnet_notify_on(struct vnet *v)
{
	bool more;

	if (!v->running || v->broken)
		return false;
	/* What is paced is looked at when the stack wakes up for it. */
	more = stack_tx_may(v->st) && vq_notify_on(&v->vq[VNET_TX]);
	more |= vq_notify_on(&v->vq[VNET_CTRL]);
	if (v->rx.starved && vq_notify_on(&v->vq[VNET_RX])) {
		vnet_rx_kicked(v);
		more = true;
	}
	vnet_check_rings(v);
	return more && !v->broken;
}

/**
 * vnet_rx_starved() - does the stack wait for receive buffers?
 *
 * Then only a kick, or vnet_notify_on(), tells of new ones.
 */
bool vnet_rx_starved(const struct vnet *v)
{
	return v->rx.starved;
}

/* Copy @len bytes at @off out of guest memory; the caller knows that they exist. */
void vnet_gather(const struct iovec *iov, uint32_t cnt, uint64_t off, void *buf, uint32_t len)
{
	uint8_t *p = buf;

	for (uint32_t i = 0; i < cnt && len; i++) {
		size_t n;

		if (off >= iov[i].iov_len) {
			off -= iov[i].iov_len;
			continue;
		}
		n = MIN(iov[i].iov_len - (size_t)off, (size_t)len);
		memcpy(p, (const uint8_t *)iov[i].iov_base + off, n);
		p += n;
		len -= (uint32_t)n;
		off = 0;
	}
	BUG_ON(len);
}
