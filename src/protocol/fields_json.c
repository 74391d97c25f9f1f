/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/fields.h"

#define TEXT_READ_MAX 63

/* A number as it is written. */
static json_t *number_json(const struct field *field, uint64_t number)
{
	if (field->kind == FIELD_BOOL)
		return json_boolean(number);
	return field->kind == FIELD_ENUM ? json_string(field->names[number]) : json_integer(number);
}

static json_t *write_scalar(const struct field *field, const void *at, bool *skip)
{
	const void *p = field_place(field, at);
	const char *text;
	json_t *object;

	switch (field->kind) {
	case FIELD_STRING:
		text = *(char *const *)p;
		*skip = !text || (field->text && !strcmp(text, field->text) && !field->needed);
		return *skip ? NULL : json_string(text);
	case FIELD_TEXT:
		*skip = !*(const char *)p && !field->needed;
		return *skip ? NULL : json_string(p);
	case FIELD_NUMBER:
	case FIELD_COUNT:
	case FIELD_BOOL:
	case FIELD_ENUM:
		*skip = field_number(field, at) == field->number && !field->needed;
		return *skip ? NULL : number_json(field, field_number(field, at));
	case FIELD_CHOICE:
		*skip = field_number(field, at) == CHOICE_NONE;
		return *skip ? NULL : json_boolean(field_number(field, at) == CHOICE_YES);
	case FIELD_FD:
		*skip = *(const int *)p < 0;
		return *skip ? NULL : json_integer(*(const int *)p);
	case FIELD_STRUCT:
		object = fields_write(field->element, p);
		*skip = object && !json_object_size(object);
		if (*skip)
			json_decref(object);
		return *skip ? NULL : object;
	default:
		*skip = !*(json_t *const *)p;
		return *skip ? NULL : json_deep_copy(*(json_t *const *)p);
	}
}

static json_t *write_list(const struct field *field, const void *at)
{
	json_t *list = json_array();

	for (unsigned n = 0; list && n < *field_length(field, at); n++) {
		json_t *one = field->kind == FIELD_STRINGS
			? json_string((*(char ***)field_place(field, at))[n])
			: fields_write(field->element,
				  *(char **)field_place(field, at) + n * field->size);

		if (json_array_append_new(list, one)) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *write_set(const struct field *field, const void *at)
{
	unsigned set = *(unsigned *)field_place(field, at);
	json_t *list = json_array();

	for (unsigned n = 0; list && field->names[n]; n++) {
		if (set & 1u << n && json_array_append_new(list, json_string(field->names[n]))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* A value, NULL if it cannot be made; *skip if it has its default. */
static json_t *write_one(const struct field *field, const void *at, bool *skip)
{
	switch (field->kind) {
	case FIELD_STRINGS:
	case FIELD_LIST:
		*skip = !*field_length(field, at);
		return *skip ? NULL : write_list(field, at);
	case FIELD_SET:
		*skip = !*(unsigned *)field_place(field, at);
		return *skip ? NULL : write_set(field, at);
	default:
		return write_scalar(field, at, skip);
	}
}

static int write_into(json_t *object, const struct field *fields, const void *at)
{
	int r = 0;

	for (const struct field *field = fields; !r && field->key; field++) {
		bool skip = false;
		json_t *value;

		if (field->kind == FIELD_PART) {
			r = write_into(object, field->element, field_place(field, at));
			continue;
		}
		value = write_one(field, at, &skip);
		if (!skip)
			r = json_object_set_new(object, field->key, value);
	}
	return r;
}

json_t *fields_write(const struct field *fields, const void *at)
{
	json_t *object = json_object();

	if (object && write_into(object, fields, at)) {
		json_decref(object);
		return NULL;
	}
	return object;
}

static int wrong_type(const struct field *field, const char *where, const char *what,
	struct error *err)
{
	return error_set(err, EINVAL, "%s%s: must be %s", where, field->key, what);
}

/* A copy of a JSON string. A NUL inside would hide the rest from every later check. */
static int read_string(const struct field *field, const json_t *json, size_t max, char **text,
	const char *where, struct error *err)
{
	int r;

	if (!json_is_string(json))
		return wrong_type(field, where, "a string", err);
	if (json_string_length(json) != strlen(json_string_value(json)))
		return error_set(err, EINVAL, "%s%s: has a control character in it", where,
			field->key);
	r = field_check_text(where, field->key, json_string_value(json), max, err);
	if (r)
		return r;
	free(*text);
	*text = strdup(json_string_value(json));
	return *text ? 0 : error_nomem(err);
}

static int read_number(const struct field *field, const json_t *json, void *at, const char *where,
	struct error *err)
{
	json_int_t value = json_integer_value(json);

	if (!json_is_integer(json))
		return wrong_type(field, where, "a whole number", err);
	if (value < 0 || (uint64_t)value < field->min || (uint64_t)value > field->max)
		return error_set(err, EINVAL, "%s%s: %lld is not between %llu and %llu", where,
			field->key, (long long)value, (unsigned long long)field->min,
			(unsigned long long)field->max);
	field_set_number(field, at, value);
	return 0;
}

static int read_fd(const struct field *field, const json_t *json, void *at, const char *where,
	struct error *err)
{
	json_int_t value = json_integer_value(json);

	if (!json_is_integer(json) || value < 0 || value < field->min || value > field->max)
		return error_set(err, EINVAL, "%s%s: not a descriptor from %llu to %llu", where,
			field->key, (unsigned long long)field->min, (unsigned long long)field->max);
	*(int *)field_place(field, at) = value;
	return 0;
}

static int read_set(const struct field *field, const json_t *json, void *at, const char *where,
	struct error *err)
{
	unsigned *set = field_place(field, at);

	if (!json_is_array(json))
		return wrong_type(field, where, "a list", err);
	*set = 0;
	for (unsigned i = 0; i < json_array_size(json); i++) {
		const char *name = json_string_value(json_array_get(json, i));
		int n = field_find_name(field->names, name);

		if (n < 0 || !(field->max & 1u << n))
			return error_set(err, EINVAL, "%s%s: unknown value '%s'", where, field->key,
				name ? name : "");
		*set |= 1u << n;
	}
	return 0;
}

static int read_enum(const struct field *field, const json_t *json, void *at, const char *where,
	struct error *err)
{
	int n;

	if (!json_is_string(json))
		return wrong_type(field, where, "a string", err);
	n = field_find_name(field->names, json_string_value(json));
	if (n < 0)
		return error_set(err, EINVAL, "%s%s: unknown value '%s'", where, field->key,
			json_string_value(json));
	*(unsigned *)field_place(field, at) = n;
	return 0;
}

static int read_list(const struct field *field, const json_t *json, void *at, const char *where,
	struct error *err)
{
	size_t count = json_array_size(json);
	size_t size = field->kind == FIELD_STRINGS ? sizeof(char *) : field->size;
	char *entries, name[FIELD_WHERE_MAX];
	int r = 0;

	if (!json_is_array(json))
		return wrong_type(field, where, "a list", err);
	if (count > field->max)
		return error_set(err, EINVAL, "%s%s: %llu at most, not %zu", where, field->key,
			(unsigned long long)field->max, count);
	if (!count)
		return 0;
	entries = calloc(count, size);
	if (!entries)
		return error_nomem(err);
	*(char **)field_place(field, at) = entries;
	for (unsigned n = 0; !r && n < count; n++) {
		char *entry = entries + n * size;

		*field_length(field, at) = n + 1;
		if (field->kind == FIELD_STRINGS) {
			r = read_string(field, json_array_get(json, n), field->min, (char **)entry,
				where, err);
			continue;
		}
		field_element_name(field, n, where, name);
		r = fields_default(field->element, entry);
		if (!r)
			r = fields_read(field->element, json_array_get(json, n), entry, name, err);
	}
	return r;
}

static int read_one(const struct field *field, const json_t *json, void *at, const char *where,
	struct error *err)
{
	char *text = NULL, name[FIELD_WHERE_MAX];
	int r;

	switch (field->kind) {
	case FIELD_STRING:
		return read_string(field, json, field->max, field_place(field, at), where, err);
	case FIELD_TEXT:
		r = read_string(field, json,
			field->max > TEXT_READ_MAX ? field->max : TEXT_READ_MAX, &text, where, err);
		if (!r && (text[0] || field->needed) && field->read(text, field_place(field, at)))
			r = error_set(err, EINVAL, "%s%s: '%s' is not a valid one", where,
				field->key, text);
		free(text);
		return r;
	case FIELD_NUMBER:
	case FIELD_COUNT:
		return read_number(field, json, at, where, err);
	case FIELD_BOOL:
		if (!json_is_boolean(json))
			return wrong_type(field, where, "true or false", err);
		*(bool *)field_place(field, at) = json_is_true(json);
		return 0;
	case FIELD_CHOICE:
		if (!json_is_boolean(json))
			return wrong_type(field, where, "true or false", err);
		*(enum field_choice *)field_place(field, at) =
			json_is_true(json) ? CHOICE_YES : CHOICE_NO;
		return 0;
	case FIELD_ENUM:
		return read_enum(field, json, at, where, err);
	case FIELD_SET:
		return read_set(field, json, at, where, err);
	case FIELD_FD:
		return read_fd(field, json, at, where, err);
	case FIELD_STRUCT:
		field_element_name(field, 0, where, name);
		return fields_read(field->element, json, field_place(field, at), name, err);
	case FIELD_STRINGS:
	case FIELD_LIST:
		return read_list(field, json, at, where, err);
	case FIELD_PART: /* has no key of its own */
		return 0;
	case FIELD_OBJECT:
		if (!json_is_object(json))
			return wrong_type(field, where, "an object", err);
		*(json_t **)field_place(field, at) = json_deep_copy(json);
		return *(json_t **)field_place(field, at) ? 0 : error_nomem(err);
	}
	return 0;
}

static int check_needed(const struct field *fields, const json_t *json, const char *where,
	struct error *err)
{
	int r = 0;

	for (const struct field *field = fields; !r && field->key; field++) {
		if (field->kind == FIELD_PART)
			r = check_needed(field->element, json, where, err);
		else if (field->needed && !json_object_get(json, field->key))
			r = error_set(err, EINVAL, "%s%s: is missing", where, field->key);
	}
	return r;
}

int fields_read(const struct field *fields, const json_t *json, void *at, const char *where,
	struct error *err)
{
	const char *key;
	json_t *value;
	int r;

	if (!json_is_object(json))
		return error_set(err, EINVAL, "%s must be an object",
			where[0] ? where : "the configuration");
	json_object_foreach((json_t *)json, key, value)
	{
		void *in = at;
		const struct field *field = fields_find(fields, key, &in);

		if (!field)
			return error_set(err, EINVAL, "%s%.64s: unknown key", where, key);
		r = read_one(field, value, in, where, err);
		if (r)
			return r;
	}
	return check_needed(fields, json, where, err);
}

int field_read_word(const struct field *field, const char *word, void *at, const char *where,
	struct error *err)
{
	bool number = field->kind == FIELD_NUMBER || field->kind == FIELD_COUNT;
	size_t digits = number ? strspn(word, "0123456789") : 0;
	json_t *json;
	int r;

	if (field->kind == FIELD_BOOL)
		json = json_true();
	else if (number && digits && digits < 19 && !word[digits])
		json = json_integer(strtoll(word, NULL, 10));
	else
		json = json_string(word);
	r = json ? read_one(field, json, at, where, err)
		 : error_set(err, EINVAL, "%s%s: is not valid UTF-8", where, field->key);
	json_decref(json);
	return r;
}

int fields_copy(const struct field *fields, const void *from, void *to, struct error *err)
{
	json_t *json = fields_write(fields, from);
	int r = json ? fields_read(fields, json, to, "", err) : error_nomem(err);

	json_decref(json);
	return r;
}
