/* SPDX-License-Identifier: MIT */
/*
 * The inside of a virtio-net device, for net.c and its siblings only.
 *
 * Guest to host, net_tx.c:	 transmitq -> header checked -> stack_input()
 * Host to guest, net_rx.c:	 the stack's rx_alloc/rx_commit -> receiveq
 * Commands, net_ctrl.c:	 controlq -> answered in place
 */
#ifndef SLUICE_VIRTIO_NET_PRIV_H
#define SLUICE_VIRTIO_NET_PRIV_H

#include "virtio/net.h"

/*
 * Bytes before each frame. VIRTIO_F_VERSION_1 fixes it (5.1.6.1), and we serve
 * no driver without, so nothing that is negotiated changes it (H10).
 */
#define VNET_HDR_LEN 12

static_assert(sizeof(struct virtio_net_hdr_v1) == VNET_HDR_LEN, "virtio 1.2, 5.1.6");

/*
 * Receive chains that we may hold, and descriptors that each may have. With
 * mergeable buffers many chains make a frame and each is short; without, one
 * chain is a frame of up to 64 KiB (Linux: 19 descriptors, 47 at the most).
 * Both ways of cutting the same storage.
 */
#define RX_CHAINS_MAX VQ_SIZE_MAX
#define RX_MRG_DESCS  16
#define RX_BIG_DESCS  256
#define RX_CHAIN_IOVS (RX_CHAINS_MAX * RX_MRG_DESCS)

static_assert((RX_CHAINS_MAX & (RX_CHAINS_MAX - 1)) == 0, "indices of a deque wrap");
static_assert(RX_CHAIN_IOVS / RX_BIG_DESCS >= PORT_RX_BATCH, "a chain for each frame");

/* Entries of one frame: what recvmsg() takes (UIO_MAXIOV) less some for its caller. */
#define RX_FRAME_IOVS 1008

/**
 * struct rx_chain - a receive chain that we hold
 * @head:	for vq_use()
 * @pos:	its place in the avail ring, free-running
 * @slot:	of its descriptors in vnet_rx.iovs
 * @iovcnt:	of them
 * @len:	bytes
 */
struct rx_chain {
	uint16_t head;
	uint16_t pos;
	uint16_t slot;
	uint16_t iovcnt;
	uint32_t len;
};

/* Chains in a row that grows and shrinks at both ends. */
struct rx_deque {
	uint16_t first; /* free-running */
	uint16_t count;
	struct rx_chain c[RX_CHAINS_MAX];
};

/**
 * struct rx_pending - a frame that the stack has allocated and not committed
 * @chains:	how many of vnet_rx.taken are its own
 * @room:	as promised
 * @hdr:	where its virtio header goes: the first bytes of its first chain
 */
struct rx_pending {
	uint16_t chains;
	uint32_t room;
	uint16_t hdr_iovcnt;
	struct iovec hdr[VNET_HDR_LEN];
};

/**
 * struct vnet_rx - see net_rx.c
 * @stock:	popped, in no frame
 * @taken:	of the allocated frames, in their order
 * @free_slots:	stack of @nfree unused slots
 * @descs:	entries of a slot
 * @frames:	ring of @nframes, the oldest at @first_frame
 * @starved:	the stack was told -ENOBUFS, a kick will tell it more
 */
struct vnet_rx {
	bool mergeable;
	bool starved;
	uint16_t descs;
	uint16_t nfree;
	uint32_t first_frame, nframes;
	uint16_t free_slots[RX_CHAINS_MAX];
	struct rx_deque stock, taken;
	struct rx_pending frames[PORT_RX_BATCH];
	struct iovec iovs[RX_CHAIN_IOVS];
	struct iovec frame_iovs[PORT_RX_BATCH][RX_FRAME_IOVS];
};

/**
 * struct vnet_tx - see net_tx.c
 * @held:	by head: the stack has the chain
 * @nheld:	how many are
 * @head:	private copy of the current frame's first bytes
 * @iov:	of the current chain; a legal one always fits
 */
struct vnet_tx {
	bool held[VQ_SIZE_MAX];
	uint16_t nheld;
	uint8_t head[PORT_HEAD_MAX];
	struct iovec iov[VQ_SIZE_MAX];
};

/**
 * struct vnet - a device; allocated whole by vnet_new()
 * @features:	in effect: negotiated, less what contradicts itself
 * @epoch:	counts starts; in the tokens, so that one from another life shows
 * @broken:	a ring was, the driver has been told, nothing is served
 */
struct vnet {
	struct vnet_config cfg;
	struct stack *st;
	uint64_t features;
	uint16_t epoch;
	bool running;
	bool broken;
	void (*on_broken)(void *ctx);
	void *on_broken_ctx;
	struct virtq vq[VNET_QUEUES];
	struct vnet_tx tx;
	struct vnet_rx rx;
};

static inline bool vnet_has(const struct vnet *v, unsigned int feature)
{
	return v->features >> feature & 1;
}

/* net.c */
void vnet_check_rings(struct vnet *v);
void vnet_gather(const struct iovec *iov, uint32_t cnt, uint64_t off, void *buf, uint32_t len);

/* net_tx.c */
void vnet_tx_done(void *ctx, uint32_t token);
void vnet_tx_release(struct vnet *v);

/* net_rx.c */
void vnet_rx_start(struct vnet *v);
void vnet_rx_release(struct vnet *v);
int vnet_rx_alloc(void *ctx, uint32_t want, struct rx_frame *frame);
void vnet_rx_commit(void *ctx, struct rx_frame *frame, uint32_t len, const struct offload *off);
void vnet_rx_rewind(void *ctx);

#endif
