/* SPDX-License-Identifier: Apache-2.0 */
#include "bootdisk/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int disk_open(const struct disk_bytes *bytes, const char *name, struct disk **out,
	struct error *err)
{
	struct disk *disk = calloc(1, sizeof *disk);

	*out = NULL;
	if (!disk)
		return error_nomem(err);
	disk->bytes = bytes;
	disk->name = name;
	disk->count = partition_list(bytes, disk->partition);
	for (unsigned i = 0; i < disk->count; i++)
		identity_read(bytes, &disk->partition[i], &disk->identity[i]);
	*out = disk;
	return 0;
}

void disk_close(struct disk *disk)
{
	if (!disk)
		return;
	for (unsigned i = 0; i < DISK_OPEN_MAX; i++)
		volume_close(disk->open[i].volume);
	free(disk);
}

int disk_volume(struct disk *disk, unsigned partition, struct volume **volume, struct error *err)
{
	unsigned turn = disk->turn;
	int r;

	*volume = NULL;
	for (unsigned i = 0; i < DISK_OPEN_MAX; i++)
		if (disk->open[i].volume && disk->open[i].partition == partition)
			*volume = disk->open[i].volume;
	if (*volume)
		return 0;
	r = volume_open(disk->bytes, disk->name, &disk->partition[partition], volume, err);
	if (r)
		return r;
	volume_close(disk->open[turn].volume);
	disk->open[turn].volume = *volume;
	disk->open[turn].partition = partition;
	disk->turn = (turn + 1) % DISK_OPEN_MAX;
	return 0;
}

void disk_device(const struct disk *disk, unsigned partition, char device[MENU_DEVICE_MAX])
{
	const struct partition *where = &disk->partition[partition];

	if (where->number)
		snprintf(device, MENU_DEVICE_MAX, "hd0,%s%u", where->gpt ? "gpt" : "msdos",
			where->number);
	else
		snprintf(device, MENU_DEVICE_MAX, "hd0");
}

int disk_partition(const struct disk *disk, const char *device)
{
	char name[MENU_DEVICE_MAX];

	for (unsigned i = 0; i < disk->count; i++) {
		disk_device(disk, i, name);
		if (!strcmp(device, name))
			return (int)i;
		snprintf(name, sizeof name, "hd0,%u", disk->partition[i].number);
		if (disk->partition[i].number && !strcmp(device, name))
			return (int)i;
	}
	return -1;
}

/* The file system that a device is; NULL: none that can be read. */
static struct volume *volume_of(struct disk *disk, const char *device)
{
	int partition = disk_partition(disk, device);
	struct volume *volume = NULL;

	if (partition >= 0)
		disk_volume(disk, (unsigned)partition, &volume, NULL);
	return volume;
}

static int menu_read(void *data, const char *device, const char *path, char **bytes, size_t *size)
{
	struct volume *volume = volume_of(data, device);

	return volume ? volume_read(volume, path, MENU_TEXT_MAX, bytes, size, NULL) : -ENOENT;
}

static enum menu_kind menu_look(void *data, const char *device, const char *path, uint64_t *size)
{
	struct volume *volume = volume_of(data, device);

	switch (volume ? volume_look(volume, path, size) : VOLUME_NOTHING) {
	case VOLUME_FILE:
		return MENU_FILE;
	case VOLUME_FOLDER:
		return MENU_FOLDER;
	case VOLUME_OTHER:
	case VOLUME_NOTHING:
		break;
	}
	return MENU_NOTHING;
}

static void menu_list(void *data, const char *device, const char *path,
	bool (*each)(void *to, const char *name), void *to)
{
	struct volume *volume = volume_of(data, device);

	if (volume)
		volume_list(volume, path, each, to);
}

static bool menu_writable(void *data, const char *device, const char *path, size_t size)
{
	struct disk *disk = data;
	struct volume *volume = volume_of(disk, device);
	uint64_t offset;

	return disk->writable && volume && volume_place(volume, path, size, &offset);
}

static bool menu_find(void *data, enum menu_by by, const char *what, char device[MENU_DEVICE_MAX])
{
	struct disk *disk = data;

	for (unsigned i = 0; i < disk->count; i++) {
		const struct identity *identity = &disk->identity[i];
		bool found = false;

		disk_device(disk, i, device);
		if (!*what)
			return false;
		if (by == MENU_BY_UUID)
			found = !strcasecmp(identity->uuid, what);
		else if (by == MENU_BY_LABEL)
			found = !strcmp(identity->label, what);
		else if (identity->readable && *what == '/')
			found = menu_look(disk, device, what, NULL) != MENU_NOTHING;
		if (found)
			return true;
	}
	return false;
}

void disk_menu(struct disk *disk, unsigned partition, const char *folder,
	char device[MENU_DEVICE_MAX], struct menu_disk *menu)
{
	disk_device(disk, partition, device);
	*menu = (struct menu_disk){.data = disk,
		.device = device,
		.folder = folder,
		.read = menu_read,
		.look = menu_look,
		.list = menu_list,
		.writable = menu_writable,
		.find = menu_find};
}
