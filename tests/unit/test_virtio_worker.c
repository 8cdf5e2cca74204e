/* SPDX-License-Identifier: MIT */
/* The network worker with a real stack behind it, and a driver on another thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/vguest.h"
#include "virtio/device.h"
#include "virtio/net_worker.h"

#ifdef SLUICE_DEBUG
#define ROUNDS 2000
#else
#define ROUNDS 10000
#endif

struct rig {
	struct net_worker_config cfg;
	struct net_worker *w;
	struct vguest g;
	struct vnet_start start;
	_Atomic unsigned int broken;
};

static void on_broken(void *ctx)
{
	atomic_fetch_add(&((struct rig *)ctx)->broken, 1);
}

static void configure(struct net_worker_config *cfg)
{
	memset(cfg, 0, sizeof(*cfg));
	stack_config_defaults(&cfg->stack);
	cfg->stack.ip6 = false; /* it speaks unasked */
	memcpy(cfg->net.mac, cfg->stack.guest_mac, 6);
	cfg->net.mtu = cfg->stack.mtu;
}

static struct rig *begin(void)
{
	struct rig *r = calloc(1, sizeof(*r));
	uint64_t features;

	configure(&r->cfg);
	features = vnet_features(&r->cfg.net);
	assert_int_equal(net_worker_new(&r->w, &r->cfg), 0);
	vg_init(&r->g, features);
	vg_start(&r->g, features, &r->start);
	r->start.broken = on_broken;
	r->start.broken_ctx = r;
	return r;
}

static struct rig *begin_attached(void)
{
	struct rig *r = begin();

	vg_fill_rx(&r->g, VG_QSIZE);
	assert_int_equal(net_worker_attach(r->w, &r->start, r->g.kick), 0);
	return r;
}

static void end(struct rig *r)
{
	net_worker_free(r->w);
	vg_fini(&r->g);
	free(r);
}

static void arp_round(struct rig *r, uint32_t n)
{
	const struct stack_config *c = &r->cfg.stack;
	uint8_t ask[VG_ARP_LEN], want[VG_ARP_LEN], got[VG_BUF];

	vg_arp_request(ask, c->guest4, n & 1 ? c->gateway4 : c->dns4, n);
	vg_arp_reply(want, ask, c->our_mac);
	assert_int_equal(vg_send(&r->g, ask, sizeof(ask)), 0);
	assert_true(vg_receive(&r->g, got) >= VG_ARP_LEN);
	assert_memory_equal(got, want, sizeof(want));
}

/* The reply is the request but for addresses, type and checksums: compare the rest. */
static void echo_round(struct rig *r, uint32_t n)
{
	const struct stack_config *c = &r->cfg.stack;
	uint8_t ask[VG_BUF], got[VG_BUF];
	uint32_t len = vg_echo_request(ask, c->our_mac, c->guest4, c->gateway4, n % 1400, n);

	assert_int_equal(vg_send(&r->g, ask, len), 0);
	assert_int_equal(vg_receive(&r->g, got), (int)len);
	assert_memory_equal(got + 26, ask + 30, 4);
	assert_memory_equal(got + 30, ask + 26, 4);
	assert_int_equal(got[34], 0);
	assert_int_equal(csum_fold(csum_add(0, got + 34, len - 34)), 0);
	assert_memory_equal(got + 38, ask + 38, len - 38);
}

static void arp_is_answered_across_threads(void **state)
{
	struct rig *r = begin_attached();

	(void)state;
	arp_round(r, 1);
	arp_round(r, 2);
	assert_true(counter_get(&r->g.n[VNET_TX].chains) == 2);
	end(r);
}

/* Design, section 8: after the start the worker's thread calls no allocator. */
static void ping_pong_allocates_nothing(void **state)
{
	struct rig *r = begin_attached();
	const struct net_worker_counters *n = net_worker_counters(r->w);

	(void)state;
	if (UNDER_ASAN || getenv("ARENA_BACKEND")) {
		print_message("SKIP: each slot of the arena is a malloc here, on purpose\n");
		end(r);
		skip();
	}
	for (uint32_t i = 0; i < ROUNDS; i++)
		(i % 8 ? echo_round : arp_round)(r, i);
	assert_int_equal(counter_get(&n->allocs), 0);
	assert_int_equal(counter_get(&n->frees), 0);
	assert_int_equal(counter_get(&n->maps), 0);
	assert_true(counter_get(&net_worker_counters(r->w)->cpu_ns) > 0);
	print_message("%u rounds: %llu cycles, %llu sleeps, %llu kicks, %llu calls\n", ROUNDS,
		      (unsigned long long)counter_get(&n->cycles),
		      (unsigned long long)counter_get(&n->sleeps),
		      (unsigned long long)counter_get(&r->g.n[VNET_TX].kicks),
		      (unsigned long long)counter_get(&r->g.n[VNET_RX].calls));
	end(r);
}

/*
 * The race between falling asleep and a kick: the pause between answer and next
 * question walks over the moment at which the worker arms its notifications.
 * H52: whoever leaves work for another thread wakes it.
 */
static void no_wake_up_is_lost(void **state)
{
	struct rig *r = begin_attached();
	uint32_t x = 12345;

	(void)state;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		x = x * 1664525 + 1013904223;
		for (uint32_t k = (x >> 16) % 2000; k > 0; k--)
			__asm__ volatile("pause");
		arp_round(r, i);
	}
	end(r);
}

/* H14 across threads: the answers wait for buffers, and the kick brings them. */
static void starved_answers_arrive_after_a_refill(void **state)
{
	struct rig *r = begin();
	const struct stack_config *c = &r->cfg.stack;
	uint8_t ask[VG_ARP_LEN], want[VG_ARP_LEN], got[VG_BUF];

	(void)state;
	assert_int_equal(net_worker_attach(r->w, &r->start, r->g.kick), 0);
	for (uint32_t i = 0; i < 20; i++) {
		vg_arp_request(ask, c->guest4, c->gateway4, i);
		assert_int_equal(vg_send(&r->g, ask, sizeof(ask)), 0);
	}
	while (r->g.finished < 20) {
		assert_int_equal(vg_wait(&r->g, &r->g.tx, VNET_TX), 0);
		vg_reap(&r->g);
	}
	assert_int_equal(vdq_used_pending(&r->g.rx), 0);
	vg_fill_rx(&r->g, 20);
	for (uint32_t i = 0; i < 20; i++) {
		vg_arp_request(ask, c->guest4, c->gateway4, i);
		vg_arp_reply(want, ask, c->our_mac);
		assert_true(vg_receive(&r->g, got) >= VG_ARP_LEN);
		/* The frame goes to the address that the guest had when it was built. */
		assert_memory_equal(got, want, sizeof(want));
	}
	end(r);
}

static int count_call(void *ctx, struct stack *st)
{
	(void)st;
	return ++*(int *)ctx;
}

/* Nothing to do, or nothing but to wait for buffers: then the worker sleeps. */
static void waiting_worker_does_not_spin(void **state)
{
	struct rig *r = begin();
	const struct net_worker_counters *n = net_worker_counters(r->w);
	uint8_t ask[VG_ARP_LEN];
	uint64_t before;
	int calls = 0;

	(void)state;
	for (int starved = 0; starved < 2; starved++) {
		before = counter_get(&n->cycles);
		for (int i = 0; i < 200; i++)
			net_worker_call(r->w, count_call, &calls);
		/* A call is a cycle, and now and then a wake-up that finds it done. */
		assert_true(counter_get(&n->cycles) - before <= 3 * 200 + 10);
		if (starved)
			break;
		assert_int_equal(net_worker_attach(r->w, &r->start, r->g.kick), 0);
		vg_arp_request(ask, r->cfg.stack.guest4, r->cfg.stack.gateway4, 1);
		assert_int_equal(vg_send(&r->g, ask, sizeof(ask)), 0);
		while (r->g.finished < 1) {
			assert_int_equal(vg_wait(&r->g, &r->g.tx, VNET_TX), 0);
			vg_reap(&r->g);
		}
	}
	assert_int_equal(calls, 400);
	end(r);
}

struct flood {
	struct rig *r;
	_Atomic bool stop;
	_Atomic int err;
	uint64_t answers;
};

/* Ask without end, and read what comes. A pause of the device is just a wait. */
static void *flood_main(void *arg)
{
	struct flood *f = arg;
	struct vguest *g = &f->r->g;
	const struct stack_config *c = &f->r->cfg.stack;
	uint8_t frame[VG_BUF];

	for (uint32_t i = 0; !atomic_load(&f->stop); i++) {
		vg_arp_request(frame, c->guest4, c->gateway4, i);
		if (vg_send(g, frame, VG_ARP_LEN)) {
			atomic_store(&f->err, 1);
			break;
		}
		while (vg_take(g, frame, true))
			f->answers++;
	}
	return NULL;
}

/* H15, H17: taken off and put on again under load; every chain comes back once. */
static void driver_is_detached_while_busy(void **state)
{
	struct rig *r = begin_attached();
	struct flood f = { .r = r };
	pthread_t t;
	uint16_t next[VNET_QUEUES];
	uint8_t frame[VG_BUF];

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, flood_main, &f), 0);
	for (int i = 0; i < 200; i++) {
		uint16_t tx, rx;

		for (uint64_t until = counter_get(&r->g.n[VNET_TX].chains) + 10;
		     counter_get(&r->g.n[VNET_TX].chains) < until && !atomic_load(&f.err);)
			sched_yield(); /* there may be one processor for all of us */
		net_worker_detach(r->w, next);
		tx = __atomic_load_n(&r->g.tx.used->idx, __ATOMIC_SEQ_CST);
		rx = __atomic_load_n(&r->g.rx.used->idx, __ATOMIC_SEQ_CST);
		/* All that was taken has been given back, and nothing moves any more. */
		assert_int_equal(tx, next[VNET_TX]);
		assert_int_equal(rx, next[VNET_RX]);
		net_worker_detach(r->w, NULL);
		assert_int_equal(__atomic_load_n(&r->g.tx.used->idx, __ATOMIC_SEQ_CST), tx);
		assert_int_equal(__atomic_load_n(&r->g.rx.used->idx, __ATOMIC_SEQ_CST), rx);
		memcpy(r->start.next_avail, next, sizeof(next));
		assert_int_equal(net_worker_attach(r->w, &r->start, r->g.kick), 0);
	}
	atomic_store(&f.stop, true);
	pthread_join(t, NULL);
	assert_int_equal(atomic_load(&f.err), 0);
	while (r->g.finished < r->g.sent) {
		assert_int_equal(vg_wait(&r->g, &r->g.tx, VNET_TX), 0);
		vg_reap(&r->g);
	}
	while (vg_take(&r->g, frame, false))
		f.answers++;
	assert_true(f.answers > 0 && f.answers <= r->g.sent);
	assert_int_equal(atomic_load(&r->broken), 0);
	end(r);
}

/* A driver that begins anew finds a device that works. */
static void another_driver(struct rig *r)
{
	vg_fini(&r->g);
	vg_init(&r->g, r->start.features);
	vg_start(&r->g, r->start.features, &r->start);
	vg_fill_rx(&r->g, VG_QSIZE);
	assert_int_equal(net_worker_attach(r->w, &r->start, r->g.kick), 0);
	arp_round(r, 2);
}

/* H3, H55: a broken ring asks for a reset; the worker lives on and serves again. */
static void broken_ring_does_not_end_the_worker(void **state)
{
	struct rig *r = begin_attached();
	int calls = 0;

	(void)state;
	arp_round(r, 1);
	r->g.tx.avail_idx = (uint16_t)(r->g.tx.avail_idx + 5000);
	vdq_show(&r->g.tx);
	assert_int_equal(eventfd_write(r->g.kick[VNET_TX], 1), 0);
	/* The first call may come before the kick is seen, but a cycle ends behind it. */
	for (int i = 0; i < 100 && !atomic_load(&r->broken); i++)
		net_worker_call(r->w, count_call, &calls);
	assert_int_equal(atomic_load(&r->broken), 1);
	net_worker_detach(r->w, NULL);
	another_driver(r);
	end(r);
}

static void second_driver_is_refused(void **state)
{
	struct rig *r = begin_attached();
	struct vnet_start bad = r->start;

	(void)state;
	assert_int_equal(net_worker_attach(r->w, &r->start, r->g.kick), -EBUSY);
	arp_round(r, 1);
	net_worker_detach(r->w, NULL);
	bad.features = 0;
	assert_int_equal(net_worker_attach(r->w, &bad, r->g.kick), -EINVAL);
	/* The refused start has left no watch behind. */
	another_driver(r);
	end(r);
}

struct seen_thread {
	pthread_t id;
	char name[16];
	sigset_t blocked;
};

static int look_around(void *ctx, struct stack *st)
{
	struct seen_thread *s = ctx;

	(void)st;
	s->id = pthread_self();
	pthread_getname_np(s->id, s->name, sizeof(s->name));
	pthread_sigmask(SIG_BLOCK, NULL, &s->blocked);
	return 77;
}

static void calls_run_on_the_worker(void **state)
{
	struct rig *r = begin();
	struct seen_thread s = { .name = "" };

	(void)state;
	assert_int_equal(net_worker_call(r->w, look_around, &s), 77);
	assert_false(pthread_equal(s.id, pthread_self()));
	assert_string_equal(s.name, "sluice-net");
	assert_true(sigismember(&s.blocked, SIGTERM));
	assert_true(sigismember(&s.blocked, SIGINT));
	assert_true(sigismember(&s.blocked, SIGPIPE));
	end(r);
}

struct caller {
	struct net_worker *w;
	int *shared;
};

static void *caller_main(void *arg)
{
	struct caller *c = arg;

	for (int i = 0; i < 500; i++)
		net_worker_call(c->w, count_call, c->shared);
	return NULL;
}

static void callers_do_not_lose_each_other(void **state)
{
	struct rig *r = begin();
	int shared = 0;
	struct caller c = { r->w, &shared };
	pthread_t t[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, caller_main, &c), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	assert_int_equal(shared, 2000);
	end(r);
}

static int refuse(void *ctx)
{
	++*(int *)ctx;
	return -EPERM;
}

static void failed_thread_init_is_reported(void **state)
{
	struct net_worker_config cfg;
	struct net_worker *w = NULL;
	int runs = 0;

	(void)state;
	configure(&cfg);
	cfg.thread_init = refuse;
	cfg.thread_ctx = &runs;
	assert_int_equal(net_worker_new(&w, &cfg), -EPERM);
	assert_int_equal(runs, 1);
	assert_null(w);
	cfg.thread_init = NULL;
	cfg.stack.mtu = 1;
	assert_int_equal(net_worker_new(&w, &cfg), -EINVAL);
}

/* The thread that last asked for a reset at close(2); 0 = none has. */
static _Atomic long lingers_on;

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (level == SOL_SOCKET && name == SO_LINGER)
		atomic_store(&lingers_on, syscall(SYS_gettid));
	return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

/* A SYN from the guest to @port of the gateway, which is the host's loopback. */
static uint32_t syn(uint8_t *f, const struct stack_config *c, uint16_t port)
{
	uint8_t *ip4 = f + ETH_HLEN, *tcp = ip4 + IP4_HLEN;
	uint32_t pseudo;

	/* 12 bytes behind the first 8 of what becomes the TCP header. */
	(void)vg_echo_request(f, c->our_mac, c->guest4, c->gateway4, 12, 0);
	ip4[9] = PROTO_TCP;
	put_be16(ip4 + 10, 0);
	put_be16(ip4 + 10, csum_fold(csum_add(0, ip4, IP4_HLEN)));
	memset(tcp, 0, 20);
	put_be16(tcp, 40000);
	put_be16(tcp + 2, port);
	put_be32(tcp + 4, 1);
	tcp[12] = 5 << 4;
	tcp[13] = 2;
	put_be16(tcp + 14, 65535);
	pseudo = csum_add(0, ip4 + 12, 8) + PROTO_TCP + 20;
	put_be16(tcp + 16, csum_fold(csum_add(pseudo, tcp, 20)));
	return ETH_HLEN + IP4_HLEN + 20;
}

/*
 * Only the worker may ask for what a reset takes: in the jail, main is not allowed to, and
 * a run that ended with a connection open was ended by its own jail (H60).
 */
static void connections_are_reset_by_the_worker(void **state)
{
	struct rig *r = begin_attached();
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0), peer;
	uint8_t f[VG_BUF];

	(void)state;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	arp_round(r, 1);
	assert_int_equal(vg_send(&r->g, f, syn(f, &r->cfg.stack, ntohs(at.sin_port))), 0);
	assert_true(vg_receive(&r->g, f) >= ETH_HLEN + IP4_HLEN + 20);
	assert_int_equal(f[ETH_HLEN + IP4_HLEN + 13], 0x12); /* SYN, ACK */
	peer = accept(fd, NULL, NULL);
	assert_true(peer >= 0);
	atomic_store(&lingers_on, 0);
	end(r);
	assert_int_not_equal(atomic_load(&lingers_on), 0);
	assert_int_not_equal(atomic_load(&lingers_on), syscall(SYS_gettid));
	assert_int_equal(read(peer, f, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	close(peer);
	close(fd);
}

/* --- as a struct vdev ------------------------------------------------------ */

static void config_changed(struct vdev *d)
{
	(void)d;
}

static void queue_call(struct vdev *d, uint16_t q)
{
	(void)d;
	(void)q;
}

static const struct vdev_transport_ops transport = { config_changed, queue_call };

static void write_status(struct vdev *d, unsigned int status)
{
	pthread_mutex_lock(&d->lock);
	vdev_write_status(d, (uint8_t)status);
	pthread_mutex_unlock(&d->lock);
}

/* What a driver does from reset to DRIVER_OK (3.1.1), with @g's rings. */
static void bring_up(struct vdev *d, struct vguest *g)
{
	const struct vq_config *cfg[] = { &g->rx.cfg, &g->tx.cfg, &g->ctrl.cfg };

	write_status(d, 0);
	write_status(d, 3);
	vdev_write_features(d, 0, (uint32_t)d->features);
	vdev_write_features(d, 1, (uint32_t)(d->features >> 32));
	write_status(d, 3 | VIRTIO_CONFIG_S_FEATURES_OK);
	for (uint16_t i = 0; i < VNET_QUEUES; i++) {
		assert_int_equal(vdev_write_queue_size(d, i, cfg[i]->size), 0);
		assert_int_equal(
			vdev_write_queue_addr(d, i, cfg[i]->desc, cfg[i]->avail, cfg[i]->used), 0);
		assert_int_equal(vdev_write_queue_ready(d, i, true), 0);
	}
	vg_fill_rx(g, VG_QSIZE);
	write_status(d, 3 | VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
}

/* The driver's eventfds are the device's own, as KVM would have them. */
static void borrow_eventfds(struct vguest *g, const struct vdev *d)
{
	for (int i = 0; i < VNET_QUEUES; i++) {
		close(g->kick[i]);
		close(g->call[i]);
		g->kick[i] = dup(d->queue[i].kick_fd);
		g->call[i] = dup(d->queue[i].call_fd);
	}
}

static void device_serves_breaks_and_is_reset(void **state)
{
	struct rig *r = begin();
	struct net_dev *nd = NULL;
	uint8_t mac[6];
	int calls = 0;
	struct vdev *d;

	(void)state;
	assert_int_equal(net_dev_new(&nd, &r->g.drv.mem, r->w, &r->cfg.net), 0);
	d = net_dev_vdev(nd);
	d->transport = &transport;
	assert_int_equal(d->device_id, 1);
	assert_int_equal(d->nqueues, VNET_QUEUES);
	vdev_config_read(d, 0, mac, 6);
	assert_memory_equal(mac, r->cfg.net.mac, 6);
	for (uint32_t life = 0; life < 3; life++) {
		borrow_eventfds(&r->g, d);
		bring_up(d, &r->g);
		assert_true(d->started);
		for (uint32_t i = 0; i < 10; i++)
			arp_round(r, life * 10 + i);
		vdq_offer(&r->g.tx, VG_QSIZE + 1);
		vdq_show(&r->g.tx);
		assert_int_equal(eventfd_write(r->g.kick[VNET_TX], 1), 0);
		for (int i = 0; i < 100 && !(atomic_load(&d->status) & 0x40); i++)
			net_worker_call(r->w, count_call, &calls);
		assert_true(atomic_load(&d->status) & VIRTIO_CONFIG_S_NEEDS_RESET);
		write_status(d, 0);
		assert_int_equal(atomic_load(&d->status), 0);
		assert_false(d->started);
		vg_fini(&r->g);
		vg_init(&r->g, r->start.features);
	}
	net_dev_free(nd);
	end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arp_is_answered_across_threads),
		cmocka_unit_test(ping_pong_allocates_nothing),
		cmocka_unit_test(no_wake_up_is_lost),
		cmocka_unit_test(starved_answers_arrive_after_a_refill),
		cmocka_unit_test(waiting_worker_does_not_spin),
		cmocka_unit_test(driver_is_detached_while_busy),
		cmocka_unit_test(broken_ring_does_not_end_the_worker),
		cmocka_unit_test(second_driver_is_refused),
		cmocka_unit_test(calls_run_on_the_worker),
		cmocka_unit_test(callers_do_not_lose_each_other),
		cmocka_unit_test(failed_thread_init_is_reported),
		cmocka_unit_test(connections_are_reset_by_the_worker),
		cmocka_unit_test(device_serves_breaks_and_is_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
