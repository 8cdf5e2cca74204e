/* SPDX-License-Identifier: MIT */
/*
 * What the host's network says of the guest's datagrams. The "network" is a TUN
 * device in a network namespace of the test's own: the test reads what the host
 * sends there and answers as a router would. Skipped without root or TUN.
 */
#include "tests/stack/rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "src/base/base.h"

/* TEST-NET-2 and documentation addresses (RFC 5737, RFC 3849): all behind the TUN. */
#define SELF   0xc6336401U /* 198.51.100.1, the host */
#define FAR    0xc6336409U
#define ROUTER 0xc633644dU
#define GPORT  40000
#define DPORT  33434

static const struct ipaddr self6 = { { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } };
static const struct ipaddr far6 = { { 0x20, 0x01, 0x0d, 0xb8, [15] = 9 } };
static const struct ipaddr router6 = { { 0x20, 0x01, 0x0d, 0xb8, [15] = 0x77 } };

static const char *skip_why;
static int tun = -1;

/* What the host has sent into the network last, from its IP header. */
static uint8_t sent[70000];
static uint32_t sent_len;

static int bring_up(int fd, const char *ifname)
{
	struct ifreq ifr = { .ifr_flags = IFF_UP | IFF_RUNNING };

	strcpy(ifr.ifr_name, ifname);
	return ioctl(fd, SIOCSIFFLAGS, &ifr);
}

static int set_address4(int fd)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(SELF) };
	struct ifreq ifr = { 0 };

	strcpy(ifr.ifr_name, "net0");
	memcpy(&ifr.ifr_addr, &sin, sizeof(sin));
	if (ioctl(fd, SIOCSIFADDR, &ifr))
		return -1;
	sin.sin_addr.s_addr = htonl(0xffffff00);
	memcpy(&ifr.ifr_netmask, &sin, sizeof(sin));
	return ioctl(fd, SIOCSIFNETMASK, &ifr);
}

static int set_address6(void)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;
	struct in6_ifreq req = { .ifr6_prefixlen = 64,
				 .ifr6_ifindex = (int)if_nametoindex("net0") };

	if (fd < 0)
		return -1;
	memcpy(&req.ifr6_addr, self6.b, 16);
	rc = ioctl(fd, SIOCSIFADDR, &req);
	close(fd);
	return rc;
}

/* An address is of use once the kernel has made sure of it, a moment after it was set. */
static int wait_address6(void)
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 };
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;
	uint64_t since = clock_now_ns();

	memcpy(&sin6.sin6_addr, self6.b, 16);
	do {
		rc = bind(fd, (struct sockaddr *)&sin6, sizeof(sin6));
	} while (rc && clock_now_ns() - since < RIG_PATIENCE_MS * NS_PER_MS && !poll(NULL, 0, 1));
	close(fd);
	return rc;
}

/* NULL when the network is there, else what is missing. */
static const char *make_network(void)
{
	struct ifreq ifr = { .ifr_name = "net0", .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd, rc;

	if (unshare(CLONE_NEWNET))
		return "cannot make a network namespace (needs root)";
	tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (tun < 0 || ioctl(tun, TUNSETIFF, &ifr))
		return "no TUN device";
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return "no socket in the new network namespace";
	rc = bring_up(fd, "lo") || set_address4(fd) || bring_up(fd, "net0") || set_address6() ||
	     wait_address6();
	close(fd);
	if (rc)
		return "cannot set the TUN device up (no IPv6?)";
	if (rig_write_file("/proc/sys/net/ipv4/ping_group_range", "0 2147483647\n"))
		return "cannot write net.ipv4.ping_group_range";
	return NULL;
}

static struct rig *start(void)
{
	struct rig_config cfg;
	struct rig_pkt pkt;
	struct rig *r;

	if (skip_why)
		skip();
	rig_config_defaults(&cfg);
	cfg.stack.ip6 = true;
	cfg.stack.mtu = 9000;
	r = rig_new(&cfg);
	rig_advance(r, NS_PER_S); /* the router advertisement of the start */
	while (rig_pop(r, &pkt))
		;
	return r;
}

/* A packet of protocol @proto has left the host; what else it says (neighbours) is passed over. */
static bool host_sends(uint8_t proto)
{
	ssize_t n;

	while ((n = read(tun, sent, sizeof(sent))) > 0) {
		uint8_t p = sent[0] >> 4 == 4 ? sent[9] : sent[6];
		bool multicast = sent[0] >> 4 == 6 && sent[24] == 0xff;

		sent_len = (uint32_t)n;
		if (p == proto && !multicast)
			return true;
	}
	assert_int_equal(errno, EAGAIN);
	return false;
}

static uint16_t ones(const uint8_t *p, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i++)
		sum += (i & 1) ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)~sum;
}

/* The router at @from sends an ICMP error about the packet in sent[]. */
static void router_says(uint8_t type, uint8_t code, uint32_t info)
{
	uint8_t pkt[1280] = { 0 }, *icmp;
	uint32_t quoted, len;
	bool v4 = sent[0] >> 4 == 4;

	quoted = MIN(sent_len, v4 ? 28U : 1000U);
	len = 8 + quoted;
	icmp = pkt + (v4 ? 20 : 40);
	icmp[0] = type;
	icmp[1] = code;
	put_be32(icmp + 4, info);
	memcpy(icmp + 8, sent, quoted);
	if (v4) {
		pkt[0] = 0x45;
		put_be16(pkt + 2, (uint16_t)(20 + len));
		pkt[8] = 64;
		pkt[9] = PROTO_ICMP;
		put_be32(pkt + 12, ROUTER);
		put_be32(pkt + 16, SELF);
		put_be16(pkt + 10, ones(pkt, 20, 0));
		put_be16(icmp + 2, ones(icmp, len, 0));
		assert_int_equal(write(tun, pkt, 20 + len), 20 + len);
	} else {
		put_be32(pkt, 6U << 28);
		put_be16(pkt + 4, (uint16_t)len);
		pkt[6] = PROTO_ICMP6;
		pkt[7] = 64;
		memcpy(pkt + 8, router6.b, 16);
		memcpy(pkt + 24, self6.b, 16);
		put_be16(icmp + 2,
			 ones(icmp, len,
			      (uint32_t)(uint16_t)~ones(pkt + 8, 32, 0) + PROTO_ICMP6 + len));
		assert_int_equal(write(tun, pkt, 40 + len), 40 + len);
	}
}

/* The guest sends a datagram of @len bytes with @ttl; the host has sent it on. */
static void guest_sends(struct rig *r, bool v4, uint16_t dport, uint8_t ttl, uint32_t len)
{
	static uint8_t frame[10000], data[9000];
	uint32_t n;

	if (v4) {
		n = rig_build_udp(r, frame, GPORT, FAR, dport, data, len);
		frame[ETH_HLEN + 8] = ttl;
		put_be16(frame + ETH_HLEN + 10, 0);
		put_be16(frame + ETH_HLEN + 10, ones(frame + ETH_HLEN, 20, 0));
	} else {
		n = rig_build_udp6(r, frame, GPORT, &far6, dport, data, len);
		frame[ETH_HLEN + 7] = ttl;
	}
	rig_send(r, frame, n, NULL);
	RIG_UNTIL(r, host_sends(PROTO_UDP));
}

/* The guest gets an error from the router, about its own packet to the port @dport. */
static void guest_hears(struct rig *r, bool v4, uint16_t dport, uint8_t type, uint8_t code,
			uint32_t info)
{
	const struct stack_config *cfg = &rig_config(r)->stack;
	struct rig_pkt pkt;
	const uint8_t *l4;

	RIG_UNTIL(r, rig_pop(r, &pkt));
	assert_int_equal(pkt.proto, v4 ? PROTO_ICMP : PROTO_ICMP6);
	assert_int_equal(pkt.icmp_type, type);
	assert_int_equal(pkt.icmp_code, code);
	assert_int_equal(get_be32(pkt.payload - 4), info);
	if (v4) {
		assert_int_equal(pkt.src, ROUTER);
		assert_int_equal(get_be32(pkt.payload + 12), cfg->guest4);
		assert_int_equal(get_be32(pkt.payload + 16), FAR);
		assert_int_equal(pkt.payload[9], PROTO_UDP);
	} else {
		assert_true(ipaddr_equal(&pkt.src6, &router6));
		assert_memory_equal(pkt.payload + 8, cfg->guest6.b, 16);
		assert_memory_equal(pkt.payload + 24, far6.b, 16);
		assert_int_equal(pkt.payload[6], PROTO_UDP);
	}
	l4 = pkt.payload + (v4 ? IP4_HLEN : IP6_HLEN);
	assert_int_equal(get_be16(l4), GPORT);
	assert_int_equal(get_be16(l4 + 2), dport);
	rig_cycle(r);
	assert_int_equal(rig_pending(r), 0); /* and once only */
}

/* As traceroute does it: a port and a hop more for each probe. */
static void traceroute_sees_the_routers_behind_us(void **state)
{
	(void)state;
	struct rig *r = start();

	for (int v4 = 0; v4 < 2; v4++) {
		for (uint8_t ttl = 2; ttl < 12; ttl++) {
			guest_sends(r, v4, DPORT + ttl, ttl, 32);
			assert_int_equal(sent[v4 ? 8 : 7], ttl - 1);
			router_says(v4 ? 11 : 3, 0, 0);
			guest_hears(r, v4, DPORT + ttl, v4 ? 11 : 3, 0, 0);
		}
		rig_advance(r, NS_PER_S); /* errors are rate-limited */
	}
	assert_int_equal(COUNT(r, icmp_errors), 20);
	assert_int_equal(rig_allocs(r), 0);
	rig_free(r);
}

static void one_flow_follows_the_guests_ttl(void **state)
{
	(void)state;
	static const uint8_t ttls[] = { 64, 5, 5, 200, 64, 2 };
	struct rig *r = start();

	for (int v4 = 0; v4 < 2; v4++) {
		for (size_t i = 0; i < ARRAY_SIZE(ttls); i++) {
			guest_sends(r, v4, DPORT, ttls[i], 32);
			/* A guest with the usual TTL leaves the host's as it is. */
			assert_int_equal(sent[v4 ? 8 : 7], i == 0 ? 64 : ttls[i] - 1);
		}
	}
	rig_free(r);
}

static void unreachables_pass_with_their_codes(void **state)
{
	(void)state;
	static const uint8_t codes4[] = { 0, 1, 3, 9, 10, 13 }, codes6[] = { 0, 1, 3, 4 };
	struct rig *r = start();

	for (size_t i = 0; i < ARRAY_SIZE(codes4); i++) {
		guest_sends(r, true, DPORT, 64, 100);
		router_says(3, codes4[i], 0);
		guest_hears(r, true, DPORT, 3, codes4[i], 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(codes6); i++) {
		guest_sends(r, false, DPORT, 64, 100);
		router_says(1, codes6[i], 0);
		guest_hears(r, false, DPORT, 1, codes6[i], 0);
	}
	/* The flow has outlived it all. */
	guest_sends(r, true, DPORT, 64, 100);
	guest_sends(r, false, DPORT, 64, 100);
	assert_int_equal(COUNT(r, udp_opened), 2);
	assert_int_equal(rig_drops(r, DROP_UDP_SEND), 0);
	rig_free(r);
}

/* H58 */
static void too_big_passes_with_its_mtu(void **state)
{
	(void)state;
	struct rig *r = start();

	guest_sends(r, true, DPORT, 64, 1400);
	router_says(3, 4, 1300);
	guest_hears(r, true, DPORT, 3, 4, 1300);
	guest_sends(r, false, DPORT, 64, 1400);
	router_says(2, 0, 1300);
	guest_hears(r, false, DPORT, 2, 0, 1300);
	rig_free(r);
}

static void errors_pass_for_echo_with_the_guests_id_and_sequence(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_pkt pkt;
	uint8_t frame[256];
	const uint8_t *q;

	rig_send(r, frame, rig_build_echo(r, frame, FAR, 0x1234, 77, "abc", 3), NULL);
	RIG_UNTIL(r, host_sends(PROTO_ICMP));
	router_says(11, 0, 0);
	RIG_UNTIL(r, rig_pop(r, &pkt));
	assert_int_equal(pkt.icmp_type, 11);
	assert_int_equal(pkt.src, ROUTER);
	q = pkt.payload + IP4_HLEN;
	assert_int_equal(q[0], 8);
	assert_int_equal(get_be16(q + 4), 0x1234);
	assert_int_equal(get_be16(q + 6), 77);

	rig_send(r, frame, rig_build_echo6(r, frame, &far6, 0x4321, 78, "abc", 3), NULL);
	RIG_UNTIL(r, host_sends(PROTO_ICMP6));
	router_says(1, 3, 0);
	RIG_UNTIL(r, rig_pop(r, &pkt));
	assert_int_equal(pkt.icmp_type, 1);
	assert_int_equal(pkt.icmp_code, 3);
	assert_true(ipaddr_equal(&pkt.src6, &router6));
	q = pkt.payload + IP6_HLEN;
	assert_int_equal(q[0], 128);
	assert_int_equal(get_be16(q + 4), 0x4321);
	assert_int_equal(get_be16(q + 6), 78);
	rig_cycle(r);
	assert_int_equal(rig_pending(r), 0);
	assert_int_equal(rig_allocs(r), 0);
	rig_free(r);
}

/* ICMPv6 echo through the kernel and back: the far host is played by the test. */
static void echo6_comes_back(void **state)
{
	(void)state;
	struct rig *r = start();
	uint8_t frame[256], swap[16], *icmp = sent + 40;
	struct rig_pkt pkt;
	uint32_t len;

	rig_send(r, frame, rig_build_echo6(r, frame, &far6, 0x4321, 5, "hello", 5), NULL);
	RIG_UNTIL(r, host_sends(PROTO_ICMP6));
	memcpy(swap, sent + 8, 16);
	memcpy(sent + 8, sent + 24, 16);
	memcpy(sent + 24, swap, 16);
	len = sent_len - 40;
	icmp[0] = 129;
	put_be16(icmp + 2, 0);
	put_be16(icmp + 2,
		 ones(icmp, len, (uint32_t)(uint16_t)~ones(sent + 8, 32, 0) + PROTO_ICMP6 + len));
	assert_int_equal(write(tun, sent, sent_len), sent_len);
	RIG_UNTIL(r, rig_pop(r, &pkt));
	assert_int_equal(pkt.icmp_type, 129);
	assert_true(ipaddr_equal(&pkt.src6, &far6));
	assert_int_equal(pkt.icmp_id, 0x4321);
	assert_int_equal(pkt.icmp_seq, 5);
	assert_int_equal(pkt.payload_len, 5);
	assert_memory_equal(pkt.payload, "hello", 5);
	rig_free(r);
}

/* A flood of errors ends: at most so many at a time, and few are told. */
static void a_flood_of_errors_is_bounded(void **state)
{
	(void)state;
	struct rig *r = start();
	struct rig_pkt pkt;
	uint32_t n = 0;

	guest_sends(r, true, DPORT, 64, 100);
	for (int i = 0; i < 200; i++)
		router_says(3, 1, 0);
	for (int i = 0; i < 20; i++)
		rig_cycle(r);
	while (rig_pop(r, &pkt))
		n++;
	assert_true(n > 0 && n <= 50);
	guest_sends(r, true, DPORT, 64, 100);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(traceroute_sees_the_routers_behind_us),
		cmocka_unit_test(one_flow_follows_the_guests_ttl),
		cmocka_unit_test(unreachables_pass_with_their_codes),
		cmocka_unit_test(too_big_passes_with_its_mtu),
		cmocka_unit_test(errors_pass_for_echo_with_the_guests_id_and_sequence),
		cmocka_unit_test(echo6_comes_back),
		cmocka_unit_test(a_flood_of_errors_is_bounded),
	};

	skip_why = make_network();
	if (skip_why)
		print_message("SKIP: %s\n", skip_why);
	return cmocka_run_group_tests_name("icmp_errors", tests, NULL, NULL);
}
