/* SPDX-License-Identifier: MIT */
/* Guest memory: one accessor, whole copies, no wrap. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "virtio/mem.h"

static uint8_t low[4096], high[8192];

static void two_regions(struct gmem *m)
{
	const struct gmem_region a = {
		.gpa = 0x1000, .size = sizeof(low), .hva = low, .uva = 0x7f0000000000
	};
	const struct gmem_region b = {
		.gpa = 0x100000000, .size = sizeof(high), .hva = high, .uva = 0x7f0000001000
	};

	memset(m, 0, sizeof(*m));
	assert_int_equal(gmem_add(m, &a), 0);
	assert_int_equal(gmem_add(m, &b), 0);
}

static void pointer_only_for_whole_ranges(void **state)
{
	struct gmem m;

	(void)state;
	two_regions(&m);
	assert_ptr_equal(gmem_ptr(&m, 0x1000, 4096), low);
	assert_ptr_equal(gmem_ptr(&m, 0x1fff, 1), low + 4095);
	assert_null(gmem_ptr(&m, 0x1fff, 2));
	assert_null(gmem_ptr(&m, 0xfff, 2));
	assert_null(gmem_ptr(&m, 0x1000, 4097));
	assert_null(gmem_ptr(&m, 0, 1));
	assert_ptr_equal(gmem_ptr(&m, 0x100001000, 4096), high + 4096);
}

/* H5: an address or length near 2^64 must not wrap into a region. */
static void no_wrap_near_the_top(void **state)
{
	struct gmem m;

	(void)state;
	two_regions(&m);
	assert_null(gmem_ptr(&m, UINT64_MAX, 1));
	assert_null(gmem_ptr(&m, UINT64_MAX - 0xfff, 0x3000));
	assert_null(gmem_ptr(&m, 0x1000, UINT64_MAX));
	assert_null(gmem_ptr(&m, 0x1800, UINT64_MAX - 0x100));
}

/* H6: a copy is whole or an error. */
static void copies_are_whole_or_nothing(void **state)
{
	uint8_t buf[64];
	struct gmem m;

	(void)state;
	two_regions(&m);
	memset(low, 0x11, sizeof(low));
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(gmem_read(&m, 0x1fe0, buf, 64), -EFAULT);
	for (size_t i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], 0xee);
	assert_int_equal(gmem_write(&m, 0x1fe0, buf, 64), -EFAULT);
	for (size_t i = 0; i < sizeof(low); i++)
		assert_int_equal(low[i], 0x11);
	assert_int_equal(gmem_write(&m, 0x1fc0, buf, 64), 0);
	assert_memory_equal(low + 4096 - 64, buf, 64);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(gmem_read(&m, 0x1fc0, buf, 64), 0);
	assert_memory_equal(low + 4096 - 64, buf, 64);
}

static void bad_regions_are_refused(void **state)
{
	struct gmem_region r = { .gpa = 0x1800, .size = 4096, .hva = low };
	struct gmem m;

	(void)state;
	two_regions(&m);
	assert_int_equal(gmem_add(&m, &r), -EEXIST);
	r.gpa = 0x800;
	assert_int_equal(gmem_add(&m, &r), -EEXIST);
	r.gpa = UINT64_MAX - 4094;
	assert_int_equal(gmem_add(&m, &r), -EINVAL);
	r.gpa = 0x3000;
	r.size = 0;
	assert_int_equal(gmem_add(&m, &r), -EINVAL);
	r.size = 4096;
	r.uva = UINT64_MAX - 1;
	assert_int_equal(gmem_add(&m, &r), -EINVAL);
	r.uva = 0;
	while (m.nregions < GMEM_REGIONS_MAX) {
		assert_int_equal(gmem_add(&m, &r), 0);
		r.gpa += 0x2000;
	}
	assert_int_equal(gmem_add(&m, &r), -ENOSPC);
}

static void frontend_addresses_translate(void **state)
{
	uint64_t gpa = 0;
	struct gmem m;

	(void)state;
	two_regions(&m);
	assert_int_equal(gmem_uva_to_gpa(&m, 0x7f0000000010, 16, &gpa), 0);
	assert_int_equal(gpa, 0x1010);
	assert_int_equal(gmem_uva_to_gpa(&m, 0x7f0000001000, 8192, &gpa), 0);
	assert_int_equal(gpa, 0x100000000);
	assert_int_equal(gmem_uva_to_gpa(&m, 0x7f0000000fff, 2, &gpa), -EFAULT);
	assert_int_equal(gmem_uva_to_gpa(&m, UINT64_MAX, 2, &gpa), -EFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pointer_only_for_whole_ranges),
		cmocka_unit_test(no_wrap_near_the_top),
		cmocka_unit_test(copies_are_whole_or_nothing),
		cmocka_unit_test(bad_regions_are_refused),
		cmocka_unit_test(frontend_addresses_translate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
