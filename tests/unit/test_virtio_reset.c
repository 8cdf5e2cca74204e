/* SPDX-License-Identifier: MIT */
/*
 * Reset while another thread serves (H17): once the driver's write of 0 has
 * returned, nobody touches its memory. The driver here clears that memory with
 * plain stores right after the reset, which the thread sanitizer would see, and
 * looks whether it stays clear, which any build sees.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <cmocka.h>

#include <linux/virtio_console.h>

#include "src/base/clock.h"
#include "tests/unit/vbringup.h"
#include "virtio/console.h"
#include "virtio/rng.h"

#define ROUNDS 200
#define QSIZE  16
#define BUF    4096

/**
 * struct rig - the device of the day; @kick_fd and @serve are its owner's loop
 */
struct rig {
	struct vdriver drv;
	struct vdev *d;
	struct vdqueue q[6];
	struct vrng *rng;
	struct vcon *con;
	int kick_fd;
	_Atomic bool quit;
};

static void serve(struct rig *r)
{
	if (r->rng) {
		vrng_service(r->rng);
	} else {
		vcon_service(r->con);
		vcon_port_write(r->con, 0, "bytes for the guest", 19);
	}
}

static void *owner(void *arg)
{
	struct rig *r = arg;
	struct pollfd p = { .fd = r->kick_fd, .events = POLLIN };

	while (!atomic_load(&r->quit)) {
		if (poll(&p, 1, 1000) == 1)
			serve(r);
	}
	return NULL;
}

/* Fill queue @q with buffers, as many as it takes. */
static void fill(struct rig *r, uint32_t q, bool write)
{
	for (uint32_t i = 0; i < QSIZE; i++) {
		struct vdesc b = { vdriver_alloc(&r->drv, BUF), BUF, write };

		vdq_add(&r->q[q], &b, 1, i & 1);
	}
	eventfd_write(r->d->queue[q].kick_fd, 1);
}

static void assert_stays_clear(struct rig *r)
{
	for (int look = 0; look < 3; look++) {
		const uint8_t *p = r->drv.hva;

		sched_yield();
		for (uint64_t i = 0; i < r->drv.size; i += 64)
			assert_int_equal(p[i] | p[i + 2] | p[i + 8], 0);
	}
}

static void one_life(struct rig *r, uint64_t features, uint32_t round)
{
	vb_negotiate(r->d, features);
	for (uint16_t i = 0; i < r->d->nqueues; i++)
		vb_queue(r->d, &r->drv, &r->q[i], i, QSIZE);
	vb_driver_ok(r->d);
	for (uint16_t i = 0; i < r->d->nqueues; i++)
		fill(r, i, r->rng || i % 2 == 0);
	/* Catch it at another point of its turn each time. */
	for (uint64_t at = clock_now_ns() + round * 2 * NS_PER_US; clock_now_ns() < at;)
		;
	vdev_write_status(r->d, 0);
	vb_forget(&r->drv);
	assert_stays_clear(r);
}

static uint64_t served(const struct rig *r)
{
	uint64_t n = 0;

	for (uint32_t q = 0; q < r->d->nqueues; q++)
		n += counter_get(&r->d->queue[q].n.used);
	return n;
}

/* ROUNDS lives, and more where the owner's thread seldom has a CPU at the same time. */
static void run(struct rig *r, uint64_t features)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, owner, r), 0);
	for (uint32_t i = 0; i < ROUNDS || (served(r) <= ROUNDS && i < 20 * ROUNDS); i++)
		one_life(r, features, i);
	atomic_store(&r->quit, true);
	eventfd_write(r->kick_fd, 1);
	pthread_join(thread, NULL);
	assert_true(served(r) > ROUNDS); /* H83 */
}

static void the_entropy_device_lets_go_at_reset(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	(void)state;
	vdriver_init(&r->drv, 1 << 20);
	assert_int_equal(vrng_new(&r->rng, &r->drv.mem), 0);
	r->d = vrng_vdev(r->rng);
	r->kick_fd = vrng_kick_fd(r->rng);
	run(r, VDRIVER_RING_FEATURES);
	vrng_free(r->rng);
	vdriver_fini(&r->drv);
	free(r);
}

static void the_console_lets_go_at_reset(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	const struct vcon_port_config ports[2] = { { .console = true }, { .name = "p" } };

	(void)state;
	vdriver_init(&r->drv, 1 << 20);
	assert_int_equal(vcon_new(&r->con, &r->drv.mem, ports, 2), 0);
	r->d = vcon_vdev(r->con);
	r->kick_fd = vcon_kick_fd(r->con);
	run(r, VDRIVER_RING_FEATURES);
	vcon_free(r->con);
	vdriver_fini(&r->drv);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_entropy_device_lets_go_at_reset),
		cmocka_unit_test(the_console_lets_go_at_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
