/* SPDX-License-Identifier: Apache-2.0 */
/* The words of the language. */
#ifndef DACH_CONFIG_LEXER_H
#define DACH_CONFIG_LEXER_H

#include "config/cfg.h"

enum token_kind {
	TOKEN_END,
	TOKEN_NEWLINE, /* or ';' */
	TOKEN_NAME,
	TOKEN_STRING,
	TOKEN_NUMBER,
	TOKEN_ASSIGN,
	TOKEN_ADD_ASSIGN,
	TOKEN_SIGN,  /* one of [ ] ( ) , + % */
	TOKEN_OTHER, /* anything else: one character */
};

struct token {
	enum token_kind kind;
	char sign;
	struct cfg_place at;
	const char *start; /* as it is written */
	size_t size;
	char *text; /* STRING: its contents, the lexer's until the next token */
	bool exact;
	long long number;
};

struct lexer {
	const char *file, *at, *end;
	const char *counted; /* up to here column has counted in this line */
	unsigned line, column;
	struct token token; /* the current one */
	char *text;         /* room for strings, CFG_TEXT_MAX + 1 */
};

/* -ENOMEM or what the first token's reading says. */
int lexer_open(struct lexer *lexer, const char *file, unsigned line, const char *text, size_t size,
	struct error *err);
void lexer_close(struct lexer *lexer);
/* Moves on to the next token. Newlines are tokens. */
int lexer_next(struct lexer *lexer, struct error *err);
int lexer_skip_newlines(struct lexer *lexer, struct error *err);
/* Moves on to the end of that many lines, this one counted, whatever is in them. */
int lexer_skip_lines(struct lexer *lexer, unsigned lines, struct error *err);
bool token_is(const struct token *token, char sign);
/* For messages: 'word', or "the end of the line". Returns text. */
const char *token_show(const struct token *token, char text[64]);

#endif
