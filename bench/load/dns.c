/* SPDX-License-Identifier: MIT */
/*
 * load dns: a name server with a fixed table of addresses of both families; load dig:
 * one question, over UDP or TCP (RFC 1035, A records only). Static glibc cannot load a
 * resolver, so names in the other commands' arguments come through here too.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define DNS_HEAD     12U
#define DNS_UDP_MAX  512U
#define DNS_NAME_MAX 256U
#define TYPE_A	     1U
#define TYPE_AAAA    28U
#define CLASS_IN     1U
#define RCODE_NXNAME 3U
#define TTL_S	     60U

/* How long one try of a look-up waits. */
#define TRY_MS 1000

static unsigned int get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static void put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/*
 * Reads the name at @at of a message, without compression, as a question has it.
 * Returns the offset behind it, or 0 when it is malformed.
 */
static size_t read_name(const uint8_t *msg, size_t len, size_t at, char name[DNS_NAME_MAX])
{
	size_t n = 0;

	while (at < len && msg[at]) {
		size_t label = msg[at++];

		if (label > 63 || at + label > len || n + label + 2 > DNS_NAME_MAX)
			return 0;
		if (n)
			name[n++] = '.';
		memcpy(name + n, msg + at, label);
		n += label;
		at += label;
	}
	name[n] = '\0';
	return at < len ? at + 1 : 0;
}

/* Steps over a name that may be compressed. Returns the offset behind it, or 0. */
static size_t skip_name(const uint8_t *msg, size_t len, size_t at)
{
	while (at < len && msg[at]) {
		if (msg[at] >= 0xc0)
			return at + 2 <= len ? at + 2 : 0;
		at += 1U + msg[at];
	}
	return at < len ? at + 1 : 0;
}

static size_t write_question(uint8_t *msg, unsigned int id, const char *name)
{
	size_t at = DNS_HEAD;

	memset(msg, 0, DNS_HEAD);
	put16(msg, id);
	msg[2] = 1; /* recursion desired */
	put16(msg + 4, 1);
	while (*name) {
		size_t label = strcspn(name, ".");

		if (label == 0 || label > 63 || at + label + 6 > DNS_UDP_MAX)
			return 0;
		msg[at++] = (uint8_t)label;
		memcpy(msg + at, name, label);
		at += label;
		name += label;
		name += *name == '.';
	}
	msg[at++] = 0;
	put16(msg + at, TYPE_A);
	put16(msg + at + 2, CLASS_IN);
	return at + 4;
}

/* The first A record of an answer to our question. Returns false for anything else. */
static bool read_answer(const uint8_t *msg, size_t len, unsigned int id, struct in_addr *addr,
			int *rcode)
{
	unsigned int answers;
	size_t at;

	if (len < DNS_HEAD || get16(msg) != id || !(msg[2] & 0x80))
		return false;
	*rcode = msg[3] & 15;
	answers = get16(msg + 6);
	at = skip_name(msg, len, DNS_HEAD);
	if (!at || *rcode)
		return true;
	for (at += 4; answers--;) {
		at = skip_name(msg, len, at);
		if (!at || at + 10 > len)
			return false;
		if (get16(msg + at) == TYPE_A && get16(msg + at + 8) == 4 && at + 14 <= len) {
			memcpy(addr, msg + at + 10, 4);
			return true;
		}
		at += 10U + get16(msg + at + 8);
	}
	*rcode = RCODE_NXNAME;
	return true;
}

/* Receives one message. Returns its length, 0 when none came in time. */
static size_t receive(int fd, bool tcp, uint8_t *msg, size_t size, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t have = 0;

	while (poll(&p, 1, ms) == 1) {
		ssize_t n = recv(fd, msg + have, size - have, 0);

		if (n <= 0)
			return 0;
		have += (size_t)n;
		if (!tcp)
			return have;
		if (have >= 2 && have - 2 >= get16(msg)) {
			have = get16(msg);
			memmove(msg, msg + 2, have);
			return have;
		}
	}
	return 0;
}

/*
 * dns_lookup() - ask one server for the address of a name, with retries.
 *
 * @seconds: how long to go on trying
 * @rcode: set when true is returned; @addr holds the address when it is 0
 */
bool dns_lookup(const union address *server, const char *name, bool tcp, double seconds,
		struct in_addr *addr, int *rcode)
{
	int64_t deadline = now_ns() + (int64_t)(seconds * 1e9);
	uint8_t question[DNS_UDP_MAX + 2], answer[4096];

	while (now_ns() < deadline) {
		int fd = connect_to(server, tcp ? SOCK_STREAM : SOCK_DGRAM);
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		uint16_t id = 0;
		size_t len, got = 0;

		if (getrandom(&id, sizeof(id), GRND_NONBLOCK) < 0)
			id = (uint16_t)now_ns();
		len = write_question(question + 2, id, name);
		if (!len)
			die("not a name: %s", name);
		put16(question, (unsigned int)len);
		poll(&p, 1, TRY_MS);
		if (send(fd, tcp ? question : question + 2, tcp ? len + 2 : len, MSG_NOSIGNAL) > 0)
			got = receive(fd, tcp, answer, sizeof(answer), TRY_MS);
		else
			poll(NULL, 0, 100);
		close(fd);
		if (got && read_answer(answer, got, id, addr, rcode))
			return true;
	}
	return false;
}

/* dns_default_server() - the first name server of /etc/resolv.conf. */
bool dns_default_server(union address *server)
{
	FILE *f = fopen("/etc/resolv.conf", "re");
	char line[256], text[64];
	bool found = false;

	*server = (union address){ .in4 = { .sin_family = AF_INET, .sin_port = htons(53) } };
	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "nameserver %63s", text) == 1 &&
			inet_pton(AF_INET, text, &server->in4.sin_addr) == 1;
	if (f)
		fclose(f);
	return found;
}

/* load dig NAME [--server ADDR:PORT] [--tcp] */
int cmd_dig(const struct options *o)
{
	union address server = o->server;
	int64_t start = now_ns();
	struct in_addr addr = { 0 };
	char text[INET_ADDRSTRLEN];
	int rcode;

	if (o->nargs != 1)
		die("dig needs one name");
	if (server.sa.sa_family == AF_INET && !server.in4.sin_addr.s_addr &&
	    !dns_default_server(&server))
		die("no name server in /etc/resolv.conf");
	if (!dns_lookup(&server, o->args[0], o->tcp, o->timeout, &addr, &rcode))
		die("no answer for %s", o->args[0]);
	inet_ntop(AF_INET, &addr, text, sizeof(text));
	printf("{\"ok\":%s,\"rcode\":%d,\"address\":\"%s\",\"seconds\":%.6f}\n",
	       rcode ? "false" : "true", rcode, text, (double)(now_ns() - start) / 1e9);
	return rcode ? 1 : 0;
}

/* --- the server --- */
static const struct options *table;

static const char *find(const char *name)
{
	for (int i = 0; i < table->nargs; i++) {
		size_t n = strcspn(table->args[i], "=");

		if (table->args[i][n] && strlen(name) == n && !strncasecmp(name, table->args[i], n))
			return table->args[i] + n + 1;
	}
	return NULL;
}

/* Appends an address record of the name in the question. Returns the length after it. */
static size_t write_record(uint8_t *msg, size_t at, unsigned int type, const void *addr, size_t len)
{
	put16(msg + at, 0xc000 | DNS_HEAD);
	put16(msg + at + 2, type);
	put16(msg + at + 4, CLASS_IN);
	put16(msg + at + 6, 0);
	put16(msg + at + 8, TTL_S);
	put16(msg + at + 10, (unsigned int)len);
	memcpy(msg + at + 12, addr, len);
	return at + 12 + len;
}

/* Makes the answer of a question in place. Returns its length, 0 to stay silent. */
static size_t answer_to(uint8_t *msg, size_t len, size_t size)
{
	char name[DNS_NAME_MAX], text[INET6_ADDRSTRLEN];
	unsigned int type, found = 0;
	struct in6_addr addr;
	const char *list;
	size_t at;

	if (len < DNS_HEAD || (msg[2] & 0x80) || get16(msg + 4) != 1)
		return 0;
	at = read_name(msg, len, DNS_HEAD, name);
	if (!at || at + 4 > len)
		return 0;
	list = find(name);
	type = get16(msg + at);
	at += 4;
	msg[2] = (uint8_t)(0x84 | (msg[2] & 1)); /* a response, authoritative */
	msg[3] = list ? 0x80 : 0x80 | RCODE_NXNAME;
	memset(msg + 6, 0, 6);
	while (list && *list) {
		size_t n = strcspn(list, ",");

		snprintf(text, sizeof(text), "%.*s", (int)n, list);
		list += n + (list[n] == ',');
		if (at + 12 + sizeof(addr) > size)
			break;
		if (type == TYPE_A && inet_pton(AF_INET, text, &addr) == 1)
			at = write_record(msg, at, type, &addr, sizeof(struct in_addr));
		else if (type == TYPE_AAAA && inet_pton(AF_INET6, text, &addr) == 1)
			at = write_record(msg, at, type, &addr, sizeof(addr));
		else
			continue;
		found++;
	}
	put16(msg + 6, found);
	return at;
}

static void on_datagram(struct watch *w, uint32_t events)
{
	uint8_t msg[4096];
	union address from;
	socklen_t from_len = sizeof(from);
	ssize_t n = recvfrom(w->fd, msg, sizeof(msg), 0, &from.sa, &from_len);
	size_t len = n > 0 ? answer_to(msg, (size_t)n, sizeof(msg)) : 0;

	(void)events;
	if (len)
		sendto(w->fd, msg, len, 0, &from.sa, from_len);
}

struct stream {
	struct watch w;
	uint8_t msg[2048];
	size_t have;
};

static void on_stream(struct watch *w, uint32_t events)
{
	struct stream *s = (struct stream *)w;
	ssize_t n = recv(w->fd, s->msg + s->have, sizeof(s->msg) - s->have, 0);
	size_t len;

	(void)events;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		loop_close(w);
		free(s);
		return;
	}
	s->have += (size_t)n;
	if (s->have < 2 || s->have - 2 < get16(s->msg))
		return;
	len = answer_to(s->msg + 2, get16(s->msg), sizeof(s->msg) - 2);
	put16(s->msg, (unsigned int)len);
	/* An answer of some tens of bytes into an empty socket is taken whole. */
	if (len && send(w->fd, s->msg, len + 2, MSG_NOSIGNAL) < 0)
		shutdown(w->fd, SHUT_RDWR);
	s->have = 0;
}

static void on_accept(struct watch *w, uint32_t events)
{
	int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct stream *s = fd < 0 ? NULL : calloc(1, sizeof(*s));

	(void)events;
	if (!s) {
		if (fd >= 0)
			close(fd);
		return;
	}
	s->w.fd = fd;
	s->w.ready = on_stream;
	loop_add(&s->w, EPOLLIN);
}

/* load dns [--listen ADDR:PORT] NAME=ADDR[,ADDR...]...: answers until it is killed. */
int cmd_dns(const struct options *o)
{
	struct watch udp = { .ready = on_datagram }, tcp = { .ready = on_accept };
	uint16_t port = listen_on(&o->listen, &tcp.fd, &udp.fd);

	table = o;
	loop_add(&udp, EPOLLIN);
	loop_add(&tcp, EPOLLIN);
	printf("{\"ok\":true,\"port\":%u}\n", port);
	fflush(stdout);
	loop_run(0);
	return 0;
}
