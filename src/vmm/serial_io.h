/* SPDX-License-Identifier: MIT */
/*
 * The terminal's side of the UART: two descriptors of the user's on the main
 * loop, and the keys that end the VM (Ctrl-A x).
 */
#ifndef SLUICE_VMM_SERIAL_IO_H
#define SLUICE_VMM_SERIAL_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "src/vmm/fdio.h"
#include "src/vmm/io_loop.h"
#include "src/vmm/serial.h"

#define SERIAL_IO_INPUT 256

/**
 * struct serial_io_config
 * @in, @out:	descriptors, -1 = none; the caller's
 * @escape:	Ctrl-A x calls @on_escape; Ctrl-A Ctrl-A sends one Ctrl-A
 */
struct serial_io_config {
	int in, out;
	bool escape;
	void (*on_escape)(void *ctx);
	void *ctx;
};

/**
 * struct serial_io - the loop's thread only, but for @wake_fd
 * @pending:	input read but not yet taken by the UART; input rests meanwhile
 * @in_watched, @out_watched:	on the loop; regular files never are
 */
struct serial_io {
	struct serial *serial;
	struct io_loop *loop;
	struct serial_io_config cfg;
	struct fdio in, out;
	int wake_fd;
	bool in_watched, out_watched;
	bool escape_seen;
	uint8_t pending[SERIAL_IO_INPUT];
	size_t pending_off, pending_len;
};

/* serial_io.c */
int serial_io_new(struct serial_io *t, struct serial *serial, struct io_loop *loop,
		  const struct serial_io_config *cfg);
void serial_io_free(struct serial_io *t);
void serial_io_wake(struct serial_io *t);
void serial_io_drain(struct serial_io *t, int timeout_ms);

#endif
