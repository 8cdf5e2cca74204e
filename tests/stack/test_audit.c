/* SPDX-License-Identifier: MIT */
/* What the stack tells of its decisions, and of how flows have ended. */
#include "tests/stack/forward_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/log.h"
#include "tcpstack/audit.h"
#include "tcpstack/limits.h"
#include "tcpstack/names.h"
#include "tcpstack/policy.h"
#include "tcpstack/snapshot.h"

#define GUEST	 0x0a00020fU
#define LOOPBACK 0x7f000001U
#define WORLD	 0xc0000201U /* 192.0.2.1, RFC 5737: here, see main() */
#define GPORT	 33333

#define RING_BYTES (64U << 10)

/* A rig whose stack tells; @rec, @name and @rule are what next() took last. */
struct tale {
	struct rig *r;
	struct policy_list list;
	struct audit a;
	uint64_t store[RING_BYTES / 8];
	char name[POLICY_NAME_MAX + 1];
	char rule[POLICY_RULE_MAX + 1];
	struct audit_record rec;
};

static struct tale t;

static void rule(bool allow, const char *text)
{
	char why[128];

	if (policy_list_add(&t.list, allow, text, why, sizeof(why)))
		fail_msg("%s", why);
}

/* A stack with @cfg's limits, NULL = the defaults, and the rules that rule() has made. */
static void start(const struct stack_config *stack, uint32_t ring_bytes)
{
	struct rig_config cfg;

	rig_config_defaults(&cfg);
	if (stack)
		cfg.stack = *stack;
	log_set_level(LOG_ERROR);
	audit_init(&t.a, t.store, ring_bytes, -1);
	cfg.stack.audit = &t.a;
	cfg.stack.policy = &t.list;
	t.r = rig_new(&cfg);
}

static bool next(void)
{
	const struct audit_record *r;
	uint32_t len;

	r = spsc_peek(&t.a.ring, &len);
	if (!r)
		return false;
	assert_int_equal(len, sizeof(*r) + r->name_len + r->rule_len);
	t.rec = *r;
	memcpy(t.name, r->text, r->name_len);
	t.name[r->name_len] = 0;
	memcpy(t.rule, r->text + r->name_len, r->rule_len);
	t.rule[r->rule_len] = 0;
	spsc_release(&t.a.ring);
	return true;
}

static int begin(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	return 0;
}

/* All that was told has been looked at, and telling has cost no memory. */
static int end(void **state)
{
	(void)state;
	if (t.r) {
		assert_int_equal(rig_allocs(t.r), 0);
		rig_free(t.r);
	}
	assert_false(next());
	policy_list_free(&t.list);
	return 0;
}

static void assert_endpoint(const struct endpoint *ep, uint32_t addr, uint16_t port)
{
	assert_int_equal(ipaddr_v4(&ep->addr), addr);
	assert_int_equal(ep->port, port);
}

static void assert_decision(enum flow_proto proto, enum audit_verdict verdict,
			    enum audit_reason reason)
{
	assert_true(next());
	assert_int_equal(t.rec.event, AUDIT_DECISION);
	assert_int_equal(t.rec.proto, proto);
	assert_string_equal(audit_verdict_name(t.rec.verdict), audit_verdict_name(verdict));
	assert_string_equal(audit_reason_name(t.rec.reason), audit_reason_name(reason));
	assert_int_equal(t.rec.time_ns, rig_now(t.r));
}

/* Let in, by what the profile does with everything. */
static void assert_open(enum flow_proto proto)
{
	assert_decision(proto, AUDIT_ALLOW, AUDIT_PROFILE);
	assert_int_equal(t.rec.why, DROP_NONE);
	assert_true(t.rec.has_flow);
}

static void assert_close(enum flow_proto proto, enum flow_end how)
{
	assert_true(next());
	assert_int_equal(t.rec.event, AUDIT_CLOSE);
	assert_int_equal(t.rec.proto, proto);
	assert_string_equal(flow_end_name(t.rec.end), flow_end_name(how));
	assert_true(t.rec.has_flow);
}

static void drain(void)
{
	struct rig_pkt pkt;

	rig_cycle(t.r);
	while (rig_pop(t.r, &pkt))
		;
}

static void syn_to(uint32_t dst, uint16_t port)
{
	static uint16_t sport = 50000;
	struct rig_tcp_seg syn = { .dst = dst, .dport = port, .flags = RIG_SYN, .window = 1000 };

	syn.sport = ++sport;
	rig_send_tcp(t.r, &syn, NULL, 0);
	drain();
}

struct pair {
	struct rig_conn c;
	int lfd, fd;
	struct flow_id id;
};

/* An open connection, whose decision was told. */
static void pair_open(struct pair *p)
{
	uint16_t port;

	p->lfd = rig_listen(&port);
	rig_conn_init(&p->c, t.r, 40000, port);
	p->fd = rig_conn_open(&p->c, p->lfd);
	assert_open(FLOW_TCP);
	assert_false(t.rec.inbound);
	assert_endpoint(&t.rec.guest, GUEST, 40000);
	assert_endpoint(&t.rec.remote, RIG_GATEWAY, port);
	assert_true(t.rec.translated);
	assert_endpoint(&t.rec.host, LOOPBACK, port);
	p->id = t.rec.flow;
}

/* Its end was told, of the same flow. */
static void pair_end(struct pair *p, enum flow_end how, int error)
{
	assert_close(FLOW_TCP, how);
	assert_int_equal(t.rec.error, error);
	assert_true(t.rec.flow.index == p->id.index && t.rec.flow.gen == p->id.gen);
	assert_endpoint(&t.rec.guest, GUEST, 40000);
	assert_endpoint(&t.rec.remote, RIG_GATEWAY, p->c.dport);
	assert_endpoint(&t.rec.host, LOOPBACK, p->c.dport);
	if (p->fd >= 0)
		close(p->fd);
	close(p->lfd);
}

static void a_connection_is_told_when_it_opens_and_when_it_ends(void **state)
{
	struct flow_cursor at = { .proto = FLOW_TCP };
	uint64_t sent = 0, got = 0;
	struct flow_snap s[2];
	struct pair p;

	(void)state;
	start(NULL, RING_BYTES);
	pair_open(&p);
	assert_int_equal(stack_snap_flows(rig_stack(t.r), &at, s, 2), 1);
	assert_true(s[0].id.index == p.id.index && s[0].id.gen == p.id.gen);
	rig_advance(t.r, 3 * NS_PER_S);
	rig_conn_send(&p.c, 5000);
	rig_pump_write(p.fd, p.c.rx_seed, &sent, 70000);
	RIG_CONN_UNTIL(&p.c, (rig_pump_read(p.fd, p.c.tx_seed, &got),
			      got == 5000 && p.c.rx_bytes == 70000));
	shutdown(p.fd, SHUT_WR);
	RIG_CONN_UNTIL(&p.c, p.c.fin);
	rig_conn_fin(&p.c);
	RIG_CONN_UNTIL(&p.c, rig_conn_acked(&p.c));
	rig_cycle(t.r);
	pair_end(&p, END_CLOSED, 0);
	assert_int_equal(t.rec.tx_bytes, 5000);
	assert_int_equal(t.rec.rx_bytes, 70000);
	assert_int_equal(t.rec.life_ns, 3 * NS_PER_S);
	/* The record of a TIME-WAIT lives on; its end was told, and is not again. */
	rig_advance(t.r, 2 * LIMIT_TCP_TIME_WAIT_NS);
}

static void a_denial_names_its_rule_and_a_permission_too(void **state)
{
	int lfd;
	uint16_t port;
	char text[64];

	(void)state;
	lfd = rig_listen(&port);
	snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", port);
	rule(true, text);
	rule(false, "127.0.0.0/8");
	start(NULL, RING_BYTES);
	syn_to(RIG_GATEWAY, port);
	assert_decision(FLOW_TCP, AUDIT_ALLOW, AUDIT_RULE);
	assert_int_equal(t.rec.rule, 1);
	snprintf(text, sizeof(text), "allow tcp:127.0.0.1:%u", port);
	assert_string_equal(t.rule, text);
	syn_to(RIG_GATEWAY, (uint16_t)(port ^ 1));
	assert_decision(FLOW_TCP, AUDIT_DENY, AUDIT_RULE);
	assert_int_equal(t.rec.why, DROP_POLICY_DENIED);
	assert_int_equal(t.rec.rule, 2);
	assert_string_equal(t.rule, "deny 127.0.0.0/8");
	assert_false(t.rec.has_flow);
	assert_true(t.rec.translated);
	assert_endpoint(&t.rec.host, LOOPBACK, (uint16_t)(port ^ 1));
	rig_send_udp(t.r, GPORT, RIG_GATEWAY, 99, "x", 1);
	assert_decision(FLOW_UDP, AUDIT_DENY, AUDIT_RULE);
	assert_endpoint(&t.rec.guest, GUEST, GPORT);
	assert_endpoint(&t.rec.remote, RIG_GATEWAY, 99);
	drain();
	rig_detach(t.r);
	stack_reset(rig_stack(t.r));
	rig_attach(t.r);
	assert_close(FLOW_TCP, END_SHUTDOWN);
	close(lfd);
}

static void what_no_rule_can_change_says_so(void **state)
{
	char why[64];

	(void)state;
	t.list.profile = POLICY_ALLOWLIST;
	assert_int_equal(policy_list_gateway(&t.list, "7000", why, sizeof(why)), 0);
	start(NULL, RING_BYTES);
	syn_to(LOOPBACK, 80);
	assert_decision(FLOW_TCP, AUDIT_DENY, AUDIT_ADDRESS);
	assert_false(t.rec.translated);
	syn_to(RIG_GATEWAY, 7001);
	assert_decision(FLOW_TCP, AUDIT_DENY, AUDIT_GATEWAY_PORT);
	rig_send_udp(t.r, GPORT, RIG_GATEWAY, 7000, "x", 1);
	assert_decision(FLOW_UDP, AUDIT_ALLOW, AUDIT_GATEWAY_PORT);
	syn_to(WORLD, 80);
	assert_decision(FLOW_TCP, AUDIT_DENY, AUDIT_PROFILE);
	assert_true(t.rec.translated);
	rig_advance(t.r, LIMIT_UDP_IDLE_NS);
	assert_close(FLOW_UDP, END_IDLE);
	syn_to(0x0a000203U, 53);
	assert_decision(FLOW_TCP, AUDIT_ALLOW, AUDIT_DNS_SERVICE);
	rig_detach(t.r);
	stack_reset(rig_stack(t.r));
	rig_attach(t.r);
	assert_close(FLOW_TCP, END_SHUTDOWN);
}

static void the_profile_monitored_tells_what_it_would_deny(void **state)
{
	(void)state;
	t.list.profile = POLICY_MONITORED;
	rule(false, "udp:*:99");
	start(NULL, RING_BYTES);
	rig_send_udp(t.r, GPORT, RIG_GATEWAY, 99, "x", 1);
	assert_decision(FLOW_UDP, AUDIT_WOULD_DENY, AUDIT_RULE);
	assert_string_equal(t.rule, "deny udp:*:99");
	assert_true(t.rec.has_flow);
	drain();
	rig_advance(t.r, LIMIT_UDP_IDLE_NS);
	assert_close(FLOW_UDP, END_IDLE);
	assert_int_equal(t.rec.tx_bytes, 1);
}

static void limits_are_told_as_denials_of_their_own(void **state)
{
	struct rig_config cfg;
	struct pair p;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.max_tcp = 1;
	cfg.stack.max_udp = 1;
	cfg.stack.max_conn_rate = 2;
	start(&cfg.stack, RING_BYTES);
	pair_open(&p);
	syn_to(RIG_GATEWAY, 1);
	assert_decision(FLOW_TCP, AUDIT_DENY, AUDIT_PROFILE);
	assert_string_equal(drop_name(t.rec.why), "flow_limit");
	syn_to(RIG_GATEWAY, 1);
	assert_decision(FLOW_TCP, AUDIT_DENY, AUDIT_PROFILE);
	assert_string_equal(drop_name(t.rec.why), "conn_rate");
	rig_send_udp(t.r, GPORT, RIG_GATEWAY, 1, "x", 1);
	assert_open(FLOW_UDP);
	rig_send_udp(t.r, GPORT, RIG_GATEWAY, 2, "x", 1);
	assert_decision(FLOW_UDP, AUDIT_DENY, AUDIT_PROFILE);
	assert_string_equal(drop_name(t.rec.why), "flow_limit");
	drain();
	rig_advance(t.r, LIMIT_EVICT_IDLE_NS);
	rig_send_udp(t.r, GPORT, RIG_GATEWAY, 3, "x", 1);
	assert_close(FLOW_UDP, END_EVICTED);
	assert_open(FLOW_UDP);
	drain();
	rig_conn_segment(&p.c, RIG_RST, p.c.snd_nxt, NULL, 0);
	pair_end(&p, END_GUEST_RESET, 0);
	rig_advance(t.r, LIMIT_UDP_IDLE_NS);
	assert_close(FLOW_UDP, END_IDLE);
}

static void names_come_along_and_the_one_that_decided_first(void **state)
{
	const struct ipaddr world = ipaddr_from_v4(WORLD);
	struct stack *st;

	(void)state;
	t.list.profile = POLICY_ALLOWLIST;
	rule(true, "udp:*.two.test:53");
	start(NULL, RING_BYTES);
	st = rig_stack(t.r);
	names_learn(st, &world, "a.one.test", 60);
	names_learn(st, &world, "a.two.test", 60);
	names_learn(st, &world, "a.three.test", 60);
	rig_send_udp(t.r, GPORT, WORLD, 53, "x", 1);
	assert_decision(FLOW_UDP, AUDIT_ALLOW, AUDIT_RULE);
	assert_string_equal(t.name, "a.two.test");
	assert_string_equal(t.rule, "allow udp:*.two.test:53");
	rig_send_udp(t.r, GPORT, WORLD, 54, "x", 1);
	assert_decision(FLOW_UDP, AUDIT_DENY, AUDIT_PROFILE);
	assert_non_null(strstr(t.name, ".test"));
	assert_string_equal(t.rule, "");
	drain();
	rig_advance(t.r, LIMIT_UDP_IDLE_NS);
	while (next())
		;
}

/* A query for @name from @sport, recursion desired, type A. */
static void ask(uint16_t sport, const char *name)
{
	uint8_t q[300] = { 0x12, 0x34, 1, 0, 0, 1 };
	uint32_t n = 12;

	for (const char *l = name; *l;) {
		size_t len = strcspn(l, ".");

		q[n++] = (uint8_t)len;
		memcpy(q + n, l, len);
		n += (uint32_t)len;
		l += len + (l[len] == '.');
	}
	memcpy(q + n, "\0\0\1\0\1", 5);
	rig_send_udp(t.r, sport, 0x0a000203U, 53, q, n + 5);
	drain();
}

static void questions_are_told_with_their_name_and_no_flow(void **state)
{
	(void)state;
	rule(false, "*.bad.test");
	start(NULL, RING_BYTES);
	ask(4000, "www.good.test");
	assert_decision(AUDIT_DNS, AUDIT_ALLOW, AUDIT_PROFILE);
	assert_string_equal(t.name, "www.good.test");
	assert_endpoint(&t.rec.guest, GUEST, 4000);
	assert_false(t.rec.has_flow || t.rec.translated);
	ask(4001, "www.BAD.test");
	assert_decision(AUDIT_DNS, AUDIT_DENY, AUDIT_RULE);
	assert_string_equal(t.name, "www.bad.test");
	assert_string_equal(t.rule, "deny *.bad.test");
	drain();
}

static void a_refusal_of_the_host_is_an_end(void **state)
{
	struct rig_conn c;

	(void)state;
	start(NULL, RING_BYTES);
	rig_conn_init(&c, t.r, 40000, rig_unused_port());
	rig_conn_syn(&c);
	RIG_CONN_UNTIL(&c, c.rst);
	assert_open(FLOW_TCP);
	assert_close(FLOW_TCP, END_REFUSED);
	assert_int_equal(t.rec.error, ECONNREFUSED);
}

static void a_reset_of_the_host_is_an_end(void **state)
{
	struct pair p;

	(void)state;
	start(NULL, RING_BYTES);
	pair_open(&p);
	rig_reset_close(p.fd);
	p.fd = -1;
	RIG_CONN_UNTIL(&p.c, p.c.rst);
	pair_end(&p, END_HOST_RESET, ECONNRESET);
}

static void idleness_and_silence_are_ends(void **state)
{
	uint64_t sent = 0;
	struct pair p;

	(void)state;
	start(NULL, RING_BYTES);
	pair_open(&p);
	rig_advance(t.r, LIMIT_TCP_IDLE_NS);
	drain();
	pair_end(&p, END_IDLE, 0);
	pair_open(&p);
	p.c.auto_ack = false;
	rig_pump_write(p.fd, p.c.rx_seed, &sent, 1000);
	RIG_CONN_UNTIL(&p.c, p.c.rx_bytes == 1000);
	for (int i = 0; i < 1000 && !spsc_peek(&t.a.ring, &(uint32_t){ 0 }); i++) {
		rig_advance(t.r, 60 * NS_PER_S);
		drain();
	}
	pair_end(&p, END_GUEST_SILENT, 0);
}

/* H60, with the last word: the stack ends, and its flows with it. */
static void the_end_of_the_stack_ends_its_flows(void **state)
{
	struct pair p;

	(void)state;
	start(NULL, RING_BYTES);
	pair_open(&p);
	rig_free(t.r);
	t.r = NULL;
	pair_end(&p, END_SHUTDOWN, 0);
}

static void forwards_are_told_as_inbound(void **state)
{
	struct forward_spec spec;
	struct forward_info f;
	union sockaddr_any sa;
	struct rig_tcp_seg rst = { .dst = RIG_GATEWAY, .sport = 80, .flags = RIG_RST | RIG_ACK };
	struct rig_pkt syn;
	char why[64];
	socklen_t len;
	int fd, peer;

	(void)state;
	start(NULL, RING_BYTES);
	assert_int_equal(forward_parse(&spec, "0:80", why, sizeof(why)), 0);
	fd = forward_socket(&spec, 0, &f);
	assert_int_equal(stack_forward_add(rig_stack(t.r), &f, fd), 0);
	len = endpoint_to_sockaddr(&f.bind, &sa);
	peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(peer, &sa.sa, len), 0);
	RIG_UNTIL(t.r, rig_pop(t.r, &syn));
	assert_decision(FLOW_TCP, AUDIT_ALLOW, AUDIT_FORWARD);
	assert_true(t.rec.inbound && t.rec.has_flow);
	assert_endpoint(&t.rec.guest, GUEST, 80);
	assert_endpoint(&t.rec.remote, RIG_GATEWAY, syn.sport);
	assert_int_equal(ipaddr_v4(&t.rec.host.addr), LOOPBACK);
	rst.dport = syn.sport;
	rst.ack = syn.seq + 1;
	rig_send_tcp(t.r, &rst, NULL, 0);
	rig_cycle(t.r);
	assert_close(FLOW_TCP, END_GUEST_REFUSED);
	assert_true(t.rec.inbound);
	close(peer);
}

/* Of UDP as well: who came, who was turned away, and how it ended. */
static void forwards_of_udp_are_told_as_inbound(void **state)
{
	struct rig_config cfg;
	struct forward_info f;
	struct rig_pkt pkt;
	int fd[2];

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.max_udp = 1;
	start(&cfg.stack, RING_BYTES);
	f = fwd_add(t.r, "0:53/udp");
	for (int i = 0; i < 2; i++)
		fd[i] = fwd_peer(&f);
	fwd_peer_sends(fd[0], 10, 1);
	fwd_guest_gets(t.r, &pkt, 53, 10, 1);
	assert_decision(FLOW_UDP, AUDIT_ALLOW, AUDIT_FORWARD);
	assert_true(t.rec.inbound && t.rec.has_flow);
	assert_endpoint(&t.rec.guest, GUEST, 53);
	assert_endpoint(&t.rec.remote, RIG_GATEWAY, pkt.sport);
	assert_int_equal(ipaddr_v4(&t.rec.host.addr), LOOPBACK);
	fwd_peer_sends(fd[1], 10, 1);
	RIG_UNTIL(t.r, rig_drops(t.r, DROP_FLOW_LIMIT) == 1);
	assert_decision(FLOW_UDP, AUDIT_DENY, AUDIT_FORWARD);
	assert_int_equal(t.rec.why, DROP_FLOW_LIMIT);
	assert_int_equal(stack_forward_del(rig_stack(t.r), PROTO_UDP, &f.bind), 0);
	assert_close(FLOW_UDP, END_FORWARD_GONE);
	assert_true(t.rec.inbound);
	assert_int_equal(t.rec.rx_bytes, 10);
	close(fd[0]);
	close(fd[1]);
}

/* Nobody reads: what finds no room is counted, and flows do not notice. */
static void a_full_ring_costs_records_and_nothing_else(void **state)
{
	uint64_t told;
	struct pair p;

	(void)state;
	start(NULL, 4096);
	pair_open(&p);
	for (uint16_t port = 1001; port <= 1200; port++)
		rig_send_udp(t.r, GPORT, RIG_GATEWAY, port, "x", 1);
	drain();
	told = counter_get(&t.a.records);
	assert_true(told < 100 && counter_get(&t.a.ring.lost) == 201 - told);
	rig_conn_send(&p.c, 1000);
	RIG_CONN_UNTIL(&p.c, rig_conn_acked(&p.c));
	while (next())
		;
	rig_conn_segment(&p.c, RIG_RST, p.c.snd_nxt, NULL, 0);
	pair_end(&p, END_GUEST_RESET, 0);
	assert_int_equal(t.rec.tx_bytes, 1000);
	rig_advance(t.r, LIMIT_UDP_IDLE_NS);
	while (next())
		;
}

/* H86: a guest that is denied without end fills no disk; permissions are all told. */
static void a_flood_of_denials_is_bounded_and_counted(void **state)
{
	uint64_t told;

	(void)state;
	rule(false, "udp:*:99");
	start(NULL, RING_BYTES);
	for (uint32_t i = 0; i < 3 * LIMIT_AUDIT_DENIALS; i++) {
		rig_send_udp(t.r, GPORT, RIG_GATEWAY, 99, "x", 1);
		while (next())
			;
	}
	drain();
	told = counter_get(&t.a.records);
	assert_int_equal(told, LIMIT_AUDIT_DENIALS);
	assert_int_equal(counter_get(&t.a.withheld), 2 * LIMIT_AUDIT_DENIALS);
	rig_send_udp(t.r, GPORT, RIG_GATEWAY, 98, "x", 1);
	assert_open(FLOW_UDP);
	rig_advance(t.r, NS_PER_S / 2);
	rig_send_udp(t.r, GPORT, RIG_GATEWAY, 99, "x", 1);
	assert_decision(FLOW_UDP, AUDIT_DENY, AUDIT_RULE);
	drain();
	rig_advance(t.r, LIMIT_UDP_IDLE_NS);
	assert_close(FLOW_UDP, END_IDLE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_connection_is_told_when_it_opens_and_when_it_ends),
		TEST(a_denial_names_its_rule_and_a_permission_too),
		TEST(what_no_rule_can_change_says_so),
		TEST(the_profile_monitored_tells_what_it_would_deny),
		TEST(limits_are_told_as_denials_of_their_own),
		TEST(questions_are_told_with_their_name_and_no_flow),
		TEST(a_refusal_of_the_host_is_an_end),
		TEST(a_reset_of_the_host_is_an_end),
		TEST(idleness_and_silence_are_ends),
		TEST(the_end_of_the_stack_ends_its_flows),
		TEST(forwards_are_told_as_inbound),
		TEST(forwards_of_udp_are_told_as_inbound),
		TEST(a_full_ring_costs_records_and_nothing_else),
		TEST(a_flood_of_denials_is_bounded_and_counted),
	};
	const struct CMUnitTest world[] = {
		TEST(names_come_along_and_the_one_that_decided_first),
	};
	const uint32_t addr = WORLD;
	int failed = cmocka_run_group_tests_name("audit", tests, NULL, NULL);

	/* What policy lets through stays on this machine. */
	if (!rig_own_network(&addr, 1)) {
		print_message("SKIP: cannot make a network namespace\n");
		return failed;
	}
	return failed + cmocka_run_group_tests_name("audit of the world", world, NULL, NULL);
}
