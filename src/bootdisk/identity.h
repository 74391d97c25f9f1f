/* SPDX-License-Identifier: Apache-2.0 */
/* What a partition holds, by what stands at its beginning. */
#ifndef DACH_BOOTDISK_IDENTITY_H
#define DACH_BOOTDISK_IDENTITY_H

#include <stdbool.h>

#include "bootdisk/partition.h"

struct identity {
	bool readable;    /* volume.h opens it */
	const char *name; /* what else it is, "LVM" and its like; NULL: nothing that is known */
	char uuid[40];    /* as GRUB's search takes it; "": it has none, or none that is known */
	char label[32];
};

void identity_read(const struct disk_bytes *disk, const struct partition *where,
	struct identity *identity);

#endif
