/* SPDX-License-Identifier: MIT */
/*
 * Forwards at work: sockets of the host, served by the stack's loop.
 *
 * Theory of operation. A forward's socket is registered edge-triggered like any
 * other. Of UDP, it gives datagrams, which is udp_forward.c's business. Of TCP, it
 * listens: an event puts its forward on the ready list, and forward_run() accepts,
 * a bounded number each cycle, until the socket is empty. What is accepted
 * becomes a flow that is opened from our side: tcp_accept() sends the guest a
 * SYN. The host's peer is connected by then: its kernel's handshake was with the
 * host. A guest that refuses is seen by the peer as a reset after the connect.
 *
 * When the process has no descriptor left, the connection stays in the backlog,
 * and the edge is gone: such a forward stays ready and is tried again by a timer.
 */
#include "tcpstack/forward_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct forwards {
	struct dlist ready;
	struct timer retry;
	uint32_t top; /* slots that were ever in use */
	struct forward slots[LIMIT_FORWARDS];
};

static void on_event(void *ctx, uint64_t token, uint32_t events)
{
	struct stack *st = ctx;
	uint32_t index = token_index(token);
	struct forward *f;

	(void)events;
	if (index >= st->forwards->top)
		return;
	f = &st->forwards->slots[index];
	if (f->fd < 0 || f->gen != token_gen(token))
		return;
	if (f->info.proto == PROTO_UDP)
		udp_forward_event(st, f);
	else if (dlist_empty(&f->ready))
		dlist_push_tail(&st->forwards->ready, &f->ready);
}

/* That there is a next cycle is all that was wanted: what is ready is still listed. */
static void on_retry(void *ctx, struct timer *t)
{
	(void)ctx;
	(void)t;
}

/**
 * forward_init() - no forwards yet; 0 or -ENOMEM
 */
int forward_init(struct stack *st)
{
	struct forwards *fs = calloc(1, sizeof(*fs));

	if (!fs)
		return -ENOMEM;
	dlist_init(&fs->ready);
	timer_init(&fs->retry, on_retry, st);
	st->forwards = fs;
	loop_on_token(st->loop, TOKEN_LISTEN, on_event, st);
	return 0;
}

static void drop(struct stack *st, struct forward *f)
{
	if (f->info.proto == PROTO_UDP)
		udp_forward_closing(st, f);
	loop_del(st->loop, f->fd);
	close(f->fd);
	f->fd = -1;
	f->gen = (f->gen + 1) & TOKEN_GEN_MASK;
	dlist_del(&f->ready);
}

/**
 * forward_fini() - close all listening sockets; harmless without an init
 */
void forward_fini(struct stack *st)
{
	struct forwards *fs = st->forwards;

	if (!fs)
		return;
	for (uint32_t i = 0; i < fs->top; i++)
		if (fs->slots[i].fd >= 0)
			drop(st, &fs->slots[i]);
	timer_cancel(loop_timers(st->loop), &fs->retry);
	loop_on_token(st->loop, TOKEN_LISTEN, NULL, NULL);
	free(fs);
	st->forwards = NULL;
}

static struct forward *find(const struct stack *st, uint8_t proto, const struct endpoint *bind)
{
	for (uint32_t i = 0; i < st->forwards->top; i++) {
		struct forward *f = &st->forwards->slots[i];

		if (f->fd >= 0 && f->info.proto == proto && endpoint_equal(&f->info.bind, bind))
			return f;
	}
	return NULL;
}

static struct forward *free_slot(struct forwards *fs)
{
	for (uint32_t i = 0; i < fs->top; i++)
		if (fs->slots[i].fd < 0)
			return &fs->slots[i];
	if (fs->top == LIMIT_FORWARDS)
		return NULL;
	dlist_init(&fs->slots[fs->top].ready);
	fs->slots[fs->top].fd = -1;
	return &fs->slots[fs->top++];
}

/**
 * forward_guest() - the guest's end, in the family of the forward
 *
 * Its address is unspecified if the guest has none there yet.
 */
struct endpoint forward_guest(const struct stack *st, const struct forward_info *f)
{
	bool v4 = ipaddr_is_v4(&f->bind.addr);

	return (struct endpoint){ v4 ? ipaddr_from_v4(st->cfg.guest4) : st->ndp.inbound,
				  f->guest_port };
}

/**
 * stack_forward_add() - serve a forward's socket
 * @f:		as forward_socket() gave it; @f->guest is filled in
 * @fd:		the stack's from now on, unless an error is returned
 *
 * Return: 0; -ENOSPC at LIMIT_FORWARDS; -EPFNOSUPPORT: of IPv6, which the guest
 * does not have; -EPROTONOSUPPORT; -errno of the socket or of epoll
 */
int stack_forward_add(struct stack *st, struct forward_info *f, int fd)
{
	struct forwards *fs = st->forwards;
	struct forward *slot = free_slot(fs);
	int err = 0;

	if (f->proto != PROTO_TCP && f->proto != PROTO_UDP)
		return -EPROTONOSUPPORT;
	if (!ipaddr_is_v4(&f->bind.addr) && !st->cfg.ip6)
		return -EPFNOSUPPORT;
	if (!slot)
		return -ENOSPC;
	if (f->proto == PROTO_UDP)
		dgram_set_buffers(st, fd);
	else
		err = tcp_socket_options(st, fd); /* what is accepted inherits them */
	if (err)
		return err;
	err = loop_add(st->loop, fd, EPOLLIN,
		       token_make(TOKEN_LISTEN, slot->gen, (uint32_t)(slot - fs->slots)));
	if (err)
		return err;
	f->guest = forward_guest(st, f);
	slot->fd = fd;
	slot->info = *f;
	slot->info.accepted = slot->info.refused = 0;
	if (f->proto == PROTO_UDP)
		udp_forward_opened(st, slot);
	return 0;
}

/**
 * stack_forward_del() - stop listening
 *
 * Connections of TCP stay. Flows of UDP end: the socket was theirs as well.
 *
 * Return: 0 or -ENOENT
 */
int stack_forward_del(struct stack *st, uint8_t proto, const struct endpoint *bind)
{
	struct forward *f = find(st, proto, bind);

	if (!f)
		return -ENOENT;
	drop(st, f);
	return 0;
}

/**
 * stack_forward_list() - what is forwarded
 * @out:	up to @max entries
 *
 * Return: how many there are
 */
uint32_t stack_forward_list(const struct stack *st, struct forward_info *out, uint32_t max)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < st->forwards->top; i++) {
		if (st->forwards->slots[i].fd < 0)
			continue;
		if (n < max) {
			out[n] = st->forwards->slots[i].info;
			out[n].guest = forward_guest(st, &out[n]);
		}
		n++;
	}
	return n;
}

/**
 * forward_peer() - whom the guest takes the peer for
 *
 * Itself if the guest would answer through us, else the gateway.
 */
struct ipaddr forward_peer(const struct stack *st, const struct ipaddr *peer)
{
	if (policy_visible(st, peer))
		return *peer;
	return ipaddr_is_v4(peer) ? ipaddr_from_v4(st->cfg.gateway4) : st->cfg.gateway6;
}

/* One connection. False when there is none, or none can be had now. */
static bool accept_one(struct stack *st, struct forward *f)
{
	struct flow_key key;
	union sockaddr_any sa;
	struct endpoint peer;
	socklen_t len = sizeof(sa);
	int fd;

	counter_inc(&st->n.syscalls);
	fd = accept4(f->fd, &sa.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0 && errno == EAGAIN) {
		dlist_del(&f->ready);
		return false;
	}
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
		log_limited(LOG_WARN, "forward", "accept: error %d; see ulimit -n", errno);
		timer_arm(loop_timers(st->loop), &st->forwards->retry,
			  stack_now(st) + LIMIT_FORWARD_RETRY_NS);
		return false;
	}
	if (fd < 0)
		return true; /* the peer thought better of it, accept(2): go on with the next */
	if (endpoint_from_sockaddr(&sa, &peer)) {
		close(fd);
		return true;
	}
	memset(&key, 0, sizeof(key));
	key.guest = forward_guest(st, &f->info);
	key.remote = (struct endpoint){ forward_peer(st, &peer.addr), peer.port };
	if (tcp_accept(st, fd, &key, &peer) == 0)
		f->info.accepted++;
	else
		f->info.refused++;
	return true;
}

/**
 * forward_wake_again() - see to it that the next wait returns at once
 *
 * Modifying an edge-triggered registration reports what is there anew.
 */
void forward_wake_again(struct stack *st, const struct forward *f)
{
	uint32_t index = (uint32_t)(f - st->forwards->slots);

	loop_mod(st->loop, f->fd, EPOLLIN, token_make(TOKEN_LISTEN, f->gen, index));
}

/**
 * forward_run() - accept what has come; the stack's thread, once a cycle
 */
void forward_run(struct stack *st)
{
	struct forwards *fs = st->forwards;
	uint32_t budget = LIMIT_FORWARD_PER_CYCLE;

	if (timer_armed(&fs->retry))
		return;
	while (budget > 0 && !dlist_empty(&fs->ready)) {
		struct forward *f = container_of(fs->ready.next, struct forward, ready);

		if (!accept_one(st, f) && timer_armed(&fs->retry))
			return;
		budget--;
	}
	if (!dlist_empty(&fs->ready))
		forward_wake_again(st, container_of(fs->ready.next, struct forward, ready));
}
