/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user front-end that sends anything, with any descriptors.
 *
 * The input is a list of messages:
 *
 *	byte 0	request
 *	1	bits 0..3: descriptors that go with it; bit 4: NEED_REPLY; bit 5: the length
 *		in the header is off by one more; bit 6: the version is wrong; bit 7: sent
 *		in two pieces
 *	2	bits 0..2: which descriptor comes first, see session_fds(); the others follow
 *	3	length of the payload, in bytes
 *	...	the payload as it goes over the wire
 *
 * In place of the worker is one without a thread: it checks what it is to serve, and at
 * each attachment empties both rings by the walker. When the session has ended no
 * descriptor is left (common.c looks) and no mapping: the front-end's memory can then be
 * sealed against writing, which the kernel refuses while somebody has it mapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "virtio/vhost_priv.h"

#define HEAD   4
#define MEMORY (256UL << 10)
#define SMALL  8192UL
#define FDS    6

const struct fuzz_target fuzz_target = {
	.name = "vhost",
	.done = "requests granted and devices started",
	.refused = "requests refused and sessions ended",
	.floor = 60,
	.alloc_one = 16384,
	.alloc_all = 16384,
};

/* --- a worker without a thread --------------------------------------------------- */

struct net_worker {
	struct virtq q[VNET_QUEUES];
	bool attached;
};

static struct net_worker worker;

/* Each region is there from its first byte to its last. */
static void touch(const struct gmem *m)
{
	for (uint32_t i = 0; i < m->nregions; i++) {
		const volatile uint8_t *p = m->regions[i].hva;

		FUZZ_CHECK(m->regions[i].size > 0);
		(void)p[0];
		(void)p[m->regions[i].size - 1];
	}
}

static void empty(struct virtq *q, bool rx)
{
	static struct iovec iov[VQ_SIZE_MAX];
	struct vq_chain c;

	while (vq_pop(q, rx ? VQ_WRITABLE : VQ_READABLE, &c, iov, VQ_SIZE_MAX) == 1) {
		for (uint32_t i = 0; rx && i < c.in_cnt; i++)
			memset(iov[i].iov_base, 0x77, iov[i].iov_len);
		vq_use(q, c.head, rx ? (uint32_t)c.in_len : 0);
		fuzz_work.done++;
	}
	vq_publish(q);
}

int net_worker_attach(struct net_worker *w, const struct vnet_start *start,
		      const int kick_fd[VNET_QUEUES])
{
	FUZZ_CHECK(!w->attached && start->mem->nregions > 0);
	FUZZ_CHECK(start->features & 1ULL << VIRTIO_F_VERSION_1);
	touch(start->mem);
	for (int i = VNET_RX; i <= VNET_TX; i++) {
		FUZZ_CHECK(start->queue[i].ready && kick_fd[i] >= 0);
		FUZZ_CHECK(fcntl(kick_fd[i], F_GETFL) & O_NONBLOCK, "a kick that may block");
		FUZZ_CHECK(vq_config_check(&start->queue[i], start->mem) == 0);
		w->q[i] = (struct virtq){ .index = (uint16_t)i,
					  .call_fd = start->call_fd[i],
					  .n = start->counters[i] };
		FUZZ_CHECK(vq_start(&w->q[i], &start->queue[i], start->mem, start->features,
				    start->next_avail[i]) == 0);
	}
	w->attached = true;
	fuzz_work.done++;
	empty(&w->q[VNET_RX], true);
	empty(&w->q[VNET_TX], false);
	if (w->q[VNET_RX].broken || w->q[VNET_TX].broken) {
		start->broken(start->broken_ctx);
		fuzz_work.refused++;
	}
	return 0;
}

void net_worker_detach(struct net_worker *w, uint16_t next_avail[VNET_QUEUES])
{
	FUZZ_CHECK(w->attached);
	for (int i = VNET_RX; i <= VNET_TX; i++) {
		vq_stop(&w->q[i]);
		next_avail[i] = w->q[i].last_avail;
	}
	w->attached = false;
}

void net_worker_set_call(struct net_worker *w, enum vnet_queue queue, int call_fd)
{
	if (w->attached)
		w->q[queue].call_fd = call_fd;
}

/* --- the front-end ----------------------------------------------------------------- */

/**
 * struct front - our end
 * @fd:	what messages may carry: memory of MEMORY bytes, of SMALL bytes, two eventfds,
 *		a pipe, a socket
 */
struct front {
	struct vhost_session *s;
	int sock, fd[FDS], pipe_out;
	bool over, shifted;
};

static int memory(size_t size)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	FUZZ_CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0, "%s", strerror(errno));
	return fd;
}

/* Two rings of two chains each, at the start of memory: 0x0, 0x1000 and 0x2000 are the
 * first one's parts, 0x3000 and so on the second one's. */
static void lay_rings(int fd)
{
	for (int q = 0; q < 2; q++) {
		struct vring_desc d[2] = { { 0x10000, 1500, 0, 0 }, { 0x11000, 1500, 0, 0 } };
		uint16_t avail[4] = { 0, 2, 0, 1 };
		off_t at = 0x3000 * q;

		d[0].flags = d[1].flags = q == VNET_RX ? VRING_DESC_F_WRITE : 0;
		FUZZ_CHECK(pwrite(fd, d, sizeof(d), at) == sizeof(d));
		FUZZ_CHECK(pwrite(fd, avail, sizeof(avail), at + 0x1000) == sizeof(avail));
	}
}

static void open_front(struct front *f)
{
	const struct vnet_config net = { .mac = { 2 }, .mtu = 1500 };
	int sock[2], pipes[2];

	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) == 0);
	FUZZ_CHECK(pipe2(pipes, O_CLOEXEC) == 0);
	*f = (struct front){ .sock = sock[0], .pipe_out = pipes[1] };
	f->fd[0] = memory(MEMORY);
	f->fd[1] = memory(SMALL);
	f->fd[2] = eventfd(0, EFD_CLOEXEC);
	f->fd[3] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->fd[4] = pipes[0];
	f->fd[5] = dup(sock[0]);
	lay_rings(f->fd[0]);
	FUZZ_CHECK(vhost_session_new(&f->s, sock[1], &worker, &net) == 0);
}

static void close_front(struct front *f)
{
	if (!f->over)
		vhost_session_free(f->s);
	FUZZ_CHECK(!worker.attached);
	/* What nobody has mapped can be sealed. */
	FUZZ_CHECK(fcntl(f->fd[0], F_ADD_SEALS, F_SEAL_WRITE) == 0, "still mapped");
	FUZZ_CHECK(fcntl(f->fd[1], F_ADD_SEALS, F_SEAL_WRITE) == 0, "still mapped");
	for (int i = 0; i < FDS; i++)
		close(f->fd[i]);
	close(f->pipe_out);
	close(f->sock);
}

/* What the back-end says to @request: nothing, or one message. */
static void hear(struct front *f, uint32_t request, bool need_reply)
{
	struct vu_message m;
	ssize_t n = recv(f->sock, &m, sizeof(m), MSG_DONTWAIT);

	if (n <= 0 || f->shifted)
		return;
	FUZZ_CHECK(n >= VU_HEADER_LEN && m.request == request, "%zd bytes, %u, answer %u", n,
		   m.request, request);
	FUZZ_CHECK(m.flags == (VU_VERSION | VU_REPLY) && m.size <= VU_PAYLOAD_MAX, "%#x", m.flags);
	FUZZ_CHECK((size_t)n == VU_HEADER_LEN + m.size, "more than one message");
	if (need_reply && m.size == 8 && m.u64 == 1)
		fuzz_work.refused++;
	else
		fuzz_work.done++;
}

static bool send_part(const struct front *f, const void *data, size_t len, const int *fds,
		      uint32_t nfds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * 16)];
	} control;
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfds) {
		struct cmsghdr *c = &control.align;

		memset(&control, 0, sizeof(control));
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	return sendmsg(f->sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

/* The back-end's turn. It may end the session, and then hangs up. */
static void serve(struct front *f)
{
	struct vu_message m;

	if (vhost_session_readable(f->s) == 0)
		return;
	f->over = true;
	fuzz_work.refused++;
	vhost_session_free(f->s);
	FUZZ_CHECK(recv(f->sock, &m, sizeof(m), MSG_DONTWAIT | MSG_PEEK) >= 0 ||
			   errno == ECONNRESET,
		   "the front-end is not told");
}

/* Return: bytes of the input that the message took */
static size_t one(struct front *f, const uint8_t *data, size_t len)
{
	struct vu_message m = { .request = data[0], .flags = VU_VERSION };
	uint32_t payload = (uint32_t)MIN((size_t)data[3], len - HEAD), nfds = data[1] & 15U;
	size_t total = VU_HEADER_LEN + payload, first;
	uint8_t wire[VU_HEADER_LEN + UINT8_MAX];
	int fds[16];

	m.flags |= data[1] & 0x10 ? VU_NEED_REPLY : 0;
	m.flags |= data[1] & 0x40 ? VU_VERSION_MASK : 0;
	m.size = payload + (data[1] & 0x20 ? 1 : 0);
	memcpy(wire, &m, VU_HEADER_LEN);
	memcpy(wire + VU_HEADER_LEN, data + HEAD, payload);
	for (uint32_t i = 0; i < nfds; i++)
		fds[i] = f->fd[((data[2] & 7U) + (data[2] & 8 ? 0 : i)) % FDS];
	first = data[1] & 0x80 ? 1 + data[2] % (total - 1) : total;
	if (send_part(f, wire, first, fds, nfds)) {
		if (first < total) {
			serve(f);
			if (f->over || !send_part(f, wire + first, total - first, NULL, 0))
				return HEAD + payload;
		}
		serve(f);
		f->shifted |= m.size != payload;
		if (!f->over)
			hear(f, m.request, m.flags & VU_NEED_REPLY);
	}
	return HEAD + payload;
}

void fuzz_one(const uint8_t *data, size_t len)
{
	struct front f;

	open_front(&f);
	while (len >= HEAD && !f.over) {
		size_t n = one(&f, data, len);

		data += n;
		len -= n;
	}
	close_front(&f);
}
