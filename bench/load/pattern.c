/* SPDX-License-Identifier: MIT */
/*
 * The pattern that bulk transfers carry: one pseudo-random table, read from a
 * place that the seed chooses, so that sending costs no generation and checking
 * is a memcmp. Flows with different seeds start apart, and a byte lost, doubled
 * or moved between flows shows as a difference.
 */
#include <string.h>

#include "pattern.h"

/* Twice over, so that every place has a whole period after it in one piece. */
static uint8_t table[2 * PATTERN_PERIOD];

/* pattern_init() - fill the table; once, before anything else here. */
void pattern_init(void)
{
	uint64_t x = 0x736c75696365ULL;

	for (uint32_t i = 0; i < PATTERN_PERIOD; i++) {
		/* xorshift64*: any generator without short cycles does. */
		x ^= x >> 12;
		x ^= x << 25;
		x ^= x >> 27;
		table[i] = (uint8_t)((x * 0x2545f4914f6cdd1dULL) >> 56);
	}
	memcpy(table + PATTERN_PERIOD, table, PATTERN_PERIOD);
}

/*
 * pattern_at() - the pattern of a seed from an offset on.
 *
 * At least PATTERN_PERIOD bytes may be read from the result.
 */
const uint8_t *pattern_at(uint64_t seed, uint64_t off)
{
	uint64_t start = (seed % PATTERN_PERIOD) * 7919 % PATTERN_PERIOD;

	return table + (start + off) % PATTERN_PERIOD;
}

/*
 * pattern_check() - do these bytes equal the pattern?
 *
 * @bad: set to the offset of the first difference, when there is one
 */
bool pattern_check(uint64_t seed, uint64_t off, const void *p, size_t len, uint64_t *bad)
{
	const uint8_t *bytes = p;

	while (len) {
		size_t n = len < PATTERN_PERIOD ? len : PATTERN_PERIOD;
		const uint8_t *want = pattern_at(seed, off);

		if (memcmp(bytes, want, n) != 0) {
			while (*bytes == *want) {
				bytes++;
				want++;
				off++;
			}
			*bad = off;
			return false;
		}
		bytes += n;
		off += n;
		len -= n;
	}
	return true;
}
