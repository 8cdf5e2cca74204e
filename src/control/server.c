/* SPDX-License-Identifier: MIT */
/*
 * The control socket's clients.
 *
 * Theory of operation: all of it is the main thread's, in its event loop. A
 * client has a buffer for the line that it is sending and, while the socket does
 * not take them, the answers that wait. While answers wait, nothing more is read
 * from that client, so what it can make us keep is one buffer of requests'
 * answers; it is cut off when that is too much, or when it has not read for
 * CTL_STALL_NS. The others are served meanwhile, and the network worker knows
 * nothing of it.
 *
 * A client may send a descriptor with a request that wants one (pcap start). It
 * arrives with the bytes that it was sent with, so it is kept until a request takes
 * it, the next one comes, or the client goes.
 */
#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/base/rng.h"
#include "src/base/unixsock.h"
#include "src/control/priv.h"
#include "src/vmm/io_loop.h"
#include "virtio/net_worker.h"

/* Answers that may wait before the next request is looked at. */
#define OUT_HIGH (64U << 10)

/* After an answer of so many bytes the heap's free pages go back to the system. */
#define OUT_TRIM (128U << 10)

/**
 * struct client - one connection
 * @slot:	in control.clients
 * @out, @out_len, @out_off:	answers; those before @out_off have left
 * @progress_ns:	when the socket last took something while answers waited
 * @passed:	a descriptor that it has sent, until a request takes it; -1 = none
 * @skip:	the line was too long: what follows up to its end is passed over
 * @eof:	it sends no more; the answers still go out
 */
struct client {
	struct control *c;
	uint32_t slot;
	int fd, passed;
	bool skip, eof;
	uint32_t watched;
	char *out;
	size_t out_len, out_off, out_cap;
	uint64_t progress_ns;
	uint32_t have;
	char in[CTL_LINE_MAX];
};

struct control {
	struct control_config cfg;
	int listener, timer;
	struct client *clients[CTL_CLIENTS_MAX];
	size_t out_total;
	struct ctl_counters n;
	struct flow_list flows;
	struct policy_list policy; /* as it is now; rules.c changes it */
	struct ctl_cache cache[CACHES];
};

/**
 * control_cfg() - what the socket was made with
 */
const struct control_config *control_cfg(const struct control *c)
{
	return &c->cfg;
}

struct ctl_counters *control_counters(struct control *c)
{
	return &c->n;
}

struct flow_list *control_flows(struct control *c)
{
	return &c->flows;
}

struct policy_list *control_policy(struct control *c)
{
	return &c->policy;
}

struct ctl_cache *control_cache(struct control *c, unsigned int which)
{
	return &c->cache[which];
}

/**
 * control_call() - net_worker_call() of a handler
 *
 * Return: what @fn returned; -ENOTSUP where the guest has no network
 */
int control_call(struct ctl_request *r, int (*fn)(void *ctx, struct stack *st), void *ctx)
{
	if (!r->c->cfg.worker)
		return ctl_fail(r, -ENOTSUP, "the guest has no network");
	return net_worker_call(r->c->cfg.worker, fn, ctx);
}

static int copy_info(void *ctx, struct stack *st)
{
	stack_get_info(st, ctx);
	return 0;
}

/**
 * control_info() - stack_get_info() of a handler; as control_call() otherwise
 */
int control_info(struct ctl_request *r, struct stack_info *info)
{
	return control_call(r, copy_info, info);
}

static void drop_client(struct client *cl)
{
	struct control *c = cl->c;

	io_loop_del(c->cfg.loop, cl->fd);
	close(cl->fd);
	if (cl->passed >= 0)
		close(cl->passed);
	c->clients[cl->slot] = NULL;
	c->out_total -= cl->out_cap;
	c->n.clients--;
	free(cl->out);
	free(cl);
}

static void cut_off(struct client *cl, const char *why)
{
	cl->c->n.slow++;
	log_limited(LOG_WARN, "control", "a client is cut off: %s", why);
	drop_client(cl);
}

static size_t waiting(const struct client *cl)
{
	return cl->out_len - cl->out_off;
}

/* Send what the socket takes. False when the client is gone. */
static bool flush(struct client *cl)
{
	while (waiting(cl)) {
		ssize_t n = send(cl->fd, cl->out + cl->out_off, waiting(cl),
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0) {
			drop_client(cl);
			return false;
		}
		cl->out_off += (size_t)n;
		cl->progress_ns = clock_now_ns();
	}
	/* Nothing waits: an idle client keeps no memory. */
	cl->c->out_total -= cl->out_cap;
	free(cl->out);
	/* Of a long answer's tree the C library would keep ten times its length. */
	if (cl->out_cap >= OUT_TRIM)
		malloc_trim(0);
	cl->out = NULL;
	cl->out_len = cl->out_off = cl->out_cap = 0;
	return true;
}

/* Put an answer behind those that wait; takes @text. False when the client is gone. */
static bool answer(struct client *cl, char *text, size_t len)
{
	struct control *c = cl->c;

	if (!text || waiting(cl) + len > CTL_OUT_MAX || c->out_total + len > CTL_OUT_TOTAL) {
		free(text);
		cut_off(cl, "its answers are too long to keep");
		return false;
	}
	if (!cl->out) {
		cl->out = text;
		cl->out_cap = len;
		cl->out_len = len;
		cl->progress_ns = clock_now_ns();
	} else {
		char *more = realloc(cl->out, cl->out_len + len);

		if (!more) {
			free(text);
			cut_off(cl, "out of memory");
			return false;
		}
		memcpy(more + cl->out_len, text, len);
		free(text);
		cl->out = more;
		cl->out_len += len;
		cl->out_cap += len;
	}
	c->out_total += len;
	return true;
}

static bool blank(const char *line, size_t len)
{
	while (len && strchr(" \t\r", line[len - 1]) && line[len - 1])
		len--;
	return len == 0;
}

/* False when the client is gone. */
static bool serve_line(struct client *cl, const char *line, size_t len)
{
	size_t out_len = 0;
	char *text;

	if (blank(line, len))
		return true;
	text = ctl_serve(cl->c, line, len, &cl->passed, &out_len);
	return answer(cl, text, out_len) && (waiting(cl) < OUT_HIGH || flush(cl));
}

/* A line that does not fit is refused once and then passed over. */
static bool refuse_long(struct client *cl)
{
	size_t len = 0;
	char *text;

	cl->have = 0;
	if (cl->skip)
		return true;
	cl->skip = true;
	cl->c->n.errors++;
	text = ctl_refusal("too-long", "a request has more than 16384 bytes", &len);
	return answer(cl, text, len);
}

/* Lines that have come, as long as their answers leave. False when the client is gone. */
static bool serve_lines(struct client *cl)
{
	uint32_t at = 0;
	char *nl;

	while (waiting(cl) < OUT_HIGH && (nl = memchr(cl->in + at, '\n', cl->have - at))) {
		const char *line = cl->in + at;
		bool skip = cl->skip;

		at = (uint32_t)(nl - cl->in) + 1;
		cl->skip = false;
		if (!skip && !serve_line(cl, line, (size_t)(nl - line)))
			return false;
	}
	cl->have -= at;
	memmove(cl->in, cl->in + at, cl->have);
	if (cl->have == CTL_LINE_MAX && !memchr(cl->in, '\n', cl->have))
		return refuse_long(cl);
	return true;
}

/* Watch for what the client can do next. */
static void rewatch(struct client *cl)
{
	uint32_t want = waiting(cl) ? EPOLLOUT : cl->eof ? 0 : EPOLLIN;

	if (want != cl->watched && io_loop_mod(cl->c->cfg.loop, cl->fd, want) == 0)
		cl->watched = want;
}

/* One timer, running only while some client does not read. */
static void arm_timer(struct control *c)
{
	const struct itimerspec t = { .it_value = { .tv_sec = 1 } };

	if (c->timer >= 0)
		timerfd_settime(c->timer, 0, &t, NULL);
}

/* A descriptor that came along; one that nobody has asked for gives way to it. */
static void keep_passed(struct client *cl, struct msghdr *msg)
{
	int fd;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(fd) <= h->cmsg_len; at += sizeof(fd)) {
			memcpy(&fd, (const char *)h + at, sizeof(fd));
			if (cl->passed >= 0)
				close(cl->passed);
			cl->passed = fd;
		}
	}
}

/* As recv(2), with at most one descriptor; the kernel closes what is beyond it. */
static ssize_t receive(struct client *cl)
{
	struct iovec iov = { cl->in + cl->have, CTL_LINE_MAX - cl->have };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = CMSG_LEN(sizeof(int)) };
	ssize_t n = recvmsg(cl->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n >= 0)
		keep_passed(cl, &msg);
	return n;
}

static void on_client(void *ctx, uint32_t events)
{
	struct client *cl = ctx;
	ssize_t n;

	if (events & EPOLLERR || (events & EPOLLHUP && !(events & EPOLLIN))) {
		drop_client(cl);
		return;
	}
	if (waiting(cl) && !flush(cl))
		return;
	if (!waiting(cl) && !cl->eof && cl->have < CTL_LINE_MAX) {
		n = receive(cl);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			drop_client(cl);
			return;
		}
		cl->eof = n == 0;
		if (n > 0)
			cl->have += (uint32_t)n;
	}
	/* Lines may wait in the buffer that no event will tell of: until none moves. */
	for (;;) {
		uint32_t before = cl->have;

		if (!serve_lines(cl) || !flush(cl))
			return;
		if (waiting(cl) || cl->have == before)
			break;
	}
	if (cl->eof && !waiting(cl)) {
		drop_client(cl);
		return;
	}
	if (waiting(cl))
		arm_timer(cl->c);
	rewatch(cl);
}

static void on_timer(void *ctx, uint32_t events)
{
	struct control *c = ctx;
	uint64_t stall = c->cfg.stall_ns ? c->cfg.stall_ns : CTL_STALL_NS;
	uint64_t now = clock_now_ns(), ticks;
	bool slow = false;

	(void)events;
	if (read(c->timer, &ticks, sizeof(ticks)) < 0)
		return;
	for (uint32_t i = 0; i < CTL_CLIENTS_MAX; i++) {
		struct client *cl = c->clients[i];

		if (!cl || !waiting(cl))
			continue;
		if (now - cl->progress_ns >= stall)
			cut_off(cl, "it does not read its answers");
		else
			slow = true;
	}
	if (slow)
		arm_timer(c);
}

static void on_connect(void *ctx, uint32_t events)
{
	struct control *c = ctx;
	int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *cl;
	uint32_t slot = 0;

	(void)events;
	if (fd < 0) {
		/* It thought better of it; or it waits until there are descriptors again. */
		if (errno != EAGAIN && errno != ECONNABORTED)
			io_loop_rest(c->cfg.loop, c->listener);
		return;
	}
	while (slot < CTL_CLIENTS_MAX && c->clients[slot])
		slot++;
	cl = slot < CTL_CLIENTS_MAX ? calloc(1, sizeof(*cl)) : NULL;
	if (cl) {
		cl->c = c;
		cl->slot = slot;
		cl->fd = fd;
		cl->passed = -1;
		cl->watched = EPOLLIN;
	}
	if (!cl || io_loop_add(c->cfg.loop, fd, EPOLLIN, on_client, cl) < 0) {
		size_t len = 0;
		char *text = ctl_refusal("busy", "too many clients", &len);
		ssize_t ignored = text ? send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

		(void)ignored;
		free(text);
		free(cl);
		close(fd);
		c->n.turned_away++;
		return;
	}
	c->clients[slot] = cl;
	c->n.accepted++;
	c->n.clients++;
}

/**
 * control_new() - listen
 * @cfg:	copied; what it points to outlives the socket
 *
 * The file has mode 0600: whoever runs sluice may ask, and nobody else. Main
 * thread. Return: 0 with *@out, which control_free() ends; or -errno
 */
int control_new(struct control **out, const struct control_config *cfg)
{
	struct control *c = calloc(1, sizeof(*c));
	size_t seed;
	int err = 0;

	if (!c)
		return -ENOMEM;
	/* Else jansson opens /dev/urandom at the first object, when no file can be opened. */
	rng_fill(&seed, sizeof(seed));
	json_object_seed(seed | 1);
	c->cfg = *cfg;
	c->listener = c->timer = -1;
	if (cfg->policy)
		err = policy_list_copy(&c->policy, cfg->policy);
	if (err == 0 && cfg->path) {
		c->listener = unix_listen(cfg->path, 0600, 64);
		c->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		err = c->listener < 0 ? c->listener : c->timer < 0 ? -errno : 0;
		if (err == 0)
			err = io_loop_add(cfg->loop, c->listener, EPOLLIN, on_connect, c);
		if (err == 0)
			err = io_loop_add(cfg->loop, c->timer, EPOLLIN, on_timer, c);
	}
	if (err < 0) {
		control_free(c);
		return err;
	}
	*out = c;
	return 0;
}

/**
 * control_free() - cut everybody off and remove the file; NULL is harmless
 *
 * Before the worker and the loop go. Main thread, outside of handlers.
 */
void control_free(struct control *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < CTL_CLIENTS_MAX; i++) {
		/* The answer to "shutdown" may not have left yet. */
		if (c->clients[i] && flush(c->clients[i]))
			drop_client(c->clients[i]);
	}
	if (c->timer >= 0) {
		io_loop_del(c->cfg.loop, c->timer);
		close(c->timer);
	}
	if (c->listener >= 0) {
		io_loop_del(c->cfg.loop, c->listener);
		close(c->listener);
		unlink(c->cfg.path);
	}
	for (unsigned int i = 0; i < CACHES; i++)
		free(c->cache[i].text);
	free(c->flows.flow);
	policy_list_free(&c->policy);
	free(c);
}
