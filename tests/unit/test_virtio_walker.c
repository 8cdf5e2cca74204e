/* SPDX-License-Identifier: MIT */
/* The walker: every malformed chain is counted and retired, and the rest goes on. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/vdriver.h"

#define SIZE 16

struct fixture {
	struct vdriver drv;
	struct vdqueue d;
	struct virtq q;
	struct vq_counters n;
	struct iovec iov[VQ_SIZE_MAX];
	uint64_t buf;
};

static struct fixture *begin_with(uint16_t size, uint64_t features)
{
	struct fixture *f = calloc(1, sizeof(*f));

	vdriver_init(&f->drv, 8 << 20);
	vdq_init(&f->d, &f->drv, size, features);
	f->buf = vdriver_alloc(&f->drv, 65536);
	f->q.call_fd = -1;
	f->q.n = &f->n;
	assert_int_equal(vq_start(&f->q, &f->d.cfg, &f->drv.mem, features, 0), 0);
	return f;
}

static struct fixture *begin(void)
{
	return begin_with(SIZE, VDRIVER_RING_FEATURES);
}

static void end(struct fixture *f)
{
	vq_stop(&f->q);
	vdriver_fini(&f->drv);
	free(f);
}

/* A well-formed chain of one buffer, to follow the bad one. */
static int offer_good(struct fixture *f)
{
	const struct vdesc b = { f->buf, 100, false };
	int head = vdq_add(&f->d, &b, 1, false);

	assert_true(head >= 0);
	return head;
}

/*
 * The bad chain has been offered. It must be counted under @fault, retired with
 * length 0, and the good one behind it must come out (H2, H7).
 */
static void expect_retired(struct fixture *f, enum vq_direction dir, uint32_t iov_max, int bad,
			   enum vq_fault fault)
{
	struct vdesc b = { f->buf, 100, dir == VQ_WRITABLE };
	int good = vdq_add(&f->d, &b, 1, false);
	struct vq_chain c;
	uint16_t head;
	uint32_t len;

	assert_true(bad >= 0 && good >= 0);
	assert_int_equal(vq_pop(&f->q, dir, &c, f->iov, iov_max), 1);
	assert_int_equal(c.head, good);
	assert_int_equal(c.out_len + c.in_len, 100);
	assert_int_equal(counter_get(&f->n.faults[fault]), 1);
	for (int i = 0; i < VQ_FAULT_COUNT; i++)
		if (i != (int)fault)
			assert_int_equal(counter_get(&f->n.faults[i]), 0);
	assert_false(f->q.broken);
	vq_publish(&f->q);
	assert_true(vdq_take(&f->d, &head, &len));
	assert_int_equal(head, bad);
	assert_int_equal(len, 0);
	assert_false(vdq_take(&f->d, &head, &len));
	assert_int_equal(vq_pop(&f->q, dir, &c, f->iov, iov_max), 0);
	end(f);
}

static void chains_come_out_as_described(void **state)
{
	(void)state;
	for (int indirect = 0; indirect < 2; indirect++) {
		struct fixture *f = begin();
		const struct vdesc b[] = {
			{ f->buf, 10, false },
			{ f->buf + 4096, 20, false },
			{ f->buf + 8192, 30, true },
			{ f->buf + 12288, 40, true },
		};
		struct vq_chain c;

		assert_true(vdq_add(&f->d, b, 4, indirect) >= 0);
		assert_int_equal(vq_pop(&f->q, VQ_BOTH, &c, f->iov, VQ_SIZE_MAX), 1);
		assert_int_equal(c.out_cnt, 2);
		assert_int_equal(c.in_cnt, 2);
		assert_int_equal(c.out_len, 30);
		assert_int_equal(c.in_len, 70);
		for (int i = 0; i < 4; i++) {
			assert_ptr_equal(c.iov[i].iov_base, vdriver_ptr(&f->drv, b[i].gpa));
			assert_int_equal(c.iov[i].iov_len, b[i].len);
		}
		end(f);
	}
}

static void longest_legal_chain_passes(void **state)
{
	(void)state;
	for (int indirect = 0; indirect < 2; indirect++) {
		struct fixture *f = begin();
		struct vdesc b[SIZE];
		struct vq_chain c;

		for (int i = 0; i < SIZE; i++)
			b[i] = (struct vdesc){ f->buf + 64U * i, 64, false };
		assert_true(vdq_add(&f->d, b, SIZE, indirect) >= 0);
		assert_int_equal(vq_pop(&f->q, VQ_READABLE, &c, f->iov, VQ_SIZE_MAX), 1);
		assert_int_equal(c.out_cnt, SIZE);
		end(f);
	}
}

static void direct_descriptors_may_precede_a_table(void **state)
{
	struct fixture *f = begin();
	const struct vdesc b[] = { { f->buf, 10, false }, { f->buf, 20, false } };
	int head = vdq_chain(&f->d, b, 2, false);
	uint16_t tail = f->d.next[head];
	struct vring_desc *t = vdriver_ptr(&f->drv, f->d.tables);
	struct vq_chain c;

	(void)state;
	t[0] = (struct vring_desc){ f->buf, 30, VRING_DESC_F_NEXT, 1 };
	t[1] = (struct vring_desc){ f->buf, 40, VRING_DESC_F_WRITE, 0 };
	f->d.desc[tail] = (struct vring_desc){
		f->d.tables, 32, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 0
	}; /* 2.7.5.3.2: the write flag of the table itself means nothing */
	vdq_offer(&f->d, (uint16_t)head);
	vdq_show(&f->d);
	assert_int_equal(vq_pop(&f->q, VQ_BOTH, &c, f->iov, VQ_SIZE_MAX), 1);
	assert_int_equal(c.out_len, 40);
	assert_int_equal(c.in_len, 40);
	end(f);
}

/* H1: a cycle of descriptors ends after queue-size steps. */
static void cycle_is_retired(void **state)
{
	struct fixture *f = begin();
	const struct vdesc b[] = { { f->buf, 1, false }, { f->buf, 1, false } };
	int head = vdq_add(&f->d, b, 2, false);
	struct vring_desc *last = &f->d.desc[f->d.next[head]];

	(void)state;
	last->flags = VRING_DESC_F_NEXT;
	last->next = (uint16_t)head;
	expect_retired(f, VQ_READABLE, VQ_SIZE_MAX, head, VQ_FAULT_CHAIN_LOOP);
}

/* H1, H13: also when its descriptors are empty and so never fill the iovec. */
static void cycle_of_empty_descriptors_is_retired(void **state)
{
	struct fixture *f = begin();
	const struct vdesc b = { f->buf, 0, false };
	int head = vdq_add(&f->d, &b, 1, false);

	(void)state;
	f->d.desc[head].flags = VRING_DESC_F_NEXT;
	f->d.desc[head].next = (uint16_t)head;
	expect_retired(f, VQ_READABLE, VQ_SIZE_MAX, head, VQ_FAULT_CHAIN_LOOP);
}

/* H1: a cycle inside an indirect table. */
static void cycle_in_a_table_is_retired(void **state)
{
	struct fixture *f = begin();
	const struct vdesc b[] = { { f->buf, 1, false }, { f->buf, 1, false } };
	int head = vdq_add(&f->d, b, 2, true);
	struct vring_desc *t = vdriver_ptr(&f->drv, f->d.desc[head].addr);

	(void)state;
	t[1].flags = VRING_DESC_F_NEXT;
	t[1].next = 0;
	expect_retired(f, VQ_READABLE, VQ_SIZE_MAX, head, VQ_FAULT_CHAIN_LOOP);
}

/* H2: a good first half is not handed out. */
static void next_out_of_the_table_is_retired(void **state)
{
	struct fixture *f = begin();
	const struct vdesc b[] = { { f->buf, 50, false }, { f->buf, 50, false } };
	int head = vdq_add(&f->d, b, 2, false);

	(void)state;
	f->d.desc[head].next = SIZE;
	expect_retired(f, VQ_READABLE, VQ_SIZE_MAX, head, VQ_FAULT_DESC_INDEX);
}

/* H2: nor one before an address that is not memory. */
static void unmapped_buffer_is_retired(void **state)
{
	struct fixture *f = begin();
	const struct vdesc b[] = { { f->buf, 50, false }, { UINT64_MAX - 10, 50, false } };

	(void)state;
	expect_retired(f, VQ_READABLE, VQ_SIZE_MAX, vdq_add(&f->d, b, 2, false),
		       VQ_FAULT_DESC_MEMORY);
}

/* H5: a length that runs past the end of memory. */
static void buffer_past_the_end_is_retired(void **state)
{
	struct fixture *f = begin();
	const struct vdesc b = { f->buf, UINT32_MAX, false };

	(void)state;
	expect_retired(f, VQ_READABLE, VQ_SIZE_MAX, vdq_add(&f->d, &b, 1, false),
		       VQ_FAULT_DESC_MEMORY);
}

static void readable_behind_writable_is_retired(void **state)
{
	struct fixture *f = begin();
	const struct vdesc b[] = { { f->buf, 50, true }, { f->buf, 50, false } };

	(void)state;
	expect_retired(f, VQ_BOTH, VQ_SIZE_MAX, vdq_add(&f->d, b, 2, false), VQ_FAULT_DESC_ORDER);
}

static void wrong_direction_is_retired(void **state)
{
	struct fixture *f = begin();
	const struct vdesc b[] = { { f->buf, 50, false }, { f->buf, 50, true } };

	(void)state;
	expect_retired(f, VQ_READABLE, VQ_SIZE_MAX, vdq_add(&f->d, b, 2, false),
		       VQ_FAULT_CHAIN_DIRECTION);
	f = begin();
	expect_retired(f, VQ_WRITABLE, VQ_SIZE_MAX, vdq_add(&f->d, b, 2, false),
		       VQ_FAULT_CHAIN_DIRECTION);
}

/* H13: no bytes, no work. */
static void empty_chain_is_retired(void **state)
{
	struct fixture *f = begin();
	const struct vdesc b[] = { { f->buf, 0, false }, { f->buf, 0, false } };

	(void)state;
	expect_retired(f, VQ_READABLE, VQ_SIZE_MAX, vdq_add(&f->d, b, 2, false),
		       VQ_FAULT_CHAIN_EMPTY);
}

static void chain_beyond_the_iovec_is_retired(void **state)
{
	struct fixture *f = begin();
	const struct vdesc b[] = { { f->buf, 1, false },
				   { f->buf, 1, false },
				   { f->buf, 1, false } };

	(void)state;
	expect_retired(f, VQ_READABLE, 2, vdq_add(&f->d, b, 3, false), VQ_FAULT_CHAIN_LONG);
}

static void bad_table_lengths_are_retired(void **state)
{
	static const uint32_t bad[] = { 0, 8, 17, 16 * (SIZE + 1), UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct fixture *f = begin();
		const struct vdesc b = { f->buf, 1, false };
		int head = vdq_add(&f->d, &b, 1, true);

		f->d.desc[head].len = bad[i];
		expect_retired(f, VQ_READABLE, VQ_SIZE_MAX, head, VQ_FAULT_INDIRECT_SIZE);
	}
}

static void table_out_of_memory_is_retired(void **state)
{
	struct fixture *f = begin();
	const struct vdesc b = { f->buf, 1, false };
	int head = vdq_add(&f->d, &b, 1, true);

	(void)state;
	f->d.desc[head].addr = VDRIVER_GPA + f->drv.size - 8;
	expect_retired(f, VQ_READABLE, VQ_SIZE_MAX, head, VQ_FAULT_DESC_MEMORY);
}

static void nested_table_is_retired(void **state)
{
	struct fixture *f = begin();
	const struct vdesc b = { f->buf, 1, false };
	int head = vdq_add(&f->d, &b, 1, true);
	struct vring_desc *t = vdriver_ptr(&f->drv, f->d.desc[head].addr);

	(void)state;
	t[0] = (struct vring_desc){ f->d.desc[head].addr, 16, VRING_DESC_F_INDIRECT, 0 };
	expect_retired(f, VQ_READABLE, VQ_SIZE_MAX, head, VQ_FAULT_INDIRECT_NESTED);
}

static void table_with_next_is_retired(void **state)
{
	struct fixture *f = begin();
	const struct vdesc b = { f->buf, 1, false };
	int head = vdq_add(&f->d, &b, 1, true);

	(void)state;
	f->d.desc[head].flags |= VRING_DESC_F_NEXT;
	expect_retired(f, VQ_READABLE, VQ_SIZE_MAX, head, VQ_FAULT_INDIRECT_NESTED);
}

static void table_without_the_feature_is_retired(void **state)
{
	struct fixture *f = begin_with(SIZE, 0);
	const struct vdesc b = { f->buf, 1, false };

	(void)state;
	expect_retired(f, VQ_READABLE, VQ_SIZE_MAX, vdq_add(&f->d, &b, 1, true),
		       VQ_FAULT_INDIRECT_OFF);
}

/* A head that names no descriptor cannot even be retired. */
static void head_out_of_range_breaks_the_queue(void **state)
{
	struct fixture *f = begin();
	struct vq_chain c;

	(void)state;
	vdq_offer(&f->d, SIZE);
	vdq_show(&f->d);
	assert_int_equal(vq_pop(&f->q, VQ_READABLE, &c, f->iov, VQ_SIZE_MAX), -EPIPE);
	assert_true(f->q.broken);
	assert_int_equal(counter_get(&f->n.faults[VQ_FAULT_DESC_INDEX]), 1);
	end(f);
}

/* H3, H7, H13: a whole ring of bad chains is retired by one call, which then returns. */
static void ring_of_bad_chains_is_drained(void **state)
{
	struct fixture *f = begin();
	const struct vdesc b = { 0, 100, false };
	struct vq_chain c;
	uint16_t head;
	uint32_t len;
	int good;

	(void)state;
	for (int i = 0; i < SIZE; i++)
		assert_true(vdq_add(&f->d, &b, 1, false) >= 0);
	assert_int_equal(vq_pop(&f->q, VQ_READABLE, &c, f->iov, VQ_SIZE_MAX), 0);
	assert_int_equal(counter_get(&f->n.faults[VQ_FAULT_DESC_MEMORY]), SIZE);
	vq_publish(&f->q);
	assert_int_equal(vdq_used_pending(&f->d), SIZE);
	while (vdq_take(&f->d, &head, &len))
		assert_int_equal(len, 0);
	good = offer_good(f);
	assert_int_equal(vq_pop(&f->q, VQ_READABLE, &c, f->iov, VQ_SIZE_MAX), 1);
	assert_int_equal(c.head, good);
	end(f);
}

struct flipper {
	struct vring_desc *d;
	uint64_t good, bad;
	_Atomic bool stop;
};

static void *flip(void *arg)
{
	struct flipper *fl = arg;

	while (!atomic_load(&fl->stop)) {
		__atomic_store_n(&fl->d->addr, fl->bad, __ATOMIC_RELAXED);
		__atomic_store_n(&fl->d->len, UINT32_MAX, __ATOMIC_RELAXED);
		__atomic_store_n(&fl->d->addr, fl->good, __ATOMIC_RELAXED);
		__atomic_store_n(&fl->d->len, 64, __ATOMIC_RELAXED);
	}
	return NULL;
}

/*
 * H8: the driver rewrites a descriptor while we walk it. Whatever we read, what
 * comes out has been checked as it came out.
 */
static void descriptor_is_read_once(void **state)
{
	struct fixture *f = begin();
	struct vdesc b = { f->buf, 64, false };
	int head = vdq_chain(&f->d, &b, 1, false);
	struct flipper fl = { &f->d.desc[head], f->buf, UINT64_MAX - 4096, false };
	pthread_t t;

	(void)state;
	if (UNDER_TSAN) {
		print_message("SKIP: the race that ThreadSanitizer would report is the test\n");
		end(f);
		skip();
	}
	assert_int_equal(pthread_create(&t, NULL, flip, &fl), 0);
	for (int i = 0; i < 100000; i++) {
		struct vq_chain c;

		vdq_offer(&f->d, (uint16_t)head);
		vdq_show(&f->d);
		if (vq_pop(&f->q, VQ_READABLE, &c, f->iov, VQ_SIZE_MAX) == 1) {
			assert_ptr_equal(c.iov[0].iov_base, vdriver_ptr(&f->drv, f->buf));
			assert_int_equal(c.iov[0].iov_len, 64);
			assert_int_equal(c.out_len, 64);
			vq_use(&f->q, c.head, 0);
		}
		vq_publish(&f->q);
	}
	atomic_store(&fl.stop, true);
	pthread_join(t, NULL);
	assert_int_equal(counter_get(&f->n.used), 100000);
	end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_come_out_as_described),
		cmocka_unit_test(longest_legal_chain_passes),
		cmocka_unit_test(direct_descriptors_may_precede_a_table),
		cmocka_unit_test(cycle_is_retired),
		cmocka_unit_test(cycle_of_empty_descriptors_is_retired),
		cmocka_unit_test(cycle_in_a_table_is_retired),
		cmocka_unit_test(next_out_of_the_table_is_retired),
		cmocka_unit_test(unmapped_buffer_is_retired),
		cmocka_unit_test(buffer_past_the_end_is_retired),
		cmocka_unit_test(readable_behind_writable_is_retired),
		cmocka_unit_test(wrong_direction_is_retired),
		cmocka_unit_test(empty_chain_is_retired),
		cmocka_unit_test(chain_beyond_the_iovec_is_retired),
		cmocka_unit_test(bad_table_lengths_are_retired),
		cmocka_unit_test(table_out_of_memory_is_retired),
		cmocka_unit_test(nested_table_is_retired),
		cmocka_unit_test(table_with_next_is_retired),
		cmocka_unit_test(table_without_the_feature_is_retired),
		cmocka_unit_test(head_out_of_range_breaks_the_queue),
		cmocka_unit_test(ring_of_bad_chains_is_drained),
		cmocka_unit_test(descriptor_is_read_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
