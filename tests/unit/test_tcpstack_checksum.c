/* SPDX-License-Identifier: MIT */
/* Checksums against a sum taken word by word, and positions in scattered memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "src/base/base.h"
#include "tcpstack/frame.h"

static uint64_t rng = 12345;

static uint32_t rnd(uint32_t below)
{
	rng = rng * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(rng >> 33) % below;
}

/* RFC 1071 section 4.1, as it stands there. */
static uint16_t naive(uint64_t sum, const uint8_t *p, size_t len)
{
	for (; len > 1; len -= 2, p += 2)
		sum += (uint32_t)p[0] << 8 | p[1];
	if (len)
		sum += (uint32_t)p[0] << 8;
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)~sum;
}

static void known_sums(void **state)
{
	(void)state;
	/* RFC 1071 section 3: the sum of these is ddf2. */
	static const uint8_t example[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };
	static const uint8_t header[] = { 0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40,
					  0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8,
					  0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7 };

	assert_int_equal(csum_fold(csum_add(0, example, 8)), (uint16_t)~0xddf2);
	assert_int_equal(csum_fold(csum_add(0, header, 20)), 0);
	assert_int_equal(csum_fold(0), 0xffff);
}

static void agrees_with_a_sum_word_by_word(void **state)
{
	(void)state;
	uint8_t *mem = malloc(70000);

	for (int i = 0; i < 2000; i++) {
		uint32_t off = rnd(16);
		uint32_t len = i % 10 ? rnd(300) : rnd(66000);
		uint32_t sum = rnd(0x7fffffff) * 2;

		/* All ones is where carries are lost. */
		for (uint32_t j = 0; j < len; j++)
			mem[off + j] = i % 3 ? (uint8_t)rnd(256) : 0xff;
		assert_int_equal(csum_fold(csum_add(sum, mem + off, len)),
				 naive(sum, mem + off, len));
	}
	free(mem);
}

static uint32_t cut(const uint8_t *mem, uint32_t len, struct iovec *iov, uint32_t max)
{
	uint32_t n = 0, at = 0;

	while (n < max) {
		uint32_t part = n + 1 == max ? len - at : rnd(MIN(len - at, 50U) + 1);

		iov[n].iov_base = malloc(part);
		if (part)
			memcpy(iov[n].iov_base, mem + at, part);
		iov[n++].iov_len = part;
		at += part;
	}
	return n;
}

static void pieces_may_be_cut_anywhere(void **state)
{
	(void)state;
	uint8_t mem[1000], copy[1000];

	for (int i = 0; i < 2000; i++) {
		struct iovec iov[12], out[12];
		uint32_t len = 1 + rnd(sizeof(mem) - 1);
		uint32_t off = rnd(len), n = 1 + rnd(12), part = rnd(len - off + 1), m;

		for (uint32_t j = 0; j < len; j++)
			mem[j] = (uint8_t)rnd(256);
		n = cut(mem, len, iov, n);
		assert_int_equal(csum_fold(csum_add_iov(0, iov, n, off, part)),
				 naive(0, mem + off, part));

		iov_read(iov, n, off, copy, part);
		assert_memory_equal(copy, mem + off, part);
		m = iov_slice(iov, n, off, part, out, ARRAY_SIZE(out));
		assert_int_equal(m == 0, part == 0);
		for (uint32_t j = 0, at = 0; j < m; at += (uint32_t)out[j++].iov_len) {
			assert_true(out[j].iov_len > 0);
			assert_memory_equal(out[j].iov_base, mem + off + at, out[j].iov_len);
		}
		for (uint32_t j = 0; j < part; j++)
			copy[j] = (uint8_t)~mem[off + j];
		iov_write(iov, n, off, copy, part);
		memcpy(mem + off, copy, part);
		iov_read(iov, n, 0, copy, len);
		assert_memory_equal(copy, mem, len);
		for (uint32_t j = 0; j < n; j++)
			free(iov[j].iov_base);
	}
}

static void a_slice_that_does_not_fit_is_empty(void **state)
{
	(void)state;
	uint8_t a[4], b[4];
	struct iovec iov[] = { { a, 4 }, { NULL, 0 }, { b, 4 } }, out[2];

	assert_int_equal(iov_slice(iov, 3, 2, 4, out, 2), 2);
	assert_ptr_equal(out[0].iov_base, a + 2);
	assert_ptr_equal(out[1].iov_base, b);
	assert_int_equal(out[1].iov_len, 2);
	assert_int_equal(iov_slice(iov, 3, 2, 4, out, 1), 0);
	assert_int_equal(iov_slice(iov, 3, 4, 5, out, 2), 0);
	assert_int_equal(iov_slice(iov, 3, 9, 1, out, 2), 0);
	assert_int_equal(iov_slice(iov, 3, 0, 0, out, 2), 0);
}

static void pseudo_header_of_both_families(void **state)
{
	(void)state;
	struct ipaddr s4 = ipaddr_from_v4(0x0a00020f), d4 = ipaddr_from_v4(0xc0000201), s6, d6;
	uint8_t p4[12] = { 10, 0, 2, 15, 192, 0, 2, 1, 0, PROTO_UDP, 0x12, 0x34 };
	uint8_t p6[40] = { 0 };

	assert_int_equal(csum_fold(csum_pseudo(&s4, &d4, PROTO_UDP, 0x1234)), naive(0, p4, 12));
	assert_int_equal(csum_partial(&s4, &d4, PROTO_UDP, 0x1234), (uint16_t)~naive(0, p4, 12));

	assert_int_equal(ipaddr_parse("2001:db8::1", &s6), 0);
	assert_int_equal(ipaddr_parse("fe80::ffff", &d6), 0);
	memcpy(p6, s6.b, 16);
	memcpy(p6 + 16, d6.b, 16);
	put_be32(p6 + 32, 0x12345);
	p6[39] = PROTO_TCP;
	assert_int_equal(csum_fold(csum_pseudo(&s6, &d6, PROTO_TCP, 0x12345)), naive(0, p6, 40));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_sums),
		cmocka_unit_test(agrees_with_a_sum_word_by_word),
		cmocka_unit_test(pieces_may_be_cut_anywhere),
		cmocka_unit_test(a_slice_that_does_not_fit_is_empty),
		cmocka_unit_test(pseudo_header_of_both_families),
	};

	return cmocka_run_group_tests_name("checksum", tests, NULL, NULL);
}
