/* SPDX-License-Identifier: MIT */
/*
 * Names that our DNS service answers for itself: what the user has given, and
 * "gateway". They outlive drivers and resets.
 */
#ifndef SLUICE_TCPSTACK_HOSTS_H
#define SLUICE_TCPSTACK_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpstack/addr.h"
#include "tcpstack/dns_msg.h"

struct stack;

/* Addresses of one name, all of which fit an answer. */
#define HOST_ADDRS_MAX 16

/* The name of our own, and the word for its addresses in a specification. */
#define HOST_GATEWAY "gateway"

/**
 * struct host_spec - one name and its addresses, as the user wrote them
 * @name:	in lower case, without a final dot
 * @gateway:	also those of the gateway
 */
struct host_spec {
	char name[DNS_TEXT_MAX + 1];
	bool gateway;
	uint32_t naddrs;
	struct ipaddr addr[HOST_ADDRS_MAX];
};

/**
 * struct host_entry - one name and one of its addresses
 * @built_in:	ours; stands aside for the user's own of that name
 */
struct host_entry {
	char name[DNS_TEXT_MAX + 1];
	struct ipaddr addr;
	bool built_in;
};

/* hosts_spec.c: any thread */
int host_parse(struct host_spec *spec, const char *text, char *why, size_t why_len);
int host_parse_name(const char *text, size_t len, char name[DNS_TEXT_MAX + 1]);

const char *host_strerror(int err);

/* hosts.c: the stack's thread */
int stack_host_add(struct stack *st, const struct host_spec *spec);
int stack_host_del(struct stack *st, const char *name);
uint32_t stack_host_list(const struct stack *st, struct host_entry *out, uint32_t max);

#endif
