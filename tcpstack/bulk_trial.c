/* SPDX-License-Identifier: MIT */
/*
 * Which way is cheaper: measured while it goes on.
 *
 * Theory of operation. Whether giving pages away is cheaper than copying them is
 * decided by things that nobody can tell beforehand: how warm the payload is in the
 * cache, how soon the peer reads, how busy the machine is. On a quiet machine the
 * splice engine takes half the CPU time of a copy, on a crowded one as much or more
 * (docs/experiments.md). So `auto` does not believe in thresholds alone. Batches that
 * are large enough to have the choice go one way for a turn of LIMIT_BULK_TURN_BYTES;
 * at its end the thread's CPU time tells what a byte has cost. Most turns go the usual
 * way. Now and then one goes the other: the next time at once if that has cost less,
 * twice as late if not, so that asking costs a percent or two in the long run. Single
 * turns differ by more than the ways often do, so it takes LIMIT_BULK_WINS in a row, each
 * against the mean of the turns around it, to make the other way the usual one.
 *
 * The first part of a turn after a change is not measured, for bytes that went the
 * other way are then still under way. Nor is a turn that took too long, or in which
 * most payload was of other kinds: it says little, and the next one begins.
 *
 * Nothing but cost hangs on this. Either way is correct at any moment.
 */
#include "tcpstack/bulk_trial.h"

#include "tcpstack/bulk.h"
#include "tcpstack/limits.h"
#include "tcpstack/priv.h"

static uint64_t payload(const struct bulk *b)
{
	const struct stack_counters *n = &b->st->n;

	return counter_get(&n->tcp_tx_payload) + counter_get(&n->tcp_rx_payload);
}

static void begin(struct bulk *b, struct bulk_trial *t)
{
	t->bytes = 0;
	t->began_ns = stack_now(b->st);
	t->cpu_ns = b->st->env.cpu_ns(b->st->env.ctx);
	t->payload = payload(b);
}

static enum bulk_way other_than(enum bulk_way way)
{
	return way == BULK_WAY_REF ? BULK_WAY_COPY : BULK_WAY_REF;
}

static void go(struct bulk_trial *t, enum bulk_way way)
{
	t->settling = way != t->way;
	t->way = way;
}

/* Remember what the turn has cost; the mean leans on the last four. Return: the cost, 0 = it says
 * nothing */
static uint64_t measure(struct bulk *b, struct bulk_trial *t)
{
	uint64_t all = payload(b) - t->payload, cost, mean = t->cost[t->way];

	if (t->bytes < all / 2)
		return 0;
	cost = ((b->st->env.cpu_ns(b->st->env.ctx) - t->cpu_ns) << 20) / all;
	cost = MAX(cost, 1);
	t->cost[t->way] = mean ? (3 * mean + cost) / 4 : cost;
	counter_inc(&b->st->n.bulk_turns);
	counter_set(t->way == BULK_WAY_REF ? &b->st->n.bulk_cost_ref : &b->st->n.bulk_cost_copy,
		    t->cost[t->way]);
	return cost;
}

/* The other way has cost @cost. Two that are alike must not take turns: it wins by a thirtieth. */
static void judge(struct bulk_trial *t, uint64_t cost)
{
	uint64_t mine = t->cost[t->usual];

	t->turns = 0;
	if (cost >= mine - mine / 32) {
		t->wins = 0;
		t->patience = MIN(2 * t->patience, (uint32_t)LIMIT_BULK_PATIENCE_MAX);
		return;
	}
	t->patience = 1;
	if (++t->wins < LIMIT_BULK_WINS)
		return;
	t->wins = 0;
	t->usual = t->way;
}

/* A turn is over: what it says, and which way the next one goes. */
static void turn(struct bulk *b, struct bulk_trial *t)
{
	uint64_t cost = measure(b, t);
	bool ask = false;

	if (cost && t->way != t->usual)
		judge(t, cost);
	else if (cost)
		ask = ++t->turns >= t->patience;
	go(t, ask ? other_than(t->usual) : t->usual);
}

/**
 * bulk_trial_init() - nothing is known: by reference first, as the engine was asked for
 */
void bulk_trial_init(struct bulk_trial *t)
{
	*t = (struct bulk_trial){ .usual = BULK_WAY_REF, .way = BULK_WAY_REF, .patience = 1 };
}

/**
 * bulk_trial_way() - which way a batch should go that may go either
 *
 * Without a clock of the thread's CPU time always by reference.
 */
enum bulk_way bulk_trial_way(struct bulk *b, struct bulk_trial *t)
{
	uint64_t now = stack_now(b->st);

	if (!b->st->env.cpu_ns)
		return BULK_WAY_REF;
	if (!t->began_ns || now - t->began_ns > LIMIT_BULK_TURN_NS) {
		go(t, t->usual);
		begin(b, t);
	} else if (t->bytes >= (t->settling ? LIMIT_BULK_SETTLE_BYTES : LIMIT_BULK_TURN_BYTES)) {
		if (t->settling)
			t->settling = false;
		else
			turn(b, t);
		begin(b, t);
	}
	return t->way;
}

/**
 * bulk_trial_sent() - @bytes of such a batch have gone the way that was told
 */
void bulk_trial_sent(struct bulk_trial *t, uint32_t bytes)
{
	t->bytes += bytes;
}
