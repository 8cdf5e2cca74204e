/* SPDX-License-Identifier: MIT */
/* The stack rig: life and time. */
#include "tests/stack/rig_priv.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "arena/arena.h"

static uint64_t env_now(void *ctx)
{
	struct rig *r = ctx;

	r->clock_reads++;
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

/**
 * rig_config_defaults() - a Linux driver with every offload, MTU 1500, a ring of
 * 256 mergeable buffers of 4 KiB; no IPv6, which speaks unasked
 */
void rig_config_defaults(struct rig_config *cfg)
{
	*cfg = (struct rig_config){
		.caps = { .rx_csum = true, .rx_tso4 = true, .rx_tso6 = true, .tx_ring = 256 },
		.rx_buffers = 256,
		.rx_buf_size = 4096,
		.rx_merge = true,
		.auto_refill = true,
		.tx_pieces = 3,
		.seed = 1,
	};
	stack_config_defaults(&cfg->stack);
	cfg->stack.ip6 = false;
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
	before = rig_allocs_here();
	slot = pool_get(arena_pool_at(a, 0));
	answer = rig_allocs_here() != before;
	pool_put(arena_pool_at(a, 0), slot);
	arena_free(a);
	return answer;
}

/**
 * rig_new() - a stack with a driver attached; never NULL
 * @cfg:	NULL = as rig_config_defaults() has it
 */
struct rig *rig_new(const struct rig_config *cfg)
{
	struct stack_env env = { .now_ns = env_now, .random = env_random };
	struct rig *r = calloc(1, sizeof(*r));
	struct rig_config def;

	assert_non_null(r);
	rig_config_defaults(&def);
	if (!cfg)
		cfg = &def;
	r->cfg = *cfg;
	r->rng = cfg->seed;
	r->now = 1000 * NS_PER_S;
	r->echo = rig_echo_socket();
	r->auto_refill = cfg->auto_refill;
	r->buffers = calloc(cfg->rx_buffers, sizeof(*r->buffers));
	r->free_buf = calloc(cfg->rx_buffers, sizeof(*r->free_buf));
	r->used_buf = calloc(cfg->rx_buffers, sizeof(*r->used_buf));
	r->frag = malloc(ETH_HLEN + 65536 + 65536);
	for (uint32_t i = 0; i < cfg->rx_buffers; i++) {
		r->buffers[i] = malloc(cfg->rx_buf_size);
		rig_return_buffer(r, i);
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
 * rig_set_guest_mac() - the guest has another address than the stack was told
 *
 * Its frames carry it from now on, and frames to any other fail the test.
 */
void rig_set_guest_mac(struct rig *r, const uint8_t *mac)
{
	memcpy(r->cfg.stack.guest_mac, mac, 6);
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
	stack_port_up(r->st, &rig_port_ops, r, &r->caps);
}

/**
 * rig_detach() - the driver is reset: every token must be back, every buffer free
 */
void rig_detach(struct rig *r)
{
	assert_true(r->attached);
	stack_port_down(r->st);
	rig_land(r);
	assert_int_equal(r->held, 0);
	assert_int_equal(r->out_count, 0);
	while (r->used_count > 0)
		rig_return_buffer(r, r->used_buf[--r->used_count]);
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
	if (r->echo >= 0)
		close(r->echo);
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

uint64_t rig_clock_reads(const struct rig *r)
{
	return r->clock_reads;
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
 * rig_held_descs() - descriptors of the transmit ring that the held frames occupy
 */
uint32_t rig_held_descs(const struct rig *r)
{
	return r->held_descs;
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

/**
 * rig_slots_are_mapped() - false under the arena's debug backend
 */
bool rig_slots_are_mapped(const struct rig *r)
{
	return !r->slots_are_mallocs;
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
	uint64_t before = rig_allocs_here() - r->port_allocs;

	rig_land(r);
	loop_wait(stack_loop(r->st), false);
	stack_run(r->st);
	r->stack_allocs += rig_allocs_here() - r->port_allocs - before;
	rig_publish(r);
	rig_land(r);
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
 * rig_sleep() - @ns of the fake clock pass, and the worker sleeps through them
 */
void rig_sleep(struct rig *r, uint64_t ns)
{
	r->now += ns;
}

/**
 * rig_assert_asleep() - there is nothing to wake up for: a hundred looks find no event, and
 * make no system call but their own
 *
 * What the kernel tells late (of an acknowledgment that it had put off) is told once, so
 * of some hundreds one is quiet.
 */
void rig_assert_asleep(struct rig *r)
{
	enum { LOOKS = 100, TRIES = 5 };

	for (int try = 1;; try++) {
		uint64_t calls = COUNT(r, syscalls);
		int events = 0;

		for (int i = 0; i < LOOKS; i++) {
			events += loop_wait(stack_loop(r->st), false);
			stack_run(r->st);
		}
		if (events == 0 && COUNT(r, syscalls) <= calls + LOOKS)
			return;
		assert_true(try < TRIES);
	}
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
