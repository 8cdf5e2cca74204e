/* SPDX-License-Identifier: MIT */
/* One line of a client becomes one line of answer. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "src/control/priv.h"

static const struct {
	int err;
	const char *code;
} codes[] = {
	{ -EINVAL, "bad-argument" }, { -ENOENT, "not-found" },	  { -EEXIST, "exists" },
	{ -EBUSY, "busy" },	     { -ENOTSUP, "unavailable" },
};

static const char *code_of(int err)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (codes[i].err == err)
			return codes[i].code;
	return "failed";
}

/* A line of its own; NULL when out of memory. Takes @answer. */
static char *line_of(json_t *answer, size_t *len)
{
	char *text = json_dumps(answer, JSON_COMPACT);
	size_t n = text ? strlen(text) : 0;
	char *line = text ? realloc(text, n + 2) : NULL;

	json_decref(answer);
	if (!line) {
		free(text);
		return NULL;
	}
	memcpy(line + n, "\n", 2);
	*len = n + 1;
	return line;
}

/* A message may quote a client, and cut its UTF-8 in two. */
static json_t *message_string(const char *message)
{
	json_t *s = json_string(message);
	char plain[CTL_WHY_MAX];
	size_t i;

	if (s)
		return s;
	for (i = 0; i < sizeof(plain) - 1 && message[i]; i++)
		plain[i] = message[i];
	plain[i] = 0;
	for (i = 0; plain[i]; i++)
		if ((unsigned char)plain[i] >= 0x80)
			plain[i] = '?';
	return json_string(plain);
}

static char *error_line(const json_t *id, const char *code, const char *message, size_t *len)
{
	json_t *answer = json_object();

	if (id)
		json_object_set(answer, "id", (json_t *)(uintptr_t)id);
	json_object_set_new(answer, "ok", json_false());
	json_object_set_new(
		answer, "error",
		json_pack("{s:s,s:o}", "code", code, "message", message_string(message)));
	return line_of(answer, len);
}

/* The result is text already: written around it. */
static char *text_line(const json_t *id, const struct ctl_cache *k, size_t *len)
{
	static const char head[] = "\"ok\":true,\"result\":", tail[] = "}\n";
	char *id_text = id ? json_dumps(id, JSON_COMPACT | JSON_ENCODE_ANY) : NULL, *line, *p;
	size_t id_len = id_text ? strlen(id_text) : 0;

	line = malloc(sizeof("{\"id\":,") + id_len + sizeof(head) + k->len + sizeof(tail));
	if (line) {
		p = line;
		*p++ = '{';
		if (id_text)
			p = mempcpy(mempcpy(mempcpy(p, "\"id\":", 5), id_text, id_len), ",", 1);
		p = mempcpy(p, head, sizeof(head) - 1);
		p = mempcpy(p, k->text, k->len);
		memcpy(p, tail, sizeof(tail));
		*len = (size_t)(p - line) + sizeof(tail) - 1;
	}
	free(id_text);
	return line;
}

/**
 * ctl_cache_fresh() - may the answer be given once more?
 */
bool ctl_cache_fresh(const struct ctl_cache *cache, uint64_t now)
{
	return cache->text && now - cache->made_ns < CTL_CACHE_NS;
}

/**
 * ctl_cache_fill() - keep @result as text, for whoever asks from now on
 * @result:	its reference is taken
 *
 * Return: 0 or -ENOMEM
 */
int ctl_cache_fill(struct ctl_cache *cache, json_t *result, uint64_t now)
{
	free(cache->text);
	cache->text = json_dumps(result, JSON_COMPACT);
	cache->len = cache->text ? strlen(cache->text) : 0;
	cache->made_ns = now;
	json_decref(result);
	return cache->text ? 0 : -ENOMEM;
}

/* The same bytes have been answered a moment ago. */
static char *again(struct control *c, const char *line, size_t len, size_t *out_len)
{
	uint64_t now = clock_now_ns();

	for (unsigned int i = 0; i < CACHES; i++) {
		const struct ctl_cache *k = control_cache(c, i);

		if (len && k->asked_len == len && memcmp(k->asked, line, len) == 0 &&
		    ctl_cache_fresh(k, now))
			return text_line(NULL, k, out_len);
	}
	return NULL;
}

static void remember(struct ctl_cache *k, const char *line, size_t len)
{
	if (len > sizeof(k->asked))
		return;
	memcpy(k->asked, line, len);
	k->asked_len = len;
}

static char *result_line(const json_t *id, json_t *result, size_t *len)
{
	json_t *answer = json_object();

	if (id)
		json_object_set(answer, "id", (json_t *)(uintptr_t)id);
	json_object_set_new(answer, "ok", json_true());
	json_object_set_new(answer, "result", result ? result : json_object());
	return line_of(answer, len);
}

static const struct ctl_param *param(const struct ctl_command *cmd, const char *name)
{
	for (size_t i = 0; i < CTL_PARAMS_MAX && cmd->params[i].name; i++)
		if (strcmp(cmd->params[i].name, name) == 0)
			return &cmd->params[i];
	return NULL;
}

/* A list of arguments by position becomes an object by name; a new reference. */
static json_t *by_name(struct ctl_request *r, const struct ctl_command *cmd, const json_t *list)
{
	json_t *args = json_object();
	size_t n = json_array_size(list), i;

	for (i = 0; i < n && i < CTL_PARAMS_MAX && cmd->params[i].name; i++) {
		const struct ctl_param *p = &cmd->params[i];

		if (p->rest) {
			json_t *rest = json_array();

			for (; i < n; i++)
				json_array_append(rest, json_array_get(list, i));
			json_object_set_new(args, p->name, rest);
			return args;
		}
		json_object_set(args, p->name, json_array_get(list, i));
	}
	if (i < n)
		ctl_fail(r, -EINVAL, "%s: takes %zu arguments, not %zu", cmd->name, i, n);
	return args;
}

static int check_args(struct ctl_request *r, const struct ctl_command *cmd)
{
	const char *key;
	json_t *value;

	if (!json_is_object(r->args))
		return ctl_fail(r, -EINVAL, "args: neither an object nor a list");
	if (r->why[0])
		return -EINVAL;
	json_object_foreach(
		(json_t *)(uintptr_t)r->args, key,
		value) if (!param(cmd, key)) return ctl_fail(r, -EINVAL,
							     "%s: has no argument \"%.40s\"",
							     cmd->name, key);
	for (size_t i = 0; i < CTL_PARAMS_MAX && cmd->params[i].name; i++)
		if (cmd->params[i].required && !json_object_get(r->args, cmd->params[i].name))
			return ctl_fail(r, -EINVAL, "%s: needs the argument \"%s\" (%s)", cmd->name,
					cmd->params[i].name, cmd->params[i].help);
	return 0;
}

static char *serve(struct control *c, const struct ctl_command *cmd, const json_t *id,
		   const json_t *given, int *fd, const char *asked, size_t asked_len, size_t *len)
{
	struct ctl_request r = { .c = c, .fd = *fd };
	json_t *args = json_is_array(given) ? by_name(&r, cmd, given)
		       : given		    ? json_incref((json_t *)(uintptr_t)given)
					    : json_object();
	char *line;
	int err;

	r.args = args;
	err = check_args(&r, cmd);
	if (err == 0)
		err = cmd->handler(&r);
	*fd = r.fd;
	if (err < 0) {
		control_counters(c)->errors++;
		line = error_line(id, code_of(err), r.why[0] ? r.why : strerror(-err), len);
		json_decref(r.result);
	} else if (r.cache) {
		line = text_line(id, r.cache, len);
		if (!id)
			remember(r.cache, asked, asked_len);
	} else {
		line = result_line(id, r.result, len);
	}
	json_decref(args);
	return line;
}

/**
 * ctl_refusal() - an answer to something that is not a request; the caller frees
 */
char *ctl_refusal(const char *code, const char *message, size_t *out_len)
{
	return error_line(NULL, code, message, out_len);
}

/**
 * ctl_serve() - answer one request
 * @line:	without its newline; any bytes at all
 * @fd:		came with it, -1 = none; -1 afterwards when a command has kept it
 * @out_len:	of the answer, newline included
 *
 * Main thread. Return: the answer, which the caller frees; NULL when out of memory
 */
char *ctl_serve(struct control *c, const char *line, size_t len, int *fd, size_t *out_len)
{
	const struct ctl_command *cmd;
	const char *key, *name;
	const json_t *id;
	char why[CTL_WHY_MAX] = "";
	json_error_t e;
	json_t *root, *value;
	char *out;

	control_counters(c)->requests++;
	out = again(c, line, len, out_len);
	if (out)
		return out;
	root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &e);
	id = json_object_get(root, "id");
	name = json_string_value(json_object_get(root, "cmd"));
	cmd = name ? ctl_command_find(name) : NULL;
	if (!root)
		snprintf(why, sizeof(why), "column %d: %s", e.column, e.text);
	else if (!json_is_object(root))
		snprintf(why, sizeof(why), "a request is an object");
	else if (!name)
		snprintf(why, sizeof(why), "\"cmd\" is missing, or no string");
	json_object_foreach(root, key, value) if (strcmp(key, "id") != 0 &&
						  strcmp(key, "cmd") != 0 &&
						  strcmp(key, "args") != 0)
		snprintf(why, sizeof(why), "\"%.40s\" is not part of a request", key);
	if (why[0] || !cmd) {
		control_counters(c)->errors++;
		if (!why[0])
			snprintf(why, sizeof(why), "\"%.40s\" is no command; see help", name);
		out = error_line(id, cmd || !name ? "syntax" : "unknown-command", why, out_len);
	} else {
		out = serve(c, cmd, id, json_object_get(root, "args"), fd, line, len, out_len);
	}
	json_decref(root);
	return out;
}
