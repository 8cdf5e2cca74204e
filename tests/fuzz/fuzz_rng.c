/* SPDX-License-Identifier: MIT */
/*
 * virtio-rng, and a driver that writes anything into its ring and memory (ring.h).
 *
 * One call writes no more than its budget (H13); the device sleeps when there is nothing
 * to do, and then nothing waits; one whose ring is broken asks for a reset.
 */
#include <linux/virtio_config.h>

#include "tests/fuzz/ring.h"
#include "tests/unit/vmachine.h"
#include "virtio/rng_priv.h"

/* Calls after which a device that is not fed any more must sleep. */
#define TURNS 64

const struct fuzz_target fuzz_target = {
	.name = "rng",
	.done = "chains filled",
	.refused = "chains and drivers refused",
	.floor = 60,
	.alloc_one = 8192, /* struct vrng, which has all that it will ever need */
	.alloc_all = 8192,
	.setup = ring_setup,
};

static struct vrng *rng;

/* Bytes that the present call has written. */
static uint64_t written;

static struct virtq *queue(int q)
{
	(void)q;
	return &rng->q;
}

static void used(int q, uint32_t len)
{
	(void)q;
	written += len;
	fuzz_work.done += len > 0;
}

static bool broken(void)
{
	return rng->dev.status & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void turn(void)
{
	written = 0;
	ring_look(rng->q.started);
	vrng_service(rng);
	ring_check(broken());
	FUZZ_CHECK(written <= VRNG_BUDGET, "%llu bytes in one call", (unsigned long long)written);
	FUZZ_CHECK(!rng->q.started || rng->q.broken == broken(), "nobody asks for a reset");
}

/* The driver says nothing more: as the owner's loop does, until nothing is to be done. */
static void stop(uint8_t how)
{
	(void)how;
	if (!rng->q.started)
		return;
	turn(); /* the driver has kicked */
	for (int i = 0; vm_readable(vrng_kick_fd(rng)) && i < 2 * TURNS; i++) {
		FUZZ_CHECK(i < TURNS || !ring.strict, "it never sleeps");
		turn();
	}
	if (!broken() && ring.strict)
		ring_check_live(0);
}

static void start(void)
{
	vdev_write_status(&rng->dev, 0);
	if (ring_start() == 0)
		ring_driver_ok(&rng->dev);
}

static const struct ring_device device = {
	.queues = 1,
	.queue = queue,
	.used = used,
	.start = start,
	.stop = stop,
	.turn = turn,
};

void fuzz_one(const uint8_t *data, size_t len)
{
	FUZZ_CHECK(vrng_new(&rng, &ring.mem) == 0);
	ring_begin(&device, rng->dev.features);
	ring_run(data, len);
	for (int i = 0; i < VQ_FAULT_COUNT; i++)
		fuzz_work.refused += counter_get(&rng->dev.queue[0].n.faults[i]);
	vrng_free(rng);
}
