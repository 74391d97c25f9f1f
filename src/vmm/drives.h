/* SPDX-License-Identifier: Apache-2.0 */
/* Disks and CDs in drives, of an IDE controller or of one with AHCI: for guests with firmware. */
#ifndef DACH_VMM_DRIVES_H
#define DACH_VMM_DRIVES_H

#include "vmm/devices.h"

/*
 * Adds the controllers that the configuration's disks need, which are open. A disk is in the drive that its name says
 * (hda to hdd, sda to sdf), or in the first that is free.
 */
int drives_create(struct devices *devices, const struct vmm_config *config, struct machine *machine,
	struct error *err);
void drives_destroy(struct devices *devices);

#endif
