/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/allowance.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NO_LIMIT (1ull << 60) /* version 1 writes a number about as large as can be for none */

static bool read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[got > 0 ? got : 0] = 0;
	return got > 0;
}

static uint64_t limit_at(const char *root, const char *group, const char *file)
{
	char path[PATH_MAX + 64], text[32];
	uint64_t limit;

	snprintf(path, sizeof path, "%s%s/%s", root, group, file);
	if (!read_text(path, text, sizeof text) || text[0] < '0' || text[0] > '9')
		return UINT64_MAX; /* "max", or no such file */
	limit = strtoull(text, NULL, 10);
	return limit < NO_LIMIT ? limit : UINT64_MAX;
}

/* The group's and that of each above it. A container sees its own as the root, whatever it is called. */
static uint64_t lowest(const char *root, char *group, const char *file)
{
	uint64_t least = limit_at(root, "", file);

	for (char *slash; (slash = strrchr(group, '/')); *slash = 0) {
		uint64_t limit = limit_at(root, group, file);

		least = limit < least ? limit : least;
	}
	return least;
}

uint64_t allowance_memory(const char *groups, const char *root)
{
	char text[PATH_MAX], old[PATH_MAX + 16], *rest = text, *line;
	uint64_t least = UINT64_MAX, limit;

	if (!read_text(groups, text, sizeof text))
		return UINT64_MAX;
	snprintf(old, sizeof old, "%s/memory", root);
	while ((line = strsep(&rest, "\n"))) {
		char *kinds = strchr(line, ':'), *group = kinds ? strchr(kinds + 1, ':') : NULL;

		if (!group)
			continue;
		*group++ = 0;
		limit = UINT64_MAX;
		if (!strcmp(kinds, ":"))
			limit = lowest(root, group, "memory.max");
		else if (!strcmp(kinds, ":memory"))
			limit = lowest(old, group, "memory.limit_in_bytes");
		least = limit < least ? limit : least;
	}
	return least;
}
