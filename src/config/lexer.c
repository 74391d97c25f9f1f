/* SPDX-License-Identifier: Apache-2.0 */
#include "config/lexer.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The place of a byte of the current line, which is not before the last one that was asked for. */
static struct cfg_place place_of(struct lexer *lexer, const char *at)
{
	while (lexer->counted < at) /* not in the middle of a UTF-8 character */
		lexer->column += (*lexer->counted++ & 0xc0) != 0x80;
	return (struct cfg_place){lexer->file, lexer->line, lexer->column};
}

static void begin_line(struct lexer *lexer)
{
	lexer->counted = lexer->at;
	lexer->column = 1;
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '.';
}

/* A backslash at the end of the line, with CR LF or LF. */
static bool continues(const struct lexer *lexer)
{
	size_t left = lexer->end - lexer->at;

	return *lexer->at == '\\' &&
		((left > 1 && lexer->at[1] == '\n') ||
			(left > 2 && !memcmp(lexer->at + 1, "\r\n", 2)));
}

static void skip_blanks(struct lexer *lexer)
{
	while (lexer->at < lexer->end) {
		char c = *lexer->at;

		if (c == '#') {
			while (lexer->at < lexer->end && *lexer->at != '\n')
				lexer->at++;
		} else if (continues(lexer)) { /* a Python line that goes on */
			lexer->at = memchr(lexer->at, '\n', 3) + 1;
			lexer->line++;
			begin_line(lexer);
		} else if (c == ' ' || c == '\t' || c == '\r' || c == '\f') {
			lexer->at++;
		} else {
			return;
		}
	}
}

static int digit_value(char c)
{
	return isdigit((unsigned char)c)     ? c - '0'
		: isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
					     : 99;
}

/* What follows a backslash. -1: nothing that means anything. */
static int escape(struct lexer *lexer)
{
	static const char plain[] = "abfnrtv", means[] = "\a\b\f\n\r\t\v";
	char c = *lexer->at++;
	const char *found = c ? strchr(plain, c) : NULL;
	unsigned base = c == 'x' ? 16 : 8, most = c == 'x' ? 2 : 3, value = 0, n = 0;

	if (found)
		return means[found - plain];
	if (c == '\\' || c == '\'' || c == '"')
		return c;
	if (c != 'x') {
		if (c < '0' || c > '7')
			return -1;
		lexer->at--;
	}
	for (; n < most && lexer->at < lexer->end && digit_value(*lexer->at) < base; n++)
		value = value * base + digit_value(*lexer->at++);
	return n && value && value < 256 ? (int)value : -1;
}

static int take_string(struct lexer *lexer, struct error *err)
{
	struct token *token = &lexer->token;
	char quote = *lexer->at++;
	size_t size = 0;

	token->kind = TOKEN_STRING;
	token->exact = true;
	token->text = lexer->text;
	for (;;) {
		const char *start = lexer->at;
		struct cfg_place at;
		int c = lexer->at < lexer->end ? (unsigned char)*lexer->at : '\n';

		if (c == '\n')
			return cfg_error(err, EINVAL, &token->at,
				"this string is not closed: put a %c at its end, on the same line",
				quote);
		if (!c) {
			at = place_of(lexer, start);
			return cfg_error(err, EINVAL, &at, "a zero byte; is this a text file?");
		}
		lexer->at++;
		if (c == quote)
			break;
		if (c == '\\' && lexer->at < lexer->end) {
			token->exact = false;
			c = escape(lexer);
			at = place_of(lexer, start);
			if (c < 0)
				return cfg_error(err, EINVAL, &at,
					"a \\ here must be followed by \\, ', \", n, t, r, a, b, f, v, "
					"x and two hexadecimal digits, or three octal ones");
		}
		if (size == CFG_TEXT_MAX)
			return cfg_error(err, EINVAL, &token->at, "a string of more than %u bytes",
				CFG_TEXT_MAX);
		lexer->text[size++] = c;
	}
	lexer->text[size] = 0;
	return 0;
}

static int take_number(struct lexer *lexer, struct error *err)
{
	struct token *token = &lexer->token;
	const char *c = lexer->at;
	unsigned base = 10;
	long long value = 0;

	token->kind = TOKEN_NUMBER;
	while (lexer->at < lexer->end && is_name(*lexer->at))
		lexer->at++;
	token->size = lexer->at - token->start;
	if (*c == '0' && token->size > 2 && (c[1] == 'x' || c[1] == 'X')) {
		base = 16;
		c += 2;
	} else if (*c == '0' && token->size > 1) {
		return cfg_error(err, EINVAL, &token->at,
			"a number with a 0 in front: leave it out (0x begins hexadecimal ones)");
	}
	for (; c < lexer->at; c++) {
		int digit = digit_value(*c);

		if (digit >= (int)base)
			return cfg_error(err, EINVAL, &token->at,
				"'%.*s' is not a number: digits only, or put it in quotes",
				(int)(token->size > 64 ? 64 : token->size), token->start);
		if (value > (LLONG_MAX - digit) / base)
			return cfg_error(err, EINVAL, &token->at, "a number that is too large");
		value = value * base + digit;
	}
	token->number = value;
	return 0;
}

int lexer_next(struct lexer *lexer, struct error *err)
{
	struct token *token = &lexer->token;
	char c;

	skip_blanks(lexer);
	*token = (struct token){.at = place_of(lexer, lexer->at), .start = lexer->at, .size = 1};
	if (lexer->at == lexer->end) {
		token->size = 0;
		return 0;
	}
	c = *lexer->at;
	if (!c)
		return cfg_error(err, EINVAL, &token->at, "a zero byte; is this a text file?");
	if (c == '\'' || c == '"')
		return take_string(lexer, err);
	if (isdigit((unsigned char)c))
		return take_number(lexer, err);
	lexer->at++;
	if (isalpha((unsigned char)c) || c == '_') {
		token->kind = TOKEN_NAME;
		while (lexer->at < lexer->end && is_name(*lexer->at))
			lexer->at++;
		token->size = lexer->at - token->start;
	} else if (c == '\n' || c == ';') {
		token->kind = TOKEN_NEWLINE;
		if (c == '\n') {
			lexer->line++;
			begin_line(lexer);
		}
	} else if (c == '+' && lexer->at < lexer->end && *lexer->at == '=') {
		token->kind = TOKEN_ADD_ASSIGN;
		token->size = 2;
		lexer->at++;
	} else if (c == '=') {
		token->kind = TOKEN_ASSIGN;
	} else {
		token->kind = strchr("[](),+%", c) ? TOKEN_SIGN : TOKEN_OTHER;
		token->sign = c;
		while (lexer->at < lexer->end && (*lexer->at & 0xc0) == 0x80)
			lexer->at++, token->size++; /* the rest of a UTF-8 character */
	}
	return 0;
}

int lexer_skip_newlines(struct lexer *lexer, struct error *err)
{
	int r = 0;

	while (!r && lexer->token.kind == TOKEN_NEWLINE && *lexer->token.start == '\n')
		r = lexer_next(lexer, err);
	return r;
}

int lexer_skip_lines(struct lexer *lexer, unsigned lines, struct error *err)
{
	while (lines--) {
		const char *stop = memchr(lexer->at, '\n', (size_t)(lexer->end - lexer->at));

		lexer->at = stop ? stop : lexer->end;
		if (!lines || !stop)
			break;
		lexer->at++;
		lexer->line++;
		begin_line(lexer);
	}
	return lexer_next(lexer, err);
}

int lexer_open(struct lexer *lexer, const char *file, unsigned line, const char *text, size_t size,
	struct error *err)
{
	*lexer = (struct lexer){.file = file, .at = text, .end = text + size, .line = line};
	lexer->text = malloc(CFG_TEXT_MAX + 1);
	if (!lexer->text)
		return error_nomem(err);
	if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		lexer->at += 3; /* a byte order mark */
	begin_line(lexer);
	return lexer_next(lexer, err);
}

void lexer_close(struct lexer *lexer)
{
	free(lexer->text);
}

bool token_is(const struct token *token, char sign)
{
	return token->kind == TOKEN_SIGN && token->sign == sign;
}

const char *token_show(const struct token *token, char text[64])
{
	if (token->kind == TOKEN_END)
		return "the end of the file";
	if (token->kind == TOKEN_NEWLINE)
		return *token->start == ';' ? "';'" : "the end of the line";
	if (token->kind == TOKEN_STRING)
		snprintf(text, 64, "the string %c%.40s%s%c", *token->start, token->text,
			strlen(token->text) > 40 ? "..." : "", *token->start);
	else
		snprintf(text, 64, "'%.*s'", (int)(token->size > 50 ? 50 : token->size),
			token->start);
	return text;
}
