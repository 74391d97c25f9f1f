/* SPDX-License-Identifier: Apache-2.0 */
#include "config/preamble.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* Without their blanks; one kind of quotes. */
static const char *const stock[] = {
	"importos,re",
	"arch=os.uname()[4]",
	"ifre.search('64',arch):",
	"arch_libdir='lib64'",
	"else:",
	"arch_libdir='lib'",
};
#define LINES_MAX (sizeof stock / sizeof *stock)
#define LINES_MIN 4u /* some people's has no else */

static bool is_line(const char *line, size_t size, const char *wanted)
{
	for (size_t i = 0; i < size && line[i] != '#'; i++) {
		char c = line[i] == '"' ? '\'' : line[i];

		if (isspace((unsigned char)c))
			continue;
		if (!*wanted || c != *wanted)
			return false;
		wanted++;
	}
	return !*wanted;
}

unsigned preamble_lines(const char *text, size_t size)
{
	const char *end = text + size;
	unsigned lines = 0, matched = 0, last = 0;

	while (matched < LINES_MAX && text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		size_t len = (size_t)((stop ? stop : end) - text);

		lines++;
		if (is_line(text, len, stock[matched])) {
			matched++;
			last = lines;
		} else if (!is_line(text, len, "")) {
			break;
		}
		text += len + (stop != NULL);
	}
	/* An else needs its line. */
	return matched == LINES_MIN || matched == LINES_MAX ? last : 0;
}
