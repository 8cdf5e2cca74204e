/* SPDX-License-Identifier: MIT */
/*
 * load half and load reset: how connections end. Each does its exchange both ways
 * round, and asks the server on another connection what it has seen.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define CHUNK 262144U

static uint8_t buf[CHUNK];
static int64_t deadline;

static void await(int fd, short events, const char *what)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left = deadline - now_ns();

	if (left <= 0 || poll(&p, 1, (int)(left / 1000000) + 1) != 1)
		die("%s: time is up", what);
}

static void send_all(int fd, const void *p, size_t len)
{
	const uint8_t *at = p;

	while (len) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n >= 0) {
			at += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			await(fd, POLLOUT, "send");
		} else {
			die("send: %s", strerror(errno));
		}
	}
}

static void send_pattern(int fd, uint64_t seed, uint64_t size)
{
	for (uint64_t off = 0; off < size;) {
		size_t len = size - off < CHUNK ? (size_t)(size - off) : CHUNK;

		send_all(fd, pattern_at(seed, off), len);
		off += len;
	}
}

/* Return: bytes, 0 at the end of file, -1 with errno. */
static ssize_t receive(int fd)
{
	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (n >= 0 || (errno != EAGAIN && errno != EINTR))
			return n;
		await(fd, POLLIN, "recv");
	}
}

static void receive_pattern(int fd, uint64_t seed, uint64_t size)
{
	uint64_t off = 0, bad;
	ssize_t n;

	while ((n = receive(fd)) > 0) {
		if (off + (uint64_t)n > size)
			die("more than was asked for");
		if (!pattern_check(seed, off, buf, (size_t)n, &bad))
			die("wrong byte at %" PRIu64, bad);
		off += (uint64_t)n;
	}
	if (n < 0)
		die("recv: %s", strerror(errno));
	if (off != size)
		die("end of file at %" PRIu64, off);
}

/* Connect and send a line of request. */
static int request(const struct options *o, const char *line)
{
	char why[128] = "";
	int fd = connect_to(&o->to, SOCK_STREAM);

	await(fd, POLLOUT, "connect");
	if (!connected(fd, why, sizeof(why)))
		die("%s", why);
	send_all(fd, line, strlen(line));
	return fd;
}

/* What the server has seen so far: uploads after its own FIN, and resets. */
static void ask_counts(const struct options *o, unsigned int *halves, unsigned int *resets)
{
	char line[64];
	size_t have = 0;
	int fd = request(o, "COUNT\n");
	ssize_t n;

	while ((n = receive(fd)) > 0 && have + (size_t)n < sizeof(line)) {
		memcpy(line + have, buf, (size_t)n);
		have += (size_t)n;
	}
	line[have] = '\0';
	close(fd);
	if (sscanf(line, "%u %u", halves, resets) != 2)
		die("the server does not count");
	poll(NULL, 0, 5); /* whoever asks again does so in a while */
}

static void begin(const struct options *o)
{
	deadline = now_ns() + (int64_t)(o->timeout * 1e9);
}

static int done(const char *what)
{
	printf("{\"ok\":true,\"test\":\"%s\"}\n", what);
	return 0;
}

/* load half --to HOST:PORT --size N: after one end's FIN the other goes on sending. */
int cmd_half(const struct options *o)
{
	unsigned int halves, before, resets;
	char line[64];
	int fd;

	begin(o);
	snprintf(line, sizeof(line), "DOWN %" PRIu64 " %" PRIu64 "\n", o->size, o->seed);
	fd = request(o, line);
	shutdown(fd, SHUT_WR);
	receive_pattern(fd, o->seed, o->size);
	close(fd);

	ask_counts(o, &before, &resets);
	snprintf(line, sizeof(line), "HALF %" PRIu64 " %" PRIu64 "\n", o->size, o->seed);
	fd = request(o, line);
	receive_pattern(fd, o->seed, o->size);
	send_pattern(fd, o->seed, o->size);
	close(fd);
	do
		ask_counts(o, &halves, &resets);
	while (halves == before);
	return done("half");
}

/* load reset --to HOST:PORT: a reset arrives as one, not as an end of file. */
int cmd_reset(const struct options *o)
{
	const struct linger now = { .l_onoff = 1 };
	unsigned int halves, before, resets;
	ssize_t n;
	int fd;

	begin(o);
	fd = request(o, "RESET 1000\n");
	while ((n = receive(fd)) > 0)
		;
	if (n == 0 || errno != ECONNRESET)
		die("the server's reset came as %s", n ? strerror(errno) : "an end of file");
	close(fd);

	ask_counts(o, &halves, &before);
	fd = request(o, "UP 1000000 1 0\n");
	send_pattern(fd, 1, 1000);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	do
		ask_counts(o, &halves, &resets);
	while (resets == before);
	return done("reset");
}
