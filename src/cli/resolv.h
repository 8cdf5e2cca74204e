/* SPDX-License-Identifier: MIT */
/* The host's resolvers, read once at start from resolv.conf(5). */
#ifndef SLUICE_CLI_RESOLV_H
#define SLUICE_CLI_RESOLV_H

#include <stdint.h>
#include <stdio.h>

#include "tcpstack/addr.h"

#define RESOLV_CONF "/etc/resolv.conf"

/* resolv.c */
uint8_t resolv_parse(FILE *in, const char *name, struct endpoint *out, uint8_t max);
uint8_t resolv_read(const char *path, struct endpoint *out, uint8_t max);

#endif
