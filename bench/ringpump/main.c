/* SPDX-License-Identifier: MIT */
/* ringpump: options, one run, and its result as a JSON line. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/ringpump/ringpump.h"
#include "src/base/base.h"
#include "src/base/clock.h"

static const char usage[] =
	"usage: ringpump --socket PATH [options]\n"
	"\n"
	"Move TCP payload through the vhost-user net back-end at PATH to or from a socket\n"
	"of our own on loopback (the back-end must map 10.0.2.2 to 127.0.0.1), and print\n"
	"one JSON object with what it cost the back-end.\n"
	"\n"
	"  --socket PATH      the back-end's listening socket\n"
	"  --dir up|down      guest to host (default) or host to guest\n"
	"  --pid PID          the back-end's process: meter its CPU time and system calls\n"
	"  --seconds S        measured time (2)\n"
	"  --flows N          connections at once (1)\n"
	"  --mtu BYTES        of the guest's link: the MSS is 40 less (65520)\n"
	"  --segment BYTES    payload of one frame (the largest the features allow)\n"
	"  --queue-size N     entries of each queue (256)\n"
	"  --rx-buf BYTES     one receive buffer (4096)\n"
	"  --sndbuf, --rcvbuf BYTES  of the host's end (the kernel's)\n"
	"  --rate MBIT        at most this much payload a second (10^6 bits; no limit)\n"
	"  --host A.B.C.D     listen at this address of ours, and not on loopback\n"
	"  --without-offload  no checksum, TSO or EVENT_IDX from us\n"
	"  --verify           compare every byte\n";

NORETURN static void fail(const char *what, int err)
{
	fprintf(stderr, "ringpump: %s: %s\n", what, strerror(-err));
	exit(1);
}

#define OFFLOADS                                                             \
	(1ULL << VIRTIO_NET_F_CSUM | 1ULL << VIRTIO_NET_F_GUEST_CSUM |       \
	 1ULL << VIRTIO_NET_F_HOST_TSO4 | 1ULL << VIRTIO_NET_F_HOST_TSO6 |   \
	 1ULL << VIRTIO_NET_F_GUEST_TSO4 | 1ULL << VIRTIO_NET_F_GUEST_TSO6 | \
	 1ULL << VIRTIO_RING_F_EVENT_IDX)

static void parse(struct pump_options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "socket", 1, NULL, 's' },
		{ "dir", 1, NULL, 'd' },
		{ "pid", 1, NULL, 'p' },
		{ "seconds", 1, NULL, 't' },
		{ "flows", 1, NULL, 'f' },
		{ "mtu", 1, NULL, 'm' },
		{ "segment", 1, NULL, 'g' },
		{ "queue-size", 1, NULL, 'q' },
		{ "rx-buf", 1, NULL, 'r' },
		{ "sndbuf", 1, NULL, 'S' },
		{ "rcvbuf", 1, NULL, 'R' },
		{ "rate", 1, NULL, 'a' },
		{ "host", 1, NULL, 'h' },
		{ "without-offload", 0, NULL, 'w' },
		{ "verify", 0, NULL, 'v' },
		{ "help", 0, NULL, '?' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		unsigned long n = optarg ? strtoul(optarg, NULL, 10) : 0;

		if (c == 's')
			o->front.socket = optarg;
		else if (c == 'd')
			o->up = strcmp(optarg, "down") != 0;
		else if (c == 'p')
			o->pid = (pid_t)n;
		else if (c == 't')
			o->seconds = strtod(optarg, NULL);
		else if (c == 'f')
			o->flows = (uint32_t)n;
		else if (c == 'm')
			o->mtu = (uint32_t)n;
		else if (c == 'g')
			o->segment = (uint32_t)n;
		else if (c == 'q')
			o->front.queue_size = (uint16_t)n;
		else if (c == 'r')
			o->front.rx_buf = (uint32_t)n;
		else if (c == 'S')
			o->sndbuf = (uint32_t)n;
		else if (c == 'R')
			o->rcvbuf = (uint32_t)n;
		else if (c == 'a')
			o->rate = (uint64_t)n * 1000000 / 8;
		else if (c == 'h')
			o->host = ntohl(inet_addr(optarg));
		else if (c == 'w')
			o->front.features &= ~OFFLOADS;
		else if (c == 'v')
			o->verify = true;
		else
			o->front.socket = NULL;
		if (c == '?')
			break;
	}
	if (!o->front.socket || o->flows < 1 || o->flows > FLOWS_MAX || o->mtu < 576 ||
	    o->host == INADDR_NONE || o->mtu > 65535 || !is_power_of_two(o->front.queue_size)) {
		fputs(usage, stderr);
		exit(2);
	}
}

/* The largest payload of one frame that the negotiated features allow. */
static uint32_t segment_max(const struct pump_options *o, const struct front *f)
{
	uint32_t mss = o->mtu - 40;

	if ((f->features & (1ULL << VIRTIO_NET_F_HOST_TSO4)) == 0)
		return mss;
	return 65535 - 40 - (65535 - 40) % mss;
}

static void report(const struct pump_options *o, const struct front *f, const struct meter *m,
		   const struct pump_counts *n, double seconds)
{
	double gb = (double)n->payload / 1e9, mb = (double)n->payload / 1e6;

	printf("{\"dir\":\"%s\",\"flows\":%u,\"mtu\":%u,\"segment\":%u,\"queue\":%u,"
	       "\"features\":\"0x%llx\",\"verify\":%s,\"seconds\":%.3f,\"bytes\":%llu,"
	       "\"gbit_s\":%.3f,",
	       o->up ? "up" : "down", o->flows, o->mtu, o->segment, o->front.queue_size,
	       (unsigned long long)f->features, o->verify ? "true" : "false", seconds,
	       (unsigned long long)n->payload, gb * 8 / seconds);
	if (m->pid && gb > 0)
		printf("\"cpu_s_per_gb\":%.4f,", (double)m->cpu_ns / 1e9 / gb);
	if (m->nperf && mb > 0)
		printf("\"syscalls_per_mb\":%.2f,", (double)m->syscalls / mb);
	printf("\"frames_out\":%llu,\"frames_in\":%llu,\"kicks_per_mb\":%.3f,\"retransmits\":%llu}"
	       "\n",
	       (unsigned long long)n->frames_out, (unsigned long long)n->frames_in,
	       mb > 0 ? (double)n->kicks / mb : 0, (unsigned long long)n->retransmits);
}

int main(int argc, char **argv)
{
	struct pump_options o = {
		.front = { .queue_size = 256,
			   .rx_buf = 4096,
			   .tx_buf = FRONT_FRAME_MAX + 1,
			   .wait_ms = 30000,
			   .features = OFFLOADS | 1ULL << VIRTIO_NET_F_MRG_RXBUF },
		.up = true,
		.flows = 1,
		.mtu = 65520,
		.seconds = 2,
	};
	struct pump_counts counts;
	uint64_t bytes, start, end;
	struct pump_tcp *t;
	struct host_side *h;
	struct meter m;
	struct front f;
	bool content_ok;
	uint16_t port;
	int ret;

	parse(&o, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	ret = host_start(&h, &o, &port);
	if (ret < 0)
		fail("the host's end", ret);
	ret = front_open(&f, &o.front);
	if (ret < 0)
		fail(o.front.socket, ret);
	if (o.segment == 0 || o.segment > segment_max(&o, &f))
		o.segment = segment_max(&o, &f);
	ret = pump_tcp_new(&t, &f, &o, port);
	if (ret == 0)
		ret = pump_tcp_connect(t);
	if (ret < 0)
		fail("connecting", ret);
	meter_open(&m, o.pid);
	ret = pump_tcp_run(t, 0.2, &counts); /* out of slow start */
	meter_start(&m);
	start = clock_now_ns();
	if (ret == 0)
		ret = pump_tcp_run(t, o.seconds, &counts);
	end = clock_now_ns();
	meter_stop(&m);
	if (ret == 0)
		ret = pump_tcp_finish(t);
	if (ret < 0)
		fail("moving data", ret);
	ret = host_result(h, &bytes, &content_ok);
	if (ret < 0)
		fail("the host's end", ret);
	report(&o, &f, &m, &counts, (double)(end - start) / 1e9);
	if (!content_ok || (o.up && bytes != pump_tcp_sent(t)) ||
	    (!o.up && bytes < pump_tcp_received(t))) {
		fprintf(stderr, "ringpump: content differs: %llu bytes at the host\n",
			(unsigned long long)bytes);
		return 1;
	}
	pump_tcp_free(t);
	front_close(&f);
	return 0;
}
