/* SPDX-License-Identifier: Apache-2.0 */
#include "bootdisk/lines.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

void lines_init(struct lines *lines, const char *text, size_t size)
{
	lines->at = text;
	lines->end = text + size;
	lines->number = 0;
}

int lines_next(struct lines *lines, struct error *err)
{
	while (lines->at < lines->end) {
		const char *at = lines->at;
		const char *stop = memchr(at, '\n', (size_t)(lines->end - at));

		lines->number++;
		lines->at = stop ? stop + 1 : lines->end;
		stop = stop ? stop : lines->end;
		while (at < stop && isspace((unsigned char)*at))
			at++;
		while (stop > at && isspace((unsigned char)stop[-1]))
			stop--;
		if (at == stop || *at == '#')
			continue;
		if (stop - at >= LINES_MAX_BYTES || memchr(at, 0, (size_t)(stop - at)))
			return error_set(err, EINVAL, "line %u: too long, or no text",
				lines->number);
		memcpy(lines->text, at, (size_t)(stop - at));
		lines->text[stop - at] = 0;
		return 1;
	}
	return 0;
}
