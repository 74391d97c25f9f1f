/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A SATA controller as in Intel's ICH9 (Serial ATA AHCI 1.3), with six ports, each with a drive or without: disks and CD
 * drives. Neither native command queueing nor port multipliers; interrupts by INTA#.
 *
 * Locking: the controller has one lock, held around its registers and by the images' threads when a request ends.
 */
#ifndef DACH_ATA_AHCI_H
#define DACH_ATA_AHCI_H

#include "ata/drive.h"
#include "base/error.h"
#include "machine/memory.h"

struct pci_bus;
struct ahci;

#define AHCI_PORTS 6

/* No vCPU runs, for both. */
int ahci_create(struct pci_bus *bus, struct memory *memory,
	const struct ata_drive_config drive[AHCI_PORTS], struct ahci **ahci, struct error *err);
/* Waits for what is under way. NULL is allowed. */
void ahci_destroy(struct ahci *ahci);
/* The PCI slot that it is in. */
unsigned ahci_slot(const struct ahci *ahci);
/* Drive n, for as long as the controller is there. */
struct ata_drive *ahci_drive(struct ahci *ahci, unsigned n);

#endif
