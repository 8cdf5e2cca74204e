/* SPDX-License-Identifier: MIT */
/* Names and addresses as the user writes them: NAME=ADDR[,ADDR...]. */
#include "tcpstack/hosts.h"

#include <errno.h>
#include <string.h>

#include "src/base/base.h"
#include "src/base/why.h"

#define LABEL_MAX 63

/* Letters, digits, hyphen and underscore; 0 for anything else. */
static char lower(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c + ('a' - 'A'));
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')
		return c;
	return 0;
}

/**
 * host_parse_name() - a host's name, in lower case
 * @text:	@len characters; one dot at its end is allowed
 * @name:	out
 *
 * A name whose last label is a number would be taken for an IPv4 address (RFC
 * 1123 section 2.1) and is none. Return: 0 or -EINVAL
 */
int host_parse_name(const char *text, size_t len, char name[DNS_TEXT_MAX + 1])
{
	size_t label = 0;
	bool number = true;

	if (len > 0 && text[len - 1] == '.')
		len--;
	if (len == 0 || len > DNS_TEXT_MAX)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '.') {
			if (label == 0)
				return -EINVAL;
			name[i] = '.';
			label = 0;
			number = true;
			continue;
		}
		name[i] = lower(text[i]);
		if (!name[i] || ++label > LABEL_MAX)
			return -EINVAL;
		number &= name[i] >= '0' && name[i] <= '9';
	}
	name[len] = 0;
	return label == 0 || number ? -EINVAL : 0;
}

/* One of the addresses: @len characters at @text. */
static int add_addr(struct host_spec *spec, const char *text, size_t len)
{
	char buf[INET6_ADDRSTRLEN];

	if (len == sizeof(HOST_GATEWAY) - 1 && memcmp(text, HOST_GATEWAY, len) == 0) {
		spec->gateway = true;
		return 0;
	}
	if (len >= sizeof(buf))
		return -EINVAL;
	memcpy(buf, text, len);
	buf[len] = 0;
	return ipaddr_parse(buf, &spec->addr[spec->naddrs++]);
}

/**
 * host_parse() - read "NAME=ADDR[,ADDR...]"
 * @spec:	out
 * @why:	on failure, one line that shows @text
 *
 * An address is of either family, or the word "gateway". Return: 0 or -EINVAL
 */
int host_parse(struct host_spec *spec, const char *text, char *why, size_t why_len)
{
	const char *eq = strchr(text, '='), *at;

	*spec = (struct host_spec){ .naddrs = 0 };
	if (!eq)
		return why_set(why, why_len, -EINVAL, "\"%.80s\" is not NAME=ADDR[,ADDR...]", text);
	if (host_parse_name(text, (size_t)(eq - text), spec->name))
		return why_set(why, why_len, -EINVAL,
			       "\"%.80s\": not a host's name before the equals sign", text);
	for (at = eq; *at; at += 1 + strcspn(at + 1, ",")) {
		size_t len = strcspn(at + 1, ",");

		if (spec->naddrs == HOST_ADDRS_MAX)
			return why_set(why, why_len, -EINVAL, "\"%.80s\": more than %d addresses",
				       text, HOST_ADDRS_MAX);
		if (add_addr(spec, at + 1, len))
			return why_set(why, why_len, -EINVAL,
				       "\"%.80s\": \"%.*s\" is not an address", text,
				       (int)MIN(len, (size_t)45), at + 1);
	}
	return 0;
}

/**
 * host_strerror() - what stack_host_add() refused, for people
 * @err:	-errno
 */
const char *host_strerror(int err)
{
	switch (err) {
	case -EEXIST:
		return "an address stands there twice, or the name has it already";
	case -E2BIG:
		return "too many addresses of one name";
	case -ENOSPC:
		return "too many names and addresses";
	default:
		return strerror(-err);
	}
}
