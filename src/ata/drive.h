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

/* Of CD drives; any thread, without the controller's lock. None of these waits. */

/* A CD lies in the drive, which was empty, from now on; its tray is closed. */
void drive_insert(struct ata_drive *drive, struct block_device *image);
/*
 * What lies in it is about to go, though the guest may have locked it: no command finds a medium any more. false: it
 * stays after all; the guest hears that it has changed.
 */
void drive_withdraw(struct ata_drive *drive, bool goes);
/* It has gone. -EAGAIN: it has a request as yet; of one that is withdrawn that is the last. */
int drive_remove(struct ata_drive *drive);
/* The guest lets go of the medium: it has not locked it, or has opened the tray. */
bool drive_lets_go(struct ata_drive *drive);
/* Somebody has pressed the drive's button: the guest is told that he wants the medium out. */
void drive_press_button(struct ata_drive *drive);

#endif
