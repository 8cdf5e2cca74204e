/* SPDX-License-Identifier: MIT */
/*
 * Rules as the worker looks them up.
 *
 * Theory of operation. The first rule that fits decides, so what is sought is
 * the least number among all rules that fit. Rules of networks are sorted by
 * (length, network, number); a hash finds the run of a network. A destination is
 * masked to each length that occurs, at most 33 of IPv4 and 129 of IPv6, and the
 * run of that network, if there is one, is read as far as its numbers are below
 * the best that is known. So the cost follows the number of different prefix
 * lengths and of rules for one and the same network, not the number of rules.
 *
 * Rules of names are sorted by what follows their last label that has a "*" (the
 * whole name if none has) and found by a hash of that. A name of n labels is
 * looked up by its n + 1 tails, the empty one included.
 *
 * Nothing here changes after policy_compile(), but for the counters, which the
 * worker writes. The hash is keyed by nothing: only the user inserts.
 */
#include "tcpstack/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/base.h"
#include "tcpstack/frame.h"

#define V4_BITS 96

/* Rules that the profiles open and monitored have behind the user's. */
static const char *const built_in[] = {
	"169.254.0.0/16",  /* link-local; the metadata service of most clouds */
	"fe80::/10",	   /* link-local */
	"fd00:ec2::/32",   /* EC2 instance metadata over IPv6 */
	"fd20:ce::/32",	   /* Google Cloud's */
	"100.100.100.200", /* Alibaba Cloud's metadata service */
};

struct rule_info {
	const char *text;
	struct counter hits;
	bool allow;
};

/* A rule of a network; half a cache line. */
struct net_rule {
	uint64_t hi, lo; /* the network, host order */
	uint32_t rule;
	struct port_range ports;
	uint8_t len;
	uint8_t proto;
};

static_assert(sizeof(struct net_rule) == 32, "two to a cache line");

/* Networks of one family. @slots: index + 1 of a run's first rule, 0 = free. */
struct net_set {
	struct net_rule *rules;
	uint32_t n;
	uint32_t *slots;
	uint32_t mask;
	uint32_t nlens;
	uint8_t lens[129];
};

struct name_rule {
	const char *tail;    /* what its key is, inside @pattern */
	const char *pattern; /* inside the policy's texts */
	uint32_t rule;
	struct port_range ports;
	uint8_t proto;
};

struct name_set {
	struct name_rule *rules;
	uint32_t n;
	uint32_t *slots;
	uint32_t mask;
};

struct policy {
	enum policy_profile profile;
	bool gateway_listed;
	uint32_t ngateway;
	struct port_range gateway[POLICY_RANGES_MAX];
	struct net_set v4, v6;
	struct name_set names;
	uint32_t nrules;
	struct rule_info *rules;
	char *texts;
};

/* ICMP is one protocol to rules, whatever the family. */
static uint8_t rule_proto(uint8_t proto)
{
	return proto == PROTO_ICMP6 ? PROTO_ICMP : proto;
}

static bool ports_fit(uint8_t rule_has, struct port_range ports, uint8_t proto, uint16_t port)
{
	return (rule_has == 0 || rule_has == proto) && ports.lo <= port && port <= ports.hi;
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 29;
}

static uint32_t net_hash(uint64_t hi, uint64_t lo, uint8_t len)
{
	return (uint32_t)mix(mix(lo + len) ^ hi);
}

/* FNV-1a: tails are short. */
static uint32_t tail_hash(const char *s)
{
	uint32_t h = 2166136261U;

	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 16777619U;
	return h;
}

static void mask_to(uint64_t *hi, uint64_t *lo, uint8_t len)
{
	if (len < 64) {
		*hi = len ? *hi & ~0ULL << (64 - len) : 0;
		*lo = 0;
	} else if (len < 128) {
		*lo = len > 64 ? *lo & ~0ULL << (128 - len) : 0;
	}
}

static bool same_net(const struct net_rule *r, uint64_t hi, uint64_t lo, uint8_t len)
{
	return r->hi == hi && r->lo == lo && r->len == len;
}

/* --- making ----------------------------------------------------------------- */

static int compare_nets(const void *a, const void *b)
{
	const struct net_rule *x = a, *y = b;

	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	if (x->hi != y->hi)
		return x->hi < y->hi ? -1 : 1;
	if (x->lo != y->lo)
		return x->lo < y->lo ? -1 : 1;
	return x->rule < y->rule ? -1 : x->rule > y->rule;
}

static int compare_names(const void *a, const void *b)
{
	const struct name_rule *x = a, *y = b;
	int order = strcmp(x->tail, y->tail);

	if (order)
		return order;
	return x->rule < y->rule ? -1 : x->rule > y->rule;
}

/* A power of two, at least twice @n: chains stay short. */
static int make_slots(uint32_t **slots, uint32_t *mask, uint32_t n)
{
	uint32_t size = 2;

	while (size < 2 * n)
		size *= 2;
	*slots = calloc(size, sizeof(**slots));
	*mask = size - 1;
	return *slots ? 0 : -ENOMEM;
}

static void put_slot(uint32_t *slots, uint32_t mask, uint32_t hash, uint32_t index)
{
	while (slots[hash & mask])
		hash++;
	slots[hash & mask] = index + 1;
}

static int finish_nets(struct net_set *s)
{
	qsort(s->rules, s->n, sizeof(*s->rules), compare_nets);
	if (make_slots(&s->slots, &s->mask, s->n))
		return -ENOMEM;
	for (uint32_t i = 0; i < s->n; i++) {
		const struct net_rule *r = &s->rules[i];

		if (i == 0 || s->rules[i - 1].len != r->len)
			s->lens[s->nlens++] = r->len;
		if (i == 0 || !same_net(&s->rules[i - 1], r->hi, r->lo, r->len))
			put_slot(s->slots, s->mask, net_hash(r->hi, r->lo, r->len), i);
	}
	return 0;
}

static int finish_names(struct name_set *s)
{
	qsort(s->rules, s->n, sizeof(*s->rules), compare_names);
	if (make_slots(&s->slots, &s->mask, s->n))
		return -ENOMEM;
	for (uint32_t i = 0; i < s->n; i++)
		if (i == 0 || strcmp(s->rules[i - 1].tail, s->rules[i].tail) != 0)
			put_slot(s->slots, s->mask, tail_hash(s->rules[i].tail), i);
	return 0;
}

static void add_net(struct net_set *s, const struct policy_rule *r, uint8_t len, uint32_t number)
{
	s->rules[s->n++] = (struct net_rule){ .hi = get_be64(r->net.b),
					      .lo = get_be64(r->net.b + 8),
					      .rule = number,
					      .ports = r->ports,
					      .len = len,
					      .proto = r->proto };
}

/* What follows the last label with a star: "example.org" of "a*.x.*.example.org". */
static const char *tail_of(const char *pattern)
{
	const char *star = strrchr(pattern, '*'), *dot;

	if (!star)
		return pattern;
	dot = strchr(star, '.');
	return dot ? dot + 1 : pattern + strlen(pattern);
}

/* Rule @number of the policy; @text is where its text goes. Return: behind it. */
static char *add_rule(struct policy *p, const struct policy_rule *r, uint32_t number, char *text)
{
	size_t len = strlen(r->text) + 1;

	memcpy(text, r->text, len);
	p->rules[number].text = text;
	p->rules[number].allow = r->allow;
	if (r->name) {
		const char *pattern = text + (r->name - r->text);
		char *copy = text + len;

		/* Matching wants the pattern to end where it ends: a copy without the ports. */
		memcpy(copy, pattern, r->name_len);
		copy[r->name_len] = 0;
		p->names.rules[p->names.n++] = (struct name_rule){ .tail = tail_of(copy),
								   .pattern = copy,
								   .rule = number,
								   .ports = r->ports,
								   .proto = r->proto };
		return copy + r->name_len + 1;
	}
	if (r->any) {
		add_net(&p->v4, r, V4_BITS, number);
		p->v4.rules[p->v4.n - 1].lo = 0xffffULL << 32;
		add_net(&p->v6, r, 0, number);
	} else {
		add_net(ipaddr_is_v4(&r->net) && r->len >= V4_BITS ? &p->v4 : &p->v6, r, r->len,
			number);
	}
	return text + len;
}

static int make_arrays(struct policy *p, uint32_t n, size_t text_bytes)
{
	p->rules = calloc(n + 1U, sizeof(*p->rules));
	p->v4.rules = calloc(n + 1U, sizeof(*p->v4.rules));
	p->v6.rules = calloc(n + 1U, sizeof(*p->v6.rules));
	p->names.rules = calloc(n + 1U, sizeof(*p->names.rules));
	p->texts = malloc(text_bytes + 1);
	return p->rules && p->v4.rules && p->v6.rules && p->names.rules && p->texts ? 0 : -ENOMEM;
}

static int fill(struct policy *p, const struct policy_list *l, const struct policy_rule *tail,
		uint32_t ntail)
{
	size_t bytes = 0;
	char *text;
	int err;

	for (uint32_t i = 0; i < l->nrules; i++)
		bytes += strlen(l->rules[i].text) + l->rules[i].name_len + 2U;
	for (uint32_t i = 0; i < ntail; i++)
		bytes += strlen(tail[i].text) + 1;
	p->nrules = l->nrules + ntail;
	err = make_arrays(p, p->nrules, bytes);
	if (err)
		return err;
	text = p->texts;
	for (uint32_t i = 0; i < l->nrules; i++)
		text = add_rule(p, &l->rules[i], i, text);
	for (uint32_t i = 0; i < ntail; i++)
		text = add_rule(p, &tail[i], l->nrules + i, text);
	err = finish_nets(&p->v4);
	if (!err)
		err = finish_nets(&p->v6);
	if (!err)
		err = finish_names(&p->names);
	return err;
}

/**
 * policy_compile() - a policy to look up from the user's list
 * @l:		not kept
 *
 * Main thread. Return: 0 with *@out, which policy_free() ends, or -ENOMEM
 */
int policy_compile(struct policy **out, const struct policy_list *l)
{
	bool open = l->profile == POLICY_OPEN || l->profile == POLICY_MONITORED;
	struct policy_rule tail[ARRAY_SIZE(built_in)] = { 0 };
	struct policy *p = calloc(1, sizeof(*p));
	uint32_t ntail = 0;
	char why[128];
	int err = p ? 0 : -ENOMEM;

	for (; !err && open && ntail < ARRAY_SIZE(built_in); ntail++)
		err = policy_rule_parse(&tail[ntail], false, built_in[ntail], why, sizeof(why));
	BUG_ON(err == -EINVAL);
	if (!err) {
		p->profile = l->profile;
		p->gateway_listed = l->gateway_listed;
		p->ngateway = l->ngateway;
		memcpy(p->gateway, l->gateway, sizeof(p->gateway));
		err = fill(p, l, tail, ntail);
	}
	for (uint32_t i = 0; i < ARRAY_SIZE(tail); i++)
		policy_rule_free(&tail[i]);
	if (err)
		policy_free(p);
	else
		*out = p;
	return err;
}

/**
 * policy_free() - give all memory back; NULL is harmless. Whoever made it
 */
void policy_free(struct policy *p)
{
	if (!p)
		return;
	free(p->rules);
	free(p->v4.rules);
	free(p->v4.slots);
	free(p->v6.rules);
	free(p->v6.slots);
	free(p->names.rules);
	free(p->names.slots);
	free(p->texts);
	free(p);
}

/* --- looking up -------------------------------------------------------------- */

static uint32_t match_nets(const struct net_set *s, uint8_t proto, const struct endpoint *dst,
			   uint32_t best)
{
	for (uint32_t i = 0; i < s->nlens; i++) {
		uint64_t hi = get_be64(dst->addr.b), lo = get_be64(dst->addr.b + 8);
		uint8_t len = s->lens[i];
		uint32_t h, slot;

		mask_to(&hi, &lo, len);
		for (h = net_hash(hi, lo, len); (slot = s->slots[h & s->mask]) != 0; h++)
			if (same_net(&s->rules[slot - 1], hi, lo, len))
				break;
		for (uint32_t k = slot - 1; slot && k < s->n; k++) {
			const struct net_rule *r = &s->rules[k];

			if (r->rule >= best || !same_net(r, hi, lo, len))
				break;
			if (ports_fit(r->proto, r->ports, proto, dst->port)) {
				best = r->rule;
				break;
			}
		}
	}
	return best;
}

/* @any: whatever the protocol and port. */
static uint32_t match_tail(const struct name_set *s, const char *name, const char *tail, bool any,
			   uint8_t proto, uint16_t port, uint32_t best)
{
	uint32_t h = tail_hash(tail), slot;

	for (; (slot = s->slots[h & s->mask]) != 0; h++)
		if (strcmp(s->rules[slot - 1].tail, tail) == 0)
			break;
	for (uint32_t k = slot - 1; slot && k < s->n; k++) {
		const struct name_rule *r = &s->rules[k];

		if (r->rule >= best || strcmp(r->tail, tail) != 0)
			break;
		if ((any || ports_fit(r->proto, r->ports, proto, port)) &&
		    policy_name_fits(r->pattern, name))
			return r->rule;
	}
	return best;
}

static uint32_t match_name(const struct name_set *s, const char *name, bool any, uint8_t proto,
			   uint16_t port, uint32_t best)
{
	const char *tail = name;

	for (;;) {
		best = match_tail(s, name, tail, any, proto, port, best);
		if (*tail == 0)
			return best;
		tail = strchr(tail, '.');
		tail = tail ? tail + 1 : name + strlen(name);
	}
}

/**
 * policy_match() - the first rule that fits a destination; the worker
 * @proto:	PROTO_*
 * @dst:	as translated; the port of ICMP is 0
 * @names:	names under which the guest knows it, in lower case
 * @nnames:	how many; at most POLICY_NAMES_MAX are looked at
 *
 * Return: its number, or POLICY_NO_RULE
 */
uint32_t policy_match(const struct policy *p, uint8_t proto, const struct endpoint *dst,
		      const char *const *names, uint32_t nnames)
{
	uint32_t best;

	proto = rule_proto(proto);
	best = match_nets(ipaddr_is_v4(&dst->addr) ? &p->v4 : &p->v6, proto, dst, POLICY_NO_RULE);
	for (uint32_t i = 0; p->names.n && i < MIN(nnames, POLICY_NAMES_MAX); i++)
		best = match_name(&p->names, names[i], false, proto, dst->port, best);
	return best;
}

/**
 * policy_match_name() - the first rule for @name, whatever its protocol and ports
 *
 * Return: its number, or POLICY_NO_RULE
 */
uint32_t policy_match_name(const struct policy *p, const char *name)
{
	if (p->names.n == 0)
		return POLICY_NO_RULE;
	return match_name(&p->names, name, true, 0, 0, POLICY_NO_RULE);
}

/**
 * policy_has_names() - is there a rule of a name?
 */
bool policy_has_names(const struct policy *p)
{
	return p->names.n > 0;
}

enum policy_profile policy_profile(const struct policy *p)
{
	return p->profile;
}

/**
 * policy_gateway_port() - may the gateway's @port reach the host's loopback?
 * @listed:	out: the user has given a list
 */
bool policy_gateway_port(const struct policy *p, uint16_t port, bool *listed)
{
	*listed = p->gateway_listed;
	if (!p->gateway_listed)
		return true;
	for (uint32_t i = 0; i < p->ngateway; i++)
		if (p->gateway[i].lo <= port && port <= p->gateway[i].hi)
			return true;
	return false;
}

/**
 * policy_rules() - how many there are, those of the profile included
 */
uint32_t policy_rules(const struct policy *p)
{
	return p->nrules;
}

bool policy_rule_allows(const struct policy *p, uint32_t rule)
{
	return p->rules[rule].allow;
}

const char *policy_rule_text(const struct policy *p, uint32_t rule)
{
	return p->rules[rule].text;
}

/**
 * policy_rule_hits() - how often a rule has decided; the worker writes
 */
struct counter *policy_rule_hits(const struct policy *p, uint32_t rule)
{
	return &p->rules[rule].hits;
}
