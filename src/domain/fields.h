/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of a configuration as tables: what frees, checks, reads and writes them is written
 * once (fields.c), not once a field.
 */
#ifndef DACH_DOMAIN_FIELDS_H
#define DACH_DOMAIN_FIELDS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum field_kind {
	FIELD_STRING,  /* char *; NULL is its default unless text is set */
	FIELD_TEXT,    /* char[max + 1]; "" is its default */
	FIELD_NUMBER,  /* uint64_t, min to max */
	FIELD_COUNT,   /* unsigned, min to max */
	FIELD_BOOL,    /* bool */
	FIELD_ENUM,    /* int-sized; names */
	FIELD_STRINGS, /* char ** and an unsigned at count, max entries */
	FIELD_LIST,    /* an array of structures and an unsigned at count, max entries */
	FIELD_OBJECT,  /* json_t *; an object of at most max bytes, NULL is its default */
};

struct field {
	const char *key; /* NULL ends a table */
	enum field_kind kind;
	size_t offset, count;
	uint64_t min, max, number; /* number: the default of NUMBER, COUNT, BOOL and ENUM */
	const char *const *names;  /* ENUM; NULL-terminated */
	const char *text;          /* STRING: the default, and NULL is not allowed */
	int (*read)(const char *text, char *to); /* TEXT: -EINVAL or the canonical form in to */
	const struct field *element;             /* LIST */
	size_t size;
};

#define FIELD_WHERE_MAX 64 /* of "disks[3]." */

/* Where a field of the structure at at lies, and the number of a list's entries. */
static inline void *field_place(const struct field *field, const void *at)
{
	return (char *)at + field->offset;
}

static inline unsigned *field_length(const struct field *field, const void *at)
{
	return (unsigned *)((char *)at + field->count);
}

int fields_default(const struct field *fields, void *at);
void fields_free(const struct field *fields, void *at);
/* Bounds, UTF-8, control characters. The sentence begins with where (may be "") and the key. */
int fields_check(const struct field *fields, const void *at, const char *where, struct error *err);
/* A new object, without the fields that have their default. NULL: out of memory. */
json_t *fields_write(const struct field *fields, const void *at);
/* at holds the defaults. On failure it may be half filled: fields_free() it. */
int fields_read(const struct field *fields, const json_t *json, void *at, const char *where,
	struct error *err);

/* No control characters, valid UTF-8, max bytes at most. -EINVAL and a sentence. */
int field_check_text(const char *where, const char *key, const char *text, size_t max,
	struct error *err);

#endif
