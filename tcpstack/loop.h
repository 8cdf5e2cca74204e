/* SPDX-License-Identifier: MIT */
/*
 * The worker's wait: one epoll instance, the cycle's clock, and the timers.
 *
 * Sockets of flows are registered once, edge-triggered, under a token of kind,
 * generation and index; a token whose flow is gone is recognised and ignored.
 * Other descriptors (kicks, wake-ups) are watches: a function and a context in
 * a small fixed table.
 */
#ifndef SLUICE_TCPSTACK_LOOP_H
#define SLUICE_TCPSTACK_LOOP_H

#include <stdint.h>

#include "tcpstack/timer.h"

/* Most descriptors registered by loop_watch(). */
#define LOOP_WATCH_MAX 64

/* Most events taken from one wait. */
#define LOOP_EVENTS_MAX 256

/* Generations are 24 bits wide in a token; flow.h keeps to that. */
#define TOKEN_GEN_BITS 24
#define TOKEN_GEN_MASK ((1U << TOKEN_GEN_BITS) - 1)

enum token_kind {
	TOKEN_WATCH,
	TOKEN_TCP,
	TOKEN_UDP,
	TOKEN_PING,
	TOKEN_DNS,
	TOKEN_DNS_LATE,
	TOKEN_DNS_TCP,
	TOKEN_LISTEN,
	TOKEN_KINDS
};

static inline uint64_t token_make(enum token_kind kind, uint32_t gen, uint32_t index)
{
	return (uint64_t)kind << 56 | (uint64_t)(gen & TOKEN_GEN_MASK) << 32 | index;
}

static inline enum token_kind token_kind(uint64_t token)
{
	return (enum token_kind)(token >> 56);
}

static inline uint32_t token_gen(uint64_t token)
{
	return (uint32_t)(token >> 32) & TOKEN_GEN_MASK;
}

static inline uint32_t token_index(uint64_t token)
{
	return (uint32_t)token;
}

struct loop;

/* @events: EPOLLIN... as epoll_wait(2) gave them. */
typedef void (*loop_watch_fn)(void *ctx, uint32_t events);
typedef void (*loop_token_fn)(void *ctx, uint64_t token, uint32_t events);
typedef uint64_t (*loop_clock_fn)(void *ctx);

/* loop.c */
int loop_new(struct loop **out, loop_clock_fn clock, void *clock_ctx);
void loop_free(struct loop *lp);
void loop_on_token(struct loop *lp, enum token_kind kind, loop_token_fn fn, void *ctx);
int loop_watch(struct loop *lp, int fd, uint32_t events, loop_watch_fn fn, void *ctx);
void loop_unwatch(struct loop *lp, int fd);
int loop_add(struct loop *lp, int fd, uint32_t events, uint64_t token);
int loop_mod(struct loop *lp, int fd, uint32_t events, uint64_t token);
void loop_del(struct loop *lp, int fd);
int loop_wait(struct loop *lp, bool may_sleep);
void loop_wake_by(struct loop *lp, uint64_t ns);
uint64_t loop_now(const struct loop *lp);
struct timer_wheel *loop_timers(struct loop *lp);
int loop_fd(const struct loop *lp);
uint64_t loop_syscalls(const struct loop *lp);

#endif
