/* SPDX-License-Identifier: MIT */
/*
 * Decoder and encoder of the command channel, host side.
 *
 * Output is handed on as it comes, whatever the boundaries, and only as far as
 * the sink has room: the rest stays with the caller, in the guest's own buffers.
 * Every other message is short and is collected first.
 */
#include <errno.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/bytes.h"
#include "src/cli/cmdcodec.h"

static bool is_output(uint8_t type)
{
	return type == CMD_STDOUT || type == CMD_STDERR;
}

/* A header is whole: may a guest send such a message? */
static bool header_ok(const struct cmd_decoder *d)
{
	uint8_t type = d->head[0];

	if (d->head[1] | d->head[2] | d->head[3])
		return false;
	switch (type) {
	case CMD_READY:
	case CMD_CREDIT:
	case CMD_EXIT:
		return d->left == 4;
	case CMD_STDOUT:
	case CMD_STDERR:
	case CMD_FAIL:
		return d->left <= CMD_PAYLOAD_MAX;
	default:
		return false;
	}
}

static int end_of_message(struct cmd_decoder *d, const struct cmd_sink *sink)
{
	uint32_t len = d->small_have;

	d->head_have = 0;
	d->small_have = 0;
	return sink->message(sink->ctx, (enum cmd_type)d->head[0], d->small, len);
}

/* One step: returns the bytes of @p used, 0 when the sink is full, or -errno. */
static int64_t step(struct cmd_decoder *d, const uint8_t *p, size_t len,
		    const struct cmd_sink *sink)
{
	size_t n;
	int err;

	if (d->head_have < CMD_HEADER_LEN) {
		n = MIN(len, (size_t)(CMD_HEADER_LEN - d->head_have));
		memcpy(d->head + d->head_have, p, n);
		d->head_have += (uint32_t)n;
		if (d->head_have < CMD_HEADER_LEN)
			return (int64_t)n;
		d->left = get_le32(d->head + 4);
		if (!header_ok(d))
			return -EPROTO;
		if (d->left == 0) {
			err = end_of_message(d, sink);
			if (err < 0)
				return err;
		}
		return (int64_t)n;
	}

	n = MIN(len, (size_t)d->left);
	if (is_output(d->head[0])) {
		n = sink->output(sink->ctx, (enum cmd_type)d->head[0], p, n);
	} else {
		size_t keep = MIN(n, (size_t)(CMD_SMALL_MAX - d->small_have));

		memcpy(d->small + d->small_have, p, keep);
		d->small_have += (uint32_t)keep;
	}
	d->left -= (uint32_t)n;
	if (d->left > 0)
		return (int64_t)n;
	if (is_output(d->head[0])) {
		d->head_have = 0;
		return (int64_t)n;
	}
	err = end_of_message(d, sink);
	return err < 0 ? err : (int64_t)n;
}

/**
 * cmd_decode() - take the next bytes of the stream
 * @p, @len:	they may change under us: each is read once
 *
 * Return: bytes taken from the front (fewer than @len when the sink has no room
 * for output), -EPROTO (malformed), or what sink->message() failed with
 */
int64_t cmd_decode(struct cmd_decoder *d, const uint8_t *p, size_t len, const struct cmd_sink *sink)
{
	size_t done = 0;

	while (done < len) {
		int64_t n = step(d, p + done, len - done, sink);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (int64_t)done;
}

static void put_header(struct bytering *tx, enum cmd_type type, uint32_t len)
{
	uint8_t head[CMD_HEADER_LEN] = { (uint8_t)type };

	put_le32(head + 4, len);
	bytering_put(tx, head, sizeof(head));
}

/**
 * cmd_encode() - append one message whole, or nothing
 *
 * Return: 0, -ENOBUFS
 */
int cmd_encode(struct bytering *tx, enum cmd_type type, const void *payload, uint32_t len)
{
	if (bytering_room(tx) < CMD_HEADER_LEN + len)
		return -ENOBUFS;
	put_header(tx, type, len);
	if (len > 0)
		bytering_put(tx, payload, len);
	return 0;
}

/**
 * cmd_encode_u32() - a message whose payload is one number
 *
 * Return: 0, -ENOBUFS
 */
int cmd_encode_u32(struct bytering *tx, enum cmd_type type, uint32_t value)
{
	uint8_t payload[4];

	put_le32(payload, value);
	return cmd_encode(tx, type, payload, sizeof(payload));
}

/**
 * cmd_encode_exec() - what to run
 * @argv:	NULL-terminated
 * @env:	@nenv strings NAME=VALUE
 *
 * Return: 0, -E2BIG (beyond CMD_EXEC_MAX), -ENOBUFS
 */
int cmd_encode_exec(struct bytering *tx, char *const *argv, const char *const *env, uint32_t nenv)
{
	uint8_t counts[8];
	uint64_t len = sizeof(counts);
	uint32_t argc = 0;

	for (; argv[argc]; argc++)
		len += strlen(argv[argc]) + 1;
	for (uint32_t i = 0; i < nenv; i++)
		len += strlen(env[i]) + 1;
	if (len > CMD_EXEC_MAX)
		return -E2BIG;
	if (bytering_room(tx) < CMD_HEADER_LEN + len)
		return -ENOBUFS;
	put_header(tx, CMD_EXEC, (uint32_t)len);
	put_le32(counts, argc);
	put_le32(counts + 4, nenv);
	bytering_put(tx, counts, sizeof(counts));
	for (uint32_t i = 0; i < argc; i++)
		bytering_put(tx, argv[i], (uint32_t)strlen(argv[i]) + 1);
	for (uint32_t i = 0; i < nenv; i++)
		bytering_put(tx, env[i], (uint32_t)strlen(env[i]) + 1);
	return 0;
}
