/* SPDX-License-Identifier: MIT */
/* Forwards of UDP: every byte both ways, to each peer its own, at every size. */
#include "tests/stack/forward_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/log.h"
#include "tcpstack/limits.h"

#define GPORT	 5300
#define LOOPBACK 0x7f000001U
#define WORLD	 0xc6336400U /* 198.51.100.0/24: this host as well, RFC 5737 */

static void begin(struct rig_config *cfg)
{
	log_set_level(LOG_ERROR);
	rig_config_defaults(cfg);
	cfg->stack.ip6 = true;
	cfg->stack.max_udp = 128;
}

/* One exchange of @len bytes each way. */
static void exchange(struct rig *r, int fd, uint32_t len, uint64_t seed, uint32_t most)
{
	struct rig_pkt pkt;

	fwd_peer_sends(fd, len, seed);
	fwd_guest_gets(r, &pkt, GPORT, len, seed);
	assert_int_equal(pkt.fragments > 1, len > most);
	fwd_guest_answers(r, &pkt, len, seed + 1000);
	fwd_peer_gets(r, fd, len, seed + 1000);
}

static void sizes_pass(const struct rig_config *cfg, const char *spec)
{
	struct rig *r = rig_new(cfg);
	struct forward_info f = fwd_add(r, spec);
	bool v4 = ipaddr_is_v4(&f.bind.addr);
	uint32_t most = cfg->stack.mtu - (v4 ? IP4_HLEN : IP6_HLEN) - UDP_HLEN;
	/* The longest answer that a frame of the guest holds; over IPv4, of all. */
	uint32_t longest = v4 ? 65507 : PORT_FRAME_MAX - ETH_HLEN - IP6_HLEN - UDP_HLEN;
	const uint32_t sizes[] = { 0, 1, 512, most - 1, most, most + 1, 2, 0, 2000, longest, 9 };
	int fd;

	if (!v4)
		fwd_guest_probes(r, &cfg->stack.guest6);
	fd = fwd_peer(&f);
	for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++)
		if (sizes[i] <= longest)
			exchange(r, fd, sizes[i], i, most);
	assert_int_equal(rig_pending(r), 0);
	assert_int_equal(COUNT(r, udp_accepted), 1);
	assert_int_equal(COUNT(r, udp_opened), 0);
	assert_int_equal(fwd_listed(r).accepted, 1);
	assert_int_equal(rig_allocs(r), 0);
	close(fd);
	rig_free(r);
}

/* H58: fragments where the guest's MTU is smaller than what comes. */
static void datagrams_of_every_size_at_every_mtu(void **state)
{
	static const uint16_t mtus[] = { 576, 1280, 1500, 9000, STACK_MTU_MAX };
	struct rig_config cfg;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(mtus); i++) {
		begin(&cfg);
		cfg.stack.mtu = mtus[i];
		sizes_pass(&cfg, "0:5300/udp");
		if (mtus[i] >= STACK_MTU_MIN6)
			sizes_pass(&cfg, "[::1]:0:5300/udp");
	}
}

static void a_driver_without_offloads_gets_whole_checksums(void **state)
{
	struct rig_config cfg;

	(void)state;
	begin(&cfg);
	cfg.caps.rx_csum = false;
	cfg.rx_buf_size = 61; /* the payload begins and ends anywhere */
	cfg.rx_buffers = 8192;
	cfg.tx_pieces = 40;
	sizes_pass(&cfg, "0:5300/udp");
	sizes_pass(&cfg, "[::1]:0:5300/udp");
}

/* The gateway stands for peers on this host; each keeps its port. Over IPv6 as well. */
static void peers_get_their_own_answers(struct rig *r, const struct forward_info *f)
{
	enum { PEERS = 100, ROUNDS = 5 };
	struct rig_pkt pkt[PEERS], one;
	int fd[PEERS];
	uint32_t i;

	for (i = 0; i < PEERS; i++)
		fd[i] = fwd_peer(f);
	for (uint64_t round = 0; round < ROUNDS; round++) {
		/* All ask before any is answered, and are answered in another order. */
		for (i = 0; i < PEERS; i++)
			fwd_peer_sends(fd[i], 100 + i, round * PEERS + i);
		for (i = 0; i < PEERS; i++) {
			fwd_guest_gets(r, &one, GPORT, 100 + i, round * PEERS + i);
			assert_int_equal(one.sport, fwd_port_of(fd[i]));
			pkt[i] = one;
		}
		for (i = PEERS; i-- > 0;)
			fwd_guest_answers(r, &pkt[i], 1000 + i, round * PEERS + i + 7777);
		for (i = 0; i < PEERS; i++)
			fwd_peer_gets(r, fd[i], 1000 + i, round * PEERS + i + 7777);
	}
	assert_int_equal(COUNT(r, udp_active), PEERS);
	assert_int_equal(fwd_listed(r).accepted, PEERS);
	assert_int_equal(rig_allocs(r), 0);
	for (i = 0; i < PEERS; i++)
		close(fd[i]);
	rig_free(r);
}

static void a_hundred_peers_at_once(void **state)
{
	struct forward_info f;
	struct rig_config cfg;
	struct rig *r;

	(void)state;
	begin(&cfg);
	cfg.rx_buffers = 1024;
	r = rig_new(&cfg);
	f = fwd_add(r, "0:5300/udp");
	peers_get_their_own_answers(r, &f);
	r = rig_new(&cfg);
	f = fwd_add(r, "[::1]:0:5300/udp");
	fwd_guest_probes(r, &cfg.stack.guest6);
	peers_get_their_own_answers(r, &f);
}

/* Who has an address that the guest would answer to is known to it by that. */
static void a_peer_of_the_network_keeps_its_address(void **state)
{
	struct forward_info f;
	struct rig_config cfg;
	struct rig_pkt pkt;
	struct rig *r;
	int fd;

	(void)state;
	begin(&cfg);
	r = rig_new(&cfg);
	f = fwd_add(r, "198.51.100.1:0:5300/udp");
	fd = fwd_peer_at(&f, WORLD | 9, 0);
	fwd_peer_sends(fd, 100, 1);
	fwd_guest_gets(r, &pkt, GPORT, 100, 1);
	assert_int_equal(pkt.src, WORLD | 9);
	assert_int_equal(pkt.sport, fwd_port_of(fd));
	fwd_guest_answers(r, &pkt, 200, 2);
	fwd_peer_gets(r, fd, 200, 2);
	close(fd);
	rig_free(r);
}

/*
 * Two addresses of this host that are both the gateway to the guest, with one port
 * number. The second gets another port, and keeps it though its own becomes free.
 */
static void peers_that_look_alike_are_told_apart(void **state)
{
	struct rig_pkt first, second, again;
	struct forward_info f;
	struct rig_config cfg;
	struct rig *r;
	int a, b;

	(void)state;
	begin(&cfg);
	cfg.stack.ip6 = false; /* time passes: no router introduces itself */
	r = rig_new(&cfg);
	f = fwd_add(r, "0:5300/udp");
	a = fwd_peer_at(&f, LOOPBACK, 0);
	b = fwd_peer_at(&f, LOOPBACK + 1, fwd_port_of(a));
	fwd_peer_sends(a, 100, 1);
	fwd_guest_gets(r, &first, GPORT, 100, 1);
	fwd_peer_sends(b, 200, 2);
	fwd_guest_gets(r, &second, GPORT, 200, 2);
	assert_int_equal(first.src, RIG_GATEWAY);
	assert_int_equal(second.src, RIG_GATEWAY);
	assert_int_equal(first.sport, fwd_port_of(a));
	assert_int_not_equal(second.sport, first.sport);
	fwd_guest_answers(r, &second, 20, 3);
	fwd_guest_answers(r, &first, 10, 4);
	fwd_peer_gets(r, a, 10, 4);
	fwd_peer_gets(r, b, 20, 3);

	for (int i = 0; i < 2; i++) {
		rig_advance(r, 100 * NS_PER_S);
		fwd_peer_sends(b, 300, 5);
		fwd_guest_gets(r, &again, GPORT, 300, 5);
		assert_int_equal(again.sport, second.sport);
	}
	assert_int_equal(COUNT(r, udp_active), 1);
	close(a);
	close(b);
	rig_free(r);
}

/* The guest's own flow has the port that the peer would have: neither sees the other's. */
static void a_flow_of_the_guests_own_stays_apart(void **state)
{
	struct forward_info f;
	struct rig_config cfg;
	struct sockaddr_in self;
	socklen_t len = sizeof(self);
	struct rig_pkt pkt, own;
	uint8_t byte = 7, got;
	struct rig *r;
	int fd;

	(void)state;
	begin(&cfg);
	r = rig_new(&cfg);
	f = fwd_add(r, "0:5300/udp");
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	memset(&self, 0, sizeof(self));
	self.sin_family = AF_INET;
	self.sin_addr.s_addr = htonl(LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&self, len), 0);
	rig_send_udp(r, GPORT, RIG_GATEWAY, fwd_port_of(fd), &byte, 1);
	assert_int_equal(recvfrom(fd, &got, 1, 0, (struct sockaddr *)&self, &len), 1);
	assert_int_not_equal(ntohs(self.sin_port), f.bind.port);
	/* It asks by the forward, and answers the guest's question too. */
	self.sin_port = htons(f.bind.port);
	assert_int_equal(sendto(fd, "q", 1, 0, (struct sockaddr *)&self, len), 1);
	RIG_UNTIL(r, rig_pop(r, &pkt));
	assert_int_not_equal(pkt.sport, fwd_port_of(fd));
	fwd_guest_answers(r, &pkt, 50, 1);
	RIG_UNTIL(r, recvfrom(fd, &got, 1, 0, (struct sockaddr *)&self, &len) == 1);
	assert_int_equal(ntohs(self.sin_port), f.bind.port);
	rig_send_udp(r, GPORT, RIG_GATEWAY, fwd_port_of(fd), &byte, 1);
	assert_int_equal(recvfrom(fd, &got, 1, 0, (struct sockaddr *)&self, &len), 1);
	assert_int_not_equal(ntohs(self.sin_port), f.bind.port);
	assert_int_equal(sendto(fd, "a", 1, 0, (struct sockaddr *)&self, len), 1);
	RIG_UNTIL(r, rig_pop(r, &own));
	assert_int_equal(own.sport, fwd_port_of(fd));
	assert_int_equal(own.payload[0], 'a');
	close(fd);
	rig_free(r);
}

/* Ask the forward at @addr; the answer must come from there. */
static uint16_t asked_at(struct rig *r, int fd, const struct ipaddr *addr, uint16_t port)
{
	struct endpoint to = { *addr, port }, from;
	union sockaddr_any sa;
	socklen_t len = endpoint_to_sockaddr(&to, &sa);
	struct rig_pkt pkt;
	uint8_t buf[64];

	assert_int_equal(sendto(fd, "who?", 4, 0, &sa.sa, len), 4);
	RIG_UNTIL(r, rig_pop(r, &pkt));
	fwd_guest_answers(r, &pkt, 40, port);
	len = sizeof(sa);
	assert_int_equal(recvfrom(fd, buf, sizeof(buf), MSG_DONTWAIT, &sa.sa, &len), 40);
	rig_pattern_check(buf, 40, port, 0);
	assert_int_equal(endpoint_from_sockaddr(&sa, &from), 0);
	assert_true(endpoint_equal(&from, &to));
	return pkt.sport;
}

static void answers_leave_from_the_address_that_was_asked(void **state)
{
	const struct ipaddr one = ipaddr_from_v4(LOOPBACK), two = ipaddr_from_v4(LOOPBACK + 4),
			    far = ipaddr_from_v4(WORLD | 3), one6 = { { [15] = 1 } };
	struct forward_info f;
	struct rig_config cfg;
	struct rig *r;
	uint16_t seen;
	int fd;

	(void)state;
	begin(&cfg);
	r = rig_new(&cfg);
	f = fwd_add(r, "0.0.0.0:0:5300/udp");
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	seen = asked_at(r, fd, &one, f.bind.port);
	/* To two of our addresses it is two peers, each time the same. */
	assert_int_not_equal(asked_at(r, fd, &two, f.bind.port), seen);
	assert_int_equal(asked_at(r, fd, &one, f.bind.port), seen);
	asked_at(r, fd, &far, f.bind.port);
	assert_int_equal(fwd_listed(r).accepted, 3);
	close(fd);
	rig_free(r);

	r = rig_new(&cfg);
	f = fwd_add(r, "[::]:0:5300/udp");
	fwd_guest_probes(r, &cfg.stack.guest6);
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	asked_at(r, fd, &one6, f.bind.port);
	close(fd);
	rig_free(r);
}

/* A router between them takes one off what the guest has set. */
static void the_guests_ttl_is_kept(void **state)
{
	struct forward_info f;
	struct rig_config cfg;
	union {
		struct cmsghdr hdr;
		char space[64];
	} control;
	uint8_t frame[128], buf[8];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct rig_pkt pkt;
	struct rig *r;
	uint32_t len;
	int fd, ttl, one = 1;

	(void)state;
	begin(&cfg);
	r = rig_new(&cfg);
	f = fwd_add(r, "0.0.0.0:0:5300/udp");
	f.bind.addr = ipaddr_from_v4(WORLD | 1);
	fd = fwd_peer_at(&f, WORLD | 9, 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &one, sizeof(one)), 0);
	fwd_peer_sends(fd, 10, 1);
	fwd_guest_gets(r, &pkt, GPORT, 10, 1);
	len = rig_build_udp(r, frame, GPORT, pkt.src, pkt.sport, "x", 1);
	frame[ETH_HLEN + 8] = 10;
	put_be16(frame + ETH_HLEN + 10, 0);
	put_be16(frame + ETH_HLEN + 10, csum_fold(csum_add(0, frame + ETH_HLEN, IP4_HLEN)));
	rig_send(r, frame, len, NULL);
	assert_int_equal(recvmsg(fd, &msg, MSG_DONTWAIT), 1);
	assert_int_equal(CMSG_FIRSTHDR(&msg)->cmsg_type, IP_TTL);
	memcpy(&ttl, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(ttl));
	assert_int_equal(ttl, 9);
	close(fd);
	rig_free(r);
}

/* H14: peers meet a full ring, beside a flow of the guest's; after refills all arrives. */
static void a_starved_ring_serves_forwards_and_flows(void **state)
{
	enum { PEERS = 3, EACH = 50, LEN = 300, OWN = 7 };
	uint32_t seen[PEERS + 1] = { 0 }, got = 0;
	struct sockaddr_in peer;
	struct forward_info f;
	struct rig_config cfg;
	struct rig_pkt pkt;
	socklen_t len = sizeof(peer);
	uint8_t buf[LEN];
	struct rig *r;
	uint16_t port;
	int fd[PEERS], server = rig_udp_socket(&port);

	(void)state;
	begin(&cfg);
	cfg.rx_buffers = 8;
	cfg.auto_refill = false;
	r = rig_new(&cfg);
	f = fwd_add(r, "0:5300/udp");
	rig_send_udp(r, GPORT, RIG_GATEWAY, port, "x", 1);
	assert_int_equal(recvfrom(server, buf, 1, 0, (struct sockaddr *)&peer, &len), 1);
	for (uint32_t p = 0; p < PEERS; p++) {
		fd[p] = fwd_peer(&f);
		for (uint32_t i = 0; i < EACH; i++)
			fwd_peer_sends(fd[p], LEN, p * 1000 + i);
	}
	for (uint32_t i = 0; i < EACH; i++) {
		rig_pattern(buf, LEN, OWN * 1000 + i, 0);
		assert_int_equal(sendto(server, buf, LEN, 0, (struct sockaddr *)&peer, len), LEN);
	}
	while (got < (PEERS + 1) * EACH) {
		uint32_t p = 0;

		if (!rig_pop(r, &pkt)) {
			rig_refill(r, 3);
			rig_cycle(r);
			continue;
		}
		while (p < PEERS && fwd_port_of(fd[p]) != pkt.sport)
			p++;
		assert_int_equal(pkt.payload_len, LEN);
		rig_pattern_check(pkt.payload, LEN, (p < PEERS ? p : OWN) * 1000 + seen[p], 0);
		seen[p]++;
		got++;
		/* Neither kind waits until the other has nothing left. */
		if (got == (PEERS + 1) * EACH / 2)
			assert_true(seen[PEERS] > 0 && seen[PEERS] < got);
	}
	assert_int_equal(rig_drops(r, DROP_RX_NO_BUFFER), 0);
	for (uint32_t p = 0; p < PEERS; p++)
		close(fd[p]);
	close(server);
	rig_free(r);
}

/*
 * More than one cycle takes: the rest makes the next wait return at once. The forward's
 * socket has to hold all of it: 555 where the kernel grants no more than 208 KiB.
 */
static void a_flood_beyond_a_cycles_budget_goes_on_by_itself(void **state)
{
	enum { PEERS = 4, EACH = 135, LEN = 8 };
	uint32_t seen[PEERS] = { 0 }, first;
	struct forward_info f;
	struct rig_config cfg;
	struct rig_pkt pkt;
	struct pollfd p;
	struct rig *r;
	int fd[PEERS];

	(void)state;
	static_assert(PEERS * EACH > LIMIT_UDP_PER_CYCLE, "more than a cycle takes");
	begin(&cfg);
	cfg.rx_buffers = 1024;
	cfg.auto_refill = false;
	cfg.stack.rcvbuf = 1 << 20;
	r = rig_new(&cfg);
	f = fwd_add(r, "0:5300/udp");
	p = (struct pollfd){ .fd = loop_fd(stack_loop(rig_stack(r))), .events = POLLIN };
	for (uint32_t i = 0; i < PEERS; i++)
		fd[i] = fwd_peer(&f);
	for (uint32_t i = 0; i < EACH; i++)
		for (uint32_t k = 0; k < PEERS; k++)
			fwd_peer_sends(fd[k], LEN, k * 1000 + i);
	rig_cycle(r);
	first = rig_pending(r);
	assert_in_range(first, 100, PEERS * EACH - 1);
	assert_int_equal(poll(&p, 1, 0), 1);
	rig_cycle(r);
	assert_int_equal(rig_pending(r), PEERS * EACH);
	for (uint32_t i = 0; i < PEERS * EACH; i++) {
		uint32_t k = 0;

		assert_true(rig_pop(r, &pkt));
		while (fwd_port_of(fd[k]) != pkt.sport)
			k++;
		rig_pattern_check(pkt.payload, LEN, k * 1000 + seen[k]++, 0);
	}
	for (uint32_t i = 0; i < PEERS; i++)
		close(fd[i]);
	rig_free(r);
}

static void a_burst_of_mixed_sizes_keeps_order_and_bytes(void **state)
{
	/* Longer than what came before in the middle of a batch, again and again. */
	static const uint32_t sizes[] = { 5, 1000, 3000, 7, 0, 8972, 64, 9500, 31, 2000 };
	struct forward_info f;
	struct rig_config cfg;
	struct rig_pkt pkt;
	struct rig *r;
	int a, b;

	(void)state;
	begin(&cfg);
	cfg.stack.mtu = 9000;
	r = rig_new(&cfg);
	f = fwd_add(r, "0:5300/udp");
	a = fwd_peer(&f);
	b = fwd_peer(&f);
	for (uint32_t round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++)
			fwd_peer_sends(i & 1 ? a : b, sizes[i], round * 16 + i);
		for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			fwd_guest_gets(r, &pkt, GPORT, sizes[i], round * 16 + i);
			assert_int_equal(pkt.sport, fwd_port_of(i & 1 ? a : b));
		}
	}
	assert_int_equal(rig_allocs(r), 0);
	close(a);
	close(b);
	rig_free(r);
}

static void an_exchange_costs_few_system_calls(void **state)
{
	struct fwd_pair p;
	struct rig_config cfg;
	struct rig_pkt pkt;
	uint64_t before;

	(void)state;
	begin(&cfg);
	fwd_open(&p, &cfg, "0:5300/udp");
	exchange(p.r, p.fd, 100, 1, 1472);
	rig_cycle(p.r);
	before = COUNT(p.r, syscalls);
	fwd_peer_sends(p.fd, 100, 2);
	rig_cycle(p.r);
	assert_true(rig_pop(p.r, &pkt));
	fwd_guest_answers(p.r, &pkt, 100, 3);
	/* The cycle's wait, one receive, one send: as a flow of the guest's own. */
	assert_int_equal(COUNT(p.r, syscalls) - before, 3);
	/* A second peer costs neither a socket nor a call more. */
	close(p.fd);
	p.fd = fwd_peer(&p.f);
	before = COUNT(p.r, syscalls);
	fwd_peer_sends(p.fd, 100, 4);
	rig_cycle(p.r);
	assert_int_equal(COUNT(p.r, syscalls) - before, 2);
	/* H43: quiet, it makes no work. */
	before = COUNT(p.r, syscalls);
	for (int i = 0; i < 20; i++)
		rig_cycle(p.r);
	assert_int_equal(COUNT(p.r, syscalls) - before, 20);
	fwd_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(datagrams_of_every_size_at_every_mtu),
		cmocka_unit_test(a_driver_without_offloads_gets_whole_checksums),
		cmocka_unit_test(a_hundred_peers_at_once),
		cmocka_unit_test(a_peer_of_the_network_keeps_its_address),
		cmocka_unit_test(peers_that_look_alike_are_told_apart),
		cmocka_unit_test(a_flow_of_the_guests_own_stays_apart),
		cmocka_unit_test(answers_leave_from_the_address_that_was_asked),
		cmocka_unit_test(the_guests_ttl_is_kept),
		cmocka_unit_test(a_starved_ring_serves_forwards_and_flows),
		cmocka_unit_test(a_flood_beyond_a_cycles_budget_goes_on_by_itself),
		cmocka_unit_test(a_burst_of_mixed_sizes_keeps_order_and_bytes),
		cmocka_unit_test(an_exchange_costs_few_system_calls),
	};
	uint32_t world = WORLD | 1;

	if (!rig_own_network(&world, 1)) {
		print_message("SKIP: no network namespace: %s\n", strerror(errno));
		return 0;
	}
	return cmocka_run_group_tests_name("forward_udp", tests, NULL, NULL);
}
