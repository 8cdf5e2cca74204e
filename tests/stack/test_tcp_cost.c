/* SPDX-License-Identifier: MIT */
/* What TCP costs: heap calls (none) and system calls (a budget). */
#include "tests/stack/pair_rig.h"

#include <unistd.h>

#include "src/base/base.h"

/* Budgets of design.md section 6. */
#define CALLS_PER_ROUND_TRIP 6
#define CALLS_PER_CRR	     18

/* Connect, request, response, close: the server closes first, as HTTP/1.0 does. */
static void one_request(struct rig *r, int lfd, uint16_t port, uint16_t sport)
{
	struct rig_conn c;
	uint64_t sent = 0, got = 0;
	int fd;

	rig_conn_init(&c, r, sport, port);
	fd = rig_conn_open(&c, lfd);
	rig_conn_send(&c, 100);
	rig_cycle(r);
	rig_pump_read(fd, c.tx_seed, &got);
	assert_int_equal(got, 100);
	rig_pump_write(fd, c.rx_seed, &sent, 1000);
	close(fd);
	rig_conn_cycle(&c);
	if (!c.fin)
		RIG_CONN_UNTIL(&c, c.fin);
	assert_int_equal(c.rx_bytes, 1000);
	rig_conn_fin(&c);
	rig_conn_cycle(&c);
	assert_true(rig_conn_acked(&c));
}

static void a_thousand_connections_allocate_nothing(void **state)
{
	(void)state;
	struct rig *r;
	uint64_t first;
	uint16_t port;
	int lfd = rig_listen(&port);

	r = rig_new(NULL);
	one_request(r, lfd, port, 20000);
	first = rig_allocs(r);
	for (uint16_t i = 1; i < 1000; i++)
		one_request(r, lfd, port, (uint16_t)(20000 + i));
	assert_int_equal(rig_allocs(r), first);
	assert_int_equal(COUNT(r, tcp_established), 1000);
	close(lfd);
	rig_free(r);
}

/* H51: the clock is read once a cycle, and a batch costs calls by the batch, not by the frame. */
static void a_batch_costs_no_more_than_a_frame(void **state)
{
	(void)state;
	struct pair p;
	uint64_t calls, clock;

	pair_open(&p, NULL);
	for (uint32_t frames = 1; frames <= 32; frames *= 32) {
		calls = COUNT(p.r, syscalls);
		clock = rig_clock_reads(p.r);
		for (uint32_t i = 0; i < frames; i++)
			rig_conn_send(&p.c, 1000);
		rig_cycle(p.r);
		assert_int_equal(rig_clock_reads(p.r) - clock, 1);
		assert_in_range(COUNT(p.r, syscalls) - calls, 1, CALLS_PER_ROUND_TRIP);
		pair_read(&p);
	}
	assert_int_equal(p.got, 33 * 1000);
	pair_end(&p);
}

static void connect_request_response_is_within_budget(void **state)
{
	(void)state;
	struct rig *r;
	uint64_t before, each, cycles;
	uint16_t port;
	int lfd = rig_listen(&port);

	r = rig_new(NULL);
	one_request(r, lfd, port, 20000);
	before = COUNT(r, syscalls);
	cycles = COUNT(r, cycles);
	for (uint16_t i = 1; i <= 100; i++)
		one_request(r, lfd, port, (uint16_t)(20000 + i));
	/* The rig polls more often than a worker would wake up: its waits are counted apart. */
	each = (COUNT(r, syscalls) - before - (COUNT(r, cycles) - cycles)) / 100;
	print_message("[  INFO  ] connect-request-response: %llu system calls and the waits\n",
		      (unsigned long long)each);
	/* Waits: a kick each for SYN, ACK, request, FIN; connected; response and end. */
	assert_true(each + 6 <= CALLS_PER_CRR);
	close(lfd);
	rig_free(r);
}

static void round_trip_is_within_budget(void **state)
{
	(void)state;
	struct pair p;
	uint64_t before, cycles;

	pair_open(&p, NULL);
	p.c.auto_ack = false; /* the next request carries the ACK */
	before = COUNT(p.r, syscalls);
	cycles = COUNT(p.r, cycles);
	for (uint64_t i = 1; i <= 1000; i++) {
		rig_conn_send(&p.c, 1);
		RIG_UNTIL(p.r, pair_read(&p) == i);
		pair_write(&p, i);
		RIG_CONN_UNTIL(&p.c, p.c.rx_bytes == i);
	}
	before = COUNT(p.r, syscalls) - before - (COUNT(p.r, cycles) - cycles);
	print_message("[  INFO  ] round trip: %.2f system calls and two waits\n",
		      (double)before / 1000);
	assert_true(before <= 1000 * (CALLS_PER_ROUND_TRIP - 2));
	/* A small write waits for nothing. */
	assert_int_equal(COUNT(p.r, tcp_retransmits), 0);
	pair_end(&p);
}

static void bulk_allocates_nothing(void **state)
{
	(void)state;
	struct pair p;
	uint64_t first, total = 64 * MIB, calls;

	pair_open(&p, NULL);
	first = rig_allocs(p.r);
	calls = COUNT(p.r, syscalls);
	RIG_UNTIL(p.r, pair_upload(&p, total, 58400));
	print_message("[  INFO  ] upload: %.1f system calls a MiB\n",
		      (double)(COUNT(p.r, syscalls) - calls) / 64);
	calls = COUNT(p.r, syscalls);
	RIG_UNTIL(p.r, pair_download(&p, total));
	print_message("[  INFO  ] download: %.1f system calls a MiB\n",
		      (double)(COUNT(p.r, syscalls) - calls) / 64);
	assert_int_equal(rig_allocs(p.r), first);
	pair_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_costs_no_more_than_a_frame),
		cmocka_unit_test(a_thousand_connections_allocate_nothing),
		cmocka_unit_test(connect_request_response_is_within_budget),
		cmocka_unit_test(round_trip_is_within_budget),
		cmocka_unit_test(bulk_allocates_nothing),
	};

	return cmocka_run_group_tests_name("tcp_cost", tests, NULL, NULL);
}
