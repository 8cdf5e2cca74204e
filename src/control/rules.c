/* SPDX-License-Identifier: MIT */
/*
 * Commands about egress policy.
 *
 * The list of rules is the main thread's. A change is made to a copy; the copy is
 * compiled, the worker exchanges one pointer, and the old table is freed here. A
 * change that fails leaves all as it was.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/control/priv.h"
#include "tcpstack/stack.h"

static const char *const profiles[] = {
	[POLICY_OPEN] = "open",
	[POLICY_MONITORED] = "monitored",
	[POLICY_ALLOWLIST] = "allowlist",
	[POLICY_NONE] = "none",
};

static_assert(ARRAY_SIZE(profiles) == POLICY_PROFILES, "a word for each profile");

static int exchange(void *ctx, struct stack *st)
{
	struct policy **p = ctx;

	*p = stack_set_policy(st, *p);
	return 0;
}

/* Make @next the policy in force. It is taken, whatever happens. */
static int apply(struct ctl_request *r, struct policy_list *next)
{
	struct policy_list *now = control_policy(r->c);
	struct policy *p = NULL;
	struct stack_info info;
	int err = control_info(r, &info);

	if (err == 0)
		err = policy_list_check(next, &info.cfg, r->why, sizeof(r->why));
	if (err == 0) {
		err = policy_compile(&p, next);
		if (err < 0)
			ctl_fail(r, err, "%s", strerror(-err));
	}
	if (err == 0)
		err = control_call(r, exchange, &p);
	policy_free(p); /* the old one, or the one that nobody took */
	if (err < 0) {
		policy_list_free(next);
		return err;
	}
	policy_list_free(now);
	*now = *next;
	return 0;
}

static int begin(struct ctl_request *r, struct policy_list *next)
{
	int err = policy_list_copy(next, control_policy(r->c));

	return err < 0 ? ctl_fail(r, err, "%s", strerror(-err)) : 0;
}

static int copy_pointer(void *ctx, struct stack *st)
{
	*(const struct policy **)ctx = stack_policy(st);
	return 0;
}

static json_t *gateway_ports(const struct policy_list *l)
{
	json_t *list = json_array();
	char text[16];

	if (!l->gateway_listed) {
		json_decref(list);
		return json_string("all");
	}
	for (uint32_t i = 0; i < l->ngateway; i++) {
		snprintf(text, sizeof(text), "%u-%u", l->gateway[i].lo, l->gateway[i].hi);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

/* Only this thread exchanges the table: it stays while we read it. */
static int do_list(struct ctl_request *r)
{
	const struct policy_list *l = control_policy(r->c);
	const struct policy *p = NULL;
	json_t *list;
	int err = control_call(r, copy_pointer, &p);

	if (err < 0)
		return err;
	list = json_array();
	for (uint32_t i = 0; i < policy_rules(p); i++)
		json_array_append_new(list,
				      json_pack("{s:i,s:s,s:I,s:b}", "number", (int)i + 1, "rule",
						policy_rule_text(p, i), "hits",
						(json_int_t)counter_get(policy_rule_hits(p, i)),
						"built_in", i >= l->nrules));
	r->result = json_pack("{s:s,s:o,s:o}", "profile", profiles[policy_profile(p)],
			      "gateway_ports", gateway_ports(l), "rules", list);
	return 0;
}

static int do_add(struct ctl_request *r)
{
	const char *verdict = ctl_arg_string(r, "verdict"), *rule = ctl_arg_string(r, "rule");
	struct policy_list next;
	uint64_t at = 0;
	int err;

	if (!verdict || (strcmp(verdict, "allow") != 0 && strcmp(verdict, "deny") != 0))
		return ctl_fail(r, -EINVAL, "verdict: neither allow nor deny");
	if (!rule)
		return ctl_fail(r, -EINVAL, "rule: not a text");
	err = ctl_arg_u64(r, "at", 1, control_policy(r->c)->nrules + 1ULL, &at);
	if (err)
		return err;
	err = begin(r, &next);
	if (err)
		return err;
	err = policy_list_insert(&next, at ? (uint32_t)at - 1 : next.nrules,
				 strcmp(verdict, "allow") == 0, rule, r->why, sizeof(r->why));
	if (err < 0) {
		policy_list_free(&next);
		return err;
	}
	at = at ? at : next.nrules;
	err = apply(r, &next);
	if (err == 0)
		r->result = json_pack("{s:i,s:s}", "number", (int)at, "rule",
				      control_policy(r->c)->rules[at - 1].text);
	return err;
}

static int do_del(struct ctl_request *r)
{
	struct policy_list next;
	uint64_t number = 0;
	int err = ctl_arg_u64(r, "number", 1, UINT32_MAX, &number);

	if (err == 0 && number > control_policy(r->c)->nrules)
		err = ctl_fail(r, -ENOENT, "number: there is no rule %u that can be taken away",
			       (unsigned int)number);
	if (err)
		return err;
	err = begin(r, &next);
	if (err)
		return err;
	policy_list_remove(&next, (uint32_t)number - 1);
	err = apply(r, &next);
	if (err == 0)
		r->result = json_pack("{s:i}", "rules", (int)control_policy(r->c)->nrules);
	return err;
}

static int do_profile(struct ctl_request *r)
{
	const char *name = ctl_arg_string(r, "name");
	struct policy_list next;
	uint32_t profile = 0;
	int err = 0;

	while (name && profile < POLICY_PROFILES && strcmp(profiles[profile], name) != 0)
		profile++;
	if (json_object_get(r->args, "name") && (!name || profile == POLICY_PROFILES))
		return ctl_fail(r, -EINVAL, "name: none of open, monitored, allowlist, none");
	if (name) {
		err = begin(r, &next);
		if (err < 0)
			return err;
		next.profile = profile;
		err = apply(r, &next);
	}
	if (err == 0)
		r->result = json_pack("{s:s}", "profile", profiles[control_policy(r->c)->profile]);
	return err;
}

static int do_gateway(struct ctl_request *r)
{
	const char *list;
	struct policy_list next;
	char buf[32];
	int err = 0;

	list = ctl_arg(r, "ports", buf, sizeof(buf));
	if (json_object_get(r->args, "ports")) {
		err = begin(r, &next);
		if (err < 0)
			return err;
		err = policy_list_gateway(&next, list ? list : "", r->why, sizeof(r->why));
		if (err < 0)
			policy_list_free(&next);
		else
			err = apply(r, &next);
	}
	if (err == 0)
		r->result = json_pack("{s:o}", "gateway_ports",
				      gateway_ports(control_policy(r->c)));
	return err;
}

static void print_rules(const json_t *result, FILE *out)
{
	const json_t *list = json_object_get(result, "rules");

	fprintf(out, "profile %s\n%6s %12s  %s\n",
		json_string_value(json_object_get(result, "profile")), "NUMBER", "HITS", "RULE");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *rule = json_array_get(list, i);

		fprintf(out, "%6lld %12lld  %s%s\n",
			(long long)json_integer_value(json_object_get(rule, "number")),
			(long long)json_integer_value(json_object_get(rule, "hits")),
			json_string_value(json_object_get(rule, "rule")),
			json_is_true(json_object_get(rule, "built_in")) ? " (of the profile)" : "");
	}
}

const struct ctl_command ctl_rule_commands[] = {
	{ .name = "rule list",
	  .help = "the rules of egress policy, in order, and how often each has decided",
	  .handler = do_list,
	  .print = print_rules },
	{ .name = "rule add",
	  .help = "one more rule; flows that are open stay open",
	  .params = { { .name = "verdict", .help = "allow or deny", .required = true },
		      { .name = "rule",
			.help = "[tcp:|udp:|icmp:]WHERE[:PORTS]",
			.required = true },
		      { .name = "at", .help = "before this number; else behind all others" } },
	  .handler = do_add },
	{ .name = "rule del",
	  .help = "take a rule away",
	  .params = { { .name = "number", .help = "as rule list has it", .required = true } },
	  .handler = do_del },
	{ .name = "rule profile",
	  .help = "show or change what becomes of what no rule names",
	  .params = { { .name = "name", .help = "open, monitored, allowlist or none" } },
	  .handler = do_profile },
	{ .name = "rule gateway-ports",
	  .help = "show or change the ports of the host's loopback behind the gateway",
	  .params = { { .name = "ports", .help = "80,8000-8100, or none, or all" } },
	  .handler = do_gateway },
	{ .name = NULL },
};
