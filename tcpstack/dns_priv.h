/* SPDX-License-Identifier: MIT */
/*
 * The inside of the DNS service.
 *
 * A query's way:  dns.c or dns_tcp.c -> dns_answer.c: policy, hosts.c, dns_cache.c -> if none of
 * them knows: dns.c asks a resolver; its answer goes by dns_cache.c
 */
#ifndef SLUICE_TCPSTACK_DNS_PRIV_H
#define SLUICE_TCPSTACK_DNS_PRIV_H

#include "tcpstack/dgram.h"
#include "tcpstack/dns_cache.h"
#include "tcpstack/dns_msg.h"
#include "tcpstack/hosts.h"

/* Longest answer of a resolver. */
#define DNS_ANSWER_MAX 65536

static_assert((LIMIT_DNS_NAMES & (LIMIT_DNS_NAMES - 1)) == 0, "the hash is masked");

/**
 * struct host - one name and one of its addresses
 * @next_name, @next_addr:	index + 1 in the chains of its name's and its address's bucket
 * @next_free:	index + 1 of the next free record
 * @order:	in the order in which they were added
 */
struct host {
	struct dlist order;
	uint32_t next_name, next_addr, next_free;
	struct ipaddr addr;
	char name[DNS_TEXT_MAX + 1];
};

/**
 * struct hosts - what the user has us serve
 * @touched:	records that were ever in use
 * @free:	index + 1 of the free record to use next
 */
struct hosts {
	struct dlist order;
	uint32_t touched, used, free;
	uint32_t by_name[LIMIT_DNS_NAMES], by_addr[LIMIT_DNS_NAMES];
	struct host rec[LIMIT_DNS_NAMES];
};

/**
 * struct dns_tries - whom a query has asked
 * @gen:	of the list of resolvers that the rest is about
 * @asked:	bit 1 << index for each
 * @now:	the one asked last
 * @n:		how often it was asked in all
 */
struct dns_tries {
	uint32_t gen;
	uint32_t asked;
	uint32_t now;
	uint32_t n;
};

/**
 * struct dns_health - how a resolver does
 * @fails:	silences in a row
 * @bad_until_ns:	it is asked last until then
 */
struct dns_health {
	uint32_t fails;
	uint64_t bad_until_ns;
};

/**
 * struct dns_resolvers - how those of cfg.resolvers do
 * @gen:	moves when they are exchanged
 */
struct dns_resolvers {
	uint32_t gen;
	struct dns_health health[STACK_RESOLVERS_MAX];
};

/**
 * struct dns_tcp - connections of the guest to port 53; see dns_tcp.c
 * @listener:	where its flows connect to, -1 = nowhere
 * @here:	the listener's address
 * @accept:	somebody may have connected
 * @retry:	armed while no descriptor can be had
 * @pool:	a slot for each session's answer
 */
struct dns_tcp {
	struct flow_table sessions;
	struct dlist ready;
	int listener;
	struct endpoint here;
	bool accept;
	struct timer retry;
	struct pool *pool;
};

/**
 * struct dns - the module
 * @d:		queries under way, each to a resolver
 * @late:	sockets of queries that nobody waits for any more
 * @late_seq:	how many there ever were
 * @arena:	of what is kept, and of answers over TCP
 * @reply:	an answer of our own, for the length of one call
 * @answer:	a resolver's, for the length of one call
 */
struct dns {
	struct dgram d;
	struct dgram late;
	uint64_t late_seq;
	struct dns_resolvers resolvers;
	struct hosts hosts;
	struct arena *arena;
	struct dns_cache cache;
	struct dns_tcp tcp;
	struct dns_reply reply;
	uint8_t answer[DNS_ANSWER_MAX];
};

/* dns_answer.c: what needs no resolver */
bool dns_answer_here(struct stack *st, const struct endpoint *guest, const uint8_t *query,
		     const struct dns_question *q, struct dns_reply *r);
void dns_answer_learn(struct stack *st, const struct dns_question *q, const uint8_t *msg,
		      uint32_t len);
bool dns_answer_is_no_help(const uint8_t *msg);
void dns_answer_servfail(const uint8_t *query, const struct dns_question *q, struct dns_reply *r);

/* dns_resolver.c: whom to ask */
int dns_resolver_next(struct stack *st, struct dns_tries *t);
bool dns_resolver_others(const struct stack *st, const struct dns_tries *t);
void dns_resolver_answered(struct stack *st, const struct dns_tries *t);
void dns_resolver_failed(struct stack *st, const struct dns_tries *t);

/* dns_late.c: answers that nobody waits for any more */
int dns_late_init(struct stack *st);
void dns_late_keep(struct stack *st, struct dgram_flow *df, uint16_t id);
void dns_late_run(struct stack *st);

/* dns_tcp.c: the same over TCP */
int dns_tcp_init(struct stack *st, struct pool *pool);
void dns_tcp_fini(struct stack *st);
void dns_tcp_reset(struct stack *st);
void dns_tcp_run(struct stack *st);

/* hosts.c: names of our own */
void hosts_init(struct hosts *hs);
bool hosts_have(const struct stack *st, const char *name, const struct dns_question *q);
void hosts_answer(struct stack *st, const char *name, const uint8_t *query,
		  const struct dns_question *q, struct dns_reply *r);

#endif
