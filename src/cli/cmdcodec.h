/* SPDX-License-Identifier: MIT */
/*
 * The messages of src/vmm/cmdproto.h, to bytes and from bytes that come in
 * pieces of any size. No I/O and no allocation; the caller serialises.
 */
#ifndef SLUICE_CLI_CMDCODEC_H
#define SLUICE_CLI_CMDCODEC_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/bytering.h"
#include "src/vmm/cmdproto.h"

/* Payload of a message other than output that is kept; text beyond is cut (CMD_FAIL). */
#define CMD_SMALL_MAX 256U

/**
 * struct cmd_sink - who takes what was decoded
 * @output:	bytes of STDOUT or STDERR, never 0 of them; returns how many were
 *		taken from the front, fewer when there is no room now
 * @message:	a whole message of another type, or end of file (STDOUT or STDERR
 *		with @len 0); -errno ends the channel
 */
struct cmd_sink {
	size_t (*output)(void *ctx, enum cmd_type type, const uint8_t *p, size_t len);
	int (*message)(void *ctx, enum cmd_type type, const uint8_t *p, uint32_t len);
	void *ctx;
};

/**
 * struct cmd_decoder - where in the stream we are
 * @head_have:	bytes of @head collected, CMD_HEADER_LEN = inside a payload
 * @left:	bytes of payload still to come
 * @small, @small_have:	payload of a message that is given out whole
 */
struct cmd_decoder {
	uint8_t head[CMD_HEADER_LEN];
	uint32_t head_have;
	uint32_t left;
	uint8_t small[CMD_SMALL_MAX];
	uint32_t small_have;
};

/* cmdcodec.c */
int64_t cmd_decode(struct cmd_decoder *d, const uint8_t *p, size_t len,
		   const struct cmd_sink *sink);
int cmd_encode(struct bytering *tx, enum cmd_type type, const void *payload, uint32_t len);
int cmd_encode_u32(struct bytering *tx, enum cmd_type type, uint32_t value);
int cmd_encode_exec(struct bytering *tx, char *const *argv, const char *const *env, uint32_t nenv);

#endif
