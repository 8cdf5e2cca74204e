/* SPDX-License-Identifier: MIT */
/* A network of a test's own, so that nothing it does leaves the machine. */
#ifndef SLUICE_TESTS_STACK_OWN_NETWORK_H
#define SLUICE_TESTS_STACK_OWN_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

bool rig_own_network(const uint32_t *addrs, uint32_t n);
int rig_write_file(const char *path, const char *text);

#endif
