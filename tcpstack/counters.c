/* SPDX-License-Identifier: MIT */
/*
 * The one list of the stack's counters: name, kind and meaning. --stats, the
 * control socket and its Prometheus text all walk it.
 */
#include "tcpstack/stack.h"

#include "src/base/base.h"

#define AT(field) .name = #field, .offset = offsetof(struct stack_counters, field)
#define C(field, what)                    \
	{                                 \
		AT(field), .text = (what) \
	}
#define G(field, what)                                   \
	{                                                \
		AT(field), .text = (what), .gauge = true \
	}

const struct stack_counter_def stack_counter_table[] = {
	C(tx_frames, "frames from the guest"),
	C(tx_bytes, "bytes of frames from the guest"),
	C(rx_frames, "frames to the guest"),
	C(rx_bytes, "bytes of frames to the guest"),
	C(tx_batches, "sends of collected TCP payload"),
	C(tx_batch_segs, "segments that went into them"),
	C(tcp_tx_payload, "TCP payload bytes handed to host sockets"),
	C(tcp_rx_payload, "TCP payload bytes taken from host sockets"),
	C(tcp_opened, "TCP connections begun by the guest"),
	C(tcp_accepted, "TCP connections from the host, through forwards"),
	C(tcp_established, "TCP connections established"),
	C(tcp_refused, "TCP connections refused"),
	C(tcp_closed, "TCP flows ended, in whatever way"),
	C(tcp_reset, "TCP connections reset by the host's peer"),
	G(tcp_active, "TCP flows now"),
	C(tcp_retransmits, "TCP segments sent to the guest again"),
	C(tcp_early, "TCP segments of the guest kept until their turn"),
	C(udp_opened, "UDP flows begun by the guest"),
	C(udp_accepted, "UDP flows begun by peers of the host, through forwards"),
	G(udp_active, "UDP flows now"),
	C(udp_tx, "UDP datagrams from the guest"),
	C(udp_rx, "UDP datagrams to the guest"),
	C(ping_opened, "ICMP echo flows begun"),
	G(ping_active, "ICMP echo flows now"),
	C(ping_tx, "ICMP echo requests from the guest"),
	C(ping_rx, "ICMP echo replies to the guest"),
	C(reassembled, "datagrams of the guest put together from fragments"),
	C(dns_queries, "DNS queries from the guest"),
	C(dns_answers, "DNS answers to the guest"),
	C(dns_tcp_queries, "DNS queries that came over TCP"),
	C(dns_retries, "DNS queries asked again, of the next resolver or the only one"),
	C(dns_hosts, "DNS queries answered from names of our own"),
	C(dns_cache_hits, "DNS queries answered from the cache"),
	C(dns_cache_misses, "DNS queries that the cache could have answered and had not"),
	C(dns_cache_evictions, "DNS answers that left the cache for want of room"),
	C(dhcp_acks, "DHCP leases acknowledged"),
	C(dhcp6_replies, "DHCPv6 replies sent"),
	C(router_adverts, "IPv6 router advertisements sent"),
	C(icmp_errors, "ICMP errors of the host's network about datagrams of the guest"),
	C(rate_out_waits, "how often the guest's frames waited for --rate-out"),
	C(rate_in_waits, "how often payload for the guest waited for --rate-in"),
	C(names_learnt, "addresses noted under a name, for rules of names"),
	C(policy_monitored, "denials that the profile monitored let pass"),
	C(syscalls, "system calls of the stack"),
	C(cycles, "cycles of the stack"),
	C(trims, "times that idle memory was given back"),
	G(parked_bytes, "bytes of the guest that wait for a host socket"),
	G(held_frames, "frames of the guest that hold such bytes in its ring"),
	C(returned_frames, "such frames given back unsent when the driver left"),
	C(bulk_copy_bytes, "TCP payload bytes sent by copying"),
	C(bulk_splice_bytes, "TCP payload bytes sent by splice"),
	C(bulk_zerocopy_bytes, "TCP payload bytes sent by MSG_ZEROCOPY"),
	C(bulk_uring_bytes, "TCP payload bytes sent by io_uring's SEND_ZC"),
	C(bulk_small, "batches copied though by reference was allowed: small"),
	C(bulk_bound, "... the flow has lent its share"),
	C(bulk_late, "... the peer has not read for long"),
	C(bulk_crowd, "... all flows together have lent enough"),
	C(bulk_dear, "... copies have cost less CPU time of late"),
	C(bulk_turns, "turns of bulk whose CPU time was measured, to choose between the two"),
	G(bulk_cost_copy, "CPU time of a copied MiB of late, nanoseconds"),
	G(bulk_cost_ref, "CPU time of a MiB by reference of late, nanoseconds"),
	C(bulk_elsewhere, "flows to a peer that no engine by reference can serve"),
	G(bulk_lent_bytes, "bytes of guest memory that host sockets refer to"),
	G(bulk_lent_frames, "frames of the guest that host sockets refer to"),
	C(bulk_zc_sends, "sends by reference that the kernel answers for"),
	C(bulk_zc_copied, "of them, those that it copied after all"),
	C(bulk_released, "segments that host sockets no longer refer to"),
	C(bulk_abandoned,
	  "segments taken back when the driver left, unread by a peer on this host"),
};

/* Whoever adds a counter adds its row. */
static_assert(ARRAY_SIZE(stack_counter_table) ==
		      offsetof(struct stack_counters, drops) / sizeof(struct counter),
	      "a row for each counter");

const uint32_t stack_counter_rows = ARRAY_SIZE(stack_counter_table);

/**
 * stack_counter() - the counter that @def describes, in @n; any thread
 */
uint64_t stack_counter(const struct stack_counters *n, const struct stack_counter_def *def)
{
	return counter_get((const struct counter *)((const char *)n + def->offset));
}

const struct stack_hist_def stack_hist_table[] = {
	/* 16 us to 137 s; 16 us to 4.9 hours; 64 bytes to 4 MiB */
	{ "connect_seconds", "from the guest's SYN to the host's connection",
	  offsetof(struct stack_counters, connect_ns), true, 14, 37 },
	{ "flow_life_seconds", "life of TCP flows that have ended",
	  offsetof(struct stack_counters, life_ns), true, 14, HIST_TOP },
	{ "batch_bytes", "TCP payload bytes that one send took",
	  offsetof(struct stack_counters, batch_bytes), false, 6, 22 },
	/* 16 us to 17 s: what is done within a cycle counts as nothing */
	{ "ring_to_socket_seconds", "from the guest's frame to the socket, oldest byte of a send",
	  offsetof(struct stack_counters, ring_to_socket_ns), true, 14, 34 },
	{ "socket_to_ring_seconds", "from a socket's event to the guest's buffers, first byte",
	  offsetof(struct stack_counters, socket_to_ring_ns), true, 14, 34 },
};

const uint32_t stack_hist_rows = ARRAY_SIZE(stack_hist_table);

/**
 * stack_hist() - the histogram that @def describes, in @n; any thread
 */
const struct hist *stack_hist(const struct stack_counters *n, const struct stack_hist_def *def)
{
	return (const struct hist *)(const void *)((const char *)n + def->offset);
}
