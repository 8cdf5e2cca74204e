/* SPDX-License-Identifier: MIT */
/*
 * What the jail's filters cost a system call.
 *
 *	jailcost [ROUNDS]
 *
 * A child for each profile, and one without, makes calls of the data path on a
 * descriptor that does not exist, so that the way into the kernel and back is all
 * there is; the children take turns, and the fastest of all turns counts, which a
 * busy machine does not move much. Prints nanoseconds a call.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/base.h"
#include "src/base/clock.h"
#include "src/jail/priv.h"

#define CALLS 1000 /* in a turn: short enough not to be interrupted as a rule */

static const struct {
	const char *name;
	bool vcpu; /* else the network worker */
	long nr, arg[3];
} calls[] = {
	{ "recvmsg", false, SYS_recvmsg, { -1, 0, 0 } },
	{ "epoll_pwait2", false, SYS_epoll_pwait2, { -1, 0, 1 } },
	{ "setsockopt SO_PEEK_OFF", false, SYS_setsockopt, { -1, SOL_SOCKET, SO_PEEK_OFF } },
	{ "setsockopt TCP_NODELAY", false, SYS_setsockopt, { -1, IPPROTO_TCP, TCP_NODELAY } },
	{ "ioctl SIOCOUTQ", false, SYS_ioctl, { -1, SIOCOUTQ, 0 } },
	{ "ioctl KVM_RUN", true, SYS_ioctl, { -1, KVM_RUN, 0 } },
};

static double one_turn(size_t c)
{
	const long *a = calls[c].arg;
	uint64_t start = clock_now_ns();

	for (int i = 0; i < CALLS; i++)
		syscall(calls[c].nr, a[0], a[1], a[2], 0L, 0L, 0L);
	return (double)(clock_now_ns() - start) / CALLS;
}

/* All calls once, with or without filter, in a child of its own. */
static int turn(const struct sock_fprog *f, bool vcpu, double best[ARRAY_SIZE(calls)])
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		if (f && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter_install(f) < 0))
			_exit(1);
		for (size_t c = 0; c < ARRAY_SIZE(calls); c++) {
			if (calls[c].vcpu == vcpu)
				best[c] = MIN(best[c], one_turn(c));
		}
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -ECHILD;
}

int main(int argc, char **argv)
{
	const struct jail_config cfg = { .vcpus = true, .engines = JAIL_SPLICE | JAIL_URING };
	static const enum jail_thread kinds[] = { JAIL_NET, JAIL_VCPU };
	int rounds = argc > 1 ? atoi(argv[1]) : 400;
	double(*best)[ARRAY_SIZE(calls)] = mmap(NULL, 2 * sizeof(*best), PROT_READ | PROT_WRITE,
						MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct sock_fprog filter[ARRAY_SIZE(kinds)] = { { 0 } };

	if (best == MAP_FAILED)
		return 1;
	for (size_t c = 0; c < ARRAY_SIZE(calls); c++)
		best[0][c] = best[1][c] = 1e9;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct jail_profile p;

		jail_profile(&p, kinds[k], &cfg, 0);
		if (filter_build(&filter[k], &p) < 0)
			return 1;
		printf("%s: %u instructions\n", p.name, filter[k].len);
	}
	for (int i = 0; i < rounds; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			if (turn(NULL, kinds[k] == JAIL_VCPU, best[0]) < 0 ||
			    turn(&filter[k], kinds[k] == JAIL_VCPU, best[1]) < 0)
				return 1;
		}
	}
	printf("%-26s %10s %10s %10s\n", "ns a call", "without", "with", "more");
	for (size_t c = 0; c < ARRAY_SIZE(calls); c++)
		printf("%-26s %10.0f %10.0f %10.0f\n", calls[c].name, best[0][c], best[1][c],
		       best[1][c] - best[0][c]);
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		filter_free(&filter[k]);
	return 0;
}
