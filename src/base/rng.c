/* SPDX-License-Identifier: MIT */
/* Random bytes from the kernel. */
#include "src/base/rng.h"

#include <errno.h>
#include <sys/random.h>

#include "src/base/base.h"

void rng_fill(void *buf, size_t len)
{
	unsigned char *p = buf;

	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		BUG_ON(n <= 0);
		p += n;
		len -= (size_t)n;
	}
}
