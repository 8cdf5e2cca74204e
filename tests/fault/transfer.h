/* SPDX-License-Identifier: MIT */
/*
 * One seed: a guest, the stack, and hosts, through a transfer in which calls fail.
 *
 * The guest and the hosts are honest and patient. Everything that they move is compared
 * byte by byte, and in the end one of two things holds for each TCP flow: all bytes have
 * come on both sides and both have seen the other's end; or both have seen a reset, and
 * there was a fault that may cost a flow. No reset comes without such a fault, no end of
 * a stream before its last byte. A datagram is there once, whole, or it was counted as
 * dropped. Each name is resolved, and to the right address.
 *
 * The stack's worker is modelled as it is: it sleeps until a descriptor is ready, the
 * guest kicks, or the time comes that it has asked for. What it forgets stays undone.
 * The clock is the rig's; when nothing moves, it leaps to the next deadline.
 */
#ifndef SLUICE_TESTS_FAULT_TRANSFER_H
#define SLUICE_TESTS_FAULT_TRANSFER_H

#include "tcpstack/forward.h"
#include "tests/fault/inject.h"
#include "tests/stack/rig_tcp.h"

#define XFER_FLOWS_MAX 6
#define XFER_UDP_MAX   3
#define XFER_DATAGRAMS 24
#define XFER_NAMES_MAX 4
#define XFER_RESOLVING 8

/* When one side sends: at once, or after the other has ended. */
enum xfer_order { XFER_AT_ONCE, XFER_HOST_LAST, XFER_GUEST_LAST };

/**
 * struct xfer_flow - one TCP connection
 * @up, @down:	bytes from the guest, and to it
 * @fd:		the host's end; @lfd: where it came in; -1 = not there
 * @got, @put:	by the host, of @up and @down
 * @seg:	payload of the guest's segments
 * @greed:	bytes that the host reads in a round, 0 = in most rounds none
 * @small_since:	with a small receive buffer: when something last came, of real time; else 0
 * @begins:	the round in which it opens
 * @asked:	the SYN, or the host's connect, has left
 * @open:	the guest has done its part of the handshake
 * @host_eof, @host_shut, @host_rst:	seen or done by the host
 * @killed:	its host was made to reset it
 * @rto_at, @rto, @una:	the guest's retransmission timer, and what it was set for
 */
struct xfer_flow {
	struct rig_conn *c;
	uint64_t up, down;
	int fd, lfd;
	uint64_t got, put, small_since;
	enum xfer_order order;
	uint32_t seg, greed, begins;
	bool inbound;
	struct forward_info fwd;
	bool asked, open;
	bool host_eof, host_shut, host_rst, killed;
	uint64_t rto_at, rto;
	uint32_t una;
};

/* Datagrams to a server that sends them back. */
struct xfer_udp {
	int fd;
	uint16_t port, sport;
	uint32_t count, sent, back;
	uint64_t sent_at;
	bool at_host[XFER_DATAGRAMS], at_guest[XFER_DATAGRAMS];
};

/**
 * struct xfer_name - a name that the guest looks up, over UDP or TCP
 * @c:		of a TCP query, NULL = UDP
 * @number:	makes the name; @tries: times that it was asked for, the last at @asked_at
 * @failed:	the answer was that there is none now
 */
struct xfer_name {
	struct rig_conn *c;
	uint8_t keep[2048];
	uint32_t number, tries;
	uint64_t asked_at;
	bool sent, failed, answered;
};

/* A query that a resolver gets over TCP. */
struct xfer_query {
	int fd;
	uint8_t msg[600];
	uint32_t have;
};

struct xfer {
	struct rig *r;
	uint64_t seed, rng, round;
	struct rig_conn conn[XFER_FLOWS_MAX + XFER_NAMES_MAX];
	struct xfer_flow flow[XFER_FLOWS_MAX];
	struct xfer_udp udp[XFER_UDP_MAX];
	struct xfer_name name[XFER_NAMES_MAX];
	struct xfer_query query[XFER_RESOLVING];
	uint32_t flows, udps, names;
	int resolver_udp, resolver_tcp;
	uint16_t dns_sport;
	bool lazy_guest;
	int link_mtu;	   /* of the host's loopback */
	uint64_t moved;	   /* grows with all that gets on */
	uint64_t lingered; /* the last round in which a host could have read, and did not */
};

/**
 * struct xfer_result - what a seed did
 * @bytes:	of TCP, compared
 * @resets:	flows that ended in one
 */
struct xfer_result {
	uint64_t bytes, hits, rounds;
	uint32_t flows, resets, datagrams, names;
};

#define XFER_CHECK(x, cond)                                          \
	do {                                                         \
		if (!(cond))                                         \
			xfer_failed((x), #cond, __LINE__, __FILE__); \
	} while (0)

/* transfer.c */
void xfer_run(uint64_t seed, struct fault_env *env, struct xfer_result *res);
_Noreturn void xfer_failed(struct xfer *x, const char *what, int line, const char *file);
uint64_t xfer_random(struct xfer *x, uint64_t n);

/* tcp_sides.c: both ends of the flows */
void xfer_flows_make(struct xfer *x);
void xfer_hosts(struct xfer *x);
void xfer_guest(struct xfer *x);
void xfer_guest_tcp(struct xfer *x, const struct rig_pkt *p);
bool xfer_flow_done(const struct xfer_flow *w);
bool xfer_reset_peer(void *ctx, int fd);
void xfer_flows_verify(struct xfer *x, struct xfer_result *res);
uint64_t xfer_guest_deadline(const struct xfer *x);

/* side.c: datagrams and names */
void xfer_side_config(struct xfer *x, struct rig_config *cfg);
void xfer_side_make(struct xfer *x);
void xfer_side_hosts(struct xfer *x);
void xfer_side_guest(struct xfer *x);
void xfer_guest_udp(struct xfer *x, const struct rig_pkt *p);
bool xfer_side_done(struct xfer *x);
void xfer_side_verify(struct xfer *x, struct xfer_result *res);

/* asserts.c */
void xfer_asserts_for(struct xfer *x);
void xfer_alarm(int signo);

#endif
