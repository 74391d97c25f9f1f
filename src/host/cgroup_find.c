/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cgroup_find.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/cgroup_tree.h"

#define LINES_MAX 4096 /* of a file of proc */

/* Names in version 1's mount options and in version 2's files; cpuacct has no file of its own. */
static const char *const old_names[] = {"cpu", "cpuacct", "memory", "pids", "blkio"};
static const char *const new_names[] = {"cpu", NULL, "memory", "pids", "io"};

/* Is the word one of those in the list? */
static bool has_word(const char *list, const char *word, const char *between)
{
	size_t size = strlen(word);

	while (*list) {
		size_t next = strcspn(list, between);

		if (next == size && !memcmp(list, word, size))
			return true;
		list += next;
		list += strspn(list, between);
	}
	return false;
}

/* Where this process is in the hierarchy of that controller (NULL: version 2's). */
static void own_group(const char *proc, const char *controller, char group[PATH_MAX])
{
	char path[PATH_MAX], *line = NULL;
	size_t size = 0;
	FILE *file;

	strcpy(group, "/");
	snprintf(path, sizeof path, "%s/self/cgroup", proc);
	file = fopen(path, "re");
	for (unsigned n = 0; file && n < LINES_MAX && getline(&line, &size, file) > 0; n++) {
		char *list = strchr(line, ':'), *where = list ? strchr(list + 1, ':') : NULL;

		if (!where)
			continue;
		*where++ = 0;
		where[strcspn(where, "\n")] = 0;
		if (controller ? has_word(list + 1, controller, ",") : !list[1])
			snprintf(group, PATH_MAX, "%s", where);
	}
	if (file)
		fclose(file);
	free(line);
	if (strstr(group, "/..")) /* outside of what this namespace shows */
		strcpy(group, "/");
}

static bool write_text(const char *folder, const char *name, const char *text)
{
	char path[PATH_MAX];
	bool good;
	int fd;

	if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
		return false;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	good = write(fd, text, strlen(text)) >= 0;
	close(fd);
	return good;
}

static bool read_text(const char *folder, const char *name, char *text, size_t size)
{
	char path[PATH_MAX];
	ssize_t got;
	int fd;

	text[0] = 0;
	if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	got = read(fd, text, size - 1);
	close(fd);
	text[got > 0 ? got : 0] = 0;
	return got >= 0;
}

static void enable(const char *folder)
{
	char text[64];

	for (unsigned n = 0; n < CGROUP_CONTROLLERS; n++) {
		if (!new_names[n])
			continue;
		snprintf(text, sizeof text, "+%s", new_names[n]);
		write_text(folder, "cgroup.subtree_control", text);
	}
}

/*
 * Makes the group in that folder. In version 2 a group's children have a controller only if every
 * group above them hands it on. *list: the controllers that guests can have.
 */
static bool make_group(const char *folder, const char *name, enum cgroup_versions version,
	char path[PATH_MAX], char *list, size_t size)
{
	if (snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
		return false;
	if (mkdir(path, 0755) && (errno != EEXIST || access(path, W_OK | X_OK)))
		return false;
	if (version == CGROUP_V1)
		return true;
	enable(folder);
	enable(path);
	if (read_text(path, "cgroup.subtree_control", list, size) && list[strspn(list, " \n")])
		return true;
	rmdir(path);
	return false;
}

/* From the top of the mount down to the group that this process is in: the first that works. */
static bool find_group(const char *mount, const char *group, const char *name,
	enum cgroup_versions version, char path[PATH_MAX], char *list, size_t size)
{
	char folder[PATH_MAX];
	const char *end = group;

	for (;;) {
		if (snprintf(folder, sizeof folder, "%s%.*s", mount, (int)(end - group), group) >=
			(int)sizeof folder)
			return false;
		if (make_group(folder, name, version, path, list, size))
			return true;
		if (!*end || !end[1])
			return false;
		end += 1 + strcspn(end + 1, "/");
	}
}

struct mount {
	char *root, *point, *type, *options;
};

/* A line of mountinfo (proc_pid_mountinfo(5)). Blanks in paths are \040; nobody mounts there. */
static bool read_mount(char *line, struct mount *mount)
{
	char *dash = strstr(line, " - "), *save, *word;
	unsigned n = 0;

	if (!dash)
		return false;
	*dash = 0;
	memset(mount, 0, sizeof *mount);
	for (word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save), n++) {
		if (n == 3)
			mount->root = word;
		if (n == 4)
			mount->point = word;
	}
	mount->type = strtok_r(dash + 3, " \n", &save);
	strtok_r(NULL, " \n", &save);
	mount->options = strtok_r(NULL, " \n", &save);
	return mount->point && mount->options;
}

/* A mount may show only a part of the hierarchy: the part above is none of ours. */
static const char *below(const char *root, const char *group)
{
	size_t size = strlen(root);

	if (!strcmp(root, "/"))
		return group;
	if (strncmp(group, root, size) || (group[size] && group[size] != '/'))
		return "";
	return group + size;
}

static void use_old(const char *proc, const char *name, const struct mount *mount,
	struct cgroup_place *place)
{
	char group[PATH_MAX], path[PATH_MAX];

	for (unsigned n = 0; n < CGROUP_CONTROLLERS; n++) {
		if (place[n].path || !has_word(mount->options, old_names[n], ","))
			continue;
		own_group(proc, old_names[n], group);
		if (find_group(mount->point, below(mount->root, group), name, CGROUP_V1, path, NULL,
			    0))
			place[n] = (struct cgroup_place){CGROUP_V1, strdup(path)};
	}
}

static void use_new(const char *proc, const char *name, const struct mount *mount,
	struct cgroup_place *place)
{
	char group[PATH_MAX], path[PATH_MAX], list[256], text[256];

	/* One whose controllers are all in version 1's hands is of no use. */
	if (!read_text(mount->point, "cgroup.controllers", text, sizeof text) ||
		!text[strspn(text, " \n")])
		return;
	own_group(proc, NULL, group);
	if (!find_group(mount->point, below(mount->root, group), name, CGROUP_V2, path, list,
		    sizeof list))
		return;
	for (unsigned n = 0; n < CGROUP_CONTROLLERS; n++)
		if (!place[n].path && new_names[n] && has_word(list, new_names[n], " \n"))
			place[n] = (struct cgroup_place){CGROUP_V2, strdup(path)};
}

void cgroup_find(const char *proc, const char *name, struct cgroup_place place[CGROUP_CONTROLLERS])
{
	char path[PATH_MAX], *line = NULL;
	size_t size = 0;
	struct mount mount;
	FILE *file;

	snprintf(path, sizeof path, "%s/self/mountinfo", proc);
	file = fopen(path, "re");
	for (unsigned n = 0; file && n < LINES_MAX && getline(&line, &size, file) > 0; n++) {
		if (!read_mount(line, &mount))
			continue;
		if (!strcmp(mount.type, "cgroup"))
			use_old(proc, name, &mount, place);
		else if (!strcmp(mount.type, "cgroup2"))
			use_new(proc, name, &mount, place);
	}
	if (file)
		fclose(file);
	free(line);
}

void cgroup_sweep(const char *proc, const char *name, const char *guest)
{
	char path[PATH_MAX], *line = NULL;
	size_t size = 0;
	struct mount mount;
	FILE *file;

	snprintf(path, sizeof path, "%s/self/mountinfo", proc);
	file = fopen(path, "re");
	for (unsigned n = 0; file && n < LINES_MAX && getline(&line, &size, file) > 0; n++)
		if (read_mount(line, &mount) &&
			(!strcmp(mount.type, "cgroup") || !strcmp(mount.type, "cgroup2")) &&
			snprintf(path, sizeof path, "%s/%s/%s", mount.point, name, guest) <
				(int)sizeof path)
			cgroup_tree_remove(path);
	if (file)
		fclose(file);
	free(line);
}

void cgroup_make_again(const struct cgroup_place *place)
{
	if (!mkdir(place->path, 0755) && place->version == CGROUP_V2)
		enable(place->path);
}
