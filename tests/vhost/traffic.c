/* SPDX-License-Identifier: MIT */
/* Small questions and their answers, through a front-end that behaves. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "src/base/bytes.h"
#include "tcpstack/frame.h"
#include "tests/unit/vguest.h"
#include "tests/vhost/rig.h"

#define ANSWER_MS 60000

/**
 * tr_open() - a running device, with its receive queue full of buffers
 */
void tr_open(struct front *f, const struct vrig *r, uint16_t queue_size)
{
	struct front_config cfg = {
		.socket = vrig_path(r),
		.features = ~0ULL,
		.queue_size = queue_size,
		.rx_buf = 4096,
		.tx_buf = 4096,
		.wait_ms = 1000,
	};

	assert_int_equal(front_open(f, &cfg), 0);
	tr_fill_rx(f);
}

void tr_fill_rx(struct front *f)
{
	struct front_vq *q = &f->vq[FRONT_RX];
	int id;

	while ((id = front_vq_alloc(q)) >= 0)
		front_vq_add(q, (uint16_t)id, q->buf_size, true);
	front_vq_publish(q);
}

/**
 * tr_send() - one frame without offloads. Return: false when no buffer is free
 */
bool tr_send(struct front *f, const void *frame, uint32_t len)
{
	struct front_vq *q = &f->vq[FRONT_TX];
	uint32_t used_len;
	uint16_t used;
	int id;

	while (front_vq_used(q, &used, &used_len) > 0)
		front_vq_release(q, used);
	id = front_vq_alloc(q);
	if (id < 0)
		return false;
	memset(front_vq_buf(q, (uint16_t)id), 0, FRONT_NET_HDR_LEN);
	memcpy(front_vq_buf(q, (uint16_t)id) + FRONT_NET_HDR_LEN, frame, len);
	front_vq_add(q, (uint16_t)id, FRONT_NET_HDR_LEN + len, false);
	front_vq_publish(q);
	return true;
}

/**
 * tr_receive() - wait for one frame that fits one buffer. Return: its length
 */
uint32_t tr_receive(struct front *f, uint8_t *frame, uint32_t size)
{
	struct front_vq *q = &f->vq[FRONT_RX];
	uint32_t len;
	uint16_t id;

	while (!front_vq_has_used(q)) {
		struct pollfd p = { .fd = q->call_fd, .events = POLLIN };
		eventfd_t v;

		if (front_vq_calls_on(q))
			break;
		if (poll(&p, 1, ANSWER_MS) <= 0)
			fail_msg("no frame comes");
		(void)eventfd_read(q->call_fd, &v);
	}
	assert_int_equal(front_vq_used(q, &id, &len), 1);
	assert_true(len > FRONT_NET_HDR_LEN && len <= q->buf_size);
	len -= FRONT_NET_HDR_LEN;
	assert_true(len <= size);
	memcpy(frame, front_vq_buf(q, id) + FRONT_NET_HDR_LEN, len);
	front_vq_add(q, id, q->buf_size, true);
	front_vq_publish(q);
	return len;
}

void tr_arp(struct front *f, const struct vrig *r, uint32_t n)
{
	const struct stack_config *c = vrig_stack_config(r);
	uint8_t ask[VG_ARP_LEN], want[VG_ARP_LEN], got[4096];

	vg_arp_request(ask, c->guest4, n & 1 ? c->gateway4 : c->dns4, n);
	vg_arp_reply(want, ask, c->our_mac);
	assert_true(tr_send(f, ask, sizeof(ask)));
	assert_true(tr_receive(f, got, sizeof(got)) >= VG_ARP_LEN);
	assert_memory_equal(got, want, sizeof(want));
}

void tr_ping(struct front *f, const struct vrig *r, uint32_t len, uint32_t n)
{
	const struct stack_config *c = vrig_stack_config(r);
	uint8_t ask[2048], got[4096];
	uint32_t ask_len = vg_echo_request(ask, c->our_mac, c->guest4, c->gateway4, len, n);

	assert_true(tr_send(f, ask, ask_len));
	assert_int_equal(tr_receive(f, got, sizeof(got)), ask_len);
	assert_int_equal(got[34], 0);
	assert_memory_equal(got + 38, ask + 38, ask_len - 38);
}
