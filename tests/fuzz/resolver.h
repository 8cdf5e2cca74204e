/* SPDX-License-Identifier: MIT */
/* What fuzz targets of DNS share, over UDP and TCP: a resolver's answers, and their judgement. */
#ifndef SLUICE_TESTS_FUZZ_RESOLVER_H
#define SLUICE_TESTS_FUZZ_RESOLVER_H

#include "tests/fuzz/net.h"

/* Of a message that a target makes or keeps. */
#define RESOLVER_MSG_MAX 4096

/* resolver.c */
uint32_t resolver_make_answer(const uint8_t *query, uint32_t query_len,
			      const struct net_record *rec, uint8_t *msg);
bool resolver_repeats(const uint8_t *msg, uint32_t len, const uint8_t *query, uint32_t end);
uint32_t resolver_longest_ttl(const uint8_t *msg, uint32_t len);

#endif
