/* SPDX-License-Identifier: Apache-2.0 */
/* A drive of one of the controllers, as its owner wants it. */
#ifndef DACH_ATA_DRIVE_H
#define DACH_ATA_DRIVE_H

#include <stdbool.h>

struct block_device;

struct ata_drive_config {
	struct block_device
		*image;     /* stays the caller's, and outlives the controller; NULL: none */
	bool cdrom;         /* a drive for CDs; without an image it is empty */
	const char *serial; /* up to 20 bytes */
};

#endif
