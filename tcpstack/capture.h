/* SPDX-License-Identifier: MIT */
/*
 * Copies of frames for another thread, while somebody wants them.
 *
 * The stack copies the first bytes of each frame that a filter picks into a ring;
 * whoever gave it the ring writes them down. A full ring costs copies, which are
 * counted. With no capture the stack tests one pointer for each frame.
 *
 *	EXPR   = TERM { "or" TERM }
 *	TERM   = FACTOR { "and" FACTOR }
 *	FACTOR = "not" FACTOR | "(" EXPR ")" | PROTO | "proto" PROTO | "host" ADDR
 *	       | "net" CIDR | "port" PORT[-PORT] | "flow" NAME | "inbound" | "outbound"
 *	PROTO  = "tcp" | "udp" | "icmp" | "arp" | "ip" | "ip6"
 *
 * Inbound is to the guest: the interface that is looked at is its own.
 */
#ifndef SLUICE_TCPSTACK_CAPTURE_H
#define SLUICE_TCPSTACK_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/spsc.h"
#include "tcpstack/addr.h"
#include "tcpstack/flow.h"
#include "tcpstack/policy.h"
#include "tcpstack/port.h"

struct stack;

/* Operators and operands of one filter, and how deep parentheses and "not" may go. */
#define CAPTURE_TERMS_MAX 64
#define CAPTURE_DEPTH_MAX 16

/* Bytes of a frame that are kept: the least holds all headers, the most all of any frame. */
#define CAPTURE_SNAPLEN_MIN 64
#define CAPTURE_SNAPLEN_DEF 256
#define CAPTURE_SNAPLEN_MAX PORT_FRAME_MAX

/**
 * struct capture_key - what a filter sees of a frame
 * @to_guest:	which way it goes
 * @ethertype:	0 = there is not even that
 * @proto:	PROTO_*, 0 = no IP
 * @has_ports:	@src and @dst have ports
 * @has_flow:	@flow_proto and @flow are of a flow that there is
 */
struct capture_key {
	bool to_guest;
	uint16_t ethertype;
	uint8_t proto;
	bool has_ports, has_flow;
	uint8_t flow_proto;
	struct endpoint src, dst;
	struct flow_id flow;
};

enum capture_op {
	CAPTURE_ETHERTYPE,
	CAPTURE_PROTO, /* ICMP is of both families */
	CAPTURE_NET,
	CAPTURE_PORT,
	CAPTURE_FLOW,
	CAPTURE_TO_GUEST,
	CAPTURE_NOT,
	CAPTURE_AND,
	CAPTURE_OR,
};

/**
 * struct capture_term - one step of a filter in postfix order
 * @value:	ethertype, PROTO_*, bits of @net's prefix, or enum flow_proto
 */
struct capture_term {
	uint8_t op;
	uint16_t value;
	struct port_range ports;
	struct ipaddr net;
	struct flow_id flow;
};

/* @n 0 = every frame. */
struct capture_filter {
	uint32_t n;
	struct capture_term term[CAPTURE_TERMS_MAX];
};

/**
 * struct capture_record - one message of the ring
 * @time_ns:	of the cycle, CLOCK_MONOTONIC
 * @lost:	frames that had found no room by then
 * @orig_len:	bytes of the frame; @len: of them, in @data
 * @to_guest:	which way it goes
 */
struct capture_record {
	uint64_t time_ns;
	uint64_t lost;
	uint32_t orig_len, len;
	bool to_guest, has_flow;
	uint8_t flow_proto;
	struct flow_id flow;
	uint8_t data[];
};

/**
 * struct capture - what is wanted, and where it goes; its memory is the reader's
 * @enough:	the reader wants no more
 * @seen, @matched:	frames that went by, and those that the filter picked
 */
struct capture {
	struct spsc ring;
	struct capture_filter filter;
	uint32_t snaplen;
	_Atomic bool enough;
	struct counter seen, matched;
};

/* capture_filter.c: any thread */
int capture_filter_parse(struct capture_filter *f, const char *text, char *why, size_t why_len);
bool capture_filter_match(const struct capture_filter *f, const struct capture_key *k);
void capture_key_of(const uint8_t *head, uint32_t len, struct capture_key *k);

/* capture.c: the stack's thread */
struct capture *stack_set_capture(struct stack *st, struct capture *c);
void capture_tx(struct stack *st, const struct tx_frame *frame);
void capture_rx(struct stack *st, const struct rx_frame *frame, uint32_t len);

#endif
