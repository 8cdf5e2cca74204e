/* SPDX-License-Identifier: MIT */
/*
 * SipHash-2-4 (Aumasson, Bernstein 2012): the keyed hash of flow tables and of
 * initial sequence numbers (RFC 6528), so that a guest cannot choose collisions.
 */
#ifndef SLUICE_BASE_SIPHASH_H
#define SLUICE_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t k0, k1;
};

/**
 * siphash() - 64-bit SipHash-2-4 of @len bytes at @data under @key; any thread
 */
uint64_t siphash(const struct siphash_key *key, const void *data, size_t len);

#endif
