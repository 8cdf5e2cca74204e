/* SPDX-License-Identifier: MIT */
/* Waiting on a semaphore, whatever signals come. */
#ifndef SLUICE_BASE_SEM_H
#define SLUICE_BASE_SEM_H

#include <errno.h>
#include <semaphore.h>

#include "src/base/base.h"

static inline void sem_wait_for(sem_t *sem)
{
	while (sem_wait(sem))
		BUG_ON(errno != EINTR);
}

#endif
