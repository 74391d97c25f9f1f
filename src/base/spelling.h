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
	char question[64];
};

/* word: len bytes, which outlive the struct. */
void spelling_begin(struct spelling *spelling, const char *word, size_t len);
/* A word that is there. Of two that are as near the first counts. */
void spelling_offer(struct spelling *spelling, const char *candidate);
/*
 * What follows a message that says that the word is not there: "; did you mean 'WORD'?", with `prefix` before
 * the word, or "" if none is near. The struct's.
 */
const char *spelling_question(struct spelling *spelling, const char *prefix);

/*
 * How many letters must be changed, added, taken away, or exchanged with their neighbour; at least 30
 * where one of the words is longer than that.
 */
unsigned spelling_distance(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
