/* SPDX-License-Identifier: MIT */
/*
 * Flow tables: fixed records, found by a keyed hash of the 5-tuple or by a
 * handle of index and generation. One table for each protocol.
 *
 * The table is one mapping made at start; untouched records cost no memory.
 * Records are recycled last-in first-out, so the working set stays small, and pages
 * in which none is live for a while go back to the kernel.
 * A record's generation moves when it is freed: a stale handle finds nothing.
 */
#ifndef SLUICE_TCPSTACK_FLOW_H
#define SLUICE_TCPSTACK_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "arena/idle.h"
#include "src/base/dlist.h"
#include "src/base/siphash.h"
#include "tcpstack/addr.h"
#include "tcpstack/loop.h"

/**
 * struct flow_key - what identifies a flow, as the guest sees it
 * @guest:	the guest's address and port (ICMP echo: identifier)
 * @remote:	the address and port it talks to, before translation
 */
struct flow_key {
	struct endpoint guest;
	struct endpoint remote;
};

/* How a flow has ended; the names are stable. Until somebody knows better, its socket failed. */
#define FLOW_ENDS(X)                                                                       \
	X(HOST_ERROR, "host-error", "the host's socket failed")                            \
	X(CLOSED, "closed", "both sides have finished")                                    \
	X(GUEST_RESET, "guest-reset", "the guest has reset it")                            \
	X(HOST_RESET, "host-reset", "the host's peer has reset it")                        \
	X(REFUSED, "refused", "the host's peer refused it, or cannot be reached")          \
	X(CONNECT_TIMEOUT, "connect-timeout", "the host's peer has not answered")          \
	X(GUEST_REFUSED, "guest-refused", "the guest refused what came through a forward") \
	X(GUEST_SILENT, "guest-silent", "the guest does not answer any more")              \
	X(ABANDONED, "abandoned", "the guest gave up before it was open")                  \
	X(IDLE, "idle", "neither side has sent anything for long")                         \
	X(EVICTED, "evicted", "the longest idle made room for another")                    \
	X(FORWARD_GONE, "forward-gone", "the forward that it came by was taken away")      \
	X(DRIVER_GONE, "driver-gone", "the driver left with memory that the socket needs") \
	X(SHUTDOWN, "shutdown", "the guest has gone, or the program ends")

enum flow_end {
#define X(id, name, text) END_##id,
	FLOW_ENDS(X)
#undef X
		END_COUNT
};

struct flow_id {
	uint32_t index;
	uint32_t gen;
};

/* Protocols whose flows are shown. */
enum flow_proto { FLOW_TCP, FLOW_UDP, FLOW_PING, FLOW_PROTOS };

/* "icmp-4294967295.16777215" and its end. */
#define FLOW_NAME_STRLEN 25

/**
 * struct flow - the first member of every protocol's flow record
 * @id:		own handle
 * @hash:	of @key; the bucket is its low bits
 * @hash_next:	index + 1 of the next record in the bucket, 0 = none
 * @fd:		the host socket, -1 = none; owned by the flow
 * @live:	allocated
 * @inbound:	opened from the host's side
 * @end:	enum flow_end; set by whoever ends it
 * @error:	the errno behind that, 0 = none
 * @told:	audit_close() has told of the end
 * @age:	in the table's list of flows, least recently used first
 * @key:	5-tuple less the protocol
 * @host:	where the host socket goes: the translated remote
 */
struct flow {
	struct flow_id id;
	uint32_t hash;
	uint32_t hash_next;
	int fd;
	bool live;
	bool inbound;
	bool told;
	uint8_t end;
	uint16_t error;
	struct dlist age;
	struct flow_key key;
	struct endpoint host;
	uint64_t opened_ns;
	uint64_t used_ns;
	uint64_t tx_bytes, rx_bytes; /* payload, guest to host and back */
};

/**
 * struct flow_table - one protocol's flows; single writer
 * @idle:	records that are not live; its bookkeeping lies in @idle_room
 * @top_gen:	highest generation that any record has reached
 * @peak:	most flows at one time
 * @allocs, @refused:	flow_alloc() calls that found a record, and that did not
 */
struct flow_table {
	uint8_t *records;
	uint32_t record_size;
	uint32_t cap;
	uint32_t limit; /* flows at one time, 1..cap; may be changed at any time */
	uint32_t used;
	uint32_t peak;
	uint32_t top_gen;
	uint64_t allocs, refused;
	struct idle idle;
	void *idle_room;
	uint32_t *buckets; /* index + 1 of the first record */
	uint32_t bucket_mask;
	struct siphash_key key;
	struct dlist by_age;
};

/* flow.c */
int flow_table_init(struct flow_table *t, uint32_t cap, uint32_t record_size,
		    const struct siphash_key *key);
void flow_table_fini(struct flow_table *t);
struct flow *flow_alloc(struct flow_table *t, const struct flow_key *key, uint64_t now_ns);
void flow_free(struct flow_table *t, struct flow *f);
struct flow *flow_find(struct flow_table *t, const struct flow_key *key);
struct flow *flow_get(struct flow_table *t, struct flow_id id);
struct flow *flow_oldest(struct flow_table *t);
struct flow *flow_at(const struct flow_table *t, uint32_t index);
struct flow *flow_next(const struct flow_table *t, const struct flow *after);
uint32_t flow_table_trim(struct flow_table *t);
void flow_touch(struct flow_table *t, struct flow *f, uint64_t now_ns);
const char *flow_end_name(enum flow_end end);
const char *flow_proto_name(enum flow_proto proto);
const char *flow_name(enum flow_proto proto, struct flow_id id, char buf[FLOW_NAME_STRLEN]);
int flow_name_parse(const char *text, enum flow_proto *proto, struct flow_id *id);

/* @f is about to end, for this reason, if none was known before. */
static inline void flow_ends(struct flow *f, enum flow_end end, int error)
{
	if (f->end != END_HOST_ERROR || f->error)
		return;
	f->end = (uint8_t)end;
	f->error = (uint16_t)error;
}

/* Records below it may be live, those above are not. */
static inline uint32_t flow_table_touched(const struct flow_table *t)
{
	return t->idle.touched;
}

static inline uint64_t flow_token(const struct flow *f, enum token_kind kind)
{
	return token_make(kind, f->id.gen, f->id.index);
}

static inline struct flow *flow_of_token(struct flow_table *t, uint64_t token)
{
	return flow_get(t, (struct flow_id){ token_index(token), token_gen(token) });
}

#endif
