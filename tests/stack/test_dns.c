/* SPDX-License-Identifier: MIT */
/* The DNS forwarder against resolvers that are right, wrong, slow, or not there (H41, H42). */
#include "tests/stack/rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#include "src/base/base.h"

#define GUEST 0x0a00020fU
#define DNS   0x0a000203U
#define GPORT 33333
#define HLEN  12

/* The question of every query here: wWw.example. TYPE65 IN */
static const uint8_t question[] = { 3,	 'w', 'W', 'w', 7, 'e', 'x', 'a', 'm',
				    'p', 'l', 'e', 0,	0, 65,	0,   1 };

#define QUERY_LEN (HLEN + sizeof(question))

/* One rig and up to two resolvers on loopback. */
struct world {
	struct rig *r;
	int fd[2];
};

/* A query as a resolver got it. */
struct asked {
	uint8_t msg[2048];
	uint32_t len;
	struct sockaddr_in peer;
};

static struct world world_new(uint8_t resolvers, uint32_t max_dns)
{
	struct world w = { .fd = { -1, -1 } };
	struct rig_config cfg;

	rig_config_defaults(&cfg);
	cfg.stack.max_dns = max_dns;
	cfg.stack.nresolvers = resolvers;
	for (uint8_t i = 0; i < resolvers; i++) {
		w.fd[i] = rig_udp_socket(&cfg.stack.resolvers[i].port);
		cfg.stack.resolvers[i].addr = ipaddr_from_v4(INADDR_LOOPBACK);
	}
	w.r = rig_new(&cfg);
	return w;
}

static void world_free(struct world *w)
{
	assert_int_equal(rig_allocs(w->r), 0);
	for (uint32_t i = 0; i < 2; i++)
		if (w->fd[i] >= 0)
			close(w->fd[i]);
	rig_free(w->r);
}

static void build_query(uint8_t *msg, uint16_t id)
{
	memset(msg, 0, HLEN);
	put_be16(msg, id);
	msg[2] = 1; /* RD */
	msg[5] = 1;
	memcpy(msg + HLEN, question, sizeof(question));
}

static void guest_asks(struct world *w, uint16_t sport, uint16_t id)
{
	uint8_t msg[QUERY_LEN];

	build_query(msg, id);
	rig_send_udp(w->r, sport, DNS, 53, msg, sizeof(msg));
}

static bool try_receive(int fd, struct asked *a)
{
	socklen_t len = sizeof(a->peer);
	ssize_t n = recvfrom(fd, a->msg, sizeof(a->msg), 0, (struct sockaddr *)&a->peer, &len);

	assert_true(n >= 0 || errno == EAGAIN);
	a->len = (uint32_t)n;
	return n >= 0;
}

/* The resolver gets the query, whole but for the identifier. */
static void resolver_gets(struct world *w, int fd, struct asked *a)
{
	RIG_UNTIL(w->r, try_receive(fd, a));
	assert_int_equal(a->len, QUERY_LEN);
	assert_memory_equal(a->msg + HLEN, question, sizeof(question));
	assert_int_equal(a->msg[2], 1);
}

/* @len bytes of answer: the query turned around, then @seed's pattern. */
static void resolver_answers(int fd, const struct asked *a, uint32_t len, uint64_t seed)
{
	static uint8_t msg[65536];

	memcpy(msg, a->msg, QUERY_LEN);
	put_be16(msg + 2, 0x8180);
	put_be16(msg + 6, 1);
	rig_pattern(msg + QUERY_LEN, len - QUERY_LEN, seed, 0);
	assert_int_equal(
		sendto(fd, msg, len, 0, (const struct sockaddr *)&a->peer, sizeof(a->peer)), len);
}

static struct rig_pkt guest_gets_any(struct world *w, uint16_t sport, uint16_t id)
{
	struct rig_pkt pkt;

	RIG_UNTIL(w->r, rig_pop(w->r, &pkt));
	assert_int_equal(pkt.proto, PROTO_UDP);
	assert_int_equal(pkt.src, DNS);
	assert_int_equal(pkt.sport, 53);
	assert_int_equal(pkt.dport, sport);
	assert_true(pkt.payload_len >= QUERY_LEN);
	assert_int_equal(get_be16(pkt.payload), id);
	assert_memory_equal(pkt.payload + HLEN, question, sizeof(question));
	return pkt;
}

static void guest_gets(struct world *w, uint16_t sport, uint16_t id, uint32_t len, uint64_t seed)
{
	struct rig_pkt pkt = guest_gets_any(w, sport, id);

	assert_int_equal(pkt.payload_len, len);
	assert_int_equal(get_be16(pkt.payload + 2), 0x8180);
	assert_int_equal(get_be16(pkt.payload + 6), 1);
	rig_pattern_check(pkt.payload + QUERY_LEN, len - QUERY_LEN, seed, 0);
}

static uint64_t answers(struct world *w)
{
	return COUNT(w->r, dns_answers);
}

static uint64_t queries(struct world *w)
{
	return COUNT(w->r, dns_queries);
}

static void answer_comes_back_raw_under_the_guests_id(void **state)
{
	struct world w = world_new(1, 16);
	struct asked a;

	(void)state;
	guest_asks(&w, GPORT, 0xabcd);
	resolver_gets(&w, w.fd[0], &a);
	resolver_answers(w.fd[0], &a, 512, 1);
	guest_gets(&w, GPORT, 0xabcd, 512, 1);
	assert_int_equal(queries(&w), 1);
	assert_int_equal(answers(&w), 1);
	world_free(&w);
}

/* Identifiers and ports towards the resolver are ours, fresh each time (RFC 5452). */
static void queries_carry_ids_and_ports_of_our_own(void **state)
{
	enum { N = 16 };
	struct world w = world_new(1, N);
	struct asked a[N];
	uint32_t same_id = 0, same_port = 0, guests_id = 0;

	(void)state;
	for (uint16_t i = 0; i < N; i++) {
		guest_asks(&w, GPORT, i);
		resolver_gets(&w, w.fd[0], &a[i]);
		guests_id += get_be16(a[i].msg) == i;
		for (uint16_t k = 0; k < i; k++) {
			same_id += get_be16(a[i].msg) == get_be16(a[k].msg);
			same_port += a[i].peer.sin_port == a[k].peer.sin_port;
		}
	}
	assert_int_equal(same_port, 0);
	assert_true(same_id < 2);
	assert_true(guests_id < 2);
	for (uint16_t i = N; i-- > 0;) {
		resolver_answers(w.fd[0], &a[i], 100U + i, i);
		guest_gets(&w, GPORT, i, 100U + i, i);
	}
	world_free(&w);
}

static void forged_answers_are_passed_over(void **state)
{
	struct world w = world_new(1, 16);
	struct asked a, bad;
	uint16_t port;
	int stranger = rig_udp_socket(&port);

	(void)state;
	guest_asks(&w, GPORT, 7);
	resolver_gets(&w, w.fd[0], &a);
	bad = a;
	bad.msg[1] ^= 1; /* identifier */
	resolver_answers(w.fd[0], &bad, 100, 1);
	bad = a;
	bad.msg[HLEN + 1] ^= 0x20; /* case of the question */
	resolver_answers(w.fd[0], &bad, 100, 1);
	resolver_answers(stranger, &a, 100, 1); /* right, but from elsewhere */
	sendto(w.fd[0], a.msg, a.len, 0, (struct sockaddr *)&a.peer, sizeof(a.peer)); /* a query */
	sendto(w.fd[0], "", 0, 0, (struct sockaddr *)&a.peer, sizeof(a.peer));
	resolver_answers(w.fd[0], &a, 200, 2);
	guest_gets(&w, GPORT, 7, 200, 2);
	assert_int_equal(rig_pending(w.r), 0);
	assert_int_equal(rig_drops(w.r, DROP_DNS_MALFORMED), 4);
	assert_int_equal(answers(&w), 1);
	close(stranger);
	world_free(&w);
}

static void silent_resolver_is_followed_by_the_next(void **state)
{
	struct world w = world_new(2, 16);
	struct asked a, b;

	(void)state;
	guest_asks(&w, GPORT, 7);
	resolver_gets(&w, w.fd[0], &a);
	assert_false(try_receive(w.fd[1], &b));
	rig_advance(w.r, 2 * NS_PER_S);
	resolver_gets(&w, w.fd[1], &b);
	resolver_answers(w.fd[1], &b, 300, 3);
	guest_gets(&w, GPORT, 7, 300, 3);
	/* The first one wakes up too late: nobody listens. */
	resolver_answers(w.fd[0], &a, 300, 4);
	rig_cycle(w.r);
	assert_int_equal(rig_pending(w.r), 0);
	assert_int_equal(rig_drops(w.r, DROP_DNS_LATE), 1);
	assert_int_equal(answers(&w), 1);
	world_free(&w);
}

static void refusing_resolver_is_followed_at_once(void **state)
{
	struct world w = world_new(2, 16);
	struct asked b;

	(void)state;
	close(w.fd[0]);
	w.fd[0] = -1;
	guest_asks(&w, GPORT, 7);
	resolver_gets(&w, w.fd[1], &b); /* no time has passed */
	resolver_answers(w.fd[1], &b, 300, 3);
	guest_gets(&w, GPORT, 7, 300, 3);
	world_free(&w);
}

/* H41: while a resolver is silent all else goes on; in the end the guest is told. */
static void silence_everywhere_ends_in_servfail(void **state)
{
	struct world w = world_new(1, 16);
	struct rig_pkt pkt;
	struct asked a;

	(void)state;
	guest_asks(&w, GPORT, 7);
	resolver_gets(&w, w.fd[0], &a);
	guest_asks(&w, GPORT, 8);
	resolver_gets(&w, w.fd[0], &a);
	resolver_answers(w.fd[0], &a, 100, 1);
	guest_gets(&w, GPORT, 8, 100, 1);

	rig_advance(w.r, 2 * NS_PER_S);
	resolver_gets(&w, w.fd[0], &a); /* the second and last try */
	rig_advance(w.r, 2 * NS_PER_S);
	pkt = guest_gets_any(&w, GPORT, 7);
	assert_int_equal(pkt.payload_len, QUERY_LEN);
	assert_int_equal(get_be16(pkt.payload + 2), 0x8182);
	assert_int_equal(rig_drops(w.r, DROP_DNS_TIMEOUT), 1);
	rig_advance(w.r, 60 * NS_PER_S);
	assert_int_equal(rig_pending(w.r), 0);
	assert_false(try_receive(w.fd[0], &a));
	world_free(&w);
}

static void without_resolvers_the_guest_is_told_at_once(void **state)
{
	struct world w = world_new(0, 16);
	struct rig_pkt pkt;

	(void)state;
	guest_asks(&w, GPORT, 7);
	pkt = guest_gets_any(&w, GPORT, 7);
	assert_int_equal(get_be16(pkt.payload + 2), 0x8182);
	world_free(&w);
}

static void repeated_query_is_the_same_query(void **state)
{
	struct world w = world_new(1, 16);
	struct asked a, b;

	(void)state;
	guest_asks(&w, GPORT, 7);
	guest_asks(&w, GPORT, 7);
	resolver_gets(&w, w.fd[0], &a);
	rig_cycle(w.r);
	assert_false(try_receive(w.fd[0], &b));
	resolver_answers(w.fd[0], &a, 100, 1);
	guest_gets(&w, GPORT, 7, 100, 1);
	rig_cycle(w.r);
	assert_int_equal(rig_pending(w.r), 0);
	assert_int_equal(queries(&w), 1);
	world_free(&w);
}

static void another_question_under_the_same_id_replaces_the_first(void **state)
{
	struct world w = world_new(1, 16);
	uint8_t msg[QUERY_LEN];
	struct asked a, b;

	(void)state;
	build_query(msg, 7);
	msg[QUERY_LEN - 3] = 1; /* type A */
	rig_send_udp(w.r, GPORT, DNS, 53, msg, sizeof(msg));
	RIG_UNTIL(w.r, try_receive(w.fd[0], &a));
	guest_asks(&w, GPORT, 7);
	resolver_gets(&w, w.fd[0], &b);
	resolver_answers(w.fd[0], &a, 100, 1);
	resolver_answers(w.fd[0], &b, 100, 2);
	guest_gets(&w, GPORT, 7, 100, 2);
	rig_cycle(w.r);
	assert_int_equal(rig_pending(w.r), 0);
	world_free(&w);
}

/* H43: a bounded table; full is a drop that is counted, and it empties again. */
static void full_table_drops_and_recovers(void **state)
{
	struct world w = world_new(1, 2);
	struct asked a[2], c;

	(void)state;
	for (uint16_t i = 0; i < 2; i++) {
		guest_asks(&w, GPORT, i);
		resolver_gets(&w, w.fd[0], &a[i]);
	}
	guest_asks(&w, GPORT, 2);
	rig_cycle(w.r);
	assert_false(try_receive(w.fd[0], &c));
	assert_int_equal(rig_drops(w.r, DROP_DNS_LIMIT), 1);
	resolver_answers(w.fd[0], &a[0], 100, 1);
	guest_gets(&w, GPORT, 0, 100, 1);
	guest_asks(&w, GPORT, 2);
	resolver_gets(&w, w.fd[0], &c);
	world_free(&w);
}

/* RFC 1035 4.2.1, RFC 6891 6.2.5: what the guest cannot take becomes "ask over TCP". */
static void answer_over_512_bytes_is_truncated_without_edns(void **state)
{
	struct world w = world_new(1, 16);
	struct rig_pkt pkt;
	struct asked a;

	(void)state;
	guest_asks(&w, GPORT, 7);
	resolver_gets(&w, w.fd[0], &a);
	resolver_answers(w.fd[0], &a, 513, 1);
	pkt = guest_gets_any(&w, GPORT, 7);
	assert_int_equal(pkt.payload_len, QUERY_LEN);
	assert_int_equal(get_be16(pkt.payload + 2), 0x8380);
	assert_int_equal(get_be64(pkt.payload + 4), 0x0001000000000000);
	world_free(&w);
}

static void edns_query_takes_what_it_offers_even_in_fragments(void **state)
{
	static const uint8_t opt[] = { 0, 0, 41, 0x10, 0x00, 0, 0, 0, 0, 0, 0 }; /* 4096 */
	struct world w = world_new(1, 16);
	uint8_t msg[QUERY_LEN + sizeof(opt)];
	struct rig_pkt pkt;
	struct asked a;

	(void)state;
	build_query(msg, 7);
	msg[11] = 1;
	memcpy(msg + QUERY_LEN, opt, sizeof(opt));
	for (uint32_t len = 4096; len <= 4097; len++) {
		rig_send_udp(w.r, GPORT, DNS, 53, msg, sizeof(msg));
		RIG_UNTIL(w.r, try_receive(w.fd[0], &a));
		assert_int_equal(a.len, sizeof(msg));
		assert_memory_equal(a.msg + 2, msg + 2, sizeof(msg) - 2);
		resolver_answers(w.fd[0], &a, len, len);
		pkt = guest_gets_any(&w, GPORT, 7);
		assert_int_equal(pkt.payload_len, len == 4096 ? 4096 : sizeof(msg));
		if (len == 4096)
			rig_pattern_check(pkt.payload + QUERY_LEN, len - QUERY_LEN, len, 0);
	}
	world_free(&w);
}

static void malformed_queries_are_counted_and_go_nowhere(void **state)
{
	struct world w = world_new(1, 16);
	uint8_t msg[1400] = { 0 };
	struct asked a;

	(void)state;
	build_query(msg, 7);
	rig_send_udp(w.r, GPORT, DNS, 53, msg, 0);
	rig_send_udp(w.r, GPORT, DNS, 53, msg, QUERY_LEN - 1);
	rig_send_udp(w.r, GPORT, DNS, 53, msg, sizeof(msg));
	msg[2] |= 0x80;
	rig_send_udp(w.r, GPORT, DNS, 53, msg, QUERY_LEN);
	rig_cycle(w.r);
	assert_int_equal(rig_drops(w.r, DROP_DNS_MALFORMED), 4);
	assert_false(try_receive(w.fd[0], &a));
	assert_int_equal(rig_pending(w.r), 0);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answer_comes_back_raw_under_the_guests_id),
		cmocka_unit_test(queries_carry_ids_and_ports_of_our_own),
		cmocka_unit_test(forged_answers_are_passed_over),
		cmocka_unit_test(silent_resolver_is_followed_by_the_next),
		cmocka_unit_test(refusing_resolver_is_followed_at_once),
		cmocka_unit_test(silence_everywhere_ends_in_servfail),
		cmocka_unit_test(without_resolvers_the_guest_is_told_at_once),
		cmocka_unit_test(repeated_query_is_the_same_query),
		cmocka_unit_test(another_question_under_the_same_id_replaces_the_first),
		cmocka_unit_test(full_table_drops_and_recovers),
		cmocka_unit_test(answer_over_512_bytes_is_truncated_without_edns),
		cmocka_unit_test(edns_query_takes_what_it_offers_even_in_fragments),
		cmocka_unit_test(malformed_queries_are_counted_and_go_nowhere),
	};

	return cmocka_run_group_tests_name("dns", tests, NULL, NULL);
}
