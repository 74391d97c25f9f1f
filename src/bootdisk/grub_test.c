/* SPDX-License-Identifier: Apache-2.0 */
/* GRUB's command test (its manual, "test"), also called [. */
#include <stdlib.h>
#include <string.h>

#include "bootdisk/grub.h"

#define TEST_DEPTH_MAX 16u
#define COST_FILE 20u /* steps */

struct grub_tester {
	struct grub *grub;
	const struct grub_words *words;
	unsigned at, end, depth;
};

static bool alternatives(struct grub_tester *t);

static bool is(const struct grub_tester *t, unsigned ahead, const char *text)
{
	return t->at + ahead < t->end && !strcmp(t->words->word[t->at + ahead], text);
}

/* -f FILE and its like */
static bool file(const struct grub_tester *t, char letter, const char *path)
{
	const struct menu_disk *disk = t->grub->disk;
	char device[MENU_DEVICE_MAX];
	const char *rest;
	uint64_t size = 0;
	enum menu_kind kind;

	/* What is too much ends the next command. */
	if (!grub_split(t->grub, path, device, &rest) ||
		grub_step(t->grub, t->grub->line, COST_FILE))
		return false;
	kind = disk->look(disk->data, device, rest, &size);
	if (letter == 'd')
		return kind == MENU_FOLDER;
	return letter == 'e' ? kind != MENU_NOTHING : kind == MENU_FILE && (letter == 'f' || size);
}

static bool compare(const char *left, const char *sign, const char *right, bool *answer)
{
	static const char *const numbers[] = {"-eq", "-ne", "-lt", "-le", "-gt", "-ge"};
	int order = strcmp(left, right);
	long a = strtol(left, NULL, 0), b = strtol(right, NULL, 0);
	const bool by_number[] = {a == b, a != b, a<b, a <= b, a> b, a >= b};

	for (unsigned i = 0; i < 6; i++)
		if (!strcmp(sign, numbers[i])) {
			*answer = by_number[i];
			return true;
		}
	if (!strcmp(sign, "=") || !strcmp(sign, "=="))
		*answer = !order;
	else if (!strcmp(sign, "!="))
		*answer = order;
	else if (!strcmp(sign, "<"))
		*answer = order < 0;
	else if (!strcmp(sign, ">"))
		*answer = order > 0;
	else
		return false;
	return true;
}

/* One question. What is left of a broken one is false. */
static bool primary(struct grub_tester *t)
{
	const char *word;
	bool answer;

	if (t->at >= t->end)
		return false;
	word = t->words->word[t->at];
	if (t->at + 2 < t->end &&
		compare(word, t->words->word[t->at + 1], t->words->word[t->at + 2], &answer)) {
		t->at += 3;
		return answer;
	}
	if (!strcmp(word, "!") && t->at + 1 < t->end && t->depth < TEST_DEPTH_MAX) {
		t->at++;
		t->depth++;
		answer = !primary(t);
		t->depth--;
		return answer;
	}
	if (!strcmp(word, "(") && t->depth < TEST_DEPTH_MAX) {
		t->at++;
		t->depth++;
		answer = alternatives(t);
		t->depth--;
		t->at += is(t, 0, ")");
		return answer;
	}
	if (word[0] == '-' && word[1] && !word[2] && strchr("nzdefs", word[1]) &&
		t->at + 1 < t->end) {
		const char *value = t->words->word[t->at + 1];

		t->at += 2;
		if (word[1] == 'n' || word[1] == 'z')
			return (word[1] == 'n') == (*value != 0);
		return file(t, word[1], value);
	}
	t->at++;
	return *word;
}

static bool conditions(struct grub_tester *t)
{
	bool answer = primary(t);

	while (is(t, 0, "-a")) {
		t->at++;
		answer &= primary(t);
	}
	return answer;
}

static bool alternatives(struct grub_tester *t)
{
	bool answer = conditions(t);

	while (is(t, 0, "-o")) {
		t->at++;
		answer |= conditions(t);
	}
	return answer;
}

bool grub_test(struct grub *grub, const struct grub_words *words, unsigned first, unsigned end)
{
	struct grub_tester t = {.grub = grub, .words = words, .at = first, .end = end};
	bool answer = alternatives(&t);

	return answer && t.at >= t.end;
}
