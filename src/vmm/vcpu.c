/* SPDX-License-Identifier: MIT */
/*
 * vCPU threads.
 *
 * Theory of operation: a thread enters the guest until something needs us, looks
 * the address up on a bus, calls the device there and enters again. It holds no
 * lock of ours in between, allocates nothing, and does no work of the network.
 *
 * Stopping without a lost kick: whoever stops sets env->stopping, then
 * immediate_exit in the shared page, then sends the signal. A thread outside of
 * KVM_RUN sees the one or the other before the guest runs again; a thread inside
 * is interrupted by the signal. Neither flag is ever cleared.
 *
 * A thread sets itself up, says so, and waits at a gate: the guest runs when all
 * vCPUs' threads are set up and the main thread has given up what it can.
 */
#include "src/vmm/vcpu.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/base/alloc_count.h"
#include "src/base/base.h"
#include "src/base/log.h"
#include "src/base/sem.h"
#include "src/base/why.h"

/* The first real-time signal that libc leaves to programs. */
#define KICK_SIGNAL SIGRTMIN

static void on_kick(int signo)
{
	(void)signo; /* being interrupted is the whole effect */
}

static void vcpu_end(struct vcpu *v, enum vm_end end, int detail, const char *fmt, ...)
	PRINTF(4, 5);

static void vcpu_end(struct vcpu *v, enum vm_end end, int detail, const char *fmt, ...)
{
	char why[VM_WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	v->env->end(v->env->ctx, end, detail, why);
}

/* One exit may carry several accesses of a string instruction. */
static void handle_io(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	counter_inc(&v->n.pio);
	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			bus_write(v->env->pio, run->io.port, data, run->io.size);
		else
			bus_read(v->env->pio, run->io.port, data, run->io.size);
	}
}

static void handle_mmio(struct vcpu *v)
{
	struct kvm_run *run = v->run;

	counter_inc(&v->n.mmio);
	if (run->mmio.is_write)
		bus_write(v->env->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
	else
		bus_read(v->env->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
}

static uint64_t guest_rip(const struct vcpu *v)
{
	struct kvm_regs regs;

	return kvm_ioctl(v->fd, KVM_GET_REGS, &regs) < 0 ? 0 : regs.rip;
}

static void handle_internal_error(struct vcpu *v)
{
	const struct kvm_run *run = v->run;
	char bytes[3 * 15 + 1] = "";

	if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION &&
	    run->emulation_failure.ndata >= 1 &&
	    (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
		uint32_t n = MIN(run->emulation_failure.insn_size, (uint8_t)15);

		for (uint32_t i = 0; i < n; i++)
			(void)snprintf(bytes + 3UL * i, 4, " %02x",
				       run->emulation_failure.insn_bytes[i]);
	}
	vcpu_end(v, VM_END_ERROR, (int)run->internal.suberror,
		 "KVM internal error %u on vCPU %u at rip 0x%" PRIx64 "%s%s%s",
		 run->internal.suberror, v->id, guest_rip(v),
		 run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION ? ": cannot emulate" : "",
		 bytes,
		 v->env->host == KVM_HOST_PVM
			 ? " (this host has no VT-x or SVM: stock kernels do not run)"
			 : "");
}

static void handle_system_event(struct vcpu *v)
{
	switch (v->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vcpu_end(v, VM_END_POWEROFF, 0, "the guest switched itself off");
		break;
	case KVM_SYSTEM_EVENT_RESET:
		vcpu_end(v, VM_END_REBOOT, 0, "the guest asked for a reset");
		break;
	default:
		vcpu_end(v, VM_END_CRASH, (int)v->run->system_event.type,
			 "the guest reported a crash (KVM system event %u)",
			 v->run->system_event.type);
		break;
	}
}

static void handle_exit(struct vcpu *v)
{
	counter_inc(&v->n.exits);
	switch (v->run->exit_reason) {
	case KVM_EXIT_IO:
		handle_io(v);
		break;
	case KVM_EXIT_MMIO:
		handle_mmio(v);
		break;
	case KVM_EXIT_INTR:
		counter_inc(&v->n.interrupted);
		break;
	case KVM_EXIT_SHUTDOWN:
		vcpu_end(v, VM_END_CRASH, 0, "the guest crashed: triple fault on vCPU %u", v->id);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		handle_system_event(v);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		vcpu_end(v, VM_END_ERROR, 0,
			 "the CPU refused to enter the guest: hardware reason 0x%" PRIx64
			 " on vCPU %u",
			 (uint64_t)v->run->fail_entry.hardware_entry_failure_reason, v->id);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		handle_internal_error(v);
		break;
	default:
		vcpu_end(v, VM_END_ERROR, (int)v->run->exit_reason,
			 "KVM left the guest for a reason unknown to us: %u on vCPU %u",
			 v->run->exit_reason, v->id);
		break;
	}
}

static void count_heap(struct vcpu *v, const struct alloc_count *base)
{
	const struct alloc_count *here = alloc_count_here();

	counter_set(&v->n.allocs, here->allocs - base->allocs);
	counter_set(&v->n.frees, here->frees - base->frees);
	counter_set(&v->n.maps, here->maps - base->maps);
}

static void run_loop(struct vcpu *v)
{
	const struct alloc_count base = *alloc_count_here();

	while (!atomic_load_explicit(&v->env->stopping, memory_order_acquire)) {
		if (ioctl(v->fd, KVM_RUN, NULL) == 0) {
			handle_exit(v);
			count_heap(v, &base);
			continue;
		}
		/* EAGAIN: a secondary vCPU has received INIT or SIPI meanwhile. */
		if (errno == EINTR || errno == EAGAIN) {
			counter_inc(&v->n.interrupted);
			continue;
		}
		if (errno == EFAULT)
			vcpu_end(v, VM_END_ERROR, EFAULT,
				 "vCPU %u: guest memory cannot be had (host out of memory or of "
				 "huge pages?) at rip 0x%" PRIx64,
				 v->id, guest_rip(v));
		else
			vcpu_end(v, VM_END_ERROR, errno, "vCPU %u: KVM_RUN: %s", v->id,
				 strerror(errno));
		return;
	}
}

/* Only the kick, and what a fault of our own raises, may interrupt a vCPU. */
static void set_signal_mask(void)
{
	static const int open[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGABRT, SIGTRAP };
	sigset_t set;

	sigfillset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(open); i++)
		sigdelset(&set, open[i]);
	sigdelset(&set, KICK_SIGNAL);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
}

static void *vcpu_main(void *arg)
{
	struct vcpu *v = arg;
	char name[16];

	set_signal_mask();
	(void)snprintf(name, sizeof(name), "sluice-vcpu%u", v->id);
	(void)pthread_setname_np(pthread_self(), name);
	if (v->env->thread_init)
		v->init_err = v->env->thread_init(v->env->thread_ctx);
	sem_post(&v->ready);
	sem_wait_for(&v->go);
	if (!v->init_err)
		run_loop(v);
	return NULL;
}

/**
 * vcpu_new() - make a vCPU in its power-on state
 * @env:	shared by all vCPUs of the VM; outlives them
 * @id:		its number and APIC id
 * @vcpus:	how many the VM has
 *
 * Main thread. Return: 0, or -errno with @why set and nothing left behind
 */
int vcpu_new(struct vcpu *v, const struct kvm *k, struct vcpu_env *env, unsigned id, unsigned vcpus,
	     char *why, size_t why_len)
{
	int err;
	void *p;

	*v = (struct vcpu){ .env = env, .id = id, .run_size = k->run_size };
	BUG_ON(sem_init(&v->ready, 0, 0) || sem_init(&v->go, 0, 0));
	v->fd = ioctl(k->vm_fd, KVM_CREATE_VCPU, (unsigned long)id);
	if (v->fd < 0)
		return why_set(why, why_len, -errno, "KVM cannot make vCPU %u: %s", id,
			       strerror(errno));
	p = mmap(NULL, v->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (p == MAP_FAILED) {
		err = why_set(why, why_len, -errno, "vCPU %u: mmap: %s", id, strerror(errno));
		vcpu_free(v);
		return err;
	}
	v->run = p;
	err = vcpu_reset_state(v, k, vcpus, why, why_len);
	if (err)
		vcpu_free(v);
	return err;
}

/**
 * vcpu_start() - a thread of its own, "sluice-vcpuN", which is set up and waits
 *
 * Main thread. Return: 0, or -errno of the thread's birth or what thread_init() said
 */
int vcpu_start(struct vcpu *v)
{
	struct sigaction sa = { .sa_handler = on_kick };
	int err;

	if (sigaction(KICK_SIGNAL, &sa, NULL) < 0)
		return -errno;
	err = pthread_create(&v->thread, NULL, vcpu_main, v);
	if (err)
		return -err;
	v->started = true;
	sem_wait_for(&v->ready);
	return v->init_err;
}

/**
 * vcpu_go() - the guest may run; main thread, after vcpu_start() of all
 */
void vcpu_go(struct vcpu *v)
{
	sem_post(&v->go);
}

/**
 * vcpu_kick() - have it leave the guest for good; env->stopping is set already
 *
 * Any thread, while it is started and not joined.
 */
void vcpu_kick(struct vcpu *v)
{
	BUG_ON(!atomic_load_explicit(&v->env->stopping, memory_order_relaxed));
	/* Written while KVM may read it: one byte, so it cannot tear. */
	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	(void)pthread_kill(v->thread, KICK_SIGNAL);
}

/**
 * vcpu_stop() - kick and join; harmless if it never started; main thread
 */
void vcpu_stop(struct vcpu *v)
{
	if (!v->started)
		return;
	vcpu_kick(v);
	sem_post(&v->go); /* it may never have got so far */
	pthread_join(v->thread, NULL);
	v->started = false;
}

/**
 * vcpu_free() - main thread, stopped; harmless on what vcpu_new() refused
 */
void vcpu_free(struct vcpu *v)
{
	BUG_ON(v->started);
	if (v->run)
		munmap(v->run, v->run_size);
	if (v->fd >= 0)
		close(v->fd);
	v->run = NULL;
	v->fd = -1;
	sem_destroy(&v->ready);
	sem_destroy(&v->go);
}
