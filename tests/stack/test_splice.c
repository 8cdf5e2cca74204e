/* SPDX-License-Identifier: MIT */
/*
 * Pages that travel by reference, to readers of every kind. The rig overwrites
 * and frees a frame's memory the moment its token returns, so a page that is
 * released too early shows as wrong bytes at the reader.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/base.h"
#include "tcpstack/limits.h"
#include "tcpstack/snapshot.h"
#include "tcpstack/tcp.h"
#include "tests/stack/pair_rig.h"

#define TSO 59860

static void open_pair(struct pair *u, struct rig_config *cfg)
{
	struct rig_config def;

	(void)signal(SIGPIPE, SIG_IGN); /* as the worker has it */
	if (!cfg) {
		rig_config_defaults(&def);
		cfg = &def;
		cfg->stack.bulk = STACK_BULK_SPLICE;
	}
	pair_open(u, cfg);
}

/* Can the peer of this connection be watched here? Not under every sandbox. */
static bool can_splice(struct pair *u)
{
	struct tcp *t = rig_stack(u->r)->tcp;

	if (t->bulk.engines[BULK_SPLICE] && COUNT(u->r, bulk_splice_bytes) > 0)
		return true;
	print_message("no splice engine, or sock_diag finds no peer\n");
	pair_end(u);
	return false;
}

#define NEEDS_SPLICE(u)             \
	do {                        \
		if (!can_splice(u)) \
			skip();     \
	} while (0)

/* Time passes, so that what is lent is asked after. */
static void tick(struct pair *u)
{
	rig_advance(u->r, LIMIT_BULK_POLL_MAX_NS);
	rig_conn_poll(&u->c);
}

static bool round_of(struct pair *u, uint64_t total, uint32_t size)
{
	rig_conn_poll(&u->c);
	rig_conn_upload(&u->c, total, size);
	pair_read(u);
	tick(u);
	return u->got == total;
}

/* The guest sends what it may; nobody reads. */
static void send_unread(struct pair *u, uint64_t bytes)
{
	for (int i = 0; i < 10; i++) {
		rig_conn_upload(&u->c, u->c.tx_bytes + bytes, TSO);
		bytes = 0;
		rig_conn_cycle(&u->c);
	}
}

static void every_byte_arrives(void **state)
{
	struct pair u;

	(void)state;
	open_pair(&u, NULL);
	RIG_UNTIL(u.r, round_of(&u, 64 * MIB, TSO));
	NEEDS_SPLICE(&u);
	RIG_UNTIL(u.r, (tick(&u), rig_held(u.r) == 0));
	assert_true(COUNT(u.r, bulk_splice_bytes) > 32 * MIB);
	assert_int_equal(COUNT(u.r, bulk_lent_bytes), 0);
	assert_int_equal(COUNT(u.r, bulk_lent_frames), 0);
	assert_int_equal(u.c.resends, 0);
	assert_int_equal(rig_allocs(u.r), 0);
	pair_end(&u);
}

/* Room for half a frame at a time: what the socket does not take is put into the pipe anew. */
static void partial_splices_lose_nothing(void **state)
{
	struct rig_config cfg;
	struct pair u;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.bulk = STACK_BULK_SPLICE;
	cfg.stack.sndbuf = 20000;
	cfg.tx_pieces = 7;
	open_pair(&u, &cfg);
	RIG_UNTIL(u.r, round_of(&u, 8 * MIB, 30011));
	NEEDS_SPLICE(&u);
	RIG_UNTIL(u.r, (tick(&u), rig_held(u.r) == 0));
	pair_end(&u);
}

/* H73: the pipe serves all flows, and no flow's remainder reaches another. */
static void flows_share_the_pipe_and_nothing_else(void **state)
{
	enum { FLOWS = 4 };
	static struct rig_conn c[FLOWS];
	uint64_t got[FLOWS] = { 0 };
	struct rig_config cfg;
	int fd[FLOWS], done = 0;
	struct pair u;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.bulk = STACK_BULK_SPLICE;
	cfg.stack.sndbuf = 30000;
	open_pair(&u, &cfg);
	rig_conn_open_all(c, fd, FLOWS, u.r, 41000, u.c.dport, u.lfd);
	for (uint64_t since = clock_now_ns(); done < FLOWS;) {
		done = 0;
		rig_step(u.r, since, "all flows", __FILE__, __LINE__);
		rig_conn_poll(c);
		for (int i = 0; i < FLOWS; i++) {
			rig_conn_upload(&c[i], 4 * MIB, TSO);
			rig_pump_read(fd[i], c[i].tx_seed, &got[i]);
			done += got[i] == 4 * MIB;
		}
		rig_advance(u.r, LIMIT_BULK_POLL_MAX_NS);
	}
	NEEDS_SPLICE(&u);
	RIG_UNTIL(u.r, (rig_advance(u.r, LIMIT_BULK_POLL_MAX_NS), rig_held(u.r) == 0));
	for (int i = 0; i < FLOWS; i++)
		close(fd[i]);
	pair_end(&u);
}

/* The rule switched off: whatever was accepted is released. */
static uint64_t release_at_once(struct bulk *b, struct bulk_loan *ln)
{
	(void)b;
	return ln->sent;
}

static uint64_t count_wrong(struct pair *u)
{
	uint64_t n = 0, wrong = 0;
	uint8_t *want = malloc(u->c.tx_bytes), *have = malloc(u->c.tx_bytes);

	assert_non_null(want);
	assert_non_null(have);
	while (n < u->c.tx_bytes) {
		ssize_t got = recv(u->fd, have + n, u->c.tx_bytes - n, MSG_DONTWAIT);

		assert_true(got > 0);
		n += (uint64_t)got;
	}
	rig_pattern(want, n, u->c.tx_seed, 0);
	for (uint64_t i = 0; i < n; i++)
		wrong += want[i] != have[i];
	free(want);
	free(have);
	u->got = n;
	return wrong;
}

/*
 * H70, H71: all is ACKed, nothing is read, time passes. With the rule the tokens
 * stay and the reader finds every byte; without it the same reader finds what was
 * written to the pages afterwards.
 */
static void an_ack_is_no_release(void **state)
{
	struct bulk_ops no_rule = bulk_splice;

	(void)state;
	no_rule.reap = release_at_once;
	for (int rule = 0; rule < 2; rule++) {
		struct pair u;

		open_pair(&u, NULL);
		if (!rule)
			rig_stack(u.r)->tcp->bulk.engines[BULK_SPLICE] = &no_rule;
		send_unread(&u, 6 * (uint64_t)TSO);
		for (int i = 0; i < 50; i++)
			tick(&u);
		NEEDS_SPLICE(&u);
		assert_true(rig_conn_acked(&u.c));
		assert_int_equal(rig_held(u.r) > 0, rule);
		if (rule)
			assert_int_equal(count_wrong(&u), 0);
		else
			assert_true(count_wrong(&u) > u.c.tx_bytes / 4);
		RIG_UNTIL(u.r, (tick(&u), rig_held(u.r) == 0));
		pair_end(&u);
	}
}

/* H72: a reader that stops pins so much and no more; the rest goes by copy and by parking. */
static void a_reader_that_stops_pins_little(void **state)
{
	struct pair u;
	uint64_t total;

	(void)state;
	open_pair(&u, NULL);
	for (int stop = 0; stop < 4; stop++) {
		for (int i = 0; i < 100; i++) {
			rig_conn_upload(&u.c, 256 * MIB, TSO);
			tick(&u);
			assert_true(COUNT(u.r, bulk_lent_frames) <= LIMIT_BULK_LENT_SEGS);
			assert_true(COUNT(u.r, bulk_lent_bytes) <= LIMIT_BULK_LENT_BYTES);
			assert_true(rig_held(u.r) <= LIMIT_BULK_LENT_SEGS + LIMIT_TCP_HELD_FLOW);
		}
		NEEDS_SPLICE(&u);
		assert_true(COUNT(u.r, bulk_late) > 0);
		total = u.c.tx_bytes;
		RIG_UNTIL(u.r, round_of(&u, total, TSO));
		RIG_UNTIL(u.r, (tick(&u), rig_held(u.r) == 0));
	}
	assert_int_equal(u.c.resends, 0);
	pair_end(&u);
}

/*
 * H72: a short ring without indirect descriptors. However many readers stop, there is
 * room in it for the longest frame, or a Linux driver would stop sending altogether.
 */
static void a_short_ring_is_not_lent_away(void **state)
{
	enum { FLOWS = 6, RING = 64, LONGEST = 19 };
	static struct rig_conn c[FLOWS];
	uint64_t got[FLOWS] = { 0 };
	struct rig_config cfg;
	uint32_t most = 0;
	int fd[FLOWS];
	struct pair u;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.bulk = STACK_BULK_SPLICE;
	cfg.caps.tx_ring = RING;
	cfg.tx_pieces = 17;
	cfg.tx_direct = true;
	open_pair(&u, &cfg);
	rig_conn_open_all(c, fd, FLOWS, u.r, 41000, u.c.dport, u.lfd);
	for (int k = 0; k < 200; k++) {
		for (int i = 0; i < FLOWS; i++)
			rig_conn_upload(&c[i], 16 * MIB, i % 2 ? 1400 : TSO);
		rig_conn_cycle(c);
		most = MAX(most, rig_held_descs(u.r));
		assert_true(rig_held_descs(u.r) + LONGEST <= RING);
		rig_advance(u.r, NS_PER_MS);
	}
	NEEDS_SPLICE(&u);
	assert_true(most > 0);
	for (bool all = false; !all;) {
		all = true;
		for (int i = 0; i < FLOWS; i++) {
			rig_pump_read(fd[i], c[i].tx_seed, &got[i]);
			all &= got[i] == c[i].tx_bytes;
		}
		rig_advance(u.r, LIMIT_BULK_POLL_MAX_NS);
		rig_conn_poll(c);
	}
	RIG_UNTIL(u.r, (tick(&u), rig_held(u.r) == 0));
	for (int i = 0; i < FLOWS; i++)
		close(fd[i]);
	pair_end(&u);
}

/* The guest's FIN: nothing stays held for a reader that has not asked for the end. */
static void a_fin_is_not_taken_for_a_byte(void **state)
{
	struct flow_cursor at = { .proto = FLOW_TCP };
	struct flow_snap seen;
	struct pair u;

	(void)state;
	open_pair(&u, NULL);
	send_unread(&u, 4 * (uint64_t)TSO);
	rig_conn_fin(&u.c);
	tick(&u);
	NEEDS_SPLICE(&u);
	assert_true(rig_held(u.r) > 0);
	/* Our FIN waits for the reader, and who asks is told so. */
	assert_int_equal(stack_snap_flows(rig_stack(u.r), &at, &seen, 1), 1);
	assert_string_equal(flow_stall_name(seen.stall), "lent");
	assert_int_equal(count_wrong(&u), 0);
	RIG_UNTIL(u.r, (tick(&u), rig_held(u.r) == 0));
	rig_read_eof(u.r, u.fd);
	pair_end(&u);
}

/*
 * H71: when both ends have said FIN, the kernel takes the peer's socket out of its
 * tables, though its program has not read all and still can.
 */
static void a_connection_closed_both_ways_may_still_be_read(void **state)
{
	(void)state;
	for (int host_first = 0; host_first < 2; host_first++) {
		struct pair u;

		open_pair(&u, NULL);
		if (host_first) {
			assert_int_equal(shutdown(u.fd, SHUT_WR), 0);
			RIG_CONN_UNTIL(&u.c, u.c.fin);
		}
		send_unread(&u, 4 * (uint64_t)TSO);
		rig_conn_fin(&u.c);
		tick(&u);
		NEEDS_SPLICE(&u);
		if (!host_first) {
			assert_int_equal(shutdown(u.fd, SHUT_WR), 0);
			RIG_CONN_UNTIL(&u.c, u.c.fin);
		}
		for (int i = 0; i < 50; i++)
			tick(&u);
		assert_true(rig_held(u.r) > 0);
		assert_int_equal(count_wrong(&u), 0);
		RIG_UNTIL(u.r, (tick(&u), rig_held(u.r) == 0));
		rig_read_eof(u.r, u.fd);
		RIG_UNTIL(u.r, (tick(&u), rig_conn_acked(&u.c)));
		pair_end(&u);
	}
}

/* H73: the peer resets with bytes on the way: its queue is gone, all tokens return. */
static void a_peer_that_resets_releases_all(void **state)
{
	struct pair u;

	(void)state;
	open_pair(&u, NULL);
	send_unread(&u, 8 * (uint64_t)TSO);
	NEEDS_SPLICE(&u);
	assert_true(rig_held(u.r) > 0);
	rig_reset_close(u.fd);
	RIG_UNTIL(u.r, (tick(&u), rig_held(u.r) == 0));
	rig_conn_poll(&u.c);
	assert_true(u.c.rst);
	u.fd = dup(u.lfd);
	pair_end(&u);
}

/*
 * H76, section 7 rule 7: the guest resets while its pages lie unread at the peer.
 * The flow is gone at once and its record serves another; the pages stay lent, and
 * the peer hears of the reset behind the last of them.
 */
static void a_reset_waits_for_the_reader(void **state)
{
	uint8_t byte;
	struct pair u;

	(void)state;
	open_pair(&u, NULL);
	send_unread(&u, 4 * (uint64_t)TSO);
	NEEDS_SPLICE(&u);
	rig_conn_segment(&u.c, RIG_RST, u.c.snd_nxt, NULL, 0);
	rig_cycle(u.r);
	assert_int_equal(COUNT(u.r, tcp_active), 0);
	for (int i = 0; i < 100; i++)
		rig_advance(u.r, LIMIT_BULK_POLL_MAX_NS);
	assert_true(rig_held(u.r) > 0);
	assert_int_equal(count_wrong(&u), 0);
	RIG_UNTIL(u.r, (rig_advance(u.r, LIMIT_BULK_POLL_MAX_NS), rig_held(u.r) == 0));
	RIG_UNTIL(u.r, recv(u.fd, &byte, 1, MSG_DONTWAIT) == -1 && errno == ECONNRESET);
	pair_end(&u);
}

struct reader {
	pthread_t thread;
	int fd;
	uint64_t seed, total, wrong;
};

/* Waits a little, so that the driver goes while bytes are lent, and reads all. */
static void *read_late(void *arg)
{
	const struct timespec wait = { .tv_nsec = 20 * NS_PER_MS };
	uint8_t buf[65536], want[65536];
	struct reader *rd = arg;
	uint64_t at = 0;

	nanosleep(&wait, NULL);
	while (at < rd->total) {
		ssize_t n = recv(rd->fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n <= 0)
			break;
		rig_pattern(want, (size_t)n, rd->seed, at);
		rd->wrong += memcmp(want, buf, (size_t)n) != 0;
		at += (uint64_t)n;
	}
	rd->wrong += at != rd->total;
	return NULL;
}

/* H17: a driver that leaves waits for a reader that reads, and the connection lives on. */
static void a_driver_that_leaves_waits_for_readers(void **state)
{
	struct reader rd;
	struct pair u;

	(void)state;
	open_pair(&u, NULL);
	send_unread(&u, 4 * (uint64_t)TSO);
	NEEDS_SPLICE(&u);
	assert_true(rig_held(u.r) > 0);
	rd = (struct reader){ .fd = u.fd, .seed = u.c.tx_seed, .total = u.c.tx_bytes };
	assert_int_equal(pthread_create(&rd.thread, NULL, read_late, &rd), 0);
	rig_detach(u.r); /* checks that every token is back */
	pthread_join(rd.thread, NULL);
	assert_int_equal(rd.wrong, 0);
	assert_int_equal(COUNT(u.r, bulk_abandoned), 0);
	assert_int_equal(COUNT(u.r, tcp_active), 1);
	rig_attach(u.r);
	u.got = rd.total;
	RIG_UNTIL(u.r, round_of(&u, 8 * MIB, TSO));
	RIG_UNTIL(u.r, (tick(&u), rig_held(u.r) == 0));
	pair_end(&u);
}

/*
 * ... and does not wait for one that does not: its connection is reset, which is
 * counted. The guest hears of it (H60) when it starts again, be it in ESTABLISHED or
 * in FIN-WAIT-2, where it has nothing to say that could be answered by a RST.
 */
static void a_driver_that_leaves_resets_the_others(void **state)
{
	(void)state;
	for (int fin = 0; fin < 2; fin++) {
		uint8_t buf[65536];
		struct pair u;
		ssize_t n;

		open_pair(&u, NULL);
		send_unread(&u, 4 * (uint64_t)TSO);
		NEEDS_SPLICE(&u);
		if (fin)
			rig_conn_fin(&u.c);
		RIG_UNTIL(u.r, (tick(&u), rig_conn_acked(&u.c)));
		rig_detach(u.r);
		assert_true(COUNT(u.r, bulk_abandoned) > 0);
		while ((n = recv(u.fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
			;
		assert_int_equal(n, -1);
		assert_int_equal(errno, ECONNRESET);
		assert_false(u.c.rst);
		rig_attach(u.r);
		RIG_CONN_UNTIL(&u.c, u.c.rst);
		assert_int_equal(u.c.last.seq, u.c.rcv_nxt); /* exact, RFC 5961 3.2 */
		assert_int_equal(COUNT(u.r, tcp_active), 0);
		pair_end(&u);
	}
}

/*
 * The limit of the oracle, and why the operator must vouch: a reader that splices
 * takes pages out of its queue and keeps them. It finds what came later.
 */
static void a_reader_that_splices_is_not_covered(void **state)
{
	uint8_t *want, *have;
	uint64_t wrong = 0;
	struct pair u;
	ssize_t n;
	int p[2];

	(void)state;
	open_pair(&u, NULL);
	send_unread(&u, 2 * (uint64_t)TSO);
	NEEDS_SPLICE(&u);
	assert_int_equal(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
	fcntl(p[1], F_SETPIPE_SZ, 1 << 20);
	n = splice(u.fd, NULL, p[1], NULL, TSO / 2, SPLICE_F_NONBLOCK);
	assert_true(n > 0);
	u.got = (uint64_t)n;
	want = malloc((size_t)n);
	have = malloc((size_t)n);
	RIG_UNTIL(u.r, (pair_read(&u), tick(&u), rig_held(u.r) == 0));
	rig_pattern(want, (size_t)n, u.c.tx_seed, 0);
	assert_int_equal(read(p[0], have, (size_t)n), n);
	for (ssize_t i = 0; i < n; i++)
		wrong += want[i] != have[i];
	assert_true(wrong > 0);
	free(want);
	free(have);
	close(p[0]);
	close(p[1]);
	pair_end(&u);
}

/* auto: only to peers that were named, and only what is worth it. */
static void auto_splices_only_where_it_may(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct rig_config cfg;
		struct pair u;

		rig_config_defaults(&cfg);
		cfg.stack.bulk = STACK_BULK_AUTO;
		cfg.stack.nsplice_to = 1;
		cfg.stack.splice_to[0] = (struct stack_net){
			ipaddr_from_v4(i == 0 ? 0x7f010000 : 0x7f000000), i == 0 ? 112 : 104
		};
		open_pair(&u, &cfg);
		for (int k = 0; i == 1 && k < 100; k++) { /* small ones, one at a time */
			rig_conn_upload(&u.c, u.c.tx_bytes + 1400, 1400);
			round_of(&u, u.c.tx_bytes, 1400);
		}
		if (i != 1)
			RIG_UNTIL(u.r, round_of(&u, 8 * MIB, TSO));
		if (i == 2)
			NEEDS_SPLICE(&u);
		else
			assert_int_equal(COUNT(u.r, bulk_splice_bytes), 0);
		if (i == 1)
			assert_true(COUNT(u.r, bulk_small) > 0);
		RIG_UNTIL(u.r, (tick(&u), rig_held(u.r) == 0));
		pair_end(&u);
	}
}

/* ... and an engine that takes any peer for one that it can watch. */
static int watch_nobody(struct bulk *b, struct bulk_loan *ln)
{
	(void)b;
	(void)ln;
	return 0;
}

/*
 * H70, H71: over a veth the guest's pages travel into the peer's queue as on loopback,
 * only that the peer is in another network namespace, where sock_diag does not find it.
 * Whoever splices all the same and takes an ACK for the end finds bytes overwritten;
 * with the rule such a flow copies, under splice and under auto with --splice-to any.
 */
static void a_peer_behind_a_veth_gets_copies(void **state)
{
	enum { NO_RULE, SPLICE, AUTO, CASES };
	struct bulk_ops no_rule = bulk_splice;

	(void)state;
	no_rule.open = watch_nobody;
	no_rule.reap = release_at_once;
	for (int i = NO_RULE; i < CASES; i++) {
		struct rig_config cfg;
		struct pair u;

		rig_config_defaults(&cfg);
		cfg.stack.bulk = i == AUTO ? STACK_BULK_AUTO : STACK_BULK_SPLICE;
		cfg.stack.nsplice_to = 1; /* any */
		open_pair(&u, &cfg);
		if (!rig_stack(u.r)->tcp->bulk.engines[BULK_SPLICE]) {
			print_message("SKIP: no splice engine here\n");
			pair_end(&u);
			skip();
		}
		if (i == NO_RULE)
			rig_stack(u.r)->tcp->bulk.engines[BULK_SPLICE] = &no_rule;
		send_unread(&u, 6 * (uint64_t)TSO);
		RIG_UNTIL(u.r, (tick(&u), rig_conn_acked(&u.c)));
		RIG_UNTIL(u.r, (tick(&u), rig_held(u.r) == 0));
		if (i == NO_RULE) {
			assert_true(COUNT(u.r, bulk_splice_bytes) == u.c.tx_bytes);
			assert_true(count_wrong(&u) > u.c.tx_bytes / 4);
		} else {
			assert_int_equal(count_wrong(&u), 0);
			/* More of it, in batches that auto, too, would give away. */
			RIG_UNTIL(u.r, round_of(&u, 16 * MIB, TSO));
			assert_int_equal(COUNT(u.r, bulk_splice_bytes), 0);
			assert_int_equal(COUNT(u.r, bulk_elsewhere), 1);
		}
		pair_end(&u);
	}
}

static int veth_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_behind_a_veth_gets_copies),
	};

	return cmocka_run_group_tests_name("splice over veth", tests, NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_arrives),
		cmocka_unit_test(partial_splices_lose_nothing),
		cmocka_unit_test(flows_share_the_pipe_and_nothing_else),
		cmocka_unit_test(an_ack_is_no_release),
		cmocka_unit_test(a_reader_that_stops_pins_little),
		cmocka_unit_test(a_short_ring_is_not_lent_away),
		cmocka_unit_test(a_fin_is_not_taken_for_a_byte),
		cmocka_unit_test(a_connection_closed_both_ways_may_still_be_read),
		cmocka_unit_test(a_peer_that_resets_releases_all),
		cmocka_unit_test(a_reset_waits_for_the_reader),
		cmocka_unit_test(a_driver_that_leaves_waits_for_readers),
		cmocka_unit_test(a_driver_that_leaves_resets_the_others),
		cmocka_unit_test(a_reader_that_splices_is_not_covered),
		cmocka_unit_test(auto_splices_only_where_it_may),
	};

	if (rig_is_near())
		return veth_tests();
	return cmocka_run_group_tests_name("splice", tests, NULL, NULL) |
	       rig_part("peer behind a veth", "--veth", NULL);
}
