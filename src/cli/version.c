/* SPDX-License-Identifier: MIT */
/* Which sluice this is; the Makefile knows. A build that is not for use says so. */
#include "src/cli/version.h"

#define TEXT_(x) #x
#define TEXT(x)	 TEXT_(x)

#ifdef SLUICE_TEST_SPIN_PERCENT
#define SLOW ", test build: " TEXT(SLUICE_TEST_SPIN_PERCENT) " % slower"
#else
#define SLOW ""
#endif

#ifdef SLUICE_DEBUG
#define DEBUG ", debug build"
#else
#define DEBUG ""
#endif

const char sluice_version[] = SLUICE_VERSION DEBUG SLOW;
