/* SPDX-License-Identifier: MIT */
/*
 * Which device answers an address. One struct for the I/O ports and one for
 * MMIO; both are filled before the first vCPU runs and are constant from then
 * on, so a look-up takes no lock (H19). What a device does behind it is its own
 * matter.
 */
#ifndef SLUICE_VMM_BUS_H
#define SLUICE_VMM_BUS_H

#include <stdint.h>

#define BUS_RANGES_MAX 32

/* @off is relative to the range; @len 1, 2, 4 or 8; vCPU threads. */
struct bus_ops {
	void (*read)(void *ctx, uint64_t off, void *data, uint32_t len);
	void (*write)(void *ctx, uint64_t off, const void *data, uint32_t len);
};

struct bus_range {
	uint64_t base;
	uint64_t len;
	const struct bus_ops *ops;
	void *ctx;
};

/**
 * struct bus - ranges sorted by base, never overlapping
 */
struct bus {
	uint32_t n;
	struct bus_range ranges[BUS_RANGES_MAX];
};

/* bus.c */
int bus_add(struct bus *b, uint64_t base, uint64_t len, const struct bus_ops *ops, void *ctx);
void bus_read(const struct bus *b, uint64_t addr, void *data, uint32_t len);
void bus_write(const struct bus *b, uint64_t addr, const void *data, uint32_t len);

#endif
