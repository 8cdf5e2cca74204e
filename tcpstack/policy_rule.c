/* SPDX-License-Identifier: MIT */
/* A rule of egress policy, from its text. Whatever is wrong with it is fatal and is named. */
#include "tcpstack/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/why.h"
#include "tcpstack/frame.h"

#define LABEL_MAX 63

/* Bits of struct ipaddr before an IPv4 address. */
#define V4_BITS 96

/* Decimal digits up to @end, no more than @max. */
static int number(const char *s, const char *end, uint32_t max, uint32_t *v)
{
	if (s == end || end - s > 9)
		return -EINVAL;
	for (*v = 0; s < end; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		*v = *v * 10 + (uint32_t)(*s - '0');
	}
	return *v <= max ? 0 : -EINVAL;
}

/**
 * policy_ports_parse() - "443" or "8000-8100"; any thread
 *
 * Return: 0 or -EINVAL
 */
int policy_ports_parse(struct port_range *range, const char *text)
{
	const char *end = text + strlen(text), *dash = strchr(text, '-');
	uint32_t lo, hi;

	if (number(text, dash ? dash : end, UINT16_MAX, &lo) || lo == 0)
		return -EINVAL;
	hi = lo;
	if (dash && number(dash + 1, end, UINT16_MAX, &hi))
		return -EINVAL;
	if (hi < lo)
		return -EINVAL;
	*range = (struct port_range){ (uint16_t)lo, (uint16_t)hi };
	return 0;
}

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '*';
}

/* In lower case already. A last label of digits alone is a mistyped address (RFC 3696 2). */
static bool name_ok(const char *name)
{
	size_t len = strlen(name), label = 0;
	bool digits = true;

	if (len == 0 || len > POLICY_NAME_MAX)
		return false;
	for (size_t i = 0; i <= len; i++) {
		if (i == len || name[i] == '.') {
			if (label == 0 || label > LABEL_MAX)
				return false;
			if (i == len)
				return !digits;
			label = 0;
			digits = true;
			continue;
		}
		if (!name_char(name[i]))
			return false;
		digits &= name[i] >= '0' && name[i] <= '9';
		label++;
	}
	return false;
}

/* One label against one label's pattern; both end at a dot or at the end of the text. */
static bool label_fits(const char *p, const char *s)
{
	const char *star = NULL, *retry = NULL;

	for (;;) {
		bool p_end = *p == 0 || *p == '.', s_end = *s == 0 || *s == '.';

		if (!p_end && *p == '*') {
			star = ++p;
			retry = s;
		} else if (s_end) {
			return p_end;
		} else if (!p_end && *p == *s) {
			p++;
			s++;
		} else if (star) {
			p = star;
			s = ++retry;
		} else {
			return false;
		}
	}
}

/**
 * policy_name_fits() - does @name fit @pattern, label by label? Any thread
 *
 * Both in lower case, without a final dot. Time is bounded by the square of a
 * label's length.
 */
bool policy_name_fits(const char *pattern, const char *name)
{
	for (;;) {
		if (!label_fits(pattern, name))
			return false;
		pattern = strchr(pattern, '.');
		name = strchr(name, '.');
		if (!pattern || !name)
			return !pattern && !name;
		pattern++;
		name++;
	}
}

/* Bits of @net from @len on must be zero. */
static bool beyond_prefix(const struct ipaddr *net, uint32_t len)
{
	for (uint32_t bit = len; bit < 128; bit++)
		if (net->b[bit / 8] & 0x80 >> bit % 8)
			return true;
	return false;
}

/* WHERE without ports. */
static int parse_where(struct policy_rule *r, char *where, const char *text, char *why,
		       size_t why_len)
{
	char *slash = strchr(where, '/');
	uint32_t most, len;

	if (strcmp(where, "*") == 0) {
		r->any = true;
		return 0;
	}
	if (slash)
		*slash = 0;
	if (ipaddr_parse(where, &r->net) == 0) {
		most = strchr(where, ':') ? 128 : 32;
		len = most;
		if (slash && number(slash + 1, slash + 1 + strlen(slash + 1), most, &len))
			return why_set(why, why_len, -EINVAL,
				       "\"%.80s\": the prefix is not /0../%u", text, most);
		r->len = (uint8_t)(most == 32 ? V4_BITS + len : len);
		if (beyond_prefix(&r->net, r->len))
			return why_set(why, why_len, -EINVAL,
				       "\"%.80s\" has bits beyond its prefix", text);
		return 0;
	}
	len = (uint32_t)strlen(where);
	if (!slash && len > 1 && where[len - 1] == '.')
		where[len - 1] = 0;
	for (char *c = where; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + ('a' - 'A'));
	if (slash || !name_ok(where))
		return why_set(why, why_len, -EINVAL,
			       "\"%.80s\" is no address, network such as 10.0.0.0/8, or name",
			       text);
	r->name = where;
	return 0;
}

/* Cut @where off its ports: what is behind the last colon, or behind a bracket. */
static int split_ports(char **where, char **ports)
{
	char *colon = strrchr(*where, ':'), *close;

	*ports = NULL;
	if (**where == '[') {
		close = strchr(*where, ']');
		if (!close || (close[1] && close[1] != ':'))
			return -EINVAL;
		*close = 0;
		*ports = close[1] ? close + 2 : NULL;
		++*where;
		return strchr(*where, ':') ? 0 : -EINVAL;
	}
	if (colon && strchr(*where, ':') == colon) {
		*colon = 0;
		*ports = colon + 1;
	}
	return 0;
}

static const struct {
	const char *word;
	uint8_t proto;
} protocols[] = { { "tcp:", PROTO_TCP }, { "udp:", PROTO_UDP }, { "icmp:", PROTO_ICMP } };

static const char *proto_word(uint8_t proto)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (protocols[i].proto == proto)
			return protocols[i].word;
	return "";
}

/* The rule as it is shown; @r->name moves into it. */
static int make_text(struct policy_rule *r, const char *where, const char *ports)
{
	bool bracket = !r->name && !r->any && ports && strchr(where, ':');
	char prefix[8] = "", buf[POLICY_RULE_MAX + 16];
	uint32_t most, len;
	int at, n;

	if (!r->name && !r->any) {
		most = strchr(where, ':') ? 128 : 32;
		len = most == 32 ? r->len - V4_BITS : r->len;
		if (len != most)
			snprintf(prefix, sizeof(prefix), "/%u", len);
	}
	at = snprintf(buf, sizeof(buf), "%s %s", r->allow ? "allow" : "deny", proto_word(r->proto));
	n = snprintf(buf + at, sizeof(buf) - (size_t)at, "%s%s%s%s%s%s", bracket ? "[" : "", where,
		     prefix, bracket ? "]" : "", ports ? ":" : "", ports ? ports : "");
	if (n < 0 || at + n >= (int)sizeof(buf))
		return -EINVAL;
	r->text = strdup(buf);
	if (!r->text)
		return -ENOMEM;
	if (r->name) {
		r->name_len = (uint8_t)strlen(where);
		r->name = r->text + at;
	}
	return 0;
}

/**
 * policy_rule_parse() - read "[tcp:|udp:|icmp:]WHERE[:PORT[-PORT]]"; any thread
 * @r:		out; policy_rule_free() ends it
 * @allow:	the verdict
 * @why:	on failure, one line that shows @text
 *
 * Return: 0, -EINVAL or -ENOMEM
 */
int policy_rule_parse(struct policy_rule *r, bool allow, const char *text, char *why,
		      size_t why_len)
{
	char buf[POLICY_RULE_MAX], *where = buf, *ports;
	int err;

	*r = (struct policy_rule){ .allow = allow, .ports = { 0, UINT16_MAX } };
	if (strlen(text) >= sizeof(buf))
		return why_set(why, why_len, -EINVAL, "\"%.80s...\" is longer than a rule can be",
			       text);
	memcpy(buf, text, strlen(text) + 1);
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		size_t len = strlen(protocols[i].word);

		if (strncmp(buf, protocols[i].word, len) != 0)
			continue;
		r->proto = protocols[i].proto;
		where += len;
		break;
	}
	if (split_ports(&where, &ports))
		return why_set(why, why_len, -EINVAL,
			       "\"%.80s\": brackets go around an IPv6 address", text);
	if (ports && r->proto == PROTO_ICMP)
		return why_set(why, why_len, -EINVAL, "\"%.80s\": ICMP has no ports", text);
	if (ports && policy_ports_parse(&r->ports, ports))
		return why_set(why, why_len, -EINVAL,
			       "\"%.80s\": the ports are not 1..65535 or a range of them; "
			       "protocols are tcp, udp, icmp",
			       text);
	err = parse_where(r, where, text, why, why_len);
	if (err)
		return err;
	err = make_text(r, where, ports);
	return err == -EINVAL ? why_set(why, why_len, -EINVAL, "\"%.80s\" is too long", text) : err;
}

/**
 * policy_rule_free() - give the text back; harmless on a zeroed rule
 */
void policy_rule_free(struct policy_rule *r)
{
	free(r->text);
	r->text = NULL;
	r->name = NULL;
}
