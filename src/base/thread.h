/* SPDX-License-Identifier: MIT */
/* Threads of ours, whose makers wait until they have begun. */
#ifndef SLUICE_BASE_THREAD_H
#define SLUICE_BASE_THREAD_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

/**
 * struct thread - zeroed by its owner, who sets the first part
 * @name:	as the kernel shows it
 * @init:	runs on it first; what it returns is thread_begin()'s; may be NULL
 * @init_ctx:	of @init
 * @started:	between thread_begin(), which said 0, and thread_end()
 */
struct thread {
	const char *name;
	int (*init)(void *ctx);
	void *init_ctx;

	bool started;
	pthread_t id;
	sem_t ready;
	int init_err;
	void (*fn)(void *arg);
	void *arg;
};

/* thread.c */
int thread_begin(struct thread *t, void (*fn)(void *arg), void *arg);
void thread_end(struct thread *t);

#endif
