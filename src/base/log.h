/* SPDX-License-Identifier: MIT */
/*
 * Log lines on standard error (or a given fd): one write(2) a line, a level, a
 * part ("net", "kvm"), and rate-limited forms for whatever a guest can cause. A line
 * is text for people, or an object of JSON for programs.
 *
 * A line is formatted on the caller's stack; no allocation, no lock.
 */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include <stdatomic.h>
#include <stdint.h>

#include "src/base/base.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVELS };

enum log_format { LOG_TEXT, LOG_JSON, LOG_FORMATS };

/* Longest line in bytes, newline included; what is longer is cut. */
#define LOG_LINE_MAX 512
#define LOG_JSON_MAX 1024

extern _Atomic int log_threshold;

/* How often one call site may speak: burst, then one line an interval. */
#define LOG_LIMIT_BURST	      5
#define LOG_LIMIT_INTERVAL_NS 1000000000ULL

/**
 * struct log_limit - rate limiter of one call site
 * @window_ns:	start of the current interval, CLOCK_MONOTONIC_COARSE
 * @used:	lines let through in it
 * @muted:	lines withheld since the last one let through
 */
struct log_limit {
	_Atomic uint64_t window_ns;
	_Atomic uint32_t used;
	_Atomic uint32_t muted;
};

/**
 * struct log_about - what a line says beside its words
 * @flow:	the flow that it is about, as `ctl flows` names it; NULL = none
 * @withheld:	lines like it that a limit has kept back before it
 */
struct log_about {
	const char *flow;
	uint32_t withheld;
};

/* log.c */
void log_set_level(enum log_level level);
void log_set_format(enum log_format format);
enum log_format log_format(void);
int log_format_parse(const char *name, enum log_format *format);
const char *log_format_name(enum log_format format);
int log_level_parse(const char *name, enum log_level *level);
void log_set_fd(int fd);
uint64_t log_lost(void);
void log_line(enum log_level level, const char *part, const char *fmt, ...) PRINTF(3, 4);
void log_line_about(enum log_level level, const char *part, const struct log_about *about,
		    const char *fmt, ...) PRINTF(4, 5);
bool log_limit_pass(struct log_limit *limit, uint32_t *muted);

/* Free when off: the arguments are not evaluated below the threshold. */
#define LOG(level, part, ...)                                                             \
	do {                                                                              \
		if (unlikely((int)(level) <=                                              \
			     atomic_load_explicit(&log_threshold, memory_order_relaxed))) \
			log_line((level), (part), __VA_ARGS__);                           \
	} while (0)

#define log_error(part, ...) LOG(LOG_ERROR, part, __VA_ARGS__)
#define log_warn(part, ...)  LOG(LOG_WARN, part, __VA_ARGS__)
#define log_info(part, ...)  LOG(LOG_INFO, part, __VA_ARGS__)
#define log_debug(part, ...) LOG(LOG_DEBUG, part, __VA_ARGS__)

/*
 * For anything that a guest or a peer can trigger as often as it likes. @flow is
 * evaluated only when the line passes.
 */
#define log_limited_flow(level, part, flow_, ...)                                                 \
	do {                                                                                      \
		static struct log_limit limit_;                                                   \
		struct log_about about_ = { .flow = NULL };                                       \
		if ((int)(level) <= atomic_load_explicit(&log_threshold, memory_order_relaxed) && \
		    log_limit_pass(&limit_, &about_.withheld)) {                                  \
			about_.flow = (flow_);                                                    \
			log_line_about((level), (part), &about_, __VA_ARGS__);                    \
		}                                                                                 \
	} while (0)

#define log_limited(level, part, ...) log_limited_flow(level, part, NULL, __VA_ARGS__)

#define log_once(level, part, ...)                                                 \
	do {                                                                       \
		static _Atomic bool said_;                                         \
		if (!atomic_exchange_explicit(&said_, true, memory_order_relaxed)) \
			LOG(level, part, __VA_ARGS__);                             \
	} while (0)

#endif
