/* SPDX-License-Identifier: Apache-2.0 */
#include "bootdisk/menu.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct menu_item *menu_add(struct menu *menu, int parent, const char *title, unsigned line,
	struct error *err)
{
	struct menu_item *item;

	if (menu->items == MENU_ITEMS_MAX) {
		error_set(err, E2BIG, "line %u: more than %u entries", line, MENU_ITEMS_MAX);
		return NULL;
	}
	if (!menu->item)
		menu->item = calloc(MENU_ITEMS_MAX, sizeof *menu->item);
	item = menu->item ? &menu->item[menu->items] : NULL;
	if (!item || menu_set(&item->title, title, err)) {
		error_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	item->parent = parent;
	menu->items++;
	return item;
}

int menu_set(char **to, const char *text, struct error *err)
{
	char *copy = strdup(text);

	if (!copy)
		return error_set(err, ENOMEM, "out of memory");
	free(*to);
	*to = copy;
	return 0;
}

const char *menu_path(const char *text)
{
	const char *end = *text == '(' ? strchr(text, ')') : NULL;

	return end ? end + 1 : text;
}

int menu_add_ramdisk(struct menu_item *item, const char *path, struct error *err)
{
	if (item->ramdisks == MENU_RAMDISKS_MAX)
		return 0;
	return menu_set(&item->ramdisk[item->ramdisks++], menu_path(path), err);
}

void menu_drop_ramdisks(struct menu_item *item)
{
	while (item->ramdisks) {
		free(item->ramdisk[--item->ramdisks]);
		item->ramdisk[item->ramdisks] = NULL;
	}
}

void menu_free(struct menu *menu)
{
	for (unsigned i = 0; i < menu->items; i++) {
		struct menu_item *item = &menu->item[i];

		free(item->title);
		free(item->id);
		free(item->kernel);
		free(item->cmdline);
		menu_drop_ramdisks(item);
	}
	free(menu->item);
	free(menu->chosen);
	*menu = (struct menu){.item = NULL};
}

/* name: len bytes, a number, an id or a title. */
static bool is_called(const struct menu_item *item, unsigned position, const char *name, size_t len)
{
	unsigned number = 0;
	size_t i = 0;

	for (; i < len && i < 9 && isdigit((unsigned char)name[i]); i++)
		number = number * 10 + (unsigned)(name[i] - '0');
	if (len && i == len)
		return number == position;
	return (item->id && strlen(item->id) == len && !memcmp(item->id, name, len)) ||
		(strlen(item->title) == len && !memcmp(item->title, name, len));
}

static const struct menu_item *find(const struct menu *menu, int parent, const char *name,
	size_t len)
{
	unsigned position = 0;

	for (unsigned i = 0; i < menu->items; i++)
		if (menu->item[i].parent == parent &&
			is_called(&menu->item[i], position++, name, len))
			return &menu->item[i];
	return NULL;
}

const struct menu_item *menu_default(const struct menu *menu)
{
	const char *at = menu->chosen ? menu->chosen : "0";
	const struct menu_item *item = NULL;
	int parent = -1;

	/* Each turn goes one submenu down, and a submenu stands before what is in it. */
	do {
		size_t len = strcspn(at, ">");

		item = find(menu, parent, at, len);
		/* A title may hold the sign that separates titles. */
		if (!item && at[len])
			item = find(menu, parent, at, strlen(at));
		at += len + (at[len] == '>');
		if (!item) {
			item = find(menu, parent, "0", 1);
			at = "";
		}
		parent = item ? (int)(item - menu->item) : -1;
		if (!*at)
			at = "0";
	} while (item && item->submenu);
	return item;
}
