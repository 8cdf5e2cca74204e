/* SPDX-License-Identifier: MIT */
/*
 * A vCPU's state before its first instruction: CPUID, the MSRs, FPU and local
 * APIC that firmware would have left, and for the first one the registers that
 * the kernel's entry point expects (boot.h). The others wait in KVM for INIT and
 * SIPI, which set their registers.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "src/base/log.h"
#include "src/base/why.h"
#include "src/vmm/cpuid.h"
#include "src/vmm/vcpu.h"

#define MSR_MISC_ENABLE		0x1a0U
#define MISC_ENABLE_FAST_STRING 1ULL
#define MSR_MTRR_DEF_TYPE	0x2ffU
#define MTRR_ENABLED_WRITE_BACK (1ULL << 11 | 6)

#define APIC_REG_LVT0	    0x350
#define APIC_REG_LVT1	    0x360
#define APIC_MODE_MASK	    0x700U
#define APIC_MODE_NMI	    0x400U
#define APIC_MODE_EXTINT    0x700U
#define APIC_MASKED	    0x10000U
#define FPU_CONTROL_DEFAULT 0x37f
#define MXCSR_DEFAULT	    0x1f80

#define CR0_PE	 (1ULL << 0)
#define CR0_ET	 (1ULL << 4)
#define CR0_PG	 (1ULL << 31)
#define CR4_PAE	 (1ULL << 5)
#define EFER_LME (1ULL << 8)
#define EFER_LMA (1ULL << 10)

#define RFLAGS_FIXED 2ULL

static int set_cpuid(const struct vcpu *v, const struct kvm *k, unsigned vcpus)
{
	struct cpuid_table *t = malloc(sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	err = cpuid_supported(t, k->dev_fd);
	if (!err)
		err = cpuid_for_vcpu(t, v->id, vcpus, k->tsc_deadline);
	if (!err) {
		err = kvm_ioctl(v->fd, KVM_SET_CPUID2, t);
		err = MIN(err, 0);
	}
	free(t);
	return err;
}

/* MSRs of firmware's making; a KVM that refuses one gives a slower guest, not a broken one. */
static int set_msrs(const struct vcpu *v)
{
	static const struct kvm_msr_entry wanted[] = {
		{ .index = MSR_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRING },
		/* Without it Linux leaves PAT off and maps device memory as it can. */
		{ .index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLED_WRITE_BACK },
	};

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		/* struct kvm_msrs with room for one. */
		struct {
			uint32_t nmsrs, pad;
			struct kvm_msr_entry entry;
		} req = { .nmsrs = 1, .entry = wanted[i] };
		int r = kvm_ioctl(v->fd, KVM_SET_MSRS, &req);

		if (r < 0)
			return r;
		if (r == 0)
			log_debug("vcpu", "KVM refuses MSR 0x%x", wanted[i].index);
	}
	return 0;
}

static int set_fpu(const struct vcpu *v)
{
	struct kvm_fpu fpu = { .fcw = FPU_CONTROL_DEFAULT, .mxcsr = MXCSR_DEFAULT };
	int r = kvm_ioctl(v->fd, KVM_SET_FPU, &fpu);

	return MIN(r, 0);
}

/* LINT0 takes the 8259's interrupts, LINT1 is the NMI line, as the MADT says too. */
static int set_lapic(const struct vcpu *v)
{
	struct kvm_lapic_state lapic;
	uint32_t lvt;
	int r = kvm_ioctl(v->fd, KVM_GET_LAPIC, &lapic);

	if (r < 0)
		return r;
	lvt = get_le32(lapic.regs + APIC_REG_LVT0) & ~(APIC_MODE_MASK | APIC_MASKED);
	put_le32(lapic.regs + APIC_REG_LVT0, lvt | APIC_MODE_EXTINT);
	lvt = get_le32(lapic.regs + APIC_REG_LVT1) & ~(APIC_MODE_MASK | APIC_MASKED);
	put_le32(lapic.regs + APIC_REG_LVT1, lvt | APIC_MODE_NMI);
	r = kvm_ioctl(v->fd, KVM_SET_LAPIC, &lapic);
	return MIN(r, 0);
}

/**
 * vcpu_reset_state() - everything but the entry registers
 * @vcpus:	how many the VM has, for the topology in CPUID
 *
 * Main thread. Return: 0, or -errno with @why set
 */
int vcpu_reset_state(struct vcpu *v, const struct kvm *k, unsigned vcpus, char *why, size_t why_len)
{
	int err = set_cpuid(v, k, vcpus);

	if (err)
		return why_set(why, why_len, err, "vCPU %u: CPUID: %s", v->id, strerror(-err));
	err = set_msrs(v);
	if (err)
		return why_set(why, why_len, err, "vCPU %u: MSRs: %s", v->id, strerror(-err));
	err = set_fpu(v);
	if (err)
		return why_set(why, why_len, err, "vCPU %u: FPU: %s", v->id, strerror(-err));
	err = set_lapic(v);
	if (err)
		return why_set(why, why_len, err, "vCPU %u: local APIC: %s", v->id, strerror(-err));
	return 0;
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
	};
}

static void set_segments(struct kvm_sregs *s, const struct boot_entry *e)
{
	bool is64 = e->protocol == BOOT_LINUX64;
	/* Accessed, so that the CPU need not write the descriptor (Intel SDM 3A, 3.4.5.1). */
	struct kvm_segment code = flat_segment(is64 ? BOOT_GDT_CS : BOOT_GDT_CS32, 0xb);
	struct kvm_segment data = flat_segment(BOOT_GDT_DS, 0x3);

	code.l = is64;
	code.db = !is64;
	data.db = 1;
	s->cs = code;
	s->ds = s->es = s->fs = s->gs = s->ss = data;
	s->tr = (struct kvm_segment){
		.selector = BOOT_GDT_TSS,
		.limit = 0x67, /* a task state segment without I/O map */
		.type = 0xb,
		.present = 1,
	};
	s->gdt.base = e->gdt;
	s->gdt.limit = BOOT_GDT_ENTRIES * 8 - 1;
	s->idt.base = 0;
	s->idt.limit = 0;
}

/**
 * vcpu_set_entry() - registers of the first vCPU as boot.h promises them
 *
 * Main thread, before vcpu_start(). Return: 0 or -errno
 */
int vcpu_set_entry(struct vcpu *v, const struct boot_entry *e)
{
	struct kvm_regs regs = { .rip = e->rip, .rflags = RFLAGS_FIXED };
	struct kvm_sregs s;
	int err = kvm_ioctl(v->fd, KVM_GET_SREGS, &s);

	if (err < 0)
		return err;
	set_segments(&s, e);
	if (e->protocol == BOOT_LINUX64) {
		s.cr0 = CR0_PG | CR0_ET | CR0_PE;
		s.cr3 = e->cr3;
		s.cr4 = CR4_PAE;
		s.efer = EFER_LME | EFER_LMA;
		regs.rsi = e->arg;
	} else {
		s.cr0 = CR0_ET | CR0_PE;
		s.cr4 = 0;
		s.efer = 0;
		regs.rbx = e->arg;
	}
	err = kvm_ioctl(v->fd, KVM_SET_SREGS, &s);
	if (err < 0)
		return err;
	err = kvm_ioctl(v->fd, KVM_SET_REGS, &regs);
	return MIN(err, 0);
}
