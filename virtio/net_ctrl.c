/* SPDX-License-Identifier: MIT */
/*
 * virtio-net's control queue (5.1.6.5), through the same walker as the others (H9).
 *
 * We deliver every frame for the guest's address or a group, and filter by
 * nothing that the driver sets, so receive modes and address tables are checked
 * for form, accepted and forgotten. What was not negotiated is refused.
 */
#include "virtio/net_priv.h"

/* Most table entries that are worth believing; the rest is one multicast bit anyway. */
#define MAC_ENTRIES_MAX 4096

/* Does the command's data hold two tables of addresses (5.1.6.5.2)? */
static bool mac_tables_ok(const struct vq_chain *c)
{
	uint64_t off = sizeof(struct virtio_net_ctrl_hdr);

	for (int table = 0; table < 2; table++) {
		uint32_t entries;

		if (!range_ok(off, sizeof(entries), c->out_len))
			return false;
		vnet_gather(c->iov, c->out_cnt, off, &entries, sizeof(entries));
		off += sizeof(entries);
		if (entries > MAC_ENTRIES_MAX || !range_ok(off, entries * 6ULL, c->out_len))
			return false;
		off += entries * 6ULL;
	}
	return true;
}

/* Carry out the command in @c's readable part. Return: was it understood? */
static bool command(const struct vnet *v, const struct vq_chain *c)
{
	struct virtio_net_ctrl_hdr hdr;
	uint64_t data;

	if (c->out_len < sizeof(hdr))
		return false;
	vnet_gather(c->iov, c->out_cnt, 0, &hdr, sizeof(hdr));
	data = c->out_len - sizeof(hdr);
	switch (hdr.class) {
	case VIRTIO_NET_CTRL_RX:
		return vnet_has(v, VIRTIO_NET_F_CTRL_RX) &&
		       hdr.cmd <= VIRTIO_NET_CTRL_RX_ALLMULTI && data >= 1;
	case VIRTIO_NET_CTRL_MAC:
		if (hdr.cmd == VIRTIO_NET_CTRL_MAC_TABLE_SET)
			return vnet_has(v, VIRTIO_NET_F_CTRL_RX) && mac_tables_ok(c);
		/* The stack learns the guest's address from its frames. */
		return hdr.cmd == VIRTIO_NET_CTRL_MAC_ADDR_SET &&
		       vnet_has(v, VIRTIO_NET_F_CTRL_MAC_ADDR) && data >= 6;
	default:
		return false;
	}
}

/**
 * vnet_ctrl_drain() - answer the commands that wait, a queue's size at most
 */
void vnet_ctrl_drain(struct vnet *v)
{
	struct virtq *q = &v->vq[VNET_CTRL];
	uint16_t begin = q->last_avail;

	if (!v->running || v->broken || !q->started)
		return;
	while ((uint16_t)(q->last_avail - begin) < q->size) {
		struct vq_chain c;

		if (vq_pop(q, VQ_BOTH, &c, v->tx.iov, ARRAY_SIZE(v->tx.iov)) != 1)
			break;
		if (c.in_len == 0) {
			vq_fault(q, VQ_FAULT_CHAIN_SHORT); /* nowhere to answer */
			vq_use(q, c.head, 0);
			continue;
		}
		*(uint8_t *)c.iov[c.out_cnt].iov_base = command(v, &c) ? VIRTIO_NET_OK
								       : VIRTIO_NET_ERR;
		vq_use(q, c.head, 1);
	}
	vnet_check_rings(v);
}
