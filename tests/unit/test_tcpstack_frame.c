/* SPDX-License-Identifier: MIT */
/* Parsing what a guest may write: every field that lies, and every cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "src/base/base.h"
#include "tcpstack/frame.h"

#define L3 ETH_HLEN

/* A frame whose head is an allocation of exactly its size, for ASan (H50). */
struct fixture {
	uint8_t buf[2048];
	uint32_t len;
	uint8_t *head;
	struct iovec iov;
	struct tx_frame f;
};

static void finish(struct fixture *x)
{
	uint8_t *ip = x->buf + L3;
	uint32_t hlen = (ip[0] & 15U) * 4;

	put_be16(ip + 10, 0);
	put_be16(ip + 10, csum_fold(csum_add(0, ip, hlen)));
}

static struct tx_frame *frame(struct fixture *x)
{
	free(x->head);
	x->f = (struct tx_frame){ .head_len = MIN(x->len, (uint32_t)PORT_HEAD_MAX),
				  .len = x->len,
				  .iov = &x->iov,
				  .iovcnt = 1 };
	x->iov = (struct iovec){ x->buf, x->len };
	x->head = malloc(x->f.head_len);
	assert_non_null(x->head);
	memcpy(x->head, x->buf, x->f.head_len);
	x->f.head = x->head;
	return &x->f;
}

/* IPv4 with @opts bytes of options and @l4 bytes of transport. */
static void build(struct fixture *x, uint32_t opts, uint32_t l4)
{
	uint8_t *ip = x->buf + L3;

	memset(x->buf, 0, sizeof(x->buf));
	put_be16(x->buf + 12, ETHERTYPE_IP4);
	ip[0] = (uint8_t)(0x40 | (IP4_HLEN + opts) / 4);
	ip[1] = 0x10;
	put_be16(ip + 2, (uint16_t)(IP4_HLEN + opts + l4));
	ip[8] = 63;
	ip[9] = PROTO_UDP;
	put_be32(ip + 12, 0x0a00020f);
	put_be32(ip + 16, 0xc0000201);
	x->len = L3 + IP4_HLEN + opts + l4;
	finish(x);
}

static enum drop_reason parse(struct fixture *x, struct packet *pkt)
{
	return frame_parse_ip4(frame(x), L3, pkt);
}

static void a_good_header_is_understood(void **state)
{
	(void)state;
	for (uint32_t opts = 0; opts <= 40; opts += 4) {
		struct fixture x = { 0 };
		struct packet pkt;

		build(&x, opts, 30);
		x.len += 18; /* Ethernet padding does not count */
		assert_int_equal(parse(&x, &pkt), DROP_NONE);
		assert_int_equal(ipaddr_v4(&pkt.src), 0x0a00020f);
		assert_int_equal(ipaddr_v4(&pkt.dst), 0xc0000201);
		assert_int_equal(pkt.proto, PROTO_UDP);
		assert_int_equal(pkt.ttl, 63);
		assert_int_equal(pkt.tos, 0x10);
		assert_int_equal(pkt.l3, L3);
		assert_int_equal(pkt.l4, L3 + IP4_HLEN + opts);
		assert_int_equal(pkt.l4_len, 30);
		assert_int_equal(packet_l4(&pkt).left, 30);
		free(x.head);
	}
}

static void headers_that_lie_are_dropped_with_their_reason(void **state)
{
	(void)state;
	static const struct {
		uint32_t at;
		uint8_t value;
		enum drop_reason why;
	} lies[] = {
		{ 0, 0x65, DROP_IP_MALFORMED }, /* version 6 */
		{ 0, 0x44, DROP_IP_MALFORMED }, /* header of 16 bytes */
		{ 0, 0x40, DROP_IP_MALFORMED }, /* header of none */
		{ 0, 0x4f, DROP_FRAME_SHORT },	/* 60 bytes, but the frame has 50 */
		{ 2, 0xff, DROP_IP_MALFORMED }, /* total length past the frame */
		{ 3, 51, DROP_IP_MALFORMED },	/* by one */
		{ 3, 19, DROP_IP_MALFORMED },	/* shorter than the header */
		{ 6, 0x40, DROP_NONE },		/* don't fragment is fine */
		{ 6, 0x80, DROP_NONE },		/* the evil bit, RFC 3514 */
	};

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct fixture x = { 0 };
		struct packet pkt;

		build(&x, 0, 30);
		x.buf[L3 + lies[i].at] = lies[i].value;
		finish(&x);
		assert_int_equal(parse(&x, &pkt), lies[i].why);
		free(x.head);
	}
}

static void fragments_are_told_from_whole_packets(void **state)
{
	(void)state;
	static const struct {
		uint16_t field;
		bool fragment, more;
		uint32_t at;
	} cases[] = {
		{ 0x0000, false, false, 0 },   { 0x4000, false, false, 0 },
		{ 0x2000, true, true, 0 },     { 0x2001, true, true, 8 },
		{ 0x0001, true, false, 8 },    { 0x1fff, true, false, 65528 },
		{ 0x3f00, true, true, 63488 }, { 0xe000, true, true, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture x = { 0 };
		struct packet pkt;

		build(&x, 4, 16);
		put_be16(x.buf + L3 + 4, 0x1234);
		put_be16(x.buf + L3 + 6, cases[i].field);
		finish(&x);
		assert_int_equal(parse(&x, &pkt), DROP_NONE);
		assert_int_equal(pkt.fragment, cases[i].fragment);
		assert_int_equal(pkt.more, cases[i].more);
		assert_int_equal(pkt.frag_at, cases[i].at);
		assert_int_equal(pkt.frag_id, 0x1234);
		assert_int_equal(pkt.l4_len, 16);
		free(x.head);
	}
}

static void every_bit_of_the_header_is_under_its_checksum(void **state)
{
	(void)state;
	for (uint32_t bit = 0; bit < 8 * IP4_HLEN; bit++) {
		struct fixture x = { 0 };
		struct packet pkt;

		build(&x, 0, 30);
		x.buf[L3 + bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(parse(&x, &pkt), DROP_NONE);
		free(x.head);
	}
}

static void a_frame_cut_anywhere_is_never_read_past_its_end(void **state)
{
	(void)state;
	struct fixture x = { 0 };

	build(&x, 40, 8);
	for (uint32_t len = x.len; len-- > 0;) {
		struct packet pkt;

		x.len = len;
		assert_true(parse(&x, &pkt) ==
			    (len < L3 + 60 ? DROP_FRAME_SHORT : DROP_IP_MALFORMED));
	}
	free(x.head);
}

static void random_headers_never_describe_more_than_the_frame(void **state)
{
	(void)state;
	uint64_t rng = 42;
	uint32_t accepted = 0;

	for (int i = 0; i < 20000; i++) {
		struct fixture x = { 0 };
		struct packet pkt;

		build(&x, 0, 20);
		for (int n = 0; n < 3; n++) {
			rng = rng * 6364136223846793005ULL + 1442695040888963407ULL;
			x.buf[L3 + (rng >> 40) % 12] = (uint8_t)(rng >> 32);
		}
		rng = rng * 6364136223846793005ULL + 1442695040888963407ULL;
		x.len = L3 + (uint32_t)(rng >> 33) % 100;
		if ((x.buf[L3] & 15) >= 5)
			finish(&x);
		if (parse(&x, &pkt) == DROP_NONE) {
			accepted++;
			assert_true(range_ok(pkt.l4, pkt.l4_len, x.len));
			assert_true(packet_l4(&pkt).left <= pkt.l4_len);
		}
		free(x.head);
	}
	/* A floor of work (H83): the checks above did run. */
	assert_true(accepted > 500);
}

/* H8: the guest rewrites its memory after the head was copied. */
static void what_was_copied_is_not_read_again(void **state)
{
	(void)state;
	struct fixture x = { 0 };
	struct packet pkt;
	uint8_t got[600];

	build(&x, 0, 500);
	for (uint32_t i = L3 + IP4_HLEN; i < x.len; i++)
		x.buf[i] = (uint8_t)i;
	frame(&x);
	memset(x.buf, 0xee, PORT_HEAD_MAX);
	assert_int_equal(frame_parse_ip4(&x.f, L3, &pkt), DROP_NONE);
	assert_int_equal(frame_copy(&x.f, pkt.l4, got, 500), 0);
	for (uint32_t i = 0; i < 500; i++)
		assert_int_equal(got[i], (uint8_t)(pkt.l4 + i));
	assert_int_equal(frame_copy(&x.f, pkt.l4 + 400, got, 100), 0);
	assert_int_equal(got[99], (uint8_t)(pkt.l4 + 499));
	free(x.head);
}

static void ranges_outside_of_the_frame_are_refused(void **state)
{
	(void)state;
	struct fixture x = { 0 };
	struct iovec iov[2];
	uint8_t got[64];

	build(&x, 0, 30);
	frame(&x);
	assert_int_equal(frame_copy(&x.f, x.len, got, 0), 0);
	assert_int_equal(frame_copy(&x.f, x.len, got, 1), -EINVAL);
	assert_int_equal(frame_copy(&x.f, 60, got, 5), -EINVAL);
	assert_int_equal(frame_copy(&x.f, UINT32_MAX, got, 5), -EINVAL);
	assert_int_equal(frame_iov(&x.f, 10, 20, iov, 2), 1);
	assert_ptr_equal(iov[0].iov_base, x.buf + 10);
	assert_int_equal(iov[0].iov_len, 20);
	assert_int_equal(frame_iov(&x.f, 60, 5, iov, 2), 0);
	assert_int_equal(frame_iov(&x.f, UINT32_MAX, 2, iov, 2), 0);
	free(x.head);
}

static void transport_checksums_are_judged_over_head_and_rest(void **state)
{
	(void)state;
	static const uint32_t lens[] = { 8, 9, 157, 158, 159, 160, 161, 500, 501 };
	static const struct {
		uint8_t proto;
		uint32_t at;
	} kinds[] = { { PROTO_TCP, 16 }, { PROTO_UDP, 6 }, { PROTO_ICMP, 2 } };

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
			uint32_t len = MAX(lens[i], kinds[k].at + 2);
			struct fixture x = { 0 };
			uint8_t *l4 = x.buf + L3 + IP4_HLEN;
			struct packet pkt;
			uint32_t sum = 0;

			build(&x, 0, len);
			x.buf[L3 + 9] = kinds[k].proto;
			finish(&x);
			for (uint32_t j = 0; j < len; j++)
				l4[j] = (uint8_t)(j * 7 + 1);
			put_be16(l4 + kinds[k].at, 0);
			assert_int_equal(parse(&x, &pkt), DROP_NONE);
			if (kinds[k].proto != PROTO_ICMP)
				sum = csum_pseudo(&pkt.src, &pkt.dst, pkt.proto, len);
			put_be16(l4 + kinds[k].at, csum_fold(csum_add(sum, l4, len)));
			assert_int_equal(parse(&x, &pkt), DROP_NONE);
			assert_true(frame_l4_checksum_ok(&pkt));
			l4[len - 1] ^= 4;
			assert_int_equal(parse(&x, &pkt), DROP_NONE);
			assert_false(frame_l4_checksum_ok(&pkt));
			/* Of UDP, zero means none. */
			put_be16(l4 + kinds[k].at, 0);
			assert_int_equal(parse(&x, &pkt), DROP_NONE);
			assert_int_equal(frame_l4_checksum_ok(&pkt), kinds[k].proto == PROTO_UDP);
			free(x.head);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_header_is_understood),
		cmocka_unit_test(headers_that_lie_are_dropped_with_their_reason),
		cmocka_unit_test(fragments_are_told_from_whole_packets),
		cmocka_unit_test(every_bit_of_the_header_is_under_its_checksum),
		cmocka_unit_test(a_frame_cut_anywhere_is_never_read_past_its_end),
		cmocka_unit_test(random_headers_never_describe_more_than_the_frame),
		cmocka_unit_test(what_was_copied_is_not_read_again),
		cmocka_unit_test(ranges_outside_of_the_frame_are_refused),
		cmocka_unit_test(transport_checksums_are_judged_over_head_and_rest),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
