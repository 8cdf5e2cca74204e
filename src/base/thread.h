/* SPDX-License-Identifier: MIT */
/* Threads of ours. */
#ifndef SLUICE_BASE_THREAD_H
#define SLUICE_BASE_THREAD_H

#include <pthread.h>

/* thread.c */
int thread_start(pthread_t *thread, void *(*fn)(void *arg), void *arg);

#endif
