/* SPDX-License-Identifier: MIT */
/*
 * A stack rig with resolvers on loopback.
 *
 *	struct dns_rig d;
 *
 *	dns_rig_init(&d, 2);		two resolvers; then change d.cfg
 *	dns_rig_start(&d);
 *	dnsmsg_query(&m, 7, "a.test", DNS_TYPE_A);
 *	dns_rig_ask(&d, &m);		the guest, over UDP
 *	dns_rig_await(&d, 0, &a);	resolver 0 has it
 *	dnsmsg_answer(&a.m, 0);
 *	dnsmsg_a(&a.m, 60, 0xc0000201);
 *	dns_rig_reply(&d, 0, &a);
 *	dns_rig_get(&d, &m);		the guest has the answer to the query in m
 */
#ifndef SLUICE_TESTS_STACK_DNS_RIG_H
#define SLUICE_TESTS_STACK_DNS_RIG_H

#include "tests/stack/rig.h"
#include "tests/unit/dnsmsg.h"

#define DNS_RIG_ADDR 0x0a000203U
#define DNS_RIG_PORT 33333 /* of the guest */
#define DNS_RIG_MAX  4

struct dns_rig {
	struct rig_config cfg;
	struct rig *r;
	int fd[DNS_RIG_MAX]; /* the resolvers', -1 = not there */
};

/* A query as a resolver got it; made into the answer in place. */
struct dns_asked {
	struct dnsmsg m;
	struct sockaddr_in peer;
};

/* dns_rig.c */
void dns_rig_init(struct dns_rig *d, uint8_t resolvers);
void dns_rig_start(struct dns_rig *d);
void dns_rig_end(struct dns_rig *d);
void dns_rig_ask(struct dns_rig *d, const struct dnsmsg *m);
bool dns_rig_asked(struct dns_rig *d, uint32_t resolver, struct dns_asked *a);
void dns_rig_await(struct dns_rig *d, uint32_t resolver, struct dns_asked *a);
void dns_rig_reply(struct dns_rig *d, uint32_t resolver, const struct dns_asked *a);
void dns_rig_get(struct dns_rig *d, struct dnsmsg *m);
void dns_rig_resolve(struct dns_rig *d, struct dnsmsg *m, uint32_t ttl, uint32_t addr);
const struct stack_counters *dns_rig_counters(struct dns_rig *d);

#endif
