/* SPDX-License-Identifier: MIT */
/*
 * The command channel between `sluice run -- COMMAND` and the guest's init,
 * over a virtio-console port named CMD_PORT_NAME.
 *
 * A stream of messages each way: an 8-byte header (type, three zero bytes, and
 * the length of the payload, little-endian) and the payload. Anything malformed
 * ends the channel. Standard input flows by credit, so that a command that does
 * not read cannot block the messages behind its input; output is held back by
 * the port itself.
 *
 *	guest -> host	READY, then (after EXEC) CREDIT, STDOUT, STDERR ..., EXIT
 *	host -> guest	EXEC, STDIN ..., SIGNAL ...
 *
 * After EXIT or FAIL the host ends the machine. A guest that switches itself off
 * resets the port, and with it what the host has not yet read.
 */
#ifndef SLUICE_VMM_CMDPROTO_H
#define SLUICE_VMM_CMDPROTO_H

#include <assert.h>
#include <stdint.h>

#define CMD_PORT_NAME	"org.sluice.cmd"
#define CMD_VERSION	1U
#define CMD_HEADER_LEN	8U
#define CMD_PAYLOAD_MAX 16384U

/* EXEC may be longer than other messages: argv and environment. */
#define CMD_EXEC_MAX 65536U

/* Status that EXIT carries when the command could not be started, as a shell has it. */
#define CMD_EXIT_NOT_EXECUTABLE 126U
#define CMD_EXIT_NOT_FOUND	127U

enum cmd_type {
	CMD_READY = 1,	/* u32 version: the guest is up, network configured */
	CMD_EXEC = 2,	/* u32 argc, u32 envc, then argc + envc NUL-terminated strings */
	CMD_STDIN = 3,	/* bytes; an empty message is end of file */
	CMD_STDOUT = 4, /* bytes; an empty message is end of file */
	CMD_STDERR = 5, /* likewise */
	CMD_CREDIT = 6, /* u32: that many more bytes of STDIN may be sent */
	CMD_SIGNAL = 7, /* u32: deliver this signal to the command's process group */
	CMD_EXIT = 8,	/* u32: exit status, or 128 + signal; nothing follows */
	CMD_FAIL = 9,	/* text: the guest could not get ready (no network, ...) */
};

struct cmd_header {
	uint8_t type;
	uint8_t zero[3];
	uint32_t len; /* little-endian */
};

static_assert(sizeof(struct cmd_header) == CMD_HEADER_LEN, "wire size");

#endif
