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
	FIRMWARE_UEFI, /* OVMF */
};

extern const char *const firmware_words[]; /* "none", "bios", "uefi"; a NULL ends them */

/* By a name that people use: also "seabios", "rombios", "ovmf". -EINVAL, with a sentence that begins with "firmware: ". */
int firmware_parse(const char *name, enum firmware *firmware, struct error *err);

/* Strings that stay. */
struct firmware_files {
	const char *code;      /* what the guest starts from */
	const char *variables; /* what its variables are at first (NVRAM); NULL: it keeps none */
};
/* -ENOENT with the sentence that says what to install. */
int firmware_find(enum firmware firmware, struct firmware_files *files, struct error *err);

/* The order in which firmware tries what there is: letters c (disks), d (CDs), n (network); a, for floppies, is passed over. -EINVAL. */
int firmware_check_boot(const char *order, struct error *err);
/* Long enough for each order. */
#define FIRMWARE_BOOT_MAX 8

#endif
