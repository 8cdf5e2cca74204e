/* SPDX-License-Identifier: MIT */
/*
 * Log lines and the end of the program by a bug of our own.
 *
 * Theory of operation: a line is built in a buffer on the stack and leaves by
 * one write(2), so lines of different threads do not mix and no lock is held.
 * A short or failed write is ignored: losing a log line must never stop a
 * worker. Rate limits count per call site in a fixed interval and say, in the
 * first line that passes again, how many were withheld.
 */
#include "src/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

_Atomic int log_threshold = LOG_WARN;

static _Atomic int log_fd = STDERR_FILENO;

static const char *const level_names[] = { "error", "warn", "info", "debug" };

static_assert(ARRAY_SIZE(level_names) == LOG_LEVELS, "a name for each level");

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
 * log_set_fd() - write later lines to @fd, which the caller keeps open
 */
void log_set_fd(int fd)
{
	atomic_store_explicit(&log_fd, fd, memory_order_relaxed);
}

/**
 * log_line() - write one line whatever the threshold; any thread
 * @level:	printed as a word
 * @part:	which part of the program speaks
 */
void log_line(enum log_level level, const char *part, const char *fmt, ...)
{
	char line[LOG_LINE_MAX];
	int saved_errno = errno;
	va_list ap;
	int n, m;

	n = snprintf(line, sizeof(line), "sluice: %s: %s: ", level_names[level], part);
	BUG_ON(n < 0 || (size_t)n >= sizeof(line));
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	if (m > 0)
		n += m;
	if ((size_t)n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	ssize_t ignored = write(atomic_load_explicit(&log_fd, memory_order_relaxed), line,
				(size_t)n);
	(void)ignored;
	errno = saved_errno;
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
