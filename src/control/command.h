/* SPDX-License-Identifier: MIT */
/*
 * Commands of the control socket: how one is described, registered and served.
 *
 * To add commands: write a file with a table of struct ctl_command that ends in
 * an empty row, name it below, and add it to `groups` in commands.c. Nothing
 * else knows a command's name: help, the client, its completion and the checks of
 * arguments walk the tables.
 *
 * Handlers run on the main thread and must not block. What belongs to the
 * network worker is reached by net_worker_call(), with little to do for it: copy
 * figures there, make JSON of them here.
 */
#ifndef SLUICE_CONTROL_COMMAND_H
#define SLUICE_CONTROL_COMMAND_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "src/base/base.h"

struct control;
struct control_config;
struct ctl_cache;
struct stack;
struct stack_info;

#define CTL_WHY_MAX    256
#define CTL_PARAMS_MAX 8

/**
 * struct ctl_param - one argument of a command, in order
 * @required:	the command is refused without it
 * @rest:	takes all words that follow, as a list; what stands behind it in the table
 *		is given by name only
 */
struct ctl_param {
	const char *name;
	const char *help;
	bool required;
	bool rest;
};

/**
 * struct ctl_request - a request being served
 * @args:	object, checked: only names of the command's parameters
 * @result:	the handler's: an object that it makes; the server frees it
 * @fd:		a descriptor that came with it (SCM_RIGHTS), or -1; a handler that keeps
 *		it puts -1 here
 * @cache:	instead of @result: where it is kept as text
 * @why:	on failure, one line
 */
struct ctl_request {
	struct control *c;
	const json_t *args;
	json_t *result;
	int fd;
	struct ctl_cache *cache;
	char why[CTL_WHY_MAX];
};

/**
 * struct ctl_command - one row of a table
 * @name:	as one types it; may be two words ("limit set")
 * @params:	up to the first without a name
 * @handler:	0, or -errno with @why filled: EINVAL bad-argument, ENOENT
 *		not-found, EEXIST exists, EBUSY busy, ENOTSUP unavailable, others
 *		failed
 * @print:	client: @result for people; NULL = ctl_print()
 */
struct ctl_command {
	const char *name;
	const char *help;
	struct ctl_param params[CTL_PARAMS_MAX];
	int (*handler)(struct ctl_request *r);
	void (*print)(const json_t *result, FILE *out);
};

/* commands.c */
const struct ctl_command *ctl_command_next(const struct ctl_command *after);
const struct ctl_command *ctl_command_find(const char *name);
int ctl_fail(struct ctl_request *r, int err, const char *fmt, ...) PRINTF(3, 4);
const char *ctl_arg(const struct ctl_request *r, const char *name, char *buf, size_t len);
const char *ctl_arg_string(const struct ctl_request *r, const char *name);
int ctl_arg_u64(struct ctl_request *r, const char *name, uint64_t min, uint64_t max, uint64_t *v);

/* print.c */
void ctl_print(const json_t *result, FILE *out);

/* server.c, for handlers */
const struct control_config *control_cfg(const struct control *c);
int control_call(struct ctl_request *r, int (*fn)(void *ctx, struct stack *st), void *ctx);
int control_info(struct ctl_request *r, struct stack_info *info);

/* Tables, by the file that has them. */
extern const struct ctl_command ctl_status_commands[];
extern const struct ctl_command ctl_flows_commands[];
extern const struct ctl_command ctl_metrics_commands[];
extern const struct ctl_command ctl_limits_commands[];
extern const struct ctl_command ctl_rule_commands[];
extern const struct ctl_command ctl_forward_commands[];
extern const struct ctl_command ctl_audit_commands[];
extern const struct ctl_command ctl_pcap_commands[];
extern const struct ctl_command ctl_dns_commands[];

#endif
