/* SPDX-License-Identifier: MIT */
/*
 * The stack rig: frames in on one side, real loopback sockets on the other, a
 * clock that moves only when the test says so, and random numbers from a seed.
 *
 * How to use it
 * -------------
 *	struct rig_config cfg;
 *	struct rig *r;
 *
 *	rig_config_defaults(&cfg);		then change what the test is about
 *	r = rig_new(&cfg);			a stack with a driver attached; NULL = the defaults
 *	lfd = rig_listen(&port);		a server on the host's 127.0.0.1
 *	rig_send_tcp(r, &seg, data, len);	a frame from the guest
 *	RIG_UNTIL(r, rig_pop(r, &pkt));		cycles until the guest has a frame
 *	rig_advance(r, 200 * NS_PER_MS);	timers fire, in order
 *	rig_free(r);				detaches, and checks what must hold
 *
 * The guest is cfg.stack.guest4; the host's loopback is reached through the
 * gateway address. One cycle is rig_cycle(): poll, stack_run(), publish. A
 * frame sent with rig_send*() enters the stack at once, as from a kick.
 *
 * What the rig checks by itself, failing the test:
 * - every frame to the guest: addresses, lengths, IP checksum, transport
 *   checksum (a needs_csum frame's partial sum is checked and completed),
 *   offloads only as the caps allow, no frame over the MTU but by GSO;
 *   fragments are whole, in order, and popped as one reassembled packet;
 * - every token of a held frame comes back exactly once, and none is left when
 *   the port is detached; a frame's memory is overwritten and freed when its
 *   token returns, so a late read shows as wrong bytes or under ASan;
 * - rx frames are committed in the order of allocation, within their room;
 * - nothing but the test allocates: rig_allocs() is what the stack itself did.
 *
 * Real time passes only inside RIG_UNTIL and the socket helpers that take a
 * rig; they give up, failing the test, after RIG_PATIENCE_MS.
 */
#ifndef SLUICE_TESTS_STACK_RIG_H
#define SLUICE_TESTS_STACK_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/clock.h"
#include "tcpstack/frame.h"
#include "tcpstack/loop.h"
#include "tcpstack/stack.h"
#include "tests/stack/own_network.h"

/* Longest that a wait for real sockets may take, milliseconds of real time. */
#define RIG_PATIENCE_MS 60000

#define MIB (1ULL << 20)

/* The counter @name of struct stack_counters. */
#define COUNT(r, name) counter_get(&stack_counters(rig_stack(r))->name)

/* TCP flags, RFC 9293 3.1. */
#define RIG_FIN 0x01
#define RIG_SYN 0x02
#define RIG_RST 0x04
#define RIG_PSH 0x08
#define RIG_ACK 0x10
#define RIG_URG 0x20

/**
 * struct rig_config - what rig_new() makes
 * @stack:	of the stack
 * @caps:	of the guest's driver; rx_frame_max 0 = as the buffers have it
 * @rx_buffers:	receive buffers of the guest's ring
 * @rx_buf_size: bytes of each
 * @rx_merge:	a frame may take several buffers; else it must fit one
 * @auto_refill: buffers return at the end of the cycle; else rig_refill()
 * @tx_pieces:	a frame from the guest is cut at random in up to so many pieces
 * @tx_direct:	each of them takes up a descriptor (no VIRTIO_F_INDIRECT_DESC)
 * @seed:	of everything random
 */
struct rig_config {
	struct stack_config stack;
	struct port_caps caps;
	uint32_t rx_buffers, rx_buf_size;
	bool rx_merge;
	bool auto_refill;
	uint32_t tx_pieces;
	bool tx_direct;
	uint64_t seed;
};

struct rig;

/**
 * struct rig_pkt - a frame to the guest, verified and taken apart
 * @frame, @len:	the frame itself, good until the next rig_pop()
 * @off:	its offloads as committed; the checksum in @frame is complete
 * @fragments:	1, or how many fragments it was put together from
 * @ethertype:	ETHERTYPE_*; the rest only for IPv4 and IPv6
 * @src, @dst:	host order, IPv4
 * @src6, @dst6:	of either family
 * @payload:	after the transport header; ICMP: after its eight bytes
 * @flags...:	TCP; @mss 0 and @wscale -1 = option absent
 * @sack:	TCP; blocks of a SACK option, from and to
 * @icmp_type, @icmp_code, @icmp_id, @icmp_seq:	ICMP
 */
struct rig_pkt {
	const uint8_t *frame;
	uint32_t len;
	struct offload off;
	uint32_t fragments;
	uint16_t ethertype;
	uint32_t src, dst;
	struct ipaddr src6, dst6;
	uint8_t proto, ttl;
	uint16_t sport, dport;
	const uint8_t *payload;
	uint32_t payload_len;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window;
	uint16_t mss;
	int wscale;
	bool sack_ok;
	uint32_t sack[4][2], sack_count;
	uint8_t icmp_type, icmp_code;
	uint16_t icmp_id, icmp_seq;
};

/**
 * struct rig_tcp_seg - header of a segment from the guest
 * @dst:	host order
 * @dst6:	NULL = IPv4 to @dst
 * @opts, @opts_len:	options, a multiple of four bytes
 * @off:	NULL: a full checksum and no offload; else needs_csum and so on
 *		as given (rig_send_tcp() fills csum_start and csum_offset in)
 */
struct rig_tcp_seg {
	uint32_t dst;
	const struct ipaddr *dst6;
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window;
	const uint8_t *opts;
	uint32_t opts_len;
	const struct offload *off;
};

/* rig.c, rig_port.c: life, time and the port */
void rig_config_defaults(struct rig_config *cfg);
struct rig *rig_new(const struct rig_config *cfg);
void rig_free(struct rig *r);
struct stack *rig_stack(struct rig *r);
const struct rig_config *rig_config(const struct rig *r);
void rig_cycle(struct rig *r);
void rig_advance(struct rig *r, uint64_t ns);
void rig_sleep(struct rig *r, uint64_t ns);
void rig_assert_asleep(struct rig *r);
uint64_t rig_now(const struct rig *r);
uint64_t rig_clock_reads(const struct rig *r);
uint64_t rig_random(struct rig *r);
void rig_set_guest_mac(struct rig *r, const uint8_t *mac);
void rig_attach(struct rig *r);
void rig_detach(struct rig *r);
void rig_set_auto_refill(struct rig *r, bool on);
void rig_refill(struct rig *r, uint32_t buffers);
uint32_t rig_rx_free(const struct rig *r);
uint32_t rig_held(const struct rig *r);
uint32_t rig_held_descs(const struct rig *r);
uint64_t rig_allocs(const struct rig *r);
bool rig_slots_are_mapped(const struct rig *r);
uint64_t rig_drops(struct rig *r, enum drop_reason reason);
enum tx_verdict rig_send(struct rig *r, const void *frame, uint32_t len, const struct offload *off);
bool rig_pop(struct rig *r, struct rig_pkt *pkt);
uint32_t rig_pending(const struct rig *r);

/* Cycles until @expr holds; fails the test after RIG_PATIENCE_MS. */
#define RIG_UNTIL(r, expr)                                                    \
	do {                                                                  \
		uint64_t rig_since_ = clock_now_ns();                         \
		while (!(expr))                                               \
			rig_step((r), rig_since_, #expr, __FILE__, __LINE__); \
	} while (0)
void rig_step(struct rig *r, uint64_t since_ns, const char *what, const char *file, int line);

/* rig_frames.c: building and taking apart */
uint32_t rig_build_eth(const struct rig *r, uint8_t *buf, uint16_t ethertype);
uint32_t rig_build_ip4(const struct rig *r, uint8_t *buf, uint32_t src, uint32_t dst, uint8_t proto,
		       uint32_t l4_len);
uint32_t rig_build_ip6(const struct rig *r, uint8_t *buf, const struct ipaddr *src,
		       const struct ipaddr *dst, uint8_t proto, uint32_t l4_len);
void rig_finish(uint8_t *frame, uint32_t l4_len);
uint32_t rig_build_udp6(const struct rig *r, uint8_t *buf, uint16_t sport, const struct ipaddr *dst,
			uint16_t dport, const void *payload, uint32_t len);
uint32_t rig_build_echo6(const struct rig *r, uint8_t *buf, const struct ipaddr *dst, uint16_t id,
			 uint16_t seq, const void *payload, uint32_t len);
uint32_t rig_build_udp(const struct rig *r, uint8_t *buf, uint16_t sport, uint32_t dst,
		       uint16_t dport, const void *payload, uint32_t len);
uint32_t rig_build_tcp(const struct rig *r, uint8_t *buf, const struct rig_tcp_seg *seg,
		       const void *payload, uint32_t len);
uint32_t rig_build_echo(const struct rig *r, uint8_t *buf, uint32_t dst, uint16_t id, uint16_t seq,
			const void *payload, uint32_t len);
uint32_t rig_build_arp(const struct rig *r, uint8_t *buf, uint32_t sender, uint32_t target);
enum tx_verdict rig_send_udp(struct rig *r, uint16_t sport, uint32_t dst, uint16_t dport,
			     const void *payload, uint32_t len);
enum tx_verdict rig_send_tcp(struct rig *r, const struct rig_tcp_seg *seg, const void *payload,
			     uint32_t len);
void rig_verify(const struct rig_config *cfg, const struct port_caps *caps, uint8_t *frame,
		uint32_t len, const struct offload *off);
void rig_verify_l4(uint8_t *frame, uint32_t len, const struct offload *off);
void rig_parse(struct rig_pkt *pkt);

/* rig_sockets.c: the host's side; descriptors are nonblocking and the test's to close */
int rig_listen(uint16_t *port);
int rig_listen6(uint16_t *port);
int rig_udp_socket6(uint16_t *port);
int rig_accept(struct rig *r, int listener);
int rig_udp_socket(uint16_t *port);
uint16_t rig_unused_port(void);
void rig_write_all(struct rig *r, int fd, const void *data, size_t len);
void rig_read_all(struct rig *r, int fd, void *buf, size_t len);
void rig_read_eof(struct rig *r, int fd);
void rig_reset_close(int fd);
void rig_pattern(void *buf, size_t len, uint64_t seed, uint64_t pos);
void rig_pattern_check(const void *buf, size_t len, uint64_t seed, uint64_t pos);

/* rig_far.c: a second host; 10.99.0.2, of bench/offhost */
#define RIG_FAR_ADDR 0x0a630002U
bool rig_is_near(void);
int rig_listen_far(uint16_t *port);
int rig_part(const char *what, const char *link, const char *arg);

#endif
