/* SPDX-License-Identifier: Apache-2.0 */
#include "bootdisk/bootdisk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bootdisk/disk.h"
#include "bootdisk/newest.h"

struct search {
	struct disk *disk;
	const char *name;
	uint64_t max;
	int kernel, ramdisk;
	struct bootdisk_found *found;
	bool wrong[PARTITIONS_MAX + 1]; /* what is there cannot be used */
	struct error why;               /* what was wrong with the first */
	bool any;                       /* file systems that can be read */
};

static int too_long(const struct search *s, const char *what, struct error *err)
{
	return error_set(err, E2BIG, "%s: %s is too long", s->name, what);
}

/* Files that a configuration names */

/* What a device is that is none of this disk; NULL: nothing that is known. */
static const char *kind_of_device(const char *device)
{
	static const char *const kinds[][2] = {
		{"lvm", "a logical volume (LVM)"},
		{"md", "a RAID (md)"},
		{"crypto", "an encrypted disk"},
		{"luks", "an encrypted disk"},
		{"loop", "a file system in a file (loopback)"},
		{"tftp", "the network"},
		{"http", "the network"},
		{"pxe", "the network"},
		{"cd", "a CD"},
	};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (!strncmp(device, kinds[i][0], strlen(kinds[i][0])))
			return kinds[i][1];
	return NULL;
}

/* Why a file that source names could not be had. */
static int not_there(const struct search *s, unsigned own, const struct menu_file *file,
	const char *source, struct error *err)
{
	const char *kind = file->device ? kind_of_device(file->device) : NULL;
	int partition = file->device ? disk_partition(s->disk, file->device) : (int)own;

	if (partition >= 0 && s->disk->identity[partition].name)
		kind = s->disk->identity[partition].name;
	if (kind)
		return error_set(err, ENOTSUP,
			"%s: %s names (%.60s)%.150s: that is %s, which is not read", s->name,
			source, file->device, file->path, kind);
	if (!file->device || partition == (int)own)
		return error_set(err, EINVAL, "%s: %s names %.200s, which is not there", s->name,
			source, file->path);
	return error_set(err, EINVAL, "%s: %s names (%.60s)%.150s, which is not there", s->name,
		source, file->device, file->path);
}

/* The file, into to at at. Where a device is only a hint, or is not there, it may be beside source. */
static int copy(struct search *s, unsigned own, const struct menu_file *file, const char *source,
	uint64_t max, int to, uint64_t at, uint64_t *size, struct error *err)
{
	int partition = file->device ? disk_partition(s->disk, file->device) : (int)own;
	unsigned places[2] = {partition < 0 ? own : (unsigned)partition, own};
	unsigned count = partition < 0 || file->named || partition == (int)own ? 1 : 2;

	for (unsigned i = 0; i < count; i++) {
		struct volume *volume;
		int r = disk_volume(s->disk, places[i], &volume, err);

		if (!r)
			r = volume_copy(volume, file->path, max, to, at, size, err);
		if (r != -ENOENT && r != -ENODATA)
			return r;
	}
	return not_there(s, own, file, source, err);
}

static int load_ramdisks(struct search *s, unsigned own, const struct menu_item *item,
	const char *source, struct error *err)
{
	struct bootdisk_found *found = s->found;
	int r = 0;

	for (unsigned i = 0; !r && i < item->ramdisks; i++) {
		const struct menu_file *file = &item->ramdisk[i];
		uint64_t size = 0;

		/* Archives begin at multiples of 4. */
		found->ramdisk_size = (found->ramdisk_size + 3) & ~3ull;
		if (snprintf(found->ramdisk, sizeof found->ramdisk, "%s", file->path) >=
			(int)sizeof found->ramdisk)
			return too_long(s, "the initial ramdisk's path", err);
		if (found->ramdisk_size > s->max)
			return too_long(s, "the initial ramdisk", err);
		r = copy(s, own, file, source, s->max - found->ramdisk_size, s->ramdisk,
			found->ramdisk_size, &size, err);
		found->ramdisk_size += r ? 0 : size;
	}
	return r;
}

/* A kernel and what goes with it, named by source, which lies on the partition own. */
static int load(struct search *s, unsigned own, const struct menu_item *item, const char *source,
	struct error *err)
{
	struct bootdisk_found *found = s->found;
	uint64_t size;
	int r;

	/* An earlier file system may have left something. */
	*found = (struct bootdisk_found){.kernel = ""};
	if (ftruncate(s->kernel, 0) || ftruncate(s->ramdisk, 0))
		return error_set(err, errno, "a file in memory: %s", strerror(errno));
	if (snprintf(found->kernel, sizeof found->kernel, "%s", item->kernel.path) >=
		(int)sizeof found->kernel)
		return too_long(s, "the kernel's path", err);
	if (snprintf(found->cmdline, sizeof found->cmdline, "%s",
		    item->cmdline ? item->cmdline : "") >= (int)sizeof found->cmdline)
		return too_long(s, "the command line", err);
	r = copy(s, own, &item->kernel, source, s->max, s->kernel, 0, &size, err);
	return r ? r : load_ramdisks(s, own, item, source, err);
}

/* Configurations */

enum config_kind { CONFIG_GRUB, CONFIG_LEGACY, CONFIG_BLS, CONFIG_SYSLINUX };

static const struct config_place {
	enum config_kind kind;
	const char *folder, *name;
} places[] = {
	{CONFIG_GRUB, "/boot/grub", "grub.cfg"},
	{CONFIG_GRUB, "/grub", "grub.cfg"},
	{CONFIG_GRUB, "/boot/grub2", "grub.cfg"},
	{CONFIG_GRUB, "/grub2", "grub.cfg"},
	{CONFIG_LEGACY, "/boot/grub", "menu.lst"},
	{CONFIG_LEGACY, "/boot/grub", "grub.conf"},
	{CONFIG_LEGACY, "/grub", "menu.lst"},
	{CONFIG_LEGACY, "/grub", "grub.conf"},
	{CONFIG_BLS, "/loader", "entries"},
	{CONFIG_BLS, "/boot/loader", "entries"},
	{CONFIG_SYSLINUX, "/boot/extlinux", "extlinux.conf"},
	{CONFIG_SYSLINUX, "/boot", "extlinux.conf"},
	{CONFIG_SYSLINUX, "/extlinux", "extlinux.conf"},
	{CONFIG_SYSLINUX, "", "extlinux.conf"},
	{CONFIG_SYSLINUX, "/boot/syslinux", "extlinux.conf"},
	{CONFIG_SYSLINUX, "/boot/syslinux", "syslinux.cfg"},
	{CONFIG_SYSLINUX, "/syslinux", "syslinux.cfg"},
	{CONFIG_SYSLINUX, "", "syslinux.cfg"},
};

/* What there is to say about one without a kernel; -ENOENT where another may have one. */
static int no_kernel_in(const struct search *s, const char *path, const struct menu *menu,
	const struct menu_item *item, struct error *err)
{
	const char *other = item ? item->other : menu->other;
	char doubt[160] = "";

	if (other)
		snprintf(doubt, sizeof doubt, " ('%.100s' in it is not understood)", other);
	if (item)
		return error_set(err, ENOEXEC,
			"%s: %s: its default, '%.100s', names no Linux kernel%s", s->name, path,
			item->title, doubt);
	error_set(err, ENOENT, "%s: %s has no entry%s", s->name, path, doubt);
	return -ENOENT;
}

static int parse(const struct config_place *place, const struct menu_disk *disk, const char *text,
	size_t size, struct menu *menu, struct error *err)
{
	switch (place->kind) {
	case CONFIG_LEGACY:
		return menu_parse_legacy(text, size, menu, err);
	case CONFIG_SYSLINUX:
		return menu_parse_syslinux(disk, text, size, menu, err);
	case CONFIG_BLS:
		return menu_parse_bls(disk, menu, err);
	case CONFIG_GRUB:
		break;
	}
	return menu_parse_grub(disk, text, size, menu, err);
}

/* What the configuration saves. That it has a place on the disk is known. */
static void take_saved(struct search *s, const struct menu_saved *saved)
{
	struct bootdisk_saved *to = &s->found->saved;
	int partition = disk_partition(s->disk, saved->device);
	struct volume *volume;

	if (!saved->changed || partition < 0 ||
		disk_volume(s->disk, (unsigned)partition, &volume, NULL) ||
		!volume_place(volume, saved->path, sizeof saved->bytes, &to->offset) ||
		to->offset % 512)
		return;
	to->size = sizeof saved->bytes;
	memcpy(to->bytes, saved->bytes, sizeof saved->bytes);
}

static int from_menu(struct search *s, unsigned own, const char *path, struct menu *menu,
	struct error *err)
{
	const struct menu_item *item;
	struct error why = {""};
	int r = menu_default(menu, &item, &why);

	if (r)
		return error_set(err, -r, "%s: %s, %s", s->name, path, why.text);
	if (!item || !item->kernel.path || !*item->kernel.path)
		return no_kernel_in(s, path, menu, item, err);
	r = load(s, own, item, path, err);
	if (!r && menu->saved)
		take_saved(s, menu->saved);
	return r;
}

/* -ENOENT: there is none, or (with a sentence) one that names nothing. */
static int from_config(struct search *s, unsigned own, const struct config_place *place,
	struct error *err)
{
	char path[64], device[MENU_DEVICE_MAX], *text = NULL;
	struct error why = {""};
	struct menu_disk disk;
	struct volume *volume;
	struct menu menu;
	size_t size = 0;
	int r = disk_volume(s->disk, own, &volume, err);

	snprintf(path, sizeof path, "%s/%s", place->folder, place->name);
	if (!r && place->kind == CONFIG_BLS)
		r = volume_look(volume, path, NULL) == VOLUME_FOLDER ? 0 : -ENOENT;
	else if (!r)
		r = volume_read(volume, path, MENU_TEXT_MAX, &text, &size, err);
	if (r)
		return r;
	disk_menu(s->disk, own, place->folder, device, &disk);
	r = parse(place, &disk, text, size, &menu, &why);
	free(text);
	if (r)
		return error_set(err, -r, "%s: %s, %s", s->name, path, why.text);
	r = from_menu(s, own, path, &menu, err);
	/* What was wrong with the default is what is told. */
	while (r && menu_fall_back(&menu, NULL))
		r = from_menu(s, own, path, &menu, &why);
	menu_free(&menu);
	return r;
}

/* The first that names a kernel, or that is wrong. */
static int from_configs(struct search *s, unsigned own, struct error *err)
{
	struct error first = {""};
	int r = -ENOENT;

	for (size_t i = 0; r == -ENOENT && i < sizeof places / sizeof *places; i++) {
		struct error why = {""};

		r = from_config(s, own, &places[i], &why);
		if (why.text[0] && !first.text[0])
			first = why;
	}
	if (r && first.text[0])
		error_set(err, -r, "%s", first.text);
	return r;
}

/* Without a configuration */

/* The partition that root= is to name: that of the kernel, unless it has only what is for /boot. */
static unsigned root_of(struct search *s, unsigned own)
{
	for (unsigned turn = 0; turn <= s->disk->count; turn++) {
		unsigned i = turn ? turn - 1 : own;
		struct volume *volume;

		if (!disk_volume(s->disk, i, &volume, NULL) &&
			volume_look(volume, "/etc", NULL) == VOLUME_FOLDER)
			return i;
	}
	return own;
}

static int from_newest(struct search *s, unsigned own, struct error *err)
{
	struct newest newest;
	struct menu_item item = {.kernel.path = newest.kernel};
	struct volume *volume;
	char cmdline[32];
	unsigned number;
	int r = disk_volume(s->disk, own, &volume, err);

	if (!r)
		r = newest_find(volume, &newest, err);
	if (r)
		return r;
	number = s->disk->partition[root_of(s, own)].number;
	/* The first disk, by the name that it has here. */
	snprintf(cmdline, sizeof cmdline, number ? "root=/dev/vda%u ro" : "root=/dev/vda ro",
		number);
	item.cmdline = cmdline;
	if (*newest.ramdisk)
		item.ramdisk[item.ramdisks++].path = newest.ramdisk;
	return load(s, own, &item, newest.kernel, err);
}

/* What to say when there is no kernel */

static const char *unread(const struct search *s)
{
	const char *found = NULL;

	/* What is more likely to have one. */
	for (unsigned i = 0; i < s->disk->count; i++) {
		const char *name = s->disk->identity[i].name;

		if (name && (!found || !strcmp(found, "swap space")))
			found = name;
	}
	return found;
}

static int no_kernel(const struct search *s, struct error *err)
{
	const char *other = unread(s);

	if (s->why.text[0])
		return error_set(err, EINVAL, "%s", s->why.text);
	if (s->any)
		return error_set(err, ENOENT,
			"%s: no kernel on it: neither a configuration of GRUB, extlinux or the Boot "
			"Loader Specification nor a /vmlinuz or /boot/vmlinuz-* is there%s%s%s",
			s->name, other ? " (what else is on it is " : "", other ? other : "",
			other ? ", which is not read)" : "");
	if (other)
		return error_set(err, ENOTSUP,
			"%s: no kernel can be taken from it: it is %s, and ext2 to ext4, XFS, btrfs and FAT are read",
			s->name, other);
	return error_set(err, EINVAL,
		"%s: no kernel can be taken from it: no ext2 to ext4, XFS, btrfs or FAT file system is on it",
		s->name);
}

/* On each partition: what a boot loader is told; then, where none is, what is there. */
static int search(struct search *s, struct error *err)
{
	static int (*const ways[])(struct search *, unsigned, struct error *) = {from_configs,
		from_newest};

	for (unsigned way = 0; way < 2; way++)
		for (unsigned i = 0; i < s->disk->count; i++) {
			struct error why = {""};
			struct volume *volume;
			int r = s->wrong[i] ? -EINVAL : disk_volume(s->disk, i, &volume, &why);

			s->any |= !r;
			if (!r)
				r = ways[way](s, i, &why);
			if (!r)
				return 0;
			/* The first that is wrong counts, unless a later one has a kernel. */
			if (why.text[0] && !s->why.text[0])
				s->why = why;
			s->wrong[i] |= r != -ENOENT;
		}
	return no_kernel(s, err);
}

int bootdisk_load(const struct disk_bytes *disk, const char *name, bool writable, uint64_t max,
	int kernel, int ramdisk, struct bootdisk_found *found, struct error *err)
{
	struct search s = {.name = name, .kernel = kernel, .ramdisk = ramdisk, .found = found};
	int r = disk_open(disk, name, &s.disk, err);

	*found = (struct bootdisk_found){.kernel = ""};
	s.max = max < BOOTDISK_FILE_MAX ? max : BOOTDISK_FILE_MAX;
	if (!r) {
		s.disk->writable = writable;
		r = search(&s, err);
	}
	disk_close(s.disk);
	return r;
}
