/* SPDX-License-Identifier: MIT */
/* Which word a mistyped one was meant to be. */
#include "src/cli/nearest.h"

#include <string.h>

#include "src/base/base.h"

/* Longer words are not looked at. */
#define WORD_MAX 32

/* Letters that are wrong, missing, too many or exchanged with their neighbour. */
static size_t distance(const char *a, size_t la, const char *b, size_t lb)
{
	size_t d[WORD_MAX + 1][WORD_MAX + 1];

	for (size_t i = 0; i <= la; i++) {
		for (size_t j = 0; j <= lb; j++) {
			if (i == 0 || j == 0) {
				d[i][j] = i + j;
				continue;
			}
			d[i][j] = MIN(d[i - 1][j], d[i][j - 1]) + 1;
			d[i][j] = MIN(d[i][j], d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = MIN(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[la][lb];
}

/**
 * nearest_offer() - take @word into account; it must live as long as @n
 *
 * A word is near if a third of its letters at most are wrong. Any thread.
 */
void nearest_offer(struct nearest *n, const char *word)
{
	size_t la = strlen(n->typed), lb = strlen(word), d;

	if (la > WORD_MAX || lb > WORD_MAX)
		return;
	d = distance(n->typed, la, word, lb);
	if (d <= MIN(la, lb) / 3 && (!n->best || d < n->distance)) {
		n->best = word;
		n->distance = d;
	}
}
