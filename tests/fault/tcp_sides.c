/* SPDX-License-Identifier: MIT */
/*
 * Both ends of a seed's TCP flows: hosts on real sockets, and the guest's TCP with a
 * retransmission timer of its own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "src/base/base.h"
#include "tests/fault/transfer.h"
#include "tests/stack/forward_rig.h"

#define SPORT_FIRST 40000
#define GPORT_FIRST 8000

/* The guest's timer: RFC 6298 has a second, Linux 200 ms. */
#define GUEST_RTO_NS	 (250 * NS_PER_MS)
#define GUEST_RTO_MAX_NS (8 * NS_PER_S)

/* Frames that are held before the guest's ring is full. */
#define RING_HELD 200

/* A host that has waited for so long, of real time, gets a receive buffer of so many bytes. */
#define SLOW_REAL_NS (100 * NS_PER_MS)
#define HOST_RCVBUF  (1 << 20)

/* Longest step of one round, bytes. */
#define STEP_MAX 65536

static uint64_t size_of_stream(struct xfer *x)
{
	switch (xfer_random(x, 8)) {
	case 0:
		return 0;
	case 1:
		return 1;
	case 2:
		return xfer_random(x, 3000);
	case 3:
		return 100000 + xfer_random(x, 900000);
	default:
		return xfer_random(x, 200000);
	}
}

static int host_socket(struct xfer *x, const struct endpoint *to)
{
	union sockaddr_any sa;
	socklen_t len = endpoint_to_sockaddr(to, &sa);
	int fd = socket(sa.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	XFER_CHECK(x, fd >= 0);
	XFER_CHECK(x, connect(fd, &sa.sa, len) == 0 || errno == EINPROGRESS);
	return fd;
}

static void small_buffers(struct xfer *x, struct xfer_flow *w)
{
	int size = 8192 << xfer_random(x, 7);

	if (x->link_mtu == 1500 && xfer_random(x, 2)) {
		setsockopt(w->lfd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		w->small_since = clock_now_ns();
	}
}

/**
 * xfer_flows_make() - what connects to what, and how much it says
 */
void xfer_flows_make(struct xfer *x)
{
	static const uint32_t segs[] = { 300, 536, 1460, 1460, 20000, 59860 };

	x->flows = 1 + (uint32_t)xfer_random(x, XFER_FLOWS_MAX);
	for (uint32_t i = 0; i < x->flows; i++) {
		struct xfer_flow *w = &x->flow[i];
		uint16_t port = 0;
		char spec[16];

		*w = (struct xfer_flow){ .c = &x->conn[i], .fd = -1, .lfd = -1 };
		w->up = size_of_stream(x);
		w->down = size_of_stream(x);
		w->order = (enum xfer_order)xfer_random(x, 3);
		w->seg = segs[xfer_random(x, ARRAY_SIZE(segs))];
		w->greed = xfer_random(x, 3) ? STEP_MAX : 500 + (uint32_t)xfer_random(x, 5000);
		w->begins = (uint32_t)xfer_random(x, 40);
		w->inbound = xfer_random(x, 4) == 0;
		w->rto = GUEST_RTO_NS;
		if (w->inbound) {
			snprintf(spec, sizeof(spec), "0:%u", GPORT_FIRST + i);
			w->fwd = fwd_add(x->r, spec);
		} else {
			w->lfd = rig_listen(&port);
			small_buffers(x, w);
		}
		rig_conn_init(w->c, x->r, (uint16_t)((w->inbound ? GPORT_FIRST : SPORT_FIRST) + i),
			      port);
		w->c->loss = xfer_random(x, 4) ? 0 : (uint32_t)xfer_random(x, 5);
		w->c->sack = xfer_random(x, 2);
		w->c->window = 4096U << xfer_random(x, 9);
	}
}

/* --- the hosts --------------------------------------------------------------------- */

/* recv and send of a host may find that the other side has reset. */
static bool host_lost(struct xfer *x, struct xfer_flow *w)
{
	if (errno == EAGAIN || errno == ENOTCONN)
		return false;
	XFER_CHECK(x, errno == ECONNRESET || errno == EPIPE);
	w->host_rst = true;
	x->moved++;
	return true;
}

/*
 * Nothing has come for a while. A page that is lent counts whole in its receiver's buffer,
 * however little of it was sent. In a small one then fits less than a segment, and the kernel
 * that sends asks for such a window five times a second (RFC 9293 3.8.6.1) of real time:
 * correct, and of no end here. So the host has seen enough of it, and takes more at a time.
 */
static void host_waits(struct xfer_flow *w)
{
	int size = HOST_RCVBUF;

	if (!w->small_since || clock_now_ns() - w->small_since < SLOW_REAL_NS)
		return;
	setsockopt(w->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(w->fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &size, sizeof(size));
	w->small_since = 0;
}

static void host_reads(struct xfer *x, struct xfer_flow *w)
{
	static uint8_t buf[STEP_MAX];
	ssize_t n;

	if (w->host_eof || w->host_rst)
		return;
	/* A slow reader leaves bytes lying; a reset it sees anyway. */
	if (w->greed < STEP_MAX && xfer_random(x, 4) && !w->c->rst) {
		x->lingered = x->round;
		return;
	}
	n = recv(w->fd, buf, MIN(w->greed, (uint32_t)sizeof(buf)), MSG_DONTWAIT);
	if (n < 0) {
		if (!host_lost(x, w))
			host_waits(w);
		return;
	}
	x->moved++;
	if (w->small_since)
		w->small_since = clock_now_ns();
	if (n > 0) {
		rig_pattern_check(buf, (size_t)n, w->c->tx_seed, w->got);
		w->got += (uint64_t)n;
		return;
	}
	w->host_eof = true;
	/* An end before the last byte is a lie, even of what the guest was refused. */
	XFER_CHECK(x, w->got == w->up && w->c->fin_sent);
}

static void host_writes(struct xfer *x, struct xfer_flow *w)
{
	static uint8_t buf[STEP_MAX];
	uint64_t most = 1 + xfer_random(x, sizeof(buf));
	size_t len = (size_t)MIN(w->down - w->put, most);
	ssize_t n;

	if (w->host_rst || w->host_shut || (w->order == XFER_HOST_LAST && !w->host_eof))
		return;
	if (len > 0) {
		rig_pattern(buf, len, w->c->rx_seed, w->put);
		n = send(w->fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0) {
			host_lost(x, w);
			return;
		}
		w->put += (uint64_t)n;
		x->moved++;
	}
	if (w->put < w->down)
		return;
	if (shutdown(w->fd, SHUT_WR) == 0) {
		w->host_shut = true;
		x->moved++;
	}
}

/* The host's end comes to be: as it accepts, or as it connects to a forward. */
static void host_begins(struct xfer *x, struct xfer_flow *w)
{
	if (w->inbound) {
		if (w->asked || x->round < w->begins)
			return;
		w->fd = host_socket(x, &w->fwd.bind);
		w->asked = true;
		x->moved++;
		return;
	}
	w->fd = accept4(w->lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	XFER_CHECK(x, w->fd >= 0 || errno == EAGAIN || errno == ECONNABORTED);
	x->moved += w->fd >= 0;
}

/* A flow has one connection, however often its SYN was sent (H35). */
static void no_second(struct xfer *x, struct xfer_flow *w)
{
	struct pollfd p = { .fd = w->lfd, .events = POLLIN };

	if (w->lfd >= 0)
		XFER_CHECK(x, poll(&p, 1, 0) == 0);
}

/**
 * xfer_hosts() - a round of all hosts
 */
void xfer_hosts(struct xfer *x)
{
	for (uint32_t i = 0; i < x->flows; i++) {
		struct xfer_flow *w = &x->flow[i];

		if (w->killed)
			continue;
		if (w->fd < 0)
			host_begins(x, w);
		if (w->fd < 0)
			continue;
		host_reads(x, w);
		host_writes(x, w);
	}
}

/**
 * xfer_reset_peer() - the host at the other end of the stack's socket @fd sends a RST, now
 */
bool xfer_reset_peer(void *ctx, int fd)
{
	struct xfer *x = ctx;
	struct sockaddr_in peer, here;
	socklen_t len = sizeof(peer);

	if (getpeername(fd, (struct sockaddr *)&peer, &len) || peer.sin_family != AF_INET)
		return false;
	for (uint32_t i = 0; i < x->flows; i++) {
		struct xfer_flow *w = &x->flow[i];

		len = sizeof(here);
		if (w->fd < 0 || getsockname(w->fd, (struct sockaddr *)&here, &len) ||
		    here.sin_port != peer.sin_port)
			continue;
		rig_reset_close(w->fd);
		w->fd = -1;
		w->killed = true;
		x->moved++;
		return true;
	}
	return false;
}

/* --- the guest ----------------------------------------------------------------------- */

static bool guest_waits(const struct xfer_flow *w)
{
	const struct rig_conn *c = w->c;

	if (c->rst || !(w->asked || w->open))
		return false;
	if (!w->open)
		return !w->inbound;
	return !rig_conn_acked(c) || (c->tx_bytes < w->up && rig_conn_room(c) == 0);
}

/* Back to the first byte that was not ACKed; the FIN may be among them. */
static void resend(struct xfer_flow *w)
{
	struct rig_conn *c = w->c;
	bool fin = c->fin_sent && c->snd_nxt == c->snd_max;

	if (c->snd_una == c->snd_nxt) {
		/* A probe of the shut window, and of whether anybody is there. */
		rig_conn_segment(c, RIG_ACK, c->snd_nxt - 1, NULL, 0);
		return;
	}
	c->tx_bytes -= c->snd_nxt - c->snd_una - fin;
	c->snd_nxt = c->snd_una;
	c->resends++;
}

static void guest_timer(struct xfer *x, struct xfer_flow *w)
{
	struct rig_conn *c = w->c;

	if (!guest_waits(w)) {
		w->rto_at = 0;
		w->rto = GUEST_RTO_NS;
		return;
	}
	if (w->rto_at == 0 || w->una != c->snd_una) {
		if (w->una != c->snd_una)
			w->rto = GUEST_RTO_NS;
		w->una = c->snd_una;
		w->rto_at = rig_now(x->r) + w->rto;
		return;
	}
	if (rig_now(x->r) < w->rto_at)
		return;
	w->rto = MIN(2 * w->rto, (uint64_t)GUEST_RTO_MAX_NS);
	w->rto_at = rig_now(x->r) + w->rto;
	if (w->open)
		resend(w);
	else
		rig_conn_segment(c, RIG_SYN, c->iss, NULL, 0);
}

static void guest_sends(struct xfer *x, struct xfer_flow *w)
{
	struct rig_conn *c = w->c;
	uint64_t before = c->tx_bytes;

	if (w->order == XFER_GUEST_LAST && !c->fin)
		return;
	for (int i = 0; i < 64 && c->tx_bytes < w->up && rig_held(x->r) < RING_HELD; i++) {
		uint32_t len = (uint32_t)MIN((uint64_t)w->seg, w->up - c->tx_bytes);

		len = MIN(len, rig_conn_room(c));
		if (len == 0)
			break;
		rig_conn_send(c, len);
	}
	if (c->tx_bytes == w->up && !(c->fin_sent && c->snd_nxt == c->snd_max) &&
	    rig_held(x->r) < RING_HELD)
		rig_conn_fin(c);
	x->moved += c->tx_bytes > before && c->resends == 0;
}

/**
 * xfer_guest() - a round of the guest's TCP
 */
void xfer_guest(struct xfer *x)
{
	for (uint32_t i = 0; i < x->flows; i++) {
		struct xfer_flow *w = &x->flow[i];

		if (w->c->rst) {
			w->rto_at = 0;
			continue;
		}
		if (!w->asked && !w->inbound && x->round >= w->begins) {
			rig_conn_syn(w->c);
			w->asked = true;
			x->moved++;
		}
		if (w->c->synack && !w->open) {
			w->open = true;
			rig_conn_ack(w->c);
			x->moved++;
		}
		if (w->open)
			guest_sends(x, w);
		guest_timer(x, w);
	}
}

/**
 * xfer_guest_deadline() - when the guest's next timer fires
 */
uint64_t xfer_guest_deadline(const struct xfer *x)
{
	uint64_t at = rig_now(x->r) + NS_PER_S;

	for (uint32_t i = 0; i < x->flows; i++)
		if (x->flow[i].rto_at)
			at = MIN(at, x->flow[i].rto_at);
	return at;
}

/* A SYN for a port that the guest listens on; it may come more than once. */
static void guest_is_called(struct xfer *x, const struct rig_pkt *p)
{
	struct xfer_flow *w = &x->flow[p->dport - GPORT_FIRST];
	struct rig_conn *c = w->c;
	uint32_t loss = c->loss, window = c->window;

	XFER_CHECK(x, p->dport >= GPORT_FIRST && p->dport < GPORT_FIRST + x->flows && w->inbound);
	if (c->rst)
		return;
	if (!w->open) {
		fwd_guest_conn(x->r, p, c);
		c->loss = loss;
		c->window = window;
		w->open = c->synack = true;
		x->moved++;
	}
	rig_conn_segment(c, RIG_SYN | RIG_ACK, c->iss, NULL, 0);
}

/* A connection to the resolver that the guest has forgotten: a RST, RFC 9293 3.10.7.1. */
static void guest_knows_not(struct xfer *x, const struct rig_pkt *p)
{
	struct rig_conn none = { .r = x->r, .dst = p->src, .sport = p->dport, .dport = p->sport };

	XFER_CHECK(x, p->sport == 53);
	if (!(p->flags & RIG_RST))
		rig_conn_segment(&none, RIG_RST, p->ack, NULL, 0);
}

/**
 * xfer_guest_tcp() - a segment for the guest
 */
void xfer_guest_tcp(struct xfer *x, const struct rig_pkt *p)
{
	struct rig_conn *c;

	if (p->flags == RIG_SYN) {
		guest_is_called(x, p);
		return;
	}
	for (uint32_t i = 0; i < ARRAY_SIZE(x->conn); i++) {
		uint64_t rx, una;
		bool ends;

		c = &x->conn[i];
		if (!c->r || c->sport != p->dport || c->dport != p->sport)
			continue;
		rx = c->rx_bytes;
		una = c->snd_una;
		ends = c->fin || c->rst || c->synack;
		if (c->rst && !(p->flags & RIG_RST))
			return; /* nobody is there any more */
		if (p->flags & RIG_SYN && c->synack) {
			rig_conn_ack(c);
			return;
		}
		rig_conn_input(c, p);
		x->moved += rx != c->rx_bytes || una != c->snd_una ||
			    ends != (c->fin || c->rst || c->synack) || c->fin;
		return;
	}
	guest_knows_not(x, p);
}

/* --- the end -------------------------------------------------------------------------- */

static bool guest_done(const struct xfer_flow *w)
{
	const struct rig_conn *c = w->c;

	return c->rst || (c->fin && c->fin_sent && rig_conn_acked(c) && c->tx_bytes == w->up);
}

/**
 * xfer_flow_done() - have both sides come to an end?
 */
bool xfer_flow_done(const struct xfer_flow *w)
{
	bool host = w->killed || w->host_rst || (w->host_eof && w->host_shut);

	/* Refused before anybody was connected to, or before the guest was told. */
	if (w->fd < 0 && !w->inbound && w->c->rst && !w->c->synack)
		return true;
	if (w->inbound && !w->open && (w->host_rst || w->killed))
		return true;
	return host && guest_done(w);
}

/**
 * xfer_flows_verify() - complete and exact, or reset on both sides for a reason
 */
void xfer_flows_verify(struct xfer *x, struct xfer_result *res)
{
	uint32_t resets = 0;

	for (uint32_t i = 0; i < x->flows; i++) {
		struct xfer_flow *w = &x->flow[i];
		const struct rig_conn *c = w->c;
		bool reset = w->killed || w->host_rst || c->rst;

		if (!w->killed && !c->rst)
			no_second(x, w);
		resets += reset;
		res->bytes += w->got + c->rx_bytes;
		if (reset)
			continue;
		XFER_CHECK(x, w->got == w->up && w->put == w->down && c->rx_bytes == w->down);
		XFER_CHECK(x, w->host_eof && c->fin && c->early_count == 0);
	}
	XFER_CHECK(x, resets <= fault_fatals());
	res->flows += x->flows;
	res->resets += resets;
}
