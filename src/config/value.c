/* SPDX-License-Identifier: Apache-2.0 */
#include "config/value.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cfg_error(struct error *err, int code, const struct cfg_place *at, const char *fmt, ...)
{
	char text[sizeof err->text];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	return error_set(err, code, "%.200s:%u:%u: %s", at->file, at->line, at->column, text);
}

void value_free(struct cfg_value *value)
{
	for (unsigned n = 0; n < value->items; n++)
		value_free(&value->item[n]);
	free(value->item);
	free(value->text);
	memset(value, 0, sizeof *value);
}

int value_charge(struct cfg *cfg, size_t bytes, const struct cfg_place *at, struct error *err)
{
	if (bytes > CFG_TOTAL_MAX - cfg->total)
		return cfg_error(err, E2BIG, at, "the values take more than %u bytes in all",
			CFG_TOTAL_MAX);
	cfg->total += bytes;
	return 0;
}

int value_append(struct cfg *cfg, struct cfg_value *list, struct cfg_value *item, struct error *err)
{
	unsigned n = list->items;
	int r = value_charge(cfg, sizeof *item, &item->at, err);

	if (!r && n == CFG_ITEMS_MAX)
		r = cfg_error(err, E2BIG, &item->at, "a list of more than %u values",
			CFG_ITEMS_MAX);
	if (!r && !(n & (n - 1))) { /* room for the next power of two */
		void *more = realloc(list->item, (n ? 2 * n : 1) * sizeof *item);

		if (more)
			list->item = more;
		else
			r = error_nomem(err);
	}
	if (r) {
		value_free(item);
		return r;
	}
	list->item[list->items++] = *item;
	memset(item, 0, sizeof *item);
	return 0;
}

int value_copy(struct cfg *cfg, const struct cfg_value *from, struct cfg_value *to,
	struct error *err)
{
	int r = 0;

	*to = *from;
	to->text = NULL;
	to->item = NULL;
	to->items = 0;
	if (from->text) {
		r = value_charge(cfg, strlen(from->text), &from->at, err);
		if (!r && !(to->text = strdup(from->text)))
			r = error_nomem(err);
	}
	for (unsigned n = 0; !r && n < from->items; n++) {
		struct cfg_value item;

		r = value_copy(cfg, &from->item[n], &item, err);
		if (!r)
			r = value_append(cfg, to, &item, err);
	}
	if (r)
		value_free(to);
	return r;
}

static int set_text(struct cfg *cfg, struct cfg_value *value, const char *first, const char *second,
	struct error *err)
{
	size_t size = strlen(first) + strlen(second);
	char *text = NULL;
	int r = value_charge(cfg, size, &value->at, err);

	if (!r && size > CFG_TEXT_MAX)
		r = cfg_error(err, E2BIG, &value->at, "a string of more than %u bytes",
			CFG_TEXT_MAX);
	if (!r && asprintf(&text, "%s%s", first, second) < 0)
		r = error_nomem(err);
	if (r)
		return r;
	free(value->text);
	value->text = text;
	value->exact = false;
	return 0;
}

static int add_numbers(struct cfg *cfg, struct cfg_value *left, const struct cfg_value *right,
	struct error *err)
{
	char text[32];

	if (__builtin_add_overflow(left->number, right->number, &left->number))
		return cfg_error(err, EINVAL, &right->at, "a number that is too large");
	snprintf(text, sizeof text, "%lld", left->number);
	return set_text(cfg, left, text, "", err);
}

int value_add(struct cfg *cfg, struct cfg_value *left, struct cfg_value *right, bool sum,
	struct error *err)
{
	static const char *const names[] = {"None", "a string", "a number", "a list"};
	int r = 0;

	if (left->kind != right->kind || left->kind == CFG_NONE)
		r = cfg_error(err, EINVAL, &right->at, "cannot add %s to %s", names[right->kind],
			names[left->kind]);
	else if (left->kind == CFG_LIST)
		for (unsigned n = 0; !r && n < right->items; n++)
			r = value_append(cfg, left, &right->item[n], err);
	else if (left->kind == CFG_NUMBER && sum)
		r = add_numbers(cfg, left, right, err);
	else
		r = set_text(cfg, left, left->text, right->text, err);
	value_free(right);
	return r;
}

/* One %-specification at *at (behind the %), with its value; adds the text to value. */
static int format_one(struct cfg *cfg, struct cfg_value *out, const char **at,
	const struct cfg_value *value, struct error *err)
{
	char text[64], zero = **at == '0';
	unsigned width = 0;

	while (isdigit((unsigned char)**at) && width < 100)
		width = width * 10 + (*(*at)++ - '0');
	if (width > 40)
		return cfg_error(err, EINVAL, &out->at, "a width of more than 40 in %%");
	switch (*(*at)++) {
	case 's':
		if (value->kind == CFG_LIST || value->kind == CFG_NONE)
			break;
		return set_text(cfg, out, out->text, value->text, err);
	case 'd':
	case 'i':
	case 'x':
		if (value->kind != CFG_NUMBER)
			break;
		if ((*at)[-1] == 'x')
			snprintf(text, sizeof text, zero ? "%0*llx" : "%*llx", (int)width,
				value->number);
		else
			snprintf(text, sizeof text, zero ? "%0*lld" : "%*lld", (int)width,
				value->number);
		return set_text(cfg, out, out->text, text, err);
	default:
		return cfg_error(err, EINVAL, &out->at,
			"only %%s, %%d, %%i, %%x and %%%% are read");
	}
	return cfg_error(err, EINVAL, &value->at,
		"this value does not fit its place in the string");
}

int value_format(struct cfg *cfg, struct cfg_value *left, struct cfg_value *right, bool tuple,
	struct error *err)
{
	unsigned used = 0, count = tuple ? right->items : 1;
	struct cfg_value *values = tuple ? right->item : right;
	struct cfg_value out = {.kind = CFG_STRING, .at = left->at};
	int r = 0;

	if (left->kind != CFG_STRING)
		r = cfg_error(err, EINVAL, &left->at, "%% needs a string on its left");
	else
		r = set_text(cfg, &out, "", "", err);
	for (const char *c = left->text; !r && *c;) {
		size_t plain = strcspn(c, "%");
		char *piece = strndup(c, plain ? plain : 1);

		r = piece ? 0 : error_nomem(err);
		c += plain ? plain : 1;
		if (!r && plain)
			r = set_text(cfg, &out, out.text, piece, err);
		else if (!r && *c == '%')
			r = set_text(cfg, &out, out.text, (c++, "%"), err);
		else if (!r && (!*c || used == count))
			r = cfg_error(err, EINVAL, &left->at,
				*c ? "fewer values behind %% than places for them"
				   : "a lone %% at the end");
		else if (!r)
			r = format_one(cfg, &out, &c, &values[used++], err);
		free(piece);
	}
	if (!r && used != count)
		r = cfg_error(err, EINVAL, &left->at, "more values behind %% than places for them");
	value_free(right);
	value_free(left);
	*left = out;
	return r;
}
