/* SPDX-License-Identifier: MIT */
/* One line for the user beside an error number: what failed, and how to mend it. */
#ifndef SLUICE_BASE_WHY_H
#define SLUICE_BASE_WHY_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include "src/base/base.h"

/**
 * why_set() - fill the caller's line and pass the error on
 * @why:	buffer, may be NULL when @why_len is 0
 * @err:	-errno
 *
 * Return: @err, so that "return why_set(...)" is the whole error path
 */
static inline int PRINTF(4, 5) why_set(char *why, size_t why_len, int err, const char *fmt, ...)
{
	va_list ap;

	if (why_len == 0)
		return err;
	va_start(ap, fmt);
	(void)vsnprintf(why, why_len, fmt, ap);
	va_end(ap);
	return err;
}

#endif
