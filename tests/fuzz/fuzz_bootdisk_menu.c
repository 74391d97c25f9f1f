/* SPDX-License-Identifier: Apache-2.0 */
/* Boot loaders' configurations: the first byte says whose, a 0 ends what stands for grubenv. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bootdisk/menu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1, *env = NULL, *end;
	const struct menu_item *item;
	struct error err = {""};
	struct menu menu;
	int r;

	if (!size--)
		return 0;
	end = memchr(text, 0, size);
	if (*data & 2 && end) {
		env = text;
		size -= (size_t)(end + 1 - text);
		text = end + 1;
	}
	r = *data & 1 ? menu_parse_legacy(text, size, &menu, &err)
		      : menu_parse_grub(text, size, env, &menu, &err);
	if (r) {
		if (!err.text[0] || menu.item || menu.items || menu.chosen)
			abort();
		return 0;
	}
	item = menu_default(&menu);
	if (item && (item->submenu || item->ramdisks > MENU_RAMDISKS_MAX))
		abort();
	menu_free(&menu);
	return 0;
}
