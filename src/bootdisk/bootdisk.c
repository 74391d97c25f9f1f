/* SPDX-License-Identifier: Apache-2.0 */
#include "bootdisk/bootdisk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bootdisk/menu.h"
#include "bootdisk/partition.h"
#include "bootdisk/volume.h"

struct search {
	const char *name;
	uint64_t max;
	int kernel, ramdisk;
	struct bootdisk_found *found;
	/* Without a kernel: what there was instead. */
	bool any;          /* file systems that can be read */
	const char *other; /* one that cannot, or NULL */
	struct error why;  /* what was wrong with one */
};

static int too_long(const struct search *s, const char *what, struct error *err)
{
	return error_set(err, E2BIG, "%s: %s is too long", s->name, what);
}

/* A kernel and what goes with it, named by source. */
static int load(struct search *s, struct volume *volume, const struct menu_item *item,
	const char *source, struct error *err)
{
	struct bootdisk_found *found = s->found;
	uint64_t size;
	int r;

	/* An earlier file system may have left something. */
	found->ramdisk_size = 0;
	if (ftruncate(s->kernel, 0) || ftruncate(s->ramdisk, 0))
		return error_set(err, errno, "a file in memory: %s", strerror(errno));
	if (snprintf(found->kernel, sizeof found->kernel, "%s", item->kernel) >=
		(int)sizeof found->kernel)
		return too_long(s, "the kernel's path", err);
	if (snprintf(found->cmdline, sizeof found->cmdline, "%s",
		    item->cmdline ? item->cmdline : "") >= (int)sizeof found->cmdline)
		return too_long(s, "the command line", err);
	r = volume_copy(volume, item->kernel, s->max, s->kernel, 0, &size, err);
	for (unsigned i = 0; !r && i < item->ramdisks; i++) {
		const char *path = item->ramdisk[i];

		/* Archives begin at multiples of 4. */
		found->ramdisk_size = (found->ramdisk_size + 3) & ~3ull;
		if (snprintf(found->ramdisk, sizeof found->ramdisk, "%s", path) >=
			(int)sizeof found->ramdisk)
			return too_long(s, "the initial ramdisk's path", err);
		if (found->ramdisk_size > s->max)
			return too_long(s, "the initial ramdisk", err);
		r = volume_copy(volume, path, s->max - found->ramdisk_size, s->ramdisk,
			found->ramdisk_size, &size, err);
		found->ramdisk_size += r ? 0 : size;
		if (r == -ENOENT)
			return error_set(err, ENOENT, "%s: %s names %.200s, which is not there",
				s->name, source, path);
	}
	if (r == -ENOENT)
		return error_set(err, ENOENT, "%s: %s names %.200s, which is not there", s->name,
			source, item->kernel);
	return r;
}

/* grubenv lies beside grub.cfg; it may be missing, or be anything. */
static char *read_environment(struct volume *volume, const char *config)
{
	char path[64], *bytes = NULL;
	size_t size;

	snprintf(path, sizeof path, "%.*s/grubenv", (int)(strrchr(config, '/') - config), config);
	if (volume_read(volume, path, MENU_TEXT_MAX, &bytes, &size, NULL))
		return NULL;
	return bytes;
}

/* -ENOENT without a sentence: there is no such file. */
static int from_config(struct search *s, struct volume *volume, const char *path, bool legacy,
	struct error *err)
{
	const struct menu_item *item;
	struct error why = {""};
	char *text, *env = NULL;
	struct menu menu;
	size_t size;
	int r = volume_read(volume, path, MENU_TEXT_MAX, &text, &size, err);

	if (r)
		return r;
	if (!legacy)
		env = read_environment(volume, path);
	r = legacy ? menu_parse_legacy(text, size, &menu, &why)
		   : menu_parse_grub(text, size, env, &menu, &why);
	free(env);
	free(text);
	if (r)
		return error_set(err, -r, "%s: %s, %s", s->name, path, why.text);
	item = menu_default(&menu);
	if (item && item->kernel && *item->kernel)
		r = load(s, volume, item, path, err);
	else if (item)
		r = error_set(err, ENOEXEC, "%s: %s: its default, '%.100s', names no Linux kernel",
			s->name, path, item->title);
	else
		r = error_set(err, ENOEXEC, "%s: %s has no entry", s->name, path);
	menu_free(&menu);
	return r;
}

/* Links that Debian's kernel packages keep. */
static int from_links(struct search *s, struct volume *volume, unsigned partition,
	struct error *err)
{
	static char links[][2][20] = {{"/vmlinuz", "/initrd.img"},
		{"/boot/vmlinuz", "/boot/initrd.img"}};
	char cmdline[32];
	int r = -ENOENT;

	/* The first disk, by the name that it has here. */
	snprintf(cmdline, sizeof cmdline, partition ? "root=/dev/vda%u ro" : "root=/dev/vda ro",
		partition);
	for (unsigned i = 0; i < 2; i++) {
		struct menu_item item = {.kernel = links[i][0], .cmdline = cmdline};

		r = volume_find(volume, links[i][0], err);
		if (r == -ENOENT)
			continue;
		if (r)
			return r;
		r = volume_find(volume, links[i][1], err);
		if (r && r != -ENOENT)
			return r;
		if (!r)
			item.ramdisk[item.ramdisks++] = links[i][1];
		return load(s, volume, &item, links[i][0], err);
	}
	return r;
}

static int from_volume(struct search *s, struct volume *volume, unsigned partition,
	struct error *err)
{
	static const char *const grub[] = {"/boot/grub/grub.cfg", "/grub/grub.cfg",
		"/boot/grub2/grub.cfg", "/grub2/grub.cfg"};
	static const char *const legacy[] = {"/boot/grub/menu.lst", "/boot/grub/grub.conf",
		"/grub/menu.lst", "/grub/grub.conf"};
	int r = -ENOENT;

	for (unsigned i = 0; r == -ENOENT && !err->text[0] && i < 4; i++)
		r = from_config(s, volume, grub[i], false, err);
	for (unsigned i = 0; r == -ENOENT && !err->text[0] && i < 4; i++)
		r = from_config(s, volume, legacy[i], true, err);
	if (r == -ENOENT && !err->text[0])
		r = from_links(s, volume, partition, err);
	return r;
}

static int no_kernel(const struct search *s, struct error *err)
{
	if (s->why.text[0])
		return error_set(err, EINVAL, "%s", s->why.text);
	if (s->any)
		return error_set(err, ENOENT,
			"%s: no kernel on it: neither /boot/grub/grub.cfg nor /boot/grub/menu.lst nor "
			"/vmlinuz is there",
			s->name);
	if (s->other)
		return error_set(err, ENOTSUP,
			"%s: no kernel can be taken from it: it is %s, and ext2, ext3 and ext4 are read",
			s->name, s->other);
	return error_set(err, EINVAL,
		"%s: no kernel can be taken from it: no ext2, ext3 or ext4 file system is on it",
		s->name);
}

int bootdisk_load(int disk, const char *name, uint64_t max, int kernel, int ramdisk,
	struct bootdisk_found *found, struct error *err)
{
	struct search s = {.name = name, .kernel = kernel, .ramdisk = ramdisk, .found = found};
	struct partition list[PARTITIONS_MAX + 1];
	off_t size = lseek(disk, 0, SEEK_END);
	unsigned count;

	*found = (struct bootdisk_found){.kernel = ""};
	s.max = max < BOOTDISK_FILE_MAX ? max : BOOTDISK_FILE_MAX;
	if (size < 0)
		return error_set(err, errno, "%s: %s", name, strerror(errno));
	count = partition_list(disk, (uint64_t)size, list);
	for (unsigned i = 0; i < count; i++) {
		struct error why = {""};
		struct volume *volume;
		const char *other;
		int r = volume_open(disk, name, &list[i], &volume, &other, &why);

		s.any |= !r;
		if (!s.other)
			s.other = other;
		if (!r) {
			r = from_volume(&s, volume, list[i].number, &why);
			volume_close(volume);
			if (!r)
				return 0;
		}
		/* The first that is wrong counts, unless a later one has a kernel. */
		if (why.text[0] && !s.why.text[0])
			s.why = why;
	}
	return no_kernel(&s, err);
}
