/* SPDX-License-Identifier: MIT */
/*
 * virtio-net, host to guest: the stack's frames straight into receive chains.
 *
 * Theory of operation: chains are interchangeable, and may be used in any order
 * (2.7.8). So a chain once popped is not put back: it waits in @stock, walked
 * and checked, until a frame takes it. A frame allocated for @want bytes takes
 * chains off the front of the stock, pops more as needed, and lists them in
 * @taken. Frames commit in the order of allocation, so the oldest frame's chains
 * are the front of @taken; it uses as many as its length fills and returns the
 * rest to the front of the stock, whatever later frames hold behind them.
 * A rewind returns all of @taken likewise.
 *
 * With mergeable buffers a frame is as many chains as it needs, the first of
 * them with the header and their number (5.1.6.4); without, it is one chain.
 *
 * Kicks are off while the stack gets what it asks for. A refusal arms them and
 * looks once more; the kick then tells the stack, which asks again (H14).
 */
#include <errno.h>
#include <string.h>

#include "virtio/net_priv.h"

static struct rx_chain *deque_at(struct rx_deque *d, uint16_t i)
{
	return &d->c[(uint16_t)(d->first + i) & (RX_CHAINS_MAX - 1)];
}

static void push_back(struct rx_deque *d, const struct rx_chain *c)
{
	BUG_ON(d->count == RX_CHAINS_MAX);
	*deque_at(d, d->count++) = *c;
}

static void push_front(struct rx_deque *d, const struct rx_chain *c)
{
	BUG_ON(d->count == RX_CHAINS_MAX);
	d->first--;
	d->count++;
	*deque_at(d, 0) = *c;
}

static struct rx_chain pop_front(struct rx_deque *d)
{
	struct rx_chain c;

	BUG_ON(!d->count);
	c = *deque_at(d, 0);
	d->first++;
	d->count--;
	return c;
}

static struct rx_chain pop_back(struct rx_deque *d)
{
	BUG_ON(!d->count);
	return *deque_at(d, --d->count);
}

static struct iovec *slot_iovs(struct vnet_rx *rx, uint16_t slot)
{
	return &rx->iovs[(size_t)slot * rx->descs];
}

/* The device starts: nothing is held. */
void vnet_rx_start(struct vnet *v)
{
	struct vnet_rx *rx = &v->rx;

	rx->mergeable = vnet_has(v, VIRTIO_NET_F_MRG_RXBUF);
	rx->descs = rx->mergeable ? RX_MRG_DESCS : RX_BIG_DESCS;
	rx->starved = false;
	rx->nframes = rx->first_frame = 0;
	rx->stock.count = rx->taken.count = 0;
	rx->nfree = 0;
	for (uint16_t slot = (uint16_t)(RX_CHAIN_IOVS / rx->descs); slot > 0; slot--)
		rx->free_slots[rx->nfree++] = (uint16_t)(slot - 1);
	vq_notify_off(&v->vq[VNET_RX]);
}

/* Give a chain back to the driver with @len bytes written. */
static void retire(struct vnet *v, const struct rx_chain *c, uint32_t len)
{
	v->rx.free_slots[v->rx.nfree++] = c->slot;
	vq_use(&v->vq[VNET_RX], c->head, len);
}

/* Pop one more chain into the stock. Return: false when there is none */
static bool restock(struct vnet *v)
{
	struct vnet_rx *rx = &v->rx;
	struct virtq *q = &v->vq[VNET_RX];

	for (uint32_t tries = 0; tries < q->size && rx->nfree; tries++) {
		uint16_t slot = rx->free_slots[rx->nfree - 1];
		struct vq_chain c;

		if (vq_pop(q, VQ_WRITABLE, &c, slot_iovs(rx, slot), rx->descs) != 1)
			return false;
		if (c.in_len < VNET_HDR_LEN || c.in_len > UINT32_MAX) {
			vq_fault(q, c.in_len < VNET_HDR_LEN ? VQ_FAULT_CHAIN_SHORT
							    : VQ_FAULT_CHAIN_LONG);
			vq_use(q, c.head, 0);
			continue;
		}
		rx->nfree--;
		push_back(&rx->stock, &(struct rx_chain){
					      .head = c.head,
					      .pos = (uint16_t)(q->last_avail - 1),
					      .slot = slot,
					      .iovcnt = (uint16_t)c.in_cnt,
					      .len = (uint32_t)c.in_len,
				      });
		return true;
	}
	return false;
}

/* As restock(); before it says no, kicks are armed and the ring looked at again. */
static bool restock_or_starve(struct vnet *v)
{
	if (restock(v))
		return true;
	v->rx.starved = true;
	if (!vq_notify_on(&v->vq[VNET_RX]) || !restock(v))
		return false;
	v->rx.starved = false;
	vq_notify_off(&v->vq[VNET_RX]);
	return true;
}

/* Undo what an allocation has taken: the last @n of @taken. */
static void untake(struct vnet_rx *rx, uint16_t n)
{
	while (n--) {
		struct rx_chain c = pop_back(&rx->taken);

		push_front(&rx->stock, &c);
	}
}

/*
 * Take chains for @need bytes, the virtio header's included.
 * Return: how many; -ENOBUFS; -EMSGSIZE when all that the driver can ever offer
 * is too little. On error nothing is taken.
 */
static int take_chains(struct vnet *v, uint64_t need)
{
	struct vnet_rx *rx = &v->rx;
	uint16_t n = 0;
	uint32_t iovs = 0;
	uint64_t got = 0;

	while (got < need) {
		struct rx_chain c;

		if (!rx->stock.count && !restock_or_starve(v)) {
			/* The driver's whole ring in one frame, and still too short? */
			bool never = n == v->vq[VNET_RX].size;

			untake(rx, n);
			return never ? -EMSGSIZE : -ENOBUFS;
		}
		c = pop_front(&rx->stock);
		if (!rx->mergeable && c.len < need) {
			vq_fault(&v->vq[VNET_RX], VQ_FAULT_CHAIN_SHORT);
			retire(v, &c, 0);
			continue;
		}
		push_back(&rx->taken, &c);
		n++;
		got += c.len;
		iovs += c.iovcnt;
		if (iovs > RX_FRAME_IOVS) {
			untake(rx, n);
			return -EMSGSIZE;
		}
	}
	return n;
}

/* List the memory of the last @n taken chains: the header's first, then the frame's. */
static void map_frame(struct vnet_rx *rx, uint16_t n, struct rx_pending *p, struct rx_frame *f)
{
	uint32_t hdr_left = VNET_HDR_LEN;

	p->hdr_iovcnt = 0;
	f->iovcnt = 0;
	f->room = 0;
	for (uint16_t i = 0; i < n; i++) {
		const struct rx_chain *c = deque_at(&rx->taken,
						    (uint16_t)(rx->taken.count - n + i));
		const struct iovec *iov = slot_iovs(rx, c->slot);

		for (uint16_t k = 0; k < c->iovcnt; k++) {
			struct iovec e = iov[k];

			if (hdr_left) {
				uint32_t h = (uint32_t)MIN((size_t)hdr_left, e.iov_len);

				p->hdr[p->hdr_iovcnt++] = (struct iovec){ e.iov_base, h };
				hdr_left -= h;
				e.iov_base = (uint8_t *)e.iov_base + h;
				e.iov_len -= h;
			}
			if (!e.iov_len)
				continue;
			f->iov[f->iovcnt++] = e;
			f->room += (uint32_t)e.iov_len;
		}
	}
}

/* port_ops.rx_alloc */
int vnet_rx_alloc(void *ctx, uint32_t want, struct rx_frame *frame)
{
	struct vnet *v = ctx;
	struct vnet_rx *rx = &v->rx;
	uint32_t slot = (rx->first_frame + rx->nframes) % PORT_RX_BATCH;
	int n;

	BUG_ON(!v->running || rx->nframes == PORT_RX_BATCH);
	if (want > PORT_FRAME_MAX)
		return -EMSGSIZE;
	if (v->broken)
		return -ENOBUFS;
	n = take_chains(v, (uint64_t)want + VNET_HDR_LEN);
	if (n < 0) {
		vnet_check_rings(v);
		return n;
	}
	frame->iov = rx->frame_iovs[slot];
	frame->slot = slot;
	map_frame(rx, (uint16_t)n, &rx->frames[slot], frame);
	rx->frames[slot].chains = (uint16_t)n;
	rx->frames[slot].room = frame->room;
	rx->nframes++;
	return 0;
}

/* The header of a frame to the guest (5.1.6.4.1), every byte of it set (H12). */
static struct virtio_net_hdr_v1 make_header(const struct vnet *v, const struct offload *off,
					    uint16_t chains)
{
	struct virtio_net_hdr_v1 h = { .num_buffers = chains };

	BUG_ON(off->needs_csum && !vnet_has(v, VIRTIO_NET_F_GUEST_CSUM));
	BUG_ON(off->gso != GSO_NONE && (!off->needs_csum || !off->gso_size));
	if (off->needs_csum) {
		h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h.csum_start = off->csum_start;
		h.csum_offset = off->csum_offset;
	} else if (off->data_valid && vnet_has(v, VIRTIO_NET_F_GUEST_CSUM)) {
		h.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	switch (off->gso) {
	case GSO_NONE:
		return h;
	case GSO_TCP4:
		BUG_ON(!vnet_has(v, VIRTIO_NET_F_GUEST_TSO4));
		h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		break;
	case GSO_TCP6:
		BUG_ON(!vnet_has(v, VIRTIO_NET_F_GUEST_TSO6));
		h.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
		break;
	case GSO_UDP_L4:
		BUG_ON(!vnet_has(v, VIRTIO_NET_F_GUEST_USO4) &&
		       !vnet_has(v, VIRTIO_NET_F_GUEST_USO6));
		h.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
		break;
	}
	h.gso_size = off->gso_size;
	/* A hint: headers up to a TCP header without options, or one of UDP. */
	h.hdr_len = (uint16_t)(off->csum_start + (off->gso == GSO_UDP_L4 ? 8 : 20));
	return h;
}

/* port_ops.rx_commit */
void vnet_rx_commit(void *ctx, struct rx_frame *frame, uint32_t len, const struct offload *off)
{
	struct vnet *v = ctx;
	struct vnet_rx *rx = &v->rx;
	struct rx_pending *p = &rx->frames[rx->first_frame];
	uint32_t left = len + VNET_HDR_LEN, use, at = 0;
	uint16_t chains = 0;
	struct virtio_net_hdr_v1 h;

	BUG_ON(!v->running || !rx->nframes || frame->slot != rx->first_frame);
	BUG_ON(len == 0 || len > p->room);
	for (uint32_t sum = 0; sum < left; chains++)
		sum += deque_at(&rx->taken, chains)->len;
	h = make_header(v, off, chains);
	for (uint16_t i = 0; i < p->hdr_iovcnt; i++) {
		memcpy(p->hdr[i].iov_base, (const uint8_t *)&h + at, p->hdr[i].iov_len);
		at += (uint32_t)p->hdr[i].iov_len;
	}
	for (uint16_t i = 0; i < chains; i++, left -= use) {
		struct rx_chain c = pop_front(&rx->taken);

		use = MIN(left, c.len);
		retire(v, &c, use);
	}
	/* The spare ones, the last of them first, so that they keep their order. */
	for (uint16_t spare = (uint16_t)(p->chains - chains), i = spare; i > 0; i--)
		push_front(&rx->stock, deque_at(&rx->taken, (uint16_t)(i - 1)));
	for (uint16_t i = chains; i < p->chains; i++)
		pop_front(&rx->taken);
	rx->first_frame = (rx->first_frame + 1) % PORT_RX_BATCH;
	if (--rx->nframes == 0)
		rx->first_frame = 0; /* the same few cache lines again */
}

/* port_ops.rx_rewind */
void vnet_rx_rewind(void *ctx)
{
	struct vnet *v = ctx;

	BUG_ON(!v->running);
	untake(&v->rx, v->rx.taken.count);
	v->rx.nframes = v->rx.first_frame = 0;
}

/**
 * vnet_rx_kicked() - the guest has added receive buffers
 *
 * Of interest only while the stack waits for some.
 */
void vnet_rx_kicked(struct vnet *v)
{
	if (!v->running || v->broken || !v->rx.starved)
		return;
	v->rx.starved = false;
	vq_notify_off(&v->vq[VNET_RX]);
	stack_rx_refilled(v->st);
}

/*
 * The device stops: chains that were popped last go back as never taken; one
 * that has used ones behind it can only be returned as used, empty.
 */
void vnet_rx_release(struct vnet *v)
{
	struct vnet_rx *rx = &v->rx;
	struct virtq *q = &v->vq[VNET_RX];

	vnet_rx_rewind(v);
	while (rx->stock.count && deque_at(&rx->stock, (uint16_t)(rx->stock.count - 1))->pos ==
					  (uint16_t)(q->last_avail - 1)) {
		pop_back(&rx->stock);
		vq_unpop(q, 1);
	}
	while (rx->stock.count) {
		struct rx_chain c = pop_front(&rx->stock);

		retire(v, &c, 0);
	}
}
