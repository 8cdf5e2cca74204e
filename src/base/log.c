/* SPDX-License-Identifier: MIT */
/*
 * Log lines and the end of the program by a bug of our own.
 *
 * Theory of operation: a line is built in a buffer on the stack and leaves by
 * one write(2), so lines of different threads do not mix and no lock is held. As
 * JSON it is an object with the members time, level, subsystem, flow (where there
 * is one), msg and withheld (where a limit kept lines back); the message is cut, if
 * need be, before it is escaped, so that the object is always whole.
 * A line that cannot be written, or not to its end, is lost: that must never stop a
 * worker. It is counted, and the next line that finds room comes behind one that says
 * how many are missing there; one that was torn ends where the next begins. Rate
 * limits count per call site in a fixed interval and say, in the first line that
 * passes again, how many were withheld.
 */
#include "src/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "src/base/jsontext.h"
#include "src/base/utc.h"

_Atomic int log_threshold = LOG_WARN;

static _Atomic int log_fd = STDERR_FILENO;

/* Lines that were lost, and those of them that no line has told of; the last one was torn. */
static _Atomic uint64_t lost, untold;
static _Atomic bool torn;

static _Atomic int the_format = LOG_TEXT;

static const char *const level_names[] = { "error", "warn", "info", "debug" };

static_assert(ARRAY_SIZE(level_names) == LOG_LEVELS, "a name for each level");

static const char *const format_names[] = { "text", "json" };

static_assert(ARRAY_SIZE(format_names) == LOG_FORMATS, "a name for each format");

/**
 * log_set_level() - show lines of @level and graver ones; any thread
 */
void log_set_level(enum log_level level)
{
	atomic_store_explicit(&log_threshold, (int)level, memory_order_relaxed);
}

/**
 * log_level_parse() - level by its name (error, warn, info, debug)
 *
 * Return: 0, or -EINVAL with @level untouched
 */
int log_level_parse(const char *name, enum log_level *level)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/**
 * log_set_fd() - write later lines to @fd, which the caller keeps open; < 0: nowhere
 */
void log_set_fd(int fd)
{
	atomic_store_explicit(&log_fd, fd, memory_order_relaxed);
}

/**
 * log_set_format() - how later lines are written; any thread
 */
void log_set_format(enum log_format format)
{
	atomic_store_explicit(&the_format, (int)format, memory_order_relaxed);
}

/**
 * log_format() - how lines are written; any thread
 */
enum log_format log_format(void)
{
	return (enum log_format)atomic_load_explicit(&the_format, memory_order_relaxed);
}

/**
 * log_format_parse() - format by its name (text, json)
 *
 * Return: 0, or -EINVAL with @format untouched
 */
int log_format_parse(const char *name, enum log_format *format)
{
	for (size_t i = 0; i < ARRAY_SIZE(format_names); i++) {
		if (strcmp(name, format_names[i]) == 0) {
			*format = (enum log_format)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *log_format_name(enum log_format format)
{
	return format_names[format];
}

/* Fill @line but for its newline; bytes. @line has room for it and a terminator. */
static size_t text_line(char *line, enum log_level level, const char *part,
			const struct log_about *about, const char *msg)
{
	char withheld[48] = "";
	int n, room;

	if (about->withheld)
		snprintf(withheld, sizeof(withheld), " (%u like it withheld)", about->withheld);
	n = snprintf(line, LOG_LINE_MAX, "sluice: %s: %.40s: %s%s", level_names[level], part,
		     about->flow ? about->flow : "", about->flow ? ": " : "");
	BUG_ON(n < 0 || (size_t)n >= LOG_LINE_MAX / 2);
	room = LOG_LINE_MAX - 1 - n - (int)strlen(withheld);
	n += snprintf(line + n, LOG_JSON_MAX - (size_t)n, "%.*s%s", room, msg, withheld);
	return (size_t)n;
}

static size_t json_line(char *line, enum log_level level, const char *part,
			const struct log_about *about, const char *msg)
{
	char tail[48], utc[UTC_STRLEN];
	int n, t = 0;

	n = snprintf(line, LOG_JSON_MAX,
		     "{\"time\":\"%s\",\"level\":\"%s\",\"subsystem\":\"%.40s\"",
		     utc_format(utc_now_ns(), utc), level_names[level], part);
	if (about->flow)
		n += snprintf(line + n, LOG_JSON_MAX - (size_t)n, ",\"flow\":\"%.40s\"",
			      about->flow);
	n += snprintf(line + n, LOG_JSON_MAX - (size_t)n, ",\"msg\":\"");
	BUG_ON(n < 0 || (size_t)n >= LOG_JSON_MAX / 2);
	if (about->withheld)
		t = snprintf(tail, sizeof(tail), "\",\"withheld\":%u}", about->withheld);
	else
		t = snprintf(tail, sizeof(tail), "\"}");
	n += (int)json_text(line + n, LOG_JSON_MAX - 1 - (size_t)n - (size_t)t, msg, strlen(msg));
	memcpy(line + n, tail, (size_t)t);
	return (size_t)n + (size_t)t;
}

/* One line, in one write(2). Return: 0, or -errno: it has not come out whole */
static int put_line(int fd, enum log_level level, const char *part, const struct log_about *about,
		    const char *msg)
{
	char buf[1 + LOG_JSON_MAX], *line = buf + 1;
	ssize_t done;
	size_t n;

	n = (log_format() == LOG_JSON ? json_line : text_line)(line, level, part, about, msg);
	line[n++] = '\n';
	if (atomic_exchange_explicit(&torn, false, memory_order_relaxed)) {
		*--line = '\n';
		n++;
	}
	do
		done = write(fd, line, n);
	while (done < 0 && errno == EINTR);
	if (done == (ssize_t)n)
		return 0;
	/* Nothing of it, and of the one before that is torn still: a newline is due. */
	if (done > 0 || line == buf)
		atomic_store_explicit(&torn, true, memory_order_relaxed);
	return done < 0 ? -errno : -ENOSPC;
}

/* Lines are missing here: say so, if that can be said. */
static void tell_lost(int fd)
{
	static const struct log_about nothing;
	uint64_t n = atomic_exchange_explicit(&untold, 0, memory_order_relaxed);
	char msg[64];

	if (n == 0)
		return;
	snprintf(msg, sizeof(msg), "%llu line%s could not be written here", (unsigned long long)n,
		 n == 1 ? "" : "s");
	if (put_line(fd, LOG_WARN, "log", &nothing, msg))
		atomic_fetch_add_explicit(&untold, n, memory_order_relaxed);
}

PRINTF(4, 0)
static void write_line(enum log_level level, const char *part, const struct log_about *about,
		       const char *fmt, va_list ap)
{
	int saved_errno = errno, fd = atomic_load_explicit(&log_fd, memory_order_relaxed);
	char msg[LOG_LINE_MAX];

	if (fd < 0)
		return;
	if (vsnprintf(msg, sizeof(msg), fmt, ap) < 0)
		msg[0] = 0;
	tell_lost(fd);
	if (put_line(fd, level, part, about, msg)) {
		atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&untold, 1, memory_order_relaxed);
	}
	errno = saved_errno;
}

/**
 * log_lost() - lines that could not be written since the start; any thread
 */
uint64_t log_lost(void)
{
	return atomic_load_explicit(&lost, memory_order_relaxed);
}

/**
 * log_line() - write one line whatever the threshold; any thread
 * @level:	printed as a word
 * @part:	which part of the program speaks
 */
void log_line(enum log_level level, const char *part, const char *fmt, ...)
{
	static const struct log_about nothing;
	va_list ap;

	va_start(ap, fmt);
	write_line(level, part, &nothing, fmt, ap);
	va_end(ap);
}

/**
 * log_line_about() - log_line() with more to say
 * @about:	its texts are literals or names of ours, and so need no escape
 */
void log_line_about(enum log_level level, const char *part, const struct log_about *about,
		    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line(level, part, about, fmt, ap);
	va_end(ap);
}

/**
 * log_limit_pass() - may this call site speak now?
 * @limit:	the call site's state
 * @muted:	out: lines withheld since it last spoke
 *
 * Any thread; a race between threads at an interval's edge may let a line more
 * through, which is harmless.
 */
bool log_limit_pass(struct log_limit *limit, uint32_t *muted)
{
	struct timespec ts;
	uint64_t now, start;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now = (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec + 1;
	start = atomic_load_explicit(&limit->window_ns, memory_order_relaxed);
	if (start == 0 || now - start >= LOG_LIMIT_INTERVAL_NS) {
		atomic_store_explicit(&limit->window_ns, now, memory_order_relaxed);
		atomic_store_explicit(&limit->used, 0, memory_order_relaxed);
	}
	if (atomic_fetch_add_explicit(&limit->used, 1, memory_order_relaxed) >= LOG_LIMIT_BURST) {
		atomic_fetch_add_explicit(&limit->muted, 1, memory_order_relaxed);
		return false;
	}
	*muted = atomic_exchange_explicit(&limit->muted, 0, memory_order_relaxed);
	return true;
}

void bug(const char *file, int line, const char *what)
{
	log_line(LOG_ERROR, "bug", "%s:%d: %s", file, line, what);
	abort();
}
