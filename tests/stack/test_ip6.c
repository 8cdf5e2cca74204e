/* SPDX-License-Identifier: MIT */
/*
 * IPv6 through the stack: headers, addresses and policy, echo, TCP and UDP to the
 * host's ::1 behind the gateway, errors.
 */
#include "tests/stack/rig_tcp.h"

#include <errno.h>
#include <unistd.h>

#include "src/base/base.h"

#define GPORT 40000

static const struct ipaddr outside = { { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } }; /* RFC 3849 */
static const struct ipaddr guest_ll = { { 0xfe, 0x80, [8] = 0x50, 0x54, 0, 0xff, 0xfe, 0x12, 0x34,
					  0x56 } };

static struct rig *start_with(uint16_t mtu, bool offloads)
{
	struct rig_config cfg;

	rig_config_defaults(&cfg);
	cfg.stack.ip6 = true;
	cfg.stack.mtu = mtu;
	if (!offloads)
		cfg.caps = (struct port_caps){ 0 };
	return rig_new(&cfg);
}

static struct rig *start(void)
{
	return start_with(1500, true);
}

static const struct ipaddr *gateway(const struct rig *r)
{
	return &rig_config(r)->stack.gateway6;
}

static struct ipaddr parse(const char *text)
{
	struct ipaddr a;

	assert_int_equal(ipaddr_parse(text, &a), 0);
	return a;
}

static void echo(struct rig *r, const struct ipaddr *src, const struct ipaddr *dst)
{
	uint8_t buf[256], data[56];
	uint32_t len;

	rig_pattern(data, sizeof(data), 7, 0);
	len = rig_build_echo6(r, buf, dst, 0x1234, 5, data, sizeof(data));
	if (src) {
		memcpy(buf + ETH_HLEN + 8, src->b, 16);
		rig_finish(buf, 8 + sizeof(data));
	}
	rig_send(r, buf, len, NULL);
	rig_cycle(r);
}

static void pop_pong(struct rig *r, const struct ipaddr *from)
{
	struct rig_pkt pkt;

	assert_true(rig_pop(r, &pkt));
	assert_int_equal(pkt.proto, PROTO_ICMP6);
	assert_int_equal(pkt.icmp_type, 129);
	assert_int_equal(pkt.icmp_id, 0x1234);
	assert_int_equal(pkt.icmp_seq, 5);
	assert_true(ipaddr_equal(&pkt.src6, from));
	assert_int_equal(pkt.payload_len, 56);
	rig_pattern_check(pkt.payload, 56, 7, 0);
}

/* An ICMPv6 error that quotes what the guest sent to @dst. */
static struct rig_pkt pop_error(struct rig *r, uint8_t type, uint8_t code, const struct ipaddr *dst)
{
	struct rig_pkt pkt;

	RIG_UNTIL(r, rig_pop(r, &pkt));
	assert_int_equal(pkt.proto, PROTO_ICMP6);
	assert_int_equal(pkt.icmp_type, type);
	assert_int_equal(pkt.icmp_code, code);
	assert_true(pkt.payload_len >= IP6_HLEN + 8);
	assert_int_equal(pkt.payload[0] >> 4, 6);
	assert_memory_equal(pkt.payload + 24, dst->b, 16);
	return pkt;
}

static void gateway_and_dns_answer_echo(void **state)
{
	(void)state;
	struct rig *r = start();
	struct ipaddr privacy = parse("fd73:6c75:6963:0:1:2:3:4");

	echo(r, NULL, gateway(r));
	pop_pong(r, gateway(r));
	echo(r, NULL, &rig_config(r)->stack.dns6);
	pop_pong(r, &rig_config(r)->stack.dns6);
	/* Any address of its prefix is the guest's own, and so is its link-local one. */
	echo(r, &privacy, gateway(r));
	pop_pong(r, gateway(r));
	echo(r, &guest_ll, gateway(r));
	pop_pong(r, gateway(r));
	assert_int_equal(rig_allocs(r), 0);
	rig_free(r);
}

/* H44: the source is the guest's own, whatever the protocol. */
static void spoofed_sources_are_dropped(void **state)
{
	(void)state;
	static const char *const lies[] = {
		"fd73:6c75:6963::2", "fd73:6c75:6963::3",
		"fd73:6c75:6963::",  "fd73:6c75:6963:1::15",
		"2001:db8::1",	     "::1",
		"ff02::1",	     "fe80::9855:9aff:fe55:9a55",
		"::ffff:10.0.2.15",  "::10.0.2.15",
	};
	struct rig *r = start();
	struct ipaddr unspecified = { { 0 } };

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct ipaddr src = parse(lies[i]);

		echo(r, &src, gateway(r));
		assert_int_equal(rig_drops(r, DROP_IP_SPOOFED), i + 1);
	}
	echo(r, &unspecified, gateway(r));
	assert_int_equal(rig_drops(r, DROP_ICMP_TYPE), 1);
	echo(r, &guest_ll, &outside); /* a link-local source does not leave the link */
	assert_int_equal(rig_drops(r, DROP_IP_DESTINATION), 1);
	assert_int_equal(rig_pending(r), 0);
	rig_free(r);
}

/* H44: what no flow may reach, by any protocol. */
static void forbidden_destinations_are_refused(void **state)
{
	(void)state;
	static const char *const refused[] = {
		"::1",
		"fe80::1",
		"fec0::1",
		"fd73:6c75:6963::99",
		"fd73:6c75:6963::3",
		"fd00:ec2::254",
		"fd20:ce::254",
		"64:ff9b::169.254.169.254",
		"64:ff9b:1::1",
		"64:ff9b::127.0.0.1",
		"2002:a9fe:a9fe::1",
		"::10.0.0.1",
	};
	struct rig *r = start();
	uint8_t buf[256];

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct ipaddr dst = parse(refused[i]);
		struct rig_tcp_seg syn = {
			.dst6 = &dst, .sport = GPORT, .dport = 80, .flags = RIG_SYN, .window = 1000
		};
		struct rig_pkt pkt;

		rig_advance(r, NS_PER_S); /* errors are rate-limited */
		while (rig_pop(r, &pkt))
			;
		rig_send(r, buf, rig_build_udp6(r, buf, GPORT, &dst, 80, "x", 1), NULL);
		rig_cycle(r);
		assert_int_equal(rig_drops(r, DROP_POLICY_DENIED), 2 * i + 1);
		pop_error(r, 1, 1, &dst);
		rig_send_tcp(r, &syn, NULL, 0);
		rig_cycle(r);
		assert_int_equal(rig_drops(r, DROP_POLICY_DENIED), 2 * i + 2);
		assert_true(rig_pop(r, &pkt));
		assert_true(pkt.flags & RIG_RST);
	}
	assert_int_equal(COUNT(r, udp_opened), 0);
	assert_int_equal(COUNT(r, tcp_opened), 0);
	rig_free(r);
}

static void mapped_and_group_destinations_go_nowhere(void **state)
{
	(void)state;
	static const char *const bad[] = { "::ffff:127.0.0.1", "::ffff:10.0.2.2", "ff02::fb",
					   "ff0e::1", "::" };
	struct rig *r = start();
	uint8_t buf[256];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct ipaddr dst = parse(bad[i]);

		/* ipaddr_parse() makes no difference between a.b.c.d and its mapped form. */
		rig_send(r, buf, rig_build_udp6(r, buf, GPORT, &dst, 80, "x", 1), NULL);
		assert_int_equal(rig_drops(r, DROP_IP_DESTINATION), i + 1);
	}
	rig_cycle(r);
	assert_int_equal(rig_pending(r), 0);
	rig_free(r);
}

/* --- extension headers ------------------------------------------------------ */

/* An echo request behind the extension headers @ext, whose chain starts with @first. */
static void echo_behind(struct rig *r, uint8_t first, const uint8_t *ext, uint32_t ext_len)
{
	uint8_t buf[512], moved[512], data[56];
	uint32_t at = ETH_HLEN + IP6_HLEN;
	uint32_t len;

	rig_pattern(data, sizeof(data), 7, 0);
	len = rig_build_echo6(r, buf, gateway(r), 0x1234, 5, data, sizeof(data));
	memcpy(moved, buf, at);
	memcpy(moved + at, ext, ext_len);
	memcpy(moved + at + ext_len, buf + at, len - at);
	moved[ETH_HLEN + 6] = first;
	put_be16(moved + ETH_HLEN + 4, (uint16_t)(len - at + ext_len));
	rig_send(r, moved, len + ext_len, NULL);
	rig_cycle(r);
}

static void extension_headers_are_stepped_over(void **state)
{
	(void)state;
	/* Hop-by-hop with a router alert and padding, then destination options of 16 bytes. */
	static const uint8_t both[24] = { 60, 0, 5, 2, 0, 0, 1, 0, 58, 1, 1, 12 };
	static const uint8_t done[8] = { 58, 0, 2, 0 }; /* a route that has been followed */
	struct rig *r = start();

	echo_behind(r, 0, both, sizeof(both));
	pop_pong(r, gateway(r));
	echo_behind(r, 43, done, sizeof(done));
	pop_pong(r, gateway(r));
	rig_free(r);
}

/* H49, H50, RFC 5095. */
static void extension_headers_that_ask_for_more_are_refused(void **state)
{
	(void)state;
	static const struct {
		uint8_t first;
		uint8_t ext[16];
		uint32_t len;
		enum drop_reason why;
	} cases[] = {
		{ 43, { 58, 0, 0, 0 }, 8, DROP_IP_ROUTING },  /* type 0, though done */
		{ 43, { 58, 0, 2, 1 }, 8, DROP_IP_ROUTING },  /* type 2, one hop left */
		{ 44, { 6, 0, 0, 1 }, 8, DROP_IP_FRAGMENT },  /* the first of several, of TCP */
		{ 44, { 60, 0, 0, 1 }, 8, DROP_IP_FRAGMENT }, /* of what is told later */
		{ 44, { 58, 0, 0, 8 }, 8, DROP_FRAGMENT_ORDER },
		{ 60, { 58, 255 }, 8, DROP_FRAME_SHORT }, /* leads out of the frame */
		{ 60, { 0, 0 }, 8, DROP_IP_PROTOCOL },	  /* hop-by-hop only comes first */
		{ 59, { 0 }, 8, DROP_IP_PROTOCOL },	  /* nothing follows */
		{ 50, { 0 }, 8, DROP_IP_PROTOCOL },	  /* ESP */
		{ 1, { 8 }, 8, DROP_IP_PROTOCOL },	  /* the other family's ICMP */
	};
	struct rig *r = start();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t before = rig_drops(r, cases[i].why);

		echo_behind(r, cases[i].first, cases[i].ext, cases[i].len);
		assert_int_equal(rig_drops(r, cases[i].why), before + 1);
	}
	rig_free(r);
}

/* H50: every length that an IPv6 frame can be cut to. */
static void cut_and_lying_headers_are_dropped(void **state)
{
	(void)state;
	struct rig *r = start();
	uint8_t buf[256];
	uint32_t len = rig_build_echo6(r, buf, gateway(r), 1, 1, "abcdefgh", 8);

	for (uint32_t n = ETH_HLEN; n < len; n++) {
		uint64_t before = rig_drops(r, DROP_FRAME_SHORT) + rig_drops(r, DROP_IP_MALFORMED);

		rig_send(r, buf, n, NULL);
		assert_int_equal(rig_drops(r, DROP_FRAME_SHORT) + rig_drops(r, DROP_IP_MALFORMED),
				 before + 1);
	}
	buf[ETH_HLEN] = 0x45;
	rig_send(r, buf, len, NULL);
	buf[ETH_HLEN] = 0x60;
	for (uint16_t l4_len = 0; l4_len < 8; l4_len++) {
		put_be16(buf + ETH_HLEN + 4, l4_len);
		rig_send(r, buf, len, NULL);
	}
	assert_int_equal(rig_drops(r, DROP_L4_MALFORMED), 8);
	rig_cycle(r);
	assert_int_equal(rig_pending(r), 0);
	rig_free(r);
}

/* Random headers and lengths: nothing to see but counters. */
static void random_frames_do_no_harm(void **state)
{
	(void)state;
	static const uint8_t zeros[150];
	struct rig *r = start();

	for (uint32_t i = 0; i < 20000; i++) {
		uint8_t buf[256];
		uint32_t len = rig_build_echo6(r, buf, gateway(r), 1, 1, zeros, sizeof(zeros));
		struct rig_pkt pkt;

		for (uint64_t n = rig_random(r) % 6; n > 0; n--)
			buf[ETH_HLEN + rig_random(r) % (len - ETH_HLEN)] = (uint8_t)rig_random(r);
		buf[ETH_HLEN + 6] = (uint8_t[]){ 0, 43, 44, 60, 58, 6, 17, 59 }[rig_random(r) % 8];
		rig_send(r, buf, ETH_HLEN + (uint32_t)(rig_random(r) % (len - ETH_HLEN + 1)), NULL);
		rig_cycle(r);
		while (rig_pop(r, &pkt))
			;
	}
	assert_int_equal(rig_allocs(r), 0);
	rig_free(r);
}

/* --- the end of a packet's life ---------------------------------------------- */

static void last_hop_is_told_by_the_gateway(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_pkt pkt;
	uint8_t buf[256];
	uint32_t len = rig_build_udp6(r, buf, GPORT, &outside, 33434, "probe", 5);

	for (uint8_t ttl = 0; ttl <= 1; ttl++) {
		buf[ETH_HLEN + 7] = ttl;
		rig_send(r, buf, len, NULL);
		pkt = pop_error(r, 3, 0, &outside);
		assert_true(ipaddr_equal(&pkt.src6, gateway(r)));
		assert_int_equal(pkt.payload_len, len - ETH_HLEN); /* quoted whole */
	}
	assert_int_equal(rig_drops(r, DROP_IP_TTL), 2);
	/* The gateway itself is no further than that. */
	len = rig_build_echo6(r, buf, gateway(r), 0x1234, 5, NULL, 0);
	buf[ETH_HLEN + 7] = 1;
	rig_send(r, buf, len, NULL);
	rig_cycle(r);
	assert_true(rig_pop(r, &pkt));
	assert_int_equal(pkt.icmp_type, 129);
	rig_free(r);
}

/* --- TCP --------------------------------------------------------------------- */

/* Both directions, every byte compared, at one MTU. */
static void tcp_both_ways(uint16_t mtu, bool offloads)
{
	enum { TOTAL = 1 << 20 };
	struct rig *r = start_with(mtu, offloads);
	uint64_t written = 0, read = 0;
	struct rig_conn c;
	uint16_t port;
	int lfd = rig_listen6(&port), fd;

	if (lfd < 0) {
		print_message("SKIP: the host has no ::1\n");
		rig_free(r);
		skip();
	}
	rig_conn_init6(&c, r, GPORT, port);
	fd = rig_conn_open(&c, lfd);
	assert_int_equal(c.peer_mss, mtu - 60);
	RIG_UNTIL(r, (rig_pump_write(fd, c.rx_seed, &written, TOTAL), rig_conn_poll(&c),
		      c.rx_bytes == TOTAL));
	assert_int_equal(c.gso_frames > 0, offloads && mtu < 60000);
	RIG_UNTIL(r, (rig_conn_upload(&c, TOTAL, offloads ? 40000 : c.peer_mss),
		      rig_pump_read(fd, c.tx_seed, &read), rig_conn_poll(&c), read == TOTAL));
	rig_conn_fin(&c);
	rig_read_eof(r, fd);
	close(fd);
	RIG_CONN_UNTIL(&c, c.fin);
	assert_int_equal(rig_allocs(r), 0);
	close(lfd);
	rig_free(r);
}

/* H58 */
static void tcp_moves_bytes_both_ways_at_any_mtu(void **state)
{
	(void)state;
	static const uint16_t mtus[] = { 1280, 1500, 9000, 65520 };

	for (size_t i = 0; i < ARRAY_SIZE(mtus); i++)
		tcp_both_ways(mtus[i], true);
}

static void tcp_moves_bytes_without_offloads(void **state)
{
	(void)state;
	tcp_both_ways(1500, false);
}

static void refused_connection_is_reset(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_conn c;
	uint16_t port;
	int fd = rig_udp_socket6(&port); /* the TCP port of the same number is free, most likely */

	if (fd < 0)
		skip();
	rig_conn_init6(&c, r, GPORT, port);
	rig_conn_syn(&c);
	RIG_CONN_UNTIL(&c, c.rst);
	close(fd);
	rig_free(r);
}

/* --- UDP --------------------------------------------------------------------- */

static bool received(int fd, uint8_t *buf, size_t room, struct sockaddr_in6 *peer, ssize_t *n)
{
	socklen_t len = sizeof(*peer);

	*n = recvfrom(fd, buf, room, 0, (struct sockaddr *)peer, &len);
	assert_true(*n >= 0 || errno == EAGAIN);
	return *n >= 0;
}

static void datagrams_pass_both_ways(void **state)
{
	(void)state;
	static const uint32_t sizes[] = { 0, 1, 100, 1232, 1452 };
	static uint8_t frame[2048], data[2048], got[2048];
	struct sockaddr_in6 peer;
	struct rig *r = start();
	struct rig_pkt pkt;
	uint16_t port;
	ssize_t n;
	int fd = rig_udp_socket6(&port);

	if (fd < 0) {
		print_message("SKIP: the host has no ::1\n");
		rig_free(r);
		skip();
	}
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		rig_pattern(data, sizes[i], i, 0);
		rig_send(r, frame,
			 rig_build_udp6(r, frame, GPORT, gateway(r), port, data, sizes[i]), NULL);
		RIG_UNTIL(r, received(fd, got, sizeof(got), &peer, &n));
		assert_int_equal(n, sizes[i]);
		assert_memory_equal(got, data, sizes[i]);
		assert_int_equal(
			sendto(fd, data, sizes[i], 0, (struct sockaddr *)&peer, sizeof(peer)),
			sizes[i]);
		RIG_UNTIL(r, rig_pop(r, &pkt));
		assert_int_equal(pkt.proto, PROTO_UDP);
		assert_true(ipaddr_equal(&pkt.src6, gateway(r)));
		assert_int_equal(pkt.sport, port);
		assert_int_equal(pkt.dport, GPORT);
		assert_int_equal(pkt.payload_len, sizes[i]);
		rig_pattern_check(pkt.payload, sizes[i], i, 0);
	}
	assert_int_equal(COUNT(r, udp_opened), 1);
	assert_int_equal(rig_allocs(r), 0);
	close(fd);
	rig_free(r);
}

/* A checksum is not optional in IPv6, RFC 8200 8.1. */
static void datagram_without_checksum_is_dropped(void **state)
{
	(void)state;
	struct rig *r = start();
	uint8_t buf[256];
	uint32_t len = rig_build_udp6(r, buf, GPORT, gateway(r), 9, "x", 1);

	put_be16(buf + ETH_HLEN + IP6_HLEN + 6, 0);
	rig_send(r, buf, len, NULL);
	assert_int_equal(rig_drops(r, DROP_L4_CHECKSUM), 1);
	rig_free(r);
}

static void closed_port_becomes_port_unreachable(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_pkt pkt;
	uint8_t buf[256];
	uint16_t port;
	int fd = rig_udp_socket6(&port);

	if (fd < 0)
		skip();
	close(fd);
	rig_send(r, buf, rig_build_udp6(r, buf, GPORT, gateway(r), port, "x", 1), NULL);
	pkt = pop_error(r, 1, 4, gateway(r));
	assert_true(ipaddr_equal(&pkt.src6, gateway(r)));
	assert_int_equal(get_be16(pkt.payload + IP6_HLEN), GPORT);
	assert_int_equal(get_be16(pkt.payload + IP6_HLEN + 2), port);
	rig_free(r);
}

static void unknown_protocol_is_a_parameter_problem(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_pkt pkt;
	uint8_t buf[256] = { 0 };
	uint32_t at = rig_build_ip6(r, buf, NULL, gateway(r), 132, 12);

	rig_send(r, buf, at + 12, NULL);
	pkt = pop_error(r, 4, 1, gateway(r));
	assert_int_equal(get_be32(pkt.payload - 4), 6); /* the next header field */
	rig_free(r);
}

/* --- services ----------------------------------------------------------------- */

/* A frame to a group, with the MAC address that it has (RFC 2464 section 7). */
static void to_group(uint8_t *frame, const struct ipaddr *src)
{
	frame[0] = frame[1] = 0x33;
	memcpy(frame + 2, frame + ETH_HLEN + 36, 4);
	memcpy(frame + ETH_HLEN + 8, src->b, 16);
	rig_finish(frame, get_be16(frame + ETH_HLEN + 4));
}

static void dhcp6_serves_a_link_local_client(void **state)
{
	(void)state;
	static const uint8_t solicit[] = {
		1, 0xaa, 0xbb, 0xcc, 0, 1, 0, 4, 0, 3, 0, 1, 0, 14, 0, 0,
		0, 3,	 0,    12,   0, 0, 0, 5, 0, 0, 0, 0, 0, 0,  0, 0
	};
	struct rig *r = start();
	struct ipaddr servers = parse("ff02::1:2");
	struct rig_pkt pkt;
	uint8_t buf[256];
	uint32_t len = rig_build_udp6(r, buf, 546, &servers, 547, solicit, sizeof(solicit));

	to_group(buf, &guest_ll);
	rig_send(r, buf, len, NULL);
	rig_cycle(r);
	assert_true(rig_pop(r, &pkt));
	assert_int_equal(pkt.sport, 547);
	assert_int_equal(pkt.dport, 546);
	assert_true(ipaddr_equal(&pkt.dst6, &guest_ll));
	assert_true(ipaddr_is_link_local6(&pkt.src6));
	assert_int_equal(pkt.payload[0], 7); /* rapid commit: REPLY at once */
	assert_memory_equal(pkt.payload + 1, solicit + 1, 3);
	assert_int_equal(COUNT(r, dhcp6_replies), 1);

	/* Not from an address of the prefix, and never longer than a client's message is. */
	to_group(buf, &rig_config(r)->stack.guest6);
	rig_send(r, buf, len, NULL);
	assert_int_equal(rig_drops(r, DROP_DHCP_MALFORMED), 1);
	rig_cycle(r);
	assert_int_equal(rig_pending(r), 0);
	assert_int_equal(rig_allocs(r), 0);
	rig_free(r);
}

static const uint8_t aaaa_query[] = { 0x12, 0x34, 1, 0,	  0,   1,   0,	 0, 0, 0,  0, 0,
				      1,    'a',  4, 't', 'e', 's', 't', 0, 0, 28, 0, 1 };

static bool query_came(int fd, uint8_t *msg, struct sockaddr_in *peer)
{
	socklen_t len = sizeof(*peer);
	ssize_t n = recvfrom(fd, msg, sizeof(aaaa_query), 0, (struct sockaddr *)peer, &len);

	assert_true(n == sizeof(aaaa_query) || (n < 0 && errno == EAGAIN));
	return n > 0;
}

static void dns_answers_at_its_ip6_address(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct sockaddr_in peer;
	struct rig_pkt pkt;
	struct rig *r;
	uint8_t buf[256], msg[64];
	uint16_t port;
	int fd = rig_udp_socket(&port);

	rig_config_defaults(&cfg);
	cfg.stack.ip6 = true;
	cfg.stack.nresolvers = 1;
	cfg.stack.resolvers[0] = (struct endpoint){ ipaddr_from_v4(0x7f000001), port };
	r = rig_new(&cfg);
	rig_send(r, buf,
		 rig_build_udp6(r, buf, GPORT, &cfg.stack.dns6, 53, aaaa_query, sizeof(aaaa_query)),
		 NULL);
	RIG_UNTIL(r, query_came(fd, msg, &peer));
	assert_memory_equal(msg + 2, aaaa_query + 2, sizeof(aaaa_query) - 2);
	msg[2] |= 0x80;
	assert_int_equal(
		sendto(fd, msg, sizeof(aaaa_query), 0, (struct sockaddr *)&peer, sizeof(peer)),
		sizeof(aaaa_query));
	RIG_UNTIL(r, rig_pop(r, &pkt));
	assert_true(ipaddr_equal(&pkt.src6, &cfg.stack.dns6));
	assert_int_equal(pkt.sport, 53);
	assert_int_equal(pkt.dport, GPORT);
	assert_int_equal(get_be16(pkt.payload), 0x1234);
	close(fd);
	rig_free(r);
}

/* RFC 2308 2.2: no error, no data, and the resolver is not troubled. */
static void without_ip6_no_name_has_an_ip6_address(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct rig_pkt pkt;
	struct rig *r;

	rig_config_defaults(&cfg);
	r = rig_new(&cfg);
	rig_send_udp(r, GPORT, cfg.stack.dns4, 53, aaaa_query, sizeof(aaaa_query));
	rig_cycle(r);
	assert_true(rig_pop(r, &pkt));
	assert_int_equal(pkt.payload_len, sizeof(aaaa_query));
	assert_int_equal(get_be16(pkt.payload), 0x1234);
	assert_int_equal(get_be16(pkt.payload + 2), 0x8180);
	assert_int_equal(get_be16(pkt.payload + 4), 1);
	assert_int_equal(get_be32(pkt.payload + 6), 0);
	assert_memory_equal(pkt.payload + 12, aaaa_query + 12, sizeof(aaaa_query) - 12);
	rig_free(r);
}

/* H43: errors about errors, about groups, and without end are not sent. */
static void errors_are_limited(void **state)
{
	(void)state;
	struct rig *r = start();
	struct ipaddr denied = parse("fe80::1");
	struct rig_pkt pkt;
	uint8_t buf[256];
	uint32_t n = 0;

	for (int i = 0; i < 1000; i++)
		rig_send(r, buf, rig_build_udp6(r, buf, GPORT, &denied, 80, "x", 1), NULL);
	rig_cycle(r);
	while (rig_pop(r, &pkt))
		n++;
	assert_int_equal(n, 50);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gateway_and_dns_answer_echo),
		cmocka_unit_test(spoofed_sources_are_dropped),
		cmocka_unit_test(forbidden_destinations_are_refused),
		cmocka_unit_test(mapped_and_group_destinations_go_nowhere),
		cmocka_unit_test(extension_headers_are_stepped_over),
		cmocka_unit_test(extension_headers_that_ask_for_more_are_refused),
		cmocka_unit_test(cut_and_lying_headers_are_dropped),
		cmocka_unit_test(random_frames_do_no_harm),
		cmocka_unit_test(last_hop_is_told_by_the_gateway),
		cmocka_unit_test(tcp_moves_bytes_both_ways_at_any_mtu),
		cmocka_unit_test(tcp_moves_bytes_without_offloads),
		cmocka_unit_test(refused_connection_is_reset),
		cmocka_unit_test(datagrams_pass_both_ways),
		cmocka_unit_test(datagram_without_checksum_is_dropped),
		cmocka_unit_test(closed_port_becomes_port_unreachable),
		cmocka_unit_test(unknown_protocol_is_a_parameter_problem),
		cmocka_unit_test(dhcp6_serves_a_link_local_client),
		cmocka_unit_test(dns_answers_at_its_ip6_address),
		cmocka_unit_test(without_ip6_no_name_has_an_ip6_address),
		cmocka_unit_test(errors_are_limited),
	};

	return cmocka_run_group_tests_name("ip6", tests, NULL, NULL);
}
