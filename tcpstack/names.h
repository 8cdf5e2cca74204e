/* SPDX-License-Identifier: MIT */
/*
 * Names that the guest has learnt addresses under, from answers of our DNS
 * service: what rules of names are matched against.
 */
#ifndef SLUICE_TCPSTACK_NAMES_H
#define SLUICE_TCPSTACK_NAMES_H

#include <stdint.h>

#include "tcpstack/addr.h"

struct stack;

/* names.c */
int names_init(struct stack *st);
void names_fini(struct stack *st);
void names_learn(struct stack *st, const struct ipaddr *addr, const char *name, uint32_t ttl_s);
void names_answer(struct stack *st, const uint8_t *msg, uint32_t len);
uint32_t names_find(struct stack *st, const struct ipaddr *addr, const char **names, uint32_t max);

#endif
