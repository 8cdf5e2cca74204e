/* SPDX-License-Identifier: MIT */
/*
 * Guest memory, reached through one accessor: a guest physical address and a
 * length give a pointer, or NULL unless the whole range lies in one region.
 *
 * The table is immutable while any queue that uses it runs. Whoever owns the
 * guest (the VMM, a vhost-user session) builds it and keeps the mapping.
 */
#ifndef SLUICE_VIRTIO_MEM_H
#define SLUICE_VIRTIO_MEM_H

#include <stdint.h>

#include "src/base/base.h"

/* As many as a vhost-user front-end may give us, and more than a VMM needs. */
#define GMEM_REGIONS_MAX 32

/**
 * struct gmem_region - one run of guest physical memory
 * @gpa:	where the guest sees it
 * @size:	bytes
 * @hva:	where we see it; the mapping belongs to whoever built the table
 * @uva:	where a vhost-user front-end sees it (ring addresses come so); else 0
 */
struct gmem_region {
	uint64_t gpa;
	uint64_t size;
	uint8_t *hva;
	uint64_t uva;
};

struct gmem {
	uint32_t nregions;
	struct gmem_region regions[GMEM_REGIONS_MAX];
};

/**
 * gmem_ptr() - the accessor
 * @gpa:	guest physical address, untrusted
 * @len:	bytes, untrusted
 *
 * Any thread. Return: pointer to @len bytes, or NULL
 */
static inline void *gmem_ptr(const struct gmem *m, uint64_t gpa, uint64_t len)
{
	for (uint32_t i = 0; i < m->nregions; i++) {
		const struct gmem_region *r = &m->regions[i];

		if (gpa >= r->gpa && range_ok(gpa - r->gpa, len, r->size))
			return r->hva + (gpa - r->gpa);
	}
	return NULL;
}

/* mem.c */
int gmem_add(struct gmem *m, const struct gmem_region *r);
int gmem_read(const struct gmem *m, uint64_t gpa, void *buf, uint64_t len);
int gmem_write(const struct gmem *m, uint64_t gpa, const void *buf, uint64_t len);
int gmem_uva_to_gpa(const struct gmem *m, uint64_t uva, uint64_t len, uint64_t *gpa);

#endif
