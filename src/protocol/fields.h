/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of a structure as a table, from which it is made, freed, checked, and written as a JSON
 * object and read again: once (fields.c, fields_json.c), not once a field. What it
 * may hold can be told, too (fields_schema.c).
 */
#ifndef DACH_PROTOCOL_FIELDS_H
#define DACH_PROTOCOL_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum field_kind {
	FIELD_STRING, /* char *; NULL is its default unless text is set */
	FIELD_TEXT,   /* char[max + 1]; "" is its default */
	FIELD_NUMBER, /* uint64_t, min to max */
	FIELD_COUNT,  /* unsigned, min to max */
	FIELD_BOOL,   /* bool; no bounds */
	FIELD_CHOICE, /* enum field_choice; CHOICE_NONE is its default */
	FIELD_ENUM,   /* int-sized; names */
	FIELD_SET, /* unsigned, bit n for names[n], as a list of names; max: the bits that may be set */
	FIELD_FD,      /* int, a descriptor's number, min to max; -1, its default: none */
	FIELD_STRINGS, /* char ** and an unsigned at count, max entries */
	FIELD_LIST,    /* an array of structures and an unsigned at count, max entries */
	FIELD_STRUCT,  /* a structure within, element; left out if all of it has its default */
	FIELD_PART, /* a structure within, element, whose fields stand in this same object; without a key */
	FIELD_OBJECT, /* json_t *; an object of at most max bytes, NULL is its default */
};

/* Of a bool that may be left out. */
enum field_choice { CHOICE_NONE, CHOICE_NO, CHOICE_YES };

struct field {
	const char *key; /* NULL ends a table; "" of FIELD_PART */
	enum field_kind kind;
	bool needed; /* in JSON: refused without it, and written also where it has its default */
	size_t offset, count;
	uint64_t min, max, number; /* number: the default of NUMBER, COUNT, BOOL and ENUM */
	const char *const *names;  /* ENUM, SET; NULL-terminated */
	const char *text;          /* STRING: the default, and NULL is not allowed */
	int (*read)(const char *text, char *to); /* TEXT: -EINVAL or the canonical form in to */
	const char *pattern;                     /* TEXT: what it takes, for schemas; NULL */
	const struct field *element;             /* LIST, STRUCT, PART */
	size_t size;
	/* For people; each may be NULL: the option of a command that sets it, what its value is called, what it is. */
	const char *option, *value, *help;
};

#define FIELD_WHERE_MAX 96  /* of "disks[3]." */
#define FIELD_TEXT_MAX 1023 /* bytes of a TEXT */

#define FIELD_AT(structure, member) .offset = offsetof(struct structure, member)
#define FIELD_COUNT_AT(structure, member) .count = offsetof(struct structure, member)
/*
 * A row of a table: FIELD_ROW(COUNT, guest, vcpus, .min = 1, .max = 64); its key is the member's name, or, by
 * FIELD_ROW_AS, one of its own.
 */
#define FIELD_ROW_AS(kind_, key_, structure, member, ...)                                    \
	{                                                                                    \
		.key = key_, .kind = FIELD_##kind_, FIELD_AT(structure, member), __VA_ARGS__ \
	}
#define FIELD_ROW(kind_, structure, member, ...) \
	FIELD_ROW_AS(kind_, #member, structure, member, __VA_ARGS__)
/* STRUCT, and a LIST of such: their elements' table. */
#define FIELD_STRUCT_ROW(structure, member, fields) \
	FIELD_ROW(STRUCT, structure, member, .element = fields)
#define FIELD_LIST_ROW(key_, structure, member, count_, fields, most, ...)                       \
	FIELD_ROW_AS(LIST, key_, structure, member, FIELD_COUNT_AT(structure, count_),           \
		.element = fields, .size = sizeof *((struct structure *)0)->member, .max = most, \
		__VA_ARGS__)
#define FIELD_STRINGS_ROW(key_, structure, member, count_, longest, most)                 \
	FIELD_ROW_AS(STRINGS, key_, structure, member, FIELD_COUNT_AT(structure, count_), \
		.min = longest, .max = most)
#define FIELD_PART_AT(structure, member, fields)                                              \
	{                                                                                     \
		.key = "", .kind = FIELD_PART, FIELD_AT(structure, member), .element = fields \
	}

/* Where a field of the structure at at lies, and the number of a list's entries. */
static inline void *field_place(const struct field *field, const void *at)
{
	return (char *)at + field->offset;
}

static inline unsigned *field_length(const struct field *field, const void *at)
{
	return (unsigned *)((char *)at + field->count);
}

/* The field of that name, also in a part, and in *in the structure that it is of. NULL: there is none. */
const struct field *fields_find(const struct field *fields, const char *key, void **in);
/* Of NUMBER, COUNT, BOOL or ENUM. */
uint64_t field_number(const struct field *field, const void *at);
void field_set_number(const struct field *field, void *at, uint64_t value);

int fields_default(const struct field *fields, void *at);
void fields_free(const struct field *fields, void *at);
/* Makes a list that was empty, of entries that have their defaults. -ENOMEM. */
int fields_make_list(const struct field *fields, const char *key, void *at, unsigned count);
/* Bounds, UTF-8, control characters. The sentence begins with where (may be "") and the key. */
int fields_check(const struct field *fields, const void *at, const char *where, struct error *err);
/* A new object, without the fields that have their default. NULL: out of memory, or no UTF-8. */
json_t *fields_write(const struct field *fields, const void *at);
/* at holds the defaults. On failure it may be half filled: fields_free() it. */
int fields_read(const struct field *fields, const json_t *json, void *at, const char *where,
	struct error *err);

/*
 * One field as a word of a command line says it (STRING, TEXT, NUMBER, COUNT, ENUM), or that it is there
 * (BOOL: word is NULL). where is as for fields_read().
 */
int field_read_word(const struct field *field, const char *word, void *at, const char *where,
	struct error *err);
/* All of them into `to`, which holds the defaults. On failure it may be half filled. */
int fields_copy(const struct field *fields, const void *from, void *to, struct error *err);

/* What fields_read() takes, as a schema of OpenAPI 3.0. NULL: out of memory. */
json_t *fields_schema(const struct field *fields);

/*
 * Calls each for every descriptor in it that is not -1, in the order of the tables; stops when it fails
 * and returns that. key is the field's own.
 */
int fields_each_fd(const struct field *fields, void *at,
	int (*each)(void *ctx, const char *key, int *fd), void *ctx);

/* The index of the name; -EINVAL: it is not in the list (which a NULL ends), or NULL itself. */
int field_find_name(const char *const *names, const char *name);

/* No control characters, valid UTF-8, max bytes at most. -EINVAL and a sentence. */
int field_check_text(const char *where, const char *key, const char *text, size_t max,
	struct error *err);

/* Into name, for the sentences about what is in it: "disks[3]." or "kernel.", behind where. */
void field_element_name(const struct field *field, unsigned n, const char *where,
	char name[FIELD_WHERE_MAX]);

#endif
