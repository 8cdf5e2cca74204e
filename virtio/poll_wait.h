/* SPDX-License-Identifier: MIT */
/*
 * How long the worker looks for work before it sleeps.
 *
 * To be woken costs a kick, an interrupt of another processor and the way back from
 * sleep, often more than the work itself. A worker that looks on for some microseconds
 * catches what comes by then without any of these; while nothing comes it burns a
 * processor. So the window learns, as KVM's halt polling does: a sleep that was shorter
 * than the longest window makes it wider, one that was longer makes it narrower, down to
 * none; a guest that is idle costs nothing.
 */
#ifndef SLUICE_VIRTIO_POLL_WAIT_H
#define SLUICE_VIRTIO_POLL_WAIT_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct poll_wait - zeroed: it never looks on
 * @max_ns:	the longest window; set by the owner
 * @window_ns:	the window as it is now
 * @idle_ns:	when the work ran out; 0 = there is some
 */
struct poll_wait {
	uint64_t max_ns;
	uint64_t window_ns;
	uint64_t idle_ns;
};

/* poll_wait.c */
bool poll_wait_again(struct poll_wait *p, uint64_t now_ns, bool worked);

#endif
