/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/lexer.h"
#include "config/preamble.h"
#include "config/value.h"

struct cfg_parser {
	struct cfg *cfg;
	struct lexer lexer;
	bool plain;
	unsigned depth;
	struct error *err;
};

static int parse_value(struct cfg_parser *p, struct cfg_value *value);

static struct cfg_setting *find(struct cfg *cfg, const char *key, size_t size)
{
	for (unsigned n = 0; n < cfg->settings; n++)
		if (strlen(cfg->setting[n].key) == size && !memcmp(cfg->setting[n].key, key, size))
			return &cfg->setting[n];
	return NULL;
}

const struct cfg_setting *cfg_find(struct cfg *cfg, const char *key)
{
	struct cfg_setting *setting = find(cfg, key, strlen(key));

	if (!setting)
		return NULL;
	setting->used = true;
	return setting->value.kind == CFG_NONE ? NULL : setting;
}

static struct cfg_setting *add_setting(struct cfg *cfg, const char *key, const struct cfg_place *at,
	struct error *err)
{
	unsigned n = cfg->settings;

	if (n == CFG_SETTINGS_MAX) {
		cfg_error(err, E2BIG, at, "more than %u keys", CFG_SETTINGS_MAX);
		return NULL;
	}
	if (!(n & (n - 1))) {
		void *more = realloc(cfg->setting, (n ? 2 * n : 1) * sizeof *cfg->setting);

		if (!more)
			goto memory;
		cfg->setting = more;
	}
	cfg->setting[n] = (struct cfg_setting){.key = strdup(key), .at = *at};
	if (!cfg->setting[n].key)
		goto memory;
	cfg->settings++;
	return &cfg->setting[n];
memory:
	error_nomem(err);
	return NULL;
}

int cfg_set(struct cfg *cfg, const char *key, const struct cfg_place *at, struct cfg_value *value,
	struct error *err)
{
	struct cfg_setting *setting = find(cfg, key, strlen(key));

	if (!setting)
		setting = add_setting(cfg, key, at, err);
	if (!setting) {
		value_free(value);
		return -E2BIG;
	}
	value_free(&setting->value);
	setting->value = *value;
	setting->at = *at;
	memset(value, 0, sizeof *value);
	return 0;
}

void cfg_free(struct cfg *cfg)
{
	for (unsigned n = 0; n < cfg->settings; n++) {
		free(cfg->setting[n].key);
		value_free(&cfg->setting[n].value);
	}
	free(cfg->setting);
	memset(cfg, 0, sizeof *cfg);
}

static int take_text(struct cfg_parser *p, struct cfg_value *value, const char *text, size_t size)
{
	int r = value_charge(p->cfg, size, &value->at, p->err);

	if (r)
		return r;
	value->text = strndup(text, size);
	return value->text ? lexer_next(&p->lexer, p->err) : error_nomem(p->err);
}

/* After a sign that opens: values with commas between, up to the one that closes. */
static int parse_items(struct cfg_parser *p, struct cfg_value *list, char close, bool *comma)
{
	struct token *token = &p->lexer.token;
	char shown[64];
	int r = 0;

	while (!r && !(r = lexer_skip_newlines(&p->lexer, p->err)) && !token_is(token, close)) {
		struct cfg_value item = {0};

		r = parse_value(p, &item);
		if (r)
			value_free(&item);
		else
			r = value_append(p->cfg, list, &item, p->err);
		if (!r)
			r = lexer_skip_newlines(&p->lexer, p->err);
		if (!r && token_is(token, ',')) {
			*comma = true;
			r = lexer_next(&p->lexer, p->err);
		} else if (!r && !token_is(token, close)) {
			r = cfg_error(p->err, EINVAL, &token->at,
				"expected ',' or '%c' here, not %s (the list begins in line %u)",
				close, token_show(token, shown), list->at.line);
		}
	}
	return r ? r : lexer_next(&p->lexer, p->err);
}

static int parse_list(struct cfg_parser *p, struct cfg_value *value)
{
	bool comma = false;
	int r;

	if (++p->depth > CFG_DEPTH_MAX)
		return cfg_error(p->err, EINVAL, &value->at, "lists nested deeper than %u",
			CFG_DEPTH_MAX);
	value->kind = CFG_LIST;
	r = lexer_next(&p->lexer, p->err);
	if (!r)
		r = parse_items(p, value, ']', &comma);
	p->depth--;
	return r;
}

/* A value in parentheses is that value; with a comma it is a tuple, a list of its own kind. */
static int parse_parentheses(struct cfg_parser *p, struct cfg_value *value, bool *tuple)
{
	struct cfg_value list = {.kind = CFG_LIST, .at = p->lexer.token.at};
	int r;

	if (++p->depth > CFG_DEPTH_MAX)
		return cfg_error(p->err, EINVAL, &value->at, "parentheses nested deeper than %u",
			CFG_DEPTH_MAX);
	r = lexer_next(&p->lexer, p->err);
	if (!r)
		r = parse_items(p, &list, ')', tuple);
	p->depth--;
	if (!r && !*tuple && list.items == 1) {
		*value = list.item[0];
		memset(&list.item[0], 0, sizeof list.item[0]);
		value_free(&list);
	} else {
		*tuple = true;
		*value = list;
	}
	return r;
}

/* A bare word where a value should be: a name of Python's, or somebody forgot the quotes. */
static int parse_name(struct cfg_parser *p, struct cfg_value *value)
{
	struct token *token = &p->lexer.token, name = *token;
	int shown = name.size > 100 ? 100 : (int)name.size;
	struct cfg_setting *setting = find(p->cfg, name.start, name.size);
	bool yes = name.size == 4 && !strncasecmp(name.start, "True", 4);
	bool no = name.size == 5 && !strncasecmp(name.start, "False", 5);
	int r;

	if (!p->plain && (yes || no)) {
		value->kind = CFG_NUMBER;
		value->number = yes;
		return take_text(p, value, yes ? "1" : "0", 1);
	}
	r = lexer_next(&p->lexer, p->err);
	if (r)
		return r;
	if (!p->plain && name.size == 4 && !memcmp(name.start, "None", 4))
		return 0;
	if (token_is(token, '(') || token_is(token, '['))
		return cfg_error(p->err, EINVAL, &name.at,
			"'%.*s%c' is Python, which is not run here: write the value that it has",
			shown, name.start, token->sign);
	if (p->plain || !setting)
		return cfg_error(p->err, EINVAL, &name.at,
			"'%.*s' has no quotes around it: write '%.*s' in quotes", shown, name.start,
			shown, name.start);
	setting->used = true;
	r = value_copy(p->cfg, &setting->value, value, p->err);
	value->at = name.at;
	value->exact = false;
	return r;
}

static int parse_term(struct cfg_parser *p, struct cfg_value *value, bool *tuple)
{
	struct token *token = &p->lexer.token;
	char shown[64];

	*tuple = false;
	value->at = token->at;
	value->exact = token->exact;
	value->number = token->number;
	switch (token->kind) {
	case TOKEN_STRING:
		value->kind = CFG_STRING;
		value->at.column++; /* what counts begins behind the quote */
		return take_text(p, value, token->text, strlen(token->text));
	case TOKEN_NUMBER:
		value->kind = CFG_NUMBER;
		return take_text(p, value, token->start, token->size);
	case TOKEN_NAME:
		return parse_name(p, value);
	case TOKEN_SIGN:
		if (token->sign == '[')
			return parse_list(p, value);
		if (token->sign == '(' && !p->plain)
			return parse_parentheses(p, value, tuple);
		break;
	default:
		break;
	}
	return cfg_error(p->err, EINVAL, &token->at,
		"expected a value here, 'text', a number or [ a list ], not %s",
		token_show(token, shown));
}

static int parse_value(struct cfg_parser *p, struct cfg_value *value)
{
	struct token *token = &p->lexer.token;
	bool tuple;
	int r = parse_term(p, value, &tuple);

	while (!r && !p->plain && (token_is(token, '+') || token_is(token, '%'))) {
		bool format = token->sign == '%';
		struct cfg_value right = {0};

		r = lexer_next(&p->lexer, p->err);
		if (!r)
			r = parse_term(p, &right, &tuple);
		if (r)
			value_free(&right);
		else if (format)
			r = value_format(p->cfg, value, &right, tuple, p->err);
		else
			r = value_add(p->cfg, value, &right, true, p->err);
	}
	return r;
}

static int unexpected_after_name(struct cfg_parser *p, const struct token *name)
{
	static const char *const python[] = {"import", "from", "def", "if", "elif", "else", "for",
		"while", "try", "except", "class", "return", "print", "exec", "del", "global",
		"pass", "with", "raise", "assert", "lambda", NULL};
	const struct token *token = &p->lexer.token;
	int shown = name->size > 100 ? 100 : (int)name->size;
	char text[64];

	for (unsigned n = 0; python[n]; n++)
		if (strlen(python[n]) == name->size && !memcmp(name->start, python[n], name->size))
			return cfg_error(p->err, EINVAL, &name->at,
				"'%s' is Python, which is not run here: leave only KEY = VALUE lines",
				python[n]);
	if (token_is(token, '(') || token_is(token, '['))
		return cfg_error(p->err, EINVAL, &name->at,
			"'%.*s%c' is Python, which is not run here: leave only KEY = VALUE lines",
			shown, name->start, token->sign);
	return cfg_error(p->err, EINVAL, &token->at, "expected '=' or '+=' after '%.*s', not %s",
		shown, name->start, token_show(token, text));
}

static int store(struct cfg_parser *p, const struct token *name, bool add, struct cfg_value *value)
{
	struct cfg_setting *setting = find(p->cfg, name->start, name->size);
	char *key;
	int r;

	if (add && setting && setting->value.kind != CFG_NONE)
		return value_add(p->cfg, &setting->value, value, false, p->err);
	key = strndup(name->start, name->size);
	if (!key) {
		value_free(value);
		return error_nomem(p->err);
	}
	r = value_charge(p->cfg, name->size, &name->at, p->err);
	if (r)
		value_free(value);
	else
		r = cfg_set(p->cfg, key, &name->at, value, p->err);
	free(key);
	return r;
}

/* Xen 3's stock Python: what it sets is set, and used by nobody who would mind. */
static int skip_preamble(struct cfg_parser *p, unsigned lines)
{
	const struct cfg_place at = p->lexer.token.at;
	struct cfg_value value = {.kind = CFG_STRING,
		.at = at,
		.exact = true,
		.text = strdup(PREAMBLE_VALUE)};
	int r;

	if (!value.text)
		return error_nomem(p->err);
	r = cfg_set(p->cfg, PREAMBLE_KEY, &at, &value, p->err);
	if (r)
		return r;
	find(p->cfg, PREAMBLE_KEY, strlen(PREAMBLE_KEY))->used = true;
	return lexer_skip_lines(&p->lexer, lines, p->err);
}

static int parse_statement(struct cfg_parser *p)
{
	struct token *token = &p->lexer.token, name = *token;
	unsigned python = p->plain ? 0 : preamble_lines(token->start, p->lexer.end - token->start);
	struct cfg_value value = {0};
	bool add;
	char shown[64];
	int r;

	if (token->kind != TOKEN_NAME)
		return cfg_error(p->err, EINVAL, &token->at,
			"expected KEY = VALUE here, not %s (like memory = 512, or name = 'web')",
			token_show(token, shown));
	if (python)
		return skip_preamble(p, python);
	r = lexer_next(&p->lexer, p->err);
	if (r)
		return r;
	add = token->kind == TOKEN_ADD_ASSIGN;
	if (!add && token->kind != TOKEN_ASSIGN)
		return unexpected_after_name(p, &name);
	r = lexer_next(&p->lexer, p->err);
	if (!r)
		r = parse_value(p, &value);
	if (!r && token->kind != TOKEN_NEWLINE && token->kind != TOKEN_END)
		r = cfg_error(p->err, EINVAL, &token->at,
			"expected the end of the line after the value of '%.*s', not %s",
			name.size > 64 ? 64 : (int)name.size, name.start, token_show(token, shown));
	if (r) {
		value_free(&value);
		return r;
	}
	return store(p, &name, add, &value);
}

int cfg_parse(struct cfg *cfg, const char *file, unsigned line, const char *text, size_t size,
	bool plain, struct error *err)
{
	struct cfg_parser p = {.cfg = cfg, .plain = plain, .err = err};
	int r = lexer_open(&p.lexer, file, line, text, size, err);

	while (!r && p.lexer.token.kind != TOKEN_END)
		r = p.lexer.token.kind == TOKEN_NEWLINE ? lexer_next(&p.lexer, err)
							: parse_statement(&p);
	lexer_close(&p.lexer);
	return r;
}
