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

#include "bench/load/load.h"
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

/* A guest that has sent more than a host takes that does not read. */
static int begin_parked(struct transfer *x, int *listener)
{
	uint16_t port;
	int fd;

	*x = (struct transfer){ .r = vrig_new() };
	*listener = listen_small(&port);
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
	fd = accept4(*listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	/* At once: what is parked for long does not stay in the guest's frames. */
	for (int i = 0; counter_get(&vrig_counters(x->r)->parked_bytes) == 0; i++) {
		assert_true(i < 100);
		move(x, 0.01);
	}
	return fd;
}

/* Now the host reads: no byte lost, none twice. */
static void end_parked(struct transfer *x, int listener, int fd)
{
	uint64_t off = 0, bad, give_up = clock_now_ns() + 20 * NS_PER_S;
	static uint8_t buf[65536];

	while (off < 4 << 20) {
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (clock_now_ns() > give_up) {
			vrig_dump(x->r);
			fail_msg("no more than %llu bytes", (unsigned long long)off);
		}
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			move(x, 0.001);
			continue;
		}
		assert_true(n > 0);
		assert_true(pattern_check(PUMP_SEED, off, buf, (size_t)n, &bad));
		off += (uint64_t)n;
	}
	close(fd);
	close(listener);
	end(x);
}

/* H17: the stop gives back what is held, and loses nothing of what is parked. */
static void parked_bytes_survive_a_stop(void **state)
{
	uint16_t base[FRONT_QUEUES];
	struct transfer x;
	int listener, fd = begin_parked(&x, &listener);

	(void)state;
	assert_int_equal(front_stop(&x.f, base), 0);
	assert_int_equal(x.f.vq[FRONT_TX].used->idx, base[FRONT_TX]);
	assert_int_equal(front_restart(&x.f, base), 0);
	end_parked(&x, listener, fd);
}

/* A guest that masks its interrupts makes the VMM send SET_VRING_CALL again and again. */
static void call_eventfd_changes_hands_in_mid_transfer(void **state)
{
	struct transfer x;
	int listener, fd = begin_parked(&x, &listener);
	struct vclient c = { .sock = x.f.sock };
	int call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	eventfd_t n;

	(void)state;
	assert_int_equal(vc_u64(&c, VU_SET_VRING_CALL, FRONT_TX, call), VC_OK);
	/* Whatever went to the one before is made up for. */
	assert_int_equal(eventfd_read(call, &n), 0);
	assert_int_equal(vc_u64(&c, VU_SET_VRING_CALL, FRONT_TX, x.f.vq[FRONT_TX].call_fd), VC_OK);
	close(call);
	end_parked(&x, listener, fd);
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
