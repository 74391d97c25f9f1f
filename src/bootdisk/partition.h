/* SPDX-License-Identifier: Apache-2.0 */
/* Where file systems may begin on a disk: MBR with its logical partitions, and GPT (UEFI 2.10, chapter 5). */
#ifndef DACH_BOOTDISK_PARTITION_H
#define DACH_BOOTDISK_PARTITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARTITIONS_MAX 128u

struct partition {
	uint64_t offset, size; /* bytes, within the disk */
	unsigned number;       /* as Linux counts; 0: the whole disk */
	bool gpt;              /* it is in such a table */
};

/* The guest's disk, however it is stored. */
struct disk_bytes {
	/* All len bytes at offset. False: they are not there. */
	bool (*read)(void *ctx, uint64_t offset, void *buf, size_t len);
	void *ctx;
	uint64_t size;
};

static inline bool partition_read(const struct disk_bytes *bytes, uint64_t offset, void *buf,
	size_t len)
{
	return bytes->read(bytes->ctx, offset, buf, len);
}

/*
 * How many there are in the list, in the order in which to look at them. The whole disk is always the
 * last.
 */
unsigned partition_list(const struct disk_bytes *bytes, struct partition list[PARTITIONS_MAX + 1]);

#endif
