/* SPDX-License-Identifier: MIT */
/* virtio-net, host to guest: frames in merged and in big buffers, and starvation. */
#include "tests/unit/vnetrig.h"

static void frame_spans_merged_buffers(void **state)
{
	struct rig *r = begin(ALL);
	struct rx_frame f;

	(void)state;
	add_rx_buffers(r, 40, 2048);
	assert_int_equal(rx_alloc(r, 65000, &f), 0);
	assert_int_equal(vdq_used_pending(&r->rx), 0);
	rx_commit(r, &f, 65000, 0, NULL);
	vnet_publish(r->v);
	assert_int_equal(vdq_used_pending(&r->rx), 32);
	expect_received(r, true, 65000, 0);
	end(r);
}

/* H12: used.len counts what was written, and what was not is untouched. */
static void used_length_is_what_was_written(void **state)
{
	struct rig *r = begin(ALL);
	struct rx_frame f;
	uint16_t head;
	uint32_t len;
	const uint8_t *p = vdriver_ptr(&r->drv, r->rx_buf);

	(void)state;
	add_rx_buffers(r, 1, 2048);
	assert_int_equal(rx_alloc(r, 1000, &f), 0);
	rx_commit(r, &f, 61, 0, NULL);
	vnet_publish(r->v);
	assert_true(vdq_take(&r->rx, &head, &len));
	assert_int_equal(len, 12 + 61);
	for (uint32_t i = 12 + 61; i < 2048; i++)
		assert_int_equal(p[i], 0xee);
	end(r);
}

static void short_frames_leave_their_spare_chains_to_others(void **state)
{
	struct rig *r = begin(ALL);
	struct rx_frame a, b, c;

	(void)state;
	add_rx_buffers(r, 12, 1024);
	assert_int_equal(rx_alloc(r, 4000, &a), 0); /* 4 chains each */
	assert_int_equal(rx_alloc(r, 4000, &b), 0);
	assert_int_equal(rx_alloc(r, 4000, &c), 0);
	rx_commit(r, &a, 100, 1, NULL);
	rx_commit(r, &b, 1500, 2, NULL);
	/* Nine chains are free or c's: five of them make this one. */
	assert_int_equal(rx_alloc(r, 5000, &a), 0);
	rx_commit(r, &c, 4000, 3, NULL);
	rx_commit(r, &a, 5000, 4, NULL);
	vnet_publish(r->v);
	expect_received(r, true, 100, 1);
	expect_received(r, true, 1500, 2);
	expect_received(r, true, 4000, 3);
	expect_received(r, true, 5000, 4);
	assert_int_equal(vdq_used_pending(&r->rx), 0);
	end(r);
}

static void rewound_frames_are_unseen(void **state)
{
	struct rig *r = begin(ALL);
	struct rx_frame a, b;

	(void)state;
	add_rx_buffers(r, 8, 1024);
	assert_int_equal(rx_alloc(r, 2000, &a), 0);
	assert_int_equal(rx_alloc(r, 5000, &b), 0);
	assert_int_equal(rx_alloc(r, 1500, &b), -ENOBUFS);
	rx_commit(r, &a, 2000, 7, NULL);
	r->st.ops->rx_rewind(r->st.ctx);
	vnet_publish(r->v);
	assert_int_equal(vdq_used_pending(&r->rx), 2);
	expect_received(r, true, 2000, 7);
	assert_int_equal(rx_alloc(r, 6000, &a), 0);
	rx_commit(r, &a, 6000, 8, NULL);
	vnet_publish(r->v);
	expect_received(r, true, 6000, 8);
	end(r);
}

static void header_may_lie_across_descriptors(void **state)
{
	static const uint32_t lens[] = { 5, 3, 2, 9, 100 };
	static const uint32_t tail[] = { 400 };
	struct rig *r = begin(ALL);
	struct rx_frame f;

	(void)state;
	add_rx(r, 0, lens, ARRAY_SIZE(lens));
	add_rx(r, 4096, tail, 1);
	assert_int_equal(rx_alloc(r, 300, &f), 0);
	rx_commit(r, &f, 300, 9, NULL);
	vnet_publish(r->v);
	expect_received(r, true, 300, 9);
	end(r);
}

static void offloads_are_written(void **state)
{
	static uint8_t bytes[8192];
	const struct offload off = { .gso = GSO_TCP4,
				     .gso_size = 1448,
				     .needs_csum = true,
				     .csum_start = 34,
				     .csum_offset = 16 };
	const struct offload uso = { .gso = GSO_UDP_L4,
				     .gso_size = 1200,
				     .needs_csum = true,
				     .csum_start = 54,
				     .csum_offset = 6 };
	const struct offload valid = { .data_valid = true };
	struct rig *r = begin(ALL);
	struct virtio_net_hdr_v1 h;
	struct rx_frame f;

	(void)state;
	add_rx_buffers(r, 8, 4096);
	assert_int_equal(rx_alloc(r, 5000, &f), 0);
	rx_commit(r, &f, 5000, 0, &off);
	assert_int_equal(rx_alloc(r, 3000, &f), 0);
	rx_commit(r, &f, 3000, 0, &uso);
	assert_int_equal(rx_alloc(r, 100, &f), 0);
	rx_commit(r, &f, 100, 0, &valid);
	vnet_publish(r->v);
	assert_int_equal(driver_receive(r, true, &h, bytes), 5000);
	assert_int_equal(h.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(h.gso_size, 1448);
	assert_int_equal(h.csum_start, 34);
	assert_int_equal(h.csum_offset, 16);
	assert_int_equal(h.num_buffers, 2);
	assert_int_equal(driver_receive(r, true, &h, bytes), 3000);
	assert_int_equal(h.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_UDP_L4);
	assert_int_equal(h.gso_size, 1200);
	assert_int_equal(h.hdr_len, 62);
	assert_int_equal(driver_receive(r, true, &h, bytes), 100);
	assert_int_equal(h.flags, VIRTIO_NET_HDR_F_DATA_VALID);
	end(r);
}

/* H14: a starved stack hears of the buffers that end it, by kick ... */
static void starved_stack_is_told_by_the_kick(void **state)
{
	struct rig *r = begin(ALL);
	struct rx_frame f;

	(void)state;
	add_rx_buffers(r, 2, 1024);
	assert_int_equal(rx_alloc(r, 1000, &f), 0);
	r->st.ops->rx_rewind(r->st.ctx);
	(void)vdq_kick_due(&r->rx);
	add_rx_buffers(r, 1, 1024);
	assert_false(vdq_kick_due(&r->rx)); /* nobody waits: no exit */
	vnet_rx_kicked(r->v);
	assert_int_equal(r->st.refilled, 0);

	assert_int_equal(rx_alloc(r, 4000, &f), -ENOBUFS);
	add_rx_buffers(r, 1, 1024);
	assert_true(vdq_kick_due(&r->rx));
	vnet_rx_kicked(r->v);
	assert_int_equal(r->st.refilled, 1);
	assert_int_equal(rx_alloc(r, 4000, &f), 0);
	end(r);
}

/* H14: ... and if the kick was lost in the race, by the look before the sleep. */
static void starved_stack_is_told_before_the_sleep(void **state)
{
	struct rig *r = begin(ALL);
	struct rx_frame f;

	(void)state;
	assert_int_equal(rx_alloc(r, 100, &f), -ENOBUFS);
	assert_false(vnet_notify_on(r->v));
	add_rx_buffers(r, 1, 1024);
	assert_true(vnet_notify_on(r->v));
	assert_int_equal(r->st.refilled, 1);
	assert_false(vnet_notify_on(r->v));
	end(r);
}

/* A driver whose whole ring is too small must not make the stack wait for ever. */
static void frame_that_never_fits_is_said_so(void **state)
{
	struct rig *r = begin(ALL);
	struct rx_frame f;

	(void)state;
	add_rx_buffers(r, QSIZE - 1, 100);
	assert_int_equal(rx_alloc(r, 6400, &f), -ENOBUFS);
	add_rx_buffers(r, 1, 100);
	assert_int_equal(rx_alloc(r, 6400, &f), -EMSGSIZE);
	assert_int_equal(rx_alloc(r, 6388, &f), 0);
	rx_commit(r, &f, 6388, 0, NULL);
	vnet_publish(r->v);
	expect_received(r, true, 6388, 0);
	assert_int_equal(rx_alloc(r, PORT_FRAME_MAX + 1, &f), -EMSGSIZE);
	end(r);
}

/* H10: the header has 12 bytes here too, whatever else was negotiated. */
static void without_merging_a_chain_is_a_frame(void **state)
{
	static const uint32_t lens[] = { 12, 4096, 4096, 4096, 53262 };
	static const uint32_t tiny[] = { 12, 100 };
	struct rig *r = begin(ALL & ~F(VIRTIO_NET_F_MRG_RXBUF));
	struct virtio_net_hdr_v1 h;
	static uint8_t bytes[70000];
	struct rx_frame f;
	uint16_t head;
	uint32_t len;

	(void)state;
	assert_int_equal(r->st.caps.rx_frame_max, 65550);
	add_rx(r, 0, lens, 5);
	int small = add_rx(r, 131072, tiny, 2);
	add_rx(r, 262144, lens, 5);
	assert_int_equal(rx_alloc(r, 1000, &f), 0);
	rx_commit(r, &f, 1000, 1, NULL);
	/* The small one cannot take this frame: the driver's fault (5.1.6.3.1). */
	assert_int_equal(rx_alloc(r, 65550, &f), 0);
	rx_commit(r, &f, 65550, 2, NULL);
	vnet_publish(r->v);
	assert_int_equal(driver_receive(r, false, &h, bytes), 1000);
	assert_int_equal(h.num_buffers, 1);
	assert_true(vdq_take(&r->rx, &head, &len));
	assert_int_equal(head, small);
	assert_int_equal(len, 0);
	assert_int_equal(counter_get(&r->n[VNET_RX].faults[VQ_FAULT_CHAIN_SHORT]), 1);
	expect_received(r, false, 65550, 2);
	end(r);
}

/* H21: shapes that no driver makes today. */
static void odd_receive_chains_are_refused_or_used(void **state)
{
	static const uint32_t short_hdr[] = { 11 };
	static const uint32_t many[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
	static const uint32_t only_hdr[] = { 12 };
	static const uint32_t rest[] = { 200 };
	struct rig *r = begin(ALL);
	struct rx_frame f;
	uint16_t head;
	uint32_t len;

	(void)state;
	add_rx(r, 0, short_hdr, 1);
	add_rx(r, 4096, many, 17);
	add_rx(r, 8192, only_hdr, 1);
	add_rx(r, 12288, rest, 1);
	assert_int_equal(rx_alloc(r, 150, &f), 0);
	rx_commit(r, &f, 150, 3, NULL);
	vnet_publish(r->v);
	assert_true(vdq_take(&r->rx, &head, &len));
	assert_int_equal(len, 0);
	assert_true(vdq_take(&r->rx, &head, &len));
	assert_int_equal(len, 0);
	assert_int_equal(counter_get(&r->n[VNET_RX].faults[VQ_FAULT_CHAIN_SHORT]), 1);
	assert_int_equal(counter_get(&r->n[VNET_RX].faults[VQ_FAULT_CHAIN_LONG]), 1);
	expect_received(r, true, 150, 3);
	end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frame_spans_merged_buffers),
		cmocka_unit_test(used_length_is_what_was_written),
		cmocka_unit_test(short_frames_leave_their_spare_chains_to_others),
		cmocka_unit_test(rewound_frames_are_unseen),
		cmocka_unit_test(header_may_lie_across_descriptors),
		cmocka_unit_test(offloads_are_written),
		cmocka_unit_test(starved_stack_is_told_by_the_kick),
		cmocka_unit_test(starved_stack_is_told_before_the_sleep),
		cmocka_unit_test(frame_that_never_fits_is_said_so),
		cmocka_unit_test(without_merging_a_chain_is_a_frame),
		cmocka_unit_test(odd_receive_chains_are_refused_or_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
