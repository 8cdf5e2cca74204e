/* SPDX-License-Identifier: MIT */
/*
 * Frames between a TAP and the rings.
 *
 * Theory of operation: the TAP carries the same 12-byte virtio header as the
 * rings do, so a frame is read straight into a transmit buffer and written
 * straight from receive buffers. One thread serves both directions in turn,
 * sixty-four frames each, with interrupts off; when neither has work it asks for
 * interrupts, looks once more, and waits. The TAP is watched edge-triggered, so
 * @tap_readable remembers that a full ring left frames in it.
 *
 * With a bad link (impair.h) in between, frames are copied out of and into the
 * buffers, and the wait ends when one is due.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench/nsguest/impair.h"
#include "bench/nsguest/nsguest.h"
#include "src/base/base.h"
#include "src/base/bytes.h"
#include "src/base/clock.h"

#define BUDGET 64

/* Receive buffers that one frame may span: 64 KiB in buffers of 256 bytes. */
#define SPAN_MAX 260

enum watched { TAP, RX_CALL, TX_CALL, CHILD, BACK_END };

struct pump {
	struct front *f;
	struct pump_stats *n;
	int tap;
	bool tap_readable;
	bool bad_link;
	uint64_t restart_ns, restart_due; /* 0 = never */
	uint64_t reset_ns, reset_due;	  /* 0 = never */
	uint64_t starve_ns;		  /* period, 0 = never */
	struct impair up, down;
	uint8_t frame[FRONT_FRAME_MAX + 1];
};

static int reclaim_tx(struct front_vq *q)
{
	uint32_t len;
	uint16_t id;
	int got;

	while ((got = front_vq_used(q, &id, &len)) > 0)
		front_vq_release(q, id);
	return got < 0 ? -EPROTO : 0;
}

/* A frame that came through the bad link: into the ring, or lost if that is full. */
static void up_deliver(void *ctx, const void *frame, uint32_t len)
{
	struct pump *p = ctx;
	struct front_vq *q = &p->f->vq[FRONT_TX];
	int id = front_vq_has_room(q) ? front_vq_alloc(q) : -1;

	if (id < 0)
		return;
	memcpy(front_vq_buf(q, (uint16_t)id), frame, len);
	front_vq_add(q, (uint16_t)id, len, false);
}

static void down_deliver(void *ctx, const void *frame, uint32_t len)
{
	struct pump *p = ctx;

	if (write(p->tap, frame, len) < 0)
		p->n->rx_tap_errors++;
}

static int pump_tx_bad(struct pump *p)
{
	struct front_vq *q = &p->f->vq[FRONT_TX];
	int moved = 0;
	int ret = reclaim_tx(q);

	while (ret == 0 && p->tap_readable && moved < BUDGET) {
		ssize_t n = read(p->tap, p->frame, sizeof(p->frame));

		if (n < 0) {
			ret = errno == EAGAIN ? 0 : -errno;
			p->tap_readable = false;
			break;
		}
		p->n->tx_frames++;
		impair_push(&p->up, p->frame, (uint32_t)n, clock_now_ns());
		moved++;
	}
	front_vq_publish(q);
	return ret < 0 ? ret : moved;
}

/* TAP to transmit queue. Return: frames moved, or -errno. */
static int pump_tx(struct pump *p)
{
	struct front_vq *q = &p->f->vq[FRONT_TX];
	int moved = 0;
	int ret;

	if (p->bad_link)
		return pump_tx_bad(p);
	ret = reclaim_tx(q);
	while (ret == 0 && p->tap_readable && moved < BUDGET && front_vq_has_room(q)) {
		int id = front_vq_alloc(q);
		ssize_t n;

		n = read(p->tap, front_vq_buf(q, (uint16_t)id), q->buf_size);
		if (n < 0) {
			front_vq_release(q, (uint16_t)id);
			if (errno != EAGAIN)
				ret = -errno;
			p->tap_readable = false;
			break;
		}
		front_vq_add(q, (uint16_t)id, (uint32_t)n, false);
		p->n->tx_frames++;
		p->n->tx_bytes += (uint64_t)n - FRONT_NET_HDR_LEN;
		moved++;
	}
	front_vq_publish(q);
	return ret < 0 ? ret : moved;
}

/*
 * A device may vouch for a checksum that it never computed (DATA_VALID). A TAP
 * knows no such flag and would verify and drop; to it, the same is said by "the
 * rest of the checksum is still to be filled in".
 */
static void vouch_to_tap(uint8_t *buf, uint32_t len)
{
	const uint8_t *ip = buf + FRONT_NET_HDR_LEN + 14;
	uint32_t l4 = 14;
	uint8_t proto;

	if (!(buf[0] & VIRTIO_NET_HDR_F_DATA_VALID) || len < FRONT_NET_HDR_LEN + 14 + 40)
		return;
	if (get_be16(ip - 2) == 0x0800) {
		l4 += (uint32_t)(ip[0] & 15) * 4;
		proto = ip[9];
	} else if (get_be16(ip - 2) == 0x86dd) {
		l4 += 40;
		proto = ip[6];
	} else {
		return;
	}
	if (proto != IPPROTO_TCP && proto != IPPROTO_UDP)
		return;
	buf[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	put_le16(buf + 6, (uint16_t)l4);
	put_le16(buf + 8, proto == IPPROTO_TCP ? 16 : 6);
}

/* One received frame: its buffers to the TAP and back to the ring. */
static int deliver(struct pump *p, uint16_t first, uint32_t first_len)
{
	struct front_vq *q = &p->f->vq[FRONT_RX];
	uint16_t id[SPAN_MAX] = { first };
	struct iovec iov[SPAN_MAX];
	uint32_t len = first_len;
	uint16_t span = 1;

	if (first_len < FRONT_NET_HDR_LEN) { /* given back unused when the rings stopped */
		front_vq_add(q, first, q->buf_size, true);
		return 0;
	}
	if (p->f->features & (1ULL << VIRTIO_NET_F_MRG_RXBUF))
		span = get_le16(front_vq_buf(q, first) + 10);
	if (span == 0 || span > SPAN_MAX)
		return -EPROTO;
	for (uint16_t i = 0; i < span; i++) {
		uint32_t got = first_len;

		if (i > 0 && front_vq_used(q, &id[i], &got) != 1)
			return -EPROTO; /* all parts of a frame are published together */
		if (got > q->buf_size)
			return -EPROTO;
		iov[i] = (struct iovec){ front_vq_buf(q, id[i]), got };
		len += i > 0 ? got : 0;
	}
	vouch_to_tap(iov[0].iov_base, first_len);
	if (p->bad_link) {
		uint32_t at = 0;

		for (uint16_t i = 0; i < span && at + iov[i].iov_len <= sizeof(p->frame); i++) {
			memcpy(p->frame + at, iov[i].iov_base, iov[i].iov_len);
			at += (uint32_t)iov[i].iov_len;
		}
		impair_push(&p->down, p->frame, at, clock_now_ns());
	} else if (writev(p->tap, iov, span) < 0) {
		p->n->rx_tap_errors++;
	}
	p->n->rx_frames++;
	p->n->rx_bytes += len - FRONT_NET_HDR_LEN;
	for (uint16_t i = 0; i < span; i++)
		front_vq_add(q, id[i], q->buf_size, true);
	return 0;
}

/* For the last quarter of each period the guest takes nothing from its receive queue. */
static bool starving(const struct pump *p)
{
	return p->starve_ns && clock_now_ns() % p->starve_ns >= p->starve_ns / 4 * 3;
}

static int pump_rx(struct pump *p)
{
	struct front_vq *q = &p->f->vq[FRONT_RX];
	int moved = 0, got = 0, ret = 0;
	uint32_t len;
	uint16_t id;

	if (starving(p))
		return 0;
	while (ret == 0 && moved < BUDGET && (got = front_vq_used(q, &id, &len)) > 0) {
		ret = deliver(p, id, len);
		moved++;
	}
	if (got < 0)
		ret = -EPROTO;
	front_vq_publish(q);
	return ret < 0 ? ret : moved;
}

/* Let out what is due on the bad link. Return: ms until the next is, -1 = none. */
static int run_link(struct pump *p)
{
	uint64_t now = clock_now_ns(), up, down, next;

	if (!p->bad_link)
		return -1;
	up = impair_run(&p->up, now);
	down = impair_run(&p->down, now);
	front_vq_publish(&p->f->vq[FRONT_TX]);
	next = MIN(up, down);
	return next == UINT64_MAX ? -1 : (int)((next - now) / NS_PER_MS) + 1;
}

/* Stop the rings and go on where they were, as a VMM does that pauses its guest. */
static int restart_if_due(struct pump *p)
{
	uint16_t base[FRONT_QUEUES];
	uint64_t now;
	int ret;

	if (!p->restart_ns)
		return 0;
	now = clock_now_ns();
	if (now < p->restart_due)
		return 0;
	p->restart_due = now + p->restart_ns;
	p->n->restarts++;
	ret = front_stop(p->f, base);
	return ret < 0 ? ret : front_restart(p->f, base);
}

/* All of the receive queue's buffers go to the back-end. */
static void fill_rx(struct front_vq *q)
{
	int id;

	while ((id = front_vq_alloc(q)) >= 0)
		front_vq_add(q, (uint16_t)id, q->buf_size, true);
	front_vq_publish(q);
}

/* A driver that begins anew; what the rings held is lost. */
static int reset_if_due(struct pump *p)
{
	int ret;

	if (!p->reset_ns || clock_now_ns() < p->reset_due)
		return 0;
	p->n->resets++;
	ret = front_reset(p->f);
	if (ret == 0)
		fill_rx(&p->f->vq[FRONT_RX]);
	/* It may have taken long; what comes then should not be lost to the next one. */
	p->reset_due = clock_now_ns() + p->reset_ns;
	return ret;
}

static int watch(int ep, int fd, enum watched what, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.u32 = what };

	return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

/*
 * Nothing to do: ask for interrupts, look again, wait. Return: 1 when the child has ended,
 * -EPIPE when the back-end has
 */
static int sleep_until_work(struct pump *p, int ep)
{
	struct epoll_event ev[5];
	bool tx_full = !front_vq_has_room(&p->f->vq[FRONT_TX]);
	int timeout = run_link(p);
	bool more;
	int n;

	if (p->restart_ns || p->reset_ns || p->starve_ns)
		timeout = timeout < 0 ? 1 : MIN(timeout, 1);
	more = !starving(p) && front_vq_calls_on(&p->f->vq[FRONT_RX]);
	if (tx_full)
		more |= front_vq_calls_on(&p->f->vq[FRONT_TX]);
	n = epoll_wait(ep, ev, (int)ARRAY_SIZE(ev), more ? 0 : timeout);
	p->n->sleeps += !more;
	for (int i = 0; i < n; i++) {
		if (ev[i].data.u32 == TAP)
			p->tap_readable = true;
		else if (ev[i].data.u32 == CHILD)
			return 1;
		else if (ev[i].data.u32 == BACK_END)
			return -EPIPE;
	}
	front_vq_calls_off(&p->f->vq[FRONT_RX]);
	front_vq_calls_off(&p->f->vq[FRONT_TX]);
	return 0;
}

/**
 * pump_run() - move frames until the child ends
 * @tap:	nonblocking, with a 12-byte virtio header
 * @child_pidfd:	readable when the command has ended
 * @upset:	what the guest does to the device now and then
 *
 * Return: 0; -EPROTO when the back-end broke the rings' rules, -EPIPE when it hung up, or
 * -errno
 */
int pump_run(struct front *f, int tap, int child_pidfd, const struct impair_config *link,
	     const struct pump_upset *upset, struct pump_stats *stats)
{
	static struct pump p;
	struct front_vq *rx = &f->vq[FRONT_RX];
	int ep = epoll_create1(EPOLL_CLOEXEC);
	int ret;

	if (ep < 0)
		return -errno;
	p = (struct pump){ .f = f, .n = stats, .tap = tap, .tap_readable = true };
	p.starve_ns = (uint64_t)upset->starve_ms * NS_PER_MS;
	p.restart_ns = (uint64_t)upset->restart_ms * NS_PER_MS;
	p.restart_due = clock_now_ns() + p.restart_ns;
	p.reset_ns = (uint64_t)upset->reset_ms * NS_PER_MS;
	p.reset_due = clock_now_ns() + p.reset_ns;
	p.bad_link = impair_any(link);
	impair_init(&p.up, link, up_deliver, &p);
	impair_init(&p.down, link, down_deliver, &p);
	ret = watch(ep, tap, TAP, EPOLLIN | EPOLLET);
	if (ret == 0)
		ret = watch(ep, rx->call_fd, RX_CALL, EPOLLIN | EPOLLET);
	if (ret == 0)
		ret = watch(ep, f->vq[FRONT_TX].call_fd, TX_CALL, EPOLLIN | EPOLLET);
	if (ret == 0)
		ret = watch(ep, child_pidfd, CHILD, EPOLLIN);
	if (ret == 0)
		ret = watch(ep, f->sock, BACK_END, EPOLLRDHUP);
	fill_rx(rx);
	while (ret == 0) {
		int tx = pump_tx(&p);
		int got = pump_rx(&p);

		if (tx < 0 || got < 0)
			ret = tx < 0 ? tx : got;
		else if (tx == 0 && got == 0)
			ret = sleep_until_work(&p, ep);
		if (ret == 0)
			ret = restart_if_due(&p);
		if (ret == 0)
			ret = reset_if_due(&p);
	}
	stats->lost = p.up.lost + p.down.lost;
	stats->doubled = p.up.doubled + p.down.doubled;
	stats->reordered = p.up.reordered + p.down.reordered;
	close(ep);
	return ret < 0 ? ret : 0;
}
