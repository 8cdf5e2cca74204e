/* SPDX-License-Identifier: MIT */
/* Members of a JSON object that a test reads: they are there, and of the right kind. */
#ifndef SLUICE_TESTS_UNIT_JSONGET_H
#define SLUICE_TESTS_UNIT_JSONGET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

static inline const char *str(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	assert_non_null(s);
	return s;
}

static inline json_int_t num(const json_t *j, const char *key)
{
	assert_true(json_is_integer(json_object_get(j, key)));
	return json_integer_value(json_object_get(j, key));
}

static inline void assert_str(const json_t *j, const char *key, const char *want)
{
	assert_string_equal(str(j, key), want);
}

#endif
