/* SPDX-License-Identifier: Apache-2.0 */
#include "bootdisk/partition.h"

#include <string.h>

#define SECTOR 512ull
#define MBR_TABLE 446
#define MBR_ENTRY 16
#define MBR_ACTIVE 0x80
#define MBR_GPT 0xee
#define LOGICAL_FIRST 5u /* its number */
#define LOGICAL_MAX 60u
#define GPT_ENTRY_MIN 128u
#define GPT_ENTRY_MAX 4096u

static uint64_t get(const uint8_t *from, unsigned bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | from[bytes];
	return value;
}

struct partition_table {
	struct partition *list;
	unsigned count;
	uint64_t size; /* the disk's */
	bool gpt;
};

/* Sectors; what does not lie on the disk is none. */
static void add(struct partition_table *table, uint64_t start, uint64_t sectors, unsigned number,
	bool first)
{
	const uint64_t all = table->size / SECTOR;

	if (!start || !sectors || start >= all || table->count == PARTITIONS_MAX)
		return;
	if (sectors > all - start)
		sectors = all - start;
	if (first)
		memmove(table->list + 1, table->list, table->count * sizeof *table->list);
	table->list[first ? 0 : table->count] =
		(struct partition){start * SECTOR, sectors * SECTOR, number, table->gpt};
	table->count++;
}

static void add_gpt(const struct disk_bytes *disk, struct partition_table *table)
{
	static const uint8_t unused[16];
	uint8_t head[SECTOR], entry[GPT_ENTRY_MIN];
	uint64_t at, count, size;

	if (!partition_read(disk, SECTOR, head, sizeof head) || memcmp(head, "EFI PART", 8))
		return;
	at = get(head + 72, 8);
	count = get(head + 80, 4);
	size = get(head + 84, 4);
	if (at >= table->size / SECTOR || size < GPT_ENTRY_MIN || size > GPT_ENTRY_MAX)
		return;
	for (unsigned n = 0; n < count && n < PARTITIONS_MAX; n++) {
		uint64_t first, last;

		if (!partition_read(disk, at * SECTOR + n * size, entry, sizeof entry))
			return;
		first = get(entry + 32, 8);
		last = get(entry + 40, 8);
		if (memcmp(entry, unused, sizeof unused) && last >= first && last - first + 1)
			add(table, first, last - first + 1, n + 1, false);
	}
}

static bool is_extended(uint8_t type)
{
	return type == 0x05 || type == 0x0f || type == 0x85;
}

/* A sector that is a table of the old kind. */
static bool read_mbr(const struct disk_bytes *disk, uint64_t sector, uint8_t mbr[SECTOR])
{
	return partition_read(disk, sector * SECTOR, mbr, SECTOR) && mbr[510] == 0x55 &&
		mbr[511] == 0xaa;
}

/*
 * Logical partitions: a chain of tables, each with a partition that lies behind it and the next table,
 * which is counted from the extended partition's beginning.
 */
static void add_logical(const struct disk_bytes *disk, struct partition_table *table,
	uint64_t start)
{
	uint64_t at = start;
	uint8_t mbr[SECTOR];

	for (unsigned n = 0; n < LOGICAL_MAX && read_mbr(disk, at, mbr); n++) {
		const uint8_t *entry = mbr + MBR_TABLE, *next = entry + MBR_ENTRY;

		if (entry[4] && !is_extended(entry[4]))
			add(table, at + get(entry + 8, 4), get(entry + 12, 4), LOGICAL_FIRST + n,
				entry[0] == MBR_ACTIVE);
		if (!is_extended(next[4]) || !get(next + 8, 4))
			return;
		at = start + get(next + 8, 4);
	}
}

unsigned partition_list(const struct disk_bytes *disk, struct partition list[PARTITIONS_MAX + 1])
{
	struct partition_table table = {.list = list, .size = disk->size};
	uint64_t extended = 0;
	uint8_t mbr[SECTOR];
	bool gpt = false;

	if (read_mbr(disk, 0, mbr)) {
		for (unsigned n = 0; n < 4; n++) {
			const uint8_t *entry = mbr + MBR_TABLE + n * MBR_ENTRY;

			gpt |= entry[4] == MBR_GPT;
			if (is_extended(entry[4]) && !extended)
				extended = get(entry + 8, 4);
			else if (entry[4] && entry[4] != MBR_GPT)
				add(&table, get(entry + 8, 4), get(entry + 12, 4), n + 1,
					entry[0] == MBR_ACTIVE);
		}
		if (extended)
			add_logical(disk, &table, extended);
		/* Beside the protective entry others are copies, for old firmware. */
		if (gpt) {
			table.count = 0;
			table.gpt = true;
			add_gpt(disk, &table);
		}
	}
	list[table.count++] = (struct partition){0, disk->size, 0, false};
	return table.count;
}
