/* SPDX-License-Identifier: MIT */
/* Datagrams from fragments: in order, bounded, and nothing of one in another (H49). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arena/arena.h"
#include "src/base/base.h"
#include "tcpstack/frame.h"
#include "tcpstack/reass.h"

#define SLOTS 4

static struct arena *arena;
static struct reass r;
static uint32_t lost[DROP_REASON_COUNT];
static uint64_t now;

static void on_lost(void *ctx, enum drop_reason why)
{
	assert_ptr_equal(ctx, &r);
	lost[why]++;
}

static int setup(void **state)
{
	const struct pool_config pool = { "reassembly", sizeof(struct reass_slot), SLOTS };
	const struct arena_config cfg = { .name = "test", .pools = &pool, .npools = 1 };

	(void)state;
	assert_int_equal(arena_new(&arena, &cfg), 0);
	reass_init(&r, arena_pool(arena, "reassembly"), on_lost, &r);
	memset(lost, 0, sizeof(lost));
	now = 1000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	reass_drop_all(&r);
	assert_int_equal(arena_leaks(arena), 0);
	arena_free(arena);
	return 0;
}

/* Byte @at of the datagram @id: no two look alike for long. */
static uint8_t byte_of(uint32_t id, uint32_t at)
{
	return (uint8_t)((at * 2654435761U) >> 13 ^ id * 97 ^ at >> 3);
}

static struct reass_key key_of(uint32_t id, bool v6)
{
	struct reass_key key = { .id = id, .proto = PROTO_UDP };

	key.src = v6 ? (struct ipaddr){ { 0xfd, [15] = 0x15 } } : ipaddr_from_v4(0x0a00020f);
	key.dst = v6 ? (struct ipaddr){ { 0xfd, [15] = 2 } } : ipaddr_from_v4(0x0a000202);
	return key;
}

static enum drop_reason add_piece(const struct reass_key *key, uint32_t at, uint32_t len, bool more,
				  struct reass_slot **done)
{
	static uint8_t buf[7 + 65536];
	struct iovec iov[2] = { { buf, 5 }, { buf + 5, sizeof(buf) - 5 } };
	struct tx_frame frame = {
		.head = buf, .head_len = 7, .len = 7 + len, .iov = iov, .iovcnt = 2
	};
	struct reass_piece p = { .key = *key,
				 .frame = &frame,
				 .off = 7,
				 .len = len,
				 .at = at,
				 .more = more,
				 .ttl = 33,
				 .tos = 4 };

	for (uint32_t i = 0; i < len; i++)
		buf[7 + i] = byte_of(key->id, at + i);
	return reass_add(&r, &p, now, done);
}

static enum drop_reason add(uint32_t id, uint32_t at, uint32_t len, bool more,
			    struct reass_slot **done)
{
	struct reass_key key = key_of(id, false);

	return add_piece(&key, at, len, more, done);
}

/* A fragment that is taken and completes nothing. */
static void takes(uint32_t id, uint32_t at, uint32_t len)
{
	struct reass_slot *done;

	assert_int_equal(add(id, at, len, true, &done), DROP_NONE);
	assert_null(done);
}

static void check_whole(struct reass_slot *done, uint32_t id, uint32_t len)
{
	assert_non_null(done);
	assert_int_equal(done->key.id, id);
	assert_int_equal(done->have, len);
	for (uint32_t i = 0; i < len; i++)
		if (reass_data(done)[i] != byte_of(id, i))
			fail_msg("datagram %u differs at byte %u", id, i);
	reass_put(&r, done);
}

/* The last fragment, and the datagram that it completes. */
static void completes(uint32_t id, uint32_t at, uint32_t len)
{
	struct reass_slot *done;

	assert_int_equal(add(id, at, len, false, &done), DROP_NONE);
	check_whole(done, id, at + len);
}

static void refuses(uint32_t id, uint32_t at, uint32_t len, bool more, enum drop_reason why)
{
	struct reass_slot *done;

	assert_int_equal(add(id, at, len, more, &done), why);
	assert_null(done);
}

static void fragments_in_order_make_a_datagram(void **state)
{
	(void)state;
	takes(1, 0, 1480);
	takes(1, 1480, 1480);
	completes(1, 2960, 1);
	/* The same again under the same identification. */
	takes(1, 0, 8);
	completes(1, 8, 3);
	assert_int_equal(lost[DROP_FRAGMENT_ORDER], 0);
}

static void the_longest_datagrams_fit_and_none_is_longer(void **state)
{
	(void)state;
	struct reass_key v6 = key_of(1, true);
	struct reass_slot *done;

	takes(1, 0, 65512);
	completes(1, 65512, 3); /* 65,535 less an IPv4 header */
	takes(1, 0, 65512);
	refuses(1, 65512, 4, false, DROP_IP_FRAGMENT);
	refuses(1, 65528, 8, true, DROP_IP_FRAGMENT);

	assert_int_equal(add_piece(&v6, 0, 65528, true, &done), DROP_NONE);
	assert_int_equal(add_piece(&v6, 65528, 8, false, &done), DROP_IP_FRAGMENT);
	assert_int_equal(add_piece(&v6, 65528, 7, false, &done), DROP_NONE);
	check_whole(done, 1, 65535);
}

static void badly_cut_fragments_are_refused(void **state)
{
	(void)state;
	takes(1, 0, 16);
	refuses(1, 16, 0, true, DROP_IP_FRAGMENT);
	refuses(1, 16, 0, false, DROP_IP_FRAGMENT);
	refuses(1, 16, 7, true, DROP_IP_FRAGMENT);
	refuses(1, 16, 9, true, DROP_IP_FRAGMENT);
	refuses(1, 12, 8, true, DROP_IP_FRAGMENT);
	refuses(2, 0, 12, true, DROP_IP_FRAGMENT);
	completes(1, 16, 5); /* none of which has harmed the other */
}

/* RFC 5722: with an overlap the whole datagram is gone, and what still comes of it. */
static void overlaps_holes_and_repeats_end_a_datagram(void **state)
{
	(void)state;
	static const uint32_t wrong[] = { 8, 16, 24, 40, 48 }; /* where 32 was due */

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		takes(1, 0, 16);
		takes(1, 16, 16);
		refuses(1, wrong[i], 16, true, DROP_FRAGMENT_ORDER);
		refuses(1, 32, 16, true, DROP_FRAGMENT_ORDER);
		refuses(1, 48, 5, false, DROP_FRAGMENT_ORDER);
	}
	/* A fragment of which nobody knows the beginning. */
	refuses(2, 8, 8, true, DROP_FRAGMENT_ORDER);
	/* The first one again begins anew; what was there is lost. */
	takes(3, 0, 64);
	takes(3, 0, 16);
	assert_int_equal(lost[DROP_FRAGMENT_ORDER], 1);
	completes(3, 16, 8);
}

static void whatever_differs_in_the_key_is_another_datagram(void **state)
{
	(void)state;
	struct reass_key k = key_of(1, false), keys[5] = { k, k, k, k, key_of(1, true) };
	struct reass_slot *done;

	keys[1].src = ipaddr_from_v4(0x0a000210);
	keys[2].dst = ipaddr_from_v4(0x0a000203);
	keys[3].proto = PROTO_ICMP;
	for (size_t i = 1; i < ARRAY_SIZE(keys); i++)
		assert_int_equal(add_piece(&keys[i], 0, 8, true, &done), DROP_NONE);
	assert_int_equal(add_piece(&keys[0], 8, 8, false, &done), DROP_FRAGMENT_ORDER);
	for (size_t i = 1; i < ARRAY_SIZE(keys); i++) {
		assert_int_equal(add_piece(&keys[i], 8, 8, false, &done), DROP_NONE);
		check_whole(done, 1, 16);
	}
}

static void the_oldest_makes_room(void **state)
{
	(void)state;
	for (uint32_t id = 0; id < SLOTS; id++)
		takes(id, 0, 8);
	takes(0, 8, 8); /* older all the same: it is the beginning that counts */
	takes(SLOTS, 0, 8);
	assert_int_equal(lost[DROP_FRAGMENT_LIMIT], 1);
	refuses(0, 16, 8, false, DROP_FRAGMENT_ORDER);
	for (uint32_t id = 1; id <= SLOTS; id++)
		completes(id, 8, 8);
	assert_int_equal(lost[DROP_FRAGMENT_LIMIT], 1);
}

/* Datagrams that somebody else has in hand are no room to be made. */
static void without_slots_a_fragment_is_refused(void **state)
{
	(void)state;
	struct reass_slot *held[SLOTS];

	for (uint32_t id = 0; id < SLOTS; id++) {
		takes(id, 0, 8);
		assert_int_equal(add(id, 8, 8, false, &held[id]), DROP_NONE);
	}
	refuses(9, 0, 8, true, DROP_OUT_OF_SLOTS);
	for (uint32_t id = 0; id < SLOTS; id++)
		check_whole(held[id], id, 16);
	takes(9, 0, 8);
	completes(9, 8, 8);
}

static void what_takes_too_long_is_given_up(void **state)
{
	(void)state;
	takes(1, 0, 8);
	now = 2000;
	takes(2, 0, 8);
	takes(1, 8, 8); /* does not make it younger */
	assert_int_equal(reass_expire(&r, 999), 1000);
	assert_int_equal(lost[DROP_FRAGMENT_TIMEOUT], 0);
	assert_int_equal(reass_expire(&r, 1000), 2000);
	assert_int_equal(lost[DROP_FRAGMENT_TIMEOUT], 1);
	refuses(1, 16, 8, false, DROP_FRAGMENT_ORDER);
	completes(2, 8, 8);
	assert_int_equal(reass_expire(&r, 5000), 0);
}

/* --- anything at all, against a list that does it the plain way --------------------- */

#define IDS   7
#define LEN   160 /* bytes of each datagram, so that faults meet */
#define STEPS 200000

struct expected {
	bool open;
	uint32_t have;
	uint64_t begun; /* step */
};

static uint32_t random_below(uint32_t n)
{
	static uint64_t x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 33) % n;
}

static enum drop_reason model(struct expected *e, uint32_t id, uint32_t at, bool more, uint32_t len,
			      uint64_t step, bool *whole)
{
	uint32_t open = 0, oldest = IDS;

	*whole = false;
	if (at != 0 && (!e[id].open || e[id].have != at)) {
		e[id].open = false;
		return DROP_FRAGMENT_ORDER;
	}
	if (at == 0) {
		e[id].open = false;
		for (uint32_t i = 0; i < IDS; i++) {
			open += e[i].open;
			if (e[i].open && (oldest == IDS || e[i].begun < e[oldest].begun))
				oldest = i;
		}
		if (open == SLOTS)
			e[oldest].open = false;
		e[id] = (struct expected){ .open = true, .begun = step };
	}
	e[id].have += len;
	*whole = !more;
	e[id].open = more;
	return DROP_NONE;
}

static void random_fragments_do_as_the_model_does(void **state)
{
	(void)state;
	struct expected e[IDS] = { { 0 } };
	uint32_t wholes = 0, refused = 0, id = 0;

	for (uint64_t step = 1; step <= STEPS; step++) {
		uint32_t other = random_below(4 * IDS), units = 1 + random_below(6), at, len;
		struct reass_slot *done;
		enum drop_reason want, got;
		bool more, whole;

		/* The same datagram's turn, and what is due of it, most of the time; else any. */
		if (other < IDS)
			id = other;
		at = random_below(20) ? e[id].open * e[id].have : 8 * random_below(LEN / 8);
		len = MIN(8 * units, LEN - at);
		more = at + len < LEN;
		now = step;
		want = model(e, id, at, more, len, step, &whole);
		got = add(id, at, len, more, &done);
		assert_int_equal(got, want);
		assert_int_equal(done != NULL, whole);
		if (done)
			check_whole(done, id, LEN);
		wholes += whole;
		refused += got != DROP_NONE;
	}
	/* It was about something. */
	assert_true(wholes > STEPS / 50 && refused > STEPS / 50);
	assert_true(lost[DROP_FRAGMENT_LIMIT] > 0 && lost[DROP_FRAGMENT_ORDER] > 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(fragments_in_order_make_a_datagram),
		TEST(the_longest_datagrams_fit_and_none_is_longer),
		TEST(badly_cut_fragments_are_refused),
		TEST(overlaps_holes_and_repeats_end_a_datagram),
		TEST(whatever_differs_in_the_key_is_another_datagram),
		TEST(the_oldest_makes_room),
		TEST(without_slots_a_fragment_is_refused),
		TEST(what_takes_too_long_is_given_up),
		TEST(random_fragments_do_as_the_model_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
