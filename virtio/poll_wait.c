/* SPDX-License-Identifier: MIT */
/* The window in which the worker looks for work before it sleeps; see the header. */
#include "virtio/poll_wait.h"

#include "src/base/base.h"

/* The narrowest window, as a part of the longest. */
#define LEAST 8

/* Work has come after @ns without any. */
static void learn(struct poll_wait *p, uint64_t ns)
{
	if (ns <= p->window_ns)
		return;
	if (ns <= p->max_ns) {
		p->window_ns = MIN(MAX(2 * p->window_ns, p->max_ns / LEAST), p->max_ns);
		return;
	}
	p->window_ns /= 2;
	if (p->window_ns < p->max_ns / LEAST)
		p->window_ns = 0;
}

/**
 * poll_wait_again() - at the end of a cycle: look once more rather than sleep?
 * @now_ns:	the cycle's time
 * @worked:	it has found something to do
 *
 * The worker, once a cycle.
 */
bool poll_wait_again(struct poll_wait *p, uint64_t now_ns, bool worked)
{
	if (!p->max_ns)
		return false;
	if (worked) {
		if (p->idle_ns)
			learn(p, now_ns - p->idle_ns);
		/* With a window the next cycle looks, and tells when the work ran out. */
		p->idle_ns = p->window_ns ? 0 : now_ns;
		return p->window_ns > 0;
	}
	if (!p->idle_ns)
		p->idle_ns = now_ns;
	return now_ns - p->idle_ns < p->window_ns;
}
