/* SPDX-License-Identifier: MIT */
/*
 * virtio-net and a driver that writes anything into rings and memory.
 *
 * Guest memory is two regions of REGION bytes at 0 and at HOLE, each between pages that
 * cannot be touched. The input is a list of steps of RECORD bytes each:
 *
 *	byte 0	bits 0..3: what (enum step); bits 4, 5: the queue
 *	1..7	see step()
 *
 * The stack is a model of one: it reads every byte of every frame that it is given, holds
 * some, fills every byte of the room that it asks for.
 *
 * The oracle keeps its own account of what the driver has made available. Before each
 * turn of the device it walks the chains that wait, by a walker of its own: so it knows
 * how much may be written to each, and where. After it, every used entry must be of a
 * chain that was taken, with a length within what it holds; every byte of memory that has
 * changed must be a used ring's or in a writable buffer. When the driver has nothing more
 * to say, the transmit and control queues have used all that was made available, and a
 * device that stops has used all that it took (QEMU's virtio-net fuzzing looks for this).
 * Rings and tables that chains can write over make the account void; then only crashes
 * and the ends of memory count.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "src/base/bytes.h"
#include "tests/fuzz/fuzz.h"
#include "virtio/net_priv.h"

#define RECORD	  8
#define REGION	  0x4000UL
#define HOLE	  0x10000ULL
#define PAGE	  4096UL
#define QSIZE_MAX 32
#define HELD_MAX  64
#define TABLES	  0x3000ULL /* for indirect ones, TABLE bytes for each queue */
#define TABLE	  0x200ULL
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
};

enum step {
	STEP_DESC,    /* 1: index; 2, 3: address; 4, 5: length; 6: flags; 7: next */
	STEP_OFFER,   /* 1: head, put into the avail ring and shown */
	STEP_INDEX,   /* 1, 2: avail.idx moved by so much */
	STEP_WRITE,   /* 1, 2: address; 3..7: bytes that go there */
	STEP_FILL,    /* 1, 2: address; 3, 4: length; 5: the byte */
	STEP_TURN,    /* the device's turn */
	STEP_FRAME,   /* 1, 2: room that is asked for; 3, 4: length; 5: offload */
	STEP_HOLD,    /* 1: the next so many frames are held */
	STEP_GIVE,    /* 1: so many held frames go back */
	STEP_FEATURE, /* 1..4: features that the next driver does without */
	STEP_PLACE,   /* 1: size; 2, 3; 4, 5; 6, 7: addresses of the parts, for the next driver */
	STEP_RESTART, /* a reset, and a driver comes; 1: the old one's receive ring is drained */
	STEP_TABLE,   /* as STEP_DESC, but into memory: an indirect table in TABLES */
	STEP_KICK,    /* receive buffers are said to have come */
};

/**
 * struct account - of one queue
 * @taken_to:	where the device was in the avail ring when we looked last
 * @used_to:	used.idx as far as it has been looked at
 * @pending:	heads in the avail ring from @taken_to on, when we looked last
 * @taken:	by head, chains that the device has and has not used
 * @room:	by head, the most that such chains let the device write
 */
struct account {
	uint16_t taken_to, used_to, npending;
	uint16_t pending[QSIZE_MAX];
	uint16_t taken[QSIZE_MAX];
	uint64_t room[QSIZE_MAX];
};

struct stack {
	const struct port_ops *ops;
	void *ctx;
	uint32_t held[HELD_MAX], nheld, hold;
	bool rx_csum;
};

/**
 * struct world - all of it, for one input
 * @cfg:	where the driver has its queues, and the next one will
 * @drain:	frames are sent until the receive ring is empty, before the device stops
 * @strict:	no chain can write over rings and tables, so that the account holds
 * @writable:	of each byte of memory: some chain of this driver has let the device write it
 * @table:	... it has been part of an indirect table; @tables: some byte has
 */
static struct world {
	struct vnet *v;
	struct stack st;
	struct vq_config cfg[VNET_QUEUES], next[VNET_QUEUES];
	uint64_t features;
	struct vq_counters n[VNET_QUEUES];
	struct account acc[VNET_QUEUES];
	bool broken, strict, drain, tables;
	uint8_t before[2 * REGION];
	bool writable[2 * REGION], table[2 * REGION];
} w;

static struct gmem mem;
static uint8_t *ram[2];

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

/* --- the oracle ----------------------------------------------------------------------- */

static void *at(uint64_t gpa, uint64_t len)
{
	return gmem_ptr(&mem, gpa, len);
}

static size_t offset_of(const uint8_t *p)
{
	bool second = p >= ram[1] && p < ram[1] + REGION;

	return (size_t)(p - ram[second]) + (second ? REGION : 0);
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
	for (int q = 0; q < VNET_QUEUES; q++)
		for (int i = 0; i < 3; i++) {
			uint64_t n, p = part(&w.cfg[q], i, &n);

			if (meet(gpa, len, p, n))
				return true;
		}
	return false;
}

/* Rings that lie in one another's way can be written over by the used rings. */
static bool rings_apart(void)
{
	for (int a = 0; a < 9; a++)
		for (int b = 0; b < a; b++) {
			uint64_t la, lb, pa = part(&w.cfg[a / 3], a % 3, &la),
					 pb = part(&w.cfg[b / 3], b % 3, &lb);

			if (meet(pa, la, pb, lb))
				return false;
		}
	return true;
}

/*
 * Walk a chain as far as it goes, by a walker of our own; note what is writable.
 * Return: bytes that the device may write
 */
static uint64_t look_at_chain(const struct vq_config *c, uint16_t head)
{
	uint64_t table = c->desc, room = 0;
	uint32_t entries = c->size, i = head;

	for (uint32_t steps = 0; i < entries && steps < 2 * QSIZE_MAX; steps++) {
		const uint8_t *d = at(table + 16ULL * i, 16);
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
			if (table != c->desc || !at(gpa, len))
				break;
			table = gpa;
			entries = len / 16;
			i = 0;
			mark(w.table, at(gpa, len), len);
			w.tables = true;
			continue;
		}
		p = at(gpa, len);
		if (flags & VRING_DESC_F_WRITE && p) {
			room += len;
			mark(w.writable, p, len);
			w.strict = w.strict && !on_rings(gpa, len);
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
	const struct vq_config *c = &w.cfg[q];
	const uint8_t *avail = at(c->avail, 6 + 2ULL * c->size);
	struct account *a = &w.acc[q];
	uint64_t len, used = part(c, 2, &len);
	uint16_t n, known;

	mark(w.writable, at(used, len), len);
	a->taken_to = w.v->vq[q].last_avail;
	a->npending = 0;
	if (w.v->vq[q].broken)
		return;
	/* What the device has read of the index it may act on, whatever it is now. */
	known = (uint16_t)(w.v->vq[q].avail_shadow - a->taken_to);
	n = (uint16_t)(get_le16(avail + 2) - a->taken_to);
	n = n > c->size ? known : MAX(n, known);
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
	struct account *a = &w.acc[q];
	uint16_t n = (uint16_t)(w.v->vq[q].last_avail - a->taken_to);

	FUZZ_CHECK(n <= a->npending, "queue %d: %u chains taken of %u", q, n, a->npending);
	for (uint16_t i = 0; i < n; i++)
		a->taken[a->pending[i]]++;
}

/*
 * What it has used and shown in this turn: chains that it had, and no more of them than
 * there is (H12). Between turns the ring's contents are the driver's, rubbish if it likes.
 */
static void check_used(int q)
{
	struct account *a = &w.acc[q];
	const struct vq_config *c = &w.cfg[q];
	const uint8_t *used = at(c->used, 6 + 8ULL * c->size);

	uint16_t idx = w.v->vq[q].used_shown;

	FUZZ_CHECK(a->used_to == idx || get_le16(used + 2) == idx);
	for (; a->used_to != idx; a->used_to++) {
		const uint8_t *e = used + 4 + 8ULL * (a->used_to & (c->size - 1U));
		uint32_t head = get_le32(e), len = get_le32(e + 4);

		FUZZ_CHECK(head < c->size && a->taken[head] > 0,
			   "queue %d: chain %u is used and was not taken", q, head);
		FUZZ_CHECK(len <= a->room[head], "queue %d: %u bytes used of %llu", q, len,
			   (unsigned long long)a->room[head]);
		fuzz_work.done += q == VNET_CTRL && len;
		a->taken[head]--;
		if (a->taken[head] == 0)
			a->room[head] = 0;
	}
}

static uint32_t chains_out(int q)
{
	uint32_t n = 0;

	for (uint16_t head = 0; head < QSIZE_MAX; head++)
		n += w.acc[q].taken[head];
	return n;
}

static void check_memory(void)
{
	for (size_t i = 0; i < 2 * REGION; i += 64) {
		const uint8_t *now = ram[i >= REGION] + i % REGION;

		if (memcmp(now, w.before + i, 64) == 0)
			continue;
		for (size_t k = 0; k < 64; k++)
			FUZZ_CHECK(now[k] == w.before[i + k] || w.writable[i + k],
				   "byte %#zx was written", i + k);
	}
}

/* Before anything that may make the device touch memory. */
static void look(void)
{
	if (!vnet_running(w.v) || !w.strict)
		return;
	for (int q = 0; q < VNET_QUEUES; q++)
		if (w.cfg[q].ready)
			look_at_queue(q);
	for (size_t i = 0; w.tables && w.strict && i < 2 * REGION; i++)
		w.strict = !(w.writable[i] && w.table[i]);
	memcpy(w.before, ram[0], REGION);
	memcpy(w.before + REGION, ram[1], REGION);
}

/* After it. */
static void check(void)
{
	if (!vnet_running(w.v) || !w.strict)
		return;
	check_memory();
	for (int q = 0; q < VNET_QUEUES && !w.broken; q++) {
		if (!w.cfg[q].ready)
			continue;
		note_taken(q);
		check_used(q);
	}
}

/* look(), do it, check() */
static void do_give_back(uint32_t n)
{
	look();
	give_back(&w.st, n);
	vnet_publish(w.v);
	check();
}

/* --- the device's life ------------------------------------------------------------------ */

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

/* What @q has not taken though nothing hinders it, or taken and not used. */
static void check_live(int q)
{
	FUZZ_CHECK(vq_pending(&w.v->vq[q]) == 0, "queue %d: %u chains are left lying", q,
		   vq_pending(&w.v->vq[q]));
	if (w.strict)
		FUZZ_CHECK(chains_out(q) == 0, "queue %d: %u chains are never used", q,
			   chains_out(q));
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
 * The driver says nothing more: whatever the queues have is used, or they are broken.
 * Then the device stops; what it had and has not used it has not taken.
 */
static void stop(void)
{
	uint16_t next_avail[VNET_QUEUES], had[VNET_QUEUES];

	if (!vnet_running(w.v))
		return;
	for (int i = 0; i < TURNS; i++) {
		turn();
		do_give_back(HELD_MAX);
	}
	for (int q = VNET_TX; q <= VNET_CTRL; q++)
		if (!w.broken && w.cfg[q].ready)
			check_live(q);
	if (!w.broken && w.drain)
		drain_rx();
	look();
	for (int q = 0; q < VNET_QUEUES; q++)
		had[q] = w.v->vq[q].last_avail;
	vnet_stop(w.v, next_avail);
	if (!w.strict || w.broken)
		return;
	check_memory();
	for (int q = 0; q < VNET_QUEUES; q++) {
		if (!w.cfg[q].ready)
			continue;
		check_used(q);
		FUZZ_CHECK(chains_out(q) == (uint16_t)(had[q] - next_avail[q]),
			   "queue %d: %u chains are not given back", q, chains_out(q));
	}
}

static void start(void)
{
	struct vnet_start s = {
		.features = w.features,
		.mem = &mem,
		.call_fd = { -1, -1, -1 },
		.call_fn = on_call,
		.broken = on_broken,
	};

	w.broken = false;
	memcpy(w.cfg, w.next, sizeof(w.cfg));
	for (int q = 0; q < VNET_QUEUES; q++) {
		s.queue[q] = w.cfg[q];
		s.counters[q] = &w.n[q];
		w.acc[q] = (struct account){ .used_to = 0 };
		if (vq_config_check(&w.cfg[q], &mem)) {
			fuzz_work.refused++; /* by the transport, long before */
			return;
		}
		/* A driver clears its rings before it shows them. */
		memset(at(w.cfg[q].avail, 4), 0, 4);
		memset(at(w.cfg[q].used, 4), 0, 4);
	}
	if (!(w.features & 1ULL << VIRTIO_NET_F_CTRL_VQ))
		w.cfg[VNET_CTRL].ready = false;
	w.strict = rings_apart();
	memset(w.writable, 0, sizeof(w.writable));
	memset(w.table, 0, sizeof(w.table));
	w.tables = false;
	if (vnet_start(w.v, &s))
		fuzz_work.refused++;
}

/* --- the driver --------------------------------------------------------------------------- */

/* Memory is at 0 and at HOLE; what is between is a hole, and bit 6 goes near 2^64. */
static uint64_t address(const uint8_t *p, bool high)
{
	uint64_t a = get_le16(p);

	a = a < REGION ? a : a - REGION + HOLE;
	return high ? a | 0xffffffffffff0000ULL : a;
}

static void put_desc(uint8_t *d, const uint8_t *rec)
{
	uint8_t flags = rec[6];
	uint32_t len = get_le16(rec + 4);

	put_le64(d, address(rec + 2, flags & 0x40));
	put_le32(d + 8, flags & 0x20 ? len << 16 : len);
	put_le16(d + 12, flags & 7);
	put_le16(d + 14, rec[7]);
}

static void write_bytes(uint64_t gpa, const uint8_t *p, uint32_t len)
{
	uint8_t *to = at(gpa, len);

	if (to)
		memcpy(to, p, len);
}

static void place(struct vq_config *c, const uint8_t *rec)
{
	c->size = (uint16_t)(rec[1] & 0x80 ? rec[1] & 31 : 1 << rec[1] % 6);
	c->desc = address(rec + 2, false);
	c->avail = address(rec + 4, false);
	c->used = address(rec + 6, false);
}

static void offer(const struct vq_config *c, uint16_t head, int16_t by)
{
	uint8_t *avail = at(c->avail, 6 + 2ULL * c->size);
	uint16_t idx;

	if (!avail || !c->size)
		return;
	idx = get_le16(avail + 2);
	if (by == 1)
		put_le16(avail + 4 + 2ULL * (idx % c->size), head);
	put_le16(avail + 2, (uint16_t)(idx + by));
}

static void step(const uint8_t *rec)
{
	int q = (rec[0] >> 4 & 3) % VNET_QUEUES;
	const struct vq_config *c = &w.cfg[q];
	uint8_t *p;

	switch ((enum step)(rec[0] & 15)) {
	case STEP_DESC:
		p = at(c->desc + 16ULL * rec[1], 16);
		if (p)
			put_desc(p, rec);
		break;
	case STEP_OFFER:
		offer(c, rec[1], 1);
		break;
	case STEP_INDEX:
		offer(c, 0, (int16_t)get_le16(rec + 1));
		break;
	case STEP_WRITE:
		write_bytes(address(rec + 1, false), rec + 3, 5);
		break;
	case STEP_FILL:
		p = at(address(rec + 1, false), get_le16(rec + 3));
		if (p)
			memset(p, rec[5], get_le16(rec + 3));
		break;
	case STEP_TURN:
		turn();
		break;
	case STEP_FRAME:
		look();
		send_frame(&w.st, get_le16(rec + 1), get_le16(rec + 3), rec[5]);
		vnet_publish(w.v);
		check();
		break;
	case STEP_HOLD:
		w.st.hold = rec[1];
		break;
	case STEP_GIVE:
		do_give_back(rec[1]);
		break;
	case STEP_FEATURE:
		w.features &= ~(uint64_t)get_le32(rec + 1);
		break;
	case STEP_PLACE:
		place(&w.next[q], rec);
		break;
	case STEP_RESTART:
		w.drain = rec[1] & 1;
		stop();
		start();
		break;
	case STEP_TABLE:
		p = at(TABLES + TABLE * (uint64_t)q + 16ULL * (rec[1] % 32), 16);
		if (p)
			put_desc(p, rec);
		break;
	case STEP_KICK:
		look();
		vnet_rx_kicked(w.v);
		vnet_publish(w.v);
		check();
		break;
	}
}

static uint8_t *guarded(void)
{
	uint8_t *map = mmap(NULL, REGION + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	FUZZ_CHECK(map != MAP_FAILED, "%s", strerror(errno));
	FUZZ_CHECK(mprotect(map + PAGE, REGION, PROT_READ | PROT_WRITE) == 0);
	return map + PAGE;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_begin();
	for (int i = 0; i < 2; i++) {
		struct gmem_region r = { .gpa = i * HOLE, .size = REGION };

		r.hva = ram[i] = guarded();
		FUZZ_CHECK(gmem_add(&mem, &r) == 0);
	}
	return 0;
}

void fuzz_one(const uint8_t *data, size_t len)
{
	const struct vnet_config cfg = { .mac = { 2 }, .mtu = 1500 };
	uint64_t faults = 0;

	memset(ram[0], 0, REGION);
	memset(ram[1], 0, REGION);
	memset(&w, 0, sizeof(w));
	w.features = vnet_features(&cfg);
	w.drain = true;
	for (int q = 0; q < VNET_QUEUES; q++) {
		w.next[q] = (struct vq_config){ .size = 16, .ready = true };
		w.next[q].desc = 0x1000ULL * (uint64_t)q;
		w.next[q].avail = 0x1000ULL * (uint64_t)q + 0x400;
		w.next[q].used = 0x1000ULL * (uint64_t)q + 0x800;
	}
	FUZZ_CHECK(vnet_new(&w.v, &cfg, &w.st) == 0);
	start();
	for (; len >= RECORD; data += RECORD, len -= RECORD)
		step(data);
	stop();
	vnet_free(w.v);
	for (int q = 0; q < VNET_QUEUES; q++)
		for (int i = 0; i < VQ_FAULT_COUNT; i++)
			faults += counter_get(&w.n[q].faults[i]);
	fuzz_work.refused += faults;
}
