/* SPDX-License-Identifier: MIT */
/* What udp.c (guest to host) and udp_rx.c (host to guest) share. */
#ifndef SLUICE_TCPSTACK_UDP_PRIV_H
#define SLUICE_TCPSTACK_UDP_PRIV_H

#include <limits.h>
#include <sys/socket.h>

#include "tcpstack/dgram.h"

/* A first guess at what a remote sends, in bytes of payload: an Ethernet frame's worth. */
#define UDP_HINT_FIRST (1500 - IP4_HLEN - UDP_HLEN)

/* Frames of a first batch; two, since a batch that is not filled shows an empty socket. */
#define UDP_BATCH_FIRST 2

/* Room for any datagram, whatever part of it fits elsewhere. */
#define UDP_STAGE_BYTES 65536

/**
 * struct udp_flow - one mapping
 * @rx_hint:	payload bytes for which receive frames are allocated
 * @rx_small:	batches in a row whose datagrams were far below it
 * @rx_batch:	frames to allocate at once: follows how many come together
 * @answered:	the remote has sent something
 */
struct udp_flow {
	struct dgram_flow d;
	uint32_t rx_hint;
	uint32_t rx_batch;
	uint8_t rx_small;
	bool answered;
};

/* Frames of one batch and the messages that receive into them. */
struct udp_batch {
	uint32_t frames; /* allocated from the port, by index of @frame */
	uint32_t hlen;	 /* bytes of headers before the payload */
	struct rx_frame frame[LIMIT_UDP_BATCH];
	uint32_t room[LIMIT_UDP_BATCH]; /* payload bytes that the frame takes */
	struct mmsghdr msg[LIMIT_UDP_BATCH];
};

/**
 * struct udp - the module
 * @iov:	for one send, or for one batch of receives
 * @stage:	what does not fit the frames: LIMIT_UDP_BATCH buffers
 */
struct udp {
	struct dgram d;
	struct udp_batch batch;
	struct iovec iov[IOV_MAX];
	uint8_t (*stage)[UDP_STAGE_BYTES];
};

static inline struct udp_flow *udp_flow_of(struct dgram_flow *df)
{
	return container_of(df, struct udp_flow, d);
}

#endif
