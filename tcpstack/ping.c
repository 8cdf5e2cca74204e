/* SPDX-License-Identifier: MIT */
/*
 * ICMP echo to the world (RFC 792, RFC 4443) through the kernel's ping sockets.
 *
 * Theory of operation: a flow is a pair of the guest's identifier and a remote
 * address, over a datagram socket of protocol ICMP or ICMPv6. Such a socket sends echo
 * requests under an identifier that the kernel chose and receives the replies
 * to it, and no other ICMP; it needs no privilege, only a group that
 * net.ipv4.ping_group_range admits. Sequence number and data pass unchanged;
 * the guest's identifier is put back into replies.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "src/base/bytes.h"
#include "tcpstack/dgram.h"

/* No IPv6 packet holds more, and an IPv4 packet less. */
#define PING_MAX UINT16_MAX

/**
 * struct ping - the module
 * @iov:	of the message being sent: our header, then the guest's data
 * @reply:	as it was received
 */
struct ping {
	struct dgram d;
	struct iovec iov[1 + LIMIT_PING_IOV];
	uint8_t reply[PING_MAX];
};

static void on_expiry(void *ctx, struct timer *t)
{
	struct stack *st = ctx;

	dgram_expire(&st->ping->d, container_of(t, struct dgram_flow, timer), LIMIT_PING_IDLE_NS);
}

/**
 * ping_init() - memory for cfg.max_ping flows; 0 or -errno
 */
int ping_init(struct stack *st)
{
	struct ping *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return -ENOMEM;
	st->ping = p;
	p->d.st = st;
	p->d.kind = TOKEN_PING;
	p->d.expired = on_expiry;
	p->d.active = &st->n.ping_active;
	p->d.wants_errors = true;
	rc = dgram_init(&p->d, st->cfg.max_ping, LIMIT_PING_FLOWS, sizeof(struct dgram_flow));
	if (rc)
		ping_fini(st);
	return rc;
}

/**
 * ping_reset_all() - close all flows; the guest hears nothing
 */
void ping_reset_all(struct stack *st)
{
	dgram_reset(&st->ping->d);
}

/**
 * ping_fini() - close all flows and free the memory; harmless without an init
 */
void ping_fini(struct stack *st)
{
	if (!st->ping)
		return;
	dgram_fini(&st->ping->d);
	free(st->ping);
	st->ping = NULL;
}

static void refused(struct stack *st, const struct packet *pkt, int err)
{
	uint8_t code;

	if (err == EACCES || err == EPERM || err == EPROTONOSUPPORT) {
		stack_drop(st, DROP_ICMP_UNAVAILABLE);
		log_once(LOG_WARN, "ping",
			 "the host gives us no ping sockets; to enable them: "
			 "sysctl -w net.ipv4.ping_group_range='0 2147483647'");
		return;
	}
	stack_drop(st, DROP_SOCKET_ERROR);
	if (dgram_unreachable_code(err, &code))
		icmp_send_unreachable(st, pkt, code);
}

/* A flow for @key, connected; NULL when it was refused (and counted). */
static struct dgram_flow *open_flow(struct stack *st, const struct packet *pkt,
				    const struct flow_key *key)
{
	struct dgram *d = &st->ping->d;
	struct dgram_flow *df;
	struct endpoint host;
	enum drop_reason why = policy_translate(st, pkt->proto, &key->remote, &host);
	int rc;

	df = why == DROP_NONE ? dgram_new(d, key) : NULL;
	if (why == DROP_NONE && !df)
		why = DROP_FLOW_LIMIT;
	audit_decision(st, FLOW_PING, key, df ? &df->flow : NULL, why);
	if (!df) {
		stack_drop(st, why);
		return NULL;
	}
	rc = dgram_connect(d, df, pkt->proto, &host);
	if (rc) {
		flow_ends(&df->flow, END_HOST_ERROR, -rc);
		dgram_free(d, df);
		refused(st, pkt, -rc);
		return NULL;
	}
	timer_arm(loop_timers(st->loop), &df->timer, stack_now(st) + LIMIT_PING_IDLE_NS);
	counter_inc(&st->n.ping_opened);
	return df;
}

/**
 * ping_input() - an echo request to an address beyond us
 * @pkt:	header of 8 bytes present, checksum verified
 * @id:		the guest's identifier
 *
 * Network worker. The data goes from guest memory to the socket; the kernel
 * writes identifier and checksum.
 */
void ping_input(struct stack *st, const struct packet *pkt, uint16_t id)
{
	struct ping *p = st->ping;
	struct flow_key key = { .guest = { pkt->src, id }, .remote = { pkt->dst, 0 } };
	struct flow *f = flow_find(&p->d.flows, &key);
	uint32_t len = pkt->l4_len - ICMP_HLEN;
	struct msghdr msg = { .msg_iov = p->iov };
	struct dgram_flow *df;
	uint8_t header[ICMP_HLEN];
	uint32_t n;

	df = f ? container_of(f, struct dgram_flow, flow) : open_flow(st, pkt, &key);
	if (!df)
		return;
	flow_touch(&p->d.flows, &df->flow, stack_now(st));

	n = frame_iov(pkt->frame, pkt->l4 + ICMP_HLEN, len, p->iov + 1, LIMIT_PING_IOV);
	if (frame_copy(pkt->frame, pkt->l4, header, sizeof(header)) || (n == 0 && len)) {
		stack_drop(st, DROP_L4_MALFORMED);
		return;
	}
	put_be16(header + 2, 0);
	p->iov[0] = (struct iovec){ header, sizeof(header) };
	msg.msg_iovlen = 1 + n;
	dgram_set_ttl(&p->d, df, pkt);
	if (dgram_send(&p->d, df, &msg, pkt))
		return;
	counter_inc(&st->n.ping_tx);
	df->flow.tx_bytes += len;
}

/* The @len bytes in @reply, an echo reply, to the guest. */
static void deliver(struct stack *st, struct dgram_flow *df, uint32_t len)
{
	uint8_t *icmp = st->ping->reply;
	bool v4 = ipaddr_is_v4(&df->flow.key.remote.addr);
	uint32_t ip_len = (v4 ? IP4_HLEN : IP6_HLEN) + len, sum = 0;
	struct l3_spec l3 = {
		.src = df->flow.key.remote.addr,
		.dst = df->flow.key.guest.addr,
		.proto = v4 ? PROTO_ICMP : PROTO_ICMP6,
		.dont_fragment = true,
	};
	struct out_slot *slot;

	if (len < ICMP_HLEN || icmp[0] != (v4 ? ICMP4_ECHO_REPLY : ICMP6_ECHO_REPLY)) {
		stack_drop(st, DROP_ICMP_TYPE);
		return;
	}
	put_be16(icmp + 4, df->flow.key.guest.port);
	put_be16(icmp + 2, 0);
	if (!v4)
		sum = csum_pseudo(&l3.src, &l3.dst, PROTO_ICMP6, len);
	put_be16(icmp + 2, csum_fold(csum_add(sum, icmp, len)));
	if (ip_len > st->cfg.mtu) {
		out_fragments(st, &l3, &(struct out_data){ .head = icmp, .head_len = len });
	} else {
		slot = out_begin(st, ETH_HLEN + ip_len);
		if (!slot)
			return;
		memcpy(slot->data + out_l3(st, slot->data, &l3, len), icmp, len);
		out_send(st, slot);
	}
	counter_inc(&st->n.ping_rx);
	df->flow.rx_bytes += len - ICMP_HLEN;
	flow_touch(&st->ping->d.flows, &df->flow, stack_now(st));
}

/* Replies of one ready flow, at most @budget of them. Return: how many were taken. */
static uint32_t receive(struct stack *st, struct dgram_flow *df, uint32_t budget)
{
	struct ping *p = st->ping;

	if (df->errors)
		dgram_take_errors(&p->d, df);
	for (uint32_t taken = 0; taken < budget && !st->rx_starved; taken++) {
		ssize_t n;

		counter_inc(&st->n.syscalls);
		n = recv(df->flow.fd, p->reply, sizeof(p->reply), MSG_DONTWAIT);
		if (n >= 0) {
			deliver(st, df, (uint32_t)n);
		} else if (errno == EAGAIN) {
			dlist_del(&df->ready);
			return taken + 1;
		} else {
			/* The network has reported something: taken off, and the next call goes on.
			 */
			dgram_take_errors(&p->d, df);
		}
	}
	return budget;
}

/**
 * ping_run() - take echo replies, while the guest's ring has room
 *
 * Network worker, once a cycle. A flow that is not read to the end stays ready
 * until the ring is refilled.
 */
void ping_run(struct stack *st)
{
	struct dlist *ready = &st->ping->d.ready;
	uint32_t budget = LIMIT_PING_PER_CYCLE;

	while (st->port && !st->rx_starved && !dlist_empty(ready)) {
		struct dgram_flow *df = container_of(ready->next, struct dgram_flow, ready);

		if (budget == 0) {
			dgram_wake_again(&st->ping->d, df);
			return;
		}
		budget -= receive(st, df, budget);
	}
}

/**
 * ping_flows() - the table, for a walk from outside
 */
struct flow_table *ping_flows(const struct stack *st)
{
	return &st->ping->d.flows;
}
