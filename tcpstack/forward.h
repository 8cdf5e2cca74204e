/* SPDX-License-Identifier: MIT */
/*
 * Forwards: ports of the host that lead to ports of the guest.
 *
 * The main thread reads what the user wrote and makes the sockets; the stack takes
 * them over and serves them from its own loop. They outlive drivers and resets. A
 * forward that is taken away closes its socket: connections that came by it stay
 * open; flows of UDP, which had no other socket, end.
 *
 * A forward keeps to its family: one that listens on IPv6 leads to an IPv6 address
 * of the guest, and [::] takes nothing that comes over IPv4.
 */
#ifndef SLUICE_TCPSTACK_FORWARD_H
#define SLUICE_TCPSTACK_FORWARD_H

#include <stddef.h>
#include <stdint.h>

#include "tcpstack/addr.h"

struct stack;

/**
 * struct forward_spec - what the user asked for
 * @proto:	PROTO_TCP or PROTO_UDP
 * @bind:	the host's address and first port; port 0 = the kernel chooses
 * @count:	ports in a row, on both sides
 * @guest_port:	the first of the guest
 */
struct forward_spec {
	uint8_t proto;
	struct endpoint bind;
	uint16_t count;
	uint16_t guest_port;
};

/**
 * struct forward_info - one forwarded port
 * @bind:	where it listens
 * @guest:	where it leads now, as the stack answers; the address is unspecified as
 *		long as the guest has none of the forward's family
 * @accepted:	connections (UDP: peers) that were passed on to the guest
 * @refused:	... that met a limit
 */
struct forward_info {
	uint8_t proto;
	struct endpoint bind, guest;
	uint16_t guest_port;
	uint64_t accepted, refused;
};

/* Longest specification as text, and its NUL. */
#define FORWARD_STRLEN 96

/* forward_spec.c: main thread */
int forward_parse(struct forward_spec *spec, const char *text, char *why, size_t why_len);
int forward_parse_listen(struct forward_spec *spec, const char *text);
const char *forward_format(const struct forward_info *f, char buf[FORWARD_STRLEN]);
const char *forward_error(int err);
int forward_socket(const struct forward_spec *spec, uint16_t n, struct forward_info *out);

/* forward.c: the stack's thread */
int stack_forward_add(struct stack *st, struct forward_info *f, int fd);
int stack_forward_del(struct stack *st, uint8_t proto, const struct endpoint *bind);
uint32_t stack_forward_list(const struct stack *st, struct forward_info *out, uint32_t max);

#endif
