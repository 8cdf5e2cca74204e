/* SPDX-License-Identifier: MIT */
/* The wire format of vhost-user and the inside of a session. */
#ifndef SLUICE_VIRTIO_VHOST_PRIV_H
#define SLUICE_VIRTIO_VHOST_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "virtio/mem.h"
#include "virtio/vhost_user.h"

/* Requests of a front-end; gaps are ones that we do not offer. */
enum vhost_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_SEND_RARP = 19,
	VU_NET_SET_MTU = 20,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_RESET_DEVICE = 34,
	VU_GET_MAX_MEM_SLOTS = 36,
	VU_ADD_MEM_REG = 37,
	VU_REM_MEM_REG = 38,
	VU_REQUEST_MAX = 39,
};

#define VU_F_PROTOCOL_FEATURES (1ULL << 30)

#define VU_PROTO_MQ		     (1ULL << 0)
#define VU_PROTO_REPLY_ACK	     (1ULL << 3)
#define VU_PROTO_NET_MTU	     (1ULL << 4)
#define VU_PROTO_CONFIG		     (1ULL << 9)
#define VU_PROTO_RESET_DEVICE	     (1ULL << 13)
#define VU_PROTO_CONFIGURE_MEM_SLOTS (1ULL << 15)

#define VU_VERSION	1U
#define VU_VERSION_MASK 3U
#define VU_REPLY	(1U << 2)
#define VU_NEED_REPLY	(1U << 3)

/* In SET_VRING_KICK/CALL/ERR: no descriptor comes along. */
#define VU_NOFD	      (1U << 8)
#define VU_INDEX_MASK 0xffU

/* Most descriptors with one message: one for each region of SET_MEM_TABLE. */
#define VU_FDS_MAX 8

/* GET_CONFIG and SET_CONFIG carry at most this much configuration, by the specification. */
#define VU_CONFIG_MAX 256

/* A region of memory as it stands on the wire. */
struct vu_region {
	uint64_t gpa, size, uva, offset;
};

/**
 * struct vu_message - one message; the layout is the wire's
 */
struct vu_message {
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
			struct vu_region region[VU_FDS_MAX];
		} mem;
		struct {
			uint64_t padding;
			struct vu_region region;
		} one;
		struct {
			uint32_t offset, size, flags;
			uint8_t data[VU_CONFIG_MAX];
		} config;
	};
} __attribute__((packed));

#define VU_HEADER_LEN  12U
#define VU_PAYLOAD_MAX (sizeof(struct vu_message) - VU_HEADER_LEN)

static_assert(offsetof(struct vu_message, u64) == VU_HEADER_LEN, "wire header");
static_assert(sizeof(((struct vu_message *)0)->mem) == 8 + VU_FDS_MAX * 32, "wire memory table");
static_assert(sizeof(((struct vu_message *)0)->addr) == 40, "wire vring address");

/**
 * struct vu_input - a message that is arriving
 * @msg:	what has come, @have bytes from its header on
 * @fds:	descriptors that came with it; ours until a handler takes them (-1)
 */
struct vu_input {
	struct vu_message msg;
	uint32_t have;
	uint32_t nfds;
	int fds[VU_FDS_MAX];
};

/**
 * struct vu_memory - the mappings behind a session's guest memory
 * @gmem:	the table that queues use
 * @map, @map_len:	by region of @gmem
 * @hangup_fd:		socket that is shut down when @cut_short is set
 * @cut_short:		the front-end took pages away from under us
 */
struct vu_memory {
	struct gmem gmem;
	void *map[GMEM_REGIONS_MAX];
	size_t map_len[GMEM_REGIONS_MAX];
	int hangup_fd;
	_Atomic bool cut_short;
};

/**
 * struct vu_ring - one queue as the front-end has described it so far
 * @uva_*:	ring addresses in the front-end's address space
 * @base:	next entry of the avail ring
 */
struct vu_ring {
	uint64_t uva_desc, uva_avail, uva_used;
	uint16_t size, base;
	bool addressed, enabled;
	int kick_fd, call_fd, err_fd;
	struct vq_counters n;
};

/* vhost_msg.c */
int vu_receive(int conn, struct vu_input *in);
int vu_take_fd(struct vu_input *in);
void vu_input_reset(struct vu_input *in);
int vu_send(int conn, struct vu_message *msg);

/* vhost_mem.c */
int vu_memory_set(struct vu_memory *m, const struct vu_region *regions, uint32_t n,
		  struct vu_input *in);
int vu_memory_add(struct vu_memory *m, const struct vu_region *region, int fd);
int vu_memory_remove(struct vu_memory *m, const struct vu_region *region);
void vu_memory_clear(struct vu_memory *m);

#endif
