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
	};

	return cmocka_run_group_tests_name("tcpstack_dns", tests, NULL, NULL);
}
