/* SPDX-License-Identifier: MIT */
/* Queues of guest payload: accepted and released are two events, and nothing is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tcpstack/bulk.h"
#include "tcpstack/limits.h"
#include "tcpstack/priv.h"

#define SEGS 400
#define BUFS 2

/* An engine that takes as much as it is told and lends the memory out. */
static uint32_t takes, reaps;
static uint8_t sink[1 << 20];
static uint32_t sunk;

static ssize_t fake_send(struct bulk *b, int fd, struct bulk_queue *q, uint32_t *offered)
{
	uint32_t left = takes;
	struct dlist *n;

	(void)b;
	(void)fd;
	*offered = q->bytes;
	dlist_for_each (n, &q->pending) {
		struct bulk_seg *seg = container_of(n, struct bulk_seg, node);
		uint32_t len = MIN(left, seg->len - seg->done);

		iov_read(seg->iov, seg->iovcnt, seg->done, sink + sunk, len);
		sunk += len;
		left -= len;
	}
	return (ssize_t)(takes - left);
}

static uint32_t fake_reap(struct bulk *b, struct bulk_queue *q)
{
	(void)b;
	(void)q;
	return reaps;
}

static const struct bulk_ops fake = { .name = "fake", .send = fake_send, .reap = fake_reap };

static uint32_t done[SEGS * 2], done_count;

static void tx_done(void *ctx, uint32_t token)
{
	(void)ctx;
	done[done_count++] = token;
}

static const struct port_ops port = { .tx_done = tx_done };

struct fixture {
	struct stack st;
	struct arena *arena;
	struct bulk b;
	struct bulk_queue q;
	uint8_t bytes[SEGS * 1000];
	uint32_t put;
};

static struct fixture fx;

static int setup(void **state)
{
	static const struct pool_config pools[] = {
		{ "seg", sizeof(struct bulk_seg), SEGS },
		{ "buf", LIMIT_TCP_PARK_BUF_BYTES, BUFS },
	};
	struct arena_config cfg = { .name = "bulk", .pools = pools, .npools = ARRAY_SIZE(pools) };

	(void)state;
	memset(&fx, 0, sizeof(fx));
	fx.st.port = &port;
	for (uint32_t i = 0; i < sizeof(fx.bytes); i++)
		fx.bytes[i] = (uint8_t)(i * 31 + i / 251);
	takes = reaps = sunk = done_count = 0;
	if (arena_new(&fx.arena, &cfg))
		return -1;
	bulk_init(&fx.b, &fx.st, &fake, arena_pool(fx.arena, "seg"), arena_pool(fx.arena, "buf"),
		  NULL);
	bulk_queue_init(&fx.q);
	return 0;
}

static int teardown(void **state)
{
	uint64_t leaks;

	(void)state;
	bulk_clear(&fx.b, &fx.q);
	leaks = arena_leaks(fx.arena);
	arena_free(fx.arena);
	return leaks == 0 && fx.b.bytes == 0 && fx.b.frames == 0 ? 0 : -1;
}

/* The next @len bytes of the stream, in @pieces pieces. */
static enum bulk_verdict put(uint32_t len, uint32_t pieces, bool may_hold)
{
	struct iovec iov[64];
	uint32_t at = 0;
	struct tx_frame f = { .len = len, .iov = iov, .iovcnt = pieces, .token = fx.put };
	enum bulk_verdict v;

	for (uint32_t i = 0; i < pieces; i++) {
		uint32_t n = i + 1 == pieces ? len - at : len / pieces;

		iov[i] = (struct iovec){ fx.bytes + fx.put + at, n };
		at += n;
	}
	v = bulk_put(&fx.b, &fx.q, &f, 0, len, may_hold);
	if (v != BULK_FULL)
		fx.put += len;
	return v;
}

static void send_all(uint32_t n)
{
	uint32_t offered;

	takes = n;
	assert_int_equal(bulk_send(&fx.b, &fx.q, -1, &offered), n);
}

/* H70 prepares here: the token stays with us after the bytes were accepted. */
static void accepted_is_not_released(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(put(1000, 3, true), BULK_HELD);
	send_all(2500);
	assert_int_equal(fx.q.bytes, 1500);
	assert_int_equal(fx.q.frames, 4);
	assert_int_equal(done_count, 0);
	reaps = 1;
	send_all(1000); /* the third is whole now */
	assert_int_equal(done_count, 1);
	assert_int_equal(done[0], 0);
	reaps = 9;
	send_all(500);
	assert_int_equal(fx.q.bytes, 0);
	assert_int_equal(done_count, 4);
	assert_int_equal(sunk, 4000);
	assert_memory_equal(sink, fx.bytes, 4000);
}

static void many_pieces_are_copied(void **state)
{
	(void)state;
	reaps = 9;
	assert_int_equal(put(1000, BULK_SEG_IOV, true), BULK_HELD);
	assert_int_equal(put(1000, BULK_SEG_IOV + 1, true), BULK_COPIED);
	assert_int_equal(put(1000, 30, true), BULK_COPIED);
	send_all(3000);
	assert_memory_equal(sink, fx.bytes, 3000);
	assert_int_equal(done_count, 1);
}

/* A stalled flow: few frames stay held, the others' bytes move, in order, from mid-frame on. */
static void parking_bounds_what_is_held(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(put(1000, 2, true), BULK_HELD);
	send_all(1300);
	reaps = UINT32_MAX;
	bulk_park(&fx.b, &fx.q);
	assert_int_equal(fx.q.frames - 1, LIMIT_TCP_HELD_FLOW); /* and the one lent out */
	assert_int_equal(fx.q.bytes, 98700);
	assert_int_equal(put(1000, 1, false), BULK_COPIED);
	while (fx.q.bytes)
		send_all(MIN(fx.q.bytes, 777));
	assert_int_equal(sunk, 101000);
	assert_memory_equal(sink, fx.bytes, 101000);
}

/* Without a slot nothing is taken, and what was taken stays whole. */
static void full_is_refused_whole(void **state)
{
	uint32_t taken;

	(void)state;
	while (put(1000, 1, false) == BULK_COPIED)
		;
	taken = fx.put;
	assert_in_range(taken, LIMIT_TCP_PARK_BUF_BYTES * BUFS - 1000,
			LIMIT_TCP_PARK_BUF_BYTES * BUFS);
	assert_int_equal(fx.q.bytes, taken);
	reaps = UINT32_MAX;
	send_all(taken);
	assert_memory_equal(sink, fx.bytes, taken);
}

/* Held frames never use up the records that copies need. */
static void records_are_left_for_copies(void **state)
{
	uint32_t held = 0;

	(void)state;
	while (put(100, 1, true) == BULK_HELD)
		held++;
	assert_int_equal(held, SEGS - LIMIT_TCP_SEGMENTS_COPY);
	assert_int_equal(put(100, 1, true), BULK_COPIED);
	reaps = UINT32_MAX;
	send_all(fx.q.bytes);
	assert_memory_equal(sink, fx.bytes, fx.put);
}

/* H17: what lies in the driver's memory goes; what was copied before it stays. */
static void dropping_frames_keeps_the_copies_in_front(void **state)
{
	(void)state;
	assert_int_equal(put(500, 1, false), BULK_COPIED);
	assert_int_equal(put(1000, 1, true), BULK_HELD);
	assert_int_equal(put(500, 1, false), BULK_COPIED);
	assert_int_equal(bulk_drop_frames(&fx.b, &fx.q), 1500);
	assert_int_equal(fx.q.bytes, 500);
	assert_int_equal(done_count, 1);
	reaps = UINT32_MAX;
	send_all(500);
	assert_memory_equal(sink, fx.bytes, 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(accepted_is_not_released, setup, teardown),
		cmocka_unit_test_setup_teardown(many_pieces_are_copied, setup, teardown),
		cmocka_unit_test_setup_teardown(parking_bounds_what_is_held, setup, teardown),
		cmocka_unit_test_setup_teardown(full_is_refused_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(records_are_left_for_copies, setup, teardown),
		cmocka_unit_test_setup_teardown(dropping_frames_keeps_the_copies_in_front, setup,
						teardown),
	};

	return cmocka_run_group_tests_name("bulk", tests, NULL, NULL);
}
