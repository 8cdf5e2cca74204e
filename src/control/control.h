/* SPDX-License-Identifier: MIT */
/*
 * The control socket: requests of `sluice ctl` and of other programs, served on
 * the main thread.
 *
 * One request is one line of JSON, and so is its answer:
 *
 *	{"id":7,"cmd":"limit set","args":{"name":"max-conns","value":100}}
 *	{"id":7,"ok":true,"result":{...}}
 *	{"id":7,"ok":false,"error":{"code":"bad-argument","message":"..."}}
 *
 * "args" may also be a list, in the order in which help names them. Requests may
 * be sent ahead; they are answered in order. command.h has the table of commands.
 */
#ifndef SLUICE_CONTROL_CONTROL_H
#define SLUICE_CONTROL_CONTROL_H

#include <stddef.h>
#include <stdint.h>

struct io_loop;
struct jail_status;
struct net_worker;
struct policy_list;
struct sight;
struct vq_counters;
struct control;

/* Clients at one time; the next one is turned away. */
#define CTL_CLIENTS_MAX 96

/* Longest request in bytes, newline included. */
#define CTL_LINE_MAX 16384

/*
 * Bytes that wait for one client and for all of them, and how long a client may
 * leave them untouched, in nanoseconds. Beyond any of these it is cut off.
 */
#define CTL_OUT_MAX   (16U << 20)
#define CTL_OUT_TOTAL (64U << 20)
#define CTL_STALL_NS  10000000000ULL

/**
 * struct control_config - what the socket shows and moves; outlives it
 * @path:	where to listen; NULL = nowhere (tests)
 * @command:	"run" or "vhost-user"
 * @start_ns:	the program began, CLOCK_MONOTONIC
 * @loop:	of the main thread
 * @worker:	NULL = the guest has no network
 * @queue:	counters of queue @q (enum vnet_queue), or NULL; may be NULL itself
 * @sight:	what looks on, or NULL
 * @policy:	what the worker was started with; copied. NULL = no rules
 * @jail:	what is in force; read when asked for. NULL = not told (tests)
 * @shutdown:	end the program in an orderly way
 * @ctx:	handed to both
 * @stall_ns:	0 = CTL_STALL_NS
 */
struct control_config {
	const char *path;
	const char *version;
	const char *command;
	uint64_t start_ns;
	struct io_loop *loop;
	struct net_worker *worker;
	struct sight *sight;
	const struct policy_list *policy;
	const struct jail_status *jail;
	const struct vq_counters *(*queue)(void *ctx, unsigned int q);
	void (*shutdown)(void *ctx);
	void *ctx;
	uint64_t stall_ns;
};

/* server.c */
int control_new(struct control **out, const struct control_config *cfg);
void control_free(struct control *c);

#endif
