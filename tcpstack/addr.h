/* SPDX-License-Identifier: MIT */
/*
 * One address type for IPv4 and IPv6: sixteen bytes in network order, IPv4 as
 * ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2). Flows and policy see only this.
 */
#ifndef SLUICE_TCPSTACK_ADDR_H
#define SLUICE_TCPSTACK_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "src/base/bytes.h"

struct ipaddr {
	uint8_t b[16];
};

/* An address and a port; the port in host order. */
struct endpoint {
	struct ipaddr addr;
	uint16_t port;
};

/* Either family's socket address, sized for both. */
union sockaddr_any {
	struct sockaddr sa;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
};

/* @v4: IPv4 address in host order, 10.0.2.15 = 0x0a00020f. */
static inline struct ipaddr ipaddr_from_v4(uint32_t v4)
{
	struct ipaddr a = { { [10] = 0xff, [11] = 0xff } };

	put_be32(a.b + 12, v4);
	return a;
}

static inline bool ipaddr_is_v4(const struct ipaddr *a)
{
	return get_be64(a->b) == 0 && get_be32(a->b + 8) == 0xffff;
}

/* Host order; only where ipaddr_is_v4(). */
static inline uint32_t ipaddr_v4(const struct ipaddr *a)
{
	return get_be32(a->b + 12);
}

static inline bool ipaddr_equal(const struct ipaddr *x, const struct ipaddr *y)
{
	return memcmp(x->b, y->b, sizeof(x->b)) == 0;
}

static inline bool endpoint_equal(const struct endpoint *x, const struct endpoint *y)
{
	return x->port == y->port && ipaddr_equal(&x->addr, &y->addr);
}

/* The address "::". */
static inline bool ipaddr_is_unspecified(const struct ipaddr *a)
{
	return get_be64(a->b) == 0 && get_be64(a->b + 8) == 0;
}

/* ff00::/8, RFC 4291 2.7; an IPv4 address is never taken for one. */
static inline bool ipaddr_is_multicast6(const struct ipaddr *a)
{
	return a->b[0] == 0xff;
}

/* fe80::/10, RFC 4291 2.5.6. */
static inline bool ipaddr_is_link_local6(const struct ipaddr *a)
{
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

/* Do the first 64 bits agree? That is how long the prefix of an IPv6 link is. */
static inline bool ipaddr_same_prefix64(const struct ipaddr *x, const struct ipaddr *y)
{
	return memcmp(x->b, y->b, 8) == 0;
}

/* 127.0.0.0/8 or ::1. */
static inline bool ipaddr_is_loopback(const struct ipaddr *a)
{
	if (ipaddr_is_v4(a))
		return ipaddr_v4(a) >> 24 == 127;
	return get_be64(a->b) == 0 && get_be64(a->b + 8) == 1;
}

/* addr.c */

/* Long enough for "[v6]:port" and its NUL. */
#define ENDPOINT_STRLEN 56

socklen_t endpoint_to_sockaddr(const struct endpoint *ep, union sockaddr_any *sa);
int endpoint_from_sockaddr(const union sockaddr_any *sa, struct endpoint *ep);
const char *endpoint_format(const struct endpoint *ep, char buf[ENDPOINT_STRLEN]);
bool ipaddr_in_net(const struct ipaddr *addr, const struct ipaddr *net, uint32_t bits);
int ipaddr_parse(const char *text, struct ipaddr *addr);

#endif
