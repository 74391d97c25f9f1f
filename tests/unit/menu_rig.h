/* SPDX-License-Identifier: Apache-2.0 */
/* A disk for boot loaders' configurations that is a list of files in memory. */
#ifndef DACH_TESTS_MENU_RIG_H
#define DACH_TESTS_MENU_RIG_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bootdisk/menu.h"

struct rig_file {
	const char *device, *path,
		*text; /* path NULL: the device's UUID, and its label behind a blank */
};

/* The last has no device. */
static const struct rig_file *rig_files;

static const struct rig_file *rig_find(const char *device, const char *path)
{
	for (const struct rig_file *file = rig_files; file && file->device; file++)
		if (!strcmp(file->device, device) && file->path && !strcmp(file->path, path))
			return file;
	return NULL;
}

static int rig_read(void *data, const char *device, const char *path, char **bytes, size_t *size)
{
	const struct rig_file *file = rig_find(device, path);

	*bytes = NULL;
	if (!file)
		return -ENOENT;
	*bytes = strdup(file->text);
	*size = strlen(file->text);
	return *bytes ? 0 : -ENOMEM;
}

static enum menu_kind rig_look(void *data, const char *device, const char *path, uint64_t *size)
{
	const struct rig_file *file = rig_find(device, path);

	if (file && size)
		*size = strlen(file->text);
	if (file)
		return MENU_FILE;
	for (file = rig_files; file && file->device; file++)
		if (!strcmp(file->device, device) && file->path &&
			!strncmp(file->path, path, strlen(path)) && file->path[strlen(path)] == '/')
			return MENU_FOLDER;
	return MENU_NOTHING;
}

static void rig_list(void *data, const char *device, const char *path,
	bool (*each)(void *to, const char *name), void *to)
{
	size_t len = strlen(path);

	for (const struct rig_file *file = rig_files; file && file->device; file++)
		if (!strcmp(file->device, device) && file->path &&
			!strncmp(file->path, path, len) && file->path[len] == '/' &&
			!strchr(file->path + len + 1, '/') && !each(to, file->path + len + 1))
			return;
}

static bool rig_writable(void *data, const char *device, const char *path, size_t size)
{
	return rig_find(device, path);
}

static bool rig_search(void *data, enum menu_by by, const char *what, char device[MENU_DEVICE_MAX])
{
	for (const struct rig_file *file = rig_files; file && file->device; file++) {
		const char *blank = file->path ? NULL : strchr(file->text, ' ');
		bool found = by == MENU_BY_FILE && file->path && !strcmp(file->path, what);

		if (blank && by == MENU_BY_UUID)
			found = strlen(what) == (size_t)(blank - file->text) &&
				!memcmp(file->text, what, strlen(what));
		if (blank && by == MENU_BY_LABEL)
			found = !strcmp(blank + 1, what);
		snprintf(device, MENU_DEVICE_MAX, "%s", file->device);
		if (found)
			return true;
	}
	return false;
}

static const struct menu_disk rig_disk = {.device = "hd0,msdos1",
	.folder = "/boot/grub",
	.read = rig_read,
	.look = rig_look,
	.list = rig_list,
	.writable = rig_writable,
	.find = rig_search};

#endif
