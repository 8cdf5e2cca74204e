/* SPDX-License-Identifier: MIT */
/* What goes on beside a seed's TCP flows: datagrams that come back, and names. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "tcpstack/dns_tcp.h"
#include "tcpstack/limits.h"
#include "tests/fault/transfer.h"
#include "tests/unit/dnsmsg.h"

#define UDP_SPORT_FIRST 20000
#define DNS_SPORT	33333
#define DNS_TCP_FIRST	50000

/* Longest datagram, and how many may be on their way. */
#define DATAGRAM_MAX 8000
#define IN_FLIGHT    6

/* A datagram that has not come back for so long was dropped. */
#define LOST_NS (2 * NS_PER_S)

/*
 * When a question is put again: the stack's own tries take two seconds each. How often,
 * besides once for each fault: one that ends a try may strike all of them.
 */
#define ASK_AGAIN_NS (9 * NS_PER_S)
#define TRIES_MAX    50

static struct dnsmsg msg;

/* --- making ------------------------------------------------------------------- */

/* Both of a resolver's sockets, on one port. */
static uint16_t resolver_sockets(struct xfer *x)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint16_t port;

	for (;;) {
		x->resolver_tcp = rig_listen(&port);
		x->resolver_udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		XFER_CHECK(x, x->resolver_udp >= 0);
		sa.sin_port = htons(port);
		if (bind(x->resolver_udp, (struct sockaddr *)&sa, sizeof(sa)) == 0)
			return port;
		close(x->resolver_udp);
		close(x->resolver_tcp);
	}
}

/**
 * xfer_side_config() - one resolver, on the host's loopback
 */
void xfer_side_config(struct xfer *x, struct rig_config *cfg)
{
	cfg->stack.nresolvers = 1;
	cfg->stack.resolvers[0] = (struct endpoint){ ipaddr_from_v4(INADDR_LOOPBACK),
						     resolver_sockets(x) };
	for (uint32_t i = 0; i < XFER_RESOLVING; i++)
		x->query[i].fd = -1;
}

/**
 * xfer_side_make() - so many datagrams, so many names
 */
void xfer_side_make(struct xfer *x)
{
	x->udps = (uint32_t)xfer_random(x, XFER_UDP_MAX + 1);
	/* The kernel drops what so small a socket has no room for, and tells nobody. */
	if (rig_config(x->r)->stack.rcvbuf == 4096)
		x->udps = 0;
	x->names = (uint32_t)xfer_random(x, XFER_NAMES_MAX + 1);
	x->dns_sport = DNS_TCP_FIRST;
	for (uint32_t i = 0; i < x->udps; i++) {
		x->udp[i].fd = rig_udp_socket(&x->udp[i].port);
		x->udp[i].sport = (uint16_t)(UDP_SPORT_FIRST + i);
		x->udp[i].count = 1 + (uint32_t)xfer_random(x, XFER_DATAGRAMS);
	}
	for (uint32_t i = 0; i < x->names; i++) {
		x->name[i].number = (uint32_t)(x->seed * XFER_NAMES_MAX) + i;
		/* A stack that was born without a place to connect to says so, and has none. */
		if (xfer_random(x, 2) && rig_stack(x->r)->dns->tcp.listener >= 0)
			x->name[i].c = &x->conn[XFER_FLOWS_MAX + i];
	}
}

/* --- datagrams ----------------------------------------------------------------- */

/* Index and pattern: everything follows from who sends it and which it is. */
static uint32_t datagram(const struct xfer *x, const struct xfer_udp *u, uint32_t index,
			 uint8_t *buf)
{
	uint64_t seed = x->seed * 64 + u->sport;
	uint32_t len;

	rig_pattern(buf, 4, seed, index);
	len = 8 + get_be32(buf) % (index % 4 ? 1200 : DATAGRAM_MAX - 8);
	rig_pattern(buf, len, seed, (uint64_t)index * DATAGRAM_MAX);
	put_be32(buf, index);
	return len;
}

/* Which one is it? It must be that one, to the byte. */
static uint32_t check_datagram(struct xfer *x, const struct xfer_udp *u, const uint8_t *buf,
			       uint32_t len)
{
	static uint8_t want[DATAGRAM_MAX];
	uint32_t index = len >= 4 ? get_be32(buf) : UINT32_MAX;

	XFER_CHECK(x, index < u->sent);
	XFER_CHECK(x, len == datagram(x, u, index, want) && memcmp(buf, want, len) == 0);
	return index;
}

static void echo(struct xfer *x, struct xfer_udp *u)
{
	static uint8_t buf[DATAGRAM_MAX + 1];
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	ssize_t n;

	while ((n = recvfrom(u->fd, buf, sizeof(buf), 0, (struct sockaddr *)&sa, &len)) >= 0) {
		uint32_t index = check_datagram(x, u, buf, (uint32_t)n);

		XFER_CHECK(x, !u->at_host[index]);
		u->at_host[index] = true;
		x->moved++;
		XFER_CHECK(x, sendto(u->fd, buf, (size_t)n, 0, (struct sockaddr *)&sa, len) == n);
		len = sizeof(sa);
	}
	/* The stack may have closed its end before the answer. */
	XFER_CHECK(x, errno == EAGAIN || errno == ECONNREFUSED);
}

static void guest_datagrams(struct xfer *x, struct xfer_udp *u)
{
	static uint8_t buf[DATAGRAM_MAX];

	if (u->sent == u->count || xfer_random(x, 3) ||
	    (u->sent - u->back >= IN_FLIGHT && rig_now(x->r) - u->sent_at < LOST_NS))
		return;
	u->sent++;
	u->sent_at = rig_now(x->r);
	rig_send_udp(x->r, u->sport, RIG_GATEWAY, u->port, buf, datagram(x, u, u->sent - 1, buf));
	x->moved++;
}

static void datagram_is_back(struct xfer *x, struct xfer_udp *u, const struct rig_pkt *p)
{
	uint32_t index = check_datagram(x, u, p->payload, p->payload_len);

	XFER_CHECK(x, u->at_host[index] && !u->at_guest[index]);
	u->at_guest[index] = true;
	u->back++;
	x->moved++;
}

/* --- names: the resolver's side ------------------------------------------------------ */

/* The address of a name is a hash of it. */
static uint32_t address_of(const struct dnsmsg *m)
{
	uint32_t h = 2166136261U;

	for (uint32_t i = DNS_HLEN; i < m->question; i++)
		h = (h ^ m->b[i]) * 16777619U;
	return h;
}

static void resolve(struct xfer *x)
{
	struct dns_question q;

	XFER_CHECK(x, dns_query_parse(msg.b, msg.len, &q) == 0);
	msg.question = q.end;
	dnsmsg_answer(&msg, 0);
	dnsmsg_a(&msg, 60, address_of(&msg));
}

static void resolver_datagrams(struct xfer *x)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	ssize_t n;

	while ((n = recvfrom(x->resolver_udp, msg.b, sizeof(msg.b), 0, (struct sockaddr *)&sa,
			     &len)) >= 0) {
		msg.len = (uint32_t)n;
		resolve(x);
		if (xfer_random(x, 8) == 0)
			continue; /* then the stack asks again, and this socket may be late */
		XFER_CHECK(x, sendto(x->resolver_udp, msg.b, msg.len, 0, (struct sockaddr *)&sa,
				     len) == msg.len);
		len = sizeof(sa);
	}
	XFER_CHECK(x, errno == EAGAIN || errno == ECONNREFUSED);
}

static void resolver_stream(struct xfer *x, struct xfer_query *q)
{
	uint8_t len[2];
	ssize_t n = recv(q->fd, q->msg + q->have, sizeof(q->msg) - q->have, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		close(q->fd);
		q->fd = -1;
		return;
	}
	q->have += (uint32_t)n;
	if (q->have < 2 || q->have < 2U + get_be16(q->msg))
		return;
	msg.len = get_be16(q->msg);
	memcpy(msg.b, q->msg + 2, msg.len);
	q->have = 0;
	resolve(x);
	put_be16(len, (uint16_t)msg.len);
	if (send(q->fd, len, 2, MSG_NOSIGNAL | MSG_MORE) == 2)
		(void)!send(q->fd, msg.b, msg.len, MSG_NOSIGNAL);
}

static void resolver_streams(struct xfer *x)
{
	for (uint32_t i = 0; i < XFER_RESOLVING; i++) {
		struct xfer_query *q = &x->query[i];

		if (q->fd < 0) {
			q->have = 0;
			q->fd = accept4(x->resolver_tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		}
		if (q->fd >= 0)
			resolver_stream(x, q);
	}
}

/**
 * xfer_side_hosts() - a round of echo servers and the resolver
 */
void xfer_side_hosts(struct xfer *x)
{
	for (uint32_t i = 0; i < x->udps; i++)
		echo(x, &x->udp[i]);
	resolver_datagrams(x);
	resolver_streams(x);
}

/* --- names: the guest's side ---------------------------------------------------------- */

static void make_query(const struct xfer_name *n)
{
	char text[40];

	snprintf(text, sizeof(text), "n%u.fault.test", n->number);
	dnsmsg_query(&msg, (uint16_t)(n->number * 7 + n->tries), text, DNS_TYPE_A);
}

/* What has come, in msg, is an answer to @n. SERVFAIL is one too: the guest asks again. */
static void take_answer(struct xfer *x, struct xfer_name *n, const uint8_t *b, uint32_t len)
{
	struct dnsmsg *q = &msg;
	uint32_t question;

	make_query(n);
	question = q->question;
	XFER_CHECK(x, len >= question &&
			      memcmp(b + DNS_HLEN, q->b + DNS_HLEN, question - DNS_HLEN) == 0);
	XFER_CHECK(x, get_be16(b) == get_be16(q->b));
	memcpy(q->b, b, len);
	q->len = len;
	x->moved++;
	n->asked_at = rig_now(x->r) - ASK_AGAIN_NS + NS_PER_S;
	n->failed = dnsmsg_rcode(q) == 2;
	if (n->failed)
		return;
	XFER_CHECK(x, dnsmsg_rcode(q) == 0 && dnsmsg_records(q, DNS_ANSWER) == 1);
	XFER_CHECK(x, get_be32(dnsmsg_get(q, DNS_ANSWER, 0).rdata) == address_of(q));
	n->answered = true;
}

static void ask_datagram(struct xfer *x, struct xfer_name *n)
{
	make_query(n);
	rig_send_udp(x->r, DNS_SPORT, LIMIT_DNS4, DNS_PORT, msg.b, msg.len);
}

/* A new connection for each try. */
static void ask_stream(struct xfer *x, struct xfer_name *n)
{
	rig_conn_init(n->c, x->r, x->dns_sport++, DNS_PORT);
	n->c->dst = LIMIT_DNS4;
	n->c->keep = n->keep;
	n->c->keep_max = sizeof(n->keep);
	n->sent = n->failed = false;
	rig_conn_syn(n->c);
}

static void close_stream(struct xfer_name *n)
{
	struct rig_conn *c = n->c;

	if (c->synack && !c->fin_sent && !c->rst)
		rig_conn_fin(c);
}

static void watch_stream(struct xfer *x, struct xfer_name *n)
{
	struct rig_conn *c = n->c;
	uint8_t len[2];

	if (!n->tries || n->answered)
		return;
	if (c->synack && !n->sent && !c->rst) {
		make_query(n);
		put_be16(len, (uint16_t)msg.len);
		memmove(msg.b + 2, msg.b, msg.len);
		memcpy(msg.b, len, 2);
		rig_conn_send_bytes(c, msg.b, msg.len + 2);
		n->sent = true;
		x->moved++;
	}
	if (!n->failed && c->rx_bytes >= 2 && c->rx_bytes >= 2U + get_be16(n->keep))
		take_answer(x, n, n->keep + 2, get_be16(n->keep));
	if (n->answered)
		close_stream(n);
}

static void guest_name(struct xfer *x, struct xfer_name *n)
{
	bool gone = n->c && n->tries && (n->c->rst || n->c->fin);

	if (n->c)
		watch_stream(x, n);
	if (n->answered)
		return;
	if (n->tries && rig_now(x->r) - n->asked_at < (gone ? NS_PER_S : ASK_AGAIN_NS))
		return;
	if (n->c && n->tries)
		close_stream(n);
	XFER_CHECK(x, n->tries++ < TRIES_MAX + fault_hits());
	n->asked_at = rig_now(x->r);
	x->moved++;
	if (n->c)
		ask_stream(x, n);
	else
		ask_datagram(x, n);
}

/**
 * xfer_side_guest() - a round of the guest's datagrams and questions
 */
void xfer_side_guest(struct xfer *x)
{
	for (uint32_t i = 0; i < x->udps; i++)
		guest_datagrams(x, &x->udp[i]);
	for (uint32_t i = 0; i < x->names; i++)
		guest_name(x, &x->name[i]);
}

/**
 * xfer_guest_udp() - a datagram for the guest
 */
void xfer_guest_udp(struct xfer *x, const struct rig_pkt *p)
{
	for (uint32_t i = 0; i < x->udps; i++)
		if (x->udp[i].sport == p->dport && x->udp[i].port == p->sport) {
			datagram_is_back(x, &x->udp[i], p);
			return;
		}
	XFER_CHECK(x, p->sport == DNS_PORT && p->dport == DNS_SPORT && p->payload_len > DNS_HLEN);
	for (uint32_t i = 0; i < x->names; i++) {
		struct xfer_name *n = &x->name[i];

		make_query(n);
		if (n->c || n->answered || get_be16(p->payload) != get_be16(msg.b))
			continue;
		take_answer(x, n, p->payload, p->payload_len);
		return;
	}
}

/* --- the end ---------------------------------------------------------------------------- */

/**
 * xfer_side_done() - nothing is waited for any more
 */
bool xfer_side_done(struct xfer *x)
{
	for (uint32_t i = 0; i < x->udps; i++) {
		const struct xfer_udp *u = &x->udp[i];

		if (u->sent < u->count ||
		    (u->back < u->count && rig_now(x->r) - u->sent_at < LOST_NS))
			return false;
	}
	for (uint32_t i = 0; i < x->names; i++)
		if (!x->name[i].answered)
			return false;
	return true;
}

/* Datagrams that the stack says it has dropped. */
static uint64_t drops(struct xfer *x)
{
	uint64_t n = 0;

	for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
		n += rig_drops(x->r, (enum drop_reason)reason);
	return n;
}

/**
 * xfer_side_verify() - what is not back was dropped by name
 */
void xfer_side_verify(struct xfer *x, struct xfer_result *res)
{
	uint64_t lost = 0;

	for (uint32_t i = 0; i < x->udps; i++) {
		lost += x->udp[i].count - x->udp[i].back;
		res->datagrams += x->udp[i].back;
	}
	if (lost > drops(x))
		xfer_failed(x, "datagrams are missing that nobody has counted", __LINE__, __FILE__);
	res->names += x->names;
}
