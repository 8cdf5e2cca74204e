/* SPDX-License-Identifier: MIT */
/* Prometheus' text, read back by a strict reader of exposition format 0.0.4. */
#include "tests/unit/ctlcmd.h"

#include <stdio.h>

#include "src/control/metrics.h"
#include "tcpstack/stack.h"
#include "tests/unit/promcheck.h"

static struct prom reader;

static void text_is_exposition_format(void **state)
{
	char *text = metrics_prometheus(rig.c);

	(void)state;
	assert_non_null(text);
	assert_non_null(strstr(text, "sluice_build_info{version=\"1.2.3\",command=\"test\"} 1\n"));
	assert_non_null(strstr(text, "\nsluice_net_drops_total{reason=\"conn_rate\"} 0\n"));
	if (!prom_check(&reader, text))
		fail_msg("%s", reader.why);
	assert_true(reader.families > (int)stack_counter_rows);
	assert_true(reader.samples > reader.families + DROP_REASON_COUNT - 2);
	free(text);
}

/* The reader is worth what it refuses. */
static void the_reader_refuses_what_is_no_exposition(void **state)
{
#define HEAD(n, t) "# HELP " n " x\n# TYPE " n " " t "\n"
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "newline" },
		{ HEAD("a", "gauge") "a 1", "newline" },
		{ "a 1\n", "before its HELP" },
		{ "# TYPE a gauge\na 1\n", "without its HELP" },
		{ "# HELP a x\na 1\n", "before its HELP and TYPE" },
		{ HEAD("a", "gauge"), "no sample" },
		{ HEAD("a", "gauge") HEAD("b", "gauge") "b 1\n", "no sample" },
		{ HEAD("a", "gauge") "a 1\nb 1\n", "before its HELP" },
		{ HEAD("a", "gauge") "a 1\n" HEAD("b", "gauge") "b 1\na{x=\"y\"} 1\n", "before" },
		{ HEAD("a", "gauge") "a 1\n" HEAD("a", "gauge") "a{x=\"y\"} 1\n", "comes twice" },
		{ HEAD("a", "gauge") "a 1\na 1\n", "there before" },
		{ HEAD("a", "gauge") "a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 1\n",
		  "there before" },
		{ HEAD("a", "gauge") "a{x=\"1\",x=\"2\"} 1\n", "twice" },
		{ HEAD("a", "gauge") "a{x=\"\\t\"} 1\n", "escape" },
		{ HEAD("a", "gauge") "a{x=\"b\"c\"} 1\n", "do not end" },
		{ HEAD("a", "gauge") "a{x=\"b} 1\n", "does not end" },
		{ HEAD("a", "gauge") "a{1x=\"b\"} 1\n", "without a name" },
		{ HEAD("a", "gauge") "a one\n", "no number" },
		{ HEAD("a", "gauge") "a 0x1p3 \n", "no number" },
		{ HEAD("a", "counter") "a 1\n", "is called _total" },
		{ HEAD("a_total", "gauge") "a_total 1\n", "is called _total" },
		{ HEAD("a_total", "counter") "a_total -1\n", "counter of -1" },
		{ HEAD("a", "summary") "a 1\n", "no type" },
		{ HEAD("a", "histogram") "a_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n", "+Inf" },
		{ HEAD("a", "histogram") "a_bucket{le=\"+Inf\"} 1\na_count 1\n", "no _sum" },
		{ HEAD("a", "histogram") "a_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 2\n",
		  "_count" },
		{ HEAD("a", "histogram") "a_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n"
					 "a_sum 1\na_count 1\n",
		  "less than before" },
		{ HEAD("a", "histogram") "a_bucket{le=\"2\"} 1\na_bucket{le=\"1\"} 1\n",
		  "comes behind" },
		{ HEAD("a", "histogram") "a_bucket 1\n", "le belongs" },
		{ HEAD("a", "histogram") "a 1\n", "no part" },
		{ "# a word\n", "neither HELP nor TYPE" },
	};
	const char *good = HEAD("a", "gauge") "a{x=\"b\\\\\\\"\\n{}\"} -1.5e3\na NaN\n" HEAD(
		"h", "histogram") "h_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 7\n"
				  "h_count 2\n";

	(void)state;
	if (!prom_check(&reader, good))
		fail_msg("%s", reader.why);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (prom_check(&reader, bad[i].text))
			fail_msg("taken for an exposition: %s", bad[i].text);
		if (!strstr(reader.why, bad[i].why))
			fail_msg("\"%s\" does not say \"%s\"", reader.why, bad[i].why);
	}
}

/* The only text of ours that the build chooses. */
static void values_of_labels_are_escaped(void **state)
{
	const struct control_config cc = { .version = "1\"2\\3\n4",
					   .command = "test",
					   .start_ns = clock_now_ns() };
	struct control *c;
	char *text;

	(void)state;
	assert_int_equal(control_new(&c, &cc), 0);
	text = metrics_prometheus(c);
	assert_non_null(strstr(text, "{version=\"1\\\"2\\\\3\\n4\",command=\"test\"} 1\n"));
	if (!prom_check(&reader, text))
		fail_msg("%s", reader.why);
	free(text);
	control_free(c);
}

/* With values in the lowest, the highest and between: the reader checks the buckets. */
static void histograms_are_cumulative_and_end_in_their_count(void **state)
{
	/* Nobody else writes them: the worker rests. */
	struct stack_counters *n =
		(struct stack_counters *)(uintptr_t)net_worker_stack_counters(rig.w);
	char *text, line[128];

	(void)state;
	for (uint32_t i = 0; i < stack_hist_rows; i++) {
		struct hist *h = (struct hist *)(uintptr_t)stack_hist(n, &stack_hist_table[i]);

		for (uint64_t v = 0; v < 1ULL << 50; v = v * 3 + 1)
			hist_add(h, v);
	}
	text = metrics_prometheus(rig.c);
	if (!prom_check(&reader, text))
		fail_msg("%s", reader.why);
	for (uint32_t i = 0; i < stack_hist_rows; i++) {
		const struct stack_hist_def *d = &stack_hist_table[i];

		snprintf(line, sizeof(line), "\nsluice_net_%s_count %llu\n", d->name,
			 (unsigned long long)hist_count(stack_hist(n, d)));
		assert_non_null(strstr(text, line));
		assert_true(hist_count(stack_hist(n, d)) >= 30);
	}
	free(text);
}

static void every_counter_of_the_stack_is_there_in_both_forms(void **state)
{
	char *text = metrics_prometheus(rig.c);
	json_t *j = metrics_json(rig.c), *net = json_object_get(j, "net");

	(void)state;
	for (uint32_t i = 0; i < stack_counter_rows; i++) {
		const struct stack_counter_def *d = &stack_counter_table[i];
		char line[128];

		assert_true(json_is_integer(json_object_get(net, d->name)));
		assert_true(strlen(d->text) > 0);
		snprintf(line, sizeof(line), "\nsluice_net_%s%s ", d->name,
			 d->gauge ? "" : "_total");
		assert_non_null(strstr(text, line));
	}
	json_decref(j);
	free(text);
}

static char *read_file(const char *path)
{
	static char text[1 << 17];
	FILE *f = fopen(path, "r");

	if (!f) {
		print_message("SKIP: %s is not here\n", path);
		skip();
	}
	text[fread(text, 1, sizeof(text) - 1, f)] = 0;
	fclose(f);
	return text;
}

/* A family of that name; a histogram's series have an ending of their own. */
static bool exists(const char *prom, const char *name, size_t len)
{
	char line[160];

	snprintf(line, sizeof(line), "# TYPE %.*s ", (int)len, name);
	if (strstr(prom, line))
		return true;
	if (len > 7 && memcmp(name + len - 7, "_bucket", 7) == 0)
		return exists(prom, name, len - 7);
	return false;
}

/* Whatever a page calls by a metric's name is one; run from the top of the tree. */
static void check_names(const char *page, const char *prom)
{
	for (const char *at = page; (at = strstr(at, "sluice_")); at++) {
		size_t len = prom_name_len(at, false);

		if (memcmp(at, "sluice_GROUP", 12) != 0 && !exists(prom, at, len))
			fail_msg("there is no metric %.*s", (int)len, at);
	}
}

static void documents_name_metrics_that_exist_and_all_of_them(void **state)
{
	char *prom = metrics_prometheus(rig.c), *page, *save;

	(void)state;
	check_names(read_file("docs/grafana-dashboard.json"), prom);
	page = read_file("docs/observability.md");
	check_names(page, prom);
	for (char *line = strtok_r(prom, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char row[160];

		if (strncmp(line, "# TYPE ", 7) != 0)
			continue;
		snprintf(row, sizeof(row), "| `%.*s`", (int)prom_name_len(line + 7, false),
			 line + 7);
		if (!strstr(page, row))
			fail_msg("docs/observability.md has no row %s", row);
	}
	for (int d = 0; d < DROP_REASON_COUNT; d++) {
		char row[64];

		snprintf(row, sizeof(row), "| `%s` |", drop_name((enum drop_reason)d));
		if (!strstr(page, row))
			fail_msg("docs/observability.md has no row %s", row);
	}
	free(prom);
	page = read_file("tools/drops.bt");
	for (int d = 0; d < DROP_REASON_COUNT; d++) {
		char line[64];

		snprintf(line, sizeof(line), "@name[%d] = \"%s\";", d,
			 drop_name((enum drop_reason)d));
		if (!strstr(page, line))
			fail_msg("tools/drops.bt has no line %s", line);
	}
}

static void the_command_answers_with_text_and_its_type(void **state)
{
	json_t *a = ctlrig_ask(&rig, "{\"cmd\":\"metrics\",\"args\":[\"prometheus\"]}");
	const json_t *r = json_object_get(a, "result");

	(void)state;
	assert_string_equal(json_string_value(json_object_get(r, "content_type")),
			    "text/plain; version=0.0.4; charset=utf-8");
	assert_non_null(json_string_value(json_object_get(r, "text")));
	json_decref(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_exposition_format),
		cmocka_unit_test(the_reader_refuses_what_is_no_exposition),
		cmocka_unit_test(values_of_labels_are_escaped),
		cmocka_unit_test(histograms_are_cumulative_and_end_in_their_count),
		cmocka_unit_test(every_counter_of_the_stack_is_there_in_both_forms),
		cmocka_unit_test(documents_name_metrics_that_exist_and_all_of_them),
		cmocka_unit_test(the_command_answers_with_text_and_its_type),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
