/* SPDX-License-Identifier: MIT */
/*
 * Memory over time: ten thousand flows of every kind allocate nothing, what a
 * burst took is given back, and giving back costs an idle stack nothing.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "tcpstack/limits.h"
#include "tests/stack/rig_tcp.h"
#include "tests/stack/udp_rig.h"

#define CHURN 10000

enum ending { GUEST_FIRST, HOST_FIRST, GUEST_RESETS, HOST_RESETS, ENDINGS };

/* A connection with a byte each way, ended as @how says. */
static void one_connection(struct rig *r, int lfd, uint16_t port, uint16_t sport, enum ending how)
{
	uint64_t sent = 0, got = 0;
	struct rig_conn c;
	int fd;

	rig_conn_init(&c, r, sport, port);
	fd = rig_conn_open(&c, lfd);
	rig_conn_send(&c, 1);
	rig_cycle(r);
	rig_pump_read(fd, c.tx_seed, &got);
	assert_int_equal(got, 1);
	rig_pump_write(fd, c.rx_seed, &sent, 1);
	rig_cycle(r);
	RIG_CONN_UNTIL(&c, c.rx_bytes == 1);
	switch (how) {
	case GUEST_FIRST:
		rig_conn_fin(&c);
		rig_cycle(r);
		rig_read_eof(r, fd);
		close(fd);
		rig_cycle(r);
		RIG_CONN_UNTIL(&c, c.fin);
		break;
	case HOST_FIRST:
		close(fd);
		rig_cycle(r);
		RIG_CONN_UNTIL(&c, c.fin);
		rig_conn_fin(&c);
		rig_cycle(r);
		RIG_CONN_UNTIL(&c, rig_conn_acked(&c));
		break;
	case GUEST_RESETS:
		rig_conn_segment(&c, RIG_RST | RIG_ACK, c.snd_nxt, NULL, 0);
		rig_cycle(r);
		close(fd);
		break;
	default:
		rig_reset_close(fd);
		rig_cycle(r);
		RIG_CONN_UNTIL(&c, c.rst);
		break;
	}
}

static void ten_thousand_connections_allocate_nothing(void **state)
{
	uint64_t first;
	struct rig *r;
	uint16_t port;
	int lfd = rig_listen(&port);

	(void)state;
	r = rig_new(NULL);
	first = rig_allocs(r);
	for (uint32_t i = 0; i < CHURN; i++) {
		one_connection(r, lfd, port, (uint16_t)(20000 + i), (enum ending)(i % ENDINGS));
		rig_advance(r, 20 * NS_PER_MS); /* TIME_WAIT ends for those of two seconds ago */
	}
	assert_int_equal(rig_allocs(r), first);
	assert_int_equal(COUNT(r, tcp_established), CHURN);
	rig_advance(r, 4 * NS_PER_S);
	assert_int_equal(COUNT(r, tcp_active), 0);
	assert_int_equal(rig_held(r), 0);
	close(lfd);
	rig_free(r);
}

static void ten_thousand_datagram_flows_allocate_nothing(void **state)
{
	struct sockaddr_in peer;
	struct rig_config cfg;
	struct rig *r;
	uint16_t port;
	int fd = rig_udp_socket(&port);

	(void)state;
	rig_config_defaults(&cfg);
	r = rig_new(&cfg);
	for (uint32_t i = 0; i < CHURN; i++) {
		uint16_t sport = (uint16_t)(20000 + i);

		udp_guest_sends(r, sport, port, i % 1400, i);
		peer = udp_server_gets(r, fd, i % 1400, i);
		udp_server_sends(fd, &peer, i % 1000, i);
		rig_cycle(r);
		udp_guest_gets(r, port, sport, i % 1000, i);
		if (i % cfg.stack.max_udp == 0)
			rig_advance(r, LIMIT_EVICT_IDLE_NS + NS_PER_S); /* they make room now */
	}
	assert_int_equal(COUNT(r, udp_opened), CHURN);
	assert_int_equal(rig_allocs(r), 0);
	close(fd);
	rig_free(r);
}

/* A query for the name "nnnn", and its answer: the same message with QR set. */
static void thousands_of_queries_allocate_nothing(void **state)
{
	struct rig_config cfg;
	struct rig_pkt pkt;
	uint8_t msg[12 + 10] = { 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 1, 0, 1 };
	struct sockaddr_in peer;
	struct rig *r;
	ssize_t n;
	int fd;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.nresolvers = 1;
	cfg.stack.resolvers[0].addr = ipaddr_from_v4(INADDR_LOOPBACK);
	fd = rig_udp_socket(&cfg.stack.resolvers[0].port);
	r = rig_new(&cfg);
	for (uint32_t i = 0; i < CHURN / 4; i++) {
		put_be16(msg, (uint16_t)i);
		for (uint32_t k = 0; k < 4; k++)
			msg[13 + k] = (uint8_t)('a' + (i >> 4 * k & 15));
		rig_send_udp(r, (uint16_t)(20000 + i), cfg.stack.dns4, 53, msg, sizeof(msg));
		RIG_UNTIL(r, udp_try_receive(fd, &peer, &n));
		assert_int_equal(n, sizeof(msg));
		udp_in[2] |= 0x80;
		assert_int_equal(
			sendto(fd, udp_in, sizeof(msg), 0, (struct sockaddr *)&peer, sizeof(peer)),
			sizeof(msg));
		RIG_UNTIL(r, rig_pop(r, &pkt));
		assert_int_equal(get_be16(pkt.payload), (uint16_t)i);
	}
	assert_int_equal(COUNT(r, dns_answers), CHURN / 4);
	assert_int_equal(rig_allocs(r), 0);
	close(fd);
	rig_free(r);
}

/* Bytes of anonymous mappings that have pages; not the heap, which is the rig's. */
static uint64_t resident_anon(void)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	uint64_t sum = 0;
	char line[512];
	bool heap = false;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long long a, b;

		if (sscanf(line, "%llx-%llx ", &a, &b) == 2)
			heap = strstr(line, "[heap]") != NULL;
		else if (!heap && sscanf(line, "Anonymous: %llu", &a) == 1)
			sum += a << 10;
	}
	fclose(f);
	return sum;
}

static const struct stack_memory *row_of(struct rig *r, const char *name)
{
	static struct stack_memory rows[STACK_MEMORY_ROWS];
	uint32_t n = stack_memory_rows(rig_stack(r), rows, ARRAY_SIZE(rows));

	assert_true(n < ARRAY_SIZE(rows));
	for (uint32_t i = 0; i < n; i++) {
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	}
	fail_msg("no row %s", name);
	return NULL;
}

/*
 * Parked bytes of stalled flows: megabytes of the arena, until the host reads. One of
 * the flows lives on, and keeps no more than its own.
 */
#define STALLED 32

static void memory_returns_after_a_burst(void **state)
{
	struct rig_conn *c = calloc(STALLED, sizeof(*c));
	uint64_t got[STALLED] = { 0 }, before, burst, total = MIB, parked;
	struct rig_config cfg;
	struct rig *r;
	uint16_t port;
	int lfd = rig_listen(&port), fd[STALLED];

	(void)state;
	rig_config_defaults(&cfg);
	cfg.stack.sndbuf = 16384;
	r = rig_new(&cfg);
	rig_conn_open_all(c, fd, STALLED, r, 40000, port, lfd);
	before = resident_anon();
	for (uint32_t n = 0; n < 200; n++) {
		for (uint32_t i = 0; i < STALLED; i++)
			rig_conn_upload(&c[i], total, 1460);
		rig_conn_cycle(c);
	}
	parked = row_of(r, "tcp-park")->peak;
	if (row_of(r, "tcp-park")->in_use == 0 || parked < 8) {
		print_message("SKIP: this host's sockets took it all: %llu buffers parked\n",
			      (unsigned long long)parked);
		skip();
	}
	burst = resident_anon();
	for (uint32_t i = 0; i < STALLED; i++)
		RIG_CONN_UNTIL(c, (rig_conn_upload(&c[i], total, 1460),
				   rig_pump_read(fd[i], c[i].tx_seed, &got[i]), got[i] == total));
	assert_int_equal(row_of(r, "tcp-park")->in_use, 0);
	for (uint32_t i = 0; i < STALLED; i++) {
		if (i == STALLED / 2)
			continue;
		rig_conn_segment(&c[i], RIG_RST | RIG_ACK, c[i].snd_nxt, NULL, 0);
		close(fd[i]);
	}
	rig_advance(r, 5 * NS_PER_S);
	print_message("[  INFO  ] resident: %llu KiB, in the burst +%lld, afterwards %+lld\n",
		      (unsigned long long)before >> 10, (long long)(burst - before) >> 10,
		      (long long)(resident_anon() - before) / 1024);
	assert_true(COUNT(r, trims) > 0);
	assert_int_equal(COUNT(r, tcp_active), 1);
	/* Under the debug backend a slot is a malloc, and the heap keeps what it likes. */
	if (rig_slots_are_mapped(r))
		assert_true(resident_anon() < before + 256 * 1024);
	close(fd[STALLED / 2]);
	close(lfd);
	rig_free(r);
	free(c);
}

/* H34: the look for idle memory ends when there is nothing more to find. */
static void an_idle_stack_stays_asleep(void **state)
{
	uint64_t cycles;
	struct rig *r;
	uint16_t port;
	int lfd = rig_listen(&port);

	(void)state;
	r = rig_new(NULL);
	assert_true(timer_wheel_next_ns(loop_timers(stack_loop(rig_stack(r)))) == UINT64_MAX);
	one_connection(r, lfd, port, 20000, HOST_RESETS);
	assert_true(timer_wheel_next_ns(loop_timers(stack_loop(rig_stack(r)))) < UINT64_MAX);
	rig_advance(r, 3 * NS_PER_S);
	assert_true(COUNT(r, trims) > 0);
	assert_true(timer_wheel_next_ns(loop_timers(stack_loop(rig_stack(r)))) == UINT64_MAX);
	cycles = COUNT(r, cycles);
	rig_advance(r, 3600 * NS_PER_S);
	assert_int_equal(COUNT(r, cycles), cycles + 1); /* that of rig_advance() */
	close(lfd);
	rig_free(r);
}

/* Handles from before a trim name nothing after it, though the records begin anew (H53). */
static void flows_after_a_trim_are_new_flows(void **state)
{
	struct rig *r;
	uint16_t port;
	int lfd = rig_listen(&port);

	(void)state;
	r = rig_new(NULL);
	for (uint32_t round = 0; round < 3; round++) {
		uint64_t trims = COUNT(r, trims);

		for (uint32_t i = 0; i < 40; i++)
			one_connection(r, lfd, port, (uint16_t)(20000 + i),
				       (enum ending)(i % ENDINGS));
		rig_advance(r, 10 * NS_PER_S);
		assert_true(COUNT(r, trims) > trims);
	}
	assert_int_equal(row_of(r, "tcp")->gets, 120);
	assert_int_equal(row_of(r, "tcp")->in_use, 0);
	close(lfd);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_thousand_connections_allocate_nothing),
		cmocka_unit_test(ten_thousand_datagram_flows_allocate_nothing),
		cmocka_unit_test(thousands_of_queries_allocate_nothing),
		cmocka_unit_test(memory_returns_after_a_burst),
		cmocka_unit_test(an_idle_stack_stays_asleep),
		cmocka_unit_test(flows_after_a_trim_are_new_flows),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
