/* SPDX-License-Identifier: MIT */
/* The life of what looks on: before the network worker, and after it. */
#include "src/sight/sight.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "src/base/log.h"
#include "src/sight/audit_log.h"
#include "src/sight/pcap.h"
#include "src/sight/writer.h"

/**
 * sight_open() - open what the worker's stack will tell to; sight_start() begins
 * @audit:	as for audit_log_new(), NULL = no audit
 * @thread_init:	as for writer_new()
 * @why:	on failure, one line
 *
 * Return: 0, and sight_close() ends it; or -errno, and nothing is left behind
 */
int sight_open(struct sight *s, const char *audit, int (*thread_init)(void *ctx), void *thread_ctx,
	       char *why, size_t why_len)
{
	int err = writer_new(&s->writer, thread_init, thread_ctx);

	if (err < 0)
		snprintf(why, why_len, "writer: %s", strerror(-err));
	if (err == 0 && audit)
		err = audit_log_new(&s->audit, audit, s->writer, why, why_len);
	if (err < 0)
		sight_close(s);
	return err;
}

/**
 * sight_start() - what was opened is written from now on; harmless on a zeroed one
 * @why:	on failure, one line
 *
 * Return: 0, -errno of the thread's birth, or what thread_init() said
 */
int sight_start(struct sight *s, char *why, size_t why_len)
{
	int err = s->writer ? writer_start(s->writer) : 0;

	if (err < 0)
		snprintf(why, why_len, "writer: %s", strerror(-err));
	return err;
}

/**
 * sight_audit() - for stack_config.audit
 */
struct audit *sight_audit(const struct sight *s)
{
	return s->audit ? audit_log_stack(s->audit) : NULL;
}

/**
 * sight_reopen() - SIGHUP: files are opened anew
 *
 * Return: 0; -ENOENT where no file is written that could be; or -errno, which is
 * said in the log as well
 */
int sight_reopen(struct sight *s)
{
	int err = s->audit ? audit_log_reopen(s->audit) : -ENOENT;

	if (err == 0)
		log_info("audit", "opened anew");
	else if (s->audit)
		log_error("audit", "cannot be opened anew: %s", strerror(-err));
	return err;
}

/**
 * sight_close() - write what is left; the worker is gone. Harmless on a zeroed one
 */
void sight_close(struct sight *s)
{
	pcap_free(s->pcap);
	audit_log_free(s->audit);
	writer_free(s->writer);
	*s = (struct sight){ .writer = NULL };
}
