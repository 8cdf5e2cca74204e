/* SPDX-License-Identifier: MIT */
/* Weak stand-ins for modules that are not in the tree yet. */
#include "tcpstack/priv.h"

#define WEAK __attribute__((weak))

WEAK int tcp_init(struct stack *st)
{
	(void)st;
	return 0;
}

WEAK void tcp_fini(struct stack *st)
{
	(void)st;
}

WEAK enum tx_verdict tcp_input(struct stack *st, const struct packet *pkt)
{
	(void)st;
	(void)pkt;
	return TX_DONE;
}

WEAK void tcp_run(struct stack *st)
{
	(void)st;
}

WEAK void tcp_port_changed(struct stack *st, bool up)
{
	(void)st;
	(void)up;
}

WEAK void tcp_rx_refilled(struct stack *st)
{
	(void)st;
}

WEAK void tcp_dump(const struct stack *st, FILE *out)
{
	(void)st;
	(void)out;
}

WEAK int udp_init(struct stack *st)
{
	(void)st;
	return 0;
}

WEAK void udp_fini(struct stack *st)
{
	(void)st;
}

WEAK void udp_input(struct stack *st, const struct packet *pkt)
{
	(void)st;
	(void)pkt;
}

WEAK void udp_run(struct stack *st)
{
	(void)st;
}

WEAK void udp_rx_refilled(struct stack *st)
{
	(void)st;
}

WEAK void udp_dump(const struct stack *st, FILE *out)
{
	(void)st;
	(void)out;
}

WEAK int ping_init(struct stack *st)
{
	(void)st;
	return 0;
}

WEAK void ping_fini(struct stack *st)
{
	(void)st;
}

WEAK void ping_input(struct stack *st, const struct packet *pkt, uint16_t id)
{
	(void)st;
	(void)pkt;
	(void)id;
}

WEAK void ping_run(struct stack *st)
{
	(void)st;
}

WEAK int dns_init(struct stack *st)
{
	(void)st;
	return 0;
}

WEAK void dns_fini(struct stack *st)
{
	(void)st;
}

WEAK void dns_run(struct stack *st)
{
	(void)st;
}
