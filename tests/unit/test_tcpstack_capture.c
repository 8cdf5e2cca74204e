/* SPDX-License-Identifier: MIT */
/* Filters of captures: what they accept, what they pick, and what they see of a frame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "tcpstack/capture.h"
#include "tcpstack/frame.h"

static struct capture_filter filter;

static void parse(const char *text)
{
	char why[256] = "";

	if (capture_filter_parse(&filter, text, why, sizeof(why)))
		fail_msg("%s: %s", text, why);
}

static bool picks(const char *text, const struct capture_key *k)
{
	parse(text);
	return capture_filter_match(&filter, k);
}

/* TCP from 10.0.2.15:40000 to 192.0.2.7:443, of flow tcp-3.1. */
static struct capture_key a_segment(void)
{
	return (struct capture_key){ .ethertype = ETHERTYPE_IP4,
				     .proto = PROTO_TCP,
				     .has_ports = true,
				     .has_flow = true,
				     .flow_proto = FLOW_TCP,
				     .src = { ipaddr_from_v4(0x0a00020f), 40000 },
				     .dst = { ipaddr_from_v4(0xc0000207), 443 },
				     .flow = { 3, 1 } };
}

static void each_word_picks_what_it_names(void **state)
{
	static const char *const yes[] = {
		"",
		"tcp",
		"proto tcp",
		"ip",
		"host 10.0.2.15",
		"host 192.0.2.7",
		"net 192.0.2.0/24",
		"net 0.0.0.0/0",
		"port 443",
		"port 40000",
		"port 400-500",
		"flow tcp-3.1",
		"outbound",
		"not inbound",
		"tcp and outbound and port 443",
	};
	static const char *const no[] = {
		"udp",		"icmp",		"arp",	   "ip6",	   "host 10.0.2.2",
		"host ::1",	"net ::/8",	"port 80", "port 444-500", "flow tcp-3.2",
		"flow udp-3.1", "flow tcp-4.1", "inbound", "not outbound",
	};
	struct capture_key k = a_segment();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		if (!picks(yes[i], &k))
			fail_msg("\"%s\" does not pick it", yes[i]);
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		if (picks(no[i], &k))
			fail_msg("\"%s\" picks it", no[i]);
	k.to_guest = true;
	assert_true(picks("inbound and tcp", &k));
	assert_false(picks("outbound or udp", &k));
}

/* All expressions of three operands against their truth by hand. */
static void words_bind_as_they_are_said_to(void **state)
{
	static const char *const t = "tcp", *const f = "udp";
	const struct capture_key k = a_segment();
	char text[128];

	(void)state;
	for (int bits = 0; bits < 8; bits++) {
		bool a = bits & 1, b = bits & 2, c = bits & 4;
		const char *ta = a ? t : f, *tb = b ? t : f, *tc = c ? t : f;

		snprintf(text, sizeof(text), "%s or %s and %s", ta, tb, tc);
		assert_int_equal(picks(text, &k), a || (b && c));
		snprintf(text, sizeof(text), "%s and %s or %s", ta, tb, tc);
		assert_int_equal(picks(text, &k), (a && b) || c);
		snprintf(text, sizeof(text), "(%s or %s)and(%s)", ta, tb, tc);
		assert_int_equal(picks(text, &k), (a || b) && c);
		snprintf(text, sizeof(text), "not %s and %s or not (%s)", ta, tb, tc);
		assert_int_equal(picks(text, &k), (!a && b) || !c);
		snprintf(text, sizeof(text), "not not %s and not (%s and %s)", ta, tb, tc);
		assert_int_equal(picks(text, &k), a && !(b && c));
		snprintf(text, sizeof(text), "%s and %s and %s", ta, tb, tc);
		assert_int_equal(picks(text, &k), a && b && c);
		snprintf(text, sizeof(text), "%s or %s or %s", ta, tb, tc);
		assert_int_equal(picks(text, &k), a || b || c);
	}
}

static void what_makes_no_sense_is_refused_and_named(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "tcpx", "\"tcpx\"" },
		{ "tcp udp", "\"udp\"" },
		{ "tcp and", "ends too early" },
		{ "and tcp", "\"and\"" },
		{ "not", "ends too early" },
		{ "(tcp", "not closed" },
		{ "tcp)", "\")\"" },
		{ "()", "\")\"" },
		{ "host", "behind \"host\"" },
		{ "host 10.0.2", "no address" },
		{ "host 10.0.0.0/8", "network follows" },
		{ "net 10.0.0.0/33", "no prefix" },
		{ "net 10.0.0.0/", "no prefix" },
		{ "net ::/129", "no prefix" },
		{ "port x", "no port" },
		{ "port 70000", "no port" },
		{ "port 5-4", "no port" },
		{ "flow 3.1", "no flow" },
		{ "proto gre", "no protocol" },
		{ "proto inbound", "no protocol" },
		{ "inbound tcp", "\"tcp\"" },
	};
	char why[256], longest[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (!capture_filter_parse(&filter, bad[i].text, why, sizeof(why)))
			fail_msg("\"%s\" is accepted", bad[i].text);
		if (!strstr(why, bad[i].why))
			fail_msg("\"%s\": \"%s\" does not say %s", bad[i].text, why, bad[i].why);
	}
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	assert_true(capture_filter_parse(&filter, longest, why, sizeof(why)) < 0);
}

/* What is too long or too deep is refused, and what is just short enough works. */
static void size_and_depth_are_bounded(void **state)
{
	const struct capture_key k = a_segment();
	char text[4096] = "", why[256];

	(void)state;
	for (int i = 0; i < CAPTURE_TERMS_MAX / 2; i++)
		strcat(text, i ? " or udp" : "tcp");
	assert_true(picks(text, &k));
	strcat(text, " or udp and udp");
	assert_true(capture_filter_parse(&filter, text, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "more than"));
	text[0] = 0;
	for (int i = 0; i < CAPTURE_DEPTH_MAX - 1; i++)
		strcat(text, "(");
	strcat(text, "tcp");
	for (int i = 0; i < CAPTURE_DEPTH_MAX - 1; i++)
		strcat(text, ")");
	assert_true(picks(text, &k));
	memset(text, '(', 3000);
	text[3000] = 0;
	assert_true(capture_filter_parse(&filter, text, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "deeply"));
	/* Operands pile up as far as terms allow: a or (a or (a or ... */
	text[0] = 0;
	for (int i = 0; i < CAPTURE_DEPTH_MAX - 1; i++)
		strcat(text, "udp or (");
	strcat(text, "tcp");
	for (int i = 0; i < CAPTURE_DEPTH_MAX - 1; i++)
		strcat(text, ")");
	assert_true(picks(text, &k));
}

/* IPv4 with options, UDP 53 -> 1024. */
static uint32_t frame4(uint8_t *f, uint16_t frag)
{
	memset(f, 0, 80);
	put_be16(f + 12, ETHERTYPE_IP4);
	f[14] = 0x46;
	put_be16(f + 20, frag);
	f[23] = PROTO_UDP;
	put_be32(f + 26, 0x0a00020f);
	put_be32(f + 30, 0x0a000202);
	put_be16(f + 38, 53);
	put_be16(f + 40, 1024);
	return 46;
}

static void a_frame_is_seen_as_far_as_it_goes(void **state)
{
	struct capture_key k;
	uint8_t f[80];
	uint32_t len = frame4(f, 0);

	(void)state;
	capture_key_of(f, len, &k);
	assert_true(k.has_ports && k.proto == PROTO_UDP && k.ethertype == ETHERTYPE_IP4);
	assert_int_equal(k.src.port, 53);
	assert_int_equal(k.dst.port, 1024);
	assert_int_equal(ipaddr_v4(&k.dst.addr), 0x0a000202);
	assert_true(picks("udp and host 10.0.2.15 and port 1024", &k));
	/* Cut anywhere, nothing is read that is not there (ASan looks on). */
	for (uint32_t n = 0; n < len; n++) {
		uint8_t *cut = f + len - n;

		memmove(cut, f, n);
		capture_key_of(cut, n, &k);
		assert_int_equal(k.has_ports, n >= 42);
		assert_int_equal(k.proto != 0, n >= 34);
		frame4(f, 0);
	}
	frame4(f, 3); /* a later fragment: what stands there are no ports */
	capture_key_of(f, len, &k);
	assert_true(k.proto == PROTO_UDP && !k.has_ports);
	frame4(f, 0x2000); /* the first one has them */
	capture_key_of(f, len, &k);
	assert_true(k.has_ports);
	assert_false(picks("port 99", &k));
}

static void ip6_is_seen_through_its_extension_headers(void **state)
{
	uint8_t f[14 + 40 + 8 + 8 + 20] = { 0 };
	struct capture_key k;

	(void)state;
	put_be16(f + 12, ETHERTYPE_IP6);
	f[14] = 0x60;
	f[20] = 0;  /* hop by hop */
	f[54] = 60; /* then destination options */
	f[62] = PROTO_TCP;
	f[22] = 0xfd;
	f[53] = 1;
	put_be16(f + 70, 1000);
	put_be16(f + 72, 2000);
	capture_key_of(f, sizeof(f), &k);
	assert_true(k.proto == PROTO_TCP && k.has_ports);
	assert_true(picks("ip6 and tcp and port 2000 and host ::1 and net fd00::/8", &k));
	f[20] = PROTO_ICMP6;
	capture_key_of(f, sizeof(f), &k);
	assert_true(picks("icmp", &k) && !k.has_ports);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_word_picks_what_it_names),
		cmocka_unit_test(words_bind_as_they_are_said_to),
		cmocka_unit_test(what_makes_no_sense_is_refused_and_named),
		cmocka_unit_test(size_and_depth_are_bounded),
		cmocka_unit_test(a_frame_is_seen_as_far_as_it_goes),
		cmocka_unit_test(ip6_is_seen_through_its_extension_headers),
	};

	return cmocka_run_group_tests_name("capture filter", tests, NULL, NULL);
}
