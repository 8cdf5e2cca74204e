/* SPDX-License-Identifier: MIT */
/* Egress policy at work: every protocol, translated destinations, names, exchange (H44, H45). */
#include "tests/stack/rig_tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/log.h"
#include "tcpstack/dns_msg.h"
#include "tcpstack/policy.h"

#define DNS	     0x0a000203U
#define ALLOWED_ADDR 0xc0000201U /* 192.0.2.1, RFC 5737: here, see main() */
#define OTHER_ADDR   0xc0000202U
#define GPORT	     33333

/* A rig, its rules, and one resolver on loopback. */
struct world {
	struct rig *r;
	struct policy_list list;
	int dns;
};

static void rule(struct world *w, bool allow, const char *text)
{
	char why[128];

	if (policy_list_add(&w->list, allow, text, why, sizeof(why)))
		fail_msg("%s", why);
}

static void gateway_ports(struct world *w, uint16_t port)
{
	char text[8], why[128];

	snprintf(text, sizeof(text), "%u", port);
	assert_int_equal(policy_list_gateway(&w->list, text, why, sizeof(why)), 0);
}

static void start(struct world *w)
{
	struct rig_config cfg;

	rig_config_defaults(&cfg);
	log_set_level(LOG_ERROR);
	w->dns = rig_udp_socket(&cfg.stack.resolvers[0].port);
	cfg.stack.resolvers[0].addr = ipaddr_from_v4(INADDR_LOOPBACK);
	cfg.stack.nresolvers = 1;
	cfg.stack.policy = &w->list;
	w->r = rig_new(&cfg);
}

static void end(struct world *w)
{
	assert_int_equal(rig_allocs(w->r), 0);
	rig_free(w->r);
	close(w->dns);
	policy_list_free(&w->list);
}

static uint64_t denials(struct world *w)
{
	return rig_drops(w->r, DROP_POLICY_DENIED);
}

/* A SYN to @dst: is it refused by policy, and then by RST? Answers to others are passed over. */
static bool tcp_denied(struct world *w, uint32_t dst, uint16_t port)
{
	static uint16_t sport = 40000;
	struct rig_tcp_seg syn = { .dst = dst,
				   .sport = (uint16_t)(sport + 1),
				   .dport = port,
				   .flags = RIG_SYN,
				   .window = 1000 };
	uint64_t before = denials(w);
	struct rig_pkt pkt;
	bool rst = false;

	sport++;
	rig_send_tcp(w->r, &syn, NULL, 0);
	rig_cycle(w->r);
	while (rig_pop(w->r, &pkt))
		rst |= pkt.proto == PROTO_TCP && pkt.dport == sport && pkt.flags & RIG_RST;
	if (denials(w) == before)
		return false;
	assert_true(rst);
	return true;
}

static void drain(struct world *w)
{
	struct rig_pkt pkt;

	rig_cycle(w->r);
	while (rig_pop(w->r, &pkt))
		;
}

static bool udp_denied(struct world *w, uint32_t dst, uint16_t port)
{
	uint64_t before = denials(w);

	rig_send_udp(w->r, GPORT, dst, port, "x", 1);
	drain(w);
	return denials(w) != before;
}

static bool echo_denied(struct world *w, uint32_t dst)
{
	uint64_t before = denials(w);
	uint8_t frame[128];

	rig_send(w->r, frame, rig_build_echo(w->r, frame, dst, 7, 1, "ping", 4), NULL);
	drain(w);
	return denials(w) != before;
}

/* H44: the rules see where the host would connect to. */
static void rules_see_the_translated_destination(void **state)
{
	struct world w = { 0 };
	uint16_t port;
	int lfd = rig_listen(&port);

	(void)state;
	rule(&w, false, "127.0.0.0/8");
	start(&w);
	assert_true(tcp_denied(&w, RIG_GATEWAY, port));
	assert_true(udp_denied(&w, RIG_GATEWAY, port));
	/* Loopback itself is refused whatever the rules say. */
	assert_true(tcp_denied(&w, INADDR_LOOPBACK, port));
	assert_int_equal(accept4(lfd, NULL, NULL, SOCK_NONBLOCK), -1);
	close(lfd);
	end(&w);
}

/* H44: no protocol goes around. */
static void every_protocol_is_judged(void **state)
{
	struct world w = { 0 };

	(void)state;
	rule(&w, false, "192.0.2.0/24");
	start(&w);
	assert_true(tcp_denied(&w, ALLOWED_ADDR, 80));
	assert_true(udp_denied(&w, ALLOWED_ADDR, 80));
	assert_true(echo_denied(&w, ALLOWED_ADDR));
	assert_false(udp_denied(&w, 0xc6336401U, 9)); /* 198.51.100.1 */
	end(&w);
}

static void no_rule_opens_what_nobody_may_reach(void **state)
{
	struct world w = { 0 };

	(void)state;
	rule(&w, true, "*");
	start(&w);
	assert_true(tcp_denied(&w, INADDR_LOOPBACK, 80));
	assert_true(tcp_denied(&w, 0x0a000263U, 80)); /* of the guest's own network */
	assert_true(tcp_denied(&w, DNS, 80));
	end(&w);
}

static void gateway_ports_are_those_listed(void **state)
{
	struct world w = { .list.profile = POLICY_ALLOWLIST };
	struct rig_conn c;
	uint16_t port, other;
	int lfd = rig_listen(&port), lfd2 = rig_listen(&other), fd;

	(void)state;
	gateway_ports(&w, port);
	start(&w);
	rig_conn_init(&c, w.r, 39000, port);
	fd = rig_conn_open(&c, lfd);
	assert_true(tcp_denied(&w, RIG_GATEWAY, other));
	assert_true(udp_denied(&w, RIG_GATEWAY, other));
	assert_true(tcp_denied(&w, ALLOWED_ADDR, port));
	close(fd);
	close(lfd);
	close(lfd2);
	end(&w);
}

static void monitored_counts_and_lets_pass(void **state)
{
	struct world w = { .list.profile = POLICY_MONITORED };
	struct rig_conn c;
	uint16_t port;
	int lfd = rig_listen(&port), fd;

	(void)state;
	rule(&w, false, "tcp:127.0.0.1");
	start(&w);
	rig_conn_init(&c, w.r, 39000, port);
	fd = rig_conn_open(&c, lfd);
	assert_int_equal(COUNT(w.r, policy_monitored), 1);
	assert_int_equal(denials(&w), 0);
	close(fd);
	close(lfd);
	end(&w);
}

/* "www.allowed.test" and so on as a question of type A. */
static uint32_t build_query(uint8_t *msg, uint16_t id, const char *name)
{
	uint32_t n = DNS_HLEN;

	memset(msg, 0, DNS_HLEN);
	put_be16(msg, id);
	msg[2] = 1;
	msg[5] = 1;
	while (*name) {
		size_t len = strcspn(name, ".");

		msg[n++] = (uint8_t)len;
		memcpy(msg + n, name, len);
		n += (uint32_t)len;
		name += len + (name[len] == '.');
	}
	msg[n++] = 0;
	put_be16(msg + n, 1);
	put_be16(msg + n + 2, 1);
	return n + 4;
}

static uint32_t put_record(uint8_t *msg, uint32_t n, uint16_t owner, uint16_t type, uint32_t ttl,
			   const void *data, uint16_t len)
{
	put_be16(msg + n, (uint16_t)(0xc000 | owner));
	put_be16(msg + n + 2, type);
	put_be16(msg + n + 4, 1);
	put_be32(msg + n + 6, ttl);
	put_be16(msg + n + 10, len);
	memcpy(msg + n + 12, data, len);
	return n + 12U + len;
}

/* What the guest was answered: an rcode, after the resolver was asked or not. */
static uint8_t ask(struct world *w, const char *name, uint32_t addr, uint32_t ttl, bool alias)
{
	static const uint8_t cdn[] = { 3, 'c', 'd', 'n', 4, 't', 'e', 's', 't', 0 };
	static uint16_t id = 100;
	uint8_t msg[512], a[4];
	struct sockaddr_in peer;
	socklen_t peer_len = sizeof(peer);
	struct rig_pkt pkt;
	uint32_t len = build_query(msg, ++id, name), owner = DNS_HLEN;
	ssize_t n = -1;

	rig_send_udp(w->r, GPORT, DNS, 53, msg, len);
	rig_cycle(w->r);
	/* The send on loopback was synchronous: the query is here now, or never was. */
	n = recvfrom(w->dns, msg, sizeof(msg), MSG_DONTWAIT, (struct sockaddr *)&peer, &peer_len);
	if (n > 0) {
		len = (uint32_t)n;
		put_be16(msg + 2, 0x8180);
		put_be16(msg + 6, alias ? 2 : 1);
		put_be32(a, addr);
		if (alias) {
			len = put_record(msg, len, DNS_HLEN, DNS_TYPE_CNAME, ttl, cdn, sizeof(cdn));
			owner = len - (uint32_t)sizeof(cdn);
		}
		len = put_record(msg, len, (uint16_t)owner, DNS_TYPE_A, ttl, a, 4);
		assert_int_equal(sendto(w->dns, msg, len, 0, (struct sockaddr *)&peer, peer_len),
				 len);
	}
	/* Refusals of earlier connections may come in between. */
	RIG_UNTIL(w->r, rig_pop(w->r, &pkt) && pkt.src == DNS);
	assert_int_equal(get_be16(pkt.payload), id);
	assert_int_equal((pkt.payload[3] & 0xf) == DNS_RCODE_REFUSED, n < 0);
	return pkt.payload[3] & 0xf;
}

static void a_name_opens_the_addresses_it_was_answered_with(void **state)
{
	struct world w = { .list.profile = POLICY_ALLOWLIST };

	(void)state;
	rule(&w, true, "tcp:*.allowed.test:443");
	start(&w);
	/* Knowing the address is not enough. */
	assert_true(tcp_denied(&w, ALLOWED_ADDR, 443));
	assert_int_equal(ask(&w, "wWw.Allowed.test", ALLOWED_ADDR, 30, false), 0);
	assert_false(tcp_denied(&w, ALLOWED_ADDR, 443));
	assert_true(tcp_denied(&w, ALLOWED_ADDR, 80));
	assert_true(udp_denied(&w, ALLOWED_ADDR, 443));
	assert_true(tcp_denied(&w, OTHER_ADDR, 443));
	/* Its neighbours are not even asked for. */
	assert_int_equal(ask(&w, "other.test", OTHER_ADDR, 30, false), DNS_RCODE_REFUSED);
	assert_int_equal(ask(&w, "a.b.allowed.test", OTHER_ADDR, 30, false), DNS_RCODE_REFUSED);
	assert_int_equal(ask(&w, "allowed.test", OTHER_ADDR, 30, false), DNS_RCODE_REFUSED);
	assert_true(tcp_denied(&w, OTHER_ADDR, 443));
	/* A stream of queries is judged one by one: see test_dns_tcp.c. */
	assert_false(tcp_denied(&w, DNS, 53));
	end(&w);
}

static void a_name_holds_for_its_ttl_and_a_minute_at_least(void **state)
{
	struct world w = { .list.profile = POLICY_ALLOWLIST };

	(void)state;
	rule(&w, true, "*.test");
	start(&w);
	ask(&w, "short.test", ALLOWED_ADDR, 5, false);
	ask(&w, "long.test", OTHER_ADDR, 300, false);
	rig_advance(w.r, 59 * NS_PER_S);
	assert_false(udp_denied(&w, ALLOWED_ADDR, 9));
	rig_advance(w.r, 2 * NS_PER_S);
	assert_true(tcp_denied(&w, ALLOWED_ADDR, 80));
	assert_false(tcp_denied(&w, OTHER_ADDR, 80));
	rig_advance(w.r, 240 * NS_PER_S);
	assert_true(tcp_denied(&w, OTHER_ADDR, 81));
	end(&w);
}

static void aliases_lead_to_the_name_that_was_asked(void **state)
{
	struct world w = { .list.profile = POLICY_ALLOWLIST };

	(void)state;
	rule(&w, false, "cdn.test:80");
	rule(&w, true, "www.allowed.test");
	start(&w);
	assert_int_equal(ask(&w, "www.allowed.test", ALLOWED_ADDR, 300, true), 0);
	assert_false(tcp_denied(&w, ALLOWED_ADDR, 443));
	/* ... and the alias is a name of the address, too. */
	assert_true(tcp_denied(&w, ALLOWED_ADDR, 80));
	end(&w);
}

/* A name that points at the gateway, or at another host's address space, opens nothing. */
static void a_name_does_not_open_the_gateway(void **state)
{
	struct world w = { .list.profile = POLICY_ALLOWLIST };
	uint16_t port;
	int lfd = rig_listen(&port);

	(void)state;
	rule(&w, true, "*.test");
	start(&w);
	ask(&w, "rebind.test", RIG_GATEWAY, 300, false);
	assert_true(tcp_denied(&w, RIG_GATEWAY, port));
	ask(&w, "again.test", INADDR_LOOPBACK, 300, false);
	assert_true(tcp_denied(&w, INADDR_LOOPBACK, port));
	close(lfd);
	end(&w);
}

static void none_denies_everything_dns_included(void **state)
{
	struct world w = { .list.profile = POLICY_NONE };
	uint16_t port;
	int lfd = rig_listen(&port);

	(void)state;
	start(&w);
	assert_true(tcp_denied(&w, RIG_GATEWAY, port));
	assert_true(tcp_denied(&w, ALLOWED_ADDR, 80));
	assert_true(tcp_denied(&w, DNS, 53));
	assert_true(udp_denied(&w, ALLOWED_ADDR, 80));
	assert_true(echo_denied(&w, ALLOWED_ADDR));
	assert_int_equal(ask(&w, "a.test", ALLOWED_ADDR, 30, false), DNS_RCODE_REFUSED);
	close(lfd);
	end(&w);
}

/* H45: a driver that comes back, and a reset of all flows, find the same policy. */
static void policy_outlives_drivers_and_resets(void **state)
{
	struct world w = { 0 };

	(void)state;
	rule(&w, false, "192.0.2.0/24");
	start(&w);
	rig_detach(w.r);
	stack_reset(rig_stack(w.r));
	rig_attach(w.r);
	assert_true(tcp_denied(&w, ALLOWED_ADDR, 80));
	assert_true(udp_denied(&w, ALLOWED_ADDR, 80));
	end(&w);
}

/* The new policy is for what is opened from now on; open flows lose no byte. */
static void an_exchange_leaves_open_flows_alone(void **state)
{
	struct world w = { 0 };
	struct policy_list none = { .profile = POLICY_NONE };
	struct policy *p;
	struct rig_conn c;
	uint64_t pos = 0;
	uint16_t port;
	int lfd = rig_listen(&port), fd;

	(void)state;
	start(&w);
	rig_conn_init(&c, w.r, 39000, port);
	fd = rig_conn_open(&c, lfd);
	rig_conn_send(&c, 1000);
	assert_int_equal(policy_compile(&p, &none), 0);
	policy_free(stack_set_policy(rig_stack(w.r), p));
	rig_conn_send(&c, 1000);
	RIG_CONN_UNTIL(&c, (rig_pump_read(fd, c.tx_seed, &pos), pos == 2000));
	RIG_CONN_UNTIL(&c, rig_conn_acked(&c));
	assert_true(tcp_denied(&w, RIG_GATEWAY, port));
	close(fd);
	close(lfd);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_see_the_translated_destination),
		cmocka_unit_test(every_protocol_is_judged),
		cmocka_unit_test(no_rule_opens_what_nobody_may_reach),
		cmocka_unit_test(gateway_ports_are_those_listed),
		cmocka_unit_test(monitored_counts_and_lets_pass),
		cmocka_unit_test(a_name_opens_the_addresses_it_was_answered_with),
		cmocka_unit_test(a_name_holds_for_its_ttl_and_a_minute_at_least),
		cmocka_unit_test(aliases_lead_to_the_name_that_was_asked),
		cmocka_unit_test(a_name_does_not_open_the_gateway),
		cmocka_unit_test(none_denies_everything_dns_included),
		cmocka_unit_test(policy_outlives_drivers_and_resets),
		cmocka_unit_test(an_exchange_leaves_open_flows_alone),
	};

	const uint32_t world[] = { ALLOWED_ADDR, 0xc6336401U };

	/* What a rule lets through must not leave this machine. */
	if (!rig_own_network(world, ARRAY_SIZE(world))) {
		puts("SKIP policy: no network namespaces here");
		return 0;
	}
	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
