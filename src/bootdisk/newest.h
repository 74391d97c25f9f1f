/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel of a file system on which no boot loader says which one is started: /vmlinuz and
 * /initrd.img, the links that Debian keeps, or those below /boot; then the newest of those that are in
 * /boot or in the topmost folder, with the initial ramdisk that goes by its name.
 */
#ifndef DACH_BOOTDISK_NEWEST_H
#define DACH_BOOTDISK_NEWEST_H

#include "bootdisk/volume.h"

#define NEWEST_PATH_MAX 280u

struct newest {
	char kernel[NEWEST_PATH_MAX];  /* paths */
	char ramdisk[NEWEST_PATH_MAX]; /* "": none */
};

/* -ENOENT, without a sentence: none is there. */
int newest_find(struct volume *volume, struct newest *newest, struct error *err);

#endif
