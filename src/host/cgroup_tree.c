/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cgroup_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUPS_MAX 1000 /* in one call: the caller has others to serve */

/* A group between the top and where the walk is: what of it comes next, and which one below it is being walked through. */
struct level {
	long at;    /* where in its folder those begin that have not been seen */
	long after; /* and what is behind the one that is */
	char name[NAME_MAX + 1];
};

/* One descriptor, whatever the depth; there is no path that reaches all groups. */
struct tree_walk {
	int folder;
	struct level *level;
	size_t depth, room;
};

/* The next group in this one, into level; false: there is none. */
static bool find_below(int folder, struct level *level)
{
	int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;
	bool found = false;

	if (list && level->at)
		seekdir(list, level->at);
	while (list && !found && (entry = readdir(list)))
		if (entry->d_type == DT_DIR && strcmp(entry->d_name, ".") &&
			strcmp(entry->d_name, "..")) {
			snprintf(level->name, sizeof level->name, "%s", entry->d_name);
			level->after = telldir(list);
			found = true;
		}
	if (list)
		closedir(list);
	else if (copy >= 0)
		close(copy);
	return found;
}

static int enter(struct tree_walk *walk, int folder)
{
	if (walk->depth == walk->room) {
		const size_t room = walk->room ? 2 * walk->room : 16;
		struct level *level = reallocarray(walk->level, room, sizeof *level);

		if (!level)
			return -ENOMEM;
		walk->level = level;
		walk->room = room;
	}
	walk->level[walk->depth++].at = 0;
	if (walk->folder >= 0)
		close(walk->folder);
	walk->folder = folder;
	return 0;
}

/* Down to a group that has none below it which has not been seen, however deep: so each call takes some away. */
static int descend(struct tree_walk *walk)
{
	int r = 0;

	while (!r) {
		struct level *level = &walk->level[walk->depth - 1];
		int below;

		if (!find_below(walk->folder, level))
			return 0;
		below = openat(walk->folder, level->name,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below < 0) {
			level->at = level->after;
			continue;
		}
		r = enter(walk, below);
		if (r)
			close(below);
	}
	return r;
}

/* Back to the group above, and away with the one that was left, or else past it. */
static int climb(struct tree_walk *walk)
{
	int above = openat(walk->folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct level *level = &walk->level[walk->depth - 2];

	if (above < 0)
		return -errno;
	close(walk->folder);
	walk->folder = above;
	walk->depth--;
	if (unlinkat(above, level->name, AT_REMOVEDIR) && errno != ENOENT)
		level->at = level->after;
	return 0;
}

static int each_group(struct tree_walk *walk, void (*each)(void *ctx, int folder), void *ctx)
{
	for (unsigned n = 0; n < GROUPS_MAX; n++) {
		int r = descend(walk);

		if (r)
			return r;
		if (each)
			each(ctx, walk->folder);
		if (walk->depth == 1)
			return 0;
		r = climb(walk);
		if (r)
			return r;
	}
	return -EBUSY;
}

int cgroup_tree_each(const char *path, void (*each)(void *ctx, int folder), void *ctx)
{
	struct tree_walk walk = {.folder = -1};
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (folder < 0)
		return errno == ENOENT ? 0 : -errno;
	r = enter(&walk, folder);
	if (r)
		close(folder);
	else
		r = each_group(&walk, each, ctx);
	if (walk.folder >= 0)
		close(walk.folder);
	free(walk.level);
	return r;
}

int cgroup_tree_remove(const char *path)
{
	int r;

	if (!rmdir(path) || errno == ENOENT)
		return 0;
	r = cgroup_tree_each(path, NULL, NULL);
	if (r)
		return r;
	return rmdir(path) && errno != ENOENT ? -errno : 0;
}
