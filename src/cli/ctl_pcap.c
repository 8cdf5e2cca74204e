/* SPDX-License-Identifier: MIT */
/*
 * The client's part of a capture: it opens the file, with its own rights, and sends
 * the descriptor along; or it sends one end of a pair of sockets and copies what comes
 * out of the other to standard output.
 *
 * A stop waits here until the file is complete, since the program that is asked does
 * not wait for disks.
 */
#include "src/cli/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/clock.h"

/* Between two looks whether the file is complete, and for how long, milliseconds. */
#define LOOK_MS	    10
#define PATIENCE_MS 10000

/* How long a signal that came at the wrong moment may go unnoticed, milliseconds. */
#define SIGNAL_MS 200

static volatile sig_atomic_t ended;

static void on_signal(int signo)
{
	(void)signo;
	ended = 1;
}

/* As ctl_link_ask(): what it is about is not ours to say. */
static json_t *failed(char *why, size_t why_len, const char *name, int err)
{
	snprintf(why, why_len, "%s: %s", name, strerror(err));
	errno = EREMOTEIO;
	return NULL;
}

/* Until the capture has ended; takes and gives a result. */
static json_t *until_ended(struct ctl_link *l, json_t *result, char *why, size_t why_len)
{
	uint64_t since = clock_now_ns();

	while (result) {
		const char *state = json_string_value(json_object_get(result, "state"));

		if (!state || strcmp(state, "ending") != 0 ||
		    clock_now_ns() - since > PATIENCE_MS * NS_PER_MS)
			break;
		poll(NULL, 0, LOOK_MS);
		json_decref(result);
		result = ctl_link_ask(l, "pcap status", NULL, why, why_len);
	}
	return result;
}

static int write_all(const char *buf, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

/* What comes by @fd, until its end. A signal asks for the end: what is left still comes. */
static int copy(struct ctl_link *l, int fd)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	static char buf[1 << 16];
	bool stopped = false;
	char why[256];
	int err = 0;

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		ssize_t n;

		if (ended && !stopped) {
			stopped = true;
			json_decref(ctl_link_ask(l, "pcap stop", NULL, why, sizeof(why)));
		}
		if (poll(&p, 1, SIGNAL_MS) <= 0)
			continue;
		n = read(fd, buf, sizeof(buf));
		if (n <= 0)
			return n < 0 ? errno : 0;
		err = write_all(buf, (size_t)n);
		if (err)
			return err;
	}
}

/* To standard output, until somebody says stop. The result goes to standard error. */
static json_t *to_stdout(struct ctl_link *l, json_t *args, char *why, size_t why_len)
{
	int pair[2], err;
	json_t *result;

	if (isatty(STDOUT_FILENO)) {
		json_decref(args);
		return failed(why, why_len, "standard output is a terminal", ENOTTY);
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		json_decref(args);
		return failed(why, why_len, "socket", errno);
	}
	result = ctl_link_send(l, "pcap start", args, pair[1], why, why_len);
	close(pair[1]);
	err = result ? copy(l, pair[0]) : 0;
	close(pair[0]);
	if (!result)
		return NULL;
	json_decref(result);
	if (err) /* nobody reads */
		json_decref(ctl_link_ask(l, "pcap stop", NULL, why, why_len));
	if (err && err != EPIPE)
		return failed(why, why_len, "standard output", err);
	return until_ended(l, ctl_link_ask(l, "pcap status", NULL, why, why_len), why, why_len);
}

/* The file is emptied by the other side, and only if the capture starts. */
static json_t *to_file(struct ctl_link *l, json_t *args, const char *path, char *why,
		       size_t why_len)
{
	const int flags = O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	int fd = open(path, flags | O_EXCL, 0600);
	char real[PATH_MAX];
	bool is_new = fd >= 0;
	json_t *result;

	if (!is_new && errno == EEXIST)
		fd = open(path, flags, 0600);
	if (fd < 0) {
		result = failed(why, why_len, path, errno);
		json_decref(args);
		return result;
	}
	if (!realpath(path, real))
		snprintf(real, sizeof(real), "%s", path);
	json_object_set_new(args, "file", json_string(real)); /* @path was the old one's */
	result = ctl_link_send(l, "pcap start", args, fd, why, why_len);
	if (!result && is_new) {
		int err = errno;

		unlink(real);
		errno = err;
	}
	close(fd);
	return result;
}

/**
 * ctl_takes_stdout() - do frames go to standard output, and the result elsewhere?
 */
bool ctl_takes_stdout(const char *cmd, const json_t *args)
{
	const char *path = json_string_value(json_object_get(args, "file"));

	return strcmp(cmd, "pcap start") == 0 && path && strcmp(path, "-") == 0;
}

/**
 * ctl_is_pcap() - has the command a part of its own here?
 */
bool ctl_is_pcap(const char *cmd)
{
	return strcmp(cmd, "pcap start") == 0 || strcmp(cmd, "pcap stop") == 0;
}

/**
 * ctl_pcap() - "pcap start" and "pcap stop"; as ctl_link_ask()
 */
json_t *ctl_pcap(struct ctl_link *l, const char *cmd, json_t *args, char *why, size_t why_len)
{
	const char *path = json_string_value(json_object_get(args, "file"));

	if (strcmp(cmd, "pcap stop") == 0)
		return until_ended(l, ctl_link_ask(l, cmd, args, why, why_len), why, why_len);
	if (!path) /* it is refused for that */
		return ctl_link_ask(l, cmd, args, why, why_len);
	if (strcmp(path, "-") == 0)
		return to_stdout(l, args, why, why_len);
	return to_file(l, args, path, why, why_len);
}
