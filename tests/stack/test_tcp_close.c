/* SPDX-License-Identifier: MIT */
/* Closing TCP connections: FIN and RST, either way, and what is answered afterwards. */
#include "tests/stack/rig_tcp.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "src/base/base.h"
#include "tcpstack/limits.h"

#define COUNT(r, name) counter_get(&stack_counters(rig_stack(r))->name)

struct pair {
	struct rig *r;
	struct rig_conn c;
	int lfd, fd;
	uint64_t sent, got;
};

static void pair_open(struct pair *p, const struct rig_config *cfg)
{
	struct rig_config def;
	uint16_t port;

	rig_config_defaults(&def);
	*p = (struct pair){ .r = rig_new(cfg ? cfg : &def) };
	p->lfd = rig_listen(&port);
	rig_conn_init(&p->c, p->r, 40000, port);
	p->fd = rig_conn_open(&p->c, p->lfd);
}

static void pair_end(struct pair *p)
{
	if (p->fd >= 0)
		close(p->fd);
	close(p->lfd);
	rig_free(p->r);
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
	rig_conn_fin(&p.c);
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), rig_conn_acked(&p.c)));
	RIG_UNTIL(p.r, (rig_pump_read(p.fd, p.c.tx_seed, &p.got), p.got == 1000));
	rig_read_eof(p.r, p.fd);
	RIG_UNTIL(p.r, (rig_pump_write(p.fd, p.c.rx_seed, &p.sent, 500000), rig_conn_poll(&p.c),
			p.c.rx_bytes == 500000));
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
	rig_pump_write(p.fd, p.c.rx_seed, &p.sent, 3000);
	shutdown(p.fd, SHUT_WR);
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), p.c.fin));
	assert_int_equal(p.c.rx_bytes, 3000);
	for (int i = 0; i < 100; i++) {
		rig_conn_send(&p.c, 1000);
		rig_cycle(p.r);
		rig_conn_poll(&p.c);
	}
	RIG_UNTIL(p.r,
		  (rig_conn_poll(&p.c), rig_pump_read(p.fd, p.c.tx_seed, &p.got), p.got == 100000));
	rig_conn_fin(&p.c);
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), rig_conn_acked(&p.c)));
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
	rig_pump_write(p.fd, p.c.rx_seed, &p.sent, 100);
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), p.c.rx_bytes == 100));
	shutdown(p.fd, SHUT_WR);
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), p.c.fin));
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), rig_conn_upload(&p.c, 400000, 1000),
			p.c.tx_bytes == 400000));
	rig_conn_fin(&p.c);
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), rig_conn_acked(&p.c)));
	rig_advance(p.r, LIMIT_TCP_TIME_WAIT_NS + NS_PER_S);
	assert_int_equal(COUNT(p.r, tcp_active), 0);
	RIG_UNTIL(p.r, (rig_pump_read(p.fd, p.c.tx_seed, &p.got), p.got == 400000));
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
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), rig_conn_acked(&p.c)));
	RIG_UNTIL(p.r, (rig_pump_read(p.fd, p.c.tx_seed, &p.got), p.got == 500));
	rig_read_eof(p.r, p.fd);
	pair_end(&p);
}

/* H31: a FIN that comes again is ACKed again, in CLOSE-WAIT and in TIME-WAIT. */
static void repeated_fin_is_acked_again(void **state)
{
	(void)state;
	struct pair p;

	pair_open(&p, NULL);
	rig_conn_fin(&p.c);
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), rig_conn_acked(&p.c)));
	p.c.acks = 0;
	rig_conn_segment(&p.c, RIG_ACK | RIG_FIN, p.c.snd_nxt - 1, NULL, 0);
	rig_cycle(p.r);
	rig_conn_poll(&p.c);
	assert_int_equal(p.c.acks, 1);
	pair_end(&p);

	pair_open(&p, NULL);
	shutdown(p.fd, SHUT_WR);
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), p.c.fin));
	rig_conn_fin(&p.c);
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), rig_conn_acked(&p.c)));
	p.c.acks = 0;
	rig_conn_segment(&p.c, RIG_ACK | RIG_FIN, p.c.snd_nxt - 1, NULL, 0);
	rig_cycle(p.r);
	rig_conn_poll(&p.c);
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
	rig_pump_write(p.fd, p.c.rx_seed, &p.sent, 4000);
	shutdown(p.fd, SHUT_WR);
	for (int i = 0; i < 20; i++) {
		rig_cycle(p.r);
		while (rig_pop(p.r, &pkt))
			;
	}
	rig_advance(p.r, 3 * NS_PER_S);
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), p.c.fin));
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
		rig_cycle(p.r);
		rig_conn_poll(&p.c);
	}
	assert_false(rig_conn_acked(&p.c));
	total = p.c.tx_bytes;
	rig_conn_fin(&p.c);
	for (int i = 0; i < 10; i++) {
		rig_cycle(p.r);
		rig_conn_poll(&p.c);
	}
	assert_false(rig_conn_acked(&p.c));
	RIG_UNTIL(p.r,
		  (rig_conn_poll(&p.c), rig_pump_read(p.fd, p.c.tx_seed, &p.got), p.got == total));
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), rig_conn_acked(&p.c)));
	rig_read_eof(p.r, p.fd);
	pair_end(&p);
}

/* H39 */
static void host_reset_is_reset(void **state)
{
	(void)state;
	struct pair p;

	pair_open(&p, NULL);
	rig_reset_close(p.fd);
	p.fd = -1;
	RIG_UNTIL(p.r, gone(&p));
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), p.c.rst));
	assert_int_equal(p.c.last.seq, p.c.rcv_nxt); /* exact, so that it counts (RFC 5961) */
	assert_false(p.c.fin);
	assert_int_equal(COUNT(p.r, tcp_reset), 1);
	pair_end(&p);
}

/* H39: also while the guest's last ACK of the handshake is still on its way. */
static void host_reset_before_the_guest_has_answered(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct rig_conn c;
	struct rig *r;
	uint16_t port;
	int lfd = rig_listen(&port);

	rig_config_defaults(&cfg);
	r = rig_new(&cfg);
	rig_conn_init(&c, r, 40000, port);
	rig_conn_syn(&c);
	RIG_UNTIL(r, (rig_conn_poll(&c), c.synack));
	rig_reset_close(rig_accept(r, lfd));
	RIG_UNTIL(r, (rig_conn_poll(&c), c.rst));
	assert_int_equal(COUNT(r, tcp_active), 0);
	close(lfd);
	rig_free(r);
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
	struct rig_config cfg;
	struct rig_conn c;
	struct rig *r;
	uint16_t port;
	int lfd = rig_listen(&port), fd;
	struct pollfd pfd = { .fd = lfd, .events = POLLIN };

	rig_config_defaults(&cfg);
	r = rig_new(&cfg);
	rig_conn_init(&c, r, 40000, port);
	rig_conn_syn(&c);
	assert_int_equal(poll(&pfd, 1, RIG_PATIENCE_MS), 1);
	rig_conn_segment(&c, RIG_RST, c.snd_nxt, NULL, 0);
	assert_int_equal(COUNT(r, tcp_active), 0);
	fd = rig_accept(r, lfd);
	RIG_UNTIL(r, is_reset(fd));
	close(fd);
	close(lfd);
	rig_free(r);
}

/* RFC 5961 3.2: a RST that only falls into the window is challenged. */
static void inexact_reset_is_challenged(void **state)
{
	(void)state;
	struct pair p;

	pair_open(&p, NULL);
	p.c.acks = 0;
	rig_conn_segment(&p.c, RIG_RST, p.c.snd_nxt + 1000, NULL, 0);
	rig_cycle(p.r);
	rig_conn_poll(&p.c);
	assert_int_equal(p.c.acks, 1);
	assert_int_equal(COUNT(p.r, tcp_active), 1);
	/* Outside of it, it is nothing at all. */
	rig_conn_segment(&p.c, RIG_RST, p.c.snd_nxt - 5000, NULL, 0);
	rig_cycle(p.r);
	rig_conn_poll(&p.c);
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
	rig_cycle(p.r);
	rig_conn_poll(&p.c);
	assert_int_equal(p.c.acks, 1);
	for (int i = 0; i < 500; i++) {
		rig_conn_segment(&p.c, RIG_SYN, p.c.snd_nxt, NULL, 0);
		rig_cycle(p.r);
		rig_conn_poll(&p.c);
	}
	assert_int_equal(p.c.acks, LIMIT_TCP_CHALLENGES);
	assert_int_equal(COUNT(p.r, tcp_active), 1);
	rig_conn_send(&p.c, 10);
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), rig_conn_acked(&p.c)));
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
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), p.c.fin));
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
	shutdown(p.fd, SHUT_WR);
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), p.c.fin));
	rig_conn_fin(&p.c);
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), rig_conn_acked(&p.c)));
	close(p.fd);
	last = p.c.snd_nxt;
	rig_conn_init(&p.c, p.r, 40000, p.c.dport);
	p.c.iss = last + 100000;
	p.fd = rig_conn_open(&p.c, p.lfd);
	rig_conn_send(&p.c, 10);
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), rig_conn_acked(&p.c)));
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
		RIG_UNTIL(r, (rig_conn_poll(&c), c.fin));
		rig_conn_fin(&c);
		RIG_UNTIL(r, (rig_conn_poll(&c), rig_conn_acked(&c)));
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
	rig_cycle(p.r);
	rig_conn_poll(&p.c);
	assert_true(p.c.fin);
	rig_conn_ack(&p.c);
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), rig_conn_acked(&p.c)));
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
	rig_conn_fin(&p.c);
	RIG_UNTIL(p.r, (rig_conn_poll(&p.c), rig_conn_acked(&p.c)));
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
		uint64_t calls;

		pair_open(&p, NULL);
		if (side == 0) {
			rig_conn_fin(&p.c);
			RIG_UNTIL(p.r, (rig_conn_poll(&p.c), rig_conn_acked(&p.c)));
		} else {
			shutdown(p.fd, SHUT_WR);
			RIG_UNTIL(p.r, (rig_conn_poll(&p.c), p.c.fin));
		}
		for (int i = 0; i < 10; i++)
			rig_cycle(p.r);
		calls = COUNT(p.r, syscalls);
		for (int i = 0; i < 100; i++) {
			assert_int_equal(loop_wait(stack_loop(rig_stack(p.r)), false), 0);
			stack_run(rig_stack(p.r));
		}
		assert_true(COUNT(p.r, syscalls) <= calls + 100);
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
	rig_pump_write(p.fd, p.c.rx_seed, &p.sent, 100);
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

/* H60: the guest goes for good, and the host's side of each flow hears of it. */
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
		struct rig_conn c;
		struct rig *r;
		uint16_t port;
		int fd, lfd = rig_listen(&port);

		rig_config_defaults(&cfg);
		cfg.rx_buffers = 8;
		r = rig_new(&cfg);
		rig_conn_init(&c, r, 20000, port);
		c.rx_seed = 1;
		fd = rig_conn_open(&c, lfd);
		if (without & NO_BUFFERS) {
			uint64_t sent = 0;

			rig_set_auto_refill(r, false);
			rig_pump_write(fd, 1, &sent, 256 << 10);
			RIG_UNTIL(r, rig_rx_free(r) == 0);
		}
		if (without == NO_DRIVER)
			rig_detach(r);
		rig_reset_close(fd);
		RIG_UNTIL(r, counter_get(&stack_counters(rig_stack(r))->tcp_reset) == 1);
		if (without == (NO_DRIVER | NO_BUFFERS))
			rig_detach(r); /* the rig's driver forgets its buffers, too */
		for (int i = 0; i < 20; i++)
			rig_advance(r, NS_PER_S);
		if (without & NO_DRIVER)
			rig_attach(r);
		rig_set_auto_refill(r, true);
		c.auto_ack = false; /* a guest that only listens */
		RIG_UNTIL(r, (rig_conn_poll(&c), c.rst));
		assert_int_equal(counter_get(&stack_counters(rig_stack(r))->tcp_active), 0);
		close(lfd);
		rig_free(r);
	}
}

/* Whoever speaks on such a connection first is answered at once, and may open it anew. */
static void a_guest_that_was_not_told_of_a_reset_can_connect_again(void **state)
{
	struct rig_config cfg;
	struct rig_conn c;
	struct rig *r;
	uint16_t port;
	int fd, lfd = rig_listen(&port);

	(void)state;
	rig_config_defaults(&cfg);
	cfg.rx_buffers = 8;
	r = rig_new(&cfg);
	for (int syn = 0; syn < 2; syn++) {
		uint64_t sent = 0;

		rig_conn_init(&c, r, 20000, port);
		c.rx_seed = 1;
		c.auto_ack = false;
		fd = rig_conn_open(&c, lfd);
		rig_set_auto_refill(r, false);
		rig_pump_write(fd, 1, &sent, 256 << 10);
		RIG_UNTIL(r, rig_rx_free(r) == 0);
		rig_reset_close(fd);
		RIG_UNTIL(r, counter_get(&stack_counters(rig_stack(r))->tcp_reset) ==
				     (uint64_t)syn + 1);
		rig_conn_poll(&c);
		assert_false(c.rst);
		if (syn) {
			c.iss += 100000;
			c.synack = false;
			rig_conn_syn(&c);
		} else {
			rig_conn_ack(&c);
		}
		rig_set_auto_refill(r, true);
		RIG_UNTIL(r, (rig_conn_poll(&c), syn ? c.synack : c.rst));
		assert_int_equal(counter_get(&stack_counters(rig_stack(r))->tcp_active), syn);
	}
	close(lfd);
	rig_free(r);
}

static void a_guest_that_is_gone_resets_its_connections(void **state)
{
	(void)state;
	struct rig_config cfg;
	struct rig_conn c;
	struct rig *r;
	uint16_t port;
	char byte;
	int fd, lfd = rig_listen(&port);

	rig_config_defaults(&cfg);
	r = rig_new(&cfg);
	rig_conn_init(&c, r, 20000, port);
	fd = rig_conn_open(&c, lfd);
	rig_detach(r);
	stack_reset(rig_stack(r));
	assert_int_equal(read(fd, &byte, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_int_equal(counter_get(&stack_counters(rig_stack(r))->tcp_active), 0);
	close(fd);
	close(lfd);
	rig_free(r);
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
