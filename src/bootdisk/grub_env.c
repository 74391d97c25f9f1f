/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grubenv, GRUB's environment block: variables that it reads when it starts, and saves in place, since it
 * writes to no file system. 1024 bytes: a line that says what it is, lines NAME=VALUE, and # up to the end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bootdisk/grub.h"

#define HEADER "# GRUB Environment Block\n"
#define LINE_ROOM 1024u

/* Whether it is one of the words from first on; no words: all are. */
static bool is_wanted(const struct grub_words *names, unsigned first, const char *name)
{
	for (unsigned i = first; names && i < names->count; i++)
		if (!strcmp(names->word[i], name))
			return true;
	return !names || first >= names->count;
}

/* One that can be saved: it begins as it should, and could be written over. */
static bool is_block(const struct grub *grub, const char *path, const char *bytes, size_t size)
{
	const struct menu_disk *disk = grub->disk;
	char device[MENU_DEVICE_MAX];

	return size == MENU_SAVED_SIZE && !strncmp(bytes, HEADER, strlen(HEADER)) &&
		grub_split(grub, path, device, &path) &&
		disk->writable(disk->data, device, path, size);
}

/* One line without its escapes; returns its length as it is written. */
static size_t take_line(const char *at, char line[LINE_ROOM])
{
	size_t len = strcspn(at, "\n"), out = 0;

	for (size_t i = 0; i < len && *at != '#' && out + 1 < LINE_ROOM; i++) {
		i += at[i] == '\\' && i + 1 < len;
		line[out++] = at[i];
	}
	line[out] = 0;
	return len + (at[len] == '\n');
}

/* As grub_load_env(), from a file's bytes. once: the entry for the next start counts, too. */
static int load_lines(struct grub *grub, const char *at, const struct grub_words *names,
	unsigned first, bool once)
{
	char line[LINE_ROOM];
	int r = 0;

	while (!r && *at) {
		char *value;

		at += take_line(at, line);
		value = strchr(line, '=');
		if (!value || !grub_is_name(line, (size_t)(value - line)))
			continue;
		*value++ = 0;
		if (is_wanted(names, first, line) && (once || strcmp(line, "next_entry")))
			r = grub_set(grub, line, value);
	}
	return r;
}

int grub_load_env(struct grub *grub, const char *path, const struct grub_words *names,
	unsigned first)
{
	char *bytes;
	size_t size;
	int r;

	grub->status = false;
	if (grub_read(grub, path, &bytes, &size))
		return 0;
	grub->status = true;
	/* names NULL: nobody asked for it, so nobody clears it. */
	r = load_lines(grub, bytes, names, first, names && is_block(grub, path, bytes, size));
	free(bytes);
	return r;
}

/* Saving */

/* Opens the file, once: a second one is not saved. False: it cannot be. */
static bool open_saved(struct grub *grub, const char *path)
{
	char device[MENU_DEVICE_MAX], *bytes;
	struct menu_saved *saved = grub->menu->saved;
	const char *rest;
	size_t size;

	if (!grub_split(grub, path, device, &rest) || strlen(rest) >= sizeof saved->path)
		return false;
	if (saved)
		return !strcmp(saved->device, device) && !strcmp(saved->path, rest);
	if (grub_read(grub, path, &bytes, &size))
		return false;
	if (is_block(grub, path, bytes, size))
		saved = calloc(1, sizeof *saved);
	if (saved) {
		strcpy(saved->device, device);
		strcpy(saved->path, rest);
		memcpy(saved->bytes, bytes, size);
	}
	free(bytes);
	grub->menu->saved = saved;
	return saved;
}

/* "NAME=VALUE" with its escapes and the line's end; false: there is no room. */
static bool make_line(const char *name, const char *value, char line[LINE_ROOM])
{
	size_t used = (size_t)snprintf(line, LINE_ROOM, "%s=", name);

	for (; *value && used + 4 < LINE_ROOM; value++) {
		if (*value == '\\' || *value == '\n')
			line[used++] = '\\';
		line[used++] = *value;
	}
	line[used++] = '\n';
	line[used] = 0;
	return !*value;
}

/* In place of the line that is there, or behind the last; as it is if there is no room. */
static bool save_one(struct menu_saved *saved, const char *name, const char *line)
{
	char bytes[MENU_SAVED_SIZE];
	const char *at = saved->bytes, *end = at + MENU_SAVED_SIZE;
	size_t len = strlen(name), used = 0, size = strlen(line);
	bool placed = false;

	memset(bytes, '#', sizeof bytes);
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t old = stop ? (size_t)(stop + 1 - at) : (size_t)(end - at);
		bool same = old > len && !memcmp(at, name, len) && at[len] == '=';

		if (!stop) /* what fills it up */
			break;
		if (used + (same ? size : old) > sizeof bytes)
			return false;
		memcpy(bytes + used, same ? line : at, same ? size : old);
		used += same ? size : old;
		placed |= same;
		at += old;
	}
	if (!placed && used + size > sizeof bytes)
		return false;
	if (!placed)
		memcpy(bytes + used, line, size);
	saved->changed |= memcmp(saved->bytes, bytes, sizeof bytes) != 0;
	memcpy(saved->bytes, bytes, sizeof bytes);
	return true;
}

int grub_save_env(struct grub *grub, const char *path, const struct grub_words *names,
	unsigned first)
{
	char line[LINE_ROOM];

	if (grub->trial)
		return 0;
	grub->status = open_saved(grub, path);
	for (unsigned i = first; grub->status && i < names->count; i++) {
		const char *name = names->word[i];

		grub->status = grub_is_name(name, strlen(name)) &&
			make_line(name, grub_value(grub, name), line) &&
			save_one(grub->menu->saved, name, line);
	}
	return 0;
}
