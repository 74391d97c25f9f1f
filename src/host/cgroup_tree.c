/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cgroup_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REMOVED_MAX 1000 /* groups in one call: the caller has others to serve */
#define DEPTH_MAX 64     /* of those that are looked at; nobody who means well goes there */

/* The first group in this one; false: there is none. */
static bool first_below(int folder, char name[NAME_MAX + 1])
{
	int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;
	bool found = false;

	while (list && !found && (entry = readdir(list)))
		if (entry->d_type == DT_DIR && strcmp(entry->d_name, ".") &&
			strcmp(entry->d_name, "..")) {
			snprintf(name, NAME_MAX + 1, "%s", entry->d_name);
			found = true;
		}
	if (list)
		closedir(list);
	else if (copy >= 0)
		close(copy);
	return found;
}

/* Down to a group that has none below it, however deep that is, and away with it. 1: there is none. */
static int remove_deepest(const char *path)
{
	char name[NAME_MAX + 1], next[NAME_MAX + 1];
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), below, r;

	if (folder < 0)
		return errno == ENOENT ? 1 : -errno;
	if (!first_below(folder, name)) {
		close(folder);
		return 1;
	}
	for (;;) {
		below = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below < 0 || !first_below(below, next))
			break;
		close(folder);
		folder = below;
		memcpy(name, next, sizeof name);
	}
	if (below >= 0)
		close(below);
	r = unlinkat(folder, name, AT_REMOVEDIR) ? -errno : 0;
	close(folder);
	return r;
}

int cgroup_tree_remove(const char *path)
{
	int r = 0;

	if (!rmdir(path) || errno == ENOENT)
		return 0;
	for (unsigned n = 0; !r; n++)
		r = n < REMOVED_MAX ? remove_deepest(path) : -EBUSY;
	if (r < 0)
		return r;
	return rmdir(path) && errno != ENOENT ? -errno : 0;
}

static void each_below(const char *path, unsigned depth, void (*each)(void *ctx, const char *path),
	void *ctx)
{
	DIR *list = opendir(path);
	const struct dirent *entry;
	char below[PATH_MAX];

	each(ctx, path);
	while (list && depth < DEPTH_MAX && (entry = readdir(list)))
		if (entry->d_type == DT_DIR && strcmp(entry->d_name, ".") &&
			strcmp(entry->d_name, "..") &&
			snprintf(below, sizeof below, "%s/%s", path, entry->d_name) <
				(int)sizeof below)
			each_below(below, depth + 1, each, ctx);
	if (list)
		closedir(list);
}

void cgroup_tree_each(const char *path, void (*each)(void *ctx, const char *path), void *ctx)
{
	each_below(path, 0, each, ctx);
}
