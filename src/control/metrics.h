/* SPDX-License-Identifier: MIT */
/* Figures on their way to JSON or to Prometheus. */
#ifndef SLUICE_CONTROL_METRICS_H
#define SLUICE_CONTROL_METRICS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct control;

#define PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/**
 * struct metric - one value
 * @group, @name:	together its name; stable
 * @text:	what it is, in a few words
 * @gauge:	it also falls; else a counter
 * @label, @label_value:	NULL = none
 */
struct metric {
	const char *group, *name, *text;
	bool gauge;
	const char *label, *label_value;
	uint64_t value;
};

struct hist;
struct stack_hist_def;

struct metric_sink {
	void (*metric)(void *ctx, const struct metric *m);
	void (*hist)(void *ctx, const struct stack_hist_def *def, const struct hist *h);
	void *ctx;
};

/* metrics.c */
void metrics_walk(struct control *c, const struct metric_sink *s);
json_t *metrics_json(struct control *c);

/* prometheus.c */
char *metrics_prometheus(struct control *c);

#endif
