/* SPDX-License-Identifier: MIT */
/*
 * For tests of UDP: datagrams of known content between a guest's port and a
 * server on the host's loopback, reached through the gateway. A datagram is
 * its length and the seed of its pattern; whoever gets it compares every byte.
 */
#ifndef SLUICE_TESTS_STACK_UDP_RIG_H
#define SLUICE_TESTS_STACK_UDP_RIG_H

#include <netinet/in.h>

#include "tests/stack/rig.h"

#define GUEST	 0x0a00020fU
#define GATEWAY	 0x0a000202U
#define LOOPBACK 0x7f000001U
#define GPORT	 40000

/**
 * struct udp_pair - a guest and a server on the host
 * @port, @fd:	the server's
 * @peer:	what the guest's flow from GPORT is to it, once udp_open() has opened one
 */
struct udp_pair {
	struct rig *r;
	uint16_t port;
	int fd;
	struct sockaddr_in peer;
};

/* What udp_try_receive() took last. */
extern uint8_t udp_in[65536];

/* udp_rig.c */
void udp_start(struct udp_pair *u, const struct rig_config *cfg);
void udp_open(struct udp_pair *u, const struct rig_config *cfg);
void udp_end(struct udp_pair *u);
bool udp_try_receive(int fd, struct sockaddr_in *peer, ssize_t *n);
struct sockaddr_in udp_server_gets(struct rig *r, int fd, uint32_t len, uint64_t seed);
void udp_server_sends(int fd, const struct sockaddr_in *to, uint32_t len, uint64_t seed);
void udp_guest_sends(struct rig *r, uint16_t sport, uint16_t dport, uint32_t len, uint64_t seed);
struct rig_pkt udp_guest_gets(struct rig *r, uint16_t sport, uint16_t dport, uint32_t len,
			      uint64_t seed);

#endif
