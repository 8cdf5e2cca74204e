/* SPDX-License-Identifier: MIT */
/*
 * Metrics as Prometheus' text, exposition format 0.0.4.
 *
 * A metric is called sluice_GROUP_NAME, a counter with _total behind it; HELP
 * and TYPE stand once, before its first value. In texts and in values of labels
 * the format wants backslash and newline escaped, in the latter the quote as well.
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

static void put_escaped(FILE *out, const char *s, bool label)
{
	for (; *s; s++) {
		if (*s == '\n')
			fputs("\\n", out);
		else if (*s == '\\' || (*s == '"' && label))
			fprintf(out, "\\%c", *s);
		else
			fputc(*s, out);
	}
}

static void put_head(FILE *out, const char *name, const char *text, const char *type)
{
	fprintf(out, "# HELP %s ", name);
	put_escaped(out, text, false);
	fprintf(out, "\n# TYPE %s %s\n", name, type);
}

/* name="value" */
static void put_label(FILE *out, const char *name, const char *value)
{
	fprintf(out, "%s=\"", name);
	put_escaped(out, value, true);
	fputc('"', out);
}

static void text_metric(void *ctx, const struct metric *m)
{
	struct text *t = ctx;
	char name[NAME_MAX_LEN];

	snprintf(name, sizeof(name), "sluice_%s_%s%s", m->group, m->name, m->gauge ? "" : "_total");
	if (strcmp(name, t->last) != 0) {
		put_head(t->out, name, m->text, m->gauge ? "gauge" : "counter");
		memcpy(t->last, name, sizeof(name));
	}
	fputs(name, t->out);
	if (m->label) {
		fputc('{', t->out);
		put_label(t->out, m->label, m->label_value);
		fputc('}', t->out);
	}
	fprintf(t->out, " %llu\n", (unsigned long long)m->value);
}

/* "le" is a power of two, in nanoseconds before it is shown in seconds. */
static void text_hist(void *ctx, const struct stack_hist_def *def, const struct hist *h)
{
	const double unit = def->seconds ? 1e-9 : 1;
	struct text *t = ctx;
	char name[NAME_MAX_LEN];
	uint64_t count;

	snprintf(name, sizeof(name), "sluice_net_%s", def->name);
	put_head(t->out, name, def->text, "histogram");
	t->last[0] = 0;
	for (unsigned int e = def->from; e <= def->to; e++)
		fprintf(t->out, "%s_bucket{le=\"%.9g\"} %llu\n", name, (double)(1ULL << e) * unit,
			(unsigned long long)hist_count_upto(h, e));
	/* Read last: what is added meanwhile is in no smaller bucket but in this one. */
	count = hist_count(h);
	fprintf(t->out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.9g\n%s_count %llu\n", name,
		(unsigned long long)count, name, (double)counter_get(&h->sum) * unit, name,
		(unsigned long long)count);
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
	put_head(t.out, "sluice_build_info", "which sluice this is", "gauge");
	fputs("sluice_build_info{", t.out);
	put_label(t.out, "version", control_cfg(c)->version);
	fputc(',', t.out);
	put_label(t.out, "command", control_cfg(c)->command);
	fputs("} 1\n", t.out);
	metrics_walk(c, &s);
	if (fclose(t.out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
