/* SPDX-License-Identifier: MIT */
/* The table of guest memory: building it, and copies that are whole or an error. */
#include "virtio/mem.h"

#include <errno.h>
#include <string.h>

/* Do [a, a + alen) and [b, b + blen) share a byte? Both are known not to wrap. */
static bool overlaps(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
	return a < b ? b - a < alen : a - b < blen;
}

/**
 * gmem_add() - append a region
 * @m:	table that no queue uses yet; all zeroes = empty
 * @r:	copied; its mapping stays the caller's and must outlive the table's use
 *
 * Control path. Return: 0; -EINVAL for an empty region or one that wraps in any
 * of its address spaces; -EEXIST when it overlaps another; -ENOSPC
 */
int gmem_add(struct gmem *m, const struct gmem_region *r)
{
	if (r->size == 0 || !r->hva || r->gpa > UINT64_MAX - r->size ||
	    r->uva > UINT64_MAX - r->size || (uintptr_t)r->hva > UINTPTR_MAX - r->size)
		return -EINVAL;
	for (uint32_t i = 0; i < m->nregions; i++)
		if (overlaps(m->regions[i].gpa, m->regions[i].size, r->gpa, r->size))
			return -EEXIST;
	if (m->nregions == GMEM_REGIONS_MAX)
		return -ENOSPC;
	m->regions[m->nregions++] = *r;
	return 0;
}

/**
 * gmem_read() - copy out of guest memory
 *
 * Any thread. Whole or nothing (H6): the range lies in one region or nothing
 * is copied. Return: 0 or -EFAULT
 */
int gmem_read(const struct gmem *m, uint64_t gpa, void *buf, uint64_t len)
{
	const void *p = gmem_ptr(m, gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(buf, p, len);
	return 0;
}

/**
 * gmem_write() - copy into guest memory; as gmem_read() otherwise
 */
int gmem_write(const struct gmem *m, uint64_t gpa, const void *buf, uint64_t len)
{
	void *p = gmem_ptr(m, gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(p, buf, len);
	return 0;
}

/**
 * gmem_uva_to_gpa() - translate an address of a vhost-user front-end
 * @uva:	in the front-end's address space, untrusted
 * @len:	bytes that must follow it in the same region
 * @gpa:	out
 *
 * Control path. Return: 0 or -EFAULT
 */
int gmem_uva_to_gpa(const struct gmem *m, uint64_t uva, uint64_t len, uint64_t *gpa)
{
	for (uint32_t i = 0; i < m->nregions; i++) {
		const struct gmem_region *r = &m->regions[i];

		if (uva >= r->uva && range_ok(uva - r->uva, len, r->size)) {
			*gpa = r->gpa + (uva - r->uva);
			return 0;
		}
	}
	return -EFAULT;
}
