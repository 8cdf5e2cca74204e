/* SPDX-License-Identifier: MIT */
/*
 * Log lines on standard error (or a given fd): one write(2) a line, a level, a
 * part ("net", "kvm"), and rate-limited forms for whatever a guest can cause.
 *
 * A line is formatted on the caller's stack; no allocation, no lock.
 */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include <stdatomic.h>
#include <stdint.h>

#include "src/base/base.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVELS };

/* Longest line in bytes, newline included; what is longer is cut. */
#define LOG_LINE_MAX 512

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

/* log.c */
void log_set_level(enum log_level level);
int log_level_parse(const char *name, enum log_level *level);
void log_set_fd(int fd);
void log_line(enum log_level level, const char *part, const char *fmt, ...) PRINTF(3, 4);
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

/* For anything that a guest or a peer can trigger as often as it likes. */
#define log_limited(level, part, fmt, ...)                                                        \
	do {                                                                                      \
		static struct log_limit limit_;                                                   \
		uint32_t muted_;                                                                  \
		if ((int)(level) <= atomic_load_explicit(&log_threshold, memory_order_relaxed) && \
		    log_limit_pass(&limit_, &muted_))                                             \
			log_line((level), (part), fmt " (%u like it withheld)", ##__VA_ARGS__,    \
				 muted_);                                                         \
	} while (0)

#define log_once(level, part, ...)                                                 \
	do {                                                                       \
		static _Atomic bool said_;                                         \
		if (!atomic_exchange_explicit(&said_, true, memory_order_relaxed)) \
			LOG(level, part, __VA_ARGS__);                             \
	} while (0)

#endif
