/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/spelling.h"

static const struct option_spec *find(const struct option_spec *specs, const char *name, size_t len)
{
	for (; specs->name; specs++)
		if (!strncmp(specs->name, name, len) && !specs->name[len])
			return specs;
	return NULL;
}

static int unknown(const struct option_spec *specs, const char *word, size_t len, struct error *err)
{
	struct spelling spelling;

	spelling_begin(&spelling, word + 2, len > 2 ? len - 2 : 0);
	for (; len > 3 && word[1] == '-' && specs->name; specs++)
		if (specs->help && specs->name[1])
			spelling_offer(&spelling, specs->name);
	return error_set(err, EINVAL, "unknown option '%.*s'%s", (int)len, word,
		spelling_question(&spelling, "--"));
}

/* One letter of "-abc" or "-a VALUE"; a value follows at once, after '=', or as the next word. */
static int next_letter(struct option_scan *scan, const struct option_spec *specs, struct error *err)
{
	const char *letter = scan->letters;
	const struct option_spec *spec = find(specs, letter, 1);

	scan->letters = letter[1] ? letter + 1 : NULL;
	scan->value = NULL;
	if (!spec) {
		scan->letters = NULL;
		return error_set(err, EINVAL, "unknown option '-%c'", *letter);
	}
	if (!spec->value)
		return spec->id;
	if (scan->letters)
		scan->value = scan->letters + (*scan->letters == '=');
	else if (scan->next < scan->argc)
		scan->value = scan->argv[scan->next++];
	else
		return error_set(err, EINVAL, "-%c needs a value (%s)", *letter, spec->value);
	scan->letters = NULL;
	return spec->id;
}

int option_next(struct option_scan *scan, const struct option_spec *specs, struct error *err)
{
	const struct option_spec *spec;
	const char *word, *equal;

	if (scan->letters)
		return next_letter(scan, specs, err);
	if (scan->next >= scan->argc)
		return OPTION_END;
	word = scan->value = scan->argv[scan->next++];
	if (word[0] != '-' || !word[1])
		return OPTION_WORD;
	if (!strcmp(word, "--")) {
		if (scan->next >= scan->argc)
			return OPTION_END;
		scan->value = scan->argv[scan->next];
		/* Stay on "--" by moving it one on: what follows is words too. */
		scan->argv[scan->next] = scan->argv[scan->next - 1];
		return OPTION_WORD;
	}
	if (word[1] != '-' && find(specs, word + 1, 1)) {
		scan->letters = word + 1;
		return next_letter(scan, specs, err);
	}
	equal = strchr(word, '=');
	spec = word[1] != '-' || !word[2] || !word[3] || word[3] == '='
		? NULL
		: find(specs, word + 2, equal ? (size_t)(equal - word - 2) : strlen(word + 2));
	if (!spec)
		return unknown(specs, word, equal ? (size_t)(equal - word) : strlen(word), err);
	scan->value = NULL;
	if (!spec->value && equal)
		return error_set(err, EINVAL, "--%s takes no value", spec->name);
	if (!spec->value)
		return spec->id;
	if (equal)
		scan->value = equal + 1;
	else if (scan->next < scan->argc)
		scan->value = scan->argv[scan->next++];
	else
		return error_set(err, EINVAL, "--%s needs a value (%s)", spec->name, spec->value);
	return spec->id;
}

static const char *letter_of(const struct option_spec *specs, int id)
{
	for (; specs->name; specs++)
		if (specs->id == id && !specs->name[1])
			return specs->name;
	return NULL;
}

static bool has_letters(const struct option_spec *specs)
{
	for (; specs->name; specs++)
		if (!specs->name[1])
			return true;
	return false;
}

void option_help(const struct option_spec *specs)
{
	const char *margin = has_letters(specs) ? "    " : "";

	for (const struct option_spec *spec = specs; spec->name; spec++) {
		const char *letter = letter_of(specs, spec->id);
		char left[64];
		int n;

		if (!spec->help)
			continue;
		if (!spec->name[1])
			n = snprintf(left, sizeof left, "-%s", letter);
		else if (letter)
			n = snprintf(left, sizeof left, "-%s, --%s", letter, spec->name);
		else
			n = snprintf(left, sizeof left, "%s--%s", margin, spec->name);
		if (spec->value)
			snprintf(left + n, sizeof left - n, " %s", spec->value);
		printf("  %-28s %s\n", left, spec->help);
	}
}

/* Digits only: strtoull would take signs and spaces. Returns what follows them. */
static const char *digits(const char *text, uint64_t *number)
{
	const char *c = text;

	*number = 0;
	for (; *c >= '0' && *c <= '9'; c++)
		if (__builtin_mul_overflow(*number, 10, number) ||
			__builtin_add_overflow(*number, *c - '0', number))
			return NULL;
	return c == text ? NULL : c;
}

int option_size(const char *what, const char *text, uint64_t unit, uint64_t *bytes,
	struct error *err)
{
	static const struct {
		char letter;
		int shift;
	} scale[] = {{'K', 10}, {'M', 20}, {'G', 30}, {'T', 40}};
	const char *end = digits(text, bytes);

	if (!end)
		goto bad;
	if (*end) {
		unit = 0;
		for (size_t i = 0; i < sizeof scale / sizeof *scale; i++)
			if ((*end & ~0x20) == scale[i].letter)
				unit = 1ull << scale[i].shift;
		end++;
	}
	if (!unit || *end || __builtin_mul_overflow(*bytes, unit, bytes))
		goto bad;
	return 0;
bad:
	return error_set(err, EINVAL, "%s: '%s' is not a size like 1024, 512M or 2G", what, text);
}

int option_number(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *number,
	struct error *err)
{
	const char *end = digits(text, number);

	if (!end || *end || *number < min || *number > max)
		return error_set(err, EINVAL,
			"%s: '%s' is not a number from %" PRIu64 " to %" PRIu64, what, text, min,
			max);
	return 0;
}
