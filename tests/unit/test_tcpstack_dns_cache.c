/* SPDX-License-Identifier: MIT */
/* The cache of DNS answers: what is kept, for how long to the second, and what is not (H42). */
#include "tests/unit/dnsmsg.h"

#include <stdio.h>

#include "arena/arena.h"
#include "src/base/base.h"
#include "src/base/clock.h"
#include "tcpstack/dns_cache.h"
#include "tcpstack/limits.h"

#define SLOTS 4

/* A cache on a clock of the test's own. */
struct world {
	struct arena *arena;
	struct timer_wheel timers;
	struct dns_cache c;
	uint64_t now;
};

static struct world w;
static struct dnsmsg m, got;

static void begin_with(uint32_t slots)
{
	static const struct siphash_key key = { 1, 2 };
	struct pool_config pool = { "dns-cache", DNS_CACHE_SLOT, slots };
	struct arena_config cfg = { .name = "test", .pools = &pool, .npools = 1 };

	memset(&w, 0, sizeof(w));
	w.now = 1000 * NS_PER_S;
	timer_wheel_init(&w.timers, w.now);
	assert_int_equal(arena_new(&w.arena, &cfg), 0);
	assert_int_equal(
		dns_cache_init(&w.c, arena_pool(w.arena, "dns-cache"), slots, &w.timers, &key), 0);
}

static int begin(void **state)
{
	(void)state;
	begin_with(SLOTS);
	return 0;
}

static int end(void **state)
{
	(void)state;
	dns_cache_fini(&w.c);
	assert_int_equal(arena_leaks(w.arena), 0);
	arena_free(w.arena);
	return 0;
}

static void pass(uint64_t ns)
{
	w.now += ns;
	timer_wheel_run(&w.timers, w.now);
}

static struct dns_question question_of(const struct dnsmsg *q)
{
	struct dns_question question;

	assert_int_equal(dns_query_parse(q->b, q->len, &question), 0);
	return question;
}

/* Is the answer to @q here? Then it is in `got`. */
static bool get_msg(const struct dnsmsg *q)
{
	struct dns_question question = question_of(q);
	struct dns_reply r;

	if (!dns_cache_serves(&w.c, &question) || !dns_cache_get(&w.c, w.now, q->b, &question, &r))
		return false;
	memcpy(got.b, r.msg, r.len);
	got.len = r.len;
	got.question = question.end;
	assert_memory_equal(got.b, q->b, 2);
	assert_memory_equal(got.b + DNS_HLEN, q->b + DNS_HLEN, question.end - DNS_HLEN);
	return true;
}

static bool get(const char *name, uint16_t type)
{
	static struct dnsmsg q;

	dnsmsg_query(&q, (uint16_t)(w.now / NS_PER_S), name, type);
	return get_msg(&q);
}

/* The answer in `m` to the question of @q. */
static uint32_t put_for(const struct dns_question *q)
{
	return dns_cache_put(&w.c, w.now, q, m.b, m.len);
}

static uint32_t put(void)
{
	struct dns_question q = { .flags = DNS_FLAG_RD,
				  .type = get_be16(m.b + m.question - 4),
				  .rclass = DNS_CLASS_IN,
				  .end = (uint16_t)m.question,
				  .plain = true };

	return put_for(&q);
}

/* The beginning of an answer about @name. */
static void answer(const char *name, uint16_t type, uint16_t flags)
{
	dnsmsg_query(&m, 7, name, type);
	dnsmsg_answer(&m, flags);
}

static void keep_a(const char *name, uint32_t ttl, uint32_t addr)
{
	answer(name, DNS_TYPE_A, 0);
	dnsmsg_a(&m, ttl, addr);
	put();
}

static void an_answer_lives_as_long_as_its_ttl_to_the_second(void **state)
{
	(void)state;
	keep_a("a.test", 10, 0xc0000201);
	assert_int_equal(w.c.used, 1);
	for (uint32_t s = 0; s < 10; s++) {
		assert_true(get("a.test", DNS_TYPE_A));
		assert_int_equal(dnsmsg_records(&got, DNS_ANSWER), 1);
		assert_int_equal(dnsmsg_get(&got, DNS_ANSWER, 0).ttl, 10 - s);
		assert_int_equal(get_be32(dnsmsg_get(&got, DNS_ANSWER, 0).rdata), 0xc0000201);
		pass(NS_PER_S - 1);
		assert_true(get("a.test", DNS_TYPE_A));
		assert_int_equal(dnsmsg_get(&got, DNS_ANSWER, 0).ttl, 10 - s);
		pass(1);
	}
	assert_false(get("a.test", DNS_TYPE_A));
	assert_int_equal(w.c.used, 0);
}

/* Time may have come before the timers have: a look-up compares for itself. */
static void what_has_expired_is_not_served_before_its_timer(void **state)
{
	(void)state;
	keep_a("a.test", 10, 1);
	w.now += 10 * NS_PER_S;
	assert_int_equal(w.c.used, 1);
	assert_false(get("a.test", DNS_TYPE_A));
	assert_int_equal(w.c.used, 0);
}

/* ... and a slot comes back without anybody asking. */
static void slots_come_back_when_answers_expire(void **state)
{
	(void)state;
	keep_a("a.test", 10, 1);
	keep_a("b.test", 20, 2);
	pass(9 * NS_PER_S);
	assert_int_equal(w.c.used, 2);
	pass(NS_PER_S + 2 * TIMER_TICK_NS);
	assert_int_equal(w.c.used, 1);
	assert_int_equal(arena_leaks(w.arena), 1);
	pass(10 * NS_PER_S);
	assert_int_equal(arena_leaks(w.arena), 0);
}

static void the_least_ttl_of_all_records_counts(void **state)
{
	static const uint8_t cdn[] = { 3, 'c', 'd', 'n', 4, 't', 'e', 's', 't', 0 };
	uint16_t alias;

	(void)state;
	answer("a.test", DNS_TYPE_A, 0);
	dnsmsg_record(&m, DNS_OFF_ANCOUNT, DNS_HLEN, DNS_TYPE_CNAME, 300, cdn, sizeof(cdn));
	alias = (uint16_t)(m.len - sizeof(cdn));
	dnsmsg_record(&m, DNS_OFF_ANCOUNT, alias, DNS_TYPE_A, 60, "\1\2\3\4", 4);
	dnsmsg_record(&m, DNS_OFF_NSCOUNT, alias, 2, 40, cdn, sizeof(cdn));
	dnsmsg_record(&m, DNS_OFF_ARCOUNT, alias, DNS_TYPE_A, 50, "\1\2\3\5", 4);
	put();
	pass(39 * NS_PER_S);
	assert_true(get("a.test", DNS_TYPE_A));
	assert_int_equal(dnsmsg_get(&got, DNS_ANSWER, 0).ttl, 300 - 39);
	assert_int_equal(dnsmsg_get(&got, DNS_ANSWER, 1).ttl, 60 - 39);
	assert_int_equal(dnsmsg_get(&got, DNS_AUTHORITY, 0).ttl, 1);
	assert_int_equal(dnsmsg_get(&got, DNS_ADDITIONAL, 0).ttl, 50 - 39);
	pass(NS_PER_S);
	assert_false(get("a.test", DNS_TYPE_A));
}

/* RFC 2308 section 5: by the lesser of the SOA record's TTL and its last field. */
static void no_such_name_lives_as_its_soa_record_says(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		answer("a.test", DNS_TYPE_A, DNS_RCODE_NXDOMAIN);
		dnsmsg_soa(&m, i ? 7 : 900, i ? 900 : 7);
		put();
		pass(6 * NS_PER_S);
		assert_true(get("a.test", DNS_TYPE_A));
		assert_int_equal(dnsmsg_rcode(&got), DNS_RCODE_NXDOMAIN);
		assert_int_equal(dnsmsg_get(&got, DNS_AUTHORITY, 0).ttl, 1);
		pass(NS_PER_S);
		assert_false(get("a.test", DNS_TYPE_A));
	}
}

static void no_data_lives_as_its_soa_record_says(void **state)
{
	static const uint8_t cdn[] = { 3, 'c', 'd', 'n', 4, 't', 'e', 's', 't', 0 };

	(void)state;
	answer("a.test", DNS_TYPE_AAAA, 0);
	dnsmsg_soa(&m, 900, 5);
	put();
	/* An alias that leads to nothing. */
	answer("b.test", DNS_TYPE_AAAA, 0);
	dnsmsg_record(&m, DNS_OFF_ANCOUNT, DNS_HLEN, DNS_TYPE_CNAME, 300, cdn, sizeof(cdn));
	dnsmsg_soa(&m, 6, 900);
	put();
	pass(4 * NS_PER_S);
	assert_true(get("a.test", DNS_TYPE_AAAA));
	assert_int_equal(dnsmsg_records(&got, DNS_ANSWER), 0);
	pass(NS_PER_S);
	assert_false(get("a.test", DNS_TYPE_AAAA));
	assert_true(get("b.test", DNS_TYPE_AAAA));
	pass(NS_PER_S);
	assert_false(get("b.test", DNS_TYPE_AAAA));
}

static void lives_are_capped(void **state)
{
	(void)state;
	keep_a("a.test", 1000000, 1);
	answer("b.test", DNS_TYPE_A, DNS_RCODE_NXDOMAIN);
	dnsmsg_soa(&m, 1000000, 1000000);
	put();
	pass((LIMIT_DNS_CACHE_NEGATIVE_MAX_S - 1) * NS_PER_S);
	assert_true(get("b.test", DNS_TYPE_A));
	assert_int_equal(dnsmsg_get(&got, DNS_AUTHORITY, 0).ttl,
			 1000000 - LIMIT_DNS_CACHE_NEGATIVE_MAX_S + 1);
	pass(NS_PER_S);
	assert_false(get("b.test", DNS_TYPE_A));
	pass((LIMIT_DNS_CACHE_TTL_MAX_S - LIMIT_DNS_CACHE_NEGATIVE_MAX_S - 1) * NS_PER_S);
	assert_true(get("a.test", DNS_TYPE_A));
	assert_int_equal(dnsmsg_get(&got, DNS_ANSWER, 0).ttl,
			 1000000 - LIMIT_DNS_CACHE_TTL_MAX_S + 1);
	pass(NS_PER_S);
	assert_false(get("a.test", DNS_TYPE_A));
}

static void failures_and_pieces_are_not_kept(void **state)
{
	static const uint16_t codes[] = { 1, DNS_RCODE_SERVFAIL, DNS_RCODE_NOTIMP,
					  DNS_RCODE_REFUSED, 15 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		answer("a.test", DNS_TYPE_A, codes[i]);
		dnsmsg_soa(&m, 60, 60);
		put();
		answer("a.test", DNS_TYPE_A, codes[i]);
		dnsmsg_a(&m, 60, 1);
		put();
	}
	answer("a.test", DNS_TYPE_A, DNS_FLAG_TC);
	dnsmsg_a(&m, 60, 1);
	put();
	keep_a("a.test", 0, 1);
	keep_a("a.test", 0x80000000U, 1);		  /* counts as 0, RFC 2181 section 8 */
	answer("a.test", DNS_TYPE_A, DNS_RCODE_NXDOMAIN); /* without an SOA record */
	put();
	answer("a.test", DNS_TYPE_A, 0);
	put();
	answer("a.test", DNS_TYPE_A, DNS_RCODE_NXDOMAIN);
	dnsmsg_soa(&m, 60, 0);
	put();
	m.len = DNS_HLEN;
	put();
	assert_int_equal(w.c.used, 0);
}

/* A code that needs the upper half in the OPT record: BADCOOKIE is 23. */
static void extended_errors_are_not_kept(void **state)
{
	(void)state;
	answer("a.test", DNS_TYPE_A, 0);
	dnsmsg_a(&m, 60, 1);
	dnsmsg_opt(&m, 1232, 0x01000000, "", 0);
	put();
	assert_int_equal(w.c.used, 0);
}

/* An answer from a hostile resolver, or one that was hit on the way. */
static void malformed_answers_are_not_kept(void **state)
{
	uint32_t whole;

	(void)state;
	/* Every cut. */
	answer("a.test", DNS_TYPE_A, 0);
	dnsmsg_a(&m, 60, 1);
	whole = m.len;
	for (m.len = m.question; m.len < whole; m.len++)
		put();
	/* Bytes behind the last record. */
	m.len = whole + 1;
	m.b[whole] = 0;
	put();
	/* More records than there are. */
	m.len = whole;
	put_be16(m.b + DNS_OFF_ARCOUNT, 1);
	put();
	/* Owners that point to themselves, forward, and round about. */
	for (uint32_t to = m.question; to < m.question + 4; to++) {
		answer("a.test", DNS_TYPE_A, 0);
		dnsmsg_record(&m, DNS_OFF_ANCOUNT, (uint16_t)to, DNS_TYPE_A, 60, "\1\2\3\4", 4);
		put();
	}
	/* An SOA record whose names leave no room for its numbers. */
	answer("a.test", DNS_TYPE_A, DNS_RCODE_NXDOMAIN);
	dnsmsg_record(&m, DNS_OFF_NSCOUNT, DNS_HLEN, DNS_TYPE_SOA, 60,
		      "\1a\0\0\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0", 23);
	put();
	answer("a.test", DNS_TYPE_A, DNS_RCODE_NXDOMAIN);
	dnsmsg_record(&m, DNS_OFF_NSCOUNT, DNS_HLEN, DNS_TYPE_SOA, 60, "\77", 1);
	put();
	assert_int_equal(w.c.used, 0);
}

/* A chain of pointers is as long as a message lets it be: it is not followed for ever. */
static void chains_of_pointers_are_cut_short(void **state)
{
	char text[DNS_TEXT_MAX + 1];
	uint8_t chain[2000] = { 0 };

	(void)state;
	for (uint32_t hops = 127; hops <= 128; hops++) {
		/* The root at 2, and pointers from 4 on, each to the one before. */
		for (uint32_t i = 0; i < hops; i++)
			put_be16(chain + 4 + 2 * i, (uint16_t)(0xc000 | (2 + 2 * i)));
		assert_int_equal(dns_name_text(chain, sizeof(chain), 2 + 2 * hops, text) > 0,
				 hops == 127);
	}
}

static void signed_answers_pass_by(void **state)
{
	(void)state;
	answer("a.test", DNS_TYPE_A, 0);
	dnsmsg_a(&m, 60, 1);
	dnsmsg_record(&m, DNS_OFF_ARCOUNT, DNS_HLEN, 250, 60, "sig", 3); /* TSIG */
	put();
	/* OPT in front of another record, and two of them */
	answer("a.test", DNS_TYPE_A, 0);
	dnsmsg_a(&m, 60, 1);
	dnsmsg_opt(&m, 1232, 0, "", 0);
	dnsmsg_record(&m, DNS_OFF_ARCOUNT, DNS_HLEN, DNS_TYPE_A, 60, "\1\2\3\4", 4);
	put();
	answer("a.test", DNS_TYPE_A, 0);
	dnsmsg_a(&m, 60, 1);
	dnsmsg_opt(&m, 1232, 0, "", 0);
	dnsmsg_opt(&m, 1232, 0, "", 0);
	put();
	assert_int_equal(w.c.used, 0);
}

static bool serves(uint16_t type, uint16_t flags)
{
	struct dns_question q;

	dnsmsg_query(&m, 1, "a.test", type);
	put_be16(m.b + DNS_OFF_FLAGS, flags);
	q = question_of(&m);
	return dns_cache_serves(&w.c, &q);
}

static void only_ordinary_queries_are_served(void **state)
{
	struct dns_question q;

	(void)state;
	assert_true(serves(DNS_TYPE_A, DNS_FLAG_RD));
	assert_true(serves(65, DNS_FLAG_RD | DNS_FLAG_AD | DNS_FLAG_CD));
	assert_true(serves(127, DNS_FLAG_RD));
	assert_true(serves(256, DNS_FLAG_RD));
	assert_false(serves(DNS_TYPE_A, 0));			/* not to be resolved */
	assert_false(serves(DNS_TYPE_A, DNS_FLAG_RD | 0x1000)); /* STATUS */
	assert_false(serves(DNS_TYPE_ANY, DNS_FLAG_RD));
	assert_false(serves(DNS_TYPE_AXFR, DNS_FLAG_RD));
	assert_false(serves(128, DNS_FLAG_RD));
	assert_false(serves(DNS_TYPE_OPT, DNS_FLAG_RD));
	dnsmsg_query(&m, 1, "a.test", DNS_TYPE_A);
	put_be16(m.b + m.len - 2, 3); /* CHAOS */
	q = question_of(&m);
	assert_false(dns_cache_serves(&w.c, &q));
	dnsmsg_query(&m, 1, "a.test", DNS_TYPE_A);
	dnsmsg_opt(&m, 1232, 0, "\0\10\0\4\0\1\0\0", 8); /* a client's subnet */
	q = question_of(&m);
	assert_false(dns_cache_serves(&w.c, &q));
}

/* Another type, other flags, another name: other questions. The case of letters is none. */
static void only_the_very_question_is_answered(void **state)
{
	static struct dnsmsg q;

	(void)state;
	keep_a("www.a.test", 60, 1);
	assert_false(get("www.a.test", DNS_TYPE_AAAA));
	assert_false(get("ww.a.test", DNS_TYPE_A));
	assert_false(get("wwwx.a.test", DNS_TYPE_A));
	assert_false(get("www_a.test", DNS_TYPE_A));
	dnsmsg_query(&q, 3, "www.a.test", DNS_TYPE_A);
	put_be16(q.b + DNS_OFF_FLAGS, DNS_FLAG_RD | DNS_FLAG_CD);
	assert_false(get_msg(&q));
	put_be16(q.b + DNS_OFF_FLAGS, DNS_FLAG_RD | DNS_FLAG_AD);
	assert_false(get_msg(&q));
	put_be16(q.b + DNS_OFF_FLAGS, DNS_FLAG_RD);
	dnsmsg_opt(&q, 1232, 0x8000, "", 0); /* DO */
	assert_false(get_msg(&q));
	assert_true(get("WwW.a.TEST", DNS_TYPE_A)); /* comes back in that case: see get_msg() */
	assert_true(get("www.a.test", DNS_TYPE_A));
}

/* Bytes of type and class are no letters, even where they have the numbers of some. */
static void types_are_not_lowered(void **state)
{
	(void)state;
	answer("a.test", 0x4161, 0); /* 'A', 'a' */
	dnsmsg_record(&m, DNS_OFF_ANCOUNT, DNS_HLEN, 0x4161, 60, "x", 1);
	put();
	assert_true(get("a.test", 0x4161));
	assert_false(get("a.test", 0x6161));
	assert_false(get("a.test", 0x4141));
}

/* The OPT record is a matter between two neighbours: ours with the guest is our own. */
static void edns_is_answered_by_us(void **state)
{
	static struct dnsmsg q;
	struct dns_record opt;

	(void)state;
	answer("a.test", DNS_TYPE_A, DNS_FLAG_AA);
	dnsmsg_a(&m, 60, 1);
	dnsmsg_opt(&m, 4096, 0, "\0\12\0\2hi", 6); /* a cookie for somebody else */
	put();
	assert_true(get("a.test", DNS_TYPE_A));
	assert_int_equal(dnsmsg_records(&got, DNS_ADDITIONAL), 0);
	assert_int_equal(dnsmsg_flags(&got), 0x8180); /* no authority, either */
	dnsmsg_query(&q, 3, "a.test", DNS_TYPE_A);
	dnsmsg_opt(&q, 512, 0, "\0\12\0\10abcdefgh", 12);
	assert_true(get_msg(&q));
	assert_int_equal(dnsmsg_records(&got, DNS_ADDITIONAL), 1);
	opt = dnsmsg_get(&got, DNS_ADDITIONAL, 0);
	assert_int_equal(opt.type, DNS_TYPE_OPT);
	assert_int_equal(opt.rclass, DNS_QUERY_MAX);
	assert_int_equal(opt.ttl, 0);
	assert_int_equal(opt.rdlen, 0);
}

static void a_newer_answer_takes_the_place_of_the_older(void **state)
{
	(void)state;
	keep_a("a.test", 60, 1);
	pass(5 * NS_PER_S);
	keep_a("A.test", 60, 2);
	assert_int_equal(w.c.used, 1);
	assert_true(get("a.test", DNS_TYPE_A));
	assert_int_equal(get_be32(dnsmsg_get(&got, DNS_ANSWER, 0).rdata), 2);
	assert_int_equal(dnsmsg_get(&got, DNS_ANSWER, 0).ttl, 60);
}

static void the_one_used_longest_ago_makes_room(void **state)
{
	char name[16];

	(void)state;
	for (uint32_t i = 0; i < SLOTS; i++) {
		snprintf(name, sizeof(name), "%u.test", i);
		answer(name, DNS_TYPE_A, 0);
		dnsmsg_a(&m, 60, i);
		assert_int_equal(put(), 0);
	}
	assert_true(get("0.test", DNS_TYPE_A));
	answer("new.test", DNS_TYPE_A, 0);
	dnsmsg_a(&m, 60, 9);
	assert_int_equal(put(), 1);
	assert_int_equal(w.c.used, SLOTS);
	assert_true(get("0.test", DNS_TYPE_A));
	assert_false(get("1.test", DNS_TYPE_A));
	assert_true(get("2.test", DNS_TYPE_A));
	assert_true(get("3.test", DNS_TYPE_A));
	assert_true(get("new.test", DNS_TYPE_A));
	/* A limit that falls takes effect at once; 0 keeps nothing. */
	assert_int_equal(dns_cache_set_limit(&w.c, 1), SLOTS - 1);
	assert_true(get("new.test", DNS_TYPE_A));
	assert_int_equal(dns_cache_set_limit(&w.c, 0), 1);
	assert_false(serves(DNS_TYPE_A, DNS_FLAG_RD));
	assert_int_equal(dns_cache_set_limit(&w.c, 1000), 0);
	assert_int_equal(w.c.limit, SLOTS);
	keep_a("0.test", 60, 1);
	keep_a("1.test", 60, 1);
	assert_int_equal(dns_cache_flush(&w.c), 2);
	assert_false(get("0.test", DNS_TYPE_A));
}

static void answers_that_do_not_fit_a_slot_are_not_kept(void **state)
{
	static const uint8_t data[2000];
	uint32_t room;

	(void)state;
	answer("a.test", 16, 0);
	room = LIMIT_DNS_CACHE_BYTES - m.len - 12;
	for (uint32_t len = room; len <= room + 1; len++) {
		answer("a.test", 16, 0);
		dnsmsg_record(&m, DNS_OFF_ANCOUNT, DNS_HLEN, 16, 60, data, (uint16_t)len);
		/* What goes does not count. */
		dnsmsg_opt(&m, 1232, 0, data, 400);
		put();
		assert_int_equal(get("a.test", 16), len == room);
		if (len == room)
			assert_int_equal(got.len, LIMIT_DNS_CACHE_BYTES);
		dns_cache_flush(&w.c);
	}
	answer("a.test", 16, 0);
	dnsmsg_record(&m, DNS_OFF_ANCOUNT, DNS_HLEN, 16, 60, data, 100);
	dnsmsg_opt(&m, 1232, 0, data, 2000);
	put();
	assert_int_equal(w.c.used, 0);
}

/* Thousands of random answers: what is kept is served whole, and nothing is lost. */
static void random_answers_do_no_harm(void **state)
{
	uint64_t x = 88172645463325252ULL;
	char name[16];

	(void)state;
	for (uint32_t i = 0; i < 200000; i++) {
		uint32_t bytes;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		snprintf(name, sizeof(name), "%u.test", (uint32_t)(x >> 60));
		answer(name, DNS_TYPE_A, (x >> 40) % 16 ? 0 : DNS_RCODE_NXDOMAIN);
		dnsmsg_a(&m, (uint32_t)(x >> 50) % 8, 1);
		dnsmsg_soa(&m, 5, 5);
		dnsmsg_opt(&m, 1232, 0, "\0\12\0\2hi", 6);
		/* Two bytes are hit: anywhere behind the question, or in the header. */
		bytes = m.len - m.question;
		m.b[m.question + (uint32_t)(x >> 8) % bytes] ^= (uint8_t)(x >> 30);
		m.b[2 + (uint32_t)(x >> 20) % 2 * 4 + (uint32_t)(x >> 21) % 6] ^=
			(uint8_t)(1U << (x >> 45) % 8);
		if (get_be16(m.b + DNS_OFF_QDCOUNT) == 1)
			put();
		get(name, DNS_TYPE_A);
		assert_true(w.c.used <= SLOTS);
		if (i % 16 == 0)
			pass((x >> 33) % NS_PER_S);
	}
	pass(LIMIT_DNS_CACHE_TTL_MAX_S * NS_PER_S);
	assert_int_equal(w.c.used, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		T(an_answer_lives_as_long_as_its_ttl_to_the_second),
		T(what_has_expired_is_not_served_before_its_timer),
		T(slots_come_back_when_answers_expire),
		T(the_least_ttl_of_all_records_counts),
		T(no_such_name_lives_as_its_soa_record_says),
		T(no_data_lives_as_its_soa_record_says),
		T(lives_are_capped),
		T(failures_and_pieces_are_not_kept),
		T(extended_errors_are_not_kept),
		T(malformed_answers_are_not_kept),
		T(chains_of_pointers_are_cut_short),
		T(signed_answers_pass_by),
		T(only_ordinary_queries_are_served),
		T(only_the_very_question_is_answered),
		T(types_are_not_lowered),
		T(edns_is_answered_by_us),
		T(a_newer_answer_takes_the_place_of_the_older),
		T(the_one_used_longest_ago_makes_room),
		T(answers_that_do_not_fit_a_slot_are_not_kept),
		T(random_answers_do_no_harm),
	};

	return cmocka_run_group_tests_name("tcpstack_dns_cache", tests, NULL, NULL);
}
