/* SPDX-License-Identifier: MIT */
/*
 * A bounded first-in first-out ring of bytes over memory that the caller gives.
 * No lock: the owner serialises.
 */
#ifndef SLUICE_BASE_BYTERING_H
#define SLUICE_BASE_BYTERING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "src/base/base.h"

/**
 * struct bytering - positions run freely; their difference is the fill
 * @buf:	storage of @size bytes, owned by the caller
 * @size:	a power of two
 * @head:	total bytes ever written
 * @tail:	total bytes ever read
 */
struct bytering {
	uint8_t *buf;
	uint32_t size;
	uint32_t head;
	uint32_t tail;
};

static inline void bytering_init(struct bytering *r, void *buf, uint32_t size)
{
	BUG_ON(!is_power_of_two(size));
	*r = (struct bytering){ .buf = buf, .size = size };
}

static inline uint32_t bytering_used(const struct bytering *r)
{
	return r->head - r->tail;
}

static inline uint32_t bytering_room(const struct bytering *r)
{
	return r->size - bytering_used(r);
}

/* bytering.c */
uint32_t bytering_put(struct bytering *r, const void *data, uint32_t len);
uint32_t bytering_get(struct bytering *r, void *data, uint32_t len);
int bytering_readable(const struct bytering *r, struct iovec iov[2]);
int bytering_writable(const struct bytering *r, struct iovec iov[2]);
void bytering_advance_tail(struct bytering *r, uint32_t len);
void bytering_advance_head(struct bytering *r, uint32_t len);

#endif
