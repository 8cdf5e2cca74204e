/* SPDX-License-Identifier: MIT */
/*
 * distance: run a server that is so many milliseconds away.
 *
 * Theory of operation. What netem does, for kernels that have none: a TAP in this
 * network namespace and one in a new one, and this process between them, which lets
 * each frame through after its time (bench/nsguest/impair.c). Both TAPs take whole TSO
 * segments with their checksums undone, and hand them over as they are, so a link of
 * 64 KiB frames costs one read and one write of them.
 *
 *	near 10.98.0.1  near0 ==[ this process ]== far0  far 10.98.0.2
 *						   COMMAND runs here
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/nsguest/nsguest.h"
#include "src/base/base.h"
#include "src/base/clock.h"

static const char usage[] =
	"usage: distance --delay MS -- COMMAND [ARG...]\n"
	"\n"
	"Run COMMAND in a network namespace of its own, address 10.98.0.2, which this one\n"
	"reaches over a link that holds each frame for MS milliseconds, both ways. Ends when\n"
	"COMMAND does, with its status (125: distance failed).\n";

/* Frames taken from one end before the other has its turn. */
#define BUDGET 64

#define MTU 65520

struct end {
	int fd;
	struct impair towards; /* frames on their way out of here */
};

NORETURN static void fail(const char *what, int err)
{
	fprintf(stderr, "distance: %s: %s\n", what, strerror(-err));
	exit(125);
}

static void deliver(void *ctx, const void *frame, uint32_t len)
{
	const struct end *e = ctx;
	ssize_t n = write(e->fd, frame, len);

	/* A full queue loses frames, as on any link. */
	(void)n;
}

static int open_end(struct end *e, const char *name, const char *address)
{
	static const uint8_t any_mac[6];
	struct ns_address a = { .mtu = MTU };
	int ret;

	inet_aton(address, &a.addr);
	inet_aton("255.255.255.0", &a.mask);
	e->fd = ns_tap_open(name, ~0ULL, any_mac);
	if (e->fd < 0)
		return e->fd;
	ret = ns_configure(name, &a);
	return ret;
}

/* Takes what has come to one end and sets it on its way to the other. */
static void take(const struct end *from, struct end *to, uint64_t now)
{
	static uint8_t frame[FRONT_FRAME_MAX];

	for (int i = 0; i < BUDGET; i++) {
		ssize_t n = read(from->fd, frame, sizeof(frame));

		if (n <= 0)
			return;
		impair_push(&to->towards, frame, (uint32_t)n, now);
	}
}

static void pump(struct end *near, struct end *far)
{
	struct pollfd p[2] = { { .fd = near->fd, .events = POLLIN },
			       { .fd = far->fd, .events = POLLIN } };

	for (;;) {
		uint64_t now = clock_now_ns();
		uint64_t due = impair_run(&near->towards, now);
		struct timespec t;

		due = MIN(due, impair_run(&far->towards, now));
		due = due == UINT64_MAX ? NS_PER_S : due > now ? due - now : 0;
		t = (struct timespec){ (time_t)(due / NS_PER_S), (long)(due % NS_PER_S) };
		if (ppoll(p, 2, &t, NULL) < 0 && errno != EINTR)
			fail("poll", -errno);
		now = clock_now_ns();
		if (p[0].revents)
			take(near, far, now);
		if (p[1].revents)
			take(far, near, now);
	}
}

/* The command's end is ours; its status is handed on. */
static void on_child(int sig)
{
	int status;

	(void)sig;
	if (wait(&status) > 0)
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "delay", 1, NULL, 'd' }, { 0 } };
	struct impair_config link = { 0 };
	struct end near, far;
	int c, home, ret;
	pid_t pid;

	while ((c = getopt_long(argc, argv, "+", longs, NULL)) == 'd')
		link.delay_ns = (uint64_t)(strtod(optarg, NULL) * (double)NS_PER_MS);
	if (c != -1 || optind >= argc || link.delay_ns == 0) {
		fputs(usage, stderr);
		return 125;
	}
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0 || unshare(CLONE_NEWNET) < 0)
		fail("making a namespace", -errno);
	ret = ns_link_up("lo");
	if (ret == 0)
		ret = open_end(&far, "far0", "10.98.0.2");
	if (ret < 0)
		fail("the far end", ret);
	signal(SIGCHLD, on_child);
	pid = fork();
	if (pid == 0) {
		signal(SIGCHLD, SIG_DFL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execvp(argv[optind], argv + optind);
		fail(argv[optind], -errno);
	}
	if (pid < 0 || setns(home, CLONE_NEWNET) < 0)
		fail("the near end", -errno);
	ret = open_end(&near, "near0", "10.98.0.1");
	if (ret < 0)
		fail("the near end", ret);
	impair_init(&near.towards, &link, deliver, &near);
	impair_init(&far.towards, &link, deliver, &far);
	pump(&near, &far);
}
