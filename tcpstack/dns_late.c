/* SPDX-License-Identifier: MIT */
/*
 * Answers that come when nobody waits for them any more.
 *
 * Theory of operation. A query that is asked again, or given up, goes on with
 * another socket and another identifier; so an answer to what was asked before
 * cannot be taken for an answer to anything else. The old socket stays open for
 * LIMIT_DNS_LATE_NS more, only to see whether one comes: it is counted and
 * dropped. Many of them say that a resolver is slow rather than dead. These
 * sockets are few; when there are too many, the oldest goes.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "src/base/bytes.h"
#include "tcpstack/dns_priv.h"

/**
 * struct dns_late - a socket that may still be answered
 * @id:		of the query that was sent from it
 */
struct dns_late {
	struct dgram_flow d;
	uint16_t id;
};

static void on_timeout(void *ctx, struct timer *t)
{
	struct stack *st = ctx;

	dgram_free(&st->dns->late, container_of(t, struct dgram_flow, timer));
}

/**
 * dns_late_init() - memory for LIMIT_DNS_LATE sockets; 0 or -errno
 */
int dns_late_init(struct stack *st)
{
	struct dgram *d = &st->dns->late;

	d->st = st;
	d->kind = TOKEN_DNS_LATE;
	d->expired = on_timeout;
	return dgram_init(d, LIMIT_DNS_LATE, LIMIT_DNS_LATE, sizeof(struct dns_late));
}

/**
 * dns_late_keep() - nobody waits for an answer on @df's socket any more
 * @df:		of a query; left without a socket
 * @id:		the identifier that it was sent under
 */
void dns_late_keep(struct stack *st, struct dgram_flow *df, uint16_t id)
{
	struct dgram *d = &st->dns->late;
	struct flow_key key = { .guest.port = id };
	struct dgram_flow *old;
	struct flow *f;

	if (df->flow.fd < 0)
		return;
	/* Not for finding it: only that there is no other of the same. */
	put_be64(key.remote.addr.b, ++st->dns->late_seq);
	if (d->flows.used >= d->flows.limit) {
		f = flow_oldest(&d->flows);
		dgram_free(d, container_of(f, struct dgram_flow, flow));
	}
	old = dgram_new(d, &key);
	BUG_ON(!old);
	container_of(old, struct dns_late, d)->id = id;
	dlist_del(&df->ready);
	old->flow.fd = df->flow.fd;
	old->flow.host = df->flow.host;
	df->flow.fd = -1;
	timer_arm(loop_timers(st->loop), &old->timer, stack_now(st) + LIMIT_DNS_LATE_NS);
	/* What is there already is reported once more, under the new token. */
	if (loop_mod(st->loop, old->flow.fd, EPOLLIN, flow_token(&old->flow, d->kind)))
		dgram_free(d, old);
}

/* One datagram; false when there is none. */
static bool take(struct stack *st, struct dns_late *l)
{
	uint8_t *msg = st->dns->answer;
	ssize_t n;

	counter_inc(&st->n.syscalls);
	n = recv(l->d.flow.fd, msg, DNS_ANSWER_MAX, MSG_DONTWAIT);
	if (n < 0)
		return errno == EINTR;
	if (n >= DNS_HLEN && get_be16(msg) == l->id && get_be16(msg + DNS_OFF_FLAGS) & DNS_FLAG_QR)
		stack_drop(st, DROP_DNS_LATE);
	else
		stack_drop(st, DROP_DNS_MALFORMED);
	return true;
}

/**
 * dns_late_run() - count what has come too late
 *
 * Network worker, once a cycle.
 */
void dns_late_run(struct stack *st)
{
	struct dgram *d = &st->dns->late;
	uint32_t budget = LIMIT_DNS_PER_CYCLE;

	while (!dlist_empty(&d->ready)) {
		struct dgram_flow *df = container_of(d->ready.next, struct dgram_flow, ready);

		if (budget-- == 0) {
			dgram_wake_again(d, df);
			return;
		}
		if (!take(st, container_of(df, struct dns_late, d)))
			dlist_del(&df->ready);
	}
}
