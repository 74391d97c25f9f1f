/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's file systems, and the devices that boot loaders' configurations call them by: as GRUB does,
 * hd0 for the disk, which is the guest's first, and hd0,gpt2, hd0,msdos2 or hd0,2 for its second
 * partition.
 */
#ifndef DACH_BOOTDISK_DISK_H
#define DACH_BOOTDISK_DISK_H

#include "bootdisk/identity.h"
#include "bootdisk/menu.h"
#include "bootdisk/volume.h"

#define DISK_OPEN_MAX 2u /* file systems at a time */

/* Where something lies: a place in a disk's list of partitions. */
struct disk {
	const struct disk_bytes *bytes;
	const char *name;
	unsigned count;
	struct partition partition[PARTITIONS_MAX + 1];
	struct identity identity[PARTITIONS_MAX + 1];
	struct {
		struct volume *volume;
		unsigned partition;
	} open[DISK_OPEN_MAX];
	unsigned turn; /* which is closed for the next */
	bool writable; /* whoever asks for a kernel may write what its boot loader saves */
};

/* A few hundred KiB: on the heap. The bytes and the name stay the caller's. */
int disk_open(const struct disk_bytes *bytes, const char *name, struct disk **disk,
	struct error *err);
/* NULL is allowed. */
void disk_close(struct disk *disk);

/* Stays open until others are asked for. -ENODATA, without a sentence: none that can be read. */
int disk_volume(struct disk *disk, unsigned partition, struct volume **volume, struct error *err);

void disk_device(const struct disk *disk, unsigned partition, char device[MENU_DEVICE_MAX]);
/* -1: there is none of that name. */
int disk_partition(const struct disk *disk, const char *device);

/* What the configuration in that folder of that partition can ask; device is given the memory. */
void disk_menu(struct disk *disk, unsigned partition, const char *folder,
	char device[MENU_DEVICE_MAX], struct menu_disk *menu);

#endif
