/* SPDX-License-Identifier: MIT */
/* The user's list of rules. Main thread: it lives on the heap. */
#include "tcpstack/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/base.h"
#include "tcpstack/stack.h"

static int grow(struct policy_list *l)
{
	uint32_t cap = l->cap ? 2 * l->cap : 16;
	struct policy_rule *rules = realloc(l->rules, (size_t)cap * sizeof(*rules));

	if (!rules)
		return -ENOMEM;
	l->rules = rules;
	l->cap = cap;
	return 0;
}

/**
 * policy_list_insert() - a rule before number @at
 * @at:		0..nrules
 * @why:	on failure, one line that shows @text
 *
 * Return: 0, -EINVAL, -ENOSPC at POLICY_RULES_MAX, or -ENOMEM
 */
int policy_list_insert(struct policy_list *l, uint32_t at, bool allow, const char *text, char *why,
		       size_t why_len)
{
	struct policy_rule rule;
	int err;

	if (at > l->nrules) {
		snprintf(why, why_len, "there are only %u rules", l->nrules);
		return -EINVAL;
	}
	if (l->nrules == POLICY_RULES_MAX) {
		snprintf(why, why_len, "more than %u rules", POLICY_RULES_MAX);
		return -ENOSPC;
	}
	err = policy_rule_parse(&rule, allow, text, why, why_len);
	if (err == 0 && l->nrules == l->cap) {
		err = grow(l);
		if (err)
			policy_rule_free(&rule);
	}
	if (err == -ENOMEM)
		snprintf(why, why_len, "%s", strerror(ENOMEM));
	if (err)
		return err;
	memmove(l->rules + at + 1, l->rules + at, (size_t)(l->nrules - at) * sizeof(rule));
	l->rules[at] = rule;
	l->nrules++;
	return 0;
}

/**
 * policy_list_add() - a rule behind all others; see policy_list_insert()
 */
int policy_list_add(struct policy_list *l, bool allow, const char *text, char *why, size_t why_len)
{
	return policy_list_insert(l, l->nrules, allow, text, why, why_len);
}

/**
 * policy_list_remove() - take rule number @at out; 0, or -ENOENT
 */
int policy_list_remove(struct policy_list *l, uint32_t at)
{
	if (at >= l->nrules)
		return -ENOENT;
	policy_rule_free(&l->rules[at]);
	l->nrules--;
	memmove(l->rules + at, l->rules + at + 1, (size_t)(l->nrules - at) * sizeof(*l->rules));
	return 0;
}

/**
 * policy_list_gateway() - set the gateway's ports
 * @text:	"80,8000-8100", "none" or "all"
 *
 * Return: 0, or -EINVAL with a line in @why and the list as it was
 */
int policy_list_gateway(struct policy_list *l, const char *text, char *why, size_t why_len)
{
	struct port_range ranges[POLICY_RANGES_MAX];
	char one[16];
	uint32_t n = 0;

	if (strcmp(text, "all") == 0 || strcmp(text, "none") == 0) {
		l->gateway_listed = text[0] == 'n';
		l->ngateway = 0;
		return 0;
	}
	for (const char *s = text;;) {
		size_t len = strcspn(s, ",");

		if (n == POLICY_RANGES_MAX) {
			snprintf(why, why_len, "more than %d ranges of ports", POLICY_RANGES_MAX);
			return -EINVAL;
		}
		if (len >= sizeof(one))
			goto bad;
		memcpy(one, s, len);
		one[len] = 0;
		if (policy_ports_parse(&ranges[n++], one))
			goto bad;
		if (s[len] == 0)
			break;
		s += len + 1;
	}
	memcpy(l->gateway, ranges, n * sizeof(*ranges));
	l->ngateway = n;
	l->gateway_listed = true;
	return 0;

bad:
	snprintf(why, why_len, "\"%.60s\" is not a list of ports such as 80,8000-8100", text);
	return -EINVAL;
}

/**
 * policy_list_copy() - a list of one's own; 0 or -ENOMEM, and then @to is empty
 */
int policy_list_copy(struct policy_list *to, const struct policy_list *from)
{
	*to = *from;
	to->rules = NULL;
	to->nrules = to->cap = 0;
	if (from->nrules == 0)
		return 0;
	to->rules = calloc(from->nrules, sizeof(*to->rules));
	if (!to->rules)
		return -ENOMEM;
	to->cap = from->nrules;
	for (uint32_t i = 0; i < from->nrules; i++) {
		const struct policy_rule *r = &from->rules[i];
		char *text = strdup(r->text);

		if (!text) {
			policy_list_free(to);
			return -ENOMEM;
		}
		to->rules[i] = *r;
		to->rules[i].text = text;
		if (r->name)
			to->rules[i].name = text + (r->name - r->text);
		to->nrules++;
	}
	return 0;
}

/* Is @addr in the guest's own network? */
static bool of_the_guest(const struct stack_config *cfg, const struct ipaddr *addr)
{
	if (!ipaddr_is_v4(addr))
		return ipaddr_same_prefix64(addr, &cfg->prefix6);
	return (ipaddr_v4(addr) ^ cfg->guest4) >> (32 - cfg->prefix4) == 0;
}

/*
 * A rule is about where the host connects to, which is never an address of the guest's
 * own network: whoever names one has meant something else.
 */
static int check_rule(const struct policy_rule *r, const struct stack_config *cfg, char *why,
		      size_t why_len)
{
	bool v4 = ipaddr_is_v4(&r->net), gateway;

	if (r->name || r->any || r->len < 128 || !of_the_guest(cfg, &r->net))
		return 0;
	gateway = v4 ? ipaddr_v4(&r->net) == cfg->gateway4 : ipaddr_equal(&r->net, &cfg->gateway6);
	if (gateway && cfg->gateway_is_host)
		snprintf(why, why_len,
			 "\"%.80s\" fits nothing: that is the gateway, behind which rules see the "
			 "host's %s; name that, or see --gateway-ports",
			 r->text, v4 ? "127.0.0.1" : "::1");
	else
		snprintf(why, why_len,
			 "\"%.80s\" fits nothing: the address is of the guest's own network, where "
			 "the host connects to nobody",
			 r->text);
	return -EINVAL;
}

/**
 * policy_list_check() - does the list make sense as a whole?
 * @cfg:	of the stack that it is for; its @policy is not looked at
 * @why:	out, when not: one line
 *
 * Return: 0 or -EINVAL
 */
int policy_list_check(const struct policy_list *l, const struct stack_config *cfg, char *why,
		      size_t why_len)
{
	int err = 0;

	if (l->profile == POLICY_NONE && l->nrules > 0) {
		snprintf(why, why_len, "the profile none has no rules, but there is \"%.80s\"",
			 l->rules[0].text);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < l->nrules && !err; i++)
		err = check_rule(&l->rules[i], cfg, why, why_len);
	return err;
}

/**
 * policy_list_free() - give all memory back; the list is then empty and may be used
 */
void policy_list_free(struct policy_list *l)
{
	for (uint32_t i = 0; i < l->nrules; i++)
		policy_rule_free(&l->rules[i]);
	free(l->rules);
	*l = (struct policy_list){ 0 };
}
