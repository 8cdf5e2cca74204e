/* SPDX-License-Identifier: MIT */
/*
 * The command of `sluice run -- COMMAND` seen from the host: its streams, its
 * signals and its end, over a port of the virtio console.
 *
 * Everything runs on the main thread, in the callbacks of the I/O loop and of
 * the console's port; nothing here waits, but for cmdchan_last_words() and cmdchan_finish().
 */
#ifndef SLUICE_CLI_CMDCHAN_H
#define SLUICE_CLI_CMDCHAN_H

#include <stdbool.h>
#include <stdint.h>

#include "src/vmm/io_loop.h"
#include "virtio/console.h"

struct cmdchan;

/**
 * enum cmdchan_state - where the command is
 * @CMDCHAN_BOOTING:	the guest has not said READY
 * @CMDCHAN_RUNNING:	EXEC is on its way or done
 * @CMDCHAN_EXITED:	it has ended; cmdchan_status() holds
 * @CMDCHAN_FAILED:	the protocol was broken or the guest gave up; cmdchan_why() says why
 */
enum cmdchan_state { CMDCHAN_BOOTING, CMDCHAN_RUNNING, CMDCHAN_EXITED, CMDCHAN_FAILED };

/**
 * struct cmdchan_config - what to run and between which streams
 * @argv:	NULL-terminated
 * @env, @nenv:	NAME=VALUE strings
 * @fd:		standard input, output and error; duplicated, and their flags are
 *		left as they are, since other processes share them
 * @kill_after_ns:	from the first signal to the end of the VM
 * @done:	called once, on EXITED or FAILED
 * @killed:	called when a signalled command has not ended in time
 */
struct cmdchan_config {
	char *const *argv;
	const char *const *env;
	uint32_t nenv;
	int fd[3];
	uint64_t kill_after_ns;
	void (*done)(void *ctx);
	void (*killed)(void *ctx, int signo);
	void *ctx;
};

extern const struct vcon_port_ops cmdchan_port_ops;

/* cmdchan.c */
int cmdchan_new(struct cmdchan **out, const struct cmdchan_config *cfg, struct io_loop *loop);
void cmdchan_attach(struct cmdchan *c, struct vcon *con, uint32_t port);
bool cmdchan_signal(void *cmdchan, int signo);
enum cmdchan_state cmdchan_state(const struct cmdchan *c);
uint32_t cmdchan_status(const struct cmdchan *c);
const char *cmdchan_why(const struct cmdchan *c);
uint64_t cmdchan_ready_ns(const struct cmdchan *c);
void cmdchan_last_words(struct cmdchan *c);
void cmdchan_detach(struct cmdchan *c);
void cmdchan_finish(struct cmdchan *c);
void cmdchan_free(struct cmdchan *c);

#endif
