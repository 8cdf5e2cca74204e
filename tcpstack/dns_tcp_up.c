/* SPDX-License-Identifier: MIT */
/* DNS over TCP: a session's way to a resolver and back. See dns_tcp.c. */
#include "tcpstack/dns_tcp.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "src/base/bytes.h"
#include "tcpstack/names.h"

/**
 * dns_session_hang_up() - close the connection to the resolver, if there is one
 */
void dns_session_hang_up(struct stack *st, struct dns_session *s)
{
	if (s->up < 0)
		return;
	counter_inc(&st->n.syscalls);
	close(s->up);
	s->up = -1;
}

/* One try with the resolver whose turn it is. 0 when it is connecting, or -errno. */
static int dial(struct stack *st, struct dns_session *s)
{
	union sockaddr_any sa;
	socklen_t len = endpoint_to_sockaddr(&st->cfg.resolvers[s->tries.now], &sa);
	uint16_t id;
	int err;

	counter_inc(&st->n.syscalls);
	s->up = socket(sa.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (s->up < 0)
		return errno == EAFNOSUPPORT ? -ENETUNREACH : -errno;
	counter_inc(&st->n.syscalls);
	err = connect(s->up, &sa.sa, len) < 0 ? -errno : 0;
	/* One that was interrupted goes on by itself, connect(2). */
	if (err == -EINPROGRESS || err == -EINTR)
		err = 0;
	if (!err)
		err = loop_add(st->loop, s->up, EPOLLIN | EPOLLOUT | EPOLLRDHUP,
			       flow_token(&s->flow, TOKEN_DNS_TCP));
	if (err) {
		dns_session_hang_up(st, s);
		return err == -EADDRNOTAVAIL ? -ENETUNREACH : err;
	}
	st->env.random(st->env.ctx, &id, sizeof(id));
	put_be16(s->in + DNS_TCP_HLEN, id);
	s->sent = s->len = 0;
	s->state = SESSION_ASK;
	dns_session_arm(st, s, LIMIT_DNS_TRY_NS);
	return 0;
}

/* The guest is told that nobody can be asked. */
static enum session_step give_up(struct stack *st, struct dns_session *s)
{
	struct dns_reply *r = &st->dns->reply;

	stack_drop(st, DROP_DNS_TIMEOUT);
	dns_answer_servfail(s->in + DNS_TCP_HLEN, &s->question, r);
	put_be16(r->msg, s->question.id);
	put_be16(s->msg, (uint16_t)r->len);
	memcpy(s->msg + DNS_TCP_HLEN, r->msg, r->len);
	s->len = DNS_TCP_HLEN + r->len;
	s->transfer = false;
	dns_session_write(s);
	dns_session_arm(st, s, LIMIT_DNS_TCP_IDLE_NS);
	return SESSION_MORE;
}

/**
 * dns_session_ask() - ask the next resolver, or give up
 *
 * The query is in @s->in, and a slot for its answer in @s->msg.
 */
enum session_step dns_session_ask(struct stack *st, struct dns_session *s)
{
	uint8_t code;

	dns_session_hang_up(st, s);
	while (dns_resolver_next(st, &s->tries) == 0) {
		int rc = dial(st, s);

		if (s->tries.n > 1)
			counter_inc(&st->n.dns_retries);
		if (rc == 0)
			return SESSION_MORE;
		if (dgram_unreachable_code(-rc, &code))
			dns_resolver_failed(st, &s->tries);
	}
	return give_up(st, s);
}

/**
 * dns_session_silent() - the resolver did not answer, or not to the end
 */
enum session_step dns_session_silent(struct stack *st, struct dns_session *s)
{
	if (s->transfer && s->begun)
		return dns_session_end(st, s);
	dns_resolver_failed(st, &s->tries);
	return dns_session_ask(st, s);
}

/* Does what has come answer the query? Further messages of a transfer may have no question. */
static bool is_answer(const struct dns_session *s)
{
	const uint8_t *msg = s->msg + DNS_TCP_HLEN, *query = s->in + DNS_TCP_HLEN;
	uint32_t len = s->len - DNS_TCP_HLEN;

	if (s->transfer && s->begun)
		return len >= DNS_HLEN && get_be16(msg) == get_be16(query) &&
		       get_be16(msg + DNS_OFF_FLAGS) & DNS_FLAG_QR;
	return dns_answer_matches(msg, len, query, s->question.end);
}

/* A whole message has come. */
static enum session_step take_answer(struct stack *st, struct dns_session *s)
{
	uint8_t *msg = s->msg + DNS_TCP_HLEN;
	uint32_t len = s->len - DNS_TCP_HLEN;

	if (!is_answer(s)) {
		stack_drop(st, DROP_DNS_MALFORMED);
		return s->begun ? dns_session_end(st, s) : dns_session_ask(st, s);
	}
	dns_resolver_answered(st, &s->tries);
	if (!s->begun && dns_answer_is_no_help(msg) && dns_resolver_others(st, &s->tries))
		return dns_session_ask(st, s);
	if (!s->transfer) {
		dns_session_hang_up(st, s);
		dns_answer_learn(st, &s->question, msg, len);
	}
	s->begun = true;
	put_be16(msg, s->question.id);
	names_answer(st, msg, len);
	dns_session_write(s);
	dns_session_arm(st, s, LIMIT_DNS_TCP_IDLE_NS);
	return SESSION_MORE;
}

/* The connection has failed, or the resolver has closed it. */
static enum session_step broken(struct stack *st, struct dns_session *s)
{
	/* Of a transfer it is the end, if it comes between two messages. */
	if (s->transfer && s->begun)
		return dns_session_end(st, s);
	dns_resolver_failed(st, &s->tries);
	return dns_session_ask(st, s);
}

/**
 * dns_session_up() - as much as goes now: send the query, receive the answer
 */
enum session_step dns_session_up(struct stack *st, struct dns_session *s)
{
	uint32_t want = DNS_TCP_HLEN;
	ssize_t n;

	counter_inc(&st->n.syscalls);
	if (s->sent < s->have) {
		n = send(s->up, s->in + s->sent, s->have - s->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			s->sent += (uint32_t)n;
	} else {
		if (s->len >= DNS_TCP_HLEN)
			want += get_be16(s->msg);
		n = recv(s->up, s->msg + s->len, want - s->len, MSG_DONTWAIT);
		if (n > 0) {
			s->len += (uint32_t)n;
			dns_session_arm(st, s, s->begun ? LIMIT_DNS_TCP_IDLE_NS : LIMIT_DNS_TRY_NS);
		}
		/* A message of no bytes would be waited for in vain. */
		if (n > 0 && s->len == DNS_TCP_HLEN && get_be16(s->msg) == 0)
			return broken(st, s);
		if (n > 0 && s->len > DNS_TCP_HLEN && s->len == want)
			return take_answer(st, s);
	}
	if (n > 0 || (n < 0 && errno == EINTR))
		return SESSION_MORE;
	if (n < 0 && errno == EAGAIN)
		return SESSION_WAITS;
	return broken(st, s);
}
