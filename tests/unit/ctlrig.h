/* SPDX-License-Identifier: MIT */
/* A control socket under test: with a worker or without, with clients or by hand. */
#ifndef SLUICE_TESTS_UNIT_CTLRIG_H
#define SLUICE_TESTS_UNIT_CTLRIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "src/control/priv.h"
#include "virtio/net_worker.h"

struct ctlrig {
	struct net_worker *w;
	struct control *c;
	unsigned int shutdowns;
	uint64_t stall_ns;   /* of control_config; kept by ctlrig_begin() */
	int fd;		     /* comes with the next request; -1 = none */
	struct sight *sight; /* as stall_ns */
};

static void ctlrig_shutdown(void *ctx)
{
	((struct ctlrig *)ctx)->shutdowns++;
}

static const struct vq_counters *ctlrig_queue(void *ctx, unsigned int q)
{
	static struct vq_counters n[VNET_QUEUES];

	(void)ctx;
	return q < VNET_QUEUES ? &n[q] : NULL;
}

/* @path NULL: no socket; @loop NULL with it */
static inline void ctlrig_begin(struct ctlrig *r, const char *path, struct io_loop *loop)
{
	struct net_worker_config wc;
	struct control_config cc = {
		.path = path,
		.version = "1.2.3",
		.command = "test",
		.start_ns = clock_now_ns(),
		.loop = loop,
		.queue = ctlrig_queue,
		.sight = r->sight,
		.shutdown = ctlrig_shutdown,
		.ctx = r,
		.stall_ns = r->stall_ns,
	};

	r->shutdowns = 0;
	r->fd = -1;
	memset(&wc, 0, sizeof(wc));
	stack_config_defaults(&wc.stack);
	memcpy(wc.net.mac, wc.stack.guest_mac, 6);
	wc.net.mtu = wc.stack.mtu;
	assert_int_equal(net_worker_new(&r->w, &wc), 0);
	cc.worker = r->w;
	assert_int_equal(control_new(&r->c, &cc), 0);
}

static inline void ctlrig_end(struct ctlrig *r)
{
	control_free(r->c);
	net_worker_free(r->w);
}

/* One request; the answer parsed, a new reference. */
static inline json_t *ctlrig_ask(struct ctlrig *r, const char *line)
{
	size_t len = 0;
	char *text = ctl_serve(r->c, line, strlen(line), &r->fd, &len);
	json_t *answer;

	assert_non_null(text);
	assert_int_equal(strlen(text), len);
	assert_int_equal(text[len - 1], '\n');
	assert_ptr_equal(strchr(text, '\n'), text + len - 1);
	answer = json_loads(text, 0, NULL);
	assert_non_null(answer);
	free(text);
	return answer;
}

/* One that is served; its result, a new reference. */
static inline json_t *ctlrig_result(struct ctlrig *r, const char *line)
{
	json_t *answer = ctlrig_ask(r, line), *result;

	if (!json_is_true(json_object_get(answer, "ok")))
		fail_msg("%s: %s", line, json_dumps(answer, 0));
	result = json_incref(json_object_get(answer, "result"));
	json_decref(answer);
	assert_true(json_is_object(result));
	return result;
}

/* One that is refused with @code, and a message that says @text. */
static inline void ctlrig_refused(struct ctlrig *r, const char *line, const char *code,
				  const char *text)
{
	json_t *answer = ctlrig_ask(r, line);
	const json_t *error = json_object_get(answer, "error");
	const char *message = json_string_value(json_object_get(error, "message"));

	assert_true(json_is_false(json_object_get(answer, "ok")));
	assert_null(json_object_get(answer, "result"));
	assert_non_null(message);
	assert_string_equal(json_string_value(json_object_get(error, "code")), code);
	if (!strstr(message, text))
		fail_msg("\"%s\" does not say \"%s\"", message, text);
	json_decref(answer);
}

#endif
