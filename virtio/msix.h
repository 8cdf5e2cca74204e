/* SPDX-License-Identifier: MIT */
/*
 * MSI-X (PCI Local Bus 3.0, section 6.8.2): the vector table, the pending bits,
 * and the bridge from "this eventfd was signalled" to "this message was sent".
 *
 * A *source* is something that interrupts: one for each queue (its call
 * eventfd) and one for configuration changes (no eventfd: always sent by hand).
 * The driver maps sources to vectors, several to one if it likes. msix.c has
 * the life of a source.
 */
#ifndef SLUICE_VIRTIO_MSIX_H
#define SLUICE_VIRTIO_MSIX_H

#include <pthread.h>
#include <stdint.h>

#include "virtio/device.h"
#include "virtio/machine.h"

#define MSIX_ENTRY_LEN	 16UL
#define MSIX_SOURCES_MAX (VDEV_QUEUES_MAX + 1)
#define MSIX_VECTORS_MAX MSIX_SOURCES_MAX

/* virtio 1.2, section 4.1.5.1.3: "not mapped". */
#define MSIX_NO_VECTOR 0xffffU

/**
 * struct msix_source - see above
 * @fd:		eventfd that the device signals; -1 = msix_raise() only. Not owned
 * @vector:	below nvectors, or MSIX_NO_VECTOR
 * @attached:	the kernel sends the message when @fd is signalled
 * @pending:	raised while it could not be sent
 * @route:	the machine's name for the attachment
 */
struct msix_source {
	int fd;
	uint16_t vector;
	bool attached;
	bool pending;
	uint32_t route;
};

/**
 * struct msix - one function's MSI-X state
 * @lock:	guards all of it; a leaf, so that any thread may raise a source
 *		while a vCPU thread holds the device's lock
 * @direct:	the machine refused an attachment: messages are sent by hand
 */
struct msix {
	pthread_mutex_t lock;
	const struct machine *machine;
	uint16_t nvectors, nsources;
	bool enabled, masked;
	bool direct;
	uint8_t table[MSIX_VECTORS_MAX * MSIX_ENTRY_LEN];
	struct msix_source source[MSIX_SOURCES_MAX];
};

/* msix.c */
void msix_init(struct msix *x, const struct machine *machine, const int *fds, uint16_t nsources);
void msix_fini(struct msix *x);
void msix_set_control(struct msix *x, bool enabled, bool masked);
uint16_t msix_set_vector(struct msix *x, uint16_t source, uint16_t vector);
uint16_t msix_vector(struct msix *x, uint16_t source);
void msix_unmap(struct msix *x);
void msix_raise(struct msix *x, uint16_t source);
bool msix_direct(struct msix *x);
void msix_table_read(struct msix *x, uint64_t off, void *data, uint32_t len);
void msix_table_write(struct msix *x, uint64_t off, const void *data, uint32_t len);
void msix_pba_read(struct msix *x, uint64_t off, void *data, uint32_t len);

#endif
