/* SPDX-License-Identifier: MIT */
/*
 * A guest's end of a TCP connection, for the stack rig: it keeps sequence
 * numbers, ACKs what comes in order, and can be told to lose frames, to stop
 * reading, or to send anything at all.
 *
 * What it checks by itself, at every segment that it gets:
 * - every segment but a RST of an unknown flow carries ACK (H38);
 * - an ACK acknowledges nothing unsent, and never goes back;
 * - the window's right edge never moves left (H38);
 * - payload is the next of the pattern stream rx_seed, at its place (H30);
 * - SACK comes only where both sides permitted it, and each block lies within what
 *   was sent and behind the ACK; but the first may report a duplicate (RFC 2883).
 */
#ifndef SLUICE_TESTS_STACK_RIG_TCP_H
#define SLUICE_TESTS_STACK_RIG_TCP_H

#include "tests/stack/rig.h"

#define RIG_GATEWAY 0x0a000202U

#define RIG_EARLY_MAX 1024

/**
 * struct rig_conn - set the first part before rig_conn_open()
 * @sport, @dport:	ports; the remote address is @dst, host order
 * @dst6:	the remote address where @v6
 * @iss:	the guest's initial sequence number
 * @mss:	option of the SYN, 0 = none
 * @wscale:	option of the SYN, -1 = none
 * @sack:	the SYN permits SACK; ACKs report what is early
 * @window:	receive window in bytes; it follows what the test sets
 * @auto_ack:	ACK data as it comes
 * @rx_seed, @tx_seed:	streams that are expected and sent
 * @lose:	so many of the next frames with payload are lost
 * @loss:	of a hundred frames with payload, so many are lost at random
 * @keep, @keep_max:	what comes is kept here at its place, not compared; NULL = compared
 * @group:	array of @group_size connections that frames go to; itself alone
 */
struct rig_conn {
	struct rig *r;
	uint32_t dst;
	struct ipaddr dst6;
	bool v6;
	uint16_t sport, dport;
	uint32_t iss;
	uint16_t mss;
	int wscale;
	bool sack;
	uint32_t window;
	bool auto_ack;
	uint64_t rx_seed, tx_seed;
	uint32_t lose, loss;
	uint8_t *keep;
	uint32_t keep_max;
	struct rig_conn *group;
	uint32_t group_size;

	/* What has come. */
	bool synack, fin, rst;
	uint16_t peer_mss;
	int peer_wscale;
	bool peer_sack;
	uint32_t irs, rcv_nxt;
	uint64_t rx_bytes;     /* in order */
	uint32_t frames, acks; /* with payload; without */
	uint32_t max_payload;  /* of one frame */
	uint32_t gso_frames;
	uint32_t lost;
	/* Ranges that came before their turn. */
	struct rig_range {
		uint32_t from, to;
	} early[RIG_EARLY_MAX];
	uint32_t early_count;
	struct rig_pkt last; /* payload pointer not to be used */

	/* What was sent. */
	uint32_t snd_una, snd_nxt, snd_max, edge;
	uint64_t tx_bytes; /* of the stream, at snd_nxt */
	uint32_t resends;
	bool fin_sent;
};

/* Cycles until @expr holds once the guest has taken what came; as RIG_UNTIL. */
#define RIG_CONN_UNTIL(c, expr) RIG_UNTIL((c)->r, (rig_conn_poll(c), (expr)))

/* rig_tcp.c */
void rig_conn_init(struct rig_conn *c, struct rig *r, uint16_t sport, uint16_t dport);
void rig_conn_init6(struct rig_conn *c, struct rig *r, uint16_t sport, uint16_t dport);
void rig_conn_syn(struct rig_conn *c);
int rig_conn_open(struct rig_conn *c, int listener);
void rig_conn_open_all(struct rig_conn *c, int *fd, uint32_t n, struct rig *r, uint16_t sport,
		       uint16_t dport, int listener);
void rig_conn_input(struct rig_conn *c, const struct rig_pkt *p);
void rig_conn_poll(struct rig_conn *c);
void rig_conn_cycle(struct rig_conn *c);
enum tx_verdict rig_conn_segment(struct rig_conn *c, uint8_t flags, uint32_t seq, const void *data,
				 uint32_t len);
void rig_conn_ack(struct rig_conn *c);
uint32_t rig_conn_room(const struct rig_conn *c);
void rig_conn_send(struct rig_conn *c, uint32_t len);
void rig_conn_send_bytes(struct rig_conn *c, const void *data, uint32_t len);
void rig_conn_fin(struct rig_conn *c);
void rig_conn_upload(struct rig_conn *c, uint64_t total, uint32_t size);
void rig_conn_resend(struct rig_conn *c);
bool rig_conn_acked(const struct rig_conn *c);

/* The server's side of a stream: as much as goes now. */
void rig_pump_write(int fd, uint64_t seed, uint64_t *pos, uint64_t total);
void rig_pump_read(int fd, uint64_t seed, uint64_t *pos);

#endif
