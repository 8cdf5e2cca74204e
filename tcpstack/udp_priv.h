/* SPDX-License-Identifier: MIT */
/* What udp.c (guest to host), udp_rx.c (host to guest) and udp_forward.c share. */
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
 * struct udp_rx - what a socket gives at a time
 * @hint:	payload bytes for which receive frames are allocated
 * @batch:	frames to allocate at once: follows how many come together
 * @small:	batches in a row whose datagrams were far below @hint
 * @gro:	the kernel puts datagrams together where it can
 */
struct udp_rx {
	uint32_t hint;
	uint32_t batch;
	uint8_t small;
	bool gro;
};

struct forward;

/**
 * struct udp_flow - one mapping
 * @rx:		of the flow's own socket
 * @answered:	the side that did not begin it has sent something
 * @no_gso:	the host refuses to cut datagrams for it
 * @forward:	that the peer came by, NULL = the guest began it; members below
 *		are of such
 * @local:	the host's address that the peer knows, unspecified = there is but one
 * @scope:	the interface that its link-local address is good on
 */
struct udp_flow {
	struct dgram_flow d;
	struct udp_rx rx;
	bool answered;
	bool no_gso;
	struct forward *forward;
	struct ipaddr local;
	uint32_t scope;
};

/**
 * struct udp_control - where one datagram goes, and what else its send says
 * @space:	the host's address, the TTL, the size of segments
 */
struct udp_control {
	union sockaddr_any to;
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)) +
			   CMSG_SPACE(sizeof(uint16_t))];
	};
};

/* Who has sent a datagram to a forward, to which address; how many it was. */
struct udp_sender {
	union sockaddr_any from;
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
	};
};

/* Frames of one batch and the messages that receive into them. */
struct udp_batch {
	uint32_t frames; /* allocated from the port, by index of @frame */
	uint32_t hlen;	 /* bytes of headers before the payload */
	struct rx_frame frame[LIMIT_UDP_BATCH];
	uint32_t room[LIMIT_UDP_BATCH]; /* payload bytes that the frame takes */
	struct mmsghdr msg[LIMIT_UDP_BATCH];
	struct udp_sender sender[LIMIT_UDP_BATCH];
	uint32_t segment[LIMIT_UDP_BATCH]; /* bytes of each datagram but the last */
};

/**
 * struct udp - the module
 * @forwards:	those that have something to read, by forward.ready
 * @forwards_first:	they were asked before the flows in the last cycle
 * @iov:	for one send, or for one batch of receives
 * @stage:	what does not fit the frames: LIMIT_UDP_BATCH buffers
 */
struct udp {
	struct dgram d;
	struct dlist forwards;
	bool forwards_first;
	struct udp_batch batch;
	struct iovec iov[IOV_MAX];
	uint8_t (*stage)[UDP_STAGE_BYTES];
};

/* How many datagrams @len bytes are, @segment of them in each but the last. */
static inline uint32_t udp_datagrams(uint32_t len, uint32_t segment)
{
	return len > segment ? (len + segment - 1) / segment : 1;
}

static inline struct udp_flow *udp_flow_of(struct dgram_flow *df)
{
	return container_of(df, struct udp_flow, d);
}

/* udp.c */
void udp_count_refusal(struct stack *st, enum drop_reason why);
void udp_flow_begin(struct stack *st, struct udp_flow *uf);
void udp_control_add(struct msghdr *msg, int level, int type, const void *data, size_t len);

/* udp_rx.c */
void udp_rx_init(struct udp_rx *rx);

#endif
