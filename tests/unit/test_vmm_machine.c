/* SPDX-License-Identifier: MIT */
/*
 * Kicks and interrupts: what reaches KVM, and what is taken back when it
 * refuses. The first tests put a recorder in KVM's place; the last uses KVM.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/vmm/cpuid.h"
#include "src/vmm/kvm.h"
#include "src/vmm/machine.h"

#define LAPIC_MSI 0xfee00000ULL

/* What KVM would hold now. */
static struct {
	unsigned long refuse; /* this request fails */
	int err;
	unsigned msi_routes, pin_routes;
	uint64_t msi_addr;
	uint32_t msi_data;
	int irqfds, ioeventfds;
	unsigned lines, msis;
} k;

static void record_routing(const struct kvm_machine *m)
{
	k.msi_routes = k.pin_routes = 0;
	for (uint32_t i = 0; i < m->table.nr; i++) {
		const struct kvm_irq_routing_entry *e = &m->table.entries[i];

		if (e->type != KVM_IRQ_ROUTING_MSI) {
			k.pin_routes++;
			continue;
		}
		assert_true(e->gsi >= IOAPIC_PINS);
		k.msi_routes++;
		k.msi_addr = (uint64_t)e->u.msi.address_hi << 32 | e->u.msi.address_lo;
		k.msi_data = e->u.msi.data;
	}
}

static struct kvm_machine m;

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	(void)fd;
	if (request == k.refuse)
		return k.err;
	if (request == KVM_SET_GSI_ROUTING)
		record_routing(&m);
	else if (request == KVM_IRQFD)
		k.irqfds += ((struct kvm_irqfd *)arg)->flags & KVM_IRQFD_FLAG_DEASSIGN ? -1 : 1;
	else if (request == KVM_IOEVENTFD)
		k.ioeventfds += ((struct kvm_ioeventfd *)arg)->flags & KVM_IOEVENTFD_FLAG_DEASSIGN
					? -1
					: 1;
	else if (request == KVM_IRQ_LINE)
		k.lines++;
	else if (request == KVM_SIGNAL_MSI)
		k.msis++;
	return 0;
}

static int setup(void **state)
{
	(void)state;
	memset(&k, 0, sizeof(k));
	k.err = -EBUSY;
	return kvm_machine_init(&m, -1, fake_ioctl);
}

static int teardown(void **state)
{
	(void)state;
	kvm_machine_fini(&m);
	return 0;
}

static const struct machine_ops *const ops = &kvm_machine_ops;

static void pins_are_routed_from_the_start(void **state)
{
	(void)state;
	assert_int_equal(k.pin_routes, IOAPIC_PINS + 16);
	assert_int_equal(k.msi_routes, 0);
}

static void an_msi_lives_and_goes(void **state)
{
	uint32_t route;

	(void)state;
	assert_int_equal(ops->msi_attach(&m, 5, LAPIC_MSI, 0x41, &route), 0);
	assert_int_equal(k.msi_routes, 1);
	assert_int_equal(k.irqfds, 1);
	assert_true(k.msi_addr == LAPIC_MSI);
	assert_int_equal(ops->msi_update(&m, route, 1ULL << 32 | LAPIC_MSI, 0x42), 0);
	assert_true(k.msi_addr == (1ULL << 32 | LAPIC_MSI));
	assert_int_equal(k.msi_data, 0x42);
	assert_int_equal(k.pin_routes, IOAPIC_PINS + 16);
	ops->msi_detach(&m, route, 5);
	assert_int_equal(k.msi_routes, 0);
	assert_int_equal(k.irqfds, 0);
}

/* H18: a refused half takes the other one with it. */
static void a_refused_irqfd_leaves_no_route(void **state)
{
	uint32_t route = 77;

	(void)state;
	k.refuse = KVM_IRQFD;
	assert_int_equal(ops->msi_attach(&m, 5, LAPIC_MSI, 0x41, &route), -EBUSY);
	assert_int_equal(route, 77);
	assert_int_equal(k.msi_routes, 0);
	assert_int_equal(k.irqfds, 0);
	k.refuse = 0;
	assert_int_equal(ops->msi_attach(&m, 5, LAPIC_MSI, 0x41, &route), 0);
	assert_int_equal(k.msi_routes, 1);
	ops->msi_detach(&m, route, 5);
}

static void a_refused_route_leaves_no_irqfd_and_the_old_message(void **state)
{
	uint32_t route, other = 77;

	(void)state;
	assert_int_equal(ops->msi_attach(&m, 5, LAPIC_MSI, 0x41, &route), 0);
	k.refuse = KVM_SET_GSI_ROUTING;
	assert_int_equal(ops->msi_attach(&m, 6, LAPIC_MSI, 0x51, &other), -EBUSY);
	assert_int_equal(ops->msi_update(&m, route, LAPIC_MSI, 0x61), -EBUSY);
	k.refuse = 0;
	assert_int_equal(k.irqfds, 1);
	/* What is written next carries neither of the refused changes. */
	assert_int_equal(ops->msi_attach(&m, 6, LAPIC_MSI, 0x41, &other), 0);
	assert_int_equal(k.msi_routes, 2);
	assert_int_equal(m.msi[route].data, 0x41);
	ops->msi_detach(&m, other, 6);
	ops->msi_detach(&m, route, 5);
}

static void routes_run_out_and_come_back(void **state)
{
	uint32_t route[MSI_ROUTES_MAX], extra;

	(void)state;
	for (int i = 0; i < MSI_ROUTES_MAX; i++)
		assert_int_equal(ops->msi_attach(&m, i, LAPIC_MSI, 0x41, &route[i]), 0);
	assert_int_equal(ops->msi_attach(&m, 999, LAPIC_MSI, 0x41, &extra), -ENOSPC);
	assert_int_equal(k.irqfds, MSI_ROUTES_MAX);
	ops->msi_detach(&m, route[7], 7);
	assert_int_equal(ops->msi_attach(&m, 999, LAPIC_MSI, 0x41, &extra), 0);
	assert_int_equal(extra, route[7]);
}

static void a_pulse_is_up_and_down(void **state)
{
	(void)state;
	assert_int_equal(ops->line_pulse(&m, 16), 0);
	assert_int_equal(k.lines, 2);
	assert_int_equal(ops->line_attach(&m, 5, IOAPIC_PINS), -EINVAL);
	k.refuse = KVM_IRQ_LINE;
	assert_int_equal(ops->line_pulse(&m, 16), -EBUSY);
}

/* KVM itself: everything attaches, a second owner of a place is refused, all detaches. */
static void kvm_takes_and_gives_back(void **state)
{
	const struct kick_addr any = { .gpa = 0xc0003000 };
	const struct kick_addr match = { .gpa = 0xe8000050, .len = 4, .match = true, .data = 1 };
	static struct kvm_machine real;
	char why[256];
	struct kvm kvm;
	uint32_t route;
	int a, b;

	(void)state;
	if (kvm_open(&kvm, NULL, why, sizeof(why)) < 0) {
		print_message("SKIP: %s\n", why);
		skip();
	}
	a = eventfd(0, EFD_CLOEXEC);
	b = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(kvm_machine_init(&real, kvm.vm_fd, NULL), 0);
	assert_int_equal(ops->kick_attach(&real, &any, a), 0);
	assert_int_equal(ops->kick_attach(&real, &any, b), -EEXIST);
	ops->kick_detach(&real, &any, a);
	assert_int_equal(ops->kick_attach(&real, &any, b), 0);
	ops->kick_detach(&real, &any, b);
	assert_int_equal(ops->kick_attach(&real, &match, a), 0);
	ops->kick_detach(&real, &match, a);
	assert_int_equal(ops->msi_attach(&real, a, LAPIC_MSI, 0x41, &route), 0);
	assert_int_equal(ops->msi_update(&real, route, LAPIC_MSI, 0x42), 0);
	ops->msi_detach(&real, route, a);
	assert_int_equal(ops->line_attach(&real, a, 16), 0);
	ops->line_detach(&real, a, 16);
	assert_int_equal(ops->line_pulse(&real, 16), 0);
	/* A descriptor that is no eventfd, and nothing stays behind of the try. */
	assert_true(ops->msi_attach(&real, kvm.vm_fd, LAPIC_MSI, 0x41, &route) < 0);
	assert_false(real.msi[0].used);
	kvm_machine_fini(&real);
	close(a);
	close(b);
	kvm_close(&kvm);
}

/* --- /dev/kvm and CPUID, which need no VM --- */

static void a_missing_device_is_explained(void **state)
{
	char why[256] = "";
	struct kvm kvm;

	(void)state;
	assert_int_equal(kvm_open(&kvm, "/nonexistent/kvm", why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "does not exist"));
	assert_true(kvm_open(&kvm, "/dev/null", why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "not a KVM device"));
	assert_int_equal(kvm.dev_fd, -1);
}

static enum kvm_host kind_of(const char *cpuinfo)
{
	char path[] = "/tmp/sluice-test-XXXXXX";
	int fd = mkstemp(path);
	enum kvm_host kind;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, cpuinfo, strlen(cpuinfo)), strlen(cpuinfo));
	close(fd);
	kind = kvm_host_kind_from(path, "/dev/null");
	unlink(path);
	return kind;
}

static void the_kind_of_host_is_read_from_the_cpu_flags(void **state)
{
	(void)state;
	assert_int_equal(kind_of("processor : 0\nflags\t\t: fpu vmx sse\n"), KVM_HOST_HW);
	assert_int_equal(kind_of("flags\t\t: fpu sse svm\n"), KVM_HOST_HW);
	assert_int_equal(kind_of("flags\t\t: fpu sse\nvmx flags : ept\n"), KVM_HOST_PVM);
	assert_int_equal(kind_of("flags\t\t: fpu svm_lock avmx\n"), KVM_HOST_PVM);
	assert_int_equal(kvm_host_kind_from("/proc/cpuinfo", "/nonexistent"), KVM_HOST_ABSENT);
}

static void cpuid_describes_our_machine(void **state)
{
	static struct cpuid_table t;

	(void)state;
	t = (struct cpuid_table){
		.nent = 4,
		.entries = { { .function = 0, .eax = 0xd },
			     { .function = 1, .ebx = 0x55001234, .ecx = 1U << 5, .edx = 1 },
			     { .function = 0x80000001, .ecx = 1U << 2 },
			     { .function = 0x8000000a, .eax = 1 } },
	};
	assert_int_equal(cpuid_for_vcpu(&t, 3, 6, true), 0);
	assert_int_equal(cpuid_find(&t, 1, 0)->ebx, 3U << 24 | 8U << 16 | 0x1234);
	assert_int_equal(cpuid_find(&t, 1, 0)->ecx, 1U << 31 | 1U << 24);
	assert_int_equal(cpuid_find(&t, 1, 0)->edx, 1U << 28 | 1);
	assert_int_equal(cpuid_find(&t, 0x80000001, 0)->ecx & 4, 0);
	assert_null(cpuid_find(&t, 0x8000000a, 0));
	assert_int_equal(cpuid_find(&t, 0xb, 1)->eax, 3);
	assert_int_equal(cpuid_find(&t, 0xb, 1)->ebx, 6);
	assert_int_equal(cpuid_find(&t, 0xb, 0)->edx, 3);
	assert_null(cpuid_find(&t, 0x1f, 0)); /* beyond what leaf 0 says */
}

static void a_full_cpuid_table_is_an_error(void **state)
{
	static struct cpuid_table t;

	(void)state;
	memset(&t, 0, sizeof(t));
	t.nent = CPUID_ENTRIES_MAX;
	t.entries[0].eax = 0x1f;
	for (uint32_t i = 1; i < CPUID_ENTRIES_MAX; i++)
		t.entries[i].function = 0x40000000 + i;
	assert_int_equal(cpuid_for_vcpu(&t, 0, 1, true), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pins_are_routed_from_the_start, setup, teardown),
		cmocka_unit_test_setup_teardown(an_msi_lives_and_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refused_irqfd_leaves_no_route, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refused_route_leaves_no_irqfd_and_the_old_message,
						setup, teardown),
		cmocka_unit_test_setup_teardown(routes_run_out_and_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(a_pulse_is_up_and_down, setup, teardown),
		cmocka_unit_test(kvm_takes_and_gives_back),
		cmocka_unit_test(a_missing_device_is_explained),
		cmocka_unit_test(the_kind_of_host_is_read_from_the_cpu_flags),
		cmocka_unit_test(cpuid_describes_our_machine),
		cmocka_unit_test(a_full_cpuid_table_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
