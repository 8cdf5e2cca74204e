/* SPDX-License-Identifier: MIT */
/*
 * Options from a file of JSON.
 *
 * An option's key is the dotted name in its row of the option table, and each
 * part of it an object: net.mtu is {"net":{"mtu":1500}}. Whatever the file has
 * beyond the table's keys, and every value that the command line would refuse,
 * is an error that names file and key.
 */
#include "src/cli/config.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "src/base/base.h"

/* Longest dotted key that is looked for. */
#define KEY_LEN_MAX 128

/**
 * struct reader - one file being read
 * @strings:	keeps what the options point to: the texts of numbers
 */
struct reader {
	struct run_options *o;
	enum command command;
	const char *path;
	json_t *strings;
	char *why;
	size_t why_len;
};

PRINTF(3, 4)
static int bad(struct reader *r, const char *key, const char *fmt, ...)
{
	int n = snprintf(r->why, r->why_len, "%s: %s: ", r->path, key);
	va_list ap;

	if (n < 0 || (size_t)n >= r->why_len)
		return -EINVAL;
	va_start(ap, fmt);
	vsnprintf(r->why + n, r->why_len - (size_t)n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static const struct option_def *find(enum command command, const char *key)
{
	for (size_t i = 0; i < option_rows; i++) {
		const struct option_def *d = &option_table[i];

		if (d->key && d->commands & 1U << command && strcmp(d->key, key) == 0)
			return d;
	}
	return NULL;
}

/* Do longer keys begin with @key? Then it is an object. */
static bool is_group(const char *key)
{
	size_t len = strlen(key);

	for (size_t i = 0; i < option_rows; i++) {
		const char *k = option_table[i].key;

		if (k && strncmp(k, key, len) == 0 && k[len] == '.')
			return true;
	}
	return false;
}

/* What the command line would have; NULL for what it cannot have. */
static const char *as_text(struct reader *r, const json_t *v)
{
	char number[32];

	switch (json_typeof(v)) {
	case JSON_STRING:
		return json_string_value(v);
	case JSON_TRUE:
		return "on";
	case JSON_FALSE:
		return "off";
	case JSON_INTEGER:
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		json_array_append_new(r->strings, json_string(number));
		return json_string_value(
			json_array_get(r->strings, json_array_size(r->strings) - 1));
	default:
		return NULL;
	}
}

/* One value through the command line's own check, whose "--name: " becomes the key. */
static int set_one(struct reader *r, const struct option_def *d, const json_t *v)
{
	const char *text = as_text(r, v);
	char why[256];
	size_t prefix = strlen("--") + strlen(d->name) + strlen(": ");

	if (d->type == OPT_FLAG || d->type == OPT_OPTIONAL) {
		if (json_is_false(v))
			return 0;
		if (json_is_true(v))
			text = NULL;
		else if (d->type == OPT_FLAG)
			return bad(r, d->key, "neither true nor false");
	} else if (d->type == OPT_ONOFF	    ? !text
		   : d->type == OPT_U32_OFF ? !text || json_is_true(v)
					    : !text || json_is_boolean(v)) {
		return bad(r, d->key, "cannot have this kind of value");
	}
	if (option_set(d, r->o, text, why, sizeof(why)) == 0)
		return 0;
	return bad(r, d->key, "%s", strlen(why) > prefix ? why + prefix : why);
}

static int set(struct reader *r, const struct option_def *d, const json_t *v)
{
	if (!json_is_array(v))
		return set_one(r, d, v);
	if (!option_repeats(d))
		return bad(r, d->key, "has one value, not a list");
	for (size_t i = 0; i < json_array_size(v); i++) {
		int err = set_one(r, d, json_array_get(v, i));

		if (err < 0)
			return err;
	}
	return 0;
}

/* @key is the dotted name of @group, "" at the top. */
static int read_group(struct reader *r, const char *key, const json_t *group)
{
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)group, name, v)
	{
		char full[KEY_LEN_MAX];
		int n = snprintf(full, sizeof(full), "%s%s%.64s", key, key[0] ? "." : "", name);
		const struct option_def *d;
		int err;

		if (n < 0 || (size_t)n >= sizeof(full) || strchr(name, '.'))
			return bad(r, name, "no such key");
		d = find(r->command, full);
		if (d)
			err = set(r, d, v);
		else if (!is_group(full))
			err = bad(r, full, "no such key; see sluice.json(5)");
		else if (!json_is_object(v))
			err = bad(r, full, "is a group of keys: an object");
		else
			err = read_group(r, full, v);
		if (err < 0)
			return err;
	}
	return 0;
}

/**
 * config_load() - options from the file at @path
 * @o:		changed; keeps what its strings point to until config_free()
 * @why:	on failure, one line that names the file and the key
 *
 * Main thread. Return: 0 or -EINVAL
 */
int config_load(struct run_options *o, enum command command, const char *path, char *why,
		size_t why_len)
{
	struct reader r = {
		.o = o, .command = command, .path = path, .why = why, .why_len = why_len
	};
	FILE *f = fopen(path, "re");
	json_error_t e;
	json_t *root;
	int err;

	if (!f) {
		snprintf(why, why_len, "--config: %s: %s", path, strerror(errno));
		return -EINVAL;
	}
	root = json_loadf(f, JSON_REJECT_DUPLICATES, &e);
	fclose(f);
	if (!root) {
		snprintf(why, why_len, "%s: line %d: %s", path, e.line, e.text);
		return -EINVAL;
	}
	if (!o->config_strings)
		o->config_strings = json_array();
	r.strings = o->config_strings;
	if (!json_is_object(root))
		err = bad(&r, "the file", "not an object");
	else
		err = read_group(&r, "", root);
	json_array_append_new(r.strings, root);
	return err;
}

/**
 * config_free() - @o's strings that came from a file are gone
 */
void config_free(struct run_options *o)
{
	json_decref(o->config_strings);
	o->config_strings = NULL;
}
