/* SPDX-License-Identifier: MIT */
/*
 * How fast the guest may send and receive: token buckets of bytes and packets, one
 * pair each way. Frames count from their Ethernet header on.
 */
#ifndef SLUICE_TCPSTACK_RATE_H
#define SLUICE_TCPSTACK_RATE_H

#include "src/base/counter.h"
#include "tcpstack/port.h"
#include "tcpstack/timer.h"

struct stack;

/**
 * struct bucket - tokens of one kind
 * @rate:	gained a second, 0 = no limit
 * @burst:	the most that it holds
 * @tokens:	below zero: a debt, for a frame that was longer than what was left
 * @last_ns:	up to when tokens were gained
 * @seen:	of the counter that it follows: charged up to there
 */
struct bucket {
	uint64_t rate;
	int64_t burst, tokens;
	uint64_t last_ns, seen;
};

/**
 * struct rate - one direction
 * @promised:	bytes of frames that may be under way and are not counted yet
 * @timer:	armed while something waits for tokens
 */
struct rate {
	struct bucket bytes, packets;
	uint64_t promised;
	struct timer timer;
};

/* rate.c */
void rate_init(struct stack *st);
void rate_fini(struct stack *st);
void rate_apply(struct stack *st);
void rate_refund(struct stack *st, uint32_t bytes);
bool rate_in_waits(const struct stack *st);
int stack_rx_alloc(struct stack *st, uint32_t want, struct rx_frame *frame);

#endif
