/* SPDX-License-Identifier: MIT */
/*
 * A second host for the rig: a test program that runs parts of itself within
 * bench/offhost, where a second network namespace is at the other end of a link.
 */
#include "tests/stack/rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/base.h"

/* Set by offhost; names the far namespace. */
#define FAR_ENV "OFFHOST_FAR"

#define EXIT_SKIP 77

/**
 * rig_is_near() - does this process run within offhost?
 */
bool rig_is_near(void)
{
	return getenv(FAR_ENV);
}

/**
 * rig_listen_far() - a TCP server at RIG_FAR_ADDR, in the far namespace
 * @port:	out: where
 *
 * A socket belongs to the namespace that it was made in, whoever has it.
 */
int rig_listen_far(uint16_t *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(RIG_FAR_ADDR) };
	socklen_t len = sizeof(sa);
	int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int there = open(getenv(FAR_ENV), O_RDONLY | O_CLOEXEC);
	int fd;

	assert_int_equal(setns(there, CLONE_NEWNET), 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(setns(here, CLONE_NEWNET), 0);
	close(here);
	close(there);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

/**
 * rig_part() - run this program once more, for a part of its tests
 * @what:	the part, for a line that says it is skipped
 * @link:	NULL = here; "--" or "--veth" = within offhost with that option
 * @arg:	its argument, or NULL
 *
 * Return: 0, also when it may not, or 1: something failed
 */
int rig_part(const char *what, const char *link, const char *arg)
{
	char self[4096] = "", offhost[4096 + 16];
	const char *argv[6];
	int status, n = 0;
	pid_t pid;

	BUG_ON(readlink("/proc/self/exe", self, sizeof(self) - 1) < 0);
	/* BUILD/tests/stack/test_x beside BUILD/offhost. */
	snprintf(offhost, sizeof(offhost), "%s", self);
	for (int i = 0; i < 3 && strrchr(offhost, '/'); i++)
		*strrchr(offhost, '/') = 0;
	strcat(offhost, "/offhost");
	if (link)
		argv[n++] = offhost;
	if (link && strcmp(link, "--") != 0)
		argv[n++] = link;
	if (link)
		argv[n++] = "--";
	argv[n++] = self;
	argv[n++] = arg;
	argv[n] = NULL;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		execv(argv[0], (char **)(uintptr_t)argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return 1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP) {
		printf("SKIP: %s: not allowed here\n", what);
		return 0;
	}
	return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}
