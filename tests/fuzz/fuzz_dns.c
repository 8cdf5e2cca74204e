/* SPDX-License-Identifier: MIT */
/*
 * DNS queries of the guest and answers of a resolver, of any content.
 *
 * The input is a list of records (net.h):
 *
 *	QUERY	the guest sends it to our DNS address; HOW_A: over IPv6
 *	ANSWER	the resolver answers the oldest query that it has. What follows is
 *		with HOW_A the whole message, else what stands behind header and
 *		question, which are the query's, with the three counts before it.
 *		HOW_B: from another port; HOW_C: with the identifier one off
 *	TIME	so many milliseconds pass
 *	FLUSH	the cache is emptied
 *
 * What the guest gets repeats the identifier and the question of a query of its own, is no
 * longer than it takes, and no record lives longer than the resolver has said (H42).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/base.h"
#include "tcpstack/dns_msg.h"
#include "tests/fuzz/resolver.h"

#define GUEST_PORT 33333
#define ASKED_MAX  256
#define CACHE	   16

static void setup(void);

const struct fuzz_target fuzz_target = {
	.name = "dns",
	.done = "answers that the guest got",
	.refused = "queries and answers refused",
	.floor = 20,
	.mutations = 300,
	.alloc_one = 256 << 10,
	.alloc_all = 1 << 20,
	.alloc_per_byte = 32768,
	.setup = setup,
};

enum what { QUERY, ANSWER, TIME, FLUSH };

/* A query as the guest sent it, and one as the resolver got it. */
struct query {
	uint8_t msg[RESOLVER_MSG_MAX];
	uint32_t len;
	struct sockaddr_in peer;
};

static struct {
	struct rig *r;
	struct query asked[ASKED_MAX];
	uint32_t nasked;
	uint32_t ttl_max; /* of any record of any answer */
} g;

static int resolver, stranger;
static uint16_t resolver_port;

static bool is_answer_to(const uint8_t *msg, uint32_t len, const struct query *q)
{
	struct dns_question parsed;

	if (dns_query_parse(q->msg, q->len, &parsed) < 0)
		return len >= DNS_HLEN && memcmp(msg, q->msg, 2) == 0; /* nothing to repeat */
	return len <= parsed.udp_max && resolver_repeats(msg, len, q->msg, parsed.end);
}

static void check_heard(const struct rig_pkt *pkt)
{
	const uint8_t *msg = pkt->payload;
	bool known = false;

	if (pkt->proto != PROTO_UDP || pkt->sport != DNS_PORT)
		return;
	FUZZ_CHECK(pkt->dport == GUEST_PORT && pkt->payload_len >= DNS_HLEN);
	FUZZ_CHECK(get_be16(msg + DNS_OFF_FLAGS) & DNS_FLAG_QR, "not an answer");
	for (uint32_t i = 0; i < MIN(g.nasked, (uint32_t)ASKED_MAX) && !known; i++)
		known = is_answer_to(msg, pkt->payload_len, &g.asked[i]);
	FUZZ_CHECK(known, "an answer to no question");
	FUZZ_CHECK(resolver_longest_ttl(msg, pkt->payload_len) <= g.ttl_max,
		   "a record that lives longer");
	fuzz_work.done++;
}

static void hear(void)
{
	struct rig_pkt pkt;

	rig_cycle(g.r);
	while (rig_pop(g.r, &pkt))
		check_heard(&pkt);
}

static void ask(const struct net_record *rec)
{
	const struct stack_config *cfg = &rig_config(g.r)->stack;
	struct query *q = &g.asked[g.nasked++ % ASKED_MAX];
	static uint8_t frame[RESOLVER_MSG_MAX + 128];
	uint32_t len;

	q->len = MIN(rec->len, (uint32_t)RESOLVER_MSG_MAX);
	memcpy(q->msg, rec->data, q->len);
	len = rec->how & NET_HOW_A
		      ? rig_build_udp6(g.r, frame, GUEST_PORT, &cfg->dns6, DNS_PORT, q->msg, q->len)
		      : rig_build_udp(g.r, frame, GUEST_PORT, cfg->dns4, DNS_PORT, q->msg, q->len);
	rig_send(g.r, frame, len, NULL);
	hear();
}

static void resolve(const struct net_record *rec)
{
	static uint8_t msg[RESOLVER_MSG_MAX];
	struct query q = { .len = 0 };
	socklen_t peer_len = sizeof(q.peer);
	ssize_t n = recvfrom(resolver, q.msg, sizeof(q.msg), MSG_DONTWAIT,
			     (struct sockaddr *)&q.peer, &peer_len);
	uint32_t len;

	if (n < 0)
		return;
	q.len = (uint32_t)n;
	len = resolver_make_answer(q.msg, q.len, rec, msg);
	if (rec->how & NET_HOW_C && len >= 2)
		msg[1] ^= 1;
	g.ttl_max = MAX(g.ttl_max, resolver_longest_ttl(msg, len));
	(void)sendto(rec->how & NET_HOW_B ? stranger : resolver, msg, len, MSG_DONTWAIT,
		     (const struct sockaddr *)&q.peer, sizeof(q.peer));
	hear();
}

static void one(const struct net_record *rec)
{
	switch ((enum what)rec->what) {
	case QUERY:
		ask(rec);
		break;
	case ANSWER:
		resolve(rec);
		break;
	case TIME:
		rig_advance(g.r, rec->arg * NS_PER_MS);
		hear();
		break;
	case FLUSH:
		stack_dns_flush(rig_stack(g.r));
		break;
	}
}

static void setup(void)
{
	uint16_t port;

	net_setup();
	resolver = rig_udp_socket(&resolver_port);
	stranger = rig_udp_socket(&port);
}

void fuzz_one(const uint8_t *data, size_t len)
{
	const struct stack_counters *n;
	struct net_record rec;
	struct rig_config cfg;
	uint8_t byte;

	g.nasked = 0;
	g.ttl_max = 300; /* of what we say ourselves */
	net_config_services(&cfg);
	cfg.stack.nresolvers = 1;
	cfg.stack.resolvers[0] = (struct endpoint){ .addr = ipaddr_from_v4(INADDR_LOOPBACK),
						    .port = resolver_port };
	cfg.stack.dns_cache = CACHE;
	g.r = net_begin(&cfg, len);
	while (net_next(&data, &len, 1U << QUERY | 1U << ANSWER, &rec))
		one(&rec);
	n = stack_counters(rig_stack(g.r));
	FUZZ_CHECK(counter_get(&n->dns_cache_hits) <= counter_get(&n->dns_queries));
	fuzz_work.refused += net_drops(g.r);
	net_end(g.r);
	while (recv(resolver, &byte, 1, MSG_DONTWAIT) >= 0)
		;
}
