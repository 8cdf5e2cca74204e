/* SPDX-License-Identifier: MIT */
/* Neighbour discovery (RFC 4861): what the rest of the stack sees of it. */
#ifndef SLUICE_TCPSTACK_NDP_H
#define SLUICE_TCPSTACK_NDP_H

#include <stdint.h>

#include "tcpstack/addr.h"
#include "tcpstack/limits.h"
#include "tcpstack/timer.h"

struct packet;
struct stack;

/**
 * struct ndp - state of ndp.c, inside struct stack
 * @link_local:	ours, made of our MAC address (RFC 4291 appendix A)
 * @adverts:	the next unsolicited router advertisement
 * @advert_ns:	when one last went to all nodes, 0 = never
 * @inbound:	where forwards over IPv6 go, unspecified = the guest has shown none yet
 * @guest:	addresses that the guest has claimed, @count of them; when all
 *		places are taken, the oldest, @next, makes room
 */
struct ndp {
	struct ipaddr link_local;
	struct timer adverts;
	uint64_t advert_ns;
	struct ipaddr inbound;
	struct ipaddr guest[LIMIT_IP6_GUEST_ADDRS];
	uint32_t count, next;
};

/* ndp.c */
void ndp_init(struct stack *st);
void ndp_port_up(struct stack *st);
void ndp_port_down(struct stack *st);
void ndp_reset(struct stack *st);
void ndp_seen(struct stack *st, const struct ipaddr *addr);
void ndp_input(struct stack *st, const struct packet *pkt);

/* ip6.c */
enum drop_reason ip6_check_addresses(const struct stack *st, const struct packet *pkt);

#endif
