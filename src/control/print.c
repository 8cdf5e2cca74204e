/* SPDX-License-Identifier: MIT */
/* Any result, for people: one line a value, one row an element of a list. */
#include <stdlib.h>

#include "src/control/command.h"

#define INDENT	   2
#define KEY_COLUMN 28

static void print_scalar(const json_t *v, FILE *out)
{
	switch (json_typeof(v)) {
	case JSON_STRING:
		fputs(json_string_value(v), out);
		break;
	case JSON_INTEGER:
		fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		break;
	case JSON_REAL:
		fprintf(out, "%.3f", json_real_value(v));
		break;
	case JSON_TRUE:
		fputs("yes", out);
		break;
	case JSON_FALSE:
		fputs("no", out);
		break;
	default:
		fputc('-', out);
	}
}

static bool is_nested(const json_t *v)
{
	return json_is_object(v) || json_is_array(v);
}

static void print_value(const json_t *v, int indent, FILE *out);

/* One element of a list: its members side by side. */
static void print_row(const json_t *o, int indent, FILE *out)
{
	const char *key;
	json_t *v;

	fprintf(out, "%*s", indent, "");
	json_object_foreach((json_t *)(uintptr_t)o, key, v)
	{
		fprintf(out, "%s=", key);
		if (is_nested(v)) {
			char *text = json_dumps(v, JSON_COMPACT);

			fputs(text ? text : "-", out);
			free(text);
		} else {
			print_scalar(v, out);
		}
		fputs("  ", out);
	}
	fputc('\n', out);
}

static void print_members(const json_t *o, int indent, FILE *out)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)o, key, v)
	{
		int n = fprintf(out, "%*s%s", indent, "", key);

		if (is_nested(v)) {
			fputc('\n', out);
			print_value(v, indent + INDENT, out);
			continue;
		}
		fprintf(out, "%*s", n < KEY_COLUMN ? KEY_COLUMN - n : 1, "");
		print_scalar(v, out);
		fputc('\n', out);
	}
}

static void print_value(const json_t *v, int indent, FILE *out)
{
	if (json_is_object(v)) {
		print_members(v, indent, out);
	} else if (json_is_array(v)) {
		for (size_t i = 0; i < json_array_size(v); i++) {
			const json_t *e = json_array_get(v, i);

			if (json_is_object(e))
				print_row(e, indent, out);
			else
				print_value(e, indent, out);
		}
	} else {
		fprintf(out, "%*s", indent, "");
		print_scalar(v, out);
		fputc('\n', out);
	}
}

/**
 * ctl_print() - what a command's answer looks like unless it has a way of its own
 */
void ctl_print(const json_t *result, FILE *out)
{
	print_value(result, 0, out);
}
