/* SPDX-License-Identifier: MIT */
/* Guest to host over a link that loses, doubles and reorders: SACK, and its bounds. */
#include "tests/stack/pair_rig.h"

#include <unistd.h>

#include "src/base/base.h"
#include "tcpstack/limits.h"

#define MSS 1460U

static void open_with(struct pair *u, bool sack)
{
	pair_start(u, NULL);
	u->c.sack = sack;
	pair_connect(u);
}

/* Bytes [@from, @to) of the stream, wherever the sending has come to. */
static void send_part(struct rig_conn *c, uint32_t from, uint32_t to)
{
	uint8_t data[65536];

	assert_true(to - from <= sizeof(data));
	rig_pattern(data, to - from, c->tx_seed, from);
	if ((int32_t)(c->iss + 1 + to - c->snd_max) > 0)
		c->snd_max = c->snd_nxt = c->iss + 1 + to;
	rig_conn_segment(c, RIG_ACK, c->iss + 1 + from, data, to - from);
}

/* One cycle, and the ACK that it brought. */
static void cycle(struct pair *u)
{
	rig_conn_cycle(&u->c);
}

static void assert_blocks(const struct pair *u, uint32_t count, const uint32_t (*blocks)[2])
{
	const struct rig_pkt *p = &u->c.last;

	assert_int_equal(p->sack_count, count);
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(p->sack[i][0] - u->c.iss - 1, blocks[i][0]);
		assert_int_equal(p->sack[i][1] - u->c.iss - 1, blocks[i][1]);
	}
}

#define BLOCKS(u, ...)                                                     \
	assert_blocks(u, sizeof((const uint32_t[][2]){ __VA_ARGS__ }) / 8, \
		      (const uint32_t[][2]){ __VA_ARGS__ })

static void read_exactly(struct pair *u, uint64_t total)
{
	RIG_CONN_UNTIL(&u->c, pair_read(u) >= total);
	assert_int_equal(u->got, total);
	RIG_CONN_UNTIL(&u->c, u->c.snd_una == u->c.iss + 1 + total);
}

/* RFC 2018 4: the latest run comes first, the others follow; an ACK at once. */
static void latest_block_comes_first(void **state)
{
	(void)state;
	struct pair u;

	open_with(&u, true);
	send_part(&u.c, 100, 200);
	cycle(&u);
	BLOCKS(&u, { 100, 200 });
	send_part(&u.c, 300, 400);
	cycle(&u);
	BLOCKS(&u, { 300, 400 }, { 100, 200 });
	send_part(&u.c, 200, 250);
	cycle(&u);
	BLOCKS(&u, { 100, 250 }, { 300, 400 });
	for (uint32_t at = 500; at < 1100; at += 200)
		send_part(&u.c, at, at + 100);
	cycle(&u);
	BLOCKS(&u, { 900, 1000 }, { 100, 250 }, { 300, 400 }, { 500, 600 });
	assert_int_equal(u.c.acks, 4);
	send_part(&u.c, 0, 100);
	cycle(&u);
	assert_int_equal(u.c.snd_una, u.c.iss + 1 + 250);
	BLOCKS(&u, { 900, 1000 }, { 300, 400 }, { 500, 600 }, { 700, 800 });
	send_part(&u.c, 250, 1000);
	read_exactly(&u, 1000);
	assert_int_equal(u.c.last.sack_count, 0);
	pair_end(&u);
}

/* RFC 2883 4.1: what came twice is told, once. */
static void duplicate_is_reported_once(void **state)
{
	(void)state;
	struct pair u;

	open_with(&u, true);
	send_part(&u.c, 0, 100);
	cycle(&u);
	assert_int_equal(u.c.last.sack_count, 0);
	send_part(&u.c, 0, 100);
	cycle(&u);
	BLOCKS(&u, { 0, 100 });
	send_part(&u.c, 200, 300);
	cycle(&u);
	BLOCKS(&u, { 200, 300 });
	send_part(&u.c, 50, 150);
	cycle(&u);
	BLOCKS(&u, { 50, 100 }, { 200, 300 });
	send_part(&u.c, 150, 200);
	read_exactly(&u, 300);
	pair_end(&u);
}

/* Without the option in the guest's SYN: none in the SYN-ACK, no blocks; the rig checks. */
static void no_sack_where_it_was_not_permitted(void **state)
{
	(void)state;
	struct pair u;

	open_with(&u, false);
	assert_false(u.c.peer_sack);
	u.c.acks = 0;
	for (uint32_t i = 1; i < 10; i++)
		send_part(&u.c, i * 100, i * 100 + 50);
	cycle(&u);
	/* Enough duplicates for a fast retransmit, however many came in the batch. */
	assert_int_equal(u.c.acks, LIMIT_TCP_DUPACKS + 1);
	send_part(&u.c, 0, 1000);
	read_exactly(&u, 1000);
	pair_end(&u);
}

/* A segment that covers, joins and crosses others leaves each byte once. */
static void overlaps_are_trimmed(void **state)
{
	(void)state;
	struct pair u;

	open_with(&u, true);
	send_part(&u.c, 1000, 2000);
	send_part(&u.c, 3000, 4000);
	send_part(&u.c, 500, 3500);
	send_part(&u.c, 1500, 1600);
	send_part(&u.c, 3900, 5000);
	cycle(&u);
	BLOCKS(&u, { 500, 5000 });
	send_part(&u.c, 0, 700);
	read_exactly(&u, 5000);
	assert_int_equal(COUNT(u.r, tcp_tx_payload), 5000);
	pair_end(&u);
}

/* H30, H38: what lies beyond the offered window is not kept. */
static void nothing_is_kept_beyond_the_window(void **state)
{
	(void)state;
	struct pair u;
	uint32_t edge;

	open_with(&u, true);
	send_part(&u.c, 0, 100);
	cycle(&u);
	edge = u.c.edge - u.c.iss - 1;
	send_part(&u.c, edge - 100, edge + 100);
	cycle(&u);
	BLOCKS(&u, { edge - 100, edge });
	pair_end(&u);
}

/* H31: a FIN behind a hole counts when the hole has closed. */
static void early_fin_waits_for_the_hole(void **state)
{
	(void)state;
	struct pair u;

	open_with(&u, true);
	send_part(&u.c, 100, 200);
	rig_conn_fin(&u.c);
	cycle(&u);
	assert_int_equal(u.c.snd_una, u.c.iss + 1);
	send_part(&u.c, 0, 100);
	RIG_CONN_UNTIL(&u.c, rig_conn_acked(&u.c));
	assert_int_equal(pair_read(&u), 200);
	rig_read_eof(u.r, u.fd);
	pair_end(&u);
}

/* The driver goes: what was reported lies in our memory and stays. */
static void early_bytes_outlive_the_driver(void **state)
{
	(void)state;
	struct pair u;

	open_with(&u, true);
	send_part(&u.c, 1000, 2000);
	cycle(&u);
	rig_detach(u.r);
	rig_attach(u.r);
	send_part(&u.c, 0, 1000);
	read_exactly(&u, 2000);
	pair_end(&u);
}

/* A guest that leaves as many holes as it can: bounded, and nothing that was reported is lost. */
static void holes_are_bounded(void **state)
{
	(void)state;
	struct pair u;
	uint32_t total = 3 * LIMIT_TCP_EARLY_FLOW;

	open_with(&u, true);
	for (uint32_t i = 1; i < total; i += 2)
		send_part(&u.c, i, i + 1);
	cycle(&u);
	assert_int_equal(COUNT(u.r, tcp_early), LIMIT_TCP_EARLY_FLOW);
	assert_int_equal(rig_drops(u.r, DROP_TCP_SEQUENCE), total / 2 - LIMIT_TCP_EARLY_FLOW);
	assert_int_equal(rig_held(u.r), 0); /* its ring is its own all the time */
	for (uint32_t i = 0; i < 2 * LIMIT_TCP_EARLY_FLOW; i += 2)
		send_part(&u.c, i, i + 1);
	cycle(&u);
	assert_int_equal(u.c.snd_una, u.c.iss + 1 + 2 * LIMIT_TCP_EARLY_FLOW);
	send_part(&u.c, 0, total);
	read_exactly(&u, total);
	pair_end(&u);
}

/* The same by more flows than the chunks of all suffice for. */
static void holes_of_all_flows_are_bounded(void **state)
{
	(void)state;
	enum { FLOWS = 2 * LIMIT_TCP_EARLY_ALL / LIMIT_TCP_EARLY_FLOW };
	static struct rig_conn c[FLOWS];
	struct rig *r;
	uint16_t port;
	int lfd = rig_listen(&port), fd[FLOWS];
	uint32_t total = 2 * LIMIT_TCP_EARLY_FLOW;

	r = rig_new(NULL);
	rig_conn_open_all(c, fd, FLOWS, r, 40000, port, lfd);
	for (uint16_t i = 0; i < FLOWS; i++) {
		for (uint32_t k = 1; k < total; k += 2)
			send_part(&c[i], k, k + 1);
		rig_conn_cycle(&c[i]);
	}
	assert_int_equal(COUNT(r, tcp_early), LIMIT_TCP_EARLY_ALL);
	for (uint16_t i = 0; i < FLOWS; i++) {
		uint64_t got = 0;

		send_part(&c[i], 0, total);
		RIG_CONN_UNTIL(&c[i], (rig_pump_read(fd[i], c[i].tx_seed, &got), got == total));
		RIG_CONN_UNTIL(&c[i], rig_conn_acked(&c[i]));
		close(fd[i]);
	}
	close(lfd);
	rig_free(r);
}

/* --- at random ------------------------------------------------------------- */

/* A guest's segments on their way: out in any order, lost, or twice. */
#define LINK_DEPTH 24
#define SEGS	   1024

struct link {
	struct pair u;
	uint32_t size, segs;
	uint32_t flying[LINK_DEPTH], count;
	bool sent[SEGS], sacked[SEGS];
	uint32_t resent;
};

static void link_push(struct link *l, uint32_t seg)
{
	uint64_t dice = rig_random(l->u.r) % 100;

	l->sent[seg] = true;
	if (dice < 5)
		return; /* lost */
	for (int i = dice < 10 ? 2 : 1; i > 0 && l->count < LINK_DEPTH; i--)
		l->flying[l->count++] = seg;
}

static void link_pop(struct link *l)
{
	uint32_t i = (uint32_t)(rig_random(l->u.r) % l->count), from = l->flying[i] * l->size;
	uint32_t len = l->size, shift = (uint32_t)(rig_random(l->u.r) % 64);

	l->flying[i] = l->flying[--l->count];
	/* Boundaries move, as if the guest had cut its data anew. */
	shift = MIN(shift, from);
	send_part(&l->u.c, from - shift, from + len);
}

static void mark_sacked(struct link *l)
{
	const struct rig_pkt *p = &l->u.c.last;

	for (uint32_t i = 0; i < p->sack_count; i++) {
		uint32_t from = p->sack[i][0] - l->u.c.iss - 1, to = p->sack[i][1] - l->u.c.iss - 1;

		for (uint32_t s = (from + l->size - 1) / l->size; (s + 1) * l->size <= to; s++)
			l->sacked[s] = true;
	}
}

/* What is neither ACKed nor reported goes again; what was reported never does. */
static void resend_holes(struct link *l)
{
	uint32_t first = (l->u.c.snd_una - l->u.c.iss - 1) / l->size;

	for (uint32_t s = first; s < l->segs && l->sent[s] && l->count < LINK_DEPTH / 2; s++) {
		if (l->sacked[s])
			continue;
		link_push(l, s);
		l->resent++;
	}
}

static bool in_window(const struct link *l, uint32_t seg)
{
	return (int32_t)(l->u.c.edge - l->u.c.iss - 1 - (seg + 1) * l->size) >= 0;
}

static void random_upload(uint64_t seed, bool sack, uint32_t size, uint32_t iss)
{
	static struct link l;
	struct rig_config cfg;
	uint32_t next = 0, una = 0, still = 0;

	l = (struct link){ .size = size, .segs = SEGS };
	rig_config_defaults(&cfg);
	cfg.seed = seed;
	cfg.tx_pieces = 3;
	pair_start(&l.u, &cfg);
	l.u.c.sack = sack;
	if (iss)
		l.u.c.iss = iss;
	pair_connect(&l.u);

	for (uint64_t since = clock_now_ns(); l.u.got < (uint64_t)SEGS * size;) {
		uint32_t burst = (uint32_t)(rig_random(l.u.r) % 8);

		while (next < SEGS && l.count < LINK_DEPTH && in_window(&l, next))
			link_push(&l, next++);
		for (; burst > 0 && l.count > 0; burst--)
			link_pop(&l);
		if (rig_random(l.u.r) % 4 == 0 || l.count == 0) {
			rig_step(l.u.r, since, "random upload", __FILE__, __LINE__);
			rig_conn_poll(&l.u.c);
			mark_sacked(&l);
		}
		rig_pump_read(l.u.fd, l.u.c.tx_seed, &l.u.got);
		still = una == l.u.c.snd_una ? still + 1 : 0;
		una = l.u.c.snd_una;
		if (still > 12 && l.count < LINK_DEPTH / 2)
			resend_holes(&l);
	}
	assert_true(l.resent > 0);
	assert_true(COUNT(l.u.r, tcp_early) > SEGS / 4);
	assert_int_equal(COUNT(l.u.r, tcp_tx_payload), (uint64_t)SEGS * size);
	RIG_CONN_UNTIL(&l.u.c, rig_conn_acked(&l.u.c));
	assert_int_equal(rig_held(l.u.r), 0);
	assert_int_equal(rig_allocs(l.u.r), 0);
	pair_end(&l.u);
}

static void random_link_with_sack(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++)
		random_upload(seed, true, MSS - 64, 0);
}

static void random_link_without_sack(void **state)
{
	(void)state;
	for (uint64_t seed = 11; seed <= 14; seed++)
		random_upload(seed, false, MSS - 64, 0);
}

static void random_link_with_small_segments(void **state)
{
	(void)state;
	random_upload(21, true, 400, 0);
	random_upload(22, true, 113, 0);
}

static void random_link_across_the_wrap(void **state)
{
	(void)state;
	random_upload(31, true, 1000, UINT32_MAX - 300000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(latest_block_comes_first),
		cmocka_unit_test(duplicate_is_reported_once),
		cmocka_unit_test(no_sack_where_it_was_not_permitted),
		cmocka_unit_test(overlaps_are_trimmed),
		cmocka_unit_test(nothing_is_kept_beyond_the_window),
		cmocka_unit_test(early_fin_waits_for_the_hole),
		cmocka_unit_test(early_bytes_outlive_the_driver),
		cmocka_unit_test(holes_are_bounded),
		cmocka_unit_test(holes_of_all_flows_are_bounded),
		cmocka_unit_test(random_link_with_sack),
		cmocka_unit_test(random_link_without_sack),
		cmocka_unit_test(random_link_with_small_segments),
		cmocka_unit_test(random_link_across_the_wrap),
	};

	return cmocka_run_group_tests_name("tcp_early", tests, NULL, NULL);
}
