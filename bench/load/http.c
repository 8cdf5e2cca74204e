/* SPDX-License-Identifier: MIT */
/*
 * load get and load put: one HTTP/1.1 request (RFC 9112) with a body of known
 * length. The body lies in memory that is touched before the clock starts, and is
 * hashed after it stops, so that the seconds are the network's.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load.h"

#define HEAD_MAX 8192U

struct http {
	int fd;
	int timeout_ms;
	char head[HEAD_MAX]; /* the response's head, and what came along behind it */
	size_t have;	     /* bytes in `head` */
	size_t body_at;	     /* where the body begins in `head` */
	int status;
	uint64_t length;
	int64_t start;
};

static void await(const struct http *h, short events)
{
	struct pollfd p = { .fd = h->fd, .events = events };

	if (poll(&p, 1, h->timeout_ms) != 1)
		die("no progress for %d ms", h->timeout_ms);
}

static void send_all(const struct http *h, const void *p, uint64_t len)
{
	const char *at = p;

	while (len) {
		ssize_t n = send(h->fd, at, len, MSG_NOSIGNAL);

		if (n >= 0) {
			at += n;
			len -= (uint64_t)n;
		} else if (errno == EAGAIN) {
			await(h, POLLOUT);
		} else if (errno != EINTR) {
			die("send: %s", strerror(errno));
		}
	}
}

/* Up to @len bytes; 0 at the end of file. */
static size_t recv_some(const struct http *h, void *p, size_t len)
{
	for (;;) {
		ssize_t n = recv(h->fd, p, len, 0);

		if (n >= 0)
			return (size_t)n;
		if (errno == EAGAIN)
			await(h, POLLIN);
		else if (errno != EINTR)
			die("recv: %s", strerror(errno));
	}
}

/* Splits http://HOST[:PORT]/PATH, connects, and sends the head of the request. */
static void request(struct http *h, const struct options *o, const char *method, const char *url,
		    uint64_t length)
{
	union address sa = { .in4 = { .sin_port = htons(80) } };
	char host[256], head[1024];
	const char *slash;
	char why[128] = "";
	int n;

	if (strncmp(url, "http://", 7) != 0)
		die("only http:// URLs");
	url += 7;
	slash = strchr(url, '/');
	if (!slash || (size_t)(slash - url) >= sizeof(host))
		die("the URL has no path");
	memcpy(host, url, (size_t)(slash - url));
	host[slash - url] = '\0';
	if (!parse_address(host, &sa))
		die("no address for %s", host);

	h->timeout_ms = (int)(o->timeout * 1e3);
	h->start = now_ns();
	h->fd = connect_to(&sa, SOCK_STREAM);
	await(h, POLLOUT);
	if (!connected(h->fd, why, sizeof(why)))
		die("%s", why);
	n = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n",
		     method, slash, host);
	if (length != UINT64_MAX)
		n += snprintf(head + n, sizeof(head) - (size_t)n, "Content-Length: %" PRIu64 "\r\n",
			      length);
	n += snprintf(head + n, sizeof(head) - (size_t)n, "\r\n");
	if (n >= (int)sizeof(head))
		die("the URL is too long");
	send_all(h, head, (uint64_t)n);
}

static void read_head(struct http *h)
{
	static const char field[] = "\r\ncontent-length:";
	char *stop = NULL, *at;

	h->have = 0;
	while (!stop) {
		size_t n = recv_some(h, h->head + h->have, sizeof(h->head) - 1 - h->have);

		if (n == 0)
			die("the response ends in its head");
		h->have += n;
		h->head[h->have] = '\0';
		stop = strstr(h->head, "\r\n\r\n");
	}
	h->body_at = (size_t)(stop - h->head) + 4;
	if (sscanf(h->head, "HTTP/1.%*d %d", &h->status) != 1)
		die("not an HTTP response");
	at = strcasestr(h->head, field);
	h->length = at && at < stop ? strtoull(at + sizeof(field) - 1, NULL, 10) : 0;
}

/* Memory for a body: of the file @path, or of nobody when that is NULL. */
static void *body_map(const char *path, uint64_t len, bool create)
{
	int fd = -1, flags = MAP_POPULATE | (path ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
	void *p;

	if (len == 0)
		return NULL;
	if (path) {
		fd = open(path,
			  create ? O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC : O_RDONLY | O_CLOEXEC,
			  0644);
		if (fd < 0 || (create && ftruncate(fd, (off_t)len)))
			die("%s: %s", path, strerror(errno));
	}
	p = mmap(NULL, len, create ? PROT_READ | PROT_WRITE : PROT_READ, flags, fd, 0);
	if (p == MAP_FAILED)
		die("%" PRIu64 " bytes of memory: %s", len, strerror(errno));
	if (fd >= 0)
		close(fd);
	return p;
}

static int report(const struct http *h, const char *what, const void *body, uint64_t len,
		  int64_t ns)
{
	double seconds = (double)ns / 1e9;
	char hex[SHA256_HEX];
	struct sha256 s;

	sha256_init(&s);
	sha256_add(&s, body ? body : "", len);
	sha256_hex(&s, hex);
	printf("{\"ok\":%s,\"test\":\"%s\",\"status\":%d,\"bytes\":%" PRIu64
	       ",\"seconds\":%.6f,\"gbit_s\":%.4f,\"sha256\":\"%s\"}\n",
	       h->status / 100 == 2 ? "true" : "false", what, h->status, len, seconds,
	       (double)len * 8 / 1e9 / seconds, hex);
	return h->status / 100 == 2 ? 0 : 1;
}

/*
 * load get URL [--out FILE] [--size N]: with --size the memory is ready before the
 * request; otherwise it is made when the length is known.
 */
int cmd_get(const struct options *o)
{
	static struct http h;
	uint64_t got = 0, room = o->size;
	uint8_t *body;
	int64_t ns;

	if (o->nargs != 1)
		die("get needs one URL");
	body = body_map(o->out, room, true);
	request(&h, o, "GET", o->args[0], UINT64_MAX);
	read_head(&h);
	if (!body) {
		room = h.length;
		body = body_map(o->out, room, true);
	}
	if (h.length != room)
		die("the body has %" PRIu64 " bytes, not %" PRIu64 ", status %d", h.length, room,
		    h.status);
	if (h.have - h.body_at > room)
		die("more bytes than Content-Length");
	got = h.have - h.body_at;
	if (got)
		memcpy(body, h.head + h.body_at, got);
	while (got < room) {
		size_t n = recv_some(&h, body + got, room - got);

		if (n == 0)
			die("end of file at %" PRIu64 " of %" PRIu64, got, room);
		got += n;
	}
	ns = now_ns() - h.start;
	close(h.fd);
	return report(&h, "get", body, got, ns);
}

/* load put URL FILE, or load put URL --size N for that much of the pattern. */
int cmd_put(const struct options *o)
{
	static struct http h;
	uint64_t len = o->size;
	uint8_t *body;
	int64_t ns;

	if (o->nargs == 2) {
		struct stat st;

		if (stat(o->args[1], &st))
			die("%s: %s", o->args[1], strerror(errno));
		len = (uint64_t)st.st_size;
		body = body_map(o->args[1], len, false);
	} else if (o->nargs == 1) {
		body = body_map(NULL, len, true);
		for (uint64_t off = 0, n; off < len; off += n) {
			n = len - off < PATTERN_PERIOD ? len - off : PATTERN_PERIOD;
			memcpy(body + off, pattern_at(o->seed, off), n);
		}
	} else {
		die("put needs a URL, and a file or --size");
	}
	request(&h, o, "PUT", o->args[0], len);
	send_all(&h, body, len);
	read_head(&h);
	ns = now_ns() - h.start;
	close(h.fd);
	return report(&h, "put", body, len, ns);
}
