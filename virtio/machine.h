/* SPDX-License-Identifier: MIT */
/*
 * What a transport needs of the machine it sits in. The VMM fills this in with
 * KVM behind it; tests with a recorder. virtio itself knows no KVM.
 *
 * All calls are control path: vCPU threads, serialised by the caller for one
 * device. Each returns 0 or -errno; -ENOTSUP makes the transport fall back.
 */
#ifndef SLUICE_VIRTIO_MACHINE_H
#define SLUICE_VIRTIO_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

/* A guest write that means "queue notified". */
struct kick_addr {
	uint64_t gpa;
	uint32_t len; /* bytes of the write: 0 (any), 2 or 4 */
	bool match;   /* only writes of @data count */
	uint64_t data;
};

struct machine_ops {
	/* Have the kernel signal @fd on that write, without an exit. */
	int (*kick_attach)(void *m, const struct kick_addr *addr, int fd);
	void (*kick_detach)(void *m, const struct kick_addr *addr, int fd);
	/* Have the kernel send this MSI whenever @fd is signalled. @route: out. */
	int (*msi_attach)(void *m, int fd, uint64_t addr, uint32_t data, uint32_t *route);
	int (*msi_update)(void *m, uint32_t route, uint64_t addr, uint32_t data);
	void (*msi_detach)(void *m, uint32_t route, int fd);
	/* Send one MSI now; any thread. */
	int (*msi_send)(void *m, uint64_t addr, uint32_t data);
	/* Edge interrupt of an I/O APIC pin whenever @fd is signalled. */
	int (*line_attach)(void *m, int fd, uint32_t pin);
	void (*line_detach)(void *m, int fd, uint32_t pin);
	/* Pulse the pin now; any thread. */
	int (*line_pulse)(void *m, uint32_t pin);
};

struct machine {
	const struct machine_ops *ops;
	void *ctx;
};

#endif
