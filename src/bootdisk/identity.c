/* SPDX-License-Identifier: Apache-2.0 */
#include "bootdisk/identity.h"

#include <stdio.h>
#include <string.h>

/* How an identity is written. */
enum identity_form {
	FORM_NONE,
	FORM_UUID, /* 16 bytes, in the order in which they are read */
	FORM_FAT,  /* 4 bytes, the last one first */
};

static const struct known_content {
	uint32_t offset;
	const char *magic, *name;
	enum identity_form form;
	uint32_t uuid, label, label_size; /* where they are */
} contents[] = {
	{1080, "\123\357", NULL, FORM_UUID, 1024 + 104, 1024 + 120, 16},
	{0, "XFSB", NULL, FORM_UUID, 32, 108, 12},
	{0x10040, "_BHRfS_M", NULL, FORM_UUID, 0x10020, 0x1012b, 31},
	{0, "LUKS\xba\xbe", "encrypted (LUKS)", FORM_NONE, 0, 0, 0},
	{512, "LABELONE", "LVM", FORM_NONE, 0, 0, 0},
	{0, "LABELONE", "LVM", FORM_NONE, 0, 0, 0},
	{4096, "\xfc\x4e\x2b\xa9", "a part of a RAID (md)", FORM_NONE, 0, 0, 0},
	{4086, "SWAPSPACE2", "swap space", FORM_NONE, 0, 0, 0},
	{0x400, "\x10\x20\xf5\xf2", "F2FS", FORM_NONE, 0, 0, 0},
	{0x400, "\xe2\xe1\xf5\xe0", "EROFS", FORM_UUID, 0x400 + 48, 0x400 + 64, 16},
	{0x8001, "CD001", "ISO 9660", FORM_NONE, 0, 32808, 31},
	{0, "hsqs", "squashfs", FORM_NONE, 0, 0, 0},
	{0x10034, "ReIsEr", "ReiserFS", FORM_NONE, 0, 0, 0},
	{0x8000, "JFS1", "JFS", FORM_NONE, 0, 0, 0},
	{3, "NTFS    ", "NTFS", FORM_NONE, 0, 0, 0},
	{3, "EXFAT   ", "exFAT", FORM_NONE, 0, 0, 0},
	{82, "FAT32", NULL, FORM_FAT, 67, 71, 11},
	{54, "FAT1", NULL, FORM_FAT, 39, 43, 11},
};

/* False: it does not lie in the partition. */
static bool read_at(const struct disk_bytes *disk, const struct partition *where, uint64_t offset,
	void *bytes, size_t len)
{
	return offset + len <= where->size &&
		partition_read(disk, where->offset + offset, bytes, len);
}

static void read_uuid(const struct disk_bytes *disk, const struct partition *where,
	const struct known_content *content, struct identity *identity)
{
	uint8_t raw[16];
	char *to = identity->uuid;

	if (content->form == FORM_FAT && read_at(disk, where, content->uuid, raw, 4))
		snprintf(to, sizeof identity->uuid, "%02x%02x-%02x%02x", raw[3], raw[2], raw[1],
			raw[0]);
	if (content->form != FORM_UUID || !read_at(disk, where, content->uuid, raw, sizeof raw))
		return;
	for (unsigned i = 0; i < sizeof raw; i++)
		to += sprintf(to, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			raw[i]);
}

static void read_label(const struct disk_bytes *disk, const struct partition *where,
	const struct known_content *content, struct identity *identity)
{
	size_t len = content->label_size;

	if (!len || !read_at(disk, where, content->label, identity->label, len))
		len = 0;
	identity->label[len] = 0;
	/* Some are filled up with blanks. */
	len = strlen(identity->label);
	while (len && identity->label[len - 1] == ' ')
		identity->label[--len] = 0;
}

void identity_read(const struct disk_bytes *disk, const struct partition *where,
	struct identity *identity)
{
	char found[16];

	*identity = (struct identity){.readable = false};
	for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
		const struct known_content *content = &contents[i];
		size_t len = strlen(content->magic);

		if (!read_at(disk, where, content->offset, found, len) ||
			memcmp(found, content->magic, len) != 0)
			continue;
		identity->readable = !content->name;
		identity->name = content->name;
		read_uuid(disk, where, content, identity);
		read_label(disk, where, content, identity);
		return;
	}
}
