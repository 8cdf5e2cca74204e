/* SPDX-License-Identifier: MIT */
/* What --stats reports at the end of a run. */
#ifndef SLUICE_CLI_STATS_H
#define SLUICE_CLI_STATS_H

#include <stdint.h>
#include <stdio.h>

#include "virtio/device.h"
#include "virtio/net_worker.h"

/**
 * struct run_stats - times are CLOCK_MONOTONIC, 0 = never came
 * @start_ns:	the program began
 * @loaded_ns:	the kernel is in memory, the first vCPU starts
 * @ready_ns:	the guest's init said READY
 * @end_ns:	the machine ended
 * @net:	the network device, NULL = none
 * @worker:	its worker, NULL = none; asked for its pools
 * @vcpu_heap:	heap calls of the vCPUs' threads, NULL = there are none
 */
struct run_stats {
	uint64_t start_ns, loaded_ns, ready_ns, end_ns;
	const struct vdev *net;
	struct net_worker *worker;
	const struct alloc_count *vcpu_heap;
};

/* stats.c */
void run_stats_table(const struct run_stats *s, FILE *out);
void run_stats_json(const struct run_stats *s, FILE *out);

#endif
