/* SPDX-License-Identifier: Apache-2.0 */
#include "bootdisk/menu.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bootdisk/grub.h"

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
		error_nomem(err);
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
		return error_nomem(err);
	free(*to);
	*to = copy;
	return 0;
}

/* A device without its brackets, of which there may be several; false: too long. */
static bool bare(const char *from, size_t len, char device[MENU_DEVICE_MAX])
{
	while (len && *from == '(') {
		from++;
		len--;
	}
	while (len && from[len - 1] == ')')
		len--;
	snprintf(device, MENU_DEVICE_MAX, "%.*s", (int)len, from);
	return len < MENU_DEVICE_MAX;
}

int menu_set_file(struct menu_file *file, const char *text, const char *root, struct error *err)
{
	const char *end = *text == '(' ? strchr(text, ')') : NULL;
	char device[MENU_DEVICE_MAX] = "", other[MENU_DEVICE_MAX] = "";
	int r = 0;

	/* "((hd0,1))/vmlinuz": root was set with its brackets */
	while (end && *end == ')')
		end++;
	if ((end && !bare(text, (size_t)(end - text), device)) ||
		(root && !bare(root, strlen(root), other)))
		return error_set(err, EINVAL, "a device's name is too long");
	file->named = *device && strcmp(device, other) != 0;
	free(file->device);
	file->device = NULL;
	if (*device || *other)
		r = menu_set(&file->device, *device ? device : other, err);
	return r ? r : menu_set(&file->path, end ? end : text, err);
}

static void free_file(struct menu_file *file)
{
	free(file->path);
	free(file->device);
	*file = (struct menu_file){.path = NULL};
}

int menu_add_ramdisk(struct menu_item *item, const char *text, const char *root, struct error *err)
{
	if (item->ramdisks == MENU_RAMDISKS_MAX)
		return 0;
	return menu_set_file(&item->ramdisk[item->ramdisks++], text, root, err);
}

void menu_drop_ramdisks(struct menu_item *item)
{
	while (item->ramdisks)
		free_file(&item->ramdisk[--item->ramdisks]);
}

void menu_free(struct menu *menu)
{
	grub_free(menu->grub);
	for (unsigned i = 0; i < menu->items; i++) {
		struct menu_item *item = &menu->item[i];

		free(item->title);
		free(item->id);
		free_file(&item->kernel);
		free(item->cmdline);
		free(item->other);
		free(item->text);
		menu_drop_ramdisks(item);
	}
	free(menu->item);
	free(menu->chosen);
	free(menu->fallback);
	free(menu->other);
	free(menu->saved);
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

static struct menu_item *find(const struct menu *menu, int parent, const char *name, size_t len)
{
	unsigned position = 0;

	for (unsigned i = 0; i < menu->items; i++)
		if (menu->item[i].parent == parent &&
			is_called(&menu->item[i], position++, name, len))
			return &menu->item[i];
	return NULL;
}

/* What a loader other than GRUB wrote is known before. */
static int run(struct menu *menu, struct menu_item *item, bool trial, struct error *err)
{
	return menu->grub ? grub_run_item(menu->grub, item, trial, err) : 0;
}

/* The first with a kernel, submenus left out; if none has one, the first at all. */
static int first(struct menu *menu, int parent, struct menu_item **out, struct error *err)
{
	*out = NULL;
	for (unsigned i = 0; i < menu->items; i++) {
		struct menu_item *item = &menu->item[i];
		struct error why = {""};

		if (item->parent != parent || item->submenu)
			continue;
		/* What is wrong with one that is not started does not matter. */
		if (!run(menu, item, true, &why) && item->kernel.path && *item->kernel.path) {
			*out = item;
			return 0;
		}
	}
	*out = find(menu, parent, "0", 1);
	return 0;
}

static bool take_chosen(struct menu *menu, char **path)
{
	if (!menu->chosen)
		return false;
	free(*path);
	*path = menu->chosen;
	menu->chosen = NULL;
	return true;
}

int menu_default(struct menu *menu, const struct menu_item **out, struct error *err)
{
	char *path = NULL;
	const char *at;
	struct menu_item *item = NULL;
	int parent = MENU_TOP, r = 0;

	take_chosen(menu, &path);
	at = path ? path : "";
	/* Each turn goes one submenu down. */
	for (unsigned depth = 0; !r; depth++) {
		size_t len = strcspn(at, ">");

		item = *at ? find(menu, parent, at, len) : NULL;
		/* A title may hold the sign that separates titles. */
		if (!item && *at && at[len])
			item = find(menu, parent, at, strlen(at));
		if (!item && *at) {
			item = find(menu, parent, "0", 1);
			at = "";
		} else if (!item) {
			r = first(menu, parent, &item, err);
		} else {
			at += len + (at[len] == '>');
		}
		if (!r && item)
			r = run(menu, item, false, err);
		/* An item that shows another configuration brings that one's default. */
		if (!r && !*at && take_chosen(menu, &path))
			at = path;
		if (r || !item || !item->submenu)
			break;
		if (depth == MENU_DEPTH_MAX)
			r = error_set(err, EINVAL, "nested too deep");
		parent = (int)(item - menu->item);
	}
	free(path);
	*out = r ? NULL : item;
	return r;
}

bool menu_fall_back(struct menu *menu, struct error *err)
{
	char *rest = menu->fallback;
	size_t len;
	int r;

	if (!rest)
		return false;
	len = strcspn(rest, " \t");
	if (rest[len])
		rest[len++] = 0;
	r = *rest ? menu_set(&menu->chosen, rest, err) : -ENOENT;
	memmove(rest, rest + len, strlen(rest + len) + 1);
	return !r;
}
