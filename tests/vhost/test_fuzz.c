/* SPDX-License-Identifier: MIT */
/*
 * Random front-ends: messages that are right, nearly right and wrong, in any
 * order, with descriptors that fit and that do not, over rings full of noise.
 * Seeded; each session starts from its own seed, and the last one is printed.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/base.h"
#include "tests/vhost/rig.h"

#define SESSIONS 400
#define MESSAGES 60

struct fuzz {
	struct vclient c;
	uint64_t rng;
	uint64_t features;
	int pipes[2];
	int other_memory;
};

/* Devices that came to run: the work floor, so that noise alone does not pass. */
static uint32_t ran;

/* The session under way, for whoever wants to see a failure again. */
static uint64_t seed;

static uint64_t draw(struct fuzz *f)
{
	f->rng ^= f->rng << 13;
	f->rng ^= f->rng >> 7;
	f->rng ^= f->rng << 17;
	return f->rng;
}

static uint32_t below(struct fuzz *f, uint32_t n)
{
	return (uint32_t)(draw(f) >> 32) % n;
}

static bool one_in(struct fuzz *f, uint32_t n)
{
	return below(f, n) == 0;
}

static uint64_t odd_number(struct fuzz *f)
{
	static const uint64_t numbers[] = {
		0,     1,     2,      3,	  255,	      256,	  1024,	     1025,
		65535, 65536, VC_MEM, UINT32_MAX, 1ULL << 32, 1ULL << 63, UINT64_MAX
	};

	return one_in(f, 3) ? draw(f) : numbers[below(f, ARRAY_SIZE(numbers))];
}

/* What usually is right, and now and then is not. */
static uint64_t mostly(struct fuzz *f, uint64_t value)
{
	return one_in(f, 12) ? odd_number(f) : value;
}

static int random_fd(struct fuzz *f)
{
	const int fds[] = { f->c.mem_fd,  f->c.kick[0], f->c.kick[1],	 f->c.call[0],
			    f->c.call[1], f->pipes[0],	f->other_memory, f->c.sock };

	return fds[below(f, ARRAY_SIZE(fds))];
}

static struct vu_region random_region(struct fuzz *f, uint32_t i)
{
	struct vu_region r;

	r.gpa = mostly(f, VC_GPA + i * VC_MEM);
	r.uva = mostly(f, VC_UVA + i * VC_MEM);
	r.size = mostly(f, VC_MEM);
	r.offset = mostly(f, 0);
	return r;
}

/* A payload for @m->request. Return: descriptors that belong to it, in @fds */
static uint32_t fill(struct fuzz *f, struct vu_message *m, int *fds)
{
	uint32_t index = (uint32_t)mostly(f, below(f, 2));

	switch (m->request) {
	case VU_SET_FEATURES:
		m->u64 = mostly(f, f->features);
		m->size = 8;
		return 0;
	case VU_SET_PROTOCOL_FEATURES:
		m->u64 = mostly(f, VU_PROTO_NET_MTU | VU_PROTO_REPLY_ACK);
		m->size = 8;
		return 0;
	case VU_SET_MEM_TABLE:
		m->mem.nregions = (uint32_t)mostly(f, 1 + below(f, 2));
		m->size = 8 + 32 * MIN(m->mem.nregions, (uint32_t)VU_FDS_MAX);
		for (uint32_t i = 0; i < VU_FDS_MAX; i++) {
			m->mem.region[i] = random_region(f, i);
			fds[i] = one_in(f, 12) ? random_fd(f) : f->c.mem_fd;
		}
		return MIN(m->mem.nregions, (uint32_t)VU_FDS_MAX);
	case VU_ADD_MEM_REG:
	case VU_REM_MEM_REG:
		m->one.region = random_region(f, below(f, 3));
		m->size = 40;
		fds[0] = one_in(f, 12) ? random_fd(f) : f->c.mem_fd;
		return m->request == VU_ADD_MEM_REG;
	case VU_SET_VRING_ADDR:
		m->addr.index = index;
		m->addr.desc = mostly(f, vc_ring_uva(index & 1, 0));
		m->addr.avail = mostly(f, vc_ring_uva(index & 1, 1));
		m->addr.used = mostly(f, vc_ring_uva(index & 1, 2));
		m->size = 40;
		return 0;
	case VU_SET_VRING_KICK:
	case VU_SET_VRING_CALL:
	case VU_SET_VRING_ERR:
		m->u64 = mostly(f, index);
		m->size = 8;
		fds[0] = one_in(f, 12) ? random_fd(f) : f->c.kick[index & 1];
		return 1;
	case VU_GET_CONFIG:
		m->config.offset = (uint32_t)mostly(f, 0);
		m->config.size = (uint32_t)mostly(f, 12);
		m->size = 12 + MIN(m->config.size, (uint32_t)VU_CONFIG_MAX);
		return 0;
	case VU_SET_VRING_NUM:
		m->state.index = index;
		m->state.num = (uint32_t)mostly(f, VC_QSIZE);
		m->size = 8;
		return 0;
	case VU_SET_VRING_BASE:
	case VU_GET_VRING_BASE:
		m->state.index = index;
		m->state.num = (uint32_t)mostly(f, 0);
		m->size = 8;
		return 0;
	case VU_SET_VRING_ENABLE:
		m->state.index = index;
		m->state.num = (uint32_t)mostly(f, 1);
		m->size = 8;
		return 0;
	default:
		m->u64 = odd_number(f);
		m->size = one_in(f, 2) ? 0 : 8;
		return 0;
	}
}

/* Return: false when the back-end has hung up, which it may. */
static bool send_one(struct fuzz *f, uint32_t request)
{
	struct vu_message m = { .request = request, .flags = VU_VERSION };
	int fds[VU_FDS_MAX + 2];
	uint32_t nfds;
	size_t len;

	nfds = fill(f, &m, fds);
	if (one_in(f, 4))
		m.flags |= VU_NEED_REPLY;
	if (one_in(f, 200))
		m.flags = (uint32_t)odd_number(f);
	if (one_in(f, 100))
		m.size = (uint32_t)odd_number(f);
	if (one_in(f, 50) && nfds < VU_FDS_MAX)
		fds[nfds++] = random_fd(f);
	if (one_in(f, 50))
		nfds = 0;
	len = VU_HEADER_LEN + MIN(m.size, (uint32_t)VU_PAYLOAD_MAX);
	if (one_in(f, 20)) {
		size_t part = 1 + below(f, (uint32_t)len - 1);

		return vc_send(f->c.sock, &m, part, fds, nfds) &&
		       vc_send(f->c.sock, (uint8_t *)&m + part, len - part, NULL, 0);
	}
	return vc_send(f->c.sock, &m, len, fds, nfds);
}

/* Noise into the rings and a kick; sometimes the indices make sense. */
static void stir(struct fuzz *f)
{
	for (uint32_t i = below(f, 64); i > 0; i--) {
		uint32_t at = below(f, 6 * 16384 / 8);

		((uint64_t *)(void *)f->c.mem)[at] = odd_number(f);
	}
	for (uint32_t i = 0; i < 2; i++) {
		uint16_t *avail = (uint16_t *)(void *)(f->c.mem + (i * 3 + 1) * 16384);

		avail[1] = (uint16_t)(one_in(f, 4) ? draw(f) : avail[1] + below(f, 8));
		assert_int_equal(eventfd_write(f->c.kick[i], 1), 0);
	}
}

static void session(struct vrig *r)
{
	static const uint32_t usual[] = { VU_SET_FEATURES,   VU_SET_PROTOCOL_FEATURES,
					  VU_SET_MEM_TABLE,  VU_SET_VRING_NUM,
					  VU_SET_VRING_ADDR, VU_SET_VRING_KICK,
					  VU_SET_VRING_CALL, VU_SET_VRING_ENABLE };
	struct fuzz f = { .rng = seed * 0x9e3779b97f4a7c15ULL + 1 };
	struct vnet_config net = { .mtu = vrig_stack_config(r)->mtu };
	int messages = 1 + (int)below(&f, MESSAGES);
	char junk[4096];

	vc_open(&f.c, r);
	assert_int_equal(pipe(f.pipes), 0);
	f.other_memory = vc_memfd(65536);
	f.features = vhost_user_features(&net);
	if (one_in(&f, 2))
		vc_start(&f.c);
	for (int i = 0; i < messages; i++) {
		uint32_t request = one_in(&f, 3) ? below(&f, VU_REQUEST_MAX + 2)
						 : usual[below(&f, ARRAY_SIZE(usual))];

		if (!send_one(&f, request))
			break;
		if (one_in(&f, 3))
			stir(&f);
		ran += vrig_running(r);
		while (recv(f.c.sock, junk, sizeof(junk), MSG_DONTWAIT) > 0)
			;
	}
	close(f.pipes[0]);
	close(f.pipes[1]);
	close(f.other_memory);
	vc_close(&f.c);
	vrig_wait_end(r);
}

static void random_front_ends_leave_nothing_behind(void **state)
{
	const char *rounds = getenv("FUZZ_SESSIONS");
	uint64_t n = rounds ? strtoull(rounds, NULL, 10) : SESSIONS;
	struct vrig *r = vrig_new();

	(void)state;
	for (seed = 1; seed <= n; seed++) {
		struct front f;

		session(r);
		vrig_expect_base(r);
		if (seed % 40)
			continue;
		/* And whoever comes next is served. */
		tr_open(&f, r, 256);
		tr_arp(&f, r, (uint32_t)seed);
		front_close(&f);
		vrig_expect_end(r, -ECONNRESET);
	}
	vrig_free(r);
	assert_true(ran > n);
}

static int tell_seed(void **state)
{
	(void)state;
	print_message("%u messages left a device running; the last seed was %llu\n", ran,
		      (unsigned long long)seed);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(random_front_ends_leave_nothing_behind, tell_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
