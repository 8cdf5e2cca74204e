/* SPDX-License-Identifier: MIT */
/*
 * Guest RAM: one memfd, mapped once and shared, seen by the guest as one run
 * below the MMIO hole and, when it is larger, a second from 4 GiB on.
 */
#ifndef SLUICE_VMM_MEMORY_H
#define SLUICE_VMM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "virtio/mem.h"

/**
 * struct vm_memory - the mapping and the table over it
 * @fd:		memfd, good for a vhost-user back-end too
 * @base:	where @fd offset 0 is mapped
 * @size:	bytes of RAM in all
 * @table:	what devices and the loader use; one or two regions
 */
struct vm_memory {
	int fd;
	uint8_t *base;
	uint64_t size;
	struct gmem table;
};

/* memory.c */
int vm_memory_new(struct vm_memory *m, uint64_t size, bool hugepages, char *why, size_t why_len);
int vm_memory_register(const struct vm_memory *m, int vm_fd);
void vm_memory_free(struct vm_memory *m);

#endif
