/* SPDX-License-Identifier: MIT */
/*
 * Metrics as Prometheus' text, exposition format 0.0.4.
 *
 * A metric is called sluice_GROUP_NAME, a counter with _total behind it; HELP
 * and TYPE stand once, before its first value.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/control/metrics.h"
#include "src/control/priv.h"

/* Longest metric name that we have, and room. */
#define NAME_MAX_LEN 96

struct text {
	FILE *out;
	char last[NAME_MAX_LEN]; /* the metric whose HELP and TYPE have been written */
};

static void text_metric(void *ctx, const struct metric *m)
{
	struct text *t = ctx;
	char name[NAME_MAX_LEN];

	snprintf(name, sizeof(name), "sluice_%s_%s%s", m->group, m->name, m->gauge ? "" : "_total");
	if (strcmp(name, t->last) != 0) {
		fprintf(t->out, "# HELP %s %s\n# TYPE %s %s\n", name, m->text, name,
			m->gauge ? "gauge" : "counter");
		memcpy(t->last, name, sizeof(name));
	}
	if (m->label)
		fprintf(t->out, "%s{%s=\"%s\"} %llu\n", name, m->label, m->label_value,
			(unsigned long long)m->value);
	else
		fprintf(t->out, "%s %llu\n", name, (unsigned long long)m->value);
}

/* "le" is a power of two, in nanoseconds before it is shown in seconds. */
static void text_hist(void *ctx, const struct stack_hist_def *def, const struct hist *h)
{
	const double unit = def->seconds ? 1e-9 : 1;
	struct text *t = ctx;
	uint64_t count;

	fprintf(t->out, "# HELP sluice_net_%s %s\n# TYPE sluice_net_%s histogram\n", def->name,
		def->text, def->name);
	t->last[0] = 0;
	for (unsigned int e = def->from; e <= def->to; e++)
		fprintf(t->out, "sluice_net_%s_bucket{le=\"%.9g\"} %llu\n", def->name,
			(double)(1ULL << e) * unit, (unsigned long long)hist_count_upto(h, e));
	/* Read last: what is added meanwhile is in no smaller bucket but in this one. */
	count = hist_count(h);
	fprintf(t->out,
		"sluice_net_%s_bucket{le=\"+Inf\"} %llu\nsluice_net_%s_sum %.9g\n"
		"sluice_net_%s_count %llu\n",
		def->name, (unsigned long long)count, def->name,
		(double)counter_get(&h->sum) * unit, def->name, (unsigned long long)count);
}

/**
 * metrics_prometheus() - all figures as text
 *
 * Main thread. Return: what the caller frees, or NULL when out of memory
 */
char *metrics_prometheus(struct control *c)
{
	struct text t = { .last = "" };
	const struct metric_sink s = { .metric = text_metric, .hist = text_hist, .ctx = &t };
	char *text = NULL;
	size_t len = 0;

	t.out = open_memstream(&text, &len);
	if (!t.out)
		return NULL;
	fprintf(t.out,
		"# HELP sluice_build_info which sluice this is\n"
		"# TYPE sluice_build_info gauge\n"
		"sluice_build_info{version=\"%s\",command=\"%s\"} 1\n",
		control_cfg(c)->version, control_cfg(c)->command);
	metrics_walk(c, &s);
	if (fclose(t.out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
