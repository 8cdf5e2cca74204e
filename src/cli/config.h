/* SPDX-License-Identifier: MIT */
/* Options from a file of JSON. */
#ifndef SLUICE_CLI_CONFIG_H
#define SLUICE_CLI_CONFIG_H

#include "src/cli/options.h"

/* config.c */
int config_load(struct run_options *o, enum command command, const char *path, char *why,
		size_t why_len);
void config_free(struct run_options *o);

#endif
