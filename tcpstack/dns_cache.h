/* SPDX-License-Identifier: MIT */
/*
 * Answers of resolvers, kept for as long as their records hold. One thread;
 * fixed slots of a pool; time comes from outside.
 */
#ifndef SLUICE_TCPSTACK_DNS_CACHE_H
#define SLUICE_TCPSTACK_DNS_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/dlist.h"
#include "src/base/siphash.h"
#include "tcpstack/dns_msg.h"
#include "tcpstack/timer.h"

struct pool;
struct dns_kept;

/* Bytes of one slot. */
#define DNS_CACHE_SLOT 1408

/**
 * struct dns_cache - the answers
 * @pool:	slots of DNS_CACHE_SLOT bytes
 * @by_use:	used longest ago first
 * @buckets:	chains under a keyed hash of the question, @mask + 1 of them
 * @limit:	answers at one time, 0..@slots
 */
struct dns_cache {
	struct pool *pool;
	struct timer_wheel *timers;
	struct siphash_key key;
	struct dlist by_use;
	struct dns_kept **buckets;
	uint32_t mask;
	uint32_t slots, limit, used;
};

/* dns_cache.c */
int dns_cache_init(struct dns_cache *c, struct pool *pool, uint32_t slots,
		   struct timer_wheel *timers, const struct siphash_key *key);
void dns_cache_fini(struct dns_cache *c);
bool dns_cache_serves(const struct dns_cache *c, const struct dns_question *q);
bool dns_cache_get(struct dns_cache *c, uint64_t now_ns, const uint8_t *query,
		   const struct dns_question *q, struct dns_reply *r);
uint32_t dns_cache_put(struct dns_cache *c, uint64_t now_ns, const struct dns_question *q,
		       const uint8_t *msg, uint32_t len);
uint32_t dns_cache_flush(struct dns_cache *c);
uint32_t dns_cache_set_limit(struct dns_cache *c, uint32_t limit);

#endif
