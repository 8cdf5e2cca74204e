/* SPDX-License-Identifier: MIT */
/* The birth of a thread: which signals reach it. */
#include "src/base/thread.h"

#include <signal.h>

#include "src/base/base.h"

/**
 * thread_start() - a thread with signals blocked in it: they are main's
 *
 * A fault's are not: blocked, it would kill the program past any handler. Any
 * thread. Return: 0 or -errno
 */
int thread_start(pthread_t *thread, void *(*fn)(void *arg), void *arg)
{
	static const int faults[] = { SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGSYS };
	sigset_t all, old;
	int err;

	sigfillset(&all);
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(thread, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}
