/* SPDX-License-Identifier: MIT */
/*
 * Kicks and interrupts through KVM.
 *
 * Theory of operation: every interrupt source has a GSI. GSIs 0..23 are the pins
 * of the I/O APIC (and of the 8259 pair); each MSI-X vector in use takes one
 * above. KVM takes the routing table only as a whole, so we keep our own and
 * write all of it at each change; that is a control path of a few changes a
 * boot. What a call has begun it takes back when a later half fails (H18): the
 * caller sees either both or neither.
 */
#include "src/vmm/machine.h"

#include <errno.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/log.h"
#include "src/vmm/kvm.h"

static_assert(offsetof(struct kvm_machine, table.entries) - offsetof(struct kvm_machine, table) ==
		      offsetof(struct kvm_irq_routing, entries),
	      "the struct that KVM knows");

static void add_pin_route(struct kvm_machine *m, uint32_t gsi, uint32_t chip, uint32_t pin)
{
	m->table.entries[m->table.nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

/* Write the whole table; under the lock. */
static int commit_routes(struct kvm_machine *m)
{
	int err;

	memset(&m->table, 0, sizeof(m->table));
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++) {
		if (pin < 8)
			add_pin_route(m, pin, KVM_IRQCHIP_PIC_MASTER, pin);
		else if (pin < 16)
			add_pin_route(m, pin, KVM_IRQCHIP_PIC_SLAVE, pin - 8);
		add_pin_route(m, pin, KVM_IRQCHIP_IOAPIC, pin);
	}
	for (uint32_t i = 0; i < MSI_ROUTES_MAX; i++) {
		const struct msi_route *r = &m->msi[i];

		if (!r->used)
			continue;
		m->table.entries[m->table.nr++] = (struct kvm_irq_routing_entry){
			.gsi = MSI_GSI_MIN + i,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = { .address_lo = (uint32_t)r->addr,
				   .address_hi = (uint32_t)(r->addr >> 32),
				   .data = r->data },
		};
	}
	err = m->ioctl(m->vm_fd, KVM_SET_GSI_ROUTING, &m->table);
	return err < 0 ? err : 0;
}

static int irqfd(struct kvm_machine *m, int fd, uint32_t gsi, uint32_t flags)
{
	struct kvm_irqfd req = { .fd = (uint32_t)fd, .gsi = gsi, .flags = flags };
	int err = m->ioctl(m->vm_fd, KVM_IRQFD, &req);

	return err < 0 ? err : 0;
}

static int ioeventfd(struct kvm_machine *m, const struct kick_addr *addr, int fd, uint32_t flags)
{
	struct kvm_ioeventfd req = {
		.addr = addr->gpa,
		.len = addr->len,
		.fd = fd,
		.flags = flags | (addr->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0),
		.datamatch = addr->data,
	};
	int err = m->ioctl(m->vm_fd, KVM_IOEVENTFD, &req);

	return err < 0 ? err : 0;
}

static int op_kick_attach(void *ctx, const struct kick_addr *addr, int fd)
{
	int err = ioeventfd(ctx, addr, fd, 0);

	if (err)
		log_once(LOG_WARN, "kvm", "no ioeventfd (%s): kicks take the slower exit",
			 strerror(-err));
	return err;
}

static void op_kick_detach(void *ctx, const struct kick_addr *addr, int fd)
{
	int err = ioeventfd(ctx, addr, fd, KVM_IOEVENTFD_FLAG_DEASSIGN);

	if (err)
		log_limited(LOG_WARN, "kvm", "ioeventfd not taken back: %s", strerror(-err));
}

static int op_msi_attach(void *ctx, int fd, uint64_t addr, uint32_t data, uint32_t *route)
{
	struct kvm_machine *m = ctx;
	int err = -ENOSPC;
	uint32_t i;

	pthread_mutex_lock(&m->lock);
	for (i = 0; i < MSI_ROUTES_MAX && m->msi[i].used; i++)
		;
	if (i < MSI_ROUTES_MAX) {
		m->msi[i] = (struct msi_route){ .used = true, .addr = addr, .data = data };
		err = commit_routes(m);
		if (!err)
			err = irqfd(m, fd, MSI_GSI_MIN + i, 0);
		if (err) {
			m->msi[i].used = false;
			(void)commit_routes(m);
		}
	}
	pthread_mutex_unlock(&m->lock);
	if (err)
		log_once(LOG_WARN, "kvm", "no irqfd for an MSI (%s): interrupts take a system call",
			 strerror(-err));
	else
		*route = i;
	return err;
}

static int op_msi_update(void *ctx, uint32_t route, uint64_t addr, uint32_t data)
{
	struct kvm_machine *m = ctx;
	struct msi_route old;
	int err = 0;

	BUG_ON(route >= MSI_ROUTES_MAX);
	pthread_mutex_lock(&m->lock);
	BUG_ON(!m->msi[route].used);
	old = m->msi[route];
	if (old.addr != addr || old.data != data) {
		m->msi[route].addr = addr;
		m->msi[route].data = data;
		err = commit_routes(m);
		if (err)
			m->msi[route] = old;
	}
	pthread_mutex_unlock(&m->lock);
	return err;
}

static void op_msi_detach(void *ctx, uint32_t route, int fd)
{
	struct kvm_machine *m = ctx;
	int err;

	BUG_ON(route >= MSI_ROUTES_MAX);
	pthread_mutex_lock(&m->lock);
	BUG_ON(!m->msi[route].used);
	err = irqfd(m, fd, MSI_GSI_MIN + route, KVM_IRQFD_FLAG_DEASSIGN);
	m->msi[route].used = false;
	(void)commit_routes(m);
	pthread_mutex_unlock(&m->lock);
	if (err)
		log_limited(LOG_WARN, "kvm", "irqfd not taken back: %s", strerror(-err));
}

static int op_msi_send(void *ctx, uint64_t addr, uint32_t data)
{
	struct kvm_machine *m = ctx;
	struct kvm_msi msi = {
		.address_lo = (uint32_t)addr,
		.address_hi = (uint32_t)(addr >> 32),
		.data = data,
	};
	int r = m->ioctl(m->vm_fd, KVM_SIGNAL_MSI, &msi);

	/* 0: the guest has masked it at its APIC, which is its business. */
	return r < 0 ? r : 0;
}

static int op_line_attach(void *ctx, int fd, uint32_t pin)
{
	int err = pin < IOAPIC_PINS ? irqfd(ctx, fd, pin, 0) : -EINVAL;

	if (err)
		log_once(LOG_WARN, "kvm", "no irqfd for a pin (%s): interrupts take a system call",
			 strerror(-err));
	return err;
}

static void op_line_detach(void *ctx, int fd, uint32_t pin)
{
	int err = irqfd(ctx, fd, pin, KVM_IRQFD_FLAG_DEASSIGN);

	if (err)
		log_limited(LOG_WARN, "kvm", "irqfd not taken back: %s", strerror(-err));
}

/**
 * kvm_machine_set_line() - drive an I/O APIC pin to a level; any thread
 *
 * Return: 0 or -errno
 */
int kvm_machine_set_line(struct kvm_machine *m, uint32_t pin, bool level)
{
	struct kvm_irq_level req = { .irq = pin, .level = level };
	int err = m->ioctl(m->vm_fd, KVM_IRQ_LINE, &req);

	return err < 0 ? err : 0;
}

static int op_line_pulse(void *ctx, uint32_t pin)
{
	int err = kvm_machine_set_line(ctx, pin, true);

	return err ? err : kvm_machine_set_line(ctx, pin, false);
}

const struct machine_ops kvm_machine_ops = {
	.kick_attach = op_kick_attach,
	.kick_detach = op_kick_detach,
	.msi_attach = op_msi_attach,
	.msi_update = op_msi_update,
	.msi_detach = op_msi_detach,
	.msi_send = op_msi_send,
	.line_attach = op_line_attach,
	.line_detach = op_line_detach,
	.line_pulse = op_line_pulse,
};

/**
 * kvm_machine_init() - start with the pins routed and no MSI
 * @vm_fd:	with an in-kernel irqchip; stays the caller's
 * @ioctl_fn:	NULL = kvm_ioctl()
 *
 * Main thread. Return: 0 or -errno
 */
int kvm_machine_init(struct kvm_machine *m, int vm_fd,
		     int (*ioctl_fn)(int fd, unsigned long request, void *arg))
{
	int err;

	memset(m, 0, sizeof(*m));
	m->vm_fd = vm_fd;
	m->ioctl = ioctl_fn ? ioctl_fn : kvm_ioctl;
	pthread_mutex_init(&m->lock, NULL);
	err = commit_routes(m);
	if (err)
		pthread_mutex_destroy(&m->lock);
	return err;
}

/**
 * kvm_machine_fini() - main thread; whoever attached has detached
 */
void kvm_machine_fini(struct kvm_machine *m)
{
	pthread_mutex_destroy(&m->lock);
}
