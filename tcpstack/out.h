/* SPDX-License-Identifier: MIT */
/*
 * Frames to the guest.
 *
 * Two ways. Small frames that we originate (ARP, ICMP, DHCP, DNS, UDP answers,
 * TCP control) are built in an arena slot by out_begin() and sent by
 * out_send(); if the guest's ring is full the slot waits in a bounded queue and
 * leaves when buffers return. Bulk TCP payload never passes through a slot:
 * tcp_rx.c allocates port frames, writes headers by out_headers(), and lets the
 * socket receive into the rest.
 */
#ifndef SLUICE_TCPSTACK_OUT_H
#define SLUICE_TCPSTACK_OUT_H

#include <stdint.h>

#include "src/base/dlist.h"
#include "tcpstack/frame.h"

struct stack;

/* Longest header we write: Ethernet, IPv6, TCP with options. */
#define OUT_HEADERS_MAX (ETH_HLEN + IP6_HLEN + 60)

/**
 * struct out_slot - one frame under construction or waiting, in an arena slot
 * @wait:	in the stack's queue while the ring is full
 * @since_ns:	since when
 * @len:	bytes of @data that are used
 * @room:	bytes that @data has
 * @off:	offloads of the frame
 * @data:	the frame, from its Ethernet header
 */
struct out_slot {
	struct dlist wait;
	uint64_t since_ns;
	uint32_t len;
	uint32_t room;
	struct offload off;
	uint8_t data[];
};

/**
 * struct l3_spec - what goes into the Ethernet and IP headers of a frame
 * @src, @dst:	both IPv4 or both IPv6
 * @proto:	PROTO_*
 * @ttl:	0 = the default, 64
 * @tos:	traffic class
 * @dont_fragment:	the IPv4 DF bit
 * @fragment:	it is a fragment: @at bytes into the datagram @id, and @more follow
 */
struct l3_spec {
	struct ipaddr src, dst;
	uint8_t proto, ttl, tos;
	bool dont_fragment;
	bool fragment, more;
	uint16_t at;
	uint32_t id;
};

/**
 * struct out_data - a transport header and what follows it, complete with its checksum
 * @head, @head_len:	first come these
 * @iov, @iovcnt:	then @len bytes from @off on
 */
struct out_data {
	const void *head;
	uint32_t head_len;
	const struct iovec *iov;
	uint32_t iovcnt, off, len;
};

/* out.c */
int out_init(struct stack *st);
void out_fini(struct stack *st);
struct out_slot *out_begin(struct stack *st, uint32_t len);
void out_cancel(struct stack *st, struct out_slot *slot);
void out_send(struct stack *st, struct out_slot *slot);
bool out_send_now(struct stack *st, struct out_slot *slot);
void out_flush(struct stack *st);
void out_drop_all(struct stack *st);
uint32_t out_l3(struct stack *st, uint8_t *buf, const struct l3_spec *l3, uint32_t l4_len);
void out_udp(struct stack *st, const struct endpoint *src, const struct endpoint *dst,
	     const void *payload, uint32_t len);

/* out_fragments.c */
void out_fragments(struct stack *st, const struct l3_spec *l3, const struct out_data *data);

#endif
