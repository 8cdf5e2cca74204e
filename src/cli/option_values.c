/* SPDX-License-Identifier: MIT */
/* Options' arguments, from text and back. */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/size.h"
#include "src/cli/options.h"
#include "tcpstack/hosts.h"

#define DNS_PORT 53

/* Where the hosts of --subnet are. */
#define SUBNET_GATEWAY 2U
#define SUBNET_DNS     3U
#define SUBNET_GUEST   15U

static void *field(const struct option_def *d, struct run_options *o)
{
	return (char *)o + d->offset;
}

static const void *const_field(const struct option_def *d, const struct run_options *o)
{
	return (const char *)o + d->offset;
}

PRINTF(4, 5)
static int bad(const struct option_def *d, char *why, size_t why_len, const char *fmt, ...)
{
	int n = snprintf(why, why_len, "--%s: ", d->name);
	va_list ap;

	if (n < 0 || (size_t)n >= why_len)
		return -EINVAL;
	va_start(ap, fmt);
	vsnprintf(why + n, why_len - (size_t)n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* Decimal digits and nothing before them; @end: out, what follows. */
static int parse_digits(const char *s, uint64_t *v, const char **end)
{
	char *e;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	*v = strtoull(s, &e, 10);
	*end = e;
	return errno ? -EINVAL : 0;
}

static int format_bytes(char *buf, size_t len, uint64_t v)
{
	static const char *const units[] = { "", "K", "M", "G", "T" };
	unsigned u = 0;

	while (v >= 1024 && v % 1024 == 0 && u + 1 < ARRAY_SIZE(units)) {
		v /= 1024;
		u++;
	}
	return snprintf(buf, len, "%llu%s", (unsigned long long)v, units[u]);
}

static int set_bytes(const struct option_def *d, uint64_t *v, const char *arg, char *why,
		     size_t why_len)
{
	char lo[32], hi[32];

	format_bytes(lo, sizeof(lo), d->min);
	format_bytes(hi, sizeof(hi), d->max);
	if (size_parse(arg, v) < 0)
		return bad(d, why, why_len, "\"%.40s\" is not a size such as 512M", arg);
	if (*v < d->min || *v > d->max)
		return bad(d, why, why_len, "%.40s is not within %s..%s", arg, lo, hi);
	return 0;
}

static int set_number(const struct option_def *d, uint64_t *v, const char *arg, char *why,
		      size_t why_len)
{
	const char *end;

	if (parse_digits(arg, v, &end) < 0 || *end)
		return bad(d, why, why_len, "\"%.40s\" is not a number", arg);
	if (*v < d->min || *v > d->max)
		return bad(d, why, why_len, "%.40s is not within %llu..%llu", arg,
			   (unsigned long long)d->min, (unsigned long long)d->max);
	return 0;
}

/* Numbers and sizes whose fields are shorter than 64 bits. */
static int set_short(const struct option_def *d, void *to, const char *arg, char *why,
		     size_t why_len)
{
	uint64_t v = 0;
	int err = 0;

	if (d->type == OPT_BYTES32)
		err = set_bytes(d, &v, arg, why, why_len);
	else if (d->type != OPT_U32_OFF || strcmp(arg, "off") != 0)
		err = set_number(d, &v, arg, why, why_len);
	if (err)
		return err;
	if (d->type == OPT_U16)
		*(uint16_t *)to = (uint16_t)v;
	else
		*(uint32_t *)to = (uint32_t)v;
	return 0;
}

static int set_onoff(const struct option_def *d, bool *v, const char *arg, char *why,
		     size_t why_len)
{
	*v = strcmp(arg, "on") == 0;
	if (!*v && strcmp(arg, "off") != 0)
		return bad(d, why, why_len, "\"%.40s\" is neither on nor off", arg);
	return 0;
}

static int set_word(const struct option_def *d, uint32_t *v, const char *arg, char *why,
		    size_t why_len)
{
	char all[128] = "";

	for (uint32_t i = 0; d->words[i]; i++) {
		if (strcmp(d->words[i], arg) == 0) {
			*v = i;
			return 0;
		}
		if (i)
			strncat(all, ", ", sizeof(all) - strlen(all) - 1);
		strncat(all, d->words[i], sizeof(all) - strlen(all) - 1);
	}
	return bad(d, why, why_len, "\"%.40s\" is none of %s", arg, all);
}

static int set_subnet(const struct option_def *d, struct stack_config *c, const char *arg,
		      char *why, size_t why_len)
{
	const char *slash = strchr(arg, '/'), *end;
	char addr[INET_ADDRSTRLEN];
	struct in_addr in;
	uint64_t prefix;
	uint32_t net;

	if (!slash || (size_t)(slash - arg) >= sizeof(addr))
		return bad(d, why, why_len, "\"%.40s\" is not a network such as 10.0.2.0/24", arg);
	memcpy(addr, arg, (size_t)(slash - arg));
	addr[slash - arg] = 0;
	if (inet_pton(AF_INET, addr, &in) != 1 || parse_digits(slash + 1, &prefix, &end) < 0 ||
	    *end)
		return bad(d, why, why_len, "\"%.40s\" is not a network such as 10.0.2.0/24", arg);
	if (prefix < d->min || prefix > d->max)
		return bad(d, why, why_len, "the prefix of %.40s is not within /%llu../%llu", arg,
			   (unsigned long long)d->min, (unsigned long long)d->max);
	net = ntohl(in.s_addr);
	if (net & (UINT32_MAX >> prefix))
		return bad(d, why, why_len, "%.40s has bits beyond its prefix", arg);
	c->prefix4 = (uint8_t)prefix;
	c->gateway4 = net + SUBNET_GATEWAY;
	c->dns4 = net + SUBNET_DNS;
	c->guest4 = net + SUBNET_GUEST;
	return 0;
}

static int set_prefix6(const struct option_def *d, struct stack_config *c, const char *arg,
		       char *why, size_t why_len)
{
	const char *slash = strchr(arg, '/');
	char addr[INET6_ADDRSTRLEN];
	struct ipaddr prefix;

	if (!slash || (size_t)(slash - arg) >= sizeof(addr) || strcmp(slash, "/64") != 0)
		return bad(d, why, why_len, "\"%.60s\" is not a /64 such as fd00:1:2:3::/64", arg);
	memcpy(addr, arg, (size_t)(slash - arg));
	addr[slash - arg] = 0;
	if (inet_pton(AF_INET6, addr, prefix.b) != 1)
		return bad(d, why, why_len, "\"%.60s\" is not a /64 such as fd00:1:2:3::/64", arg);
	if (get_be64(prefix.b + 8) != 0)
		return bad(d, why, why_len, "%.60s has bits beyond its prefix", arg);
	stack_config_set_prefix6(c, &prefix);
	return 0;
}

/* "any", or a network of either family. */
static int add_net(const struct option_def *d, struct stack_config *c, const char *arg, char *why,
		   size_t why_len)
{
	struct stack_net *net = &c->splice_to[c->nsplice_to];
	const char *slash = strchr(arg, '/'), *end;
	char addr[INET6_ADDRSTRLEN];
	uint64_t bits = 0;

	if (c->nsplice_to == STACK_SPLICE_TO_MAX)
		return bad(d, why, why_len, "at most %d networks", STACK_SPLICE_TO_MAX);
	*net = (struct stack_net){ .bits = 0 };
	if (strcmp(arg, "any") == 0) {
		c->nsplice_to++;
		return 0;
	}
	if (!slash || (size_t)(slash - arg) >= sizeof(addr))
		return bad(d, why, why_len, "\"%.60s\" is not a network such as 127.0.0.0/8", arg);
	memcpy(addr, arg, (size_t)(slash - arg));
	addr[slash - arg] = 0;
	if (ipaddr_parse(addr, &net->addr) < 0 || parse_digits(slash + 1, &bits, &end) < 0 ||
	    *end || bits > (ipaddr_is_v4(&net->addr) ? 32 : 128))
		return bad(d, why, why_len, "\"%.60s\" is not a network such as 127.0.0.0/8", arg);
	if (ipaddr_is_v4(&net->addr))
		bits += 96;
	net->bits = (uint8_t)bits;
	for (uint32_t i = net->bits; i < 128; i++)
		if (net->addr.b[i / 8] & 0x80 >> i % 8)
			return bad(d, why, why_len, "%.60s has bits beyond its prefix", arg);
	c->nsplice_to++;
	return 0;
}

/* a.b.c.d, a.b.c.d:port, v6, [v6], [v6]:port */
static int parse_resolver(const char *arg, struct endpoint *ep)
{
	const char *colon = strrchr(arg, ':'), *close = strchr(arg, ']'), *end;
	char addr[INET6_ADDRSTRLEN];
	uint64_t port = DNS_PORT;
	size_t len = strlen(arg);

	if (arg[0] == '[') {
		if (!close || (close[1] && close[1] != ':'))
			return -EINVAL;
		arg++;
		len = (size_t)(close - arg);
		colon = close[1] ? close + 1 : NULL;
	} else if (colon && strchr(arg, ':') != colon) {
		colon = NULL; /* IPv6 without brackets */
	} else if (colon) {
		len = (size_t)(colon - arg);
	}
	if (colon &&
	    (parse_digits(colon + 1, &port, &end) < 0 || *end || port == 0 || port > UINT16_MAX))
		return -EINVAL;
	if (len >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, arg, len);
	addr[len] = 0;
	ep->port = (uint16_t)port;
	return ipaddr_parse(addr, &ep->addr);
}

static int add_dns(const struct option_def *d, struct stack_config *c, const char *arg, char *why,
		   size_t why_len)
{
	if (c->nresolvers == STACK_RESOLVERS_MAX)
		return bad(d, why, why_len, "at most %d resolvers", STACK_RESOLVERS_MAX);
	if (parse_resolver(arg, &c->resolvers[c->nresolvers]) < 0)
		return bad(d, why, why_len, "\"%.60s\" is not an address or address:port", arg);
	c->nresolvers++;
	return 0;
}

/* "allow " or "deny " at the beginning of @*arg; stepped over. */
static int parse_verdict(const char **arg, bool *allow)
{
	size_t word = strcspn(*arg, " ");

	*allow = word == 5 && memcmp(*arg, "allow", 5) == 0;
	if (!*allow && !(word == 4 && memcmp(*arg, "deny", 4) == 0))
		return -EINVAL;
	*arg += word + strspn(*arg + word, " ");
	return **arg ? 0 : -EINVAL;
}

static int add_rule(const struct option_def *d, struct policy_list *l, const char *arg, char *why,
		    size_t why_len)
{
	bool allow = d->type == OPT_ALLOW;
	char reason[160];

	if (d->type == OPT_RULE && parse_verdict(&arg, &allow) < 0)
		return bad(d, why, why_len, "\"%.60s\" is neither allow RULE nor deny RULE", arg);
	if (policy_list_add(l, allow, arg, reason, sizeof(reason)) < 0)
		return bad(d, why, why_len, "%s", reason);
	return 0;
}

static int set_gateway_ports(const struct option_def *d, struct policy_list *l, const char *arg,
			     char *why, size_t why_len)
{
	char reason[160];

	if (policy_list_gateway(l, arg, reason, sizeof(reason)) < 0)
		return bad(d, why, why_len, "%s", reason);
	return 0;
}

static int add_publish(const struct option_def *d, struct run_options *o, const char *arg,
		       char *why, size_t why_len)
{
	char reason[160];

	if (o->npublish == RUN_PUBLISH_MAX)
		return bad(d, why, why_len, "at most %d; a range of ports counts as one",
			   RUN_PUBLISH_MAX);
	if (forward_parse(&o->publish[o->npublish], arg, reason, sizeof(reason)) < 0)
		return bad(d, why, why_len, "%s", reason);
	o->npublish++;
	return 0;
}

static int add_name(const struct option_def *d, struct run_options *o, const char *arg, char *why,
		    size_t why_len)
{
	struct host_spec spec;
	char reason[200];

	if (o->ndns_name == RUN_NAMES_MAX)
		return bad(d, why, why_len, "at most %d", RUN_NAMES_MAX);
	if (host_parse(&spec, arg, reason, sizeof(reason)) < 0)
		return bad(d, why, why_len, "%s", reason);
	o->dns_name[o->ndns_name++] = arg;
	return 0;
}

static int add_env(const struct option_def *d, struct run_options *o, const char *arg, char *why,
		   size_t why_len)
{
	const char *eq = strchr(arg, '=');

	if (!eq || eq == arg)
		return bad(d, why, why_len, "\"%.60s\" is not NAME=VALUE", arg);
	if (o->nenv == RUN_ENV_MAX)
		return bad(d, why, why_len, "at most %d", RUN_ENV_MAX);
	o->env[o->nenv++] = arg;
	return 0;
}

static int set_chars(const struct option_def *d, char *v, const char *arg, char *why,
		     size_t why_len)
{
	size_t len = strlen(arg);

	if (len >= d->max)
		return bad(d, why, why_len, "longer than %llu characters",
			   (unsigned long long)d->max - 1);
	memcpy(v, arg, len + 1);
	return 0;
}

/*
 * Labels of letters, digits and hyphens, none of which begins or ends with a hyphen (RFC
 * 1123 section 2.1): what a guest makes of anything else is not for us to guess.
 */
static bool is_hostname(const char *s)
{
	size_t label = 0;
	char c, before = '.';

	for (; (c = *s); before = c, s++) {
		if (c == '.') {
			if (label == 0 || before == '-')
				return false;
			label = 0;
			continue;
		}
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c == '-' && label > 0)))
			return false;
		if (++label > 63)
			return false;
	}
	return label > 0 && before != '-';
}

static int set_hostname(const struct option_def *d, char *v, const char *arg, char *why,
			size_t why_len)
{
	if (!is_hostname(arg))
		return bad(d, why, why_len,
			   "\"%.60s\" is no name of a host: letters, digits and inner hyphens, "
			   "up to 63 between dots",
			   arg);
	return set_chars(d, v, arg, why, why_len);
}

/**
 * option_repeats() - does each further argument add to the ones before?
 */
bool option_repeats(const struct option_def *d)
{
	return d->type == OPT_NET || d->type == OPT_DNS || d->type == OPT_NAME ||
	       d->type == OPT_ENV || d->type == OPT_ALLOW || d->type == OPT_DENY ||
	       d->type == OPT_RULE || d->type == OPT_PUBLISH;
}

/**
 * option_set() - read one option's argument into its field
 * @arg:	NULL = none was given
 * @why:	on failure, one line that names the option
 *
 * Return: 0 or -EINVAL
 */
int option_set(const struct option_def *d, struct run_options *o, const char *arg, char *why,
	       size_t why_len)
{
	const char *text = arg ? arg : "";

	if (!d->arg && arg)
		return bad(d, why, why_len, "takes no argument");
	if (d->arg && d->type != OPT_OPTIONAL && !*text)
		return bad(d, why, why_len, "needs an argument: %s", d->arg);

	switch (d->type) {
	case OPT_FLAG:
		*(bool *)field(d, o) = true;
		break;
	case OPT_ONOFF:
		return set_onoff(d, field(d, o), text, why, why_len);
	case OPT_STRING:
	case OPT_OPTIONAL:
		*(const char **)field(d, o) = text;
		break;
	case OPT_U16:
	case OPT_U32:
	case OPT_U32_OFF:
	case OPT_BYTES32:
		return set_short(d, field(d, o), text, why, why_len);
	case OPT_BYTES64:
		return set_bytes(d, field(d, o), text, why, why_len);
	case OPT_WORD:
		return set_word(d, field(d, o), text, why, why_len);
	case OPT_CHARS:
		return set_chars(d, field(d, o), text, why, why_len);
	case OPT_HOSTNAME:
		return set_hostname(d, field(d, o), text, why, why_len);
	case OPT_SUBNET:
		return set_subnet(d, field(d, o), text, why, why_len);
	case OPT_PREFIX6:
		return set_prefix6(d, field(d, o), text, why, why_len);
	case OPT_NET:
		return add_net(d, field(d, o), text, why, why_len);
	case OPT_DNS:
		return add_dns(d, field(d, o), text, why, why_len);
	case OPT_NAME:
		return add_name(d, o, text, why, why_len);
	case OPT_ENV:
		return add_env(d, o, text, why, why_len);
	case OPT_CONFIG:
		break; /* read by run_options_parse() */
	case OPT_PUBLISH:
		return add_publish(d, o, text, why, why_len);
	case OPT_ALLOW:
	case OPT_DENY:
	case OPT_RULE:
		return add_rule(d, field(d, o), text, why, why_len);
	case OPT_GATEWAY_PORTS:
		return set_gateway_ports(d, field(d, o), text, why, why_len);
	}
	return 0;
}

static void show_subnet(const struct stack_config *c, char *buf, size_t len)
{
	struct in_addr in = { htonl(c->gateway4 & ~(UINT32_MAX >> c->prefix4)) };
	char addr[INET_ADDRSTRLEN];

	snprintf(buf, len, "%s/%u", inet_ntop(AF_INET, &in, addr, sizeof(addr)), c->prefix4);
}

static void show_gateway_ports(const struct policy_list *l, char *buf, size_t len)
{
	int n = 0;

	if (!l->gateway_listed || l->ngateway == 0)
		snprintf(buf, len, "%s", l->gateway_listed ? "none" : "all");
	for (uint32_t i = 0; i < l->ngateway && n >= 0 && (size_t)n < len; i++) {
		const struct port_range *r = &l->gateway[i];

		n += snprintf(buf + n, len - (size_t)n, "%s%u", i ? "," : "", r->lo);
		if (r->hi != r->lo && (size_t)n < len)
			n += snprintf(buf + n, len - (size_t)n, "-%u", r->hi);
	}
}

static void show_prefix6(const struct stack_config *c, char *buf, size_t len)
{
	char addr[INET6_ADDRSTRLEN];

	snprintf(buf, len, "%s/64", inet_ntop(AF_INET6, c->prefix6.b, addr, sizeof(addr)));
}

/**
 * option_show() - an option's value as one would write it; "" where nothing is set
 */
void option_show(const struct option_def *d, const struct run_options *o, char *buf, size_t len)
{
	const void *f = const_field(d, o);
	const char *s;

	buf[0] = 0;
	switch (d->type) {
	case OPT_ONOFF:
		snprintf(buf, len, "%s", *(const bool *)f ? "on" : "off");
		break;
	case OPT_STRING:
		s = *(const char *const *)f;
		snprintf(buf, len, "%s", s ? s : "");
		break;
	case OPT_U16:
		snprintf(buf, len, "%u", *(const uint16_t *)f);
		break;
	case OPT_U32:
		snprintf(buf, len, "%u", *(const uint32_t *)f);
		break;
	case OPT_U32_OFF:
		if (*(const uint32_t *)f)
			snprintf(buf, len, "%u", *(const uint32_t *)f);
		else
			snprintf(buf, len, "off");
		break;
	case OPT_BYTES32:
		format_bytes(buf, len, *(const uint32_t *)f);
		break;
	case OPT_BYTES64:
		format_bytes(buf, len, *(const uint64_t *)f);
		break;
	case OPT_WORD:
		snprintf(buf, len, "%s", d->words[*(const uint32_t *)f]);
		break;
	case OPT_CHARS:
	case OPT_HOSTNAME:
		snprintf(buf, len, "%s", (const char *)f);
		break;
	case OPT_SUBNET:
		show_subnet(f, buf, len);
		break;
	case OPT_PREFIX6:
		show_prefix6(f, buf, len);
		break;
	case OPT_FLAG:
	case OPT_OPTIONAL:
	case OPT_CONFIG:
	case OPT_NET:
	case OPT_DNS:
	case OPT_NAME:
	case OPT_ENV:
	case OPT_PUBLISH:
	case OPT_ALLOW:
	case OPT_DENY:
	case OPT_RULE:
		break;
	case OPT_GATEWAY_PORTS:
		show_gateway_ports(f, buf, len);
		break;
	}
}
