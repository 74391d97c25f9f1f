/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bootdisk/menu.h"

#define WORDS_MAX 256u
#define STATEMENT_MAX 8192u /* bytes of its words */
#define VARIABLES_MAX 64u
#define NAME_MAX_BYTES 64u

enum block { BLOCK_GROUP, BLOCK_FUNCTION, BLOCK_ITEM };

/* Where a statement ended. */
enum stop { STOP_LINE, STOP_OPEN, STOP_CLOSE, STOP_TEXT };

struct variable {
	char *name, *value;
};

struct parser {
	const char *at, *end;
	unsigned line;
	struct menu *menu;
	struct error *err;
	struct variable variable[VARIABLES_MAX];
	unsigned variables;
	/* The blocks that are open; an item's place in the menu. */
	struct {
		enum block kind;
		int item;
	} block[MENU_DEPTH_MAX];
	unsigned depth;
	/* The statement: its words, one behind the other in buffer. */
	unsigned words;
	const char *word[WORDS_MAX];
	bool quoted[WORDS_MAX];
	size_t used;
	char buffer[STATEMENT_MAX];
};

static int bad(struct parser *p, const char *what)
{
	return error_set(p->err, EINVAL, "line %u: %s", p->line, what);
}

/* Variables */

static const char *value_of(const struct parser *p, const char *name)
{
	/* How GRUB's own configurations spell an entry's id, so that older versions skip it. */
	if (!strcmp(name, "menuentry_id_option"))
		return "--id";
	for (unsigned i = 0; i < p->variables; i++)
		if (!strcmp(p->variable[i].name, name))
			return p->variable[i].value;
	return "";
}

/* Those that are too many are as if never set. */
static int set_variable(struct parser *p, const char *name, const char *value)
{
	struct variable *variable = NULL;
	int r;

	if (!strcmp(name, "next_entry"))
		return 0;
	for (unsigned i = 0; !variable && i < p->variables; i++)
		if (!strcmp(p->variable[i].name, name))
			variable = &p->variable[i];
	if (variable)
		return menu_set(&variable->value, value, p->err);
	if (p->variables == VARIABLES_MAX)
		return 0;
	variable = &p->variable[p->variables];
	*variable = (struct variable){NULL, NULL};
	r = menu_set(&variable->name, name, p->err);
	if (!r)
		r = menu_set(&variable->value, value, p->err);
	if (r)
		free(variable->name);
	else
		p->variables++;
	return r;
}

/* Lines NAME=VALUE; the rest is filled with #. */
static int load_environment(struct parser *p, const char *env)
{
	char line[1024];
	int r = 0;

	while (!r && *env) {
		size_t len = strcspn(env, "\n");
		char *value;

		if (len < sizeof line && *env != '#') {
			memcpy(line, env, len);
			line[len] = 0;
			value = strchr(line, '=');
			if (value) {
				*value++ = 0;
				r = set_variable(p, line, value);
			}
		}
		env += len + (env[len] == '\n');
	}
	return r;
}

/* Words */

static int put(struct parser *p, char c)
{
	if (p->used == STATEMENT_MAX)
		return bad(p, "too long");
	p->buffer[p->used++] = c;
	return 0;
}

static int put_text(struct parser *p, const char *text)
{
	int r = 0;

	while (!r && *text)
		r = put(p, *text++);
	return r;
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* Behind a $: name, {name}, or one sign of another kind (which has no value here). */
static int expand(struct parser *p)
{
	char name[NAME_MAX_BYTES];
	size_t len = 0;
	bool braces = p->at < p->end && *p->at == '{';

	p->at += braces;
	while (p->at < p->end && (is_name(*p->at) || (braces && *p->at != '}' && *p->at != '\n'))) {
		if (len + 1 < sizeof name)
			name[len++] = *p->at;
		p->at++;
	}
	name[len] = 0;
	if (braces && p->at < p->end && *p->at == '}')
		p->at++;
	else if (!len && p->at < p->end && ispunct((unsigned char)*p->at) &&
		!strchr("\"'\\;{}", *p->at))
		p->at++;
	return put_text(p, value_of(p, name));
}

/* Up to the closing quote, which must come. */
static int take_quoted(struct parser *p, char quote)
{
	int r = 0;

	while (!r && p->at < p->end && *p->at != quote) {
		char c = *p->at++;

		p->line += c == '\n';
		if (quote == '"' && c == '$') {
			r = expand(p);
			continue;
		}
		if (quote == '"' && c == '\\' && p->at < p->end && strchr("\"\\$", *p->at))
			c = *p->at++;
		if (!c)
			return bad(p, "no text");
		r = put(p, c);
	}
	if (!r && p->at == p->end)
		return bad(p, "a quote that does not end");
	p->at++;
	return r;
}

static bool ends_word(char c)
{
	return isspace((unsigned char)c) || c == ';';
}

static int take_word(struct parser *p)
{
	const char *word = p->buffer + p->used;
	bool quoted = false;
	int r = 0;

	while (!r && p->at < p->end && !ends_word(*p->at)) {
		char c = *p->at++;

		if (!c) {
			r = bad(p, "no text");
		} else if (c == '\'' || c == '"') {
			quoted = true;
			r = take_quoted(p, c);
		} else if (c == '$') {
			r = expand(p);
		} else if (c == '\\') {
			if (p->at == p->end)
				break;
			p->line += *p->at == '\n';
			if (*p->at && *p->at != '\n')
				r = put(p, *p->at);
			p->at++;
		} else {
			r = put(p, c);
		}
	}
	/* A variable without a value is no word. */
	if (r || (word == p->buffer + p->used && !quoted))
		return r;
	if (p->words == WORDS_MAX)
		return bad(p, "too many words");
	p->quoted[p->words] = quoted;
	p->word[p->words++] = word;
	return put(p, 0);
}

/* { or } as a word of its own */
static bool is_brace(const struct parser *p, char brace)
{
	return *p->at == brace && (p->at + 1 == p->end || ends_word(p->at[1]));
}

static int next_statement(struct parser *p, enum stop *stop)
{
	int r = 0;

	p->words = 0;
	p->used = 0;
	while (!r && p->at < p->end) {
		char c = *p->at;

		if (c == '#') {
			while (p->at < p->end && *p->at != '\n')
				p->at++;
		} else if (is_brace(p, '{') || is_brace(p, '}')) {
			*stop = c == '{' ? STOP_OPEN : STOP_CLOSE;
			p->at++;
			return 0;
		} else if (c == '\n' || c == ';') {
			p->line += c == '\n';
			p->at++;
			*stop = STOP_LINE;
			return 0;
		} else if (isspace((unsigned char)c)) {
			p->at++;
		} else {
			r = take_word(p);
		}
	}
	*stop = STOP_TEXT;
	return r;
}

/* Statements */

/* The words from first on, as one line; what was quoted stays one word for the kernel. */
static int join(struct parser *p, unsigned first, char **to)
{
	char line[2 * STATEMENT_MAX + 4 * WORDS_MAX];
	size_t len = 0;

	for (unsigned i = first; i < p->words; i++) {
		bool quote = p->quoted[i] && strpbrk(p->word[i], " \t");

		if (i > first)
			line[len++] = ' ';
		if (quote)
			line[len++] = '"';
		memcpy(line + len, p->word[i], strlen(p->word[i]));
		len += strlen(p->word[i]);
		if (quote)
			line[len++] = '"';
	}
	line[len] = 0;
	return menu_set(to, line, p->err);
}

static bool is_one_of(const char *word, const char *const *list)
{
	while (*list && strcmp(word, *list))
		list++;
	return *list;
}

static int in_item(struct parser *p, struct menu_item *item, unsigned first)
{
	static const char *const kernels[] = {"linux", "linux16", "linuxefi", NULL};
	static const char *const ramdisks[] = {"initrd", "initrd16", "initrdefi", NULL};
	int r = 0;

	if (first + 1 >= p->words)
		return 0;
	if (is_one_of(p->word[first], kernels)) {
		r = menu_set(&item->kernel, menu_path(p->word[first + 1]), p->err);
		return r ? r : join(p, first + 2, &item->cmdline);
	}
	if (!is_one_of(p->word[first], ramdisks))
		return 0;
	menu_drop_ramdisks(item);
	for (unsigned i = first + 1; !r && i < p->words; i++)
		r = menu_add_ramdisk(item, p->word[i], p->err);
	return r;
}

/* NAME=VALUE, or set NAME=VALUE */
static int assign(struct parser *p, unsigned first)
{
	const char *word, *value;
	char name[NAME_MAX_BYTES];
	size_t len = 0;

	first += !strcmp(p->word[first], "set");
	if (first >= p->words)
		return 0;
	word = p->word[first];
	while (is_name(word[len]))
		len++;
	if (word[len] != '=' || !len || len >= sizeof name)
		return 0;
	memcpy(name, word, len);
	name[len] = 0;
	value = word + len + 1;
	/* An empty one comes of a variable that is not set, on a way that is not taken. */
	if (!strcmp(name, "default"))
		return *value ? menu_set(&p->menu->chosen, value, p->err) : 0;
	return set_variable(p, name, value);
}

static int run_statement(struct parser *p)
{
	static const char *const before[] = {"then", "else", "do", "!", NULL};
	unsigned first = 0;
	int item = -1, r;

	for (unsigned i = 0; i < p->depth; i++) {
		if (p->block[i].kind == BLOCK_FUNCTION)
			return 0;
		if (p->block[i].kind == BLOCK_ITEM)
			item = p->block[i].item;
	}
	while (first < p->words && is_one_of(p->word[first], before))
		first++;
	if (first == p->words)
		return 0;
	r = assign(p, first);
	if (r || item < 0 || p->menu->item[item].submenu)
		return r;
	return in_item(p, &p->menu->item[item], first);
}

/* menuentry TITLE OPTIONS {, submenu */
static int open_item(struct parser *p, int *item)
{
	struct menu_item *new;
	int parent = -1;

	for (unsigned i = 0; i < p->depth; i++)
		if (p->block[i].kind == BLOCK_ITEM)
			parent = p->block[i].item;
	if (parent >= 0 && !p->menu->item[parent].submenu)
		return bad(p, "an entry within an entry");
	new = menu_add(p->menu, parent, p->words > 1 ? p->word[1] : "", p->line, p->err);
	if (!new)
		return -EINVAL;
	*item = (int)(new - p->menu->item);
	new->submenu = !strcmp(p->word[0], "submenu");
	for (unsigned i = 2; i < p->words; i++) {
		const char *id = NULL;

		if (!strncmp(p->word[i], "--id=", 5))
			id = p->word[i] + 5;
		else if (!strcmp(p->word[i], "--id") && i + 1 < p->words)
			id = p->word[++i];
		if (id && menu_set(&new->id, id, p->err))
			return -ENOMEM;
	}
	return 0;
}

static int open_block(struct parser *p)
{
	static const char *const items[] = {"menuentry", "submenu", NULL};
	enum block kind = BLOCK_GROUP;
	int item = -1, r = 0;
	bool skipped = false;

	if (p->depth == MENU_DEPTH_MAX)
		return bad(p, "nested too deep");
	for (unsigned i = 0; i < p->depth; i++)
		skipped |= p->block[i].kind == BLOCK_FUNCTION;
	if (skipped || (p->words && !strcmp(p->word[0], "function"))) {
		kind = BLOCK_FUNCTION;
	} else if (p->words && is_one_of(p->word[0], items)) {
		kind = BLOCK_ITEM;
		r = open_item(p, &item);
	}
	p->block[p->depth].kind = kind;
	p->block[p->depth++].item = item;
	return r;
}

static int parse(struct parser *p)
{
	enum stop stop = STOP_LINE;
	int r = 0;

	while (!r && stop != STOP_TEXT) {
		r = next_statement(p, &stop);
		if (r)
			return r;
		if (stop == STOP_OPEN) {
			r = open_block(p);
			continue;
		}
		if (p->words)
			r = run_statement(p);
		if (!r && stop == STOP_CLOSE) {
			if (!p->depth)
				return bad(p, "} without {");
			p->depth--;
		}
	}
	if (!r && p->depth)
		return bad(p, "the file ends within an entry");
	return r;
}

int menu_parse_grub(const char *text, size_t size, const char *env, struct menu *menu,
	struct error *err)
{
	struct parser *p = calloc(1, sizeof *p);
	int r;

	*menu = (struct menu){.item = NULL};
	if (!p)
		return error_set(err, ENOMEM, "out of memory");
	p->at = text;
	p->end = text + size;
	p->line = 1;
	p->menu = menu;
	p->err = err;
	r = env ? load_environment(p, env) : 0;
	if (!r)
		r = parse(p);
	while (p->variables--) {
		free(p->variable[p->variables].name);
		free(p->variable[p->variables].value);
	}
	free(p);
	if (r)
		menu_free(menu);
	return r;
}
