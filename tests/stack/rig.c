/* SPDX-License-Identifier: MIT */
/* The stack rig: life, time, and the port. */
#include "tests/stack/rig.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "arena/arena.h"
#include "src/base/alloc_count.h"
#include "src/base/base.h"

#define TX_FRAMES_MAX  4096
#define RX_RECORDS_MAX 16384

/* Fills of memory that nobody should read. */
#define POISON_RX 0xa5
#define POISON_TX 0xdd

enum tx_state { TX_FREE, TX_INPUT, TX_IS_HELD };

/* A frame from the guest; each piece is an allocation of its own. */
struct tx_record {
	enum tx_state state;
	uint16_t gen;
	struct iovec *iov;
	uint32_t iovcnt;
};

/* An allocated rx frame that has not been committed. */
struct rx_outstanding {
	struct iovec *iov; /* rx_buffers entries */
	uint32_t *buf;	   /* which buffers they are */
	uint32_t n;
	uint32_t want;
};

struct rx_record {
	uint8_t *data;
	uint32_t len;
	uint32_t fragments;
	struct offload off;
};

struct rig {
	struct rig_config cfg;
	struct port_caps caps;
	struct stack *st;
	uint64_t now;
	uint64_t rng;
	bool attached;
	bool auto_refill;
	bool starved;

	/* The receive ring: buffers by index, the free ones as a deque. */
	uint8_t **buffers;
	uint32_t *free_buf;
	uint32_t free_head, free_count;
	uint32_t *used_buf;
	uint32_t used_count;
	struct rx_outstanding out[PORT_RX_BATCH];
	uint32_t out_head, out_count;

	/* What the guest has got: committed, and published at the cycle's end. */
	struct rx_record rec[RX_RECORDS_MAX];
	uint32_t rec_head, rec_count, rec_published;
	uint8_t *popped;

	/* Fragments of one datagram. */
	uint8_t *frag;
	uint32_t frag_len, frag_count;

	struct tx_record tx[TX_FRAMES_MAX];
	uint32_t tx_next, held;

	uint64_t stack_allocs, port_allocs;
	bool slots_are_mallocs;
};

static uint64_t allocs_here(void)
{
	const struct alloc_count *c = alloc_count_here();

	return c->allocs + c->maps;
}

/* --- environment ---------------------------------------------------------- */

static uint64_t env_now(void *ctx)
{
	const struct rig *r = ctx;

	return r->now;
}

/**
 * rig_random() - the next number of the rig's own sequence (splitmix64)
 */
uint64_t rig_random(struct rig *r)
{
	uint64_t z = (r->rng += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static void env_random(void *ctx, void *buf, size_t len)
{
	struct rig *r = ctx;
	uint8_t *p = buf;

	while (len-- > 0)
		*p++ = (uint8_t)rig_random(r);
}

/* --- the port: host to guest ---------------------------------------------- */

static uint32_t take_free(struct rig *r)
{
	uint32_t b = r->free_buf[r->free_head];

	r->free_head = (r->free_head + 1) % r->cfg.rx_buffers;
	r->free_count--;
	return b;
}

static void return_free(struct rig *r, uint32_t b)
{
	assert_true(r->free_count < r->cfg.rx_buffers);
	r->free_buf[(r->free_head + r->free_count) % r->cfg.rx_buffers] = b;
	r->free_count++;
}

static int port_rx_alloc(void *ctx, uint32_t want, struct rx_frame *frame)
{
	struct rig *r = ctx;
	uint32_t size = r->cfg.rx_buf_size;
	uint32_t n = (want + size - 1) / size;
	struct rx_outstanding *o;

	assert_true(r->attached);
	assert_true(want >= ETH_HLEN && want <= PORT_FRAME_MAX);
	assert_true(r->out_count < PORT_RX_BATCH);
	if (want > r->caps.rx_frame_max || (!r->cfg.rx_merge && n > 1))
		return -EMSGSIZE;
	if (n > r->free_count) {
		r->starved = true;
		return -ENOBUFS;
	}
	o = &r->out[(r->out_head + r->out_count++) % PORT_RX_BATCH];
	o->n = n;
	o->want = want;
	for (uint32_t i = 0; i < n; i++) {
		o->buf[i] = take_free(r);
		memset(r->buffers[o->buf[i]], POISON_RX, size);
		o->iov[i] = (struct iovec){ r->buffers[o->buf[i]], size };
	}
	*frame = (struct rx_frame){ o->iov, n, n * size, (uint32_t)(o - r->out) };
	return 0;
}

static void record(struct rig *r, const uint8_t *data, uint32_t len, const struct offload *off,
		   uint32_t fragments)
{
	struct rx_record *rec;

	assert_true(r->rec_count < RX_RECORDS_MAX);
	rec = &r->rec[(r->rec_head + r->rec_count++) % RX_RECORDS_MAX];
	rec->data = malloc(len);
	assert_non_null(rec->data);
	memcpy(rec->data, data, len);
	rec->len = len;
	rec->off = *off;
	rec->fragments = fragments;
}

/* Put fragments together; they must come in order and without a gap. */
static void reassemble(struct rig *r, const uint8_t *frame, uint32_t len)
{
	const uint8_t *ip = frame + ETH_HLEN;
	uint16_t field = get_be16(ip + 6);
	uint32_t at = (field & 0x1fffU) * 8;
	bool more = field & 0x2000;
	uint32_t part = len - ETH_HLEN - IP4_HLEN;
	struct offload none = { 0 };

	if (r->frag_count == 0) {
		assert_int_equal(at, 0);
		memcpy(r->frag, frame, ETH_HLEN + IP4_HLEN);
		r->frag_len = 0;
	} else {
		assert_int_equal(get_be16(ip + 4), get_be16(r->frag + ETH_HLEN + 4));
		assert_memory_equal(ip + 12, r->frag + ETH_HLEN + 12, 8);
	}
	assert_int_equal(at, r->frag_len);
	assert_true(!more || part % 8 == 0);
	memcpy(r->frag + ETH_HLEN + IP4_HLEN + at, frame + ETH_HLEN + IP4_HLEN, part);
	r->frag_len += part;
	r->frag_count++;
	if (more)
		return;

	ip = r->frag + ETH_HLEN;
	put_be16(r->frag + ETH_HLEN + 2, (uint16_t)(IP4_HLEN + r->frag_len));
	put_be16(r->frag + ETH_HLEN + 6, 0);
	len = ETH_HLEN + IP4_HLEN + r->frag_len;
	rig_verify_l4(r->frag, len, &none);
	record(r, r->frag, len, &none, r->frag_count);
	r->frag_count = 0;
}

static void port_rx_commit(void *ctx, struct rx_frame *frame, uint32_t len,
			   const struct offload *off)
{
	struct rig *r = ctx;
	uint64_t before = allocs_here();
	uint32_t size = r->cfg.rx_buf_size;
	struct rx_outstanding *o;
	uint32_t used;
	uint8_t *flat;

	assert_true(r->attached);
	assert_true(r->out_count > 0);
	/* Commits come in the order of allocation. */
	assert_int_equal(frame->slot, r->out_head);
	o = &r->out[r->out_head];
	assert_true(len >= ETH_HLEN && len <= o->n * size);

	flat = malloc(len);
	assert_non_null(flat);
	used = (len + size - 1) / size;
	for (uint32_t i = 0; i < o->n; i++) {
		uint32_t at = i * size;

		if (i < used) {
			memcpy(flat + at, r->buffers[o->buf[i]], MIN(size, len - at));
			r->used_buf[r->used_count++] = o->buf[i];
		} else {
			return_free(r, o->buf[i]);
		}
	}
	r->out_head = (r->out_head + 1) % PORT_RX_BATCH;
	r->out_count--;

	rig_verify(&r->cfg, &r->caps, flat, len, off);
	if (get_be16(flat + 12) == ETHERTYPE_IP4 && (get_be16(flat + ETH_HLEN + 6) & 0x3fff) != 0)
		reassemble(r, flat, len);
	else
		record(r, flat, len, off, 1);
	free(flat);
	r->port_allocs += allocs_here() - before;
}

static void port_rx_rewind(void *ctx)
{
	struct rig *r = ctx;

	assert_true(r->attached);
	for (; r->out_count > 0; r->out_count--) {
		struct rx_outstanding *o = &r->out[r->out_head];

		for (uint32_t i = 0; i < o->n; i++)
			return_free(r, o->buf[i]);
		r->out_head = (r->out_head + 1) % PORT_RX_BATCH;
	}
}

/**
 * rig_refill() - the guest gives @buffers of its used buffers back to the ring
 *
 * Tells the stack if it had found the ring empty, as the real port does.
 */
void rig_refill(struct rig *r, uint32_t buffers)
{
	uint32_t n = MIN(buffers, r->used_count);
	uint64_t before;

	for (uint32_t i = 0; i < n; i++)
		return_free(r, r->used_buf[i]);
	r->used_count -= n;
	memmove(r->used_buf, r->used_buf + n, r->used_count * sizeof(*r->used_buf));
	if (n == 0 || !r->starved)
		return;
	r->starved = false;
	before = allocs_here() - r->port_allocs;
	stack_rx_refilled(r->st);
	r->stack_allocs += allocs_here() - r->port_allocs - before;
}

void rig_set_auto_refill(struct rig *r, bool on)
{
	r->auto_refill = on;
}

uint32_t rig_rx_free(const struct rig *r)
{
	return r->free_count;
}

/* The guest sees nothing before this; then it may give buffers back. */
static void publish(struct rig *r)
{
	assert_int_equal(r->out_count, 0); /* all committed or rewound */
	r->rec_published = r->rec_count;
	if (r->auto_refill && r->attached)
		rig_refill(r, UINT32_MAX);
}

/* --- the port: guest to host ---------------------------------------------- */

static void free_tx(struct tx_record *t)
{
	for (uint32_t i = 0; i < t->iovcnt; i++) {
		memset(t->iov[i].iov_base, POISON_TX, t->iov[i].iov_len);
		free(t->iov[i].iov_base);
	}
	free(t->iov);
	t->state = TX_FREE;
	t->gen++;
}

static void port_tx_done(void *ctx, uint32_t token)
{
	struct rig *r = ctx;
	uint64_t before = allocs_here();
	struct tx_record *t = &r->tx[token % TX_FRAMES_MAX];

	assert_true(r->attached);
	/* Exactly once, and only for a frame that was held. */
	assert_int_equal(t->state, TX_IS_HELD);
	assert_int_equal(t->gen, token / TX_FRAMES_MAX);
	free_tx(t);
	r->held--;
	r->port_allocs += allocs_here() - before;
}

/* Cut @frame into up to tx_pieces allocations, now and then an empty one. */
static void scatter(struct rig *r, struct tx_record *t, const uint8_t *frame, uint32_t len)
{
	uint32_t max = MAX(r->cfg.tx_pieces, 1U);
	uint32_t at = 0;

	t->iov = calloc(max, sizeof(*t->iov));
	assert_non_null(t->iov);
	t->iovcnt = 0;
	while (t->iovcnt < max && (at < len || t->iovcnt == 0)) {
		uint32_t left = len - at;
		uint32_t n = left;

		if (t->iovcnt + 1 < max)
			n = (uint32_t)(rig_random(r) % (left + 1));
		t->iov[t->iovcnt].iov_base = malloc(n);
		assert_non_null(t->iov[t->iovcnt].iov_base);
		memcpy(t->iov[t->iovcnt].iov_base, frame + at, n);
		t->iov[t->iovcnt++].iov_len = n;
		at += n;
	}
	assert_int_equal(at, len);
}

static struct tx_record *free_record(struct rig *r)
{
	for (uint32_t i = 0; i < TX_FRAMES_MAX; i++) {
		struct tx_record *t = &r->tx[r->tx_next++ % TX_FRAMES_MAX];

		if (t->state == TX_FREE)
			return t;
	}
	fail_msg("the stack holds %u frames", r->held);
	return NULL;
}

/**
 * rig_send() - the guest sends one frame; it enters the stack at once
 * @off:	NULL = none
 */
enum tx_verdict rig_send(struct rig *r, const void *frame, uint32_t len, const struct offload *off)
{
	struct tx_record *t = free_record(r);
	uint32_t head_len = MIN(len, (uint32_t)PORT_HEAD_MAX);
	uint32_t token = (uint32_t)(t - r->tx) + t->gen * (uint32_t)TX_FRAMES_MAX;
	struct iovec *iov;
	enum tx_verdict verdict;
	struct tx_frame f = { 0 };
	uint64_t before;
	uint8_t *head;

	scatter(r, t, frame, len);
	t->state = TX_INPUT;
	/* Copies that die with the call: head and iovec array are good only during it. */
	head = malloc(head_len);
	iov = calloc(t->iovcnt, sizeof(*iov));
	assert_non_null(head);
	assert_non_null(iov);
	memcpy(head, frame, head_len);
	memcpy(iov, t->iov, t->iovcnt * sizeof(*iov));
	f = (struct tx_frame){ .head = head,
			       .head_len = head_len,
			       .len = len,
			       .iov = iov,
			       .iovcnt = t->iovcnt,
			       .token = token };
	if (off)
		f.off = *off;

	before = allocs_here() - r->port_allocs;
	verdict = stack_input(r->st, &f);
	r->stack_allocs += allocs_here() - r->port_allocs - before;

	memset(head, POISON_TX, head_len);
	free(head);
	free(iov);
	if (verdict == TX_DONE) {
		free_tx(t);
	} else {
		t->state = TX_IS_HELD;
		r->held++;
	}
	return verdict;
}

/* --- life and time -------------------------------------------------------- */

static const struct port_ops ops = {
	.rx_alloc = port_rx_alloc,
	.rx_commit = port_rx_commit,
	.rx_rewind = port_rx_rewind,
	.tx_done = port_tx_done,
};

/**
 * rig_config_defaults() - a Linux driver with every offload, MTU 1500, a ring of
 * 256 mergeable buffers of 4 KiB
 */
void rig_config_defaults(struct rig_config *cfg)
{
	*cfg = (struct rig_config){
		.caps = { .rx_csum = true, .rx_tso4 = true, .rx_tso6 = true },
		.rx_buffers = 256,
		.rx_buf_size = 4096,
		.rx_merge = true,
		.auto_refill = true,
		.tx_pieces = 3,
		.seed = 1,
	};
	stack_config_defaults(&cfg->stack);
	cfg->stack.mtu = 1500;
	cfg->stack.max_tcp = 256;
	cfg->stack.max_udp = 64;
}

/* The arena's debug backend allocates each slot; then counting proves nothing. */
static bool slots_are_mallocs(void)
{
	const struct pool_config pool = { "probe", 64, 1 };
	const struct arena_config cfg = { .name = "probe", .pools = &pool, .npools = 1 };
	struct arena *a;
	uint64_t before;
	bool answer;
	void *slot;

	assert_int_equal(arena_new(&a, &cfg), 0);
	before = allocs_here();
	slot = pool_get(arena_pool_at(a, 0));
	answer = allocs_here() != before;
	pool_put(arena_pool_at(a, 0), slot);
	arena_free(a);
	return answer;
}

/**
 * rig_new() - a stack with a driver attached; never NULL
 */
struct rig *rig_new(const struct rig_config *cfg)
{
	struct stack_env env = { env_now, env_random, NULL };
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->cfg = *cfg;
	r->rng = cfg->seed;
	r->now = 1000 * NS_PER_S;
	r->auto_refill = cfg->auto_refill;
	r->buffers = calloc(cfg->rx_buffers, sizeof(*r->buffers));
	r->free_buf = calloc(cfg->rx_buffers, sizeof(*r->free_buf));
	r->used_buf = calloc(cfg->rx_buffers, sizeof(*r->used_buf));
	r->frag = malloc(ETH_HLEN + 65536 + 65536);
	for (uint32_t i = 0; i < cfg->rx_buffers; i++) {
		r->buffers[i] = malloc(cfg->rx_buf_size);
		return_free(r, i);
	}
	for (uint32_t i = 0; i < PORT_RX_BATCH; i++) {
		r->out[i].iov = calloc(cfg->rx_buffers, sizeof(*r->out[i].iov));
		r->out[i].buf = calloc(cfg->rx_buffers, sizeof(*r->out[i].buf));
	}
	r->slots_are_mallocs = slots_are_mallocs();
	env.ctx = r;
	assert_int_equal(stack_new(&r->st, &cfg->stack, &env), 0);
	rig_attach(r);
	return r;
}

/**
 * rig_attach() - a driver starts; caps as configured
 */
void rig_attach(struct rig *r)
{
	assert_false(r->attached);
	r->caps = r->cfg.caps;
	if (r->caps.rx_frame_max == 0)
		r->caps.rx_frame_max = r->cfg.rx_merge ? PORT_FRAME_MAX : r->cfg.rx_buf_size;
	r->attached = true;
	stack_port_up(r->st, &ops, r, &r->caps);
}

/**
 * rig_detach() - the driver is reset: every token must be back, every buffer free
 */
void rig_detach(struct rig *r)
{
	assert_true(r->attached);
	stack_port_down(r->st);
	assert_int_equal(r->held, 0);
	assert_int_equal(r->out_count, 0);
	while (r->used_count > 0)
		return_free(r, r->used_buf[--r->used_count]);
	r->starved = false;
	r->frag_count = 0;
	r->rec_published = r->rec_count;
	r->attached = false;
}

/**
 * rig_free() - detach, end the stack, check that nothing is left
 */
void rig_free(struct rig *r)
{
	struct rig_pkt pkt;

	if (r->attached)
		rig_detach(r);
	stack_free(r->st);
	r->rec_published = r->rec_count;
	while (rig_pop(r, &pkt))
		;
	free(r->popped);
	assert_int_equal(r->free_count, r->cfg.rx_buffers);
	for (uint32_t i = 0; i < r->cfg.rx_buffers; i++)
		free(r->buffers[i]);
	for (uint32_t i = 0; i < PORT_RX_BATCH; i++) {
		free(r->out[i].iov);
		free(r->out[i].buf);
	}
	free(r->buffers);
	free(r->free_buf);
	free(r->used_buf);
	free(r->frag);
	free(r);
}

struct stack *rig_stack(struct rig *r)
{
	return r->st;
}

const struct rig_config *rig_config(const struct rig *r)
{
	return &r->cfg;
}

uint64_t rig_now(const struct rig *r)
{
	return r->now;
}

uint32_t rig_held(const struct rig *r)
{
	return r->held;
}

/**
 * rig_allocs() - heap calls and mappings that the stack made since rig_new()
 *
 * 0 under the arena's debug backend, where each slot is a malloc on purpose.
 */
uint64_t rig_allocs(const struct rig *r)
{
	return r->slots_are_mallocs ? 0 : r->stack_allocs;
}

uint64_t rig_drops(struct rig *r, enum drop_reason reason)
{
	return counter_get(&stack_counters(r->st)->drops[reason]);
}

/**
 * rig_cycle() - one cycle of the worker, without sleeping
 */
void rig_cycle(struct rig *r)
{
	uint64_t before = allocs_here() - r->port_allocs;

	loop_wait(stack_loop(r->st), false);
	stack_run(r->st);
	r->stack_allocs += allocs_here() - r->port_allocs - before;
	publish(r);
}

/**
 * rig_advance() - let @ns of the fake clock pass
 *
 * The clock stops at every deadline on the way, with a cycle at each, as a
 * worker that sleeps until its next timer would do.
 */
void rig_advance(struct rig *r, uint64_t ns)
{
	uint64_t end = r->now + ns;

	for (;;) {
		uint64_t next = timer_wheel_next_ns(loop_timers(stack_loop(r->st)));

		if (next > end)
			break;
		r->now = MAX(r->now, next);
		rig_cycle(r);
	}
	r->now = end;
	rig_cycle(r);
}

/**
 * rig_step() - a cycle, then a moment of real time if nothing is to be done; see RIG_UNTIL
 */
void rig_step(struct rig *r, uint64_t since_ns, const char *what, const char *file, int line)
{
	struct pollfd p = { .fd = loop_fd(stack_loop(r->st)), .events = POLLIN };

	rig_cycle(r);
	poll(&p, 1, 1);
	if (clock_now_ns() - since_ns > RIG_PATIENCE_MS * NS_PER_MS) {
		print_error("%s:%d: waited in vain for: %s\n", file, line, what);
		stack_dump_flows(r->st, stderr);
		fail();
	}
}

/**
 * rig_pop() - the oldest frame that the guest has got and the test has not seen
 *
 * Return: false if there is none (frames show at the end of a cycle)
 */
bool rig_pop(struct rig *r, struct rig_pkt *pkt)
{
	struct rx_record *rec = &r->rec[r->rec_head];

	if (r->rec_published == 0)
		return false;
	free(r->popped);
	r->popped = rec->data;
	*pkt = (struct rig_pkt){
		.frame = rec->data, .len = rec->len, .off = rec->off, .fragments = rec->fragments
	};
	rig_parse(pkt);
	r->rec_head = (r->rec_head + 1) % RX_RECORDS_MAX;
	r->rec_count--;
	r->rec_published--;
	return true;
}

/**
 * rig_pending() - frames that rig_pop() would give
 */
uint32_t rig_pending(const struct rig *r)
{
	return r->rec_published;
}
