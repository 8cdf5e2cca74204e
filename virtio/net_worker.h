/* SPDX-License-Identifier: MIT */
/*
 * The network worker: the one thread that owns a stack, its sockets, its
 * timers and the rings of its virtio-net device.
 *
 * Cycle: loop_wait -> vnet_tx_drain -> stack_run -> vnet_publish; before it
 * sleeps it re-arms notifications and looks at the rings once more. Other
 * threads reach it only by net_worker_call(), which wakes it.
 */
#ifndef SLUICE_VIRTIO_NET_WORKER_H
#define SLUICE_VIRTIO_NET_WORKER_H

#include "src/base/alloc_count.h"
#include "src/base/counter.h"
#include "virtio/net.h"

struct net_worker;

struct net_worker_config {
	struct vnet_config net;
	struct stack_config stack;
	/* The thread is made by net_worker_start(); until then the caller is the worker. */
	bool later;
	/* How long at most to look for work before a sleep, nanoseconds; 0 = not at all. */
	uint64_t poll_ns;
	/* Runs on the new thread before its first cycle (seccomp, affinity); may be NULL. */
	int (*thread_init)(void *ctx);
	void *thread_ctx;
};

/**
 * struct net_worker_counters - single writer: the worker
 * @allocs, @frees, @maps:	heap calls of the thread since its first cycle
 * @polls:	cycles without work in which it looked on and did not sleep
 * @cpu_ns:	CPU time of the thread, as of the last net_worker_counters()
 */
struct net_worker_counters {
	struct counter cycles, sleeps, polls, cpu_ns;
	struct counter allocs, frees, maps;
};

/* net_worker.c */
int net_worker_new(struct net_worker **out, const struct net_worker_config *cfg);
int net_worker_start(struct net_worker *w);
void net_worker_free(struct net_worker *w);
int net_worker_attach(struct net_worker *w, const struct vnet_start *start,
		      const int kick_fd[VNET_QUEUES]);
void net_worker_detach(struct net_worker *w, uint16_t next_avail[VNET_QUEUES]);
void net_worker_set_call(struct net_worker *w, enum vnet_queue queue, int call_fd);
int net_worker_call(struct net_worker *w, int (*fn)(void *ctx, struct stack *st), void *ctx);
uint32_t net_worker_memory(struct net_worker *w, struct stack_memory rows[STACK_MEMORY_ROWS]);
const struct net_worker_counters *net_worker_counters(const struct net_worker *w);
const struct stack_counters *net_worker_stack_counters(const struct net_worker *w);

/* net_dev.c: as a struct vdev */
struct net_dev;
struct vdev;
int net_dev_new(struct net_dev **out, const struct gmem *mem, struct net_worker *w,
		const struct vnet_config *cfg);
struct vdev *net_dev_vdev(struct net_dev *d);
void net_dev_free(struct net_dev *d);

#endif
