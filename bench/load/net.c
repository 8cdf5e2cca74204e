/* SPDX-License-Identifier: MIT */
/*
 * Addresses and sockets.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
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

/*
 * parse_address() - HOST, HOST:PORT or :PORT, where HOST is IPv4 or a name.
 *
 * Parts that are missing are left as they are in @sa.
 */
bool parse_address(const char *text, struct sockaddr_in *sa)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : strlen(text);
	struct sockaddr_in server;
	char host[256], *end;
	int rcode;

	sa->sin_family = AF_INET;
	if (colon) {
		unsigned long port = strtoul(colon + 1, &end, 10);

		if (*end || end == colon + 1 || port > 65535)
			return false;
		sa->sin_port = htons((uint16_t)port);
	}
	if (len == 0)
		return true;
	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (!strcmp(host, "localhost"))
		strcpy(host, "127.0.0.1");
	if (inet_pton(AF_INET, host, &sa->sin_addr) == 1)
		return true;
	return dns_default_server(&server) &&
	       dns_lookup(&server, host, false, 5, &sa->sin_addr, &rcode);
}

/*
 * listen_on() - a bound, non-blocking socket.
 *
 * @type: SOCK_STREAM (listening) or SOCK_DGRAM
 * @port: set to the port in host order
 */
int listen_on(const struct sockaddr_in *sa, int type, uint16_t *port)
{
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
	struct sockaddr_in self;
	socklen_t len = sizeof(self);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) ||
	    (type == SOCK_STREAM && listen(fd, 1024)) ||
	    getsockname(fd, (struct sockaddr *)&self, &len))
		die("listen: %s", strerror(errno));
	*port = ntohs(self.sin_port);
	return fd;
}

/* connect_to() - begin to connect; the socket becomes writable when it is decided. */
int connect_to(const struct sockaddr_in *sa, int type)
{
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		die("socket: %s", strerror(errno));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) && errno != EINPROGRESS)
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
