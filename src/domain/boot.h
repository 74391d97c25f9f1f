/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a Xen guest expects of its machine, on a machine whose disks are virtio.
 *
 * Each entry of the configuration's disks (empty drives left out) is one virtio disk, in the order
 * of the list: vda, vdb, ... A Xen guest knows them by their vdev, and an entry whose vdev has a
 * partition number (xvda2) is a bare file system or swap space. So
 *
 * - the command line gets the names that count here: with entries xvda2 and xvda1 in this order,
 *   /dev/xvda2 becomes /dev/vda and /dev/xvda1 /dev/vdb, wherever they stand in it; with an entry
 *   xvda, /dev/xvda3 becomes /dev/vda3. The console of Xen (hvc0) becomes the serial port, which is
 *   also added where no console is named. A Xen guest's cards are eth0, eth1, ..., and so they are here, if one of its
 *   disks has a name of Xen's: net.ifnames=0 is added, unless the guest's own line says what they are to be called. udev gives
 *   them its other names, too, by which a guest that was installed here may know them;
 * - the initial ramdisk gets a rule for udev behind it, which makes the guest's own names links to
 *   the disks, in the ramdisk and, through /run, in the system that follows. So /etc/fstab holds.
 */
#ifndef DACH_DOMAIN_BOOT_H
#define DACH_DOMAIN_BOOT_H

#include <stddef.h>

#include "base/error.h"
#include "domain/config.h"

/*
 * The command line that the guest is started with, the caller's to free. vdev: what the guest calls its
 * disks, in their order (NULL: nothing). -E2BIG: too long for Linux.
 */
int domain_boot_cmdline(const char *given, const char *const *vdev, unsigned disks, char **cmdline,
	struct error *err);
/* The names for it, pointing into config; returns how many. */
unsigned domain_boot_vdevs(const struct domain_config *config, const char *vdev[DOMAIN_DISKS_MAX]);

/*
 * What to append to the ramdisk: a cpio archive (newc), the caller's to free; *size is 0 and *bytes
 * NULL when no disk has a name of Xen's. It belongs at an offset that 4 divides.
 */
int domain_boot_overlay(const struct domain_config *config, char **bytes, size_t *size,
	struct error *err);

/*
 * The same with one program in it, which the kernel can start from there (rdinit=/name): *overlay is an open
 * file in memory, the caller's.
 */
int domain_boot_program(int program, const char *name, int *overlay, struct error *err);

/*
 * Replaces the open ramdisk (-1: there is none) by a file in memory (sealed, close-on-exec) that has the bytes
 * of the overlay, an open file, behind it. name: the ramdisk's, for messages. It copies as much as there is: a
 * monitor's to do. -E2BIG: larger than BOOT_RAMDISK_MAX.
 */
#define BOOT_RAMDISK_MAX (1ull << 30)
int domain_boot_join(int *ramdisk, const char *name, int overlay, struct error *err);

#endif
