/* SPDX-License-Identifier: MIT */
/*
 * A descriptor of ours that output goes to, behind a bounded buffer, written
 * without waiting and without touching the descriptor's flags.
 */
#ifndef SLUICE_CLI_OUTSTREAM_H
#define SLUICE_CLI_OUTSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/bytering.h"

#define OUTSTREAM_SIZE 65536U

/* How a descriptor is kept from blocking us. */
enum outstream_kind {
	OUTSTREAM_FILE,	  /* always ready */
	OUTSTREAM_SOCKET, /* MSG_DONTWAIT */
	OUTSTREAM_OTHER,  /* poll(2), then no more than what is then sure to fit */
};

/**
 * struct outstream - zeroed memory is not one: outstream_init()
 * @broken:	nobody reads any more: what comes is dropped
 */
struct outstream {
	int fd;
	enum outstream_kind kind;
	bool broken;
	struct bytering ring;
	uint8_t buf[OUTSTREAM_SIZE];
};

/* outstream.c */
void outstream_init(struct outstream *s, int fd);
size_t outstream_put(struct outstream *s, const void *p, size_t len);
bool outstream_flush(struct outstream *s);
void outstream_finish(struct outstream *s);

#endif
