/* SPDX-License-Identifier: MIT */
/* The commands "limit get" and "limit set". */
#include <errno.h>
#include <string.h>

#include "src/base/log.h"
#include "src/control/priv.h"
#include "tcpstack/limit.h"

struct all {
	struct stack_limit l[STACK_LIMITS_MAX];
	uint32_t n;
};

static int copy_all(void *ctx, struct stack *st)
{
	struct all *a = ctx;

	a->n = stack_limits(st, a->l, STACK_LIMITS_MAX);
	return 0;
}

static int answer(struct ctl_request *r)
{
	json_t *list = json_array();
	struct all a;
	int err = control_call(r, copy_all, &a);

	if (err < 0) {
		json_decref(list);
		return err;
	}
	for (uint32_t i = 0; i < a.n; i++) {
		const struct stack_limit *l = &a.l[i];
		json_t *j = json_pack("{s:s,s:I,s:I,s:I}", "name", l->name, "value",
				      (json_int_t)l->value, "min", (json_int_t)l->min, "max",
				      (json_int_t)l->max);

		if (l->used != UINT64_MAX)
			json_object_set_new(j, "used", json_integer((json_int_t)l->used));
		json_object_set_new(j, "text", json_string(l->text));
		json_array_append_new(list, j);
	}
	r->result = json_pack("{s:o}", "limits", list);
	return 0;
}

struct change {
	const char *name;
	uint64_t value;
};

static int apply(void *ctx, struct stack *st)
{
	const struct change *k = ctx;

	return stack_limit_set(st, k->name, k->value);
}

static int do_set(struct ctl_request *r)
{
	struct change k = { .name = ctl_arg_string(r, "name") };
	int err = ctl_arg_u64(r, "value", 0, INT64_MAX, &k.value);

	if (err < 0)
		return err;
	if (!k.name)
		return ctl_fail(r, -EINVAL, "name: not a text");
	err = control_call(r, apply, &k);
	if (err == -ENOENT)
		return ctl_fail(r, err, "no limit is called \"%.40s\"; see limit get", k.name);
	if (err == -ERANGE)
		return ctl_fail(r, -EINVAL,
				"%s: outside of what limit get shows; tables of flows "
				"keep their size",
				k.name);
	if (err < 0)
		return err;
	log_info("control", "%s is now %llu", k.name, (unsigned long long)k.value);
	return answer(r);
}

static void print_limits(const json_t *result, FILE *out)
{
	const json_t *list = json_object_get(result, "limits");

	fprintf(out, "%-16s %12s %12s %12s  %s\n", "LIMIT", "VALUE", "MOST", "IN USE", "");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *l = json_array_get(list, i), *used = json_object_get(l, "used");

		fprintf(out, "%-16s %12lld %12lld ", json_string_value(json_object_get(l, "name")),
			(long long)json_integer_value(json_object_get(l, "value")),
			(long long)json_integer_value(json_object_get(l, "max")));
		if (used)
			fprintf(out, "%12lld", (long long)json_integer_value(used));
		else
			fprintf(out, "%12s", "-");
		fprintf(out, "  %s\n", json_string_value(json_object_get(l, "text")));
	}
}

const struct ctl_command ctl_limits_commands[] = {
	{ .name = "limit get",
	  .help = "limits in force, and how much of each is in use",
	  .handler = answer,
	  .print = print_limits },
	{ .name = "limit set",
	  .help = "change one, at once",
	  .params = { { .name = "name", .help = "as limit get shows it", .required = true },
		      { .name = "value", .help = "a number", .required = true } },
	  .handler = do_set,
	  .print = print_limits },
	{ .name = NULL },
};
