/* SPDX-License-Identifier: MIT */
/* All commands, and what their handlers share. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "src/control/priv.h"

/* In the order in which help shows them. */
static const struct ctl_command *const groups[] = {
	ctl_status_commands, ctl_flows_commands,   ctl_metrics_commands,
	ctl_limits_commands, ctl_forward_commands, ctl_rule_commands,
	ctl_dns_commands,    ctl_audit_commands,   ctl_pcap_commands,
};

/**
 * ctl_command_next() - walk all commands
 * @after:	NULL = begin
 *
 * Return: NULL at the end. Any thread
 */
const struct ctl_command *ctl_command_next(const struct ctl_command *after)
{
	bool found = !after;

	for (size_t g = 0; g < ARRAY_SIZE(groups); g++) {
		for (const struct ctl_command *cmd = groups[g]; cmd->name; cmd++) {
			if (found)
				return cmd;
			found = cmd == after;
		}
	}
	return NULL;
}

/**
 * ctl_command_find() - the command of that name, or NULL
 */
const struct ctl_command *ctl_command_find(const char *name)
{
	const struct ctl_command *cmd = NULL;

	while ((cmd = ctl_command_next(cmd)))
		if (strcmp(cmd->name, name) == 0)
			return cmd;
	return NULL;
}

/**
 * ctl_fail() - say why a request is refused
 *
 * Return: @err, so that "return ctl_fail(...)" is the whole error path
 */
int ctl_fail(struct ctl_request *r, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	return err;
}

/**
 * ctl_arg() - an argument as text, whether it came as a string, number or boolean
 * @buf:	where a number is written
 *
 * Return: NULL when it was not given or is something else
 */
const char *ctl_arg(const struct ctl_request *r, const char *name, char *buf, size_t len)
{
	const json_t *v = json_object_get(r->args, name);

	if (json_is_string(v))
		return json_string_value(v);
	if (json_is_boolean(v))
		return json_is_true(v) ? "on" : "off";
	if (!json_is_integer(v))
		return NULL;
	snprintf(buf, len, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	return buf;
}

/**
 * ctl_arg_string() - an argument that is a string; NULL when not given or another type
 */
const char *ctl_arg_string(const struct ctl_request *r, const char *name)
{
	return json_string_value(json_object_get(r->args, name));
}

/**
 * ctl_arg_u64() - a number from @min to @max; @v stays as it is when not given
 *
 * Return: 0, or -EINVAL with the request's why
 */
int ctl_arg_u64(struct ctl_request *r, const char *name, uint64_t min, uint64_t max, uint64_t *v)
{
	const json_t *given = json_object_get(r->args, name);
	char buf[32], *end;
	const char *text;
	uint64_t n;

	if (!given)
		return 0;
	text = ctl_arg(r, name, buf, sizeof(buf));
	if (!text || *text < '0' || *text > '9')
		return ctl_fail(r, -EINVAL, "%s: not a number", name);
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || *end)
		return ctl_fail(r, -EINVAL, "%s: \"%.40s\" is not a number", name, text);
	if (n < min || n > max)
		return ctl_fail(r, -EINVAL, "%s: %" PRIu64 " is not within %" PRIu64 "..%" PRIu64,
				name, n, min, max);
	*v = n;
	return 0;
}
