/* SPDX-License-Identifier: MIT */
/*
 * Virtual CPUs: state at power-on, one thread each, and what their exits mean.
 *
 * vcpu_new() -> vcpu_set_entry() (the first one) -> vcpu_start() -> vcpu_go() ->
 * vcpu_stop() -> vcpu_free(), all on the main thread. vcpu_kick() may come from any.
 */
#ifndef SLUICE_VMM_VCPU_H
#define SLUICE_VMM_VCPU_H

#include <linux/kvm.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "src/base/counter.h"
#include "src/vmm/boot.h"
#include "src/vmm/bus.h"
#include "src/vmm/kvm.h"
#include "src/vmm/vm.h"

/**
 * struct vcpu_env - what all vCPUs of a VM share; constant while they run
 * @end:	the VM is over; any vCPU thread, and more than one may say so.
 *		@why is copied
 * @host:	kvm_host_kind(), to explain failures
 * @stopping:	no vCPU enters the guest again once it is set
 */
struct vcpu_env {
	const struct bus *pio;
	const struct bus *mmio;
	void (*end)(void *ctx, enum vm_end end, int detail, const char *why);
	void *ctx;
	int (*thread_init)(void *ctx);
	void *thread_ctx;
	enum kvm_host host;
	_Atomic bool stopping;
};

/**
 * struct vcpu_counters - single writer: the vCPU's thread
 * @allocs, @frees, @maps:	heap calls of the thread since its first entry
 */
struct vcpu_counters {
	struct counter exits, pio, mmio, interrupted;
	struct counter allocs, frees, maps;
};

/**
 * struct vcpu - one of them
 * @ready:	posted when its thread is set up, or has failed with @init_err
 * @go:		posted when it may enter the guest, or shall end
 */
struct vcpu {
	struct vcpu_env *env;
	unsigned id;
	int fd;
	struct kvm_run *run;
	size_t run_size;
	pthread_t thread;
	bool started;
	sem_t ready, go;
	int init_err;
	struct vcpu_counters n;
};

/* vcpu.c: life, thread, exits */
int vcpu_new(struct vcpu *v, const struct kvm *k, struct vcpu_env *env, unsigned id, unsigned vcpus,
	     char *why, size_t why_len);
int vcpu_start(struct vcpu *v);
void vcpu_go(struct vcpu *v);
void vcpu_kick(struct vcpu *v);
void vcpu_stop(struct vcpu *v);
void vcpu_free(struct vcpu *v);

/* vcpu_state.c: registers at power-on */
int vcpu_reset_state(struct vcpu *v, const struct kvm *k, unsigned vcpus, char *why,
		     size_t why_len);
int vcpu_set_entry(struct vcpu *v, const struct boot_entry *entry);

#endif
