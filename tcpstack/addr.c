/* SPDX-License-Identifier: MIT */
/* Addresses to and from the socket API and text. */
#include "tcpstack/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "src/base/base.h"

static_assert(sizeof(struct ipaddr) == 16, "sixteen bytes in network order");

/**
 * endpoint_to_sockaddr() - @ep as the socket calls want it; any thread
 * @sa:		out: AF_INET for an IPv4 address, else AF_INET6
 *
 * Return: bytes of @sa that are used
 */
socklen_t endpoint_to_sockaddr(const struct endpoint *ep, union sockaddr_any *sa)
{
	memset(sa, 0, sizeof(*sa));
	if (ipaddr_is_v4(&ep->addr)) {
		sa->in4.sin_family = AF_INET;
		sa->in4.sin_port = htons(ep->port);
		memcpy(&sa->in4.sin_addr, ep->addr.b + 12, 4);
		return sizeof(sa->in4);
	}
	sa->in6.sin6_family = AF_INET6;
	sa->in6.sin6_port = htons(ep->port);
	memcpy(&sa->in6.sin6_addr, ep->addr.b, 16);
	return sizeof(sa->in6);
}

/**
 * endpoint_from_sockaddr() - what the socket calls gave, as an endpoint; any thread
 *
 * Return: 0, or -EAFNOSUPPORT with @ep untouched
 */
int endpoint_from_sockaddr(const union sockaddr_any *sa, struct endpoint *ep)
{
	switch (sa->sa.sa_family) {
	case AF_INET:
		ep->addr = ipaddr_from_v4(ntohl(sa->in4.sin_addr.s_addr));
		ep->port = ntohs(sa->in4.sin_port);
		return 0;
	case AF_INET6:
		memcpy(ep->addr.b, &sa->in6.sin6_addr, 16);
		ep->port = ntohs(sa->in6.sin6_port);
		return 0;
	default:
		return -EAFNOSUPPORT;
	}
}

/**
 * endpoint_format() - "a.b.c.d:port" or "[v6]:port"; any thread
 *
 * Return: @buf
 */
const char *endpoint_format(const struct endpoint *ep, char buf[ENDPOINT_STRLEN])
{
	char text[INET6_ADDRSTRLEN];

	if (ipaddr_is_v4(&ep->addr)) {
		inet_ntop(AF_INET, ep->addr.b + 12, text, sizeof(text));
		snprintf(buf, ENDPOINT_STRLEN, "%s:%u", text, ep->port);
	} else {
		inet_ntop(AF_INET6, ep->addr.b, text, sizeof(text));
		snprintf(buf, ENDPOINT_STRLEN, "[%s]:%u", text, ep->port);
	}
	return buf;
}

/**
 * ipaddr_in_net() - are the first @bits bits those of @net? Any thread
 * @bits:	0..128; of an IPv4 address 96 more than its prefix has
 */
bool ipaddr_in_net(const struct ipaddr *addr, const struct ipaddr *net, uint32_t bits)
{
	uint32_t whole = bits / 8, rest = bits % 8;

	if (memcmp(addr->b, net->b, whole) != 0)
		return false;
	return rest == 0 || (addr->b[whole] ^ net->b[whole]) >> (8 - rest) == 0;
}

/**
 * ipaddr_parse() - an address of either family from its text; any thread
 *
 * Return: 0, or -EINVAL with @addr untouched
 */
int ipaddr_parse(const char *text, struct ipaddr *addr)
{
	uint8_t b[16];

	if (inet_pton(AF_INET, text, b) == 1) {
		*addr = ipaddr_from_v4(get_be32(b));
		return 0;
	}
	if (inet_pton(AF_INET6, text, b) == 1) {
		memcpy(addr->b, b, sizeof(addr->b));
		return 0;
	}
	return -EINVAL;
}
