/* SPDX-License-Identifier: MIT */
/*
 * UDP from the guest (RFC 768, NAT behaviour RFC 4787).
 *
 * Theory of operation
 * -------------------
 * A flow is a pair of the guest's port and a remote endpoint. Its mapping is
 * therefore address- and port-dependent, and so is its filtering: only the
 * remote that the guest has addressed can answer, and nobody can open a flow
 * from outside, but through a forward (udp_forward.c). The price, that peers
 * cannot be introduced to each other, is one that a sandbox likes to pay.
 *
 * A datagram goes from guest memory to the socket in one sendmsg() during
 * udp_input(), so the frame is done with when that returns. The kernel's send
 * buffer is the only queue: a datagram that it refuses is dropped, counted.
 * What decides anything (ports, length, checksum field) is read from the
 * private copy of the frame's head; the payload is the guest's own affair.
 *
 * Errors that come back on the socket turn into ICMP errors for the guest.
 *
 * The other direction is in udp_rx.c, the flows' sockets in dgram.c.
 */
#include <errno.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "src/base/bytes.h"
#include "tcpstack/dhcp6_msg.h"
#include "tcpstack/dhcp_msg.h"
#include "tcpstack/dns_msg.h"
#include "tcpstack/forward_priv.h"

#define IP4_BROADCAST 0xffffffffU

/* Is one end a DNS server, and the other its client? */
static bool is_dns(const struct flow *f)
{
	return (f->inbound ? f->key.guest.port : f->key.remote.port) == DNS_PORT;
}

static void on_expiry(void *ctx, struct timer *t)
{
	struct stack *st = ctx;
	struct udp_flow *uf = udp_flow_of(container_of(t, struct dgram_flow, timer));
	bool over = uf->answered && is_dns(&uf->d.flow);

	dgram_expire(&st->udp->d, &uf->d, over ? LIMIT_UDP_DNS_IDLE_NS : LIMIT_UDP_IDLE_NS);
}

/**
 * udp_flow_begin() - a new flow begins to age
 */
void udp_flow_begin(struct stack *st, struct udp_flow *uf)
{
	/* The shorter of the two lives: a later look decides which one applies. */
	timer_arm(loop_timers(st->loop), &uf->d.timer,
		  stack_now(st) +
			  (is_dns(&uf->d.flow) ? LIMIT_UDP_DNS_IDLE_NS : LIMIT_UDP_IDLE_NS));
}

/**
 * udp_init() - memory for cfg.max_udp flows; 0 or -errno
 */
int udp_init(struct stack *st)
{
	struct udp *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return -ENOMEM;
	st->udp = u;
	u->d.st = st;
	u->d.kind = TOKEN_UDP;
	u->d.expired = on_expiry;
	u->d.active = &st->n.udp_active;
	u->d.wants_errors = true;
	dlist_init(&u->forwards);
	u->stage = malloc(LIMIT_UDP_BATCH * sizeof(*u->stage));
	rc = u->stage ? dgram_init(&u->d, st->cfg.max_udp, LIMIT_UDP_FLOWS, sizeof(struct udp_flow))
		      : -ENOMEM;
	if (rc)
		udp_fini(st);
	return rc;
}

/**
 * udp_reset_all() - close all flows; the guest hears nothing
 */
void udp_reset_all(struct stack *st)
{
	dgram_reset(&st->udp->d);
}

/**
 * udp_fini() - close all flows and free the memory; harmless without an init
 */
void udp_fini(struct stack *st)
{
	if (!st->udp)
		return;
	dgram_fini(&st->udp->d);
	free(st->udp->stage);
	free(st->udp);
	st->udp = NULL;
}

/**
 * udp_count_refusal() - no flow came of a datagram; a limit's option is named, now and then
 */
void udp_count_refusal(struct stack *st, enum drop_reason why)
{
	stack_drop(st, why);
	if (why == DROP_FLOW_LIMIT)
		log_limited(LOG_WARN, "udp", "all %u UDP flows are in use (--max-udp)",
			    st->udp->d.flows.limit);
	else if (why == DROP_FORWARD_ADDRESS)
		log_limited(LOG_WARN, "udp",
			    "datagram refused: the guest has no IPv6 address to forward to");
}

/* A flow for the datagram @pkt, connected; NULL when it was refused (and counted). */
static struct udp_flow *open_flow(struct stack *st, const struct packet *pkt,
				  const struct flow_key *key)
{
	struct endpoint host;
	struct dgram_flow *df;
	struct udp_flow *uf;
	enum drop_reason why = policy_translate(st, PROTO_UDP, &key->remote, &host);
	char name[FLOW_NAME_STRLEN];
	uint8_t code;
	int rc;

	df = why == DROP_NONE ? dgram_new(&st->udp->d, key) : NULL;
	if (why == DROP_NONE && !df)
		why = DROP_FLOW_LIMIT;
	audit_decision(st, FLOW_UDP, key, df ? &df->flow : NULL, why);
	if (why != DROP_NONE) {
		udp_count_refusal(st, why);
		if (why == DROP_POLICY_DENIED)
			icmp_send_unreachable(st, pkt, UNREACH_PROHIBITED);
		return NULL;
	}
	rc = dgram_connect(&st->udp->d, df, 0, &host);
	if (rc) {
		stack_drop(st, DROP_SOCKET_ERROR);
		if (dgram_unreachable_code(-rc, &code))
			icmp_send_unreachable(st, pkt, code);
		else
			log_limited_flow(LOG_WARN, "udp", flow_name(FLOW_UDP, df->flow.id, name),
					 "socket: %s", strerror(-rc));
		flow_ends(&df->flow, END_HOST_ERROR, -rc);
		dgram_free(&st->udp->d, df);
		return NULL;
	}
	ndp_seen(st, &pkt->src);
	uf = udp_flow_of(df);
	udp_rx_init(&uf->rx);
	udp_flow_begin(st, uf);
	counter_inc(&st->n.udp_opened);
	return uf;
}

/**
 * udp_control_add() - one more control message of a send
 * @msg:	its msg_control has the room
 */
void udp_control_add(struct msghdr *msg, int level, int type, const void *data, size_t len)
{
	struct cmsghdr *c = (struct cmsghdr *)((char *)msg->msg_control + msg->msg_controllen);

	memset(c, 0, CMSG_SPACE(len));
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	msg->msg_controllen += CMSG_SPACE(len);
}

/* @len bytes have gone, in datagrams of @segment bytes. */
static void sent(struct stack *st, struct udp_flow *uf, uint32_t len, uint32_t segment)
{
	uf->answered |= uf->d.flow.inbound;
	uf->d.flow.tx_bytes += len;
	counter_add(&st->n.udp_tx, udp_datagrams(len, segment));
}

/* One datagram of the frame's, @len bytes from @at on. */
static int send_one(struct stack *st, struct udp_flow *uf, const struct packet *pkt,
		    struct msghdr *msg, uint32_t at, uint32_t len)
{
	msg->msg_iovlen = frame_iov(pkt->frame, pkt->l4 + UDP_HLEN + at, len, st->udp->iov,
				    IOV_MAX);
	if (msg->msg_iovlen == 0 && len) {
		stack_drop(st, DROP_L4_MALFORMED);
		return -EMSGSIZE;
	}
	return dgram_send(&st->udp->d, &uf->d, msg, pkt);
}

/*
 * Let the host cut @len bytes. Return: 0; -errno when they were dropped, and counted;
 * 1 when it will not: segments beyond the route's MTU, more of them than it makes, a
 * route with IPsec.
 */
static int send_whole(struct stack *st, struct udp_flow *uf, const struct packet *pkt,
		      struct msghdr *msg, uint32_t len)
{
	size_t control = msg->msg_controllen;
	uint16_t size = pkt->frame->off.gso_size;
	int err;

	if (uf->no_gso)
		return 1;
	msg->msg_iovlen = frame_iov(pkt->frame, pkt->l4 + UDP_HLEN, len, st->udp->iov, IOV_MAX);
	if (msg->msg_iovlen == 0)
		return 1;
	udp_control_add(msg, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
	counter_inc(&st->n.syscalls);
	err = sendmsg(uf->d.flow.fd, msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
	if (err && err != EINVAL && err != EMSGSIZE && err != EIO && err != EOPNOTSUPP)
		err = -dgram_send(&st->udp->d, &uf->d, msg, pkt);
	else if (err)
		uf->no_gso = true;
	msg->msg_controllen = control;
	return uf->no_gso ? 1 : -err;
}

/* Payload of @pkt, straight from guest memory, to the flow's socket. */
static void send_payload(struct stack *st, struct udp_flow *uf, const struct packet *pkt)
{
	const struct offload *off = &pkt->frame->off;
	uint32_t len = pkt->l4_len - UDP_HLEN, segment = len, at = 0;
	struct udp_control control;
	struct msghdr msg = { .msg_iov = st->udp->iov, .msg_control = control.space };

	if (uf->forward)
		udp_forward_address(st, uf, pkt, &control, &msg);
	else if (!stack_is_ours(st, &pkt->dst))
		dgram_set_ttl(&st->udp->d, &uf->d, pkt);
	if (off->gso == GSO_UDP_L4 && len > off->gso_size) {
		int rc = send_whole(st, uf, pkt, &msg, len);

		segment = off->gso_size;
		if (rc == 0)
			sent(st, uf, len, segment);
		if (rc <= 0)
			return;
	}
	do {
		uint32_t part = MIN(segment, len - at);

		if (send_one(st, uf, pkt, &msg, at, part) == 0)
			sent(st, uf, part, part);
		at += segment;
	} while (at < len);
}

static void nat_input(struct stack *st, const struct packet *pkt, const struct flow_key *key)
{
	struct flow *f = flow_find(&st->udp->d.flows, key);
	struct udp_flow *uf;

	if (f) {
		uf = udp_flow_of(container_of(f, struct dgram_flow, flow));
		flow_touch(&st->udp->d.flows, f, stack_now(st));
	} else {
		uf = open_flow(st, pkt, key);
	}
	if (uf)
		send_payload(st, uf, pkt);
}

static bool for_dhcp(const struct stack *st, const struct endpoint *dst)
{
	uint32_t v4;

	if (dst->port != DHCP_SERVER_PORT || !ipaddr_is_v4(&dst->addr))
		return false;
	v4 = ipaddr_v4(&dst->addr);
	return v4 == IP4_BROADCAST || v4 == st->cfg.gateway4;
}

/* Only the servers' group passes the checks of addresses, see ip6.c. */
static bool for_dhcp6(const struct endpoint *dst)
{
	return dst->port == DHCP6_SERVER_PORT && ipaddr_is_multicast6(&dst->addr);
}

/**
 * udp_input() - one UDP packet from the guest
 * @pkt:	IP header and offloads checked; not kept
 *
 * Network worker. The length field rules; what the IP packet has beyond it is
 * ignored.
 */
void udp_input(struct stack *st, const struct packet *pkt)
{
	struct packet udp = *pkt;
	struct cursor c = packet_l4(pkt);
	const uint8_t *h = cursor_pull(&c, UDP_HLEN);
	struct flow_key key = { .guest = { pkt->src, 0 }, .remote = { pkt->dst, 0 } };

	if (!h || get_be16(h + 4) < UDP_HLEN || get_be16(h + 4) > pkt->l4_len) {
		stack_drop(st, DROP_L4_MALFORMED);
		return;
	}
	udp.l4_len = get_be16(h + 4);
	key.guest.port = get_be16(h);
	key.remote.port = get_be16(h + 2);
	if (key.remote.port == 0) {
		stack_drop(st, DROP_L4_MALFORMED);
		return;
	}
	if (!udp.frame->off.needs_csum && !udp.frame->off.data_valid &&
	    !frame_l4_checksum_ok(&udp)) {
		stack_drop(st, DROP_L4_CHECKSUM);
		return;
	}

	if (for_dhcp(st, &key.remote))
		dhcp_input(st, &udp);
	else if (for_dhcp6(&key.remote))
		dhcp6_input(st, &udp, key.guest.port);
	else if (ipaddr_is_v4(&pkt->src) && ipaddr_v4(&pkt->src) == 0)
		stack_drop(st, DROP_IP_SPOOFED); /* no address yet: good for DHCP only */
	else if (stack_is_dns(st, &key.remote))
		dns_input(st, &udp, key.guest.port);
	else
		nat_input(st, &udp, &key);
}

/**
 * udp_dump() - a line for each flow, the longest quiet first
 */
void udp_dump(const struct stack *st, FILE *out)
{
	const struct flow *f = NULL;
	char guest[ENDPOINT_STRLEN], remote[ENDPOINT_STRLEN];

	while ((f = flow_next(&st->udp->d.flows, f)))
		fprintf(out, "udp %s > %s tx %llu rx %llu quiet %llu ms\n",
			endpoint_format(&f->key.guest, guest),
			endpoint_format(&f->key.remote, remote), (unsigned long long)f->tx_bytes,
			(unsigned long long)f->rx_bytes,
			(unsigned long long)((stack_now(st) - f->used_ns) / 1000000));
}
