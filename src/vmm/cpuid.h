/* SPDX-License-Identifier: MIT */
/* What the guest's CPUID instruction answers: KVM's list, made true for our VM. */
#ifndef SLUICE_VMM_CPUID_H
#define SLUICE_VMM_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#define CPUID_ENTRIES_MAX 256

/* struct kvm_cpuid2 with room behind it. */
struct cpuid_table {
	uint32_t nent;
	uint32_t padding;
	struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX];
};

/* cpuid.c */
int cpuid_supported(struct cpuid_table *t, int dev_fd);
int cpuid_for_vcpu(struct cpuid_table *t, unsigned id, unsigned vcpus, bool tsc_deadline);
const struct kvm_cpuid_entry2 *cpuid_find(const struct cpuid_table *t, uint32_t leaf,
					  uint32_t index);

#endif
