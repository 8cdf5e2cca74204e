/* SPDX-License-Identifier: MIT */
/*
 * A strict reader of Prometheus' text, exposition format 0.0.4.
 *
 * Stricter than a scraper: every family has its HELP, then its TYPE, then at least
 * one sample, in one piece; no series twice; only the escapes that the format
 * has; a counter is called _total and is no less than 0; each histogram has
 * buckets that grow, the last of them +Inf, with a _sum, and a _count that is
 * what the last bucket says.
 */
#ifndef SLUICE_TESTS_UNIT_PROMCHECK_H
#define SLUICE_TESTS_UNIT_PROMCHECK_H

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROM_FAMILIES_MAX 512
#define PROM_SERIES_MAX	  8192
#define PROM_NAME_MAX	  128
#define PROM_LABELS_MAX	  8
#define PROM_KEY_MAX	  512

/* One histogram, while its lines go by: the labels beside "le", and what was seen. */
struct prom_hist {
	char labels[PROM_KEY_MAX];
	double le, buckets, count;
	bool any, inf, sum, counted;
};

/**
 * struct prom - a text being read
 * @families, @samples:	how many so far
 * @line:	its number, for the message
 * @why:	what is wrong
 */
struct prom {
	int families, samples, line;
	char why[256];
	char family[PROM_FAMILIES_MAX][PROM_NAME_MAX];
	char type[16]; /* of the last family; "" before its TYPE */
	int in_family; /* samples of it */
	struct prom_hist hist;
	char *series[PROM_SERIES_MAX];
};

struct prom_label {
	char name[PROM_NAME_MAX], value[PROM_KEY_MAX / 2];
};

__attribute__((format(printf, 2, 3))) static inline bool prom_bad(struct prom *p, const char *fmt,
								  ...)
{
	int n = snprintf(p->why, sizeof(p->why), "line %d: ", p->line);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->why + n, sizeof(p->why) - (size_t)n, fmt, ap);
	va_end(ap);
	return false;
}

/* [a-zA-Z_:][a-zA-Z0-9_:]*, a label's without colons; how many bytes of it */
static inline size_t prom_name_len(const char *s, bool label)
{
	size_t n = 0;

	while (isalpha((unsigned char)s[n]) || s[n] == '_' || (s[n] == ':' && !label) ||
	       (n > 0 && isdigit((unsigned char)s[n])))
		n++;
	return n;
}

/* A histogram's end: what must have come by now. */
static inline bool prom_hist_end(struct prom *p)
{
	const struct prom_hist *h = &p->hist;

	if (!h->any)
		return true;
	if (!h->inf)
		return prom_bad(p, "a histogram has no bucket +Inf");
	if (!h->sum || !h->counted)
		return prom_bad(p, "a histogram has no _sum or no _count");
	if (h->buckets != h->count)
		return prom_bad(p, "_count is %g, the bucket +Inf %g", h->count, h->buckets);
	return true;
}

static inline bool prom_family_end(struct prom *p)
{
	if (p->families && !p->type[0])
		return prom_bad(p, "%s has no TYPE", p->family[p->families - 1]);
	if (p->families && p->in_family == 0)
		return prom_bad(p, "%s has no sample", p->family[p->families - 1]);
	return prom_hist_end(p);
}

static inline bool prom_help(struct prom *p, const char *name, const char *text)
{
	if (!prom_family_end(p))
		return false;
	for (int i = 0; i < p->families; i++)
		if (strcmp(p->family[i], name) == 0)
			return prom_bad(p, "%s comes twice", name);
	if (p->families == PROM_FAMILIES_MAX)
		return prom_bad(p, "more families than this reader holds");
	for (const char *s = text; *s; s++)
		if (*s == '\\' && *++s != '\\' && *s != 'n')
			return prom_bad(p, "an escape in HELP that is none");
	strcpy(p->family[p->families++], name);
	p->type[0] = 0;
	p->in_family = 0;
	memset(&p->hist, 0, sizeof(p->hist));
	return true;
}

static inline bool prom_type(struct prom *p, const char *name, const char *type)
{
	if (p->families == 0 || strcmp(p->family[p->families - 1], name) != 0)
		return prom_bad(p, "TYPE of %s without its HELP before it", name);
	if (p->type[0])
		return prom_bad(p, "a second TYPE of %s", name);
	if (strcmp(type, "counter") != 0 && strcmp(type, "gauge") != 0 &&
	    strcmp(type, "histogram") != 0)
		return prom_bad(p, "%s is no type that we have", type);
	if ((strcmp(type, "counter") == 0) !=
	    (strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0))
		return prom_bad(p, "%s: a counter is called _total, and nothing else", name);
	strcpy(p->type, type);
	return true;
}

static inline bool prom_comment(struct prom *p, const char *line)
{
	char name[PROM_NAME_MAX];
	const char *s = line + 7;
	size_t n = strlen(line) > 7 ? prom_name_len(s, false) : 0;

	if (n == 0 || n >= sizeof(name) || s[n] != ' ' || !s[n + 1])
		return prom_bad(p, "a comment that is neither HELP nor TYPE of a metric");
	memcpy(name, s, n);
	name[n] = 0;
	if (strncmp(line, "# HELP ", 7) == 0)
		return prom_help(p, name, s + n + 1);
	if (strncmp(line, "# TYPE ", 7) == 0)
		return prom_type(p, name, s + n + 1);
	return prom_bad(p, "a comment that is neither HELP nor TYPE");
}

/* The labels from @*at on; @*at moves behind them. How many, or -1. */
static inline int prom_labels(struct prom *p, const char **at, struct prom_label *out)
{
	const char *s = *at;
	int count = 0;

	if (*s != '{')
		return 0;
	do {
		struct prom_label *l = &out[count];
		size_t n = prom_name_len(++s, true), v = 0;

		if (n == 0 || n >= sizeof(l->name) || count == PROM_LABELS_MAX)
			return prom_bad(p, "a label without a name, or too many"), -1;
		memcpy(l->name, s, n);
		l->name[n] = 0;
		s += n;
		if (strncmp(l->name, "__", 2) == 0 || s[0] != '=' || s[1] != '"')
			return prom_bad(p, "label %s: reserved, or without a value", l->name), -1;
		for (s += 2; *s != '"'; s++) {
			if (*s == 0 || v + 1 >= sizeof(l->value))
				return prom_bad(p, "label %s does not end", l->name), -1;
			if (*s == '\\' && *++s != '\\' && *s != '"' && *s != 'n')
				return prom_bad(p, "label %s: an escape that is none", l->name), -1;
			l->value[v++] = *s;
		}
		l->value[v] = 0;
		for (int i = 0; i < count; i++)
			if (strcmp(out[i].name, l->name) == 0)
				return prom_bad(p, "label %s twice", l->name), -1;
		count++;
		s++;
	} while (*s == ',');
	if (*s != '}')
		return prom_bad(p, "labels do not end in }"), -1;
	*at = s + 1;
	return count;
}

static inline int prom_label_cmp(const void *a, const void *b)
{
	return strcmp(((const struct prom_label *)a)->name, ((const struct prom_label *)b)->name);
}

/* A series' identity: name and sorted labels, without the label @but. */
static inline void prom_key(char *key, const char *name, const struct prom_label *l, int n,
			    const char *but)
{
	int at = snprintf(key, PROM_KEY_MAX, "%s", name);

	for (int i = 0; i < n && at < PROM_KEY_MAX; i++)
		if (!but || strcmp(l[i].name, but) != 0)
			at += snprintf(key + at, PROM_KEY_MAX - (size_t)at, "\n%s=%s", l[i].name,
				       l[i].value);
}

static inline bool prom_once(struct prom *p, const char *key)
{
	for (int i = 0; i < p->samples; i++)
		if (strcmp(p->series[i], key) == 0)
			return prom_bad(p, "a series that was there before: %s", key);
	if (p->samples == PROM_SERIES_MAX)
		return prom_bad(p, "more series than this reader holds");
	p->series[p->samples++] = strdup(key);
	return true;
}

static inline bool prom_number(const char *s, double *v)
{
	char *end;

	if (strcmp(s, "+Inf") == 0 || strcmp(s, "-Inf") == 0 || strcmp(s, "NaN") == 0) {
		*v = s[0] == 'N' ? NAN : s[0] == '+' ? INFINITY : -INFINITY;
		return true;
	}
	if (!isdigit((unsigned char)*s) && !(*s == '-' && isdigit((unsigned char)s[1])))
		return false;
	*v = strtod(s, &end);
	return *end == 0;
}

static inline bool prom_hist_sample(struct prom *p, const char *suffix, const struct prom_label *l,
				    int n, double v)
{
	struct prom_hist *h = &p->hist;
	char labels[PROM_KEY_MAX];
	double le = 0;
	bool has_le = false;

	for (int i = 0; i < n; i++) {
		if (strcmp(l[i].name, "le") != 0)
			continue;
		has_le = prom_number(l[i].value, &le);
		if (!has_le)
			return prom_bad(p, "le=\"%s\" is no number", l[i].value);
	}
	prom_key(labels, "", l, n, "le");
	if (h->any && strcmp(labels, h->labels) != 0) {
		if (!prom_hist_end(p))
			return false;
		memset(h, 0, sizeof(*h));
	}
	strcpy(h->labels, labels);
	if (has_le != (strcmp(suffix, "_bucket") == 0))
		return prom_bad(p, "le belongs to buckets, and to each of them");
	if (has_le) {
		if (h->inf || (h->any && le <= h->le))
			return prom_bad(p, "bucket %g comes behind %g", le, h->le);
		if (v < h->buckets || v != (double)(unsigned long long)v)
			return prom_bad(p, "bucket %g has %g, less than before", le, v);
		h->le = le;
		h->buckets = v;
		h->inf = isinf(le);
	} else if (strcmp(suffix, "_sum") == 0) {
		h->sum = true;
	} else if (strcmp(suffix, "_count") == 0) {
		h->counted = true;
		h->count = v;
	} else {
		return prom_bad(p, "%s is no part of a histogram", suffix);
	}
	h->any = true;
	return true;
}

static inline bool prom_sample(struct prom *p, const char *line)
{
	const char *family = p->families ? p->family[p->families - 1] : "", *at;
	size_t n = prom_name_len(line, false), flen = strlen(family);
	struct prom_label l[PROM_LABELS_MAX];
	char name[PROM_NAME_MAX], key[PROM_KEY_MAX];
	int labels;
	double v;

	if (n == 0 || n >= sizeof(name))
		return prom_bad(p, "neither a comment nor a sample");
	memcpy(name, line, n);
	name[n] = 0;
	if (!p->type[0] || strncmp(name, family, flen) != 0)
		return prom_bad(p, "%s comes before its HELP and TYPE", name);
	at = line + n;
	labels = prom_labels(p, &at, l);
	if (labels < 0)
		return false;
	qsort(l, (size_t)labels, sizeof(*l), prom_label_cmp);
	prom_key(key, name, l, labels, NULL);
	if (!prom_once(p, key))
		return false;
	if (*at != ' ' || !prom_number(at + 1, &v))
		return prom_bad(p, "%s has no number behind it", name);
	p->in_family++;
	if (strcmp(p->type, "histogram") == 0)
		return prom_hist_sample(p, name + flen, l, labels, v);
	if (n != flen)
		return prom_bad(p, "%s comes before its HELP and TYPE", name);
	if (strcmp(p->type, "counter") == 0 && !(v >= 0))
		return prom_bad(p, "%s is a counter of %g", name, v);
	return true;
}

static inline bool prom_lines(struct prom *p, char *text)
{
	char *save, *line;

	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		p->line++;
		if (line[0] == '#' ? !prom_comment(p, line) : !prom_sample(p, line))
			return false;
	}
	return prom_family_end(p);
}

/* Is @text an exposition? Else @p->why says why not. Empty lines are none of ours. */
static inline bool prom_check(struct prom *p, const char *text)
{
	size_t len = strlen(text);
	char *copy = strdup(text);
	bool ok;

	memset(p, 0, sizeof(*p));
	if (len == 0 || text[len - 1] != '\n' || strstr(text, "\n\n") || strchr(text, '\r'))
		ok = prom_bad(p, "does not end in a newline, or has an empty line");
	else
		ok = prom_lines(p, copy);
	for (int i = 0; i < p->samples; i++)
		free(p->series[i]);
	free(copy);
	return ok;
}

#endif
