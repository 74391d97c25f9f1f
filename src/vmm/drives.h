/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks and CDs in drives, of an IDE controller or of one with AHCI: for guests with firmware. A drive stays for as long
 * as the guest runs; CDs come and go (plug_cd.c).
 */
#ifndef DACH_VMM_DRIVES_H
#define DACH_VMM_DRIVES_H

#include "vmm/devices.h"

/*
 * Which drive each of the configuration's disks and empty drives has, as bays: the one that its name says (hda to hdd, sda
 * to sdf); then the others, in their names' order, the first that is free. Whether a CD lies in a drive makes no difference.
 */
int drives_choose(struct devices *devices, const struct vmm_config *config, struct error *err);
/* Does so, and adds the controllers that they need. The disks are open. */
int drives_create(struct devices *devices, const struct vmm_config *config, struct machine *machine,
	struct error *err);
void drives_destroy(struct devices *devices);
/* The bay of a disk that is in one; NULL: it is in none. */
const struct bay *drives_of_disk(const struct devices *devices, unsigned n);
/* The CD drive of that name; NULL: there is none. */
const struct bay *drives_find_cd(const struct devices *devices, const char *vdev);
/* Something lies in it. */
bool drives_is_filled(const struct devices *devices, const struct bay *bay);

#endif
