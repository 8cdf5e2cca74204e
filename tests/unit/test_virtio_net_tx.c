/* SPDX-License-Identifier: MIT */
/* virtio-net, guest to host: what reaches the stack, and what is refused. */
#include "tests/unit/vnetrig.h"

static void frames_arrive_whole_in_any_layout(void **state)
{
	/* Where the 12 + 300 bytes are cut; 5.1.6.2 and 2.7.4 allow any. */
	static const uint16_t cuts[][8] = {
		{ 312 },	   { 12, 300 }, { 1, 4, 6, 1, 14, 286 },
		{ 20, 1, 1, 290 }, { 11, 301 }, { 1, 1, 1, 1, 1, 1, 1, 305 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cuts) * 2; i++) {
		struct rig *r = begin(ALL);
		struct vdesc b[8];
		uint16_t n = 0;
		uint32_t at = 0;
		int head;

		write_frame(r, 0, &plain, 300);
		for (const uint16_t *c = cuts[i / 2]; n < 8 && *c; c++, n++) {
			b[n] = (struct vdesc){ r->tx_buf + at, *c, false };
			at += *c;
		}
		head = vdq_add(&r->tx, b, n, i % 2);
		assert_false(vnet_tx_drain(r->v));
		vnet_publish(r->v);
		assert_int_equal(r->st.nseen, 1);
		expect_frame(&r->st.seen[0], 300);
		assert_int_equal(r->st.seen[0].descs, i % 2 ? 1 : n);
		assert_int_equal(r->st.seen[0].off.gso, GSO_NONE);
		assert_false(r->st.seen[0].off.needs_csum);
		expect_used(&r->tx, head, 0);
		end(r);
	}
}

static void offloads_arrive(void **state)
{
	struct virtio_net_hdr_v1 h = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN,
		.hdr_len = 9999,
		.gso_size = 1448,
		.csum_start = 34,
		.csum_offset = 16,
	};
	struct rig *r = begin(ALL);
	const struct offload *o = &r->st.seen[0].off;

	(void)state;
	send_frame(r, 0, &h, 60000);
	vnet_tx_drain(r->v);
	assert_int_equal(r->st.nseen, 1);
	expect_frame(&r->st.seen[0], 60000);
	assert_int_equal(o->gso, GSO_TCP4);
	assert_int_equal(o->gso_size, 1448);
	assert_true(o->needs_csum);
	assert_int_equal(o->csum_start, 34);
	assert_int_equal(o->csum_offset, 16);
	end(r);
	h.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
	h.csum_offset = 6;
	r = begin(ALL);
	o = &r->st.seen[0].off;
	send_frame(r, 0, &h, 60000);
	vnet_tx_drain(r->v);
	assert_int_equal(r->st.nseen, 1);
	assert_int_equal(o->gso, GSO_UDP_L4);
	assert_int_equal(o->gso_size, 1448);
	end(r);
}

/* The bad frame is retired under @fault alone, the good one behind it arrives (H2, H7). */
static void expect_refused(struct rig *r, int bad, enum vq_fault fault)
{
	int good = send_frame(r, 4 << 20, &plain, 60);

	assert_true(bad >= 0 && good >= 0);
	vnet_tx_drain(r->v);
	vnet_publish(r->v);
	assert_int_equal(r->st.nseen, 1);
	expect_frame(&r->st.seen[0], 60);
	for (int i = 0; i < VQ_FAULT_COUNT; i++)
		assert_int_equal(counter_get(&r->n[VNET_TX].faults[i]), i == (int)fault);
	expect_used(&r->tx, bad, 0);
	expect_used(&r->tx, good, 0);
	assert_int_equal(r->broken, 0);
	end(r);
}

/* H8: the header is copied, then judged; each of these contradicts the frame. */
static void contradicting_headers_are_refused(void **state)
{
	enum { CSUM = VIRTIO_NET_HDR_F_NEEDS_CSUM };
	static const struct {
		uint64_t without;
		struct virtio_net_hdr_v1 h;
	} bad[] = {
		{ 0, { .flags = CSUM, .csum_start = 99, .csum_offset = 0 } },
		{ 0, { .flags = CSUM, .csum_start = 34, .csum_offset = 65 } },
		{ 0, { .flags = CSUM, .csum_start = 65535, .csum_offset = 65535 } },
		{ 0, { .flags = CSUM, .csum_start = 13, .csum_offset = 6 } },
		{ F(VIRTIO_NET_F_CSUM), { .flags = CSUM, .csum_start = 34, .csum_offset = 16 } },
		{ 0, { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1448 } },
		{ 0,
		  { .flags = CSUM,
		    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		    .csum_start = 34,
		    .csum_offset = 16 } },
		{ 0,
		  { .flags = CSUM,
		    .gso_type = VIRTIO_NET_HDR_GSO_UDP,
		    .gso_size = 1448,
		    .csum_start = 34,
		    .csum_offset = 6 } },
		{ F(VIRTIO_NET_F_HOST_TSO6),
		  { .flags = CSUM,
		    .gso_type = VIRTIO_NET_HDR_GSO_TCPV6,
		    .gso_size = 1448,
		    .csum_start = 54,
		    .csum_offset = 16 } },
		{ F(VIRTIO_NET_F_HOST_USO),
		  { .flags = CSUM,
		    .gso_type = VIRTIO_NET_HDR_GSO_UDP_L4,
		    .gso_size = 1448,
		    .csum_start = 34,
		    .csum_offset = 6 } },
		{ 0, { .gso_type = VIRTIO_NET_HDR_GSO_UDP_L4, .gso_size = 1448 } },
		{ 0, { .gso_type = 0x7f } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct rig *r = begin(ALL & ~bad[i].without);

		expect_refused(r, send_frame(r, 0, &bad[i].h, 100), VQ_FAULT_CHAIN_CONTENT);
	}
}

static void too_short_and_too_long_are_refused(void **state)
{
	struct rig *r = begin(ALL);

	(void)state;
	expect_refused(r, send_frame(r, 0, &plain, 13), VQ_FAULT_CHAIN_SHORT);
	r = begin(ALL);
	const struct vdesc tiny = { r->tx_buf, 5, false };
	expect_refused(r, vdq_add(&r->tx, &tiny, 1, false), VQ_FAULT_CHAIN_SHORT);
	r = begin(ALL);
	expect_refused(r, send_frame(r, 0, &plain, PORT_FRAME_MAX + 1), VQ_FAULT_CHAIN_LONG);
	r = begin(ALL);
	send_frame(r, 0, &plain, PORT_FRAME_MAX);
	send_frame(r, 1 << 20, &plain, 14);
	vnet_tx_drain(r->v);
	assert_int_equal(r->st.nseen, 2);
	expect_frame(&r->st.seen[0], PORT_FRAME_MAX);
	expect_frame(&r->st.seen[1], 14);
	end(r);
}

static void rewrite_guest_memory(struct stack *st, const struct tx_frame *f)
{
	(void)st;
	for (uint32_t i = 0; i < f->iovcnt; i++)
		memset(f->iov[i].iov_base, 0xdb, f->iov[i].iov_len);
	for (uint32_t i = 0; i < f->head_len; i++)
		assert_int_equal(f->head[i], pattern(i));
}

/* H8: whatever the guest does to the frame, the head that was checked stays. */
static void head_is_a_private_copy(void **state)
{
	struct rig *r = begin(ALL);

	(void)state;
	r->st.on_input = rewrite_guest_memory;
	send_frame(r, 0, &plain, 1000);
	vnet_tx_drain(r->v);
	assert_int_equal(r->st.nseen, 1);
	end(r);
}

static void held_frames_come_back_in_any_order(void **state)
{
	struct rig *r = begin(ALL);
	int head[3];

	(void)state;
	r->st.verdict = TX_HELD;
	for (int i = 0; i < 3; i++)
		head[i] = send_frame(r, (uint64_t)i * 4096, &plain, 100);
	vnet_tx_drain(r->v);
	vnet_publish(r->v);
	assert_int_equal(vdq_used_pending(&r->tx), 0);
	r->st.ops->tx_done(r->st.ctx, r->st.seen[2].token);
	r->st.ops->tx_done(r->st.ctx, r->st.seen[0].token);
	assert_int_equal(vdq_used_pending(&r->tx), 0);
	vnet_publish(r->v);
	expect_used(&r->tx, head[2], 0);
	expect_used(&r->tx, head[0], 0);
	assert_int_equal(vdq_used_pending(&r->tx), 0);
	r->st.ops->tx_done(r->st.ctx, r->st.seen[1].token);
	vnet_publish(r->v);
	expect_used(&r->tx, head[1], 0);
	end(r);
}

static void finish_at_once(struct stack *st, const struct tx_frame *f)
{
	st->ops->tx_done(st->ctx, f->token);
}

static void frame_may_be_done_before_it_is_held(void **state)
{
	struct rig *r = begin(ALL);

	(void)state;
	r->st.verdict = TX_HELD;
	r->st.on_input = finish_at_once;
	int head = send_frame(r, 0, &plain, 100);
	vnet_tx_drain(r->v);
	vnet_publish(r->v);
	expect_used(&r->tx, head, 0);
	assert_int_equal(vdq_used_pending(&r->tx), 0);
	end(r);
}

/* H21: a driver that offers a chain twice is at fault, and no assertion of ours. */
static void chain_offered_while_held_is_refused(void **state)
{
	struct rig *r = begin(ALL);

	(void)state;
	r->st.verdict = TX_HELD;
	int head = send_frame(r, 0, &plain, 100);
	vnet_tx_drain(r->v);
	vdq_offer(&r->tx, (uint16_t)head);
	vdq_show(&r->tx);
	vnet_tx_drain(r->v);
	vnet_publish(r->v);
	assert_int_equal(r->st.nseen, 1);
	assert_int_equal(counter_get(&r->n[VNET_TX].faults[VQ_FAULT_CHAIN_BUSY]), 1);
	assert_int_equal(vdq_used_pending(&r->tx), 1);
	r->st.ops->tx_done(r->st.ctx, r->st.seen[0].token);
	vnet_publish(r->v);
	assert_int_equal(vdq_used_pending(&r->tx), 2);
	end(r);
}

static void offer_again(struct stack *st, const struct tx_frame *f)
{
	struct vdqueue *q = &st->rig->tx;

	(void)f;
	vdq_offer(q, q->avail->ring[0]);
	vdq_show(q);
}

/* H3, H13: a driver that refills the ring as fast as we drain it gets a budget. */
static void budget_bounds_a_cycle(void **state)
{
	struct rig *r = begin(ALL);

	(void)state;
	r->st.on_input = offer_again;
	send_frame(r, 0, &plain, 100);
	assert_true(vnet_tx_drain(r->v));
	assert_int_equal(r->st.nseen, VNET_TX_BUDGET);
	end(r);
}

/* Out of tokens: the rest stays in the ring, and nobody spins on it or asks for kicks. */
static void a_paced_guest_keeps_its_frames(void **state)
{
	struct rig *r = begin(ALL);

	(void)state;
	r->st.paced_after = 2;
	for (uint32_t i = 0; i < 4; i++)
		send_frame(r, i * 4096ULL, &plain, 100);
	assert_false(vnet_tx_drain(r->v));
	assert_int_equal(r->st.nseen, 2);
	assert_false(vnet_notify_on(r->v));
	assert_false(vnet_tx_drain(r->v));
	r->st.paced_after = 0;
	assert_false(vnet_tx_drain(r->v));
	assert_int_equal(r->st.nseen, 4);
	end(r);
}

/* H3: a broken ring is reported once, and the device rests until it is stopped. */
static void broken_ring_asks_for_a_reset(void **state)
{
	struct rig *r = begin(ALL);
	struct rx_frame f;

	(void)state;
	send_frame(r, 0, &plain, 100);
	r->tx.avail->idx = 1000;
	assert_false(vnet_tx_drain(r->v));
	assert_int_equal(r->broken, 1);
	assert_false(vnet_tx_drain(r->v));
	assert_false(vnet_notify_on(r->v));
	assert_int_equal(r->st.ops->rx_alloc(r->st.ctx, 100, &f), -ENOBUFS);
	vnet_ctrl_drain(r->v);
	vnet_publish(r->v);
	assert_int_equal(r->broken, 1);
	assert_int_equal(r->st.nseen, 0);

	/* A reset heals it. */
	vnet_stop(r->v, NULL);
	memset(r->tx.avail, 0, 4);
	r->tx.avail_idx = 0;
	assert_int_equal(vnet_start(r->v, &r->start), 0);
	send_frame(r, 0, &plain, 100);
	vnet_tx_drain(r->v);
	assert_int_equal(r->st.nseen, 1);
	assert_int_equal(r->broken, 1);
	end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_arrive_whole_in_any_layout),
		cmocka_unit_test(offloads_arrive),
		cmocka_unit_test(contradicting_headers_are_refused),
		cmocka_unit_test(too_short_and_too_long_are_refused),
		cmocka_unit_test(head_is_a_private_copy),
		cmocka_unit_test(held_frames_come_back_in_any_order),
		cmocka_unit_test(frame_may_be_done_before_it_is_held),
		cmocka_unit_test(chain_offered_while_held_is_refused),
		cmocka_unit_test(budget_bounds_a_cycle),
		cmocka_unit_test(a_paced_guest_keeps_its_frames),
		cmocka_unit_test(broken_ring_asks_for_a_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
