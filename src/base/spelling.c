/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spelling.h"

#include <stdio.h>
#include <string.h>

#define LENGTH_MAX 30u /* longer words are no slips of the finger */

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Optimal string alignment: three rows of the table are needed at a time. */
unsigned spelling_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned rows[3][LENGTH_MAX + 1];

	if (a_len > LENGTH_MAX || b_len > LENGTH_MAX)
		return LENGTH_MAX;
	for (unsigned j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (unsigned i = 1; i <= a_len; i++) {
		unsigned *row = rows[i % 3];
		const unsigned *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

		row[0] = i;
		for (unsigned j = 1; j <= b_len; j++) {
			row[j] = least(above[j - 1] + (a[i - 1] != b[j - 1]),
				1 + least(above[j], row[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], 1 + before[j - 2]);
		}
	}
	return rows[a_len % 3][b_len];
}

void spelling_begin(struct spelling *spelling, const char *word, size_t len)
{
	*spelling = (struct spelling){.word = word, .len = len, .best = len > 4 ? 3 : 2};
}

void spelling_offer(struct spelling *spelling, const char *candidate)
{
	unsigned far =
		spelling_distance(spelling->word, spelling->len, candidate, strlen(candidate));

	/* Of a short word that is all letters changed. */
	if (far >= spelling->best || far >= spelling->len)
		return;
	spelling->best = far;
	spelling->found = candidate;
}

const char *spelling_question(struct spelling *spelling, const char *prefix)
{
	spelling->question[0] = 0;
	if (spelling->found)
		snprintf(spelling->question, sizeof spelling->question, "; did you mean '%s%s'?",
			prefix, spelling->found);
	return spelling->question;
}
