/* SPDX-License-Identifier: MIT */
/*
 * CPUID for a guest (Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E).
 *
 * KVM says what it and the CPU can do. What describes the machine rather than
 * the CPU is ours: the APIC id, one socket of @vcpus cores without threads, no
 * virtualisation inside (a sandbox has no need of it, and it is much code to
 * trust), and the flag that says "you run under a hypervisor".
 */
#include "src/vmm/cpuid.h"

#include <errno.h>
#include <string.h>

#include "src/base/base.h"
#include "src/vmm/kvm.h"

#define L1_ECX_VMX	    (1U << 5)
#define L1_ECX_TSC_DEADLINE (1U << 24)
#define L1_ECX_HYPERVISOR   (1U << 31)
#define L1_EDX_HTT	    (1U << 28)
#define X1_ECX_SVM	    (1U << 2)

#define TOPOLOGY_SMT  (1U << 8)
#define TOPOLOGY_CORE (2U << 8)

static_assert(offsetof(struct cpuid_table, entries) == offsetof(struct kvm_cpuid2, entries),
	      "the struct that KVM knows");

/**
 * cpuid_supported() - all that this host's KVM can offer; main thread
 *
 * Return: 0 or -errno
 */
int cpuid_supported(struct cpuid_table *t, int dev_fd)
{
	int err;

	memset(t, 0, sizeof(*t));
	t->nent = CPUID_ENTRIES_MAX;
	err = kvm_ioctl(dev_fd, KVM_GET_SUPPORTED_CPUID, t);
	return err < 0 ? err : 0;
}

/**
 * cpuid_find() - the entry of @leaf and sub-leaf @index, or NULL
 */
const struct kvm_cpuid_entry2 *cpuid_find(const struct cpuid_table *t, uint32_t leaf,
					  uint32_t index)
{
	for (uint32_t i = 0; i < t->nent; i++) {
		if (t->entries[i].function == leaf && t->entries[i].index == index)
			return &t->entries[i];
	}
	return NULL;
}

static void remove_leaf(struct cpuid_table *t, uint32_t leaf)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < t->nent; i++) {
		if (t->entries[i].function != leaf)
			t->entries[kept++] = t->entries[i];
	}
	t->nent = kept;
}

static int add_entry(struct cpuid_table *t, const struct kvm_cpuid_entry2 *e)
{
	if (t->nent == CPUID_ENTRIES_MAX)
		return -E2BIG;
	t->entries[t->nent++] = *e;
	return 0;
}

/* Bits of an APIC id that number the cores of the one socket. */
static uint32_t core_bits(unsigned vcpus)
{
	uint32_t bits = 0;

	while ((1U << bits) < vcpus)
		bits++;
	return bits;
}

/* Leaves 0xb and 0x1f: one thread a core, @vcpus cores, x2APIC id @id. */
static int set_topology(struct cpuid_table *t, uint32_t leaf, unsigned id, unsigned vcpus)
{
	const struct kvm_cpuid_entry2 levels[] = {
		{ .ebx = 1, .ecx = TOPOLOGY_SMT },
		{ .eax = core_bits(vcpus), .ebx = vcpus, .ecx = TOPOLOGY_CORE },
		{ .ecx = 0 }, /* level type 0 ends the list */
	};

	remove_leaf(t, leaf);
	for (uint32_t i = 0; i < ARRAY_SIZE(levels); i++) {
		struct kvm_cpuid_entry2 e = levels[i];
		int err;

		e.function = leaf;
		e.index = i;
		e.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		e.ecx |= i;
		e.edx = id;
		err = add_entry(t, &e);
		if (err)
			return err;
	}
	return 0;
}

/* Cache leaves: which part of the socket shares it. L3 is everybody's. */
static void set_cache_sharing(struct kvm_cpuid_entry2 *e, unsigned vcpus)
{
	uint32_t level = (e->eax >> 5) & 7;
	uint32_t sharers = level >= 3 ? vcpus : 1;

	e->eax = (e->eax & ~(0xfffU << 14)) | ((sharers - 1) << 14);
}

static void fix_entry(struct kvm_cpuid_entry2 *e, unsigned id, unsigned vcpus, bool tsc_deadline)
{
	uint32_t bits = core_bits(vcpus);

	switch (e->function) {
	case 1:
		e->ebx = (e->ebx & 0xffff) | (1U << bits) << 16 | id << 24;
		e->ecx = (e->ecx & ~(L1_ECX_VMX | L1_ECX_TSC_DEADLINE)) | L1_ECX_HYPERVISOR;
		if (tsc_deadline)
			e->ecx |= L1_ECX_TSC_DEADLINE;
		e->edx = (e->edx & ~L1_EDX_HTT) | (vcpus > 1 ? L1_EDX_HTT : 0);
		break;
	case 4:
		if ((e->eax & 0x1f) == 0)
			break;
		set_cache_sharing(e, vcpus);
		e->eax = (e->eax & ~(0x3fU << 26)) | ((1U << bits) - 1) << 26;
		break;
	case 0x80000001:
		e->ecx &= ~X1_ECX_SVM;
		break;
	case 0x80000008:
		/* AMD: cores and the bits of the APIC id that number them. */
		e->ecx = (e->ecx & ~0xf0ffU) | bits << 12 | (vcpus - 1);
		break;
	case 0x8000001d:
		if (e->eax & 0x1f)
			set_cache_sharing(e, vcpus);
		break;
	case 0x8000001e:
		e->eax = id; /* extended APIC id */
		e->ebx = id; /* core id; threads a core - 1 is 0 */
		e->ecx = 0;  /* node 0 of one */
		break;
	default:
		break;
	}
}

/**
 * cpuid_for_vcpu() - turn the supported list into one vCPU's
 * @t:		a copy of what cpuid_supported() gave, changed in place
 * @id:		the vCPU's APIC id
 * @vcpus:	how many the VM has
 *
 * Main thread. Return: 0 or -E2BIG
 */
int cpuid_for_vcpu(struct cpuid_table *t, unsigned id, unsigned vcpus, bool tsc_deadline)
{
	static const uint32_t topology_leaves[] = { 0xb, 0x1f };
	const struct kvm_cpuid_entry2 *top = cpuid_find(t, 0, 0);
	uint32_t max = top ? top->eax : 0;

	remove_leaf(t, 0x8000000a); /* SVM */
	for (uint32_t i = 0; i < t->nent; i++)
		fix_entry(&t->entries[i], id, vcpus, tsc_deadline);
	for (size_t i = 0; i < ARRAY_SIZE(topology_leaves); i++) {
		int err;

		if (topology_leaves[i] > max)
			continue;
		err = set_topology(t, topology_leaves[i], id, vcpus);
		if (err)
			return err;
	}
	return 0;
}
