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

/**
 * metrics_prometheus() - all figures as text
 *
 * Main thread. Return: what the caller frees, or NULL when out of memory
 */
char *metrics_prometheus(struct control *c)
{
	struct text t = { .last = "" };
	const struct metric_sink s = { .metric = text_metric, .ctx = &t };
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
