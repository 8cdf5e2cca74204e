/* SPDX-License-Identifier: MIT */
/*
 * Dates of RFC 3339. The C library's gmtime_r() may read a file and allocate when it
 * is first called, which a worker must not.
 */
#include "src/base/utc.h"

#include <stdio.h>

#define DAY_S 86400U

/* Days from 0000-03-01, where leap days end a year, to 1970-01-01. */
#define EPOCH_DAYS 719468U

/* Days of 400, 100, 4 years and one, in that calendar. */
#define ERA_DAYS     146097U
#define CENTURY_DAYS 36524U
#define FOUR_DAYS    1460U
#define YEAR_DAYS    365U

/**
 * utc_format() - a moment as RFC 3339 has it, in UTC to the microsecond; any thread
 * @ns:		nanoseconds since 1970
 *
 * Return: @buf
 */
const char *utc_format(uint64_t ns, char buf[UTC_STRLEN])
{
	uint64_t s = ns / NS_PER_S;
	unsigned int of_day = (unsigned int)(s % DAY_S);
	unsigned int days = (unsigned int)(s / DAY_S) + EPOCH_DAYS;
	unsigned int era = days / ERA_DAYS, day = days % ERA_DAYS;
	/* Years of 365 days each, once the leap days so far are taken out. */
	unsigned int year = (day - day / FOUR_DAYS + day / CENTURY_DAYS - day / (ERA_DAYS - 1)) /
			    YEAR_DAYS;
	unsigned int of_year = day - (YEAR_DAYS * year + year / 4 - year / 100);
	/* Months from March on have 31, 30, 31, 30, 31 days, over and over. */
	unsigned int month = (5 * of_year + 2) / 153;
	unsigned int of_month = of_year - (153 * month + 2) / 5 + 1;

	month = month < 10 ? month + 3 : month - 9;
	year += 400 * era + (month <= 2);
	snprintf(buf, UTC_STRLEN, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ", year % 10000, month % 100,
		 of_month % 100, of_day / 3600, of_day / 60 % 60, of_day % 60,
		 (unsigned int)(ns % NS_PER_S / NS_PER_US));
	return buf;
}
