/* SPDX-License-Identifier: MIT */
/*
 * A virtio device's status, features and queue configuration.
 *
 * Theory of operation
 *
 * The status register is a state machine that the driver drives and that we
 * refuse to let it drive backwards (virtio 1.2, sections 2.1 and 3.1):
 *
 *	reset -> ACKNOWLEDGE, DRIVER -> FEATURES_OK -> DRIVER_OK
 *
 * Feature bits may be written before FEATURES_OK, queues between FEATURES_OK
 * and DRIVER_OK, and at no other time (H4). A bit whose condition does not hold
 * is not set, and the driver sees that when it reads the register back, as it
 * must. The only way back is a write of 0.
 *
 * DRIVER_OK checks each enabled queue and copies its configuration to
 * @latched; the thread that serves the queue sees nothing else, so that no
 * register write can reach a running queue. If the check or the device's start
 * fails, DRIVER_OK stays set and NEEDS_RESET joins it.
 *
 * @status is atomic because the serving thread may set NEEDS_RESET while a vCPU
 * writes the register; everything else here is under @lock.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "src/base/log.h"
#include "virtio/device.h"

#define STATUS_DRIVER_BITS                                                                  \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK | \
	 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)

static uint8_t status_get(const struct vdev *d)
{
	return atomic_load_explicit(&d->status, memory_order_acquire);
}

static void status_set(struct vdev *d, unsigned int bits)
{
	atomic_fetch_or_explicit(&d->status, (uint8_t)bits, memory_order_acq_rel);
}

/* Forget the signals of an eventfd: they were the previous driver's. */
static void eventfd_drain(int fd)
{
	eventfd_t count;

	/* Nonblocking; an empty one answers EAGAIN, which is as good. */
	(void)eventfd_read(fd, &count);
}

static void queue_forget(struct vdev_queue *q)
{
	q->cfg = (struct vq_config){ .size = q->size_max };
	q->latched = (struct vq_config){ 0 };
}

/**
 * vdev_init() - make a device's queues and their eventfds
 * @d:		zeroed, or with the fields set that describe the device
 * @mem:	guest memory; outlives the device
 * @queue_sizes:	largest size of each queue, powers of two up to VQ_SIZE_MAX
 * @nqueues:	1..VDEV_QUEUES_MAX
 *
 * Creating thread. The eventfds belong to the device, for life: transports
 * attach them, vdev_fini() closes them.
 *
 * Return: 0, or -errno of eventfd(2) with nothing left to undo
 */
int vdev_init(struct vdev *d, const struct gmem *mem, const uint16_t *queue_sizes, uint16_t nqueues)
{
	int err;

	BUG_ON(nqueues == 0 || nqueues > VDEV_QUEUES_MAX);
	err = -pthread_mutex_init(&d->lock, NULL);
	if (err)
		return err;
	d->mem = mem;
	d->nqueues = 0;
	d->started = false;
	atomic_init(&d->status, 0);
	atomic_init(&d->generation, 0);
	for (uint16_t i = 0; i < nqueues; i++) {
		struct vdev_queue *q = &d->queue[i];

		BUG_ON(!is_power_of_two(queue_sizes[i]) || queue_sizes[i] > VQ_SIZE_MAX);
		q->size_max = queue_sizes[i];
		queue_forget(q);
		q->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		q->call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		d->nqueues++;
		if (q->kick_fd < 0 || q->call_fd < 0) {
			err = -errno;
			vdev_fini(d);
			return err;
		}
	}
	return 0;
}

/**
 * vdev_fini() - stop the device and close what vdev_init() made
 *
 * Owner's thread, once no vCPU runs and the transport is gone. Harmless on a
 * device that is zeroed or already finished.
 */
void vdev_fini(struct vdev *d)
{
	if (d->nqueues == 0)
		return;
	vdev_reset(d);
	for (uint16_t i = 0; i < d->nqueues; i++) {
		struct vdev_queue *q = &d->queue[i];

		if (q->kick_fd >= 0)
			close(q->kick_fd);
		if (q->call_fd >= 0)
			close(q->call_fd);
		q->kick_fd = q->call_fd = -1;
	}
	d->nqueues = 0;
	pthread_mutex_destroy(&d->lock);
}

/* May the driver configure queues now? */
static bool queues_open(const struct vdev *d)
{
	uint8_t s = status_get(d);

	return (s & VIRTIO_CONFIG_S_FEATURES_OK) && !(s & VIRTIO_CONFIG_S_DRIVER_OK);
}

/* Virtio 1.2, sections 2.2 and 6.1: a subset of what we offer, VERSION_1 in it. */
static bool features_acceptable(const struct vdev *d)
{
	return (d->driver_features & ~d->features) == 0 &&
	       (d->driver_features & (1ULL << VIRTIO_F_VERSION_1));
}

static int driver_ok(struct vdev *d)
{
	int err;

	for (uint16_t i = 0; i < d->nqueues; i++) {
		struct vdev_queue *q = &d->queue[i];

		q->latched = q->cfg;
		if (!q->latched.ready)
			continue;
		err = vq_config_check(&q->latched, d->mem);
		if (err) {
			log_limited(LOG_WARN, d->name, "queue %u: configuration refused (%d)", i,
				    err);
			return err;
		}
	}
	err = d->ops->start(d);
	if (err) {
		log_limited(LOG_WARN, d->name, "cannot start (%d)", err);
		return err;
	}
	d->started = true;
	return 0;
}

/**
 * vdev_write_status() - the driver writes the status register
 * @status:	as written; 0 resets
 *
 * Bits whose condition does not hold are not taken over; bits cannot be
 * cleared but all at once. vCPU thread, @d->lock held.
 */
void vdev_write_status(struct vdev *d, uint8_t status)
{
	uint8_t now = status_get(d);
	unsigned int rising = status & STATUS_DRIVER_BITS & ~now;

	if (status == 0) {
		vdev_reset(d);
		return;
	}
	if (now & STATUS_DRIVER_BITS & ~status) {
		log_limited(LOG_WARN, d->name, "driver tried to clear status bits 0x%x",
			    now & STATUS_DRIVER_BITS & ~status);
		return;
	}
	status_set(d, rising & (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
				VIRTIO_CONFIG_S_FAILED));
	if (rising & VIRTIO_CONFIG_S_FEATURES_OK) {
		if ((status_get(d) & VIRTIO_CONFIG_S_DRIVER) && features_acceptable(d))
			status_set(d, VIRTIO_CONFIG_S_FEATURES_OK);
		else
			log_limited(LOG_WARN, d->name, "features 0x%llx refused",
				    (unsigned long long)d->driver_features);
	}
	if ((rising & VIRTIO_CONFIG_S_DRIVER_OK) && queues_open(d)) {
		status_set(d, VIRTIO_CONFIG_S_DRIVER_OK);
		if (driver_ok(d))
			vdev_needs_reset(d);
	}
}

/**
 * vdev_write_features() - the driver writes half of its feature bits
 * @select:	0 low, 1 high half; others are ignored
 *
 * Taken as written, judged at FEATURES_OK; ignored from then on. vCPU thread,
 * @d->lock held.
 */
void vdev_write_features(struct vdev *d, uint32_t select, uint32_t value)
{
	unsigned int shift = select * 32;

	if (select > 1 || (status_get(d) & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	d->driver_features &= ~(0xffffffffULL << shift);
	d->driver_features |= (uint64_t)value << shift;
}

static struct vdev_queue *queue_to_write(struct vdev *d, uint16_t q)
{
	if (q >= d->nqueues || !queues_open(d))
		return NULL;
	return &d->queue[q];
}

/**
 * vdev_write_queue_size() - the driver chooses a queue's size
 * @size:	entries; a power of two up to the queue's largest (H4)
 *
 * vCPU thread, @d->lock held.
 *
 * Return: 0, -EINVAL for a bad size, -EPERM if there is no such queue, if it is
 * enabled, or if now is not the time
 */
int vdev_write_queue_size(struct vdev *d, uint16_t q, uint32_t size)
{
	struct vdev_queue *vq = queue_to_write(d, q);

	if (!vq || vq->cfg.ready)
		return -EPERM;
	if (!is_power_of_two(size) || size > vq->size_max)
		return -EINVAL;
	vq->cfg.size = (uint16_t)size;
	return 0;
}

/**
 * vdev_write_queue_addr() - the driver places a queue's three parts
 * @desc, @avail, @used:	guest physical addresses, checked at DRIVER_OK
 *
 * vCPU thread, @d->lock held.
 *
 * Return: 0, or -EPERM as vdev_write_queue_size()
 */
int vdev_write_queue_addr(struct vdev *d, uint16_t q, uint64_t desc, uint64_t avail, uint64_t used)
{
	struct vdev_queue *vq = queue_to_write(d, q);

	if (!vq || vq->cfg.ready)
		return -EPERM;
	vq->cfg.desc = desc;
	vq->cfg.avail = avail;
	vq->cfg.used = used;
	return 0;
}

/**
 * vdev_write_queue_ready() - the driver enables or disables a queue
 *
 * vCPU thread, @d->lock held. A running queue is stopped by reset only.
 *
 * Return: 0, or -EPERM if there is no such queue or now is not the time
 */
int vdev_write_queue_ready(struct vdev *d, uint16_t q, bool ready)
{
	struct vdev_queue *vq = queue_to_write(d, q);

	if (!vq)
		return -EPERM;
	vq->cfg.ready = ready;
	return 0;
}

/* Bytes of [off, off + len) that the device's configuration has. */
static uint32_t config_clip(const struct vdev *d, uint64_t off, uint32_t len)
{
	if (off >= d->config_len)
		return 0;
	return (uint32_t)MIN((uint64_t)len, d->config_len - off);
}

/**
 * vdev_config_read() - the driver reads device-specific configuration
 * @off, @len:	untrusted; what lies beyond the configuration reads 0
 *
 * vCPU thread, @d->lock held.
 */
void vdev_config_read(struct vdev *d, uint64_t off, void *data, uint32_t len)
{
	uint32_t n = config_clip(d, off, len);

	memset(data, 0, len);
	if (n && d->ops->config_read)
		d->ops->config_read(d, (uint32_t)off, data, n);
}

/**
 * vdev_config_write() - the driver writes device-specific configuration
 * @off, @len:	untrusted; what lies beyond the configuration is ignored
 *
 * vCPU thread, @d->lock held.
 */
void vdev_config_write(struct vdev *d, uint64_t off, const void *data, uint32_t len)
{
	uint32_t n = config_clip(d, off, len);

	if (n && d->ops->config_write)
		d->ops->config_write(d, (uint32_t)off, data, n);
}

/**
 * vdev_reset() - back to the state in which the device was made
 *
 * On return no thread touches the driver's memory, and no interrupt of its time
 * is left in an eventfd (H17). A kick may be: it makes the serving thread look
 * once, and stop() may have left it there on purpose. @calls_by_fn stays, as it
 * describes the machine.
 * vCPU thread with @d->lock held, or the owner once no vCPU runs.
 */
void vdev_reset(struct vdev *d)
{
	if (d->started) {
		d->ops->stop(d);
		d->started = false;
	}
	atomic_store_explicit(&d->status, 0, memory_order_release);
	d->driver_features = 0;
	for (uint16_t i = 0; i < d->nqueues; i++) {
		queue_forget(&d->queue[i]);
		eventfd_drain(d->queue[i].call_fd);
	}
}

/**
 * vdev_needs_reset() - give up on the driver's rings and say so
 *
 * Any thread, no lock. The device goes on refusing service by itself until the
 * driver writes 0 (virtio 1.2, section 2.1.2).
 */
void vdev_needs_reset(struct vdev *d)
{
	status_set(d, VIRTIO_CONFIG_S_NEEDS_RESET);
	log_limited(LOG_WARN, d->name, "device needs reset");
	if (status_get(d) & VIRTIO_CONFIG_S_DRIVER_OK)
		vdev_config_changed(d);
}

/**
 * vdev_config_changed() - the configuration space is not what it was
 *
 * Any thread, after the change, no lock.
 */
void vdev_config_changed(struct vdev *d)
{
	atomic_fetch_add_explicit(&d->generation, 1, memory_order_acq_rel);
	if (d->transport)
		d->transport->config_changed(d);
}

/**
 * vdev_queue_call() - interrupt the driver for queue @q without an eventfd
 * @vdev:	struct vdev; a vq_call_fn's context
 *
 * The serving thread.
 */
void vdev_queue_call(void *vdev, uint16_t q)
{
	struct vdev *d = vdev;

	if (d->transport)
		d->transport->queue_call(d, q);
}
