/* SPDX-License-Identifier: MIT */
/*
 * What a stack looks like at one moment, copied out for people and programs.
 *
 * Copies are taken on the stack's thread in bounded pieces; names and texts are
 * made of them elsewhere.
 */
#ifndef SLUICE_TCPSTACK_SNAPSHOT_H
#define SLUICE_TCPSTACK_SNAPSHOT_H

#include "tcpstack/bulk.h"
#include "tcpstack/flow.h"
#include "tcpstack/stack.h"

/*
 * Why no byte of a flow moves just now; the names are stable. The first that
 * holds is given, so what is nearer to a fault stands higher.
 */
#define FLOW_STALLS(X)                                                                        \
	X(NONE, "moving", "nothing holds it up")                                              \
	X(NO_DRIVER, "no-driver", "the guest has no driver attached")                         \
	X(CONNECTING, "connecting", "the host has not answered the connect yet")              \
	X(HANDSHAKE, "handshake", "the guest has not ACKed our SYN")                          \
	X(HOST_ERROR, "host-error", "the host's socket failed for a moment, will be retried") \
	X(HOST_FULL, "host-full", "the host's socket takes no more: its peer reads slowly")   \
	X(LENT, "lent", "waits for the peer to read what its socket refers to")               \
	X(RATE, "rate", "held back by --rate-in: no tokens at the moment")                    \
	X(NO_BUFFERS, "no-buffers", "the guest gives no receive buffers")                     \
	X(WINDOW_ZERO, "guest-window-zero", "the guest's receive window is closed")           \
	X(LOSS, "retransmitting", "the guest does not ACK: bytes were sent to it again")      \
	X(WAIT_ACK, "wait-ack", "bytes are on their way to the guest, not ACKed yet")         \
	X(CLOSING, "closing", "all was passed on, the last FIN is not ACKed yet")             \
	X(TIME_WAIT, "time-wait", "closed; the record answers a repeated FIN")                \
	X(IDLE, "idle", "neither side has sent anything for a second")

enum flow_stall {
#define X(id, name, text) STALL_##id,
	FLOW_STALLS(X)
#undef X
		STALL_COUNT
};

/**
 * struct flow_snap - one flow at one moment
 * @state:	a literal: RFC 9293's name, or "open"
 * @engine:	a literal: what carries its bytes to the host; "" = no choice
 * @idle_ns:	since something happened to it
 * @parked:	bytes of the guest that wait for the host's socket
 * @held_frames:	of the guest's ring
 * @lent:	bytes that the host's socket took by reference and still refers to
 * @in_flight:	bytes sent to the guest and not ACKed
 * @window:	bytes that we offer the guest
 * @guest_window:	bytes that the guest offers us
 * @srtt_ns:	smoothed round trip to the guest, 0 = not measured
 * @retries:	retransmissions in a row
 */
struct flow_snap {
	struct flow_id id;
	uint8_t proto; /* enum flow_proto */
	uint8_t stall; /* enum flow_stall */
	uint8_t retries;
	bool inbound;
	const char *state, *engine;
	struct endpoint guest, remote, host;
	uint64_t age_ns, idle_ns;
	uint64_t tx_bytes, rx_bytes;
	uint32_t parked, held_frames, lent, in_flight, window, guest_window;
	uint64_t srtt_ns;
};

/**
 * struct flow_cursor - where a walk stands; all zero = at the beginning
 * @index:	next record of @proto's table
 */
struct flow_cursor {
	uint32_t proto; /* enum flow_proto; FLOW_PROTOS = the end */
	uint32_t index;
};

/* Records that one call looks at, at most, and so the most that it can fill. */
#define FLOW_SNAP_CHUNK 256

/**
 * struct stack_info - what does not change often
 * @driver:	a driver is attached; then @caps is what it negotiated
 * @probe:	of each engine: can it carry payload to the host, or why not?
 * @oracle:	a literal: what tells the splice engine that a peer has read; NULL = nothing
 */
struct stack_info {
	bool driver;
	struct port_caps caps;
	struct stack_config cfg;
	struct bulk_probe probe[BULK_ENGINES];
	const char *oracle;
	bool peek_offset;
};

/* snapshot.c */
uint32_t stack_snap_flows(const struct stack *st, struct flow_cursor *at, struct flow_snap *out,
			  uint32_t max);
void stack_get_info(const struct stack *st, struct stack_info *out);
const char *flow_stall_name(enum flow_stall stall);
const char *flow_stall_text(enum flow_stall stall);

#endif
