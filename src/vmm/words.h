/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a Linux kernel says on a console when it cannot go on, found in all that the guest says there. A
 * program can say the same: words alone are no proof (watch.h asks the processors).
 */
#ifndef DACH_VMM_WORDS_H
#define DACH_VMM_WORDS_H

#include <stddef.h>
#include <stdint.h>

enum words_said {
	WORDS_NONE,
	WORDS_HALTED, /* "reboot: System halted", and nothing since */
	WORDS_PANIC,  /* "Kernel panic - not syncing: ..." */
	WORDS_END,    /* and "---[ end Kernel panic ...", of the same panic, and nothing since */
};

#define WORDS_LINE 512 /* of a longer line only its first bytes count */

/* One console's; zero is a good beginning. Written by one thread at a time; said is atomic. */
struct last_words {
	enum words_said said;
	size_t since; /* bytes since then */
	size_t len;
	char line[WORDS_LINE], panic[WORDS_LINE];
};

void words_read(struct last_words *words, const uint8_t *data, size_t len);
/* Any thread. */
enum words_said words_said(const struct last_words *words);
/* The guest lives: it was not its kernel that said so. Any thread. */
void words_forget(struct last_words *words);

#endif
