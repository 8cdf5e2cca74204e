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
