/* SPDX-License-Identifier: MIT */
/*
 * Putting datagrams together that came in fragments (RFC 791 3.2, RFC 8200 4.5).
 *
 * Knows neither sockets nor flows nor time: fragments go in by reass_add(), and what
 * comes out is a slot of a pool that holds one whole datagram, until reass_put(). Its
 * owner is one thread.
 */
#ifndef SLUICE_TCPSTACK_REASS_H
#define SLUICE_TCPSTACK_REASS_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/dlist.h"
#include "tcpstack/addr.h"
#include "tcpstack/drop.h"

struct pool;
struct tx_frame;

/* Room before a datagram's bytes, for the headers of a frame that its user makes of it. */
#define REASS_HEADROOM 64

/* The longest that an IPv6 packet carries; an IPv4 packet carries less. */
#define REASS_DATA_MAX 65535

/**
 * struct reass_key - what the fragments of one datagram have in common
 * @id:		of 16 bits in IPv4
 * @proto:	of the transport, PROTO_*
 */
struct reass_key {
	struct ipaddr src, dst;
	uint32_t id;
	uint32_t proto;
};

/**
 * struct reass_piece - one fragment
 * @frame, @off, @len:	its bytes: @len of them at @off of @frame
 * @at:		where they belong in the datagram, a multiple of FRAGMENT_UNIT
 * @more:	it is not the last
 * @ttl, @tos:	of its IP header; the first fragment's become the datagram's
 */
struct reass_piece {
	struct reass_key key;
	const struct tx_frame *frame;
	uint32_t off, len;
	uint32_t at;
	bool more;
	uint8_t ttl, tos;
};

/**
 * struct reass_slot - a datagram that grows
 * @node:	in reass.open, in the order of their first fragments
 * @since_ns:	when the first fragment came
 * @have:	bytes that have come: all of them from the first on
 * @frame:	room for headers, then the datagram: see reass_data()
 */
struct reass_slot {
	struct dlist node;
	struct reass_key key;
	uint64_t since_ns;
	uint32_t have;
	uint8_t ttl, tos;
	uint8_t frame[REASS_HEADROOM + REASS_DATA_MAX];
};

static inline uint8_t *reass_data(struct reass_slot *slot)
{
	return slot->frame + REASS_HEADROOM;
}

/**
 * struct reass - datagrams under way; all zero before reass_init()
 * @slots:	a pool of struct reass_slot; borrowed
 * @lost:	called with @ctx for a datagram that is given up though no fragment of it
 *		is to blame
 */
struct reass {
	struct pool *slots;
	struct dlist open;
	void (*lost)(void *ctx, enum drop_reason why);
	void *ctx;
};

/* reass.c */
void reass_init(struct reass *r, struct pool *slots, void (*lost)(void *ctx, enum drop_reason why),
		void *ctx);
enum drop_reason reass_add(struct reass *r, const struct reass_piece *p, uint64_t now_ns,
			   struct reass_slot **done);
void reass_put(struct reass *r, struct reass_slot *slot);
uint64_t reass_expire(struct reass *r, uint64_t until_ns);
void reass_drop_all(struct reass *r);

#endif
