/* SPDX-License-Identifier: MIT */
/* Between inject.c, which decides, and the calls that it decides about. */
#ifndef SLUICE_TESTS_FAULT_INJECT_PRIV_H
#define SLUICE_TESTS_FAULT_INJECT_PRIV_H

#include <sys/epoll.h>
#include <sys/types.h>

#include "tests/fault/inject.h"

#define FAULT_FDS 1024

/* Besides errors: not an errno of any call here. */
#define FAULT_SHORT 1000 /* less than was asked */
#define FAULT_RESET 1001 /* the peer's RST comes now; the call is made and has its own answer */
#define FAULT_NOISE 1002 /* an event that tells nothing new */

enum fd_type { FD_OTHER, FD_STREAM, FD_DGRAM, FD_NETLINK };

/**
 * struct fd_info - a descriptor of the stack's
 * @ev, @epfd:	its registration while @polled
 * @edge_in:	rounds until the event that is owed, 0 = none is
 * @ended:	an event has told that its stream has ended: all of it is in the queue
 */
struct fd_info {
	enum fd_type type;
	bool polled;
	bool ended;
	int epfd;
	uint32_t edge_in;
	struct epoll_event ev;
};

/* inject.c */
int fault_pick(enum fault_call call, int fd);
int fault_done(enum fault_call call, int fault, bool fatal);
uint64_t fault_random(void);
struct fd_info *fault_fd(int fd);
void fault_fd_new(int fd, enum fd_type type);
void fault_owe_event(int fd);
bool fault_reset_peer(int fd);
void fault_noise(void);
bool fault_armed(void);
bool fault_old_kernel(void);
bool fault_elsewhere(void);
bool fault_tight(void);
void fault_trace(const char *what, int fd, long ret);

/* calls.c */
void fault_ring_gone(void);
void fault_notices_elsewhere(void);

#endif
