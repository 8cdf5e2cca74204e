/* SPDX-License-Identifier: MIT */
/*
 * The inside of a stack, for the files of this folder only.
 *
 * A frame's way:  stack_input -> eth.c -> frame.c -> { arp, icmp, udp, tcp_in }
 * A socket's way: loop_wait -> *_event (marks the flow dirty) -> stack_run ->
 *		   { tcp_rx, udp, ping, dns } -> out.c or port frames
 *
 * Work is found on dirty lists and timers, never by walking a table.
 */
#ifndef SLUICE_TCPSTACK_PRIV_H
#define SLUICE_TCPSTACK_PRIV_H

#include "arena/arena.h"
#include "src/base/log.h"
#include "src/base/probe.h"
#include "tcpstack/audit.h"
#include "tcpstack/capture.h"
#include "tcpstack/flow.h"
#include "tcpstack/frame.h"
#include "tcpstack/icmp.h"
#include "tcpstack/limits.h"
#include "tcpstack/loop.h"
#include "tcpstack/ndp.h"
#include "tcpstack/out.h"
#include "tcpstack/rate.h"
#include "tcpstack/reass.h"
#include "tcpstack/stack.h"
#include "tcpstack/timer.h"

/* Each module's own state; allocated by its init, opaque to the others. */
struct tcp;
struct udp;
struct ping;
struct dns;
struct names;
struct forwards;

/* Arenas, tables and scratch arrays of one stack; each module registers its own. */
#define MEMORY_ARENAS_MAX    8
#define MEMORY_TABLES_MAX    16
#define MEMORY_SCRATCHES_MAX 16

/**
 * struct memory - what the modules have taken, for reports and trimming
 * @timer:	the next trim; armed while anything is taken and put back
 * @seen:	activity() at the last trim
 */
struct memory {
	struct arena *arenas[MEMORY_ARENAS_MAX];
	struct {
		const char *name;
		struct flow_table *t;
	} tables[MEMORY_TABLES_MAX];
	const struct scratch *scratches[MEMORY_SCRATCHES_MAX];
	uint32_t narenas, ntables, nscratches;
	struct timer timer;
	uint64_t seen;
};

/**
 * struct verdict - what a judgement of policy.c rests on, for audit.c
 * @reason:	enum audit_reason
 * @rule:	number of the rule, or POLICY_NO_RULE
 * @monitored:	a denial that the profile lets pass
 * @inbound:	of the host's side
 * @translated:	@host is where it would go
 * @name:	that the guest knows the destination by, NULL = none; good until the
 *		next names_learn()
 */
struct verdict {
	uint32_t reason;
	uint32_t rule;
	bool monitored, inbound, translated;
	const char *name;
	struct endpoint host;
};

struct stack {
	struct stack_config cfg;
	struct stack_env env;
	struct loop *loop;
	struct arena *arena;

	/* The port, while a driver is attached. */
	const struct port_ops *port; /* NULL = none */
	void *port_ctx;
	struct port_caps caps;

	struct tcp *tcp;
	struct udp *udp;
	struct ping *ping;
	struct dns *dns;
	struct names *names;
	struct policy *policy; /* never NULL */
	struct verdict verdict;
	struct capture *capture; /* NULL = nobody wants copies of frames */
	struct forwards *forwards;

	/* out.c */
	struct pool *out_small, *out_medium, *out_large;
	struct dlist out_waiting;
	uint32_t out_waiting_count;
	uint16_t ip_id;	 /* of datagrams that may be fragments, RFC 6864 */
	uint32_t ip6_id; /* of those that are */
	bool rx_starved; /* rx_alloc() said -ENOBUFS since the last refill */

	/* rate.c */
	struct rate rate_out, rate_in;

	/* fragment.c */
	struct reass reass;
	struct timer reass_timer; /* armed while something is under way */

	/* eth.c: where frames to the guest go; the configured one until it has spoken */
	uint8_t guest_mac[6];
	bool guest_mac_known;

	struct ndp ndp;

	/* icmp_error.c: errors that may still be sent, RFC 1812 4.3.2.8 */
	uint32_t icmp_tokens;
	uint64_t icmp_tokens_ns;

	struct memory memory;
	struct siphash_key hash_key;
	uint64_t loop_syscalls_seen;
	struct stack_counters n;
};

static inline uint64_t stack_now(const struct stack *st)
{
	return loop_now(st->loop);
}

/* The bits that tell hosts of the guest's network apart; its prefix has 1..30 bits. */
static inline uint32_t stack_host_mask(const struct stack *st)
{
	return UINT32_MAX >> st->cfg.prefix4;
}

/* Is @addr the gateway or the DNS server, by any of their addresses? */
static inline bool stack_is_ours(const struct stack *st, const struct ipaddr *addr)
{
	if (ipaddr_is_v4(addr))
		return ipaddr_v4(addr) == st->cfg.gateway4 || ipaddr_v4(addr) == st->cfg.dns4;
	return st->cfg.ip6 &&
	       (ipaddr_equal(addr, &st->cfg.gateway6) || ipaddr_equal(addr, &st->cfg.dns6) ||
		ipaddr_equal(addr, &st->ndp.link_local));
}

/* The DNS service's port, by either address. */
static inline bool stack_is_dns(const struct stack *st, const struct endpoint *dst)
{
	if (dst->port != 53)
		return false;
	if (ipaddr_is_v4(&dst->addr))
		return ipaddr_v4(&dst->addr) == st->cfg.dns4;
	return ipaddr_equal(&dst->addr, &st->cfg.dns6);
}

/* A frame to the guest is complete: the only way to the port's rx_commit(). */
static inline void stack_rx_commit(struct stack *st, struct rx_frame *frame, uint32_t len,
				   const struct offload *off)
{
	if (unlikely(st->capture))
		capture_rx(st, frame, len);
	st->port->rx_commit(st->port_ctx, frame, len, off);
}

static inline void stack_drop(struct stack *st, enum drop_reason reason)
{
	probe_drop(reason);
	counter_inc(&st->n.drops[reason]);
}

/*
 * Modules. Each *_init() takes all memory that the module will ever use and
 * registers its token; *_input() handles one checked packet and never keeps
 * it, but for tcp_input(); *_run() does the work that events have marked.
 */

/* memory.c: what *_init() has taken is added by it and stays until the stack ends */
void memory_init(struct stack *st);
void memory_add_arena(struct stack *st, struct arena *a);
void memory_add_table(struct stack *st, const char *name, struct flow_table *t);
void memory_add_scratch(struct stack *st, const struct scratch *s);
void memory_run(struct stack *st);

/* eth.c, arp.c, icmp.c */
enum tx_verdict eth_input(struct stack *st, const struct tx_frame *frame);
void eth_learn_mac(struct stack *st, const uint8_t *mac);
void arp_input(struct stack *st, const struct tx_frame *frame, uint16_t l3);
void icmp_input(struct stack *st, const struct packet *pkt);
void icmp6_input(struct stack *st, const struct packet *pkt);

/* fragment.c: what a guest sends in pieces */
int fragment_init(struct stack *st);
void fragment_drop_all(struct stack *st);
void fragment_input(struct stack *st, const struct packet *pkt);

/* policy.c: may a flow go to @dst, and where is that on the host? DROP_NONE: it may */
enum drop_reason policy_translate(struct stack *st, uint8_t proto, const struct endpoint *dst,
				  struct endpoint *host);
enum drop_reason policy_question(struct stack *st, const char *name, bool ours);
bool policy_visible(const struct stack *st, const struct ipaddr *addr);

/* tcp.c and its siblings */
int tcp_init(struct stack *st);
void tcp_fini(struct stack *st);
void tcp_reset_all(struct stack *st);
enum tx_verdict tcp_input(struct stack *st, const struct packet *pkt);
void tcp_run(struct stack *st);
void tcp_port_changed(struct stack *st, bool up);
void tcp_rx_refilled(struct stack *st);
void tcp_dump(const struct stack *st, FILE *out);

/* snapshot.c */
struct flow_table *stack_flow_table(const struct stack *st, enum flow_proto proto);

/* tcp_snap.c */
struct flow_snap;
void tcp_snap(const struct stack *st, const struct flow *f, struct flow_snap *s);

/* tcp_connect.c, tcp_accept.c: for forward.c */
int tcp_socket_options(struct stack *st, int fd);
int tcp_accept(struct stack *st, int fd, const struct flow_key *key, const struct endpoint *peer);

/* forward.c: listening sockets of the host */
int forward_init(struct stack *st);
void forward_fini(struct stack *st);
void forward_run(struct stack *st);

/* udp.c */
int udp_init(struct stack *st);
void udp_fini(struct stack *st);
void udp_reset_all(struct stack *st);
void udp_input(struct stack *st, const struct packet *pkt);
void udp_run(struct stack *st);
void udp_rx_refilled(struct stack *st);
void udp_dump(const struct stack *st, FILE *out);

/* ping.c: ICMP echo through ping sockets */
int ping_init(struct stack *st);
void ping_fini(struct stack *st);
void ping_reset_all(struct stack *st);
void ping_input(struct stack *st, const struct packet *pkt, uint16_t id);
void ping_run(struct stack *st);
struct flow_table *ping_flows(const struct stack *st);

/* dhcp.c: called by udp_input() for port 67 */
void dhcp_input(struct stack *st, const struct packet *pkt);

/* dhcp6.c: called by udp_input() for port 547 of the servers' group */
void dhcp6_input(struct stack *st, const struct packet *pkt, uint16_t guest_port);

/* dns.c: called by udp_input() for port 53 of our DNS address */
int dns_init(struct stack *st);
void dns_fini(struct stack *st);
void dns_reset_all(struct stack *st);
void dns_input(struct stack *st, const struct packet *pkt, uint16_t guest_port);
void dns_run(struct stack *st);

/* dns_tcp.c: where flows to its TCP port lead, and that one does */
bool dns_tcp_endpoint(const struct stack *st, struct endpoint *host);
int dns_tcp_expect(struct stack *st, const struct flow *guest);

#endif
