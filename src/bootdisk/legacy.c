/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bootdisk/lines.h"
#include "bootdisk/menu.h"

/* Cuts the first word off, which a space or a = ends; returns what follows. */
static char *cut(char *text)
{
	size_t len = strcspn(text, " \t=");
	char *rest = text + len;

	if (*rest)
		*rest++ = 0;
	return rest + strspn(rest, " \t=");
}

struct legacy_parser {
	struct menu *menu;
	struct error *err;
	char root[MENU_DEVICE_MAX]; /* as GRUB 2 calls it; "": the configuration's own */
};

/*
 * The device at the text's beginning, if one is, as GRUB 2 calls it, which counts partitions from 1:
 * "(hd0,0)" is hd0,1.
 */
static void take_device(const char *text, char device[MENU_DEVICE_MAX])
{
	unsigned disk, partition;

	if (sscanf(text, "(hd%u,%u", &disk, &partition) == 2 && partition < 1000)
		snprintf(device, MENU_DEVICE_MAX, "hd%u,%u", disk, partition + 1);
	else if (*text == '(')
		snprintf(device, MENU_DEVICE_MAX, "%.*s", (int)strcspn(text + 1, ")"), text + 1);
}

/* A path, perhaps behind a device. Few disks are where they were when that was written: it is a hint. */
static int take_file(struct legacy_parser *p, struct menu_file *file, const char *text)
{
	const char *end = *text == '(' ? strchr(text, ')') : NULL;
	char device[MENU_DEVICE_MAX];

	memcpy(device, p->root, sizeof device);
	take_device(text, device);
	return menu_set_file(file, end ? end + 1 : text, device, p->err);
}

static int take_kernel(struct legacy_parser *p, struct menu_item *item, char *rest)
{
	char *path = rest, *end;
	int r;

	/* kernel --type=linux /vmlinuz ... */
	while (!strncmp(path, "--", 2)) {
		path += strcspn(path, " \t");
		path += strspn(path, " \t");
	}
	end = path + strcspn(path, " \t");
	rest = end + strspn(end, " \t");
	*end = 0;
	r = take_file(p, &item->kernel, path);
	return r ? r : menu_set(&item->cmdline, rest, p->err);
}

static int take_line(struct legacy_parser *p, char *line, unsigned number)
{
	struct menu *menu = p->menu;
	struct menu_item *item = menu->items ? &menu->item[menu->items - 1] : NULL;
	char *rest = cut(line);

	if (!strcmp(line, "title")) {
		*p->root = 0;
		return menu_add(menu, MENU_TOP, rest, number, p->err) ? 0 : -ENOMEM;
	}
	/* saved: the number lies in a file that needs no number; pygrub takes the first, too */
	if (!item && !strcmp(line, "default"))
		return menu_set(&menu->chosen, strcmp(rest, "saved") ? rest : "0", p->err);
	if (!item && !strcmp(line, "fallback"))
		return menu_set(&menu->fallback, rest, p->err);
	if (!item)
		return 0;
	if (!strcmp(line, "root") || !strcmp(line, "rootnoverify"))
		take_device(rest, p->root);
	if (!strcmp(line, "kernel"))
		return take_kernel(p, item, rest);
	if (!strcmp(line, "chainloader") || !strcmp(line, "configfile") || !strcmp(line, "module"))
		return menu_set(&item->other, line, p->err);
	if (!strcmp(line, "initrd") && item->ramdisks < MENU_RAMDISKS_MAX) {
		rest[strcspn(rest, " \t")] = 0;
		menu_drop_ramdisks(item);
		return take_file(p, &item->ramdisk[item->ramdisks++], rest);
	}
	return 0;
}

int menu_parse_legacy(const char *text, size_t size, struct menu *menu, struct error *err)
{
	struct legacy_parser p = {.menu = menu, .err = err};
	struct lines lines;
	int r;

	*menu = (struct menu){.item = NULL};
	lines_init(&lines, text, size);
	while ((r = lines_next(&lines, err)) > 0) {
		r = take_line(&p, lines.text, lines.number);
		if (r)
			break;
	}
	if (r)
		menu_free(menu);
	return r;
}
