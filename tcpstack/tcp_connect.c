/* SPDX-License-Identifier: MIT */
/*
 * Opening: a guest's SYN becomes a connect() of the host, and only its success
 * becomes a SYN-ACK (H40). What the host is refused, the guest is refused in the
 * same words: RST, or an ICMP unreachable before it.
 */
#include "tcpstack/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

/**
 * tcp_rate_allows() - may a connection be opened now? It is counted if so
 *
 * There are never more than max_conn_rate in a second, whichever one looks at: a bucket
 * of tokens would let twice as many through in its first one. Those of the last second
 * are kept by the slot that they came in, and leave when it is a second old.
 */
bool tcp_rate_allows(struct tcp *t)
{
	uint64_t slot = tcp_now(t) / (NS_PER_S / TCP_RATE_SLOTS);

	if (t->st->cfg.max_conn_rate == 0)
		return true;
	for (uint64_t i = 0; i < MIN(slot - t->rate_slot, TCP_RATE_SLOTS + 1); i++) {
		uint32_t *old = &t->rate_conns[(slot - i) % (TCP_RATE_SLOTS + 1)];

		t->rate_sum -= *old;
		*old = 0;
	}
	t->rate_slot = slot;
	if (t->rate_sum >= t->st->cfg.max_conn_rate)
		return false;
	t->rate_conns[slot % (TCP_RATE_SLOTS + 1)]++;
	t->rate_sum++;
	return true;
}

/**
 * tcp_count_refusal() - no flow came of an attempt; a limit's option is named, now and then
 */
void tcp_count_refusal(struct tcp *t, enum drop_reason why)
{
	stack_drop(t->st, why);
	counter_inc(&t->st->n.tcp_refused);
	if (why == DROP_FLOW_LIMIT)
		log_limited(LOG_WARN, "tcp", "connection refused: all %u in use (--max-conns)",
			    t->flows.limit);
	else if (why == DROP_CONN_RATE)
		log_limited(LOG_WARN, "tcp",
			    "connection refused: more than %u a second (--max-conn-rate)",
			    t->st->cfg.max_conn_rate);
	else if (why == DROP_FORWARD_ADDRESS)
		log_limited(LOG_WARN, "tcp",
			    "connection refused: the guest has no IPv6 address to forward to");
}

/* Tell the guest by RST, never by silence (H32). */
static void refuse(struct tcp *t, const struct packet *pkt, const struct tcp_seg *s,
		   enum drop_reason why)
{
	tcp_count_refusal(t, why);
	tcp_answer_reset(t->st, pkt, s);
}

/**
 * tcp_socket_options() - what must be set before a socket connects, or listens
 *
 * What a listening socket accepts inherits all of it. Return: 0; or -errno, and a stream
 * through this socket would not be exact. The others of the options are wishes.
 */
int tcp_socket_options(struct stack *st, int fd)
{
	const struct stack_config *cfg = &st->cfg;
	struct tcp *t = st->tcp;
	int one = 1, size;

	/* A peer's urgent byte stays in the stream, or our offsets would be off by one (H48). */
	tcp_syscall(t);
	if (setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one)))
		return -errno;
	if (cfg->sndbuf) {
		size = (int)cfg->sndbuf;
		tcp_syscall(t);
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
	if (cfg->rcvbuf) {
		size = (int)cfg->rcvbuf;
		tcp_syscall(t);
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	}
	if (cfg->congestion[0]) {
		tcp_syscall(t);
		if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, cfg->congestion,
			       (socklen_t)strnlen(cfg->congestion, sizeof(cfg->congestion))))
			log_once(LOG_WARN, "tcp", "congestion control %s: %s", cfg->congestion,
				 strerror(errno));
	}
	return 0;
}

/* A nonblocking socket with the options that must precede connect(), or -errno. */
static int make_socket(struct tcp *t, int family)
{
	int fd, err;

	tcp_syscall(t);
	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return -errno;
	err = tcp_socket_options(t->st, fd);
	if (!err)
		return fd;
	tcp_syscall(t);
	close(fd);
	return err;
}

/**
 * tcp_read_syn() - header and options of the guest's SYN become the flow's parameters
 *
 * Also those of a SYN-ACK: what the guest did not take up of our offer is off.
 */
void tcp_read_syn(struct tcp *t, struct tcp_flow *fl, const struct tcp_seg *s)
{
	uint16_t most = (uint16_t)(t->st->cfg.mtu - TCP_HLEN -
				   (ipaddr_is_v4(&fl->f.key.guest.addr) ? IP4_HLEN : IP6_HLEN));
	struct tcp_options opt;

	tcp_parse_options(s->opt, s->opt_len, &opt);
	fl->mss = opt.mss ? opt.mss : LIMIT_TCP_MSS_DEFAULT;
	fl->mss = (uint16_t)MIN(MAX(fl->mss, LIMIT_TCP_MSS_MIN), most);
	fl->snd_scale = fl->rcv_scale = 0;
	if (opt.has_wscale) {
		fl->snd_scale = (uint8_t)MIN(opt.wscale, LIMIT_TCP_WSCALE_MAX); /* H37 */
		fl->rcv_scale = LIMIT_TCP_WSCALE;
	}
	fl->sack = opt.sack_permitted;
	fl->irs = s->seq;
	fl->rcv_nxt = fl->rcv_taken = s->seq + 1;
	fl->snd_wnd = fl->max_wnd = s->wnd; /* never scaled in a SYN */
	tcp_tx_offer_first(fl);
}

/* RFC 6528: a clock of 4 us ticks plus a keyed hash of the connection (H47). */
static uint32_t initial_seq(struct tcp *t, const struct tcp_flow *fl)
{
	return (uint32_t)siphash(&t->isn_key, &fl->f.key, sizeof(fl->f.key)) +
	       (uint32_t)(tcp_now(t) / (4 * NS_PER_US));
}

/**
 * tcp_begin_sequence() - our first sequence number leaves in a SYN
 * @state:	TS_SYN_RCVD or TS_SYN_SENT
 */
void tcp_begin_sequence(struct tcp *t, struct tcp_flow *fl, enum tcp_state state)
{
	fl->state = (uint8_t)state;
	fl->iss = initial_seq(t, fl);
	fl->snd_una = fl->snd_nxt = fl->snd_max = fl->iss;
	fl->sock_una = fl->iss + 1;
	tcp_send_synack(t, fl);
	tcp_sent(t, fl, fl->iss, fl->iss + 1);
}

/*
 * ICMP unreachable for the SYN, which we no longer have: its headers are
 * rebuilt, since the error quotes just those (RFC 792).
 */
static void unreachable(struct tcp *t, const struct tcp_flow *fl, uint8_t code)
{
	const struct flow_key *key = &fl->f.key;
	struct l3_spec l3 = { .src = key->guest.addr, .dst = key->remote.addr, .proto = PROTO_TCP };
	uint8_t head[OUT_HEADERS_MAX] = { 0 };
	uint32_t l4 = out_l3(t->st, head, &l3, TCP_HLEN);
	struct iovec iov = { head, l4 + TCP_HLEN };
	struct tx_frame frame = { .head = head,
				  .head_len = l4 + TCP_HLEN,
				  .len = l4 + TCP_HLEN,
				  .iov = &iov,
				  .iovcnt = 1 };
	struct packet pkt = { .frame = &frame,
			      .src = l3.src,
			      .dst = l3.dst,
			      .proto = PROTO_TCP,
			      .l3 = ETH_HLEN,
			      .l4 = (uint16_t)l4,
			      .l4_len = TCP_HLEN };

	put_be16(head + l4, key->guest.port);
	put_be16(head + l4 + 2, key->remote.port);
	put_be32(head + l4 + 4, fl->irs);
	head[l4 + 12] = (TCP_HLEN / 4) << 4;
	head[l4 + 13] = TH_SYN;
	icmp_send_unreachable(t->st, &pkt, code);
}

/* connect() failed with @err: the guest is told what the host was told (H39, H40). */
static void connect_failed(struct tcp *t, struct tcp_flow *fl, int err)
{
	char name[FLOW_NAME_STRLEN];

	counter_inc(&t->st->n.tcp_refused);
	flow_ends(&fl->f, err == ETIMEDOUT ? END_CONNECT_TIMEOUT : END_REFUSED, err);
	switch (err) {
	case ECONNREFUSED:
	case ECONNRESET:
		break;
	case ENETUNREACH:
	case ENETDOWN:
		unreachable(t, fl, UNREACH_NET);
		break;
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ETIMEDOUT:
		unreachable(t, fl, UNREACH_HOST);
		break;
	case EACCES:
	case EPERM:
		unreachable(t, fl, UNREACH_PROHIBITED);
		break;
	default:
		stack_drop(t->st, DROP_SOCKET_ERROR);
		log_limited_flow(LOG_WARN, "tcp", flow_name(FLOW_TCP, fl->f.id, name),
				 "connect: %s", strerror(err));
	}
	tcp_abort(t, fl, true);
}

/*
 * A record for a connection that policy and limits allow; for its sake a flow in
 * TIME-WAIT may go. NULL: it was refused.
 */
static struct tcp_flow *new_flow(struct tcp *t, const struct packet *pkt, const struct tcp_seg *s,
				 struct endpoint *host)
{
	struct tcp_flow *fl = NULL;
	enum drop_reason why;
	struct flow_key key;

	memset(&key, 0, sizeof(key));
	key.guest = (struct endpoint){ pkt->src, s->sport };
	key.remote = (struct endpoint){ pkt->dst, s->dport };
	why = policy_translate(t->st, PROTO_TCP, &key.remote, host);
	if (why == DROP_NONE && !tcp_rate_allows(t))
		why = DROP_CONN_RATE;
	if (why == DROP_NONE) {
		fl = tcp_flow_new(t, &key);
		why = fl ? DROP_NONE : DROP_FLOW_LIMIT;
	}
	audit_decision(t->st, FLOW_TCP, &key, fl ? &fl->f : NULL, why);
	if (fl)
		fl->f.host = *host;
	else
		refuse(t, pkt, s, why);
	return fl;
}

/* connect() of the flow's socket: 0 when it is under way or done, or a positive errno. */
static int start(struct tcp *t, struct tcp_flow *fl, const union sockaddr_any *sa, socklen_t len)
{
	int err;

	tcp_syscall(t);
	err = connect(fl->f.fd, &sa->sa, len) ? errno : 0;
	/* A host with a route for IPv6 but no address for it. */
	if (err == EADDRNOTAVAIL && sa->sa.sa_family == AF_INET6)
		return ENETUNREACH;
	/* One that was interrupted goes on by itself, connect(2). */
	if (err && err != EINPROGRESS && err != EINTR)
		return err;
	if (stack_is_dns(t->st, &fl->f.key.remote) && dns_tcp_expect(t->st, &fl->f)) {
		stack_drop(t->st, DROP_DNS_LIMIT);
		return ECONNREFUSED;
	}
	/* Once, edge-triggered, for the life of the socket (H34). */
	tcp_syscall(t);
	return -loop_add(t->st->loop, fl->f.fd,
			 EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET,
			 flow_token(&fl->f, TOKEN_TCP));
}

/**
 * tcp_connect_new() - a SYN that belongs to no flow
 *
 * Ends in a flow in TS_CONNECTING, or in TS_SYN_RCVD, or in a refusal.
 */
void tcp_connect_new(struct tcp *t, const struct packet *pkt, const struct tcp_seg *s)
{
	struct tcp_flow *fl;
	struct endpoint host;
	union sockaddr_any sa;
	socklen_t len;
	int fd, err;

	fl = new_flow(t, pkt, s, &host);
	if (!fl)
		return;
	len = endpoint_to_sockaddr(&host, &sa);
	fd = make_socket(t, sa.sa.sa_family);
	if (fd == -EAFNOSUPPORT) {
		tcp_read_syn(t, fl, s);
		connect_failed(t, fl, ENETUNREACH);
		return;
	}
	if (fd < 0) {
		log_limited(LOG_WARN, "tcp", "socket: %s", strerror(-fd));
		flow_ends(&fl->f, END_HOST_ERROR, -fd);
		tcp_flow_free(t, fl);
		refuse(t, pkt, s, DROP_SOCKET_ERROR);
		return;
	}
	ndp_seen(t->st, &pkt->src);
	fl->f.fd = fd;
	/* What we read ourselves is copied: we would wait for ourselves to let go of it. */
	if (!stack_is_dns(t->st, &fl->f.key.remote))
		bulk_allow(&t->bulk, &fl->tx, &host.addr);
	tcp_read_syn(t, fl, s);
	counter_inc(&t->st->n.tcp_opened);
	err = start(t, fl, &sa, len);
	if (err) {
		connect_failed(t, fl, err);
		return;
	}
	tcp_timer_update(t, fl);
}

/**
 * tcp_connect_event() - the socket of a flow in TS_CONNECTING has something to say
 *
 * Return: STEP_GONE if it was a refusal.
 */
enum tcp_step tcp_connect_event(struct tcp *t, struct tcp_flow *fl)
{
	uint32_t events = fl->events;
	int err = 0;
	socklen_t len = sizeof(err);

	if (events & (EPOLLERR | EPOLLHUP)) {
		tcp_syscall(t);
		if (getsockopt(fl->f.fd, SOL_SOCKET, SO_ERROR, &err, &len))
			err = errno;
		/* Hung up without an error: connected and reset at once. */
		connect_failed(t, fl, err ? err : ECONNRESET);
		return STEP_GONE;
	}
	if (events & EPOLLOUT) {
		uint64_t took = tcp_now(t) - fl->f.opened_ns;

		hist_add(&t->st->n.connect_ns, took);
		probe_flow_connected(fl->f.id.index, fl->f.id.gen, took);
		tcp_begin_sequence(t, fl, TS_SYN_RCVD);
	}
	return STEP_IDLE;
}

/**
 * tcp_connect_timeout() - the host has not answered; nor do we wait longer
 */
void tcp_connect_timeout(struct tcp *t, struct tcp_flow *fl)
{
	connect_failed(t, fl, ETIMEDOUT);
}
