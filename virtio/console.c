/* SPDX-License-Identifier: MIT */
/*
 * virtio-console: ports, their byte streams, and the control queue.
 *
 * Theory of operation
 *
 * Queues (virtio 1.2, 5.3.2): port 0 has 0 and 1, control has 2 and 3, port n
 * has 2n+2 and 2n+3; the first of a pair goes to the guest. All of them share
 * one kick eventfd, as one thread serves them all and a look at an idle queue
 * costs a load.
 *
 * To the guest: vcon_port_write() fills whatever buffers there are and says how
 * much it took. If that was not all, @want_room is set, notifications of that
 * queue are on, and on_room() follows when buffers are there.
 * From the guest: a chain stays with us (@held) until the owner has taken all of
 * it; while the owner takes nothing (@stalled) the queue is not looked at, so
 * the guest's own queue is the one buffer and its end (H86).
 * Control messages to the guest: each port has a set of those that it is owed
 * (@owed), written out in the order of the bits as buffers come. A set needs no
 * room, however often the guest asks; what is sent is the state of that time.
 *
 * vCPU threads start and stop the device, all else is the owner's thread. @lock
 * stands between the two; it is recursive because callbacks run under it, so
 * that no reset takes the memory from under them, and may call back in. It is
 * taken inside the device's lock: callbacks must not wait for a vCPU.
 */
#include "virtio/console_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static_assert(sizeof(struct virtio_console_config) == 12, "virtio 1.2, 5.3.4");

static struct vcon *vcon_of(struct vdev *d)
{
	return container_of(d, struct vcon, dev);
}

/* --- start and stop: vCPU threads ------------------------------------------ */

static void stop_queues(struct vcon *c)
{
	for (uint16_t i = 0; i < c->dev.nqueues; i++)
		vq_stop(&c->q[i]);
	c->running = false;
}

static int start_queues(struct vcon *c)
{
	struct vdev *d = &c->dev;

	for (uint16_t i = 0; i < d->nqueues; i++) {
		int err;

		c->q[i] = (struct virtq){
			.index = i,
			.call_fd = vdev_call_fd(d, i),
			.call_fn = vdev_queue_call,
			.call_ctx = d,
			.n = &d->queue[i].n,
		};
		if (!d->queue[i].latched.ready || (i >= VCON_CONTROL_RX && !c->multiport))
			continue;
		err = vq_start(&c->q[i], &d->queue[i].latched, d->mem, d->driver_features, 0);
		if (err) {
			stop_queues(c);
			return err;
		}
	}
	c->running = true;
	return 0;
}

static int start(struct vdev *d)
{
	struct vcon *c = vcon_of(d);
	int err;

	pthread_mutex_lock(&c->lock);
	c->multiport = d->driver_features & (1ULL << VIRTIO_CONSOLE_F_MULTIPORT);
	err = start_queues(c);
	/* Without control messages there is one port, and it is open. */
	if (!err && !c->multiport)
		c->port[0].ready = c->port[0].guest_open = true;
	pthread_mutex_unlock(&c->lock);
	vcon_kick_self(c); /* what was queued before us (H15) */
	return err;
}

static void stop(struct vdev *d)
{
	struct vcon *c = vcon_of(d);

	pthread_mutex_lock(&c->lock);
	stop_queues(c);
	for (uint32_t i = 0; i < c->nports; i++) {
		struct vcon_port *p = &c->port[i];

		/* The owner hears of it on its own thread; its @want_room lives on. */
		p->lost |= p->told_open;
		p->ready = p->guest_open = p->told_open = false;
		p->have_held = p->stalled = false;
		p->owed = 0;
	}
	pthread_mutex_unlock(&c->lock);
	vcon_kick_self(c);
}

static void config_read(struct vdev *d, uint32_t off, void *buf, uint32_t len)
{
	struct virtio_console_config cfg = { .max_nr_ports = vcon_of(d)->nports };

	memcpy(buf, (const uint8_t *)&cfg + off, len);
}

static const struct vdev_ops vdev_ops = {
	.start = start,
	.stop = stop,
	.config_read = config_read,
};

/* --- the owner's thread ------------------------------------------------------- */

/*
 * Ask for kicks where we wait for the guest, for none elsewhere. Return: whether
 * something came in between.
 */
static bool arm(struct vcon *c, bool owed)
{
	bool more = vq_notify_on(&c->q[VCON_CONTROL_TX]);

	if (owed)
		more |= vq_notify_on(&c->q[VCON_CONTROL_RX]);
	else
		vq_notify_off(&c->q[VCON_CONTROL_RX]);
	for (uint32_t i = 0; i < c->nports; i++) {
		struct vcon_port *p = &c->port[i];

		if (p->stalled)
			vq_notify_off(vcon_port_tx(c, p));
		else
			more |= vq_notify_on(vcon_port_tx(c, p)) || p->have_held;
		if (p->want_room && p->guest_open)
			more |= vq_notify_on(vcon_port_rx(c, p));
		else
			vq_notify_off(vcon_port_rx(c, p));
	}
	return more;
}

static bool any_broken(const struct vcon *c)
{
	for (uint16_t i = 0; i < c->dev.nqueues; i++) {
		if (c->q[i].broken)
			return true;
	}
	return false;
}

/* Return: true if the rings turned out broken just now */
static bool service_running(struct vcon *c)
{
	/* One eventfd for all queues, so its signals are counted at the first. */
	counter_inc(&c->dev.queue[0].n.kicks);
	vcon_control_drain(c);
	for (uint32_t i = 0; i < c->nports; i++) {
		vcon_port_tell_open(&c->port[i]);
		vcon_port_service(c, &c->port[i]);
	}
	if (arm(c, vcon_control_flush(c)))
		vcon_kick_self(c);
	if (!any_broken(c))
		return false;
	stop_queues(c);
	return true;
}

/**
 * vcon_service() - do what waits, in both directions
 *
 * The owner's loop, when vcon_kick_fd() is readable; harmless at other times.
 */
void vcon_service(struct vcon *c)
{
	bool broken = false;
	eventfd_t count;

	(void)eventfd_read(c->dev.queue[0].kick_fd, &count);
	pthread_mutex_lock(&c->lock);
	for (uint32_t i = 0; i < c->nports; i++)
		vcon_port_tell_lost(&c->port[i]);
	if (c->running)
		broken = service_running(c);
	pthread_mutex_unlock(&c->lock);
	if (broken)
		vdev_needs_reset(&c->dev);
}

static void lock_init(struct vcon *c)
{
	pthread_mutexattr_t attr;

	BUG_ON(pthread_mutexattr_init(&attr));
	BUG_ON(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE));
	BUG_ON(pthread_mutex_init(&c->lock, &attr));
	pthread_mutexattr_destroy(&attr);
}

/* All queues signal the first one's eventfd. */
static int share_kick(struct vcon *c)
{
	for (uint16_t i = 1; i < c->dev.nqueues; i++) {
		if (dup3(c->dev.queue[0].kick_fd, c->dev.queue[i].kick_fd, O_CLOEXEC) < 0)
			return -errno;
	}
	return 0;
}

/**
 * vcon_new() - a console device
 * @out:	the device
 * @mem:	guest memory; outlives it
 * @ports:	copied, but for what @ops and @ctx point to
 * @nports:	1..VCON_PORTS_MAX
 *
 * Creating thread. Return: 0 or -errno; -EINVAL if a name is too long
 */
int vcon_new(struct vcon **out, const struct gmem *mem, const struct vcon_port_config *ports,
	     uint32_t nports)
{
	uint16_t sizes[VCON_QUEUES_MAX];
	struct vcon *c;
	int err;

	BUG_ON(nports == 0 || nports > VCON_PORTS_MAX);
	for (uint32_t i = 0; i < nports; i++) {
		if (ports[i].name && strlen(ports[i].name) >= VCON_NAME_MAX)
			return -EINVAL;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->nports = nports;
	for (uint32_t i = 0; i < nports; i++) {
		struct vcon_port *p = &c->port[i];

		p->index = i;
		p->console = ports[i].console;
		p->host_open = ports[i].open;
		p->ops = ports[i].ops;
		p->ctx = ports[i].ctx;
		if (ports[i].name)
			memcpy(p->name, ports[i].name, strlen(ports[i].name) + 1);
	}
	for (uint32_t i = 0; i < VCON_QUEUES_MAX; i++)
		sizes[i] = VCON_QUEUE_SIZE;
	c->dev.name = "console";
	c->dev.ops = &vdev_ops;
	c->dev.device_id = VIRTIO_ID_CONSOLE;
	c->dev.config_len = sizeof(struct virtio_console_config);
	c->dev.features = 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_EVENT_IDX |
			  1ULL << VIRTIO_RING_F_INDIRECT_DESC | 1ULL << VIRTIO_CONSOLE_F_MULTIPORT;
	err = vdev_init(&c->dev, mem, sizes, (uint16_t)(2 * nports + 2));
	if (!err)
		err = share_kick(c);
	if (err) {
		vdev_fini(&c->dev);
		free(c);
		return err;
	}
	lock_init(c);
	*out = c;
	return 0;
}

/**
 * vcon_vdev() - for the transport; belongs to @c
 */
struct vdev *vcon_vdev(struct vcon *c)
{
	return &c->dev;
}

/**
 * vcon_kick_fd() - what the owner's loop watches, level-triggered, for reading
 */
int vcon_kick_fd(const struct vcon *c)
{
	return c->dev.queue[0].kick_fd;
}

/**
 * vcon_free() - after its transport is freed; owner's thread. NULL is fine.
 */
void vcon_free(struct vcon *c)
{
	if (!c)
		return;
	vdev_fini(&c->dev);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
