/* SPDX-License-Identifier: MIT */
/*
 * A virtual machine from birth to end, for the command line to drive:
 *
 *	vm_new -> vm_add... -> vm_load -> vm_run -> vm_free
 *
 * All calls belong to the main thread except where a comment says otherwise.
 * Functions that can fail for a reason of the user's write one line into @why.
 */
#ifndef SLUICE_VMM_VM_H
#define SLUICE_VMM_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/vmm/layout.h"
#include "virtio/machine.h"
#include "virtio/mem.h"

struct alloc_count; /* alloc_count.h */
struct boot_config; /* boot.h */
struct boot_entry;
struct io_loop; /* io_loop.h */
struct vdev;
struct vm;

#define VM_WHY_MAX 256

enum vm_transport { VM_PCI, VM_MMIO };

/**
 * enum vm_end - why vm_run() returned
 * @VM_END_POWEROFF:	the guest switched itself off (ACPI S5)
 * @VM_END_REBOOT:	the guest asked for a reset
 * @VM_END_CRASH:	triple fault: the guest's kernel is dead
 * @VM_END_SIGNAL:	SIGTERM, SIGINT or SIGHUP; its number is in vm_result.detail
 * @VM_END_ESCAPE:	Ctrl-A x on the console
 * @VM_END_STOPPED:	vm_stop() by a part of ours; its detail is in vm_result.detail
 * @VM_END_ERROR:	KVM or the host failed; vm_result.why says what
 */
enum vm_end {
	VM_END_POWEROFF,
	VM_END_REBOOT,
	VM_END_CRASH,
	VM_END_SIGNAL,
	VM_END_ESCAPE,
	VM_END_STOPPED,
	VM_END_ERROR,
	VM_END_COUNT,
};

struct vm_result {
	enum vm_end end;
	int detail;
	char why[VM_WHY_MAX]; /* one line, always filled */
};

/**
 * struct vm_config - what the user chose
 * @mem_size:	bytes, a multiple of RAM_SIZE_STEP, RAM_SIZE_MIN..RAM_SIZE_MAX
 * @vcpus:	1..VCPUS_MAX
 * @hugepages:	back guest memory by huge pages
 * @dev_path:	NULL = /dev/kvm
 * @console_in:	fd that feeds the serial console, -1 = none. The caller's; made
 *		nonblocking only through epoll, its flags are left as they are
 * @console_out:	fd that takes what the serial console prints, -1 = nowhere
 * @escape:	@console_in is the user's terminal: raw while the VM runs, so that
 *		Ctrl-C goes to the guest; Ctrl-A x ends the VM (Ctrl-A Ctrl-A sends
 *		one Ctrl-A)
 * @thread_init:	runs first on each vCPU thread (seccomp); may be NULL; -errno stops
 * @ready:	runs on the main thread in vm_run(), when all vCPU threads are set up
 *		and before any enters the guest; may be NULL; -errno, with the reason
 *		in @why, stops
 * @on_signal:	asked on the main thread before SIGTERM, SIGINT or SIGHUP ends the
 *		VM; true = the signal was passed on to a command in the guest, the
 *		VM goes on. May be NULL
 */
struct vm_config {
	uint64_t mem_size;
	unsigned vcpus;
	bool hugepages;
	const char *dev_path;
	int console_in;
	int console_out;
	bool escape;
	int (*thread_init)(void *ctx);
	int (*ready)(void *ctx, char *why, size_t why_len);
	void *thread_ctx; /* of both */
	bool (*on_signal)(void *ctx, int signo);
	void *signal_ctx;
};

/* vm.c */
int vm_new(struct vm **out, const struct vm_config *cfg, char *why, size_t why_len);
struct gmem *vm_gmem(struct vm *vm);
const struct machine *vm_machine(struct vm *vm);
struct io_loop *vm_loop(struct vm *vm);
int vm_add(struct vm *vm, struct vdev *vdev, enum vm_transport transport, char *why,
	   size_t why_len);
/*
 * Calls boot_load() with a copy of @boot in which .vcpus (unsigned) and
 * .mmio_slots (unsigned: virtio-mmio slots in use, from slot 0 on) are filled in.
 */
int vm_load(struct vm *vm, const struct boot_config *boot, char *why, size_t why_len);
int vm_set_entry(struct vm *vm, const struct boot_entry *entry, char *why, size_t why_len);
int vm_run(struct vm *vm, struct vm_result *result);
void vm_vcpu_heap(const struct vm *vm, struct alloc_count *sum);
void vm_stop(struct vm *vm, enum vm_end end, int detail); /* any thread */
void vm_free(struct vm *vm);
const char *vm_end_name(enum vm_end end);

#endif
