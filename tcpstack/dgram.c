/* SPDX-License-Identifier: MIT */
/*
 * Flows over connected datagram sockets.
 *
 * Theory of operation: each flow has a socket of its own, connected to the
 * translated destination, so that the kernel filters by source, reports ICMP
 * errors on it, and gives it a port that nobody can guess. It is registered
 * edge-triggered once. An event only puts the flow on the ready list; reading
 * happens in the protocol's run function, which takes flows from the list until
 * their sockets answer EAGAIN or the guest's ring is full. A flow that was not
 * read to the end stays on the list: its edge has been consumed, and the list
 * is the only memory of it (H14).
 *
 * A full table gives up the flow that was quiet the longest, if that is quiet
 * enough; else the new one is refused (H43).
 */
#include "tcpstack/dgram.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

static void on_event(void *ctx, uint64_t token, uint32_t events)
{
	struct dgram *d = ctx;
	struct flow *f = flow_of_token(&d->flows, token);
	struct dgram_flow *df = container_of(f, struct dgram_flow, flow);

	if (!f)
		return;
	df->errors |= !!(events & EPOLLERR);
	if (dlist_empty(&df->ready))
		dlist_push_tail(&d->ready, &df->ready);
}

/**
 * dgram_init() - make the table and register its tokens
 * @d:			@st, @kind, @expired and @active set by the caller
 * @limit:		most flows to begin with
 * @usual:		the table has room for so many, or for @limit
 * @record_size:	of the protocol's record
 *
 * Return: 0 or -errno
 */
int dgram_init(struct dgram *d, uint32_t limit, uint32_t usual, uint32_t record_size)
{
	static const char *const names[TOKEN_KINDS] = {
		[TOKEN_UDP] = "udp",
		[TOKEN_PING] = "ping",
		[TOKEN_DNS] = "dns",
		[TOKEN_DNS_LATE] = "dns-late",
	};
	int rc = flow_table_init(&d->flows, stack_flow_cap(limit, usual), record_size,
				 &d->st->hash_key);

	if (rc)
		return rc;
	d->flows.limit = limit;
	dlist_init(&d->ready);
	loop_on_token(d->st->loop, d->kind, on_event, d);
	memory_add_table(d->st, names[d->kind], &d->flows);
	return 0;
}

/**
 * dgram_reset() - close all flows; the table stays
 */
void dgram_reset(struct dgram *d)
{
	struct flow *f;

	while ((f = flow_oldest(&d->flows))) {
		flow_ends(f, END_SHUTDOWN, 0);
		dgram_free(d, container_of(f, struct dgram_flow, flow));
	}
}

/**
 * dgram_fini() - close all flows and free the table; also after a failed init
 */
void dgram_fini(struct dgram *d)
{
	if (!d->flows.records)
		return;
	dgram_reset(d);
	flow_table_fini(&d->flows);
}

static void update_gauge(struct dgram *d)
{
	if (d->active)
		counter_set(d->active, d->flows.used);
}

/**
 * dgram_new() - a flow without a socket yet
 *
 * Makes room by closing the flow that was quiet the longest, if it was so for
 * LIMIT_EVICT_IDLE_NS. Return: the record, zeroed behind its struct dgram_flow,
 * or NULL when the table is full.
 */
struct dgram_flow *dgram_new(struct dgram *d, const struct flow_key *key)
{
	uint64_t now = stack_now(d->st);
	struct flow *f = flow_alloc(&d->flows, key, now);
	struct dgram_flow *df;

	if (!f) {
		struct flow *oldest = flow_oldest(&d->flows);

		if (now - oldest->used_ns < LIMIT_EVICT_IDLE_NS)
			return NULL;
		flow_ends(oldest, END_EVICTED, 0);
		dgram_free(d, container_of(oldest, struct dgram_flow, flow));
		f = flow_alloc(&d->flows, key, now);
		if (!f)
			return NULL; /* the limit was lowered by more than one */
	}
	df = container_of(f, struct dgram_flow, flow);
	dlist_init(&df->ready);
	dlist_init(&df->shares);
	timer_init(&df->timer, d->expired, d->st);
	df->ttl = LIMIT_TTL;
	update_gauge(d);
	return df;
}

static void close_socket(struct dgram *d, struct dgram_flow *df)
{
	if (df->flow.fd < 0)
		return;
	if (!dlist_empty(&df->shares)) {
		dlist_del(&df->shares);
		df->flow.fd = -1;
		return;
	}
	/* The only reference: close() takes it out of epoll, too. */
	close(df->flow.fd);
	df->flow.fd = -1;
	counter_inc(&d->st->n.syscalls);
}

/**
 * dgram_free() - close a flow; events already taken for it find nothing
 */
void dgram_free(struct dgram *d, struct dgram_flow *df)
{
	if (d->kind != TOKEN_DNS)
		audit_close(d->st, d->kind == TOKEN_UDP ? FLOW_UDP : FLOW_PING, &df->flow);
	close_socket(d, df);
	dlist_del(&df->ready);
	timer_cancel(loop_timers(d->st->loop), &df->timer);
	flow_free(&d->flows, &df->flow);
	update_gauge(d);
}

/**
 * dgram_set_buffers() - give a datagram socket the sizes that the user wants
 */
void dgram_set_buffers(struct stack *st, int fd)
{
	int snd = (int)st->cfg.sndbuf, rcv = (int)st->cfg.rcvbuf;

	if (snd) {
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &snd, sizeof(snd));
		counter_inc(&st->n.syscalls);
	}
	if (rcv) {
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcv, sizeof(rcv));
		counter_inc(&st->n.syscalls);
	}
}

/**
 * dgram_connect() - give the flow a new socket, connected to @host
 * @protocol:	of socket(2); 0 = UDP
 *
 * An earlier socket of the flow is closed. Return: 0 or -errno; then the flow
 * has no socket.
 */
int dgram_connect(struct dgram *d, struct dgram_flow *df, int protocol, const struct endpoint *host)
{
	struct stack *st = d->st;
	union sockaddr_any sa;
	socklen_t len = endpoint_to_sockaddr(host, &sa);
	int fd, rc = 0;

	close_socket(d, df);
	df->flow.host = *host;
	fd = socket(sa.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	counter_inc(&st->n.syscalls);
	if (fd < 0)
		return errno == EAFNOSUPPORT ? -ENETUNREACH : -errno;
	dgram_set_buffers(st, fd);
	if (d->wants_errors)
		dgram_want_errors(d, fd, sa.sa.sa_family);
	counter_inc(&st->n.syscalls);
	if (connect(fd, &sa.sa, len) && errno != EINTR)
		rc = -errno;
	/* A host with a route for IPv6 but no address for it. */
	if (rc == -EADDRNOTAVAIL && sa.sa.sa_family == AF_INET6)
		rc = -ENETUNREACH;
	if (!rc)
		rc = loop_add(st->loop, fd, EPOLLIN, flow_token(&df->flow, d->kind));
	df->flow.fd = fd;
	if (rc)
		close_socket(d, df);
	return rc;
}

/**
 * dgram_expire() - in a timer callback: close the flow if it was quiet, else re-arm
 * @idle_ns:	how long counts as quiet
 *
 * Traffic does not touch the timer; it only moves @used_ns. Return: closed?
 */
bool dgram_expire(struct dgram *d, struct dgram_flow *df, uint64_t idle_ns)
{
	if (stack_now(d->st) - df->flow.used_ns >= idle_ns) {
		flow_ends(&df->flow, END_IDLE, 0);
		dgram_free(d, df);
		return true;
	}
	timer_arm(loop_timers(d->st->loop), &df->timer, df->flow.used_ns + idle_ns);
	return false;
}

/**
 * dgram_wake_again() - see to it that the next wait returns at once
 * @df:		a flow on the ready list
 *
 * For a run function that stops at its budget: modifying an edge-triggered
 * registration reports a socket that is readable anew.
 */
void dgram_wake_again(struct dgram *d, struct dgram_flow *df)
{
	loop_mod(d->st->loop, df->flow.fd, EPOLLIN, flow_token(&df->flow, d->kind));
}

/**
 * dgram_unreachable_code() - the ICMP code that tells the guest of @err
 * @err:	a positive errno of connect, send or receive
 *
 * Return: false when the error is no word about the destination
 */
bool dgram_unreachable_code(int err, uint8_t *code)
{
	switch (err) {
	case ECONNREFUSED:
		*code = UNREACH_PORT;
		return true;
	case EHOSTUNREACH:
		*code = UNREACH_HOST;
		return true;
	case ENETUNREACH:
		*code = UNREACH_NET;
		return true;
	case EPERM:
	case EACCES:
		*code = UNREACH_PROHIBITED;
		return true;
	default:
		return false;
	}
}

/**
 * dgram_send() - one datagram to the host socket
 * @msg:	payload and control
 * @pkt:	the guest's packet, quoted in ICMP errors
 *
 * An error that the network reported of an earlier datagram comes out of the
 * send of the next one, which is then not sent: pass it on and send again.
 * Whatever remains is a drop, as in any network (H55).
 *
 * Return: 0, or -errno when the datagram was dropped (and counted)
 */
int dgram_send(struct dgram *d, struct dgram_flow *df, struct msghdr *msg, const struct packet *pkt)
{
	struct stack *st = d->st;
	uint8_t code;
	int err = 0;

	for (int tries = 0; tries < 2; tries++) {
		bool told;

		counter_inc(&st->n.syscalls);
		if (sendmsg(df->flow.fd, msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		err = errno;
		if (err == EAGAIN || err == ENOBUFS)
			break;
		told = dgram_take_errors(d, df) > 0;
		if (err == EMSGSIZE && !told) {
			dgram_too_big(d, df, pkt);
			break;
		}
		if (err == EMSGSIZE || !dgram_unreachable_code(err, &code))
			break;
		if (tries == 0 && !told)
			icmp_send_unreachable(st, pkt, code);
	}
	stack_drop(st, DROP_UDP_SEND);
	return -err;
}
