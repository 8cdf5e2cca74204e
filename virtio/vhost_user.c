/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user session: the control plane of a virtio-net device that belongs
 * to another VMM.
 *
 * Theory of operation: messages describe memory and two rings piece by piece
 * and in no fixed order (QEMU enables rings before it gives their memory). So no message starts
 * anything by itself. Each one that touches what a running device uses first takes the device off
 * the worker, then changes the description; afterwards settle() starts the device if the
 * description is complete. The rings' positions survive in @base, so a device that was taken off
 * for a moment goes on where it was.
 *
 * A ring is described by SET_VRING_NUM, _ADDR, _BASE and _KICK, and enabled by
 * SET_VRING_ENABLE (or from the start without protocol features). It is stopped
 * by GET_VRING_BASE. Both rings must be ready: a network card that only sends
 * or only receives is of no use to anybody.
 *
 * Source: QEMU, docs/interop/vhost-user.rst.
 */
#include "virtio/vhost_user.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/log.h"
#include "virtio/vhost_priv.h"

#define PART "vhost-user"

enum { RINGS = 2 }; /* VNET_RX and VNET_TX; the control queue stays with the front-end */

/* No MQ: one pair needs none, and front-ends differ on what GET_QUEUE_NUM counts. */
#define OFFERED_PROTO                                                                      \
	(VU_PROTO_REPLY_ACK | VU_PROTO_NET_MTU | VU_PROTO_CONFIG | VU_PROTO_RESET_DEVICE | \
	 VU_PROTO_CONFIGURE_MEM_SLOTS)

/* Messages that are acted upon in one go; signals and others get their turn. */
#define MESSAGES_MAX 64

struct vhost_session {
	int conn;
	struct net_worker *worker;
	struct vnet_config net;
	uint64_t features;
	bool features_set;
	uint64_t proto;
	struct vu_memory mem;
	struct vu_ring ring[RINGS];
	bool attached;
	struct vu_input in;
};

/**
 * vhost_user_features() - what we offer a front-end; any thread
 *
 * Without what the front-end answers for itself: control queue, MAC, status.
 */
uint64_t vhost_user_features(const struct vnet_config *net)
{
	const uint64_t ours = 1ULL << VIRTIO_NET_F_CTRL_VQ | 1ULL << VIRTIO_NET_F_CTRL_RX |
			      1ULL << VIRTIO_NET_F_CTRL_MAC_ADDR |
			      1ULL << VIRTIO_NET_F_CTRL_GUEST_OFFLOADS | 1ULL << VIRTIO_NET_F_MAC |
			      1ULL << VIRTIO_NET_F_STATUS;

	return (vnet_features(net) & ~ours) | VU_F_PROTOCOL_FEATURES;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Runs on the worker. */
static void on_broken(void *ctx)
{
	struct vhost_session *s = ctx;
	uint64_t one = 1;

	for (int i = 0; i < RINGS; i++) {
		if (s->ring[i].err_fd >= 0 && write(s->ring[i].err_fd, &one, sizeof(one)) < 0)
			log_debug(PART, "error descriptor: %s", strerror(errno));
	}
}

static bool ring_ready(const struct vu_ring *r)
{
	return r->size > 0 && r->addressed && r->enabled && r->kick_fd >= 0;
}

/* Take the device off the worker; the rings keep their positions. */
static void halt(struct vhost_session *s)
{
	uint16_t next[VNET_QUEUES] = { 0 };

	if (!s->attached)
		return;
	net_worker_detach(s->worker, next);
	for (int i = 0; i < RINGS; i++)
		s->ring[i].base = next[i];
	s->attached = false;
}

static int ring_config(struct vhost_session *s, const struct vu_ring *r, struct vq_config *cfg)
{
	const struct gmem *g = &s->mem.gmem;
	int ret;

	*cfg = (struct vq_config){ .size = r->size, .ready = true };
	ret = gmem_uva_to_gpa(g, r->uva_desc, (uint64_t)r->size * sizeof(struct vring_desc),
			      &cfg->desc);
	if (ret == 0)
		ret = gmem_uva_to_gpa(g, r->uva_avail, 6 + (uint64_t)r->size * 2, &cfg->avail);
	if (ret == 0)
		ret = gmem_uva_to_gpa(g, r->uva_used,
				      6 + (uint64_t)r->size * sizeof(struct vring_used_elem),
				      &cfg->used);
	return ret == 0 ? vq_config_check(cfg, g) : ret;
}

/* Put the device on the worker if all of it has been described. */
static int settle(struct vhost_session *s)
{
	struct vnet_start start = {
		.features = s->features,
		.mem = &s->mem.gmem,
		.broken = on_broken,
		.broken_ctx = s,
	};
	int kick[VNET_QUEUES] = { -1, -1, -1 };
	int ret;

	if (s->attached || !s->features_set || s->mem.gmem.nregions == 0)
		return 0;
	start.call_fd[VNET_CTRL] = -1;
	for (int i = 0; i < RINGS; i++) {
		struct vu_ring *r = &s->ring[i];

		if (!ring_ready(r))
			return 0;
		ret = ring_config(s, r, &start.queue[i]);
		if (ret < 0) {
			log_limited(LOG_WARN, PART, "ring %d is not in the memory we were given",
				    i);
			return ret;
		}
		start.next_avail[i] = r->base;
		start.call_fd[i] = r->call_fd;
		start.counters[i] = &r->n;
		kick[i] = r->kick_fd;
	}
	ret = net_worker_attach(s->worker, &start, kick);
	s->attached = ret == 0;
	if (ret < 0)
		log_limited(LOG_WARN, PART, "the device does not start: %s", strerror(-ret));
	return ret;
}

static void ring_reset(struct vu_ring *r)
{
	close_fd(&r->kick_fd);
	close_fd(&r->call_fd);
	close_fd(&r->err_fd);
	r->size = r->base = 0;
	r->addressed = r->enabled = false;
}

static void device_reset(struct vhost_session *s)
{
	halt(s);
	for (int i = 0; i < RINGS; i++)
		ring_reset(&s->ring[i]);
}

static struct vu_ring *ring_at(struct vhost_session *s, uint32_t index)
{
	return index < RINGS ? &s->ring[index] : NULL;
}

/*
 * Handlers. Each gets a message whose payload has the length of its table
 * entry, and answers 0, 1 when it has put a reply into the message, or -errno:
 * the request was refused and nothing has changed.
 */
static int get_features(struct vhost_session *s, struct vu_message *m)
{
	m->u64 = vhost_user_features(&s->net);
	return 1;
}

static int set_features(struct vhost_session *s, struct vu_message *m)
{
	if (m->u64 & ~vhost_user_features(&s->net))
		return -EINVAL;
	if (!(m->u64 & (1ULL << VIRTIO_F_VERSION_1))) {
		log_limited(LOG_WARN, PART,
			    "the guest has a legacy driver: VIRTIO_F_VERSION_1 is needed");
		halt(s);
		s->features_set = false;
		return -ENOTSUP;
	}
	halt(s);
	s->features = m->u64;
	s->features_set = true;
	if (!(m->u64 & VU_F_PROTOCOL_FEATURES)) {
		for (int i = 0; i < RINGS; i++)
			s->ring[i].enabled = true;
	}
	return 0;
}

static int nothing(struct vhost_session *s, struct vu_message *m)
{
	(void)s;
	(void)m;
	return 0;
}

static int reset_device(struct vhost_session *s, struct vu_message *m)
{
	(void)m;
	device_reset(s);
	return 0;
}

static int set_mem_table(struct vhost_session *s, struct vu_message *m)
{
	struct vu_region regions[VU_FDS_MAX];
	uint32_t n = m->mem.nregions;

	if (n > VU_FDS_MAX || m->size < 8 + n * sizeof(regions[0]) || s->in.nfds != n)
		return -EINVAL;
	memcpy(regions, m->mem.region, n * sizeof(regions[0]));
	halt(s);
	return vu_memory_set(&s->mem, regions, n, &s->in);
}

static int get_max_mem_slots(struct vhost_session *s, struct vu_message *m)
{
	(void)s;
	m->u64 = GMEM_REGIONS_MAX;
	return 1;
}

static int add_mem_reg(struct vhost_session *s, struct vu_message *m)
{
	struct vu_region region;

	memcpy(&region, &m->one.region, sizeof(region));
	halt(s);
	return vu_memory_add(&s->mem, &region, vu_take_fd(&s->in));
}

static int rem_mem_reg(struct vhost_session *s, struct vu_message *m)
{
	struct vu_region region;

	memcpy(&region, &m->one.region, sizeof(region));
	halt(s);
	return vu_memory_remove(&s->mem, &region);
}

static int set_vring_num(struct vhost_session *s, struct vu_message *m)
{
	struct vu_ring *r = ring_at(s, m->state.index);

	if (!r || !is_power_of_two(m->state.num) || m->state.num > VQ_SIZE_MAX)
		return -EINVAL;
	halt(s);
	r->size = (uint16_t)m->state.num;
	return 0;
}

static int set_vring_addr(struct vhost_session *s, struct vu_message *m)
{
	struct vu_ring *r = ring_at(s, m->addr.index);

	if (!r)
		return -EINVAL;
	halt(s);
	r->uva_desc = m->addr.desc;
	r->uva_avail = m->addr.avail;
	r->uva_used = m->addr.used;
	r->addressed = true;
	return 0;
}

static int set_vring_base(struct vhost_session *s, struct vu_message *m)
{
	struct vu_ring *r = ring_at(s, m->state.index);

	if (!r || m->state.num > UINT16_MAX)
		return -EINVAL;
	halt(s);
	r->base = (uint16_t)m->state.num;
	return 0;
}

static int get_vring_base(struct vhost_session *s, struct vu_message *m)
{
	struct vu_ring *r = ring_at(s, m->state.index);

	if (!r)
		return -EINVAL;
	halt(s);
	close_fd(&r->kick_fd); /* the ring is stopped until it gets a new one */
	m->state.num = r->base;
	return 1;
}

static int set_vring_enable(struct vhost_session *s, struct vu_message *m)
{
	struct vu_ring *r = ring_at(s, m->state.index);

	if (!r || m->state.num > 1)
		return -EINVAL;
	if (!m->state.num)
		halt(s);
	r->enabled = m->state.num;
	return 0;
}

/*
 * Only an eventfd will do: a write to a pipe, a socket or a file may block, and
 * the worker must not. Eventfds have no file type (nor have their anonymous
 * relatives, which refuse a write at once). One whose counter is full would
 * block as well, so it is made not to; the front-end's end of it is the same
 * open file, and VMMs make theirs nonblocking anyway.
 */
static int check_eventfd(int fd)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_mode & S_IFMT)
		return -EINVAL;
	if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

/* The ring and the eventfd (-1 = none) that a message names; the latter is the caller's then. */
static int named_ring(struct vhost_session *s, const struct vu_message *m, struct vu_ring **r,
		      int *fd)
{
	int ret;

	*fd = -1;
	*r = ring_at(s, (uint32_t)(m->u64 & VU_INDEX_MASK));
	if (!*r)
		return -EINVAL;
	if (m->u64 & VU_NOFD)
		return 0;
	*fd = vu_take_fd(&s->in);
	ret = *fd < 0 ? -EBADF : check_eventfd(*fd);
	if (ret < 0)
		close_fd(fd);
	return ret;
}

static void replace_fd(int *slot, int fd)
{
	close_fd(slot);
	*slot = fd;
}

static int set_vring_kick(struct vhost_session *s, struct vu_message *m)
{
	struct vu_ring *r;
	int fd, ret;

	if (m->u64 & VU_NOFD)
		return -ENOTSUP; /* a ring without kicks would have to be polled */
	ret = named_ring(s, m, &r, &fd);
	if (ret < 0)
		return ret;
	halt(s);
	replace_fd(&r->kick_fd, fd);
	return 0;
}

/*
 * VMMs send this whenever the guest masks an interrupt. The device goes on: to
 * take it off would give held frames back unsent, and cost a flow its RTO.
 */
static int set_vring_call(struct vhost_session *s, struct vu_message *m)
{
	struct vu_ring *r;
	int fd, ret = named_ring(s, m, &r, &fd);

	if (ret < 0)
		return ret;
	if (s->attached)
		net_worker_set_call(s->worker, (enum vnet_queue)(r - s->ring), fd);
	replace_fd(&r->call_fd, fd);
	return 0;
}

static int set_vring_err(struct vhost_session *s, struct vu_message *m)
{
	struct vu_ring *r;
	int fd, ret = named_ring(s, m, &r, &fd);

	if (ret < 0)
		return ret;
	halt(s);
	replace_fd(&r->err_fd, fd);
	return 0;
}

static int get_protocol_features(struct vhost_session *s, struct vu_message *m)
{
	(void)s;
	m->u64 = OFFERED_PROTO;
	return 1;
}

static int set_protocol_features(struct vhost_session *s, struct vu_message *m)
{
	if (m->u64 & ~OFFERED_PROTO)
		return -EINVAL;
	s->proto = m->u64;
	return 0;
}

static int get_queue_num(struct vhost_session *s, struct vu_message *m)
{
	(void)s;
	m->u64 = 1;
	return 1;
}

static int net_set_mtu(struct vhost_session *s, struct vu_message *m)
{
	if (m->u64 < STACK_MTU_MIN || m->u64 > STACK_MTU_MAX)
		return -EINVAL;
	if (m->u64 < s->net.mtu) {
		log_warn(PART, "the guest's MTU is %llu, ours %u: start us with --mtu %llu",
			 (unsigned long long)m->u64, s->net.mtu, (unsigned long long)m->u64);
		return -EINVAL;
	}
	return 0;
}

static int get_config(struct vhost_session *s, struct vu_message *m)
{
	struct virtio_net_config config;
	uint8_t image[VU_CONFIG_MAX] = { 0 };
	uint32_t size = m->config.size;

	if (m->size < 12 || size > VU_CONFIG_MAX || m->size != 12 + size ||
	    !range_ok(m->config.offset, size, VU_CONFIG_MAX))
		return -EINVAL;
	vnet_config_space(&s->net, &config);
	memcpy(image, &config, sizeof(config));
	memcpy(m->config.data, image + m->config.offset, size);
	return 1;
}

/*
 * By request. @size: the payload's length, 0 = the handler checks; @fds: most
 * descriptors that may come along; @answers: the request has a reply of its
 * own, so a refusal cannot be told and ends the session.
 */
static const struct handler {
	int (*fn)(struct vhost_session *s, struct vu_message *m);
	uint8_t size, fds;
	bool any_size, answers;
} handlers[VU_REQUEST_MAX] = {
	[VU_GET_FEATURES] = { get_features, .answers = true },
	[VU_SET_FEATURES] = { set_features, .size = 8 },
	[VU_SET_OWNER] = { nothing, .any_size = true },
	[VU_RESET_OWNER] = { reset_device, .any_size = true },
	[VU_SET_MEM_TABLE] = { set_mem_table, .any_size = true, .fds = VU_FDS_MAX },
	[VU_SET_VRING_NUM] = { set_vring_num, .size = 8 },
	[VU_SET_VRING_ADDR] = { set_vring_addr, .size = 40 },
	[VU_SET_VRING_BASE] = { set_vring_base, .size = 8 },
	[VU_GET_VRING_BASE] = { get_vring_base, .size = 8, .answers = true },
	[VU_SET_VRING_KICK] = { set_vring_kick, .size = 8, .fds = 1 },
	[VU_SET_VRING_CALL] = { set_vring_call, .size = 8, .fds = 1 },
	[VU_SET_VRING_ERR] = { set_vring_err, .size = 8, .fds = 1 },
	[VU_GET_PROTOCOL_FEATURES] = { get_protocol_features, .answers = true },
	[VU_SET_PROTOCOL_FEATURES] = { set_protocol_features, .size = 8 },
	[VU_GET_QUEUE_NUM] = { get_queue_num, .answers = true },
	[VU_SET_VRING_ENABLE] = { set_vring_enable, .size = 8 },
	[VU_SEND_RARP] = { nothing, .any_size = true },
	[VU_NET_SET_MTU] = { net_set_mtu, .size = 8 },
	[VU_GET_CONFIG] = { get_config, .any_size = true, .answers = true },
	[VU_RESET_DEVICE] = { reset_device, .any_size = true },
	[VU_GET_MAX_MEM_SLOTS] = { get_max_mem_slots, .answers = true },
	[VU_ADD_MEM_REG] = { add_mem_reg, .size = 40, .fds = 1 },
	[VU_REM_MEM_REG] = { rem_mem_reg, .size = 40, .fds = 1 },
};

/* Payload of each reply that a handler makes, by what it put there. */
static uint32_t reply_size(const struct vu_message *m)
{
	return m->request == VU_GET_CONFIG ? m->size : (uint32_t)sizeof(m->u64);
}

static int dispatch(struct vhost_session *s)
{
	struct vu_message *m = &s->in.msg;
	bool need_reply = (m->flags & VU_NEED_REPLY) && (s->proto & VU_PROTO_REPLY_ACK);
	const struct handler *h = m->request < VU_REQUEST_MAX ? &handlers[m->request] : NULL;
	int ret, settled;

	if (!h || !h->fn) {
		log_limited(LOG_WARN, PART, "request %u is not known", m->request);
		ret = -ENOSYS;
	} else if ((!h->any_size && m->size != h->size) || s->in.nfds > h->fds) {
		log_limited(LOG_WARN, PART, "request %u: length %u with %u descriptors", m->request,
			    m->size, s->in.nfds);
		return -EPROTO;
	} else {
		ret = h->fn(s, m);
	}
	if (ret == 1) {
		m->size = reply_size(m);
		return vu_send(s->conn, m);
	}
	if (h && h->answers)
		return -EPROTO;
	/* A refused request, too, may have taken the device off. */
	settled = settle(s);
	if (ret == 0)
		ret = settled;
	if (ret < 0)
		log_limited(LOG_WARN, PART, "request %u refused: %s", m->request, strerror(-ret));
	if (!need_reply)
		return 0;
	m->size = sizeof(m->u64);
	m->u64 = ret < 0;
	return vu_send(s->conn, m);
}

/**
 * vhost_session_new() - serve a front-end that has connected
 * @conn:	its socket; the session's from now on, closed also on error
 * @worker:	that will run the device; one session at a time has it
 *
 * Return: 0 or -ENOMEM
 */
int vhost_session_new(struct vhost_session **out, int conn, struct net_worker *worker,
		      const struct vnet_config *net)
{
	struct vhost_session *s = calloc(1, sizeof(*s));

	if (!s) {
		close(conn);
		return -ENOMEM;
	}
	s->conn = conn;
	s->worker = worker;
	s->net = *net;
	s->mem.hangup_fd = conn;
	for (int i = 0; i < RINGS; i++)
		s->ring[i].kick_fd = s->ring[i].call_fd = s->ring[i].err_fd = -1;
	*out = s;
	return 0;
}

/**
 * vhost_session_readable() - act on what the front-end has sent
 *
 * Return: 0, or -errno when the session is over: -ECONNRESET is a hang-up,
 * -EFAULT means that the front-end cut its memory short, anything else a fault
 * of its messages. The caller then frees it.
 */
int vhost_session_readable(struct vhost_session *s)
{
	int ret;

	if (s->mem.cut_short)
		return -EFAULT;
	for (int i = 0; i < MESSAGES_MAX; i++) {
		ret = vu_receive(s->conn, &s->in);
		if (ret <= 0)
			return s->mem.cut_short ? -EFAULT : ret;
		ret = dispatch(s);
		vu_input_reset(&s->in);
		if (ret < 0)
			return ret;
	}
	return 0; /* there may be more: the descriptor still says so */
}

/**
 * vhost_session_counters() - live counters of queue @q, NULL when there is none
 */
const struct vq_counters *vhost_session_counters(const struct vhost_session *s, unsigned int q)
{
	return q < RINGS ? &s->ring[q].n : NULL;
}

/**
 * vhost_session_running() - is the device on the worker?
 */
bool vhost_session_running(const struct vhost_session *s)
{
	return s->attached;
}

/**
 * vhost_session_free() - stop the device and release all that the front-end gave
 */
void vhost_session_free(struct vhost_session *s)
{
	if (!s)
		return;
	device_reset(s);
	vu_memory_clear(&s->mem);
	vu_input_reset(&s->in);
	close(s->conn);
	free(s);
}
