/* SPDX-License-Identifier: MIT */
/* virtio-net: its life, its features, and its control queue. */
#include "tests/unit/vnetrig.h"

static void features_decide_what_the_stack_may_send(void **state)
{
	struct rig *r = begin(ALL);

	(void)state;
	assert_true(r->st.caps.rx_csum && r->st.caps.rx_tso4 && r->st.caps.rx_tso6);
	assert_true(r->st.caps.rx_uso4 && r->st.caps.rx_uso6);
	assert_int_equal(r->st.caps.rx_frame_max, PORT_FRAME_MAX);
	assert_int_equal(r->st.caps.tx_ring, QSIZE);
	end(r);
	r = begin(VDRIVER_RING_FEATURES);
	assert_false(r->st.caps.rx_csum || r->st.caps.rx_tso4 || r->st.caps.rx_tso6);
	assert_false(r->st.caps.rx_uso4 || r->st.caps.rx_uso6);
	assert_int_equal(r->st.caps.rx_frame_max, 1514);
	end(r);
	/* 5.1.3.1: GUEST_TSO and GUEST_USO without GUEST_CSUM are a contradiction. */
	r = begin(ALL & ~F(VIRTIO_NET_F_GUEST_CSUM));
	assert_false(r->st.caps.rx_csum || r->st.caps.rx_tso4 || r->st.caps.rx_tso6);
	assert_false(r->st.caps.rx_uso4 || r->st.caps.rx_uso6);
	end(r);
	r = begin(ALL & ~F(VIRTIO_NET_F_GUEST_USO6));
	assert_true(r->st.caps.rx_uso4 && !r->st.caps.rx_uso6);
	end(r);
}

/* H20: more than one queue pair is not served, so it is not offered. */
static void one_queue_pair_is_offered(void **state)
{
	const struct vnet_config cfg = { .mtu = 1500 };
	struct virtio_net_config space;

	(void)state;
	assert_false(vnet_features(&cfg) &
		     (F(VIRTIO_NET_F_MQ) | F(VIRTIO_NET_F_RSS) | F(VIRTIO_NET_F_HASH_REPORT)));
	vnet_config_space(&cfg, &space);
	assert_int_equal(space.max_virtqueue_pairs, 1);
}

static void bad_starts_are_refused(void **state)
{
	struct rig *r = prepare(ALL);
	struct vnet_start s = r->start;

	(void)state;
	s.features &= ~F(VIRTIO_F_VERSION_1);
	assert_int_equal(vnet_start(r->v, &s), -EINVAL);
	s = r->start;
	s.queue[VNET_TX].ready = false;
	assert_int_equal(vnet_start(r->v, &s), -EINVAL);
	s = r->start;
	s.queue[VNET_CTRL].used = UINT64_MAX & ~3ULL;
	assert_int_equal(vnet_start(r->v, &s), -EFAULT);
	assert_false(vnet_running(r->v));
	assert_null(r->st.ops);
	s = r->start;
	s.queue[VNET_CTRL].ready = false;
	assert_int_equal(vnet_start(r->v, &s), 0);
	end(r);
}

/* H15: what was queued before the start is served, and every queue is signalled. */
static void start_serves_what_was_queued(void **state)
{
	struct rig *r = prepare(ALL);

	(void)state;
	send_frame(r, 0, &plain, 100);
	vdq_no_call(&r->tx); /* a stale used_event */
	*vdq_avail_event(&r->tx) = 0x1234;
	assert_int_equal(vnet_start(r->v, &r->start), 0);
	assert_int_equal(r->st.nseen, 1);
	assert_int_equal(vdq_used_pending(&r->tx), 1);
	for (int i = 0; i < VNET_QUEUES; i++)
		assert_true(r->calls[i] > 0);
	end(r);
}

/* H17: nothing of the old driver's stays: held chains and unused buffers go back. */
static void stop_returns_all_that_was_held(void **state)
{
	struct rig *r = begin(ALL);
	uint16_t next[VNET_QUEUES];
	struct rx_frame f;

	(void)state;
	r->st.verdict = TX_HELD;
	int a = send_frame(r, 0, &plain, 100);
	int b = send_frame(r, 4096, &plain, 100);
	vnet_tx_drain(r->v);
	add_rx_buffers(r, 8, 1024);
	assert_int_equal(rx_alloc(r, 3000, &f), 0);
	vnet_stop(r->v, next);
	assert_false(vnet_running(r->v));
	assert_int_equal(r->st.downs, 1);
	assert_int_equal(next[VNET_TX], 2);
	assert_int_equal(next[VNET_RX], 0);
	assert_int_equal(next[VNET_CTRL], 0);
	assert_int_equal(vdq_used_pending(&r->rx), 0);
	uint16_t head;
	uint32_t len, both = 0;
	while (vdq_take(&r->tx, &head, &len))
		both |= 1U << head;
	assert_int_equal(both, 1U << a | 1U << b);

	/* Where it stopped, it goes on. */
	memcpy(r->start.next_avail, next, sizeof(next));
	r->st.verdict = TX_DONE;
	assert_int_equal(vnet_start(r->v, &r->start), 0);
	send_frame(r, 0, &plain, 200);
	vnet_tx_drain(r->v);
	assert_int_equal(r->st.nseen, 3);
	expect_frame(&r->st.seen[2], 200);
	assert_int_equal(rx_alloc(r, 8000, &f), 0);
	rx_commit(r, &f, 8000, 5, NULL);
	vnet_publish(r->v);
	expect_received(r, true, 8000, 5);
	end(r);
}

/* A chain that stayed behind while later ones were used cannot be put back: it is used, empty. */
static void stop_retires_what_cannot_go_back(void **state)
{
	struct rig *r = begin(ALL);
	uint16_t next[VNET_QUEUES], head;
	struct rx_frame a, b;
	uint32_t len, empty = 0;

	(void)state;
	add_rx_buffers(r, 6, 1024);
	assert_int_equal(rx_alloc(r, 2000, &a), 0);
	assert_int_equal(rx_alloc(r, 2000, &b), 0);
	rx_commit(r, &a, 100, 0, NULL); /* the second chain is spare now */
	rx_commit(r, &b, 2000, 0, NULL);
	vnet_stop(r->v, next);
	assert_int_equal(next[VNET_RX], 4);
	assert_int_equal(vdq_used_pending(&r->rx), 4);
	while (vdq_take(&r->rx, &head, &len))
		empty += len == 0;
	assert_int_equal(empty, 1);
	end(r);
}

static void config_space_tells_address_and_mtu(void **state)
{
	struct virtio_net_config c;

	(void)state;
	vnet_config_space(&net_cfg, &c);
	assert_memory_equal(c.mac, net_cfg.mac, 6);
	assert_int_equal(c.mtu, 1500);
	assert_int_equal(c.status, VIRTIO_NET_S_LINK_UP);
	assert_int_equal(c.max_virtqueue_pairs, 1);
}

/* Send a command; the ack byte starts as 0x5a. Return: the ack */
static int command(struct rig *r, const void *cmd, uint32_t len, uint32_t want_used)
{
	const struct vdesc b[] = { { r->misc, 1, false },
				   { r->misc + 1, len - 1, false },
				   { r->misc + 8192, 1, true } };
	uint8_t *ack = vdriver_ptr(&r->drv, r->misc + 8192);
	int head;

	memcpy(vdriver_ptr(&r->drv, r->misc), cmd, len);
	*ack = 0x5a;
	head = vdq_add(&r->ctrl, b, 3, false);
	vnet_ctrl_drain(r->v);
	vnet_publish(r->v);
	expect_used(&r->ctrl, head, want_used);
	return *ack;
}

static void commands_are_answered(void **state)
{
	static const uint8_t promisc[] = { 0, 0, 1 }, unknown[] = { 77, 0, 1 },
			     extra[] = { 0, 5, 1 };
	static const uint8_t mac[] = { 1, 1, 2, 3, 4, 5, 6, 7 }, mac_cut[] = { 1, 1, 2, 3 };
	static const uint8_t mq[] = { 4, 0, 2, 0 };
	struct rig *r = begin(ALL);

	(void)state;
	assert_int_equal(command(r, promisc, 3, 1), VIRTIO_NET_OK);
	assert_int_equal(command(r, unknown, 3, 1), VIRTIO_NET_ERR);
	assert_int_equal(command(r, extra, 3, 1), VIRTIO_NET_ERR);
	assert_int_equal(command(r, promisc, 2, 1), VIRTIO_NET_ERR);
	assert_int_equal(command(r, mac, 8, 1), VIRTIO_NET_OK);
	assert_int_equal(command(r, mac_cut, 4, 1), VIRTIO_NET_ERR);
	assert_int_equal(command(r, mq, 4, 1), VIRTIO_NET_ERR);
	end(r);
}

/* H9: lengths inside a command are checked against the chain that holds them. */
static void mac_tables_are_measured(void **state)
{
	uint8_t good[2 + 4 + 12 + 4 + 6] = { 1, 0, 2 }, bad[sizeof(good)];
	struct rig *r = begin(ALL);

	(void)state;
	good[2 + 4 + 12] = 1;
	assert_int_equal(command(r, good, sizeof(good), 1), VIRTIO_NET_OK);
	assert_int_equal(command(r, good, sizeof(good) - 1, 1), VIRTIO_NET_ERR);
	assert_int_equal(command(r, good, 2 + 4 + 12, 1), VIRTIO_NET_ERR);
	memcpy(bad, good, sizeof(bad));
	memset(bad + 2, 0xff, 4);
	assert_int_equal(command(r, bad, sizeof(bad), 1), VIRTIO_NET_ERR);
	memcpy(bad, good, sizeof(bad));
	memset(bad + 18, 0xff, 4);
	assert_int_equal(command(r, bad, sizeof(bad), 1), VIRTIO_NET_ERR);
	end(r);
}

/* H9: the control queue has the same walker: a cycle, and no room for the answer. */
static void malformed_commands_are_retired(void **state)
{
	struct rig *r = begin(ALL);
	const struct vdesc b = { r->misc, 2, false };
	int loop = vdq_add(&r->ctrl, &b, 1, false);

	(void)state;
	r->ctrl.desc[loop].flags = VRING_DESC_F_NEXT;
	r->ctrl.desc[loop].next = (uint16_t)loop;
	int mute = vdq_add(&r->ctrl, &b, 1, false);
	vnet_ctrl_drain(r->v);
	vnet_publish(r->v);
	expect_used(&r->ctrl, loop, 0);
	expect_used(&r->ctrl, mute, 0);
	assert_int_equal(counter_get(&r->n[VNET_CTRL].faults[VQ_FAULT_CHAIN_LOOP]), 1);
	assert_int_equal(counter_get(&r->n[VNET_CTRL].faults[VQ_FAULT_CHAIN_SHORT]), 1);
	end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_answered),
		cmocka_unit_test(mac_tables_are_measured),
		cmocka_unit_test(malformed_commands_are_retired),
		cmocka_unit_test(features_decide_what_the_stack_may_send),
		cmocka_unit_test(one_queue_pair_is_offered),
		cmocka_unit_test(bad_starts_are_refused),
		cmocka_unit_test(start_serves_what_was_queued),
		cmocka_unit_test(stop_returns_all_that_was_held),
		cmocka_unit_test(stop_retires_what_cannot_go_back),
		cmocka_unit_test(config_space_tells_address_and_mtu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
