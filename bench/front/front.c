/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user front-end for one virtio-net device with one queue pair.
 *
 * Theory of operation: everything lives in one memfd region, mapped at the same
 * address that we name as guest physical and as user address, so a buffer's
 * address needs no translation. The handshake follows QEMU's order of messages.
 * With REPLY_ACK each request is confirmed; without it, GET_FEATURES after the
 * last request makes sure that the back-end has got so far.
 *
 * Source: the vhost-user specification in QEMU's interop documentation.
 */
#include "bench/front/front.h"

#include <errno.h>
#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "src/base/base.h"

/* Not those of virtio/vhost_priv.h: a back-end is measured by no header of its own. */
enum request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	SET_VRING_ENABLE = 18,
	RESET_DEVICE = 34,
};

#define F_PROTOCOL_FEATURES (1ULL << 30)
#define PROTO_REPLY_ACK	    (1ULL << 3)
#define PROTO_RESET_DEVICE  (1ULL << 13)
#define PROTO_WANTED	    (PROTO_REPLY_ACK | PROTO_RESET_DEVICE)

#define MSG_VERSION    1U
#define MSG_REPLY      (1U << 2)
#define MSG_NEED_REPLY (1U << 3)

/* How long a back-end may take to answer. */
#define REPLY_TIMEOUT_MS 60000

struct message {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} addr;
		struct {
			uint32_t nregions, padding;
			uint64_t gpa, size, uva, offset;
		} mem;
	};
} __attribute__((packed));

#define MSG_HEADER 12U

static int send_message(int sock, const struct message *m, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)m, MSG_HEADER + m->size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) != (ssize_t)iov.iov_len)
		return errno ? -errno : -EIO;
	return 0;
}

static int recv_all(int sock, void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len > 0) {
		struct pollfd pfd = { .fd = sock, .events = POLLIN };
		ssize_t n;

		if (poll(&pfd, 1, REPLY_TIMEOUT_MS) <= 0)
			return -ETIMEDOUT;
		n = recv(sock, p, len, 0);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int recv_reply(int sock, uint32_t request, struct message *m)
{
	int ret = recv_all(sock, m, MSG_HEADER);

	if (ret < 0)
		return ret;
	if (m->request != request || !(m->flags & MSG_REPLY) || m->size > sizeof(*m) - MSG_HEADER)
		return -EPROTO;
	return recv_all(sock, (uint8_t *)m + MSG_HEADER, m->size);
}

/* Send a request that has no answer of its own; wait for the back-end's ack if it gives one. */
static int request(struct front *f, struct message *m, int fd)
{
	struct message reply;
	bool ack = f->proto & PROTO_REPLY_ACK;
	int ret;

	m->flags = MSG_VERSION | (ack ? MSG_NEED_REPLY : 0);
	ret = send_message(f->sock, m, fd);
	if (ret < 0 || !ack)
		return ret;
	ret = recv_reply(f->sock, m->request, &reply);
	if (ret < 0)
		return ret;
	return reply.u64 == 0 ? 0 : -EREMOTEIO;
}

static int get_u64(struct front *f, uint32_t what, uint64_t *value)
{
	struct message m = { .request = what, .flags = MSG_VERSION };
	int ret = send_message(f->sock, &m, -1);

	if (ret == 0)
		ret = recv_reply(f->sock, what, &m);
	if (ret == 0 && m.size != sizeof(m.u64))
		ret = -EPROTO;
	*value = m.u64;
	return ret;
}

static int set_u64(struct front *f, uint32_t what, uint64_t value, int fd)
{
	struct message m = { .request = what, .size = sizeof(m.u64), .u64 = value };

	return request(f, &m, fd);
}

static int set_state(struct front *f, uint32_t what, uint32_t index, uint32_t num)
{
	struct message m = { .request = what, .size = sizeof(m.state), .state = { index, num } };

	return request(f, &m, -1);
}

static int connect_wait(const char *path, int wait_ms)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	while (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int err = errno;

		if ((err != ENOENT && err != ECONNREFUSED) || wait_ms <= 0) {
			close(fd);
			return -err;
		}
		nanosleep(&(struct timespec){ 0, 10 * 1000000L }, NULL);
		wait_ms -= 10;
	}
	return fd;
}

static int negotiate(struct front *f, uint64_t want)
{
	int ret = get_u64(f, GET_FEATURES, &f->offered);

	if (ret < 0)
		return ret;
	if (!(f->offered & (1ULL << VIRTIO_F_VERSION_1)))
		return -ENOTSUP;
	f->features = f->offered & (want | 1ULL << VIRTIO_F_VERSION_1 | F_PROTOCOL_FEATURES);
	ret = set_u64(f, SET_OWNER, 0, -1);
	if (ret == 0 && (f->features & F_PROTOCOL_FEATURES)) {
		ret = get_u64(f, GET_PROTOCOL_FEATURES, &f->proto_offered);
		if (ret == 0)
			ret = set_u64(f, SET_PROTOCOL_FEATURES, f->proto_offered & PROTO_WANTED,
				      -1);
		if (ret == 0)
			f->proto = f->proto_offered & PROTO_WANTED;
	}
	return ret == 0 ? set_u64(f, SET_FEATURES, f->features, -1) : ret;
}

static int map_memory(struct front *f, const struct front_config *cfg)
{
	size_t rings = 2 * front_ring_bytes(cfg->queue_size);
	size_t rx = (size_t)cfg->queue_size * cfg->rx_buf;
	size_t tx = (size_t)cfg->queue_size * cfg->tx_buf;
	uint16_t *stacks;

	f->mem_len = ALIGN_UP(rings + rx + tx, 2UL << 20);
	f->mem_fd = memfd_create("front", MFD_CLOEXEC);
	if (f->mem_fd < 0 || ftruncate(f->mem_fd, (off_t)f->mem_len) < 0)
		return -errno;
	f->mem = mmap(NULL, f->mem_len, PROT_READ | PROT_WRITE, MAP_SHARED, f->mem_fd, 0);
	if (f->mem == MAP_FAILED) {
		f->mem = NULL;
		return -errno;
	}
	stacks = calloc((size_t)2 * cfg->queue_size, sizeof(*stacks));
	if (!stacks)
		return -ENOMEM;
	front_vq_init(&f->vq[FRONT_RX], cfg->queue_size, f->mem, f->mem + rings, cfg->rx_buf,
		      stacks);
	front_vq_init(&f->vq[FRONT_TX], cfg->queue_size, f->mem + front_ring_bytes(cfg->queue_size),
		      f->mem + rings + rx, cfg->tx_buf, stacks + cfg->queue_size);
	return 0;
}

static int set_mem_table(struct front *f)
{
	struct message m = {
		.request = SET_MEM_TABLE,
		.size = sizeof(m.mem),
		.mem = { .nregions = 1,
			 .gpa = (uint64_t)(uintptr_t)f->mem,
			 .size = f->mem_len,
			 .uva = (uint64_t)(uintptr_t)f->mem },
	};

	return request(f, &m, f->mem_fd);
}

static int start_ring(struct front *f, uint32_t i, uint16_t base)
{
	const struct front_vq *q = &f->vq[i];
	struct message addr = {
		.request = SET_VRING_ADDR,
		.size = sizeof(addr.addr),
		.addr = { .index = i,
			  .desc = (uint64_t)(uintptr_t)q->desc,
			  .used = (uint64_t)(uintptr_t)q->used,
			  .avail = (uint64_t)(uintptr_t)q->avail },
	};
	int ret = set_state(f, SET_VRING_NUM, i, q->size);

	if (ret == 0)
		ret = set_state(f, SET_VRING_BASE, i, base);
	if (ret == 0)
		ret = request(f, &addr, -1);
	if (ret == 0)
		ret = set_u64(f, SET_VRING_CALL, i, q->call_fd);
	if (ret == 0)
		ret = set_u64(f, SET_VRING_KICK, i, q->kick_fd);
	if (ret == 0 && (f->features & F_PROTOCOL_FEATURES))
		ret = set_state(f, SET_VRING_ENABLE, i, 1);
	return ret;
}

/* The back-end has handled everything so far. */
static int barrier(struct front *f)
{
	uint64_t ignored;

	return get_u64(f, GET_FEATURES, &ignored);
}

/**
 * front_restart() - (re)start both rings at the given avail positions
 * @base:	what front_stop() answered; zeros for a new device
 */
int front_restart(struct front *f, const uint16_t base[FRONT_QUEUES])
{
	int ret = 0;

	for (uint32_t i = 0; i < FRONT_QUEUES && ret == 0; i++)
		ret = start_ring(f, i, base[i]);
	return ret == 0 ? barrier(f) : ret;
}

/**
 * front_stop() - stop both rings
 * @base:	out: where each ring goes on
 */
int front_stop(struct front *f, uint16_t base[FRONT_QUEUES])
{
	for (uint32_t i = 0; i < FRONT_QUEUES; i++) {
		struct message m = {
			.request = GET_VRING_BASE,
			.flags = MSG_VERSION,
			.size = sizeof(m.state),
			.state = { i, 0 },
		};
		int ret = send_message(f->sock, &m, -1);

		if (ret == 0)
			ret = recv_reply(f->sock, GET_VRING_BASE, &m);
		if (ret < 0)
			return ret;
		base[i] = (uint16_t)m.state.num;
	}
	return 0;
}

/**
 * front_reset() - as a driver that begins anew: both rings empty, and started again
 *
 * Frames that were in the rings are lost. The receive queue is empty, as after
 * front_open().
 */
int front_reset(struct front *f)
{
	static const uint16_t zero[FRONT_QUEUES];
	struct message m = { .request = RESET_DEVICE };
	uint16_t base[FRONT_QUEUES];
	int ret = front_stop(f, base);

	if (ret == 0 && (f->proto & PROTO_RESET_DEVICE))
		ret = request(f, &m, -1);
	for (uint32_t i = 0; i < FRONT_QUEUES && ret == 0; i++)
		front_vq_reset(&f->vq[i]);
	if (ret == 0)
		ret = set_u64(f, SET_FEATURES, f->features, -1);
	return ret == 0 ? front_restart(f, zero) : ret;
}

/**
 * front_open() - connect to a back-end and start a device
 * @f:		filled in; close with front_close() also after an error
 *
 * The receive queue is empty: the caller adds its buffers.
 *
 * Return: 0; -ENOTSUP when the back-end is a legacy one; -ETIMEDOUT, -EPROTO,
 * -EREMOTEIO (it refused a request) or what connect(2) said
 */
int front_open(struct front *f, const struct front_config *cfg)
{
	static const uint16_t zero[FRONT_QUEUES];
	int ret;

	*f = (struct front){ .sock = -1, .mem_fd = -1 };
	for (int i = 0; i < FRONT_QUEUES; i++)
		f->vq[i].kick_fd = f->vq[i].call_fd = -1;
	ret = map_memory(f, cfg);
	if (ret < 0)
		return ret;
	for (int i = 0; i < FRONT_QUEUES; i++) {
		f->vq[i].kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		f->vq[i].call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (f->vq[i].kick_fd < 0 || f->vq[i].call_fd < 0)
			return -errno;
	}
	f->sock = connect_wait(cfg->socket, cfg->wait_ms);
	if (f->sock < 0)
		return f->sock;
	ret = negotiate(f, cfg->features);
	if (ret < 0)
		return ret;
	for (int i = 0; i < FRONT_QUEUES; i++)
		f->vq[i].event_idx = f->features & (1ULL << VIRTIO_RING_F_EVENT_IDX);
	ret = set_mem_table(f);
	return ret == 0 ? front_restart(f, zero) : ret;
}

/**
 * front_close() - hang up and release everything
 */
void front_close(struct front *f)
{
	if (f->sock >= 0)
		close(f->sock);
	for (int i = 0; i < FRONT_QUEUES; i++) {
		if (f->vq[i].kick_fd >= 0)
			close(f->vq[i].kick_fd);
		if (f->vq[i].call_fd >= 0)
			close(f->vq[i].call_fd);
	}
	free(f->vq[FRONT_RX].free);
	if (f->mem)
		munmap(f->mem, f->mem_len);
	if (f->mem_fd >= 0)
		close(f->mem_fd);
	*f = (struct front){ .sock = -1, .mem_fd = -1 };
}
