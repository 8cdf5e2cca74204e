/* SPDX-License-Identifier: MIT */
#ifndef SLUICE_CLI_VERSION_H
#define SLUICE_CLI_VERSION_H

extern const char sluice_version[];

#endif
