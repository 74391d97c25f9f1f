/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boot loaders' configurations: the first byte says whose, a 0 ends the text; what follows are the other
 * files that it may ask for, each ended so.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bootdisk/menu.h"
#include "menu_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int parse(unsigned kind, const struct menu_disk *disk, const char *text, size_t size,
	struct menu *menu, struct error *err)
{
	switch (kind % 4) {
	case 0:
		return menu_parse_grub(disk, text, size, menu, err);
	case 1:
		return menu_parse_legacy(text, size, menu, err);
	case 2:
		return menu_parse_syslinux(disk, text, size, menu, err);
	}
	return menu_parse_bls(disk, menu, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rig_file files[] = {
		{"hd0,msdos1", "/boot/loader/grubenv", ""},
		{"hd0,msdos1", "/boot/loader/custom.cfg", ""},
		{"hd0,msdos1", "/boot/loader/entries/a-1.conf", ""},
		{"hd0,msdos1", "/boot/loader/entries/a-2.conf", ""},
		{"hd0,msdos1", "/boot/loader/loader.conf", ""},
		{"hd0,msdos2", NULL, "u-2 L2"},
		{NULL, NULL, NULL},
	};
	struct menu_disk disk = rig_disk;
	const struct menu_item *item;
	struct error err = {""};
	struct menu menu;
	char *copy;
	size_t len;
	int r;

	if (!size)
		return 0;
	copy = malloc(size + 1);
	memcpy(copy, data, size);
	copy[size] = 0;
	/* One with a 0 in it is no text. */
	len = data[0] & 0x80 ? size - 1 : strlen(copy + 1);
	for (size_t at = len + 2, n = 0; at < size && n < 5; n++) {
		files[n].text = copy + at;
		at += strlen(copy + at) + 1;
	}
	rig_files = files;
	disk.folder = "/boot/loader";
	r = parse(data[0], &disk, copy + 1, len < size ? len : 0, &menu, &err);
	if (!r) {
		do
			r = menu_default(&menu, &item, &err);
		while (data[0] & 0x40 && menu_fall_back(&menu, &err));
		if (item && (r || item->submenu || item->ramdisks > MENU_RAMDISKS_MAX))
			abort();
		menu_free(&menu);
	}
	if (r ? !err.text[0] : menu.item || menu.items || menu.chosen || menu.grub)
		abort();
	free(copy);
	return 0;
}
