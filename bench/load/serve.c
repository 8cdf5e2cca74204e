/* SPDX-License-Identifier: MIT */
/*
 * load serve: the far end of every test. The first line of a connection says what
 * it is for (see load.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define CHUNK	 262144U
#define LINE_MAX 4096U
#define MS	 1000000LL

enum mode { READ_LINE, SEND, RECEIVE, ECHO, REPLY, LINGER, PULL, PUSH };

struct conn {
	struct watch w;
	enum mode mode;
	char line[LINE_MAX]; /* the request, then the reply */
	size_t have, sent;   /* bytes in `line`, and how many of the reply have gone */
	uint64_t size, off, seed;
	uint64_t framed; /* PUSH: bytes with those before each unit */
	int64_t pause;	 /* ns, 0 when none or over */
	bool http;
	bool half;    /* an upload follows the download */
	bool compare; /* PUSH: look at what arrives */
	bool bad;
	uint64_t bad_at;
	struct sha256 sha;
	uint8_t *echo; /* CHUNK bytes */
	size_t echo_head, echo_tail;
	bool eof;
};

static uint8_t buf[CHUNK];
static unsigned int halves, resets; /* what COUNT tells */

/* What STATS tells. */
static struct {
	uint64_t accepted, answered, bytes_in, bytes_out, wrong, datagrams;
} stats;

static int udp_fd; /* for floods */

static void on_ready(struct watch *w, uint32_t events);

static void end(struct conn *c)
{
	loop_close(&c->w);
	free(c->echo);
	free(c);
}

/* Did @n bytes go? If they never will, that is the end of @c. */
static bool moved(struct conn *c, ssize_t n)
{
	if (n < 0 && !passing(n))
		end(c);
	return n >= 0;
}

/* Have @n bytes come? Where no more will, that is the end of @c. */
static bool came(struct conn *c, ssize_t n)
{
	if (n <= 0 && !passing(n)) {
		resets += n < 0 && errno == ECONNRESET;
		end(c);
	}
	return n > 0;
}

/* Sends what `line` holds from `sent` on; then the mode that `next` names. */
static void send_reply(struct conn *c)
{
	ssize_t n = send(c->w.fd, c->line + c->sent, c->have - c->sent, MSG_NOSIGNAL);

	if (!moved(c, n))
		return;
	c->sent += (size_t)n;
	if (c->sent < c->have)
		return;
	if (c->size) {
		c->mode = SEND;
		return;
	}
	/* Our end of file first; then wait for the peer's, so that nothing is reset. */
	shutdown(c->w.fd, SHUT_WR);
	c->mode = LINGER;
	loop_set(&c->w, EPOLLIN);
}

static void reply(struct conn *c, int len)
{
	c->have = (size_t)len;
	c->sent = 0;
	c->mode = REPLY;
	loop_set(&c->w, EPOLLOUT);
}

static void send_pattern(struct conn *c)
{
	uint64_t left = c->size - c->off;
	size_t len = left < CHUNK ? (size_t)left : CHUNK;
	ssize_t n = send(c->w.fd, pattern_at(c->seed, c->off), len, MSG_NOSIGNAL);

	if (!moved(c, n))
		return;
	c->off += (uint64_t)n;
	stats.bytes_out += (uint64_t)n;
	if (c->off == c->size) {
		shutdown(c->w.fd, SHUT_WR);
		c->mode = c->half ? RECEIVE : LINGER;
		c->off = 0;
		loop_set(&c->w, EPOLLIN);
	}
}

/* All of an upload is here: say whether it is what it should be. */
static void answer_upload(struct conn *c)
{
	char hex[SHA256_HEX];

	c->size = 0;
	stats.wrong += c->bad;
	if (c->half) {
		halves += !c->bad;
		c->mode = LINGER;
	} else if (c->http) {
		sha256_hex(&c->sha, hex);
		reply(c, snprintf(c->line, sizeof(c->line),
				  "HTTP/1.1 201 Created\r\nContent-Length: 64\r\n"
				  "Connection: close\r\n\r\n%s",
				  hex));
	} else if (c->bad) {
		reply(c, snprintf(c->line, sizeof(c->line), "BAD %" PRIu64 "\n", c->bad_at));
	} else {
		reply(c, snprintf(c->line, sizeof(c->line), "OK\n"));
	}
}

static void take_upload(struct conn *c, const void *p, size_t len)
{
	if (c->http)
		sha256_add(&c->sha, p, len);
	else if (!c->bad && !pattern_check(c->seed, c->off, p, len, &c->bad_at))
		c->bad = true;
	c->off += len;
	stats.bytes_in += len;
	if (c->off > c->size) {
		c->bad = true;
		c->bad_at = c->size;
	}
	if (c->off >= c->size) {
		answer_upload(c);
	} else if (c->pause && c->off >= c->size / 2) {
		loop_pause(&c->w, c->pause);
		c->pause = 0;
	}
}

static void receive(struct conn *c)
{
	ssize_t n = recv(c->w.fd, buf, sizeof(buf), 0);

	if (!came(c, n))
		return;
	take_upload(c, buf, (size_t)n);
}

/* Sends until the client sends a byte, or goes. */
static void pull(struct conn *c, uint32_t events)
{
	char stop;
	ssize_t n;

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		n = recv(c->w.fd, &stop, 1, 0);
		if (n == 1) {
			shutdown(c->w.fd, SHUT_WR);
			c->mode = LINGER;
			loop_set(&c->w, EPOLLIN);
			return;
		}
		if (!passing(n)) {
			end(c);
			return;
		}
	}
	n = send(c->w.fd, pattern_at(c->seed, c->off), CHUNK, MSG_NOSIGNAL);
	if (n > 0) {
		c->off += (uint64_t)n;
		stats.bytes_out += (uint64_t)n;
	} else if (!passing(n)) {
		end(c);
	}
}

static void answer_push(struct conn *c)
{
	c->size = 0;
	stats.wrong += c->bad;
	reply(c, c->bad ? snprintf(c->line, sizeof(c->line), "BAD %" PRIu64 "\n", c->bad_at)
			: snprintf(c->line, sizeof(c->line), "OK %" PRIu64 "\n", c->off));
}

/* Bytes of units: @c->framed counts all, @c->off those of the pattern. */
static void take_push(struct conn *c, const uint8_t *p, size_t len)
{
	while (len) {
		uint64_t at = c->framed % PUSH_FRAMED;
		size_t n = 1;

		if (at == 0 && *p == 'e' && len == 1) {
			answer_push(c);
			return;
		}
		if (at == 0 && *p != 'm') {
			c->bad = true;
			c->bad_at = c->off;
			answer_push(c);
			return;
		}
		if (at > 0) {
			n = len < PUSH_FRAMED - at ? len : (size_t)(PUSH_FRAMED - at);
			if (c->compare && !c->bad &&
			    !pattern_check(c->seed, c->off, p, n, &c->bad_at))
				c->bad = true;
			c->off += n;
			stats.bytes_in += n;
		}
		c->framed += n;
		p += n;
		len -= n;
	}
}

/* Takes units until the client says that it was the last. */
static void push(struct conn *c)
{
	ssize_t n = recv(c->w.fd, buf, sizeof(buf), 0);

	if (passing(n))
		return;
	if (n > 0) {
		take_push(c, buf, (size_t)n);
		return;
	}
	resets += n < 0 && errno == ECONNRESET;
	end(c);
}

static void linger(struct conn *c)
{
	ssize_t n = recv(c->w.fd, buf, sizeof(buf), 0);

	if (n <= 0 && !passing(n))
		end(c);
}

static void echo(struct conn *c, uint32_t events)
{
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && c->echo_tail < CHUNK && !c->eof) {
		ssize_t n = recv(c->w.fd, c->echo + c->echo_tail, CHUNK - c->echo_tail, 0);

		if (n < 0 && !passing(n)) {
			end(c);
			return;
		}
		if (n == 0)
			c->eof = true;
		else if (n > 0)
			c->echo_tail += (size_t)n;
	}
	if (c->echo_head < c->echo_tail) {
		ssize_t n = send(c->w.fd, c->echo + c->echo_head, c->echo_tail - c->echo_head,
				 MSG_NOSIGNAL);

		if (n < 0 && !passing(n)) {
			end(c);
			return;
		}
		if (n > 0)
			c->echo_head += (size_t)n;
		if (c->echo_head == c->echo_tail)
			c->echo_head = c->echo_tail = 0;
	}
	if (c->eof && c->echo_head == c->echo_tail) {
		end(c);
		return;
	}
	loop_set(&c->w, (c->eof || c->echo_tail == CHUNK ? 0 : EPOLLIN) |
				(c->echo_head < c->echo_tail ? EPOLLOUT : 0));
}

/* The body length of an HTTP request, from its header field. */
static uint64_t content_length(const char *head)
{
	static const char name[] = "\r\ncontent-length:";
	const char *at = strcasestr(head, name);

	return at ? strtoull(at + sizeof(name) - 1, NULL, 10) : 0;
}

static void start_upload(struct conn *c, const char *rest, size_t len)
{
	char early[LINE_MAX];

	c->mode = RECEIVE;
	memcpy(early, rest, len);
	if (len || c->size == 0)
		take_upload(c, early, len);
}

/* Some bytes, then the reset that a close without lingering is. */
static void reset(struct conn *c, size_t len)
{
	const struct linger now = { .l_onoff = 1 };

	if (send(c->w.fd, pattern_at(1, 0), len < CHUNK ? len : CHUNK, MSG_NOSIGNAL) < 0 ||
	    setsockopt(c->w.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)))
		die("reset: %s", strerror(errno));
	end(c);
}

static void reply_stats(struct conn *c)
{
	reply(c, snprintf(c->line, sizeof(c->line),
			  "{\"ok\":true,\"accepted\":%" PRIu64 ",\"answered\":%" PRIu64
			  ",\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64 ",\"wrong\":%" PRIu64
			  ",\"datagrams\":%" PRIu64 ",\"cpu_s\":%.4f,\"cc\":\"%s\"}\n",
			  stats.accepted, stats.answered, stats.bytes_in, stats.bytes_out,
			  stats.wrong, stats.datagrams, cpu_seconds(), congestion()));
}

/* A flood's connection is flood.c's from here on. */
static void hand_to_flood(struct conn *c)
{
	loop_remove(&c->w);
	if (!flood_begin(c->w.fd, udp_fd, c->line))
		close(c->w.fd);
	free(c);
}

/* What has no end of its own: until the client has enough. True when it was that. */
static bool on_endless_request(struct conn *c, const char *rest, size_t extra)
{
	unsigned int compare = 0;
	uint8_t early[LINE_MAX];

	if (sscanf(c->line, "PULL %" SCNu64, &c->seed) == 1) {
		c->mode = PULL;
		loop_set(&c->w, EPOLLIN | EPOLLOUT);
	} else if (sscanf(c->line, "PUSH %" SCNu64 " %u", &c->seed, &compare) == 2) {
		c->mode = PUSH;
		c->compare = compare;
		memcpy(early, rest, extra);
		take_push(c, early, extra);
	} else if (!strncmp(c->line, "FLOOD ", 6)) {
		hand_to_flood(c);
	} else {
		return false;
	}
	return true;
}

/* A whole request is in `line`: @len bytes of it, then what came along behind. */
static void on_request(struct conn *c, size_t len)
{
	uint64_t pause = 0;
	const char *rest = c->line + len;
	size_t extra = c->have - len;

	c->seed = 1;
	if (on_endless_request(c, rest, extra))
		return;
	if (sscanf(c->line, "DOWN %" SCNu64 " %" SCNu64, &c->size, &c->seed) == 2) {
		c->mode = SEND;
		loop_set(&c->w, EPOLLOUT);
	} else if (sscanf(c->line, "UP %" SCNu64 " %" SCNu64 " %" SCNu64, &c->size, &c->seed,
			  &pause) == 3) {
		c->pause = (int64_t)pause * MS;
		start_upload(c, rest, extra);
	} else if (!strncmp(c->line, "ECHO\n", 5)) {
		c->mode = ECHO;
		c->echo = malloc(CHUNK);
		if (!c->echo)
			die("out of memory");
		memcpy(c->echo, rest, extra);
		c->echo_tail = extra;
		echo(c, 0);
	} else if (!strncmp(c->line, "CRR\n", 4)) {
		stats.answered++;
		reply(c, snprintf(c->line, sizeof(c->line), "c"));
	} else if (!strncmp(c->line, "STATS\n", 6)) {
		reply_stats(c);
	} else if (sscanf(c->line, "HALF %" SCNu64 " %" SCNu64, &c->size, &c->seed) == 2) {
		c->half = true;
		c->mode = SEND;
		loop_set(&c->w, EPOLLOUT);
	} else if (sscanf(c->line, "RESET %" SCNu64, &c->size) == 1) {
		reset(c, (size_t)c->size);
	} else if (!strncmp(c->line, "COUNT\n", 6)) {
		reply(c, snprintf(c->line, sizeof(c->line), "%u %u\n", halves, resets));
	} else if (sscanf(c->line, "GET /%" SCNu64, &c->size) == 1) {
		reply(c, snprintf(c->line, sizeof(c->line),
				  "HTTP/1.1 200 OK\r\nContent-Length: %" PRIu64 "\r\n"
				  "Connection: close\r\n\r\n",
				  c->size));
	} else if (!strncmp(c->line, "PUT /", 5)) {
		c->http = true;
		sha256_init(&c->sha);
		c->size = content_length(c->line);
		start_upload(c, rest, extra);
	} else {
		end(c);
	}
}

static void read_line(struct conn *c)
{
	ssize_t n = recv(c->w.fd, c->line + c->have, sizeof(c->line) - 1 - c->have, 0);
	const char *stop;
	bool http;

	if (!came(c, n))
		return;
	c->have += (size_t)n;
	c->line[c->have] = '\0';
	http = !strncmp(c->line, "GET ", 4) || !strncmp(c->line, "PUT ", 4);
	stop = strstr(c->line, http ? "\r\n\r\n" : "\n");
	if (stop)
		on_request(c, (size_t)(stop - c->line) + (http ? 4 : 1));
	else if (c->have == sizeof(c->line) - 1)
		end(c);
}

static void on_ready(struct watch *w, uint32_t events)
{
	struct conn *c = (struct conn *)w;

	switch (c->mode) {
	case READ_LINE:
		read_line(c);
		break;
	case SEND:
		send_pattern(c);
		break;
	case RECEIVE:
		receive(c);
		break;
	case ECHO:
		echo(c, events);
		break;
	case REPLY:
		send_reply(c);
		break;
	case LINGER:
		linger(c);
		break;
	case PULL:
		pull(c, events);
		break;
	case PUSH:
		push(c);
		break;
	}
}

static void on_accept(struct watch *w, uint32_t events)
{
	int fd;

	(void)events;
	while ((fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));

		if (!c)
			die("out of memory");
		stats.accepted++;
		c->w.fd = fd;
		c->w.ready = on_ready;
		loop_add(&c->w, EPOLLIN);
	}
}

static void on_datagram(struct watch *w, uint32_t events)
{
	union address from;
	socklen_t len = sizeof(from);
	ssize_t n;

	(void)events;
	while ((n = recvfrom(w->fd, buf, sizeof(buf), 0, &from.sa, &len)) >= 0) {
		stats.datagrams++;
		if (!flood_datagram(buf, (size_t)n, &from))
			sendto(w->fd, buf, (size_t)n, 0, &from.sa, len);
		len = sizeof(from);
	}
}

static void write_port_file(const char *path, uint16_t port)
{
	char tmp[512];
	FILE *f;

	snprintf(tmp, sizeof(tmp), "%s.new", path);
	f = fopen(tmp, "we");
	if (!f || fprintf(f, "%u\n", port) < 0 || fclose(f) || rename(tmp, path))
		die("%s: %s", path, strerror(errno));
}

/* load serve [--listen ADDR:PORT] [--port-file FILE]: serves until it is killed. */
int cmd_serve(const struct options *o)
{
	struct watch tcp = { .ready = on_accept }, udp = { .ready = on_datagram };
	uint16_t port = listen_on(&o->listen, &tcp.fd, &udp.fd);
	int room = 4 << 20;

	udp_fd = udp.fd;
	/* As much as the kernel grants: what overflows here is no loss of the network's. */
	(void)setsockopt(udp.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	loop_add(&tcp, EPOLLIN);
	loop_add(&udp, EPOLLIN);
	printf("{\"ok\":true,\"port\":%u}\n", port);
	fflush(stdout);
	if (o->port_file)
		write_port_file(o->port_file, port);
	loop_run(0);
	return 0;
}
