/* SPDX-License-Identifier: MIT */
/*
 * A virtual machine put together and taken apart.
 *
 * Theory of operation: everything is made on the main thread before the first
 * vCPU runs, and is constant from then on but for what its own header says. While
 * the VM runs, the main thread sits in the I/O loop. Whoever ends the VM (a guest
 * by a port, a signal, a vCPU that failed, the command channel) calls vm_stop()
 * or its like from its own thread: the first one's reason counts, no vCPU enters
 * the guest again, and the loop is woken. The main thread then joins the vCPUs,
 * and only when none is left takes devices and memory down.
 */
#include "src/vmm/vm.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "src/base/alloc_count.h"
#include "src/base/base.h"
#include "src/base/log.h"
#include "src/base/why.h"
#include "src/vmm/boot.h"
#include "src/vmm/bus.h"
#include "src/vmm/io_loop.h"
#include "src/vmm/kvm.h"
#include "src/vmm/legacy.h"
#include "src/vmm/machine.h"
#include "src/vmm/memory.h"
#include "src/vmm/pci_bus.h"
#include "src/vmm/serial.h"
#include "src/vmm/serial_io.h"
#include "src/vmm/tty.h"
#include "src/vmm/vcpu.h"
#include "virtio/mmio.h"
#include "virtio/pci.h"

/* How long a console that does not read may hold up the end. */
#define CONSOLE_DRAIN_MS 1000

#define VM_DEVICES_MAX (PCI_DEVICES + VIRTIO_MMIO_SLOTS)

/* One of the two is set. */
struct vm_device {
	struct vpci *pci;
	struct vmmio *mmio;
};

/**
 * struct vm - @end_lock guards @ended and @result, the only things that several
 * threads write here
 */
struct vm {
	struct vm_config cfg;
	struct kvm kvm;
	struct vm_memory mem;
	struct kvm_machine kvm_machine;
	struct machine machine;
	struct bus pio, mmio;
	struct pci_bus pci;
	struct legacy legacy;
	struct serial serial;
	struct serial_io serial_io;
	struct io_loop *loop;
	int signal_fd;
	sigset_t old_mask;

	struct vm_device device[VM_DEVICES_MAX];
	unsigned ndevices;
	unsigned mmio_slots;

	struct vcpu_env env;
	struct vcpu vcpu[VCPUS_MAX];
	unsigned nvcpus;

	pthread_mutex_t end_lock;
	bool ended;
	struct vm_result result;

	/* How far vm_new() came; vm_free() goes back from there. */
	bool have_machine, have_serial, have_serial_io;
};

static const char *const end_names[] = {
	[VM_END_POWEROFF] = "the guest switched itself off",
	[VM_END_REBOOT] = "the guest asked for a reset",
	[VM_END_CRASH] = "the guest crashed",
	[VM_END_SIGNAL] = "ended by a signal",
	[VM_END_ESCAPE] = "ended from the console",
	[VM_END_STOPPED] = "stopped",
	[VM_END_ERROR] = "failed",
};

static_assert(ARRAY_SIZE(end_names) == VM_END_COUNT, "a name for each end");

/**
 * vm_end_name() - the reason in words
 */
const char *vm_end_name(enum vm_end end)
{
	return end_names[end];
}

/* --- ends, on any thread --- */

static void vm_end(void *ctx, enum vm_end end, int detail, const char *why)
{
	struct vm *vm = ctx;

	pthread_mutex_lock(&vm->end_lock);
	if (!vm->ended) {
		vm->ended = true;
		vm->result.end = end;
		vm->result.detail = detail;
		(void)snprintf(vm->result.why, sizeof(vm->result.why), "%s", why);
	}
	pthread_mutex_unlock(&vm->end_lock);
	atomic_store_explicit(&vm->env.stopping, true, memory_order_release);
	io_loop_stop(vm->loop);
}

/**
 * vm_stop() - end the VM for a reason of ours; any thread, any number of times
 * @detail:	comes back in vm_result.detail
 *
 * The first reason given wins. vm_run() returns soon after, or at once if it has
 * not begun.
 */
void vm_stop(struct vm *vm, enum vm_end end, int detail)
{
	vm_end(vm, end, detail, vm_end_name(end));
}

static void on_legacy(void *ctx, enum legacy_event event)
{
	vm_stop(ctx, event == LEGACY_POWEROFF ? VM_END_POWEROFF : VM_END_REBOOT, 0);
}

static void on_pci_reset(void *ctx)
{
	vm_stop(ctx, VM_END_REBOOT, 0);
}

static void on_escape(void *ctx)
{
	vm_stop(ctx, VM_END_ESCAPE, 0);
}

static void on_signal(void *ctx, uint32_t events)
{
	struct vm *vm = ctx;
	struct signalfd_siginfo si;
	char why[VM_WHY_MAX];

	(void)events;
	while (read(vm->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		int signo = (int)si.ssi_signo;

		if (vm->cfg.on_signal && vm->cfg.on_signal(vm->cfg.signal_ctx, signo))
			continue;
		(void)snprintf(why, sizeof(why), "ended by SIG%s", sigabbrev_np(signo));
		vm_end(vm, VM_END_SIGNAL, signo, why);
	}
}

static void on_serial_irq(void *ctx, bool level)
{
	struct vm *vm = ctx;
	int err = kvm_machine_set_line(&vm->kvm_machine, IRQ_COM1, level);

	if (err)
		log_limited(LOG_WARN, "serial", "interrupt not sent: %s", strerror(-err));
}

static void on_serial_wake(void *ctx)
{
	struct vm *vm = ctx;

	serial_io_wake(&vm->serial_io);
}

/* --- birth, on the main thread --- */

static int check_config(const struct vm_config *cfg, char *why, size_t why_len)
{
	if (cfg->vcpus < 1 || cfg->vcpus > VCPUS_MAX)
		return why_set(why, why_len, -EINVAL, "vCPUs must be 1..%u, not %u", VCPUS_MAX,
			       cfg->vcpus);
	return 0;
}

static int new_loop(struct vm *vm, char *why, size_t why_len)
{
	sigset_t set;
	int err;

	/*
	 * Blocked before any thread is made, so that each inherits the mask and the
	 * loop is the only place where these signals arrive.
	 */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	/* A reader that went away is an error of write(2), nothing more. */
	(void)signal(SIGPIPE, SIG_IGN);

	err = io_loop_new(&vm->loop);
	if (err)
		return why_set(why, why_len, err, "event loop: %s", strerror(-err));
	vm->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (vm->signal_fd < 0)
		return why_set(why, why_len, -errno, "signalfd: %s", strerror(errno));
	err = io_loop_add(vm->loop, vm->signal_fd, EPOLLIN, on_signal, vm);
	if (err)
		return why_set(why, why_len, err, "event loop: %s", strerror(-err));
	return 0;
}

static int new_machine(struct vm *vm, char *why, size_t why_len)
{
	int err = kvm_open(&vm->kvm, vm->cfg.dev_path, why, why_len);

	if (err)
		return err;
	if (vm->cfg.vcpus > vm->kvm.max_vcpus)
		return why_set(why, why_len, -EINVAL, "this host's KVM allows %u vCPUs at most",
			       vm->kvm.max_vcpus);
	err = vm_memory_new(&vm->mem, vm->cfg.mem_size, vm->cfg.hugepages, why, why_len);
	if (err)
		return err;
	err = vm_memory_register(&vm->mem, vm->kvm.vm_fd);
	if (err)
		return why_set(why, why_len, err, "KVM refuses the guest's memory: %s",
			       strerror(-err));
	err = kvm_machine_init(&vm->kvm_machine, vm->kvm.vm_fd, NULL);
	if (err)
		return why_set(why, why_len, err, "KVM refuses interrupt routes: %s",
			       strerror(-err));
	vm->have_machine = true;
	vm->machine = (struct machine){ .ops = &kvm_machine_ops, .ctx = &vm->kvm_machine };
	return 0;
}

static int new_devices(struct vm *vm, char *why, size_t why_len)
{
	struct serial_backend be = { .irq = on_serial_irq, .wake = on_serial_wake, .ctx = vm };
	struct serial_io_config io = {
		.in = vm->cfg.console_in,
		.out = vm->cfg.console_out,
		.escape = vm->cfg.escape,
		.on_escape = on_escape,
		.ctx = vm,
	};
	int err;

	serial_init(&vm->serial, &be);
	vm->have_serial = true;
	err = serial_io_new(&vm->serial_io, &vm->serial, vm->loop, &io);
	if (err)
		return why_set(why, why_len, err, "console: %s", strerror(-err));
	vm->have_serial_io = true;
	vm->legacy = (struct legacy){ .event = on_legacy, .ctx = vm };
	pci_bus_init(&vm->pci, on_pci_reset, vm);
	err = bus_add(&vm->pio, PORT_COM1, PORT_COM1_LEN, &serial_bus_ops, &vm->serial);
	if (!err)
		err = legacy_attach(&vm->legacy, &vm->pio);
	if (!err)
		err = pci_bus_attach(&vm->pci, &vm->pio, &vm->mmio);
	if (err)
		return why_set(why, why_len, err, "address map: %s", strerror(-err));
	return 0;
}

static int new_vcpus(struct vm *vm, char *why, size_t why_len)
{
	vm->env.pio = &vm->pio;
	vm->env.mmio = &vm->mmio;
	vm->env.end = vm_end;
	vm->env.ctx = vm;
	vm->env.thread_init = vm->cfg.thread_init;
	vm->env.thread_ctx = vm->cfg.thread_ctx;
	vm->env.host = kvm_host_kind();
	for (unsigned i = 0; i < vm->cfg.vcpus; i++) {
		int err = vcpu_new(&vm->vcpu[i], &vm->kvm, &vm->env, i, vm->cfg.vcpus, why,
				   why_len);

		if (err)
			return err;
		vm->nvcpus = i + 1;
	}
	return 0;
}

/**
 * vm_new() - a machine with memory, vCPUs, console and an empty PCI bus
 * @cfg:	copied; descriptors and callbacks stay good until vm_free()
 *
 * Blocks SIGTERM, SIGINT and SIGHUP in the calling thread until vm_free(), so
 * threads are to be made after it. Main thread.
 *
 * Return: 0, or -errno with @why set and nothing left behind
 */
int vm_new(struct vm **out, const struct vm_config *cfg, char *why, size_t why_len)
{
	struct vm *vm;
	int err = check_config(cfg, why, why_len);

	if (err)
		return err;
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return why_set(why, why_len, -ENOMEM, "out of memory");
	vm->cfg = *cfg;
	vm->kvm = (struct kvm){ .dev_fd = -1, .vm_fd = -1 };
	vm->mem.fd = -1;
	vm->signal_fd = -1;
	pthread_mutex_init(&vm->end_lock, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &vm->old_mask);
	err = new_machine(vm, why, why_len);
	if (!err)
		err = new_loop(vm, why, why_len);
	if (!err)
		err = new_devices(vm, why, why_len);
	if (!err)
		err = new_vcpus(vm, why, why_len);
	if (err) {
		vm_free(vm);
		return err;
	}
	*out = vm;
	return 0;
}

/**
 * vm_gmem() - guest memory; good until vm_free()
 */
struct gmem *vm_gmem(struct vm *vm)
{
	return &vm->mem.table;
}

/**
 * vm_machine() - kicks and interrupts, for a device without a transport of ours
 */
const struct machine *vm_machine(struct vm *vm)
{
	return &vm->machine;
}

/**
 * vm_loop() - the main thread's loop, for the owner's own descriptors
 */
struct io_loop *vm_loop(struct vm *vm)
{
	return vm->loop;
}

static int add_pci(struct vm *vm, struct vdev *vdev, struct vm_device *d)
{
	int err = vpci_new(&d->pci, vdev, &vm->machine);

	if (err)
		return err;
	err = pci_bus_add(&vm->pci, vpci_func(d->pci));
	if (err < 0) {
		vpci_free(d->pci);
		d->pci = NULL;
		return err;
	}
	return 0;
}

static void slot_read(void *ctx, uint64_t off, void *data, uint32_t len)
{
	vmmio_read(ctx, off, data, len);
}

static void slot_write(void *ctx, uint64_t off, const void *data, uint32_t len)
{
	vmmio_write(ctx, off, data, len);
}

static const struct bus_ops slot_ops = { .read = slot_read, .write = slot_write };

static int add_mmio(struct vm *vm, struct vdev *vdev, struct vm_device *d)
{
	unsigned slot = vm->mmio_slots;
	uint64_t gpa = VIRTIO_MMIO_BASE + slot * VIRTIO_MMIO_SIZE;
	int err;

	if (slot == VIRTIO_MMIO_SLOTS)
		return -ENOSPC;
	err = vmmio_new(&d->mmio, vdev, &vm->machine, gpa, IRQ_VIRTIO_MMIO + slot);
	if (err)
		return err;
	err = bus_add(&vm->mmio, gpa, VMMIO_SIZE, &slot_ops, d->mmio);
	if (err) {
		vmmio_free(d->mmio);
		d->mmio = NULL;
		return err;
	}
	vm->mmio_slots++;
	return 0;
}

/**
 * vm_add() - plug a virtio device in; before vm_load(), which describes it
 * @vdev:	the caller's; it outlives the VM
 *
 * Main thread. Return: 0, or -errno with @why set
 */
int vm_add(struct vm *vm, struct vdev *vdev, enum vm_transport transport, char *why, size_t why_len)
{
	struct vm_device *d = &vm->device[vm->ndevices];
	int err = -ENOSPC;

	if (vm->ndevices < VM_DEVICES_MAX)
		err = transport == VM_PCI ? add_pci(vm, vdev, d) : add_mmio(vm, vdev, d);
	if (err)
		return why_set(why, why_len, err, "cannot plug in device %s: %s",
			       vdev->name ? vdev->name : "?", strerror(-err));
	vm->ndevices++;
	return 0;
}

/**
 * vm_load() - put the kernel into memory and point the first vCPU at it
 * @boot:	paths and command line; .vcpus and .mmio_slots are filled in here
 *
 * Main thread, once. Return: 0, or -errno with @why set
 */
int vm_load(struct vm *vm, const struct boot_config *boot, char *why, size_t why_len)
{
	struct boot_config cfg = *boot;
	struct boot_entry entry;
	int err;

	cfg.vcpus = vm->nvcpus;
	cfg.mmio_slots = vm->mmio_slots;
	err = boot_load(&cfg, &vm->mem.table, &entry, why, why_len);
	if (err)
		return err;
	err = legacy_install_firmware(&vm->mem.table);
	if (err)
		return why_set(why, why_len, err, "cannot write the restart code: %s",
			       strerror(-err));
	return vm_set_entry(vm, &entry, why, why_len);
}

/**
 * vm_set_entry() - where the first vCPU begins, when not by vm_load()
 *
 * Main thread. Return: 0, or -errno with @why set
 */
int vm_set_entry(struct vm *vm, const struct boot_entry *entry, char *why, size_t why_len)
{
	int err = vcpu_set_entry(&vm->vcpu[0], entry);

	if (err)
		return why_set(why, why_len, err, "KVM refuses the entry state: %s",
			       strerror(-err));
	return 0;
}

/* --- life and end --- */

static void stop_vcpus(struct vm *vm)
{
	atomic_store_explicit(&vm->env.stopping, true, memory_order_release);
	/* All are told before the first is waited for. */
	for (unsigned i = 0; i < vm->nvcpus; i++) {
		if (vm->vcpu[i].started)
			vcpu_kick(&vm->vcpu[i]);
	}
	for (unsigned i = 0; i < vm->nvcpus; i++)
		vcpu_stop(&vm->vcpu[i]);
}

/* All threads, then the guest: 0, or -errno with @why set. */
static int start_vcpus(struct vm *vm, char *why, size_t why_len)
{
	int err = 0;

	for (unsigned i = 0; i < vm->nvcpus && !err; i++)
		err = vcpu_start(&vm->vcpu[i]);
	if (err)
		return why_set(why, why_len, err, "cannot start a vCPU thread: %s", strerror(-err));
	if (vm->cfg.ready)
		err = vm->cfg.ready(vm->cfg.thread_ctx, why, why_len);
	for (unsigned i = 0; i < vm->nvcpus && !err; i++)
		vcpu_go(&vm->vcpu[i]);
	return err;
}

/**
 * vm_run() - run the guest until it or something else ends it; once
 * @result:	out: why it ended
 *
 * Main thread, which serves the I/O loop meanwhile. On return no vCPU runs and
 * the console's last output has left. Return: 0, or -errno for VM_END_ERROR
 */
int vm_run(struct vm *vm, struct vm_result *result)
{
	char why[VM_WHY_MAX];
	int err;

	/* No terminal, no harm. */
	if (vm->cfg.escape)
		(void)tty_raw_enter(vm->cfg.console_in);
	err = start_vcpus(vm, why, sizeof(why));
	if (err)
		vm_end(vm, VM_END_ERROR, err, why);
	err = io_loop_run(vm->loop);
	if (err) {
		(void)snprintf(why, sizeof(why), "event loop: %s", strerror(-err));
		vm_end(vm, VM_END_ERROR, err, why);
	}
	stop_vcpus(vm);
	serial_io_drain(&vm->serial_io, CONSOLE_DRAIN_MS);
	tty_restore();
	pthread_mutex_lock(&vm->end_lock);
	*result = vm->result;
	pthread_mutex_unlock(&vm->end_lock);
	return result->end == VM_END_ERROR ? -EIO : 0;
}

/**
 * vm_vcpu_heap() - heap calls of all vCPU threads since they began to run; any thread
 */
void vm_vcpu_heap(const struct vm *vm, struct alloc_count *sum)
{
	*sum = (struct alloc_count){ 0 };
	for (unsigned i = 0; i < vm->nvcpus; i++) {
		const struct vcpu_counters *n = &vm->vcpu[i].n;

		sum->allocs += counter_get(&n->allocs);
		sum->frees += counter_get(&n->frees);
		sum->maps += counter_get(&n->maps);
	}
}

/**
 * vm_free() - take all down in reverse order; NULL is fine
 *
 * The transports reset their devices, so on return no thread of a device uses
 * guest memory; the devices themselves are the caller's to free afterwards. Main
 * thread, not while vm_run() runs.
 */
void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	stop_vcpus(vm);
	while (vm->nvcpus > 0)
		vcpu_free(&vm->vcpu[--vm->nvcpus]);
	while (vm->ndevices > 0) {
		struct vm_device *d = &vm->device[--vm->ndevices];

		if (d->pci)
			vpci_free(d->pci);
		if (d->mmio)
			vmmio_free(d->mmio);
	}
	if (vm->have_serial_io)
		serial_io_free(&vm->serial_io);
	if (vm->have_serial)
		serial_fini(&vm->serial);
	if (vm->signal_fd >= 0)
		close(vm->signal_fd);
	io_loop_free(vm->loop);
	if (vm->have_machine)
		kvm_machine_fini(&vm->kvm_machine);
	/* KVM lets go of the memory before we unmap it. */
	kvm_close(&vm->kvm);
	vm_memory_free(&vm->mem);
	pthread_sigmask(SIG_SETMASK, &vm->old_mask, NULL);
	pthread_mutex_destroy(&vm->end_lock);
	free(vm);
}
