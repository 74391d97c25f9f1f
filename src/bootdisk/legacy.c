/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bootdisk/menu.h"

#define LINE_MAX_BYTES 4096u

/* Cuts the first word off, which a space or a = ends; returns what follows. */
static char *cut(char *text)
{
	size_t len = strcspn(text, " \t=");
	char *rest = text + len;

	if (*rest)
		*rest++ = 0;
	return rest + strspn(rest, " \t=");
}

static int take_kernel(struct menu_item *item, char *rest, struct error *err)
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
	r = menu_set(&item->kernel, menu_path(path), err);
	return r ? r : menu_set(&item->cmdline, rest, err);
}

static int take_line(struct menu *menu, char *line, unsigned number, struct error *err)
{
	struct menu_item *item = menu->items ? &menu->item[menu->items - 1] : NULL;
	char *rest = cut(line);

	if (!strcmp(line, "title"))
		return menu_add(menu, -1, rest, number, err) ? 0 : -ENOMEM;
	/* saved: the number lies in a file that needs no number; pygrub takes the first, too */
	if (!item && !strcmp(line, "default"))
		return menu_set(&menu->chosen, strcmp(rest, "saved") ? rest : "0", err);
	if (!item)
		return 0;
	if (!strcmp(line, "kernel"))
		return take_kernel(item, rest, err);
	if (!strcmp(line, "initrd")) {
		rest[strcspn(rest, " \t")] = 0;
		menu_drop_ramdisks(item);
		return menu_add_ramdisk(item, rest, err);
	}
	return 0;
}

int menu_parse_legacy(const char *text, size_t size, struct menu *menu, struct error *err)
{
	const char *at = text, *end = text + size;
	char line[LINE_MAX_BYTES];
	int r = 0;

	*menu = (struct menu){.item = NULL};
	for (unsigned number = 1; !r && at < end; number++) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		const char *next = stop ? stop + 1 : end;

		stop = stop ? stop : end;
		while (at < stop && isspace((unsigned char)*at))
			at++;
		while (stop > at && isspace((unsigned char)stop[-1]))
			stop--;
		if (at < stop && *at != '#') {
			if (stop - at >= LINE_MAX_BYTES || memchr(at, 0, (size_t)(stop - at))) {
				r = error_set(err, EINVAL, "line %u: too long, or no text", number);
				break;
			}
			memcpy(line, at, (size_t)(stop - at));
			line[stop - at] = 0;
			r = take_line(menu, line, number, err);
		}
		at = next;
	}
	if (r)
		menu_free(menu);
	return r;
}
