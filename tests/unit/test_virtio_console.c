/* SPDX-License-Identifier: MIT */
/* The console device, played against as Linux's driver does, and as none should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/virtio_console.h>

#include "src/base/bytes.h"
#include "tests/unit/vbringup.h"
#include "tests/unit/vmachine.h"
#include "virtio/console.h"

#define NAME	 "org.sluice.cmd"
#define QSIZE	 16
#define BUF	 256
#define FEATURES (VDRIVER_RING_FEATURES | 1ULL << VIRTIO_CONSOLE_F_MULTIPORT)

enum { RX0, TX0, CTL_RX, CTL_TX, RX1, TX1, QUEUES };

/**
 * struct rig - device, driver, and the owner of port 1
 * @log:	'o' opened, 'c' closed, 'd' data, 'r' room, in order
 * @got:	bytes taken; @take bounds each on_data()
 * @send_inside:	the guest writes to port 0 while on_data() runs
 */
struct rig {
	struct vdriver drv;
	struct vcon *c;
	struct vdev *d;
	struct vdqueue q[QUEUES];
	uint64_t buf[QUEUES];
	char log[256];
	uint32_t nlog;
	uint8_t got[65536];
	size_t ngot, take;
	bool resume_inside, send_inside;
};

static void send(struct rig *r, uint32_t q, const void *data, uint32_t len);

static void note(struct rig *r, char what)
{
	assert_true(r->nlog < sizeof(r->log) - 1);
	r->log[r->nlog++] = what;
}

static void on_open(void *ctx, bool open)
{
	note(ctx, open ? 'o' : 'c');
}

static size_t on_data(void *ctx, const struct iovec *iov, uint32_t cnt)
{
	struct rig *r = ctx;
	size_t done = 0;

	note(r, 'd');
	for (uint32_t i = 0; i < cnt; i++) {
		size_t n = MIN(iov[i].iov_len, r->take - done);

		assert_true(r->ngot + n <= sizeof(r->got));
		memcpy(r->got + r->ngot, iov[i].iov_base, n);
		r->ngot += n;
		done += n;
	}
	if (r->resume_inside)
		vcon_port_resume(r->c, 1);
	if (r->send_inside)
		send(r, TX0, "meanwhile", 9);
	return done;
}

static void on_room(void *ctx)
{
	note(ctx, 'r');
}

/* Serve until nothing kicks any more; bounded. */
static void run(struct rig *r)
{
	for (int i = 0; vm_readable(vcon_kick_fd(r->c)); i++) {
		assert_true(i < 1000);
		vcon_service(r->c);
	}
}

static void kick(struct rig *r, uint32_t q)
{
	if (vdq_kick_due(&r->q[q]))
		eventfd_write(r->d->queue[q].kick_fd, 1);
	run(r);
}

static void start(struct rig *r, uint64_t features)
{
	vb_forget(&r->drv);
	vb_negotiate(r->d, features);
	for (uint16_t i = 0; i < QUEUES; i++) {
		vb_queue(r->d, &r->drv, &r->q[i], i, QSIZE);
		r->buf[i] = vdriver_alloc(&r->drv, QSIZE * BUF);
	}
	vb_driver_ok(r->d);
	run(r);
}

static int setup(void **state)
{
	static const struct vcon_port_ops ops = { on_open, on_data, on_room };
	struct rig *r = calloc(1, sizeof(*r));
	const struct vcon_port_config ports[] = {
		{ .console = true },
		{ .name = NAME, .open = true, .ops = &ops, .ctx = r },
	};

	r->take = SIZE_MAX;
	vdriver_init(&r->drv, 1 << 20);
	assert_int_equal(vcon_new(&r->c, &r->drv.mem, ports, ARRAY_SIZE(ports)), 0);
	r->d = vcon_vdev(r->c);
	start(r, FEATURES);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	vcon_free(r->c);
	vdriver_fini(&r->drv);
	free(r);
	return 0;
}

/* Give the device @n buffers of @len bytes; buffer i of the ring is head i. */
static void give(struct rig *r, uint32_t q, uint16_t n, uint32_t len)
{
	for (uint16_t i = 0; i < n; i++) {
		uint16_t head = r->q[q].free[r->q[q].nfree - 1];
		struct vdesc b = { r->buf[q] + head * (uint64_t)BUF, len, true };

		assert_int_equal(vdq_add(&r->q[q], &b, 1, false), head);
	}
	kick(r, q);
}

/* Take one filled buffer. Return: its length, or -1 */
static int take(struct rig *r, uint32_t q, uint8_t *buf)
{
	uint16_t head;
	uint32_t len;

	if (!vdq_take(&r->q[q], &head, &len))
		return -1;
	assert_true(len <= BUF);
	memcpy(buf, vdriver_ptr(&r->drv, r->buf[q] + head * (uint64_t)BUF), len);
	return (int)len;
}

static void send(struct rig *r, uint32_t q, const void *data, uint32_t len)
{
	uint16_t head = r->q[q].free[r->q[q].nfree - 1];
	uint64_t gpa = r->buf[q] + head * (uint64_t)BUF;
	struct vdesc b = { gpa, len, false };

	assert_true(len <= BUF);
	memcpy(vdriver_ptr(&r->drv, gpa), data, len);
	assert_int_equal(vdq_add(&r->q[q], &b, 1, false), head);
}

static void reclaim(struct rig *r, uint32_t q)
{
	uint16_t head;
	uint32_t len;

	while (vdq_take(&r->q[q], &head, &len))
		assert_int_equal(len, 0);
}

static void control(struct rig *r, uint32_t id, uint16_t event, uint16_t value)
{
	struct virtio_console_control m = { id, event, value };

	send(r, CTL_TX, &m, sizeof(m));
	kick(r, CTL_TX);
	reclaim(r, CTL_TX);
}

static void expect(struct rig *r, uint32_t id, uint16_t event, uint16_t value, const char *name)
{
	struct virtio_console_control m;
	uint8_t buf[BUF];

	assert_int_equal(take(r, CTL_RX, buf), sizeof(m) + strlen(name));
	memcpy(&m, buf, sizeof(m));
	assert_int_equal(m.id, id);
	assert_int_equal(m.event, event);
	assert_int_equal(m.value, value);
	assert_memory_equal(buf + sizeof(m), name, strlen(name));
}

static void expect_silence(struct rig *r)
{
	uint8_t buf[BUF];

	assert_int_equal(take(r, CTL_RX, buf), -1);
}

/* What Linux's driver does until a program has port 1 open. */
static void open_port_1(struct rig *r)
{
	give(r, CTL_RX, 8, BUF);
	control(r, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1);
	control(r, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	control(r, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	control(r, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
	control(r, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	for (uint8_t buf[BUF]; take(r, CTL_RX, buf) >= 0;)
		;
}

static void ports_are_announced_in_the_order_that_drivers_expect(void **state)
{
	struct rig *r = *state;
	uint8_t cfg[12];

	vdev_config_read(r->d, 0, cfg, 12);
	assert_int_equal(get_le32(cfg + 4), 2);
	give(r, CTL_RX, 8, BUF);
	expect_silence(r);
	control(r, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1);
	expect(r, 0, VIRTIO_CONSOLE_PORT_ADD, 1, "");
	expect(r, 1, VIRTIO_CONSOLE_PORT_ADD, 1, "");
	expect_silence(r);
	control(r, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	expect(r, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1, "");
	expect_silence(r);
	control(r, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	expect(r, 1, VIRTIO_CONSOLE_PORT_NAME, 1, NAME);
	expect(r, 1, VIRTIO_CONSOLE_PORT_OPEN, 1, "");
	expect_silence(r);
	assert_string_equal(r->log, "");
	control(r, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	assert_string_equal(r->log, "o");
	vcon_port_set_open(r->c, 1, false);
	run(r);
	expect(r, 1, VIRTIO_CONSOLE_PORT_OPEN, 0, "");
	expect_silence(r);
}

/* H86: a guest that asks over and over, and gives no buffers. */
static void what_is_owed_waits_for_buffers_and_does_not_grow(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 1000; i++) {
		control(r, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
		control(r, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	}
	give(r, CTL_RX, 1, BUF);
	expect(r, 0, VIRTIO_CONSOLE_PORT_ADD, 1, "");
	give(r, CTL_RX, 8, BUF);
	expect(r, 1, VIRTIO_CONSOLE_PORT_ADD, 1, "");
	expect(r, 1, VIRTIO_CONSOLE_PORT_NAME, 1, NAME);
	expect(r, 1, VIRTIO_CONSOLE_PORT_OPEN, 1, "");
	expect_silence(r);
}

static void a_message_goes_into_the_first_buffer_that_holds_it(void **state)
{
	struct rig *r = *state;
	uint8_t buf[BUF];

	give(r, CTL_RX, 2, 7);
	give(r, CTL_RX, 2, 8);
	control(r, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	assert_int_equal(take(r, CTL_RX, buf), 0);
	assert_int_equal(take(r, CTL_RX, buf), 0);
	expect(r, 0, VIRTIO_CONSOLE_PORT_ADD, 1, "");
	expect(r, 1, VIRTIO_CONSOLE_PORT_ADD, 1, "");
	assert_int_equal(counter_get(&r->d->queue[CTL_RX].n.faults[VQ_FAULT_CHAIN_SHORT]), 2);
}

static void nonsense_on_the_control_queue_is_counted_and_retired(void **state)
{
	struct rig *r = *state;
	const struct counter *f = r->d->queue[CTL_TX].n.faults;

	send(r, CTL_TX, "1234567", 7);
	kick(r, CTL_TX);
	reclaim(r, CTL_TX);
	assert_int_equal(counter_get(&f[VQ_FAULT_CHAIN_SHORT]), 1);
	control(r, 2, VIRTIO_CONSOLE_PORT_READY, 1);
	control(r, 0xffffffff, VIRTIO_CONSOLE_PORT_OPEN, 1);
	control(r, 1, VIRTIO_CONSOLE_PORT_NAME, 1);
	control(r, 1, 0xffff, 0xffff);
	assert_int_equal(counter_get(&f[VQ_FAULT_CHAIN_CONTENT]), 4);
	assert_int_equal(r->q[CTL_TX].nfree, QSIZE);
	assert_string_equal(r->log, "");
	open_port_1(r);
	assert_string_equal(r->log, "o");
}

static void bytes_of_the_guest_reach_the_owner_in_order(void **state)
{
	struct rig *r = *state;
	uint8_t data[BUF];
	size_t sent = 0;

	open_port_1(r);
	for (uint32_t i = 1; i <= 40; i++) {
		uint32_t len = (i * 37) % BUF + 1;

		for (uint32_t k = 0; k < len; k++)
			data[k] = (uint8_t)(sent + k) ^ (uint8_t)((sent + k) >> 8);
		send(r, TX1, data, len);
		sent += len;
		kick(r, TX1);
		reclaim(r, TX1);
	}
	assert_int_equal(r->ngot, sent);
	for (size_t k = 0; k < sent; k++)
		assert_int_equal(r->got[k], (uint8_t)((uint8_t)k ^ (uint8_t)(k >> 8)));
}

static void what_the_owner_does_not_take_stays_with_the_guest(void **state)
{
	struct rig *r = *state;
	uint64_t gpa = r->buf[TX1];
	struct vdesc b[3] = { { gpa, 100, false },
			      { gpa + 300, 1, false },
			      { gpa + 500, 99, false } };
	uint8_t want[200];
	uint32_t n = 0, services = 0;

	open_port_1(r);
	for (uint32_t i = 0; i < 3; i++) {
		for (uint32_t k = 0; k < b[i].len; k++, n++)
			want[n] = *(uint8_t *)vdriver_ptr(&r->drv, b[i].gpa + k) = (uint8_t)(n * 7);
	}
	r->take = 0;
	vdq_add(&r->q[TX1], b, 3, true);
	vdq_add(&r->q[TX1], b, 3, false);
	kick(r, TX1);
	assert_string_equal(r->log, "od");
	assert_int_equal(vdq_used_pending(&r->q[TX1]), 0);
	vcon_service(r->c); /* stalled: not offered again before resume */
	assert_string_equal(r->log, "od");

	r->take = 33; /* cuts across the buffers */
	while (r->ngot < 2 * sizeof(want)) {
		vcon_port_resume(r->c, 1);
		run(r);
		assert_int_equal(vdq_used_pending(&r->q[TX1]), r->ngot / sizeof(want));
		assert_true(++services < 50);
	}
	assert_memory_equal(r->got, want, sizeof(want));
	assert_memory_equal(r->got + sizeof(want), want, sizeof(want));
	reclaim(r, TX1);
	assert_int_equal(r->q[TX1].nfree, QSIZE);
}

static void an_owner_may_resume_from_inside_the_callback(void **state)
{
	struct rig *r = *state;

	open_port_1(r);
	r->take = 3;
	r->resume_inside = true;
	send(r, TX1, "0123456789", 10);
	kick(r, TX1);
	assert_int_equal(r->ngot, 10);
	assert_memory_equal(r->got, "0123456789", 10);
	reclaim(r, TX1);
	assert_int_equal(r->q[TX1].nfree, QSIZE);
}

/* The driver was not asked for a kick when it wrote, and gave none. */
static void what_comes_during_a_turn_is_seen_at_its_end(void **state)
{
	struct rig *r = *state;

	open_port_1(r);
	r->send_inside = true;
	send(r, TX0, "first", 5);
	send(r, TX1, "data", 4);
	assert_true(vdq_kick_due(&r->q[TX0]));
	eventfd_write(r->d->queue[TX0].kick_fd, 1);
	run(r);
	assert_int_equal(vdq_used_pending(&r->q[TX0]), 2);
}

static bool kicks_wanted(const struct rig *r, uint32_t q)
{
	return !(r->q[q].used->flags & VRING_USED_F_NO_NOTIFY);
}

static void kicks_are_asked_for_only_where_they_are_waited_for(void **state)
{
	struct rig *r = *state;
	uint8_t buf[BUF];

	vdev_write_status(r->d, 0);
	start(r, FEATURES & ~(1ULL << VIRTIO_RING_F_EVENT_IDX));
	assert_int_equal(vcon_port_write(r->c, 1, "early", 5), 0);
	assert_true(kicks_wanted(r, CTL_TX) && kicks_wanted(r, TX0) && kicks_wanted(r, TX1));
	assert_false(kicks_wanted(r, CTL_RX) || kicks_wanted(r, RX0) || kicks_wanted(r, RX1));
	control(r, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_true(kicks_wanted(r, CTL_RX)); /* a name is owed */
	open_port_1(r);
	assert_false(kicks_wanted(r, CTL_RX));
	assert_true(kicks_wanted(r, RX1)); /* bytes wait */
	give(r, RX1, 2, BUF);
	assert_string_equal(r->log, "or");
	assert_int_equal(vcon_port_write(r->c, 1, "early", 5), 5);
	assert_int_equal(take(r, RX1, buf), 5);
	r->take = 0;
	send(r, TX1, "x", 1);
	kick(r, TX1);
	assert_false(kicks_wanted(r, RX1));
	assert_false(kicks_wanted(r, TX1));
	r->take = 1;
	vcon_port_resume(r->c, 1);
	run(r);
	assert_true(kicks_wanted(r, TX1));
}

static void a_port_without_owner_swallows(void **state)
{
	struct rig *r = *state;

	open_port_1(r);
	for (int i = 0; i < 100; i++) {
		send(r, TX0, "console output\n", 15);
		kick(r, TX0);
		reclaim(r, TX0);
	}
	assert_int_equal(r->q[TX0].nfree, QSIZE);
	assert_int_equal(r->ngot, 0);
}

static void bytes_of_the_owner_fill_the_guests_buffers(void **state)
{
	struct rig *r = *state;
	uint8_t data[1000], got[1000], buf[BUF];
	size_t done = 0, n = 0;
	int len;

	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 13 + (i >> 8));
	open_port_1(r);
	assert_int_equal(vcon_port_write(r->c, 1, data, 10), 0); /* no buffers yet */
	run(r);
	while (done < sizeof(data)) {
		give(r, RX1, 3, 50);
		assert_int_equal(r->log[r->nlog - 1], 'r');
		done += vcon_port_write(r->c, 1, data + done, sizeof(data) - done);
		run(r);
		while ((len = take(r, RX1, buf)) >= 0) {
			memcpy(got + n, buf, (size_t)len);
			n += (size_t)len;
		}
		assert_int_equal(n, done);
	}
	assert_memory_equal(got, data, sizeof(data));
	/* All taken: nobody waits for room, and nobody hears of any. */
	r->nlog = 0;
	give(r, RX1, 2, 50);
	assert_int_equal(r->nlog, 0);
}

static void nothing_is_written_to_a_port_that_the_guest_has_not_opened(void **state)
{
	struct rig *r = *state;
	uint8_t buf[BUF];

	give(r, RX1, 4, BUF);
	assert_int_equal(vcon_port_write(r->c, 1, "early", 5), 0);
	run(r);
	assert_int_equal(take(r, RX1, buf), -1);
	open_port_1(r);
	assert_string_equal(r->log, "or"); /* room comes with the opening */
	assert_int_equal(vcon_port_write(r->c, 1, "early", 5), 5);
	assert_int_equal(take(r, RX1, buf), 5);
	control(r, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	assert_int_equal(vcon_port_write(r->c, 1, "late", 4), 0);
}

static void bytes_written_before_the_close_come_before_the_close(void **state)
{
	struct rig *r = *state;

	open_port_1(r);
	send(r, TX1, "last words", 10);
	control(r, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	assert_string_equal(r->log, "odc");
	assert_int_equal(r->ngot, 10);
}

/* H17 */
static void a_reset_closes_ports_and_forgets_held_chains(void **state)
{
	struct rig *r = *state;

	open_port_1(r);
	r->take = 4;
	send(r, TX1, "0123456789", 10);
	kick(r, TX1);
	vcon_port_write(r->c, 1, "waiting", 7);
	assert_string_equal(r->log, "od");
	vdev_write_status(r->d, 0);
	assert_true(vm_readable(vcon_kick_fd(r->c)));
	assert_string_equal(r->log, "od"); /* not on the vCPU's thread */
	vcon_port_resume(r->c, 1);
	run(r);
	assert_string_equal(r->log, "odc");
	assert_int_equal(r->ngot, 4);

	r->take = SIZE_MAX;
	start(r, FEATURES);
	give(r, RX1, 1, BUF);
	open_port_1(r);
	send(r, TX1, "again", 5);
	kick(r, TX1);
	assert_string_equal(r->log, "odcord");
	assert_memory_equal(r->got + 4, "again", 5);
}

/* Reset and opened again before the owner looks: it hears of both. */
static void a_reset_between_two_looks_is_not_missed(void **state)
{
	struct rig *r = *state;

	open_port_1(r);
	vdev_write_status(r->d, 0);
	vb_forget(&r->drv);
	vb_negotiate(r->d, FEATURES);
	for (uint16_t i = 0; i < QUEUES; i++) {
		vb_queue(r->d, &r->drv, &r->q[i], i, QSIZE);
		r->buf[i] = vdriver_alloc(&r->drv, QSIZE * BUF);
	}
	vb_driver_ok(r->d);
	control(r, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	assert_string_equal(r->log, "oco");
}

static void a_driver_without_multiport_has_port_0(void **state)
{
	static const struct vcon_port_ops ops = { on_open, on_data, on_room };
	struct rig *r = *state;
	const struct vcon_port_config port = { .open = true, .ops = &ops, .ctx = r };
	uint8_t buf[BUF];

	vcon_free(r->c);
	assert_int_equal(vcon_new(&r->c, &r->drv.mem, &port, 1), 0);
	r->d = vcon_vdev(r->c);
	assert_int_equal(r->d->nqueues, 4);
	vb_forget(&r->drv);
	vb_negotiate(r->d, VDRIVER_RING_FEATURES);
	for (uint16_t i = 0; i < 2; i++) {
		vb_queue(r->d, &r->drv, &r->q[i], i, QSIZE);
		r->buf[i] = vdriver_alloc(&r->drv, QSIZE * BUF);
	}
	vb_driver_ok(r->d);
	run(r);
	assert_string_equal(r->log, "o");
	send(r, TX0, "hello", 5);
	kick(r, TX0);
	assert_memory_equal(r->got, "hello", 5);
	give(r, RX0, 1, BUF);
	assert_int_equal(vcon_port_write(r->c, 0, "world", 5), 5);
	assert_int_equal(take(r, RX0, buf), 5);
	assert_memory_equal(buf, "world", 5);
}

/* H3 */
static void a_broken_ring_stops_the_device_and_asks_for_a_reset(void **state)
{
	struct rig *r = *state;

	for (uint32_t q = 0; q < QUEUES; q++) {
		open_port_1(r);
		vcon_port_write(r->c, 1, "x", 1); /* so that RX1 is looked at, too */
		vcon_port_set_open(r->c, 1, q & 1);
		r->q[q].avail_idx = (uint16_t)(r->q[q].avail_idx + 1000);
		vdq_show(&r->q[q]);
		eventfd_write(r->d->queue[q].kick_fd, 1);
		run(r);
		if (q != RX0 && q != CTL_RX)
			assert_int_equal(r->d->status, VB_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET);
		vdev_write_status(r->d, 0);
		run(r);
		start(r, FEATURES);
		r->nlog = 0;
	}
}

static void a_name_that_is_too_long_is_refused(void **state)
{
	struct rig *r = *state;
	char name[VCON_NAME_MAX + 1] = { 0 };
	struct vcon_port_config port = { .name = name };
	struct vcon *c;

	memset(name, 'n', VCON_NAME_MAX);
	assert_int_equal(vcon_new(&c, &r->drv.mem, &port, 1), -EINVAL);
	name[VCON_NAME_MAX - 1] = 0;
	assert_int_equal(vcon_new(&c, &r->drv.mem, &port, 1), 0);
	vcon_free(c);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ports_are_announced_in_the_order_that_drivers_expect),
		TEST(what_is_owed_waits_for_buffers_and_does_not_grow),
		TEST(a_message_goes_into_the_first_buffer_that_holds_it),
		TEST(nonsense_on_the_control_queue_is_counted_and_retired),
		TEST(bytes_of_the_guest_reach_the_owner_in_order),
		TEST(what_the_owner_does_not_take_stays_with_the_guest),
		TEST(an_owner_may_resume_from_inside_the_callback),
		TEST(what_comes_during_a_turn_is_seen_at_its_end),
		TEST(kicks_are_asked_for_only_where_they_are_waited_for),
		TEST(a_port_without_owner_swallows),
		TEST(bytes_of_the_owner_fill_the_guests_buffers),
		TEST(nothing_is_written_to_a_port_that_the_guest_has_not_opened),
		TEST(bytes_written_before_the_close_come_before_the_close),
		TEST(a_reset_closes_ports_and_forgets_held_chains),
		TEST(a_reset_between_two_looks_is_not_missed),
		TEST(a_driver_without_multiport_has_port_0),
		TEST(a_broken_ring_stops_the_device_and_asks_for_a_reset),
		TEST(a_name_that_is_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
