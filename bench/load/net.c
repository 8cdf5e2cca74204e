/* SPDX-License-Identifier: MIT */
/*
 * Addresses and sockets.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

/* die() - one JSON line that says what failed, and exit status 1. */
void die(const char *fmt, ...)
{
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	/* Our own texts hold no quotes; names from outside might. */
	for (char *c = why; *c; c++)
		if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ')
			*c = '?';
	printf("{\"ok\":false,\"error\":\"%s\"}\n", why);
	fflush(stdout);
	exit(1);
}

static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port),
	      "one place for the port");

static socklen_t address_len(const union address *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->in6) : sizeof(a->in4);
}

/* Behind the colon: digits and nothing else. */
static bool parse_port(const char *text, union address *sa)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	if (*end || end == text || port > 65535)
		return false;
	sa->in4.sin_port = htons((uint16_t)port);
	return true;
}

/* [V6] or [V6]:PORT */
static bool parse_address6(const char *text, union address *sa)
{
	const char *close = strchr(text, ']');
	size_t len = close ? (size_t)(close - text) - 1 : 0;
	char host[INET6_ADDRSTRLEN];

	if (!close || len >= sizeof(host))
		return false;
	memcpy(host, text + 1, len);
	host[len] = '\0';
	sa->sa.sa_family = AF_INET6;
	return inet_pton(AF_INET6, host, &sa->in6.sin6_addr) == 1 &&
	       (!close[1] || (close[1] == ':' && parse_port(close + 2, sa)));
}

/*
 * parse_address() - HOST, HOST:PORT or :PORT, where HOST is IPv4, [IPv6] or a name.
 *
 * Parts that are missing are left as they are in @sa.
 */
bool parse_address(const char *text, union address *sa)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : strlen(text);
	union address server;
	char host[256];
	int rcode;

	if (text[0] == '[')
		return parse_address6(text, sa);
	sa->sa.sa_family = AF_INET;
	if (colon && !parse_port(colon + 1, sa))
		return false;
	if (len == 0)
		return true;
	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (!strcmp(host, "localhost"))
		strcpy(host, "127.0.0.1");
	if (inet_pton(AF_INET, host, &sa->in4.sin_addr) == 1)
		return true;
	return dns_default_server(&server) &&
	       dns_lookup(&server, host, false, 5, &sa->in4.sin_addr, &rcode);
}

/*
 * listen_on() - a bound, non-blocking socket.
 *
 * @type: SOCK_STREAM (listening) or SOCK_DGRAM
 * @port: set to the port in host order
 */
int listen_on(const union address *sa, int type, uint16_t *port)
{
	int fd = socket(sa->sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
	union address self;
	socklen_t len = sizeof(self);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, &sa->sa, address_len(sa)) || (type == SOCK_STREAM && listen(fd, 1024)) ||
	    getsockname(fd, &self.sa, &len))
		die("listen: %s", strerror(errno));
	*port = ntohs(self.in4.sin_port);
	return fd;
}

/* connect_to() - begin to connect; the socket becomes writable when it is decided. */
int connect_to(const union address *sa, int type)
{
	int fd = socket(sa->sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		die("socket: %s", strerror(errno));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, &sa->sa, address_len(sa)) && errno != EINPROGRESS)
		die("connect: %s", strerror(errno));
	return fd;
}

/* connected() - did it come about? */
bool connected(int fd, char *why, size_t why_len)
{
	int err = 0;
	socklen_t len = sizeof(err);

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err)
		snprintf(why, why_len, "connect: %s", strerror(err));
	return !err;
}
