/* SPDX-License-Identifier: MIT */
/*
 * Descriptors, headers, checksums.
 */
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "bench/micro/micro.h"
#include "src/base/base.h"
#include "tcpstack/frame.h"
#include "virtio/queue.h"

/* --- the walker: pop a chain, give it back, publish each 16 --- */

#define QUEUE	 256
#define BATCH	 16
#define GPA	 0x100000ULL
#define MEMORY	 (4U << 20)
#define TABLES	 0x10000U  /* indirect tables, one for each head */
#define TABLE	 1024U	   /* bytes of one: 64 descriptors */
#define BUFFERS	 0x100000U /* where payload is said to be; nobody touches it */
#define FRAGMENT 4096U

static struct {
	struct gmem mem;
	struct virtq q;
	struct vq_counters n;
	struct iovec iov[QUEUE];
	struct vring_avail *avail;
} walk;

static void walker_begin(uint32_t descriptors)
{
	struct gmem_region r = { .gpa = GPA, .size = MEMORY };
	struct vq_config cfg = { .desc = GPA,
				 .avail = GPA + 0x4000,
				 .used = GPA + 0x5000,
				 .size = QUEUE,
				 .ready = true };
	struct vring_desc *desc;

	r.hva = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	BUG_ON(r.hva == MAP_FAILED || gmem_add(&walk.mem, &r));
	desc = (struct vring_desc *)r.hva;
	walk.avail = (struct vring_avail *)(r.hva + 0x4000);
	for (uint16_t head = 0; head < QUEUE; head++) {
		struct vring_desc *table = (void *)(r.hva + TABLES + head * TABLE);

		/* As Linux does it: one descriptor is direct, more are in a table. */
		if (descriptors == 1)
			table = &desc[head];
		else
			desc[head] =
				(struct vring_desc){ .addr = GPA + TABLES + head * TABLE,
						     .len = (uint32_t)sizeof(*table) * descriptors,
						     .flags = VRING_DESC_F_INDIRECT };
		for (uint32_t i = 0; i < descriptors; i++)
			table[i] = (struct vring_desc){ .addr = GPA + BUFFERS + i * FRAGMENT,
							.len = FRAGMENT,
							.flags = i + 1 < descriptors
									 ? VRING_DESC_F_NEXT
									 : 0,
							.next = (uint16_t)(i + 1) };
		walk.avail->ring[head] = head;
	}
	walk.q.n = &walk.n;
	walk.q.call_fd = -1;
	BUG_ON(vq_start(&walk.q, &cfg, &walk.mem,
			1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_INDIRECT_DESC |
				1ULL << VIRTIO_RING_F_EVENT_IDX,
			0));
	vq_notify_off(&walk.q);
}

static uint64_t walker_run(uint64_t times)
{
	uint64_t bytes = 0;

	for (uint64_t i = 0; i < times; i++) {
		struct vq_chain c;

		if (i % BATCH == 0) {
			uint16_t idx = (uint16_t)(walk.avail->idx + MIN(times - i, BATCH));

			__atomic_store_n(&walk.avail->idx, idx, __ATOMIC_RELEASE);
		}
		BUG_ON(vq_pop(&walk.q, VQ_READABLE, &c, walk.iov, QUEUE) != 1);
		bytes += c.out_len;
		vq_use(&walk.q, c.head, 0);
		if (i % BATCH == BATCH - 1 || i == times - 1)
			vq_publish(&walk.q);
	}
	return bytes;
}

const struct micro micro_walker = {
	.name = "walker",
	.what = "descriptors of a chain",
	.sizes = { 1, 4, 17 },
	.begin = walker_begin,
	.run = walker_run,
};

/* --- headers of a TCP segment --- */

static struct {
	uint8_t bytes[2048];
	struct iovec iov;
	struct tx_frame frame;
} parse;

static void parse_begin(uint32_t payload)
{
	uint8_t *ip = parse.bytes + ETH_HLEN;

	put_be16(parse.bytes + 12, ETHERTYPE_IP4);
	ip[0] = 0x45;
	put_be16(ip + 2, (uint16_t)(IP4_HLEN + TCP_HLEN + payload));
	ip[8] = 64;
	ip[9] = PROTO_TCP;
	put_be32(ip + 12, 0x0a00020f);
	put_be32(ip + 16, 0x0a000202);
	ip[IP4_HLEN + 12] = 5 << 4;
	put_be16(ip + 10, csum_fold(csum_add(0, ip, IP4_HLEN)));
	parse.iov = (struct iovec){ parse.bytes, ETH_HLEN + IP4_HLEN + TCP_HLEN + payload };
	parse.frame = (struct tx_frame){ .head = parse.bytes,
					 .head_len = PORT_HEAD_MAX,
					 .len = (uint32_t)parse.iov.iov_len,
					 .iov = &parse.iov,
					 .iovcnt = 1 };
}

static uint64_t parse_run(uint64_t times)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < times; i++) {
		struct packet pkt;

		BUG_ON(frame_parse_ip4(&parse.frame, ETH_HLEN, &pkt) != DROP_NONE);
		sum += pkt.l4_len;
	}
	return sum;
}

const struct micro micro_parse = {
	.name = "parse",
	.what = "bytes of payload",
	.sizes = { 64, 1448 },
	.begin = parse_begin,
	.run = parse_run,
};

/* --- the Internet checksum --- */

static uint8_t *sum_bytes;
static uint32_t sum_len;

static void checksum_begin(uint32_t len)
{
	sum_len = len;
	sum_bytes = malloc(len);
	BUG_ON(!sum_bytes);
	for (uint32_t i = 0; i < len; i++)
		sum_bytes[i] = (uint8_t)(i * 31);
}

static uint64_t checksum_run(uint64_t times)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < times; i++) {
		sum_bytes[0] = (uint8_t)i;
		sum += csum_fold(csum_add(0, sum_bytes, sum_len));
	}
	return sum;
}

const struct micro micro_checksum = {
	.name = "checksum",
	.what = "bytes",
	.sizes = { 64, 1448, 65480 },
	.begin = checksum_begin,
	.run = checksum_run,
};
