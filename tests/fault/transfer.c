/* SPDX-License-Identifier: MIT */
/* A seed's transfer: its configuration, its rounds, and what must hold in the end. */
#include "tests/fault/transfer.h"

#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/base.h"

/*
 * A transfer that has not got on for so long hangs: of the fake clock, and of the real
 * one, which is that of the host's kernel. Before an idle flow is given up the one waits
 * for the other.
 */
#define HANG_FAKE_NS (150 * NS_PER_S)
#define HANG_REAL_NS (60 * NS_PER_S)

/* Nor does any take so many rounds. */
#define ROUNDS_MAX 3000000

/* Longer than anything is kept that nobody uses, but for flows of UDP. */
#define SETTLE_NS (40 * NS_PER_S)

/* Rounds without news after which time leaps, and is given to the kernel first. */
#define IDLE_LEAP 3

uint64_t xfer_random(struct xfer *x, uint64_t n)
{
	uint64_t z = (x->rng += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return (z ^ (z >> 31)) % n;
}

/**
 * xfer_failed() - say what does not hold, and where everything stands; ends the process
 */
_Noreturn void xfer_failed(struct xfer *x, const char *what, int line, const char *file)
{
	fflush(stdout);
	fault_stop();
	fprintf(stderr, "%s:%d: seed %llu, round %llu: %s\n", file, line,
		(unsigned long long)x->seed, (unsigned long long)x->round, what);
	for (uint32_t i = 0; i < x->flows; i++) {
		const struct xfer_flow *w = &x->flow[i];
		const struct rig_conn *c = w->c;

		fprintf(stderr,
			"flow %u%s %u>%u order %d: up %llu/%llu sent %llu acked %d%s, down "
			"%llu/%llu "
			"guest has %llu;%s%s%s%s%s%s%s room %u\n",
			i, w->inbound ? " inbound" : "", c->sport, c->dport, (int)w->order,
			(unsigned long long)w->got, (unsigned long long)w->up,
			(unsigned long long)c->tx_bytes, rig_conn_acked(c),
			c->fin_sent ? " FIN" : "", (unsigned long long)w->put,
			(unsigned long long)w->down, (unsigned long long)c->rx_bytes,
			w->open ? " open" : "", c->fin ? " guest-eof" : "",
			c->rst ? " guest-rst" : "", w->host_eof ? " host-eof" : "",
			w->host_shut ? " host-shut" : "", w->host_rst ? " host-rst" : "",
			w->killed ? " killed" : "", rig_conn_room(c));
	}
	for (uint32_t i = 0; i < x->udps; i++)
		fprintf(stderr, "udp %u: sent %u of %u, back %u\n", i, x->udp[i].sent,
			x->udp[i].count, x->udp[i].back);
	for (uint32_t i = 0; i < x->names; i++)
		fprintf(stderr, "name %u%s: tries %u%s\n", i, x->name[i].c ? " tcp" : "",
			x->name[i].tries, x->name[i].answered ? " answered" : "");
	fprintf(stderr, "faults %u, of them for flows %u\n", fault_hits(), fault_fatals());
	if (x->r)
		stack_dump_flows(rig_stack(x->r), stderr);
	fflush(stderr);
	_exit(3);
}

static uint64_t draw(struct xfer *x, const uint64_t *from, uint32_t n)
{
	return from[xfer_random(x, n)];
}

#define DRAW(x, ...)                                 \
	draw((x), (const uint64_t[]){ __VA_ARGS__ }, \
	     ARRAY_SIZE(((const uint64_t[]){ __VA_ARGS__ })))

/* Of the host's loopback. */
static void set_link_mtu(struct xfer *x)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_mtu = x->link_mtu };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	XFER_CHECK(x, fd >= 0 && ioctl(fd, SIOCSIFMTU, &ifr) == 0);
	close(fd);
}

static void configure(struct xfer *x, struct rig_config *cfg)
{
	static const uint32_t engines[] = { STACK_BULK_COPY, STACK_BULK_SPLICE, STACK_BULK_ZEROCOPY,
					    STACK_BULK_URING };

	rig_config_defaults(cfg);
	cfg->seed = x->seed;
	cfg->stack.bulk = engines[x->seed % ARRAY_SIZE(engines)];
	cfg->stack.mtu = (uint16_t)DRAW(x, 576, 1500, 1500, 9000, 65520, 65520);
	cfg->stack.sndbuf = (uint32_t)DRAW(x, 0, 0, 4096, 65536);
	cfg->stack.rcvbuf = (uint32_t)DRAW(x, 0, 0, 4096, 65536);
	x->link_mtu = (int)DRAW(x, 1500, 65536);
	/* Half a segment of room is none: the peer would ask again 5 times a second. */
	if (x->link_mtu > 1500 && cfg->stack.rcvbuf == 4096)
		cfg->stack.rcvbuf = 0;
	set_link_mtu(x);
	cfg->stack.no_peek_offset = xfer_random(x, 6) == 0;
	cfg->rx_buffers = (uint32_t)DRAW(x, 64, 256);
	cfg->rx_buf_size = (uint32_t)DRAW(x, 2048, 4096);
	cfg->caps.rx_tso4 = xfer_random(x, 4) != 0;
	cfg->caps.rx_csum = cfg->caps.rx_tso4 || xfer_random(x, 2);
	cfg->tx_pieces = (uint32_t)DRAW(x, 1, 3, 6);
	cfg->tx_direct = xfer_random(x, 2);
	x->lazy_guest = xfer_random(x, 4) == 0;
	cfg->auto_refill = !x->lazy_guest;
	xfer_side_config(x, cfg);
}

/* --- rounds ---------------------------------------------------------------------- */

static uint64_t next_wake(struct xfer *x)
{
	return MIN(timer_wheel_next_ns(loop_timers(stack_loop(rig_stack(x->r)))), fault_wake_at());
}

static bool readable(struct xfer *x, int wait_ms)
{
	struct pollfd p = { .fd = loop_fd(stack_loop(rig_stack(x->r))), .events = POLLIN };

	return poll(&p, 1, wait_ms) == 1;
}

/* The worker's turn, if it has a reason to be awake. */
static void work(struct xfer *x)
{
	if (fault_kicked() || rig_now(x->r) >= next_wake(x) || readable(x, 0))
		rig_cycle(x->r);
}

static void take_frames(struct xfer *x)
{
	struct rig_pkt p;

	while (rig_pop(x->r, &p)) {
		if (p.ethertype == ETHERTYPE_IP4 && p.proto == PROTO_TCP)
			xfer_guest_tcp(x, &p);
		else if (p.ethertype == ETHERTYPE_IP4 && p.proto == PROTO_UDP)
			xfer_guest_udp(x, &p);
	}
	if (x->lazy_guest && xfer_random(x, 3) == 0)
		rig_refill(x->r, (uint32_t)xfer_random(x, 40));
}

static void leap(struct xfer *x, uint64_t to)
{
	uint64_t now = rig_now(x->r);

	if (to > now && to != UINT64_MAX)
		rig_sleep(x->r, to - now);
}

/* One round; true when something got on. */
static bool one_round(struct xfer *x)
{
	uint64_t before = x->moved;

	x->round++;
	xfer_hosts(x);
	xfer_side_hosts(x);
	xfer_guest(x);
	xfer_side_guest(x);
	fault_tick();
	work(x);
	take_frames(x);
	rig_sleep(x->r, xfer_random(x, 500) * NS_PER_US);
	return x->moved != before;
}

static bool all_done(struct xfer *x)
{
	for (uint32_t i = 0; i < x->flows; i++)
		if (!xfer_flow_done(&x->flow[i]))
			return false;
	return xfer_side_done(x);
}

static void rounds(struct xfer *x)
{
	uint64_t idle_real = 0, idle_fake = 0;
	uint32_t idle = 0;

	while (!all_done(x)) {
		XFER_CHECK(x, x->round < ROUNDS_MAX);
		if (one_round(x)) {
			idle = 0;
			continue;
		}
		if (idle++ == 0) {
			idle_real = clock_now_ns();
			idle_fake = rig_now(x->r);
		}
		if (idle < IDLE_LEAP || fault_owes_events() || fault_kicked() ||
		    x->lingered == x->round)
			continue;
		/* What is on its way through the loopback may be so in another thread. */
		if (idle > 10 * IDLE_LEAP && readable(x, 1))
			continue;
		if (rig_now(x->r) - idle_fake < HANG_FAKE_NS)
			leap(x, MIN(next_wake(x), xfer_guest_deadline(x)));
		else
			XFER_CHECK(x, clock_now_ns() - idle_real < HANG_REAL_NS);
	}
}

/* --- the end ---------------------------------------------------------------------- */

static bool at_rest(struct xfer *x)
{
	const struct stack_counters *n = stack_counters(rig_stack(x->r));

	return counter_get(&n->tcp_active) == 0 && counter_get(&n->udp_active) == 0 &&
	       counter_get(&n->parked_bytes) == 0 && counter_get(&n->held_frames) == 0 &&
	       counter_get(&n->bulk_lent_frames) == 0 && rig_held(x->r) == 0;
}

/* Everything of the flows goes with time; whatever stays has leaked. */
static void settle(struct xfer *x)
{
	uint64_t begin = rig_now(x->r), real = clock_now_ns();

	fault_stop();
	while (!at_rest(x) || rig_now(x->r) - begin < SETTLE_NS) {
		one_round(x);
		if (x->lazy_guest)
			rig_refill(x->r, UINT32_MAX);
		if (!fault_owes_events() && !readable(x, 0))
			leap(x, MIN(next_wake(x), rig_now(x->r) + 10 * NS_PER_S));
		if (rig_now(x->r) - begin > 10 * HANG_FAKE_NS &&
		    clock_now_ns() - real > HANG_REAL_NS)
			xfer_failed(x, "flows, datagrams or frames of the guest are left", __LINE__,
				    __FILE__);
	}
	stack_dns_flush(rig_stack(x->r));
}

static void check_memory(struct xfer *x, const struct stack_memory *base, uint32_t n)
{
	struct stack_memory now[STACK_MEMORY_ROWS];

	XFER_CHECK(x, stack_memory_rows(rig_stack(x->r), now, STACK_MEMORY_ROWS) == n);
	for (uint32_t i = 0; i < n; i++) {
		if (now[i].in_use != base[i].in_use) {
			fprintf(stderr, "%s %s %s: %llu in use\n", now[i].kind, now[i].owner,
				now[i].name, (unsigned long long)now[i].in_use);
			xfer_failed(x, "memory of the stack has leaked", __LINE__, __FILE__);
		}
	}
	XFER_CHECK(x, rig_allocs(x->r) == 0);
}

static void close_all(struct xfer *x)
{
	for (uint32_t i = 0; i < x->flows; i++) {
		if (x->flow[i].fd >= 0)
			close(x->flow[i].fd);
		if (x->flow[i].lfd >= 0)
			close(x->flow[i].lfd);
	}
	for (uint32_t i = 0; i < x->udps; i++)
		close(x->udp[i].fd);
	for (uint32_t i = 0; i < XFER_RESOLVING; i++)
		if (x->query[i].fd >= 0)
			close(x->query[i].fd);
	close(x->resolver_udp);
	close(x->resolver_tcp);
}

/**
 * xfer_run() - the transfer of @seed, from the making of a stack to its end
 * @env:	the tally, and whether to be quiet or to trace; the rest is filled in
 *
 * Ends the process when something does not hold.
 */
void xfer_run(uint64_t seed, struct fault_env *env, struct xfer_result *res)
{
	struct stack_memory base[STACK_MEMORY_ROWS];
	struct xfer *x = calloc(1, sizeof(*x));
	uint32_t fds, rows;
	struct rig_config cfg;

	BUG_ON(!x);
	x->seed = seed;
	x->rng = seed ^ 0x5eed;
	xfer_asserts_for(x);
	fds = fault_open_fds();
	configure(x, &cfg);
	env->tight = cfg.stack.rcvbuf != 0;
	env->reset_peer = xfer_reset_peer;
	env->ctx = x;
	fault_begin(seed, env);
	x->r = rig_new(&cfg);
	rows = stack_memory_rows(rig_stack(x->r), base, STACK_MEMORY_ROWS);
	xfer_flows_make(x);
	xfer_side_make(x);
	rounds(x);
	settle(x);
	check_memory(x, base, rows);
	xfer_flows_verify(x, res);
	xfer_side_verify(x, res);
	res->hits += fault_hits();
	res->rounds += x->round;
	close_all(x);
	rig_free(x->r);
	x->r = NULL;
	fault_end();
	XFER_CHECK(x, fault_open_fds() == fds);
	free(x);
}
