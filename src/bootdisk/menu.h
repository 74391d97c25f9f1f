/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A boot loader's configuration, as far as it says which kernel is started:
 *
 *   GRUB 2's grub.cfg, with the commands that entries are made of (its manual, chapter "Writing your
 *   own configuration file"), grubenv, and files of the Boot Loader Specification where blscfg asks
 *   for them; grub.h says how far
 *   GRUB legacy's menu.lst (its manual, chapter "Configuration")
 *   syslinux's and extlinux's (doc/menu.txt and doc/syslinux.txt of syslinux 6)
 *   files of the Boot Loader Specification alone
 *
 * The text is not trusted, and whatever it makes this do has a bound. One that cannot be made sense of
 * is refused, with a sentence that begins with the line.
 */
#ifndef DACH_BOOTDISK_MENU_H
#define DACH_BOOTDISK_MENU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define MENU_TEXT_MAX (1u << 20) /* bytes of a configuration */
#define MENU_ITEMS_MAX 512u
#define MENU_DEPTH_MAX 16u
#define MENU_RAMDISKS_MAX 8u
#define MENU_DEVICE_MAX 64u /* bytes of a device's name, the 0 among them */

enum menu_kind { MENU_NOTHING, MENU_FILE, MENU_FOLDER };
enum menu_by { MENU_BY_UUID, MENU_BY_LABEL, MENU_BY_FILE };

/*
 * What a configuration can ask of the disk that it lies on. A device is called as GRUB calls it
 * ("hd0,gpt2"); one that is not there holds nothing. Paths are absolute.
 */
struct menu_disk {
	void *data;
	const char *device; /* where the configuration lies */
	const char *folder; /* and in which folder; "" for the topmost */
	/* A file's bytes, with a 0 behind them, the caller's to free. -errno, without a sentence. */
	int (*read)(void *data, const char *device, const char *path, char **bytes, size_t *size);
	enum menu_kind (*look)(void *data, const char *device, const char *path, uint64_t *size);
	/* Calls each for the names in a folder, in no order, until it says false. */
	void (*list)(void *data, const char *device, const char *path,
		bool (*each)(void *to, const char *name), void *to);
	/* Whether a file of so many bytes could be written over where it is; nobody does so here. */
	bool (*writable)(void *data, const char *device, const char *path, size_t size);
	/* The first device with that UUID or label, or with that file. */
	bool (*find)(void *data, enum menu_by by, const char *what, char device[MENU_DEVICE_MAX]);
};

struct menu_file {
	char *path;   /* NULL: there is none */
	char *device; /* NULL: the configuration's own */
	bool named; /* the file is there and nowhere else; else it may also be beside the configuration */
};

#define MENU_TOP (-1)
#define MENU_HIDDEN (-2) /* of a menu that another has taken the place of */

struct menu_item {
	int parent; /* the submenu that it is in, or one of these */
	bool submenu;
	char *title;
	char *id; /* may be NULL */
	struct menu_file kernel;
	char *cmdline; /* NULL: none */
	struct menu_file ramdisk[MENU_RAMDISKS_MAX];
	unsigned ramdisks;
	char *other; /* what it does that is not understood: a command; or NULL */
	/* GRUB's: what it does, and what that is told; it is done when the item is chosen. */
	const struct script_node *body;
	char *text; /* or that as text; NULL: none */
};

#define MENU_SAVED_SIZE 1024u /* grubenv's */

/* A file that is to be written over when the kernel starts, as GRUB's save_env does. */
struct menu_saved {
	char device[MENU_DEVICE_MAX], path[256];
	char bytes[MENU_SAVED_SIZE];
	bool changed; /* else it need not be */
};

struct menu {
	struct menu_item *item;
	unsigned items;
	char *chosen;      /* the default as it is written; NULL: the first that starts a kernel */
	char *fallback;    /* what is tried when that cannot be started, blanks between; or NULL */
	char *other;       /* the first command that is not understood, or NULL */
	struct grub *grub; /* who runs GRUB's items; or NULL */
	struct menu_saved *saved; /* NULL: none */
};

/* Nothing to free after a failure. disk has to stay until the menu is freed. */
int menu_parse_grub(const struct menu_disk *disk, const char *text, size_t size, struct menu *menu,
	struct error *err);
int menu_parse_legacy(const char *text, size_t size, struct menu *menu, struct error *err);
int menu_parse_syslinux(const struct menu_disk *disk, const char *text, size_t size,
	struct menu *menu, struct error *err);
/* All of disk->folder/entries, and what loader.conf beside it says is the default. */
int menu_parse_bls(const struct menu_disk *disk, struct menu *menu, struct error *err);
void menu_free(struct menu *menu);

/*
 * What is started when nobody chooses, made ready; *item NULL: there is no entry. A default that is not
 * there is the first entry; without any, the first one with a kernel, or the first if none has one.
 */
int menu_default(struct menu *menu, const struct menu_item **item, struct error *err);
/* The next default, where the last one could not be started; false: there is none. */
bool menu_fall_back(struct menu *menu, struct error *err);

/* Between the files of this folder: */

/* A new item, its title copied; NULL: no memory, or too many, with the sentence. */
struct menu_item *menu_add(struct menu *menu, int parent, const char *title, unsigned line,
	struct error *err);
/* Replaces *to by a copy. */
int menu_set(char **to, const char *text, struct error *err);
/* As GRUB writes a file, "(hd0,gpt2)/vmlinuz"; without a device, it is on that of root (NULL: the own). */
int menu_set_file(struct menu_file *file, const char *text, const char *root, struct error *err);
/* One more; those that are too many are left out. */
int menu_add_ramdisk(struct menu_item *item, const char *text, const char *root, struct error *err);
void menu_drop_ramdisks(struct menu_item *item);

#endif
