/* SPDX-License-Identifier: Apache-2.0 */
/* Variables of a grub.cfg, and how words become what a command gets. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bootdisk/grub.h"

/* What is set from the start, where nothing else sets it. */
static const char *built_in(const char *name)
{
	static const char *const values[][2] = {
		{"grub_platform", "pc"},
		{"grub_cpu", "i386"},
		/* How GRUB's own configurations spell an entry's id, so that older versions skip it. */
		{"menuentry_id_option", "--id"},
	};

	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		if (!strcmp(values[i][0], name))
			return values[i][1];
	return strncmp(name, "feature_", 8) ? "" : "y";
}

const char *grub_value(const struct grub *grub, const char *name)
{
	for (unsigned i = 0; i < grub->variables; i++)
		if (!strcmp(grub->variable[i].name, name))
			return grub->variable[i].value;
	return built_in(name);
}

int grub_set(struct grub *grub, const char *name, const char *value)
{
	struct grub_variable *variable = NULL;
	int r;

	for (unsigned i = 0; !variable && i < grub->variables; i++)
		if (!strcmp(grub->variable[i].name, name))
			variable = &grub->variable[i];
	if (variable)
		return menu_set(&variable->value, value, grub->err);
	if (grub->variables == GRUB_VARIABLES_MAX)
		return error_set(grub->err, E2BIG, "more than %u variables", GRUB_VARIABLES_MAX);
	variable = &grub->variable[grub->variables];
	*variable = (struct grub_variable){NULL, NULL};
	r = menu_set(&variable->name, name, grub->err);
	if (!r)
		r = menu_set(&variable->value, value, grub->err);
	if (r)
		free(variable->name);
	else
		grub->variables++;
	return r;
}

bool grub_is_name(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '_')
			return false;
	return len && len < GRUB_NAME_MAX;
}

/* A word that is being made. */
struct word_maker {
	struct grub *grub;
	struct grub_words *words;
	unsigned line;
	const char *at, *end;
	size_t start; /* in the words' buffer */
	bool quoted;
};

static int put(struct word_maker *m, char c)
{
	if (m->words->used == GRUB_COMMAND_MAX)
		return grub_bad(m->grub, m->line, "too long");
	m->words->buffer[m->words->used++] = c;
	return 0;
}

/* A word ends; one without a letter is none, but where quotes say so. */
static int finish(struct word_maker *m)
{
	struct grub_words *words = m->words;
	int r = 0;

	if (words->used > m->start || m->quoted) {
		if (words->count == SCRIPT_WORDS_MAX)
			return grub_bad(m->grub, m->line, "too many words");
		words->quoted[words->count] = m->quoted;
		words->word[words->count++] = words->buffer + m->start;
		r = put(m, 0);
	}
	m->start = words->used;
	m->quoted = false;
	return r;
}

/* A value; outside of quotes its blanks separate words. */
static int put_value(struct word_maker *m, const char *text, bool quoted)
{
	int r = 0;

	for (; !r && *text; text++)
		r = !quoted && isspace((unsigned char)*text) ? finish(m) : put(m, *text);
	return r;
}

/* $1, $#, $@ and their like: what the function that is run was called with. */
static int put_argument(struct word_maker *m, const char *name, bool quoted)
{
	const struct grub_words *arguments = m->grub->arguments;
	unsigned count = arguments ? arguments->count - 1 : 0;
	unsigned long number;
	char text[16];
	int r = 0;

	if (*name == '?' || *name == '#') {
		snprintf(text, sizeof text, "%u", *name == '#' ? count : !m->grub->status);
		return put_value(m, text, quoted);
	}
	if (*name == '@' || *name == '*') {
		for (unsigned i = 1; !r && i <= count; i++) {
			if (i > 1)
				r = put_value(m, " ", quoted);
			if (!r)
				r = put_value(m, arguments->word[i], quoted);
		}
		return r;
	}
	number = strtoul(name, NULL, 10);
	return number <= count && count ? put_value(m, arguments->word[number], quoted) : 0;
}

/* Behind a $: name, {name}, or one sign. */
static int put_variable(struct word_maker *m, bool quoted)
{
	char name[GRUB_NAME_MAX];
	const char *from;
	size_t len;
	bool braces = m->at < m->end && *m->at == '{';
	int r = grub_step(m->grub, m->line, 1);

	if (r)
		return r;

	from = m->at += braces;
	while (m->at < m->end &&
		(braces ? *m->at != '}' && *m->at != '\n' : grub_is_name(m->at, 1)))
		m->at++;
	if (m->at == from && m->at < m->end && strchr("?#@*", *m->at))
		m->at++;
	len = (size_t)(m->at - from);
	if (braces && m->at < m->end && *m->at == '}')
		m->at++;
	if (!braces && !len)
		return put(m, '$');
	if (!len || len >= sizeof name)
		return 0;
	memcpy(name, from, len);
	name[len] = 0;
	if (isdigit((unsigned char)*name) || strchr("?#@*", *name))
		return put_argument(m, name, quoted);
	return put_value(m, grub_value(m->grub, name), quoted);
}

/* Up to the closing quote, which is there. */
static int put_quoted(struct word_maker *m, char quote)
{
	int r = 0;

	m->quoted = true;
	while (!r && m->at < m->end && *m->at != quote) {
		char c = *m->at++;

		if (quote == '"' && c == '$') {
			r = put_variable(m, true);
			continue;
		}
		if (quote == '"' && c == '\\' && m->at < m->end && strchr("\"\\$\n", *m->at)) {
			c = *m->at++;
			if (c == '\n')
				continue;
		}
		r = put(m, c);
	}
	m->at += m->at < m->end;
	return r;
}

static int put_word(struct word_maker *m)
{
	int r = 0;

	while (!r && m->at < m->end) {
		char c = *m->at++;

		if (c == '\'' || c == '"') {
			r = put_quoted(m, c);
		} else if (c == '$' && m->at < m->end && *m->at == '"') {
			m->at++; /* one to be translated */
			r = put_quoted(m, '"');
		} else if (c == '$') {
			r = put_variable(m, false);
		} else if (c == '\\') {
			c = m->at < m->end ? *m->at++ : '\n';
			if (c != '\n')
				r = put(m, c);
		} else {
			r = put(m, c);
		}
	}
	return r ? r : finish(m);
}

int grub_expand(struct grub *grub, const struct script_node *node, struct grub_words *words)
{
	int r = 0;

	words->count = 0;
	words->used = 0;
	for (unsigned i = 0; !r && i < node->words; i++) {
		struct word_maker m = {.grub = grub,
			.words = words,
			.line = node->line,
			.at = node->word[i].at,
			.end = node->word[i].at + node->word[i].len,
			.start = words->used};

		r = put_word(&m);
	}
	return r ? r : grub_step(grub, node->line, (unsigned)(words->used / 64));
}
