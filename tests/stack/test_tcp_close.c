/* SPDX-License-Identifier: MIT */
/* Closing TCP connections: FIN and RST, either way, and what is answered afterwards. */
#include "tests/stack/pair_rig.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "src/base/base.h"
#include "tcpstack/limits.h"

static void reset_by_host(struct pair *p)
{
	rig_reset_close(p->fd);
	p->fd = -1;
}

static bool gone(struct pair *p)
{
	rig_conn_poll(&p->c);
	return COUNT(p->r, tcp_active) == 0;
}

/* H32: the guest has said all it has to say, and still hears everything. */
static void guest_half_close(void **state)
{
	(void)state;
	struct pair p;

	pair_open(&p, NULL);
	rig_conn_send(&p.c, 1000);
	pair_guest_closes(&p);
	RIG_UNTIL(p.r, pair_read(&p) == 1000);
	rig_read_eof(p.r, p.fd);
	RIG_UNTIL(p.r, pair_download(&p, 500000));
	close(p.fd);
	p.fd = -1;
	RIG_UNTIL(p.r, gone(&p));
	assert_true(p.c.fin);
	assert_false(p.c.rst);
	assert_int_equal(COUNT(p.r, tcp_reset), 0);
	pair_end(&p);
}

/* H32: the same from the other side. */
static void host_half_close(void **state)
{
	(void)state;
	struct pair p;

	pair_open(&p, NULL);
	pair_write(&p, 3000);
	pair_host_closes(&p);
	assert_int_equal(p.c.rx_bytes, 3000);
	for (int i = 0; i < 100; i++) {
		rig_conn_send(&p.c, 1000);
		rig_conn_cycle(&p.c);
	}
	RIG_CONN_UNTIL(&p.c, pair_read(&p) == 100000);
	pair_guest_closes(&p);
	rig_read_eof(p.r, p.fd);
	/* TIME-WAIT, and then nothing. */
	assert_int_equal(COUNT(p.r, tcp_active), 1);
	rig_advance(p.r, LIMIT_TCP_TIME_WAIT_NS + NS_PER_S);
	assert_int_equal(COUNT(p.r, tcp_active), 0);
	assert_false(p.c.rst);
	pair_end(&p);
}

/*
 * The flow ends while the server has not read yet: the socket must close without a
 * reset, although bytes that the guest ACKed may still stand in its receive queue.
 */
static void close_cuts_nothing_off(void **state)
{
	(void)state;
	struct pair p;

	pair_open(&p, NULL);
	pair_write(&p, 100);
	RIG_CONN_UNTIL(&p.c, p.c.rx_bytes == 100);
	pair_host_closes(&p);
	RIG_CONN_UNTIL(&p.c, (rig_conn_upload(&p.c, 400000, 1000), p.c.tx_bytes == 400000));
	pair_guest_closes(&p);
	rig_advance(p.r, LIMIT_TCP_TIME_WAIT_NS + NS_PER_S);
	assert_int_equal(COUNT(p.r, tcp_active), 0);
	RIG_UNTIL(p.r, pair_read(&p) == 400000);
	rig_read_eof(p.r, p.fd);
	pair_end(&p);
}

/* H31: a FIN with payload takes payload + 1. */
static void fin_with_payload_is_acked_whole(void **state)
{
	(void)state;
	struct pair p;
	uint8_t data[500];

	pair_open(&p, NULL);
	rig_pattern(data, 500, p.c.tx_seed, 0);
	rig_conn_segment(&p.c, RIG_ACK | RIG_FIN | RIG_PSH, p.c.snd_nxt, data, 500);
	p.c.snd_nxt += 501;
	p.c.snd_max = p.c.snd_nxt;
	RIG_CONN_UNTIL(&p.c, rig_conn_acked(&p.c));
	RIG_UNTIL(p.r, pair_read(&p) == 500);
	rig_read_eof(p.r, p.fd);
	pair_end(&p);
}

/* H31: a FIN that comes again is ACKed again, in CLOSE-WAIT and in TIME-WAIT. */
static void repeated_fin_is_acked_again(void **state)
{
	(void)state;
	struct pair p;

	pair_open(&p, NULL);
	pair_guest_closes(&p);
	p.c.acks = 0;
	rig_conn_segment(&p.c, RIG_ACK | RIG_FIN, p.c.snd_nxt - 1, NULL, 0);
	rig_conn_cycle(&p.c);
	assert_int_equal(p.c.acks, 1);
	pair_end(&p);

	pair_open(&p, NULL);
	pair_host_closes(&p);
	pair_guest_closes(&p);
	p.c.acks = 0;
	rig_conn_segment(&p.c, RIG_ACK | RIG_FIN, p.c.snd_nxt - 1, NULL, 0);
	rig_conn_cycle(&p.c);
	assert_int_equal(p.c.acks, 1);
	assert_false(p.c.rst);
	pair_end(&p);
}

/* H33: our FIN is data like any other: it is sent until it is ACKed. */
static void lost_fin_is_resent(void **state)
{
	(void)state;
	struct pair p;
	struct rig_pkt pkt;

	pair_open(&p, NULL);
	shutdown(p.fd, SHUT_WR);
	RIG_UNTIL(p.r, rig_pop(p.r, &pkt)); /* lost */
	assert_true(pkt.flags & RIG_FIN);
	rig_advance(p.r, 2 * NS_PER_S);
	rig_conn_poll(&p.c);
	assert_true(p.c.fin);
	pair_end(&p);
}

/* Payload and FIN that are lost together come again together. */
static void lost_last_data_and_fin_are_resent(void **state)
{
	(void)state;
	struct pair p;
	struct rig_pkt pkt;

	pair_open(&p, NULL);
	pair_write(&p, 4000);
	shutdown(p.fd, SHUT_WR);
	for (int i = 0; i < 20; i++) {
		rig_cycle(p.r);
		while (rig_pop(p.r, &pkt))
			;
	}
	rig_advance(p.r, 3 * NS_PER_S);
	RIG_CONN_UNTIL(&p.c, p.c.fin);
	assert_int_equal(p.c.rx_bytes, 4000);
	pair_end(&p);
}

/* The guest's FIN waits behind parked bytes: ACKed only when they have gone (H31). */
static void fin_waits_for_parked_bytes(void **state)
{
	(void)state;
	struct pair p;
	uint64_t total;

	pair_open(&p, NULL);
	for (int i = 0; i < 200; i++) {
		rig_conn_upload(&p.c, UINT64_MAX, 1460);
		rig_conn_cycle(&p.c);
	}
	assert_false(rig_conn_acked(&p.c));
	total = p.c.tx_bytes;
	rig_conn_fin(&p.c);
	for (int i = 0; i < 10; i++) {
		rig_conn_cycle(&p.c);
	}
	assert_false(rig_conn_acked(&p.c));
	RIG_CONN_UNTIL(&p.c, pair_read(&p) == total);
	RIG_CONN_UNTIL(&p.c, rig_conn_acked(&p.c));
	rig_read_eof(p.r, p.fd);
	pair_end(&p);
}

/* H39 */
static void host_reset_is_reset(void **state)
{
	(void)state;
	struct pair p;

	pair_open(&p, NULL);
	reset_by_host(&p);
	RIG_UNTIL(p.r, gone(&p));
	RIG_CONN_UNTIL(&p.c, p.c.rst);
	assert_int_equal(p.c.last.seq, p.c.rcv_nxt); /* exact, so that it counts (RFC 5961) */
	assert_false(p.c.fin);
	assert_int_equal(COUNT(p.r, tcp_reset), 1);
	pair_end(&p);
}

/* H39: also while the guest's last ACK of the handshake is still on its way. */
static void host_reset_before_the_guest_has_answered(void **state)
{
	(void)state;
	struct pair p;

	pair_start(&p, NULL);
	rig_conn_syn(&p.c);
	RIG_CONN_UNTIL(&p.c, p.c.synack);
	rig_reset_close(rig_accept(p.r, p.lfd));
	RIG_CONN_UNTIL(&p.c, p.c.rst);
	assert_int_equal(COUNT(p.r, tcp_active), 0);
	pair_end(&p);
}

static bool is_reset(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
}

/* H39 */
static void guest_reset_is_reset(void **state)
{
	(void)state;
	struct pair p;

	pair_open(&p, NULL);
	rig_conn_segment(&p.c, RIG_RST, p.c.snd_nxt, NULL, 0);
	RIG_UNTIL(p.r, is_reset(p.fd));
	assert_int_equal(COUNT(p.r, tcp_active), 0);
	pair_end(&p);
}

/* H39: where the kernel is connected, and the stack has not heard of it, a FIN would be a lie. */
static void guest_reset_of_an_attempt_is_reset(void **state)
{
	(void)state;
	struct pair p;
	struct pollfd pfd = { .events = POLLIN };

	pair_start(&p, NULL);
	pfd.fd = p.lfd;
	rig_conn_syn(&p.c);
	assert_int_equal(poll(&pfd, 1, RIG_PATIENCE_MS), 1);
	rig_conn_segment(&p.c, RIG_RST, p.c.snd_nxt, NULL, 0);
	assert_int_equal(COUNT(p.r, tcp_active), 0);
	p.fd = rig_accept(p.r, p.lfd);
	RIG_UNTIL(p.r, is_reset(p.fd));
	pair_end(&p);
}

/* RFC 5961 3.2: a RST that only falls into the window is challenged. */
static void inexact_reset_is_challenged(void **state)
{
	(void)state;
	struct pair p;

	pair_open(&p, NULL);
	p.c.acks = 0;
	rig_conn_segment(&p.c, RIG_RST, p.c.snd_nxt + 1000, NULL, 0);
	rig_conn_cycle(&p.c);
	assert_int_equal(p.c.acks, 1);
	assert_int_equal(COUNT(p.r, tcp_active), 1);
	/* Outside of it, it is nothing at all. */
	rig_conn_segment(&p.c, RIG_RST, p.c.snd_nxt - 5000, NULL, 0);
	rig_conn_cycle(&p.c);
	assert_int_equal(p.c.acks, 1);
	assert_int_equal(COUNT(p.r, tcp_active), 1);
	pair_end(&p);
}

/* RFC 5961 4: so is a SYN. And there is no storm of them (RFC 5961 7). */
static void syn_in_the_window_is_challenged(void **state)
{
	(void)state;
	struct pair p;

	pair_open(&p, NULL);
	p.c.acks = 0;
	rig_conn_segment(&p.c, RIG_SYN, p.c.snd_nxt, NULL, 0);
	rig_conn_cycle(&p.c);
	assert_int_equal(p.c.acks, 1);
	for (int i = 0; i < 500; i++) {
		rig_conn_segment(&p.c, RIG_SYN, p.c.snd_nxt, NULL, 0);
		rig_conn_cycle(&p.c);
	}
	assert_int_equal(p.c.acks, LIMIT_TCP_CHALLENGES);
	assert_int_equal(COUNT(p.r, tcp_active), 1);
	rig_conn_send(&p.c, 10);
	RIG_CONN_UNTIL(&p.c, rig_conn_acked(&p.c));
	pair_end(&p);
}

/* H39: the host's application has closed for good; what the guest sends on is reset. */
static void sending_to_a_closed_host_is_reset(void **state)
{
	(void)state;
	struct pair p;

	pair_open(&p, NULL);
	close(p.fd);
	p.fd = -1;
	RIG_CONN_UNTIL(&p.c, p.c.fin);
	for (uint64_t since = clock_now_ns(); !p.c.rst;) {
		rig_conn_send(&p.c, 10);
		rig_step(p.r, since, "RST", __FILE__, __LINE__);
		rig_conn_poll(&p.c);
	}
	assert_int_equal(COUNT(p.r, tcp_active), 0);
	pair_end(&p);
}

/* RFC 6191: a port in TIME-WAIT serves a new connection at once. */
static void new_syn_reuses_time_wait(void **state)
{
	(void)state;
	struct pair p;
	uint32_t last;

	pair_open(&p, NULL);
	pair_host_closes(&p);
	pair_guest_closes(&p);
	close(p.fd);
	last = p.c.snd_nxt;
	rig_conn_init(&p.c, p.r, 40000, p.c.dport);
	p.c.iss = last + 100000;
	p.fd = rig_conn_open(&p.c, p.lfd);
	rig_conn_send(&p.c, 10);
	RIG_CONN_UNTIL(&p.c, rig_conn_acked(&p.c));
	pair_end(&p);
}

/* H32: flows in TIME-WAIT make room when the table is full. */
static void time_wait_gives_way_to_new_flows(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct rig *r;
	uint16_t port;
	int lfd = rig_listen(&port);

	rig_config_defaults(&cfg);
	cfg.stack.max_tcp = 4;
	r = rig_new(&cfg);
	for (uint16_t i = 0; i < 20; i++) {
		struct rig_conn c;
		int fd;

		rig_conn_init(&c, r, (uint16_t)(40000 + i), port);
		fd = rig_conn_open(&c, lfd);
		close(fd);
		RIG_CONN_UNTIL(&c, c.fin);
		rig_conn_fin(&c);
		RIG_CONN_UNTIL(&c, rig_conn_acked(&c));
	}
	assert_int_equal(rig_drops(r, DROP_FLOW_LIMIT), 0);
	close(lfd);
	rig_free(r);
}

/* Both FINs cross (RFC 9293 3.6, CLOSING). */
static void simultaneous_close(void **state)
{
	(void)state;
	struct pair p;

	pair_open(&p, NULL);
	p.c.auto_ack = false;
	shutdown(p.fd, SHUT_WR);
	RIG_UNTIL(p.r, rig_pending(p.r) > 0);
	/* Sent before the guest has seen ours. */
	rig_conn_fin(&p.c);
	rig_conn_cycle(&p.c);
	assert_true(p.c.fin);
	rig_conn_ack(&p.c);
	RIG_CONN_UNTIL(&p.c, rig_conn_acked(&p.c));
	rig_advance(p.r, LIMIT_TCP_TIME_WAIT_NS + NS_PER_S);
	assert_int_equal(COUNT(p.r, tcp_active), 0);
	assert_false(p.c.rst);
	pair_end(&p);
}

/* H32: idle flows are reaped; half-closed ones sooner. */
static void idle_flows_are_reaped(void **state)
{
	(void)state;
	struct pair p;

	pair_open(&p, NULL);
	rig_advance(p.r, LIMIT_TCP_IDLE_NS - 60 * NS_PER_S);
	assert_int_equal(COUNT(p.r, tcp_active), 1);
	rig_advance(p.r, 120 * NS_PER_S);
	assert_int_equal(COUNT(p.r, tcp_active), 0);
	rig_conn_poll(&p.c);
	assert_true(p.c.rst);
	RIG_UNTIL(p.r, is_reset(p.fd));
	pair_end(&p);

	pair_open(&p, NULL);
	pair_guest_closes(&p);
	rig_advance(p.r, LIMIT_TCP_IDLE_HALF_NS + 60 * NS_PER_S);
	assert_int_equal(COUNT(p.r, tcp_active), 0);
	pair_end(&p);
}

/* H34: half-closed either way, nothing happens, and nothing is called. */
static void half_closed_flow_costs_nothing(void **state)
{
	(void)state;

	for (int side = 0; side < 2; side++) {
		struct pair p;

		pair_open(&p, NULL);
		if (side == 0)
			pair_guest_closes(&p);
		else
			pair_host_closes(&p);
		for (int i = 0; i < 10; i++)
			rig_cycle(p.r);
		rig_assert_asleep(p.r);
		pair_end(&p);
	}
}

/* H53: an event of a flow that has just ended reaches no other. */
static void event_of_a_dead_flow_is_ignored(void **state)
{
	(void)state;
	struct pair p;
	int fd;

	pair_open(&p, NULL);
	/* The event is in the kernel's queue; the flow goes, its record serves anew. */
	pair_write(&p, 100);
	rig_conn_segment(&p.c, RIG_RST, p.c.snd_nxt, NULL, 0);
	fd = p.fd;
	rig_conn_init(&p.c, p.r, 40001, p.c.dport);
	p.fd = rig_conn_open(&p.c, p.lfd);
	close(fd);
	for (int i = 0; i < 10; i++)
		rig_cycle(p.r);
	rig_conn_poll(&p.c);
	assert_int_equal(p.c.frames, 0);
	assert_false(p.c.rst);
	assert_int_equal(COUNT(p.r, tcp_active), 1);
	pair_end(&p);
}

/* The guest's driver gives no more buffers, and what the host sends takes the last. */
static void fill_ring(struct pair *p)
{
	rig_set_auto_refill(p->r, false);
	pair_write(p, 256 << 10);
	RIG_UNTIL(p->r, rig_rx_free(p->r) == 0);
}

/*
 * H60: a RST for a guest that takes no frames, for want of a driver or of buffers, or
 * first one and then the other, comes when it takes some again: once, and exact.
 */
static void a_reset_waits_for_a_guest_that_takes_no_frames(void **state)
{
	enum { NO_DRIVER = 1, NO_BUFFERS };

	(void)state;
	for (int without = NO_DRIVER; without <= (NO_DRIVER | NO_BUFFERS); without++) {
		struct rig_config cfg;
		struct pair p;

		rig_config_defaults(&cfg);
		cfg.rx_buffers = 8;
		pair_open(&p, &cfg);
		if (without & NO_BUFFERS)
			fill_ring(&p);
		if (without == NO_DRIVER)
			rig_detach(p.r);
		reset_by_host(&p);
		RIG_UNTIL(p.r, COUNT(p.r, tcp_reset) == 1);
		if (without == (NO_DRIVER | NO_BUFFERS))
			rig_detach(p.r); /* the rig's driver forgets its buffers, too */
		for (int i = 0; i < 20; i++)
			rig_advance(p.r, NS_PER_S);
		if (without & NO_DRIVER)
			rig_attach(p.r);
		rig_set_auto_refill(p.r, true);
		p.c.auto_ack = false; /* a guest that only listens */
		RIG_CONN_UNTIL(&p.c, p.c.rst);
		assert_int_equal(COUNT(p.r, tcp_active), 0);
		pair_end(&p);
	}
}

/* Whoever speaks on such a connection first is answered at once, and may open it anew. */
static void a_guest_that_was_not_told_of_a_reset_can_connect_again(void **state)
{
	struct rig_config cfg;
	struct pair p;

	(void)state;
	rig_config_defaults(&cfg);
	cfg.rx_buffers = 8;
	pair_start(&p, &cfg);
	for (uint64_t syn = 0; syn < 2; syn++) {
		rig_conn_init(&p.c, p.r, 40000, p.c.dport);
		p.c.auto_ack = false;
		p.sent = 0;
		pair_connect(&p);
		fill_ring(&p);
		reset_by_host(&p);
		RIG_UNTIL(p.r, COUNT(p.r, tcp_reset) == syn + 1);
		rig_conn_poll(&p.c);
		assert_false(p.c.rst);
		if (syn) {
			p.c.iss += 100000;
			p.c.synack = false;
			rig_conn_syn(&p.c);
		} else {
			rig_conn_ack(&p.c);
		}
		rig_set_auto_refill(p.r, true);
		RIG_CONN_UNTIL(&p.c, syn ? p.c.synack : p.c.rst);
		assert_int_equal(COUNT(p.r, tcp_active), syn);
	}
	pair_end(&p);
}

/* H60: the guest goes for good, and the host's side of each flow hears of it. */
static void a_guest_that_is_gone_resets_its_connections(void **state)
{
	(void)state;
	struct pair p;

	pair_open(&p, NULL);
	rig_detach(p.r);
	stack_reset(rig_stack(p.r));
	RIG_UNTIL(p.r, is_reset(p.fd));
	assert_int_equal(COUNT(p.r, tcp_active), 0);
	pair_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_guest_that_is_gone_resets_its_connections),
		cmocka_unit_test(a_reset_waits_for_a_guest_that_takes_no_frames),
		cmocka_unit_test(a_guest_that_was_not_told_of_a_reset_can_connect_again),
		cmocka_unit_test(guest_half_close),
		cmocka_unit_test(host_half_close),
		cmocka_unit_test(close_cuts_nothing_off),
		cmocka_unit_test(fin_with_payload_is_acked_whole),
		cmocka_unit_test(repeated_fin_is_acked_again),
		cmocka_unit_test(lost_fin_is_resent),
		cmocka_unit_test(lost_last_data_and_fin_are_resent),
		cmocka_unit_test(fin_waits_for_parked_bytes),
		cmocka_unit_test(host_reset_is_reset),
		cmocka_unit_test(host_reset_before_the_guest_has_answered),
		cmocka_unit_test(guest_reset_is_reset),
		cmocka_unit_test(guest_reset_of_an_attempt_is_reset),
		cmocka_unit_test(inexact_reset_is_challenged),
		cmocka_unit_test(syn_in_the_window_is_challenged),
		cmocka_unit_test(sending_to_a_closed_host_is_reset),
		cmocka_unit_test(new_syn_reuses_time_wait),
		cmocka_unit_test(time_wait_gives_way_to_new_flows),
		cmocka_unit_test(simultaneous_close),
		cmocka_unit_test(idle_flows_are_reaped),
		cmocka_unit_test(half_closed_flow_costs_nothing),
		cmocka_unit_test(event_of_a_dead_flow_is_ignored),
	};

	return cmocka_run_group_tests_name("tcp_close", tests, NULL, NULL);
}
