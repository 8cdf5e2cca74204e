/* SPDX-License-Identifier: MIT */
/*
 * A 16550A UART: registers for the guest, and two bounded rings of bytes towards
 * whoever plays the terminal (serial_io.c, a test).
 */
#ifndef SLUICE_VMM_SERIAL_H
#define SLUICE_VMM_SERIAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "src/base/bytering.h"
#include "src/base/counter.h"
#include "src/vmm/bus.h"

#define SERIAL_RX_RING 1024U
#define SERIAL_TX_RING 65536U

/**
 * struct serial_backend - what the UART wants of the world; both under its lock,
 * on vCPU threads or on the terminal's
 * @irq:	level of the interrupt line, called only when it changes
 * @wake:	the terminal's thread has work: output waits, or input fits again
 */
struct serial_backend {
	void (*irq)(void *ctx, bool level);
	void (*wake)(void *ctx);
	void *ctx;
};

/**
 * struct serial - all registers and rings under @lock
 * @thr_empty_irq:	"transmitter empty" is latched for IIR
 * @rx_starved:	input was refused; the terminal waits for @wake
 * @dropped:	bytes that the guest sent though the transmitter was not empty
 */
struct serial {
	pthread_mutex_t lock;
	struct serial_backend be;
	uint8_t ier, lcr, mcr, fcr, scr, dll, dlm;
	bool overrun;
	bool thr_empty_irq;
	bool irq_level;
	bool rx_starved;
	struct bytering rx, tx;
	struct counter dropped;
	uint8_t rx_buf[SERIAL_RX_RING];
	uint8_t tx_buf[SERIAL_TX_RING];
};

extern const struct bus_ops serial_bus_ops;

/* serial.c */
void serial_init(struct serial *s, const struct serial_backend *be);
void serial_fini(struct serial *s);
size_t serial_input(struct serial *s, const void *data, size_t len);
size_t serial_output_peek(struct serial *s, struct iovec iov[2]);
void serial_output_done(struct serial *s, size_t len);

#endif
