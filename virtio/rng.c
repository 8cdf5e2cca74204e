/* SPDX-License-Identifier: MIT */
/*
 * virtio-rng: one queue of buffers to fill.
 *
 * Theory of operation: vCPU threads start and stop the device, the owner's loop
 * serves it, and @lock stands between them: after stop() the serving thread
 * finds the queue stopped. It is taken inside the device's lock, never around
 * it, and held for at most one budget of random bytes.
 *
 * One call of vrng_service() writes VRNG_BUDGET bytes at most, however long the
 * guest's buffers are, and then signals its own kick, so that the owner's loop
 * sees to its other duties in between. A buffer longer than the budget is
 * returned with what was written: the driver asks for the rest (5.4.6).
 */
#include "virtio/rng_priv.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "src/base/rng.h"

static struct vrng *vrng_of(struct vdev *d)
{
	return container_of(d, struct vrng, dev);
}

static void kick_self(struct vrng *r)
{
	(void)eventfd_write(r->dev.queue[0].kick_fd, 1);
}

static int start(struct vdev *d)
{
	struct vrng *r = vrng_of(d);
	int err = 0;

	if (!d->queue[0].latched.ready)
		return 0;
	pthread_mutex_lock(&r->lock);
	r->q = (struct virtq){
		.call_fd = vdev_call_fd(d, 0),
		.call_fn = vdev_queue_call,
		.call_ctx = d,
		.n = &d->queue[0].n,
	};
	err = vq_start(&r->q, &d->queue[0].latched, d->mem, d->driver_features, 0);
	pthread_mutex_unlock(&r->lock);
	if (!err)
		kick_self(r); /* what was queued before us (H15) */
	return err;
}

static void stop(struct vdev *d)
{
	struct vrng *r = vrng_of(d);

	pthread_mutex_lock(&r->lock);
	vq_stop(&r->q);
	pthread_mutex_unlock(&r->lock);
}

static const struct vdev_ops vdev_ops = {
	.start = start,
	.stop = stop,
};

/* Fill one chain with up to @budget bytes. Return: bytes written. */
static uint32_t fill(const struct vq_chain *chain, uint32_t budget)
{
	uint32_t done = 0;

	for (uint32_t i = 0; i < chain->in_cnt && done < budget; i++) {
		const struct iovec *v = &chain->iov[chain->out_cnt + i];
		size_t n = MIN(v->iov_len, (size_t)(budget - done));

		rng_fill(v->iov_base, n);
		done += (uint32_t)n;
	}
	return done;
}

/* Return: true if chains are waiting still. */
static bool serve(struct vrng *r)
{
	uint32_t budget = VRNG_BUDGET;
	struct vq_chain chain;

	for (uint32_t i = 0; i < VRNG_QUEUE_SIZE && budget > 0; i++) {
		uint32_t n;

		if (vq_pop(&r->q, VQ_WRITABLE, &chain, r->iov, ARRAY_SIZE(r->iov)) != 1)
			break;
		n = fill(&chain, budget);
		vq_use(&r->q, chain.head, n);
		budget -= n;
	}
	vq_publish(&r->q);
	return vq_notify_on(&r->q);
}

/**
 * vrng_service() - fill the buffers that wait
 *
 * The owner's loop, when vrng_kick_fd() is readable; harmless at other times.
 */
void vrng_service(struct vrng *r)
{
	bool broken = false;
	eventfd_t count;

	(void)eventfd_read(r->dev.queue[0].kick_fd, &count);
	pthread_mutex_lock(&r->lock);
	if (r->q.started && !r->q.broken) {
		counter_inc(&r->q.n->kicks);
		if (serve(r))
			kick_self(r);
		broken = r->q.broken;
	}
	pthread_mutex_unlock(&r->lock);
	if (broken)
		vdev_needs_reset(&r->dev);
}

/**
 * vrng_new() - an entropy device
 * @out:	the device
 * @mem:	guest memory; outlives it
 *
 * Creating thread. Return: 0 or -errno
 */
int vrng_new(struct vrng **out, const struct gmem *mem)
{
	static const uint16_t sizes[] = { VRNG_QUEUE_SIZE };
	struct vrng *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->dev.name = "rng";
	r->dev.ops = &vdev_ops;
	r->dev.device_id = VIRTIO_ID_RNG;
	r->dev.features = 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_EVENT_IDX |
			  1ULL << VIRTIO_RING_F_INDIRECT_DESC;
	err = vdev_init(&r->dev, mem, sizes, ARRAY_SIZE(sizes));
	if (err) {
		free(r);
		return err;
	}
	BUG_ON(pthread_mutex_init(&r->lock, NULL));
	*out = r;
	return 0;
}

/**
 * vrng_vdev() - for the transport; belongs to @r
 */
struct vdev *vrng_vdev(struct vrng *r)
{
	return &r->dev;
}

/**
 * vrng_kick_fd() - what the owner's loop watches, level-triggered, for reading
 */
int vrng_kick_fd(const struct vrng *r)
{
	return r->dev.queue[0].kick_fd;
}

/**
 * vrng_free() - after its transport is freed; owner's thread. NULL is fine.
 */
void vrng_free(struct vrng *r)
{
	if (!r)
		return;
	vdev_fini(&r->dev);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
