/* SPDX-License-Identifier: MIT */
/* The picture of `sluice ctl top`, from two samples made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/base.h"
#include "src/base/clock.h"
#include "src/cli/ctl_top.h"

#define FLOWS	 30
#define VIEW_MAX 16384

static struct top_sample sample(uint64_t at_s, long long tx, long long drops)
{
	struct top_sample s = { .at_ns = at_s * NS_PER_S };
	json_t *flows = json_array();

	s.status = json_pack("{s:s,s:s,s:i,s:{s:b}}", "version", "9.9", "command", "run", "pid", 42,
			     "driver", "attached", 1);
	s.metrics = json_pack(
		"{s:{s:I},s:{s:I,s:I,s:{s:I,s:i}},s:{s:I},s:{s:{s:i},s:{s:i},s:{s:i}}}", "process",
		"uptime_ms", (json_int_t)61000, "net", "tx_bytes", (json_int_t)tx, "tcp_active",
		(json_int_t)FLOWS, "drops", "conn_rate", (json_int_t)drops, "never", 0, "worker",
		"cpu_ns", (json_int_t)(at_s * NS_PER_S / 2), "pool", "slots", "p", 8, "in_use", "p",
		3, "empty", "p", 1);
	for (int i = 0; i < FLOWS; i++) {
		char id[16];

		snprintf(id, sizeof(id), "tcp-%d.1", i);
		/* Flow 7 is the fastest. */
		json_array_append_new(
			flows, json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:s}", "id", id, "proto",
					 "tcp", "state", "ESTABLISHED", "guest", "10.0.2.15:1",
					 "remote", i == 7 ? "7.7.7.7:7" : "1.1.1.1:1", "age_ms",
					 (json_int_t)(1000 + i), "tx_bytes",
					 (json_int_t)(i == 7 ? tx : 0), "rx_bytes", (json_int_t)0,
					 "stall", i % 2 ? "idle" : "host-full"));
	}
	s.flows = json_pack("{s:o}", "flows", flows);
	assert_non_null(s.status);
	assert_non_null(s.metrics);
	assert_non_null(s.flows);
	return s;
}

static void end(struct top_sample *s)
{
	json_decref(s->status);
	json_decref(s->metrics);
	json_decref(s->flows);
}

static char *view(const struct top_sample *b, const struct top_sample *n, int rows, int columns)
{
	char *text = calloc(1, VIEW_MAX);
	FILE *f = fmemopen(text, VIEW_MAX - 1, "w");

	assert_non_null(f);
	top_view(b, n, rows, columns, f);
	fclose(f);
	return text;
}

static void shows(const char *text, const char *what)
{
	if (!strstr(text, what))
		fail_msg("no \"%s\" in:\n%s", what, text);
}

static void rates_come_from_two_samples(void **state)
{
	struct top_sample a = sample(10, 1000, 5), b = sample(12, 5001000, 25);
	char *text = view(&a, &b, 60, 140), *first, *second;

	(void)state;
	shows(text, "sluice 9.9 run  pid 42  up 61s  worker 50% CPU  driver attached");
	shows(text, "guest>host   2.50MB/s");
	shows(text, "drops  conn_rate 25 (10/s)\n");
	assert_null(strstr(text, "never"));
	shows(text, "pools  p 3/8!\n");
	shows(text, "  host-full 15  idle 15");
	first = strstr(text, "7.7.7.7:7");
	second = strstr(text, "1.1.1.1:1");
	assert_true(first && second && first < second);
	free(text);
	end(&a);
	end(&b);
}

static void the_first_picture_has_no_rates(void **state)
{
	struct top_sample none = { .at_ns = 0 }, a = sample(10, 1000, 5);
	char *text = view(&none, &a, 60, 140);

	(void)state;
	shows(text, "rates from the next second on");
	shows(text, "guest>host       0B/s");
	free(text);
	end(&a);
}

/* Whatever the window, the flows fit into it; what does not fit is counted. */
static void the_picture_fits_the_window(void **state)
{
	struct top_sample a = sample(10, 0, 0), b = sample(11, 100, 0);

	(void)state;
	for (int rows = 1; rows < 50; rows += 6) {
		char *text = view(&a, &b, rows, 40);
		int lines = 0;

		for (const char *p = strstr(text, "\nPROTO") + 1; (p = strchr(p, '\n')); p++)
			lines++;
		assert_true(lines <= (rows > 9 ? rows - 9 : 0) + 2);
		for (const char *p = strstr(text, "\nPROTO") + 1; *p; p++) {
			assert_true(strcspn(p, "\n") <= 40);
			p += strcspn(p, "\n");
		}
		if (rows < 30)
			shows(text, "flows more");
		free(text);
	}
	end(&a);
	end(&b);
}

static void line_with(const char *text, const char *what, char line[256])
{
	const char *at = strstr(text, what), *from = at;

	assert_non_null(at);
	while (from > text && from[-1] != '\n')
		from--;
	snprintf(line, 256, "%.*s", (int)strcspn(from, "\n"), from);
}

/* Columns go where there is no room for them, and why a flow stands still does not. */
static void a_narrow_window_leaves_columns_out(void **state)
{
	static const struct {
		int columns;
		const char *head;
	} want[] = {
		{ 132,
		  "PROTO GUEST           REMOTE          STATE           AGE   TX B/s   RX B/s  "
		  "PARKED INFLGHT     RTT WHY" },
		{ 93, "PROTO GUEST           REMOTE          STATE           AGE   TX B/s   RX B/s "
		      "WHY" },
		{ 80, "PROTO GUEST           REMOTE             AGE   TX B/s   RX B/s WHY" },
		{ 66, "PROTO REMOTE             AGE   TX B/s   RX B/s WHY" },
	};
	struct top_sample a = sample(10, 0, 0), b = sample(11, 5000, 0);
	char line[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		char *text = view(&a, &b, 60, want[i].columns);

		line_with(text, "PROTO", line);
		assert_string_equal(line, want[i].head);
		line_with(text, "7.7.7.7:7", line);
		assert_non_null(strstr(line, "5.00k"));
		assert_non_null(strstr(line, " idle"));
		assert_int_equal(strstr(line, "idle") - line,
				 strstr(want[i].head, "WHY") - want[i].head);
		for (const char *p = text; *p; p += strcspn(p, "\n") + 1)
			assert_true(strcspn(p, "\n") <= (size_t)want[i].columns);
		free(text);
	}
	end(&a);
	end(&b);
}

/* Addresses of IPv6 are shown whole, with their ports. */
static void addresses_have_the_room_that_they_need(void **state)
{
	static const char address[] = "[fd00::5054:ff:fe12:3456]:50000";
	struct top_sample a = sample(10, 0, 0), b = sample(11, 5000, 0);
	json_t *flow = json_array_get(json_object_get(b.flows, "flows"), 7);
	char *text, line[256];

	(void)state;
	json_object_set_new(flow, "guest", json_string(address));
	json_object_set_new(flow, "rtt_us", json_integer(103957));
	text = view(&a, &b, 60, 140);
	line_with(text, address, line);
	assert_non_null(strstr(line, " 103ms idle"));
	free(text);
	end(&a);
	end(&b);
}

static void no_flows_are_said_to_be_none(void **state)
{
	struct top_sample a = sample(10, 0, 0);
	char *text;

	(void)state;
	json_array_clear(json_object_get(a.flows, "flows"));
	text = view(&a, &a, 24, 80);
	shows(text, "\nno flows\n");
	free(text);
	end(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates_come_from_two_samples),
		cmocka_unit_test(the_first_picture_has_no_rates),
		cmocka_unit_test(the_picture_fits_the_window),
		cmocka_unit_test(a_narrow_window_leaves_columns_out),
		cmocka_unit_test(addresses_have_the_room_that_they_need),
		cmocka_unit_test(no_flows_are_said_to_be_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
