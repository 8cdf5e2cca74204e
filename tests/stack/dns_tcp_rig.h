/* SPDX-License-Identifier: MIT */
/*
 * A stack rig whose resolvers speak TCP, and a guest's connections to port 53.
 *
 *	dtcp_begin(1);			or dtcp_init(), dt.d.cfg, dns_rig_start()
 *	dtcp_conn_open(&dt.one, 40000);
 *	dnsmsg_query(&q, 1, "a.test", DNS_TYPE_A);
 *	dtcp_send_message(&dt.one, &q);
 *	fd = dtcp_resolver_gets(0, &q);	the query is in dt.m
 *	dtcp_resolver_answers(fd, 0, 0xc0000201);
 *	dtcp_get_message(&dt.one, &q);	the answer is in dt.got
 */
#ifndef SLUICE_TESTS_STACK_DNS_TCP_RIG_H
#define SLUICE_TESTS_STACK_DNS_TCP_RIG_H

#include "tcpstack/limits.h"
#include "tests/stack/dns_rig.h"
#include "tests/stack/rig_tcp.h"

#define DTCP_RESOLVERS 2
#define DTCP_CONNS     (LIMIT_DNS_TCP + 3)

/**
 * struct conn - a connection of the guest's to port 53
 * @c:		one of dt.conns
 * @read:	bytes of its stream that were read
 */
struct conn {
	struct rig_conn *c;
	uint8_t keep[4U << 20];
	uint32_t read;
};

/**
 * struct dtcp - the one rig of a test program
 * @one, @two:	the first of @conns, with what comes kept
 * @m:		a query that a resolver got, and what becomes of it
 * @got:	an answer that the guest got
 */
struct dtcp {
	struct dns_rig d;
	int lfd[DTCP_RESOLVERS];
	struct rig_conn conns[DTCP_CONNS];
	struct conn one, two;
	struct dnsmsg m, got;
};

extern struct dtcp dt;

/* dns_tcp_rig.c */
void dtcp_init(uint8_t resolvers);
void dtcp_begin(uint8_t resolvers);
void dtcp_end(void);
void dtcp_group(struct rig_conn *c);
void dtcp_conn_init(struct conn *k, uint16_t sport);
void dtcp_conn_opened(struct rig_conn *c);
void dtcp_conn_open(struct conn *k, uint16_t sport);
void dtcp_conn_close(struct rig_conn *c);
void dtcp_send_message(struct conn *k, const struct dnsmsg *q);
bool dtcp_message_is_here(struct conn *k);
void dtcp_get_message(struct conn *k, const struct dnsmsg *q);
int dtcp_resolver_gets(uint32_t i, const struct dnsmsg *q);
void dtcp_resolver_sends(int fd);
void dtcp_resolver_answers(int fd, uint16_t rcode, uint32_t addr);
void dtcp_assert_address(uint32_t addr);
void dtcp_served_by(uint32_t resolver, struct conn *k, const struct dnsmsg *q, uint32_t addr);
void dtcp_resolve(struct conn *k, const char *name, uint32_t addr);
void dtcp_ask(struct conn *k, struct dnsmsg *q);

#endif
