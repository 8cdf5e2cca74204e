/* SPDX-License-Identifier: MIT */
/*
 * A client of the control socket that writes anything at all.
 *
 * The input is what the client writes before it hangs up. Behind the socket is a real
 * stack, called on this thread: net_worker's functions are replaced below, so that an
 * input has one outcome. Each line that is not blank is answered by exactly one line
 * of JSON, which is a result or an error with a code that is documented.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/log.h"
#include "src/base/unixsock.h"
#include "src/control/control.h"
#include "src/vmm/io_loop.h"
#include "tests/fuzz/fuzz.h"
#include "virtio/net_worker.h"

/* Turns of the loop without progress after which we call it stuck. */
#define TURNS_MAX 10000

static void setup(void);

const struct fuzz_target fuzz_target = {
	.name = "ctl",
	.done = "requests served",
	.refused = "requests refused",
	.floor = 35,
	.mutations = 800,
	.alloc_one = 1 << 20,
	.alloc_all = 4 << 20,
	.alloc_per_byte = 65536, /* a short request may have a long answer */
	.setup = setup,
};

/* --- a worker without a thread -------------------------------------------------- */

struct net_worker {
	struct stack *st;
	struct net_worker_counters n;
};

static struct net_worker worker;
static uint64_t clock_ns;

int net_worker_call(struct net_worker *w, int (*fn)(void *ctx, struct stack *st), void *ctx)
{
	return fn(ctx, w->st);
}

uint32_t net_worker_memory(struct net_worker *w, struct stack_memory rows[STACK_MEMORY_ROWS])
{
	return stack_memory_rows(w->st, rows, STACK_MEMORY_ROWS);
}

const struct net_worker_counters *net_worker_counters(const struct net_worker *w)
{
	return &w->n;
}

const struct stack_counters *net_worker_stack_counters(const struct net_worker *w)
{
	return stack_counters(w->st);
}

static uint64_t env_now(void *ctx)
{
	(void)ctx;
	return ++clock_ns;
}

static void env_random(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	memset(buf, 0x5a, len);
}

/* --- the server ------------------------------------------------------------------ */

static struct io_loop *loop;
static char dir[] = "/tmp/fuzz-ctl-XXXXXX", path[64];

static const struct vq_counters *queue(void *ctx, unsigned int q)
{
	static struct vq_counters n[VNET_QUEUES];

	(void)ctx;
	return q < VNET_QUEUES ? &n[q] : NULL;
}

static void on_shutdown(void *ctx)
{
	(void)ctx;
}

/* Small tables: a new stack for each input has to be cheap. */
static struct control *begin(void)
{
	const struct stack_env env = { .now_ns = env_now, .random = env_random };
	struct control_config cc = {
		.path = path,
		.version = "0",
		.command = "fuzz",
		.loop = loop,
		.worker = &worker,
		.queue = queue,
		.shutdown = on_shutdown,
	};
	struct stack_config sc;
	struct control *c;

	stack_config_defaults(&sc);
	sc.bulk = STACK_BULK_COPY; /* no ring, and no trial connection, for each input */
	sc.no_peek_offset = true;
	sc.max_tcp = sc.max_udp = sc.max_ping = sc.max_dns = 8;
	FUZZ_CHECK(stack_new(&worker.st, &sc, &env) == 0, "no stack");
	FUZZ_CHECK(control_new(&c, &cc) == 0, "no socket");
	return c;
}

static void end(struct control *c)
{
	control_free(c);
	stack_free(worker.st);
	log_set_level(LOG_WARN);
}

/* --- the client -------------------------------------------------------------------- */

/**
 * struct client - what was written and read
 * @at:	bytes written
 */
struct client {
	int fd;
	const uint8_t *data;
	size_t len, at;
	char *heard;
	size_t heard_len;
	bool hung_up;
};

/* True when something moved. */
static bool speak(struct client *cl)
{
	ssize_t n;

	if (cl->hung_up)
		return false;
	if (cl->at == cl->len) {
		shutdown(cl->fd, SHUT_WR);
		cl->hung_up = true;
		return true;
	}
	n = send(cl->fd, cl->data + cl->at, cl->len - cl->at, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n <= 0)
		return false;
	cl->at += (size_t)n;
	return true;
}

/* Return: bytes read; 0 at the end; -EAGAIN */
static ssize_t hear(struct client *cl)
{
	static char buf[1 << 16];
	ssize_t n = recv(cl->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n <= 0)
		return n < 0 ? -errno : 0;
	cl->heard = realloc(cl->heard, cl->heard_len + (size_t)n);
	FUZZ_CHECK(cl->heard, "out of memory");
	memcpy(cl->heard + cl->heard_len, buf, (size_t)n);
	cl->heard_len += (size_t)n;
	return n;
}

/* To the end of the conversation. */
static void talk(struct client *cl)
{
	for (int idle = 0;; idle++) {
		bool moved = speak(cl);
		ssize_t n;

		io_loop_stop(loop); /* one turn */
		io_loop_run(loop);
		n = hear(cl);
		if (n == 0)
			return;
		FUZZ_CHECK(n > 0 || n == -EAGAIN, "%s", strerror((int)-n));
		if (moved || n > 0)
			idle = 0;
		FUZZ_CHECK(idle < TURNS_MAX, "the server has stopped");
	}
}

static bool known_code(const char *code)
{
	static const char *const codes[] = { "syntax",	  "too-long",	 "unknown-command",
					     "not-found", "exists",	 "bad-argument",
					     "busy",	  "unavailable", "failed" };

	for (size_t i = 0; code && i < ARRAY_SIZE(codes); i++)
		if (strcmp(code, codes[i]) == 0)
			return true;
	return false;
}

static void check_answer(const char *line, size_t len)
{
	json_t *a = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *ok = json_object_get(a, "ok"), *error = json_object_get(a, "error");

	FUZZ_CHECK(json_is_object(a), "%.*s", (int)len, line);
	if (json_is_true(ok)) {
		FUZZ_CHECK(json_is_object(json_object_get(a, "result")) && !error, "%.*s", (int)len,
			   line);
		fuzz_work.done++;
	} else {
		FUZZ_CHECK(json_is_false(ok) && !json_object_get(a, "result"), "%.*s", (int)len,
			   line);
		FUZZ_CHECK(known_code(json_string_value(json_object_get(error, "code"))), "%.*s",
			   (int)len, line);
		FUZZ_CHECK(json_is_string(json_object_get(error, "message")), "%.*s", (int)len,
			   line);
		fuzz_work.refused++;
	}
	json_decref(a);
}

static uint64_t check_answers(const struct client *cl)
{
	uint64_t n = 0;

	for (size_t at = 0; at < cl->heard_len; n++) {
		const char *line = cl->heard + at;
		const char *nl = memchr(line, '\n', cl->heard_len - at);

		FUZZ_CHECK(nl, "half an answer");
		check_answer(line, (size_t)(nl - line));
		at += (size_t)(nl - line) + 1;
	}
	return n;
}

/* Lines that want an answer: those that end and are not blank, and those too long to be one. */
static uint64_t requests(const uint8_t *data, size_t len)
{
	uint64_t n = 0;

	for (size_t at = 0; at < len;) {
		const uint8_t *nl = memchr(data + at, '\n', len - at);
		size_t line = nl ? (size_t)(nl - data) - at : len - at, i = 0;

		while (i < line && memchr(" \t\r", data[at + i], 3))
			i++;
		n += line >= CTL_LINE_MAX || (nl && i < line);
		at += line + 1;
	}
	return n;
}

static void setup(void)
{
	fuzz_own_network(); /* forwards listen */
	FUZZ_CHECK(mkdtemp(dir), "%s", strerror(errno));
	snprintf(path, sizeof(path), "%s/s", dir);
	FUZZ_CHECK(io_loop_new(&loop) == 0, "no loop");
}

void fuzz_one(const uint8_t *data, size_t len)
{
	struct client cl = { .data = data, .len = len };
	struct control *c;
	uint64_t answers;

	fuzz_alloc_end();
	c = begin();
	fuzz_alloc_begin(len);
	cl.fd = unix_connect(path, 0);
	FUZZ_CHECK(cl.fd >= 0, "%s", strerror(-cl.fd));
	talk(&cl);
	answers = check_answers(&cl);
	FUZZ_CHECK(answers == requests(data, len), "%llu answers to %llu requests",
		   (unsigned long long)answers, (unsigned long long)requests(data, len));
	close(cl.fd);
	free(cl.heard);
	end(c);
}

/* What was made in setup(). */
__attribute__((destructor)) static void leave(void)
{
	io_loop_free(loop);
	if (path[0])
		rmdir(dir);
}
