/* SPDX-License-Identifier: MIT */
/* A virtio driver under a fuzzer: memory and what is written to it; see the header. */
#include "tests/fuzz/ring.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/mman.h>

#include "src/base/bytes.h"

#define PAGE   4096UL
#define TABLES 0x3000ULL /* for indirect ones, TABLE bytes for each queue */
#define TABLE  0x200ULL

struct ring ring;

/**
 * ring_at() - guest memory, or NULL where there is none
 */
void *ring_at(uint64_t gpa, uint64_t len)
{
	return gmem_ptr(&ring.mem, gpa, len);
}

static uint8_t *guarded(void)
{
	uint8_t *map = mmap(NULL, RING_REGION + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	FUZZ_CHECK(map != MAP_FAILED, "%s", strerror(errno));
	FUZZ_CHECK(mprotect(map + PAGE, RING_REGION, PROT_READ | PROT_WRITE) == 0);
	return map + PAGE;
}

/**
 * ring_setup() - a target's setup: guest memory
 */
void ring_setup(void)
{
	for (int i = 0; i < 2; i++) {
		struct gmem_region r = { .gpa = i * RING_HOLE, .size = RING_REGION };

		r.hva = guarded();
		FUZZ_CHECK(gmem_add(&ring.mem, &r) == 0);
	}
}

/**
 * ring_begin() - an input begins: memory is empty, queues of 16 have their usual places
 * @features:	of the first driver
 */
void ring_begin(const struct ring_device *dev, uint64_t features)
{
	const struct gmem mem = ring.mem;

	FUZZ_CHECK(dev->queues <= RING_QUEUES);
	memset(&ring, 0, sizeof(ring));
	ring.mem = mem;
	ring.dev = dev;
	ring.features = features;
	for (uint32_t i = 0; i < mem.nregions; i++)
		memset(mem.regions[i].hva, 0, RING_REGION);
	for (int q = 0; q < dev->queues; q++) {
		uint64_t base = 0x1000ULL * (q % 3) + 0x200ULL * (q / 3);

		ring.next[q] = (struct vq_config){ .size = 16, .ready = true };
		ring.next[q].desc = base;
		ring.next[q].avail = base + 0x400;
		ring.next[q].used = base + 0x800;
	}
}

/**
 * ring_start() - a driver comes, and has its queues where the steps have said
 *
 * Return: 0; -EINVAL, nothing is served: a transport would have refused it
 */
int ring_start(void)
{
	memcpy(ring.cfg, ring.next, sizeof(ring.cfg));
	for (int q = 0; q < ring.dev->queues; q++) {
		if (vq_config_check(&ring.cfg[q], &ring.mem)) {
			fuzz_work.refused++;
			return -EINVAL;
		}
		/* A driver clears its rings before it shows them. */
		memset(ring_at(ring.cfg[q].avail, 4), 0, 4);
		memset(ring_at(ring.cfg[q].used, 4), 0, 4);
	}
	ring_account_begin();
	return 0;
}

/**
 * ring_driver_ok() - what that driver says to a device without a transport
 */
void ring_driver_ok(struct vdev *d)
{
	uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	vdev_write_status(d, status);
	vdev_write_features(d, 0, (uint32_t)ring.features);
	vdev_write_features(d, 1, (uint32_t)(ring.features >> 32));
	status |= VIRTIO_CONFIG_S_FEATURES_OK;
	vdev_write_status(d, status);
	for (uint16_t q = 0; q < d->nqueues; q++) {
		const struct vq_config *c = &ring.cfg[q];

		FUZZ_CHECK(vdev_write_queue_size(d, q, c->size) == 0);
		FUZZ_CHECK(vdev_write_queue_addr(d, q, c->desc, c->avail, c->used) == 0);
		FUZZ_CHECK(vdev_write_queue_ready(d, q, true) == 0);
	}
	vdev_write_status(d, status | VIRTIO_CONFIG_S_DRIVER_OK);
	FUZZ_CHECK(d->started);
}

/* Memory is at 0 and at RING_HOLE; what is between is a hole; @high goes near 2^64. */
static uint64_t address(const uint8_t *p, bool high)
{
	uint64_t a = get_le16(p);

	a = a < RING_REGION ? a : a - RING_REGION + RING_HOLE;
	return high ? a | 0xffffffffffff0000ULL : a;
}

static void put_desc(uint8_t *d, const uint8_t *rec)
{
	uint8_t flags = rec[6];
	uint32_t len = get_le16(rec + 4);

	if (!d)
		return;
	put_le64(d, address(rec + 2, flags & 0x40));
	put_le32(d + 8, flags & 0x20 ? len << 16 : len);
	put_le16(d + 12, flags & 7);
	put_le16(d + 14, rec[7]);
}

static void place(struct vq_config *c, const uint8_t *rec)
{
	c->size = (uint16_t)(rec[1] & 0x80 ? rec[1] & 31 : 1 << rec[1] % 6);
	c->desc = address(rec + 2, false);
	c->avail = address(rec + 4, false);
	c->used = address(rec + 6, false);
}

static void offer(const struct vq_config *c, uint16_t head, int16_t by)
{
	uint8_t *avail = ring_at(c->avail, 6 + 2ULL * c->size);
	uint16_t idx;

	if (!avail || !c->size)
		return;
	idx = get_le16(avail + 2);
	if (by == 1)
		put_le16(avail + 4 + 2ULL * (idx % c->size), head);
	put_le16(avail + 2, (uint16_t)(idx + by));
}

/* The queue that a step is about. */
static int queue_of(const uint8_t *rec)
{
	return (rec[0] >> 4 & 7) % ring.dev->queues;
}

/**
 * ring_step() - do a step that is the driver's alone
 *
 * Return: false: it is the target's
 */
bool ring_step(const uint8_t *rec)
{
	int q = queue_of(rec);
	const struct vq_config *c = &ring.cfg[q];
	uint8_t *p;

	switch ((enum ring_step_kind)(rec[0] & 15)) {
	case RING_DESC:
		put_desc(ring_at(c->desc + 16ULL * rec[1], 16), rec);
		return true;
	case RING_OFFER:
		offer(c, rec[1], 1);
		return true;
	case RING_INDEX:
		offer(c, 0, (int16_t)get_le16(rec + 1));
		return true;
	case RING_WRITE:
		p = ring_at(address(rec + 1, false), 5);
		if (p)
			memcpy(p, rec + 3, 5);
		return true;
	case RING_FILL:
		p = ring_at(address(rec + 1, false), get_le16(rec + 3));
		if (p)
			memset(p, rec[5], get_le16(rec + 3));
		return true;
	case RING_FEATURE:
		ring.features &= ~(uint64_t)get_le32(rec + 1);
		return true;
	case RING_PLACE:
		place(&ring.next[q], rec);
		return true;
	case RING_TABLE:
		put_desc(ring_at(TABLES + TABLE * (uint64_t)q + 16ULL * (rec[1] % 32), 16), rec);
		return true;
	default:
		return false;
	}
}

static void one(const uint8_t *rec)
{
	const struct ring_device *dev = ring.dev;

	if (ring_step(rec))
		return;
	switch (rec[0] & 15) {
	case RING_TURN:
		dev->turn();
		break;
	case RING_RESTART:
		dev->stop(rec[1]);
		dev->start();
		break;
	default:
		if (dev->step)
			dev->step(rec);
		break;
	}
}

/**
 * ring_run() - a driver comes, does the steps of an input, and goes
 */
void ring_run(const uint8_t *data, size_t len)
{
	ring.dev->start();
	for (; len >= RING_RECORD; data += RING_RECORD, len -= RING_RECORD)
		one(data);
	ring.dev->stop(1);
}
