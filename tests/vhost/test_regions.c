/* SPDX-License-Identifier: MIT */
/* vhost-user: the memory that a front-end gives and takes, and rings that must lie in it. */
#include <fcntl.h>
#include <unistd.h>

#include "src/base/base.h"
#include "tests/vhost/rig.h"

static void region_that_cannot_be_is_refused(void **state)
{
	static const struct vu_region bad[] = {
		{ .gpa = 0, .size = 0, .uva = 0 },
		{ .gpa = 0, .size = VC_MEM + 1, .uva = 0 },
		{ .gpa = 0, .size = VC_MEM, .uva = 0, .offset = 1 },
		{ .gpa = 0, .size = 4096, .uva = 0, .offset = VC_MEM },
		{ .gpa = 0, .size = 4096, .uva = 0, .offset = UINT64_MAX - 4095 },
		{ .gpa = 0, .size = 4096, .uva = 0, .offset = UINT64_MAX },
		{ .gpa = 0, .size = UINT64_MAX, .uva = 0 },
		{ .gpa = 0, .size = 1ULL << 63, .uva = 0 },
		{ .gpa = 0, .size = 1ULL << 62, .uva = 0, .offset = 1ULL << 62 },
		{ .gpa = UINT64_MAX - 4094, .size = 4096, .uva = 0 },
		{ .gpa = UINT64_MAX, .size = 4096, .uva = 0 },
		{ .gpa = 0, .size = 4096, .uva = UINT64_MAX - 100 },
	};
	static const uint32_t how[] = { VU_SET_MEM_TABLE, VU_ADD_MEM_REG };
	struct vrig *r = vrig_new();
	struct vclient c;

	(void)state;
	vc_open(&c, r);
	vc_negotiate(&c);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(how); k++)
			assert_int_equal(vc_region(&c, how[k], &bad[i], c.mem_fd), VC_REFUSED);
	}
	vc_leave(&c, r);
}

static void descriptor_that_is_no_memory_is_refused(void **state)
{
	struct vu_region region = { .gpa = 0, .size = 4096, .uva = 0 };
	struct vrig *r = vrig_new();
	int readonly = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int pipes[2];
	struct vclient c;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	vc_open(&c, r);
	vc_negotiate(&c);
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &region, -1), VC_REFUSED);
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &region, readonly), VC_REFUSED);
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &region, pipes[0]), VC_REFUSED);
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &region, c.kick[0]), VC_REFUSED);
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &region, c.sock), VC_REFUSED);
	close(readonly);
	close(pipes[0]);
	close(pipes[1]);
	vc_leave(&c, r);
}

static void memory_table_that_contradicts_itself_is_refused(void **state)
{
	struct vrig *r = vrig_new();
	struct vclient c;
	int fds[VU_FDS_MAX];

	(void)state;
	vc_open(&c, r);
	vc_negotiate(&c);
	for (int i = 0; i < VU_FDS_MAX; i++)
		fds[i] = c.mem_fd;
	for (uint32_t n = 0; n <= 9; n++) {
		for (uint32_t nfds = 0; nfds <= VU_FDS_MAX; nfds++) {
			struct vu_message m = { .request = VU_SET_MEM_TABLE,
						.size = 8 + 32 * MIN(n, 8U) };
			enum vc_verdict want = n == nfds ? VC_OK : VC_REFUSED;

			m.mem.nregions = n;
			for (uint32_t i = 0; i < MIN(n, 8U); i++)
				m.mem.region[i] = (struct vu_region){ .gpa = i * 65536ULL,
								      .size = 65536,
								      .uva = i * 65536ULL };
			assert_int_equal(vc_request(&c, &m, fds, nfds), want);
			if (n != nfds || n < 2)
				continue;
			m.mem.region[n - 1].gpa = (n - 2) * 65536ULL + 65535;
			assert_int_equal(vc_request(&c, &m, fds, nfds), VC_REFUSED);
			m.size--;
			assert_int_equal(vc_request(&c, &m, fds, nfds), VC_REFUSED);
		}
	}
	vc_leave(&c, r);
}

static void regions_come_and_go_one_by_one(void **state)
{
	struct vrig *r = vrig_new();
	struct vu_region rings = { .gpa = VC_GPA, .size = VC_MEM / 2, .uva = VC_UVA };
	struct vu_region extra = {
		.gpa = 0, .size = VC_MEM / 2, .uva = VC_UVA + VC_MEM, .offset = VC_MEM / 2
	};
	struct vclient c;
	uint64_t slots;

	(void)state;
	vc_open(&c, r);
	vc_negotiate(&c);
	assert_true(vc_get(&c, VU_GET_MAX_MEM_SLOTS, &slots));
	assert_int_equal(slots, GMEM_REGIONS_MAX);
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &rings, c.mem_fd), VC_OK);
	vc_ring(&c, 0);
	vc_ring(&c, 1);
	assert_true(vrig_running(r));
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &rings, c.mem_fd), VC_REFUSED);
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &extra, c.mem_fd), VC_OK);
	assert_true(vrig_running(r));
	/* QEMU sends a descriptor along with a removal; it is closed. */
	assert_int_equal(vc_region(&c, VU_REM_MEM_REG, &extra, c.mem_fd), VC_OK);
	assert_true(vrig_running(r));
	assert_int_equal(vc_region(&c, VU_REM_MEM_REG, &extra, -1), VC_REFUSED);
	/* The rings' own memory goes: no device without it. */
	vc_region(&c, VU_REM_MEM_REG, &rings, -1);
	assert_false(vrig_running(r));
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &rings, c.mem_fd), VC_OK);
	assert_true(vrig_running(r));
	for (uint64_t i = 1; i < GMEM_REGIONS_MAX; i++) {
		struct vu_region one = { .gpa = i * 65536, .size = 4096, .uva = i * 65536 };

		assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &one, c.mem_fd), VC_OK);
	}
	extra.gpa = 1ULL << 45;
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &extra, c.mem_fd), VC_REFUSED);
	assert_true(vrig_running(r));
	vc_leave(&c, r);
}

static void ring_outside_memory_or_crooked_never_runs(void **state)
{
	static const struct {
		uint64_t desc, avail, used;
	} bad[] = {
		{ VC_UVA - 16, VC_UVA + 8192, VC_UVA + 16384 },
		{ VC_UVA + VC_MEM - 16, VC_UVA + 8192, VC_UVA + 16384 },
		{ VC_UVA, VC_UVA + VC_MEM - 4, VC_UVA + 16384 },
		{ VC_UVA, VC_UVA + 8192, VC_UVA + VC_MEM - 8 },
		{ VC_UVA, VC_UVA + 8192, VC_UVA + VC_MEM },
		{ VC_UVA + 8, VC_UVA + 8192, VC_UVA + 16384 },
		{ VC_UVA, VC_UVA + 8193, VC_UVA + 16384 },
		{ VC_UVA, VC_UVA + 8192, VC_UVA + 16386 },
		{ UINT64_MAX - 15, UINT64_MAX - 1, UINT64_MAX - 3 },
		{ UINT64_MAX, 0, 0 },
		{ 0, 0, 0 },
	};
	struct vrig *r = vrig_new();
	struct vclient c;

	(void)state;
	vc_open(&c, r);
	vc_start(&c);
	for (uint32_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(vc_addr(&c, i & 1, bad[i].desc, bad[i].avail, bad[i].used),
				 VC_REFUSED);
		assert_false(vrig_running(r));
		assert_int_equal(vc_addr(&c, i & 1, vc_ring_uva(i & 1, 0), vc_ring_uva(i & 1, 1),
					 vc_ring_uva(i & 1, 2)),
				 VC_OK);
		assert_true(vrig_running(r));
	}
	vc_leave(&c, r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(region_that_cannot_be_is_refused),
		cmocka_unit_test(descriptor_that_is_no_memory_is_refused),
		cmocka_unit_test(memory_table_that_contradicts_itself_is_refused),
		cmocka_unit_test(regions_come_and_go_one_by_one),
		cmocka_unit_test(ring_outside_memory_or_crooked_never_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
