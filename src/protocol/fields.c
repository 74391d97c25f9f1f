/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/fields.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t field_number(const struct field *field, const void *at)
{
	switch (field->kind) {
	case FIELD_NUMBER:
		return *(uint64_t *)field_place(field, at);
	case FIELD_BOOL:
		return *(bool *)field_place(field, at);
	default: /* an enum is an unsigned here, or a negative that is out of every bound */
		return *(unsigned *)field_place(field, at);
	}
}

void field_set_number(const struct field *field, void *at, uint64_t value)
{
	switch (field->kind) {
	case FIELD_NUMBER:
		*(uint64_t *)field_place(field, at) = value;
		break;
	case FIELD_BOOL:
		*(bool *)field_place(field, at) = value;
		break;
	default:
		*(unsigned *)field_place(field, at) = value;
	}
}

static unsigned names_count(const struct field *field)
{
	unsigned n = 0;

	while (field->names[n])
		n++;
	return n;
}

int field_find_name(const char *const *names, const char *name)
{
	for (int n = 0; name && names[n]; n++)
		if (!strcmp(names[n], name))
			return n;
	return -EINVAL;
}

const struct field *fields_find(const struct field *fields, const char *key, void **in)
{
	void *at = *in;

	for (const struct field *field = fields; field->key; field++) {
		const struct field *found;

		*in = field->kind == FIELD_PART ? field_place(field, at) : at;
		if (field->kind != FIELD_PART) {
			if (!strcmp(field->key, key))
				return field;
			continue;
		}
		found = fields_find(field->element, key, in);
		if (found)
			return found;
	}
	return NULL;
}

int fields_default(const struct field *fields, void *at)
{
	for (const struct field *field = fields; field->key; field++) {
		switch (field->kind) {
		case FIELD_STRING:
			if (field->text &&
				!(*(char **)field_place(field, at) = strdup(field->text)))
				return -ENOMEM;
			break;
		case FIELD_NUMBER:
		case FIELD_COUNT:
		case FIELD_BOOL:
		case FIELD_CHOICE:
		case FIELD_ENUM:
			field_set_number(field, at, field->number);
			break;
		case FIELD_FD:
			*(int *)field_place(field, at) = -1;
			break;
		case FIELD_STRUCT:
		case FIELD_PART:
			if (fields_default(field->element, field_place(field, at)))
				return -ENOMEM;
			break;
		default:
			break;
		}
	}
	return 0;
}

int fields_make_list(const struct field *fields, const char *key, void *at, unsigned count)
{
	const struct field *field = fields_find(fields, key, &at);
	char *entries = calloc(count ? count : 1, field->size);
	int r = 0;

	if (!entries)
		return -ENOMEM;
	*(char **)field_place(field, at) = entries;
	*field_length(field, at) = count;
	for (unsigned n = 0; !r && n < count; n++)
		r = fields_default(field->element, entries + n * field->size);
	return r;
}

int fields_each_fd(const struct field *fields, void *at,
	int (*each)(void *ctx, const char *key, int *fd), void *ctx)
{
	int r = 0;

	for (const struct field *field = fields; !r && field->key; field++) {
		char *p = field_place(field, at);

		if (field->kind == FIELD_FD && *(int *)p >= 0)
			r = each(ctx, field->key, (int *)p);
		else if (field->kind == FIELD_STRUCT || field->kind == FIELD_PART)
			r = fields_each_fd(field->element, p, each, ctx);
		for (unsigned n = 0;
			!r && field->kind == FIELD_LIST && n < *field_length(field, at); n++)
			r = fields_each_fd(field->element, *(char **)p + n * field->size, each,
				ctx);
	}
	return r;
}

void fields_free(const struct field *fields, void *at)
{
	for (const struct field *field = fields; field->key; field++) {
		void *p = field_place(field, at);

		switch (field->kind) {
		case FIELD_STRING:
			free(*(char **)p);
			break;
		case FIELD_STRINGS:
			for (unsigned n = 0; n < *field_length(field, at); n++)
				free((*(char ***)p)[n]);
			free(*(char ***)p);
			break;
		case FIELD_LIST:
			for (unsigned n = 0; n < *field_length(field, at); n++)
				fields_free(field->element, *(char **)p + n * field->size);
			free(*(void **)p);
			break;
		case FIELD_STRUCT:
		case FIELD_PART:
			fields_free(field->element, p);
			break;
		case FIELD_OBJECT:
			json_decref(*(json_t **)p);
			break;
		default:
			break;
		}
	}
}

/* The number of bytes of a well-formed UTF-8 sequence (Unicode 15, table 3-7), 0 if it is none. */
static unsigned utf8_length(const unsigned char *s)
{
	unsigned len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] > 0xf4)
		return 0;
	for (unsigned n = 1; n < len; n++)
		if ((s[n] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

int field_check_text(const char *where, const char *key, const char *text, size_t max,
	struct error *err)
{
	unsigned len;

	if (strlen(text) > max)
		return error_set(err, EINVAL, "%s%s: longer than %zu bytes", where, key, max);
	for (const char *c = text; *c; c += len) {
		len = utf8_length((const unsigned char *)c);
		if (!len)
			return error_set(err, EINVAL, "%s%s: is not valid UTF-8", where, key);
		if ((unsigned char)*c < ' ' || *c == 127)
			return error_set(err, EINVAL, "%s%s: has a control character in it", where,
				key);
	}
	return 0;
}

static int check_number(const struct field *field, uint64_t value, const char *where,
	struct error *err)
{
	if (value < field->min || value > field->max)
		return error_set(err, EINVAL, "%s%s: %llu is not between %llu and %llu", where,
			field->key, (unsigned long long)value, (unsigned long long)field->min,
			(unsigned long long)field->max);
	return 0;
}

static int check_length(const struct field *field, uint64_t count, const char *where,
	struct error *err)
{
	if (count > field->max)
		return error_set(err, EINVAL, "%s%s: %llu at most, not %llu", where, field->key,
			(unsigned long long)field->max, (unsigned long long)count);
	return 0;
}

static int check_object(const struct field *field, json_t *object, const char *where,
	struct error *err)
{
	size_t size = json_dumpb(object, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);

	if (!json_is_object(object) || !size)
		return error_set(err, EINVAL, "%s%s: must be an object", where, field->key);
	if (size > field->max)
		return error_set(err, EINVAL, "%s%s: longer than %llu bytes", where, field->key,
			(unsigned long long)field->max);
	return 0;
}

void field_element_name(const struct field *field, unsigned n, const char *where,
	char name[FIELD_WHERE_MAX])
{
	if (field->kind == FIELD_STRUCT)
		snprintf(name, FIELD_WHERE_MAX, "%s%s.", where, field->key);
	else
		snprintf(name, FIELD_WHERE_MAX, "%s%s[%u].", where, field->key, n);
}

static int check_list(const struct field *field, const void *at, const char *where,
	struct error *err)
{
	unsigned count = *field_length(field, at);
	int r = check_length(field, count, where, err);
	char name[FIELD_WHERE_MAX];

	for (unsigned n = 0; !r && n < count; n++) {
		field_element_name(field, n, where, name);
		if (field->kind == FIELD_LIST)
			r = fields_check(field->element,
				*(char **)field_place(field, at) + n * field->size, name, err);
		else
			r = field_check_text(where, field->key,
				(*(char ***)field_place(field, at))[n], field->min, err);
	}
	return r;
}

static int check_one(const struct field *field, const void *at, const char *where,
	struct error *err)
{
	char *text, fixed[FIELD_TEXT_MAX + 1];
	int fd;

	switch (field->kind) {
	case FIELD_STRING:
		text = *(char **)field_place(field, at);
		if (!text)
			return field->text || field->needed
				? error_set(err, EINVAL, "%s%s: is missing", where, field->key)
				: 0;
		if (strlen(text) < field->min)
			return error_set(err, EINVAL, "%s%s: is empty", where, field->key);
		return field_check_text(where, field->key, text, field->max, err);
	case FIELD_TEXT:
		text = field_place(field, at);
		if ((text[0] || field->needed) && field->read(text, fixed))
			return error_set(err, EINVAL, "%s%s: '%s' is not a valid one", where,
				field->key, text);
		return 0;
	case FIELD_NUMBER:
	case FIELD_COUNT:
		/* A default out of bounds is for what has been left out. */
		if (field_number(field, at) == field->number && !field->needed)
			return 0;
		return check_number(field, field_number(field, at), where, err);
	case FIELD_CHOICE:
		if (field_number(field, at) > CHOICE_YES)
			return error_set(err, EINVAL, "%s%s: unknown value", where, field->key);
		return 0;
	case FIELD_ENUM:
		if (field_number(field, at) >= names_count(field))
			return error_set(err, EINVAL, "%s%s: unknown value", where, field->key);
		return 0;
	case FIELD_BOOL:
		return 0;
	case FIELD_SET:
		if (field_number(field, at) & ~field->max)
			return error_set(err, EINVAL, "%s%s: unknown value", where, field->key);
		return 0;
	case FIELD_FD:
		fd = *(int *)field_place(field, at);
		return fd == -1 ? 0 : check_number(field, fd, where, err);
	case FIELD_STRINGS:
	case FIELD_LIST:
		return check_list(field, at, where, err);
	case FIELD_STRUCT:
		field_element_name(field, 0, where, fixed);
		return fields_check(field->element, field_place(field, at), fixed, err);
	case FIELD_PART:
		return fields_check(field->element, field_place(field, at), where, err);
	case FIELD_OBJECT:
		if (!*(json_t **)field_place(field, at))
			return field->needed
				? error_set(err, EINVAL, "%s%s: is missing", where, field->key)
				: 0;
		return check_object(field, *(json_t **)field_place(field, at), where, err);
	}
	return 0;
}

int fields_check(const struct field *fields, const void *at, const char *where, struct error *err)
{
	int r = 0;

	for (const struct field *field = fields; !r && field->key; field++)
		r = check_one(field, at, where, err);
	return r;
}
