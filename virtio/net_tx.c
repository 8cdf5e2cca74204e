/* SPDX-License-Identifier: MIT */
/*
 * virtio-net, guest to host.
 *
 * Theory of operation: a chain is a 12-byte header and a frame. Both the header
 * and the frame's first bytes are copied once, and only the copies decide
 * anything (H8). A header that contradicts the frame or the negotiation is the
 * driver's fault: counted, and the chain retired. Frames that the stack takes
 * at once are retired at once; those it holds carry a token of head and epoch,
 * and are retired when it comes back. Everything is published at the cycle's end.
 */
#include <string.h>

#include "virtio/net_priv.h"

/* A driver may offer less than a header's worth; a frame has an Ethernet header. */
#define FRAME_MIN 14

static uint32_t token_of(const struct vnet *v, uint16_t head)
{
	return (uint32_t)v->epoch << 16 | head;
}

/*
 * Judge the private copy of a header (5.1.6.2). hdr_len is a hint that we do
 * not need, unknown flags are ignored (5.1.6.2.2), and so is the ECN bit: the
 * host's TCP makes its own segments. Return: false when it makes no sense
 */
static bool check_header(const struct vnet *v, const struct virtio_net_hdr_v1 *h, uint32_t len,
			 struct offload *off)
{
	*off = (struct offload){ .gso = GSO_NONE };
	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		/* Two 16-bit numbers and 2: no wrap in 32 bits. */
		uint32_t end = (uint32_t)h->csum_start + h->csum_offset + 2;

		if (!vnet_has(v, VIRTIO_NET_F_CSUM) || h->csum_start < FRAME_MIN || end > len)
			return false;
		off->needs_csum = true;
		off->csum_start = h->csum_start;
		off->csum_offset = h->csum_offset;
	}
	switch (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		if (!vnet_has(v, VIRTIO_NET_F_HOST_TSO4))
			return false;
		off->gso = GSO_TCP4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		if (!vnet_has(v, VIRTIO_NET_F_HOST_TSO6))
			return false;
		off->gso = GSO_TCP6;
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		if (!vnet_has(v, VIRTIO_NET_F_HOST_USO))
			return false;
		off->gso = GSO_UDP_L4;
		break;
	default:
		return false;
	}
	off->gso_size = h->gso_size;
	return off->needs_csum && off->gso_size;
}

/* Cut the header's bytes off the front of the chain. Return: entries left, at @iov */
static uint32_t skip_header(struct iovec **iov, uint32_t cnt)
{
	size_t left = VNET_HDR_LEN;

	while (left >= (*iov)->iov_len) {
		left -= (*iov)->iov_len;
		(*iov)++;
		cnt--;
	}
	(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + left;
	(*iov)->iov_len -= left;
	return cnt;
}

/* Hand one chain to the stack. Return: VQ_FAULT_COUNT, or the driver's fault */
static enum vq_fault tx_chain(struct vnet *v, const struct vq_chain *c)
{
	struct vnet_tx *tx = &v->tx;
	struct virtio_net_hdr_v1 hdr;
	struct iovec *iov = c->iov;
	struct tx_frame f;

	if (c->out_len < VNET_HDR_LEN + FRAME_MIN)
		return VQ_FAULT_CHAIN_SHORT;
	if (c->out_len > VNET_HDR_LEN + PORT_FRAME_MAX)
		return VQ_FAULT_CHAIN_LONG;
	if (tx->held[c->head])
		return VQ_FAULT_CHAIN_BUSY;

	f = (struct tx_frame){
		.head = tx->head,
		.len = (uint32_t)c->out_len - VNET_HDR_LEN,
		.descs = c->descs,
		.token = token_of(v, c->head),
	};
	vnet_gather(iov, c->out_cnt, 0, &hdr, VNET_HDR_LEN);
	if (!check_header(v, &hdr, f.len, &f.off))
		return VQ_FAULT_CHAIN_CONTENT;
	f.iovcnt = skip_header(&iov, c->out_cnt);
	f.iov = iov;
	f.head_len = MIN(f.len, (uint32_t)PORT_HEAD_MAX);
	vnet_gather(iov, f.iovcnt, 0, tx->head, f.head_len);

	/* Marked first: the stack may be done with it before it says that it holds it. */
	tx->held[c->head] = true;
	tx->nheld++;
	if (stack_input(v->st, &f) == TX_DONE)
		vnet_tx_done(v, f.token);
	return VQ_FAULT_COUNT;
}

/**
 * vnet_tx_drain() - feed what the guest has sent to the stack, up to a budget
 *
 * The budget counts all that leaves the avail ring, good or bad (H13). Kicks
 * are off from here until vnet_notify_on().
 * Return: true when more is waiting
 */
bool vnet_tx_drain(struct vnet *v)
{
	struct virtq *q = &v->vq[VNET_TX];
	uint16_t begin = q->last_avail;

	if (!v->running || v->broken)
		return false;
	vq_notify_off(q);
	while ((uint16_t)(q->last_avail - begin) < VNET_TX_BUDGET) {
		struct vq_chain c;
		enum vq_fault fault;

		/* Paced: the rest stays in the ring. */
		if (!stack_tx_may(v->st))
			break;
		if (vq_pop(q, VQ_READABLE, &c, v->tx.iov, ARRAY_SIZE(v->tx.iov)) != 1)
			break;
		fault = tx_chain(v, &c);
		if (unlikely(fault != VQ_FAULT_COUNT)) {
			vq_fault(q, fault);
			vq_use(q, c.head, 0);
		}
	}
	vnet_check_rings(v);
	return !v->broken && vq_pending(q) != 0 && stack_tx_may(v->st);
}

/* port_ops.tx_done: the stack is through with a held frame. */
void vnet_tx_done(void *ctx, uint32_t token)
{
	struct vnet *v = ctx;
	uint16_t head = (uint16_t)token;

	BUG_ON(!v->running || token >> 16 != v->epoch);
	BUG_ON(head >= v->vq[VNET_TX].size || !v->tx.held[head]);
	v->tx.held[head] = false;
	v->tx.nheld--;
	vq_use(&v->vq[VNET_TX], head, 0);
}

/* The device stops: what the stack still held goes back to the driver (H17). */
void vnet_tx_release(struct vnet *v)
{
	for (uint16_t head = 0; v->tx.nheld && head < v->vq[VNET_TX].size; head++)
		if (v->tx.held[head])
			vnet_tx_done(v, token_of(v, head));
	BUG_ON(v->tx.nheld);
}
