/* SPDX-License-Identifier: MIT */
/*
 * What UDP, ping and DNS have in common: a table of flows, each over one
 * connected nonblocking datagram socket, aged by timers, with a list of those
 * that have something to read.
 */
#ifndef SLUICE_TCPSTACK_DGRAM_H
#define SLUICE_TCPSTACK_DGRAM_H

#include "tcpstack/priv.h"

/**
 * struct dgram_flow - the first member of each protocol's record
 * @flow:	key, host socket, age
 * @ready:	in the table's list while the socket may have something to read
 * @timer:	end of life, or of patience; the protocol arms it
 * @errors:	the socket has reported an error that was not looked at
 * @ttl:	of the guest's datagrams, as the socket knows it
 * @shares:	listed with others that share its socket, whose owner it is not; else
 *		the socket is its own
 */
struct dgram_flow {
	struct flow flow;
	struct dlist ready;
	struct timer timer;
	struct dlist shares;
	bool errors;
	uint8_t ttl;
};

static_assert(offsetof(struct dgram_flow, flow) == 0, "flow tables yield struct flow");

/**
 * struct dgram - one protocol's flows
 * @ready:	flows with an unread event, oldest event first
 * @kind:	of the sockets' tokens
 * @expired:	timer callback, its context is the stack
 * @active:	gauge of live flows, NULL = none
 * @wants_errors:	sockets queue ICMP errors, for dgram_take_errors()
 */
struct dgram {
	struct stack *st;
	struct flow_table flows;
	struct dlist ready;
	enum token_kind kind;
	timer_fn expired;
	struct counter *active;
	bool wants_errors;
};

/* dgram.c */
void dgram_set_buffers(struct stack *st, int fd);
int dgram_init(struct dgram *d, uint32_t limit, uint32_t usual, uint32_t record_size);
void dgram_reset(struct dgram *d);
void dgram_fini(struct dgram *d);
struct dgram_flow *dgram_new(struct dgram *d, const struct flow_key *key);
void dgram_free(struct dgram *d, struct dgram_flow *df);
int dgram_connect(struct dgram *d, struct dgram_flow *df, int protocol,
		  const struct endpoint *host);
bool dgram_expire(struct dgram *d, struct dgram_flow *df, uint64_t idle_ns);
void dgram_wake_again(struct dgram *d, struct dgram_flow *df);
bool dgram_unreachable_code(int err, uint8_t *code);
int dgram_send(struct dgram *d, struct dgram_flow *df, struct msghdr *msg,
	       const struct packet *pkt);

/* dgram_error.c */
uint32_t dgram_take_errors(struct dgram *d, struct dgram_flow *df);
void dgram_report_unreachable(struct dgram *d, const struct dgram_flow *df, uint8_t code);
void dgram_want_errors(struct dgram *d, int fd, int family);
void dgram_set_ttl(struct dgram *d, struct dgram_flow *df, const struct packet *pkt);
void dgram_too_big(struct dgram *d, struct dgram_flow *df, const struct packet *pkt);

#endif
