/* SPDX-License-Identifier: MIT */
/*
 * A bad link in the pump: frames lost, doubled, delayed, or sent ahead of the
 * others; what netem does, for kernels that have none, and in both directions.
 */
#ifndef SLUICE_BENCH_IMPAIR_H
#define SLUICE_BENCH_IMPAIR_H

#include <stdbool.h>
#include <stdint.h>

/* Frames that wait at most; more are lost, as at the end of a real queue. */
#define IMPAIR_QUEUE_MAX 4096

struct impair_config {
	double loss, duplicate, reorder; /* shares of frames, 0..1 */
	uint64_t delay_ns;
	uint64_t seed;
};

struct impair_frame;

/**
 * struct impair - one direction
 * @deliver:	what to do with a frame that has come through
 */
struct impair {
	struct impair_config cfg;
	void (*deliver)(void *ctx, const void *frame, uint32_t len);
	void *ctx;
	uint64_t rng;
	struct impair_frame *head, **tail;
	uint32_t queued;
	uint64_t lost, doubled, reordered;
};

/* impair.c */
int impair_parse(struct impair_config *cfg, const char *text);
bool impair_any(const struct impair_config *cfg);
void impair_init(struct impair *im, const struct impair_config *cfg,
		 void (*deliver)(void *ctx, const void *frame, uint32_t len), void *ctx);
void impair_push(struct impair *im, const void *frame, uint32_t len, uint64_t now_ns);
uint64_t impair_run(struct impair *im, uint64_t now_ns);

#endif
