/* SPDX-License-Identifier: MIT */
/* What forward.c (the ports, and TCP) and udp_forward.c share. */
#ifndef SLUICE_TCPSTACK_FORWARD_PRIV_H
#define SLUICE_TCPSTACK_FORWARD_PRIV_H

#include "tcpstack/forward.h"
#include "tcpstack/udp_priv.h"

/**
 * struct forward - one forwarded port
 * @ready:	listed while something may be there to take: TCP in forwards.ready,
 *		UDP in udp.forwards
 * @fd:		the socket, -1 = the slot is free
 * @gen:	of its event tokens; moves when it is freed
 * @flows:	UDP: what came by it, dgram_flow.shares
 * @any:	UDP: it listens on every address, so each flow knows its own
 * @rx:		UDP: what the socket gives at a time
 */
struct forward {
	struct dlist ready;
	int fd;
	uint32_t gen;
	struct forward_info info;
	struct dlist flows;
	bool any;
	struct udp_rx rx;
};

/* forward.c */
struct endpoint forward_guest(const struct stack *st, const struct forward_info *f);
struct ipaddr forward_peer(const struct stack *st, const struct ipaddr *peer);
void forward_wake_again(struct stack *st, const struct forward *f);

/* udp_forward.c */
void udp_forward_opened(struct stack *st, struct forward *f);
void udp_forward_closing(struct stack *st, struct forward *f);
void udp_forward_event(struct stack *st, struct forward *f);
struct udp_flow *udp_forward_flow(struct stack *st, struct forward *f, const struct msghdr *msg);
void udp_forward_address(struct stack *st, const struct udp_flow *uf, const struct packet *pkt,
			 struct udp_control *control, struct msghdr *msg);

#endif
