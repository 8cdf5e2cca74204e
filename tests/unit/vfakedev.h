/* SPDX-License-Identifier: MIT */
/*
 * A virtio device that does nothing but keep count, for tests of the status
 * machine and of the transports.
 */
#ifndef SLUICE_TESTS_VFAKEDEV_H
#define SLUICE_TESTS_VFAKEDEV_H

#include <linux/virtio_config.h>
#include <string.h>

#include "virtio/device.h"

#define FAKE_QUEUES	3
#define FAKE_CONFIG_LEN 10
#define FAKE_FEATURES	(1ULL << VIRTIO_F_VERSION_1 | 1ULL << 5 | 1ULL << 29)

/**
 * struct fakedev - @starts and @stops count calls, @start_error is what start answers
 */
struct fakedev {
	struct vdev dev;
	uint32_t starts, stops;
	int start_error;
	uint8_t config[FAKE_CONFIG_LEN];
};

static inline int fake_start(struct vdev *d)
{
	struct fakedev *f = container_of(d, struct fakedev, dev);

	f->starts++;
	return f->start_error;
}

static inline void fake_stop(struct vdev *d)
{
	struct fakedev *f = container_of(d, struct fakedev, dev);

	BUG_ON(f->stops == f->starts);
	f->stops++;
}

static inline void fake_config_read(struct vdev *d, uint32_t off, void *buf, uint32_t len)
{
	struct fakedev *f = container_of(d, struct fakedev, dev);

	BUG_ON(len == 0 || !range_ok(off, len, sizeof(f->config)));
	memcpy(buf, f->config + off, len);
}

static inline void fake_config_write(struct vdev *d, uint32_t off, const void *buf, uint32_t len)
{
	struct fakedev *f = container_of(d, struct fakedev, dev);

	BUG_ON(len == 0 || !range_ok(off, len, sizeof(f->config)));
	memcpy(f->config + off, buf, len);
}

static inline void fakedev_init(struct fakedev *f, const struct gmem *mem)
{
	static const struct vdev_ops ops = { fake_start, fake_stop, fake_config_read,
					     fake_config_write };
	static const uint16_t sizes[FAKE_QUEUES] = { 256, 64, 16 };

	*f = (struct fakedev){
		.dev = { .name = "fake",
			 .ops = &ops,
			 .device_id = 1,
			 .features = FAKE_FEATURES,
			 .config_len = FAKE_CONFIG_LEN },
	};
	for (uint32_t i = 0; i < FAKE_CONFIG_LEN; i++)
		f->config[i] = (uint8_t)(0xa0 + i);
	BUG_ON(vdev_init(&f->dev, mem, sizes, FAKE_QUEUES));
}

#endif
