/* SPDX-License-Identifier: MIT */
/* Prometheus' text, read back by a small parser of exposition format 0.0.4. */
#include "tests/unit/ctlrig.h"

#include <ctype.h>
#include <stdio.h>

#include "src/control/metrics.h"
#include "tcpstack/stack.h"

static struct ctlrig rig;

static int begin(void **state)
{
	(void)state;
	ctlrig_begin(&rig, NULL, NULL);
	return 0;
}

static int end(void **state)
{
	(void)state;
	ctlrig_end(&rig);
	return 0;
}

/* [a-zA-Z_:][a-zA-Z0-9_:]*; how many bytes of it */
static size_t name_len(const char *s)
{
	size_t n = 0;

	while (isalpha((unsigned char)s[n]) || s[n] == '_' || s[n] == ':' ||
	       (n > 0 && isdigit((unsigned char)s[n])))
		n++;
	return n;
}

/* {name="value",...}; what follows it */
static const char *skip_labels(const char *s)
{
	if (*s != '{')
		return s;
	do {
		size_t n = name_len(++s);

		assert_true(n > 0);
		s += n;
		assert_true(s[0] == '=' && s[1] == '"');
		for (s += 2; *s != '"'; s++) {
			assert_true(*s && *s != '\n');
			if (*s == '\\')
				s++;
		}
		s++;
	} while (*s == ',');
	assert_int_equal(*s, '}');
	return s + 1;
}

#define FAMILIES_MAX 512

struct parsed {
	char family[FAMILIES_MAX][96];
	char type[16];
	int families, samples;
};

static void comment(struct parsed *p, const char *line)
{
	char what[8], name[96], rest[256];

	assert_int_equal(sscanf(line, "# %7s %95s %255[^\n]", what, name, rest), 3);
	assert_int_equal(name_len(name), strlen(name));
	if (strcmp(what, "HELP") == 0) {
		/* A family stands in one piece: its name was not seen before. */
		for (int i = 0; i < p->families; i++)
			assert_string_not_equal(p->family[i], name);
		assert_true(p->families < FAMILIES_MAX);
		strcpy(p->family[p->families++], name);
		return;
	}
	assert_string_equal(what, "TYPE");
	assert_string_equal(name, p->family[p->families - 1]);
	assert_true(strcmp(rest, "counter") == 0 || strcmp(rest, "gauge") == 0 ||
		    strcmp(rest, "histogram") == 0);
	strcpy(p->type, rest);
}

static void sample(struct parsed *p, const char *line)
{
	const char *family = p->family[p->families - 1], *s;
	size_t n = name_len(line), flen = strlen(family);
	char *e;

	assert_true(n >= flen && memcmp(line, family, flen) == 0);
	if (strcmp(p->type, "counter") == 0)
		assert_memory_equal(line + n - 6, "_total", 6);
	if (strcmp(p->type, "histogram") != 0)
		assert_int_equal(n, flen);
	s = skip_labels(line + n);
	assert_int_equal(*s, ' ');
	(void)strtod(s + 1, &e);
	assert_true(e > s + 1 && *e == 0);
	p->samples++;
}

static void parse(struct parsed *p, char *text)
{
	char *save, *line;

	memset(p, 0, sizeof(*p));
	assert_int_equal(text[strlen(text) - 1], '\n');
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (line[0] == '#')
			comment(p, line);
		else
			sample(p, line);
	}
}

static void text_is_exposition_format(void **state)
{
	char *text = metrics_prometheus(rig.c);
	static struct parsed p;

	(void)state;
	assert_non_null(text);
	assert_non_null(strstr(text, "sluice_build_info{version=\"1.2.3\",command=\"test\"} 1\n"));
	assert_non_null(strstr(text, "\nsluice_net_drops_total{reason=\"conn_rate\"} 0\n"));
	parse(&p, text);
	assert_true(p.families > (int)stack_counter_rows);
	assert_true(p.samples > p.families + DROP_REASON_COUNT - 2);
	free(text);
}

/* The number behind @name in @text. */
static double value_of(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	assert_non_null(at);
	return strtod(at + strlen(name), NULL);
}

static void histograms_are_cumulative_and_end_in_their_count(void **state)
{
	char *text = metrics_prometheus(rig.c);

	(void)state;
	for (uint32_t i = 0; i < stack_hist_rows; i++) {
		char name[128];
		double last_le = 0, last_n = 0;
		const char *at;

		snprintf(name, sizeof(name), "\nsluice_net_%s_bucket{le=\"",
			 stack_hist_table[i].name);
		at = text;
		while ((at = strstr(at, name))) {
			char *e;
			double le = strtod(at += strlen(name), &e), n = strtod(e + 2, NULL);

			assert_true(le > last_le && n >= last_n);
			last_le = le;
			last_n = n;
		}
		assert_true(last_le > 1e300); /* +Inf */
		snprintf(name, sizeof(name), "\nsluice_net_%s_count ", stack_hist_table[i].name);
		assert_true(value_of(text, name) == last_n);
		snprintf(name, sizeof(name), "\nsluice_net_%s_sum ", stack_hist_table[i].name);
		assert_true(value_of(text, name) >= 0);
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
		size_t len = name_len(at);

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
		snprintf(row, sizeof(row), "| `%.*s`", (int)name_len(line + 7), line + 7);
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
		cmocka_unit_test(histograms_are_cumulative_and_end_in_their_count),
		cmocka_unit_test(every_counter_of_the_stack_is_there_in_both_forms),
		cmocka_unit_test(documents_name_metrics_that_exist_and_all_of_them),
		cmocka_unit_test(the_command_answers_with_text_and_its_type),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
