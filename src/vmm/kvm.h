/* SPDX-License-Identifier: MIT */
/*
 * /dev/kvm: what this host offers, and a VM's file descriptor with the in-kernel
 * interrupt controllers. Everything that can be missing is found out here, once,
 * and told in one line that says how to mend it.
 */
#ifndef SLUICE_VMM_KVM_H
#define SLUICE_VMM_KVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KVM_DEV_PATH "/dev/kvm"

/**
 * enum kvm_host - what runs ring-0 guest code here
 * @KVM_HOST_ABSENT:	no usable /dev/kvm
 * @KVM_HOST_HW:	VT-x or SVM: stock kernels boot
 * @KVM_HOST_PVM:	/dev/kvm without vmx or svm in the CPU flags: ring 0 is
 *			interpreted, a stock kernel does not survive its self-tests
 */
enum kvm_host { KVM_HOST_ABSENT, KVM_HOST_HW, KVM_HOST_PVM };

/**
 * struct kvm - an open VM
 * @dev_fd:	/dev/kvm
 * @vm_fd:	the VM
 * @run_size:	bytes of a vCPU's shared struct kvm_run
 * @tsc_deadline:	the LAPIC timer has TSC-deadline mode
 * @max_vcpus:	as KVM says
 */
struct kvm {
	int dev_fd;
	int vm_fd;
	uint32_t run_size;
	uint32_t max_vcpus;
	bool tsc_deadline;
};

/* kvm.c */
enum kvm_host kvm_host_kind(void);
enum kvm_host kvm_host_kind_from(const char *cpuinfo_path, const char *dev_path);
int kvm_open(struct kvm *k, const char *dev_path, char *why, size_t why_len);
void kvm_close(struct kvm *k);
int kvm_ioctl(int fd, unsigned long request, void *arg);

#endif
