/* SPDX-License-Identifier: MIT */
/* DNS messages: what counts as a query, and which answers are believed (H42). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "tcpstack/dns_msg.h"
#include "tests/unit/dnsmsg.h"

/* id 0x1234, RD, one question: www.example. AAAA IN */
static const uint8_t plain[] = {
	0x12, 0x34, 0x01, 0x00, 0, 1,	0,   0,	  0,   0,   0,	 0, /* header */
	3,    'w',  'w',  'w',	7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0, 0, 28, 0, 1,
};

/* An OPT record that offers 1400 bytes, with an option of 4 bytes. */
static const uint8_t opt[] = { 0, 0, 41, 0x05, 0x78, 0, 0, 0, 0, 0, 4, 0, 10, 0, 0 };

struct buf {
	uint8_t b[2048];
	uint32_t len;
};

static void buf_set(struct buf *m, const uint8_t *data, uint32_t len)
{
	memcpy(m->b, data, len);
	m->len = len;
}

static void buf_add(struct buf *m, const uint8_t *data, uint32_t len)
{
	memcpy(m->b + m->len, data, len);
	m->len += len;
}

static void plain_query_takes_512_bytes(void **state)
{
	struct dns_question q;

	(void)state;
	assert_int_equal(dns_query_parse(plain, sizeof(plain), &q), 0);
	assert_int_equal(q.id, 0x1234);
	assert_int_equal(q.end, sizeof(plain));
	assert_int_equal(q.udp_max, 512);
}

static void edns_size_is_found_behind_other_records(void **state)
{
	/* A record whose name is a pointer to the question's, type TXT, 3 bytes. */
	static const uint8_t txt[] = { 0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0, 0, 3, 2, 'h', 'i' };
	struct dns_question q;
	struct buf m;

	(void)state;
	buf_set(&m, plain, sizeof(plain));
	buf_add(&m, txt, sizeof(txt));
	buf_add(&m, opt, sizeof(opt));
	put_be16(m.b + 10, 2);
	assert_int_equal(dns_query_parse(m.b, m.len, &q), 0);
	assert_int_equal(q.udp_max, 1400);
	assert_int_equal(q.end, sizeof(plain));
}

static void edns_size_below_512_means_512(void **state)
{
	struct dns_question q;
	struct buf m;

	(void)state;
	buf_set(&m, plain, sizeof(plain));
	buf_add(&m, opt, sizeof(opt));
	put_be16(m.b + 10, 1);
	put_be16(m.b + sizeof(plain) + 3, 100);
	assert_int_equal(dns_query_parse(m.b, m.len, &q), 0);
	assert_int_equal(q.udp_max, 512);
}

static void every_cut_of_a_query_is_refused(void **state)
{
	struct dns_question q;
	struct buf m;

	(void)state;
	buf_set(&m, plain, sizeof(plain));
	buf_add(&m, opt, sizeof(opt));
	put_be16(m.b + 10, 1);
	for (uint32_t len = 0; len < m.len; len++) {
		uint8_t exact[64];

		memcpy(exact + sizeof(exact) - len, m.b, len);
		assert_int_equal(dns_query_parse(exact + sizeof(exact) - len, len, &q), -EBADMSG);
	}
	assert_int_equal(dns_query_parse(m.b, m.len, &q), 0);
}

static void what_is_no_single_query_is_refused(void **state)
{
	struct dns_question q;
	struct buf m;

	(void)state;
	buf_set(&m, plain, sizeof(plain));
	m.b[2] |= 0x80; /* a response */
	assert_int_equal(dns_query_parse(m.b, m.len, &q), -EBADMSG);

	buf_set(&m, plain, sizeof(plain));
	m.b[5] = 0; /* no question */
	assert_int_equal(dns_query_parse(m.b, m.len, &q), -EBADMSG);
	m.b[5] = 2;
	assert_int_equal(dns_query_parse(m.b, m.len, &q), -EBADMSG);

	buf_set(&m, plain, sizeof(plain));
	m.b[12] = 0xc0; /* a pointer, to itself even, in the question */
	m.b[13] = 12;
	assert_int_equal(dns_query_parse(m.b, m.len, &q), -EBADMSG);

	buf_set(&m, plain, sizeof(plain));
	m.b[12] = 0x40; /* a label kind that was never defined */
	assert_int_equal(dns_query_parse(m.b, m.len, &q), -EBADMSG);

	memset(m.b + sizeof(plain), 0, sizeof(m.b) - sizeof(plain));
	assert_int_equal(dns_query_parse(m.b, DNS_QUERY_MAX + 1, &q), -EBADMSG);
}

static void name_of_255_bytes_is_the_longest(void **state)
{
	struct dns_question q;
	struct buf m;

	(void)state;
	for (uint32_t last = 61; last <= 62; last++) {
		uint32_t n = 12;

		memset(&m, 0, sizeof(m));
		memcpy(m.b, plain, 12);
		for (uint32_t i = 0; i < 3; i++) { /* 3 * 64 */
			m.b[n] = 63;
			n += 64;
		}
		m.b[n] = (uint8_t)last;
		n += 1 + last + 1;
		m.len = n + 4;
		assert_int_equal(dns_query_parse(m.b, m.len, &q), last == 61 ? 0 : -EBADMSG);
	}
}

static void answer_must_match_id_kind_and_question_to_the_bit(void **state)
{
	struct buf m;

	(void)state;
	buf_set(&m, plain, sizeof(plain));
	m.b[2] |= 0x80;
	buf_add(&m, opt, sizeof(opt));
	assert_true(dns_answer_matches(m.b, m.len, plain, sizeof(plain)));

	m.b[1] ^= 1; /* id */
	assert_false(dns_answer_matches(m.b, m.len, plain, sizeof(plain)));
	m.b[1] ^= 1;
	m.b[2] ^= 0x80; /* a query */
	assert_false(dns_answer_matches(m.b, m.len, plain, sizeof(plain)));
	m.b[2] ^= 0x80;
	m.b[2] ^= 0x08; /* another operation */
	assert_false(dns_answer_matches(m.b, m.len, plain, sizeof(plain)));
	m.b[2] ^= 0x08;
	m.b[13] ^= 0x20; /* Www: the case we sent is part of the question */
	assert_false(dns_answer_matches(m.b, m.len, plain, sizeof(plain)));
	m.b[13] ^= 0x20;
	m.b[sizeof(plain) - 3] = 1; /* type A */
	assert_false(dns_answer_matches(m.b, m.len, plain, sizeof(plain)));
	m.b[sizeof(plain) - 3] = 28;
	for (uint32_t len = 0; len < sizeof(plain); len++)
		assert_false(dns_answer_matches(m.b, len, plain, sizeof(plain)));
	assert_true(dns_answer_matches(m.b, m.len, plain, sizeof(plain)));
}

static void bare_header_is_believed_only_if_it_reports_an_error(void **state)
{
	uint8_t h[12] = { 0x12, 0x34, 0x81, 0x80 };

	(void)state;
	assert_false(dns_answer_matches(h, sizeof(h), plain, sizeof(plain)));
	h[3] = 0x81; /* FORMERR */
	assert_true(dns_answer_matches(h, sizeof(h), plain, sizeof(plain)));
	h[7] = 1; /* with an answer that is not there */
	assert_false(dns_answer_matches(h, sizeof(h), plain, sizeof(plain)));
}

static void truncation_keeps_flags_and_question(void **state)
{
	struct buf m;

	(void)state;
	buf_set(&m, plain, sizeof(plain));
	put_be16(m.b + 2, 0x8583);
	put_be16(m.b + 6, 9);
	put_be16(m.b + 8, 8);
	put_be16(m.b + 10, 7);
	dns_answer_truncate(m.b);
	assert_int_equal(get_be16(m.b + 2), 0x8783);
	assert_int_equal(get_be64(m.b + 4), 0x0001000000000000);
	assert_memory_equal(m.b + 12, plain + 12, sizeof(plain) - 12);
}

static void error_answer_repeats_the_question(void **state)
{
	uint8_t ans[sizeof(plain)];

	(void)state;
	dns_answer_error(ans, plain, sizeof(plain), DNS_RCODE_SERVFAIL);
	assert_int_equal(get_be16(ans), 0x1234);
	assert_int_equal(get_be16(ans + 2), 0x8182);
	assert_memory_equal(ans + 12, plain + 12, sizeof(plain) - 12);
	assert_true(dns_answer_matches(ans, sizeof(ans), plain, sizeof(plain)));
}

/* Options that may change the answer, and whatever else there is, are not plain. */
static void what_may_change_an_answer_is_not_plain(void **state)
{
	static const struct {
		uint8_t options[16];
		uint16_t len;
		uint32_t ttl;
		bool plain;
	} cases[] = {
		{ { 0 }, 0, 0, true },
		{ { 0 }, 0, 0x8000, true },
		{ { 0, 10, 0, 2, 1, 2, 0, 12, 0, 0, 0, 11, 0, 0 }, 14, 0, true },
		{ { 0, 8, 0, 4, 0, 1, 0, 0 }, 8, 0, false }, /* client subnet */
		{ { 0, 3, 0, 0 }, 4, 0, false },	     /* NSID */
		{ { 0, 10, 0, 3, 1, 2 }, 6, 0, false },	     /* cut */
		{ { 0, 10, 0 }, 3, 0, false },
		{ { 0 }, 0, 0x10000, false }, /* version 1 */
	};
	static struct dnsmsg m;
	struct dns_question q;

	(void)state;
	dnsmsg_query(&m, 1, "a.test", DNS_TYPE_A);
	assert_int_equal(dns_query_parse(m.b, m.len, &q), 0);
	assert_true(q.plain);
	assert_false(q.edns);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		dnsmsg_query(&m, 1, "a.test", DNS_TYPE_A);
		dnsmsg_opt(&m, 1232, cases[i].ttl, cases[i].options, cases[i].len);
		assert_int_equal(dns_query_parse(m.b, m.len, &q), 0);
		assert_true(q.edns);
		assert_int_equal(q.dnssec_ok, cases[i].ttl == 0x8000);
		assert_int_equal(q.plain, cases[i].plain);
	}
	dnsmsg_query(&m, 1, "a.test", DNS_TYPE_A);
	dnsmsg_opt(&m, 1232, 0, "", 0);
	dnsmsg_opt(&m, 1232, 0, "", 0); /* two are an error, RFC 6891 6.1.1 */
	assert_int_equal(dns_query_parse(m.b, m.len, &q), 0);
	assert_false(q.plain);
	dnsmsg_query(&m, 1, "a.test", DNS_TYPE_A);
	dnsmsg_record(&m, DNS_OFF_ARCOUNT, DNS_HLEN, 250, 0, "", 0); /* TSIG */
	assert_int_equal(dns_query_parse(m.b, m.len, &q), 0);
	assert_false(q.plain);
	dnsmsg_query(&m, 1, "a.test", DNS_TYPE_A);
	m.b[m.len++] = 0;
	assert_int_equal(dns_query_parse(m.b, m.len, &q), 0);
	assert_false(q.plain);
}

/* An answer of ours has the flags of the question that it must repeat, and no more. */
static void replies_repeat_what_they_must(void **state)
{
	static struct dnsmsg m;
	struct dns_question q;
	struct dns_reply r;

	(void)state;
	dnsmsg_query(&m, 1, "A.test", DNS_TYPE_A);
	put_be16(m.b + DNS_OFF_FLAGS, DNS_FLAG_RD | DNS_FLAG_CD | DNS_FLAG_AD);
	dnsmsg_opt(&m, 4096, 0x8000, "", 0);
	assert_int_equal(dns_query_parse(m.b, m.len, &q), 0);
	dns_reply_begin(&r, m.b, &q, DNS_FLAG_AA | DNS_RCODE_NXDOMAIN);
	assert_int_equal(get_be16(r.msg + DNS_OFF_FLAGS), 0x8593); /* QR AA RD RA CD */
	dns_reply_add(&r, DNS_TYPE_A, 5, "\1\2\3\4", 4);
	dns_reply_end(&r, &q);
	memcpy(m.b, r.msg, r.len);
	m.len = r.len;
	assert_int_equal(dnsmsg_records(&m, DNS_ANSWER), 1);
	assert_int_equal(dnsmsg_records(&m, DNS_ADDITIONAL), 1);
	assert_string_equal(dnsmsg_get(&m, DNS_ANSWER, 0).name, "a.test");
	dns_reply_truncate(&r, &q);
	assert_int_equal(r.len, q.end + DNS_OPT_LEN);
	assert_int_equal(get_be64(r.msg + DNS_OFF_QDCOUNT), 0x0001000000000001);
	assert_int_equal(get_be16(r.msg + DNS_OFF_FLAGS) & DNS_FLAG_TC, DNS_FLAG_TC);
}

static void a_reply_that_is_full_says_so(void **state)
{
	static struct dnsmsg m;
	static const uint8_t data[100];
	struct dns_question q;
	struct dns_reply r;

	(void)state;
	dnsmsg_query(&m, 1, "a.test", 16);
	dnsmsg_opt(&m, 4096, 0, "", 0);
	assert_int_equal(dns_query_parse(m.b, m.len, &q), 0);
	dns_reply_begin(&r, m.b, &q, 0);
	for (int i = 0; i < 20; i++)
		dns_reply_add(&r, 16, 5, data, sizeof(data));
	dns_reply_end(&r, &q);
	assert_true(r.len <= sizeof(r.msg));
	assert_int_equal(get_be16(r.msg + DNS_OFF_FLAGS) & DNS_FLAG_TC, DNS_FLAG_TC);
	memcpy(m.b, r.msg, r.len);
	m.len = r.len;
	assert_int_equal(dnsmsg_records(&m, DNS_ANSWER), 11);
	assert_int_equal(dnsmsg_records(&m, DNS_ADDITIONAL), 1);
}

static void names_become_labels_and_back(void **state)
{
	static const char *const names[] = { "a", "gateway", "a.bc.def-g_h" };
	static const char *const bad[] = { ".", "a.", ".a", "a..b" };
	uint8_t wire[DNS_NAME_MAX];
	char text[DNS_TEXT_MAX + 1], longest[300];
	uint32_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		n = dns_name_wire(names[i], wire);
		assert_int_equal(n, strlen(names[i]) + 2);
		assert_int_equal(dns_name_text(wire, n, 0, text), n);
		assert_string_equal(text, names[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(dns_name_wire(bad[i], wire), 0);
	assert_int_equal(dns_name_wire("", wire), 1);
	for (size_t i = 0; i < sizeof(longest); i++)
		longest[i] = i % 64 == 63 ? '.' : 'x';
	longest[253] = 0;
	assert_int_equal(dns_name_wire(longest, wire), 255);
	longest[253] = 'x';
	longest[254] = 0;
	assert_int_equal(dns_name_wire(longest, wire), 0);
	memset(longest, 'x', 64);
	longest[64] = 0;
	assert_int_equal(dns_name_wire(longest, wire), 0);
}

static void reverse_names_are_read_whole(void **state)
{
	static const char *const bad[] = { "in-addr.arpa",
					   "1.2.3.in-addr.arpa",
					   "1.2.3.4.5.in-addr.arpa",
					   "256.1.1.1.in-addr.arpa",
					   "01.2.3.4.in-addr.arpa",
					   "1..2.3.in-addr.arpa",
					   "1.2.3.4.in-addr.arpa.test",
					   "1.2.3.4.ip6.arpa",
					   "x.2.3.4.in-addr.arpa",
					   "1.2.3.4xin-addr.arpa",
					   "0000.1.2.3.in-addr.arpa" };
	char v6[80] = "";
	struct ipaddr addr, want;

	(void)state;
	assert_int_equal(dns_reverse_addr("4.30.200.0.in-addr.arpa", &addr), 0);
	assert_int_equal(ipaddr_v4(&addr), 0x00c81e04);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(dns_reverse_addr(bad[i], &addr), -EINVAL);
	assert_int_equal(ipaddr_parse("123:4567:89ab:cdef:fedc:ba98:7654:3210", &want), 0);
	strcpy(v6, "0.1.2.3.4.5.6.7.8.9.a.b.c.d.e.f.f.e.d.c.b.a.9.8.7.6.5.4.3.2.1.0.ip6.arpa");
	assert_int_equal(dns_reverse_addr(v6, &addr), 0);
	assert_memory_equal(addr.b, want.b, sizeof(addr.b));
	v6[0] = 'g';
	assert_int_equal(dns_reverse_addr(v6, &addr), -EINVAL);
	v6[0] = '0';
	v6[1] = '0';
	assert_int_equal(dns_reverse_addr(v6, &addr), -EINVAL);
	assert_int_equal(dns_reverse_addr(v6 + 2, &addr), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_query_takes_512_bytes),
		cmocka_unit_test(edns_size_is_found_behind_other_records),
		cmocka_unit_test(edns_size_below_512_means_512),
		cmocka_unit_test(every_cut_of_a_query_is_refused),
		cmocka_unit_test(what_is_no_single_query_is_refused),
		cmocka_unit_test(name_of_255_bytes_is_the_longest),
		cmocka_unit_test(answer_must_match_id_kind_and_question_to_the_bit),
		cmocka_unit_test(bare_header_is_believed_only_if_it_reports_an_error),
		cmocka_unit_test(truncation_keeps_flags_and_question),
		cmocka_unit_test(error_answer_repeats_the_question),
		cmocka_unit_test(what_may_change_an_answer_is_not_plain),
		cmocka_unit_test(replies_repeat_what_they_must),
		cmocka_unit_test(a_reply_that_is_full_says_so),
		cmocka_unit_test(names_become_labels_and_back),
		cmocka_unit_test(reverse_names_are_read_whole),
	};

	return cmocka_run_group_tests_name("tcpstack_dns", tests, NULL, NULL);
}
