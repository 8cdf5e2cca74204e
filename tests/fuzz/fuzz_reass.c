/* SPDX-License-Identifier: MIT */
/*
 * Fragments of any datagrams in any order, with time between them.
 *
 * The input is a list of fragments of RECORD bytes each:
 *
 *	byte 0	bits 0..3: identification; bit 4: IPv6; bit 5: more follow; bit 6: ICMP
 *	1, 2	where it belongs, in bytes
 *	3, 4	its length
 *	5	seconds since the one before; with bit 7 what is old is given up
 *
 * Whatever it has in its place a fragment's byte is the one that its datagram has there,
 * so a datagram that comes out is right throughout, or it is not of one datagram.
 */
#include "arena/arena.h"
#include "src/base/clock.h"
#include "tcpstack/frame.h"
#include "tcpstack/limits.h"
#include "tcpstack/reass.h"
#include "tests/fuzz/fuzz.h"

#define RECORD 6
#define SLOTS  4

static void setup(void);

const struct fuzz_target fuzz_target = {
	.name = "reass",
	.done = "datagrams",
	.refused = "fragments refused",
	.floor = 10,
	.alloc_one = 128 << 10, /* of a slot, where each is a malloc */
	.alloc_all = 1 << 20,
	.alloc_per_byte = 32768,
	.setup = setup,
};

static struct arena *arena;
static struct reass reass;
static uint64_t now;

static void on_lost(void *ctx, enum drop_reason why)
{
	(void)ctx;
	FUZZ_CHECK(why == DROP_FRAGMENT_ORDER || why == DROP_FRAGMENT_LIMIT ||
		   why == DROP_FRAGMENT_TIMEOUT);
	fuzz_work.refused++;
}

static uint8_t byte_of(uint8_t kind, uint32_t at)
{
	return (uint8_t)(at * 31 + (at >> 8) + kind * 113U);
}

static struct reass_key key_of(uint8_t kind)
{
	struct reass_key key = { .id = kind & 15U };

	key.src = kind & 0x10 ? (struct ipaddr){ { 0xfd, [15] = 0x15 } } : ipaddr_from_v4(1);
	key.dst = kind & 0x10 ? (struct ipaddr){ { 0xfd, [15] = 2 } } : ipaddr_from_v4(2);
	key.proto = kind & 0x40 ? PROTO_ICMP : PROTO_UDP;
	return key;
}

static uint32_t open_ones(void)
{
	uint32_t n = 0;
	struct dlist *it;

	dlist_for_each (it, &reass.open)
		n++;
	return n;
}

static void check_whole(struct reass_slot *slot, uint8_t kind, uint32_t len)
{
	FUZZ_CHECK(slot->have == len, "%u, not %u", slot->have, len);
	for (uint32_t i = 0; i < len; i++)
		FUZZ_CHECK(reass_data(slot)[i] == byte_of(kind, i), "at %u", i);
	fuzz_work.done++;
	reass_put(&reass, slot);
}

static void one(const uint8_t *rec)
{
	static uint8_t buf[UINT16_MAX];
	uint8_t kind = rec[0] & 0x5f;
	uint32_t len = get_be16(rec + 3);
	struct iovec iov = { buf, len };
	struct tx_frame frame = {
		.head = buf, .head_len = MIN(len, 20U), .len = len, .iov = &iov, .iovcnt = 1
	};
	struct reass_piece p = { .key = key_of(kind),
				 .frame = &frame,
				 .len = len,
				 .at = get_be16(rec + 1),
				 .more = rec[0] & 0x20 };
	struct reass_slot *done;
	enum drop_reason why;

	now += (rec[5] & 0x7fU) * NS_PER_S;
	if (rec[5] & 0x80) {
		uint64_t oldest = reass_expire(&reass, now);

		FUZZ_CHECK(oldest == 0 && open_ones() == 0);
	}
	for (uint32_t i = 0; i < len; i++)
		buf[i] = byte_of(kind, p.at + i);
	why = reass_add(&reass, &p, now, &done);
	FUZZ_CHECK(why == DROP_NONE || why == DROP_IP_FRAGMENT || why == DROP_FRAGMENT_ORDER);
	FUZZ_CHECK(!done || (why == DROP_NONE && !p.more));
	FUZZ_CHECK(open_ones() <= SLOTS);
	fuzz_work.refused += why != DROP_NONE;
	if (done)
		check_whole(done, kind, p.at + len);
}

static void setup(void)
{
	const struct pool_config pool = { "reassembly", sizeof(struct reass_slot), SLOTS };
	const struct arena_config cfg = { .name = "fuzz", .pools = &pool, .npools = 1 };

	FUZZ_CHECK(arena_new(&arena, &cfg) == 0, "no arena");
}

void fuzz_one(const uint8_t *data, size_t len)
{
	now = NS_PER_S;
	reass_init(&reass, arena_pool(arena, "reassembly"), on_lost, NULL);
	for (; len >= RECORD; data += RECORD, len -= RECORD)
		one(data);
	reass_drop_all(&reass);
	FUZZ_CHECK(arena_leaks(arena) == 0, "a slot is lost");
}

/* What was made in setup(). */
__attribute__((destructor)) static void leave(void)
{
	if (arena)
		arena_free(arena);
}
