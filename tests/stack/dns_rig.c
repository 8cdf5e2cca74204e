/* SPDX-License-Identifier: MIT */
/* A stack rig with resolvers on loopback. */
#include "tests/stack/dns_rig.h"

#include <errno.h>
#include <unistd.h>

/**
 * dns_rig_init() - sockets of @resolvers resolvers, in the order of their use
 */
void dns_rig_init(struct dns_rig *d, uint8_t resolvers)
{
	*d = (struct dns_rig){ .r = NULL };
	rig_config_defaults(&d->cfg);
	d->cfg.stack.ip6 = true;
	d->cfg.stack.nresolvers = resolvers;
	for (uint8_t i = 0; i < DNS_RIG_MAX; i++)
		d->fd[i] = -1;
	for (uint8_t i = 0; i < resolvers; i++) {
		d->fd[i] = rig_udp_socket(&d->cfg.stack.resolvers[i].port);
		d->cfg.stack.resolvers[i].addr = ipaddr_from_v4(INADDR_LOOPBACK);
	}
}

/**
 * dns_rig_start() - the stack, as d->cfg has it
 */
void dns_rig_start(struct dns_rig *d)
{
	d->r = rig_new(&d->cfg);
}

void dns_rig_end(struct dns_rig *d)
{
	assert_int_equal(rig_allocs(d->r), 0);
	for (uint32_t i = 0; i < DNS_RIG_MAX; i++)
		if (d->fd[i] >= 0)
			close(d->fd[i]);
	rig_free(d->r);
}

/**
 * dns_rig_ask() - the guest sends @m over UDP
 */
void dns_rig_ask(struct dns_rig *d, const struct dnsmsg *m)
{
	rig_send_udp(d->r, DNS_RIG_PORT, DNS_RIG_ADDR, DNS_PORT, m->b, m->len);
}

/**
 * dns_rig_asked() - has the resolver a query? It is taken then
 */
bool dns_rig_asked(struct dns_rig *d, uint32_t resolver, struct dns_asked *a)
{
	socklen_t len = sizeof(a->peer);
	struct dns_question q;
	ssize_t n = recvfrom(d->fd[resolver], a->m.b, sizeof(a->m.b), 0,
			     (struct sockaddr *)&a->peer, &len);

	assert_true(n >= 0 || errno == EAGAIN);
	if (n < 0)
		return false;
	a->m.len = (uint32_t)n;
	assert_int_equal(dns_query_parse(a->m.b, a->m.len, &q), 0);
	a->m.question = q.end;
	return true;
}

/**
 * dns_rig_await() - ... sooner or later
 */
void dns_rig_await(struct dns_rig *d, uint32_t resolver, struct dns_asked *a)
{
	RIG_UNTIL(d->r, dns_rig_asked(d, resolver, a));
}

/**
 * dns_rig_reply() - the resolver sends @a->m to whoever has asked
 */
void dns_rig_reply(struct dns_rig *d, uint32_t resolver, const struct dns_asked *a)
{
	assert_int_equal(sendto(d->fd[resolver], a->m.b, a->m.len, 0,
				(const struct sockaddr *)&a->peer, sizeof(a->peer)),
			 a->m.len);
}

/**
 * dns_rig_get() - the guest gets the answer to the query in @m, which it replaces
 */
void dns_rig_get(struct dns_rig *d, struct dnsmsg *m)
{
	struct rig_pkt pkt;

	/* Router advertisements may come in between. */
	RIG_UNTIL(d->r, rig_pop(d->r, &pkt) && pkt.proto == PROTO_UDP);
	assert_int_equal(pkt.src, DNS_RIG_ADDR);
	assert_int_equal(pkt.sport, DNS_PORT);
	assert_int_equal(pkt.dport, DNS_RIG_PORT);
	assert_true(pkt.payload_len >= m->question);
	assert_int_equal(get_be16(pkt.payload), get_be16(m->b));
	assert_memory_equal(pkt.payload + DNS_HLEN, m->b + DNS_HLEN, m->question - DNS_HLEN);
	memcpy(m->b, pkt.payload, pkt.payload_len);
	m->len = pkt.payload_len;
	assert_true(dnsmsg_flags(m) & DNS_FLAG_QR);
}

/**
 * dns_rig_resolve() - @m is asked, resolver 0 answers with one address, the guest gets it
 */
void dns_rig_resolve(struct dns_rig *d, struct dnsmsg *m, uint32_t ttl, uint32_t addr)
{
	struct dns_asked *a = test_malloc(sizeof(*a));

	dns_rig_ask(d, m);
	dns_rig_await(d, 0, a);
	dnsmsg_answer(&a->m, 0);
	dnsmsg_a(&a->m, ttl, addr);
	dns_rig_reply(d, 0, a);
	dns_rig_get(d, m);
	test_free(a);
}

const struct stack_counters *dns_rig_counters(struct dns_rig *d)
{
	return stack_counters(rig_stack(d->r));
}
