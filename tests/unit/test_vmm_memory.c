/* SPDX-License-Identifier: MIT */
/* Guest RAM: the hole below 4 GiB, both of its sides, and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/vmm/layout.h"
#include "src/vmm/memory.h"

#define GIB (1ULL << 30)

static void small_memory_is_one_region(void **state)
{
	struct vm_memory m;
	char why[128];

	(void)state;
	assert_int_equal(vm_memory_new(&m, 512ULL << 20, false, why, sizeof(why)), 0);
	assert_int_equal(m.table.nregions, 1);
	assert_non_null(gmem_ptr(&m.table, 0, 512ULL << 20));
	assert_null(gmem_ptr(&m.table, 512ULL << 20, 1));
	vm_memory_free(&m);
}

/* H85: all that is beyond 3 GiB lies above 4 GiB, and nothing in the hole. */
static void large_memory_continues_above_the_hole(void **state)
{
	const uint64_t size = 5 * GIB;
	struct vm_memory m;
	char why[128];
	uint8_t *low, *high;

	(void)state;
	assert_int_equal(vm_memory_new(&m, size, false, why, sizeof(why)), 0);
	assert_int_equal(m.table.nregions, 2);
	assert_non_null(gmem_ptr(&m.table, RAM_LOW_MAX - 1, 1));
	assert_null(gmem_ptr(&m.table, RAM_LOW_MAX - 1, 2));
	assert_null(gmem_ptr(&m.table, RAM_LOW_MAX, 1));
	assert_null(gmem_ptr(&m.table, RAM_HIGH_START - 1, 1));
	assert_non_null(gmem_ptr(&m.table, RAM_HIGH_START, size - RAM_LOW_MAX));
	assert_null(gmem_ptr(&m.table, RAM_HIGH_START, size - RAM_LOW_MAX + 1));

	/* The two sides are different bytes, and the last of them is there. */
	low = gmem_ptr(&m.table, RAM_LOW_MAX - 1, 1);
	high = gmem_ptr(&m.table, RAM_HIGH_START, 1);
	*low = 0x11;
	*high = 0x22;
	assert_int_equal(*low, 0x11);
	high = gmem_ptr(&m.table, RAM_HIGH_START + size - RAM_LOW_MAX - 1, 1);
	*high = 0x33;
	assert_int_equal(m.base[size - 1], 0x33);
	vm_memory_free(&m);
}

static void exactly_three_gib_has_no_high_region(void **state)
{
	struct vm_memory m;
	char why[128];

	(void)state;
	assert_int_equal(vm_memory_new(&m, RAM_LOW_MAX, false, why, sizeof(why)), 0);
	assert_int_equal(m.table.nregions, 1);
	vm_memory_free(&m);
}

static void bad_sizes_are_refused_with_a_reason(void **state)
{
	static const uint64_t bad[] = { 0,
					4096,
					RAM_SIZE_MIN - RAM_SIZE_STEP,
					RAM_SIZE_MIN + 1,
					RAM_SIZE_MAX + RAM_SIZE_STEP,
					UINT64_MAX };
	struct vm_memory m;
	char why[128];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why[0] = '\0';
		assert_int_equal(vm_memory_new(&m, bad[i], false, why, sizeof(why)), -EINVAL);
		assert_non_null(strstr(why, "MiB"));
		assert_null(m.base);
	}
}

/* Half a tebibyte of them: reserved at once or refused at once, never a SIGBUS later. */
static void missing_huge_pages_show_at_start(void **state)
{
	struct vm_memory m;
	char why[160] = "";

	(void)state;
	assert_true(vm_memory_new(&m, RAM_SIZE_MAX, true, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "memory"));
	assert_null(m.base);
	assert_int_equal(m.fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_memory_is_one_region),
		cmocka_unit_test(large_memory_continues_above_the_hole),
		cmocka_unit_test(exactly_three_gib_has_no_high_region),
		cmocka_unit_test(bad_sizes_are_refused_with_a_reason),
		cmocka_unit_test(missing_huge_pages_show_at_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
