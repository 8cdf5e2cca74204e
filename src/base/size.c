/* SPDX-License-Identifier: MIT */
/* Numbers of bytes as people write them. */
#include "src/base/size.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/**
 * size_parse() - "512", "512K", "4G", "4GiB"
 * @v:	bytes; units are powers of 1024
 *
 * Any thread. Return: 0 or -EINVAL
 */
int size_parse(const char *text, uint64_t *v)
{
	static const char units[] = "KMGTkmgt";
	const char *unit;
	unsigned int shift;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*v = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	if (*end) {
		unit = strchr(units, *end);
		if (!unit)
			return -EINVAL;
		shift = 10 * (unsigned int)((unit - units) % 4 + 1);
		if (*v > UINT64_MAX >> shift)
			return -EINVAL;
		*v <<= shift;
		end++;
		if (strcmp(end, "iB") == 0)
			end += 2;
	}
	return *end ? -EINVAL : 0;
}
