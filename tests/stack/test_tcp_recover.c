/* SPDX-License-Identifier: MIT */
/* Host to guest over a link that loses: what a guest with SACK needs sent again. */
#include "tests/stack/pair_rig.h"

#include "src/base/base.h"
#include "tcpstack/limits.h"
#include "tcpstack/tcp.h"

static void down_open(struct pair *d, uint64_t seed, bool tso)
{
	struct rig_config cfg;

	rig_config_defaults(&cfg);
	cfg.caps.rx_tso4 = tso;
	cfg.seed = seed;
	pair_start(d, &cfg);
	d->c.sack = true;
	pair_connect(d);
}

/* H33, RFC 6675: holes in one window are filled in one turn, without a timeout. */
static void holes_are_filled_at_once(void **state)
{
	(void)state;
	struct pair d;
	uint64_t now;

	down_open(&d, 1, false);
	RIG_UNTIL(d.r, pair_download(&d, MIB));
	now = rig_now(d.r);
	for (int i = 0; i < 8; i++) {
		uint64_t total = d.c.rx_bytes + MIB;
		uint32_t first = d.c.frames + d.c.lost;

		/* Of the first frames one in ten; the poll of a round sees many. */
		d.c.loss = 10;
		RIG_UNTIL(d.r, (d.c.loss = d.c.frames + d.c.lost < first + 60 ? 10 : 0,
				pair_download(&d, total)));
	}
	assert_int_equal(rig_now(d.r), now);
	assert_true(d.c.lost > 40);
	assert_in_range(COUNT(d.r, tcp_retransmits), d.c.lost / 4, d.c.lost);
	pair_end(&d);
}

/* Retransmissions are lost too; only what was the last of all needs the timer. */
static void random_loss(uint64_t seed, bool tso, uint32_t loss)
{
	struct pair d;
	uint32_t timeouts = 0, still = 0;
	uint64_t since = clock_now_ns();

	down_open(&d, seed, tso);
	d.c.loss = loss;
	while (!pair_download(&d, 8 * MIB)) {
		uint64_t before = d.c.rx_bytes;

		rig_step(d.r, since, "random loss", __FILE__, __LINE__);
		rig_conn_poll(&d.c);
		still = before == d.c.rx_bytes ? still + 1 : 0;
		if (still < 50)
			continue;
		timeouts++;
		still = 0;
		rig_advance(d.r, NS_PER_S);
	}
	assert_true(d.c.lost > 0);
	assert_true(timeouts <= 3);
	assert_int_equal(rig_allocs(d.r), 0);
	pair_end(&d);
}

static void random_loss_is_repaired(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++)
		random_loss(seed, false, 3);
}

static void random_loss_is_repaired_tso(void **state)
{
	(void)state;
	for (uint64_t seed = 5; seed <= 8; seed++)
		random_loss(seed, true, 5);
}

/* Blocks that say nothing true: the guest harms only itself, and not for good. */
static void false_blocks_do_no_harm(void **state)
{
	(void)state;
	struct pair d;
	uint64_t before;

	down_open(&d, 9, true);
	d.c.auto_ack = false;
	for (int i = 0; i < 2000; i++) {
		d.c.early_count = 1 + (uint32_t)(rig_random(d.r) % 4);
		for (uint32_t k = 0; k < d.c.early_count; k++) {
			uint32_t from = d.c.rcv_nxt + (uint32_t)(rig_random(d.r) % (2 * MIB));

			if (rig_random(d.r) % 8 == 0)
				from = (uint32_t)rig_random(d.r);
			d.c.early[k] = (struct rig_range){ from, from + (uint32_t)(rig_random(d.r) %
										   100000) };
		}
		rig_conn_ack(&d.c);
		d.c.early_count = 0;
		pair_write(&d, 4 * MIB);
		rig_cycle(d.r);
		d.c.lose = UINT32_MAX;
		rig_conn_poll(&d.c);
		d.c.lose = 0;
	}
	before = COUNT(d.r, tcp_retransmits);
	d.c.auto_ack = true;
	rig_advance(d.r, 60 * NS_PER_S);
	RIG_UNTIL(d.r, pair_download(&d, 4 * MIB));
	assert_true(before < 4000);
	pair_end(&d);
}

/* The list of ranges against a map of bytes. */
static void ranges_match_a_model(void **state)
{
	(void)state;
	enum { SPACE = 2000 };
	struct tcp_flow fl = { .sack = true, .snd_una = UINT32_MAX - 700 };
	uint64_t rng = 88172645463325252ULL;
	uint32_t base = fl.snd_una;

	for (int round = 0; round < 300; round++) {
		bool has[SPACE + 1] = { false };

		fl.sacked.count = 0;
		fl.snd_una = base;
		fl.snd_max = base + SPACE;
		for (int i = 0; i < 12; i++) {
			uint8_t opt[12] = { 1, 1, 5, 10 };
			struct tcp_seg s = { .opt = opt, .opt_len = sizeof(opt) };
			uint32_t from, len, runs = 0, bytes = 0, at = 0;
			struct tcp_range hole;

			rng ^= rng << 13;
			rng ^= rng >> 7;
			rng ^= rng << 17;
			from = 1 + (uint32_t)(rng % (SPACE - 300));
			len = 1 + (uint32_t)(rng >> 32) % 200;
			put_be32(opt + 4, base + from);
			put_be32(opt + 8, base + from + len);
			tcp_sack_input(&fl, &s);
			memset(has + from, 1, len);
			for (uint32_t k = 0; k < SPACE; k++) {
				bytes += has[k];
				runs += has[k] && !has[k + 1];
			}
			assert_int_equal(fl.sacked.count, runs);
			assert_int_equal(tcp_sack_bytes(&fl), bytes);
			for (; tcp_sack_hole(&fl, base + at, &hole); at = hole.to - base) {
				for (uint32_t k = hole.from - base; k < hole.to - base; k++)
					assert_false(has[k]);
				assert_true(has[hole.to - base]);
			}
		}
		fl.snd_una = base + 1000;
		tcp_sack_acked(&fl);
		for (uint32_t k = 0; k < fl.sacked.count; k++)
			assert_true(seq_gt(fl.sacked.range[k].from, fl.snd_una));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holes_are_filled_at_once),
		cmocka_unit_test(random_loss_is_repaired),
		cmocka_unit_test(random_loss_is_repaired_tso),
		cmocka_unit_test(false_blocks_do_no_harm),
		cmocka_unit_test(ranges_match_a_model),
	};

	return cmocka_run_group_tests_name("tcp_recover", tests, NULL, NULL);
}
