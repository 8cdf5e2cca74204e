/* SPDX-License-Identifier: MIT */
/*
 * Sessions that end, stop or lose their memory while data moves: TCP in user
 * space over the rings, sockets on the other side, every byte compared.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/pattern.h"
#include "bench/ringpump/ringpump.h"
#include "src/base/clock.h"
#include "tests/vhost/rig.h"

#define TURNS 20

/* Data moves between the rings and a child's sockets. */
struct transfer {
	struct vrig *r;
	struct pump_options o;
	struct host_side *h;
	struct front f;
	struct pump_tcp *t;
};

static void begin(struct transfer *x, bool up, uint32_t flows, uint16_t queue_size)
{
	uint16_t port;

	*x = (struct transfer){
		.o = { .front = { .features = ~0ULL,
				  .queue_size = queue_size,
				  .rx_buf = 4096,
				  .tx_buf = FRONT_FRAME_MAX + 1 },
		       .up = up,
		       .verify = true,
		       .flows = flows,
		       .segment = 14600,
		       .mtu = 1500 },
	};
	/* A fork, so before there are threads: in the child their locks would be held for ever. */
	assert_int_equal(host_start(&x->h, &x->o, &port), 0);
	x->r = vrig_new();
	vrig_will_close(x->r, 1); /* what host_result() reads from */
	x->o.front.socket = vrig_path(x->r);
	assert_int_equal(front_open(&x->f, &x->o.front), 0);
	assert_int_equal(pump_tcp_new(&x->t, &x->f, &x->o, port), 0);
	assert_int_equal(pump_tcp_connect(x->t), 0);
}

static void move(struct transfer *x, double seconds)
{
	struct pump_counts counts;

	assert_int_equal(pump_tcp_run(x->t, seconds, &counts), 0);
}

static void expect_content(struct transfer *x)
{
	uint64_t bytes, sent = pump_tcp_sent(x->t), received = pump_tcp_received(x->t);
	bool content_ok;

	assert_int_equal(host_result(x->h, &bytes, &content_ok), 0);
	assert_true(content_ok);
	assert_true(x->o.up ? bytes == sent && sent > 0 : bytes >= received && received > 0);
}

static void end(struct transfer *x)
{
	pump_tcp_free(x->t);
	front_close(&x->f);
	vrig_expect_end(x->r, -ECONNRESET);
	vrig_free(x->r);
}

static void rings_stop_and_start_in_mid_transfer(bool up, uint16_t queue_size)
{
	struct transfer x;

	begin(&x, up, 4, queue_size);
	for (int i = 0; i < TURNS; i++) {
		uint16_t base[FRONT_QUEUES];
		uint64_t before = up ? pump_tcp_sent(x.t) : pump_tcp_received(x.t);

		move(&x, 0.02);
		assert_int_equal(front_stop(&x.f, base), 0);
		/* What was taken has been given back, the rest waits untouched. */
		for (int q = 0; q < FRONT_QUEUES; q++)
			assert_int_equal(x.f.vq[q].used->idx, base[q]);
		assert_int_equal(front_restart(&x.f, base), 0);
		for (int k = 0; (up ? pump_tcp_sent(x.t) : pump_tcp_received(x.t)) == before; k++) {
			if (k == 100) {
				vrig_dump(x.r);
				fail_msg("nothing moves after stop %d", i);
			}
			move(&x, 0.02);
		}
	}
	if (pump_tcp_finish(x.t) < 0) {
		vrig_dump(x.r);
		fail_msg("flows do not end");
	}
	expect_content(&x);
	end(&x);
}

static void rings_stop_and_start_while_sending(void **state)
{
	(void)state;
	rings_stop_and_start_in_mid_transfer(true, 256);
}

static void rings_stop_and_start_while_receiving(void **state)
{
	(void)state;
	rings_stop_and_start_in_mid_transfer(false, 256);
}

static void long_rings_stop_and_start_while_receiving(void **state)
{
	(void)state;
	rings_stop_and_start_in_mid_transfer(false, 1024);
}

/* The socket breaks off in mid-transfer, as when the front-end is killed. */
static void front_end_that_goes_in_mid_transfer_leaves_nothing(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		uint64_t bytes;
		bool content_ok;
		struct transfer x;

		begin(&x, i & 1, 8, 256);
		move(&x, 0.05);
		assert_int_equal(counter_get(&vrig_counters(x.r)->tcp_active), 8);
		shutdown(x.f.sock, SHUT_RDWR);
		assert_int_equal(vrig_wait_end(x.r), -ECONNRESET);
		assert_int_equal(counter_get(&vrig_counters(x.r)->tcp_active), 0);
		assert_int_equal(host_result(x.h, &bytes, &content_ok), 0);
		assert_true(content_ok);
		pump_tcp_free(x.t);
		front_close(&x.f);
		vrig_expect_base(x.r);
		vrig_free(x.r);
	}
}

static int listen_small(uint16_t *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 65536;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

/**
 * struct parked - a guest that sends more than a slow host takes
 * @fd, @listener:	the host's
 * @off:	bytes that it has read
 */
struct parked {
	struct transfer x;
	int fd, listener;
	uint64_t off;
};

#define PARKED_COUNT(p, name) counter_get(&vrig_counters((p)->x.r)->name)

static void begin_parked(struct parked *p)
{
	struct transfer *x = &p->x;
	uint16_t port;

	*p = (struct parked){ .x.r = vrig_new() };
	p->listener = listen_small(&port);
	pattern_init();
	x->o = (struct pump_options){ .front = { .features = ~0ULL,
						 .queue_size = 256,
						 .rx_buf = 4096,
						 .tx_buf = FRONT_FRAME_MAX + 1,
						 .socket = vrig_path(x->r) },
				      .up = true,
				      .verify = true,
				      .flows = 1,
				      .segment = 14600,
				      .mtu = 1500 };
	assert_int_equal(front_open(&x->f, &x->o.front), 0);
	assert_int_equal(pump_tcp_new(&x->t, &x->f, &x->o, port), 0);
	assert_int_equal(pump_tcp_connect(x->t), 0);
	p->fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(p->fd >= 0);
}

/* The host reads what is there: no byte lost, none twice. False: nothing was there. */
static bool read_parked(struct parked *p)
{
	static uint8_t buf[65536];
	ssize_t n = recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT);
	uint64_t bad;

	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return false;
	}
	assert_true(n > 0);
	assert_true(pattern_check(PUMP_SEED, p->off, buf, (size_t)n, &bad));
	p->off += (uint64_t)n;
	return true;
}

/*
 * Until bytes wait in frames of the guest, which does not last: a stall of a tenth of a
 * second moves them out. The host then reads, and the next stall begins.
 */
static void wait_held(struct parked *p)
{
	uint64_t give_up = clock_now_ns() + 60 * NS_PER_S;

	for (uint32_t i = 1; PARKED_COUNT(p, held_frames) == 0; i++) {
		assert_true(clock_now_ns() < give_up);
		move(&p->x, 0.001);
		if (i % 50 == 0) {
			while (read_parked(p))
				;
		}
	}
}

static void end_parked(struct parked *p)
{
	uint64_t end_at = p->off + (4 << 20), give_up = clock_now_ns() + 60 * NS_PER_S;

	while (p->off < end_at) {
		if (clock_now_ns() > give_up) {
			vrig_dump(p->x.r);
			fail_msg("no more than %llu bytes", (unsigned long long)p->off);
		}
		if (!read_parked(p))
			move(&p->x, 0.001);
	}
	close(p->fd);
	close(p->listener);
	end(&p->x);
}

/* So often a moment that passes quickly may be missed. */
#define TRIES 100

/* H17: the stop gives back what is held, and loses nothing of what is parked. */
static void parked_bytes_survive_a_stop(void **state)
{
	uint16_t base[FRONT_QUEUES];
	struct parked p;
	int tries = 0;

	(void)state;
	begin_parked(&p);
	do {
		assert_true(tries++ < TRIES);
		wait_held(&p);
		assert_int_equal(front_stop(&p.x.f, base), 0);
		assert_int_equal(p.x.f.vq[FRONT_TX].used->idx, base[FRONT_TX]);
		assert_int_equal(front_restart(&p.x.f, base), 0);
	} while (PARKED_COUNT(&p, returned_frames) == 0);
	end_parked(&p);
}

/*
 * A guest that masks its interrupts makes the VMM send SET_VRING_CALL again and again.
 * What is held stays so.
 */
static void call_eventfd_changes_hands_in_mid_transfer(void **state)
{
	int call, tries = 0;
	struct vclient c;
	struct parked p;
	eventfd_t n;

	(void)state;
	begin_parked(&p);
	call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	c = (struct vclient){ .sock = p.x.f.sock };
	do {
		assert_true(tries++ < TRIES);
		wait_held(&p);
		assert_int_equal(vc_u64(&c, VU_SET_VRING_CALL, FRONT_TX, call), VC_OK);
		/* Whatever went to the one before is made up for. */
		assert_int_equal(eventfd_read(call, &n), 0);
		assert_int_equal(
			vc_u64(&c, VU_SET_VRING_CALL, FRONT_TX, p.x.f.vq[FRONT_TX].call_fd), VC_OK);
		assert_int_equal(PARKED_COUNT(&p, returned_frames), 0);
	} while (PARKED_COUNT(&p, held_frames) == 0);
	close(call);
	end_parked(&p);
}

/* Memory that shrinks under a running device is the front-end's loss alone. */
static void memory_cut_short_ends_the_session_only(void **state)
{
	(void)state;
	for (int i = 0; i < 6; i++) {
		struct vrig *r = vrig_new();
		struct vclient c;

		vc_open(&c, r);
		vc_start(&c);
		assert_true(vrig_running(r));
		assert_int_equal(ftruncate(c.mem_fd, i < 3 ? 0 : 16384), 0);
		for (int k = 0; k < 2; k++)
			assert_int_equal(eventfd_write(c.kick[(i + k) & 1], 1), 0);
		/* No further message: the session ends by itself. */
		assert_int_equal(vrig_wait_end(r), -EFAULT);
		vc_close(&c);
		vrig_expect_base(r);
		vrig_free(r);
	}
}

static void memory_cut_short_in_mid_transfer(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		uint64_t bytes;
		bool content_ok;
		struct transfer x;

		begin(&x, i & 1, 2, 256);
		move(&x, 0.05);
		/* Our own view of the memory goes with it: touch it no more. */
		assert_int_equal(ftruncate(x.f.mem_fd, 0), 0);
		assert_int_equal(eventfd_write(x.f.vq[FRONT_TX].kick_fd, 1), 0);
		assert_int_equal(vrig_wait_end(x.r), -EFAULT);
		assert_int_equal(host_result(x.h, &bytes, &content_ok), 0);
		pump_tcp_free(x.t);
		front_close(&x.f);
		vrig_expect_base(x.r);
		vrig_free(x.r);
	}
}

/* Huge pages: lengths that are no whole page of them, and none to be had at all. */
static void huge_page_memory_is_mapped_and_unmapped_whole(void **state)
{
	int fd = memfd_create("vhost-test", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	struct vu_region region = { .gpa = 0, .size = 1 << 20, .uva = 0, .offset = 1 << 19 };
	struct vrig *r;
	struct vclient c;

	(void)state;
	if (fd < 0 || ftruncate(fd, 4 << 20) < 0) {
		print_message("SKIP: no huge pages in this kernel\n");
		skip();
	}
	r = vrig_new();
	vc_open(&c, r);
	vc_negotiate(&c);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &region, fd), VC_OK);
		assert_int_equal(vc_region(&c, VU_REM_MEM_REG, &region, -1), VC_OK);
	}
	region = (struct vu_region){ .gpa = VC_GPA, .size = 3 << 20, .uva = VC_UVA };
	assert_int_equal(vc_region(&c, VU_ADD_MEM_REG, &region, fd), VC_OK);
	close(fd);
	vc_close(&c);
	vrig_wait_end(r);
	fd = dup(0); /* the test's own was open when the rig counted */
	vrig_expect_base(r);
	close(fd);
	vrig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rings_stop_and_start_while_sending),
		cmocka_unit_test(rings_stop_and_start_while_receiving),
		cmocka_unit_test(long_rings_stop_and_start_while_receiving),
		cmocka_unit_test(front_end_that_goes_in_mid_transfer_leaves_nothing),
		cmocka_unit_test(parked_bytes_survive_a_stop),
		cmocka_unit_test(call_eventfd_changes_hands_in_mid_transfer),
		cmocka_unit_test(memory_cut_short_ends_the_session_only),
		cmocka_unit_test(memory_cut_short_in_mid_transfer),
		cmocka_unit_test(huge_page_memory_is_mapped_and_unmapped_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
