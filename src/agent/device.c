/* SPDX-License-Identifier: Apache-2.0 */
/* Disks by what is on them: the beginnings of file systems, as their own sources tell. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"

#define LABEL_MAX 256
#define START_MAX (65536 + 4096) /* bytes at the beginning of a device */

/* Where each kind keeps its mark, its UUID and its name (ext4.h, xfs_format.h, btrfs_tree.h). */
static const struct {
	const char *mark;
	size_t mark_size, mark_at, uuid_at, label_at, label_size;
} kinds[] = {
	{"\x53\xef", 2, 1024 + 56, 1024 + 104, 1024 + 120, 16},
	{"XFSB", 4, 0, 32, 108, 12},
	{"_BHRfS_M", 8, 65536 + 64, 65536 + 32, 65536 + 299, LABEL_MAX},
};

static bool same_uuid(const uint8_t *uuid, const char *text)
{
	for (unsigned i = 0; i < 16; i++) {
		char byte[3] = {0};

		text += *text == '-';
		if (!text[0] || !text[1])
			return false;
		memcpy(byte, text, 2);
		if (strtoul(byte, NULL, 16) != uuid[i])
			return false;
		text += 2;
	}
	return !*text;
}

/* Whether the device has that UUID or label. */
static bool is_it(const char *path, const char *uuid, const char *label)
{
	static uint8_t start[START_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : pread(fd, start, sizeof start, 0);

	if (fd >= 0)
		close(fd);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		const char *name = (const char *)start + kinds[i].label_at;

		if (size < (ssize_t)(kinds[i].label_at + kinds[i].label_size) ||
			memcmp(start + kinds[i].mark_at, kinds[i].mark, kinds[i].mark_size))
			continue;
		if (uuid ? same_uuid(start + kinds[i].uuid_at, uuid)
			 : strlen(label) <= kinds[i].label_size &&
					!strncmp(name, label, kinds[i].label_size))
			return true;
	}
	return false;
}

bool device_find(const char *word, char *path, size_t size)
{
	const char *uuid = strncmp(word, "UUID=", 5) ? NULL : word + 5;
	const char *label = strncmp(word, "LABEL=", 6) ? NULL : word + 6;
	DIR *dir = uuid || label ? opendir("/sys/class/block") : NULL;
	struct dirent *entry;
	bool found = false;

	if (!strncmp(word, "/dev/", 5)) {
		snprintf(path, size, "%s", word);
		return !access(path, F_OK);
	}
	while (dir && !found && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, size, "/dev/%s", entry->d_name);
		found = is_it(path, uuid, label);
	}
	if (dir)
		closedir(dir);
	return found;
}
