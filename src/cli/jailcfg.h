/* SPDX-License-Identifier: MIT */
/* From options to a jail: what every command that runs a guest's network does. */
#ifndef SLUICE_CLI_JAILCFG_H
#define SLUICE_CLI_JAILCFG_H

#include "src/cli/options.h"
#include "src/jail/jail.h"

struct net_worker;

/* jailcfg.c */
int jailcfg_begin(struct jail *j, const struct run_options *o, enum command command, char *why,
		  size_t why_len);
int jailcfg_enter(struct jail *j, const struct run_options *o, struct net_worker *worker, char *why,
		  size_t why_len);

#endif
