/* SPDX-License-Identifier: MIT */
/*
 * The seam between the stack and whoever owns the guest's rings (virtio-net
 * behind KVM, vhost-user, a test). The stack sees frames that lie in guest
 * memory and a few verbs; it knows neither descriptors nor KVM.
 *
 * Guest to host: the port calls stack_input() with a struct tx_frame. The
 * stack either is done with the frame when the call returns, or holds it and
 * gives its token back later by tx_done(). Held tokens may come back in any
 * order. The bytes behind tx_frame.iov belong to the guest, which may change
 * them at any time: whatever decides anything is read from the private copy
 * in tx_frame.head.
 *
 * Host to guest: the stack asks for room with rx_alloc(), writes the frame
 * into it (a socket receives straight into it), and commits. Several frames may
 * be allocated before the first is committed; commits come in the order of
 * allocation, and rx_rewind() gives back all that was not committed. Nothing
 * is visible to the guest before the port publishes at the end of the cycle.
 *
 * All of it happens on the one network worker that owns both sides.
 */
#ifndef SLUICE_TCPSTACK_PORT_H
#define SLUICE_TCPSTACK_PORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * Bytes of each frame that the port copies to private memory: Ethernet with a
 * VLAN tag, an IPv6 header, the longest TCP header, and room to spare.
 */
#define PORT_HEAD_MAX 192

/* Longest frame either way: 64 KiB of IP packet and its Ethernet header. */
#define PORT_FRAME_MAX (65535 + 18)

/* Segmentation that the sender of a frame leaves to the receiver (virtio 1.2, 5.1.6). */
enum gso_kind { GSO_NONE, GSO_TCP4, GSO_TCP6, GSO_UDP_L4 };

/**
 * struct offload - checksum and segmentation state of one frame
 * @gso:		which segmentation, if any
 * @gso_size:		payload bytes of each segment, 0 without gso
 * @needs_csum:		the transport checksum field holds only the pseudo
 *			header's sum; the rest is for the receiver
 * @data_valid:		the transport checksum has been verified
 * @csum_start:		with needs_csum: first byte to sum, from the frame's start
 * @csum_offset:	with needs_csum: where the sum goes, from csum_start
 */
struct offload {
	enum gso_kind gso;
	uint16_t gso_size;
	bool needs_csum;
	bool data_valid;
	uint16_t csum_start;
	uint16_t csum_offset;
};

/**
 * struct tx_frame - a frame that the guest sends
 * @head:	private copy of its first @head_len bytes, from the Ethernet header
 * @head_len:	MIN(@len, PORT_HEAD_MAX)
 * @len:	bytes of the whole frame, at most PORT_FRAME_MAX
 * @iov:	the whole frame in guest memory, @len bytes in all. The array is
 *		good during stack_input() only; the memory until tx_done().
 * @iovcnt:	its entries
 * @descs:	descriptors of the transmit ring that it keeps until tx_done()
 * @off:	offloads, copied once and checked by the port
 * @token:	names the frame in tx_done()
 */
struct tx_frame {
	const uint8_t *head;
	uint32_t head_len;
	uint32_t len;
	const struct iovec *iov;
	uint32_t iovcnt;
	uint32_t descs;
	struct offload off;
	uint32_t token;
};

/* What stack_input() says of a frame. */
enum tx_verdict {
	TX_DONE, /* the port may retire its descriptors now */
	TX_HELD, /* the stack keeps the token and will call tx_done() */
};

/**
 * struct rx_frame - room for one frame to the guest
 * @iov:	guest memory from the Ethernet header on; good until the commit
 * @iovcnt:	its entries; no entry has a promised size
 * @room:	bytes in @iov, at least what was asked for
 * @slot:	the port's own
 */
struct rx_frame {
	struct iovec *iov;
	uint32_t iovcnt;
	uint32_t room;
	uint32_t slot;
};

/**
 * struct port_caps - what the guest's driver has negotiated
 * @rx_csum:		takes frames with needs_csum (GUEST_CSUM)
 * @rx_tso4, @rx_tso6:	takes TCP frames longer than the MTU (GUEST_TSO4/6)
 * @rx_uso4, @rx_uso6:	takes UDP frames to be segmented (GUEST_USO4/6)
 * @rx_frame_max:	longest frame that rx_alloc() can ever grant, in bytes
 * @tx_ring:		descriptors of the transmit ring; what we hold is missing there
 */
struct port_caps {
	bool rx_csum;
	bool rx_tso4;
	bool rx_tso6;
	bool rx_uso4;
	bool rx_uso6;
	uint32_t rx_frame_max;
	uint32_t tx_ring;
};

/* Most frames that may be allocated and not yet committed. */
#define PORT_RX_BATCH 64

struct port_ops {
	/*
	 * Room for a frame of up to @want bytes. 0; -ENOBUFS when the ring has
	 * too little (the port then calls stack_rx_refilled() once the guest has
	 * added buffers); -EMSGSIZE when @want can never fit. The caller sees to
	 * it that fewer than PORT_RX_BATCH frames are outstanding.
	 */
	int (*rx_alloc)(void *ctx, uint32_t want, struct rx_frame *frame);
	/* The oldest allocated frame is complete with @len bytes; unused room returns. */
	void (*rx_commit)(void *ctx, struct rx_frame *frame, uint32_t len,
			  const struct offload *off);
	/* All allocated frames that were not committed go back, unseen by the guest. */
	void (*rx_rewind)(void *ctx);
	/* A held frame's bytes are no longer needed. */
	void (*tx_done)(void *ctx, uint32_t token);
};

#endif
