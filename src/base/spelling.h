/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody meant who wrote a word that is not there: the nearest of those that are. */
#ifndef DACH_BASE_SPELLING_H
#define DACH_BASE_SPELLING_H

#include <stddef.h>

struct spelling {
	const char *word;
	size_t len;
	const char *found; /* the caller's, as it was offered; NULL: none is near */
	unsigned best;
};

/* word: len bytes, which outlive the struct. */
void spelling_begin(struct spelling *spelling, const char *word, size_t len);
/* A word that is there. Of two that are as near the first counts. */
void spelling_offer(struct spelling *spelling, const char *candidate);

/*
 * How many letters must be changed, added, taken away, or exchanged with their neighbour; at least 30
 * where one of the words is longer than that.
 */
unsigned spelling_distance(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
