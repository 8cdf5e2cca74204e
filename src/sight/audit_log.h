/* SPDX-License-Identifier: MIT */
/*
 * The audit: one line of JSON for each decision and for each flow's end, appended
 * to a file or sent to a socket.
 *
 *	{"time":"2026-11-22T10:11:12.123456Z","event":"decision","flow":"tcp-0.1",
 *	 "direction":"out","proto":"tcp","guest":"10.0.2.15:40000",
 *	 "remote":"10.0.2.2:80","host":"127.0.0.1:80","verdict":"allow",
 *	 "reason":"rule","rule":"allow tcp:127.0.0.1:80","rule_number":1}
 *
 * What cannot be written waits, in a buffer and then in the ring; what finds no
 * room there is lost, and a line says how much was.
 */
#ifndef SLUICE_SIGHT_AUDIT_LOG_H
#define SLUICE_SIGHT_AUDIT_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct audit;
struct audit_log;
struct audit_record;
struct writer;

/* Before the path of a socket: --audit unix:PATH. */
#define AUDIT_UNIX "unix:"

/* The longest line, newline included. */
#define AUDIT_LINE_MAX 4096

/* Bytes of lines that wait for the file or the socket. */
#define AUDIT_BUFFER (64U << 10)

/**
 * struct audit_log_status - figures of one moment
 * @where:	as it was given
 * @lines, @bytes:	written
 * @lost:	records that found no room
 * @withheld:	denials beyond what is told in a second
 * @failures:	writes and connects that failed
 * @waiting:	bytes in the buffer
 * @error:	errno of the last try, 0 = it went well
 */
struct audit_log_status {
	const char *where;
	uint64_t lines, bytes, lost, withheld, failures, waiting;
	int error;
};

/* audit_line.c: any thread */
size_t audit_line(const struct audit_record *r, uint64_t to_utc_ns, char line[AUDIT_LINE_MAX]);
size_t audit_lost_line(uint64_t now_ns, uint64_t lost, uint64_t withheld,
		       char line[AUDIT_LINE_MAX]);

/* audit_log.c: main thread */
int audit_log_new(struct audit_log **out, const char *where, struct writer *w, char *why,
		  size_t why_len);
struct audit *audit_log_stack(struct audit_log *a);
int audit_log_reopen(struct audit_log *a);
void audit_log_status(struct audit_log *a, struct audit_log_status *s);
void audit_log_free(struct audit_log *a);

#endif
