/* SPDX-License-Identifier: MIT */
/*
 * Does this kernel's TCP have SO_PEEK_OFF? (Linux has it since 6.9.) Found out
 * by use, not by version: on a loopback connection, two peeks must yield two
 * pieces, and a discard must move the offset back.
 */
#include "tcpstack/tcp.h"

#include <poll.h>
#include <unistd.h>

/* Loopback delivers at once; a machine that takes longer gets the other path. */
#define PROBE_WAIT_MS 1000

static const char probe_bytes[6] = "abcdef";

/* A connected pair on 127.0.0.1; both -1 when that cannot be had. */
static void connected_pair(int pair[2])
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd p = { .fd = listener, .events = POLLIN };

	pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	pair[1] = -1;
	if (listener >= 0 && bind(listener, (struct sockaddr *)&sin, sizeof(sin)) == 0 &&
	    getsockname(listener, (struct sockaddr *)&sin, &len) == 0 && listen(listener, 1) == 0) {
		int err = connect(pair[0], (struct sockaddr *)&sin, sizeof(sin)) ? errno : 0;

		if ((err == 0 || err == EINPROGRESS) && poll(&p, 1, PROBE_WAIT_MS) == 1)
			pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	}
	if (listener >= 0)
		close(listener);
}

/* Peek two bytes where the offset stands, and compare. */
static bool peeks(int fd, const char *want)
{
	char got[2];

	return recv(fd, got, sizeof(got), MSG_PEEK | MSG_DONTWAIT) == sizeof(got) &&
	       memcmp(got, want, sizeof(got)) == 0;
}

static bool offset_works(int fd)
{
	int zero = 0;

	return setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof(zero)) == 0 &&
	       peeks(fd, probe_bytes) && peeks(fd, probe_bytes + 2) &&
	       recv(fd, NULL, 3, MSG_TRUNC | MSG_DONTWAIT) == 3 && peeks(fd, probe_bytes + 4);
}

/**
 * tcp_probe_peek_offset() - can a TCP socket be peeked at from an offset?
 *
 * At start only: it may wait. Return: false also when it could not be found out.
 */
bool tcp_probe_peek_offset(void)
{
	struct pollfd p = { .events = POLLIN };
	bool works = false;
	int pair[2];

	connected_pair(pair);
	p.fd = pair[1];
	if (pair[1] >= 0 &&
	    send(pair[0], probe_bytes, sizeof(probe_bytes), MSG_NOSIGNAL) == sizeof(probe_bytes) &&
	    poll(&p, 1, PROBE_WAIT_MS) == 1)
		works = offset_works(pair[1]);
	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0)
			close(pair[i]);
	return works;
}
