/* SPDX-License-Identifier: Apache-2.0 */
#include "seed/fat.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

#define SECTOR 512u
#define CLUSTER (8u * SECTOR)
#define TABLE_SECTORS 12u /* for each of the 4084 clusters that FAT12 may have */
#define TABLES 2u
#define ROOT_ENTRIES 64u
#define ENTRY 32u
#define ROOT_SECTORS (ROOT_ENTRIES * ENTRY / SECTOR)
#define DATA_SECTOR (1u + TABLES * TABLE_SECTORS + ROOT_SECTORS)
#define DATE 0x21u /* the first of 1980, as early as can be */
#define LONG_CHARS 13u
#define NAME_MAX_CHARS (2 * LONG_CHARS)
#define CHAIN_END 0xfffu
#define IS_READ_ONLY 0x01
#define IS_LABEL 0x08
#define IS_LONG_NAME 0x0f

/* All before the data. */
struct fat_head {
	uint8_t boot[SECTOR];
	uint8_t table[TABLES][TABLE_SECTORS * SECTOR];
	uint8_t root[ROOT_ENTRIES][ENTRY];
};
_Static_assert(sizeof(struct fat_head) == DATA_SECTOR * SECTOR, "the data follow");

static void put(uint8_t *to, uint32_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> 8 * i);
}

/* Short of its size, filled up with blanks. */
static void put_text(uint8_t *to, const char *text, size_t size)
{
	memset(to, ' ', size);
	memcpy(to, text, strnlen(text, size));
}

static unsigned clusters_of(size_t bytes)
{
	return (unsigned)((bytes + CLUSTER - 1) / CLUSTER);
}

static void put_boot(uint8_t *boot, const char *label, unsigned clusters)
{
	memcpy(boot,
		"\xeb\x3c\x90"
		"dach    ",
		11);
	put(boot + 11, SECTOR, 2);
	boot[13] = CLUSTER / SECTOR;
	put(boot + 14, 1, 2); /* sectors before the tables */
	boot[16] = TABLES;
	put(boot + 17, ROOT_ENTRIES, 2);
	put(boot + 19, DATA_SECTOR + clusters * (CLUSTER / SECTOR), 2);
	boot[21] = 0xf8; /* a disk */
	put(boot + 22, TABLE_SECTORS, 2);
	put(boot + 24, 32, 2); /* sectors a track, heads: of no disk */
	put(boot + 26, 64, 2);
	boot[36] = 0x80;
	boot[38] = 0x29; /* the next three are there */
	put(boot + 39, 0xdac4c1d0, 4);
	put_text(boot + 43, label, 11);
	put_text(boot + 54, "FAT12", 8);
	boot[510] = 0x55;
	boot[511] = 0xaa;
}

static void put_next(uint8_t *table, unsigned cluster, unsigned next)
{
	uint8_t *at = table + cluster * 3 / 2;

	if (cluster % 2) {
		at[0] = (uint8_t)((at[0] & 0x0f) | next << 4);
		at[1] = (uint8_t)(next >> 4);
	} else {
		at[0] = (uint8_t)next;
		at[1] = (uint8_t)((at[1] & 0xf0) | next >> 8);
	}
}

static uint8_t checksum(const uint8_t *short_name)
{
	uint8_t sum = 0;

	for (unsigned i = 0; i < 11; i++)
		sum = (uint8_t)((sum << 7 | sum >> 1) + short_name[i]);
	return sum;
}

/* A part of a long name, in UTF-16: a zero ends it, and what is left is ones. */
static void put_long(uint8_t *entry, const char *name, unsigned part, bool last, uint8_t sum)
{
	static const uint8_t places[LONG_CHARS] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
	const size_t len = strlen(name);

	entry[0] = (uint8_t)((part + 1) | (last ? 0x40 : 0));
	entry[11] = IS_LONG_NAME;
	entry[13] = sum;
	for (unsigned i = 0; i < LONG_CHARS; i++) {
		size_t at = part * LONG_CHARS + i;

		put(entry + places[i], at < len ? (uint8_t)name[at] : at == len ? 0 : 0xffff, 2);
	}
}

/* Its entries from the nth on; the next free one. The short name is only a number. */
static unsigned put_file(struct fat_head *head, unsigned n, const struct fat_file *file,
	unsigned number, unsigned cluster)
{
	unsigned parts = (unsigned)(strlen(file->name) + LONG_CHARS - 1) / LONG_CHARS;
	uint8_t *entry = head->root[n + parts];
	char short_name[16];

	snprintf(short_name, sizeof short_name, "FILE~%u", number + 1);
	put_text(entry, short_name, 11);
	entry[11] = IS_READ_ONLY;
	put(entry + 16, DATE, 2);
	put(entry + 18, DATE, 2);
	put(entry + 24, DATE, 2);
	put(entry + 26, file->size ? cluster : 0, 2);
	put(entry + 28, (uint32_t)file->size, 4);
	for (unsigned part = 0; part < parts; part++)
		put_long(head->root[n + parts - 1 - part], file->name, part, part + 1 == parts,
			checksum(entry));
	return n + parts + 1;
}

int fat_write(int fd, const char *label, const struct fat_file *file, unsigned files,
	struct error *err)
{
	struct fat_head *head = calloc(1, sizeof *head);
	unsigned cluster = 2, entry = 1;
	size_t total = 0;
	int r = head ? 0 : error_nomem(err);

	for (unsigned i = 0; i < files && !r; i++) {
		total += file[i].size;
		if (files > FAT_FILES_MAX || file[i].size > FAT_DATA_MAX || total > FAT_DATA_MAX ||
			strlen(file[i].name) > NAME_MAX_CHARS)
			r = error_set(err, EFBIG, "%s: more than %u MiB are too large for the disk",
				file[i].name, FAT_DATA_MAX >> 20);
	}
	if (r)
		goto out;
	put_text(head->root[0], label, 11);
	head->root[0][11] = IS_LABEL;
	put(head->root[0] + 24, DATE, 2);
	put_next(head->table[0], 0, 0xff8);
	put_next(head->table[0], 1, CHAIN_END);
	for (unsigned i = 0; i < files && !r; i++) {
		const unsigned count = clusters_of(file[i].size);

		entry = put_file(head, entry, &file[i], i, cluster);
		r = io_pwrite_all(fd, file[i].bytes, file[i].size,
			DATA_SECTOR * SECTOR + (uint64_t)(cluster - 2) * CLUSTER);
		for (unsigned n = 1; n <= count; n++, cluster++)
			put_next(head->table[0], cluster, n < count ? cluster + 1 : CHAIN_END);
	}
	/* One at least is free: with none some think it damaged. */
	put_boot(head->boot, label, cluster - 1);
	memcpy(head->table[1], head->table[0], sizeof head->table[0]);
	if (!r)
		r = io_pwrite_all(fd, head, sizeof *head, 0);
	if (!r && ftruncate(fd, DATA_SECTOR * SECTOR + (off_t)(cluster - 1) * CLUSTER))
		r = -errno;
	if (r)
		error_set(err, -r, "the disk for cloud-init: %s", strerror(-r));
out:
	free(head);
	return r;
}
