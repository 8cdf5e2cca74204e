/* SPDX-License-Identifier: MIT */
/* The host's side of the rig: nonblocking loopback sockets, and bytes that know their place. */
#include "tests/stack/rig_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>

/* By then a datagram has come, or never will: the kernel's queue was full. */
#define LOST_MS 100

/* A socket on the family's loopback address; -1 where the host has no IPv6. */
static int bound_socket(int family, int type, uint16_t *port)
{
	union sockaddr_any sa = { .in6 = { .sin6_family = AF_INET6,
					   .sin6_addr = IN6ADDR_LOOPBACK_INIT } };
	socklen_t len = sizeof(sa.in6);
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (family == AF_INET) {
		sa.in4 = (struct sockaddr_in){ .sin_family = AF_INET,
					       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		len = sizeof(sa.in4);
	}
	if (family == AF_INET6 && fd < 0)
		return -1;
	assert_true(fd >= 0);
	if (bind(fd, &sa.sa, len) && family == AF_INET6) {
		close(fd);
		return -1;
	}
	assert_int_equal(getsockname(fd, &sa.sa, &len), 0);
	*port = ntohs(family == AF_INET ? sa.in4.sin_port : sa.in6.sin6_port);
	assert_int_not_equal(*port, 0);
	return fd;
}

/**
 * rig_echo_socket() - a socket that is connected to itself; -1 where there is no loopback
 */
int rig_echo_socket(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&sin, len) == 0 &&
	    getsockname(fd, (struct sockaddr *)&sin, &len) == 0 &&
	    connect(fd, (struct sockaddr *)&sin, len) == 0)
		return fd;
	close(fd);
	return -1;
}

/**
 * rig_land() - what was sent over the loopback has arrived
 *
 * As a rule a send there ends in the receiver's buffer. On a busy machine kernels before
 * 6.4 leave that to a thread, which must be given a processor first (Debian 12's: two
 * in a thousand). What a processor has sent it delivers in order, so a datagram of ours is
 * behind it; one that need not be waited for shows that the thread is not at work.
 */
void rig_land(const struct rig *r)
{
	struct pollfd p = { .fd = r->echo, .events = POLLIN };
	char byte;

	for (int i = 0; p.fd >= 0 && send(p.fd, "", 1, 0) == 1; i++) {
		if (recv(p.fd, &byte, 1, 0) == 1)
			return;
		assert_true(i < RIG_PATIENCE_MS / LOST_MS);
		poll(&p, 1, LOST_MS);
		while (recv(p.fd, &byte, 1, 0) == 1)
			;
	}
}

/**
 * rig_listen() - a TCP server on 127.0.0.1
 * @port:	out: where
 */
int rig_listen(uint16_t *port)
{
	int fd = bound_socket(AF_INET, SOCK_STREAM, port);

	assert_int_equal(listen(fd, 64), 0);
	return fd;
}

/**
 * rig_listen6() - a TCP server on ::1, or -1 where the host has no IPv6
 */
int rig_listen6(uint16_t *port)
{
	int fd = bound_socket(AF_INET6, SOCK_STREAM, port);

	if (fd >= 0)
		assert_int_equal(listen(fd, 64), 0);
	return fd;
}

/**
 * rig_udp_socket6() - a UDP socket on ::1, or -1 where the host has no IPv6
 */
int rig_udp_socket6(uint16_t *port)
{
	return bound_socket(AF_INET6, SOCK_DGRAM, port);
}

/* True with the connection in *fd. */
static bool try_accept(int listener, int *fd)
{
	*fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(*fd >= 0 || errno == EAGAIN);
	return *fd >= 0;
}

/**
 * rig_accept() - cycles until a connection has come; returns it
 */
int rig_accept(struct rig *r, int listener)
{
	int fd;

	RIG_UNTIL(r, try_accept(listener, &fd));
	return fd;
}

/**
 * rig_udp_socket() - a UDP socket on 127.0.0.1
 */
int rig_udp_socket(uint16_t *port)
{
	return bound_socket(AF_INET, SOCK_DGRAM, port);
}

/**
 * rig_unused_port() - a TCP port of 127.0.0.1 where connections are refused
 */
uint16_t rig_unused_port(void)
{
	uint16_t port;

	close(bound_socket(AF_INET, SOCK_STREAM, &port));
	return port;
}

/* True when something moved or is done. */
static bool try_write(int fd, const uint8_t **p, size_t *left)
{
	ssize_t n = send(fd, *p, *left, MSG_NOSIGNAL);

	assert_true(n >= 0 || errno == EAGAIN);
	if (n > 0) {
		*p += n;
		*left -= (size_t)n;
	}
	return *left == 0;
}

/**
 * rig_write_all() - the server writes @len bytes, cycling while its socket is full
 */
void rig_write_all(struct rig *r, int fd, const void *data, size_t len)
{
	const uint8_t *p = data;

	RIG_UNTIL(r, try_write(fd, &p, &len));
}

static bool try_read(int fd, uint8_t **p, size_t *left)
{
	ssize_t n = recv(fd, *p, *left, 0);

	/* The end of the stream in the middle of what was expected is a failure. */
	assert_true(n > 0 || (n < 0 && errno == EAGAIN));
	if (n > 0) {
		*p += n;
		*left -= (size_t)n;
	}
	return *left == 0;
}

/**
 * rig_read_all() - the server reads exactly @len bytes, cycling until they have come
 */
void rig_read_all(struct rig *r, int fd, void *buf, size_t len)
{
	uint8_t *p = buf;

	if (len > 0)
		RIG_UNTIL(r, try_read(fd, &p, &len));
}

static bool try_eof(int fd)
{
	uint8_t byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	assert_true(n == 0 || (n < 0 && errno == EAGAIN));
	return n == 0;
}

/**
 * rig_read_eof() - the server sees the end of the stream, and nothing before it
 */
void rig_read_eof(struct rig *r, int fd)
{
	RIG_UNTIL(r, try_eof(fd));
}

/**
 * rig_reset_close() - close so that the peer gets a RST
 */
void rig_reset_close(int fd)
{
	struct linger l = { .l_onoff = 1, .l_linger = 0 };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)), 0);
	close(fd);
}

/* Byte @pos of the stream of @seed: no two places look alike (splitmix64 of the word). */
static uint8_t pattern_byte(uint64_t seed, uint64_t pos)
{
	uint64_t z = seed * 0xd1342543de82ef95ULL + (pos / 8 + 1) * 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	z ^= z >> 31;
	return (uint8_t)(z >> (pos % 8 * 8));
}

/**
 * rig_pattern() - bytes [@pos, @pos + @len) of the endless stream of @seed
 */
void rig_pattern(void *buf, size_t len, uint64_t seed, uint64_t pos)
{
	uint8_t *p = buf;

	for (size_t i = 0; i < len; i++)
		p[i] = pattern_byte(seed, pos + i);
}

/**
 * rig_pattern_check() - fails the test at the first byte that is not the stream's
 */
void rig_pattern_check(const void *buf, size_t len, uint64_t seed, uint64_t pos)
{
	const uint8_t *p = buf;

	for (size_t i = 0; i < len; i++)
		if (p[i] != pattern_byte(seed, pos + i))
			fail_msg("stream differs at byte %llu", (unsigned long long)(pos + i));
}
