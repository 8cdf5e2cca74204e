/* SPDX-License-Identifier: MIT */
/*
 * Addresses and sockets.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

static char congestion_wanted[16], congestion_found[16];

/*
 * set_congestion() - TCP congestion control for all sockets from now on.
 *
 * It has to be set before a socket connects: a flow that began under BBR keeps pacing.
 * Accepted sockets have their listener's.
 */
void set_congestion(const char *name)
{
	snprintf(congestion_wanted, sizeof(congestion_wanted), "%s", name);
}

/* congestion() - what the kernel says that our sockets have; "" before the first. */
const char *congestion(void)
{
	return congestion_found;
}

static bool use_congestion(int fd, int type)
{
	socklen_t len = sizeof(congestion_found) - 1;

	if (type != SOCK_STREAM)
		return true;
	if (congestion_wanted[0] && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion_wanted,
					       (socklen_t)strlen(congestion_wanted)))
		return false;
	if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion_found, &len))
		congestion_found[0] = '\0';
	return true;
}

/* cpu_seconds() - this process's, user and system. */
double cpu_seconds(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	       (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

/* A bound, non-blocking socket; streams listen. Return: -errno if the address is taken. */
static int bound(const union address *sa, int type)
{
	int fd = socket(sa->sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || !use_congestion(fd, type) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)))
		die("socket: %s", strerror(errno));
	if (bind(fd, &sa->sa, address_len(sa)) || (type == SOCK_STREAM && listen(fd, 1024))) {
		int err = -errno;

		if (err != -EADDRINUSE)
			die("listen: %s", strerror(-err));
		close(fd);
		return err;
	}
	return fd;
}

/*
 * listen_on() - a port for TCP and UDP, bound and non-blocking.
 *
 * @sa: where; port 0 is any that both have free
 *
 * Returns the port, in host order.
 */
uint16_t listen_on(const union address *sa, int *tcp, int *udp)
{
	for (int tries = 0; tries < 100; tries++) {
		union address both = *sa;
		socklen_t len = sizeof(both);

		*tcp = bound(sa, SOCK_STREAM);
		if (*tcp < 0)
			break;
		if (getsockname(*tcp, &both.sa, &len))
			die("listen: %s", strerror(errno));
		*udp = bound(&both, SOCK_DGRAM);
		if (*udp >= 0)
			return ntohs(both.in4.sin_port);
		close(*tcp);
		if (sa->in4.sin_port)
			break;
	}
	die("listen: %s", strerror(EADDRINUSE));
}

/* connect_to() - begin to connect; the socket becomes writable when it is decided. */
int connect_to(const union address *sa, int type)
{
	int fd = socket(sa->sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || !use_congestion(fd, type))
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

/* passing() - did a call that said @n only have to be tried again? */
bool passing(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* wait_for() - until the descriptor is ready; false when @ms are over. */
bool wait_for(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, ms) == 1;
}

/*
 * move_all() - all of a message one way, waiting where the socket makes it wait.
 *
 * @out: send it, else receive it
 * @ms: the longest wait
 */
bool move_all(int fd, void *p, size_t len, bool out, int ms)
{
	char *at = p;

	while (len) {
		ssize_t n = out ? send(fd, at, len, MSG_NOSIGNAL) : recv(fd, at, len, 0);

		if (n > 0) {
			at += n;
			len -= (size_t)n;
		} else if (n == 0 || errno != EAGAIN || !wait_for(fd, out ? POLLOUT : POLLIN, ms)) {
			return false;
		}
	}
	return true;
}

/* ask_server() - a connection on which @line has been said; it must come about. */
int ask_server(const union address *to, const char *line, double timeout)
{
	int fd = connect_to(to, SOCK_STREAM), ms = (int)(timeout * 1e3);
	char why[128] = "", said[256];

	snprintf(said, sizeof(said), "%s\n", line);
	if (!wait_for(fd, POLLOUT, ms) || !connected(fd, why, sizeof(why)))
		die("%s", why[0] ? why : "connect: no answer");
	if (!move_all(fd, said, strlen(said), true, ms))
		die("send: %s", strerror(errno));
	return fd;
}

/* load stats --to HOST:PORT: what the server has seen so far, this connection included. */
int cmd_stats(const struct options *o)
{
	int fd = ask_server(&o->to, "STATS", o->timeout), ms = (int)(o->timeout * 1e3);
	char text[512];
	size_t have = 0;
	ssize_t n;

	while (wait_for(fd, POLLIN, ms) &&
	       (n = recv(fd, text + have, sizeof(text) - 1 - have, 0)) > 0)
		have += (size_t)n;
	close(fd);
	text[have] = '\0';
	if (!have || text[have - 1] != '\n')
		die("no whole answer");
	fputs(text, stdout);
	return 0;
}
