/* SPDX-License-Identifier: MIT */
/* The account of what a virtio device may do with a driver's rings; see ring.h. */
#include <string.h>

#include "src/base/bytes.h"
#include "tests/fuzz/ring.h"

static uint8_t *ram(int i)
{
	return ring.mem.regions[i].hva;
}

static size_t offset_of(const uint8_t *p)
{
	bool second = p >= ram(1) && p < ram(1) + RING_REGION;

	return (size_t)(p - ram(second)) + (second ? RING_REGION : 0);
}

/* No bytes at all may lie where a region ends. */
static void mark(bool *map, const uint8_t *p, uint64_t len)
{
	if (len)
		memset(map + offset_of(p), true, len);
}

/* Of a queue's parts, [0]: descriptors, [1]: avail, [2]: used. */
static uint64_t part(const struct vq_config *c, int i, uint64_t *len)
{
	*len = i == 0 ? 16ULL * c->size : i == 1 ? 6 + 2ULL * c->size : 6 + 8ULL * c->size;
	return i == 0 ? c->desc : i == 1 ? c->avail : c->used;
}

static bool meet(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a_len && b_len && a < b + b_len && b < a + a_len;
}

/* Does [gpa, gpa + len) touch what the device reads or writes as a ring? */
static bool on_rings(uint64_t gpa, uint64_t len)
{
	for (int q = 0; q < ring.dev->queues; q++)
		for (int i = 0; i < 3; i++) {
			uint64_t n, p = part(&ring.cfg[q], i, &n);

			if (meet(gpa, len, p, n))
				return true;
		}
	return false;
}

/* Rings that lie in one another's way can be written over by the used rings. */
static bool rings_apart(void)
{
	for (int a = 0; a < 3 * ring.dev->queues; a++)
		for (int b = 0; b < a; b++) {
			uint64_t la, lb, pa = part(&ring.cfg[a / 3], a % 3, &la),
					 pb = part(&ring.cfg[b / 3], b % 3, &lb);

			if (meet(pa, la, pb, lb))
				return false;
		}
	return true;
}

/**
 * ring_account_begin() - of a driver whose queues are in ring.cfg
 */
void ring_account_begin(void)
{
	memset(ring.acc, 0, sizeof(ring.acc));
	memset(ring.writable, 0, sizeof(ring.writable));
	memset(ring.table, 0, sizeof(ring.table));
	ring.tables = false;
	ring.strict = rings_apart();
}

/*
 * Walk a chain as far as it goes, by a walker of our own; note what is writable.
 * Return: bytes that the device may write
 */
static uint64_t look_at_chain(const struct vq_config *c, uint16_t head)
{
	uint64_t table = c->desc, room = 0;
	uint32_t entries = c->size, i = head;

	for (uint32_t steps = 0; i < entries && steps < 2 * RING_SIZE; steps++) {
		const uint8_t *d = ring_at(table + 16ULL * i, 16);
		uint64_t gpa;
		uint32_t len;
		uint16_t flags;
		uint8_t *p;

		if (!d)
			break;
		gpa = get_le64(d);
		len = get_le32(d + 8);
		flags = get_le16(d + 12);
		if (flags & VRING_DESC_F_INDIRECT) {
			if (table != c->desc || !ring_at(gpa, len))
				break;
			table = gpa;
			entries = len / 16;
			i = 0;
			mark(ring.table, ring_at(gpa, len), len);
			ring.tables = true;
			continue;
		}
		p = ring_at(gpa, len);
		if (flags & VRING_DESC_F_WRITE && p) {
			room += len;
			mark(ring.writable, p, len);
			ring.strict = ring.strict && !on_rings(gpa, len);
		}
		if (!(flags & VRING_DESC_F_NEXT))
			break;
		i = get_le16(d + 14);
	}
	return room;
}

/* What the device may take in its next turn. */
static void look_at_queue(int q)
{
	const struct vq_config *c = &ring.cfg[q];
	const struct virtq *vq = ring.dev->queue(q);
	const uint8_t *avail = ring_at(c->avail, 6 + 2ULL * c->size);
	struct ring_account *a = &ring.acc[q];
	uint64_t len, used = part(c, 2, &len);
	uint16_t n, known, gap;

	mark(ring.writable, ring_at(used, len), len);
	a->taken_to = vq->last_avail;
	a->npending = 0;
	if (vq->broken)
		return;
	/* What the device has read of the index it may act on, whatever it is now. */
	known = (uint16_t)(vq->avail_shadow - a->taken_to);
	gap = (uint16_t)(get_le16(avail + 2) - a->taken_to);
	if (gap <= c->size)
		n = MAX(gap, known);
	else /* the rest may be none too many when those are taken */
		n = (uint16_t)(gap - known) <= c->size ? gap : known;
	for (uint16_t i = 0; i < n; i++) {
		uint16_t pos = (uint16_t)((a->taken_to + i) & (c->size - 1));
		uint16_t head = get_le16(avail + 4 + 2ULL * pos);

		if (head >= c->size)
			return;
		a->pending[a->npending++] = head;
		a->room[head] = MAX(a->room[head], look_at_chain(c, head));
	}
}

/* What the device has taken since. */
static void note_taken(int q)
{
	struct ring_account *a = &ring.acc[q];
	uint16_t n = (uint16_t)(ring.dev->queue(q)->last_avail - a->taken_to);

	FUZZ_CHECK(n <= a->npending, "queue %d: %u chains taken of %u", q, n, a->npending);
	for (uint16_t i = 0; i < n; i++)
		a->taken[a->pending[i]]++;
}

/**
 * ring_check_used() - what queue @q has used and shown since we looked last
 *
 * Chains that it had, and no more of them than there is (H12). Between turns the ring's
 * contents are the driver's, rubbish if it likes.
 */
void ring_check_used(int q)
{
	struct ring_account *a = &ring.acc[q];
	const struct vq_config *c = &ring.cfg[q];
	const uint8_t *used = ring_at(c->used, 6 + 8ULL * c->size);
	uint16_t idx = ring.dev->queue(q)->used_shown;

	FUZZ_CHECK(a->used_to == idx || get_le16(used + 2) == idx);
	for (; a->used_to != idx; a->used_to++) {
		const uint8_t *e = used + 4 + 8ULL * (a->used_to & (c->size - 1U));
		uint32_t head = get_le32(e), len = get_le32(e + 4);

		FUZZ_CHECK(head < c->size && a->taken[head] > 0,
			   "queue %d: chain %u is used and was not taken", q, head);
		FUZZ_CHECK(len <= a->room[head], "queue %d: %u bytes used of %llu", q, len,
			   (unsigned long long)a->room[head]);
		if (ring.dev->used)
			ring.dev->used(q, len);
		a->taken[head]--;
		if (a->taken[head] == 0)
			a->room[head] = 0;
	}
}

/**
 * ring_chains_out() - chains that the device has taken and not used
 */
uint32_t ring_chains_out(int q)
{
	uint32_t n = 0;

	for (uint16_t head = 0; head < RING_SIZE; head++)
		n += ring.acc[q].taken[head];
	return n;
}

/**
 * ring_check_memory() - nothing was written but where it was allowed
 */
void ring_check_memory(void)
{
	for (size_t i = 0; i < 2 * RING_REGION; i += 64) {
		const uint8_t *now = ram(i >= RING_REGION) + i % RING_REGION;

		if (memcmp(now, ring.before + i, 64) == 0)
			continue;
		for (size_t k = 0; k < 64; k++)
			FUZZ_CHECK(now[k] == ring.before[i + k] || ring.writable[i + k],
				   "byte %#zx was written", i + k);
	}
}

/**
 * ring_look() - before anything that may make the device touch memory
 * @running:	it has a driver
 */
void ring_look(bool running)
{
	ring.looked = false;
	if (!running || !ring.strict)
		return;
	for (int q = 0; q < ring.dev->queues; q++)
		if (ring.cfg[q].ready)
			look_at_queue(q);
	for (size_t i = 0; ring.tables && ring.strict && i < 2 * RING_REGION; i++)
		ring.strict = !(ring.writable[i] && ring.table[i]);
	memcpy(ring.before, ram(0), RING_REGION);
	memcpy(ring.before + RING_REGION, ram(1), RING_REGION);
	ring.looked = ring.strict;
}

/**
 * ring_check() - after it
 * @broken:	the device has given the rings up: what it took it need not use
 */
void ring_check(bool broken)
{
	if (!ring.looked)
		return;
	ring_check_memory();
	for (int q = 0; q < ring.dev->queues && !broken; q++) {
		if (!ring.cfg[q].ready)
			continue;
		note_taken(q);
		ring_check_used(q);
	}
}

/**
 * ring_check_live() - a driver that says nothing more has nothing left lying at @q
 */
void ring_check_live(int q)
{
	uint16_t left = vq_pending(ring.dev->queue(q));

	FUZZ_CHECK(left == 0, "queue %d: %u chains are left lying", q, left);
	if (ring.strict)
		FUZZ_CHECK(ring_chains_out(q) == 0, "queue %d: %u chains are never used", q,
			   ring_chains_out(q));
}
