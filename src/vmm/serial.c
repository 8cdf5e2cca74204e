/* SPDX-License-Identifier: MIT */
/*
 * A 16550A UART (National Semiconductor PC16550D data sheet).
 *
 * Theory of operation: the guest's bytes go into the transmit ring, which the
 * terminal's thread empties into a file descriptor at the speed of that
 * descriptor. While the ring is full the UART says that its transmitter is not
 * empty, as a real one does at 300 baud: the guest's driver waits, nothing is
 * lost, and nothing grows (H86). A guest that writes all the same loses the byte
 * and is counted. The other way the terminal offers bytes and is told how many
 * fit; when the guest has read some, it is woken to offer the rest.
 *
 * The lock orders registers, rings and the interrupt line between vCPU threads
 * and the terminal's thread. Nothing under it blocks.
 *
 * There is no baud rate: bytes are as fast as exits. The FIFO trigger levels are
 * accepted and treated as 1, which costs a slow device nothing.
 */
#include "src/vmm/serial.h"

#include <linux/serial_reg.h>
#include <string.h>

#define MSR_CONNECTED (UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS)
#define IER_MASK      0x0f

/* Interrupt identification by priority (data sheet, table V). */
static uint8_t iir_pending(const struct serial *s)
{
	if ((s->ier & UART_IER_RLSI) && s->overrun)
		return UART_IIR_RLSI;
	if ((s->ier & UART_IER_RDI) && bytering_used(&s->rx))
		return UART_IIR_RDI;
	if ((s->ier & UART_IER_THRI) && s->thr_empty_irq)
		return UART_IIR_THRI;
	return UART_IIR_NO_INT;
}

static void update_irq(struct serial *s)
{
	bool level = iir_pending(s) != UART_IIR_NO_INT;

	if (level == s->irq_level)
		return;
	s->irq_level = level;
	s->be.irq(s->be.ctx, level);
}

static void receive(struct serial *s, uint8_t byte)
{
	if (!bytering_put(&s->rx, &byte, 1))
		s->overrun = true;
}

static void write_thr(struct serial *s, uint8_t byte)
{
	if (s->mcr & UART_MCR_LOOP) {
		receive(s, byte);
		s->thr_empty_irq = true;
		return;
	}
	if (bytering_used(&s->tx) == 0)
		s->be.wake(s->be.ctx);
	if (!bytering_put(&s->tx, &byte, 1))
		counter_inc(&s->dropped);
	s->thr_empty_irq = bytering_room(&s->tx) != 0;
}

static uint8_t read_rbr(struct serial *s)
{
	uint8_t byte = 0;

	(void)bytering_get(&s->rx, &byte, 1);
	if (s->rx_starved && bytering_used(&s->rx) <= SERIAL_RX_RING / 2) {
		s->rx_starved = false;
		s->be.wake(s->be.ctx);
	}
	return byte;
}

static uint8_t read_lsr(struct serial *s)
{
	uint8_t lsr = 0;

	if (bytering_used(&s->rx))
		lsr |= UART_LSR_DR;
	if (bytering_room(&s->tx))
		lsr |= UART_LSR_THRE | UART_LSR_TEMT;
	if (s->overrun)
		lsr |= UART_LSR_OE;
	s->overrun = false;
	return lsr;
}

static uint8_t read_msr(const struct serial *s)
{
	uint8_t msr = 0;

	if (!(s->mcr & UART_MCR_LOOP))
		return MSR_CONNECTED;
	/* In loopback the outputs appear on the inputs. */
	if (s->mcr & UART_MCR_RTS)
		msr |= UART_MSR_CTS;
	if (s->mcr & UART_MCR_DTR)
		msr |= UART_MSR_DSR;
	if (s->mcr & UART_MCR_OUT1)
		msr |= UART_MSR_RI;
	if (s->mcr & UART_MCR_OUT2)
		msr |= UART_MSR_DCD;
	return msr;
}

static uint8_t read_iir(struct serial *s)
{
	uint8_t iir = iir_pending(s);

	if (iir == UART_IIR_THRI)
		s->thr_empty_irq = false;
	return iir | ((s->fcr & UART_FCR_ENABLE_FIFO) ? 0xc0 : 0);
}

static uint8_t read_reg(struct serial *s, uint64_t off)
{
	bool dlab = s->lcr & UART_LCR_DLAB;

	switch (off) {
	case UART_RX:
		return dlab ? s->dll : read_rbr(s);
	case UART_IER:
		return dlab ? s->dlm : s->ier;
	case UART_IIR:
		return read_iir(s);
	case UART_LCR:
		return s->lcr;
	case UART_MCR:
		return s->mcr;
	case UART_LSR:
		return read_lsr(s);
	case UART_MSR:
		return read_msr(s);
	default:
		return s->scr;
	}
}

static void write_ier(struct serial *s, uint8_t v)
{
	/* Enabling the interrupt while the transmitter is empty raises it. */
	if (!(s->ier & UART_IER_THRI) && (v & UART_IER_THRI) && bytering_room(&s->tx))
		s->thr_empty_irq = true;
	s->ier = v & IER_MASK;
}

static void write_fcr(struct serial *s, uint8_t v)
{
	if ((v & UART_FCR_CLEAR_RCVR) || ((v ^ s->fcr) & UART_FCR_ENABLE_FIFO))
		bytering_advance_tail(&s->rx, bytering_used(&s->rx));
	/* What has been sent stays sent: the transmit ring is the wire, not the FIFO. */
	s->fcr = v;
}

static void write_reg(struct serial *s, uint64_t off, uint8_t v)
{
	bool dlab = s->lcr & UART_LCR_DLAB;

	switch (off) {
	case UART_TX:
		if (dlab)
			s->dll = v;
		else
			write_thr(s, v);
		break;
	case UART_IER:
		if (dlab)
			s->dlm = v;
		else
			write_ier(s, v);
		break;
	case UART_FCR:
		write_fcr(s, v);
		break;
	case UART_LCR:
		s->lcr = v;
		break;
	case UART_MCR:
		s->mcr = v & 0x1f;
		break;
	case UART_SCR:
		s->scr = v;
		break;
	default: /* LSR and MSR are read-only */
		break;
	}
}

static void serial_bus_read(void *ctx, uint64_t off, void *data, uint32_t len)
{
	struct serial *s = ctx;
	uint8_t *p = data;

	pthread_mutex_lock(&s->lock);
	for (uint32_t i = 0; i < len; i++)
		p[i] = read_reg(s, off + i);
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
}

static void serial_bus_write(void *ctx, uint64_t off, const void *data, uint32_t len)
{
	struct serial *s = ctx;
	const uint8_t *p = data;

	pthread_mutex_lock(&s->lock);
	for (uint32_t i = 0; i < len; i++)
		write_reg(s, off + i, p[i]);
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
}

const struct bus_ops serial_bus_ops = { .read = serial_bus_read, .write = serial_bus_write };

/**
 * serial_init() - a UART after power-on
 * @be:	copied; its callbacks must not call back into the UART
 *
 * Main thread, before vCPUs run.
 */
void serial_init(struct serial *s, const struct serial_backend *be)
{
	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	s->be = *be;
	bytering_init(&s->rx, s->rx_buf, SERIAL_RX_RING);
	bytering_init(&s->tx, s->tx_buf, SERIAL_TX_RING);
}

/**
 * serial_fini() - main thread, after vCPUs have stopped
 */
void serial_fini(struct serial *s)
{
	pthread_mutex_destroy(&s->lock);
}

/**
 * serial_input() - bytes typed at the terminal
 *
 * The terminal's thread. Return: bytes taken; fewer than @len means that the
 * rest is to be offered again after the next wake. With @len 0 it answers 0.
 */
size_t serial_input(struct serial *s, const void *data, size_t len)
{
	uint32_t n;

	pthread_mutex_lock(&s->lock);
	n = bytering_put(&s->rx, data, (uint32_t)MIN(len, (size_t)SERIAL_RX_RING));
	if (n < len)
		s->rx_starved = true;
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
	return n;
}

/**
 * serial_output_peek() - what the guest has sent and nobody has taken yet
 * @iov:	out: one or two runs; the bytes stay put until serial_output_done()
 *
 * The terminal's thread, the only one that takes. Return: bytes in all
 */
size_t serial_output_peek(struct serial *s, struct iovec iov[2])
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	iov[0] = iov[1] = (struct iovec){ .iov_base = NULL };
	(void)bytering_readable(&s->tx, iov);
	n = iov[0].iov_len + iov[1].iov_len;
	pthread_mutex_unlock(&s->lock);
	return n;
}

/**
 * serial_output_done() - the oldest @len bytes have left; the terminal's thread
 */
void serial_output_done(struct serial *s, size_t len)
{
	pthread_mutex_lock(&s->lock);
	if (len && bytering_room(&s->tx) == 0)
		s->thr_empty_irq = true;
	bytering_advance_tail(&s->tx, (uint32_t)len);
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
}
