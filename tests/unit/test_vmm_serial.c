/* SPDX-License-Identifier: MIT */
/* The UART as a driver probes and uses it, and the terminal's side of it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/serial_reg.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/base.h"
#include "src/vmm/serial.h"
#include "src/vmm/serial_io.h"

struct rig {
	struct serial s;
	bool level;
	unsigned rises, wakes;
};

static void on_irq(void *ctx, bool level)
{
	struct rig *r = ctx;

	assert_int_not_equal(level, r->level); /* only changes are told */
	r->level = level;
	r->rises += level;
}

static void on_wake(void *ctx)
{
	struct rig *r = ctx;

	r->wakes++;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct serial_backend be = { .irq = on_irq, .wake = on_wake, .ctx = r };

	if (!r)
		return -1;
	serial_init(&r->s, &be);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	serial_fini(&r->s);
	free(r);
	return 0;
}

static uint8_t in(struct rig *r, uint8_t reg)
{
	uint8_t v;

	serial_bus_ops.read(&r->s, reg, &v, 1);
	return v;
}

static void out(struct rig *r, uint8_t reg, uint8_t v)
{
	serial_bus_ops.write(&r->s, reg, &v, 1);
}

/* What the 8250 driver of Linux does to tell the kinds of UART apart. */
static void a_driver_finds_a_16550a(void **state)
{
	struct rig *r = *state;

	out(r, UART_IER, 0);
	assert_int_equal(in(r, UART_IER), 0);
	out(r, UART_IER, 0x0f);
	assert_int_equal(in(r, UART_IER) & 0x0f, 0x0f);
	out(r, UART_IER, 0);
	out(r, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
	assert_int_equal(in(r, UART_MSR) & 0xf0, UART_MSR_DCD | UART_MSR_CTS);
	out(r, UART_MCR, 0);
	out(r, UART_FCR, UART_FCR_ENABLE_FIFO);
	assert_int_equal(in(r, UART_IIR) >> 6, 3);
	out(r, UART_FCR, 0);
	assert_int_equal(in(r, UART_IIR) >> 6, 0);
	out(r, UART_LCR, UART_LCR_DLAB);
	out(r, UART_DLL, 0x12);
	out(r, UART_DLM, 0x34);
	assert_int_equal(in(r, UART_DLL), 0x12);
	assert_int_equal(in(r, UART_DLM), 0x34);
	out(r, UART_LCR, UART_LCR_WLEN8);
	assert_int_equal(in(r, UART_IER), 0);
	out(r, UART_SCR, 0xa5);
	assert_int_equal(in(r, UART_SCR), 0xa5);
}

static void transmitter_empty_interrupts_once_for_each_cause(void **state)
{
	struct rig *r = *state;

	out(r, UART_IER, UART_IER_THRI);
	assert_true(r->level);
	assert_int_equal(in(r, UART_IIR) & 0x0f, UART_IIR_THRI);
	assert_false(r->level); /* reading IIR took it */
	assert_int_equal(in(r, UART_IIR) & 0x0f, UART_IIR_NO_INT);
	out(r, UART_TX, 'x');
	assert_true(r->level);
	assert_int_equal(r->rises, 2);
	out(r, UART_IER, 0);
	assert_false(r->level);
}

static void input_interrupts_until_read(void **state)
{
	struct rig *r = *state;

	out(r, UART_IER, UART_IER_RDI);
	assert_int_equal(serial_input(&r->s, "ab", 2), 2);
	assert_true(r->level);
	assert_int_equal(in(r, UART_IIR) & 0x0f, UART_IIR_RDI);
	assert_true(in(r, UART_LSR) & UART_LSR_DR);
	assert_int_equal(in(r, UART_RX), 'a');
	assert_true(r->level);
	assert_int_equal(in(r, UART_RX), 'b');
	assert_false(r->level);
	assert_false(in(r, UART_LSR) & UART_LSR_DR);
}

/* H86: a terminal that does not read fills one ring and no more. */
static void a_full_transmitter_looks_busy_and_recovers(void **state)
{
	struct rig *r = *state;
	struct iovec iov[2];

	out(r, UART_IER, UART_IER_THRI);
	for (unsigned i = 0; i < SERIAL_TX_RING; i++) {
		assert_true(in(r, UART_LSR) & UART_LSR_THRE);
		out(r, UART_TX, (uint8_t)i);
	}
	assert_int_equal(r->wakes, 1); /* once for empty -> something */
	assert_false(in(r, UART_LSR) & UART_LSR_THRE);
	assert_false(r->level);
	out(r, UART_TX, 'z'); /* a driver that does not look */
	assert_int_equal(counter_get(&r->s.dropped), 1);
	assert_int_equal(serial_output_peek(&r->s, iov), SERIAL_TX_RING);
	for (unsigned i = 0; i < SERIAL_TX_RING; i++)
		assert_int_equal(((uint8_t *)iov[0].iov_base)[i], (uint8_t)i);
	serial_output_done(&r->s, 1);
	assert_true(r->level);
	assert_true(in(r, UART_LSR) & UART_LSR_THRE);
}

/* H86, the other way: what the guest does not read waits outside. */
static void refused_input_is_asked_for_again(void **state)
{
	static uint8_t big[SERIAL_RX_RING + 100];
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7);
	assert_int_equal(serial_input(&r->s, big, sizeof(big)), SERIAL_RX_RING);
	assert_int_equal(serial_input(&r->s, big, 1), 0);
	assert_int_equal(r->wakes, 0);
	for (unsigned i = 0; i < SERIAL_RX_RING / 2; i++)
		assert_int_equal(in(r, UART_RX), big[i]);
	assert_int_equal(r->wakes, 1);
	assert_int_equal(serial_input(&r->s, big + SERIAL_RX_RING, 100), 100);
	for (unsigned i = SERIAL_RX_RING / 2; i < sizeof(big); i++)
		assert_int_equal(in(r, UART_RX), big[i]);
}

static void loopback_returns_what_was_sent(void **state)
{
	struct rig *r = *state;
	struct iovec iov[2];

	out(r, UART_MCR, UART_MCR_LOOP);
	out(r, UART_TX, 'q');
	assert_int_equal(in(r, UART_RX), 'q');
	assert_int_equal(serial_output_peek(&r->s, iov), 0);
}

/* --- the terminal's side --- */

struct term {
	struct serial s;
	struct serial_io t;
	struct io_loop *loop;
	int in[2], out[2];
	unsigned escapes;
};

static void term_irq(void *ctx, bool level)
{
	(void)ctx;
	(void)level;
}

static void term_wake(void *ctx)
{
	struct term *m = ctx;

	serial_io_wake(&m->t);
}

static void term_escape(void *ctx)
{
	struct term *m = ctx;

	m->escapes++;
	io_loop_stop(m->loop);
}

/* Ends a run of the loop after whatever is ready before it. */
static void on_quiet(void *ctx, uint32_t events)
{
	(void)events;
	io_loop_stop(ctx);
}

static void term_init(struct term *m, bool escape)
{
	struct serial_backend be = { .irq = term_irq, .wake = term_wake, .ctx = m };
	struct serial_io_config cfg = { .escape = escape, .on_escape = term_escape, .ctx = m };

	memset(m, 0, sizeof(*m));
	assert_int_equal(pipe(m->in), 0);
	assert_int_equal(pipe(m->out), 0);
	assert_int_equal(io_loop_new(&m->loop), 0);
	serial_init(&m->s, &be);
	cfg.in = m->in[0];
	cfg.out = m->out[1];
	assert_int_equal(serial_io_new(&m->t, &m->s, m->loop, &cfg), 0);
}

static void term_fini(struct term *m)
{
	serial_io_free(&m->t);
	serial_fini(&m->s);
	io_loop_free(m->loop);
	for (unsigned i = 0; i < 2; i++) {
		if (m->in[i] >= 0)
			close(m->in[i]);
		if (m->out[i] >= 0)
			close(m->out[i]);
	}
}

/* Turn the loop a few times: level-triggered sources are all seen. */
static void term_turn(struct term *m)
{
	int p[2];

	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(io_loop_add(m->loop, p[0], EPOLLIN, on_quiet, m->loop), 0);
		assert_int_equal(io_loop_run(m->loop), 0);
		io_loop_del(m->loop, p[0]);
	}
	close(p[0]);
	close(p[1]);
}

static uint8_t uart_in(struct serial *s, uint8_t reg)
{
	uint8_t v;

	serial_bus_ops.read(s, reg, &v, 1);
	return v;
}

static void typed_bytes_reach_the_guest_and_the_escape_does_not(void **state)
{
	struct term m;

	(void)state;
	term_init(&m, true);
	assert_int_equal(write(m.in[1], "a\001\001b\001", 5), 5);
	term_turn(&m);
	assert_int_equal(uart_in(&m.s, UART_RX), 'a');
	assert_int_equal(uart_in(&m.s, UART_RX), 1);
	assert_int_equal(uart_in(&m.s, UART_RX), 'b');
	assert_false(uart_in(&m.s, UART_LSR) & UART_LSR_DR);
	assert_int_equal(m.escapes, 0);
	assert_int_equal(write(m.in[1], "x", 1), 1); /* the sequence may come in two reads */
	term_turn(&m);
	assert_int_equal(m.escapes, 1);
	term_fini(&m);
}

static void input_larger_than_the_ring_arrives_whole(void **state)
{
	static uint8_t big[4 * SERIAL_RX_RING];
	struct term m;

	(void)state;
	term_init(&m, false);
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 13 + i / 256);
	assert_int_equal(write(m.in[1], big, sizeof(big)), sizeof(big));
	close(m.in[1]);
	m.in[1] = -1;
	term_turn(&m);
	/* The guest reads nothing: a descriptor that stayed watched would spin the loop. */
	assert_false(m.t.in_watched);
	for (size_t got = 0; got < sizeof(big);) {
		term_turn(&m);
		assert_true(uart_in(&m.s, UART_LSR) & UART_LSR_DR);
		while (got < sizeof(big) && (uart_in(&m.s, UART_LSR) & UART_LSR_DR))
			assert_int_equal(uart_in(&m.s, UART_RX), big[got++]);
	}
	term_fini(&m);
}

static void output_outlasts_a_reader_that_stops_and_goes_on(void **state)
{
	const size_t total = 3 * SERIAL_TX_RING;
	static uint8_t buf[4096];
	size_t sent = 0, got = 0;
	struct term m;

	(void)state;
	term_init(&m, false);
	assert_int_equal(fcntl(m.out[0], F_SETFL, O_NONBLOCK), 0);
	while (got < total) {
		ssize_t n;

		while (sent < total && (uart_in(&m.s, UART_LSR) & UART_LSR_THRE)) {
			uint8_t v = (uint8_t)(sent * 31 + sent / 256);

			serial_bus_ops.write(&m.s, UART_TX, &v, 1);
			sent++;
		}
		term_turn(&m);
		n = read(m.out[0], buf, sizeof(buf));
		assert_true(n > 0);
		for (ssize_t i = 0; i < n; i++, got++)
			assert_int_equal(buf[i], (uint8_t)(got * 31 + got / 256));
	}
	assert_int_equal(counter_get(&m.s.dropped), 0);
	/* The pipe of whoever started us is as blocking as it was. */
	assert_int_equal(fcntl(m.out[1], F_GETFL) & O_NONBLOCK, 0);
	term_fini(&m);
}

static void a_reader_that_left_does_not_stop_the_guest(void **state)
{
	struct term m;
	struct iovec iov[2];

	(void)state;
	term_init(&m, false);
	close(m.out[0]);
	m.out[0] = -1;
	for (unsigned i = 0; i < 2 * SERIAL_TX_RING; i++) {
		uint8_t v = 'v';

		if (!(uart_in(&m.s, UART_LSR) & UART_LSR_THRE))
			term_turn(&m);
		serial_bus_ops.write(&m.s, UART_TX, &v, 1);
	}
	term_turn(&m);
	assert_int_equal(serial_output_peek(&m.s, iov), 0);
	assert_int_equal(counter_get(&m.s.dropped), 0);
	term_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_driver_finds_a_16550a, setup, teardown),
		cmocka_unit_test_setup_teardown(transmitter_empty_interrupts_once_for_each_cause,
						setup, teardown),
		cmocka_unit_test_setup_teardown(input_interrupts_until_read, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_transmitter_looks_busy_and_recovers, setup,
						teardown),
		cmocka_unit_test_setup_teardown(refused_input_is_asked_for_again, setup, teardown),
		cmocka_unit_test_setup_teardown(loopback_returns_what_was_sent, setup, teardown),
		cmocka_unit_test(typed_bytes_reach_the_guest_and_the_escape_does_not),
		cmocka_unit_test(input_larger_than_the_ring_arrives_whole),
		cmocka_unit_test(output_outlasts_a_reader_that_stops_and_goes_on),
		cmocka_unit_test(a_reader_that_left_does_not_stop_the_guest),
	};

	(void)signal(SIGPIPE, SIG_IGN); /* as vm_new() does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
