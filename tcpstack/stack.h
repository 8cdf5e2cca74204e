/* SPDX-License-Identifier: MIT */
/*
 * The user-mode NAT: frames of one guest on one side, host sockets on the
 * other. This header is all that the rest of the program sees of it.
 *
 * A stack belongs to one network worker; every function here is called by that
 * thread unless it says otherwise. All memory is taken by stack_new(); from
 * then on neither the stack nor its modules call the allocator.
 *
 * One cycle of the worker:
 *
 *	loop_wait(stack_loop(st), may_sleep)	wait, read the clock, take events
 *	stack_input(st, frame) ...		for each frame the guest sent
 *	stack_run(st)				send batches, receive, fire timers
 *
 * after which the port publishes what it was given. stack_input() only
 * collects bulk payload: the one send for each flow and batch happens in
 * stack_run().
 */
#ifndef SLUICE_TCPSTACK_STACK_H
#define SLUICE_TCPSTACK_STACK_H

#include <stdint.h>
#include <stdio.h>

#include "src/base/counter.h"
#include "src/base/hist.h"
#include "tcpstack/addr.h"
#include "tcpstack/drop.h"
#include "tcpstack/port.h"

struct audit;
struct stack;
struct loop;
struct policy;
struct policy_list;

#define STACK_RESOLVERS_MAX 4
#define STACK_SPLICE_TO_MAX 16

/* How guest payload goes into host sockets; see bulk_auto.c. */
enum stack_bulk {
	STACK_BULK_AUTO,
	STACK_BULK_COPY,
	STACK_BULK_SPLICE,
	STACK_BULK_URING,
	STACK_BULK_ZEROCOPY,
};

/* An IP network: the first @bits bits of @addr, of 128 in either family. */
struct stack_net {
	struct ipaddr addr;
	uint8_t bits;
};

/* Smallest and largest MTU that the guest can be given, bytes of IP packet. */
#define STACK_MTU_MIN	  576
#define STACK_MTU_MAX	  65520
#define STACK_MTU_DEFAULT 65520

/* No link with less carries IPv6, RFC 8200 section 5. */
#define STACK_MTU_MIN6 1280

/**
 * struct stack_config - fixed for the life of a stack; copied by stack_new()
 * @guest4, @gateway4, @dns4:	address plan, host order; DHCP hands it out
 * @prefix4:			its prefix length
 * @ip6:			the guest has IPv6; stack_new() switches it off where
 *				the MTU is below STACK_MTU_MIN6
 * @prefix6:			its /64, low half zero; announced for autoconfiguration
 * @guest6:			the address that DHCPv6 hands out; the guest may make
 *				itself more of @prefix6
 * @gateway6, @dns6:		the twins of @gateway4 and @dns4, in @prefix6
 * @guest_mac, @our_mac:	Ethernet addresses
 * @mtu:			of the guest's link, STACK_MTU_MIN..STACK_MTU_MAX
 * @gateway_is_host:		traffic to the gateway's addresses reaches 127.0.0.1 and ::1
 * @resolvers:			host resolvers in order of use, port included; see
 *				stack_set_resolvers()
 * @hostname:			DHCP option 12, "" for none
 * @max_tcp, @max_udp, @max_ping, @max_dns:	flows (queries) at one time; all but the
 *				last can be changed while it runs, up to stack_flow_cap()
 * @dns_cache:			answers of resolvers that are kept, 0 = none
 * @rate_out, @rate_in:	bytes a second that the guest may send and receive, 0 = no limit
 * @rate_out_packets, @rate_in_packets:	the same in packets
 * @rate_burst_ms:	how much may come at once: so many milliseconds of the rate
 * @max_conn_rate:		new TCP connections a second, 0 = no limit
 * @sndbuf, @rcvbuf:		SO_SNDBUF/SO_RCVBUF of host sockets, 0 = the kernel's
 * @congestion:			TCP_CONGESTION of host sockets, "" = the kernel's
 * @bulk:			enum stack_bulk
 * @splice_to, @nsplice_to:	peers for which the operator vouches that they read what
 *				they receive, and neither splice, tee nor map it
 * @audit:			where decisions are told, NULL = nowhere; outlives the stack
 * @no_peek_offset:		behave as on a kernel without SO_PEEK_OFF for TCP
 */
struct stack_config {
	uint32_t guest4, gateway4, dns4;
	uint8_t prefix4;
	bool ip6;
	struct ipaddr prefix6, guest6, gateway6, dns6;
	uint8_t guest_mac[6], our_mac[6];
	uint16_t mtu;
	bool gateway_is_host;
	uint8_t nresolvers;
	struct endpoint resolvers[STACK_RESOLVERS_MAX];
	char hostname[64];
	uint32_t max_tcp, max_udp, max_ping, max_dns;
	uint32_t dns_cache;
	uint32_t max_conn_rate;
	uint64_t rate_out, rate_in, rate_out_packets, rate_in_packets;
	uint32_t rate_burst_ms;
	uint32_t sndbuf, rcvbuf;
	char congestion[16];
	const struct policy_list *policy;
	uint32_t bulk;
	uint32_t nsplice_to;
	struct stack_net splice_to[STACK_SPLICE_TO_MAX];
	struct audit *audit;
	bool no_peek_offset;
};

/*
 * What a table of flows is sized for: @asked of them, and no fewer than @usual, so that
 * a limit that was set low at the start can be lifted. Records cost memory once used.
 */
static inline uint32_t stack_flow_cap(uint32_t asked, uint32_t usual)
{
	return asked > usual ? asked : usual;
}

/**
 * struct stack_env - what the stack takes from outside, so that tests own it
 * @now_ns:	monotonic time; read once a cycle, in loop_wait()
 * @random:	fill @buf with @len random bytes
 * @cpu_ns:	CPU time of the stack's thread; asked once in some MiB of bulk. NULL =
 *		not known: `auto` then goes by sizes alone
 * @ctx:	handed to both
 */
struct stack_env {
	uint64_t (*now_ns)(void *ctx);
	void (*random)(void *ctx, void *buf, size_t len);
	uint64_t (*cpu_ns)(void *ctx);
	void *ctx;
};

/**
 * struct stack_counters - single writer, any reader
 *
 * "tx" is guest to host and "rx" host to guest, as the guest's driver has it.
 * Each counter before @drops has a row in counters.c.
 */
struct stack_counters {
	struct counter tx_frames, tx_bytes;
	struct counter rx_frames, rx_bytes;
	struct counter tx_batches;		       /* sends of collected TCP payload */
	struct counter tx_batch_segs;		       /* segments that went into them */
	struct counter tcp_tx_payload, tcp_rx_payload; /* bytes handed to / taken from sockets */
	struct counter tcp_opened, tcp_established, tcp_refused, tcp_closed, tcp_reset;
	struct counter tcp_accepted;	/* through forwards */
	struct counter tcp_active;	/* gauge */
	struct counter tcp_retransmits; /* segments sent to the guest again */
	struct counter tcp_early;	/* segments of the guest that came before their turn */
	struct counter udp_opened, udp_active, udp_tx, udp_rx;
	struct counter udp_accepted; /* through forwards */
	struct counter ping_opened, ping_active, ping_tx, ping_rx;
	struct counter reassembled; /* datagrams of the guest, from fragments */
	struct counter dns_queries, dns_answers;
	struct counter dns_tcp_queries;
	struct counter dns_retries;
	struct counter dns_hosts; /* answered from names of ours */
	struct counter dns_cache_hits, dns_cache_misses;
	struct counter dns_cache_evictions; /* for want of room */
	struct counter dhcp_acks, dhcp6_replies;
	struct counter router_adverts;
	struct counter icmp_errors;    /* of the host's network, about datagrams of the guest */
	struct counter rate_out_waits; /* how often something waited for a rate's tokens */
	struct counter rate_in_waits;
	struct counter names_learnt;	 /* by rules of names: addresses noted under a name */
	struct counter policy_monitored; /* denials that the profile monitored let pass */
	struct counter syscalls;	 /* of the stack itself */
	struct counter cycles;
	struct counter trims;		/* times that idle memory was given back */
	struct counter parked_bytes;	/* gauge: guest payload held back */
	struct counter held_frames;	/* gauge: of the guest's frames, those it lies in */
	struct counter returned_frames; /* ... that went back unsent with the driver */
	struct counter bulk_copy_bytes, bulk_splice_bytes, bulk_zerocopy_bytes, bulk_uring_bytes;
	struct counter bulk_small, bulk_bound, bulk_late, bulk_crowd; /* batches copied: why */
	struct counter bulk_dear;
	struct counter bulk_turns;		      /* measured, one way or the other */
	struct counter bulk_cost_copy, bulk_cost_ref; /* gauges: ns of CPU time a MiB, of late */
	struct counter bulk_elsewhere;		      /* flows whose peer cannot be watched */
	struct counter bulk_lent_bytes, bulk_lent_frames; /* gauges: referred to by sockets */
	struct counter bulk_zc_sends, bulk_zc_copied;	  /* ... that the kernel copied after all */
	struct counter bulk_released;			  /* segments that sockets have let go */
	struct counter bulk_abandoned;			  /* ... that were taken back from them */
	struct counter drops[DROP_REASON_COUNT];
	struct hist connect_ns; /* from the guest's SYN to the host's connection */
	struct hist life_ns;	/* of TCP flows, at their end */
	struct hist batch_bytes;
	struct hist ring_to_socket_ns; /* of each send: how long its oldest byte was ours */
	struct hist socket_to_ring_ns; /* of each first read after an event */
};

/**
 * struct stack_counter_def - one counter of struct stack_counters
 * @name:	of the field, and of the metric
 * @text:	what it counts, in a few words
 * @gauge:	it also falls
 */
struct stack_counter_def {
	const char *name, *text;
	size_t offset;
	bool gauge;
};

/**
 * struct stack_hist_def - one histogram of struct stack_counters
 * @name:	of the metric
 * @seconds:	it is in nanoseconds, and shown in seconds
 * @from, @to:	powers of two between which its buckets are shown
 */
struct stack_hist_def {
	const char *name, *text;
	size_t offset;
	bool seconds;
	unsigned int from, to;
};

/* counters.c */
extern const struct stack_hist_def stack_hist_table[];
extern const uint32_t stack_hist_rows;
const struct hist *stack_hist(const struct stack_counters *n, const struct stack_hist_def *def);
extern const struct stack_counter_def stack_counter_table[];
extern const uint32_t stack_counter_rows;
uint64_t stack_counter(const struct stack_counters *n, const struct stack_counter_def *def);

/**
 * struct stack_memory - one pool, flow table or scratch array
 * @kind:	"pool", "flows" or "scratch"
 * @owner:	the arena's name; "" for the others
 * @name:	its own
 * @size:	bytes of one slot, record or element
 * @slots:	how many there are
 * @in_use, @peak:	now, and at most
 * @gets:	times that one was taken (a scratch array: borrowed)
 * @empty:	times that there was none
 */
struct stack_memory {
	const char *kind, *owner, *name;
	uint32_t size, slots;
	uint64_t in_use, peak, gets, empty;
};

/* Room for the rows of stack_memory_rows(). */
#define STACK_MEMORY_ROWS 64

/* memory.c */
uint32_t stack_memory_rows(const struct stack *st, struct stack_memory *rows, uint32_t max);

/* stack.c */
void stack_config_defaults(struct stack_config *cfg);
void stack_config_set_prefix6(struct stack_config *cfg, const struct ipaddr *prefix);
int stack_config_check(const struct stack_config *cfg, char *why, size_t why_len);
int stack_new(struct stack **out, const struct stack_config *cfg, const struct stack_env *env);
void stack_free(struct stack *st);
struct loop *stack_loop(struct stack *st);
const struct stack_counters *stack_counters(const struct stack *st);
void stack_port_up(struct stack *st, const struct port_ops *ops, void *ctx,
		   const struct port_caps *caps);
void stack_port_down(struct stack *st);
enum tx_verdict stack_input(struct stack *st, const struct tx_frame *frame);
void stack_run(struct stack *st);
void stack_rx_refilled(struct stack *st);
void stack_reset(struct stack *st);
void stack_dump_flows(const struct stack *st, FILE *out);

/* dns.c */
uint32_t stack_dns_flush(struct stack *st);

/**
 * struct stack_resolver - a resolver of the host's
 * @failing:	it was silent lately, and is asked last
 */
struct stack_resolver {
	struct endpoint endpoint;
	bool failing;
};

/* dns_resolver.c */
bool stack_set_resolvers(struct stack *st, const struct endpoint *resolvers, uint8_t n);
uint8_t stack_resolvers(const struct stack *st, struct stack_resolver *out);

/* rate.c */
bool stack_tx_may(struct stack *st);

/* policy.c */
struct policy *stack_set_policy(struct stack *st, struct policy *p);
const struct policy *stack_policy(const struct stack *st);

#endif
