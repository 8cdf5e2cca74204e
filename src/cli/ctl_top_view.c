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

	fprintf(out, "sluice %s %s  pid %lld  up %s  worker %.0f%% CPU  driver %s%s\n",
		str(n->status, "version"), str(n->status, "command"),
		(long long)num(n->status, "pid"), duration(figure(n, "process", "uptime_ms"), x[0]),
		cpu, json_is_true(json_object_get(driver, "attached")) ? "attached" : "none",
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
		"flows tcp %lld udp %lld icmp %lld   parked %sB   new %s/s  refused %s/s  "
		"reset %s/s  resent %s/s\n",
		(long long)figure(n, "net", "tcp_active"),
		(long long)figure(n, "net", "udp_active"),
		(long long)figure(n, "net", "ping_active"),
		human((double)figure(n, "net", "parked_bytes"), x[4]),
		human(rate(b, n, "net", "tcp_opened"), x[0]),
		human(rate(b, n, "net", "tcp_refused"), x[1]),
		human(rate(b, n, "net", "tcp_reset"), x[2]),
		human(rate(b, n, "net", "tcp_retransmits"), x[3]));
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

enum column { PROTO, GUEST, REMOTE, STATE, AGE, TX, RX, PARKED, IN_FLIGHT, RTT, WHY, COLUMNS };

/* The least each is wide; addresses are as wide as the widest one shown. */
static const struct {
	const char *head;
	int width;
	bool left;
} column_table[COLUMNS] = {
	[PROTO] = { "PROTO", 5, true },	       [GUEST] = { "GUEST", 15, true },
	[REMOTE] = { "REMOTE", 15, true },     [STATE] = { "STATE", 12, true },
	[AGE] = { "AGE", 6, false },	       [TX] = { "TX B/s", 8, false },
	[RX] = { "RX B/s", 8, false },	       [PARKED] = { "PARKED", 7, false },
	[IN_FLIGHT] = { "INFLGHT", 7, false }, [RTT] = { "RTT", 7, false },
	[WHY] = { "WHY", 17, true },
};

/* Where there is no room for all: the first to go stands first. */
static const enum column spare[] = { IN_FLIGHT, PARKED, RTT, STATE, GUEST, AGE };

/* Longest cell, and its end: two addresses of IPv6 with ports, and a reason. */
#define CELL_MAX 64

static const char *micros(json_int_t us, char buf[16])
{
	if (us < 0 || us >= 10000000)
		snprintf(buf, 16, "%.0fs", (double)us / 1e6);
	else if (us >= 10000)
		snprintf(buf, 16, "%dms", (int)us / 1000);
	else
		snprintf(buf, 16, "%dus", (int)us);
	return buf;
}

static const char *cell(const struct row *r, enum column c, char buf[16])
{
	const json_t *f = r->flow;

	switch (c) {
	case PROTO:
		return str(f, "proto");
	case GUEST:
		return str(f, "guest");
	case REMOTE:
		return str(f, "remote");
	case STATE:
		return str(f, "state");
	case AGE:
		return duration(num(f, "age_ms"), buf);
	case TX:
		return human(r->tx, buf);
	case RX:
		return human(r->rx, buf);
	case PARKED:
		return human((double)num(f, "parked_bytes"), buf);
	case IN_FLIGHT:
		return human((double)num(f, "in_flight_bytes"), buf);
	case RTT:
		return json_object_get(f, "rtt_us") ? micros(num(f, "rtt_us"), buf) : "";
	case WHY:
		return str(f, "stall");
	case COLUMNS:
		break;
	}
	return "";
}

/* How wide each column is, 0 = left out. */
static void choose(int width[COLUMNS], const struct row *row, size_t rows, int columns)
{
	int all = -1; /* nothing stands before the first one */
	char buf[16];

	for (int c = 0; c < COLUMNS; c++) {
		width[c] = column_table[c].width;
		for (size_t i = 0; i < rows && (c == GUEST || c == REMOTE); i++) {
			int n = (int)strlen(cell(&row[i], (enum column)c, buf));

			width[c] = MIN(MAX(width[c], n), CELL_MAX - 1);
		}
		all += width[c] + 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(spare) && all > columns; i++) {
		all -= width[spare[i]] + 1;
		width[spare[i]] = 0;
	}
}

/* One line; the heads where there is no row. */
static void flow_row(const int width[COLUMNS], const struct row *r, FILE *out)
{
	char buf[16];
	bool any = false;

	for (int c = 0; c < COLUMNS; c++) {
		const char *text = r ? cell(r, (enum column)c, buf) : column_table[c].head;

		if (!width[c])
			continue;
		if (any)
			fputc(' ', out);
		any = true;
		if (c == WHY) /* nothing is behind it to keep in line */
			fputs(text, out);
		else
			fprintf(out, "%*.*s", column_table[c].left ? -width[c] : width[c],
				CELL_MAX - 1, text);
	}
	fputc('\n', out);
}

static void flows(const struct top_sample *b, const struct top_sample *n, int rows, int columns,
		  FILE *out)
{
	const json_t *list = json_object_get(n->flows, "flows");
	size_t count = json_array_size(list), shown;
	double s = seconds(b, n);
	struct row *row = calloc(count + 1, sizeof(*row));
	int width[COLUMNS];

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
	shown = rows > 0 ? MIN(count, (size_t)rows) : 0;
	choose(width, row, shown, columns);
	fputc('\n', out);
	flow_row(width, NULL, out);
	for (size_t i = 0; i < shown; i++)
		flow_row(width, &row[i], out);
	if (count == 0)
		fputs("no flows\n", out);
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
 * @rows, @columns:	of the place to draw in; lines that are longer are cut
 */
void top_view(const struct top_sample *before, const struct top_sample *now, int rows, int columns,
	      FILE *out)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	head(before, now, f);
	stalls(now, f);
	drops(before, now, f);
	pools(now, f);
	flows(before, now, rows - 9, columns, f);
	if (fclose(f) == 0)
		for (const char *p = text; *p; p += strcspn(p, "\n") + 1)
			fprintf(out, "%.*s\n", MIN((int)strcspn(p, "\n"), MAX(columns, 1)), p);
	free(text);
}
