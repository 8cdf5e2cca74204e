/* SPDX-License-Identifier: MIT */
/* The birth of a thread: which signals reach it, and whether it could begin. */
#include "src/base/thread.h"

#include <signal.h>

#include "src/base/base.h"
#include "src/base/sem.h"

static void *thread_main(void *arg)
{
	struct thread *t = arg;
	int err;

	pthread_setname_np(pthread_self(), t->name);
	err = t->init ? t->init(t->init_ctx) : 0;
	t->init_err = err;
	sem_post(&t->ready);
	if (!err)
		t->fn(t->arg);
	return NULL;
}

/* Signals are main's; a fault's are not: blocked, it would kill the program past any handler. */
static int start(struct thread *t)
{
	static const int faults[] = { SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGSYS };
	sigset_t all, old;
	int err;

	sigfillset(&all);
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(&t->id, NULL, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

/**
 * thread_begin() - a thread that calls @fn, with signals blocked but for faults
 *
 * The owner, once; @t stays where it is until thread_end().
 * Return: 0; -errno of its birth, or what @t->init said: then there is none
 */
int thread_begin(struct thread *t, void (*fn)(void *arg), void *arg)
{
	int err;

	t->fn = fn;
	t->arg = arg;
	BUG_ON(sem_init(&t->ready, 0, 0));
	err = start(t);
	if (!err) {
		sem_wait_for(&t->ready);
		err = t->init_err;
		if (err)
			pthread_join(t->id, NULL);
	}
	t->started = !err;
	if (err)
		sem_destroy(&t->ready);
	return err;
}

/**
 * thread_end() - wait for @fn to return; harmless where it has not begun; the owner
 */
void thread_end(struct thread *t)
{
	if (!t->started)
		return;
	pthread_join(t->id, NULL);
	sem_destroy(&t->ready);
	t->started = false;
}
