/* SPDX-License-Identifier: MIT */
/* From options to a running network worker: what every command with a network does. */
#ifndef SLUICE_CLI_NETCFG_H
#define SLUICE_CLI_NETCFG_H

#include <stddef.h>

#include "src/cli/options.h"
#include "src/cli/resolv.h"
#include "src/control/control.h"
#include "src/sight/sight.h"
#include "virtio/net_worker.h"

struct jail;

/* netcfg.c */
int netcfg_worker(const struct run_options *o, struct jail *jail, struct sight *sight,
		  struct net_worker **worker, struct vnet_config *net, char *why, size_t why_len);
int netcfg_start(const struct run_options *o, struct sight *sight, struct net_worker *w, char *why,
		 size_t why_len);
int netcfg_follow(const struct run_options *o, struct net_worker *w, struct io_loop *loop,
		  struct resolv_watch **out, char *why, size_t why_len);
int netcfg_control(const struct run_options *o, const struct control_config *cfg,
		   struct control **out, char *why, size_t why_len);
int netcfg_publish(struct net_worker *w, const struct forward_spec *spec, bool print, char *why,
		   size_t why_len);

#endif
