/* SPDX-License-Identifier: MIT */
/*
 * ringpump: load one vhost-user back-end to its limit, without a TAP's cost.
 *
 * A minimal TCP in user space plays the guest's driver and stack: it writes
 * segments straight into shared memory and takes received ones out of it. The
 * far ends are sockets of a child process on loopback. What is measured is the
 * back-end: its CPU time and its system calls, read from the kernel.
 *
 *	main.c	options, one run, the JSON line
 *	tcp.c	flows: handshake, segments, acknowledgements
 *	host.c	the sockets on the other side
 *	meter.c	CPU time and system calls of a process
 */
#ifndef SLUICE_BENCH_RINGPUMP_H
#define SLUICE_BENCH_RINGPUMP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/front/front.h"

#define FLOWS_MAX 256

/* Every run's payload is this pattern from offset 0 on, in both directions. */
#define PUMP_SEED 42

struct pump_options {
	struct front_config front;
	bool up; /* guest to host */
	bool verify;
	uint32_t flows;
	uint32_t segment; /* payload bytes of one frame */
	uint32_t mtu;
	double seconds;
	pid_t pid; /* the back-end, 0 = not metered */
	uint32_t sndbuf, rcvbuf;
	uint64_t rate; /* payload bytes a second over all flows, 0 = as many as go */
	uint32_t host; /* where the host's end listens, host order; 0 = 127.0.0.1 */
};

/**
 * struct pump_counts - what went over the rings during the measured time
 */
struct pump_counts {
	uint64_t payload, frames_out, frames_in, retransmits, kicks;
};

/* tcp.c */
struct pump_tcp;
int pump_tcp_new(struct pump_tcp **out, struct front *f, const struct pump_options *o,
		 uint16_t port);
void pump_tcp_free(struct pump_tcp *t);
int pump_tcp_connect(struct pump_tcp *t);
int pump_tcp_run(struct pump_tcp *t, double seconds, struct pump_counts *counts);
int pump_tcp_finish(struct pump_tcp *t);
uint64_t pump_tcp_sent(const struct pump_tcp *t);
uint64_t pump_tcp_received(const struct pump_tcp *t);

/* host.c */
struct host_side;
int host_start(struct host_side **out, const struct pump_options *o, uint16_t *port);
int host_result(struct host_side *h, uint64_t *bytes, bool *content_ok);

/* meter.c */
struct meter {
	pid_t pid;
	int perf_fd[64];
	uint32_t nperf;
	uint64_t cpu_ns, syscalls;
};

void meter_open(struct meter *m, pid_t pid);
void meter_start(struct meter *m);
void meter_stop(struct meter *m);

#endif
