/* SPDX-License-Identifier: MIT */
/*
 * A guest's network driver for tests of the worker: on its own thread, with
 * kicks and interrupts by eventfd, sleeping in poll(2) only when the protocol
 * says that an interrupt will come. A wake-up that is lost shows as a timeout.
 *
 * vg_* return errors instead of asserting, so that any thread may use them.
 */
#ifndef SLUICE_TESTS_VGUEST_H
#define SLUICE_TESTS_VGUEST_H

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "src/base/bytes.h"
#include "tcpstack/frame.h"
#include "tests/unit/vdriver.h"
#include "virtio/net.h"

#define VG_QSIZE      64
#define VG_BUF	      2048
#define VG_HDR	      12
#define VG_TIMEOUT_MS 100000

/**
 * struct vguest - a driver
 * @tx_pages, @rx_pages:	VG_QSIZE buffers of VG_BUF bytes each
 * @tx_free:	bit for each transmit buffer
 * @tx_of_head:	which buffer a chain was
 */
struct vguest {
	struct vdriver drv;
	struct vdqueue rx, tx, ctrl;
	struct vq_counters n[VNET_QUEUES];
	int kick[VNET_QUEUES], call[VNET_QUEUES];
	uint64_t tx_pages, rx_pages;
	uint64_t tx_free;
	uint8_t tx_of_head[VG_QSIZE];
	uint64_t sent, finished;
};

static inline void vg_init(struct vguest *g, uint64_t features)
{
	memset(g, 0, sizeof(*g));
	vdriver_init(&g->drv, 4 << 20);
	vdq_init(&g->rx, &g->drv, VG_QSIZE, features);
	vdq_init(&g->tx, &g->drv, VG_QSIZE, features);
	vdq_init(&g->ctrl, &g->drv, VG_QSIZE, features);
	g->tx_pages = vdriver_alloc(&g->drv, VG_QSIZE * VG_BUF);
	g->rx_pages = vdriver_alloc(&g->drv, VG_QSIZE * VG_BUF);
	g->tx_free = UINT64_MAX;
	for (int i = 0; i < VNET_QUEUES; i++) {
		g->kick[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		g->call[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		BUG_ON(g->kick[i] < 0 || g->call[i] < 0);
	}
}

static inline void vg_fini(struct vguest *g)
{
	for (int i = 0; i < VNET_QUEUES; i++) {
		close(g->kick[i]);
		close(g->call[i]);
	}
	vdriver_fini(&g->drv);
}

static inline void vg_start(struct vguest *g, uint64_t features, struct vnet_start *s)
{
	*s = (struct vnet_start){
		.features = features,
		.mem = &g->drv.mem,
		.queue = { g->rx.cfg, g->tx.cfg, g->ctrl.cfg },
		.call_fd = { g->call[0], g->call[1], g->call[2] },
		.counters = { &g->n[0], &g->n[1], &g->n[2] },
	};
}

static inline void vg_kick(struct vguest *g, struct vdqueue *q, enum vnet_queue i)
{
	if (vdq_kick_due(q))
		BUG_ON(eventfd_write(g->kick[i], 1));
}

/* Offer @n receive buffers, all of them at first. */
static inline void vg_fill_rx(struct vguest *g, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		const struct vdesc b = { g->rx_pages + i * (uint64_t)VG_BUF, VG_BUF, true };

		BUG_ON(vdq_add(&g->rx, &b, 1, false) < 0);
	}
	vg_kick(g, &g->rx, VNET_RX);
}

static inline void vg_reap(struct vguest *g)
{
	uint16_t head;
	uint32_t len;

	while (vdq_take(&g->tx, &head, &len)) {
		g->tx_free |= 1ULL << g->tx_of_head[head];
		g->finished++;
	}
}

/* Sleep until queue @i has used entries. Return: 0 or -ETIMEDOUT */
static inline int vg_wait(struct vguest *g, struct vdqueue *q, enum vnet_queue i)
{
	while (!vdq_want_call(q)) {
		struct pollfd p = { .fd = g->call[i], .events = POLLIN };
		eventfd_t v;

		if (poll(&p, 1, VG_TIMEOUT_MS) == 0)
			return -ETIMEDOUT;
		(void)eventfd_read(g->call[i], &v);
	}
	return 0;
}

/* Send one frame; waits for a free buffer. Return: 0 or -ETIMEDOUT */
static inline int vg_send(struct vguest *g, const void *frame, uint32_t len)
{
	unsigned int buf;
	struct vdesc b;
	uint8_t *p;
	int head;

	vg_reap(g);
	while (!g->tx_free) {
		if (vg_wait(g, &g->tx, VNET_TX))
			return -ETIMEDOUT;
		vg_reap(g);
	}
	buf = (unsigned int)__builtin_ctzll(g->tx_free);
	b = (struct vdesc){ g->tx_pages + buf * (uint64_t)VG_BUF, VG_HDR + len, false };
	BUG_ON(b.len > VG_BUF);
	p = vdriver_ptr(&g->drv, b.gpa);
	memset(p, 0, VG_HDR);
	memcpy(p + VG_HDR, frame, len);
	head = vdq_add(&g->tx, &b, 1, false);
	BUG_ON(head < 0);
	g->tx_free &= ~(1ULL << buf);
	g->tx_of_head[head] = (uint8_t)buf;
	g->sent++;
	vg_kick(g, &g->tx, VNET_TX);
	return 0;
}

/*
 * Take one frame that fits a buffer, and offer the buffer again if @repost.
 * Return: its length, 0 when none waits
 */
static inline uint32_t vg_take(struct vguest *g, uint8_t *frame, bool repost)
{
	uint16_t head;
	uint32_t len;
	struct vdesc b;

	if (!vdq_take(&g->rx, &head, &len))
		return 0;
	b = (struct vdesc){ g->rx.desc[head].addr, VG_BUF, true };
	BUG_ON(len < VG_HDR || len > VG_BUF);
	memcpy(frame, (const uint8_t *)vdriver_ptr(&g->drv, b.gpa) + VG_HDR, len - VG_HDR);
	if (repost) {
		BUG_ON(vdq_add(&g->rx, &b, 1, false) < 0);
		vg_kick(g, &g->rx, VNET_RX);
	}
	return len - VG_HDR;
}

/* As vg_take(), waiting for a frame. Return: its length or -ETIMEDOUT */
static inline int vg_receive(struct vguest *g, uint8_t *frame)
{
	for (;;) {
		uint32_t len = vg_take(g, frame, true);

		if (len)
			return (int)len;
		if (vg_wait(g, &g->rx, VNET_RX))
			return -ETIMEDOUT;
	}
}

/* --- frames --------------------------------------------------------------- */

#define VG_ARP_LEN 42

static const uint8_t vg_mac[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };

/* An ARP question for @ip (host order), from a guest whose address ends in @n. */
static inline void vg_arp_request(uint8_t *f, uint32_t guest, uint32_t ip, uint32_t n)
{
	memset(f, 0, VG_ARP_LEN);
	memset(f, 0xff, 6);
	memcpy(f + 6, vg_mac, 6);
	put_be32(f + 8, n);
	put_be16(f + 12, ETHERTYPE_ARP);
	put_be16(f + 14, 1);
	put_be16(f + 16, ETHERTYPE_IP4);
	f[18] = 6;
	f[19] = 4;
	put_be16(f + 20, 1);
	memcpy(f + 22, f + 6, 6);
	put_be32(f + 28, guest);
	put_be32(f + 38, ip);
}

/* The answer to @question that comes from @our_mac. */
static inline void vg_arp_reply(uint8_t *f, const uint8_t *question, const uint8_t *our_mac)
{
	memcpy(f, question, VG_ARP_LEN);
	memcpy(f, question + 6, 6);
	memcpy(f + 6, our_mac, 6);
	put_be16(f + 20, 2);
	memcpy(f + 22, our_mac, 6);
	memcpy(f + 28, question + 38, 4);
	memcpy(f + 32, question + 22, 10);
}

/* An ICMP echo request of @len payload bytes that depend on @n. Return: the frame's length */
static inline uint32_t vg_echo_request(uint8_t *f, const uint8_t *our_mac, uint32_t guest,
				       uint32_t ip, uint32_t len, uint32_t n)
{
	uint8_t *ip4 = f + ETH_HLEN, *icmp = ip4 + IP4_HLEN;

	memset(f, 0, ETH_HLEN + IP4_HLEN + 8);
	memcpy(f, our_mac, 6);
	memcpy(f + 6, vg_mac, 6);
	put_be16(f + 12, ETHERTYPE_IP4);
	ip4[0] = 0x45;
	put_be16(ip4 + 2, (uint16_t)(IP4_HLEN + 8 + len));
	ip4[8] = 64;
	ip4[9] = PROTO_ICMP;
	put_be32(ip4 + 12, guest);
	put_be32(ip4 + 16, ip);
	put_be16(ip4 + 10, csum_fold(csum_add(0, ip4, IP4_HLEN)));
	icmp[0] = 8;
	put_be32(icmp + 4, n);
	for (uint32_t i = 0; i < len; i++)
		icmp[8 + i] = (uint8_t)(n * 31 + i * 7);
	put_be16(icmp + 2, csum_fold(csum_add(0, icmp, 8 + len)));
	return ETH_HLEN + IP4_HLEN + 8 + len;
}

#endif
