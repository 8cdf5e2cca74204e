/* SPDX-License-Identifier: MIT */
/* What looks on at one network worker, and the thread that writes what it sees. */
#ifndef SLUICE_SIGHT_SIGHT_H
#define SLUICE_SIGHT_SIGHT_H

#include <stddef.h>

struct audit;
struct audit_log;
struct pcap;
struct writer;

/**
 * struct sight - zeroed = nothing looks on
 * @writer:	NULL = there is nothing to write
 * @audit:	NULL = not asked for
 * @pcap:	the capture, or the last one; pcap.c's. NULL = there was none
 */
struct sight {
	struct writer *writer;
	struct audit_log *audit;
	struct pcap *pcap;
};

/* sight.c: main thread */
int sight_open(struct sight *s, const char *audit, int (*thread_init)(void *ctx), void *thread_ctx,
	       char *why, size_t why_len);
int sight_start(struct sight *s, char *why, size_t why_len);
struct audit *sight_audit(const struct sight *s);
int sight_reopen(struct sight *s);
void sight_close(struct sight *s);

#endif
