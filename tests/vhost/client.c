/* SPDX-License-Identifier: MIT */
/* A front-end that says what it is told to, right or wrong. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/vhost/rig.h"

#define REPLY_MS 60000

/* Most descriptors that a test sends at once. */
#define FDS_MAX 32

/**
 * vc_memfd() - @len bytes to share
 */
int vc_memfd(size_t len)
{
	int fd = memfd_create("vhost-test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	return fd;
}

int vc_connect(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strncpy(sa.sun_path, path, sizeof(sa.sun_path) - 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

/**
 * vc_open() - connect, with memory and eventfds that the back-end has not heard of
 */
void vc_open(struct vclient *c, const struct vrig *r)
{
	c->mem_fd = vc_memfd(VC_MEM);
	c->mem = mmap(NULL, VC_MEM, PROT_READ | PROT_WRITE, MAP_SHARED, c->mem_fd, 0);
	assert_ptr_not_equal(c->mem, MAP_FAILED);
	for (int i = 0; i < 2; i++) {
		c->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		c->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(c->kick[i] >= 0 && c->call[i] >= 0);
	}
	c->sock = vc_connect(vrig_path(r));
}

void vc_close(struct vclient *c)
{
	for (int i = 0; i < 2; i++) {
		close(c->kick[i]);
		close(c->call[i]);
	}
	munmap(c->mem, VC_MEM);
	close(c->mem_fd);
	close(c->sock);
}

/**
 * vc_leave() - the front-end goes, the back-end notices and keeps nothing, and ends
 */
void vc_leave(struct vclient *c, struct vrig *r)
{
	vc_close(c);
	vrig_expect_end(r, -ECONNRESET);
	vrig_free(r);
}

/**
 * vc_send() - bytes and descriptors as they are. Return: did the socket take them?
 */
bool vc_send(int sock, const void *msg, size_t len, const int *fds, uint32_t nfds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * FDS_MAX)];
	} control;
	struct iovec iov = { (void *)(uintptr_t)msg, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	assert_true(nfds <= FDS_MAX);
	if (nfds) {
		struct cmsghdr *h;

		memset(&control, 0, sizeof(control));
		m.msg_control = control.buf;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(h), fds, sizeof(int) * nfds);
	}
	return sendmsg(sock, &m, MSG_NOSIGNAL) == (ssize_t)len;
}

/**
 * vc_recv() - one whole message. Return: false when the back-end has hung up
 */
bool vc_recv(int sock, struct vu_message *m)
{
	size_t have = 0, want = VU_HEADER_LEN;

	memset(m, 0, sizeof(*m));
	while (have < want) {
		struct pollfd p = { .fd = sock, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, REPLY_MS) <= 0)
			fail_msg("no answer");
		n = recv(sock, (uint8_t *)m + have, want - have, 0);
		if (n <= 0)
			return false;
		have += (size_t)n;
		if (have == VU_HEADER_LEN) {
			assert_true(m->flags == (VU_VERSION | VU_REPLY));
			assert_true(m->size <= VU_PAYLOAD_MAX);
			want += m->size;
		}
	}
	return true;
}

/**
 * vc_request() - send with NEED_REPLY and hear what it came to
 *
 * Before the protocol features are agreed on there is no acknowledgement; a
 * question that is always answered follows, so the verdict then is OK or CUT.
 */
enum vc_verdict vc_request(struct vclient *c, struct vu_message *m, const int *fds, uint32_t nfds)
{
	struct vu_message ask = { .request = VU_GET_FEATURES, .flags = VU_VERSION }, reply;
	enum vc_verdict verdict = VC_OK;

	m->flags = VU_VERSION | VU_NEED_REPLY;
	if (!vc_send(c->sock, m, VU_HEADER_LEN + m->size, fds, nfds) ||
	    !vc_send(c->sock, &ask, VU_HEADER_LEN, NULL, 0) || !vc_recv(c->sock, &reply))
		return VC_CUT;
	if (reply.request != VU_GET_FEATURES) {
		assert_int_equal(reply.request, m->request);
		assert_int_equal(reply.size, 8);
		verdict = reply.u64 ? VC_REFUSED : VC_OK;
		if (!vc_recv(c->sock, &reply))
			return VC_CUT;
	}
	assert_int_equal(reply.request, VU_GET_FEATURES);
	return verdict;
}

enum vc_verdict vc_u64(struct vclient *c, uint32_t request, uint64_t value, int fd)
{
	struct vu_message m = { .request = request, .size = 8, .u64 = value };

	return vc_request(c, &m, &fd, fd >= 0);
}

enum vc_verdict vc_state(struct vclient *c, uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_message m = { .request = request, .size = 8, .state = { index, num } };

	return vc_request(c, &m, NULL, 0);
}

enum vc_verdict vc_addr(struct vclient *c, uint32_t index, uint64_t desc, uint64_t avail,
			uint64_t used)
{
	struct vu_message m = { .request = VU_SET_VRING_ADDR,
				.size = sizeof(m.addr),
				.addr = {
					.index = index,
					.desc = desc,
					.avail = avail,
					.used = used,
				} };

	return vc_request(c, &m, NULL, 0);
}

/* ADD_MEM_REG or REM_MEM_REG, or SET_MEM_TABLE of one region. */
enum vc_verdict vc_region(struct vclient *c, uint32_t request, const struct vu_region *region,
			  int fd)
{
	struct vu_message m = { .request = request, .size = 8 + sizeof(*region) };

	if (request == VU_SET_MEM_TABLE) {
		m.mem.nregions = 1;
		m.mem.region[0] = *region;
	} else {
		m.one.region = *region;
	}
	return vc_request(c, &m, &fd, fd >= 0);
}

/**
 * vc_get() - ask for a number. Return: false when the back-end has hung up
 */
bool vc_get(struct vclient *c, uint32_t request, uint64_t *value)
{
	struct vu_message m = { .request = request, .flags = VU_VERSION };

	if (!vc_send(c->sock, &m, VU_HEADER_LEN, NULL, 0) || !vc_recv(c->sock, &m))
		return false;
	assert_int_equal(m.request, request);
	assert_int_equal(m.size, 8);
	*value = m.u64;
	return true;
}

/**
 * vc_negotiate() - all features that are offered, and acknowledgements
 */
void vc_negotiate(struct vclient *c)
{
	uint64_t features, proto;

	assert_true(vc_get(c, VU_GET_FEATURES, &features));
	assert_true(features & VU_F_PROTOCOL_FEATURES);
	assert_true(features & (1ULL << VIRTIO_F_VERSION_1));
	assert_true(vc_get(c, VU_GET_PROTOCOL_FEATURES, &proto));
	assert_true(proto & VU_PROTO_REPLY_ACK);
	assert_int_equal(vc_u64(c, VU_SET_PROTOCOL_FEATURES, proto, -1), VC_OK);
	assert_int_equal(vc_u64(c, VU_SET_FEATURES, features, -1), VC_OK);
}

/**
 * vc_memory() - share the memory as one region
 */
void vc_memory(struct vclient *c)
{
	struct vu_region region = { .gpa = VC_GPA, .size = VC_MEM, .uva = VC_UVA };

	assert_int_equal(vc_region(c, VU_SET_MEM_TABLE, &region, c->mem_fd), VC_OK);
}

/* Each part of a ring in 16 KiB of its own: 0 descriptors, 1 avail, 2 used. */
uint64_t vc_ring_uva(uint32_t index, uint32_t part)
{
	return VC_UVA + (uint64_t)(index * 3 + part) * 16384;
}

/**
 * vc_ring() - describe one ring, kick last
 */
void vc_ring(struct vclient *c, uint32_t index)
{
	assert_int_equal(vc_state(c, VU_SET_VRING_NUM, index, VC_QSIZE), VC_OK);
	assert_int_equal(vc_state(c, VU_SET_VRING_BASE, index, 0), VC_OK);
	assert_int_equal(vc_addr(c, index, vc_ring_uva(index, 0), vc_ring_uva(index, 1),
				 vc_ring_uva(index, 2)),
			 VC_OK);
	assert_int_equal(vc_u64(c, VU_SET_VRING_CALL, index, c->call[index]), VC_OK);
	assert_int_equal(vc_state(c, VU_SET_VRING_ENABLE, index, 1), VC_OK);
	assert_int_equal(vc_u64(c, VU_SET_VRING_KICK, index, c->kick[index]), VC_OK);
}

/**
 * vc_start() - everything, until the device runs
 */
void vc_start(struct vclient *c)
{
	vc_negotiate(c);
	vc_memory(c);
	vc_ring(c, 0);
	vc_ring(c, 1);
}
