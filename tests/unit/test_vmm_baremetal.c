/* SPDX-License-Identifier: MIT */
/*
 * The VMM around guests of a few instructions, on whatever KVM this host has:
 * ports, MMIO, kicks, interrupts, a second CPU, memory above 4 GiB, and each of
 * the ways to end.
 *
 * Guests are byte arrays with the assembly beside them. They run in long mode
 * over an identity map whose pages carry the user bit, which a KVM without VT-x
 * or SVM wants.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/alloc_count.h"
#include "src/base/base.h"
#include "src/base/bytes.h"
#include "src/vmm/boot.h"
#include "src/vmm/io_loop.h"
#include "src/vmm/kvm.h"
#include "src/vmm/vm.h"
#include "virtio/machine.h"

#define CODE	   0x10000
#define AP_CODE	   0x2000 /* page 2: the SIPI vector */
#define HANDLER	   0x3000
#define IDT	   0x4000
#define IDTR	   0x5000
#define LARGE_PAGE 0x200000ULL
#define GIBS	   5 /* identity-mapped, so that RAM from 4 GiB on is within reach */

#define VECTOR	  0x40
#define KICK_ADDR PCI_WINDOW_BASE /* no function is there: only the ioeventfd answers */
#define LAPIC_MSI 0xfee00000ULL

/* No guest takes a second; a hang must not outlast the test. */
#define GUARD_SECONDS 100

#define OUT_S5 0xba, 0x00, 0x06, 0x00, 0x00, 0xb0, ACPI_SLEEP_S5_VALUE, 0xee
#define HALT   0xf4, 0xeb, 0xfd

struct rig {
	struct vm *vm;
	int console[2];
	struct vm_result result;
	char out[256];
};

static void write_paging(const struct gmem *mem)
{
	const uint64_t pml4 = BOOT_PAGE_TABLE_ADDR, pdpt = pml4 + 0x1000, pd = pdpt + 0x1000;
	uint8_t *t = gmem_ptr(mem, pml4, (2 + GIBS) * 0x1000);

	assert_non_null(t);
	memset(t, 0, (2 + GIBS) * 0x1000);
	put_le64(t, pdpt | 7);
	for (uint64_t i = 0; i < GIBS; i++)
		put_le64(t + 0x1000 + i * 8, (pd + i * 0x1000) | 7);
	for (uint64_t i = 0; i < GIBS * 512ULL; i++)
		put_le64(t + 0x2000 + i * 8, i * LARGE_PAGE | 0x87);
}

static void write_tables(const struct gmem *mem)
{
	static const uint64_t gdt[BOOT_GDT_ENTRIES] = {
		0, 0x00cf9b000000ffff, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00008b0000000067, 0
	};
	uint8_t gate[16] = { 0 }, idtr[10] = { 0 };

	assert_int_equal(gmem_write(mem, BOOT_GDT_ADDR, gdt, sizeof(gdt)), 0);
	put_le16(gate, HANDLER);
	put_le16(gate + 2, BOOT_GDT_CS);
	gate[5] = 0x8e;
	assert_int_equal(gmem_write(mem, IDT + VECTOR * 16, gate, sizeof(gate)), 0);
	put_le16(idtr, 0xfff);
	put_le32(idtr + 2, IDT);
	assert_int_equal(gmem_write(mem, IDTR, idtr, sizeof(idtr)), 0);
	write_paging(mem);
}

/* A VM with @code at the entry; skips the test where there is no KVM. */
static void rig_new(struct rig *r, uint64_t mem_size, unsigned vcpus, const uint8_t *code,
		    size_t len)
{
	struct boot_entry entry = {
		.protocol = BOOT_LINUX64,
		.rip = CODE,
		.cr3 = BOOT_PAGE_TABLE_ADDR,
		.gdt = BOOT_GDT_ADDR,
	};
	struct vm_config cfg = { .mem_size = mem_size, .vcpus = vcpus, .console_in = -1 };
	char why[VM_WHY_MAX] = "";

	if (kvm_host_kind() == KVM_HOST_ABSENT || access(KVM_DEV_PATH, R_OK | W_OK) < 0) {
		print_message("SKIP: no usable " KVM_DEV_PATH "\n");
		skip();
	}
	memset(r, 0, sizeof(*r));
	assert_int_equal(pipe(r->console), 0);
	cfg.console_out = r->console[1];
	if (vm_new(&r->vm, &cfg, why, sizeof(why)) < 0)
		fail_msg("%s", why);
	write_tables(vm_gmem(r->vm));
	assert_int_equal(gmem_write(vm_gmem(r->vm), CODE, code, len), 0);
	assert_int_equal(vm_set_entry(r->vm, &entry, why, sizeof(why)), 0);
}

static void rig_run(struct rig *r)
{
	struct alloc_count heap;
	ssize_t n;

	alarm(GUARD_SECONDS);
	(void)vm_run(r->vm, &r->result);
	alarm(0);
	assert_int_equal(write(r->console[1], "", 1), 1); /* never blocks on an empty pipe */
	n = read(r->console[0], r->out, sizeof(r->out));
	assert_true(n > 0);
	assert_true(strlen(r->result.why) > 0);
	/* No vCPU calls the allocator, however the guest ends. */
	vm_vcpu_heap(r->vm, &heap);
	assert_int_equal(heap.allocs + heap.frees + heap.maps, 0);
}

static void rig_free(struct rig *r)
{
	vm_free(r->vm);
	close(r->console[0]);
	close(r->console[1]);
}

static void a_guest_prints_and_switches_itself_off(void **state)
{
	static const uint8_t code[] = {
		0xba,	0xf8, 0x03, 0x00, 0x00, /* mov edx, 0x3f8 */
		0xb0,	'h',  0xee,		/* mov al, 'h'; out dx, al */
		0xb0,	'i',  0xee,		/* */
		OUT_S5, HALT,
	};
	struct rig r;

	(void)state;
	rig_new(&r, RAM_SIZE_MIN, 1, code, sizeof(code));
	rig_run(&r);
	assert_int_equal(r.result.end, VM_END_POWEROFF);
	assert_string_equal(r.out, "hi");
	rig_free(&r);
}

/* What the loader's PVH kernels get: no paging, flat segments, ebx = the argument. */
static void the_pvh_entry_state_runs(void **state)
{
	static const uint8_t code[] = {
		0xba,	0xf8, 0x03, 0x00, 0x00, /* mov edx, 0x3f8 */
		0x88,	0xd8, 0xee,		/* mov al, bl; out dx, al */
		OUT_S5, HALT,
	};
	struct boot_entry pvh = {
		.protocol = BOOT_PVH, .rip = CODE, .arg = 'P', .gdt = BOOT_GDT_ADDR
	};
	char why[VM_WHY_MAX];
	struct rig r;

	(void)state;
	rig_new(&r, RAM_SIZE_MIN, 1, code, sizeof(code));
	assert_int_equal(vm_set_entry(r.vm, &pvh, why, sizeof(why)), 0);
	rig_run(&r);
	assert_int_equal(r.result.end, VM_END_POWEROFF);
	assert_string_equal(r.out, "P");
	rig_free(&r);
}

static void a_guest_reads_configuration_space_by_mmio(void **state)
{
	static const uint8_t code[] = {
		0xba,	0xf8, 0x03, 0x00, 0x00, /* mov edx, 0x3f8 */
		0xbb,	0x00, 0x00, 0x00, 0xe0, /* mov ebx, ECAM_BASE */
		0x8b,	0x03,			/* mov eax, [rbx] */
		0xee,				/* out dx, al */
		0xc1,	0xe8, 0x08, 0xee,	/* shr eax, 8; out dx, al */
		OUT_S5, HALT,
	};
	struct rig r;

	(void)state;
	static_assert(ECAM_BASE == 0xe0000000, "the address in the code");
	rig_new(&r, RAM_SIZE_MIN, 1, code, sizeof(code));
	rig_run(&r);
	assert_int_equal(r.result.end, VM_END_POWEROFF);
	assert_memory_equal(r.out, "\x36\x1b", 2);
	rig_free(&r);
}

/* H85: what E820 will call RAM above the hole is RAM. */
static void memory_above_four_gib_is_there(void **state)
{
	static const uint8_t code[] = {
		0x48,	0xbb, 0xfc, 0xff, 0xff, 0x3f, 0x01, 0, 0, 0, /* mov rbx, 0x13ffffffc */
		0xc7,	0x03, 0x78, 0x56, 0x34, 0x12, /* mov dword [rbx], 0x12345678 */
		OUT_S5, HALT,
	};
	const uint64_t size = RAM_LOW_MAX + (1ULL << 30);
	struct rig r;
	uint8_t *p;

	(void)state;
	rig_new(&r, size, 1, code, sizeof(code));
	rig_run(&r);
	assert_int_equal(r.result.end, VM_END_POWEROFF);
	p = gmem_ptr(vm_gmem(r.vm), RAM_HIGH_START + (1ULL << 30) - 4, 4);
	assert_non_null(p);
	assert_int_equal(get_le32(p), 0x12345678);
	rig_free(&r);
}

/*
 * One eventfd is the kick's and the interrupt's: the guest's write to the kick
 * address comes back to it as an MSI, all inside the kernel.
 */
static void a_kick_becomes_an_interrupt(void **state)
{
	static const uint8_t code[] = {
		0xbc, 0x00, 0x80, 0x00, 0x00,			/* mov esp, 0x8000 */
		0x0f, 0x01, 0x1c, 0x25, 0x00, 0x50, 0x00, 0x00, /* lidt [IDTR] */
		0xbb, 0xf0, 0x00, 0xe0, 0xfe,			/* mov ebx, LAPIC + 0xf0 */
		0xc7, 0x03, 0xff, 0x01, 0x00, 0x00,		/* SVR: software enable */
		0xfb,						/* sti */
		0xbb, 0x00, 0x00, 0x00, 0xc0,			/* mov ebx, KICK_ADDR */
		0xc7, 0x03, 0x01, 0x00, 0x00, 0x00,		/* mov dword [rbx], 1 */
		HALT,
	};
	static const uint8_t handler[] = {
		0xba, 0xf8, 0x03, 0x00, 0x00, 0xb0, 'I', 0xee, OUT_S5, HALT,
	};
	struct kick_addr addr = { .gpa = KICK_ADDR, .len = 4 };
	const struct machine *m;
	uint32_t route;
	struct rig r;
	int fd;

	(void)state;
	static_assert(KICK_ADDR == 0xc0000000, "the address in the code");
	rig_new(&r, RAM_SIZE_MIN, 1, code, sizeof(code));
	m = vm_machine(r.vm);
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(gmem_write(vm_gmem(r.vm), HANDLER, handler, sizeof(handler)), 0);
	assert_int_equal(m->ops->kick_attach(m->ctx, &addr, fd), 0);
	assert_int_equal(m->ops->msi_attach(m->ctx, fd, LAPIC_MSI, VECTOR, &route), 0);
	rig_run(&r);
	assert_int_equal(r.result.end, VM_END_POWEROFF);
	assert_string_equal(r.out, "I");
	m->ops->msi_detach(m->ctx, route, fd);
	m->ops->kick_detach(m->ctx, &addr, fd);
	rig_free(&r);
	close(fd);
}

/* The second vCPU waits for INIT and SIPI, then runs from the page they name. */
static void a_second_cpu_is_started_by_the_first(void **state)
{
	static const uint8_t code[] = {
		0xbb, 0x00, 0x03, 0xe0, 0xfe,		  /* mov ebx, LAPIC + 0x300 */
		0xc7, 0x43, 0x10, 0x00, 0x00, 0x00, 0x01, /* ICR high: APIC id 1 */
		0xc7, 0x03, 0x00, 0x45, 0x00, 0x00,	  /* INIT */
		0xc7, 0x43, 0x10, 0x00, 0x00, 0x00, 0x01, /* */
		0xc7, 0x03, 0x02, 0x46, 0x00, 0x00,	  /* SIPI, page 2 */
		HALT,
	};
	/* Real mode: the same bytes in 16 bits. */
	static const uint8_t ap[] = {
		0xba, 0xf8, 0x03, /* mov dx, 0x3f8 */
		0xb0, '2',  0xee, /* */
		0xba, 0x02, 0x06, /* mov dx, PORT_ACPI_RESET */
		0xb0, 0x01, 0xee, /* */
		HALT,
	};
	struct rig r;

	(void)state;
	rig_new(&r, RAM_SIZE_MIN, 2, code, sizeof(code));
	assert_int_equal(gmem_write(vm_gmem(r.vm), AP_CODE, ap, sizeof(ap)), 0);
	rig_run(&r);
	assert_int_equal(r.result.end, VM_END_REBOOT);
	assert_string_equal(r.out, "2");
	rig_free(&r);
}

static void a_triple_fault_is_a_crash(void **state)
{
	static const uint8_t code[] = { 0x0f, 0x0b }; /* ud2; there is no IDT yet */
	struct rig r;

	(void)state;
	rig_new(&r, RAM_SIZE_MIN, 1, code, sizeof(code));
	rig_run(&r);
	assert_int_equal(r.result.end, VM_END_CRASH);
	assert_non_null(strstr(r.result.why, "triple fault"));
	rig_free(&r);
}

static const uint8_t spin[] = { 0xeb, 0xfe };

/* Called on the loop's thread once the guest runs: the wait below is for its kick. */
static void stop_now(void *ctx, uint32_t events)
{
	(void)events;
	vm_stop(ctx, VM_END_STOPPED, 42);
}

static void a_spinning_guest_is_stopped_from_outside(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	rig_new(&r, RAM_SIZE_MIN, 4, spin, sizeof(spin));
	fd = eventfd(1, EFD_CLOEXEC); /* readable at once */
	assert_int_equal(io_loop_add(vm_loop(r.vm), fd, EPOLLIN, stop_now, r.vm), 0);
	rig_run(&r);
	assert_int_equal(r.result.end, VM_END_STOPPED);
	assert_int_equal(r.result.detail, 42);
	rig_free(&r);
	close(fd);
}

static void a_halted_guest_is_stopped_from_outside(void **state)
{
	static const uint8_t code[] = { HALT };
	struct rig r;

	(void)state;
	rig_new(&r, RAM_SIZE_MIN, 2, code, sizeof(code));
	vm_stop(r.vm, VM_END_STOPPED, 1); /* even before it has begun */
	vm_stop(r.vm, VM_END_ERROR, 2);	  /* the first reason counts */
	rig_run(&r);
	assert_int_equal(r.result.end, VM_END_STOPPED);
	assert_int_equal(r.result.detail, 1);
	rig_free(&r);
}

static void sigterm_ends_the_vm(void **state)
{
	struct rig r;

	(void)state;
	rig_new(&r, RAM_SIZE_MIN, 1, spin, sizeof(spin));
	assert_int_equal(kill(getpid(), SIGTERM), 0);
	rig_run(&r);
	assert_int_equal(r.result.end, VM_END_SIGNAL);
	assert_int_equal(r.result.detail, SIGTERM);
	assert_non_null(strstr(r.result.why, "SIGTERM"));
	rig_free(&r);
}

static void bad_configurations_are_refused_in_words(void **state)
{
	struct vm_config cfg = { .mem_size = RAM_SIZE_MIN, .console_in = -1, .console_out = -1 };
	char why[VM_WHY_MAX] = "";
	struct vm *vm = NULL;

	(void)state;
	assert_int_equal(vm_new(&vm, &cfg, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "vCPUs"));
	cfg.vcpus = VCPUS_MAX + 1;
	assert_int_equal(vm_new(&vm, &cfg, why, sizeof(why)), -EINVAL);
	cfg.vcpus = 1;
	cfg.dev_path = "/nonexistent/kvm";
	assert_int_equal(vm_new(&vm, &cfg, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "/nonexistent/kvm"));
	assert_null(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_guest_prints_and_switches_itself_off),
		cmocka_unit_test(the_pvh_entry_state_runs),
		cmocka_unit_test(a_guest_reads_configuration_space_by_mmio),
		cmocka_unit_test(memory_above_four_gib_is_there),
		cmocka_unit_test(a_kick_becomes_an_interrupt),
		cmocka_unit_test(a_second_cpu_is_started_by_the_first),
		cmocka_unit_test(a_triple_fault_is_a_crash),
		cmocka_unit_test(a_spinning_guest_is_stopped_from_outside),
		cmocka_unit_test(a_halted_guest_is_stopped_from_outside),
		cmocka_unit_test(sigterm_ends_the_vm),
		cmocka_unit_test(bad_configurations_are_refused_in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
