/* SPDX-License-Identifier: Apache-2.0 */
#include "config/spec.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void trim(struct piece *piece)
{
	while (piece->size && isspace((unsigned char)*piece->start))
		piece->start++, piece->size--;
	while (piece->size && isspace((unsigned char)piece->start[piece->size - 1]))
		piece->size--;
}

bool piece_next(const char **at, struct piece *piece)
{
	if (!*at)
		return false;
	piece->start = *at;
	piece->size = strcspn(*at, ",");
	*at = piece->start[piece->size] ? piece->start + piece->size + 1 : NULL;
	trim(piece);
	return true;
}

bool piece_is(const struct piece *piece, const char *word)
{
	return strlen(word) == piece->size && !memcmp(piece->start, word, piece->size);
}

bool piece_split(const struct piece *piece, struct piece *key, struct piece *value)
{
	const char *sign = memchr(piece->start, '=', piece->size);

	if (!sign)
		return false;
	*key = (struct piece){piece->start, sign - piece->start};
	*value = (struct piece){sign + 1, piece->start + piece->size - sign - 1};
	trim(key);
	trim(value);
	return true;
}

int piece_take(const struct piece *piece, char **to, struct error *err)
{
	free(*to);
	*to = NULL;
	if (!piece->size)
		return 0;
	*to = strndup(piece->start, piece->size);
	return *to ? 0 : error_nomem(err);
}

struct cfg_place piece_place(const struct cfg_value *value, const char *at)
{
	struct cfg_place place = value->at;

	for (const char *c = value->text; value->exact && c < at; c++)
		place.column += (*c & 0xc0) != 0x80;
	return place;
}

void spec_warn(const struct config_reader *reader, const struct cfg_place *at, const char *fmt, ...)
{
	struct error line = {""};
	char text[sizeof line.text];
	va_list args;

	if (!reader || !reader->warn)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	cfg_error(&line, 0, at, "%s", text);
	reader->warn(reader->ctx, line.text);
}

int spec_absolute(const struct config_reader *reader, char **path, struct error *err)
{
	char *folder, *whole = NULL;
	int r;

	if (!*path || **path == '/')
		return 0;
	folder = reader && reader->folder ? strdup(reader->folder) : getcwd(NULL, 0);
	if (!folder)
		return error_set(err, errno, "%s: the current folder is not known: %s", *path,
			strerror(errno));
	r = asprintf(&whole, "%s/%s", strcmp(folder, "/") ? folder : "", *path);
	free(folder);
	if (r < 0)
		return error_nomem(err);
	free(*path);
	*path = whole;
	return 0;
}
