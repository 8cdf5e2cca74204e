/* SPDX-License-Identifier: MIT */
/*
 * What the rig asserts: outside of a cmocka test its failures are silent, so they are
 * led here (--wrap), said, and end the seed.
 */
#include <stdio.h>
#include <string.h>

#include "tests/fault/transfer.h"

void __wrap__assert_true(LargestIntegralType result, const char *expression, const char *file,
			 int line);
void __wrap__assert_int_equal(LargestIntegralType a, LargestIntegralType b, const char *file,
			      int line);
void __wrap__assert_int_not_equal(LargestIntegralType a, LargestIntegralType b, const char *file,
				  int line);
void __wrap__assert_memory_equal(const void *a, const void *b, size_t size, const char *file,
				 int line);
void __wrap__fail(const char *file, int line);

static struct xfer *now;

/**
 * xfer_asserts_for() - what fails from here on is of @x
 */
void xfer_asserts_for(struct xfer *x)
{
	now = x;
}

/**
 * xfer_alarm() - the seed takes too long: of SIGALRM, which finds the process in a loop
 */
void xfer_alarm(int signo)
{
	(void)signo;
	xfer_failed(now, "no end", __LINE__, __FILE__);
}

void __wrap__assert_true(LargestIntegralType result, const char *expression, const char *file,
			 int line)
{
	if (!result)
		xfer_failed(now, expression, line, file);
}

void __wrap__assert_int_equal(LargestIntegralType a, LargestIntegralType b, const char *file,
			      int line)
{
	char what[80];

	if (a == b)
		return;
	snprintf(what, sizeof(what), "%#llx and %#llx should be equal", (unsigned long long)a,
		 (unsigned long long)b);
	xfer_failed(now, what, line, file);
}

void __wrap__assert_int_not_equal(LargestIntegralType a, LargestIntegralType b, const char *file,
				  int line)
{
	if (a == b)
		xfer_failed(now, "two numbers should differ", line, file);
}

void __wrap__assert_memory_equal(const void *a, const void *b, size_t size, const char *file,
				 int line)
{
	if (memcmp(a, b, size) != 0)
		xfer_failed(now, "memory differs", line, file);
}

void __wrap__fail(const char *file, int line)
{
	xfer_failed(now, "as said before", line, file);
}
