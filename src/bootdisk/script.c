/* SPDX-License-Identifier: Apache-2.0 */
#include "bootdisk/script.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bootdisk/menu.h"

#define CHUNK_SIZE 65536u

/* Memory that is freed as one */

struct script_chunk {
	struct script_chunk *next;
	size_t used;
	_Alignas(16) char bytes[CHUNK_SIZE];
};

static void *take(struct script_pool *pool, size_t size)
{
	struct script_chunk *chunk = pool->chunk;

	size = (size + 15) & ~(size_t)15;
	if (!chunk || size > CHUNK_SIZE - chunk->used) {
		chunk = calloc(1, sizeof *chunk);
		if (!chunk)
			return NULL;
		chunk->next = pool->chunk;
		pool->chunk = chunk;
	}
	chunk->used += size;
	return chunk->bytes + chunk->used - size;
}

void script_free(struct script_pool *pool)
{
	while (pool->chunk) {
		struct script_chunk *next = pool->chunk->next;

		free(pool->chunk);
		pool->chunk = next;
	}
}

/* Words */

struct script_reader {
	struct script_pool *pool;
	const char *at, *end;
	unsigned line, depth;
	struct error *err;
};

static int bad(const struct script_reader *r, const char *what)
{
	return error_set(r->err, EINVAL, "line %u: %s", r->line, what);
}

bool script_ends_word(char c)
{
	return isspace((unsigned char)c) || c == ';' || c == '{' || c == '}';
}

/* Blanks, line ends that a \ hides, and a comment. */
static void skip_blanks(struct script_reader *r)
{
	while (r->at < r->end) {
		size_t left = (size_t)(r->end - r->at);

		if (*r->at == '#') {
			while (r->at < r->end && *r->at != '\n')
				r->at++;
		} else if (left > 1 && r->at[0] == '\\' && r->at[1] == '\n') {
			r->at += 2;
			r->line++;
		} else if (*r->at != '\n' && isspace((unsigned char)*r->at)) {
			r->at++;
		} else {
			return;
		}
	}
}

/* What separates commands. */
static void skip_empty(struct script_reader *r)
{
	for (;;) {
		skip_blanks(r);
		if (r->at == r->end || (*r->at != '\n' && *r->at != ';'))
			return;
		r->line += *r->at++ == '\n';
	}
}

/* Behind a quote, up to and with the one that ends it. */
static int skip_quoted(struct script_reader *r, char quote)
{
	for (; r->at < r->end && *r->at != quote; r->at++) {
		if (!*r->at)
			return bad(r, "no text");
		r->line += *r->at == '\n';
		if (quote == '"' && *r->at == '\\' && r->end - r->at > 1)
			r->line += *++r->at == '\n';
	}
	if (r->at == r->end)
		return bad(r, "a quote that does not end");
	r->at++;
	return 0;
}

/* A variable's {name} */
static void skip_braces(struct script_reader *r)
{
	if (r->at == r->end || *r->at != '{')
		return;
	while (r->at < r->end && *r->at != '}' && *r->at != '\n')
		r->at++;
	r->at += r->at < r->end && *r->at == '}';
}

static int read_word(struct script_reader *r, struct script_word *word)
{
	int error = 0;

	word->at = r->at;
	while (!error && r->at < r->end && !script_ends_word(*r->at)) {
		char c = *r->at++;

		if (!c)
			error = bad(r, "no text");
		else if (c == '\'' || c == '"')
			error = skip_quoted(r, c);
		else if (c == '\\' && r->at < r->end)
			r->line += *r->at++ == '\n';
		else if (c == '$')
			skip_braces(r);
	}
	word->len = (size_t)(r->at - word->at);
	return error;
}

static bool is_word(const struct script_word *word, const char *text)
{
	return strlen(text) == word->len && !memcmp(word->at, text, word->len);
}

/* Whether what follows is that word, which a command may begin with. */
static bool is_next(const struct script_reader *r, const char *text)
{
	size_t len = strlen(text);

	return (size_t)(r->end - r->at) >= len && !memcmp(r->at, text, len) &&
		(r->at + len == r->end || script_ends_word(r->at[len]));
}

static bool take_next(struct script_reader *r, const char *text)
{
	if (!is_next(r, text))
		return false;
	r->at += strlen(text);
	return true;
}

/* Commands */

static int read_list(struct script_reader *r, const char *const *ends, struct script_node **list);

static struct script_node *make(struct script_reader *r, enum script_kind kind)
{
	struct script_node *node = NULL;

	if (r->pool->nodes >= SCRIPT_NODES_MAX) {
		error_set(r->err, E2BIG, "line %u: more than %u commands", r->line,
			SCRIPT_NODES_MAX);
		return NULL;
	}
	r->pool->nodes++;
	node = take(r->pool, sizeof *node);
	if (!node) {
		error_nomem(r->err);
		return NULL;
	}
	node->kind = kind;
	node->line = r->line;
	return node;
}

/* Words up to the command's end or a brace. */
static int read_words(struct script_reader *r, struct script_node *node)
{
	struct script_word word[SCRIPT_WORDS_MAX];
	int error = 0;

	for (;;) {
		skip_blanks(r);
		if (r->at == r->end || *r->at == '\n' || *r->at == ';' || *r->at == '{' ||
			*r->at == '}')
			break;
		if (node->words == SCRIPT_WORDS_MAX)
			return bad(r, "too many words");
		error = read_word(r, &word[node->words]);
		if (error)
			return error;
		node->words++;
	}
	node->word = take(r->pool, node->words * sizeof *word);
	if (!node->word)
		return error_nomem(r->err);
	memcpy(node->word, word, node->words * sizeof *word);
	return 0;
}

/* Behind the {, with the } */
static int read_block(struct script_reader *r, struct script_node **list)
{
	int error = read_list(r, NULL, list);

	if (error)
		return error;
	if (r->at == r->end)
		return bad(r, "the file ends within an entry");
	r->at++;
	return 0;
}

/* Commands up to one of the words, which is taken; which: its place in ends. */
static int read_until(struct script_reader *r, const char *const *ends, struct script_node **list,
	unsigned *which)
{
	int error = read_list(r, ends, list);

	if (error)
		return error;
	for (*which = 0; ends[*which]; ++*which)
		if (take_next(r, ends[*which]))
			return 0;
	return error_set(r->err, EINVAL, "line %u: expected '%s'", r->line, ends[0]);
}

/* Behind the if, or an elif. */
static int read_if(struct script_reader *r, struct script_node *node)
{
	static const char *const then[] = {"then", NULL};
	static const char *const rest[] = {"fi", "else", "elif", NULL};
	static const char *const fi[] = {"fi", NULL};
	unsigned which;
	int error;

	for (;;) {
		error = read_until(r, then, &node->condition, &which);
		if (!error)
			error = read_until(r, rest, &node->body, &which);
		if (error || !which)
			return error;
		if (which == 1)
			return read_until(r, fi, &node->other, &which);
		/* an elif is an if in an else */
		node->other = make(r, SCRIPT_IF);
		if (!node->other)
			return -EINVAL;
		node = node->other;
	}
}

static int read_loop(struct script_reader *r, struct script_node *node)
{
	static const char *const start[] = {"do", NULL};
	static const char *const end[] = {"done", NULL};
	unsigned which;
	int error = read_until(r, start, &node->condition, &which);

	return error ? error : read_until(r, end, &node->body, &which);
}

static int read_for(struct script_reader *r, struct script_node *node)
{
	struct script_node *none;
	int error = read_words(r, node);

	if (error)
		return error;
	if (node->words < 2 || !is_word(&node->word[1], "in"))
		return bad(r, "expected for NAME in WORDS");
	/* The name, and then only the words. */
	node->word[1] = node->word[0];
	node->word++;
	node->words--;
	error = read_loop(r, node);
	none = node->condition;
	node->condition = NULL;
	return error || !none ? error : bad(r, "expected 'do'");
}

static int read_function(struct script_reader *r, struct script_node *node)
{
	int error = read_words(r, node);

	if (error)
		return error;
	while (r->at < r->end && isspace((unsigned char)*r->at))
		r->line += *r->at++ == '\n';
	if (node->words != 1 || r->at == r->end || *r->at++ != '{')
		return bad(r, "expected function NAME {");
	return read_block(r, &node->body);
}

static int read_simple(struct script_reader *r, struct script_node *node)
{
	int error = read_words(r, node);

	if (error || r->at == r->end || *r->at != '{')
		return error;
	r->at++;
	node->block = true;
	return read_block(r, &node->body);
}

static int read_command(struct script_reader *r, struct script_node *node)
{
	static const char *const strange[] = {"then", "else", "elif", "fi", "do", "done", "case",
		"esac", "select", NULL};

	for (unsigned i = 0; strange[i]; i++)
		if (is_next(r, strange[i]))
			return error_set(r->err, EINVAL, "line %u: '%s' is not understood here",
				r->line, strange[i]);
	if (*r->at == '{') {
		r->at++;
		node->kind = SCRIPT_GROUP;
		return read_block(r, &node->body);
	}
	if (take_next(r, "if")) {
		node->kind = SCRIPT_IF;
		return read_if(r, node);
	}
	if (take_next(r, "while")) {
		node->kind = SCRIPT_WHILE;
		return read_loop(r, node);
	}
	if (take_next(r, "until")) {
		node->kind = SCRIPT_UNTIL;
		return read_loop(r, node);
	}
	if (take_next(r, "for")) {
		node->kind = SCRIPT_FOR;
		return read_for(r, node);
	}
	if (take_next(r, "function")) {
		node->kind = SCRIPT_FUNCTION;
		return read_function(r, node);
	}
	return read_simple(r, node);
}

/* With its !, each of which turns the next command's answer round. */
static int read_turned(struct script_reader *r, struct script_node **out)
{
	struct script_node *node = make(r, SCRIPT_COMMAND);

	if (!node)
		return -EINVAL;
	*out = node;
	if (!take_next(r, "!"))
		return read_command(r, node);
	node->kind = SCRIPT_NOT;
	skip_blanks(r);
	/* Two are none. */
	while (take_next(r, "!")) {
		node->kind = node->kind == SCRIPT_NOT ? SCRIPT_GROUP : SCRIPT_NOT;
		skip_blanks(r);
	}
	node->body = make(r, SCRIPT_COMMAND);
	if (!node->body)
		return -EINVAL;
	return r->at == r->end ? bad(r, "a command is missing") : read_command(r, node->body);
}

/* Commands up to one of the words in ends, which is not taken, or a }, or the text's end. */
static int read_list(struct script_reader *r, const char *const *ends, struct script_node **list)
{
	struct script_node **next = list;
	int error = 0;

	*list = NULL;
	if (r->depth > MENU_DEPTH_MAX)
		return bad(r, "nested too deep");
	r->depth++;
	while (!error) {
		bool done = false;

		skip_empty(r);
		if (r->at == r->end || *r->at == '}')
			break;
		for (unsigned i = 0; ends && ends[i]; i++)
			done |= is_next(r, ends[i]);
		if (done)
			break;
		error = read_turned(r, next);
		if (!error)
			next = &(*next)->next;
	}
	r->depth--;
	return error;
}

int script_parse(struct script_pool *pool, const char *text, size_t size, struct script_node **node,
	struct error *err)
{
	struct script_reader r = {.pool = pool,
		.at = text,
		.end = text + size,
		.line = 1,
		.err = err};
	int error = read_list(&r, NULL, node);

	if (!error && r.at < r.end)
		error = bad(&r, "} without {");
	return error;
}
