/* SPDX-License-Identifier: MIT */
/*
 * What the network says of datagrams, from the sockets' error queues to the
 * guest (ip(7), IP_RECVERR).
 *
 * Theory of operation: the kernel keeps each ICMP error about a socket's
 * datagrams, with its type, code, MTU and sender. The guest gets the same error
 * as from that sender, about a packet as it has sent it: the addresses and
 * ports that it quotes are the guest's own, which is how the guest's kernel
 * finds the socket. So a traceroute of the guest sees the routers behind us.
 * Senders that would look like the guest's own network or like the host's
 * loopback are replaced by the gateway.
 *
 * An error wakes a flow by EPOLLERR, or comes out of the next call on the
 * socket; both ways lead here, and whoever is first empties the queue.
 */
#include "tcpstack/dgram.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>

/* One error and its sender, as the kernel lays them out. */
struct queued_error {
	struct sock_extended_err ee;
	union sockaddr_any offender;
};

/* Room for that, and for what else the socket may say (none of it asked for). */
#define CONTROL_BYTES 256

/* Errors taken at one time: no more than a burst that may be passed on. */
#define ERRORS_MAX LIMIT_ICMP_ERROR_BURST

/* What a socket gives back of an echo request: its ICMP header. */
#define QUOTED_BYTES 8

/*
 * Tell the guest @e of a packet as it might have sent it on @df.
 * @seq:	of an echo request
 */
static void report(struct dgram *d, const struct dgram_flow *df, const struct icmp_error *e,
		   uint16_t seq)
{
	const struct flow_key *key = &df->flow.key;
	bool v4 = ipaddr_is_v4(&key->guest.addr), udp = d->kind == TOKEN_UDP;
	uint8_t head[OUT_HEADERS_MAX] = { 0 }, *l4;
	struct iovec iov = { head, 0 };
	struct tx_frame frame = { .head = head, .iov = &iov, .iovcnt = 1 };
	struct packet pkt = { .frame = &frame,
			      .src = key->guest.addr,
			      .dst = key->remote.addr,
			      .proto = udp ? PROTO_UDP : (v4 ? PROTO_ICMP : PROTO_ICMP6),
			      .ttl = LIMIT_TTL,
			      .l3 = ETH_HLEN,
			      .l4_len = UDP_HLEN };
	struct l3_spec l3 = {
		.src = pkt.src, .dst = pkt.dst, .proto = pkt.proto, .dont_fragment = true
	};

	pkt.l4 = (uint16_t)out_l3(d->st, head, &l3, pkt.l4_len);
	l4 = head + pkt.l4;
	if (udp) {
		put_be16(l4, key->guest.port);
		put_be16(l4 + 2, key->remote.port);
		put_be16(l4 + 4, UDP_HLEN);
	} else {
		l4[0] = v4 ? ICMP4_ECHO_REQUEST : ICMP6_ECHO_REQUEST;
		put_be16(l4 + 4, key->guest.port);
		put_be16(l4 + 6, seq);
	}
	frame.len = frame.head_len = pkt.l4 + pkt.l4_len;
	iov.iov_len = frame.len;
	if (e->type == 0)
		icmp_send_unreachable(d->st, &pkt, e->code);
	else
		icmp_send_error(d->st, &pkt, e);
}

static_assert(UDP_HLEN == ICMP_HLEN, "both kinds of quoted packet are as long");

/**
 * dgram_report_unreachable() - an error without a sender, about an earlier datagram of @df
 * @code:	UNREACH_*
 */
void dgram_report_unreachable(struct dgram *d, const struct dgram_flow *df, uint8_t code)
{
	report(d, df, &(struct icmp_error){ .code = code }, 0);
}

/* The sender as the guest may see it; NULL = the gateway. */
static const struct ipaddr *visible(const struct stack *st, const struct dgram_flow *df,
				    const struct endpoint *offender)
{
	const struct ipaddr *a = &offender->addr;

	if (ipaddr_equal(a, &df->flow.host.addr))
		return &df->flow.key.remote.addr;
	return ipaddr_is_v4(a) == ipaddr_is_v4(&df->flow.key.guest.addr) && policy_visible(st, a)
		       ? a
		       : NULL;
}

/* The kernel's words in those of the guest's family. False: nothing to pass on. */
static bool translate(const struct sock_extended_err *ee, bool v4, struct icmp_error *e)
{
	uint8_t code;

	*e = (struct icmp_error){ .type = ee->ee_type, .code = ee->ee_code };
	if (ee->ee_origin == SO_EE_ORIGIN_ICMP && v4) {
		if (e->type == ICMP4_UNREACHABLE && e->code == UNREACH_TOO_BIG)
			e->info = MIN(ee->ee_info, (uint32_t)UINT16_MAX);
		return e->type == ICMP4_UNREACHABLE || e->type == ICMP4_TIME_EXCEEDED;
	}
	if (ee->ee_origin == SO_EE_ORIGIN_ICMP6 && !v4) {
		if (e->type == ICMP6_TOO_BIG)
			e->info = ee->ee_info;
		return e->type >= ICMP6_UNREACHABLE && e->type <= ICMP6_TIME_EXCEEDED;
	}
	if (ee->ee_origin != SO_EE_ORIGIN_LOCAL)
		return false;
	if (ee->ee_errno == EMSGSIZE) {
		*e = v4 ? (struct icmp_error){ ICMP4_UNREACHABLE, UNREACH_TOO_BIG,
					       MIN(ee->ee_info, (uint32_t)UINT16_MAX), NULL }
			: (struct icmp_error){ ICMP6_TOO_BIG, 0, ee->ee_info, NULL };
		return true;
	}
	if (!dgram_unreachable_code((int)ee->ee_errno, &code))
		return false;
	*e = (struct icmp_error){ .code = code }; /* type 0: report() finds the family's words */
	return true;
}

static bool find_error(struct msghdr *msg, struct queued_error *q)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t len = c->cmsg_len - CMSG_LEN(0);

		if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
		    !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
			continue;
		if (len < sizeof(q->ee))
			return false;
		memset(q, 0, sizeof(*q));
		memcpy(q, CMSG_DATA(c), MIN(len, sizeof(*q)));
		return true;
	}
	return false;
}

/* The oldest error of the queue. False: there is none. */
static bool take_one(struct dgram *d, struct dgram_flow *df)
{
	struct endpoint offender = { 0 };
	uint8_t quoted[QUOTED_BYTES] = { 0 };
	struct iovec iov = { quoted, sizeof(quoted) };
	union {
		struct cmsghdr align;
		char space[CONTROL_BYTES];
	} control;
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct queued_error q;
	struct icmp_error e;

	counter_inc(&d->st->n.syscalls);
	if (recvmsg(df->flow.fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
		return false;
	if (!find_error(&msg, &q) || !translate(&q.ee, ipaddr_is_v4(&df->flow.key.guest.addr), &e))
		return true;
	if (q.ee.ee_origin != SO_EE_ORIGIN_LOCAL &&
	    endpoint_from_sockaddr(&q.offender, &offender) == 0)
		e.from = visible(d->st, df, &offender);
	counter_inc(&d->st->n.icmp_errors);
	report(d, df, &e, get_be16(quoted + 6));
	return true;
}

/**
 * dgram_take_errors() - pass on what the network has said of the flow's datagrams
 *
 * The stack's thread, with no frames allocated from the port.
 * Return: errors taken off the queue
 */
uint32_t dgram_take_errors(struct dgram *d, struct dgram_flow *df)
{
	uint32_t n = 0;

	df->errors = false;
	if (!d->wants_errors)
		return 0;
	while (n < ERRORS_MAX && take_one(d, df))
		n++;
	return n;
}

/**
 * dgram_want_errors() - have the kernel queue errors for a new socket of the flow
 */
void dgram_want_errors(struct dgram *d, int fd, int family)
{
	int one = 1;

	counter_inc(&d->st->n.syscalls);
	if (family == AF_INET)
		setsockopt(fd, IPPROTO_IP, IP_RECVERR, &one, sizeof(one));
	else
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &one, sizeof(one));
}

/**
 * dgram_set_ttl() - let the flow's datagrams live as long as the guest wants
 * @pkt:	the guest's datagram; it has crossed one router, us
 *
 * A guest with the usual TTL, which is also the host's, costs no call.
 */
void dgram_set_ttl(struct dgram *d, struct dgram_flow *df, const struct packet *pkt)
{
	int ttl = pkt->ttl - 1;

	if (likely(pkt->ttl == df->ttl) || ttl < 1)
		return;
	df->ttl = pkt->ttl;
	counter_inc(&d->st->n.syscalls);
	if (ipaddr_is_v4(&df->flow.host.addr))
		setsockopt(df->flow.fd, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
	else
		setsockopt(df->flow.fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &ttl, sizeof(ttl));
}

/**
 * dgram_too_big() - the host's socket has refused @pkt for its length
 */
void dgram_too_big(struct dgram *d, struct dgram_flow *df, const struct packet *pkt)
{
	bool v4 = ipaddr_is_v4(&df->flow.host.addr);
	int mtu = 0;
	socklen_t len = sizeof(mtu);

	counter_inc(&d->st->n.syscalls);
	if (getsockopt(df->flow.fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &mtu,
		       &len) == 0 &&
	    mtu > 0)
		icmp_send_too_big(d->st, pkt, (uint32_t)mtu);
}
