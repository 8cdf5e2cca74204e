/* SPDX-License-Identifier: MIT */
/* What a stack looks like from outside: flows, why they stand still, limits that move. */
#include "tests/stack/pair_rig.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/log.h"
#include "tcpstack/limit.h"
#include "tcpstack/limits.h"
#include "tcpstack/snapshot.h"

#define MANY 700 /* more than two chunks of a walk */

/* The one TCP flow. */
static struct flow_snap the_flow(struct rig *r)
{
	struct flow_snap s[4];
	struct flow_cursor at = { .proto = FLOW_TCP };

	assert_int_equal(stack_snap_flows(rig_stack(r), &at, s, ARRAY_SIZE(s)), 1);
	assert_int_equal(at.proto, FLOW_PROTOS);
	return s[0];
}

static void assert_stall(struct rig *r, enum flow_stall want)
{
	assert_string_equal(flow_stall_name(the_flow(r).stall), flow_stall_name(want));
}

static void a_flow_tells_what_it_has_moved(void **state)
{
	struct flow_snap s;
	struct pair p;

	(void)state;
	pair_open(&p, NULL);
	rig_advance(p.r, 3 * NS_PER_S);
	rig_conn_send(&p.c, 1000);
	pair_write(&p, 500);
	RIG_CONN_UNTIL(&p.c, (pair_read(&p),
			      rig_conn_acked(&p.c) && p.got == 1000 && p.c.rx_bytes == 500));
	rig_cycle(p.r);
	assert_stall(p.r, STALL_NONE);
	rig_advance(p.r, 2 * NS_PER_S);
	s = the_flow(p.r);
	assert_int_equal(s.proto, FLOW_TCP);
	assert_string_equal(s.state, "ESTABLISHED");
	assert_string_equal(s.engine, "copy");
	assert_int_equal(s.tx_bytes, 1000);
	assert_int_equal(s.rx_bytes, 500);
	assert_true(s.age_ns >= 5 * NS_PER_S);
	assert_int_equal(s.guest.port, 40000);
	assert_int_equal(s.remote.port, p.c.dport);
	assert_int_equal(ipaddr_v4(&s.host.addr), 0x7f000001);
	assert_int_equal(s.in_flight, 0);
	assert_true(s.window > 0);
	assert_stall(p.r, STALL_IDLE);
	pair_end(&p);
}

static void a_host_that_does_not_read_is_named(void **state)
{
	struct rig_config cfg;
	struct pair p;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.sndbuf = 4096;
	cfg.stack.rcvbuf = 4096;
	pair_open(&p, &cfg);
	for (int i = 0; i < 100000 && the_flow(p.r).stall != STALL_HOST_FULL; i++) {
		if (rig_conn_room(&p.c))
			rig_conn_send(&p.c, MIN(rig_conn_room(&p.c), 1400U));
		rig_conn_cycle(&p.c);
	}
	assert_stall(p.r, STALL_HOST_FULL);
	assert_true(the_flow(p.r).parked > 0);
	pair_end(&p);
}

static void a_guest_that_does_not_read_is_named(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, NULL);
	p.c.window = 0;
	rig_conn_ack(&p.c);
	pair_write(&p, 5000);
	RIG_UNTIL(p.r, the_flow(p.r).stall == STALL_WINDOW_ZERO);
	assert_int_equal(the_flow(p.r).guest_window, 0);

	/* Open, but nothing is ACKed. */
	p.c.auto_ack = false;
	p.c.window = 65535;
	rig_conn_ack(&p.c);
	RIG_CONN_UNTIL(&p.c, p.c.rx_bytes == 5000);
	assert_stall(p.r, STALL_WAIT_ACK);
	assert_int_equal(the_flow(p.r).in_flight, 5000);
	rig_advance(p.r, 5 * NS_PER_S);
	assert_stall(p.r, STALL_LOSS);
	assert_true(the_flow(p.r).retries > 0);
	pair_end(&p);
}

static void a_guest_without_buffers_is_named(void **state)
{
	struct rig_config cfg;
	struct pair p;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.rx_buffers = 2;
	pair_open(&p, &cfg);
	rig_set_auto_refill(p.r, false);
	pair_write(&p, 500000);
	RIG_UNTIL(p.r, the_flow(p.r).stall == STALL_NO_BUFFERS);
	rig_detach(p.r);
	assert_stall(p.r, STALL_NO_DRIVER);
	rig_attach(p.r);
	pair_end(&p);
}

/* Of the only flow of @proto. */
static enum flow_stall stall_of(struct rig *r, enum flow_proto proto)
{
	struct flow_cursor at = { .proto = proto };
	struct flow_snap s[4];

	assert_true(stack_snap_flows(rig_stack(r), &at, s, ARRAY_SIZE(s)) > 0);
	assert_int_equal(s[0].proto, proto);
	return s[0].stall;
}

/* Out of tokens is not out of buffers, for a stream and for datagrams. */
static void flows_without_tokens_are_named(void **state)
{
	static uint8_t data[1400];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	struct rig_config cfg;
	struct rig_conn c;
	struct rig *r;
	uint16_t port, uport;
	uint64_t pos = 0;
	int lfd = rig_listen(&port), ufd = rig_udp_socket(&uport), fd;

	(void)state;
	rig_config_defaults(&cfg);
	log_set_level(LOG_ERROR);
	cfg.stack.rate_in = 100000;
	cfg.rx_buffers = 4;
	r = rig_new(&cfg);
	rig_conn_init(&c, r, 40000, port);
	fd = rig_conn_open(&c, lfd);
	rig_send_udp(r, 5000, RIG_GATEWAY, uport, data, 1);
	RIG_UNTIL(r, recvfrom(ufd, data, sizeof(data), 0, (struct sockaddr *)&from, &len) == 1);
	rig_pump_write(fd, c.rx_seed, &pos, 500000);
	RIG_CONN_UNTIL(&c, stall_of(r, FLOW_TCP) == STALL_RATE);
	assert_int_equal(sendto(ufd, data, sizeof(data), 0, (struct sockaddr *)&from, len),
			 sizeof(data));
	RIG_UNTIL(r, stall_of(r, FLOW_UDP) == STALL_RATE);
	/* With tokens, and no buffers, it is the buffers. */
	rig_set_auto_refill(r, false);
	assert_int_equal(stack_limit_set(rig_stack(r), "rate-in", 0), 0);
	RIG_UNTIL(r, (rig_advance(r, 10 * NS_PER_MS), stall_of(r, FLOW_TCP) == STALL_NO_BUFFERS));
	close(fd);
	close(ufd);
	close(lfd);
	rig_free(r);
}

/* Each flow once, in as many pieces as it takes, though others come and go meanwhile. */
static void a_walk_in_pieces_finds_each_flow_once(void **state)
{
	static struct flow_snap s[FLOW_SNAP_CHUNK];
	static uint8_t seen[MANY];
	struct flow_cursor at = { .proto = 0 };
	struct rig_config cfg;
	struct rig *r;
	uint16_t port;
	int lfd = rig_listen(&port);
	uint32_t pieces = 0;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.max_tcp = MANY;
	r = rig_new(&cfg);
	for (uint16_t i = 0; i < MANY; i++) {
		struct rig_conn c;

		rig_conn_init(&c, r, (uint16_t)(20000 + i), port);
		rig_conn_syn(&c);
	}
	memset(seen, 0, sizeof(seen));
	while (at.proto < FLOW_PROTOS) {
		uint32_t n = stack_snap_flows(rig_stack(r), &at, s, ARRAY_SIZE(s));

		pieces++;
		for (uint32_t i = 0; i < n; i++) {
			assert_string_equal(s[i].state, "CONNECTING");
			assert_int_equal(s[i].stall, STALL_CONNECTING);
			seen[s[i].guest.port - 20000]++;
		}
	}
	for (uint32_t i = 0; i < MANY; i++)
		assert_int_equal(seen[i], 1);
	assert_true(pieces >= 3 && pieces <= 5);
	close(lfd);
	rig_free(r);
}

static void open_one(struct rig *r, uint16_t sport, uint16_t port, bool *refused)
{
	struct rig_conn c;

	rig_conn_init(&c, r, sport, port);
	rig_conn_syn(&c);
	RIG_CONN_UNTIL(&c, c.synack || c.rst);
	*refused = c.rst;
}

static void limits_move_while_the_stack_runs(void **state)
{
	struct stack_limit l[STACK_LIMITS_MAX];
	struct rig_config cfg;
	struct rig *r;
	uint16_t port;
	int lfd = rig_listen(&port);
	bool refused;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.max_tcp = 4;
	r = rig_new(&cfg);
	log_set_level(LOG_ERROR);
	assert_true(stack_limits(rig_stack(r), l, STACK_LIMITS_MAX) >= 3);
	assert_string_equal(l[0].name, "max-conns");
	assert_int_equal(l[0].value, 4);
	assert_int_equal(stack_limit_set(rig_stack(r), "max-conns", LIMIT_TCP_FLOWS + 1), -ERANGE);
	assert_int_equal(stack_limit_set(rig_stack(r), "max-conns", 0), -ERANGE);
	assert_int_equal(stack_limit_set(rig_stack(r), "max-cons", 1), -ENOENT);

	open_one(r, 40000, port, &refused);
	assert_false(refused);
	open_one(r, 40001, port, &refused);
	assert_false(refused);
	/* Lower than what is used: those stay, none comes. */
	assert_int_equal(stack_limit_set(rig_stack(r), "max-conns", 1), 0);
	open_one(r, 40002, port, &refused);
	assert_true(refused);
	assert_int_equal(stack_limits(rig_stack(r), l, 1), 1);
	assert_int_equal(l[0].used, 2);
	assert_int_equal(stack_limit_set(rig_stack(r), "max-conns", 3), 0);
	open_one(r, 40003, port, &refused);
	assert_false(refused);
	open_one(r, 40004, port, &refused);
	assert_true(refused);

	assert_int_equal(stack_limit_set(rig_stack(r), "max-conns", 4), 0);
	assert_int_equal(stack_limit_set(rig_stack(r), "max-conn-rate", 1), 0);
	open_one(r, 40005, port, &refused);
	assert_false(refused);
	open_one(r, 40006, port, &refused);
	assert_true(refused);
	assert_int_equal(rig_drops(r, DROP_CONN_RATE), 1);

	/* What was low at the start can be lifted. */
	assert_int_equal(stack_limit_set(rig_stack(r), "max-conn-rate", 0), 0);
	assert_int_equal(stack_limit_set(rig_stack(r), "max-conns", 40), 0);
	for (uint16_t i = 0; i < 36; i++) {
		open_one(r, (uint16_t)(41000 + i), port, &refused);
		assert_false(refused);
	}
	open_one(r, 41036, port, &refused);
	assert_true(refused);
	close(lfd);
	rig_free(r);
}

/* The value of @name as it is shown, and how much of it is used. */
static uint64_t limit_shown(struct rig *r, const char *name, uint64_t *used)
{
	struct stack_limit l[STACK_LIMITS_MAX];
	uint32_t n = stack_limits(rig_stack(r), l, STACK_LIMITS_MAX);

	for (uint32_t i = 0; i < n; i++) {
		if (strcmp(l[i].name, name) != 0)
			continue;
		*used = l[i].used;
		return l[i].value;
	}
	fail_msg("no limit is called %s", name);
	return 0;
}

/* Whatever the command line bounds can be changed, and what is shown is what was set. */
static void every_limit_can_be_changed(void **state)
{
	static const char *const names[] = { "max-conns", "max-conn-rate",    "max-udp",
					     "max-ping",  "dns-cache",	      "rate-out",
					     "rate-in",	  "rate-out-packets", "rate-in-packets",
					     "rate-burst" };
	uint64_t used;
	struct rig *r;

	(void)state;
	r = rig_new(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(stack_limit_set(rig_stack(r), names[i], 10 + i), 0);
		assert_int_equal(limit_shown(r, names[i], &used), 10 + i);
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(limit_shown(r, names[i], &used), 10 + i);
	rig_free(r);
}

static void datagram_limits_hold_and_can_be_lifted(void **state)
{
	struct rig_config cfg;
	uint64_t used;
	struct rig *r;
	uint16_t port;
	int fd = rig_udp_socket(&port);

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.max_udp = 2;
	r = rig_new(&cfg);
	log_set_level(LOG_ERROR);
	for (uint16_t i = 0; i < 5; i++)
		rig_send_udp(r, (uint16_t)(5000 + i), RIG_GATEWAY, port, "x", 1);
	assert_int_equal(limit_shown(r, "max-udp", &used), 2);
	assert_int_equal(used, 2);
	assert_int_equal(rig_drops(r, DROP_FLOW_LIMIT), 3);
	assert_int_equal(stack_limit_set(rig_stack(r), "max-udp", 4), 0);
	for (uint16_t i = 0; i < 5; i++)
		rig_send_udp(r, (uint16_t)(5000 + i), RIG_GATEWAY, port, "x", 1);
	limit_shown(r, "max-udp", &used);
	assert_int_equal(used, 4);
	assert_int_equal(rig_drops(r, DROP_FLOW_LIMIT), 4);
	close(fd);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flow_tells_what_it_has_moved),
		cmocka_unit_test(a_host_that_does_not_read_is_named),
		cmocka_unit_test(a_guest_that_does_not_read_is_named),
		cmocka_unit_test(a_guest_without_buffers_is_named),
		cmocka_unit_test(a_walk_in_pieces_finds_each_flow_once),
		cmocka_unit_test(flows_without_tokens_are_named),
		cmocka_unit_test(limits_move_while_the_stack_runs),
		cmocka_unit_test(every_limit_can_be_changed),
		cmocka_unit_test(datagram_limits_hold_and_can_be_lifted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
