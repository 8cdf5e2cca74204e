/* SPDX-License-Identifier: MIT */
/* Which sluice this is; the Makefile knows. */
#include "src/cli/version.h"

const char sluice_version[] = SLUICE_VERSION;
