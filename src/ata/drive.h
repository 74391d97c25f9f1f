/* SPDX-License-Identifier: Apache-2.0 */
/* A drive of one of the controllers, as its owner wants it, and the medium of one for CDs. */
#ifndef DACH_ATA_DRIVE_H
#define DACH_ATA_DRIVE_H

#include <stdbool.h>

struct ata_drive;
struct block_device;

struct ata_drive_config {
	struct block_device
		*image;     /* stays the caller's, and outlives the controller; NULL: none */
	bool cdrom;         /* a drive for CDs; without an image it is empty */
	const char *serial; /* up to 20 bytes */
};

/*
 * What lies in a CD drive from now on, NULL: nothing; its tray is closed. The one before has no request any more when
 * this returns, so it may have to wait for one. It goes though the guest has locked it. Any thread, without the
 * controller's lock.
 */
void drive_set_medium(struct ata_drive *drive, struct block_device *image);
/* The guest lets go of the medium: it has not locked it, or has opened the tray. Any thread, likewise. */
bool drive_lets_go(struct ata_drive *drive);
/* Somebody has pressed the drive's button: the guest is told that he wants the medium out. Any thread, likewise. */
void drive_press_button(struct ata_drive *drive);

#endif
