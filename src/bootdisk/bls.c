/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of the Boot Loader Specification, type 1 (its text at uapi-group.org), in the order in which
 * Fedora's and RHEL's GRUB shows them: by the name of their file, newest version first. What they say
 * may hold GRUB's variables, so each becomes commands of an item.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bootdisk/grub.h"
#include "bootdisk/version.h"

#define NAMES_MAX 128u
#define NAME_ROOM 256u
#define PATTERN_MAX 64u /* of loader.conf's default */
#define TEXT_ROOM (3 * GRUB_COMMAND_MAX)

struct bls_names {
	unsigned count;
	char name[NAMES_MAX][NAME_ROOM];
};

static bool take_name(void *to, const char *name)
{
	struct bls_names *names = to;
	size_t len = strlen(name);

	if (len > 5 && len < NAME_ROOM && *name != '.' && !strcmp(name + len - 5, ".conf"))
		memcpy(names->name[names->count++], name, len + 1);
	return names->count < NAMES_MAX;
}

/* NAME-VERSION-RELEASE.conf, cut at its last two lines. */
static void split(char *name, const char *part[3])
{
	char *dash;

	name[strlen(name) - 5] = 0;
	part[0] = name;
	part[1] = part[2] = "";
	for (unsigned i = 2; i; i--) {
		dash = strrchr(name, '-');
		if (!dash)
			return;
		*dash = 0;
		part[i] = dash + 1;
	}
}

static int newer_first(const void *left, const void *right)
{
	char a[NAME_ROOM], b[NAME_ROOM];
	const char *parts[2][3];
	int order = 0;

	memcpy(a, left, sizeof a);
	memcpy(b, right, sizeof b);
	split(a, parts[0]);
	split(b, parts[1]);
	for (unsigned i = 0; !order && i < 3; i++)
		order = version_compare(parts[1][i], parts[0][i]);
	return order ? order : strcmp(right, left);
}

/* What a file says that counts here. */
struct bls_entry {
	char title[256], kernel[1024], efi[1024];
	char initrd[GRUB_COMMAND_MAX / 2], options[GRUB_COMMAND_MAX / 2];
};

/* Behind what is there already, with a blank between; too much is as if not there. */
static void add(char *to, size_t room, const char *text, size_t len)
{
	size_t used = strlen(to);

	if (used + len + 2 > room)
		return;
	if (used)
		to[used++] = ' ';
	memcpy(to + used, text, len);
	to[used + len] = 0;
}

static void parse(const char *text, struct bls_entry *entry)
{
	const struct {
		const char *key;
		char *to;
		size_t room;
	} keys[] = {
		{"title", entry->title, sizeof entry->title},
		{"linux", entry->kernel, sizeof entry->kernel},
		{"efi", entry->efi, sizeof entry->efi},
		{"initrd", entry->initrd, sizeof entry->initrd},
		{"options", entry->options, sizeof entry->options},
	};

	memset(entry, 0, sizeof *entry);
	while (*text) {
		size_t len, key, end = strcspn(text, "\n");
		const char *line = text;

		text += end + (text[end] == '\n');
		while (end && strchr(" \t\r", line[end - 1]))
			end--;
		len = strspn(line, " \t");
		len = len < end ? len : end;
		line += len;
		end -= len;
		key = strcspn(line, " \t\n");
		key = key < end ? key : end;
		len = key;
		while (len < end && strchr(" \t", line[len]))
			len++;
		for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
			if (strlen(keys[i].key) == key && !memcmp(line, keys[i].key, key))
				add(keys[i].to, keys[i].room, line + len, end - len);
	}
}

/* Where a path of an entry in /boot begins, if /boot is no file system of its own. */
static const char *place_of(const struct grub *grub, const char *device, const char *folder,
	const struct bls_entry *entry)
{
	const struct menu_disk *disk = grub->disk;
	char path[sizeof entry->kernel + 8];

	snprintf(path, sizeof path, "/boot%s", entry->kernel);
	if (strncmp(folder, "/boot/", 6) || *entry->kernel != '/' ||
		disk->look(disk->data, device, entry->kernel, NULL) == MENU_FILE ||
		disk->look(disk->data, device, path, NULL) != MENU_FILE)
		return "";
	return "/boot";
}

static char *commands(const struct grub *grub, const char *device, const char *folder,
	const struct bls_entry *entry)
{
	const char *place = place_of(grub, device, folder, entry), *at = entry->initrd;
	char *text = malloc(TEXT_ROOM);
	int used;

	if (!text)
		return NULL;
	if (!*entry->kernel) {
		snprintf(text, TEXT_ROOM, "%s %s\n", *entry->efi ? "chainloader" : "true",
			entry->efi);
		return text;
	}
	used = snprintf(text, TEXT_ROOM, "root='%s'\nlinux %s%s %s\ninitrd", device, place,
		entry->kernel, *entry->options ? entry->options : "$default_kernelopts");
	/* A variable among them may be several, or none. */
	while (used < (int)TEXT_ROOM && *at) {
		size_t len = strcspn(at, " \t");

		used += snprintf(text + used, TEXT_ROOM - (size_t)used, " %s%.*s",
			*at == '/' ? place : "", (int)len, at);
		at += len + strspn(at + len, " \t");
	}
	return text;
}

static int add_entry(struct grub *grub, const char *device, const char *folder, char *name,
	unsigned line)
{
	char path[MENU_DEVICE_MAX + 2 * NAME_ROOM], *text;
	struct bls_entry *entry;
	struct menu_item *item;
	size_t size;
	int r;

	snprintf(path, sizeof path, "(%s)%s/%s", device, folder, name);
	/* One that cannot be read is as if not there. */
	if (grub_read(grub, path, &text, &size))
		return 0;
	entry = malloc(sizeof *entry);
	if (entry)
		parse(text, entry);
	free(text);
	if (!entry)
		return error_nomem(grub->err);
	name[strlen(name) - 5] = 0;
	item = menu_add(grub->menu, grub->parent, *entry->title ? entry->title : name, line,
		grub->err);
	r = item ? menu_set(&item->id, name, grub->err) : -EINVAL;
	if (!r) {
		item->text = commands(grub, device, folder, entry);
		r = item->text ? 0 : error_nomem(grub->err);
	}
	free(entry);
	return r;
}

/* -ENOENT, without a sentence: no entry is there. */
static int add_folder(struct grub *grub, const char *device, const char *folder, unsigned line)
{
	const struct menu_disk *disk = grub->disk;
	struct bls_names *names;
	int r = -ENOENT;

	if (strlen(folder) >= NAME_ROOM || strlen(device) >= MENU_DEVICE_MAX)
		return -ENOENT;
	names = calloc(1, sizeof *names);
	if (!names)
		return error_nomem(grub->err);
	disk->list(disk->data, device, folder, take_name, names);
	qsort(names->name, names->count, NAME_ROOM, newer_first);
	for (unsigned i = 0; i < names->count && (!i || !r); i++)
		r = add_entry(grub, device, folder, names->name[i], line);
	free(names);
	return r;
}

int bls_add(struct grub *grub, const char *folder, unsigned line)
{
	const char *own = grub_value(grub, "blsdir");
	const char *folders[] = {folder ? folder : own, "/loader/entries", "/boot/loader/entries"};
	const char *devices[] = {grub_value(grub, "boot"), grub_value(grub, "root"),
		grub->disk->device};
	int r = -ENOENT;

	for (unsigned i = 0; r == -ENOENT && i < 3; i++)
		for (unsigned k = 0; r == -ENOENT && k < 3; k++)
			if (*folders[i] == '/' && *devices[k])
				r = add_folder(grub, devices[k], folders[i], line);
	grub->status = !r;
	if (r == -ENOENT)
		return grub->menu->other ? 0 : menu_set(&grub->menu->other, "blscfg", grub->err);
	return r;
}

/* The first entry whose id, with or without .conf, matches a pattern. */
static int choose(struct menu *menu, const char *pattern, struct error *err)
{
	char name[NAME_ROOM], number[16];

	for (unsigned i = 0; i < menu->items; i++) {
		snprintf(name, sizeof name, "%s.conf", menu->item[i].id);
		if (fnmatch(pattern, name, 0) && fnmatch(pattern, menu->item[i].id, 0))
			continue;
		snprintf(number, sizeof number, "%u", i);
		return menu_set(&menu->chosen, number, err);
	}
	return 0;
}

/* loader.conf's line "default PATTERN" */
static int take_loader(const struct menu_disk *disk, struct menu *menu, struct error *err)
{
	char path[MENU_DEVICE_MAX], pattern[PATTERN_MAX], *text;
	size_t size;
	int r = 0;

	snprintf(path, sizeof path, "%s/loader.conf", disk->folder);
	if (disk->read(disk->data, disk->device, path, &text, &size))
		return 0;
	for (const char *at = text; !r && *at; at += strcspn(at, "\n"), at += *at == '\n')
		if (sscanf(at, "default%*[ \t]%63[^ \t\r\n]", pattern) == 1)
			r = choose(menu, pattern, err);
	free(text);
	return r;
}

int menu_parse_bls(const struct menu_disk *disk, struct menu *menu, struct error *err)
{
	char text[MENU_DEVICE_MAX + 32];
	int r;

	snprintf(text, sizeof text, "blscfg %s/entries\n", disk->folder);
	r = menu_parse_grub(disk, text, strlen(text), menu, err);
	if (r)
		return r;
	r = take_loader(disk, menu, err);
	if (r)
		menu_free(menu);
	return r;
}
