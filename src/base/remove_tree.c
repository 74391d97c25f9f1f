/* SPDX-License-Identifier: Apache-2.0 */
#include "base/remove_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_itself(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/*
 * Folders in it come up to the top, under numbers, and files go: so no path is ever longer, and no more is open, however deep
 * it was. Only with what may be called between fork and exec: so no readdir(3).
 */
static void empty(int top, int folder, unsigned *next)
{
	struct entry {
		ino64_t inode;
		off64_t offset;
		unsigned short size;
		unsigned char type;
		char name[];
	};
	char entries[32768] __attribute__((aligned(8))), name[16];
	ssize_t n;

	while ((n = syscall(SYS_getdents64, folder, entries, sizeof entries)) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct entry *entry = (const struct entry *)(entries + at);

			at += entry->size;
			if (is_itself(entry->name) || !unlinkat(folder, entry->name, 0))
				continue;
			if (!unlinkat(folder, entry->name, AT_REMOVEDIR) || folder == top)
				continue;
			do
				snprintf(name, sizeof name, "%u", (*next)++);
			while (renameat2(folder, entry->name, top, name, RENAME_NOREPLACE) &&
				errno == EEXIST);
		}
}

/* One folder of the top after the other, until none is left or none can go. */
static bool remove_first(int top, unsigned *next)
{
	int copy = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), below;
	DIR *list = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;
	bool gone = false;

	while (list && !gone && (entry = readdir(list))) {
		if (is_itself(entry->d_name))
			continue;
		below = openat(top, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below < 0)
			continue;
		empty(top, below, next);
		close(below);
		gone = !unlinkat(top, entry->d_name, AT_REMOVEDIR);
	}
	if (list)
		closedir(list);
	return gone;
}

void remove_tree(const char *path)
{
	int top = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	unsigned next = 0;

	if (top < 0)
		return;
	empty(top, top, &next);
	while (remove_first(top, &next)) {
	}
	close(top);
	rmdir(path);
}
