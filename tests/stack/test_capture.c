/* SPDX-License-Identifier: MIT */
/* Copies of frames: which ones, in which order, how much of each, and at what price. */
#include "tests/stack/pair_rig.h"

#include <unistd.h>

#include "src/base/base.h"
#include "tcpstack/capture.h"
#include "tcpstack/limits.h"
#include "tcpstack/snapshot.h"

#define RING_BYTES (1U << 20)

static struct capture cap;
static uint64_t store[RING_BYTES / 8];

/* A rig with a capture of what @filter picks, @snaplen bytes of each. */
static void start(struct pair *u, const char *filter, uint32_t snaplen, uint32_t ring_bytes)
{
	char why[128];

	memset(&cap, 0, sizeof(cap));
	spsc_init(&cap.ring, store, ring_bytes, -1);
	cap.snaplen = snaplen;
	assert_int_equal(capture_filter_parse(&cap.filter, filter, why, sizeof(why)), 0);
	pair_start(u, NULL);
	assert_null(stack_set_capture(rig_stack(u->r), &cap));
}

static void end(struct pair *u)
{
	assert_int_equal(rig_allocs(u->r), 0);
	assert_ptr_equal(stack_set_capture(rig_stack(u->r), NULL), &cap);
	pair_end(u);
}

static const struct capture_record *next(void)
{
	static uint64_t copy[RING_BYTES / 8];
	const struct capture_record *r;
	uint32_t len;

	r = spsc_peek(&cap.ring, &len);
	if (!r)
		return NULL;
	assert_int_equal(len, sizeof(*r) + r->len);
	memcpy(copy, r, len);
	spsc_release(&cap.ring);
	return (const struct capture_record *)(const void *)copy;
}

static uint8_t flags_of(const struct capture_record *r)
{
	return r->data[ETH_HLEN + IP4_HLEN + 13];
}

/* A handshake: both ways, in the order of the wire, with the flow's name once it has one. */
static void frames_come_in_the_order_of_the_wire(void **state)
{
	static const struct {
		bool to_guest;
		uint8_t flags;
	} want[] = { { false, RIG_SYN }, { true, RIG_SYN | RIG_ACK }, { false, RIG_ACK } };
	struct flow_cursor at = { .proto = FLOW_TCP };
	const struct capture_record *r;
	struct flow_snap s[2];
	struct pair u;

	(void)state;
	start(&u, "tcp", CAPTURE_SNAPLEN_DEF, RING_BYTES);
	pair_connect(&u);
	assert_int_equal(stack_snap_flows(rig_stack(u.r), &at, s, 2), 1);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		r = next();
		assert_non_null(r);
		assert_int_equal(r->to_guest, want[i].to_guest);
		assert_int_equal(flags_of(r), want[i].flags);
		assert_int_equal(r->time_ns, rig_now(u.r));
		assert_int_equal(r->len, r->orig_len);
		assert_int_equal(r->has_flow, i > 0);
		if (i > 0)
			assert_true(r->flow_proto == FLOW_TCP && r->flow.index == s[0].id.index &&
				    r->flow.gen == s[0].id.gen);
	}
	assert_null(next());
	end(&u);
}

/* Frames of 64 KiB: so much of each, of the right bytes, and how long they were. */
static void long_frames_are_cut_and_say_so(void **state)
{
	uint8_t want[4000];
	uint64_t bytes = 0;
	const struct capture_record *r;
	struct pair u;

	(void)state;
	start(&u, "tcp", 2000, RING_BYTES);
	pair_connect(&u);
	while (next())
		;
	RIG_UNTIL(u.r, pair_upload(&u, 200000, 50000));
	while ((r = next())) {
		uint32_t hlen = ETH_HLEN + IP4_HLEN + TCP_HLEN;

		assert_int_equal(r->len, MIN(r->orig_len, 2000U));
		if (r->to_guest || r->orig_len <= hlen)
			continue;
		assert_true(r->orig_len > 2000);
		rig_pattern(want, 2000 - hlen, u.c.tx_seed, bytes);
		assert_memory_equal(r->data + hlen, want, 2000 - hlen);
		bytes += r->orig_len - hlen;
	}
	assert_int_equal(bytes, 200000);
	end(&u);
}

static void payload_to_the_guest_is_there_too(void **state)
{
	uint8_t want[1000];
	uint64_t sent = 0;
	const struct capture_record *r;
	bool found = false;
	struct pair u;

	(void)state;
	start(&u, "tcp", 2000, RING_BYTES);
	pair_connect(&u);
	rig_pump_write(u.fd, u.c.rx_seed, &sent, sizeof(want));
	RIG_CONN_UNTIL(&u.c, u.c.rx_bytes == sizeof(want));
	rig_pattern(want, sizeof(want), u.c.rx_seed, 0);
	while ((r = next()))
		if (r->to_guest && r->len == ETH_HLEN + IP4_HLEN + TCP_HLEN + sizeof(want))
			found |= memcmp(r->data + r->len - sizeof(want), want, sizeof(want)) == 0;
	assert_true(found);
	end(&u);
}

static void a_filter_picks_and_the_rest_costs_no_room(void **state)
{
	struct rig_pkt pkt;
	uint8_t frame[64];
	struct pair u;

	(void)state;
	start(&u, "arp or udp and port 99", CAPTURE_SNAPLEN_DEF, RING_BYTES);
	pair_connect(&u);
	RIG_UNTIL(u.r, pair_upload(&u, 100000, 1460));
	assert_null(next());
	assert_true(counter_get(&cap.seen) > 60);
	assert_int_equal(counter_get(&cap.matched), 0);
	rig_send(u.r, frame, rig_build_arp(u.r, frame, 0x0a00020f, RIG_GATEWAY), NULL);
	rig_send_udp(u.r, 1, RIG_GATEWAY, 98, "x", 1);
	rig_send_udp(u.r, 1, RIG_GATEWAY, 99, "x", 1);
	rig_cycle(u.r);
	while (rig_pop(u.r, &pkt))
		;
	assert_false(next()->to_guest); /* the ARP request */
	assert_true(next()->to_guest);	/* its answer */
	assert_int_equal(next()->data[ETH_HLEN + 9], PROTO_UDP);
	assert_null(next());
	end(&u);
}

/* Of a connection's frames, those of one direction. */
static void a_direction_is_picked(void **state)
{
	static const char *const words[] = { "tcp and outbound", "inbound and tcp" };
	const struct capture_record *r;
	struct pair u;

	(void)state;
	for (int to_guest = 0; to_guest < 2; to_guest++) {
		int n = 0;

		start(&u, words[to_guest], CAPTURE_SNAPLEN_DEF, RING_BYTES);
		pair_connect(&u);
		RIG_UNTIL(u.r, pair_upload(&u, 10000, 1460));
		for (; (r = next()); n++)
			assert_int_equal(r->to_guest, to_guest);
		assert_true(n >= (to_guest ? 2 : 9));
		end(&u);
	}
}

/* One flow of two by its name. */
static void a_flow_is_picked_by_its_name(void **state)
{
	struct flow_cursor at = { .proto = FLOW_TCP };
	char name[FLOW_NAME_STRLEN], filter[64], why[64];
	const struct capture_record *r;
	struct rig_conn c[2];
	struct flow_snap s[2];
	struct pair u;
	int fd[2], n = 0;

	(void)state;
	start(&u, "", CAPTURE_SNAPLEN_DEF, RING_BYTES);
	rig_conn_open_all(c, fd, 2, u.r, 40000, u.c.dport, u.lfd);
	assert_int_equal(stack_snap_flows(rig_stack(u.r), &at, s, 2), 2);
	while (next())
		;
	snprintf(filter, sizeof(filter), "flow %s", flow_name(FLOW_TCP, s[0].id, name));
	assert_int_equal(capture_filter_parse(&cap.filter, filter, why, sizeof(why)), 0);
	for (int i = 0; i < 2; i++)
		rig_conn_send(&c[i], 10);
	RIG_CONN_UNTIL(c, rig_conn_acked(&c[0]) && rig_conn_acked(&c[1]));
	for (; (r = next()); n++)
		assert_true(r->has_flow && r->flow.index == s[0].id.index);
	assert_true(n >= 2);
	close(fd[1]);
	u.fd = fd[0];
	end(&u);
}

/* H86: nobody reads. What finds no room is counted, the next one says so, bytes flow. */
static void a_full_ring_costs_copies_and_nothing_else(void **state)
{
	const struct capture_record *r;
	uint64_t n = 0;
	struct pair u;

	(void)state;
	start(&u, "", CAPTURE_SNAPLEN_DEF, 4096);
	pair_connect(&u);
	RIG_UNTIL(u.r, pair_upload(&u, 200000, 1460));
	assert_true(counter_get(&cap.ring.lost) > 0);
	while (next())
		n++;
	assert_int_equal(n + counter_get(&cap.ring.lost), counter_get(&cap.matched));
	rig_conn_send(&u.c, 1);
	rig_cycle(u.r);
	r = next();
	assert_non_null(r);
	assert_int_equal(r->lost, counter_get(&cap.ring.lost));
	rig_conn_poll(&u.c);
	end(&u);
}

static void enough_is_enough(void **state)
{
	uint64_t seen;
	struct pair u;

	(void)state;
	start(&u, "", CAPTURE_SNAPLEN_DEF, RING_BYTES);
	pair_connect(&u);
	seen = counter_get(&cap.seen);
	assert_true(seen > 0);
	atomic_store(&cap.enough, true);
	RIG_UNTIL(u.r, pair_upload(&u, 20000, 1460));
	assert_int_equal(counter_get(&cap.seen), seen);
	end(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_come_in_the_order_of_the_wire),
		cmocka_unit_test(long_frames_are_cut_and_say_so),
		cmocka_unit_test(payload_to_the_guest_is_there_too),
		cmocka_unit_test(a_filter_picks_and_the_rest_costs_no_room),
		cmocka_unit_test(a_direction_is_picked),
		cmocka_unit_test(a_flow_is_picked_by_its_name),
		cmocka_unit_test(a_full_ring_costs_copies_and_nothing_else),
		cmocka_unit_test(enough_is_enough),
	};

	return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
