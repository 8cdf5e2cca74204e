/* SPDX-License-Identifier: MIT */
/*
 * DNS over TCP (RFC 1035 section 4.2.2, RFC 7766): the guest's side.
 *
 * Theory of operation. A connection of the guest to the DNS address is a flow
 * like any other, but what its host socket is connected to is ourselves: a
 * listening socket on 127.0.0.1 of this stack's own. So TCP with the guest is
 * tcp.c's business, and here there is a stream socket to read queries from and to
 * write answers to. Each query is judged, and answered here or by a resolver,
 * exactly as one that came over UDP.
 *
 * Nobody else is served. When the guest's flow connects, the port that its socket
 * has is noted (dns_tcp_expect()); a connection from anywhere else is closed.
 *
 * A session takes one query at a time: what the guest has sent ahead waits in the
 * socket. A resolver is asked over TCP, on a connection of its own for each query,
 * so nothing that comes late can be taken for another answer. The one exception to
 * "one query, one answer" are zone transfers: their messages are handed on until
 * the resolver closes, and then the session ends.
 *
 * Sessions are few, and the one that was idle longest makes room; each has one
 * timer. Sockets are edge-triggered, and work is found on the ready list.
 */
#include "tcpstack/dns_tcp.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "src/base/bytes.h"
#include "tcpstack/names.h"

static struct dns_session *session_of(struct flow *f)
{
	return container_of(f, struct dns_session, flow);
}

static void mark(struct dns_tcp *t, struct dns_session *s)
{
	if (dlist_empty(&s->ready))
		dlist_push_tail(&t->ready, &s->ready);
}

static void on_event(void *ctx, uint64_t token, uint32_t events)
{
	struct dns_tcp *t = ctx;
	struct flow *f = flow_of_token(&t->sessions, token);

	(void)events;
	if (f)
		mark(t, session_of(f));
}

static void on_connect(void *ctx, uint32_t events)
{
	struct dns_tcp *t = ctx;

	(void)events;
	t->accept = true;
}

/* That there is a next cycle is all that was wanted. */
static void on_retry(void *ctx, struct timer *timer)
{
	(void)ctx;
	(void)timer;
}

static void on_timeout(void *ctx, struct timer *timer)
{
	struct stack *st = ctx;
	struct dns_session *s = container_of(timer, struct dns_session, timer);

	if (s->state != SESSION_ASK)
		dns_session_end(st, s);
	else if (dns_session_silent(st, s) == SESSION_MORE)
		mark(&st->dns->tcp, s);
}

/* --- life --------------------------------------------------------------------- */

/* The listening socket, or -errno. */
static int make_listener(struct endpoint *here)
{
	const struct endpoint any = { ipaddr_from_v4(INADDR_LOOPBACK), 0 };
	union sockaddr_any sa;
	socklen_t len = endpoint_to_sockaddr(&any, &sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP), err = 0;

	if (fd < 0)
		return -errno;
	if (bind(fd, &sa.sa, len) < 0 || listen(fd, LIMIT_DNS_TCP) < 0 ||
	    getsockname(fd, &sa.sa, &len) < 0)
		err = -errno;
	if (!err)
		err = endpoint_from_sockaddr(&sa, here);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/**
 * dns_tcp_init() - memory for LIMIT_DNS_TCP sessions, and a place to connect to
 * @pool:	a slot of DNS_TCP_MAX bytes for each
 *
 * A host without a loopback has no DNS over TCP, and is told so. Return: 0 or -errno
 */
int dns_tcp_init(struct stack *st, struct pool *pool)
{
	struct dns_tcp *t = &st->dns->tcp;
	int rc = flow_table_init(&t->sessions, LIMIT_DNS_TCP, sizeof(struct dns_session),
				 &st->hash_key);

	if (rc)
		return rc;
	t->pool = pool;
	dlist_init(&t->ready);
	timer_init(&t->retry, on_retry, st);
	loop_on_token(st->loop, TOKEN_DNS_TCP, on_event, t);
	memory_add_table(st, "dns-tcp", &t->sessions);
	t->listener = make_listener(&t->here);
	if (t->listener < 0) {
		log_warn("dns", "no DNS over TCP: 127.0.0.1: %s", strerror(-t->listener));
		return 0;
	}
	return loop_watch(st->loop, t->listener, EPOLLIN | EPOLLET, on_connect, t);
}

/**
 * dns_tcp_reset() - end all sessions
 */
void dns_tcp_reset(struct stack *st)
{
	struct flow *f;

	while ((f = flow_oldest(&st->dns->tcp.sessions)))
		dns_session_end(st, session_of(f));
}

/**
 * dns_tcp_fini() - harmless when dns_tcp_init() has failed
 */
void dns_tcp_fini(struct stack *st)
{
	struct dns_tcp *t = &st->dns->tcp;

	if (!t->sessions.records)
		return;
	dns_tcp_reset(st);
	timer_cancel(loop_timers(st->loop), &t->retry);
	flow_table_fini(&t->sessions);
	if (t->listener < 0)
		return;
	loop_unwatch(st->loop, t->listener);
	close(t->listener);
}

/**
 * dns_session_end() - close whatever it has; the guest sees the end of the stream
 */
enum session_step dns_session_end(struct stack *st, struct dns_session *s)
{
	dns_session_hang_up(st, s);
	if (s->flow.fd >= 0) {
		counter_inc(&st->n.syscalls);
		close(s->flow.fd);
		s->flow.fd = -1;
	}
	if (s->msg)
		pool_put(st->dns->tcp.pool, s->msg);
	s->msg = NULL;
	dlist_del(&s->ready);
	timer_cancel(loop_timers(st->loop), &s->timer);
	flow_free(&st->dns->tcp.sessions, &s->flow);
	return SESSION_GONE;
}

/**
 * dns_session_arm() - wait for @ns at most
 */
void dns_session_arm(struct stack *st, struct dns_session *s, uint64_t ns)
{
	timer_arm(loop_timers(st->loop), &s->timer, stack_now(st) + ns);
}

/* --- who connects -------------------------------------------------------------- */

/**
 * dns_tcp_endpoint() - where the guest's flows to port 53 of the DNS address lead
 *
 * Return: false when there is no such place on this host
 */
bool dns_tcp_endpoint(const struct stack *st, struct endpoint *host)
{
	if (st->dns->tcp.listener < 0)
		return false;
	*host = st->dns->tcp.here;
	return true;
}

/* Both ends know the connection by the address that the guest's flow has of it. */
static struct flow_key key_of(const union sockaddr_any *sa)
{
	struct flow_key key;

	memset(&key, 0, sizeof(key));
	(void)endpoint_from_sockaddr(sa, &key.guest);
	return key;
}

/* A record, even if one that was idle for a while must go for it. */
static struct flow *new_record(struct stack *st, const struct flow_key *key)
{
	struct flow_table *t = &st->dns->tcp.sessions;
	uint64_t now = stack_now(st);
	struct flow *oldest;

	if (t->used >= t->limit) {
		oldest = flow_oldest(t);
		if (now - oldest->used_ns < LIMIT_EVICT_IDLE_NS)
			return NULL;
		dns_session_end(st, session_of(oldest));
	}
	return flow_alloc(t, key, now);
}

/**
 * dns_tcp_expect() - a flow of the guest has connected to dns_tcp_endpoint()
 * @guest:	the flow; connect() was called on its socket
 *
 * Return: 0; -ENOBUFS: there are as many sessions as there may be; -errno
 */
int dns_tcp_expect(struct stack *st, const struct flow *guest)
{
	union sockaddr_any sa = { .sa.sa_family = AF_UNSPEC };
	socklen_t len = sizeof(sa);
	struct dns_session *s;
	struct flow_key key;
	struct flow *f;

	counter_inc(&st->n.syscalls);
	if (getsockname(guest->fd, &sa.sa, &len) < 0)
		return -errno;
	key = key_of(&sa);
	/* Of a connection that came to nothing: the port is another's now. */
	f = flow_find(&st->dns->tcp.sessions, &key);
	if (f)
		dns_session_end(st, session_of(f));
	f = new_record(st, &key);
	if (!f)
		return -ENOBUFS;
	s = session_of(f);
	s->up = -1;
	s->guest = guest->key.guest;
	s->state = SESSION_EXPECTED;
	dlist_init(&s->ready);
	timer_init(&s->timer, on_timeout, st);
	dns_session_arm(st, s, LIMIT_DNS_TRY_NS);
	return 0;
}

/* One connection. False when there is none, or none can be had now. */
static bool accept_one(struct stack *st)
{
	struct dns_tcp *t = &st->dns->tcp;
	union sockaddr_any sa = { .sa.sa_family = AF_UNSPEC };
	socklen_t len = sizeof(sa);
	struct dns_session *s;
	struct flow_key key;
	struct flow *f;
	int fd;

	counter_inc(&st->n.syscalls);
	fd = accept4(t->listener, &sa.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0 && errno == EAGAIN) {
		t->accept = false;
		return false;
	}
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
		timer_arm(loop_timers(st->loop), &t->retry, stack_now(st) + LIMIT_FORWARD_RETRY_NS);
		return false;
	}
	if (fd < 0)
		return true; /* it thought better of it, accept(2) */
	key = key_of(&sa);
	f = flow_find(&t->sessions, &key);
	s = f ? session_of(f) : NULL;
	if (!s || s->state != SESSION_EXPECTED) {
		log_limited(LOG_WARN, "dns", "a stranger at port %u is turned away", t->here.port);
		close(fd);
		return true;
	}
	/* An answer does not wait for the ACK of the one before. */
	counter_inc(&st->n.syscalls);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	s->flow.fd = fd;
	s->state = SESSION_READ;
	if (loop_add(st->loop, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP,
		     flow_token(&s->flow, TOKEN_DNS_TCP))) {
		dns_session_end(st, s);
		return true;
	}
	dns_session_arm(st, s, LIMIT_DNS_TCP_IDLE_NS);
	mark(t, s);
	return true;
}

/* --- queries and answers --------------------------------------------------------- */

/**
 * dns_session_write() - the message in @msg, with its length before it, is for the guest
 */
void dns_session_write(struct dns_session *s)
{
	s->state = SESSION_WRITE;
	s->written = 0;
}

/* A whole query has come. */
static enum session_step take_query(struct stack *st, struct dns_session *s)
{
	const uint8_t *query = s->in + DNS_TCP_HLEN;
	struct dns_reply *r = &st->dns->reply;

	if (dns_query_parse(query, s->have - DNS_TCP_HLEN, &s->question)) {
		stack_drop(st, DROP_DNS_MALFORMED);
		return dns_session_end(st, s);
	}
	flow_touch(&st->dns->tcp.sessions, &s->flow, stack_now(st));
	counter_inc(&st->n.dns_queries);
	counter_inc(&st->n.dns_tcp_queries);
	s->msg = pool_get(st->dns->tcp.pool);
	if (!s->msg) {
		stack_drop(st, DROP_OUT_OF_SLOTS);
		return dns_session_end(st, s);
	}
	s->tries = (struct dns_tries){ 0 };
	s->transfer = s->question.type == DNS_TYPE_AXFR || s->question.type == DNS_TYPE_IXFR;
	s->begun = false;
	if (!dns_answer_here(st, &s->guest, query, &s->question, r))
		return dns_session_ask(st, s);
	s->transfer = false;
	put_be16(s->msg, (uint16_t)r->len);
	memcpy(s->msg + DNS_TCP_HLEN, r->msg, r->len);
	s->len = DNS_TCP_HLEN + r->len;
	names_answer(st, r->msg, r->len);
	dns_session_write(s);
	return SESSION_MORE;
}

/* Some of a query, no byte beyond it. */
static enum session_step read_query(struct stack *st, struct dns_session *s)
{
	uint32_t want = DNS_TCP_HLEN;
	ssize_t n;

	if (s->have >= DNS_TCP_HLEN)
		want += get_be16(s->in);
	if (want > sizeof(s->in) || (s->have >= DNS_TCP_HLEN && want == DNS_TCP_HLEN)) {
		stack_drop(st, DROP_DNS_MALFORMED);
		return dns_session_end(st, s);
	}
	counter_inc(&st->n.syscalls);
	n = recv(s->flow.fd, s->in + s->have, want - s->have, MSG_DONTWAIT);
	if (n < 0 && errno == EINTR)
		return SESSION_MORE;
	if (n < 0 && errno == EAGAIN)
		return SESSION_WAITS;
	if (n <= 0)
		return dns_session_end(st, s);
	s->have += (uint32_t)n;
	dns_session_arm(st, s, LIMIT_DNS_TCP_IDLE_NS);
	return s->have > DNS_TCP_HLEN && s->have == want ? take_query(st, s) : SESSION_MORE;
}

/* The guest has all of it: what is next? */
static enum session_step answered(struct stack *st, struct dns_session *s)
{
	counter_inc(&st->n.dns_answers);
	if (s->transfer) {
		s->state = SESSION_ASK;
		s->len = 0;
		dns_session_arm(st, s, LIMIT_DNS_TCP_IDLE_NS);
		return SESSION_MORE;
	}
	pool_put(st->dns->tcp.pool, s->msg);
	s->msg = NULL;
	s->state = SESSION_READ;
	s->have = 0;
	dns_session_arm(st, s, LIMIT_DNS_TCP_IDLE_NS);
	return SESSION_MORE;
}

static enum session_step write_answer(struct stack *st, struct dns_session *s)
{
	ssize_t n;

	counter_inc(&st->n.syscalls);
	n = send(s->flow.fd, s->msg + s->written, s->len - s->written, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno == EINTR)
		return SESSION_MORE;
	if (n < 0 && errno == EAGAIN)
		return SESSION_WAITS;
	if (n < 0)
		return dns_session_end(st, s);
	s->written += (uint32_t)n;
	dns_session_arm(st, s, LIMIT_DNS_TCP_IDLE_NS);
	return s->written == s->len ? answered(st, s) : SESSION_MORE;
}

static enum session_step step(struct stack *st, struct dns_session *s)
{
	switch ((enum dns_session_state)s->state) {
	case SESSION_READ:
		return read_query(st, s);
	case SESSION_ASK:
		return dns_session_up(st, s);
	case SESSION_WRITE:
		return write_answer(st, s);
	case SESSION_EXPECTED:
		break;
	}
	return SESSION_WAITS;
}

/**
 * dns_tcp_run() - accept, read, ask and answer, a bounded amount
 *
 * Network worker, once a cycle.
 */
void dns_tcp_run(struct stack *st)
{
	struct dns_tcp *t = &st->dns->tcp;
	uint32_t budget = LIMIT_DNS_PER_CYCLE;

	while (t->accept && !timer_armed(&t->retry) && budget > 0 && accept_one(st))
		budget--;
	while (!dlist_empty(&t->ready) && budget > 0) {
		struct dns_session *s = container_of(t->ready.next, struct dns_session, ready);

		budget--;
		if (step(st, s) == SESSION_WAITS)
			dlist_del(&s->ready);
	}
	/* What is left is on the list; the edges that put it there are gone. */
	if (!dlist_empty(&t->ready) || (t->accept && !timer_armed(&t->retry)))
		loop_wake_by(st->loop, stack_now(st));
}
