/* SPDX-License-Identifier: MIT */
/*
 * The options of every command: one table from which parsing, checks, defaults
 * and --help are made. Nothing else knows an option's name.
 */
#ifndef SLUICE_CLI_OPTIONS_H
#define SLUICE_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "src/base/log.h"
#include "src/vmm/vm.h"
#include "tcpstack/forward.h"
#include "tcpstack/policy.h"
#include "tcpstack/stack.h"

#define RUN_ENV_MAX	64
#define RUN_PUBLISH_MAX 64
#define RUN_NAMES_MAX	256
#define RUN_MEMORY_DEF	(512ULL << 20)

/* Exit statuses of `sluice run` that are not the command's own. */
#define EXIT_USAGE   2	 /* an option is wrong: nothing was started */
#define EXIT_TIMEOUT 124 /* --timeout */
#define EXIT_SLUICE  125 /* sluice could not run the guest */

/* Commands that take options from the table; a row names those that know it. */
enum command { COMMAND_RUN, COMMAND_VHOST_USER, COMMANDS };

/**
 * struct run_options - what the user asked for
 * @kernel, @initrd:	paths, NULL = look for them; @initrd "none" = none
 * @cmdline:		appended to our own kernel command line, NULL = nothing
 * @memory:		bytes
 * @transport:		enum vm_transport
 * @console:		auto, none, stdio, stderr, or a path
 * @net:		there is a network device
 * @stack:		address plan, limits and sockets of the NAT
 * @policy:		egress rules, from the heap: run_options_free()
 * @publish, @npublish:	ports of the host that lead to the guest
 * @dns_name, @ndns_name:	NAME=ADDR[,ADDR...] for the guest's DNS, each checked
 * @timeout:		seconds, 0 = none
 * @stats:		NULL = none, "" = a table on standard error, else a file for JSON
 * @alloc_report:	the same for what --alloc-report tells, always as text
 * @log_level, @log_format:	enum log_level, enum log_format
 * @force:		run though this host's KVM cannot be expected to work
 * @help:		--help was given: nothing else counts
 * @poll_us:		how long the worker looks for work before it sleeps; 0 = not at all
 * @socket:		of vhost-user: where the front-end connects
 * @once:		of vhost-user: end with the first front-end
 * @jail:		give up all rights that are not needed once the guest runs
 * @config_strings:	what a configuration file's strings lie in; see config.h
 * @audit:		where decisions are told, NULL = nowhere
 * @pcap:		file for frames, NULL = none
 * @pcap_filter, @pcap_snaplen, @pcap_limit:	as struct pcap_config; no filter = NULL
 * @control:		where the control socket listens, NULL = there is none
 * @env, @nenv:		NAME=VALUE for the command
 * @command:		NULL-terminated, NULL = a shell on the console
 *
 * Strings are the caller's argv.
 */
struct run_options {
	const char *kernel, *initrd, *cmdline;
	uint64_t memory;
	uint32_t cpus;
	uint32_t transport;
	const char *console;
	bool net;
	struct stack_config stack;
	struct policy_list policy;
	struct forward_spec publish[RUN_PUBLISH_MAX];
	uint32_t npublish;
	const char *dns_name[RUN_NAMES_MAX];
	uint32_t ndns_name;
	uint32_t timeout;
	const char *stats;
	const char *alloc_report;
	uint32_t log_level, log_format;
	bool hugepages;
	bool force;
	bool jail;
	bool help;
	uint32_t poll_us;
	const char *socket;
	bool once;
	const char *audit;
	const char *pcap, *pcap_filter;
	uint32_t pcap_snaplen;
	uint64_t pcap_limit;
	const char *control;
	struct json_t *config_strings;
	const char *env[RUN_ENV_MAX];
	uint32_t nenv;
	char *const *command;
};

/**
 * enum option_type - how an option's argument is read and shown
 */
enum option_type {
	OPT_FLAG,     /* bool; no argument */
	OPT_ONOFF,    /* bool; "on" or "off" */
	OPT_STRING,   /* const char * */
	OPT_OPTIONAL, /* const char *; argument only as --name=ARG, "" without */
	OPT_U16,      /* number in min..max */
	OPT_U32,
	OPT_BYTES32, /* number of bytes with K, M or G; 0 = the kernel's default */
	OPT_BYTES64,
	OPT_WORD,     /* uint32_t: index in words */
	OPT_CHARS,    /* char[max]: copied */
	OPT_HOSTNAME, /* the same: a host's name */
	OPT_SUBNET,   /* struct stack_config's address plan */
	OPT_PREFIX6,  /* the IPv6 one */
	OPT_NET,      /* one more of struct stack_config's networks to splice to */
	OPT_DNS,      /* one more resolver of struct stack_config */
	OPT_NAME,     /* one more name that our DNS serves */
	OPT_U32_OFF,  /* uint32_t in min..max; or "off", which is 0 */
	OPT_ENV,      /* one more NAME=VALUE */
	OPT_ALLOW,    /* one more rule of struct policy_list */
	OPT_DENY,
	OPT_RULE,	   /* the same, with "allow" or "deny" before it */
	OPT_GATEWAY_PORTS, /* of struct policy_list */
	OPT_CONFIG,	   /* a file that is read before all other options */
	OPT_PUBLISH,	   /* one more forward */
};

/**
 * struct option_def - one row of the table
 * @name:	without the dashes; NULL = a heading, whose text is @help
 * @arg:	what --help calls the argument, NULL = none
 * @key:	dotted name in a configuration file
 * @commands:	bit 1 << enum command for each that knows the option
 * @offset:	in struct run_options
 * @min, @max:	of numbers; @max of OPT_CHARS is the array's size
 * @words:	of OPT_WORD, NULL-terminated
 */
struct option_def {
	const char *name;
	const char *arg;
	const char *key;
	const char *help;
	unsigned int commands;
	enum option_type type;
	size_t offset;
	uint64_t min, max;
	const char *const *words;
};

/* options.c */
extern const struct option_def option_table[];
extern const size_t option_rows;
void run_options_defaults(struct run_options *o);
void run_options_free(struct run_options *o);
int run_options_parse(struct run_options *o, enum command command, int argc, char **argv, char *why,
		      size_t why_len);
void run_options_help(enum command command, FILE *out);
bool run_options_begin(struct run_options *o, enum command command, int argc, char **argv,
		       int *status);

/* option_values.c */
bool option_repeats(const struct option_def *d);
int option_set(const struct option_def *d, struct run_options *o, const char *arg, char *why,
	       size_t why_len);
void option_show(const struct option_def *d, const struct run_options *o, char *buf, size_t len);

#endif
