/* SPDX-License-Identifier: MIT */
/* A bounded ring of bytes; see the header for the contract. */
#include "src/base/bytering.h"

#include <string.h>

/* The at most two runs of @len bytes that begin at free-running position @pos. */
static int ring_runs(const struct bytering *r, uint32_t pos, uint32_t len, struct iovec iov[2])
{
	uint32_t off = pos & (r->size - 1);
	uint32_t first = MIN(len, r->size - off);

	if (len == 0)
		return 0;
	iov[0] = (struct iovec){ .iov_base = r->buf + off, .iov_len = first };
	if (first == len)
		return 1;
	iov[1] = (struct iovec){ .iov_base = r->buf, .iov_len = len - first };
	return 2;
}

/**
 * bytering_readable() - the queued bytes in place
 * @iov:	out: one or two runs, oldest byte first
 *
 * Return: number of runs, 0 when empty
 */
int bytering_readable(const struct bytering *r, struct iovec iov[2])
{
	return ring_runs(r, r->tail, bytering_used(r), iov);
}

/**
 * bytering_writable() - the free space in place, likewise
 */
int bytering_writable(const struct bytering *r, struct iovec iov[2])
{
	return ring_runs(r, r->head, bytering_room(r), iov);
}

/**
 * bytering_advance_tail() - drop the oldest @len bytes, which must be there
 */
void bytering_advance_tail(struct bytering *r, uint32_t len)
{
	BUG_ON(len > bytering_used(r));
	r->tail += len;
}

/**
 * bytering_advance_head() - @len bytes were written into bytering_writable()
 */
void bytering_advance_head(struct bytering *r, uint32_t len)
{
	BUG_ON(len > bytering_room(r));
	r->head += len;
}

/**
 * bytering_put() - append bytes
 *
 * Return: bytes taken, less than @len when the ring is full
 */
uint32_t bytering_put(struct bytering *r, const void *data, uint32_t len)
{
	const uint8_t *p = data;
	struct iovec iov[2];
	int n;

	len = MIN(len, bytering_room(r));
	n = ring_runs(r, r->head, len, iov);
	for (int i = 0; i < n; i++) {
		memcpy(iov[i].iov_base, p, iov[i].iov_len);
		p += iov[i].iov_len;
	}
	r->head += len;
	return len;
}

/**
 * bytering_get() - take the oldest bytes out
 *
 * Return: bytes copied, less than @len when the ring held fewer
 */
uint32_t bytering_get(struct bytering *r, void *data, uint32_t len)
{
	uint8_t *p = data;
	struct iovec iov[2];
	int n;

	len = MIN(len, bytering_used(r));
	n = ring_runs(r, r->tail, len, iov);
	for (int i = 0; i < n; i++) {
		memcpy(p, iov[i].iov_base, iov[i].iov_len);
		p += iov[i].iov_len;
	}
	r->tail += len;
	return len;
}
