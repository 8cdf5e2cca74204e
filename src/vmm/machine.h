/* SPDX-License-Identifier: MIT */
/*
 * struct machine_ops (virtio/machine.h) with KVM behind it: kicks by ioeventfd,
 * interrupts by irqfd over MSI routes or I/O APIC pins.
 */
#ifndef SLUICE_VMM_MACHINE_H
#define SLUICE_VMM_MACHINE_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "src/vmm/layout.h"
#include "virtio/machine.h"

/* MSI-X vectors of all functions together. */
#define MSI_ROUTES_MAX 256

/* Each pin has an I/O APIC route; the first 16 have one to the 8259 pair too. */
#define PIN_ROUTES  (IOAPIC_PINS + 16)
#define ROUTES_MAX  (PIN_ROUTES + MSI_ROUTES_MAX)
#define MSI_GSI_MIN IOAPIC_PINS

struct msi_route {
	bool used;
	uint64_t addr;
	uint32_t data;
};

/**
 * struct kvm_machine - one for a VM
 * @lock:	orders changes of the routing table, which KVM takes whole
 * @ioctl:	kvm_ioctl(), or a test's that fails on purpose
 * @table:	scratch for KVM_SET_GSI_ROUTING, so that a vCPU thread need not allocate
 */
struct kvm_machine {
	pthread_mutex_t lock;
	int vm_fd;
	int (*ioctl)(int fd, unsigned long request, void *arg);
	struct msi_route msi[MSI_ROUTES_MAX];
	struct {
		uint32_t nr, flags; /* as struct kvm_irq_routing, with room behind it */
		struct kvm_irq_routing_entry entries[ROUTES_MAX];
	} table;
};

extern const struct machine_ops kvm_machine_ops;

/* machine.c */
int kvm_machine_init(struct kvm_machine *m, int vm_fd,
		     int (*ioctl_fn)(int fd, unsigned long request, void *arg));
void kvm_machine_fini(struct kvm_machine *m);
int kvm_machine_set_line(struct kvm_machine *m, uint32_t pin, bool level);

#endif
