/* SPDX-License-Identifier: MIT */
/* Rings: configuration, publishing, interrupts and kicks. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/vdriver.h"

struct fixture {
	struct vdriver drv;
	struct vdqueue d;
	struct virtq q;
	struct vq_counters n;
	struct iovec iov[VQ_SIZE_MAX];
	uint64_t buf;
	unsigned int calls;
};

static void count_call(void *ctx, uint16_t index)
{
	struct fixture *f = ctx;

	assert_int_equal(index, 7);
	f->calls++;
}

static struct fixture *begin(uint16_t size, uint64_t features)
{
	struct fixture *f = calloc(1, sizeof(*f));

	vdriver_init(&f->drv, 4 << 20);
	vdq_init(&f->d, &f->drv, size, features);
	f->buf = vdriver_alloc(&f->drv, 4096);
	f->q.index = 7;
	f->q.call_fd = -1;
	f->q.call_fn = count_call;
	f->q.call_ctx = f;
	f->q.n = &f->n;
	assert_int_equal(vq_start(&f->q, &f->d.cfg, &f->drv.mem, features, 0), 0);
	return f;
}

static void end(struct fixture *f)
{
	vq_stop(&f->q);
	vdriver_fini(&f->drv);
	free(f);
}

static void offer(struct fixture *f, unsigned int n)
{
	const struct vdesc b = { f->buf, 64, false };

	while (n--)
		assert_true(vdq_add(&f->d, &b, 1, false) >= 0);
}

static void serve(struct fixture *f, unsigned int n)
{
	struct vq_chain c;

	while (n--) {
		assert_int_equal(vq_pop(&f->q, VQ_READABLE, &c, f->iov, VQ_SIZE_MAX), 1);
		vq_use(&f->q, c.head, 0);
	}
}

/* H4: a power of two, 1..max; 0 divides nothing. */
static void sizes_are_checked(void **state)
{
	static const uint16_t bad[] = { 0, 3, 255, 257, 2048, 0x8000, 0xffff };
	struct fixture *f = begin(16, 0);
	struct vq_config cfg = f->d.cfg;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cfg.size = bad[i];
		assert_int_equal(vq_config_check(&cfg, &f->drv.mem), -EINVAL);
	}
	for (cfg.size = 1; cfg.size <= VQ_SIZE_MAX; cfg.size = (uint16_t)(cfg.size * 2))
		assert_int_equal(vq_config_check(&cfg, &f->drv.mem), 0);
	end(f);
}

/* H5: each ring wholly inside a region, also near 2^64 and at a region's end. */
static void rings_lie_inside_memory(void **state)
{
	struct fixture *f = begin(16, 0);
	uint64_t top = VDRIVER_GPA + f->drv.size;
	struct vq_config cfg = f->d.cfg;

	(void)state;
	cfg.desc = UINT64_MAX & ~15ULL;
	assert_int_equal(vq_config_check(&cfg, &f->drv.mem), -EFAULT);
	assert_int_equal(vq_start(&f->q, &cfg, &f->drv.mem, 0, 0), -EFAULT);
	assert_int_equal(counter_get(&f->n.faults[VQ_FAULT_RING_MEMORY]), 1);
	cfg.desc = top - 256;
	assert_int_equal(vq_config_check(&cfg, &f->drv.mem), 0);
	cfg.desc = top - 240;
	assert_int_equal(vq_config_check(&cfg, &f->drv.mem), -EFAULT);
	cfg = f->d.cfg;
	cfg.avail = top - 38;
	assert_int_equal(vq_config_check(&cfg, &f->drv.mem), 0);
	cfg.avail = top - 36; /* used_event would lie outside */
	assert_int_equal(vq_config_check(&cfg, &f->drv.mem), -EFAULT);
	cfg = f->d.cfg;
	cfg.used = top - 136;
	assert_int_equal(vq_config_check(&cfg, &f->drv.mem), 0);
	cfg.used = top - 132; /* avail_event would lie outside */
	assert_int_equal(vq_config_check(&cfg, &f->drv.mem), -EFAULT);
	cfg = f->d.cfg;
	cfg.desc += 8;
	assert_int_equal(vq_config_check(&cfg, &f->drv.mem), -EINVAL);
	cfg = f->d.cfg;
	cfg.avail += 1;
	assert_int_equal(vq_config_check(&cfg, &f->drv.mem), -EINVAL);
	cfg = f->d.cfg;
	cfg.used += 2;
	assert_int_equal(vq_config_check(&cfg, &f->drv.mem), -EINVAL);
	end(f);
}

static void batch_is_shown_by_one_publish(void **state)
{
	struct fixture *f = begin(16, 0);
	uint16_t head;
	uint32_t len;

	(void)state;
	offer(f, 10);
	serve(f, 10);
	assert_int_equal(vdq_used_pending(&f->d), 0);
	assert_true(vq_publish(&f->q));
	assert_int_equal(vdq_used_pending(&f->d), 10);
	assert_int_equal(f->calls, 1);
	assert_int_equal(counter_get(&f->n.publishes), 1);
	assert_false(vq_publish(&f->q));
	assert_int_equal(f->calls, 1);
	while (vdq_take(&f->d, &head, &len))
		assert_int_equal(len, 0);
	end(f);
}

static void indices_wrap(void **state)
{
	struct fixture *f = begin(4, VDRIVER_RING_FEATURES);
	uint16_t head;
	uint32_t len;

	(void)state;
	for (unsigned int i = 0; i < 70000; i++) {
		(void)vdq_want_call(&f->d);
		offer(f, 1);
		serve(f, 1);
		if (!vq_publish(&f->q))
			fail_msg("interrupt %u lost", i);
		assert_true(vdq_take(&f->d, &head, &len));
	}
	assert_int_equal(f->calls, 70000);
	end(f);
}

static void flag_suppresses_interrupts(void **state)
{
	struct fixture *f = begin(16, 0);

	(void)state;
	vdq_no_call(&f->d);
	offer(f, 1);
	serve(f, 1);
	assert_false(vq_publish(&f->q));
	assert_int_equal(counter_get(&f->n.calls_suppressed), 1);
	(void)vdq_want_call(&f->d);
	offer(f, 1);
	serve(f, 1);
	assert_true(vq_publish(&f->q));
	end(f);
}

/* Virtio 1.2, 2.7.7: exactly the batch that passes used_event interrupts. */
static void event_decides_on_interrupts(void **state)
{
	struct fixture *f = begin(16, VDRIVER_RING_FEATURES);

	(void)state;
	f->d.avail->ring[16] = 4; /* wants to hear of the fifth */
	offer(f, 16);
	serve(f, 3);
	assert_false(vq_publish(&f->q));
	serve(f, 1);
	assert_false(vq_publish(&f->q));
	serve(f, 2);
	assert_true(vq_publish(&f->q));
	serve(f, 5);
	assert_false(vq_publish(&f->q));
	assert_int_equal(f->calls, 1);
	assert_int_equal(counter_get(&f->n.calls_suppressed), 3);
	end(f);
}

static void call_goes_to_the_eventfd(void **state)
{
	struct fixture *f = begin(16, 0);
	uint64_t v = 0;

	(void)state;
	f->q.call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(f->q.call_fd >= 0);
	offer(f, 2);
	serve(f, 2);
	assert_true(vq_publish(&f->q));
	assert_int_equal(read(f->q.call_fd, &v, sizeof(v)), sizeof(v));
	assert_int_equal(v, 1);
	assert_int_equal(f->calls, 0);
	close(f->q.call_fd);
	end(f);
}

static void kicks_can_be_turned_off_and_on(void **state)
{
	static const uint64_t features[] = { 0, VDRIVER_RING_FEATURES };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		struct fixture *f = begin(16, features[i]);

		offer(f, 1);
		assert_true(vdq_kick_due(&f->d)); /* wanted from the start */
		vq_notify_off(&f->q);
		serve(f, 1);
		offer(f, 1);
		assert_false(vdq_kick_due(&f->d));
		serve(f, 1);
		assert_false(vq_notify_on(&f->q));
		offer(f, 1);
		assert_true(vdq_kick_due(&f->d));
		end(f);
	}
}

/* The race before sleep: what came while notifications were off is reported. */
static void notify_on_sees_what_came_meanwhile(void **state)
{
	static const uint64_t features[] = { 0, VDRIVER_RING_FEATURES };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		struct fixture *f = begin(16, features[i]);

		vq_notify_off(&f->q);
		offer(f, 1);
		assert_true(vq_notify_on(&f->q));
		serve(f, 1);
		assert_false(vq_notify_on(&f->q));
		end(f);
	}
}

/* H3: an index that ran ahead by more than the size breaks the ring; nothing is served. */
static void index_gap_breaks_the_queue(void **state)
{
	struct fixture *f = begin(16, 0);
	struct vq_chain c;

	(void)state;
	offer(f, 1);
	f->d.avail->idx = 17;
	assert_int_equal(vq_pop(&f->q, VQ_READABLE, &c, f->iov, VQ_SIZE_MAX), -EPIPE);
	assert_true(f->q.broken);
	assert_int_equal(counter_get(&f->n.faults[VQ_FAULT_AVAIL_GAP]), 1);
	assert_int_equal(vq_pop(&f->q, VQ_READABLE, &c, f->iov, VQ_SIZE_MAX), -EPIPE);
	assert_false(vq_publish(&f->q));
	assert_false(vq_notify_on(&f->q));
	assert_int_equal(counter_get(&f->n.chains), 0);
	end(f);
}

static void full_ring_is_no_gap(void **state)
{
	struct fixture *f = begin(16, 0);

	(void)state;
	offer(f, 16);
	assert_int_equal(vq_pending(&f->q), 16);
	serve(f, 16);
	assert_int_equal(vq_pending(&f->q), 0);
	end(f);
}

/* H15: a restart takes no event or flag from the life before. */
static void restart_goes_on_where_it_stopped(void **state)
{
	static const uint64_t features[] = { 0, VDRIVER_RING_FEATURES };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		struct fixture *f = begin(16, features[i]);
		uint16_t head;
		uint32_t len;

		offer(f, 5);
		serve(f, 5);
		vq_publish(&f->q);
		vq_notify_off(&f->q);
		vq_stop(&f->q);
		while (vdq_take(&f->d, &head, &len))
			;
		*vdq_avail_event(&f->d) = 0x7777; /* stale */
		assert_int_equal(vq_start(&f->q, &f->d.cfg, &f->drv.mem, features[i], 5), 0);
		(void)vdq_kick_due(&f->d);
		offer(f, 1);
		assert_true(vdq_kick_due(&f->d));
		serve(f, 1);
		vq_publish(&f->q);
		assert_int_equal(vdq_used_pending(&f->d), 1);
		end(f);
	}
}

static void unpop_offers_the_chain_again(void **state)
{
	struct fixture *f = begin(16, 0);
	struct vq_chain a, b;

	(void)state;
	offer(f, 3);
	serve(f, 1);
	assert_int_equal(vq_pop(&f->q, VQ_READABLE, &a, f->iov, VQ_SIZE_MAX), 1);
	vq_unpop(&f->q, 1);
	assert_int_equal(vq_pending(&f->q), 2);
	assert_int_equal(vq_pop(&f->q, VQ_READABLE, &b, f->iov, VQ_SIZE_MAX), 1);
	assert_int_equal(a.head, b.head);
	assert_int_equal(counter_get(&f->n.chains), 2);
	end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_checked),
		cmocka_unit_test(rings_lie_inside_memory),
		cmocka_unit_test(batch_is_shown_by_one_publish),
		cmocka_unit_test(indices_wrap),
		cmocka_unit_test(flag_suppresses_interrupts),
		cmocka_unit_test(event_decides_on_interrupts),
		cmocka_unit_test(call_goes_to_the_eventfd),
		cmocka_unit_test(kicks_can_be_turned_off_and_on),
		cmocka_unit_test(notify_on_sees_what_came_meanwhile),
		cmocka_unit_test(index_gap_breaks_the_queue),
		cmocka_unit_test(full_ring_is_no_gap),
		cmocka_unit_test(restart_goes_on_where_it_stopped),
		cmocka_unit_test(unpop_offers_the_chain_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
