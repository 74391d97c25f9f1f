/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of a section. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "state/internal.h"

void state_group(struct state *s, const char *name, unsigned n)
{
	s->group[0] = '\0';
	if (name)
		snprintf(s->group, sizeof s->group, "%s%u.", name, n);
}

/* A name with its group, which is one of this program's own: too long is our mistake. */
static size_t full_name(struct state *s, const char *name, char full[STATE_NAME_MAX + 1])
{
	size_t group = strlen(s->group), len = strlen(name);

	if (group + len > STATE_NAME_MAX) {
		state_fail(s, EINVAL, "the name %s%s is too long", s->group, name);
		return 0;
	}
	memcpy(full, s->group, group);
	memcpy(full + group, name, len + 1);
	return group + len;
}

static uint8_t *append(struct state *s, size_t len)
{
	uint8_t *data;

	if (len > STATE_SECTION_MAX - s->length) {
		state_fail(s, EFBIG, "more than %u bytes", STATE_SECTION_MAX);
		return NULL;
	}
	if (!state_room(s, s->length + len))
		return NULL;
	data = s->data + s->length;
	s->length += len;
	return data;
}

static void field_save(struct state *s, const char *name, const void *values, unsigned width,
	size_t count)
{
	uint32_t count32 = count;
	char full[STATE_NAME_MAX + 1];
	size_t len = full_name(s, name, full);
	uint8_t *to;

	if (!len)
		return;
	if (count > STATE_SECTION_MAX) {
		state_fail(s, EFBIG, "%s: %zu values", full, count);
		return;
	}
	to = append(s, STATE_FIELD_OVERHEAD + len + width * count);
	if (!to)
		return;
	*to++ = len;
	memcpy(to, full, len);
	to += len;
	*to++ = width;
	memcpy(to, &count32, 4);
	if (count)
		memcpy(to + 4, values, width * count);
}

/*
 * The next field's values, *count of them; NULL after an error. It must have this name and width.
 */
static const uint8_t *field_find(struct state *s, const char *name, unsigned width, size_t *count)
{
	const uint8_t *from = s->data + s->at;
	size_t left = s->length - s->at, len;
	char full[STATE_NAME_MAX + 1];
	uint32_t count32;

	len = full_name(s, name, full);
	if (!len)
		return NULL;
	if (left < STATE_FIELD_OVERHEAD + len || from[0] != len || memcmp(from + 1, full, len)) {
		state_fail(s, EINVAL, "no %s where it belongs", full);
		return NULL;
	}
	from += 1 + len;
	left -= STATE_FIELD_OVERHEAD + len;
	memcpy(&count32, from + 1, 4);
	if (from[0] != width || (uint64_t)width * count32 > left) {
		state_fail(s, EINVAL, "%s has a size that cannot be", full);
		return NULL;
	}
	*count = count32;
	s->at = s->length - left + (size_t)width * count32;
	return from + 5;
}

bool state_optional(struct state *s, const char *name, bool needed)
{
	uint8_t none = 0;
	size_t len;

	if (s->rc)
		return false;
	if (s->loading) {
		char full[STATE_NAME_MAX + 1];

		len = full_name(s, name, full);
		needed = len && s->length - s->at >= STATE_FIELD_OVERHEAD + len &&
			s->data[s->at] == len && !memcmp(s->data + s->at + 1, full, len);
	}
	if (needed)
		state_values(s, name, &none, 1, 0);
	return needed && !s->rc;
}

void state_values(struct state *s, const char *name, void *values, unsigned width, size_t count)
{
	const uint8_t *from;
	size_t found;

	if (s->rc)
		return;
	if (!s->loading) {
		field_save(s, name, values, width, count);
		return;
	}
	from = field_find(s, name, width, &found);
	if (!from)
		return;
	if (found != count)
		state_fail(s, EINVAL, "%s%s has %zu values, not %zu", s->group, name, found, count);
	else if (count)
		memcpy(values, from, width * count);
}

void state_bool(struct state *s, const char *name, bool *value)
{
	uint8_t byte = *value;

	state_values(s, name, &byte, 1, 1);
	state_require(s, byte <= 1, "a truth value that is neither");
	if (!s->rc)
		*value = byte;
}

void state_u8(struct state *s, const char *name, uint8_t *value)
{
	state_values(s, name, value, 1, 1);
}

void state_u16(struct state *s, const char *name, uint16_t *value)
{
	state_values(s, name, value, 2, 1);
}

void state_u32(struct state *s, const char *name, uint32_t *value)
{
	state_values(s, name, value, 4, 1);
}

void state_u64(struct state *s, const char *name, uint64_t *value)
{
	state_values(s, name, value, 8, 1);
}

void state_i64(struct state *s, const char *name, int64_t *value)
{
	state_values(s, name, value, 8, 1);
}

void state_bytes(struct state *s, const char *name, void *values, size_t count)
{
	state_values(s, name, values, 1, count);
}

void state_u32s(struct state *s, const char *name, uint32_t *values, size_t count)
{
	state_values(s, name, values, 4, count);
}

void state_u64s(struct state *s, const char *name, uint64_t *values, size_t count)
{
	state_values(s, name, values, 8, count);
}

void state_text(struct state *s, const char *name, char *text, size_t size)
{
	const uint8_t *from;
	size_t len;

	if (s->rc)
		return;
	if (!s->loading) {
		field_save(s, name, text, 1, strlen(text));
		return;
	}
	from = field_find(s, name, 1, &len);
	if (!from)
		return;
	if (len >= size || memchr(from, '\0', len)) {
		state_fail(s, EINVAL, "%s%s is no text, or too long a one", s->group, name);
		return;
	}
	memcpy(text, from, len);
	text[len] = '\0';
}

void state_blob(struct state *s, const char *name, const void **data, size_t *count)
{
	if (!s->loading) {
		if (!s->rc)
			field_save(s, name, *data, 1, *count);
		return;
	}
	*data = s->rc ? NULL : field_find(s, name, 1, count);
	if (!*data)
		*count = 0;
}
