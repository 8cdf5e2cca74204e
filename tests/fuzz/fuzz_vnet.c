/* SPDX-License-Identifier: MIT */
/*
 * virtio-net and a driver that writes anything into rings and memory (ring.h).
 *
 * The stack is a model of one: it reads every byte of every frame that it is given, holds
 * some, fills every byte of the room that it asks for. A device that stops has used all
 * that it took, or has given it back.
 */
#include <linux/virtio_config.h>
#include <string.h>

#include "src/base/bytes.h"
#include "tests/fuzz/ring.h"
#include "virtio/net_priv.h"

#define HELD_MAX 64
/* Turns after which a ring that is not fed any more must be empty. */
#define TURNS 4

const struct fuzz_target fuzz_target = {
	.name = "vnet",
	.done = "frames and commands",
	.refused = "chains and drivers refused",
	.floor = 40,
	.mutations = 2000,
	.alloc_one = 4 << 20, /* struct vnet, which has all that it will ever need */
	.alloc_all = 4 << 20,
	.setup = ring_setup,
};

/* The steps that are ours. */
enum {
	FRAME = RING_OWN_6, /* 1, 2: room that is asked for; 3, 4: length; 5: offload */
	HOLD = RING_OWN_7,  /* 1: the next so many frames are held */
	GIVE = RING_OWN_8,  /* 1: so many held frames go back */
	KICK = RING_OWN_13, /* receive buffers are said to have come */
};

struct stack {
	const struct port_ops *ops;
	void *ctx;
	uint32_t held[HELD_MAX], nheld, hold;
	bool rx_csum;
};

/**
 * struct world - all that is not in struct ring, for one input
 * @broken:	the device has asked for a reset
 */
static struct world {
	struct vnet *v;
	struct stack st;
	struct vq_counters n[VNET_QUEUES];
	bool broken;
} w;

/* --- the stack ------------------------------------------------------------------------ */

void stack_port_up(struct stack *st, const struct port_ops *ops, void *ctx,
		   const struct port_caps *caps)
{
	st->ops = ops;
	st->ctx = ctx;
	st->rx_csum = caps->rx_csum;
}

/* What is held is the port's again. */
void stack_port_down(struct stack *st)
{
	st->ops = NULL;
	st->nheld = 0;
}

void stack_rx_refilled(struct stack *st)
{
	(void)st;
}

bool stack_tx_may(struct stack *st)
{
	(void)st;
	return true;
}

enum tx_verdict stack_input(struct stack *st, const struct tx_frame *f)
{
	uint32_t at = 0, n;

	FUZZ_CHECK(f->len >= 14 && f->len <= PORT_FRAME_MAX);
	FUZZ_CHECK(f->head_len == MIN(f->len, (uint32_t)PORT_HEAD_MAX));
	for (uint32_t i = 0; i < f->iovcnt; i++, at += n) {
		const uint8_t *p = f->iov[i].iov_base;

		n = (uint32_t)f->iov[i].iov_len;
		FUZZ_CHECK(range_ok(at, n, f->len));
		/* Memory stands still in a turn: the private copy is what lies there. */
		for (uint32_t k = 0; k < n; k++)
			FUZZ_CHECK(at + k >= f->head_len || p[k] == f->head[at + k]);
	}
	FUZZ_CHECK(at == f->len, "%u of %u bytes", at, f->len);
	FUZZ_CHECK(!f->off.needs_csum ||
		   (uint32_t)f->off.csum_start + f->off.csum_offset + 2 <= f->len);
	fuzz_work.done++;
	if (!st->hold || st->nheld == HELD_MAX)
		return TX_DONE;
	st->hold--;
	st->held[st->nheld++] = f->token;
	return TX_HELD;
}

static void give_back(struct stack *st, uint32_t n)
{
	for (; st->ops && st->nheld && n; n--)
		st->ops->tx_done(st->ctx, st->held[--st->nheld]);
}

/* A frame of @len bytes for the driver, after asking for @want. Return: there was room */
static bool send_frame(struct stack *st, uint32_t want, uint32_t len, uint8_t how)
{
	struct offload off = { .gso = GSO_NONE };
	struct rx_frame f;
	uint64_t room = 0;

	want = MAX(want, 14U);
	if (!st->ops || st->ops->rx_alloc(st->ctx, want, &f))
		return false;
	for (uint32_t i = 0; i < f.iovcnt; i++) {
		memset(f.iov[i].iov_base, 0x77, f.iov[i].iov_len);
		room += f.iov[i].iov_len;
	}
	FUZZ_CHECK(room == f.room && room >= want, "%llu for %u", (unsigned long long)room, want);
	if (how & 2) {
		st->ops->rx_rewind(st->ctx);
		return true;
	}
	if (how & 1 && st->rx_csum) {
		off.needs_csum = true;
		off.csum_start = 14;
		off.csum_offset = 6;
	}
	st->ops->rx_commit(st->ctx, &f, MIN(MAX(len, 14U), want), &off);
	fuzz_work.done++;
	return true;
}

/* --- the device's life ------------------------------------------------------------------ */

static struct virtq *queue(int q)
{
	return &w.v->vq[q];
}

static void used(int q, uint32_t len)
{
	fuzz_work.done += q == VNET_CTRL && len;
}

/* Before anything that may make the device touch memory. */
static void look(void)
{
	ring_look(vnet_running(w.v));
}

/* After it. */
static void check(void)
{
	if (vnet_running(w.v))
		ring_check(w.broken);
}

/* look(), do it, check() */
static void do_give_back(uint32_t n)
{
	look();
	give_back(&w.st, n);
	vnet_publish(w.v);
	check();
}

static void on_broken(void *ctx)
{
	(void)ctx;
	w.broken = true;
}

static void on_call(void *ctx, uint16_t index)
{
	(void)ctx;
	FUZZ_CHECK(index < VNET_QUEUES);
}

/* The worker's cycle, as far as the device goes. */
static void turn(void)
{
	look();
	vnet_tx_drain(w.v);
	vnet_ctrl_drain(w.v);
	vnet_publish(w.v);
	vnet_notify_on(w.v);
	check();
}

/* A receive ring from which frames are taken comes to its end, too. */
static void drain_rx(void)
{
	bool more = true;

	while (more && !w.broken) {
		look();
		more = send_frame(&w.st, 14, 14, 0);
		vnet_publish(w.v);
		check();
	}
	if (!w.broken)
		FUZZ_CHECK(vq_pending(&w.v->vq[VNET_RX]) == 0, "receive chains are left lying");
}

/*
 * The driver says nothing more: whatever the queues have is used, or they are broken; with
 * bit 0 of @how, the receive ring as well. Then the device stops; what it had and has not
 * used it has not taken.
 */
static void stop(uint8_t how)
{
	uint16_t next_avail[VNET_QUEUES], had[VNET_QUEUES];

	if (!vnet_running(w.v))
		return;
	for (int i = 0; i < TURNS; i++) {
		turn();
		do_give_back(HELD_MAX);
	}
	for (int q = VNET_TX; q <= VNET_CTRL; q++)
		if (!w.broken && ring.cfg[q].ready)
			ring_check_live(q);
	if (!w.broken && how & 1)
		drain_rx();
	look();
	for (int q = 0; q < VNET_QUEUES; q++)
		had[q] = w.v->vq[q].last_avail;
	vnet_stop(w.v, next_avail);
	if (!ring.strict || w.broken)
		return;
	ring_check_memory();
	for (int q = 0; q < VNET_QUEUES; q++) {
		if (!ring.cfg[q].ready)
			continue;
		ring_check_used(q);
		FUZZ_CHECK(ring_chains_out(q) == (uint16_t)(had[q] - next_avail[q]),
			   "queue %d: %u chains are not given back", q, ring_chains_out(q));
	}
}

static void start(void)
{
	struct vnet_start s = {
		.features = ring.features,
		.mem = &ring.mem,
		.call_fd = { -1, -1, -1 },
		.call_fn = on_call,
		.broken = on_broken,
	};

	w.broken = false;
	if (ring_start())
		return;
	for (int q = 0; q < VNET_QUEUES; q++) {
		s.queue[q] = ring.cfg[q];
		s.counters[q] = &w.n[q];
	}
	if (!(ring.features & 1ULL << VIRTIO_NET_F_CTRL_VQ))
		ring.cfg[VNET_CTRL].ready = false;
	if (vnet_start(w.v, &s))
		fuzz_work.refused++;
}

static void step(const uint8_t *rec)
{
	switch (rec[0] & 15) {
	case FRAME:
		look();
		send_frame(&w.st, get_le16(rec + 1), get_le16(rec + 3), rec[5]);
		vnet_publish(w.v);
		check();
		break;
	case HOLD:
		w.st.hold = rec[1];
		break;
	case GIVE:
		do_give_back(rec[1]);
		break;
	case KICK:
		look();
		vnet_rx_kicked(w.v);
		vnet_publish(w.v);
		check();
		break;
	default:
		break;
	}
}

static const struct ring_device device = {
	.queues = VNET_QUEUES,
	.queue = queue,
	.used = used,
	.start = start,
	.stop = stop,
	.turn = turn,
	.step = step,
};

void fuzz_one(const uint8_t *data, size_t len)
{
	const struct vnet_config cfg = { .mac = { 2 }, .mtu = 1500 };
	uint64_t faults = 0;

	memset(&w, 0, sizeof(w));
	ring_begin(&device, vnet_features(&cfg));
	FUZZ_CHECK(vnet_new(&w.v, &cfg, &w.st) == 0);
	ring_run(data, len);
	vnet_free(w.v);
	for (int q = 0; q < VNET_QUEUES; q++)
		for (int i = 0; i < VQ_FAULT_COUNT; i++)
			faults += counter_get(&w.n[q].faults[i]);
	fuzz_work.refused += faults;
}
