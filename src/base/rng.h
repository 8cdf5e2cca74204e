/* SPDX-License-Identifier: MIT */
/* Random bytes from the kernel. */
#ifndef SLUICE_BASE_RNG_H
#define SLUICE_BASE_RNG_H

#include <stddef.h>

/**
 * rng_fill() - fill @buf with @len bytes of getrandom(2); any thread
 *
 * Never short: a kernel that cannot answer is a bug for us.
 */
void rng_fill(void *buf, size_t len);

#endif
