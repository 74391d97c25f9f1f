/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON object out of the fuzzer's bytes that has the keys of a table of fields and mostly values of
 * their kind, some at their limits and some beyond: what gets further than bytes that are hardly ever JSON.
 */
#ifndef DACH_TESTS_FUZZ_FROM_FIELDS_H
#define DACH_TESTS_FUZZ_FROM_FIELDS_H

#include <jansson.h>
#include <stdint.h>
#include <string.h>

#include "protocol/fields.h"

struct from {
	const uint8_t *data;
	size_t size;
	unsigned fd; /* descriptors are mostly different ones */
};

static inline uint8_t from_byte(struct from *from)
{
	if (!from->size)
		return 0;
	from->size--;
	return *from->data++;
}

static inline json_t *from_fields(struct from *from, const struct field *fields);

/* How many entries or bytes: few, or just what is allowed, or one more. */
static inline size_t from_length(struct from *from, size_t max)
{
	uint8_t how = from_byte(from);

	if (max > 300 || how < 200)
		return how % 4;
	return how < 240 ? max : max + 1;
}

static inline json_t *from_text(struct from *from, size_t max)
{
	static const char *const words[] = {"", "a", "raw", "/dev/vda", "user", "02:00:00:00:00:01",
		"root=/dev/vda ro", "01234567-89ab-cdef-0123-456789abcdef", "x86-64-v3",
		"translate"};
	uint8_t how = from_byte(from);
	char text[16];
	size_t len;

	if (how < 128)
		return json_string(words[how % 10]);
	len = how % sizeof text < from->size ? how % sizeof text : from->size;
	memcpy(text, from->data, len);
	from->data += len;
	from->size -= len;
	return json_stringn(text, len); /* NULL if it is no UTF-8 */
}

static inline json_t *from_number(struct from *from, const struct field *field)
{
	uint8_t how = from_byte(from);

	switch (how % 8) {
	case 0:
		return json_integer(field->min);
	case 1:
		return json_integer(field->max);
	case 2:
		return json_integer(field->max + 1);
	case 3:
		return json_integer((json_int_t)field->min - 1);
	default:
		return json_integer(field->min + how);
	}
}

static inline json_t *from_list(struct from *from, const struct field *field)
{
	json_t *list = json_array();
	size_t len = from_length(from, field->max);

	for (size_t i = 0; i < len; i++) {
		if (field->kind == FIELD_LIST)
			json_array_append_new(list, from_fields(from, field->element));
		else if (field->kind == FIELD_STRINGS)
			json_array_append_new(list, from_text(from, field->max));
		else
			json_array_append_new(list, json_string(field->names[i % 2]));
	}
	return list;
}

static inline json_t *from_field(struct from *from, const struct field *field)
{
	uint8_t how = from_byte(from);
	unsigned names = 0;

	if (how % 32 == 31) /* of another kind */
		return how & 32 ? json_null() : how & 64 ? json_integer(how) : json_object();
	switch (field->kind) {
	case FIELD_STRING:
	case FIELD_TEXT:
		return from_text(from, field->max);
	case FIELD_NUMBER:
	case FIELD_COUNT:
		return from_number(from, field);
	case FIELD_BOOL:
		return json_boolean(how & 1);
	case FIELD_ENUM:
		while (field->names[names])
			names++;
		return json_string(field->names[how % names]);
	case FIELD_FD:
		return json_integer(how < 16 ? how : ++from->fd);
	case FIELD_STRUCT:
		return from_fields(from, field->element);
	case FIELD_OBJECT:
		return json_pack("{s:i}", "x", how);
	default:
		return from_list(from, field);
	}
}

static inline json_t *from_fields(struct from *from, const struct field *fields)
{
	json_t *json = json_object();

	for (const struct field *field = fields; field->key; field++) {
		if (field->kind == FIELD_PART) {
			json_t *part = from_fields(from, field->element);

			json_object_update(json, part);
			json_decref(part);
		} else if (field->needed || from_byte(from) & 1) {
			json_object_set_new(json, field->key, from_field(from, field));
		}
	}
	if (from_byte(from) == 255)
		json_object_set_new(json, "further", json_true());
	return json;
}

#endif
