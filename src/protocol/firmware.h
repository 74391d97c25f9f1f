/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firmware that a guest starts with instead of a kernel of its own, by the names that xl.cfg(5) has for it, and
 * the file of this host that it is.
 */
#ifndef DACH_PROTOCOL_FIRMWARE_H
#define DACH_PROTOCOL_FIRMWARE_H

#include "base/error.h"

enum firmware {
	FIRMWARE_NONE,
	FIRMWARE_BIOS, /* SeaBIOS */
};

extern const char *const firmware_words[]; /* "none", "bios"; a NULL ends them */

/* By a name that people use: also "seabios", "rombios". -EINVAL, with a sentence that begins with "firmware: ". */
int firmware_parse(const char *name, enum firmware *firmware, struct error *err);
/* Its file, a string that stays. -ENOENT with the sentence that says what to install. */
int firmware_file(enum firmware firmware, const char **path, struct error *err);

/* The order in which firmware tries what there is: letters c (disks), d (CDs), n (network); a, for floppies, is passed over. -EINVAL. */
int firmware_check_boot(const char *order, struct error *err);
/* Long enough for each order. */
#define FIRMWARE_BOOT_MAX 8

#endif
