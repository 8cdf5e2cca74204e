/* SPDX-License-Identifier: MIT */
/*
 * Where the guest may go, and where that is on the host.
 *
 * Every protocol asks here before it touches a host socket, and connects to
 * what this function answers, never to what the guest wrote. So no protocol can
 * forget a rule, and the rules see translated addresses (H44). The host's own
 * loopback is reachable in one way only: through the gateway's address, if the
 * configuration allows it.
 *
 * Two kinds of refusal. Addresses that no host has, or that would be ourselves,
 * are refused whatever the user says. What is left is judged by the user's rules,
 * then by the profile. Rules of names see the names under which the guest has
 * learnt the address from our DNS service (names.c).
 *
 * The policy stays when drivers come and go and when flows are reset (H45). A new
 * one applies to what is opened from then on; what is open stays open.
 */
#include "tcpstack/names.h"
#include "tcpstack/policy.h"
#include "tcpstack/priv.h"

#include <errno.h>

/* @addr in @net/@len, host order. */
static bool in_net(uint32_t addr, uint32_t net, uint32_t len)
{
	return len == 0 || (addr ^ net) >> (32 - len) == 0;
}

/* Addresses that no flow of the guest may reach directly; RFC 6890 and RFC 5735. */
static const struct {
	uint32_t net;
	uint32_t len;
} refused4[] = {
	{ 0x00000000, 8 }, /* 0/8: this network */
	{ 0x7f000000, 8 }, /* 127/8: the host's loopback */
	{ 0xe0000000, 4 }, /* 224/4: multicast */
	{ 0xf0000000, 4 }, /* 240/4: reserved, and the limited broadcast */
};

/* The same for IPv6, by the bits of their prefix; RFC 6890 and RFC 4291. */
static const struct {
	struct ipaddr net;
	uint32_t len;
} refused6[] = {
	{ { { 0 } }, 16 },	    /* ::, ::1, IPv4-mapped and -compatible */
	{ { { 0xfe, 0x80 } }, 10 }, /* fe80::/10: of which link? */
	{ { { 0xfe, 0xc0 } }, 10 }, /* fec0::/10: site-local, once */
	{ { { 0xff } }, 8 },	    /* ff00::/8: multicast */
	{ { { 0x00, 0x64, 0xff, 0x9b, 0, 1 } },
	  48 }, /* 64:ff9b:1::/48: unknown IPv4 behind NAT64 */
};

/* How a destination was found, as far as the verdict depends on it. */
enum route {
	ROUTE_REFUSED,
	ROUTE_UNLISTED, /* the host's loopback; the port is not in the user's list */
	ROUTE_DIRECT,
	ROUTE_GATEWAY, /* the host's loopback; all its ports lie open */
	ROUTE_LISTED,  /* the same, and the port is in the user's list */
	ROUTE_DNS,     /* our own service, which judges each question */
};

static enum route to_gateway(const struct stack *st, uint8_t proto, const struct endpoint *dst,
			     const struct ipaddr *loopback, struct endpoint *host)
{
	bool listed;

	*host = (struct endpoint){ *loopback, dst->port };
	if (proto != PROTO_TCP && proto != PROTO_UDP)
		return ROUTE_GATEWAY;
	if (!policy_gateway_port(st->policy, dst->port, &listed))
		return ROUTE_UNLISTED;
	return listed ? ROUTE_LISTED : ROUTE_GATEWAY;
}

static enum route translate4(const struct stack *st, uint8_t proto, const struct endpoint *dst,
			     struct endpoint *host)
{
	const struct stack_config *cfg = &st->cfg;
	const struct ipaddr loopback = ipaddr_from_v4(0x7f000001);
	uint32_t addr = ipaddr_v4(&dst->addr);

	if (addr == cfg->gateway4 && cfg->gateway_is_host)
		return to_gateway(st, proto, dst, &loopback, host);
	/* Whatever else has an address of the guest's own network is us, the guest, or nobody. */
	if (in_net(addr, cfg->guest4, cfg->prefix4))
		return ROUTE_REFUSED;
	for (size_t i = 0; i < ARRAY_SIZE(refused4); i++)
		if (in_net(addr, refused4[i].net, refused4[i].len))
			return ROUTE_REFUSED;
	*host = *dst;
	return ROUTE_DIRECT;
}

/*
 * The IPv4 address that a translator on the host's network would make of @a:
 * NAT64's well-known prefix (RFC 6052), 6to4 (RFC 3056).
 */
static bool embedded4(const struct ipaddr *a, uint32_t *v4)
{
	static const struct ipaddr nat64 = { { 0x00, 0x64, 0xff, 0x9b } };
	static const struct ipaddr sixtofour = { { 0x20, 0x02 } };

	if (ipaddr_in_net(a, &nat64, 96))
		*v4 = get_be32(a->b + 12);
	else if (ipaddr_in_net(a, &sixtofour, 16))
		*v4 = get_be32(a->b + 2);
	else
		return false;
	return true;
}

static enum route translate6(const struct stack *st, uint8_t proto, const struct endpoint *dst,
			     struct endpoint *host)
{
	static const struct ipaddr loopback = { { [15] = 1 } };
	const struct stack_config *cfg = &st->cfg;
	uint32_t v4;

	if (ipaddr_equal(&dst->addr, &cfg->gateway6) && cfg->gateway_is_host)
		return to_gateway(st, proto, dst, &loopback, host);
	if (ipaddr_same_prefix64(&dst->addr, &cfg->prefix6))
		return ROUTE_REFUSED;
	for (size_t i = 0; i < ARRAY_SIZE(refused6); i++)
		if (ipaddr_in_net(&dst->addr, &refused6[i].net, refused6[i].len))
			return ROUTE_REFUSED;
	if (embedded4(&dst->addr, &v4))
		for (size_t i = 0; i < ARRAY_SIZE(refused4); i++)
			if (in_net(v4, refused4[i].net, refused4[i].len))
				return ROUTE_REFUSED;
	*host = *dst;
	return ROUTE_DIRECT;
}

static enum route translate(const struct stack *st, uint8_t proto, const struct endpoint *dst,
			    struct endpoint *host)
{
	/* UDP 53 is answered by dns.c before it comes here. */
	if (proto == PROTO_TCP && stack_is_dns(st, dst))
		return dns_tcp_endpoint(st, host) ? ROUTE_DNS : ROUTE_REFUSED;
	return ipaddr_is_v4(&dst->addr) ? translate4(st, proto, dst, host)
					: translate6(st, proto, dst, host);
}

/* A denial: what the profile monitored makes of it is to count it. */
static enum drop_reason denied(struct stack *st, const struct endpoint *host, uint32_t rule)
{
	const char *text = rule == POLICY_NO_RULE ? "no rule allows it"
						  : policy_rule_text(st->policy, rule);
	bool monitored = policy_profile(st->policy) == POLICY_MONITORED;
	char buf[ENDPOINT_STRLEN];

	if (monitored)
		counter_inc(&st->n.policy_monitored);
	st->verdict.monitored = monitored;
	st->verdict.rule = rule;
	st->verdict.reason = rule == POLICY_NO_RULE ? AUDIT_PROFILE : AUDIT_RULE;
	log_limited(monitored ? LOG_WARN : LOG_INFO, "policy", "%s %s: %s",
		    monitored ? "would deny" : "denied", endpoint_format(host, buf), text);
	return monitored ? DROP_NONE : DROP_POLICY_DENIED;
}

/* For the audit: what has decided, and the name that did or else any. */
static void note_match(struct stack *st, uint8_t proto, const struct endpoint *host, uint32_t rule,
		       const char *const *names, uint32_t nnames)
{
	struct verdict *v = &st->verdict;

	v->rule = rule;
	v->reason = rule == POLICY_NO_RULE ? AUDIT_PROFILE : AUDIT_RULE;
	if (!st->cfg.audit || nnames == 0)
		return;
	v->name = names[0];
	for (uint32_t i = 0; i < nnames; i++) {
		if (policy_match(st->policy, proto, host, &names[i], 1) == rule) {
			v->name = names[i];
			return;
		}
	}
}

static enum drop_reason judge(struct stack *st, uint8_t proto, const struct endpoint *dst,
			      const struct endpoint *host, enum route route)
{
	enum policy_profile profile = policy_profile(st->policy);
	const char *names[POLICY_NAMES_MAX];
	uint32_t rule, nnames = 0;

	if (profile == POLICY_NONE)
		return denied(st, host, POLICY_NO_RULE);
	if (route == ROUTE_DNS)
		return DROP_NONE;
	/* A name that somebody else has pointed at the gateway opens nothing of the host's. */
	if (route == ROUTE_DIRECT)
		nnames = names_find(st, &dst->addr, names, POLICY_NAMES_MAX);
	rule = policy_match(st->policy, proto, host, names, nnames);
	note_match(st, proto, host, rule, names, nnames);
	if (rule == POLICY_NO_RULE && route == ROUTE_LISTED)
		st->verdict.reason = AUDIT_GATEWAY_PORT;
	if (rule == POLICY_NO_RULE)
		return profile != POLICY_ALLOWLIST || route == ROUTE_LISTED
			       ? DROP_NONE
			       : denied(st, host, rule);
	counter_inc(policy_rule_hits(st->policy, rule));
	return policy_rule_allows(st->policy, rule) ? DROP_NONE : denied(st, host, rule);
}

/*
 * Where a translator stands between IPv6 and IPv4, what is denied there is not
 * to be had by the other name.
 */
static enum drop_reason judge_embedded(struct stack *st, uint8_t proto, const struct endpoint *host)
{
	struct endpoint v4 = { .port = host->port };
	uint32_t addr, rule;

	if (ipaddr_is_v4(&host->addr) || !embedded4(&host->addr, &addr))
		return DROP_NONE;
	v4.addr = ipaddr_from_v4(addr);
	rule = policy_match(st->policy, proto, &v4, NULL, 0);
	if (rule == POLICY_NO_RULE || policy_rule_allows(st->policy, rule))
		return DROP_NONE;
	counter_inc(policy_rule_hits(st->policy, rule));
	return denied(st, host, rule);
}

/**
 * policy_translate() - may a flow go to @dst, and where is that on the host?
 * @proto:	PROTO_*
 * @dst:	as the guest wrote it; the port is 0 for ICMP
 * @host:	out: where to connect; untouched unless DROP_NONE is returned
 *
 * Return: DROP_NONE, or the reason to refuse
 */
enum drop_reason policy_translate(struct stack *st, uint8_t proto, const struct endpoint *dst,
				  struct endpoint *host)
{
	static const uint8_t reasons[] = {
		[ROUTE_REFUSED] = AUDIT_ADDRESS, [ROUTE_UNLISTED] = AUDIT_GATEWAY_PORT,
		[ROUTE_DIRECT] = AUDIT_PROFILE,	 [ROUTE_GATEWAY] = AUDIT_PROFILE,
		[ROUTE_LISTED] = AUDIT_PROFILE,	 [ROUTE_DNS] = AUDIT_DNS_SERVICE,
	};
	enum drop_reason why;
	struct endpoint to;
	enum route route;

	/* One word for both in rules. */
	if (proto == PROTO_ICMP6)
		proto = PROTO_ICMP;
	route = translate(st, proto, dst, &to);
	st->verdict = (struct verdict){ .reason = reasons[route], .rule = POLICY_NO_RULE };
	if (route == ROUTE_REFUSED || route == ROUTE_UNLISTED)
		return DROP_POLICY_DENIED;
	st->verdict.translated = true;
	st->verdict.host = to;
	why = judge(st, proto, dst, &to, route);
	if (why == DROP_NONE && route == ROUTE_DIRECT)
		why = judge_embedded(st, proto, &to);
	if (why == DROP_NONE)
		*host = to;
	return why;
}

/**
 * policy_visible() - can the guest be shown @addr, of its own family, as that of a peer?
 *
 * If it would answer through us, that is: not if it is this host's loopback, nobody's,
 * or an address that the guest takes for one of its own link. The gateway stands for
 * those.
 */
bool policy_visible(const struct stack *st, const struct ipaddr *addr)
{
	uint32_t v4;

	if (ipaddr_is_loopback(addr))
		return false;
	if (!ipaddr_is_v4(addr))
		return !ipaddr_is_link_local6(addr) && !ipaddr_is_unspecified(addr) &&
		       !ipaddr_is_multicast6(addr) && !ipaddr_same_prefix64(addr, &st->cfg.prefix6);
	v4 = ipaddr_v4(addr);
	return v4 >> 24 != 0 && v4 < 0xe0000000U && !in_net(v4, st->cfg.guest4, st->cfg.prefix4);
}

/**
 * policy_question() - may the guest ask for @name?
 * @name:	in lower case, NULL = one that no rule can name
 * @ours:	it is answered here, without a resolver
 *
 * A name is denied by the first rule that fits it, whatever its ports. Under an
 * allow list that has names, a name that no rule fits is denied as well: else
 * queries would be a way out, which those for names of ours are not. A list of
 * networks alone says nothing of names.
 */
enum drop_reason policy_question(struct stack *st, const char *name, bool ours)
{
	enum policy_profile profile = policy_profile(st->policy);
	uint32_t rule = name ? policy_match_name(st->policy, name) : POLICY_NO_RULE;
	bool allow = profile != POLICY_NONE &&
		     (ours || profile != POLICY_ALLOWLIST || !policy_has_names(st->policy));

	if (rule != POLICY_NO_RULE)
		allow = policy_rule_allows(st->policy, rule);
	st->verdict = (struct verdict){ .rule = rule,
					.reason = rule != POLICY_NO_RULE ? AUDIT_RULE
						  : ours		 ? AUDIT_OURS
									 : AUDIT_PROFILE,
					.monitored = !allow && profile == POLICY_MONITORED };
	if (allow)
		return DROP_NONE;
	if (profile == POLICY_MONITORED) {
		counter_inc(&st->n.policy_monitored);
		return DROP_NONE;
	}
	log_limited(LOG_INFO, "policy", "denied the name %s: %s", name ? name : "(unusual)",
		    rule == POLICY_NO_RULE ? "no rule allows it"
					   : policy_rule_text(st->policy, rule));
	return DROP_POLICY_DENIED;
}

/**
 * stack_set_policy() - exchange the policy; the worker, between two parts of a cycle
 * @p:		the stack's from now on
 *
 * Flows that are open stay open. Return: the old one, for policy_free() on the
 * thread that made it
 */
struct policy *stack_set_policy(struct stack *st, struct policy *p)
{
	struct policy *old = st->policy;

	st->policy = p;
	return old;
}

/**
 * stack_policy() - the one in force; the worker, or whoever exchanges it
 */
const struct policy *stack_policy(const struct stack *st)
{
	return st->policy;
}
