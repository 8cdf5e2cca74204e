/* SPDX-License-Identifier: MIT */
/* What dns_tcp.c (the guest's side) and dns_tcp_up.c (the resolver's) share. */
#ifndef SLUICE_TCPSTACK_DNS_TCP_H
#define SLUICE_TCPSTACK_DNS_TCP_H

#include "tcpstack/dns_priv.h"

/* Two bytes of length before each message, RFC 1035 section 4.2.2. */
#define DNS_TCP_HLEN 2
#define DNS_TCP_MAX  (DNS_TCP_HLEN + 65535)

/**
 * enum dns_session_state - whose turn it is
 * @SESSION_EXPECTED:	the guest's flow has connected and was not accepted yet
 * @SESSION_READ:	the guest's: a query
 * @SESSION_ASK:	a resolver's: it gets the query, then answers
 * @SESSION_WRITE:	the guest's: it takes the answer
 */
enum dns_session_state { SESSION_EXPECTED, SESSION_READ, SESSION_ASK, SESSION_WRITE };

/**
 * struct dns_session - one connection of the guest to port 53
 * @flow:	its fd is the accepted socket; the key's port is that of the guest flow's
 * @guest:	the guest's end of its flow
 * @ready:	in dns_tcp.ready while something may be done
 * @timer:	end of patience with whoever's turn it is
 * @up:		socket to a resolver, -1 = none
 * @transfer:	the answer may be many messages (AXFR, IXFR); it is the last
 * @begun:	... of which the first has come
 * @in:		the query, its length before it; @have bytes have come
 * @sent:	bytes of @in that the resolver has been sent
 * @msg:	the answer, its length before it; a slot of dns_tcp.pool, or NULL
 * @len:	bytes of @msg that have come
 * @written:	bytes of @msg that the guest has been sent
 */
struct dns_session {
	struct flow flow;
	struct endpoint guest;
	struct dlist ready;
	struct timer timer;
	int up;
	uint8_t state;
	bool transfer, begun;
	struct dns_tries tries;
	struct dns_question question;
	uint32_t have, sent;
	uint8_t *msg;
	uint32_t len, written;
	uint8_t in[DNS_TCP_HLEN + DNS_QUERY_MAX];
};

static_assert(offsetof(struct dns_session, flow) == 0, "flow tables yield struct flow");

/* What came of a step. */
enum session_step {
	SESSION_MORE,  /* go on */
	SESSION_WAITS, /* until an event or the timer */
	SESSION_GONE,  /* it was freed */
};

/* dns_tcp.c */
void dns_session_arm(struct stack *st, struct dns_session *s, uint64_t ns);
void dns_session_write(struct dns_session *s);
enum session_step dns_session_end(struct stack *st, struct dns_session *s);

/* dns_tcp_up.c */
enum session_step dns_session_ask(struct stack *st, struct dns_session *s);
enum session_step dns_session_up(struct stack *st, struct dns_session *s);
enum session_step dns_session_silent(struct stack *st, struct dns_session *s);
void dns_session_hang_up(struct stack *st, struct dns_session *s);

#endif
