/* SPDX-License-Identifier: MIT */
/* For tests of forwards: ports of the host, peers that use them, and the guest behind. */
#ifndef SLUICE_TESTS_STACK_FORWARD_RIG_H
#define SLUICE_TESTS_STACK_FORWARD_RIG_H

#include "tcpstack/forward.h"
#include "tests/stack/rig_tcp.h"

/**
 * struct fwd_pair - a forward, and a peer that uses it
 * @fd:		the peer's socket
 */
struct fwd_pair {
	struct rig *r;
	struct forward_info f;
	int fd;
};

/* forward_rig.c */
void fwd_open(struct fwd_pair *p, const struct rig_config *cfg, const char *spec);
void fwd_end(struct fwd_pair *p);
struct forward_info fwd_add(struct rig *r, const char *spec);
struct forward_info fwd_listed(struct rig *r);
int fwd_peer(const struct forward_info *f);
uint16_t fwd_port_of(int fd);
bool fwd_was_reset(int fd);
void fwd_guest_conn(struct rig *r, const struct rig_pkt *syn, struct rig_conn *c);
void fwd_guest_gets_syn(struct rig *r, struct rig_pkt *syn, uint16_t port);
void fwd_guest_probes(struct rig *r, const struct ipaddr *addr);

/* of UDP: a datagram is its length and the seed of its bytes, all of which are compared */
int fwd_peer_at(const struct forward_info *f, uint32_t addr, uint16_t port);
void fwd_peer_sends(int fd, uint32_t len, uint64_t seed);
void fwd_peer_gets(struct rig *r, int fd, uint32_t len, uint64_t seed);
void fwd_guest_gets(struct rig *r, struct rig_pkt *pkt, uint16_t port, uint32_t len, uint64_t seed);
void fwd_guest_answers(struct rig *r, const struct rig_pkt *pkt, uint32_t len, uint64_t seed);

#endif
