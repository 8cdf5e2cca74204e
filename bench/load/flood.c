/* SPDX-License-Identifier: MIT */
/*
 * load flood: datagrams in one direction at a given rate, and how many arrive.
 *
 * A TCP connection keeps both ends together. The client says on it
 *
 *	FLOOD up|down id size rate milliseconds segments
 *
 * and the server answers READY. Upwards the client sends, and ends its direction of the
 * connection when it is through; downwards it shows the server its address by a
 * datagram, and the server sends. Whoever does not know a figure is told it at the end:
 * `received bytes disorder bad` upwards, `sent` downwards. Each datagram begins with a
 * header; the rest is the pattern and is compared.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <linux/udp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define MAGIC	     0x646f6f6c662d646cULL
#define DATAGRAM_MAX 65507U

/* A sender looks at the clock that often, and sends no more than that in one go. */
#define TICK_NS	  1000000
#define TICK_SEND 512U

/* What is under way when the sender has ended arrives within this. */
#define QUIET_MS 100

struct header {
	uint64_t magic, id;
	uint32_t seq, hello;
};

/* What a receiver knows. */
struct tally {
	uint64_t received, bytes, disorder, bad;
	uint32_t next;
};

/* What a sender knows. */
struct sender {
	int fd;
	const struct sockaddr *to; /* NULL where the socket is connected */
	socklen_t to_len;
	uint64_t id;
	size_t size;
	unsigned int segments; /* datagrams that the kernel gets at a time (UDP_SEGMENT) */
	double rate;	       /* datagrams a second, 0 = as many as go */
	int64_t start, ns;
	uint32_t sent;
};

/* The server's side of one flood. */
struct flood {
	struct watch tcp, timer;
	struct flood *next;
	struct tally tally;
	struct sender sender;
	union address peer;
	uint64_t id;
	bool up, ending;
};

static struct flood *floods;

static void tally_add(struct tally *t, const void *p, size_t len)
{
	struct header h;
	uint64_t at;

	memcpy(&h, p, sizeof(h));
	t->received++;
	t->bytes += len;
	if (h.seq < t->next)
		t->disorder++;
	else
		t->next = h.seq + 1;
	if (!pattern_check(h.id, h.seq, (const uint8_t *)p + sizeof(h), len - sizeof(h), &at))
		t->bad++;
}

/* One call: as many datagrams as the kernel shall cut from one. */
static bool send_some(struct sender *s)
{
	static uint8_t out[DATAGRAM_MAX];
	struct iovec iov = { out, s->size * s->segments };
	union {
		struct cmsghdr hdr;
		char space[CMSG_SPACE(sizeof(uint16_t))];
	} control = { .hdr = { .cmsg_level = IPPROTO_UDP,
			       .cmsg_type = UDP_SEGMENT,
			       .cmsg_len = CMSG_LEN(sizeof(uint16_t)) } };
	struct msghdr msg = { .msg_name = (void *)(uintptr_t)s->to,
			      .msg_namelen = s->to_len,
			      .msg_iov = &iov,
			      .msg_iovlen = 1 };
	uint16_t size = (uint16_t)s->size;

	for (unsigned int i = 0; i < s->segments; i++) {
		struct header h = { .magic = MAGIC, .id = s->id, .seq = s->sent + i };
		uint8_t *p = out + i * s->size;

		memcpy(p, &h, sizeof(h));
		memcpy(p + sizeof(h), pattern_at(s->id, h.seq), s->size - sizeof(h));
	}
	if (s->segments > 1) {
		memcpy(CMSG_DATA(&control.hdr), &size, sizeof(size));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
	}
	/* ENOBUFS and the like: the rate is too high; this one is sent again. */
	if (sendmsg(s->fd, &msg, MSG_DONTWAIT) < 0)
		return false;
	s->sent += s->segments;
	return true;
}

/* Sends what is due; false when the time is over. */
static bool send_due(struct sender *s)
{
	int64_t gone = now_ns() - s->start;
	double due = s->rate > 0 ? s->rate * (double)gone / 1e9 : (double)s->sent + TICK_SEND;

	for (unsigned int i = 0; i < TICK_SEND && (double)s->sent < due; i += s->segments)
		if (!send_some(s))
			break;
	return gone < s->ns;
}

/* --- the server --- */

static void flood_end(struct flood *f)
{
	struct flood **p = &floods;

	while (*p != f)
		p = &(*p)->next;
	*p = f->next;
	if (f->timer.fd >= 0)
		loop_close(&f->timer);
	loop_close(&f->tcp);
	free(f);
}

static void set_timer(struct flood *f, int64_t first, int64_t every)
{
	struct itimerspec t = { .it_value.tv_nsec = first, .it_interval.tv_nsec = every };

	if (timerfd_settime(f->timer.fd, 0, &t, NULL))
		die("timerfd: %s", strerror(errno));
}

/* So few bytes into a socket that has sent next to nothing are taken whole. */
static void tell(struct flood *f)
{
	char text[96];
	int n = f->up ? snprintf(text, sizeof(text),
				 "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
				 f->tally.received, f->tally.bytes, f->tally.disorder, f->tally.bad)
		      : snprintf(text, sizeof(text), "%u\n", f->sender.sent);

	(void)!send(f->tcp.fd, text, (size_t)n, MSG_NOSIGNAL);
	flood_end(f);
}

static void on_timer(struct watch *w, uint32_t events)
{
	struct flood *f = (struct flood *)((char *)w - offsetof(struct flood, timer));
	uint64_t times;

	(void)events;
	if (read(w->fd, &times, sizeof(times)) != sizeof(times))
		return;
	if (f->up || !send_due(&f->sender))
		tell(f);
}

static void on_tcp(struct watch *w, uint32_t events)
{
	struct flood *f = (struct flood *)w;
	char c[64];
	ssize_t n = recv(w->fd, c, sizeof(c), 0);

	(void)events;
	if (n < 0 && errno == EAGAIN)
		return;
	/* Upwards the end of file says that the sender is through. */
	if (n == 0 && f->up && !f->ending) {
		f->ending = true;
		loop_set(w, 0);
		set_timer(f, QUIET_MS * 1000000LL, 0);
	} else if (n <= 0) {
		flood_end(f);
	}
}

/*
 * flood_begin() - serve a flood on a connection that has said it wants one.
 *
 * @tcp: the connection, ours from now on
 * @udp: where datagrams come and go
 * @line: FLOOD and the rest
 *
 * Returns false when the line makes no sense; @tcp is still the caller's then.
 */
bool flood_begin(int tcp, int udp, const char *line)
{
	struct flood *f = calloc(1, sizeof(*f));
	uint64_t size, rate, ms, segments;
	char dir[8];

	if (!f)
		die("out of memory");
	if (sscanf(line, "FLOOD %7s %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, dir,
		   &f->id, &size, &rate, &ms, &segments) != 6 ||
	    size < sizeof(struct header) || size > DATAGRAM_MAX || segments == 0 ||
	    segments > DATAGRAM_MAX / size || send(tcp, "READY\n", 6, 0) != 6) {
		free(f);
		return false;
	}
	f->up = !strcmp(dir, "up");
	f->sender = (struct sender){ .fd = udp,
				     .id = f->id,
				     .size = (size_t)size,
				     .segments = (unsigned int)segments,
				     .rate = (double)rate,
				     .ns = (int64_t)ms * 1000000 };
	f->tcp.fd = tcp;
	f->tcp.ready = on_tcp;
	loop_add(&f->tcp, EPOLLIN);
	f->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (f->timer.fd < 0)
		die("timerfd: %s", strerror(errno));
	f->timer.ready = on_timer;
	loop_add(&f->timer, EPOLLIN);
	f->next = floods;
	floods = f;
	return true;
}

/* flood_datagram() - is it of a flood? Then it is dealt with. */
bool flood_datagram(const void *p, size_t len, const union address *from)
{
	struct flood *f = floods;
	struct header h;

	if (len < sizeof(h))
		return false;
	memcpy(&h, p, sizeof(h));
	if (h.magic != MAGIC)
		return false;
	while (f && f->id != h.id)
		f = f->next;
	if (f && f->up) {
		tally_add(&f->tally, p, len);
	} else if (f && h.hello && !f->sender.to) {
		f->peer = *from;
		f->sender.to = &f->peer.sa;
		f->sender.to_len = from->sa.sa_family == AF_INET6 ? sizeof(from->in6)
								  : sizeof(from->in4);
		f->sender.start = now_ns();
		set_timer(f, TICK_NS, TICK_NS);
	}
	return true;
}

/* --- the client --- */

static void sleep_ns(long ns)
{
	struct timespec t = { .tv_nsec = ns };

	nanosleep(&t, NULL);
}

/* The line with which the server ends, or READY. */
static void hear(int tcp, char *text, size_t size, double timeout)
{
	size_t have = 0;

	do {
		ssize_t n;

		if (!wait_for(tcp, POLLIN, (int)(timeout * 1e3)))
			die("the server does not answer");
		n = recv(tcp, text + have, size - 1 - have, 0);
		if (n <= 0)
			die("the server has gone");
		have += (size_t)n;
		text[have] = '\0';
	} while (!strchr(text, '\n') && have < size - 1);
}

static void flood_up(int tcp, struct sender *s, struct tally *t, double timeout)
{
	char text[128];

	s->start = now_ns();
	while (send_due(s))
		if (s->rate > 0)
			sleep_ns(TICK_NS / 4);
	s->ns = now_ns() - s->start;
	shutdown(tcp, SHUT_WR);
	hear(tcp, text, sizeof(text), timeout);
	if (sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &t->received, &t->bytes,
		   &t->disorder, &t->bad) != 4)
		die("the server says '%s'", text);
}

/* Takes what is there; false when there was nothing. */
static bool take(int udp, struct tally *t)
{
	static uint8_t in[DATAGRAM_MAX];
	struct header h;
	ssize_t n = recv(udp, in, sizeof(in), MSG_DONTWAIT);

	if (n < (ssize_t)sizeof(h))
		return false;
	memcpy(&h, in, sizeof(h));
	if (h.magic == MAGIC)
		tally_add(t, in, (size_t)n);
	return true;
}

static void flood_down(int tcp, struct sender *s, struct tally *t, double timeout)
{
	struct header hello = { .magic = MAGIC, .id = s->id, .hello = 1 };
	int64_t deadline = now_ns() + (int64_t)(timeout * 1e9);
	struct pollfd p[] = { { .fd = s->fd, .events = POLLIN }, { .fd = tcp, .events = POLLIN } };
	char text[64];

	/* The address may need saying twice; one that is known is not changed. */
	while (!t->received) {
		if (now_ns() > deadline)
			die("no datagram comes");
		if (send(s->fd, &hello, sizeof(hello), 0) < 0)
			die("send: %s", strerror(errno));
		poll(p, 1, 50);
		take(s->fd, t);
	}
	while (!p[1].revents && now_ns() < deadline) {
		poll(p, 2, 1000);
		while (take(s->fd, t))
			;
	}
	hear(tcp, text, sizeof(text), timeout);
	s->sent = (uint32_t)strtoul(text, NULL, 10);
	while (poll(p, 1, QUIET_MS) == 1)
		while (take(s->fd, t))
			;
}

/* load flood --to HOST:PORT --dir up|down --size B --seconds S [--rate N] [--segments M] */
int cmd_flood(const struct options *o)
{
	struct sender s = {
		.id = (uint64_t)now_ns() ^ (uint64_t)getpid() << 40 ^ o->seed,
		.size = (size_t)(o->size < sizeof(struct header) ? sizeof(struct header) : o->size),
		.segments = o->segments,
		.rate = o->rate,
		.ns = (int64_t)(o->seconds * 1e9),
	};
	struct tally t = { 0 };
	char line[128];
	double seconds;
	int tcp, size = 4 << 20;

	if (s.size * s.segments > DATAGRAM_MAX)
		die("--size, --segments times, is at most %u here", DATAGRAM_MAX);
	snprintf(line, sizeof(line), "FLOOD %s %" PRIu64 " %zu %.0f %.0f %u", o->up ? "up" : "down",
		 s.id, s.size, o->rate, o->seconds * 1e3, s.segments);
	tcp = ask_server(&o->to, line, o->timeout);
	hear(tcp, line, sizeof(line), o->timeout);
	if (strcmp(line, "READY\n") != 0)
		die("the server says '%s'", line);
	s.fd = connect_to(&o->to, SOCK_DGRAM);
	setsockopt(s.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	(o->up ? flood_up : flood_down)(tcp, &s, &t, o->timeout);
	seconds = (double)s.ns / 1e9;
	printf("{\"ok\":%s,\"test\":\"flood\",\"dir\":\"%s\",\"size\":%zu,\"offered_per_s\":%.0f,"
	       "\"sent\":%u,\"received\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"disorder\":%" PRIu64
	       ",\"seconds\":%.6f,\"per_s\":%.1f,\"gbit_s\":%.4f,\"loss_pct\":%.3f,\"cpu_s\":%.4f}"
	       "\n",
	       t.bad ? "false" : "true", o->up ? "up" : "down", s.size, o->rate, s.sent, t.received,
	       t.bad, t.disorder, seconds, (double)t.received / seconds,
	       (double)t.bytes * 8 / 1e9 / seconds,
	       s.sent ? 100.0 * (1 - (double)t.received / s.sent) : 0.0, cpu_seconds());
	close(s.fd);
	close(tcp);
	return t.bad ? 1 : 0;
}
