/* SPDX-License-Identifier: MIT */
/* Address look-up for port and MMIO exits. */
#include "src/vmm/bus.h"

#include <errno.h>
#include <string.h>

#include "src/base/base.h"

/**
 * bus_add() - claim [base, base + len); before vCPUs run
 * @ops, @ctx:	kept; the device outlives the bus
 *
 * Main thread. Return: 0, -EINVAL (empty or wrapping), -EEXIST (overlap), -ENOSPC
 */
int bus_add(struct bus *b, uint64_t base, uint64_t len, const struct bus_ops *ops, void *ctx)
{
	uint32_t at = 0;

	if (len == 0 || base + len - 1 < base)
		return -EINVAL;
	if (b->n == BUS_RANGES_MAX)
		return -ENOSPC;
	while (at < b->n && b->ranges[at].base < base)
		at++;
	if (at > 0 && base - b->ranges[at - 1].base < b->ranges[at - 1].len)
		return -EEXIST;
	if (at < b->n && b->ranges[at].base - base < len)
		return -EEXIST;
	memmove(&b->ranges[at + 1], &b->ranges[at], (b->n - at) * sizeof(b->ranges[0]));
	b->ranges[at] = (struct bus_range){ .base = base, .len = len, .ops = ops, .ctx = ctx };
	b->n++;
	return 0;
}

/* The range that holds all of [addr, addr + len), or NULL. */
static const struct bus_range *bus_find(const struct bus *b, uint64_t addr, uint32_t len)
{
	uint32_t lo = 0, hi = b->n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		const struct bus_range *r = &b->ranges[mid];

		if (addr < r->base)
			hi = mid;
		else if (addr - r->base < r->len)
			return range_ok(addr - r->base, len, r->len) ? r : NULL;
		else
			lo = mid + 1;
	}
	return NULL;
}

/**
 * bus_read() - a guest's read; nobody there answers all ones, as a PC does
 * @data:	@len bytes, out
 *
 * vCPU threads, any number at once.
 */
void bus_read(const struct bus *b, uint64_t addr, void *data, uint32_t len)
{
	const struct bus_range *r = bus_find(b, addr, len);

	if (r)
		r->ops->read(r->ctx, addr - r->base, data, len);
	else
		memset(data, 0xff, len);
}

/**
 * bus_write() - a guest's write; nobody there ignores it
 *
 * vCPU threads, any number at once.
 */
void bus_write(const struct bus *b, uint64_t addr, const void *data, uint32_t len)
{
	const struct bus_range *r = bus_find(b, addr, len);

	if (r)
		r->ops->write(r->ctx, addr - r->base, data, len);
}
