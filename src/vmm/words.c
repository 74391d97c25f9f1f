/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/words.h"

#include <string.h>

#define PANIC "Kernel panic - not syncing: "
#define END "---[ end " PANIC
#define REBOOT "reboot: " /* and what it does: restart, power down, halt */
#define HALTED REBOOT "System halted"
/* A panic says this much at most before it starts again; who goes on longer has not panicked. */
#define PANIC_MAX (256u << 10)

static void say(struct last_words *words, enum words_said said)
{
	words->since = 0;
	__atomic_store_n(&words->said, said, __ATOMIC_RELEASE);
}

/* Kernels before 4.19 end the line without " ]---". */
static void end_of_panic(struct last_words *words, const char *text)
{
	if (words_said(words) == WORDS_PANIC && !strncmp(text, words->panic, strlen(words->panic)))
		say(words, WORDS_END);
}

/* The kernel's line may follow what a program had not ended. */
static void read_line(struct last_words *words)
{
	const char *line = words->line, *at;

	if ((at = strstr(line, END))) {
		end_of_panic(words, at + strlen(END));
	} else if ((at = strstr(line, PANIC))) {
		strcpy(words->panic, at + strlen(PANIC));
		say(words, WORDS_PANIC);
	} else if (strstr(line, HALTED)) {
		say(words, WORDS_HALTED);
	} else if (strstr(line, REBOOT)) {
		say(words, WORDS_NONE);
	}
}

static void end_line(struct last_words *words)
{
	enum words_said said = words_said(words);

	words->line[words->len] = 0;
	words->since += words->len;
	read_line(words);
	/* After the last of them a kernel is silent. */
	if (words->since && (said == WORDS_END || said == WORDS_HALTED))
		say(words, WORDS_NONE);
	if (words->since > PANIC_MAX)
		say(words, WORDS_NONE);
	words->len = 0;
}

void words_read(struct last_words *words, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n')
			end_line(words);
		else if (data[i] && data[i] != '\r' && words->len < WORDS_LINE - 1)
			words->line[words->len++] = data[i];
	}
}

enum words_said words_said(const struct last_words *words)
{
	return __atomic_load_n(&words->said, __ATOMIC_ACQUIRE);
}

void words_forget(struct last_words *words)
{
	__atomic_store_n(&words->said, WORDS_NONE, __ATOMIC_RELEASE);
}
