/* SPDX-License-Identifier: MIT */
/*
 * ICMP of both families (RFC 792, RFC 4443): numbers of the wire, and the
 * errors that we tell the guest.
 */
#ifndef SLUICE_TCPSTACK_ICMP_H
#define SLUICE_TCPSTACK_ICMP_H

#include <stdint.h>

#include "tcpstack/addr.h"

struct packet;
struct stack;

/* Type, code, checksum, and four bytes whose meaning depends on the type. */
#define ICMP_HLEN 8

/* RFC 792 */
#define ICMP4_ECHO_REPLY    0
#define ICMP4_UNREACHABLE   3
#define ICMP4_ECHO_REQUEST  8
#define ICMP4_TIME_EXCEEDED 11

/* Codes of unreachable, RFC 792 and RFC 1812 5.2.7.1. */
#define UNREACH_NET	   0
#define UNREACH_HOST	   1
#define UNREACH_PROTOCOL   2
#define UNREACH_PORT	   3
#define UNREACH_TOO_BIG	   4
#define UNREACH_PROHIBITED 13

/* RFC 4443 */
#define ICMP6_UNREACHABLE   1
#define ICMP6_TOO_BIG	    2
#define ICMP6_TIME_EXCEEDED 3
#define ICMP6_PARAMETER	    4
#define ICMP6_ECHO_REQUEST  128
#define ICMP6_ECHO_REPLY    129

/* Codes of unreachable and of parameter problem. */
#define UNREACH6_NO_ROUTE   0
#define UNREACH6_PROHIBITED 1
#define UNREACH6_ADDRESS    3
#define UNREACH6_PORT	    4
#define PARAMETER6_NEXT	    1

/**
 * struct icmp_error - an error about a packet of the guest
 * @type, @code:	in the numbers of the packet's own family
 * @info:	the four bytes after the checksum, host order (MTU, pointer)
 * @from:	who says so; NULL = the gateway
 */
struct icmp_error {
	uint8_t type, code;
	uint32_t info;
	const struct ipaddr *from;
};

/* icmp_error.c */
void icmp_send_error(struct stack *st, const struct packet *pkt, const struct icmp_error *e);
void icmp_send_unreachable(struct stack *st, const struct packet *pkt, uint8_t code);
void icmp_send_time_exceeded(struct stack *st, const struct packet *pkt);
void icmp_send_too_big(struct stack *st, const struct packet *pkt, uint32_t mtu);

#endif
