/* SPDX-License-Identifier: MIT */
/*
 * Unaligned loads and stores in a named byte order. Wire formats and guest
 * structures are read through these, never by a cast of the bytes.
 */
#ifndef SLUICE_BASE_BYTES_H
#define SLUICE_BASE_BYTES_H

#include <assert.h>
#include <stdint.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "x86-64 only");

#define SLUICE_DEFINE_BYTES(bits)                                  \
	static inline uint##bits##_t get_le##bits(const void *p)   \
	{                                                          \
		uint##bits##_t v;                                  \
		memcpy(&v, p, sizeof(v));                          \
		return v;                                          \
	}                                                          \
	static inline void put_le##bits(void *p, uint##bits##_t v) \
	{                                                          \
		memcpy(p, &v, sizeof(v));                          \
	}                                                          \
	static inline uint##bits##_t get_be##bits(const void *p)   \
	{                                                          \
		return __builtin_bswap##bits(get_le##bits(p));     \
	}                                                          \
	static inline void put_be##bits(void *p, uint##bits##_t v) \
	{                                                          \
		put_le##bits(p, __builtin_bswap##bits(v));         \
	}

SLUICE_DEFINE_BYTES(16)
SLUICE_DEFINE_BYTES(32)
SLUICE_DEFINE_BYTES(64)

#undef SLUICE_DEFINE_BYTES

#endif
