/* SPDX-License-Identifier: MIT */
/*
 * Connections from the host's side, through a forward.
 *
 * The peer's connection is open by the time it is accepted: its kernel's
 * handshake was with the host's. So the guest is sent a SYN, and until it has
 * answered, the peer's bytes wait in the socket. A refusal of the guest, or its
 * silence, resets the peer.
 */
#include "tcpstack/tcp.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Ports to try for a peer whose own is in use between the same addresses. */
#define PORT_TRIES 16
#define PORT_FIRST 32768U

/* Close so that the peer gets a RST. */
static void reset_peer(struct tcp *t, int fd)
{
	if (tcp_linger_none(t, fd))
		bulk_disconnect(&t->bulk, fd);
	tcp_syscall(t);
	close(fd);
}

/*
 * Several peers may look alike to the guest: the same port of different addresses
 * that are all the gateway to it. The later one gets another port.
 */
static bool choose_port(struct tcp *t, struct flow_key *key)
{
	uint16_t r;

	for (int i = 0; i < PORT_TRIES; i++) {
		if (key->remote.port && !flow_find(&t->flows, key))
			return true;
		t->st->env.random(t->st->env.ctx, &r, sizeof(r));
		key->remote.port = (uint16_t)(PORT_FIRST + r % (65536U - PORT_FIRST));
	}
	return false;
}

/**
 * tcp_accept() - open a flow to the guest for a connection that was accepted
 * @fd:		nonblocking; the stack's, and closed on failure
 * @wanted:	addresses and ports as the guest shall see them; the remote port may
 *		change. Without an address of the guest the connection is refused
 * @peer:	who it is
 *
 * Counts against the same limits as what the guest opens. Return: 0, or -errno
 * and the peer was reset
 */
int tcp_accept(struct stack *st, int fd, const struct flow_key *wanted, const struct endpoint *peer)
{
	enum drop_reason why = DROP_NONE;
	struct tcp *t = st->tcp;
	struct tcp_flow *fl = NULL;
	struct flow_key key = *wanted;
	int err;

	if (ipaddr_is_unspecified(&key.guest.addr))
		why = DROP_FORWARD_ADDRESS;
	else if (!tcp_rate_allows(t))
		why = DROP_CONN_RATE;
	else if (!choose_port(t, &key) || !(fl = tcp_flow_new(t, &key)))
		why = DROP_FLOW_LIMIT;
	audit_inbound(st, FLOW_TCP, &key, peer, fl ? &fl->f : NULL, why);
	if (why != DROP_NONE) {
		tcp_count_refusal(t, why);
		reset_peer(t, fd);
		return -ENOSPC;
	}
	fl->f.fd = fd;
	fl->f.host = *peer;
	fl->f.inbound = true;
	bulk_allow(&t->bulk, &fl->tx, &peer->addr);
	fl->rcv_scale = LIMIT_TCP_WSCALE;
	fl->sack = true;
	tcp_tx_offer_first(fl);
	tcp_syscall(t);
	err = loop_add(st->loop, fd, EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		       flow_token(&fl->f, TOKEN_TCP));
	if (err) {
		tcp_count_refusal(t, DROP_SOCKET_ERROR);
		flow_ends(&fl->f, END_HOST_ERROR, -err);
		fl->state = TS_SYN_SENT; /* connected: the peer is to be reset */
		tcp_abort(t, fl, false);
		return err;
	}
	counter_inc(&st->n.tcp_accepted);
	tcp_begin_sequence(t, fl, TS_SYN_SENT);
	tcp_timer_update(t, fl);
	return 0;
}

/* The guest takes the connection. */
static void established(struct tcp *t, struct tcp_flow *fl, const struct tcp_seg *s)
{
	tcp_read_syn(t, fl, s);
	fl->state = TS_OPEN;
	/* The window of a SYN is not scaled: it stands as read until the next segment. */
	fl->snd_wl1 = s->seq + 1;
	fl->snd_wl2 = s->ack;
	counter_inc(&t->st->n.tcp_established);
	tcp_ack_input(t, fl, s);
	fl->acks_due = MAX(fl->acks_due, 1);
	tcp_mark(t, fl);
}

/**
 * tcp_syn_sent_input() - a segment of the guest for a flow in TS_SYN_SENT, RFC 9293 3.10.7.3
 */
void tcp_syn_sent_input(struct tcp *t, struct tcp_flow *fl, const struct packet *pkt,
			const struct tcp_seg *s)
{
	bool acked = (s->flags & TH_ACK) && s->ack == fl->iss + 1;

	if ((s->flags & TH_ACK) && !acked) {
		/* Of an earlier connection of the guest's; we do not know it (H36). */
		stack_drop(t->st, DROP_TCP_ACK);
		tcp_answer_reset(t->st, pkt, s);
	} else if (s->flags & TH_RST) {
		if (!acked) {
			stack_drop(t->st, DROP_TCP_SEQUENCE);
			return;
		}
		counter_inc(&t->st->n.tcp_refused);
		flow_ends(&fl->f, END_GUEST_REFUSED, 0);
		tcp_abort(t, fl, false);
	} else if (acked && (s->flags & TH_SYN)) {
		established(t, fl, s);
	} else {
		stack_drop(t->st, DROP_TCP_STATE);
	}
}
