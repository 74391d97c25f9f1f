/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The language of grub.cfg (GRUB's manual, chapter "Shell-like scripting"), from text to a tree: words,
 * quotes, comments, if, while, until, for, function, and commands that may have a block. Words stay as
 * they are written; grub.h tells what becomes of them.
 */
#ifndef DACH_BOOTDISK_SCRIPT_H
#define DACH_BOOTDISK_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define SCRIPT_NODES_MAX 65536u /* of all texts together */
#define SCRIPT_WORDS_MAX 256u   /* of one command */

enum script_kind {
	SCRIPT_COMMAND,
	SCRIPT_GROUP, /* { body } */
	SCRIPT_IF,    /* if condition; then body; else other; fi */
	SCRIPT_WHILE,
	SCRIPT_UNTIL,
	SCRIPT_FOR,      /* for word[0] in the other words */
	SCRIPT_FUNCTION, /* word[0] */
	SCRIPT_NOT,      /* ! body, which is one command */
};

struct script_word {
	const char *at;
	size_t len;
};

struct script_node {
	enum script_kind kind;
	unsigned line, words;
	struct script_word *word;
	bool block;                                   /* a command has one: body */
	struct script_node *condition, *body, *other; /* each the first of a list */
	struct script_node *next;
};

/* Where trees live; begins as all 0. */
struct script_pool {
	struct script_chunk *chunk;
	unsigned nodes;
};

/* *node: the first command, NULL if there is none; lives as long as pool and text do. */
int script_parse(struct script_pool *pool, const char *text, size_t size, struct script_node **node,
	struct error *err);
void script_free(struct script_pool *pool);

/* What separates words: a blank, a line's end, ; { or } */
bool script_ends_word(char c);

#endif
