/* SPDX-License-Identifier: MIT */
/* Texts for programs: JSON strings, dates, and lines of the log that are objects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "src/base/jsontext.h"
#include "src/base/log.h"
#include "src/base/utc.h"

/* What a parser makes of @s inside a JSON string; a new reference. */
static json_t *parsed(const char *s, size_t len)
{
	char text[4096] = "\"";
	size_t n = 1 + json_text(text + 1, sizeof(text) - 3, s, len);
	json_t *j;

	text[n] = '"';
	j = json_loadb(text, n + 1, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	if (!j)
		fail_msg("no JSON: %.*s", (int)n + 1, text);
	return j;
}

static void assert_becomes(const char *s, const char *want)
{
	json_t *j = parsed(s, strlen(s));

	assert_string_equal(json_string_value(j), want);
	json_decref(j);
}

static void any_bytes_become_a_json_string(void **state)
{
	char every[128];
	json_t *j;

	(void)state;
	for (int i = 0; i < 128; i++)
		every[i] = (char)i;
	j = parsed(every, sizeof(every));
	assert_int_equal(json_string_length(j), sizeof(every));
	assert_memory_equal(json_string_value(j), every, sizeof(every));
	json_decref(j);
	assert_becomes("say \"\\\" to \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
		       "say \"\\\" to \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
}

#define BAD "\xef\xbf\xbd" /* U+FFFD */

static void what_is_not_utf8_is_replaced(void **state)
{
	(void)state;
	assert_becomes("a\x80z", "a" BAD "z");
	assert_becomes("a\xff", "a" BAD);
	assert_becomes("\xc3", BAD);			     /* cut */
	assert_becomes("\xc0\xaf", BAD BAD);		     /* overlong */
	assert_becomes("\xe0\x80\xaf", BAD BAD BAD);	     /* overlong */
	assert_becomes("\xed\xa0\x80", BAD BAD BAD);	     /* a surrogate */
	assert_becomes("\xf4\x90\x80\x80", BAD BAD BAD BAD); /* beyond the last */
	assert_becomes("\xe2\x82z", BAD BAD "z");
}

/* Wherever the room ends, what was written is a string's inside, and fits. */
static void a_text_is_cut_between_characters(void **state)
{
	static const char s[] = "a\"\n\xc3\xa9\x80\xf0\x9f\x98\x80z";
	char whole[64], text[64];
	size_t all = json_text(whole, sizeof(whole), s, strlen(s)), before = 0;

	(void)state;
	for (size_t room = 0; room <= all; room++) {
		size_t n;
		json_t *j;

		memset(text, '#', sizeof(text));
		text[0] = '"';
		n = json_text(text + 1, room, s, strlen(s));
		assert_true(n <= room && n >= before);
		before = n;
		assert_memory_equal(text + 1, whole, n);
		assert_int_equal(text[1 + n], '#');
		text[1 + n] = '"';
		j = json_loadb(text, n + 2, JSON_DECODE_ANY, NULL);
		assert_non_null(j);
		json_decref(j);
	}
	assert_int_equal(before, all);
}

/* Each day for 200 years, and the ends of days, as the C library has them. */
static void dates_are_those_of_the_calendar(void **state)
{
	char got[UTC_STRLEN], want[64];

	(void)state;
	for (uint64_t day = 0; day < 200 * 366; day++) {
		time_t t = (time_t)(day * 86400 + (day % 2 ? 86399 : 0));
		uint64_t ns = (uint64_t)t * NS_PER_S + (day % 2 ? 999999999 : 0);
		struct tm tm;

		assert_non_null(gmtime_r(&t, &tm));
		strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S", &tm);
		strcat(want, day % 2 ? ".999999Z" : ".000000Z");
		assert_string_equal(utc_format(ns, got), want);
	}
}

static int pipe_fd[2];

/* The one line that was written since; an object, a new reference. */
static json_t *line_object(void)
{
	char text[4 * LOG_JSON_MAX];
	ssize_t n = read(pipe_fd[0], text, sizeof(text));
	json_t *j;

	assert_in_range(n, 2, LOG_JSON_MAX);
	assert_ptr_equal(memchr(text, '\n', (size_t)n), text + n - 1);
	j = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	if (!j)
		fail_msg("no JSON: %.*s", (int)n, text);
	return j;
}

static const char *str(const json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key));
}

static int json_begin(void **state)
{
	(void)state;
	log_set_fd(pipe(pipe_fd) ? -1 : pipe_fd[1]);
	log_set_format(LOG_JSON);
	return 0;
}

static int json_end(void **state)
{
	(void)state;
	log_set_format(LOG_TEXT);
	log_set_fd(STDERR_FILENO);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	return 0;
}

static void a_line_of_the_log_is_an_object(void **state)
{
	json_t *j;

	(void)state;
	log_warn("tcp", "a \"quoted\"\tthing %d\x01\xff", 7);
	j = line_object();
	assert_string_equal(str(j, "level"), "warn");
	assert_string_equal(str(j, "subsystem"), "tcp");
	assert_string_equal(str(j, "msg"), "a \"quoted\"\tthing 7\x01" BAD);
	assert_int_equal(strlen(str(j, "time")), UTC_STRLEN - 1);
	assert_int_equal(json_object_size(j), 4);
	json_decref(j);
}

static void a_flow_is_a_member_of_its_own(void **state)
{
	json_t *j;

	(void)state;
	log_limited_flow(LOG_WARN, "tcp", "tcp-3.1", "connect: %s", "no");
	j = line_object();
	assert_string_equal(str(j, "flow"), "tcp-3.1");
	assert_string_equal(str(j, "msg"), "connect: no");
	assert_int_equal(json_object_size(j), 5);
	json_decref(j);
}

static int named;

static const char *name_flow(void)
{
	named++;
	return "tcp-9.9";
}

static void chatter(void)
{
	log_limited_flow(LOG_WARN, "tcp", name_flow(), "again");
}

/*
 * The line behind a silence says how many it stands for: lines and what they own up to
 * are as many as there were calls. Names of flows are made for lines alone.
 */
static void lines_that_were_withheld_are_counted(void **state)
{
	json_int_t withheld = 0;
	uint64_t since = clock_now_ns();
	int calls = 0, lines = 0;

	(void)state;
	named = 0;
	while (withheld == 0) {
		assert_true(clock_now_ns() - since < 60 * NS_PER_S);
		chatter();
		calls++;
		for (; lines < named; lines++) {
			json_t *j = line_object();

			assert_string_equal(str(j, "msg"), "again");
			assert_string_equal(str(j, "flow"), "tcp-9.9");
			withheld += json_integer_value(json_object_get(j, "withheld"));
			json_decref(j);
		}
	}
	assert_true(lines > LOG_LIMIT_BURST);
	assert_int_equal(lines + withheld, calls);
}

/* What cannot stay whole is the message, not the object. */
static void a_long_line_is_cut_inside_its_message(void **state)
{
	static const char *const fill[] = { "x", "\"", "\x01", "\xff", "\xf0\x9f\x98\x80" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fill); i++) {
		char big[4 * LOG_JSON_MAX] = "";
		json_t *j;

		while (strlen(big) + 8 < sizeof(big))
			strcat(big, fill[i]);
		log_error("part", "%s", big);
		j = line_object();
		assert_string_equal(str(j, "level"), "error");
		assert_true(strlen(str(j, "msg")) > 80);
		json_decref(j);
	}
}

static void formats_have_names(void **state)
{
	enum log_format f = LOG_JSON;

	(void)state;
	assert_int_equal(log_format_parse("text", &f), 0);
	assert_int_equal(f, LOG_TEXT);
	assert_true(log_format_parse("xml", &f) < 0);
	assert_string_equal(log_format_name(LOG_JSON), "json");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_bytes_become_a_json_string),
		cmocka_unit_test(what_is_not_utf8_is_replaced),
		cmocka_unit_test(a_text_is_cut_between_characters),
		cmocka_unit_test(dates_are_those_of_the_calendar),
		cmocka_unit_test_setup_teardown(a_line_of_the_log_is_an_object, json_begin,
						json_end),
		cmocka_unit_test_setup_teardown(a_flow_is_a_member_of_its_own, json_begin,
						json_end),
		cmocka_unit_test_setup_teardown(lines_that_were_withheld_are_counted, json_begin,
						json_end),
		cmocka_unit_test_setup_teardown(a_long_line_is_cut_inside_its_message, json_begin,
						json_end),
		cmocka_unit_test(formats_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
