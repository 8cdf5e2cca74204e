/* SPDX-License-Identifier: MIT */
/*
 * The guest's end: TCP flows written straight into the rings.
 *
 * Theory of operation: it is a driver and a TCP stack with everything left out
 * that a measurement does not need. Sending, a segment is a header of 66 bytes
 * in front of payload that already lies in the buffer (or is put there, when the
 * content is checked). Receiving, segments are taken in order and acknowledged
 * once a batch for each flow. Nothing is expected to be lost on a ring; if
 * acknowledgements stop all the same, sending goes back to the last one after
 * RTO_NS, which is counted, and shows in the result.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/load/pattern.h"
#include "bench/ringpump/ringpump.h"
#include "src/base/base.h"
#include "src/base/bytes.h"
#include "src/base/clock.h"

#define GUEST_IP   0x0a00020fU
#define GATEWAY_IP 0x0a000202U

#define RTO_NS	    (300 * NS_PER_MS)
#define CONNECT_NS  (60 * NS_PER_S)
#define OUR_WSCALE  7
#define OUR_WINDOW  32768 /* << 7: 4 MiB, as Linux's tcp_rmem allows */
#define BATCH	    64
#define PACE_BURST  (512 * 1024)
#define FIRST_PORT  20000
#define HEADERS	    (FRONT_NET_HDR_LEN + 14 + 20 + 20)
#define SYN_OPTIONS 8

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

enum flow_state { CLOSED, SYN_SENT, ESTABLISHED, FIN_SENT, DONE };

struct flow {
	enum flow_state state;
	uint16_t port;
	uint32_t una, nxt; /* relative to the initial sequence number, SYN = 0 */
	uint32_t max;	   /* highest nxt: what lies below it may be ACKed after going back */
	uint32_t wnd;	   /* what the peer takes beyond una, bytes */
	uint8_t wscale;
	uint32_t rcv_nxt;
	uint64_t base;	 /* payload bytes below una */
	uint64_t rx_off; /* payload bytes received */
	bool ack_due;
	uint64_t progress_ns;
};

struct pump_tcp {
	struct front *f;
	const struct pump_options *o;
	uint16_t dst_port;
	uint8_t gw_mac[6];
	bool gw_known;
	uint16_t mss;
	int ep;
	uint32_t next_flow; /* round robin */
	uint64_t now;
	uint64_t bad;
	uint64_t start; /* of the paced sending */
	uint64_t paced; /* payload bytes sent since then */
	bool finishing; /* nothing new is sent, only what was lost */
	struct pump_counts n;
	struct flow flows[FLOWS_MAX];
};

static const uint8_t our_mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

/* RFC 1071 over an even or odd run, folded by the caller. */
static uint32_t sum16(uint32_t sum, const uint8_t *p, uint32_t len)
{
	for (; len > 1; len -= 2, p += 2) {
		sum += get_be16(p);
		if (sum & 0x80000000U)
			sum = (sum & 0xffff) + (sum >> 16);
	}
	return len ? sum + (uint32_t)(*p << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* A transmit buffer, waiting for the back-end to give one back; NULL = it gives none. */
static uint8_t *tx_buffer(struct pump_tcp *t, uint16_t *id)
{
	struct front_vq *q = &t->f->vq[FRONT_TX];
	uint16_t used;
	uint32_t len;
	int got;

	while (front_vq_used(q, &used, &len) > 0)
		front_vq_release(q, used);
	got = front_vq_alloc(q);
	if (got < 0)
		return NULL;
	*id = (uint16_t)got;
	return front_vq_buf(q, *id);
}

static void put_ether(const struct pump_tcp *t, uint8_t *eth, uint16_t type)
{
	if (t->gw_known)
		memcpy(eth, t->gw_mac, 6);
	else
		memset(eth, 0xff, 6);
	memcpy(eth + 6, our_mac, 6);
	put_be16(eth + 12, type);
}

static void put_ip(const struct pump_tcp *t, uint8_t *ip, uint32_t len)
{
	memset(ip, 0, 20);
	ip[0] = 0x45;
	put_be16(ip + 2, (uint16_t)len);
	ip[6] = 0x40;
	ip[8] = 64;
	ip[9] = 6;
	put_be32(ip + 12, GUEST_IP);
	put_be32(ip + 16, t->o->host ? t->o->host : GATEWAY_IP);
	put_be16(ip + 10, (uint16_t)~fold(sum16(0, ip, 20)));
}

/* The checksum, or as much of it as the device leaves to us; and segmentation. */
static void offload(const struct pump_tcp *t, uint8_t *hdr, uint8_t *tcp, uint32_t tcp_len)
{
	uint32_t sum = 6 + tcp_len;
	uint32_t payload = tcp_len - (uint32_t)(tcp[12] >> 4) * 4;

	memset(hdr, 0, FRONT_NET_HDR_LEN);
	sum = sum16(sum, tcp - 8, 8); /* both addresses */
	put_be16(tcp + 16, 0);
	if (!(t->f->features & (1ULL << VIRTIO_NET_F_CSUM))) {
		put_be16(tcp + 16, (uint16_t)~fold(sum16(sum, tcp, tcp_len)));
		return;
	}
	put_be16(tcp + 16, fold(sum));
	hdr[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	put_le16(hdr + 6, 14 + 20);
	put_le16(hdr + 8, 16);
	if (payload > t->mss) {
		hdr[1] = VIRTIO_NET_HDR_GSO_TCPV4;
		put_le16(hdr + 2, HEADERS - FRONT_NET_HDR_LEN);
		put_le16(hdr + 4, t->mss);
	}
}

/* One segment of @fl. Return: whether there was a buffer for it. */
static bool emit(struct pump_tcp *t, struct flow *fl, uint8_t flags, uint32_t rel, uint32_t len)
{
	uint32_t opts = flags & SYN ? SYN_OPTIONS : 0;
	uint8_t *buf, *tcp;
	uint16_t id;

	buf = tx_buffer(t, &id);
	if (!buf)
		return false;
	tcp = buf + HEADERS - 20;
	put_ether(t, buf + FRONT_NET_HDR_LEN, 0x0800);
	put_ip(t, buf + FRONT_NET_HDR_LEN + 14, 40 + opts + len);
	put_be16(tcp, fl->port);
	put_be16(tcp + 2, t->dst_port);
	put_be32(tcp + 4, rel);
	put_be32(tcp + 8, flags & ACK ? fl->rcv_nxt : 0);
	tcp[12] = (uint8_t)((20 + opts) / 4 << 4);
	tcp[13] = flags;
	put_be16(tcp + 14, OUR_WINDOW);
	put_be16(tcp + 18, 0);
	if (opts) {
		put_be32(tcp + 20, 0x02040000U | t->mss);
		put_be32(tcp + 24, 0x01030300U | OUR_WSCALE);
	}
	if (len && t->o->verify) {
		uint64_t off = fl->base + (rel - fl->una);

		memcpy(tcp + 20, pattern_at(PUMP_SEED, off), len);
	}
	offload(t, buf, tcp, 20 + opts + len);
	front_vq_add(&t->f->vq[FRONT_TX], id, HEADERS + opts + len, false);
	t->n.frames_out++;
	fl->ack_due = false;
	return true;
}

static void send_arp(struct pump_tcp *t, uint16_t op, const uint8_t *to_mac, uint32_t to_ip)
{
	uint8_t *buf, *a;
	uint16_t id;

	buf = tx_buffer(t, &id);
	if (!buf)
		return;
	memset(buf, 0, FRONT_NET_HDR_LEN + 14 + 28);
	put_ether(t, buf + FRONT_NET_HDR_LEN, 0x0806);
	a = buf + FRONT_NET_HDR_LEN + 14;
	put_be32(a, 0x00010800);
	put_be32(a + 4, 0x06040000U | op);
	memcpy(a + 8, our_mac, 6);
	put_be32(a + 14, GUEST_IP);
	memcpy(a + 18, to_mac, 6);
	put_be32(a + 24, to_ip);
	front_vq_add(&t->f->vq[FRONT_TX], id, FRONT_NET_HDR_LEN + 14 + 28, false);
}

static void on_arp(struct pump_tcp *t, const uint8_t *a, uint32_t len)
{
	if (len < 28)
		return;
	if (get_be16(a + 6) == 1 && get_be32(a + 24) == GUEST_IP)
		send_arp(t, 2, a + 8, get_be32(a + 14));
	if (get_be32(a + 14) == GATEWAY_IP) {
		memcpy(t->gw_mac, a + 8, 6);
		t->gw_known = true;
	}
}

/* A received frame: its first buffer, and where the rest lies. */
struct rx_span {
	uint8_t *part[FLOWS_MAX + 32];
	uint32_t len[FLOWS_MAX + 32];
	uint32_t parts;
};

static void check_payload(struct pump_tcp *t, const struct flow *fl, const struct rx_span *s,
			  uint32_t skip, uint32_t len)
{
	uint64_t off = fl->rx_off, bad;

	for (uint32_t i = 0; i < s->parts && len > 0; i++) {
		uint32_t n = s->len[i] > skip ? s->len[i] - skip : 0;

		n = MIN(n, len);
		if (n > 0 && !pattern_check(PUMP_SEED, off, s->part[i] + skip, n, &bad)) {
			if (t->bad++ == 0)
				fprintf(stderr, "ringpump: wrong byte at offset %llu\n",
					(unsigned long long)bad);
			return;
		}
		skip -= MIN(skip, s->len[i]);
		off += n;
		len -= n;
	}
}

static void on_syn_ack(struct pump_tcp *t, struct flow *fl, const uint8_t *tcp, uint32_t hlen)
{
	for (uint32_t i = 20; i + 1 < hlen && tcp[i] != 0;) {
		if (tcp[i] == 1) {
			i++;
			continue;
		}
		if (tcp[i] == 3 && i + 2 < hlen)
			fl->wscale = tcp[i + 2];
		i += MAX(tcp[i + 1], 2);
	}
	fl->rcv_nxt = get_be32(tcp + 4) + 1;
	fl->una = fl->nxt = fl->max = 1;
	fl->wnd = get_be16(tcp + 14);
	fl->state = ESTABLISHED;
	fl->ack_due = true;
	fl->progress_ns = t->now;
}

static void on_ack(struct pump_tcp *t, struct flow *fl, const uint8_t *tcp)
{
	uint32_t ack = get_be32(tcp + 8);

	if ((int32_t)(ack - fl->una) > 0 && (int32_t)(ack - fl->max) <= 0) {
		uint32_t n = ack - fl->una;

		fl->una = ack;
		if ((int32_t)(ack - fl->nxt) > 0)
			fl->nxt = ack;
		if (fl->state == FIN_SENT && ack == fl->nxt)
			n--;
		fl->base += n;
		if (t->o->up)
			t->n.payload += n;
		fl->progress_ns = t->now;
	}
	fl->wnd = (uint32_t)get_be16(tcp + 14) << fl->wscale;
}

static void on_tcp(struct pump_tcp *t, const struct rx_span *s, const uint8_t *ip, uint32_t l4_len)
{
	const uint8_t *tcp = ip + 20;
	uint32_t hlen = (uint32_t)(tcp[12] >> 4) * 4;
	uint32_t i = (uint32_t)(get_be16(tcp + 2) - FIRST_PORT);
	uint32_t len = l4_len - hlen, seq = get_be32(tcp + 4);
	struct flow *fl;

	if (i >= t->o->flows || l4_len < hlen)
		return;
	fl = &t->flows[i];
	if (tcp[13] & RST) {
		fl->state = DONE;
		return;
	}
	if (fl->state == SYN_SENT) {
		if ((tcp[13] & (SYN | ACK)) == (SYN | ACK) && get_be32(tcp + 8) == 1)
			on_syn_ack(t, fl, tcp, hlen);
		return;
	}
	on_ack(t, fl, tcp);
	if (len > 0) {
		fl->ack_due = true;
		if (seq != fl->rcv_nxt)
			return;
		if (t->o->verify)
			check_payload(t, fl, s, HEADERS - 20 + hlen, len);
		fl->rcv_nxt += len;
		fl->rx_off += len;
		t->n.payload += t->o->up ? 0 : len;
		fl->progress_ns = t->now;
	}
	if ((tcp[13] & FIN) && seq + len == fl->rcv_nxt) {
		fl->rcv_nxt++;
		fl->ack_due = true;
		fl->state = DONE;
	}
}

static void on_frame(struct pump_tcp *t, const struct rx_span *s)
{
	const uint8_t *eth = s->part[0] + FRONT_NET_HDR_LEN;
	uint32_t len = s->len[0] - FRONT_NET_HDR_LEN;

	t->n.frames_in++;
	if (len >= 14 + 28 && get_be16(eth + 12) == 0x0806)
		on_arp(t, eth + 14, len - 14);
	else if (len >= 14 + 40 && get_be16(eth + 12) == 0x0800 && eth[23] == 6)
		on_tcp(t, s, eth + 14, (uint32_t)get_be16(eth + 16) - 20U);
}

/* Take received frames, at most a batch. Return: how many, or -EPROTO. */
static int receive(struct pump_tcp *t)
{
	struct front_vq *q = &t->f->vq[FRONT_RX];
	int frames = 0, got = 0;
	uint32_t len;
	uint16_t id;

	while (frames < BATCH && (got = front_vq_used(q, &id, &len)) > 0) {
		uint16_t ids[ARRAY_SIZE(((struct rx_span *)0)->part)] = { id };
		struct rx_span s = { .parts = 1 };
		uint16_t span = 1;

		if (len < FRONT_NET_HDR_LEN) { /* given back unused when the rings stopped */
			front_vq_add(q, id, q->buf_size, true);
			continue;
		}
		s.part[0] = front_vq_buf(q, id);
		s.len[0] = len;
		if (t->f->features & (1ULL << VIRTIO_NET_F_MRG_RXBUF))
			span = get_le16(s.part[0] + 10);
		if (span == 0 || span > ARRAY_SIZE(s.part))
			return -EPROTO;
		for (; s.parts < span; s.parts++) {
			if (front_vq_used(q, &ids[s.parts], &len) != 1)
				return -EPROTO;
			s.part[s.parts] = front_vq_buf(q, ids[s.parts]);
			s.len[s.parts] = len;
		}
		on_frame(t, &s);
		for (uint32_t i = 0; i < s.parts; i++)
			front_vq_add(q, ids[i], q->buf_size, true);
		frames++;
	}
	return got < 0 ? -EPROTO : frames;
}

/* Payload that the rate allows by now; a pause saves up at most PACE_BURST of it. */
static bool pace_allows(struct pump_tcp *t)
{
	uint64_t due = (t->now - t->start) / 1000 * t->o->rate / 1000000;

	if (due > t->paced + PACE_BURST)
		t->paced = due - PACE_BURST;
	return t->paced < due;
}

/* Send what the windows and the rate allow, at most a batch over all flows in turn. */
static int transmit(struct pump_tcp *t)
{
	int sent = 0, idle = 0;

	while (sent < BATCH && idle < (int)t->o->flows) {
		struct flow *fl = &t->flows[t->next_flow];
		uint32_t flight = fl->nxt - fl->una;
		uint32_t len = t->o->segment;

		t->next_flow = (t->next_flow + 1) % t->o->flows;
		if (fl->state != ESTABLISHED || flight >= fl->wnd ||
		    (t->o->rate && !t->finishing && !pace_allows(t))) {
			idle++;
			continue;
		}
		len = MIN(len, fl->wnd - flight);
		if (t->finishing)
			len = MIN(len, fl->max - fl->nxt);
		/* Full segments only, unless nothing is under way (silly windows). */
		if (len == 0 || (len < t->o->segment && flight > 0 && !t->finishing)) {
			idle++;
			continue;
		}
		if (!emit(t, fl, ACK | PSH, fl->nxt, len))
			break;
		if (flight == 0)
			fl->progress_ns = t->now;
		fl->nxt += len;
		t->paced += len;
		if ((int32_t)(fl->nxt - fl->max) > 0)
			fl->max = fl->nxt;
		sent++;
		idle = 0;
	}
	return sent;
}

static void send_acks(struct pump_tcp *t)
{
	for (uint32_t i = 0; i < t->o->flows; i++) {
		struct flow *fl = &t->flows[i];

		if (fl->ack_due)
			emit(t, fl, ACK, fl->nxt, 0);
	}
}

/* No acknowledgement for too long: back to the last one. */
static void check_stalls(struct pump_tcp *t)
{
	for (uint32_t i = 0; i < t->o->flows; i++) {
		struct flow *fl = &t->flows[i];

		if ((fl->state != ESTABLISHED && fl->state != FIN_SENT) ||
		    t->now - fl->progress_ns < RTO_NS)
			continue;
		if (fl->state == FIN_SENT) { /* it may have met a window that was shut */
			emit(t, fl, FIN | ACK, fl->max - 1, 0);
			t->n.retransmits++;
		} else if (fl->nxt != fl->una) {
			fl->nxt = fl->una;
			t->n.retransmits++;
		} else if (t->o->up && fl->wnd == 0) {
			emit(t, fl, ACK, fl->una - 1, 0); /* probe the window */
		}
		fl->progress_ns = t->now;
	}
}

static void wait_for_device(struct pump_tcp *t, int ms)
{
	struct front_vq *rx = &t->f->vq[FRONT_RX], *tx = &t->f->vq[FRONT_TX];
	struct epoll_event ev[2];
	bool more = front_vq_calls_on(rx);

	if (tx->nfree == 0)
		more |= front_vq_calls_on(tx);
	(void)epoll_wait(t->ep, ev, 2, more ? 0 : ms);
	front_vq_calls_off(rx);
	front_vq_calls_off(tx);
}

/* One turn of the loop. Return: 0 or -errno. */
static int turn(struct pump_tcp *t, bool send)
{
	int got, sent = 0;

	t->now = clock_now_ns();
	got = receive(t);
	if (got < 0)
		return got;
	if (send)
		sent = transmit(t);
	send_acks(t);
	front_vq_publish(&t->f->vq[FRONT_RX]);
	front_vq_publish(&t->f->vq[FRONT_TX]);
	if (got == 0 && sent == 0) {
		check_stalls(t);
		wait_for_device(t, t->o->rate ? 1 : 50);
	}
	return 0;
}

/**
 * pump_tcp_new() - flows over an open front
 * @port:	where the host's end listens
 */
int pump_tcp_new(struct pump_tcp **out, struct front *f, const struct pump_options *o,
		 uint16_t port)
{
	struct pump_tcp *t = calloc(1, sizeof(*t));
	struct front_vq *rx = &f->vq[FRONT_RX];
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int id;

	if (!t)
		return -ENOMEM;
	t->f = f;
	t->o = o;
	t->dst_port = port;
	t->mss = (uint16_t)(o->mtu - 40);
	t->ep = epoll_create1(EPOLL_CLOEXEC);
	if (t->ep < 0 || epoll_ctl(t->ep, EPOLL_CTL_ADD, rx->call_fd, &ev) < 0 ||
	    epoll_ctl(t->ep, EPOLL_CTL_ADD, f->vq[FRONT_TX].call_fd, &ev) < 0) {
		free(t);
		return -errno;
	}
	while ((id = front_vq_alloc(rx)) >= 0)
		front_vq_add(rx, (uint16_t)id, rx->buf_size, true);
	front_vq_publish(rx);
	*out = t;
	return 0;
}

static bool all_in(const struct pump_tcp *t, enum flow_state state)
{
	for (uint32_t i = 0; i < t->o->flows; i++) {
		if (t->flows[i].state != state)
			return false;
	}
	return true;
}

/**
 * pump_tcp_connect() - open all flows
 *
 * Return: 0, -ETIMEDOUT, -ECONNREFUSED, -EPROTO
 */
int pump_tcp_connect(struct pump_tcp *t)
{
	static const uint8_t nobody[6];
	uint64_t start = clock_now_ns(), last = 0;
	int ret = 0;

	while (ret == 0 && !all_in(t, ESTABLISHED)) {
		t->now = clock_now_ns();
		if (t->now - start > CONNECT_NS)
			return -ETIMEDOUT;
		if (t->now - last > NS_PER_S) {
			last = t->now;
			if (!t->gw_known)
				send_arp(t, 1, nobody, GATEWAY_IP);
		}
		for (uint32_t i = 0; t->gw_known && i < t->o->flows; i++) {
			struct flow *fl = &t->flows[i];

			if (fl->state == DONE)
				return -ECONNREFUSED;
			if (fl->state == ESTABLISHED ||
			    (fl->state == SYN_SENT && t->now - fl->progress_ns < NS_PER_S))
				continue;
			fl->port = (uint16_t)(FIRST_PORT + i);
			fl->state = SYN_SENT;
			fl->progress_ns = t->now;
			emit(t, fl, SYN, 0, 0);
		}
		ret = turn(t, false);
	}
	return ret;
}

/**
 * pump_tcp_run() - move data for a time
 * @counts:	out: what was moved in it
 */
int pump_tcp_run(struct pump_tcp *t, double seconds, struct pump_counts *counts)
{
	uint64_t end = clock_now_ns() + (uint64_t)(seconds * 1e9);
	uint64_t kicks = t->f->vq[0].kicks + t->f->vq[1].kicks;
	int ret = 0;

	t->n = (struct pump_counts){ 0 };
	t->start = clock_now_ns();
	t->paced = 0;
	while (ret == 0 && clock_now_ns() < end)
		ret = turn(t, t->o->up);
	t->n.kicks = t->f->vq[0].kicks + t->f->vq[1].kicks - kicks;
	*counts = t->n;
	return ret < 0 ? ret : (t->bad ? -EBADMSG : 0);
}

/**
 * pump_tcp_finish() - end the flows in order: upwards by FIN once all is
 * acknowledged, downwards by RST
 *
 * Return: 0, or -ETIMEDOUT when acknowledgements do not come
 */
int pump_tcp_finish(struct pump_tcp *t)
{
	uint64_t end = clock_now_ns() + CONNECT_NS;
	int ret = 0;

	for (uint32_t i = 0; i < t->o->flows && !t->o->up; i++) {
		emit(t, &t->flows[i], RST | ACK, t->flows[i].nxt, 0);
		t->flows[i].state = DONE;
	}
	t->finishing = true;
	while (ret == 0 && !all_in(t, DONE)) {
		for (uint32_t i = 0; i < t->o->flows; i++) {
			struct flow *fl = &t->flows[i];

			if (fl->state == ESTABLISHED && fl->una == fl->max &&
			    emit(t, fl, FIN | ACK, fl->nxt, 0)) {
				fl->max = ++fl->nxt;
				fl->state = FIN_SENT;
			}
		}
		ret = turn(t, t->o->up);
		if (ret == 0 && t->now > end)
			ret = -ETIMEDOUT;
	}
	front_vq_publish(&t->f->vq[FRONT_TX]);
	return ret;
}

/**
 * pump_tcp_sent() - payload bytes that were acknowledged, over all flows
 */
uint64_t pump_tcp_sent(const struct pump_tcp *t)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < t->o->flows; i++)
		n += t->flows[i].base;
	return n;
}

/**
 * pump_tcp_received() - payload bytes that were received, over all flows
 */
uint64_t pump_tcp_received(const struct pump_tcp *t)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < t->o->flows; i++)
		n += t->flows[i].rx_off;
	return n;
}

/**
 * pump_tcp_free() - release; the front stays open
 */
void pump_tcp_free(struct pump_tcp *t)
{
	close(t->ep);
	free(t);
}
