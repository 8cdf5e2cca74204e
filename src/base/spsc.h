/* SPDX-License-Identifier: MIT */
/*
 * A bounded ring of messages from one thread to another.
 *
 * The producer reserves room, writes the message in place and commits it; a ring
 * that is full refuses, and counts. The consumer looks at the oldest message in
 * place and releases it. Neither ever waits for the other, or takes a lock. A
 * consumer that has said that it sleeps is woken by the next commit, through an
 * eventfd; one that is awake costs the producer no system call.
 */
#ifndef SLUICE_BASE_SPSC_H
#define SLUICE_BASE_SPSC_H

#include <stdatomic.h>
#include <stdint.h>

#include "src/base/base.h"
#include "src/base/counter.h"

/* Messages begin at multiples of this; a header of as many bytes stands before each. */
#define SPSC_ALIGN 8

/**
 * struct spsc - positions run freely; their difference is the fill
 * @buf:	@size bytes, a power of two, from spsc_init()'s caller
 * @wake_fd:	eventfd that the consumer sleeps on; the caller's
 * @lost:	messages that found no room; the producer writes, anybody reads
 * @next:	of the producer: position behind what is reserved
 * @head:	behind the last committed message
 * @tail:	of the oldest one that was not released
 * @asleep:	the consumer waits for @wake_fd
 * @line1, @line2:	unused: they keep the sides apart
 */
struct spsc {
	uint8_t *buf;
	uint32_t size;
	int wake_fd;
	uint8_t line1[CACHE_LINE - 16];

	struct counter lost;
	uint32_t next;
	_Atomic uint32_t head;
	uint8_t line2[CACHE_LINE - 16];

	_Atomic uint32_t tail;
	_Atomic bool asleep;
};

static_assert(offsetof(struct spsc, head) - offsetof(struct spsc, size) >= CACHE_LINE &&
		      offsetof(struct spsc, tail) - offsetof(struct spsc, lost) == CACHE_LINE,
	      "what one side writes is in no cache line of the other's, however it is aligned");

/* spsc.c */
void spsc_init(struct spsc *r, void *buf, uint32_t size, int wake_fd);
void *spsc_reserve(struct spsc *r, uint32_t len);
void spsc_commit(struct spsc *r);
const void *spsc_peek(struct spsc *r, uint32_t *len);
void spsc_release(struct spsc *r);
bool spsc_may_sleep(struct spsc *r);
void spsc_awake(struct spsc *r);

#endif
