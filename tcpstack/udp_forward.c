/* SPDX-License-Identifier: MIT */
/*
 * Forwards of UDP: peers of the host whose datagrams reach the guest.
 *
 * Theory of operation. A forward has one socket, bound and not connected. All that
 * peers send to it is read by udp_rx.c, and what the guest answers leaves by it, so
 * that it has the port that the peer knows. A socket for each peer, bound to the same
 * port and connected, would do as well and was not chosen: it takes a descriptor for
 * each peer, a right to the port that is given up by then, and SO_REUSEPORT, by which
 * others of the same user could take datagrams away.
 *
 * What stands for a peer is a flow like any other, with the same limit and the same
 * age: it is begun by the peer's first datagram, and only as long as it lives can the
 * guest answer. Where the socket listens on every address of the host, the kernel tells
 * to which of them a datagram came (IP_PKTINFO), which becomes the source of the
 * answers; a peer that uses two of them is two flows.
 *
 * Flows are found under what the guest sees. A peer keeps its port there unless
 * another that looks alike has it: then it gets one of a few that follow from the
 * peer and from a key that nobody knows. So all of them are looked at before a peer
 * is taken for a new one, and no second table is needed.
 *
 * No errors are asked for on the socket. One that a peer causes, or somebody in its
 * name, would come out of the next send to another peer.
 */
#include <netinet/in.h>

#include "tcpstack/forward_priv.h"

/* Other ports begin where those that are free for all do, RFC 6335 section 6. */
#define ALIAS_FIRST 49152U

/**
 * struct caller - who has sent a datagram
 * @key:	as the guest would see it if its port is free
 * @local:	the address of the host that it was sent to, unspecified = the only one
 * @scope:	the interface that a link-local address is good on
 */
struct caller {
	struct flow_key key;
	struct endpoint peer;
	struct ipaddr local;
	uint32_t scope;
};

/**
 * udp_forward_opened() - a forward of UDP begins to serve
 */
void udp_forward_opened(struct stack *st, struct forward *f)
{
	(void)st;
	dlist_init(&f->flows);
	udp_rx_init(&f->rx);
	f->any = ipaddr_is_v4(&f->info.bind.addr) ? ipaddr_v4(&f->info.bind.addr) == INADDR_ANY
						  : ipaddr_is_unspecified(&f->info.bind.addr);
}

/**
 * udp_forward_closing() - a forward of UDP goes, and its flows before it
 */
void udp_forward_closing(struct stack *st, struct forward *f)
{
	while (!dlist_empty(&f->flows)) {
		struct dgram_flow *df = container_of(f->flows.next, struct dgram_flow, shares);

		flow_ends(&df->flow, END_FORWARD_GONE, 0);
		dgram_free(&st->udp->d, df);
	}
}

/**
 * udp_forward_event() - there is something to read; udp_run() does
 */
void udp_forward_event(struct stack *st, struct forward *f)
{
	if (dlist_empty(&f->ready))
		dlist_push_tail(&st->udp->forwards, &f->ready);
}

/* To which address of the host a datagram came, as the kernel tells, ip(7), RFC 3542 6.1. */
static struct ipaddr address_of(const struct msghdr *msg)
{
	struct ipaddr none = { { 0 } };

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)msg, c)) {
		struct in6_pktinfo i6;
		struct in_pktinfo i4;
		struct ipaddr a;

		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&i4, CMSG_DATA(c), sizeof(i4));
			return ipaddr_from_v4(ntohl(i4.ipi_spec_dst.s_addr));
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&i6, CMSG_DATA(c), sizeof(i6));
			memcpy(a.b, &i6.ipi6_addr, sizeof(a.b));
			/* To a group: the kernel chooses what the answers come from. */
			return ipaddr_is_multicast6(&a) ? none : a;
		}
	}
	return none;
}

static bool read_caller(const struct stack *st, const struct forward *f, const struct msghdr *msg,
			struct caller *c)
{
	const union sockaddr_any *from = msg->msg_name;

	memset(c, 0, sizeof(*c));
	if (endpoint_from_sockaddr(from, &c->peer))
		return false;
	if (f->any)
		c->local = address_of(msg);
	if (from->sa.sa_family == AF_INET6)
		c->scope = from->in6.sin6_scope_id;
	c->key.guest = forward_guest(st, &f->info);
	c->key.remote = (struct endpoint){ forward_peer(st, &c->peer.addr), c->peer.port };
	return true;
}

/* The port number @i that the guest may know the caller by; 0 = none. */
static uint16_t alias(const struct stack *st, const struct forward *f, const struct caller *c,
		      uint32_t i)
{
	struct {
		struct ipaddr peer, local;
		uint32_t peer_port, bind_port, i, pad;
	} from = { c->peer.addr, c->local, c->peer.port, f->info.bind.port, i, 0 };

	if (i == 0)
		return c->peer.port;
	return (uint16_t)(ALIAS_FIRST +
			  siphash(&st->hash_key, &from, sizeof(from)) % (65536U - ALIAS_FIRST));
}

/*
 * The caller's flow. NULL: it has none; then @c->key is the one to begin it under,
 * its port 0 if all are taken.
 */
static struct udp_flow *find(struct stack *st, const struct forward *f, struct caller *c)
{
	struct flow_key key = c->key;

	c->key.remote.port = 0;
	for (uint32_t i = 0; i < LIMIT_FORWARD_ALIASES; i++) {
		struct udp_flow *uf;
		struct flow *fl;

		key.remote.port = alias(st, f, c, i);
		if (key.remote.port == 0)
			continue;
		fl = flow_find(&st->udp->d.flows, &key);
		if (!fl) {
			if (c->key.remote.port == 0)
				c->key.remote.port = key.remote.port;
			continue;
		}
		uf = udp_flow_of(container_of(fl, struct dgram_flow, flow));
		if (uf->forward == f && endpoint_equal(&fl->host, &c->peer) &&
		    ipaddr_equal(&uf->local, &c->local))
			return uf;
	}
	return NULL;
}

/* A flow for the caller; NULL: it was refused, and that is counted. */
static struct udp_flow *begin(struct stack *st, struct forward *f, const struct caller *c)
{
	enum drop_reason why = DROP_NONE;
	struct dgram_flow *df = NULL;
	struct udp_flow *uf;

	if (ipaddr_is_unspecified(&c->key.guest.addr))
		why = DROP_FORWARD_ADDRESS;
	else if (c->key.remote.port == 0 || !(df = dgram_new(&st->udp->d, &c->key)))
		why = DROP_FLOW_LIMIT;
	audit_inbound(st, FLOW_UDP, &c->key, &c->peer, df ? &df->flow : NULL, why);
	if (why != DROP_NONE) {
		udp_count_refusal(st, why);
		f->info.refused++;
		return NULL;
	}
	df->flow.fd = f->fd;
	df->flow.host = c->peer;
	df->flow.inbound = true;
	dlist_push_tail(&f->flows, &df->shares);
	uf = udp_flow_of(df);
	uf->forward = f;
	uf->local = c->local;
	uf->scope = c->scope;
	udp_flow_begin(st, uf);
	counter_inc(&st->n.udp_accepted);
	f->info.accepted++;
	return uf;
}

/**
 * udp_forward_flow() - whose a datagram is that has come to a forward
 * @msg:	as received; its name and control messages are read
 *
 * Begins the peer's flow if it has none, at the cost of the one that was quiet the
 * longest if need be. Return: the flow, which counts as used; NULL: it was refused,
 * and that is counted. The stack's thread.
 */
struct udp_flow *udp_forward_flow(struct stack *st, struct forward *f, const struct msghdr *msg)
{
	struct udp_flow *uf;
	struct caller c;

	if (!read_caller(st, f, msg, &c))
		return NULL;
	uf = find(st, f, &c);
	if (!uf)
		return begin(st, f, &c);
	flow_touch(&st->udp->d.flows, &uf->d.flow, stack_now(st));
	return uf;
}

static void add_source(const struct udp_flow *uf, struct msghdr *msg)
{
	if (ipaddr_is_v4(&uf->local)) {
		struct in_pktinfo i4 = { .ipi_spec_dst.s_addr = htonl(ipaddr_v4(&uf->local)) };

		udp_control_add(msg, IPPROTO_IP, IP_PKTINFO, &i4, sizeof(i4));
	} else {
		struct in6_pktinfo i6 = { .ipi6_ifindex = uf->scope };

		memcpy(&i6.ipi6_addr, uf->local.b, sizeof(i6.ipi6_addr));
		udp_control_add(msg, IPPROTO_IPV6, IPV6_PKTINFO, &i6, sizeof(i6));
	}
}

/**
 * udp_forward_address() - where an answer of the guest goes, and from which address
 * @uf:		of a forward
 * @pkt:	the guest's datagram, whose TTL it gets, less one for us
 * @control:	room for what @msg refers to from now on
 */
void udp_forward_address(struct stack *st, const struct udp_flow *uf, const struct packet *pkt,
			 struct udp_control *control, struct msghdr *msg)
{
	bool v4 = ipaddr_is_v4(&uf->d.flow.host.addr);
	int ttl = pkt->ttl - 1;

	msg->msg_namelen = endpoint_to_sockaddr(&uf->d.flow.host, &control->to);
	msg->msg_name = &control->to;
	if (!v4)
		control->to.in6.sin6_scope_id = uf->scope;
	if (!ipaddr_is_unspecified(&uf->local))
		add_source(uf, msg);
	if (pkt->ttl != LIMIT_TTL && !stack_is_ours(st, &pkt->dst))
		udp_control_add(msg, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_HOPLIMIT,
				&ttl, sizeof(ttl));
}
