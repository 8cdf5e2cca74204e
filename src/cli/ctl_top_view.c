/* SPDX-License-Identifier: MIT */
/*
 * The picture that `sluice ctl top` draws, made of two samples: sums in the
 * head, then the flows that move most. Text only; knows no terminal.
 */
#include <stdlib.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/clock.h"
#include "src/cli/ctl_top.h"

/* Drop reasons and pools that are named, at most. */
#define NAMED_MAX 6

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "-";
}

static json_int_t num(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* metrics.GROUP.NAME */
static json_int_t figure(const struct top_sample *s, const char *group, const char *name)
{
	return num(json_object_get(s->metrics, group), name);
}

static double seconds(const struct top_sample *before, const struct top_sample *now)
{
	return before->at_ns ? (double)(now->at_ns - before->at_ns) / (double)NS_PER_S : 0;
}

/* How fast a counter grows; 0 at the first sample and after a restart. */
static double rate(const struct top_sample *before, const struct top_sample *now, const char *group,
		   const char *name)
{
	double s = seconds(before, now);
	json_int_t grown = figure(now, group, name) - figure(before, group, name);

	return s > 0 && grown > 0 ? (double)grown / s : 0;
}

/* Three digits and a unit, decimal as links are measured. */
static const char *human(double v, char buf[16])
{
	static const char units[] = " kMGT";
	size_t u = 0;

	while (v >= 999.5 && u + 2 < sizeof(units)) {
		v /= 1000;
		u++;
	}
	snprintf(buf, 16,
		 v < 9.995 && u	  ? "%.2f%c"
		 : v < 99.95 && u ? "%.1f%c"
				  : "%.0f%c",
		 v, units[u]);
	if (u == 0)
		buf[strcspn(buf, " ")] = 0;
	return buf;
}

static const char *duration(json_int_t ms, char buf[16])
{
	if (ms < 10000)
		snprintf(buf, 16, "%.1fs", (double)ms / 1000.0);
	else if (ms < 600000)
		snprintf(buf, 16, "%llds", (long long)(ms / 1000));
	else if (ms < 36000000)
		snprintf(buf, 16, "%lldm", (long long)(ms / 60000));
	else
		snprintf(buf, 16, "%lldh", (long long)(ms / 3600000));
	return buf;
}

static void head(const struct top_sample *b, const struct top_sample *n, FILE *out)
{
	const json_t *driver = json_object_get(n->status, "driver");
	double s = seconds(b, n);
	double cpu = rate(b, n, "worker", "cpu_ns") / (double)NS_PER_S * 100;
	char x[6][16];

	fprintf(out, "sluice %s %s  pid %lld  up %s  driver %s  worker %.0f%% CPU%s\n",
		str(n->status, "version"), str(n->status, "command"),
		(long long)num(n->status, "pid"), duration(figure(n, "process", "uptime_ms"), x[0]),
		json_is_true(json_object_get(driver, "attached")) ? "attached" : "none", cpu,
		s > 0 ? "" : "  (rates from the next second on)");
	fprintf(out,
		"guest>host %7sB/s %7s frames/s    host>guest %7sB/s %7s frames/s    %s "
		"syscalls/s\n",
		human(rate(b, n, "net", "tx_bytes"), x[0]),
		human(rate(b, n, "net", "tx_frames"), x[1]),
		human(rate(b, n, "net", "rx_bytes"), x[2]),
		human(rate(b, n, "net", "rx_frames"), x[3]),
		human(rate(b, n, "net", "syscalls"), x[4]));
	fprintf(out,
		"flows tcp %lld udp %lld icmp %lld   new %s/s  refused %s/s  reset %s/s  resent "
		"%s/s   parked %sB\n",
		(long long)figure(n, "net", "tcp_active"),
		(long long)figure(n, "net", "udp_active"),
		(long long)figure(n, "net", "ping_active"),
		human(rate(b, n, "net", "tcp_opened"), x[0]),
		human(rate(b, n, "net", "tcp_refused"), x[1]),
		human(rate(b, n, "net", "tcp_reset"), x[2]),
		human(rate(b, n, "net", "tcp_retransmits"), x[3]),
		human((double)figure(n, "net", "parked_bytes"), x[4]));
}

/* Drops by reason, those that are not zero; a rate behind those that grow. */
static void drops(const struct top_sample *b, const struct top_sample *n, FILE *out)
{
	json_t *now = json_object_get(json_object_get(n->metrics, "net"), "drops");
	const json_t *old = json_object_get(json_object_get(b->metrics, "net"), "drops");
	double s = seconds(b, n);
	const char *reason;
	int named = 0;
	json_t *v;

	fputs("drops", out);
	json_object_foreach(now, reason, v)
	{
		json_int_t total = json_integer_value(v), grown = total - num(old, reason);
		char x[2][16];

		if (total == 0 || named == NAMED_MAX)
			continue;
		named++;
		fprintf(out, "  %s %s", reason, human((double)total, x[0]));
		if (s > 0 && grown > 0)
			fprintf(out, " (%s/s)", human((double)grown / s, x[1]));
	}
	fputs(named ? "\n" : "  none\n", out);
}

static void pools(const struct top_sample *n, FILE *out)
{
	const json_t *group = json_object_get(n->metrics, "pool");
	const json_t *slots = json_object_get(group, "slots");
	json_t *used = json_object_get(group, "in_use");
	const json_t *empty = json_object_get(group, "empty");
	const char *name;
	int named = 0;
	json_t *v;

	fputs("pools", out);
	json_object_foreach(used, name, v)
	{
		if (named++ == NAMED_MAX)
			break;
		fprintf(out, "  %s %lld/%lld%s", name, (long long)json_integer_value(v),
			(long long)num(slots, name), num(empty, name) ? "!" : "");
	}
	fputc('\n', out);
}

/* A flow and how fast it is. */
struct row {
	const json_t *flow;
	double tx, rx;
};

static const json_t *same_flow(const struct top_sample *s, const char *id, size_t guess)
{
	const json_t *list = json_object_get(s->flows, "flows");
	size_t n = json_array_size(list);

	/* Records do not move, so it mostly stands where it stood. */
	for (size_t k = 0; k < n; k++) {
		const json_t *f = json_array_get(list, (guess + k) % n);

		if (strcmp(str(f, "id"), id) == 0)
			return f;
	}
	return NULL;
}

static int by_rate(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	double fx = x->tx + x->rx, fy = y->tx + y->rx;

	if (fx != fy)
		return fx < fy ? 1 : -1;
	return num(x->flow, "age_ms") < num(y->flow, "age_ms") ? 1 : -1;
}

static void flow_row(const struct row *r, int columns, FILE *out)
{
	char line[256], x[5][16];
	const json_t *f = r->flow;

	snprintf(line, sizeof(line), "%-5s %-22.22s %-26.26s %-12s %6s %8s %8s %7s %7s %7s %s",
		 str(f, "proto"), str(f, "guest"), str(f, "remote"), str(f, "state"),
		 duration(num(f, "age_ms"), x[0]), human(r->tx, x[1]), human(r->rx, x[2]),
		 human((double)num(f, "parked_bytes"), x[3]),
		 human((double)num(f, "in_flight_bytes"), x[4]), "", str(f, "stall"));
	if (json_object_get(f, "rtt_us"))
		snprintf(line, sizeof(line),
			 "%-5s %-22.22s %-26.26s %-12s %6s %8s %8s %7s %7s %5lldus %s",
			 str(f, "proto"), str(f, "guest"), str(f, "remote"), str(f, "state"), x[0],
			 x[1], x[2], x[3], x[4], (long long)num(f, "rtt_us"), str(f, "stall"));
	fprintf(out, "%.*s\n", MAX(columns, 1), line);
}

static void flows(const struct top_sample *b, const struct top_sample *n, int rows, int columns,
		  FILE *out)
{
	const json_t *list = json_object_get(n->flows, "flows");
	size_t count = json_array_size(list), shown;
	double s = seconds(b, n);
	struct row *row = calloc(count + 1, sizeof(*row));
	char line[160];

	if (!row)
		return;
	for (size_t i = 0; i < count; i++) {
		const json_t *f = json_array_get(list, i);
		const json_t *old = same_flow(b, str(f, "id"), i);

		row[i].flow = f;
		if (old && s > 0) {
			row[i].tx = (double)(num(f, "tx_bytes") - num(old, "tx_bytes")) / s;
			row[i].rx = (double)(num(f, "rx_bytes") - num(old, "rx_bytes")) / s;
		}
	}
	qsort(row, count, sizeof(*row), by_rate);
	snprintf(line, sizeof(line), "%-5s %-22s %-26s %-12s %6s %8s %8s %7s %7s %7s %s", "PROTO",
		 "GUEST", "REMOTE", "STATE", "AGE", "TX B/s", "RX B/s", "PARKED", "INFLGHT", "RTT",
		 "WHY");
	fprintf(out, "\n%.*s\n", MAX(columns, 1), line);
	shown = rows > 0 ? MIN(count, (size_t)rows) : 0;
	for (size_t i = 0; i < shown; i++)
		flow_row(&row[i], columns, out);
	if (shown < count)
		fprintf(out, "... and %zu flows more\n", count - shown);
	free(row);
}

/* How many flows stand still for which reason. */
static void stalls(const struct top_sample *n, FILE *out)
{
	const json_t *list = json_object_get(n->flows, "flows");
	json_t *count = json_object(), *v;
	const char *why;

	for (size_t i = 0; i < json_array_size(list); i++) {
		why = str(json_array_get(list, i), "stall");
		json_object_set_new(count, why, json_integer(num(count, why) + 1));
	}
	fputs("why  ", out);
	json_object_foreach(count, why, v)
	{
		fprintf(out, "  %s %lld", why, (long long)json_integer_value(v));
	}
	fputc('\n', out);
	json_decref(count);
}

/**
 * top_view() - one picture
 * @before:	the sample before, all zero = none: no rates yet
 * @rows, @columns:	of the place to draw in
 */
void top_view(const struct top_sample *before, const struct top_sample *now, int rows, int columns,
	      FILE *out)
{
	head(before, now, out);
	stalls(now, out);
	drops(before, now, out);
	pools(now, out);
	flows(before, now, rows - 9, columns, out);
}
