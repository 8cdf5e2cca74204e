/* SPDX-License-Identifier: MIT */
/*
 * Why a frame, datagram or connection was dropped or refused. One enum shared
 * by counters, log lines and probes; the names are metric labels and so stable.
 */
#ifndef SLUICE_TCPSTACK_DROP_H
#define SLUICE_TCPSTACK_DROP_H

#define DROP_REASONS(X)                                                                        \
	/* frames from the guest, layers 2 and 3 */                                            \
	X(FRAME_SHORT, "frame_short", "frame ends inside a header")                            \
	X(FRAME_MAC, "frame_mac", "not sent to our MAC address or a group")                    \
	X(ETHERTYPE, "ethertype", "neither ARP, IPv4 nor IPv6")                                \
	X(ARP_MALFORMED, "arp_malformed", "not an Ethernet/IPv4 ARP request or reply")         \
	X(IP_MALFORMED, "ip_malformed", "version, header length or total length wrong")        \
	X(IP_CHECKSUM, "ip_checksum", "IPv4 header checksum wrong")                            \
	X(IP_FRAGMENT, "ip_fragment", "fragment of what is not reassembled, or cut wrong")     \
	X(FRAGMENT_ORDER, "fragment_order", "fragment out of order, overlapping or orphaned")  \
	X(FRAGMENT_LIMIT, "fragment_limit", "datagram given up: too many in fragments")        \
	X(FRAGMENT_TIMEOUT, "fragment_timeout", "datagram given up: the rest has not come")    \
	X(IP_SPOOFED, "ip_spoofed", "source address is not the guest's")                       \
	X(IP_PROTOCOL, "ip_protocol", "neither TCP, UDP nor ICMP")                             \
	X(IP_DISABLED, "ip_disabled", "this IP version is switched off")                       \
	X(IP_DESTINATION, "ip_destination", "broadcast, multicast or reserved destination")    \
	X(IP_ROUTING, "ip_routing", "an IPv6 routing header that asks for a way of its own")   \
	X(IP_TTL, "ip_ttl", "TTL or hop limit at its end: answered by time exceeded")          \
	X(L4_MALFORMED, "l4_malformed", "transport header wrong or cut")                       \
	X(L4_CHECKSUM, "l4_checksum", "transport checksum wrong")                              \
	X(OFFLOAD, "offload", "offload fields contradict the packet")                          \
	/* policy and limits */                                                                \
	X(POLICY_DENIED, "policy_denied", "an egress rule refused the destination")            \
	X(FLOW_LIMIT, "flow_limit", "table of flows is full")                                  \
	X(CONN_RATE, "conn_rate", "too many new connections a second")                         \
	X(SOCKET_ERROR, "socket_error", "the host refused to make or connect a socket")        \
	X(FORWARD_ADDRESS, "forward_address", "of a forward: the guest has no IPv6 address")   \
	/* TCP */                                                                              \
	X(TCP_NO_FLOW, "tcp_no_flow", "segment of no known flow: answered by RST")             \
	X(TCP_SEQUENCE, "tcp_sequence", "outside the receive window or out of order")          \
	X(TCP_ACK, "tcp_ack", "ACK of something never sent")                                   \
	X(TCP_STATE, "tcp_state", "segment makes no sense in this state")                      \
	X(TCP_PARK_LIMIT, "tcp_park_limit", "beyond the window: not taken, guest will resend") \
	X(TCP_PARK_FULL, "tcp_park_full", "no memory to hold it: not taken, will be resent")   \
	/* UDP, ICMP, services */                                                              \
	X(UDP_SEND, "udp_send", "host socket refused the datagram")                            \
	X(UDP_TOO_BIG, "udp_too_big", "datagram longer than any IP packet")                    \
	X(ICMP_TYPE, "icmp_type", "only echo is forwarded")                                    \
	X(ICMP_UNAVAILABLE, "icmp_unavailable", "host gives us no ping sockets")               \
	X(NDP_MALFORMED, "ndp_malformed", "neighbour discovery message wrong")                 \
	X(DHCP_MALFORMED, "dhcp_malformed", "DHCP message wrong or not for us")                \
	X(DNS_MALFORMED, "dns_malformed", "query or answer wrong")                             \
	X(DNS_LIMIT, "dns_limit", "too many queries under way")                                \
	X(DNS_TIMEOUT, "dns_timeout", "no resolver answered in time")                          \
	X(DNS_LATE, "dns_late", "answer to a query that was asked again or given up")          \
	/* frames to the guest */                                                              \
	X(RX_NO_BUFFER, "rx_no_buffer", "guest gave no receive buffers in time")               \
	X(RX_TOO_BIG, "rx_too_big", "frame longer than the guest's buffers")                   \
	X(RX_NO_DRIVER, "rx_no_driver", "no driver is attached")                               \
	X(OUT_OF_SLOTS, "out_of_slots", "an arena pool was empty")

enum drop_reason {
#define X(id, name, text) DROP_##id,
	DROP_REASONS(X)
#undef X
		DROP_REASON_COUNT,
	/* No reason to drop: what checks answer when all is well. Never counted. */
	DROP_NONE = DROP_REASON_COUNT
};

/* drop.c */
const char *drop_name(enum drop_reason reason);
const char *drop_text(enum drop_reason reason);

#endif
