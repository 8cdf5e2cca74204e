/* SPDX-License-Identifier: MIT */
/*
 * A machine for transports under test, in place of KVM: it keeps what is
 * attached, delivers when it is pumped, refuses when it is told to, and ends the
 * test if something is attached twice or detached without being attached.
 */
#ifndef SLUICE_TESTS_VMACHINE_H
#define SLUICE_TESTS_VMACHINE_H

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include "src/base/base.h"
#include "virtio/machine.h"

#define VM_SLOTS    64
#define VM_MESSAGES 256

struct vm_kick {
	struct kick_addr addr;
	int fd;
	bool used;
};

struct vm_msi {
	uint64_t addr;
	uint32_t data;
	int fd;
	bool used;
};

struct vm_line {
	uint32_t pin;
	int fd;
	bool used;
};

/**
 * struct vmachine - the recorder
 * @kick, @msi, @line:	what is attached now
 * @sent:	messages sent, by msi_send() or by pumping an attachment
 * @pulses:	of any pin
 * @kicks_left, @msis_left, @lines_left:	attachments until one is refused; < 0 never
 */
struct vmachine {
	struct machine m;
	struct vm_kick kick[VM_SLOTS];
	struct vm_msi msi[VM_SLOTS];
	struct vm_line line[VM_SLOTS];
	struct vm_msi sent[VM_MESSAGES];
	uint32_t nsent, pulses;
	int kicks_left, msis_left, lines_left;
	bool refuse_update;
};

static inline bool vm_refuses(int *left)
{
	if (*left < 0)
		return false;
	if (*left == 0)
		return true;
	(*left)--;
	return false;
}

static inline int vm_kick_attach(void *ctx, const struct kick_addr *addr, int fd)
{
	struct vmachine *v = ctx;

	if (vm_refuses(&v->kicks_left))
		return -ENOTSUP;
	for (uint32_t i = 0; i < VM_SLOTS; i++)
		BUG_ON(v->kick[i].used && v->kick[i].fd == fd);
	for (uint32_t i = 0; i < VM_SLOTS; i++) {
		if (!v->kick[i].used) {
			v->kick[i] = (struct vm_kick){ .addr = *addr, .fd = fd, .used = true };
			return 0;
		}
	}
	return -ENOSPC;
}

static inline void vm_kick_detach(void *ctx, const struct kick_addr *addr, int fd)
{
	struct vmachine *v = ctx;

	for (uint32_t i = 0; i < VM_SLOTS; i++) {
		struct vm_kick *k = &v->kick[i];

		if (k->used && k->fd == fd && k->addr.gpa == addr->gpa &&
		    k->addr.len == addr->len && k->addr.match == addr->match &&
		    k->addr.data == addr->data) {
			k->used = false;
			return;
		}
	}
	bug(__FILE__, __LINE__, "detached a kick that was not attached");
}

static inline void vm_record(struct vmachine *v, uint64_t addr, uint32_t data)
{
	v->sent[v->nsent % VM_MESSAGES] =
		(struct vm_msi){ .addr = addr, .data = data, .used = true };
	v->nsent++;
}

static inline int vm_msi_attach(void *ctx, int fd, uint64_t addr, uint32_t data, uint32_t *route)
{
	struct vmachine *v = ctx;

	if (vm_refuses(&v->msis_left))
		return -ENOTSUP;
	for (uint32_t i = 0; i < VM_SLOTS; i++)
		BUG_ON(v->msi[i].used && v->msi[i].fd == fd);
	for (uint32_t i = 0; i < VM_SLOTS; i++) {
		if (!v->msi[i].used) {
			v->msi[i] = (struct vm_msi){ addr, data, fd, true };
			*route = i;
			return 0;
		}
	}
	return -ENOSPC;
}

static inline int vm_msi_update(void *ctx, uint32_t route, uint64_t addr, uint32_t data)
{
	struct vmachine *v = ctx;

	BUG_ON(route >= VM_SLOTS || !v->msi[route].used);
	if (v->refuse_update)
		return -ENOSPC;
	v->msi[route].addr = addr;
	v->msi[route].data = data;
	return 0;
}

static inline void vm_msi_detach(void *ctx, uint32_t route, int fd)
{
	struct vmachine *v = ctx;

	BUG_ON(route >= VM_SLOTS || !v->msi[route].used || v->msi[route].fd != fd);
	v->msi[route].used = false;
}

static inline int vm_msi_send(void *ctx, uint64_t addr, uint32_t data)
{
	vm_record(ctx, addr, data);
	return 0;
}

static inline int vm_line_attach(void *ctx, int fd, uint32_t pin)
{
	struct vmachine *v = ctx;

	if (vm_refuses(&v->lines_left))
		return -ENOTSUP;
	for (uint32_t i = 0; i < VM_SLOTS; i++) {
		if (!v->line[i].used) {
			v->line[i] = (struct vm_line){ pin, fd, true };
			return 0;
		}
	}
	return -ENOSPC;
}

static inline void vm_line_detach(void *ctx, int fd, uint32_t pin)
{
	struct vmachine *v = ctx;

	for (uint32_t i = 0; i < VM_SLOTS; i++) {
		if (v->line[i].used && v->line[i].fd == fd && v->line[i].pin == pin) {
			v->line[i].used = false;
			return;
		}
	}
	bug(__FILE__, __LINE__, "detached a line that was not attached");
}

static inline int vm_line_pulse(void *ctx, uint32_t pin)
{
	struct vmachine *v = ctx;

	(void)pin;
	v->pulses++;
	return 0;
}

static inline void vm_init(struct vmachine *v)
{
	static const struct machine_ops ops = {
		.kick_attach = vm_kick_attach,
		.kick_detach = vm_kick_detach,
		.msi_attach = vm_msi_attach,
		.msi_update = vm_msi_update,
		.msi_detach = vm_msi_detach,
		.msi_send = vm_msi_send,
		.line_attach = vm_line_attach,
		.line_detach = vm_line_detach,
		.line_pulse = vm_line_pulse,
	};

	*v = (struct vmachine){ .kicks_left = -1, .msis_left = -1, .lines_left = -1 };
	v->m = (struct machine){ &ops, v };
}

/* What the kernel does on a signal: read the eventfd, deliver. */
static inline void vm_pump(struct vmachine *v)
{
	eventfd_t n;

	for (uint32_t i = 0; i < VM_SLOTS; i++) {
		if (v->msi[i].used && eventfd_read(v->msi[i].fd, &n) == 0)
			vm_record(v, v->msi[i].addr, v->msi[i].data);
		if (v->line[i].used && eventfd_read(v->line[i].fd, &n) == 0)
			v->pulses++;
	}
}

/* A guest write of @len bytes at @gpa: does the kernel take it as a kick? */
static inline bool vm_guest_write(struct vmachine *v, uint64_t gpa, uint64_t data, uint32_t len)
{
	for (uint32_t i = 0; i < VM_SLOTS; i++) {
		struct vm_kick *k = &v->kick[i];

		if (k->used && k->addr.gpa == gpa && (k->addr.len == 0 || k->addr.len == len) &&
		    (!k->addr.match || k->addr.data == data)) {
			eventfd_write(k->fd, 1);
			return true;
		}
	}
	return false;
}

static inline uint32_t vm_kicks(const struct vmachine *v)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < VM_SLOTS; i++)
		n += v->kick[i].used;
	return n;
}

static inline uint32_t vm_msis(const struct vmachine *v)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < VM_SLOTS; i++)
		n += v->msi[i].used;
	return n;
}

static inline uint32_t vm_lines(const struct vmachine *v)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < VM_SLOTS; i++)
		n += v->line[i].used;
	return n;
}

static inline bool vm_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

#endif
