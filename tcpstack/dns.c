/* SPDX-License-Identifier: MIT */
/*
 * DNS forwarder: queries to the DNS address go to the host's resolvers, raw.
 *
 * Theory of operation
 * -------------------
 * What can be answered here is (dns_answer.c); the addresses in all answers are
 * noted for rules of names (names.c).
 *
 * A query is checked, kept, and sent to the first resolver from a socket of its
 * own, connected to that resolver, under a random identifier; so an answer that
 * is believed has come from the resolver's address, to a port and with an
 * identifier that nobody else knows, and repeats the question bit for bit, the
 * guest's own mix of case included (RFC 5452). The answer goes back as it came,
 * but for the guest's identifier. Whatever the type, there is nothing here that
 * must understand it.
 *
 * A resolver that is silent for LIMIT_DNS_TRY_NS, or that is not there, is
 * followed by the next (dns_resolver.c), and so is one that says that it cannot
 * or will not tell, as long as there are others. When all have had their turn,
 * the guest is told SERVFAIL, so that its programs do not wait. What comes after
 * that is counted and dropped (dns_late.c). A query that the guest repeats while
 * it is under way is the same query: the table's key is the guest's port and
 * identifier. All waiting is timers and events (H41, H42).
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "src/base/bytes.h"
#include "tcpstack/dns_tcp.h"
#include "tcpstack/names.h"

/**
 * struct dns_query - a query under way
 * @tries:	resolvers asked so far
 * @question:	what the guest asks, its own identifier included
 * @len, @msg:	the query as sent, under an identifier of ours
 */
struct dns_query {
	struct dgram_flow d;
	struct dns_tries tries;
	struct dns_question question;
	uint16_t len;
	uint8_t msg[DNS_QUERY_MAX];
};

static struct dns_query *query_of(struct dgram_flow *df)
{
	return container_of(df, struct dns_query, d);
}

/* The guest's identifier is the remote port of its query's key. */
static struct flow_key key_of(const struct packet *pkt, uint16_t guest_port, uint16_t id)
{
	return (struct flow_key){ .guest = { pkt->src, guest_port }, .remote = { pkt->dst, id } };
}

/* @len bytes of answer to the asker of the query under @key; the first two are overwritten. */
static void answer(struct stack *st, const struct flow_key *key, uint8_t *msg, uint32_t len)
{
	struct endpoint src = { key->remote.addr, DNS_PORT };

	put_be16(msg, key->remote.port);
	names_answer(st, msg, len);
	out_udp(st, &src, &key->guest, msg, len);
	counter_inc(&st->n.dns_answers);
}

/* An answer of our own, cut to what the asker takes. */
static void answer_ours(struct stack *st, const struct flow_key *key, const struct dns_question *q,
			struct dns_reply *r)
{
	if (r->len > q->udp_max)
		dns_reply_truncate(r, q);
	answer(st, key, r->msg, r->len);
}

/* One try with the resolver whose turn it is. 0 when the query is on its way. */
static int ask(struct stack *st, struct dns_query *q)
{
	struct dgram *d = &st->dns->d;
	uint16_t id;
	int rc = dgram_connect(d, &q->d, 0, &st->cfg.resolvers[q->tries.now]);

	if (rc)
		return rc;
	st->env.random(st->env.ctx, &id, sizeof(id));
	put_be16(q->msg, id);
	counter_inc(&st->n.syscalls);
	if (send(q->d.flow.fd, q->msg, q->len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	timer_arm(loop_timers(st->loop), &q->d.timer, stack_now(st) + LIMIT_DNS_TRY_NS);
	return 0;
}

/* Ask the next resolver, or give up, answer SERVFAIL and free @q. */
static void ask_next(struct stack *st, struct dns_query *q)
{
	struct dns_reply *r = &st->dns->reply;
	uint8_t code;

	while (dns_resolver_next(st, &q->tries) == 0) {
		int rc = ask(st, q);

		if (q->tries.n > 1)
			counter_inc(&st->n.dns_retries);
		if (rc == 0)
			return;
		/* What we lack ourselves is no fault of the resolver's. */
		if (dgram_unreachable_code(-rc, &code))
			dns_resolver_failed(st, &q->tries);
	}
	stack_drop(st, DROP_DNS_TIMEOUT);
	dns_answer_servfail(q->msg, &q->question, r);
	answer_ours(st, &q->d.flow.key, &q->question, r);
	dgram_free(&st->dns->d, &q->d);
}

static void on_timeout(void *ctx, struct timer *t)
{
	struct stack *st = ctx;
	struct dns_query *q = query_of(container_of(t, struct dgram_flow, timer));

	dns_resolver_failed(st, &q->tries);
	dns_late_keep(st, &q->d, get_be16(q->msg));
	ask_next(st, q);
}

/* Slots for cfg.dns_cache answers, and for those on their way over TCP. */
static int init_arena(struct stack *st)
{
	struct dns *dns = st->dns;
	struct pool_config pools[] = {
		{ "dns-tcp", DNS_TCP_MAX, LIMIT_DNS_TCP },
		{ "dns-cache", DNS_CACHE_SLOT, st->cfg.dns_cache },
	};
	struct arena_config cfg = { .name = "dns",
				    .pools = pools,
				    .npools = st->cfg.dns_cache ? 2 : 1 };
	int rc = arena_new(&dns->arena, &cfg);

	if (rc)
		return rc;
	memory_add_arena(st, dns->arena);
	return dns_cache_init(&dns->cache,
			      st->cfg.dns_cache ? arena_pool(dns->arena, "dns-cache") : NULL,
			      st->cfg.dns_cache, loop_timers(st->loop), &st->hash_key);
}

/**
 * dns_init() - memory for cfg.max_dns queries and cfg.dns_cache answers; 0 or -errno
 */
int dns_init(struct stack *st)
{
	struct dns *dns = calloc(1, sizeof(*dns));
	int rc;

	if (!dns)
		return -ENOMEM;
	st->dns = dns;
	hosts_init(&dns->hosts);
	dns->d.st = st;
	dns->d.kind = TOKEN_DNS;
	dns->d.expired = on_timeout;
	rc = dgram_init(&dns->d, st->cfg.max_dns, st->cfg.max_dns, sizeof(struct dns_query));
	if (!rc)
		rc = dns_late_init(st);
	if (!rc)
		rc = init_arena(st);
	if (!rc)
		rc = dns_tcp_init(st, arena_pool(dns->arena, "dns-tcp"));
	if (rc)
		dns_fini(st);
	return rc;
}

/**
 * dns_reset_all() - forget all queries and answers; the guest hears nothing
 */
void dns_reset_all(struct stack *st)
{
	dgram_reset(&st->dns->d);
	dgram_reset(&st->dns->late);
	dns_tcp_reset(st);
	dns_cache_flush(&st->dns->cache);
}

/**
 * stack_dns_flush() - forget what resolvers have answered; the stack's thread
 *
 * Return: how many answers that were
 */
uint32_t stack_dns_flush(struct stack *st)
{
	return dns_cache_flush(&st->dns->cache);
}

/**
 * dns_fini() - forget all queries and free the memory; harmless without an init
 */
void dns_fini(struct stack *st)
{
	if (!st->dns)
		return;
	dgram_fini(&st->dns->d);
	dgram_fini(&st->dns->late);
	dns_tcp_fini(st);
	dns_cache_fini(&st->dns->cache);
	if (st->dns->arena)
		arena_free(st->dns->arena);
	free(st->dns);
	st->dns = NULL;
}

/* Is @f the query of @len bytes at @msg, but for the identifier? */
static bool same_query(struct flow *f, const uint8_t *msg, uint32_t len)
{
	struct dns_query *q = query_of(container_of(f, struct dgram_flow, flow));

	return q->len == len && memcmp(q->msg + 2, msg + 2, len - 2) == 0;
}

/**
 * dns_input() - a datagram from the guest for port 53 of the DNS address
 * @pkt:	UDP header already checked, @pkt->l4_len its length field
 * @guest_port:	its source port
 *
 * Network worker; never blocks.
 */
void dns_input(struct stack *st, const struct packet *pkt, uint16_t guest_port)
{
	struct dgram *d = &st->dns->d;
	uint32_t len = pkt->l4_len - UDP_HLEN;
	struct dns_question question;
	uint8_t msg[DNS_QUERY_MAX];
	struct dgram_flow *df;
	struct dns_query *q;
	struct flow_key key;
	struct flow *f;

	if (len > sizeof(msg) || frame_copy(pkt->frame, pkt->l4 + UDP_HLEN, msg, len) ||
	    dns_query_parse(msg, len, &question)) {
		stack_drop(st, DROP_DNS_MALFORMED);
		return;
	}
	key = key_of(pkt, guest_port, question.id);
	f = flow_find(&d->flows, &key);
	if (f && same_query(f, msg, len))
		return;
	if (f) { /* the guest has given that question up */
		df = container_of(f, struct dgram_flow, flow);
		dns_late_keep(st, df, get_be16(query_of(df)->msg));
		dgram_free(d, df);
	}

	counter_inc(&st->n.dns_queries);
	if (dns_answer_here(st, &key.guest, msg, &question, &st->dns->reply)) {
		answer_ours(st, &key, &question, &st->dns->reply);
		return;
	}
	df = dgram_new(d, &key);
	if (!df) {
		stack_drop(st, DROP_DNS_LIMIT);
		return;
	}
	q = query_of(df);
	memcpy(q->msg, msg, len);
	q->len = (uint16_t)len;
	q->question = question;
	if (st->cfg.nresolvers == 0)
		log_once(LOG_WARN, "dns", "no resolver is configured: queries will fail");
	ask_next(st, q);
}

/* @len bytes have come for @q. Return: was it the answer? Then @q is gone, or asked anew. */
static bool take_answer(struct stack *st, struct dns_query *q, uint32_t len)
{
	uint8_t *msg = st->dns->answer;

	if (!dns_answer_matches(msg, len, q->msg, q->question.end)) {
		stack_drop(st, DROP_DNS_MALFORMED);
		return false;
	}
	dns_resolver_answered(st, &q->tries);
	if (dns_answer_is_no_help(msg) && dns_resolver_others(st, &q->tries)) {
		dlist_del(&q->d.ready);
		ask_next(st, q);
		return true;
	}
	dns_answer_learn(st, &q->question, msg, len);
	if (len > q->question.udp_max) {
		dns_answer_truncate(msg);
		len = dns_put_opt(msg, q->question.end, &q->question);
	}
	answer(st, &q->d.flow.key, msg, len);
	dgram_free(&st->dns->d, &q->d);
	return true;
}

/* Datagrams of one ready query, at most @budget of them. Return: how many were taken. */
static uint32_t receive(struct stack *st, struct dns_query *q, uint32_t budget)
{
	struct dns *dns = st->dns;

	for (uint32_t taken = 0; taken < budget; taken++) {
		ssize_t n;

		counter_inc(&st->n.syscalls);
		n = recv(q->d.flow.fd, dns->answer, sizeof(dns->answer), MSG_DONTWAIT);
		if (n >= 0) {
			if (take_answer(st, q, (uint32_t)n))
				return taken + 1;
			continue;
		}
		if (errno == EINTR)
			continue;
		dlist_del(&q->d.ready);
		/* An ICMP error: the resolver is not there, so do not wait for it. */
		if (errno != EAGAIN) {
			dns_resolver_failed(st, &q->tries);
			ask_next(st, q);
		}
		return taken + 1;
	}
	return budget;
}

/* Queries over UDP. */
static void run_udp(struct stack *st)
{
	struct dlist *ready = &st->dns->d.ready;
	uint32_t budget = LIMIT_DNS_PER_CYCLE;

	while (!dlist_empty(ready)) {
		struct dgram_flow *df = container_of(ready->next, struct dgram_flow, ready);

		if (budget == 0) {
			dgram_wake_again(&st->dns->d, df);
			return;
		}
		budget -= receive(st, query_of(df), budget);
	}
}

/**
 * dns_run() - take what resolvers have answered, and what the guest asks over TCP
 *
 * Network worker, once a cycle.
 */
void dns_run(struct stack *st)
{
	run_udp(st);
	dns_late_run(st);
	dns_tcp_run(st);
}
