/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IDE controller of a PIIX3 (Intel 82371SB data sheet, 290550: function 1 of the south bridge) with up to four
 * drives, disks (ATA/ATAPI-6, T13/1410D) and CD-ROM drives (the same, PACKET; MMC-3 for what is in it): ports and
 * interrupts where PCs have them, PIO, and bus master transfers ("Programming Interface for Bus Master IDE
 * Controller", 1.0). A drive's timing is kept and means nothing.
 *
 * Locking: the controller has one lock, held around its ports and by the images' threads when a request ends.
 */
#ifndef DACH_ATA_IDE_H
#define DACH_ATA_IDE_H

#include <stdbool.h>

#include "ata/drive.h"
#include "base/error.h"
#include "machine/bus.h"
#include "machine/memory.h"

struct pci_bus;
struct ide;

#define IDE_SLOT 1 /* its place on the PCI bus: beside the ISA bridge */
#define IDE_FUNCTION 1
#define IDE_DRIVES 4 /* first channel's first and second, second channel's */

/* What it needs of its owner: interrupts 14 and 15. Any thread. */
struct ide_owner {
	void *ctx;
	void (*irq)(void *ctx, unsigned irq, bool level);
};

/* No vCPU runs, for both. Slot 1 has a function 0 already. */
int ide_create(struct pci_bus *bus, struct bus *io, struct memory *memory,
	const struct ide_owner *owner, const struct ata_drive_config drive[IDE_DRIVES],
	struct ide **ide, struct error *err);
/* Waits for what is under way. NULL is allowed. */
void ide_destroy(struct ide *ide);
/* Drive n, for as long as the controller is there. */
struct ata_drive *ide_drive(struct ide *ide, unsigned n);

#endif
