/* SPDX-License-Identifier: MIT */
/* Numbers of bytes as people write them. */
#ifndef SLUICE_BASE_SIZE_H
#define SLUICE_BASE_SIZE_H

#include <stdint.h>

/* size.c */
int size_parse(const char *text, uint64_t *v);

#endif
