/* SPDX-License-Identifier: MIT */
/* The host's resolvers, from resolv.conf(5): at start, and whenever that changes. */
#ifndef SLUICE_CLI_RESOLV_H
#define SLUICE_CLI_RESOLV_H

#include <stdint.h>

#include "tcpstack/addr.h"

#define RESOLV_CONF "/etc/resolv.conf"

/* Longest line that can matter; what is longer is no address. */
#define RESOLV_LINE_BYTES 512

/* Between two looks at it, nanoseconds. */
#define RESOLV_EVERY_NS 2000000000ULL

struct io_loop;
struct net_worker;
struct resolv_watch;

/* resolv.c */
uint8_t resolv_parse(int fd, const char *name, struct endpoint *out, uint8_t max);
uint8_t resolv_read(const char *path, struct endpoint *out, uint8_t max);

/* resolv_watch.c */
int resolv_watch_new(struct resolv_watch **out, const char *path, struct io_loop *loop,
		     struct net_worker *worker, uint64_t every_ns);
void resolv_watch_look(struct resolv_watch *rw, uint64_t now_ns);
void resolv_watch_free(struct resolv_watch *rw);

#endif
