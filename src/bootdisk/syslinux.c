/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bootdisk/lines.h"
#include "bootdisk/menu.h"

#define PATH_ROOM 1024u
#define FILES_MAX 16u /* that INCLUDE names */

struct syslinux_parser {
	const struct menu_disk *disk;
	struct menu *menu;
	struct error *err;
	unsigned files;
	bool in_text; /* TEXT HELP, up to ENDTEXT */
	char *append; /* for labels that have none of their own */
	/* What is started: DEFAULT, MENU DEFAULT, ONTIMEOUT, each more than those before. */
	char *standard, *marked, *timeout;
};

static bool is(const char *word, const char *name)
{
	return !strcasecmp(word, name);
}

/* Cuts the first word off; returns what follows. */
static char *cut(char *text)
{
	char *rest = text + strcspn(text, " \t");

	if (*rest)
		*rest++ = 0;
	return rest + strspn(rest, " \t");
}

/* Relative to the folder of the configuration. */
static void path_of(const struct syslinux_parser *p, const char *name, char path[PATH_ROOM])
{
	const bool whole = *name == '/';

	if (snprintf(path, PATH_ROOM, "%s%s%s", whole ? "" : p->disk->folder, whole ? "" : "/",
		    name) >= (int)PATH_ROOM)
		*path = 0; /* it is nowhere */
}

static int take_kernel(struct syslinux_parser *p, struct menu_item *item, const char *name)
{
	char path[PATH_ROOM];
	size_t len = strlen(name);

	/* One of the loader's own programs */
	if ((len > 4 && is(name + len - 4, ".c32")) || (len > 3 && is(name + len - 3, ".bs")))
		return menu_set(&item->other, name, p->err);
	path_of(p, name, path);
	return menu_set_file(&item->kernel, path, NULL, p->err);
}

/* Several, with commas between. */
static int take_ramdisks(struct syslinux_parser *p, struct menu_item *item, const char *names)
{
	char path[PATH_ROOM], name[PATH_ROOM];
	int r = 0;

	menu_drop_ramdisks(item);
	while (!r && *names) {
		size_t len = strcspn(names, ",");

		snprintf(name, sizeof name, "%.*s", (int)len, names);
		names += len + (names[len] == ',');
		path_of(p, name, path);
		if (*name)
			r = menu_add_ramdisk(item, path, NULL, p->err);
	}
	return r;
}

static int take_item_line(struct syslinux_parser *p, struct menu_item *item, const char *word,
	char *rest)
{
	char *second;

	if (is(word, "kernel") || is(word, "linux")) {
		cut(rest);
		return *rest ? take_kernel(p, item, rest) : 0;
	}
	if (is(word, "initrd"))
		return take_ramdisks(p, item, rest);
	if (is(word, "append"))
		return menu_set(&item->cmdline, strcmp(rest, "-") ? rest : "", p->err);
	if (is(word, "menu")) {
		second = cut(rest);
		if (is(rest, "default"))
			return menu_set(&p->marked, item->id, p->err);
		return is(rest, "label") ? menu_set(&item->title, second, p->err) : 0;
	}
	if (is(word, "com32") || is(word, "localboot") || is(word, "boot") || is(word, "fdi"))
		return menu_set(&item->other, word, p->err);
	return 0;
}

static int parse(struct syslinux_parser *p, const char *text, size_t size);

static int include(struct syslinux_parser *p, const char *name, unsigned number)
{
	char path[PATH_ROOM], *text;
	size_t size;
	int r;

	path_of(p, name, path);
	if (++p->files > FILES_MAX)
		return error_set(p->err, E2BIG, "line %u: more than %u files", number, FILES_MAX);
	/* One that is not there is no reason to start nothing. */
	if (p->disk->read(p->disk->data, p->disk->device, path, &text, &size))
		return 0;
	r = parse(p, text, size);
	free(text);
	return r;
}

static int take_line(struct syslinux_parser *p, char *line, unsigned number)
{
	struct menu *menu = p->menu;
	struct menu_item *item = menu->items ? &menu->item[menu->items - 1] : NULL;
	char *rest = cut(line);

	if (is(line, "text"))
		p->in_text = is(rest, "help");
	if (is(line, "endtext"))
		p->in_text = false;
	if (p->in_text)
		return 0;
	if (is(line, "label")) {
		item = menu_add(menu, MENU_TOP, rest, number, p->err);
		return item ? menu_set(&item->id, rest, p->err) : -ENOMEM;
	}
	if (is(line, "include"))
		return include(p, rest, number);
	if (is(line, "menu") && !strncasecmp(rest, "include", 7) &&
		isspace((unsigned char)rest[7])) {
		rest = cut(rest);
		cut(rest); /* a label to show it under may follow */
		return include(p, rest, number);
	}
	if (is(line, "default"))
		return menu_set(&p->standard, rest, p->err);
	if (is(line, "ontimeout"))
		return menu_set(&p->timeout, rest, p->err);
	if (!item)
		return is(line, "append") ? menu_set(&p->append, rest, p->err) : 0;
	return take_item_line(p, item, line, rest);
}

static int parse(struct syslinux_parser *p, const char *text, size_t size)
{
	struct lines lines;
	int r;

	lines_init(&lines, text, size);
	while ((r = lines_next(&lines, p->err)) > 0) {
		r = take_line(p, lines.text, lines.number);
		if (r)
			break;
	}
	return r;
}

/* The value of the last initrd= in a command line, which becomes the item's. */
static int take_initrd_word(struct syslinux_parser *p, struct menu_item *item)
{
	char value[PATH_ROOM] = "";

	for (const char *at = item->cmdline; at && *at;) {
		size_t len = strcspn(at, " \t");

		if (!strncmp(at, "initrd=", 7))
			snprintf(value, sizeof value, "%.*s", (int)len - 7, at + 7);
		at += len + strspn(at + len, " \t");
	}
	return item->ramdisks ? 0 : take_ramdisks(p, item, value);
}

/* The label's place in the menu becomes the default; false: there is none of that name. */
static bool choose(struct syslinux_parser *p, const char *label, int *r)
{
	struct menu *menu = p->menu;
	char number[16];

	for (unsigned i = 0; label && i < menu->items; i++)
		if (is(menu->item[i].id, label)) {
			snprintf(number, sizeof number, "%u", i);
			*r = menu_set(&menu->chosen, number, p->err);
			return true;
		}
	return false;
}

/* DEFAULT may be a kernel with its command line. */
static int add_standard(struct syslinux_parser *p)
{
	struct menu_item *item = menu_add(p->menu, MENU_TOP, p->standard, 0, p->err);
	char *rest = cut(p->standard);
	int r = item ? menu_set(&item->id, p->standard, p->err) : -ENOMEM;

	if (!r)
		r = take_kernel(p, item, p->standard);
	return r ? r : menu_set(&item->cmdline, rest, p->err);
}

static int finish(struct syslinux_parser *p)
{
	struct menu *menu = p->menu;
	int r = 0;

	if (!menu->items && p->standard && *p->standard)
		r = add_standard(p);
	for (unsigned i = 0; !r && i < menu->items; i++) {
		struct menu_item *item = &menu->item[i];

		if (!item->cmdline && p->append)
			r = menu_set(&item->cmdline, p->append, p->err);
		if (!r)
			r = take_initrd_word(p, item);
	}
	if (!r && !choose(p, p->timeout, &r) && !choose(p, p->marked, &r))
		choose(p, p->standard, &r);
	return r;
}

int menu_parse_syslinux(const struct menu_disk *disk, const char *text, size_t size,
	struct menu *menu, struct error *err)
{
	struct syslinux_parser p = {.disk = disk, .menu = menu, .err = err};
	int r;

	*menu = (struct menu){.item = NULL};
	r = parse(&p, text, size);
	if (!r)
		r = finish(&p);
	free(p.append);
	free(p.standard);
	free(p.marked);
	free(p.timeout);
	if (r)
		menu_free(menu);
	return r;
}
