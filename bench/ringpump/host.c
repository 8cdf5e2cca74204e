/* SPDX-License-Identifier: MIT */
/*
 * The host's end: a child process with a listener on loopback that reads
 * everything (guest to host) or sends until it is cut off (host to guest).
 *
 * Blocking sockets, a thread for each connection; all are accepted before the
 * clock starts, since the flows connect before it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/load/pattern.h"
#include "bench/ringpump/ringpump.h"

#define CHUNK (256 * 1024)

struct host_side {
	pid_t pid;
	int result;
};

/* What the child tells at the end. */
struct host_report {
	uint64_t bytes;
	uint64_t bad; /* flows with wrong content */
};

struct conn {
	pthread_t thread;
	int fd;
	const struct pump_options *o;
	struct host_report r;
};

static void *sink(void *arg)
{
	struct conn *c = arg;
	uint8_t *buf = malloc(CHUNK);
	uint64_t off = 0, bad;
	ssize_t n;

	while (buf && (n = read(c->fd, buf, CHUNK)) > 0) {
		if (c->o->verify && c->r.bad == 0 &&
		    !pattern_check(PUMP_SEED, off, buf, (size_t)n, &bad)) {
			fprintf(stderr, "ringpump: wrong byte at offset %llu\n",
				(unsigned long long)bad);
			c->r.bad = 1;
		}
		off += (uint64_t)n;
	}
	c->r.bytes = off;
	free(buf);
	close(c->fd);
	return NULL;
}

static void *source(void *arg)
{
	struct conn *c = arg;
	uint64_t off = 0;
	ssize_t n;

	while ((n = send(c->fd, pattern_at(PUMP_SEED, off), CHUNK, MSG_NOSIGNAL)) > 0)
		off += (uint64_t)n;
	c->r.bytes = off;
	close(c->fd);
	return NULL;
}

static void serve(int listener, const struct pump_options *o, int result)
{
	struct conn *conns = calloc(o->flows, sizeof(*conns));
	struct host_report sum = { 0 };

	for (uint32_t i = 0; conns && i < o->flows; i++) {
		conns[i].fd = accept(listener, NULL, NULL);
		conns[i].o = o;
		if (o->rate && !o->up) {
			uint64_t rate = o->rate / o->flows;

			(void)setsockopt(conns[i].fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate,
					 sizeof(rate));
		}
		pthread_create(&conns[i].thread, NULL, o->up ? sink : source, &conns[i]);
	}
	for (uint32_t i = 0; conns && i < o->flows; i++) {
		pthread_join(conns[i].thread, NULL);
		sum.bytes += conns[i].r.bytes;
		sum.bad += conns[i].r.bad;
	}
	if (write(result, &sum, sizeof(sum)) != sizeof(sum))
		_exit(1);
	_exit(0);
}

/**
 * host_start() - fork the host's end
 * @port:	out: where it listens, on 127.0.0.1 or @o's address
 */
int host_start(struct host_side **out, const struct pump_options *o, uint16_t *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(o->host ? o->host : INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	struct host_side *h;
	int fds[2];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || pipe(fds) < 0)
		return -errno;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
	if (o->rcvbuf)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &o->rcvbuf, sizeof(o->rcvbuf));
	if (o->sndbuf)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &o->sndbuf, sizeof(o->sndbuf));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, FLOWS_MAX) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	*port = ntohs(sa.sin_port);
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	pattern_init();
	h->result = fds[0];
	h->pid = fork();
	if (h->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(fds[0]);
		serve(fd, o, fds[1]);
	}
	close(fds[1]);
	close(fd);
	*out = h;
	return h->pid < 0 ? -errno : 0;
}

/**
 * host_result() - wait for the host's end; frees @h
 * @bytes:	out: payload that its sockets moved
 * @content_ok:	out: it was the pattern (checked with @verify, upwards)
 */
int host_result(struct host_side *h, uint64_t *bytes, bool *content_ok)
{
	struct host_report r = { 0 };
	ssize_t n = read(h->result, &r, sizeof(r));

	waitpid(h->pid, NULL, 0);
	close(h->result);
	free(h);
	*bytes = r.bytes;
	*content_ok = r.bad == 0;
	return n == sizeof(r) ? 0 : -EPIPE;
}
