/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A boot loader's configuration, as far as it says which kernel is started: GRUB 2's grub.cfg and
 * GRUB legacy's menu.lst (their manuals, chapters "Writing your own configuration file").
 *
 * grub.cfg is a program. It is not run but read, as pygrub does: conditions are not looked at, so that
 * the last of several commands of a kind counts, and functions are left out. Variables are what was
 * last set, or what grubenv holds; but for next_entry, which would have to be cleared by whoever
 * starts it once. In which order entries count is GRUB's own: a submenu is one of its menu's.
 *
 * The text is not trusted. One that cannot be made sense of is refused, with a sentence that begins
 * with the line.
 */
#ifndef DACH_BOOTDISK_MENU_H
#define DACH_BOOTDISK_MENU_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define MENU_TEXT_MAX (1u << 20) /* bytes of a configuration */
#define MENU_ITEMS_MAX 512u
#define MENU_DEPTH_MAX 16u
#define MENU_RAMDISKS_MAX 4u

struct menu_item {
	int parent; /* the submenu that it is in; -1: the menu itself */
	bool submenu;
	char *title;
	char *id;      /* may be NULL */
	char *kernel;  /* a path; NULL: none is named */
	char *cmdline; /* NULL: none */
	char *ramdisk[MENU_RAMDISKS_MAX];
	unsigned ramdisks;
};

struct menu {
	struct menu_item *item;
	unsigned items;
	char *chosen; /* the default as it is written; NULL: the first */
};

/* env: grubenv's content, or NULL. Nothing to free after a failure. */
int menu_parse_grub(const char *text, size_t size, const char *env, struct menu *menu,
	struct error *err);
int menu_parse_legacy(const char *text, size_t size, struct menu *menu, struct error *err);
void menu_free(struct menu *menu);

/* What is started when nobody chooses; NULL: there is no entry. One that is not there is the first. */
const struct menu_item *menu_default(const struct menu *menu);

/* Between the files of this folder: */

/* A new item, its title copied; NULL: no memory, or too many, with the sentence. */
struct menu_item *menu_add(struct menu *menu, int parent, const char *title, unsigned line,
	struct error *err);
/* Replaces *to by a copy. */
int menu_set(char **to, const char *text, struct error *err);
/* The part behind a device: (hd0,0)/boot/vmlinuz */
const char *menu_path(const char *text);
/* One more; those that are too many are left out. */
int menu_add_ramdisk(struct menu_item *item, const char *path, struct error *err);
void menu_drop_ramdisks(struct menu_item *item);

#endif
