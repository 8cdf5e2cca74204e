/* SPDX-License-Identifier: MIT */
/*
 * Datagrams that travel as one: cut from a guest's frame by the host, or put together
 * by the host for a guest that cuts them itself. What either end sees is datagrams, of
 * the same lengths and bytes as without.
 */
#include "tests/stack/forward_rig.h"
#include "tests/stack/udp_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/udp.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/log.h"

/* The host's link: what it cuts into segments has to fit. */
#define LINK_MTU 1500

static uint8_t data[65536];

static void begin(struct rig_config *cfg)
{
	log_set_level(LOG_ERROR);
	rig_config_defaults(cfg);
	cfg->caps.rx_uso4 = cfg->caps.rx_uso6 = true;
	cfg->rx_buffers = 1024;
}

/* --- host to guest ------------------------------------------------------------ */

/* @len bytes of @seed's pattern in datagrams of @segment: one call of the host's. */
static void sends_as_one(int fd, const struct sockaddr_in *to, uint32_t len, uint16_t segment,
			 uint64_t seed)
{
	struct iovec iov = { data, len };
	union {
		struct cmsghdr hdr;
		char space[CMSG_SPACE(sizeof(uint16_t))];
	} control = { .hdr = { .cmsg_level = IPPROTO_UDP,
			       .cmsg_type = UDP_SEGMENT,
			       .cmsg_len = CMSG_LEN(sizeof(uint16_t)) } };
	struct msghdr msg = { .msg_name = (void *)(uintptr_t)to,
			      .msg_namelen = to ? sizeof(*to) : 0,
			      .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };

	rig_pattern(data, len, seed, 0);
	memcpy(CMSG_DATA(&control.hdr), &segment, sizeof(segment));
	assert_int_equal(sendmsg(fd, &msg, 0), len);
}

/*
 * Cycle until the guest has the same datagrams, however many came in one frame.
 * Return: frames of more than one
 */
static uint32_t guest_gets_all(struct rig *r, uint16_t dport, uint32_t len, uint32_t segment,
			       uint64_t seed)
{
	uint32_t supers = 0;

	for (uint32_t at = 0; at < len;) {
		struct rig_pkt pkt;
		uint32_t size;

		RIG_UNTIL(r, rig_pop(r, &pkt));
		assert_int_equal(pkt.proto, PROTO_UDP);
		assert_int_equal(pkt.dport, dport);
		size = pkt.off.gso == GSO_UDP_L4 ? pkt.off.gso_size : pkt.payload_len;
		/* All are whole; only the last may be short, in its frame and of all. */
		assert_int_equal(size, MIN(segment, len - at));
		assert_true(pkt.payload_len % segment == 0 || at + pkt.payload_len == len);
		rig_pattern_check(pkt.payload, pkt.payload_len, seed, at);
		supers += pkt.off.gso == GSO_UDP_L4;
		at += pkt.payload_len;
	}
	return supers;
}

static const struct burst {
	uint32_t len, segment;
} bursts[] = {
	{ 20000, 1000 }, { 20300, 1000 }, { 1, 1000 },	  { 60000, 1472 },   { 1473, 1472 },
	{ 640, 10 },	 { 641, 641 },	  { 5000, 1200 }, { 64 * 900, 900 }, { 2, 1 },
};

static void bursts_reach_the_guest_as_they_were(void **state)
{
	struct rig_config cfg;
	uint32_t supers = 0, datagrams = 0;
	uint64_t before;
	struct udp_pair u;

	(void)state;
	begin(&cfg);
	udp_open(&u, &cfg);
	for (uint32_t round = 0; round < 3; round++)
		for (uint32_t i = 0; i < ARRAY_SIZE(bursts); i++) {
			const struct burst *b = &bursts[i];

			sends_as_one(u.fd, &u.peer, b->len, (uint16_t)b->segment, i);
			supers += guest_gets_all(u.r, GPORT, b->len, b->segment, i);
			datagrams += (b->len + b->segment - 1) / b->segment;
		}
	assert_true(supers >= 2 * ARRAY_SIZE(bursts) / 2);
	assert_int_equal(COUNT(u.r, udp_rx), datagrams);

	/* Several bursts at once: the few calls that they take. */
	before = COUNT(u.r, syscalls);
	for (uint32_t i = 0; i < 2; i++)
		sends_as_one(u.fd, &u.peer, 40000, 1000, i);
	rig_cycle(u.r);
	assert_true(COUNT(u.r, syscalls) - before <= 4);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(guest_gets_all(u.r, GPORT, 40000, 1000, i), 1);
	assert_int_equal(rig_allocs(u.r), 0);
	udp_end(&u);
}

/* Bursts, single datagrams and empty ones in any order; one by one what is not a burst. */
static void bursts_and_single_datagrams_keep_their_order(void **state)
{
	struct rig_config cfg;
	struct udp_pair u;

	(void)state;
	begin(&cfg);
	udp_open(&u, &cfg);
	for (uint32_t round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < ARRAY_SIZE(bursts); i++) {
			udp_server_sends(u.fd, &u.peer, 100 * i, i);
			sends_as_one(u.fd, &u.peer, bursts[i].len / 2 + 1, 700, 50 + i);
		}
		for (uint32_t i = 0; i < ARRAY_SIZE(bursts); i++) {
			udp_guest_gets(u.r, u.port, GPORT, 100 * i, i);
			guest_gets_all(u.r, GPORT, bursts[i].len / 2 + 1, 700, 50 + i);
		}
	}
	/* Beyond its MTU, in fragments as ever. */
	udp_server_sends(u.fd, &u.peer, 60000, 9);
	assert_true(udp_guest_gets(u.r, u.port, GPORT, 60000, 9).fragments > 1);
	udp_end(&u);
}

/* The guest's MTU is smaller than what the host's network carries. */
static void segments_beyond_the_mtu_are_taken_apart(void **state)
{
	struct rig_config cfg;
	struct udp_pair u;

	(void)state;
	begin(&cfg);
	cfg.stack.mtu = 900;
	udp_open(&u, &cfg);
	for (uint32_t round = 0; round < 3; round++) {
		sends_as_one(u.fd, &u.peer, 16000, 800, round);
		guest_gets_all(u.r, GPORT, 16000, 800, round);
		sends_as_one(u.fd, &u.peer, 20200, 1000, round);
		assert_int_equal(guest_gets_all(u.r, GPORT, 20200, 1000, round), 0);
	}
	udp_end(&u);
}

/* H14, H17: little room, and then a driver that takes no such frames. */
static void a_starved_ring_and_another_driver(void **state)
{
	struct rig_config cfg;
	struct udp_pair u;

	(void)state;
	begin(&cfg);
	cfg.rx_buffers = 20;
	udp_open(&u, &cfg);
	for (uint64_t i = 0; i < 3; i++) {
		sends_as_one(u.fd, &u.peer, 60000, 1000, i);
		guest_gets_all(u.r, GPORT, 60000, 1000, i);
	}
	rig_detach(u.r);
	((struct rig_config *)(uintptr_t)rig_config(u.r))->caps.rx_uso4 = false;
	sends_as_one(u.fd, &u.peer, 30500, 1000, 7);
	rig_attach(u.r);
	assert_int_equal(guest_gets_all(u.r, GPORT, 30500, 1000, 7), 0);
	sends_as_one(u.fd, &u.peer, 30500, 1000, 8);
	assert_int_equal(guest_gets_all(u.r, GPORT, 30500, 1000, 8), 0);
	assert_int_equal(rig_drops(u.r, DROP_RX_TOO_BIG), 0);
	udp_end(&u);
}

static void bursts_pass_a_forward_both_ways(void **state)
{
	struct forward_info f;
	struct rig_config cfg;
	struct rig_pkt pkt;
	uint32_t supers = 0;
	struct rig *r;
	int fd[2];

	(void)state;
	begin(&cfg);
	r = rig_new(&cfg);
	f = fwd_add(r, "0:5300/udp");
	for (uint64_t i = 0; i < 2; i++) {
		fd[i] = fwd_peer(&f);
		fwd_peer_sends(fd[i], 10, i);
		fwd_guest_gets(r, &pkt, 5300, 10, i);
	}
	for (uint64_t round = 0; round < 4; round++) {
		for (uint64_t i = 0; i < 2; i++)
			sends_as_one(fd[i], NULL, 30100, 1000, round * 2 + i);
		for (uint64_t i = 0; i < 2; i++)
			supers += guest_gets_all(r, 5300, 30100, 1000, round * 2 + i);
	}
	assert_true(supers >= 4);
	close(fd[0]);
	close(fd[1]);
	rig_free(r);
}

/* --- guest to host ------------------------------------------------------------ */

/* One frame of @len bytes, to be cut into datagrams of @segment. */
static void guest_sends_as_one(struct rig *r, uint16_t sport, uint16_t dport, uint32_t len,
			       uint32_t segment, uint64_t seed)
{
	static uint8_t frame[PORT_FRAME_MAX];
	struct offload off = { .gso = GSO_UDP_L4,
			       .gso_size = (uint16_t)segment,
			       .needs_csum = true,
			       .csum_start = ETH_HLEN + IP4_HLEN,
			       .csum_offset = 6 };

	rig_pattern(data, len, seed, 0);
	assert_int_equal(
		rig_send(r, frame, rig_build_udp(r, frame, sport, GATEWAY, dport, data, len), &off),
		TX_DONE);
}

static void server_gets_all(struct rig *r, int fd, uint32_t len, uint32_t segment, uint64_t seed)
{
	struct sockaddr_in peer;
	uint32_t at = 0;
	ssize_t n;

	do {
		RIG_UNTIL(r, udp_try_receive(fd, &peer, &n));
		assert_int_equal(n, MIN(segment, len - at));
		rig_pattern_check(udp_in, (size_t)n, seed, at);
		at += segment;
	} while (at < len);
}

static void frames_are_cut_by_the_host(void **state)
{
	struct rig_config cfg;
	uint32_t datagrams = 0;
	uint64_t before;
	struct udp_pair u;

	(void)state;
	begin(&cfg);
	udp_start(&u, &cfg);
	guest_sends_as_one(u.r, GPORT, u.port, 100, 100, 1);
	server_gets_all(u.r, u.fd, 100, 100, 1);
	for (uint32_t i = 0; i < ARRAY_SIZE(bursts); i++) {
		before = COUNT(u.r, syscalls);
		guest_sends_as_one(u.r, GPORT, u.port, bursts[i].len, bursts[i].segment, i);
		assert_int_equal(COUNT(u.r, syscalls) - before, 1);
		server_gets_all(u.r, u.fd, bursts[i].len, bursts[i].segment, i);
		datagrams += (bursts[i].len + bursts[i].segment - 1) / bursts[i].segment;
	}
	assert_int_equal(COUNT(u.r, udp_tx), datagrams + 1);
	/* An empty one is one. */
	guest_sends_as_one(u.r, GPORT, u.port, 0, 1000, 1);
	server_gets_all(u.r, u.fd, 0, 1000, 1);
	assert_int_equal(rig_drops(u.r, DROP_UDP_SEND), 0);
	assert_int_equal(rig_allocs(u.r), 0);
	udp_end(&u);
}

/* The guest's MTU is larger than that of the host's route: Linux does not cut those. */
static void what_the_host_does_not_cut_goes_one_by_one(void **state)
{
	struct rig_config cfg;
	struct udp_pair u;

	(void)state;
	begin(&cfg);
	cfg.stack.mtu = 9000;
	udp_start(&u, &cfg);
	for (uint64_t i = 0; i < 3; i++) {
		guest_sends_as_one(u.r, GPORT, u.port, 41000, 8000, i);
		server_gets_all(u.r, u.fd, 41000, 8000, i);
	}
	assert_int_equal(rig_drops(u.r, DROP_UDP_SEND), 0);
	assert_int_equal(COUNT(u.r, udp_tx), 18);
	/* A hundred of them: more than some kernels cut. */
	guest_sends_as_one(u.r, GPORT + 1, u.port, 1000, 10, 9);
	server_gets_all(u.r, u.fd, 1000, 10, 9);
	udp_end(&u);
}

/* A frame must not cost thousands of sends. */
static void frames_of_too_many_datagrams_are_refused(void **state)
{
	struct rig_config cfg;
	struct udp_pair u;

	(void)state;
	begin(&cfg);
	udp_start(&u, &cfg);
	guest_sends_as_one(u.r, GPORT, u.port, 129, 1, 1);
	guest_sends_as_one(u.r, GPORT, u.port, 60000, 1, 1);
	assert_int_equal(rig_drops(u.r, DROP_OFFLOAD), 2);
	guest_sends_as_one(u.r, GPORT, u.port, 128, 1, 2);
	server_gets_all(u.r, u.fd, 128, 1, 2);
	udp_end(&u);
}

static void a_closed_port_is_told_of_frames_too(void **state)
{
	struct rig_config cfg;
	struct rig_pkt pkt;
	struct rig *r;
	uint16_t port;

	(void)state;
	begin(&cfg);
	r = rig_new(&cfg);
	close(rig_udp_socket(&port));
	for (int i = 0; i < 3; i++) {
		guest_sends_as_one(r, GPORT, port, 5000, 1000, 1);
		RIG_UNTIL(r, rig_pop(r, &pkt));
		assert_int_equal(pkt.proto, PROTO_ICMP);
		assert_int_equal(pkt.icmp_code, 3);
	}
	rig_free(r);
}

static void answers_through_a_forward_are_cut_too(void **state)
{
	struct forward_info f;
	struct rig_config cfg;
	struct rig_pkt pkt;
	struct rig *r;
	int fd;

	(void)state;
	begin(&cfg);
	r = rig_new(&cfg);
	f = fwd_add(r, "0.0.0.0:0:5300/udp");
	fd = fwd_peer_at(&f, LOOPBACK, 0);
	for (uint64_t i = 0; i < 3; i++) {
		fwd_peer_sends(fd, 10, i);
		fwd_guest_gets(r, &pkt, 5300, 10, i);
		guest_sends_as_one(r, 5300, pkt.sport, 20300, i == 2 ? 4000 : 1000, i);
		server_gets_all(r, fd, 20300, i == 2 ? 4000 : 1000, i);
	}
	close(fd);
	rig_free(r);
}

static bool small_link(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_mtu = LINK_MTU };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && ioctl(fd, SIOCSIFMTU, &ifr) == 0;

	close(fd);
	return ok;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bursts_reach_the_guest_as_they_were),
		cmocka_unit_test(bursts_and_single_datagrams_keep_their_order),
		cmocka_unit_test(segments_beyond_the_mtu_are_taken_apart),
		cmocka_unit_test(a_starved_ring_and_another_driver),
		cmocka_unit_test(bursts_pass_a_forward_both_ways),
		cmocka_unit_test(frames_are_cut_by_the_host),
		cmocka_unit_test(what_the_host_does_not_cut_goes_one_by_one),
		cmocka_unit_test(frames_of_too_many_datagrams_are_refused),
		cmocka_unit_test(a_closed_port_is_told_of_frames_too),
		cmocka_unit_test(answers_through_a_forward_are_cut_too),
	};

	if (!rig_own_network(NULL, 0) || !small_link()) {
		print_message("SKIP: no network namespace: %s\n", strerror(errno));
		return 0;
	}
	return cmocka_run_group_tests_name("udp_gso", tests, NULL, NULL);
}
