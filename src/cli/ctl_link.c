/* SPDX-License-Identifier: MIT */
/* The client's end of the control socket: one request, one answer. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "src/base/unixsock.h"
#include "src/cli/ctl.h"

/* Longer than any answer takes, seconds. */
#define PATIENCE_S 15

struct ctl_link {
	FILE *f;
	char *line;
	size_t cap;
};

/**
 * ctl_link_open() - connect; 0 with *@out, which ctl_link_close() ends, or -errno
 */
int ctl_link_open(struct ctl_link **out, const char *path)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	struct ctl_link *l = calloc(1, sizeof(*l));
	int fd;

	if (!l)
		return -ENOMEM;
	fd = unix_connect(path, 0);
	if (fd < 0) {
		free(l);
		return fd;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	l->f = fdopen(fd, "r+");
	if (!l->f) {
		close(fd);
		free(l);
		return -ENOMEM;
	}
	*out = l;
	return 0;
}

/**
 * ctl_link_close() - NULL is harmless
 */
void ctl_link_close(struct ctl_link *l)
{
	if (!l)
		return;
	fclose(l->f);
	free(l->line);
	free(l);
}

/* As send(2); @pass goes along unless it is -1. */
static ssize_t send_with(int fd, void *text, size_t len, int pass)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS,
				  .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct iovec iov = { text, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (pass >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		memcpy(CMSG_DATA(&control.header), &pass, sizeof(pass));
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static int say(struct ctl_link *l, const json_t *request, int pass)
{
	char *text = json_dumps(request, JSON_COMPACT);
	int fd = fileno(l->f), err = 0;
	size_t len = text ? strlen(text) : 0, at = 0;

	if (!text)
		return -ENOMEM;
	text[len++] = '\n'; /* in place of the terminator */
	while (at < len && err == 0) {
		ssize_t n = send_with(fd, text + at, len - at, at ? -1 : pass);

		if (n > 0)
			at += (size_t)n;
		else if (errno != EINTR)
			err = -errno;
	}
	free(text);
	return err;
}

/**
 * ctl_link_send() - one request, with a descriptor
 * @args:	object or list, NULL = none; its reference is taken
 * @fd:		-1 = none; stays the caller's
 * @why:	on failure, one line
 *
 * Return: the result, a new reference; NULL with errno EREMOTEIO when the request was
 * refused, or another errno when the link broke
 */
json_t *ctl_link_send(struct ctl_link *l, const char *cmd, json_t *args, int fd, char *why,
		      size_t why_len)
{
	json_t *request = json_pack("{s:s}", "cmd", cmd), *answer = NULL, *result;
	const json_t *error;
	int err;

	if (args)
		json_object_set_new(request, "args", args);
	err = say(l, request, fd);
	json_decref(request);
	errno = 0;
	if (err == 0 && getline(&l->line, &l->cap, l->f) < 0)
		err = errno ? -errno : -ECONNRESET;
	if (err == 0)
		answer = json_loads(l->line, 0, NULL);
	if (err == 0 && !answer)
		err = -EPROTO;
	if (err < 0) {
		snprintf(why, why_len, "%s", err == -EAGAIN ? "no answer in time" : strerror(-err));
		errno = -err;
		return NULL;
	}
	result = json_incref(json_object_get(answer, "result"));
	error = json_object_get(answer, "error");
	if (!result) {
		const char *message = json_string_value(json_object_get(error, "message"));

		snprintf(why, why_len, "%s", message ? message : "refused without a word");
		errno = EREMOTEIO;
	}
	json_decref(answer);
	return result;
}

/**
 * ctl_link_ask() - one request without a descriptor; as ctl_link_send()
 */
json_t *ctl_link_ask(struct ctl_link *l, const char *cmd, json_t *args, char *why, size_t why_len)
{
	return ctl_link_send(l, cmd, args, -1, why, why_len);
}
