/* SPDX-License-Identifier: MIT */
/* Queues of guest payload: accepted and released are two events, and nothing is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "src/base/clock.h"

#include "tcpstack/bulk.h"
#include "tcpstack/limits.h"
#include "tcpstack/priv.h"

#define SEGS  400
#define BUFS  2
#define LOANS 2

/* An engine that takes as much as it is told, and lets go of as much as it is told. */
static uint32_t takes;
static uint64_t let_go;
static uint32_t frame_descs;
static uint32_t opens, closes, reaps, ends;
static bool by_ref; /* the batch is offered to the engine that lends */
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

static int fake_open(struct bulk *b, struct bulk_loan *ln)
{
	(void)b;
	(void)ln;
	opens++;
	return 0;
}

static uint64_t fake_reap(struct bulk *b, struct bulk_loan *ln)
{
	(void)b;
	(void)ln;
	reaps++;
	return let_go;
}

static void fake_ended(struct bulk *b, struct bulk_loan *ln)
{
	(void)b;
	assert_null(ln->q);
	ends++;
}

static void fake_close(struct bulk *b, struct bulk_loan *ln)
{
	(void)b;
	(void)ln;
	closes++;
}

/* As the kernel-tracked engines: a small batch is not worth it. */
static bool fake_wants(struct bulk *b, const struct bulk_queue *q)
{
	(void)b;
	return q->bytes >= 10000;
}

static const struct bulk_ops fake_copy = { .name = "copy", .send = fake_send };
static struct bulk_ops fake_ref = {
	.name = "lend",
	.send = fake_send,
	.open = fake_open,
	.reap = fake_reap,
	.ended = fake_ended,
	.close = fake_close,
};

static uint64_t now_ns;

static uint64_t fake_now(void *ctx)
{
	(void)ctx;
	return now_ns;
}

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
		{ "loan", sizeof(struct bulk_loan), LOANS },
	};
	struct arena_config cfg = { .name = "bulk", .pools = pools, .npools = ARRAY_SIZE(pools) };

	(void)state;
	memset(&fx, 0, sizeof(fx));
	fx.st.port = &port;
	fx.st.cfg.bulk = STACK_BULK_SPLICE; /* a batch of any size */
	fx.st.caps.tx_ring = 256;
	frame_descs = 1;
	for (uint32_t i = 0; i < sizeof(fx.bytes); i++)
		fx.bytes[i] = (uint8_t)(i * 31 + i / 251);
	takes = opens = closes = reaps = ends = sunk = done_count = 0;
	let_go = 0;
	by_ref = false;
	now_ns = 1000;
	if (arena_new(&fx.arena, &cfg) || loop_new(&fx.st.loop, fake_now, NULL))
		return -1;
	bulk_init(&fx.b, &fx.st, arena_pool(fx.arena, "seg"), arena_pool(fx.arena, "buf"),
		  arena_pool(fx.arena, "loan"), NULL);
	fx.b.engines[BULK_COPY] = &fake_copy;
	fx.b.engines[BULK_SPLICE] = &fake_ref;
	bulk_queue_init(&fx.q);
	return 0;
}

static int teardown(void **state)
{
	uint64_t leaks;

	(void)state;
	if (bulk_end(&fx.b, &fx.q, -1))
		bulk_abandon(&fx.b);
	leaks = arena_leaks(fx.arena);
	arena_free(fx.arena);
	loop_free(fx.st.loop);
	return leaks == 0 && fx.b.bytes == 0 && fx.b.frames == 0 && fx.b.descs == 0 &&
			       fx.b.lent_bytes == 0 && fx.b.lent_frames == 0 && fx.b.lent_descs == 0
		       ? 0
		       : -1;
}

/* The next @len bytes of the stream, in @pieces pieces. */
static enum bulk_verdict put(uint32_t len, uint32_t pieces, bool may_hold)
{
	struct iovec iov[64];
	uint32_t at = 0;
	struct tx_frame f = {
		.len = len, .iov = iov, .iovcnt = pieces, .descs = frame_descs, .token = fx.put
	};
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
	fx.q.allowed = by_ref ? 1U << BULK_SPLICE : 0;
	assert_int_equal(bulk_send(&fx.b, &fx.q, -1, &offered), n);
}

/* The clock moves, and the engine is asked. */
static void poll_after(uint64_t ns)
{
	now_ns += ns;
	loop_wait(fx.st.loop, false);
	bulk_poll(&fx.b);
}

/* H70: the token stays with us after the bytes were accepted, until they are let go. */
static void accepted_is_not_released(void **state)
{
	(void)state;
	by_ref = true;
	for (int i = 0; i < 4; i++)
		assert_int_equal(put(10000, 3, true), BULK_HELD);
	send_all(25000);
	assert_int_equal(fx.q.bytes, 15000);
	assert_int_equal(fx.q.frames, 2);
	assert_int_equal(fx.b.lent_frames, 2);
	assert_int_equal(fx.b.lent_bytes, 20000);
	let_go = 19999;
	poll_after(LIMIT_BULK_POLL_MIN_NS);
	assert_int_equal(done_count, 1);
	assert_int_equal(done[0], 0);
	by_ref = false;
	send_all(5000); /* the third is whole now, and its first half was lent */
	assert_int_equal(done_count, 1);
	send_all(10000); /* the fourth was copied: it is done with before those in front of it */
	assert_int_equal(done_count, 2);
	assert_int_equal(done[1], 30000);
	let_go = 24999;
	poll_after(LIMIT_BULK_POLL_MIN_NS);
	assert_int_equal(done_count, 3);
	let_go = 25000;
	poll_after(LIMIT_BULK_POLL_MIN_NS);
	assert_int_equal(done_count, 4);
	assert_int_equal(sunk, 40000);
	assert_memory_equal(sink, fx.bytes, 40000);
}

/* A segment that is cut by parking leaves its lent half behind. */
static void parking_keeps_what_is_lent(void **state)
{
	(void)state;
	by_ref = true;
	for (int i = 0; i < 30; i++)
		assert_int_equal(put(1000, 2, true), BULK_HELD);
	send_all(1300);
	fx.b.descs += LIMIT_TCP_HELD_ALL; /* as if other flows held so many */
	bulk_park(&fx.b, &fx.q);
	fx.b.descs -= LIMIT_TCP_HELD_ALL;
	assert_int_equal(fx.q.frames, 0);
	assert_int_equal(fx.b.lent_frames, 2);
	assert_int_equal(done_count, 28);
	by_ref = false;
	while (fx.q.bytes)
		send_all(MIN(fx.q.bytes, 777));
	let_go = 1299;
	poll_after(LIMIT_BULK_POLL_MIN_NS);
	assert_int_equal(done_count, 29);
	let_go = 1300;
	poll_after(LIMIT_BULK_POLL_MIN_NS);
	assert_int_equal(done_count, 30);
	assert_memory_equal(sink, fx.bytes, 30000);
}

/* H72: bytes, segments and age are bounded; past a bound the batch is copied. */
static void past_its_bounds_a_flow_copies(void **state)
{
	uint32_t lent;

	(void)state;
	by_ref = true;
	for (uint32_t n = 0; n <= LIMIT_BULK_LENT_SEGS / 16; n++) {
		for (int i = 0; i < 16; i++)
			assert_int_equal(put(1024, 1, true), BULK_HELD);
		send_all(16 * 1024);
	}
	assert_int_equal(fx.b.lent_frames, LIMIT_BULK_LENT_SEGS);
	assert_int_equal(done_count, 16); /* the last batch was copied */
	let_go = 16 * 1024;
	poll_after(LIMIT_BULK_POLL_MIN_NS);
	lent = fx.b.lent_frames;
	assert_int_equal(lent, LIMIT_BULK_LENT_SEGS - 16);
	assert_int_equal(put(16 * 1024, 1, true), BULK_HELD);
	send_all(16 * 1024); /* there is room again */
	assert_int_equal(fx.b.lent_frames, lent + 1);

	poll_after(LIMIT_BULK_LENT_AGE_NS + 1);
	assert_int_equal(put(16 * 1024, 1, true), BULK_HELD);
	send_all(16 * 1024); /* nothing has been let go for too long */
	assert_int_equal(fx.b.lent_frames, lent + 1);
	assert_memory_equal(sink, fx.bytes, sunk);
}

/* H72: a ring without INDIRECT holds few frames; it is neither lent nor parked away. */
static void a_short_ring_stays_the_guests(void **state)
{
	static const struct {
		uint32_t ring, lent, kept;
	} cases[] = { { 256, 128, 64 }, { 64, 26, 16 }, { 32, 0, 8 }, { 2, 0, 0 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t batches = 0;

		fx.st.caps.tx_ring = cases[i].ring;
		frame_descs = 5;
		by_ref = true;
		for (; batches < 40; batches++) {
			assert_int_equal(put(1024, 4, true), BULK_HELD);
			send_all(1024);
			assert_true(fx.b.lent_descs <= cases[i].lent);
		}
		assert_int_equal(fx.b.lent_frames, cases[i].lent / 5);
		assert_int_equal(done_count, batches - cases[i].lent / 5);
		frame_descs = 3;
		for (int k = 0; k < 30; k++)
			assert_int_equal(put(1024, 4, true), BULK_HELD);
		bulk_park(&fx.b, &fx.q);
		assert_true(fx.b.descs <= cases[i].kept);
		assert_int_equal(fx.q.frames, MIN(cases[i].kept / 3, LIMIT_TCP_HELD_FLOW));
		by_ref = false;
		let_go = fx.put;
		send_all(30 * 1024);
		assert_memory_equal(sink, fx.bytes, sunk);
		if (bulk_end(&fx.b, &fx.q, dup(0)))
			bulk_abandon(&fx.b);
		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
	}
}

/* Old loans are asked after seldom, and never forgotten. */
static void a_stopped_reader_is_asked_seldom(void **state)
{
	(void)state;
	by_ref = true;
	assert_int_equal(put(20000, 1, true), BULK_HELD);
	send_all(20000);
	for (uint64_t ns = 0; ns < NS_PER_S; ns += LIMIT_BULK_POLL_MIN_NS)
		poll_after(LIMIT_BULK_POLL_MIN_NS);
	assert_in_range(reaps, 20, 120);
	let_go = 20000;
	poll_after(LIMIT_BULK_POLL_MAX_NS);
	assert_int_equal(done_count, 1);
}

static void on_alarm(int sig)
{
	(void)sig; /* it ends a sleep that would have no end */
}

/* Does a worker that sleeps wake up by itself? In real time, of which it gets a minute. */
static bool wakes_up(void)
{
	const struct itimerval soon = { .it_value.tv_sec = 60 }, off = { 0 };
	const struct sigaction act = { .sa_handler = on_alarm };
	struct itimerval left;

	assert_int_equal(sigaction(SIGALRM, &act, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
	loop_wait(fx.st.loop, true);
	assert_int_equal(setitimer(ITIMER_REAL, &off, &left), 0);
	return left.it_value.tv_sec || left.it_value.tv_usec;
}

/*
 * H72: a flow that sends once and then is silent has nothing to wake for but what it has
 * lent; and what the engine has heard meanwhile is released at once.
 */
static void a_sleeping_worker_wakes_for_what_is_lent(void **state)
{
	(void)state;
	by_ref = true;
	bulk_poll(&fx.b);
	assert_int_equal(put(20000, 1, true), BULK_HELD);
	send_all(20000);
	bulk_wake(&fx.b);
	assert_true(wakes_up());
	now_ns += LIMIT_BULK_POLL_MIN_NS;
	let_go = 20000;
	poll_after(0);
	assert_int_equal(done_count, 1);

	fake_ref.notifies = true;
	assert_int_equal(put(20000, 1, true), BULK_HELD);
	send_all(20000);
	let_go = 40000;
	fx.q.loan->due = true;
	bulk_wake(&fx.b);
	assert_true(wakes_up());
	poll_after(0);
	fake_ref.notifies = false;
	assert_int_equal(done_count, 2);
	assert_false(fx.q.loan->due);
}

static void room(struct bulk *b, struct bulk_queue *q)
{
	(void)b;
	(void)q;
}

/*
 * A flow waits for what is lent, and the driver goes: all comes home, and what waited is
 * dropped. What the guest sends again is a smaller batch, which waits for nothing.
 */
static void a_wait_ends_with_what_waited(void **state)
{
	uint32_t offered;

	(void)state;
	fake_ref.notifies = true;
	fake_ref.wants = fake_wants;
	fx.b.on_room = room;
	by_ref = true;
	for (int i = 0; i < LIMIT_BULK_LENT_SEGS; i++) {
		assert_int_equal(put(1000, 1, true), BULK_HELD);
		if (i % 16 == 15)
			send_all(16000);
	}
	for (int i = 0; i < 20; i++)
		assert_int_equal(put(1000, 1, true), BULK_HELD);
	assert_int_equal(bulk_send(&fx.b, &fx.q, -1, &offered), -EAGAIN);
	assert_true(fx.q.waiting);
	let_go = LIMIT_BULK_LENT_SEGS * 1000;
	bulk_drain(&fx.b);
	assert_int_equal(bulk_drop_frames(&fx.b, &fx.q), 20000);
	fx.put -= 20000;
	assert_int_equal(put(1000, 1, true), BULK_HELD);
	send_all(1000);
	assert_false(fx.q.waiting);
	fake_ref.notifies = false;
	fake_ref.wants = NULL;
	assert_memory_equal(sink, fx.bytes, sunk);
}

/* H76: a loan outlives its flow, with the socket; its handle tells when it is gone. */
static void a_loan_outlives_its_flow(void **state)
{
	struct pool_handle h;
	int fd = dup(0);

	(void)state;
	by_ref = true;
	assert_int_equal(put(20000, 1, true), BULK_HELD);
	assert_int_equal(put(20000, 1, true), BULK_HELD);
	assert_int_equal(put(500, 1, true), BULK_HELD);
	send_all(30000);
	h = pool_handle_of(fx.b.loans, fx.q.loan);
	assert_true(bulk_end(&fx.b, &fx.q, fd));
	assert_null(fx.q.loan);
	assert_int_equal(ends, 1);
	assert_int_equal(done_count, 1); /* that which no socket had seen */
	assert_int_equal(done[0], 40000);
	bulk_queue_init(&fx.q); /* the record serves another flow */
	let_go = 20000;
	poll_after(LIMIT_BULK_POLL_MIN_NS);
	assert_int_equal(done_count, 2);
	assert_non_null(pool_resolve(fx.b.loans, h));
	assert_true(fcntl(fd, F_GETFD) >= 0);
	let_go = 30000;
	poll_after(LIMIT_BULK_POLL_MIN_NS);
	assert_int_equal(done_count, 3);
	assert_int_equal(closes, 1);
	assert_null(pool_resolve(fx.b.loans, h));
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

/* What is idle is given to who needs it; what is out is not, and there the batch is copied. */
static void loans_are_lent_on_when_idle(void **state)
{
	struct bulk_queue q[LOANS + 1];

	(void)state;
	for (int i = 0; i <= LOANS; i++) {
		bulk_queue_init(&q[i]);
		assert_non_null(bulk_loan_open(&fx.b, &q[i], BULK_SPLICE, -1));
	}
	assert_int_equal(opens, LOANS + 1);
	assert_null(q[0].loan);
	assert_non_null(q[LOANS].loan);
	for (int i = 1; i <= LOANS; i++)
		assert_false(bulk_end(&fx.b, &q[i], -1));
	assert_int_equal(closes, LOANS + 1);
}

/* H17: the driver's memory goes: what is lent is taken back, and that is counted. */
static void abandoning_takes_all_back(void **state)
{
	int fd = dup(0);

	(void)state;
	by_ref = true;
	assert_int_equal(put(20000, 1, true), BULK_HELD);
	assert_int_equal(put(20000, 1, true), BULK_HELD);
	send_all(40000);
	let_go = 20000;
	assert_true(bulk_end(&fx.b, &fx.q, fd));
	assert_int_equal(done_count, 1);
	bulk_abandon(&fx.b);
	assert_int_equal(done_count, 2);
	assert_int_equal(counter_get(&fx.st.n.bulk_abandoned), 1);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	bulk_queue_init(&fx.q);
}

static void many_pieces_are_copied(void **state)
{
	(void)state;
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
	bulk_park(&fx.b, &fx.q);
	assert_int_equal(fx.q.frames, LIMIT_TCP_HELD_FLOW);
	assert_int_equal(fx.q.bytes, 98700);
	assert_int_equal(put(1000, 1, false), BULK_COPIED);
	while (fx.q.bytes)
		send_all(MIN(fx.q.bytes, 777));
	assert_int_equal(sunk, 101000);
	assert_memory_equal(sink, fx.bytes, 101000);
}

/* Owning: no frame is left but those for which the arena has no room; only they are held. */
static void what_is_owned_is_held_no_more(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(put(1000, 1, true), BULK_HELD);
	send_all(1500);
	assert_int_equal(bulk_held_bytes(&fx.q), 98500);
	bulk_own(&fx.b, &fx.q);
	assert_int_equal(fx.q.frames, 0);
	assert_int_equal(bulk_held_bytes(&fx.q), 0);
	assert_int_equal(put(1000, 1, true), BULK_HELD);
	assert_int_equal(put(1000, 1, true), BULK_HELD);
	assert_int_equal(bulk_held_bytes(&fx.q), 2000);
	for (int i = 0; i < 60; i++)
		assert_int_equal(put(1000, 1, true), BULK_HELD);
	bulk_own(&fx.b, &fx.q);
	assert_true(fx.q.frames > 0);
	assert_int_equal(bulk_held_bytes(&fx.q), 1000 * fx.q.frames);
	while (fx.q.bytes)
		send_all(MIN(fx.q.bytes, 777));
	assert_int_equal(bulk_held_bytes(&fx.q), 0);
	assert_memory_equal(sink, fx.bytes, sunk);
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
	send_all(500);
	assert_memory_equal(sink, fx.bytes, 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(accepted_is_not_released, setup, teardown),
		cmocka_unit_test_setup_teardown(parking_keeps_what_is_lent, setup, teardown),
		cmocka_unit_test_setup_teardown(a_short_ring_stays_the_guests, setup, teardown),
		cmocka_unit_test_setup_teardown(past_its_bounds_a_flow_copies, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stopped_reader_is_asked_seldom, setup, teardown),
		cmocka_unit_test_setup_teardown(a_sleeping_worker_wakes_for_what_is_lent, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_wait_ends_with_what_waited, setup, teardown),
		cmocka_unit_test_setup_teardown(a_loan_outlives_its_flow, setup, teardown),
		cmocka_unit_test_setup_teardown(loans_are_lent_on_when_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(abandoning_takes_all_back, setup, teardown),
		cmocka_unit_test_setup_teardown(many_pieces_are_copied, setup, teardown),
		cmocka_unit_test_setup_teardown(parking_bounds_what_is_held, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_owned_is_held_no_more, setup, teardown),
		cmocka_unit_test_setup_teardown(full_is_refused_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(records_are_left_for_copies, setup, teardown),
		cmocka_unit_test_setup_teardown(dropping_frames_keeps_the_copies_in_front, setup,
						teardown),
	};

	return cmocka_run_group_tests_name("bulk", tests, NULL, NULL);
}
