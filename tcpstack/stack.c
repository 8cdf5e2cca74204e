/* SPDX-License-Identifier: MIT */
/*
 * A stack as a whole: its configuration, its birth and end, and its cycle.
 *
 * Everything is allocated by stack_new(). From then on memory comes from the
 * arena and from tables that were sized by the configuration.
 */
#include "tcpstack/names.h"
#include "tcpstack/policy.h"
#include "tcpstack/priv.h"

#include <errno.h>
#include <stdlib.h>

#include "src/base/why.h"

/**
 * stack_config_defaults() - the configuration to start from; any thread
 *
 * No resolver is among it: that is for the caller to find.
 */
void stack_config_defaults(struct stack_config *cfg)
{
	static const struct ipaddr prefix6 = { { LIMIT_PREFIX6_BYTES } };

	*cfg = (struct stack_config){
		.guest4 = LIMIT_GUEST4,
		.gateway4 = LIMIT_GATEWAY4,
		.dns4 = LIMIT_DNS4,
		.prefix4 = LIMIT_PREFIX4,
		.ip6 = true,
		/* Locally administered: the second bit of the first byte. */
		.guest_mac = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 },
		.our_mac = { 0x9a, 0x55, 0x9a, 0x55, 0x9a, 0x55 },
		.mtu = STACK_MTU_DEFAULT,
		.gateway_is_host = true,
		.max_tcp = LIMIT_TCP_FLOWS,
		.max_udp = LIMIT_UDP_FLOWS,
		.max_ping = LIMIT_PING_FLOWS,
		.max_dns = LIMIT_DNS_QUERIES,
		.dns_cache = LIMIT_DNS_CACHE,
		.max_conn_rate = LIMIT_CONN_RATE,
		.rate_burst_ms = LIMIT_RATE_BURST_MS,
	};
	stack_config_set_prefix6(cfg, &prefix6);
}

/**
 * stack_config_set_prefix6() - the IPv6 address plan within @prefix; any thread
 * @prefix:	its low half is ignored
 */
void stack_config_set_prefix6(struct stack_config *cfg, const struct ipaddr *prefix)
{
	struct ipaddr host = *prefix;

	memset(host.b + 8, 0, 8);
	cfg->prefix6 = cfg->gateway6 = cfg->dns6 = cfg->guest6 = host;
	cfg->gateway6.b[15] = LIMIT_HOST6_GATEWAY;
	cfg->dns6.b[15] = LIMIT_HOST6_DNS;
	cfg->guest6.b[15] = LIMIT_HOST6_GUEST;
}

static bool unicast_mac(const uint8_t *mac)
{
	static const uint8_t zero[6];

	return !(mac[0] & 1) && memcmp(mac, zero, 6) != 0;
}

/* Is @addr a host of the guest's network, neither its first address nor its last? */
static bool host_of_net(const struct stack_config *cfg, uint32_t addr)
{
	uint32_t host_mask = UINT32_MAX >> cfg->prefix4;

	return ((addr ^ cfg->guest4) & ~host_mask) == 0 && (addr & host_mask) != 0 &&
	       (addr & host_mask) != host_mask;
}

static bool flows_ok(uint32_t n)
{
	return n > 0 && n <= LIMIT_FLOWS_MAX;
}

/* Global or unique local unicast, RFC 4291 2.4: nothing that means the link, the host or IPv4. */
static bool prefix6_ok(const struct ipaddr *p)
{
	static const struct ipaddr zero;

	return !ipaddr_in_net(p, &zero, 8) && !ipaddr_is_multicast6(p) &&
	       (p->b[0] != 0xfe || p->b[1] < 0x80) && get_be64(p->b + 8) == 0;
}

/* Is @addr a host of the guest's IPv6 network? */
static bool host_of_net6(const struct stack_config *cfg, const struct ipaddr *addr)
{
	return ipaddr_same_prefix64(addr, &cfg->prefix6) && get_be64(addr->b + 8) != 0;
}

static int check_ip6(const struct stack_config *cfg, char *why, size_t why_len)
{
	if (!prefix6_ok(&cfg->prefix6))
		return why_set(why, why_len, -EINVAL,
			       "the IPv6 prefix is not one of hosts, or not a /64");
	if (!host_of_net6(cfg, &cfg->guest6) || !host_of_net6(cfg, &cfg->gateway6) ||
	    !host_of_net6(cfg, &cfg->dns6))
		return why_set(why, why_len, -EINVAL,
			       "an IPv6 address is not a host of the guest's prefix");
	if (ipaddr_equal(&cfg->guest6, &cfg->gateway6) || ipaddr_equal(&cfg->guest6, &cfg->dns6))
		return why_set(why, why_len, -EINVAL,
			       "the guest's IPv6 address must differ from ours");
	return 0;
}

/**
 * stack_config_check() - can a stack be made of @cfg? Any thread
 * @why:	out, when not: one line that says what is wrong
 *
 * Return: 0 or -EINVAL
 */
int stack_config_check(const struct stack_config *cfg, char *why, size_t why_len)
{
	if (cfg->prefix4 < 1 || cfg->prefix4 > 30)
		return why_set(why, why_len, -EINVAL, "prefix length %u is not 1..30",
			       cfg->prefix4);
	if (cfg->guest4 >> 24 == 0 || cfg->guest4 >> 24 == 127 || cfg->guest4 >= 0xe0000000U)
		return why_set(why, why_len, -EINVAL, "the guest's address is not that of a host");
	if (!host_of_net(cfg, cfg->guest4))
		return why_set(why, why_len, -EINVAL,
			       "the guest has a reserved address of its network");
	if (!host_of_net(cfg, cfg->gateway4))
		return why_set(why, why_len, -EINVAL, "the gateway is not in the guest's network");
	if (!host_of_net(cfg, cfg->dns4))
		return why_set(why, why_len, -EINVAL,
			       "the DNS address is not in the guest's network");
	if (cfg->guest4 == cfg->gateway4 || cfg->guest4 == cfg->dns4)
		return why_set(why, why_len, -EINVAL, "guest, gateway and DNS address must differ");
	if (!unicast_mac(cfg->guest_mac) || !unicast_mac(cfg->our_mac) ||
	    memcmp(cfg->guest_mac, cfg->our_mac, 6) == 0)
		return why_set(why, why_len, -EINVAL, "MAC addresses must be unicast and differ");
	if (cfg->mtu < STACK_MTU_MIN || cfg->mtu > STACK_MTU_MAX)
		return why_set(why, why_len, -EINVAL, "MTU %u is not %u..%u", cfg->mtu,
			       STACK_MTU_MIN, STACK_MTU_MAX);
	if (cfg->nresolvers > STACK_RESOLVERS_MAX)
		return why_set(why, why_len, -EINVAL, "more than %u resolvers",
			       STACK_RESOLVERS_MAX);
	if (!flows_ok(cfg->max_tcp) || !flows_ok(cfg->max_udp) || !flows_ok(cfg->max_ping) ||
	    !flows_ok(cfg->max_dns))
		return why_set(why, why_len, -EINVAL, "a limit of flows is not 1..%u",
			       LIMIT_FLOWS_MAX);
	if (cfg->dns_cache > LIMIT_DNS_CACHE_MAX)
		return why_set(why, why_len, -EINVAL, "more than %u DNS answers to keep",
			       LIMIT_DNS_CACHE_MAX);
	if (cfg->bulk > STACK_BULK_ZEROCOPY || cfg->nsplice_to > STACK_SPLICE_TO_MAX)
		return why_set(why, why_len, -EINVAL,
			       "no such bulk engine, or too many networks to splice to");
	if (!memchr(cfg->hostname, 0, sizeof(cfg->hostname)) ||
	    !memchr(cfg->congestion, 0, sizeof(cfg->congestion)))
		return why_set(why, why_len, -EINVAL, "a name is not terminated");
	if (cfg->ip6 && check_ip6(cfg, why, why_len))
		return -EINVAL;
	if (cfg->policy)
		return policy_list_check(cfg->policy, cfg, why, why_len);
	return 0;
}

static int init_arena(struct stack *st)
{
	static const struct pool_config pools[] = {
		{ "out-small", LIMIT_OUT_SMALL_BYTES, LIMIT_OUT_SMALL_SLOTS },
		{ "out-medium", LIMIT_OUT_MEDIUM_BYTES, LIMIT_OUT_MEDIUM_SLOTS },
		{ "out-large", LIMIT_OUT_LARGE_BYTES, LIMIT_OUT_LARGE_SLOTS },
		{ "reassembly", sizeof(struct reass_slot), LIMIT_REASSEMBLY_SLOTS },
	};
	struct arena_config cfg = { .name = "tcpstack",
				    .pools = pools,
				    .npools = ARRAY_SIZE(pools) };

	int err = arena_new(&st->arena, &cfg);

	if (!err)
		memory_add_arena(st, st->arena);
	return err;
}

/* In the order in which they are made; stack_free() ends them in reverse. */
static int init_parts(struct stack *st)
{
	static const struct policy_list none;
	const struct policy_list *rules = st->cfg.policy ? st->cfg.policy : &none;
	int err = loop_new(&st->loop, st->env.now_ns, st->env.ctx);

	st->cfg.policy = NULL; /* the caller's: not used beyond this */
	if (!err)
		err = policy_compile(&st->policy, rules);
	if (!err)
		err = names_init(st);
	if (!err) {
		memory_init(st);
		err = init_arena(st);
	}
	if (!err)
		err = out_init(st);
	if (!err)
		err = fragment_init(st);
	if (!err)
		err = tcp_init(st);
	if (!err)
		err = udp_init(st);
	if (!err)
		err = ping_init(st);
	if (!err)
		err = dns_init(st);
	if (!err)
		err = forward_init(st);
	if (!err)
		rate_init(st);
	return err;
}

/**
 * stack_new() - a stack with no driver attached
 * @cfg:	as stack_config_check() approves of; copied
 * @env:	copied; its functions are called on the stack's thread
 *
 * Return: 0 with *@out, which stack_free() ends; or -EINVAL (logged), -ENOMEM,
 * -errno of the loop or of a module
 */
int stack_new(struct stack **out, const struct stack_config *cfg, const struct stack_env *env)
{
	struct stack *st;
	char why[128];
	int err;

	if (stack_config_check(cfg, why, sizeof(why))) {
		log_error("net", "%s", why);
		return -EINVAL;
	}
	st = calloc(1, sizeof(*st));
	if (!st)
		return -ENOMEM;
	st->cfg = *cfg;
	st->env = *env;
	if (cfg->ip6 && cfg->mtu < STACK_MTU_MIN6) {
		log_info("net", "no IPv6: the MTU is %u, below %u", cfg->mtu, STACK_MTU_MIN6);
		st->cfg.ip6 = false;
	}
	dlist_init(&st->out_waiting);
	memcpy(st->guest_mac, cfg->guest_mac, 6);
	st->icmp_tokens = LIMIT_ICMP_ERROR_BURST;
	env->random(env->ctx, &st->hash_key, sizeof(st->hash_key));
	env->random(env->ctx, &st->ip_id, sizeof(st->ip_id));
	env->random(env->ctx, &st->ip6_id, sizeof(st->ip6_id));

	err = init_parts(st);
	if (err) {
		stack_free(st);
		return err;
	}
	st->icmp_tokens_ns = stack_now(st);
	ndp_init(st);
	*out = st;
	return 0;
}

/**
 * stack_free() - close every flow and give all memory back
 *
 * The driver must have been detached. Modules accept a fini without an init.
 */
void stack_free(struct stack *st)
{
	if (!st)
		return;
	BUG_ON(st->port);
	rate_fini(st);
	forward_fini(st);
	dns_fini(st);
	ping_fini(st);
	udp_fini(st);
	tcp_fini(st);
	fragment_drop_all(st);
	out_fini(st);
	if (st->arena) {
		DEBUG_BUG_ON(arena_leaks(st->arena) != 0);
		arena_free(st->arena);
	}
	names_fini(st);
	policy_free(st->policy);
	loop_free(st->loop);
	free(st);
}

/**
 * stack_loop() - the loop that the worker waits in
 */
struct loop *stack_loop(struct stack *st)
{
	return st->loop;
}

/**
 * stack_counters() - live counters; any thread may read them
 */
const struct stack_counters *stack_counters(const struct stack *st)
{
	return &st->n;
}

/**
 * stack_port_up() - a driver is ready
 * @ops, @ctx:	how to reach its rings; callable until stack_port_down() returns
 * @caps:	what it negotiated; copied
 */
void stack_port_up(struct stack *st, const struct port_ops *ops, void *ctx,
		   const struct port_caps *caps)
{
	BUG_ON(st->port);
	st->port = ops;
	st->port_ctx = ctx;
	st->caps = *caps;
	st->rx_starved = false;
	ndp_port_up(st);
	tcp_port_changed(st, true);
}

/**
 * stack_port_down() - the driver goes away
 *
 * TCP gives back every token it holds while the port can still be called; what
 * waited for buffers is dropped (H17). After the return the stack touches
 * neither the port nor the guest's memory. Harmless when no driver is attached.
 */
void stack_port_down(struct stack *st)
{
	if (!st->port)
		return;
	ndp_port_down(st);
	tcp_port_changed(st, false);
	out_drop_all(st);
	fragment_drop_all(st);
	st->port = NULL;
	st->port_ctx = NULL;
	st->caps = (struct port_caps){ 0 };
	st->rx_starved = false;
}

/**
 * stack_reset() - end every flow: the guest behind the port has gone for good
 *
 * Connections are reset towards the host (H60). Whoever attaches next begins on
 * an empty stack. The worker, with no driver attached.
 */
void stack_reset(struct stack *st)
{
	BUG_ON(st->port);
	st->guest_mac_known = false;
	memcpy(st->guest_mac, st->cfg.guest_mac, 6);
	tcp_reset_all(st);
	udp_reset_all(st);
	ping_reset_all(st);
	dns_reset_all(st);
	ndp_reset(st);
	st->guest_mac_known = false;
	memcpy(st->guest_mac, st->cfg.guest_mac, 6);
}

/* Frames of the guest that went nowhere, and that it will send again. */
static uint64_t to_be_resent(const struct stack *st)
{
	return counter_get(&st->n.drops[DROP_TCP_PARK_LIMIT]) +
	       counter_get(&st->n.drops[DROP_TCP_PARK_FULL]) +
	       counter_get(&st->n.drops[DROP_UDP_SEND]);
}

/**
 * stack_input() - one frame from the guest
 * @frame:	read during the call; see port.h for what outlives it
 *
 * Return: TX_DONE, or TX_HELD: the stack will call tx_done() with its token
 */
enum tx_verdict stack_input(struct stack *st, const struct tx_frame *frame)
{
	enum tx_verdict verdict;
	uint64_t lost;

	counter_inc(&st->n.tx_frames);
	counter_add(&st->n.tx_bytes, frame->len);
	if (unlikely(st->capture))
		capture_tx(st, frame);
	lost = to_be_resent(st);
	verdict = eth_input(st, frame);
	if (unlikely(lost != to_be_resent(st)))
		rate_refund(st, frame->len);
	return verdict;
}

/**
 * stack_run() - do the work that events, frames and timers have marked
 *
 * Once a cycle, after loop_wait() and the frames. Timers come first: what they
 * mark is done in the same cycle.
 */
void stack_run(struct stack *st)
{
	uint64_t syscalls;

	counter_inc(&st->n.cycles);
	timer_wheel_run(loop_timers(st->loop), stack_now(st));
	forward_run(st);
	tcp_run(st);
	udp_run(st);
	ping_run(st);
	dns_run(st);
	memory_run(st);

	syscalls = loop_syscalls(st->loop);
	counter_add(&st->n.syscalls, syscalls - st->loop_syscalls_seen);
	st->loop_syscalls_seen = syscalls;
}

/**
 * stack_rx_refilled() - the guest has added receive buffers
 *
 * Frames that wait go first, then the modules that stopped for want of room; a
 * module may find the ring full again and sets rx_starved anew (H14).
 */
void stack_rx_refilled(struct stack *st)
{
	st->rx_starved = false;
	out_flush(st);
	tcp_rx_refilled(st);
	udp_rx_refilled(st);
}

/**
 * stack_dump_flows() - one line for each flow; the stack's thread
 */
void stack_dump_flows(const struct stack *st, FILE *out)
{
	tcp_dump(st, out);
	udp_dump(st, out);
}
