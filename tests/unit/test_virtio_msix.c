/* SPDX-License-Identifier: MIT */
/* The life of an MSI-X vector: mapped, masked, signalled, unmasked, moved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "src/base/bytes.h"
#include "tests/unit/vmachine.h"
#include "virtio/msix.h"

/* Two sources with an eventfd, and one without, as pci.c has it. */
#define SOURCES 3
#define BY_HAND 2

struct rig {
	struct vmachine vm;
	struct msix x;
	int fd[SOURCES];
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	vm_init(&r->vm);
	for (uint32_t i = 0; i < SOURCES; i++)
		r->fd[i] = i == BY_HAND ? -1 : eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	msix_init(&r->x, &r->vm.m, r->fd, SOURCES);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	msix_fini(&r->x);
	assert_int_equal(vm_msis(&r->vm), 0);
	close(r->fd[0]);
	close(r->fd[1]);
	free(r);
	return 0;
}

static void set_entry(struct rig *r, uint16_t vector, uint64_t addr, uint32_t data)
{
	uint8_t e[12];

	put_le64(e, addr);
	put_le32(e + 8, data);
	msix_table_write(&r->x, vector * MSIX_ENTRY_LEN, e, 4);
	msix_table_write(&r->x, vector * MSIX_ENTRY_LEN + 4U, e + 4, 4);
	msix_table_write(&r->x, vector * MSIX_ENTRY_LEN + 8U, e + 8, 4);
}

static void set_mask(struct rig *r, uint16_t vector, bool masked)
{
	uint8_t ctrl[4] = { masked };

	msix_table_write(&r->x, vector * MSIX_ENTRY_LEN + 12U, ctrl, 4);
}

static uint64_t pending(struct rig *r)
{
	uint8_t bits[8];

	msix_pba_read(&r->x, 0, bits, 8);
	return get_le64(bits);
}

static void assert_sent(struct rig *r, uint32_t n, uint64_t addr, uint32_t data)
{
	vm_pump(&r->vm);
	assert_int_equal(r->vm.nsent, n);
	assert_int_equal(r->vm.sent[(n - 1) % VM_MESSAGES].addr, addr);
	assert_int_equal(r->vm.sent[(n - 1) % VM_MESSAGES].data, data);
}

static void a_source_is_attached_only_while_it_is_live(void **state)
{
	struct rig *r = *state;

	set_entry(r, 0, 0xfee00000, 0x41);
	assert_int_equal(msix_set_vector(&r->x, 0, 0), 0);
	assert_int_equal(vm_msis(&r->vm), 0);
	msix_set_control(&r->x, true, false);
	assert_int_equal(vm_msis(&r->vm), 0); /* the vector is masked from the start */
	set_mask(r, 0, false);
	assert_int_equal(vm_msis(&r->vm), 1);
	eventfd_write(r->fd[0], 1);
	assert_sent(r, 1, 0xfee00000, 0x41);
	msix_set_control(&r->x, true, true);
	assert_int_equal(vm_msis(&r->vm), 0);
	msix_set_control(&r->x, true, false);
	assert_int_equal(vm_msis(&r->vm), 1);
	msix_set_control(&r->x, false, false);
	assert_int_equal(vm_msis(&r->vm), 0);
	assert_int_equal(r->vm.nsent, 1);
}

/* H11: CVE-2024-4693 released vector 0 twice. The machine ends the test if we do. */
static void vector_0_is_released_once(void **state)
{
	struct rig *r = *state;

	msix_set_control(&r->x, true, false);
	set_entry(r, 0, 0xfee00000, 1);
	set_mask(r, 0, false);
	for (uint16_t s = 0; s < SOURCES; s++)
		msix_set_vector(&r->x, s, 0);
	assert_int_equal(vm_msis(&r->vm), 2);
	msix_set_vector(&r->x, 0, MSIX_NO_VECTOR);
	msix_set_vector(&r->x, 0, MSIX_NO_VECTOR);
	assert_int_equal(vm_msis(&r->vm), 1);
	set_mask(r, 0, true);
	set_mask(r, 0, true);
	assert_int_equal(vm_msis(&r->vm), 0);
	msix_unmap(&r->x);
	msix_unmap(&r->x);
	msix_set_control(&r->x, false, true);
	assert_int_equal(vm_msis(&r->vm), 0);
}

/* H11: CVE-2011-2512 took a negative index. */
static void a_vector_that_does_not_exist_unmaps(void **state)
{
	static const uint16_t bad[] = { SOURCES, SOURCES + 1, 0x7fff, 0x8000, 0xfffe, 0xffff };
	struct rig *r = *state;

	for (uint32_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(msix_set_vector(&r->x, 0, 2), 2);
		assert_int_equal(msix_set_vector(&r->x, 0, bad[i]), MSIX_NO_VECTOR);
		assert_int_equal(msix_vector(&r->x, 0), MSIX_NO_VECTOR);
	}
}

static void a_signal_under_a_mask_is_pending_and_sent_once_after_it(void **state)
{
	struct rig *r = *state;

	msix_set_control(&r->x, true, false);
	set_entry(r, 1, 0xfee01000, 7);
	msix_set_vector(&r->x, 0, 1);
	set_mask(r, 1, false);
	set_mask(r, 1, true);
	assert_int_equal(pending(r), 0);
	for (int i = 0; i < 5; i++)
		eventfd_write(r->fd[0], 1);
	assert_int_equal(pending(r), 1 << 1);
	assert_int_equal(pending(r), 1 << 1); /* reading does not clear */
	vm_pump(&r->vm);
	assert_int_equal(r->vm.nsent, 0);
	set_mask(r, 1, false);
	assert_sent(r, 1, 0xfee01000, 7);
	assert_int_equal(pending(r), 0);
	/* Once more, now through the attachment. */
	eventfd_write(r->fd[0], 1);
	assert_sent(r, 2, 0xfee01000, 7);
}

static void the_function_mask_keeps_signals_as_well(void **state)
{
	struct rig *r = *state;

	set_entry(r, 0, 0xfee00000, 9);
	set_mask(r, 0, false);
	msix_set_vector(&r->x, 1, 0);
	msix_set_control(&r->x, true, true);
	eventfd_write(r->fd[1], 1);
	assert_int_equal(pending(r), 1);
	msix_set_control(&r->x, true, false);
	assert_sent(r, 1, 0xfee00000, 9);
	assert_int_equal(pending(r), 0);
}

static void a_new_message_takes_effect_at_once(void **state)
{
	struct rig *r = *state;

	msix_set_control(&r->x, true, false);
	set_entry(r, 0, 0xfee00000, 1);
	set_mask(r, 0, false);
	msix_set_vector(&r->x, 0, 0);
	set_entry(r, 0, 0xfee03000, 2);
	eventfd_write(r->fd[0], 1);
	assert_sent(r, 1, 0xfee03000, 2);
	/* And so does a new vector. */
	set_entry(r, 2, 0xfee04000, 3);
	set_mask(r, 2, false);
	msix_set_vector(&r->x, 0, 2);
	eventfd_write(r->fd[0], 1);
	assert_sent(r, 2, 0xfee04000, 3);
	assert_int_equal(vm_msis(&r->vm), 1);
}

static void two_sources_may_share_a_vector(void **state)
{
	struct rig *r = *state;

	msix_set_control(&r->x, true, false);
	set_entry(r, 0, 0xfee00000, 5);
	msix_set_vector(&r->x, 0, 0);
	msix_set_vector(&r->x, 1, 0);
	eventfd_write(r->fd[1], 1);
	assert_int_equal(pending(r), 1);
	set_mask(r, 0, false);
	assert_sent(r, 1, 0xfee00000, 5);
	eventfd_write(r->fd[0], 1);
	assert_sent(r, 2, 0xfee00000, 5);
	eventfd_write(r->fd[1], 1);
	assert_sent(r, 3, 0xfee00000, 5);
}

static void a_source_without_eventfd_is_sent_by_hand(void **state)
{
	struct rig *r = *state;

	msix_raise(&r->x, BY_HAND); /* not mapped: nobody is told */
	assert_int_equal(pending(r), 0);
	set_entry(r, 2, 0xfee00000, 6);
	msix_set_vector(&r->x, BY_HAND, 2);
	msix_set_control(&r->x, true, false);
	msix_raise(&r->x, BY_HAND);
	msix_raise(&r->x, BY_HAND);
	assert_int_equal(pending(r), 1 << 2);
	set_mask(r, 2, false);
	assert_sent(r, 1, 0xfee00000, 6);
	msix_raise(&r->x, BY_HAND);
	assert_sent(r, 2, 0xfee00000, 6);
	assert_int_equal(vm_msis(&r->vm), 0);
}

/* H18: all attachments or none. */
static void a_refused_attachment_takes_the_others_down(void **state)
{
	struct rig *r = *state;

	r->vm.msis_left = 1;
	msix_set_control(&r->x, true, false);
	for (uint16_t v = 0; v < 2; v++) {
		set_entry(r, v, 0xfee00000, v);
		set_mask(r, v, false);
		msix_set_vector(&r->x, v, v);
	}
	assert_true(msix_direct(&r->x));
	assert_int_equal(vm_msis(&r->vm), 0);
	msix_raise(&r->x, 0);
	assert_sent(r, 1, 0xfee00000, 0);
	msix_raise(&r->x, 1);
	assert_sent(r, 2, 0xfee00000, 1);
	/* Masks hold back what is raised by hand, too. */
	set_mask(r, 0, true);
	msix_raise(&r->x, 0);
	assert_int_equal(pending(r), 1);
	assert_int_equal(r->vm.nsent, 2);
	set_mask(r, 0, false);
	assert_sent(r, 3, 0xfee00000, 0);
	assert_int_equal(vm_msis(&r->vm), 0);
}

static void a_refusal_does_not_lose_what_was_signalled_before(void **state)
{
	struct rig *r = *state;

	msix_set_control(&r->x, true, false);
	set_entry(r, 0, 0xfee00000, 4);
	msix_set_vector(&r->x, 0, 0);
	eventfd_write(r->fd[0], 1);
	r->vm.msis_left = 0;
	set_mask(r, 0, false);
	assert_sent(r, 1, 0xfee00000, 4);
}

static void a_refused_update_falls_back_as_well(void **state)
{
	struct rig *r = *state;

	msix_set_control(&r->x, true, false);
	set_mask(r, 0, false);
	msix_set_vector(&r->x, 0, 0);
	r->vm.refuse_update = true;
	set_entry(r, 0, 0xfee00000, 1);
	assert_true(msix_direct(&r->x));
	assert_int_equal(vm_msis(&r->vm), 0);
}

/* H17: interrupts of the old driver do not reach the new one. */
static void unmapping_forgets_what_is_pending(void **state)
{
	struct rig *r = *state;

	msix_set_control(&r->x, true, false);
	msix_set_vector(&r->x, 0, 0);
	msix_set_vector(&r->x, BY_HAND, 0);
	eventfd_write(r->fd[0], 1);
	msix_raise(&r->x, BY_HAND);
	msix_unmap(&r->x);
	msix_set_vector(&r->x, 0, 0);
	msix_set_vector(&r->x, BY_HAND, 0);
	assert_int_equal(pending(r), 0);
	set_mask(r, 0, false);
	vm_pump(&r->vm);
	assert_int_equal(r->vm.nsent, 0);
}

static void the_table_ends_where_it_ends(void **state)
{
	struct rig *r = *state;
	uint8_t ones[8], buf[8];

	memset(ones, 0xff, sizeof(ones));
	/* Straddles the end: the part inside counts. */
	msix_table_write(&r->x, SOURCES * MSIX_ENTRY_LEN - 8, ones, 8);
	msix_table_write(&r->x, SOURCES * MSIX_ENTRY_LEN - 2, ones, 8);
	msix_table_write(&r->x, SOURCES * MSIX_ENTRY_LEN, ones, 8);
	msix_table_write(&r->x, UINT64_MAX - 3, ones, 8);
	msix_table_read(&r->x, SOURCES * MSIX_ENTRY_LEN - 8, buf, 8);
	assert_int_equal(get_le32(buf), 0xffffffff);
	assert_int_equal(get_le32(buf + 4), 1); /* reserved bits stay 0 */
	msix_table_read(&r->x, SOURCES * MSIX_ENTRY_LEN - 4, buf, 8);
	assert_int_equal(get_le64(buf), 1);
	msix_table_read(&r->x, UINT64_MAX, buf, 8);
	assert_int_equal(get_le64(buf), 0);
	msix_pba_read(&r->x, UINT64_MAX, buf, 8);
	assert_int_equal(get_le64(buf), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_source_is_attached_only_while_it_is_live),
		TEST(vector_0_is_released_once),
		TEST(a_vector_that_does_not_exist_unmaps),
		TEST(a_signal_under_a_mask_is_pending_and_sent_once_after_it),
		TEST(the_function_mask_keeps_signals_as_well),
		TEST(a_new_message_takes_effect_at_once),
		TEST(two_sources_may_share_a_vector),
		TEST(a_source_without_eventfd_is_sent_by_hand),
		TEST(a_refused_attachment_takes_the_others_down),
		TEST(a_refusal_does_not_lose_what_was_signalled_before),
		TEST(a_refused_update_falls_back_as_well),
		TEST(unmapping_forgets_what_is_pending),
		TEST(the_table_ends_where_it_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
